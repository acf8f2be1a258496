"""Per-channel arithmetic and the normalisations of the convolutional classics."""

from __future__ import annotations

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.layout import channel_axis, channel_vector, channels_first, in_layout
from mnn.ops.reference.precision import Array, float_types

__all__ = ["lrn", "normalize", "prelu", "scale"]


def _box_sum(x: Array, axis: int, size: int) -> Array:
    """Return sums over `size` neighbours along one axis, centred, zeros outside.

    An even window reaches one further at the end, as in ONNX LRN.
    """
    before = (size - 1) // 2
    length = x.shape[axis]
    result = np.zeros_like(x)
    for offset in range(-before, size - before):
        first, last = max(0, -offset), min(length, length - offset)
        if first < last:
            target = (*[slice(None)] * axis, slice(first, last))
            source = (*[slice(None)] * axis, slice(first + offset, last + offset))
            result[target] += x[source]
    return result


def lrn(
    x: Array,
    *,
    size: int,
    alpha: float,
    beta: float,
    bias: float = 1.0,
    within_channel: bool = False,
    layout: str = "NCHW",
) -> Array:
    """Return x / (bias + alpha / n * sum of squares in a window)^beta.

    The window covers `size` neighbouring channels (n = size) or, with `within_channel`, `size`
    positions along each spatial axis (n = size to the number of axes); outside are zeros.
    Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012).

    Raises:
        ShapeError: size below 1.    DTypeError: not floating-point.
    """
    result, work = float_types("lrn", x)
    if size < 1:
        raise ShapeError(f"lrn: size is {size}, expected at least 1. Pass an odd window size.")
    source = channels_first(x.astype(work, copy=False), layout)
    sums = np.square(source)
    axes = range(2, source.ndim) if within_channel else range(1, 2)
    for axis in axes:
        sums = _box_sum(sums, axis, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        base = bias + (alpha / size ** len(axes)) * sums
        return in_layout(source / base**beta, layout).astype(result, copy=False)


def normalize(
    x: Array,
    weight: Array | None = None,
    *,
    epsilon: float,
    across_spatial: bool = False,
    layout: str = "NCHW",
) -> Array:
    """Return x / sqrt(sum of squares + epsilon) * weight.

    The sum runs over the channels of each pixel, or with `across_spatial` over a whole sample.
    `weight` has one value per channel, or a single one shared by all.
    Liu et al., "ParseNet" (2015).
    """
    result, work = float_types("normalize", x, weight)
    channels = channel_axis(layout, x.ndim)
    axes = tuple(range(1, x.ndim)) if across_spatial else (channels,)
    source = x.astype(work, copy=False)
    with np.errstate(divide="ignore", invalid="ignore"):
        y: Array = source / np.sqrt(
            np.square(source).sum(axis=axes, keepdims=True) + work.type(epsilon)
        )
    if weight is not None:
        y = y * channel_vector("normalize", weight.astype(work), x.ndim, x.shape[channels], layout)
    return y.astype(result, copy=False)


def scale(x: Array, factor: Array, bias: Array | None = None, *, layout: str = "NCHW") -> Array:
    """Return x * factor + bias with one value of each per channel (or one for all).

    Raises:
        ShapeError: another number of values.    DTypeError: not floating-point.
    """
    result, work = float_types("scale", x, factor, bias)
    channels = x.shape[channel_axis(layout, x.ndim)]
    y = x.astype(work, copy=False) * channel_vector(
        "scale", factor.astype(work), x.ndim, channels, layout
    )
    if bias is not None:
        y = y + channel_vector("scale", bias.astype(work), x.ndim, channels, layout)
    return y.astype(result, copy=False)


def prelu(x: Array, slope: Array, *, layout: str = "NCHW") -> Array:
    """Return x where it is positive, slope * x elsewhere; one slope per channel or one for all.

    He et al., "Delving Deep into Rectifiers" (2015).
    """
    result, work = float_types("prelu", x, slope)
    channels = x.shape[channel_axis(layout, x.ndim)]
    source = x.astype(work, copy=False)
    slopes = channel_vector("prelu", slope.astype(work), x.ndim, channels, layout)
    return np.where(source > 0, source, source * slopes).astype(result, copy=False)
