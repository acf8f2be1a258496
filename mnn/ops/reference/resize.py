"""Resizing by interpolation, one axis at a time.

An axis is resized by a table of source positions and weights; an image by one table per axis, its
gradient by the transposed tables. Everything is computed in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference.precision import Array, DType
from mnn.records import dataclass

__all__ = [
    "COORDINATES",
    "METHODS",
    "AxisTable",
    "axis_table",
    "cubic_weights",
    "interpolate",
    "interpolate_grad",
    "scaled_length",
    "source_coordinates",
]

METHODS = ("nearest", "linear", "cubic", "nearest_round")
"""`nearest` rounds the source coordinate down, `nearest_round` to the nearest, halves down."""

COORDINATES = (
    "asymmetric",
    "align_corners",
    "half_pixel",
    "pytorch_half_pixel",
    "tensorflow_half_pixel",
    "crop_and_resize",
)
"""Where output position i reads, the same names as ONNX Resize; see `source_coordinates`."""

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


def scaled_length(length: int, scale: float) -> int:
    """Return the size of an axis after scaling: the product in float32, rounded down."""
    return int(np.float32(length) * np.float32(scale))


def source_coordinates(
    length: int, count: int, *, coordinates: str, step: float | None = None
) -> Array:
    """Return where each output position lies on the source axis, as float64.

    With S = `step` the coordinate of position i is: asymmetric i S; half_pixel (i + 0.5) S - 0.5;
    pytorch_half_pixel the same, but 0 when `count` is 1; tensorflow_half_pixel (i + 0.5) S;
    align_corners i (length - 1) / (count - 1), 0 when `count` is 1; crop_and_resize (over the whole
    axis) the same, but the middle when `count` is 1.

    Args:
        length, count: sizes before and after.
        coordinates: one of COORDINATES.
        step: source distance of two outputs; without it `length / count`, and coordinates are
            quotients of integers rounded once, so that whole and half ones are exact.
    """
    positions = np.arange(count, dtype=np.int64)
    if coordinates in ("align_corners", "crop_and_resize"):
        if count == 1:
            return np.full(1, (length - 1) / 2 if coordinates == "crop_and_resize" else 0.0)
        return positions * (length - 1) / max(count - 1, 1)
    if coordinates == "pytorch_half_pixel" and count == 1:
        return np.zeros(1)
    if step is not None:
        if coordinates == "asymmetric":
            return positions * step
        shift = 0.0 if coordinates == "tensorflow_half_pixel" else 0.5
        return (positions + 0.5) * step - shift
    if coordinates == "asymmetric":
        return positions * length / max(count, 1)
    shift = 0 if coordinates == "tensorflow_half_pixel" else count
    return ((2 * positions + 1) * length - shift) / max(2 * count, 1)


def axis_table(
    length: int, count: int, *, method: str, coordinates: str, step: float | None = None
) -> AxisTable:
    """Return the positions and weights that resize an axis from `length` to `count`.

    Args:
        length, count: sizes before and after.
        method: one of METHODS.
        coordinates: one of COORDINATES.
        step: source distance of two outputs, `length / count` by default; 1 / scale where a scale
            is given.

    Raises:
        ShapeError: nothing to read from, or an unknown name.
    """
    if method not in METHODS or coordinates not in COORDINATES:
        raise ShapeError(
            f"resize: found method {method!r} and coordinates {coordinates!r}, expected one of "
            f"{METHODS} and one of {COORDINATES}. Check the spelling."
        )
    if count < 0 or (length == 0 and count):
        raise ShapeError(
            f"resize: an axis of {length} elements cannot become one of {count}. Expected a size "
            ">= 0, and 0 for an empty axis. Check the sizes."
        )
    source = source_coordinates(length, count, coordinates=coordinates, step=step)
    if method.startswith("nearest"):
        if step is not None:
            source = _snapped(source)
        base = np.floor(source) if method == "nearest" else np.ceil(source - 0.5)
        base, weights = base[:, None], np.ones((count, 1))
    else:
        low = np.floor(source)
        if method == "linear":
            base, weights = low[:, None] + np.arange(2), _linear_weights(source - low)
        else:
            base, weights = low[:, None] + np.arange(-1, 3), cubic_weights(source - low)
    places = np.clip(base, 0, max(length - 1, 0)).astype(np.int64)
    return AxisTable(places, weights)


def _snapped(source: Array) -> Array:
    """Return coordinates with those next to a whole or half number moved onto it.

    Scales are float32 in files: 10 * (1 / float32(0.1)) = 99.9999985 means 100.
    """
    twice = 2 * source
    near = np.rint(twice)
    result: Array = np.where(np.abs(twice - near) <= 2.5e-7 * (np.abs(near) + 1), near / 2, source)
    return result


def _linear_weights(t: Array) -> Array:
    return np.stack([1 - t, t], axis=-1)


def cubic_weights(t: Array) -> Array:
    """Return the weights of the four neighbours at distances 1 + t, t, 1 - t, 2 - t.

    R. Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -0.75.

    Args:
        t: fractions in [0, 1), any shape.

    Returns:
        `(*t.shape, 4)`.
    """
    a = _CUBIC

    def near(d: Array) -> Array:
        result: Array = ((a + 2) * d - (a + 3)) * d * d + 1
        return result

    def far(d: Array) -> Array:
        result: Array = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return result

    return np.stack([far(1 + t), near(t), near(1 - t), far(2 - t)], axis=-1)


def _weighted(values: Array, weights: Array, axis: int) -> Array:
    """Return values times one weight per place of an axis; 0 where the weight is, whatever it is.

    An infinite or NaN neighbour must not leak into a place that does not use it.
    """
    shape = [1] * values.ndim
    shape[axis] = -1
    factors = weights.reshape(shape)
    with np.errstate(invalid="ignore", over="ignore"):
        result: Array = values * factors
    return np.where(factors == 0, 0.0, result)


def _apply(x: Array, axis: int, table: AxisTable) -> Array:
    taps = table.places.shape[1]
    if taps == 1:
        return np.take(x, table.places[:, 0], axis)
    total: Array = _weighted(np.take(x, table.places[:, 0], axis), table.weights[:, 0], axis)
    with np.errstate(invalid="ignore", over="ignore"):
        for tap in range(1, taps):
            part = np.take(x, table.places[:, tap], axis)
            total += _weighted(part, table.weights[:, tap], axis)
    return total


def _adjoint(g: Array, axis: int, table: AxisTable, length: int) -> Array:
    total = np.zeros((length, *np.moveaxis(g, axis, 0).shape[1:]), np.float64)
    for tap in range(table.places.shape[1]):
        part = np.moveaxis(_weighted(g, table.weights[:, tap], axis), axis, 0)
        np.add.at(total, table.places[:, tap], part)
    return np.moveaxis(total, 0, axis)


def _tables(
    lengths: Sequence[int],
    sizes: Sequence[int],
    method: str,
    coordinates: str,
    steps: Sequence[float] | None,
) -> list[AxisTable]:
    numbers = [None] * len(lengths) if steps is None else list(steps)
    if not len(lengths) == len(sizes) == len(numbers):
        raise ShapeError(
            f"resize: found {len(sizes)} sizes and {len(numbers)} steps for {len(lengths)} axes, "
            "expected one each. Check the sizes."
        )
    return [
        axis_table(length, size, method=method, coordinates=coordinates, step=step)
        for length, size, step in zip(lengths, sizes, numbers, strict=True)
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
    """Return x with `axes` resized to `sizes`; beyond the edges the outer elements repeat.

    Integers are rounded half to even, and clipped to their range, after linear or cubic
    interpolation. The bilinear resize of old models is `linear` with `asymmetric` coordinates.

    Args:
        x: array of any rank.
        sizes: new size of each of `axes`.
        axes: which dimensions.
        method, coordinates, steps: as for `axis_table`; one step per axis, or None.

    Raises:
        ShapeError: sizes do not fit.    DTypeError: linear or cubic of no real numbers.
    """
    tables = _tables([x.shape[axis] for axis in axes], sizes, method, coordinates, steps)
    exact = method.startswith("nearest")
    if not exact and x.dtype.kind not in "iuf":
        raise DTypeError(
            f"resize: found {x.dtype} for {method} interpolation, expected integers or floats. "
            "Convert it first, or use a nearest method."
        )
    result = x if exact else x.astype(np.float64)
    for axis, table in zip(axes, tables, strict=True):
        result = _apply(result, axis, table)
    if x.dtype.kind in "iu" and not exact:
        result = np.clip(np.rint(result), *_limits(x.dtype))
    with np.errstate(over="ignore"):
        return result.astype(x.dtype, copy=False)


def _limits(dtype: DType) -> tuple[float, float]:
    """Return the least and the largest float64 inside the range of an integer type."""
    limits = np.iinfo(dtype)
    top = float(limits.max)
    return float(limits.min), top if int(top) <= limits.max else float(np.nextafter(top, 0))


def interpolate_grad(
    g: Array,
    shape: Sequence[int],
    *,
    axes: Sequence[int],
    method: str,
    coordinates: str,
    steps: Sequence[float] | None = None,
) -> Array:
    """Return the gradient of `interpolate` with respect to x of `shape`: its adjoint."""
    lengths = [shape[axis] for axis in axes]
    tables = _tables(lengths, [g.shape[axis] for axis in axes], method, coordinates, steps)
    result = g.astype(np.float64)
    for axis, table, length in zip(axes, tables, lengths, strict=True):
        result = _adjoint(result, axis, table, length)
    return result.astype(g.dtype)
