"""Resizing by interpolation, one axis at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnn.errors import ShapeError

__all__ = ["AxisTable", "axis_table", "interpolate", "interpolate_grad"]

Array = np.ndarray[Any, Any]

METHODS = ("nearest", "linear", "cubic", "nearest_round")
COORDINATES = (
    "asymmetric",
    "align_corners",
    "half_pixel",
    "pytorch_half_pixel",
    "tensorflow_half_pixel",
)
_CUBIC = -0.75


@dataclass(frozen=True)
class AxisTable:
    """Where one axis reads.

    Attributes:
        places: (length out, taps) source positions, inside the axis.
        weights: (length out, taps) float64.
    """

    places: Array
    weights: Array


def _sources(length: int, count: int, step: float, coordinates: str) -> Array:
    """Return the source coordinate of every output position."""
    positions = np.arange(count, dtype=np.float64)
    if coordinates == "align_corners":
        return positions * ((length - 1) / (count - 1)) if count > 1 else positions * 0
    if coordinates == "half_pixel" or (coordinates == "pytorch_half_pixel" and count > 1):
        return (positions + 0.5) * step - 0.5
    if coordinates == "pytorch_half_pixel":
        return positions * 0
    if coordinates == "tensorflow_half_pixel":
        return (positions + 0.5) * step
    return positions * step


def axis_table(
    length: int, count: int, *, method: str, coordinates: str, step: float | None = None
) -> AxisTable:
    """Return the positions and weights that resize an axis from `length` to `count`.

    Args:
        length, count: sizes before and after.
        method: one of METHODS; `nearest` rounds down, `nearest_round` to the nearest, halves down.
        coordinates: one of COORDINATES.
        step: source distance of two outputs, `length / count` by default.

    Raises:
        ShapeError: nothing to read from, or an unknown name.
    """
    if method not in METHODS or coordinates not in COORDINATES:
        raise ShapeError(f"resize: unknown method {method!r} or coordinates {coordinates!r}.")
    if count < 0 or (length == 0 and count):
        raise ShapeError(f"resize: an axis of {length} cannot become {count}.")
    distance = step if step is not None else (length / count if count else 1.0)
    source = _sources(length, count, distance, coordinates)
    if method == "nearest":
        # Products such as 3 * (1/3) fall short of the integer they mean by one rounding error.
        base = np.floor(source + 1e-9)[:, None]
        weights = np.ones((count, 1))
    elif method == "nearest_round":
        base = np.floor(source + 0.499)[:, None]
        weights = np.ones((count, 1))
    elif method == "linear":
        low = np.floor(source)
        fraction = source - low
        base = low[:, None] + np.arange(2)
        weights = np.stack([1 - fraction, fraction], axis=1)
    else:
        low = np.floor(source)
        base = low[:, None] + np.arange(-1, 3)
        weights = _cubic_weights(source - low)
    places = np.clip(base, 0, max(length - 1, 0)).astype(np.int64)
    return AxisTable(places, weights)


def _cubic_weights(t: Array) -> Array:
    """Return Keys's cubic convolution weights (1981) with a = -0.75."""
    a = _CUBIC

    def near(d: Array) -> Array:
        result: Array = ((a + 2) * d - (a + 3)) * d * d + 1
        return result

    def far(d: Array) -> Array:
        result: Array = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return result

    return np.stack([far(1 + t), near(t), near(1 - t), far(2 - t)], axis=1)


def _apply(x: Array, axis: int, table: AxisTable) -> Array:
    taps = table.places.shape[1]
    shape = [1] * x.ndim
    shape[axis] = -1
    if taps == 1:
        return np.take(x, table.places[:, 0], axis)
    total: Array = np.take(x, table.places[:, 0], axis) * table.weights[:, 0].reshape(shape)
    for tap in range(1, taps):
        total += np.take(x, table.places[:, tap], axis) * table.weights[:, tap].reshape(shape)
    return total


def _adjoint(g: Array, axis: int, table: AxisTable, length: int) -> Array:
    moved = np.moveaxis(g, axis, 0)
    total = np.zeros((length, *moved.shape[1:]), np.float64)
    column = (-1, *([1] * (moved.ndim - 1)))
    for tap in range(table.places.shape[1]):
        np.add.at(total, table.places[:, tap], moved * table.weights[:, tap].reshape(column))
    return np.moveaxis(total, 0, axis)


def _tables(
    lengths: Sequence[int],
    sizes: Sequence[int],
    method: str,
    coordinates: str,
    steps: Sequence[float] | None,
) -> list[AxisTable]:
    return [
        axis_table(
            length,
            size,
            method=method,
            coordinates=coordinates,
            step=None if steps is None else steps[number],
        )
        for number, (length, size) in enumerate(zip(lengths, sizes, strict=True))
    ]


def interpolate(
    x: Array,
    sizes: Sequence[int],
    *,
    axes: Sequence[int],
    method: str,
    coordinates: str,
    steps: Sequence[float] | None = None,
) -> Array:
    """Return x with `axes` resized to `sizes`; computed in float64, rounded once.

    Integers are rounded half to even after linear or cubic interpolation.
    """
    lengths = [x.shape[axis] for axis in axes]
    tables = _tables(lengths, sizes, method, coordinates, steps)
    exact = method.startswith("nearest")
    result = x if exact else x.astype(np.float64)
    for axis, table in zip(axes, tables, strict=True):
        result = _apply(result, axis, table)
    if x.dtype.kind in "iu" and not exact:
        limits = np.iinfo(x.dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    return result.astype(x.dtype, copy=False)


def interpolate_grad(
    g: Array,
    shape: Sequence[int],
    *,
    axes: Sequence[int],
    method: str,
    coordinates: str,
    steps: Sequence[float] | None = None,
) -> Array:
    """Return the gradient of `interpolate` with respect to x of `shape`."""
    lengths = [shape[axis] for axis in axes]
    tables = _tables(lengths, [g.shape[axis] for axis in axes], method, coordinates, steps)
    result = g.astype(np.float64)
    for axis, table, length in zip(axes, tables, lengths, strict=True):
        result = _adjoint(result, axis, table, length)
    return result.astype(g.dtype)
