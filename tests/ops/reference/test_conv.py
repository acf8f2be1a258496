"""Convolutions against loops over every product, and gradients as adjoints and differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference import conv as reference
from mnn.ops.reference import patches
from mnn.ops.reference.layout import in_layout

Array = np.ndarray[Any, Any]


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the sizes of a convolution that fits."""
    rank = draw(st.integers(1, 3))
    numbers = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    kernel, stride, dilation = numbers(1, 3), numbers(1, 3), numbers(1, 2)
    pads = tuple(zip(numbers(-1, 2), numbers(-1, 2), strict=True))
    lengths = tuple(
        gap * (size - 1) + 1 + draw(st.integers(0, 3)) - min(0, begin) - min(0, end)
        for gap, size, (begin, end) in zip(dilation, kernel, pads, strict=True)
    )
    return {
        "batch": draw(st.integers(0, 3)),
        "groups": draw(st.integers(1, 3)),
        "inner": draw(st.integers(1, 2)),
        "outer": draw(st.integers(1, 2)),
        "lengths": lengths,
        "kernel": kernel,
        "layout": draw(st.sampled_from(["NCHW", "NHWC"])),
        "attributes": {"stride": stride, "dilation": dilation, "pads": pads},
    }


def _operands(problem: dict[str, Any], *, transposed: bool) -> tuple[Array, Array, Array]:
    """Return channels-first input, weight and bias."""
    random = np.random.default_rng(0)
    groups, inner, outer = problem["groups"], problem["inner"], problem["outer"]
    x = random.standard_normal((problem["batch"], groups * inner, *problem["lengths"]))
    shape = (groups * inner, outer) if transposed else (groups * outer, inner)
    weight = random.standard_normal((*shape, *problem["kernel"]))
    return x, weight, random.standard_normal(groups * outer)


def _pairs(problem: dict[str, Any], counts: tuple[int, ...]) -> Any:
    """Yield (window, tap, position on the long side)."""
    rules = problem["attributes"]
    for window in np.ndindex(*counts):
        for tap in np.ndindex(*problem["kernel"]):
            yield (
                window,
                tap,
                tuple(
                    at * step - pad[0] + offset * gap
                    for at, step, pad, offset, gap in zip(
                        window, rules["stride"], rules["pads"], tap, rules["dilation"], strict=True
                    )
                ),
            )


def _inside(position: tuple[int, ...], lengths: tuple[int, ...]) -> bool:
    return all(0 <= at < length for at, length in zip(position, lengths, strict=True))


@settings(max_examples=60, deadline=None)
@given(problems())
def test_conv_against_loops(problem: dict[str, Any]) -> None:
    x, weight, bias = _operands(problem, transposed=False)
    inner, outer, layout = problem["inner"], problem["outer"], problem["layout"]
    common = {**problem["attributes"], "groups": problem["groups"], "layout": layout}
    found = reference.conv(in_layout(x, layout), weight, bias, **common)
    y = found if layout == "NCHW" else np.moveaxis(found, -1, 1)
    expected = np.zeros_like(y) + bias.reshape(-1, *[1] * len(problem["lengths"]))
    for window, tap, position in _pairs(problem, y.shape[2:]):
        if _inside(position, problem["lengths"]):
            for out in range(weight.shape[0]):
                first = out // outer * inner
                values = x[(slice(None), slice(first, first + inner), *position)]
                expected[(slice(None), out, *window)] += values @ weight[(out, slice(None), *tap)]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(0, 2))
def test_conv_transpose_against_loops(problem: dict[str, Any], extra: int) -> None:
    x, weight, bias = _operands(problem, transposed=True)
    inner, outer, layout = problem["inner"], problem["outer"], problem["layout"]
    padding = (extra,) * len(problem["lengths"])
    common = {**problem["attributes"], "groups": problem["groups"], "layout": layout}
    fits = [
        (n - 1) * s + (k - 1) * d + 1 + extra >= sum(p)
        for n, k, s, d, p in zip(
            problem["lengths"], problem["kernel"], *problem["attributes"].values(), strict=True
        )
    ]
    assume(all(fits))
    found = reference.conv_transpose(
        in_layout(x, layout), weight, bias, output_padding=padding, **common
    )
    y = found if layout == "NCHW" else np.moveaxis(found, -1, 1)
    expected = np.zeros_like(y) + bias.reshape(-1, *[1] * len(padding))
    for window, tap, position in _pairs(problem, problem["lengths"]):
        if _inside(position, y.shape[2:]):
            for channel in range(x.shape[1]):
                first = channel // inner * outer
                values = x[(slice(None), channel, *window)]
                expected[(slice(None), slice(first, first + outer), *position)] += np.outer(
                    values, weight[(channel, slice(None), *tap)]
                )
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_conv_gradients_are_adjoints(problem: dict[str, Any]) -> None:
    x, weight, _ = _operands(problem, transposed=False)
    layout = problem["layout"]
    x = in_layout(x, layout)
    common = {**problem["attributes"], "groups": problem["groups"], "layout": layout}
    y = reference.conv(x, weight, **common)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    grad_x = reference.conv_input_grad(grad, weight, input_shape=x.shape, **common)
    grad_w = reference.conv_weight_grad(grad, x, kernel=problem["kernel"], **common)
    assert (grad_x.shape, grad_w.shape) == (x.shape, weight.shape)
    np.testing.assert_allclose((grad_x * x).sum(), (grad * y).sum(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((grad_w * weight).sum(), (grad * y).sum(), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from(["CAFFE", "SAME"]))
def test_conv_transpose_gradients_are_adjoints(problem: dict[str, Any], mode: str) -> None:
    x, weight, _ = _operands(problem, transposed=True)
    layout = problem["layout"]
    x = in_layout(x, layout)
    common = {**problem["attributes"], "groups": problem["groups"], "layout": layout, "mode": mode}
    lengths = tuple(length + 2 for length in problem["lengths"])
    y = reference.conv_transpose(
        x, weight, output_padding=(0,) * len(lengths), output_lengths=lengths, **common
    )
    grad = np.random.default_rng(1).standard_normal(y.shape)
    grad_x = reference.conv_transpose_input_grad(grad, weight, input_shape=x.shape, **common)
    grad_w = reference.conv_transpose_weight_grad(grad, x, kernel=problem["kernel"], **common)
    assert (grad_x.shape, grad_w.shape) == (x.shape, weight.shape)
    np.testing.assert_allclose((grad_x * x).sum(), (grad * y).sum(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((grad_w * weight).sum(), (grad * y).sum(), rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_same_transposed_conv_is_the_adjoint_of_same_conv(problem: dict[str, Any]) -> None:
    x, weight, _ = _operands(problem, transposed=True)
    common = {**problem["attributes"], "groups": problem["groups"], "mode": "SAME"}
    y = reference.conv_transpose(x, weight, output_padding=(0,) * len(problem["kernel"]), **common)
    wide = np.random.default_rng(1).standard_normal(y.shape)
    back = reference.conv(wide, weight, **common)
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (wide * y).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_gradients_equal_differences(layout: str, assert_gradient: Callable[..., None]) -> None:
    random = np.random.default_rng(2)
    x = in_layout(random.standard_normal((2, 4, 5, 4)), layout)
    common: dict[str, Any] = {
        "stride": (2, 1),
        "dilation": (1, 2),
        "pads": ((1, 0), (2, 1)),
        "groups": 2,
        "layout": layout,
    }
    weight = random.standard_normal((2, 2, 3, 2))
    seed = random.standard_normal(reference.conv(x, weight, **common).shape)
    found = [
        reference.conv_input_grad(seed, weight, input_shape=x.shape, **common),
        reference.conv_weight_grad(seed, x, kernel=(3, 2), **common),
    ]
    assert_gradient(lambda x, w: reference.conv(x, w, **common), [x, weight], found, seed)

    weight = random.standard_normal((4, 1, 3, 2))
    forward = lambda x, w: reference.conv_transpose(x, w, output_padding=(1, 0), **common)  # noqa: E731
    seed = random.standard_normal(forward(x, weight).shape)
    found = [
        reference.conv_transpose_input_grad(seed, weight, input_shape=x.shape, **common),
        reference.conv_transpose_weight_grad(seed, x, kernel=(3, 2), **common),
    ]
    assert_gradient(forward, [x, weight], found, seed)


@pytest.mark.parametrize("budget", [1, 1500, 20000])
def test_pieces_do_not_change_the_result(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    x, weight = random.standard_normal((3, 4, 9, 7)), random.standard_normal((6, 2, 3, 3))
    common: dict[str, Any] = {
        "stride": (2, 1),
        "dilation": (1, 1),
        "pads": ((1, 1), (0, 2)),
        "groups": 2,
    }

    def results() -> list[Array]:
        y = reference.conv(x, weight, **common)
        return [
            y,
            reference.conv_input_grad(y, weight, input_shape=x.shape, **common),
            reference.conv_weight_grad(y, x, kernel=(3, 3), **common),
        ]

    whole = results()
    monkeypatch.setattr(patches, "_BLOCK_BYTES", budget)
    for found, expected in zip(results(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


PLAIN: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0))}


def test_valid_mode_ignores_pads_and_same_keeps_the_size() -> None:
    x, weight = np.ones((1, 1, 5, 6)), np.ones((1, 1, 3, 3))
    call = {**PLAIN, "pads": ((1, 1), (1, 1))}
    assert reference.conv(x, weight, **call, mode="VALID").shape == (1, 1, 3, 4)
    same = reference.conv(x, weight, **call, mode="SAME")
    np.testing.assert_array_equal(same, reference.conv(x, weight, **call))


def test_dtypes() -> None:
    random = np.random.default_rng(4)
    x = random.standard_normal((1, 64, 9, 9))
    weight = random.standard_normal((2, 64, 3, 3))
    exact = reference.conv(x, weight, **PLAIN)
    assert exact.dtype == np.float64
    half = reference.conv(x.astype(np.float16), weight.astype(np.float16), **PLAIN)
    assert half.dtype == np.float16
    # One rounding of the operands (2^-11 each, 576 products) and one of the result.
    assert np.abs(half - exact).max() < 0.1
    mixed = reference.conv(x.astype(np.float32), weight, **PLAIN)
    assert mixed.dtype == np.float64
    with pytest.raises(DTypeError, match="int32"):
        reference.conv(x.astype(np.int32), weight, **PLAIN)


def test_float16_sums_in_float32() -> None:
    x = np.full((1, 4096, 1, 1), 1.0, np.float16)
    weight = np.full((1, 4096, 1, 1), 1.0, np.float16)
    assert reference.conv(x, weight, **PLAIN).item() == 4096


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 3, 0, 5), (2, 3, 5, 0)])
def test_empty_inputs(shape: tuple[int, ...]) -> None:
    x, weight = np.zeros(shape, np.float32), np.ones((4, 3, 3, 3), np.float32)
    y = reference.conv(x, weight, np.ones(4, np.float32), **PLAIN)
    assert y.shape == (shape[0], 4, *(max(0, n - 2) for n in shape[2:]))
    assert reference.conv_input_grad(y, weight, input_shape=shape, **PLAIN).shape == shape
    grad = reference.conv_weight_grad(y, x, kernel=(3, 3), **PLAIN)
    np.testing.assert_array_equal(grad, np.zeros_like(weight))
    back = reference.conv_transpose(
        x, np.ones((3, 4, 3, 3), np.float32), output_padding=(0, 0), **PLAIN
    )
    assert back.shape == (shape[0], 4, *(n + 2 if n else 0 for n in shape[2:]))


def test_no_input_channels_leaves_the_bias() -> None:
    y = reference.conv(np.zeros((2, 0, 4, 4)), np.zeros((3, 0, 3, 3)), np.arange(3.0), **PLAIN)
    np.testing.assert_array_equal(y[:, :, 0, 0], [[0, 1, 2]] * 2)
    assert y.shape == (2, 3, 2, 2)


def test_bad_operands() -> None:
    x, weight = np.zeros((1, 3, 5, 5)), np.zeros((4, 3, 3, 3))
    with pytest.raises(ShapeError, match="bias has 3 values for 4"):
        reference.conv(x, weight, np.zeros(3), **PLAIN)
    with pytest.raises(ShapeError, match=r"expected \(1, 4, 3, 3\)"):
        reference.conv_input_grad(np.zeros((1, 4, 5, 5)), weight, input_shape=x.shape, **PLAIN)
    with pytest.raises(ShapeError, match=r"expected \(1, 4, 3, 3\)"):
        reference.conv_weight_grad(np.zeros((1, 4, 5, 5)), x, kernel=(3, 3), **PLAIN)
    with pytest.raises(ShapeError, match="samples of 3 channels"):
        reference.conv_transpose_input_grad(x[:, :2], weight, input_shape=x.shape, **PLAIN)


def test_im2col_orders_channels_then_taps() -> None:
    x = np.random.default_rng(5).standard_normal((2, 3, 4, 5))
    rules: dict[str, Any] = {"stride": (2, 1), "dilation": (1, 2), "pads": ((1, 0), (0, 1))}
    columns = patches.im2col(x, kernel=(2, 3), **rules)
    assert columns.shape == (3 * 2 * 3, 2 * 2 * 2)
    for c, ky, kx in itertools.product(range(3), range(2), range(3)):
        for n, oy, ox in itertools.product(range(2), range(2), range(2)):
            y, at = oy * 2 - 1 + ky, ox + 2 * kx
            expected = x[n, c, y, at] if 0 <= y < 4 and at < 5 else 0
            assert columns[(c * 2 + ky) * 3 + kx, (n * 2 + oy) * 2 + ox] == expected
    last = patches.im2col(np.moveaxis(x, 1, -1), kernel=(2, 3), layout="NHWC", **rules)
    np.testing.assert_array_equal(last, columns)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_col2im_is_the_adjoint_of_im2col(layout: str) -> None:
    random = np.random.default_rng(6)
    x = random.standard_normal((1, 3, 4, 5))
    rules: dict[str, Any] = {"stride": (2, 1), "dilation": (1, 2), "pads": ((1, 0), (0, 1))}
    columns = patches.im2col(x, kernel=(2, 3), **rules)
    grad = random.standard_normal(columns.shape)
    back = patches.col2im(grad, lengths=(4, 5), kernel=(2, 3), layout=layout, **rules)
    back = back if layout == "NCHW" else np.moveaxis(back, -1, 1)
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (grad * columns).sum(), rtol=1e-12)
    batched = patches.col2im(np.stack([grad, 2 * grad]), lengths=(4, 5), kernel=(2, 3), **rules)
    np.testing.assert_allclose(batched[1], 2 * batched[0])
    with pytest.raises(ShapeError, match="columns have shape"):
        patches.col2im(grad[1:], lengths=(4, 5), kernel=(2, 3), **rules)
