"""Normalisations: layer, RMS, batch, instance and group norm, moments, and two fused gradients.

Variances are population variances, from deviations (two passes), as in Ba et al., "Layer
Normalization" (2016), Ioffe and Szegedy, "Batch Normalization" (2015), Wu and He, "Group
Normalization" (2018), Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.layout import (
    channel_axis,
    channel_vector,
    channels_first,
    in_layout,
    spatial_axes,
)
from mnn.ops.reference.precision import Array, float_types

__all__ = [
    "batch_norm",
    "batch_norm_train",
    "batch_norm_train_grad",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "layer_norm_grad",
    "moments",
    "normalised_axes",
]


def normalised_axes(name: str, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return the axes counted from the front, ascending.

    Raises:
        ShapeError: an axis does not exist or is given twice.
    """
    found = sorted(axis + rank if axis < 0 else axis for axis in axes)
    if len(set(found)) != len(found) or (found and not 0 <= found[0] <= found[-1] < rank):
        raise ShapeError(
            f"{name}: axes {tuple(axes)} of a {rank}-d array, expected different axes in "
            f"[{-rank}, {rank}). Correct the axes."
        )
    return tuple(found)


def _grouped(x: Array, axes: Sequence[int], group: int) -> tuple[Array, tuple[int, ...]]:
    """Return (the array to normalise, its axes): with groups, (batch * group, rest) and (1,)."""
    if group <= 1:
        return x, normalised_axes("layer_norm", axes, x.ndim)
    size = math.prod(x.shape[1:])
    if x.ndim < 2 or size % group:
        raise ShapeError(
            f"layer_norm: {size} values a sample (shape {x.shape}) do not divide into {group} "
            "groups. Check group=."
        )
    return x.reshape(x.shape[0] * group, size // group), (1,)


def _inner(name: str, parameter: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """Return a flat parameter over the normalised axes, shaped to broadcast against `x`."""
    shape = tuple(length if axis in axes else 1 for axis, length in enumerate(x.shape))
    if parameter.size != math.prod(shape):
        raise ShapeError(
            f"{name}: a parameter has {parameter.size} values but {math.prod(shape)} are "
            f"normalised together (shape {x.shape}, axes {axes}). Expected one for each."
        )
    return parameter.reshape(shape)


def _standardise(
    x: Array, axes: tuple[int, ...], epsilon: float, *, centre: bool = True
) -> tuple[Array, Array]:
    """Return (standardised values, reciprocal deviation); without `centre` the RMS form."""
    if not x.size:
        return x.copy(), np.ones([1 if axis in axes else n for axis, n in enumerate(x.shape)])
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = x - x.mean(axis=axes, keepdims=True) if centre else x
        scale = 1 / np.sqrt(np.square(deviation).mean(axis=axes, keepdims=True) + epsilon)
        return deviation * scale, scale


def layer_norm(
    x: Array,
    gamma: Array | None = None,
    beta: Array | None = None,
    *,
    axes: Sequence[int] = (-1,),
    epsilon: float,
    group: int = 1,
    rms: bool = False,
) -> Array:
    """Return `x` with mean 0 and variance 1 over `axes`, times `gamma` plus `beta`.

    Args:
        x: any float array.
        gamma, beta: flat, one value per normalised position; each may be missing.
        axes: normalised together; any axes, in any order.
        epsilon: added to the variance.
        group: above 1, `x` is seen as (batch * group, rest / group), each row is normalised, and
            `axes` is not used.
        rms: do not subtract the mean and divide by the root of the mean square.

    Raises:
        ShapeError: axes, group or parameter sizes do not fit.    DTypeError: not floating-point.
    """
    result, work = float_types("layer_norm", x, gamma, beta)
    rows, found = _grouped(x.astype(work, copy=False), axes, group)
    y, _ = _standardise(rows, found, epsilon, centre=not rms)
    if gamma is not None:
        y = y * _inner("layer_norm", gamma.astype(work, copy=False), rows, found)
    if beta is not None:
        y = y + _inner("layer_norm", beta.astype(work, copy=False), rows, found)
    shaped: Array = y.reshape(x.shape).astype(result, copy=False)
    return shaped


def layer_norm_grad(
    grad: Array,
    x: Array,
    gamma: Array | None = None,
    *,
    axes: Sequence[int] = (-1,),
    epsilon: float,
    group: int = 1,
    rms: bool = False,
) -> tuple[Array, Array, Array]:
    """Return the gradients of `layer_norm` in (x, gamma, beta), the last two flat.

    They are returned for missing parameters too: as if gamma were 1 and beta 0.
    """
    result, work = float_types("layer_norm_grad", grad, x, gamma)
    rows, found = _grouped(x.astype(work, copy=False), axes, group)
    g = grad.astype(work, copy=False).reshape(rows.shape)
    y, scale = _standardise(rows, found, epsilon, centre=not rms)
    outer = tuple(axis for axis in range(rows.ndim) if axis not in found)
    grad_gamma, grad_beta = (g * y).sum(axis=outer), g.sum(axis=outer)
    if gamma is not None:
        g = g * _inner("layer_norm_grad", gamma.astype(work, copy=False), rows, found)
    if rows.size:
        along = y * (g * y).mean(axis=found, keepdims=True)
        shift = 0 if rms else g.mean(axis=found, keepdims=True)
        g = scale * (g - along - shift)
    return (
        g.reshape(x.shape).astype(result, copy=False),
        grad_gamma.ravel().astype(result, copy=False),
        grad_beta.ravel().astype(result, copy=False),
    )


def _channel_affine(
    name: str, y: Array, scale: Array | None, bias: Array | None, layout: str
) -> Array:
    """Return y * scale + bias with one value of each per channel."""
    channels = y.shape[channel_axis(layout, y.ndim)]
    if scale is not None:
        y = y * channel_vector(name, scale.astype(y.dtype), y.ndim, channels, layout)
    if bias is not None:
        y = y + channel_vector(name, bias.astype(y.dtype), y.ndim, channels, layout)
    return y


def batch_norm(
    x: Array,
    mean: Array,
    variance: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float,
    layout: str = "NCHW",
) -> Array:
    """Return scale * (x - mean) / sqrt(variance + epsilon) + bias, all per channel.

    Raises:
        ShapeError: a parameter does not have one value per channel.
    """
    result, work = float_types("batch_norm", x, mean, variance, scale, bias)
    channels = x.shape[channel_axis(layout, x.ndim)]
    centre = channel_vector("batch_norm", mean.astype(work), x.ndim, channels, layout)
    spread = channel_vector("batch_norm", variance.astype(work), x.ndim, channels, layout)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = (x - centre) / np.sqrt(spread + work.type(epsilon))
        y = _channel_affine("batch_norm", y, scale, bias, layout)
    found: Array = y.astype(result, copy=False)
    return found


def _other_axes(x: Array, layout: str) -> tuple[int, ...]:
    channels = channel_axis(layout, x.ndim)
    return tuple(axis for axis in range(x.ndim) if axis != channels)


def batch_norm_train(
    x: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float,
    layout: str = "NCHW",
) -> tuple[Array, Array, Array]:
    """Return (x normalised per channel over the batch, batch mean, batch population variance).

    Mean and variance have shape (channels,). An empty batch has mean and variance 0.
    """
    result, work = float_types("batch_norm_train", x, scale, bias)
    axes = _other_axes(x, layout)
    source = x.astype(work, copy=False)
    mean, variance = moments(source, axes=axes)
    y, _ = _standardise(source, axes, epsilon)
    y = _channel_affine("batch_norm_train", y, scale, bias, layout)
    return (
        y.astype(result, copy=False),
        mean.astype(result, copy=False),
        variance.astype(result, copy=False),
    )


def batch_norm_train_grad(
    grad: Array,
    x: Array,
    scale: Array | None = None,
    *,
    epsilon: float,
    layout: str = "NCHW",
) -> tuple[Array, Array, Array]:
    """Return the gradients of the first result of `batch_norm_train` in (x, scale, bias)."""
    result, work = float_types("batch_norm_train_grad", grad, x, scale)
    axes = _other_axes(x, layout)
    g = grad.astype(work, copy=False)
    y, factor = _standardise(x.astype(work, copy=False), axes, epsilon)
    grad_scale, grad_bias = (g * y).sum(axis=axes), g.sum(axis=axes)
    g = _channel_affine("batch_norm_train_grad", g, scale, None, layout)
    if x.size:
        g = factor * (
            g - g.mean(axis=axes, keepdims=True) - y * (g * y).mean(axis=axes, keepdims=True)
        )
    return (
        g.astype(result, copy=False),
        grad_scale.astype(result, copy=False),
        grad_bias.astype(result, copy=False),
    )


def instance_norm(
    x: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float,
    layout: str = "NCHW",
) -> Array:
    """Return each plane of `x` with mean 0 and variance 1, times scale plus bias per channel."""
    result, work = float_types("instance_norm", x, scale, bias)
    y, _ = _standardise(x.astype(work, copy=False), spatial_axes(layout, x.ndim), epsilon)
    return _channel_affine("instance_norm", y, scale, bias, layout).astype(result, copy=False)


def group_norm(
    x: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    groups: int,
    epsilon: float,
    layout: str = "NCHW",
) -> Array:
    """Return `x` normalised over each group of neighbouring channels and their planes.

    Args:
        scale, bias: one value per channel.

    Raises:
        ShapeError: the channels do not divide into `groups`.
    """
    result, work = float_types("group_norm", x, scale, bias)
    source = channels_first(x.astype(work, copy=False), layout)
    channels = source.shape[1]
    if groups < 1 or channels % groups:
        raise ShapeError(
            f"group_norm: {channels} channels (shape {x.shape}, layout {layout}) do not divide "
            f"into {groups} groups. Check groups= and the layout."
        )
    split = source.reshape(source.shape[0], groups, channels // groups, *source.shape[2:])
    y, _ = _standardise(split, tuple(range(2, split.ndim)), epsilon)
    y = _channel_affine("group_norm", y.reshape(source.shape), scale, bias, "NCHW")
    return in_layout(y, layout).astype(result, copy=False)


def moments(x: Array, *, axes: Sequence[int], keepdims: bool = False) -> tuple[Array, Array]:
    """Return (mean, population variance) over `axes`; both are 0 where nothing is averaged.

    Raises:
        ShapeError: an axis does not exist.    DTypeError: not floating-point.
    """
    result, work = float_types("moments", x)
    found = normalised_axes("moments", axes, x.ndim)
    source = x.astype(work, copy=False)
    count = max(1, math.prod(x.shape[axis] for axis in found))
    mean = source.sum(axis=found, keepdims=True) / work.type(count)
    variance = np.square(source - mean).sum(axis=found, keepdims=True) / work.type(count)
    if not keepdims:
        mean, variance = mean.squeeze(found), variance.squeeze(found)
    return mean.astype(result, copy=False), variance.astype(result, copy=False)
