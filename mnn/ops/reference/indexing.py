"""Gathering and scattering in plain NumPy. Indices are checked: a bad one raises, never wraps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.errors import DTypeError, IndexRangeError, ShapeError

__all__ = [
    "band_part",
    "checked",
    "gather",
    "gather_elements",
    "gather_nd",
    "gather_nd_gradient",
    "histogram",
    "last_scattered",
    "last_scattered_elements",
    "reverse_sequence",
    "scatter_elements",
    "scatter_nd",
    "unravel_index",
]

Array = np.ndarray[Any, Any]

_COMBINE: dict[str, Callable[..., Any]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def checked(name: str, indices: Array, size: int, what: str = "index") -> Array:
    """Return indices in [0, size); negative ones count from the end.

    Raises:
        IndexRangeError: an index lies outside [-size, size).
    """
    indices = indices.astype(np.int64, copy=False)
    if indices.size:
        low, high = int(indices.min()), int(indices.max())
        if low < -size or high >= size:
            raise IndexRangeError(
                f"{name}: found {what} {low if low < -size else high}, expected a number in "
                f"[{-size}, {size}). Check the indices against the size of the axis."
            )
        if low < 0:
            indices = np.where(indices < 0, indices + size, indices)
    return indices


def gather(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """Return the slices of `data` along `axis` that `indices` names."""
    places = checked("gather", indices, data.shape[axis])
    result: Array = np.take(data, places, axis=axis)
    return result


def _batched(name: str, data: Array, indices: Array, batch_dims: int) -> tuple[Array, ...]:
    """Return the NumPy index of `gather_nd` and `scatter_nd`."""
    depth = indices.shape[-1] if indices.ndim else 0
    if batch_dims + depth > data.ndim or indices.ndim <= batch_dims:
        raise ShapeError(
            f"{name}: indices of shape {indices.shape} name {depth} axes after {batch_dims} batch "
            f"axes of data of shape {data.shape}. Expected at most {data.ndim - batch_dims}."
        )
    grid = np.ix_(*(np.arange(size) for size in indices.shape[:batch_dims]))
    rest = indices.ndim - 1 - batch_dims
    batch = tuple(each.reshape(each.shape + (1,) * rest) for each in grid)
    columns = tuple(
        checked(name, indices[..., column], data.shape[batch_dims + column])
        for column in range(depth)
    )
    return (*batch, *columns)


def gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    """Return the elements or slices of `data` at the coordinates in the last axis of `indices`."""
    result: Array = np.asarray(data[_batched("gather_nd", data, indices, batch_dims)])
    return result


def gather_nd_gradient(g: Array, like: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    """Return zeros like `like` with `g` added at the coordinates: the adjoint of `gather_nd`."""
    result: Array = np.zeros(like.shape, g.dtype)
    np.add.at(result, _batched("gather_nd", like, indices, batch_dims), g)
    return result


def gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """Return one element per index: `data[i, indices[i, j], j]` for axis 1, and so on."""
    if data.ndim != indices.ndim:
        raise ShapeError(
            f"gather_elements: data has {data.ndim} dimensions and indices {indices.ndim}. "
            "Expected as many."
        )
    places = checked("gather_elements", indices, data.shape[axis])
    trimmed = data[
        tuple(
            slice(None) if number == axis % data.ndim else slice(0, size)
            for number, size in enumerate(indices.shape)
        )
    ]
    result: Array = np.take_along_axis(trimmed, places, axis)
    return result


def scatter_nd(
    indices: Array,
    updates: Array,
    shape: Array,
    data: Array | None = None,
    *,
    reduction: str = "none",
) -> Array:
    """Return `data` (zeros if none) of `shape` with `updates` put at coordinates, in order."""
    sizes = tuple(int(size) for size in shape.reshape(-1))
    kind = updates.dtype if data is None else np.result_type(updates, data)
    result: Array = np.zeros(sizes, kind)
    if data is not None:
        result[...] = data
    index = _batched("scatter_nd", result, indices, 0)
    wanted = indices.shape[:-1] + sizes[indices.shape[-1] :]
    if updates.shape != wanted:
        raise ShapeError(
            f"scatter_nd: updates have shape {updates.shape}, expected {wanted} for indices of "
            f"shape {indices.shape} into {sizes}."
        )
    if not index:
        result[...] = updates
    elif reduction == "none":
        # NumPy leaves the winner among repeated indices open: write the last of each only.
        _write_last(result, index, updates)
    else:
        _COMBINE[reduction](result, index, updates)
    return result


def _write_last(result: Array, index: tuple[Array, ...], updates: Array) -> None:
    flat = np.ravel_multi_index(
        tuple(np.broadcast_arrays(*index)), result.shape[: len(index)]
    ).reshape(-1)
    if not flat.size:
        return
    _, last = np.unique(flat[::-1], return_index=True)
    chosen = flat.size - 1 - last
    rows = result.reshape(-1, math.prod(result.shape[len(index) :]))
    rows[flat[chosen]] = updates.reshape(flat.size, -1)[chosen]


def last_scattered(indices: Array, shape: Array) -> Array:
    """Return which coordinates no later one repeats: bool of `indices.shape[:-1]`."""
    sizes = shape.reshape(-1)[: indices.shape[-1]]
    order = np.arange(math.prod(indices.shape[:-1])).reshape(indices.shape[:-1])
    board = scatter_nd(indices, order, sizes)
    return np.asarray(gather_nd(board, indices) == order)


def last_scattered_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """Return which indices along an axis no later one repeats: bool of `indices.shape`."""
    order = np.arange(indices.size).reshape(indices.shape)
    board = scatter_elements(np.zeros(data.shape, np.int64), indices, order, axis=axis)
    return np.asarray(gather_elements(board, indices, axis=axis) == order)


def scatter_elements(
    data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none"
) -> Array:
    """Return `data` with `updates` put at `data[i, indices[i, j], j]` for axis 1, and so on."""
    if indices.shape != updates.shape or indices.ndim != data.ndim:
        raise ShapeError(
            f"scatter_elements: indices {indices.shape}, updates {updates.shape} and data "
            f"{data.shape} do not fit. Expected equal index and update shapes and equal ranks."
        )
    axis %= data.ndim
    places = checked("scatter_elements", indices, data.shape[axis])
    grid = list(np.ogrid[tuple(slice(size) for size in indices.shape)])
    grid[axis] = places
    result: Array = data.copy()
    if reduction == "none":
        _write_last_elements(result, tuple(grid), updates)
    else:
        _COMBINE[reduction](result, tuple(grid), updates)
    return result


def _write_last_elements(result: Array, index: tuple[Array, ...], updates: Array) -> None:
    flat = np.ravel_multi_index(tuple(np.broadcast_arrays(*index)), result.shape).reshape(-1)
    _, last = np.unique(flat[::-1], return_index=True)
    chosen = flat.size - 1 - last
    result.reshape(-1)[flat[chosen]] = updates.reshape(-1)[chosen]


def unravel_index(indices: Array, shape: Array) -> Array:
    """Return the coordinates of flat indices: (rank, ...) int32."""
    sizes = tuple(int(size) for size in shape.reshape(-1))
    places = checked("unravel_index", indices, math.prod(sizes))
    result: Array = np.stack(np.unravel_index(places, sizes)).astype(np.int32)
    return result


def reverse_sequence(x: Array, lengths: Array, *, batch_axis: int, time_axis: int) -> Array:
    """Return x with the first `lengths[i]` steps of batch entry i in reverse order."""
    if lengths.dtype.kind not in "iu":
        raise DTypeError(f"reverse_sequence: lengths are {lengths.dtype}, expected integers.")
    batch_axis, time_axis = batch_axis % x.ndim, time_axis % x.ndim
    size = x.shape[time_axis]
    if lengths.shape != (x.shape[batch_axis],) or batch_axis == time_axis:
        raise ShapeError(
            f"reverse_sequence: found lengths of shape {lengths.shape}, expected one per entry of "
            f"batch axis {batch_axis} of {x.shape}, and another time axis."
        )
    if lengths.size and (int(lengths.min()) < 0 or int(lengths.max()) > size):
        raise IndexRangeError(
            f"reverse_sequence: lengths {lengths.tolist()} leave [0, {size}], the time axis."
        )
    steps = np.arange(size)[None, :]
    reach = lengths.astype(np.int64)[:, None]
    source = np.where(steps < reach, reach - 1 - steps, steps)
    moved = np.moveaxis(x, (batch_axis, time_axis), (0, 1))
    result = np.take_along_axis(moved, source.reshape(*source.shape, *([1] * (x.ndim - 2))), 1)
    return np.moveaxis(result, (0, 1), (batch_axis, time_axis))


def band_part(x: Array, lower: Array, upper: Array) -> Array:
    """Return the matrices of x with everything but a band around the diagonal set to 0."""
    if x.ndim < 2:
        raise ShapeError(f"matrix_band_part: found shape {x.shape}, expected matrices.")
    for width in (lower, upper):
        if width.dtype.kind not in "iu" or width.ndim:
            raise DTypeError(
                f"matrix_band_part: a band width is {width.dtype} of shape {width.shape}, expected "
                "one integer."
            )
    below, above = int(lower), int(upper)
    rows, columns = np.ogrid[: x.shape[-2], : x.shape[-1]]
    keep = np.ones((x.shape[-2], x.shape[-1]), bool)
    if below >= 0:
        keep &= rows - columns <= below
    if above >= 0:
        keep &= columns - rows <= above
    return np.where(keep, x, x.dtype.type(0))


def histogram(x: Array, *, bins: int, low: float, high: float) -> Array:
    """Return how many elements lie in each of `bins` equal parts of [low, high]."""
    if bins < 1 or high < low:
        raise ShapeError(f"histogram: found {bins} bins over [{low}, {high}], expected >= 1 bin.")
    counts, _ = np.histogram(x.reshape(-1), bins=bins, range=(low, high))
    result: Array = counts.astype(x.dtype if x.dtype.kind == "f" else np.int32)
    return result
