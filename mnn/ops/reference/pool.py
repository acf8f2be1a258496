"""Maximum and average pooling of any spatial rank, and their gradients.

Windows slide along one axis after the other (a maximum or a sum over a box is separable), so the
cost grows with the sum of the kernel's lengths. Rules of ONNX MaxPool and AveragePool.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.layout import channels_first, in_layout, spatial_axes, split_shape
from mnn.ops.reference.pool_axes import (
    PoolAxis,
    along,
    check_pool_grad,
    check_real,
    empty_result,
    pool_axes,
)
from mnn.ops.reference.precision import Array, accurate
from mnn.ops.reference.rounding import round_half_away
from mnn.ops.reference.window_shapes import Pads

__all__ = [
    "avg_pool",
    "avg_pool_grad",
    "global_avg_pool",
    "global_max_pool",
    "max_pool",
    "max_pool_grad",
    "max_pool_indices",
]


def max_pool(
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int] | None = None,
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    layout: str = "NCHW",
) -> Array:
    """Return the maximum of each window; NaN wins.

    Positions outside of the input do not count; a window that lies outside takes the nearest edge.

    Args:
        x: (batch, channels, lengths...) in the order of `layout`; any real dtype.
        kernel, stride, dilation: one number per spatial axis.
        pads, mode, ceil_mode, clip: see `window_shapes.pool_output_length`.

    Returns:
        Shape of `pool_shape`, dtype of `x`.

    Raises:
        ShapeError: ranks do not fit.    DTypeError: complex or non-numeric input.
    """
    check_real("max_pool", x)
    axes = pool_axes(
        "max_pool", x.shape, kernel, stride, dilation, pads, mode, ceil_mode, clip, layout
    )
    source = channels_first(x, layout)
    result = empty_result(source, axes, x.dtype)
    if result is None:
        result = source
        for number, axis in enumerate(axes, start=2):
            result = _axis_maximum(result, number, axis)
    return in_layout(result, layout)


def _axis_maximum(x: Array, number: int, axis: PoolAxis) -> Array:
    """Return the maxima of the windows along one axis."""
    if axis.dilation > 1:
        columns = [x.take(places, axis=number) for places in axis.nearest().T]
        return np.asarray(np.max(columns, axis=0))
    widths = [(0, 0)] * x.ndim
    widths[number] = (axis.begin, axis.overhang())
    padded = np.pad(x, widths, mode="edge") if any(widths[number]) else x
    first, *others = axis.taps()
    found: Array = padded[along(number, first)].copy()
    for tap in others:
        np.maximum(found, padded[along(number, tap)], out=found)
    return found


def _first_maxima(x: Array, axes: Sequence[PoolAxis]) -> Array:
    """Return the flat position, within its plane, of the first maximum of each window."""
    rank = len(axes)
    places = []
    for number, axis in enumerate(axes):
        shape = [1] * (2 * rank)
        shape[number], shape[rank + number] = axis.count, axis.kernel
        places.append(axis.nearest().reshape(shape))
    index: tuple[slice | Array, ...] = (slice(None), slice(None), *places)
    windows = x[index]
    kernel = windows.shape[2 + rank :]
    winners = windows.reshape(*windows.shape[: 2 + rank], math.prod(kernel)).argmax(axis=-1)
    flat = np.zeros(winners.shape, np.int64)
    for number, (axis, tap) in enumerate(zip(axes, np.unravel_index(winners, kernel), strict=True)):
        column = [1] * winners.ndim
        column[2 + number] = axis.count
        flat *= axis.length
        flat += axis.nearest()[np.arange(axis.count).reshape(column), tap]
    return flat


def max_pool_indices(
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int] | None = None,
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    layout: str = "NCHW",
) -> Array:
    """Return where `max_pool` found its values: int32 positions `y * width + x` in the plane.

    Among equal values the first in row-major order counts; NaN counts as the largest.
    """
    check_real("max_pool_indices", x)
    axes = pool_axes(
        "max_pool_indices", x.shape, kernel, stride, dilation, pads, mode, ceil_mode, clip, layout
    )
    source = channels_first(x, layout)
    result = empty_result(source, axes, np.dtype(np.int32))
    if result is None:
        result = _first_maxima(source, axes).astype(np.int32)
    return in_layout(result, layout)


def max_pool_grad(
    grad: Array,
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int] | None = None,
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of `max_pool` in `x`: each `grad` goes to the first maximum.

    Raises:
        ShapeError: `grad` does not have the shape of the result.
    """
    axes = pool_axes(
        "max_pool_grad", x.shape, kernel, stride, dilation, pads, mode, ceil_mode, clip, layout
    )
    source, values = channels_first(x, layout), channels_first(grad, layout)
    check_pool_grad("max_pool_grad", values, source.shape, axes)
    if not values.size or not source.size:
        return np.zeros(x.shape, grad.dtype)
    places = _first_maxima(source, axes).reshape(source.shape[0] * source.shape[1], -1)
    plane = math.prod(source.shape[2:])
    places += np.arange(places.shape[0])[:, None] * plane
    sums = np.bincount(places.ravel(), weights=values.ravel(), minlength=source.size)
    return in_layout(sums.astype(grad.dtype).reshape(source.shape), layout)


def _divisor(axes: Sequence[PoolAxis], count: str) -> Array:
    """Return the number each window's sum is divided by, of shape (counts...)."""
    if count not in ("include", "exclude"):
        raise ShapeError(f"avg_pool: count is {count!r}, expected 'include' or 'exclude'.")
    result = np.ones((), np.int64)
    for axis in axes:
        low, high = (0, axis.length)
        if count == "include":
            low, high = -axis.begin, axis.length + axis.end
        positions = axis.positions()
        inside = ((positions >= low) & (positions < high)).sum(axis=1)
        result = result[..., None] * inside
    return np.maximum(result, 1)


def avg_pool(
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int] | None = None,
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    count: str = "exclude",
    layout: str = "NCHW",
) -> Array:
    """Return the mean of each window.

    Args:
        x: (batch, channels, lengths...) in the order of `layout`; any real dtype.
        count: "exclude" divides by the number of input positions in the window, "include" by that
            of positions in the input or its padding (both ends). What a window of `ceil_mode`
            reads beyond the padding never counts. A window without input position gives 0.
        kernel, stride, dilation, pads, mode, ceil_mode, clip: as for `max_pool`.

    Returns:
        Shape of `pool_shape`, dtype of `x`; integers are rounded half away from zero.
    """
    check_real("avg_pool", x)
    axes = pool_axes(
        "avg_pool", x.shape, kernel, stride, dilation, pads, mode, ceil_mode, clip, layout
    )
    source = channels_first(x, layout)
    result = empty_result(source, axes, x.dtype)
    if result is not None:
        return in_layout(result, layout)
    integral = x.dtype.kind != "f"
    total = source.astype(np.float64 if integral else accurate(x.dtype), copy=False)
    widths = [(0, 0), (0, 0), *((axis.begin, axis.overhang()) for axis in axes)]
    total = np.pad(total, widths) if any(map(any, widths)) else total
    for number, axis in enumerate(axes, start=2):
        first, *others = axis.taps()
        found = total[along(number, first)].copy()
        for tap in others:
            found += total[along(number, tap)]
        total = found
    total /= _divisor(axes, count).astype(total.dtype)
    result = round_half_away(total) if integral else total
    return in_layout(result.astype(x.dtype, copy=False), layout)


def avg_pool_grad(
    grad: Array,
    *,
    input_shape: tuple[int, ...],
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Pads,
    dilation: Sequence[int] | None = None,
    mode: str = "CAFFE",
    ceil_mode: bool = False,
    clip: bool = True,
    count: str = "exclude",
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of `avg_pool` in `x`, of shape `input_shape`.

    Raises:
        ShapeError: `grad` does not have the shape of the result.
    """
    axes = pool_axes(
        "avg_pool_grad", input_shape, kernel, stride, dilation, pads, mode, ceil_mode, clip, layout
    )
    values = channels_first(grad, layout)
    batch, channels, lengths = split_shape(input_shape, layout)
    check_pool_grad("avg_pool_grad", values, (batch, channels, *lengths), axes)
    if not values.size:
        return np.zeros(input_shape, grad.dtype)
    work = accurate(grad.dtype)
    spread: Array = values.astype(work) / _divisor(axes, count).astype(work)
    for number, axis in enumerate(axes, start=2):
        shape = list(spread.shape)
        shape[number] = axis.begin + axis.length + axis.overhang()
        full = np.zeros(shape, work)
        for tap in axis.taps():
            full[along(number, tap)] += spread
        spread = full[along(number, slice(axis.begin, axis.begin + axis.length))]
    return in_layout(spread, layout).astype(grad.dtype, copy=False)


def _whole(name: str, x: Array, layout: str) -> tuple[int, ...]:
    """Return the spatial axes, refusing a plane without positions."""
    check_real(name, x)
    axes = spatial_axes(layout, x.ndim)
    if x.shape[0] and any(x.shape[axis] == 0 for axis in axes):
        raise ShapeError(
            f"{name}: the input {x.shape} has no position to pool over. "
            "Expected spatial lengths of at least 1."
        )
    return axes


def global_max_pool(x: Array, *, layout: str = "NCHW") -> Array:
    """Return the maximum over all spatial axes, which keep length 1; NaN wins.

    Raises:
        ShapeError: a spatial axis is empty.
    """
    axes = _whole("global_max_pool", x, layout)
    if not x.size:
        return np.zeros([1 if axis in axes else x.shape[axis] for axis in range(x.ndim)], x.dtype)
    result: Any = x.max(axis=axes, keepdims=True)
    return np.asarray(result)


def global_avg_pool(x: Array, *, layout: str = "NCHW") -> Array:
    """Return the mean over all spatial axes, which keep length 1; integers round half away.

    Raises:
        ShapeError: a spatial axis is empty.
    """
    axes = _whole("global_avg_pool", x, layout)
    if not x.size:
        return np.zeros([1 if axis in axes else x.shape[axis] for axis in range(x.ndim)], x.dtype)
    integral = x.dtype.kind != "f"
    work = np.dtype(np.float64) if integral else accurate(x.dtype)
    mean: Array = np.asarray(np.mean(x, axis=axes, keepdims=True, dtype=work))
    return (round_half_away(mean) if integral else mean).astype(x.dtype, copy=False)
