"""Convolution, transposed convolution and their gradients, of any spatial rank.

One identity carries the file: with y = conv(x, w), the input gradient scatters, the weight gradient
correlates, and the transposed convolution IS the input gradient with its arguments renamed
(Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016).
Weights are (out_channels, in_channels / groups, kernel...) for `conv` and
(in_channels, out_channels / groups, kernel...) for `conv_transpose`, whatever the layout. Pairs are
in axis order. A depthwise convolution is one with as many groups as channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from mnn.errors import ShapeError
from mnn.ops.reference.correlation import Geometry, correlate, correlate_weight, scatter
from mnn.ops.reference.layout import channels_first, in_layout, split_shape
from mnn.ops.reference.precision import Array, float_types
from mnn.ops.reference.window_shapes import (
    Pads,
    conv_padding,
    conv_shape,
    conv_transpose_shape,
    transposed_crop,
)

__all__ = [
    "conv",
    "conv_input_grad",
    "conv_transpose",
    "conv_transpose_input_grad",
    "conv_transpose_weight_grad",
    "conv_weight_grad",
]


def _add_bias(name: str, result: Array, bias: Array | None) -> Array:
    """Add one number per channel to a channels-first result, in place."""
    if bias is None:
        return result
    if bias.size != result.shape[1]:
        raise ShapeError(
            f"{name}: bias has {bias.size} values for {result.shape[1]} output channels. "
            "Expected one for each."
        )
    result += bias.reshape(-1, *[1] * (result.ndim - 2))
    return result


def _conv_geometry(
    lengths: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str,
    groups: int,
) -> Geometry:
    begins = tuple(
        conv_padding(length, size, stride=step, dilation=gap, pads=pad, mode=mode)[0]
        for length, size, step, gap, pad in zip(
            lengths, kernel, stride, dilation, pads, strict=True
        )
    )
    return Geometry(tuple(stride), tuple(dilation), begins, groups)


def _transposed_geometry(
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str,
    groups: int,
) -> Geometry:
    begins = tuple(
        transposed_crop(size, stride=step, dilation=gap, pads=pad, mode=mode)
        for size, step, gap, pad in zip(kernel, stride, dilation, pads, strict=True)
    )
    return Geometry(tuple(stride), tuple(dilation), begins, groups)


def _check_grad(name: str, grad: Array, expected: tuple[int, ...]) -> None:
    if grad.shape != expected:
        raise ShapeError(
            f"{name}: the gradient has shape {grad.shape}, expected {expected}, the shape of the "
            "forward result. Check that the attributes are those of the forward call."
        )


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    """Return the convolution (cross-correlation) of `x` with `weight`, plus `bias`.

    Args:
        x: (batch, channels, lengths...) in the order of `layout`, any number of spatial axes.
        weight: (out_channels, channels / groups, kernel...).
        bias: one number per output channel.
        stride, dilation: one number per spatial axis.
        pads: (begin, end) zeros per spatial axis; used in CAFFE mode.
        mode: CAFFE, VALID or SAME; see `window_shapes`.

    Returns:
        Shape of `conv_shape`; float16 is summed in float32.

    Raises:
        ShapeError: shapes do not fit.    DTypeError: an operand is not floating-point.
    """
    result, work = float_types("conv", x, weight, bias)
    shape = conv_shape(
        x.shape,
        weight.shape,
        stride=stride,
        dilation=dilation,
        pads=pads,
        mode=mode,
        groups=groups,
        layout=layout,
    )
    source = channels_first(x, layout).astype(work, copy=False)
    geometry = _conv_geometry(
        source.shape[2:], weight.shape[2:], stride, dilation, pads, mode, groups
    )
    counts = split_shape(shape, layout)[2]
    found = correlate(source, weight.astype(work, copy=False), geometry, counts)
    return in_layout(_add_bias("conv", found, bias), layout).astype(result, copy=False)


def conv_input_grad(
    grad: Array,
    weight: Array,
    *,
    input_shape: tuple[int, ...],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of `conv` in `x`, given `grad` at its result.

    Args:
        grad: gradient at the result, in its shape.
        weight: as given to `conv`, like the other attributes.
        input_shape: shape of `x`.

    Raises:
        ShapeError: `grad` does not have the shape of the result.
    """
    result, work = float_types("conv_input_grad", grad, weight)
    expected = conv_shape(
        input_shape,
        weight.shape,
        stride=stride,
        dilation=dilation,
        pads=pads,
        mode=mode,
        groups=groups,
        layout=layout,
        name="conv_input_grad",
    )
    _check_grad("conv_input_grad", grad, expected)
    lengths = split_shape(input_shape, layout)[2]
    geometry = _conv_geometry(lengths, weight.shape[2:], stride, dilation, pads, mode, groups)
    source = channels_first(grad, layout).astype(work, copy=False)
    found = scatter(source, weight.astype(work, copy=False), geometry, lengths)
    return in_layout(found, layout).astype(result, copy=False)


def conv_weight_grad(
    grad: Array,
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of `conv` in `weight`: (out_channels, channels / groups, kernel...).

    The gradient in `bias` is the sum of `grad` over all axes but the channels.

    Raises:
        ShapeError: `grad` does not have the shape of the result.
    """
    result, work = float_types("conv_weight_grad", grad, x)
    out_channels = split_shape(grad.shape, layout)[1]
    channels = split_shape(x.shape, layout)[1]
    expected = conv_shape(
        x.shape,
        (out_channels, channels // groups, *kernel),
        stride=stride,
        dilation=dilation,
        pads=pads,
        mode=mode,
        groups=groups,
        layout=layout,
        name="conv_weight_grad",
    )
    _check_grad("conv_weight_grad", grad, expected)
    source = channels_first(x, layout).astype(work, copy=False)
    geometry = _conv_geometry(source.shape[2:], kernel, stride, dilation, pads, mode, groups)
    values = channels_first(grad, layout).astype(work, copy=False)
    return correlate_weight(values, source, geometry, kernel).astype(result, copy=False)


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    output_padding: Sequence[int],
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
    output_lengths: Sequence[int] | None = None,
) -> Array:
    """Return the transposed convolution: every input value lays a scaled copy of the kernel.

    Args:
        x: (batch, channels, lengths...) in the order of `layout`.
        weight: (channels, out_channels / groups, kernel...).
        bias: one number per output channel.
        pads: (begin, end) positions cut off the full result per spatial axis.
        output_padding: positions added at the end per spatial axis.
        output_lengths: spatial lengths that replace the computed ones; the cut at the front stays.

    Raises:
        ShapeError: shapes do not fit.    DTypeError: an operand is not floating-point.
    """
    result, work = float_types("conv_transpose", x, weight, bias)
    shape = conv_transpose_shape(
        x.shape,
        weight.shape,
        stride=stride,
        dilation=dilation,
        pads=pads,
        output_padding=output_padding,
        mode=mode,
        groups=groups,
        layout=layout,
        output_lengths=output_lengths,
    )
    geometry = _transposed_geometry(weight.shape[2:], stride, dilation, pads, mode, groups)
    source = channels_first(x, layout).astype(work, copy=False)
    found = scatter(
        source, weight.astype(work, copy=False), geometry, split_shape(shape, layout)[2]
    )
    return in_layout(_add_bias("conv_transpose", found, bias), layout).astype(result, copy=False)


def _check_transposed_grad(
    name: str, grad: Array, input_shape: tuple[int, ...], weight_shape: tuple[int, ...], layout: str
) -> None:
    found = split_shape(grad.shape, layout)[:2]
    expected = (input_shape[0], weight_shape[1])
    if found != expected or grad.ndim != len(input_shape):
        raise ShapeError(
            f"{name}: the gradient has shape {grad.shape}, expected {expected[0]} samples of "
            f"{expected[1]} channels and {len(input_shape)} axes. Check layout= and groups=."
        )


def conv_transpose_input_grad(
    grad: Array,
    weight: Array,
    *,
    input_shape: tuple[int, ...],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of `conv_transpose` in `x`, given `grad` at its result.

    Raises:
        ShapeError: batch or channels of `grad` do not fit.
    """
    name = "conv_transpose_input_grad"
    result, work = float_types(name, grad, weight)
    out_channels = (0, weight.shape[1] * groups)
    _check_transposed_grad(name, grad, input_shape, out_channels, layout)
    geometry = _transposed_geometry(weight.shape[2:], stride, dilation, pads, mode, groups)
    source = channels_first(grad, layout).astype(work, copy=False)
    counts = split_shape(input_shape, layout)[2]
    found = correlate(source, weight.astype(work, copy=False), geometry, counts)
    return in_layout(found, layout).astype(result, copy=False)


def conv_transpose_weight_grad(
    grad: Array,
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    """Return the gradient of `conv_transpose` in `weight`: (channels, out / groups, kernel...).

    Raises:
        ShapeError: batch or channels of `grad` do not fit.
    """
    name = "conv_transpose_weight_grad"
    result, work = float_types(name, grad, x)
    out_channels = split_shape(grad.shape, layout)[1]
    _check_transposed_grad(name, grad, x.shape, (0, out_channels - out_channels % groups), layout)
    geometry = _transposed_geometry(kernel, stride, dilation, pads, mode, groups)
    values = channels_first(x, layout).astype(work, copy=False)
    source = channels_first(grad, layout).astype(work, copy=False)
    return correlate_weight(values, source, geometry, kernel).astype(result, copy=False)
