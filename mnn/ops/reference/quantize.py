"""Quantisation: codes and real numbers, integer convolution, and training with rounded values.

A code q stands for (q - zero) * step. Rounding is half away from zero. Steps and zeros are single
numbers or one per channel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnn.errors import DTypeError
from mnn.ops.reference.conv import conv
from mnn.ops.reference.layout import channel_axis, channel_vector
from mnn.ops.reference.precision import Array, DType, float_types
from mnn.ops.reference.rounding import round_half_away
from mnn.ops.reference.window_shapes import Pads

__all__ = [
    "conv_int8",
    "dynamic_quantize",
    "fake_quantize",
    "fake_quantize_grad",
    "float_to_int8",
    "int8_to_float",
    "requantize",
]

Parameter = Array | float


def _spread(name: str, value: Parameter, x: Array, layout: str, dtype: DType) -> Array:
    """Return a parameter, one number or one per channel, shaped to broadcast against `x`."""
    vector = np.asarray(value, dtype)
    if vector.size == 1:
        return vector.reshape(())
    channels = x.shape[channel_axis(layout, x.ndim)]
    return channel_vector(name, vector, x.ndim, channels, layout)


def _check_codes(name: str, x: Array) -> None:
    if x.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: found dtype {x.dtype}, expected integer codes. Quantise with float_to_int8."
        )


def _int8(values: Array, minimum: int, maximum: int) -> Array:
    """Return rounded and clipped int8 codes; NaN becomes 0."""
    rounded = np.clip(round_half_away(values), minimum, maximum)
    return np.where(np.isnan(rounded), 0, rounded).astype(np.int8)


def float_to_int8(
    x: Array,
    inverse_step: Parameter,
    zero: Parameter = 0,
    *,
    minimum: int = -127,
    maximum: int = 127,
    layout: str = "NCHW",
) -> Array:
    """Return int8 codes clip(round(x * inverse_step + zero), minimum, maximum).

    Args:
        inverse_step: the reciprocal of the step, as `.mnn` files store it (`tensorScale`).
        zero: the code of 0.

    Raises:
        DTypeError: `x` is not floating-point.    ShapeError: not one parameter per channel.
    """
    _, work = float_types("float_to_int8", x)
    factor = _spread("float_to_int8", inverse_step, x, layout, work)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = x.astype(work, copy=False) * factor
        shifted = scaled + _spread("float_to_int8", zero, x, layout, work)
        return _int8(shifted, minimum, maximum)


def int8_to_float(
    codes: Array,
    step: Parameter,
    zero: Parameter = 0,
    *,
    layout: str = "NCHW",
) -> Array:
    """Return (codes - zero) * step as float32.

    Raises:
        DTypeError: the codes are not integers.    ShapeError: not one parameter per channel.
    """
    _check_codes("int8_to_float", codes)
    work = np.dtype(np.float32)
    shifted = codes.astype(work) - _spread("int8_to_float", zero, codes, layout, work)
    result: Array = shifted * _spread("int8_to_float", step, codes, layout, work)
    return result


def dynamic_quantize(x: Array) -> tuple[Array, Array, Array]:
    """Return (int8 codes, step, zero) that spread the range of `x` over all 256 codes.

    step = (max - min) / 255 and zero = round(-min / step) - 128, both float32 of shape (1,). When
    all values are equal, step is their size (1 for zeros) and zero is 0, which is exact.
    """
    float_types("dynamic_quantize", x)
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    if high > low:
        step = np.float32((high - low) / 255)
        zero = round_half_away(np.asarray(-low * 255 / (high - low), np.float32)) - np.float32(128)
    else:
        step, zero = np.float32(abs(low) or 1), np.zeros((), np.float32)
    work = np.promote_types(x.dtype, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        codes = _int8(x.astype(work, copy=False) / step + zero, -128, 127)
    return codes, np.asarray([step], np.float32), np.asarray([zero], np.float32)


def requantize(
    accumulator: Array,
    multiplier: Parameter,
    zero: Parameter = 0,
    *,
    minimum: int = -127,
    maximum: int = 127,
    layout: str = "NCHW",
) -> Array:
    """Return int8 codes clip(round(accumulator * multiplier + zero), minimum, maximum).

    Args:
        accumulator: integer sums, such as int32 of an integer convolution.
        multiplier: step of the sums divided by step of the result.
    """
    _check_codes("requantize", accumulator)
    work = np.dtype(np.float64)
    scaled = accumulator.astype(work) * _spread("requantize", multiplier, accumulator, layout, work)
    shifted = scaled + _spread("requantize", zero, accumulator, layout, work)
    return _int8(shifted, minimum, maximum)


def conv_int8(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    input_step: float,
    input_zero: float,
    weight_step: Parameter,
    output_step: float,
    output_zero: float,
    low: float | None = None,
    high: float | None = None,
    minimum: int = -127,
    maximum: int = 127,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    groups: int = 1,
    layout: str = "NCHW",
) -> Array:
    """Return the int8 codes of a convolution of codes.

    y = clip(round(clip(sum((x - input_zero) * input_step * weight * weight_step) + bias, low, high)
    / output_step + output_zero), minimum, maximum). Sums are exact; padding stands for the real 0.

    Args:
        x: int8 codes.
        weight: integer codes, (out_channels, channels / groups, kernel...).
        bias: real numbers, one per output channel.
        weight_step: one number, or one per output channel.
        low, high: bounds of the real result, such as 0 and None for ReLU, 0 and 6 for ReLU6.
        stride, dilation, pads, mode, groups, layout: as for `conv`.

    Raises:
        DTypeError: `x` or `weight` holds no integers.    ShapeError: shapes do not fit.
    """
    _check_codes("conv_int8", x)
    _check_codes("conv_int8", weight)
    # A sum of products of 8-bit numbers is exact in float32 up to 2^24, in float64 beyond need.
    short = math.prod(weight.shape[1:]) * 256 * 128 <= 1 << 24
    narrow = x.dtype.itemsize == 1 and weight.dtype.itemsize == 1 and float(input_zero).is_integer()
    exact = np.float32 if short and narrow and abs(input_zero) <= 128 else np.float64
    sums = conv(
        x.astype(exact) - exact(input_zero),
        weight.astype(exact),
        stride=stride,
        dilation=dilation,
        pads=pads,
        mode=mode,
        groups=groups,
        layout=layout,
    ).astype(np.float64)
    wide = np.dtype(np.float64)
    real = sums * (_spread("conv_int8", weight_step, sums, layout, wide) * input_step)
    if bias is not None:
        real = real + _spread("conv_int8", bias, sums, layout, wide)
    if low is not None or high is not None:
        real = np.clip(real, low, high)
    return _int8(real / output_step + output_zero, minimum, maximum)


def fake_quantize(
    x: Array,
    step: Parameter,
    zero: Parameter = 0,
    *,
    minimum: int = -127,
    maximum: int = 127,
    layout: str = "NCHW",
) -> Array:
    """Return `x` rounded to what its code can express, in its own dtype.

    (clip(round(x / step + zero), minimum, maximum) - zero) * step; NaN stays NaN.
    """
    result, work = float_types("fake_quantize", x)
    width = _spread("fake_quantize", step, x, layout, work)
    origin = _spread("fake_quantize", zero, x, layout, work)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        codes = np.clip(round_half_away(x / width + origin), minimum, maximum)
        return ((codes - origin) * width).astype(result, copy=False)


def fake_quantize_grad(
    grad: Array,
    x: Array,
    step: Parameter,
    zero: Parameter = 0,
    *,
    minimum: int = -127,
    maximum: int = 127,
    layout: str = "NCHW",
) -> Array:
    """Return the straight-through gradient in `x`: `grad` where the code was not clipped, else 0.

    Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons" (2013).
    """
    result, work = float_types("fake_quantize_grad", grad, x)
    width = _spread("fake_quantize_grad", step, x, layout, work)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        codes = round_half_away(x / width + _spread("fake_quantize_grad", zero, x, layout, work))
    inside = (codes >= minimum) & (codes <= maximum)
    return np.where(inside, grad, 0).astype(result, copy=False)
