"""Codes against exact arithmetic with fractions, integer convolution against loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference import quantize
from mnn.ops.reference.layout import in_layout
from mnn.ops.reference.rounding import round_half_away

Array = np.ndarray[Any, Any]


def _round(value: Fraction) -> int:
    """Return the nearest integer, halves away from zero."""
    size = math.floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6, width=32))
def test_rounding_is_exact(value: float) -> None:
    assert round_half_away(np.float32([value]))[0] == _round(Fraction(value))


def test_rounding_near_halves_and_special_values() -> None:
    below = np.nextafter(np.float32(0.5), np.float32(0))
    x = np.array([0.5, -0.5, 1.5, 2.5, -2.5, below, -below, np.inf, -np.inf, 2.0**60], np.float32)
    expected = np.array([1, -1, 2, 3, -3, 0, 0, np.inf, -np.inf, 2.0**60], np.float32)
    np.testing.assert_array_equal(round_half_away(x), expected)
    assert np.isnan(round_half_away(np.float32([np.nan]))).all()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-2000, 2000), min_size=1, max_size=8),
    st.integers(-6, 3),
    st.integers(-20, 20),
)
def test_codes_against_fractions(values: list[int], power: int, zero: int) -> None:
    x = (np.array(values) / 8).astype(np.float32)
    step = Fraction(2) ** power
    codes = quantize.float_to_int8(x, float(1 / step), zero, minimum=-128, maximum=127)
    expected = [min(127, max(-128, _round(Fraction(v, 8) / step + zero))) for v in values]
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, expected)
    back = quantize.int8_to_float(codes, float(step), zero)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, [float((c - zero) * step) for c in expected])
    faked = quantize.fake_quantize(x, float(step), zero, minimum=-128, maximum=127)
    np.testing.assert_array_equal(faked, back)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_steps_per_channel(layout: str) -> None:
    x = in_layout(np.arange(-12, 12, dtype=np.float32).reshape(2, 3, 2, 2), layout)
    step, zero = np.float32([0.5, 1, 2]), np.float32([0, 3, -3])
    codes = quantize.float_to_int8(x, 1 / step, zero, layout=layout)
    back = quantize.int8_to_float(codes, step, zero, layout=layout)
    error = np.moveaxis(np.abs(back - x), 1 if layout == "NCHW" else 3, 0).reshape(3, -1).max(1)
    np.testing.assert_array_equal(error, [0, 0, 1])
    with pytest.raises(ShapeError, match="2 values per channel for 3"):
        quantize.float_to_int8(x, step[:2], layout=layout)


def test_special_values_become_codes() -> None:
    x = np.array([np.inf, -np.inf, np.nan, 1e30], np.float32)
    np.testing.assert_array_equal(quantize.float_to_int8(x, 1.0), [127, -127, 0, 127])
    assert np.isnan(quantize.fake_quantize(x, 1.0)[2])


def test_dynamic_quantize() -> None:
    x = np.float32([-1.0, 0.0, 0.3, 4.1])
    codes, step, zero = quantize.dynamic_quantize(x)
    assert (step.shape, zero.shape) == ((1,), (1,))
    assert step.dtype == zero.dtype == np.float32
    np.testing.assert_allclose(step, 5.1 / 255, rtol=1e-6)
    assert zero[0] == round(255 / 5.1) - 128
    assert (codes.min(), codes.max()) == (-128, 127)
    np.testing.assert_allclose(quantize.int8_to_float(codes, step, zero), x, atol=0.51 * step[0])
    for value in (0.0, 3.5, -2.0):
        same = quantize.dynamic_quantize(np.full(3, value, np.float32))
        np.testing.assert_array_equal(quantize.int8_to_float(*same), np.full(3, value))
    codes, _, _ = quantize.dynamic_quantize(np.zeros((0, 2), np.float32))
    assert codes.shape == (0, 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 2), st.sampled_from(["NCHW", "NHWC"]), st.booleans())
def test_conv_int8_against_fractions(seed: int, groups: int, layout: str, relu: bool) -> None:
    random = np.random.default_rng(seed)
    x = random.integers(-127, 128, (1, 2 * groups, 3, 3)).astype(np.int8)
    weight = random.integers(-127, 128, (2 * groups, 2, 2, 2)).astype(np.int8)
    bias = (random.integers(-500, 500, 2 * groups) / 16).astype(np.float32)
    alpha = (2.0 ** -random.integers(3, 8, 2 * groups)).astype(np.float32)
    found = quantize.conv_int8(
        in_layout(x, layout),
        weight,
        bias,
        input_step=0.125,
        input_zero=5,
        weight_step=alpha,
        output_step=4.0,
        output_zero=-7,
        low=0.0 if relu else None,
        stride=(1, 1),
        dilation=(1, 1),
        pads=((1, 0), (0, 1)),
        groups=groups,
        layout=layout,
    )
    assert found.dtype == np.int8
    found = found if layout == "NCHW" else np.moveaxis(found, -1, 1)
    assert found.shape == (1, 2 * groups, 3, 3)
    for _, out, y, at in np.ndindex(found.shape):
        total = 0
        for c, ky, kx in np.ndindex(2, 2, 2):
            row, column = y - 1 + ky, at + kx
            if 0 <= row < 3 and 0 <= column < 3:
                code = int(x[0, out // 2 * 2 + c, row, column])
                total += (code - 5) * int(weight[out, c, ky, kx])
        real = total * Fraction(1, 8) * Fraction(float(alpha[out])) + Fraction(float(bias[out]))
        real = max(real, Fraction(0)) if relu else real
        expected = min(127, max(-127, _round(real / 4 - 7)))
        assert found[0, out, y, at] == expected


def test_long_integer_sums_are_exact() -> None:
    x = np.full((1, 4096, 1, 1), 127, np.int8)
    weight = np.full((1, 4096, 1, 1), 127, np.int8)
    weight[0, 0] = 126
    total = 4096 * 127 * 127 - 127
    found = quantize.conv_int8(
        x,
        weight,
        np.float64([-total + 3]),
        input_step=1.0,
        input_zero=0,
        weight_step=1.0,
        output_step=1.0,
        output_zero=0,
        stride=(1, 1),
        dilation=(1, 1),
        pads=((0, 0), (0, 0)),
    )
    assert found.item() == 3


def test_requantize_rounds_and_clips() -> None:
    sums = np.array([[[3, -3, 5, 10000]]], np.int32)
    found = quantize.requantize(sums, 0.5, 1, maximum=100)
    np.testing.assert_array_equal(found, [[[3, -1, 4, 100]]])


def test_fake_quantize_gradient(assert_gradient: Callable[..., None]) -> None:
    x = np.array([-300.0, -3.2, 0.4, 126.9, 128.2])
    grad = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = quantize.fake_quantize_grad(grad, x, 1.0)
    np.testing.assert_array_equal(found, [0, 2, 3, 4, 0])
    # Straight through: the gradient of clipping alone.
    assert_gradient(lambda x: np.clip(x, -127.0, 127.0), [x], [found], grad)


def test_bad_operands() -> None:
    with pytest.raises(DTypeError, match="int64"):
        quantize.float_to_int8(np.zeros(3, np.int64), 1.0)
    with pytest.raises(DTypeError, match="expected integer codes"):
        quantize.int8_to_float(np.zeros(3), 1.0)
    with pytest.raises(DTypeError, match="expected integer codes"):
        quantize.requantize(np.zeros(3), 1.0)
