"""Poolings against loops over every window, their gradients, integers and empty inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference import morphology, pool
from mnn.ops.reference.layout import in_layout
from mnn.ops.reference.window_shapes import pool_padding

Array = np.ndarray[Any, Any]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, dict[str, Any]]:
    """Draw channels-first data with many ties, and attributes."""
    rank = draw(st.integers(1, 3))
    numbers = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(rank))  # noqa: E731
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *numbers(1, 5))
    x = np.random.default_rng(draw(st.integers(0, 9))).integers(-4, 5, shape).astype(np.float64)
    attributes = {
        "kernel": numbers(1, 3),
        "stride": numbers(1, 3),
        "pads": tuple(zip(numbers(0, 2), numbers(0, 2), strict=True)),
        "dilation": numbers(1, 2),
        "mode": draw(st.sampled_from(["CAFFE", "VALID", "SAME"])),
        "ceil_mode": draw(st.booleans()),
        "clip": draw(st.booleans()),
    }
    return x, attributes


def _window(x: Array, at: tuple[int, ...], rules: dict[str, Any]) -> list[list[int]]:
    """Return for each axis the positions that window `at` reads, inside or not."""
    found = []
    for number, length in enumerate(x.shape[2:]):
        kernel, stride = rules["kernel"][number], rules["stride"][number]
        gap, mode = rules["dilation"][number], rules["mode"]
        begin, _ = pool_padding(
            length, kernel, stride=stride, dilation=gap, pads=rules["pads"][number], mode=mode
        )
        start = at[number] * stride - begin
        found.append([start + tap * gap for tap in range(kernel)])
    return found


def _inside(positions: list[list[int]], x: Array) -> list[list[int]]:
    return [
        [p for p in each if 0 <= p < length]
        for each, length in zip(positions, x.shape[2:], strict=True)
    ]


@settings(max_examples=120, deadline=None)
@given(problems(), st.sampled_from(["NCHW", "NHWC"]))
def test_max_pool_against_loops(problem: tuple[Array, dict[str, Any]], layout: str) -> None:
    x, rules = problem
    found = pool.max_pool(in_layout(x, layout), **rules, layout=layout)
    places = pool.max_pool_indices(in_layout(x, layout), **rules, layout=layout)
    assert places.dtype == np.int32
    if layout == "NHWC":
        found, places = np.moveaxis(found, -1, 1), np.moveaxis(places, -1, 1)
    planes = x.reshape(*x.shape[:2], -1)
    chosen = np.take_along_axis(planes, places.reshape(*x.shape[:2], -1), axis=2)
    np.testing.assert_array_equal(chosen.reshape(found.shape), found)
    for at in np.ndindex(*found.shape[2:]):
        inside = _inside(_window(x, at, rules), x)
        if not all(inside):
            continue
        windows = x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1)
        where = (slice(None), slice(None), *at)
        np.testing.assert_array_equal(found[where], windows.max(axis=-1))
        flat = np.ravel_multi_index(np.ix_(*inside), x.shape[2:]).ravel()
        np.testing.assert_array_equal(places[where], flat[windows.argmax(axis=-1)])


@settings(max_examples=120, deadline=None)
@given(problems(), st.sampled_from(["include", "exclude"]), st.sampled_from(["NCHW", "NHWC"]))
def test_avg_pool_against_loops(
    problem: tuple[Array, dict[str, Any]], count: str, layout: str
) -> None:
    x, rules = problem
    found = pool.avg_pool(in_layout(x, layout), **rules, count=count, layout=layout)
    found = found if layout == "NCHW" else np.moveaxis(found, -1, 1)
    padded = [
        pool_padding(n, k, stride=s, dilation=d, pads=p, mode=rules["mode"])
        for n, k, s, d, p in zip(
            x.shape[2:],
            rules["kernel"],
            rules["stride"],
            rules["dilation"],
            rules["pads"],
            strict=True,
        )
    ]
    for at in np.ndindex(*found.shape[2:]):
        positions = _window(x, at, rules)
        inside = _inside(positions, x)
        windows = x[(slice(None), slice(None), *np.ix_(*inside))]
        total = windows.sum(axis=tuple(range(2, x.ndim)))
        counted = inside
        if count == "include":
            counted = [
                [p for p in each if -begin <= p < n + end]
                for each, n, (begin, end) in zip(positions, x.shape[2:], padded, strict=True)
            ]
        divisor = max(1, np.prod([len(each) for each in counted]))
        np.testing.assert_allclose(
            found[(slice(None), slice(None), *at)], total / divisor, rtol=1e-12, atol=1e-12
        )


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from(["include", "exclude"]), st.sampled_from(["NCHW", "NHWC"]))
def test_avg_pool_gradient_is_the_adjoint(
    problem: tuple[Array, dict[str, Any]], count: str, layout: str
) -> None:
    x, rules = problem
    x = in_layout(x, layout)
    y = pool.avg_pool(x, **rules, count=count, layout=layout)
    grad = np.random.default_rng(1).standard_normal(y.shape)
    back = pool.avg_pool_grad(grad, input_shape=x.shape, **rules, count=count, layout=layout)
    assert back.shape == x.shape
    np.testing.assert_allclose((back * x).sum(), (grad * y).sum(), rtol=1e-9, atol=1e-9)


RULES: dict[str, Any] = {"kernel": (3, 2), "stride": (2, 1), "pads": ((1, 0), (0, 1))}


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_gradients_equal_differences(layout: str, assert_gradient: Callable[..., None]) -> None:
    random = np.random.default_rng(2)
    x = in_layout(random.permutation(2 * 3 * 5 * 4).reshape(2, 3, 5, 4) / 7, layout)
    rules = {**RULES, "ceil_mode": True, "layout": layout}
    seed = random.standard_normal(pool.max_pool(x, **rules).shape)
    found = pool.max_pool_grad(seed, x, **rules)
    assert_gradient(lambda x: pool.max_pool(x, **rules), [x], [found], seed)
    found = pool.avg_pool_grad(seed, input_shape=x.shape, **rules)
    assert_gradient(lambda x: pool.avg_pool(x, **rules), [x], [found], seed)


def test_max_pool_gradient_goes_to_the_first_of_equals() -> None:
    x = np.ones((1, 1, 2, 2), np.float32)
    rules: dict[str, Any] = {"kernel": (2, 2), "stride": (1, 1), "pads": ((0, 0), (0, 0))}
    grad = pool.max_pool_grad(np.full((1, 1, 1, 1), 3, np.float32), x, **rules)
    np.testing.assert_array_equal(grad, [[[[3, 0], [0, 0]]]])
    assert grad.dtype == np.float32


def test_special_values() -> None:
    x = np.array([[[1.0, np.nan, 2.0, -np.inf, -np.inf, np.inf]]])
    found = pool.max_pool(x, kernel=(2,), stride=(2,), pads=((0, 0),))
    np.testing.assert_array_equal(found, [[[np.nan, 2.0, np.inf]]])
    places = pool.max_pool_indices(x, kernel=(2,), stride=(2,), pads=((0, 0),))
    np.testing.assert_array_equal(places, [[[1, 2, 5]]])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.bool_, np.float16])
def test_dtypes_are_kept(dtype: Any) -> None:
    x = np.random.default_rng(3).integers(0, 2, (1, 2, 5, 6)).astype(dtype)
    for dilation in ((1, 1), (2, 2)):
        call = {**RULES, "dilation": dilation}
        found = pool.max_pool(x, **call)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, pool.max_pool(x.astype(float), **call).astype(dtype))
    assert pool.global_max_pool(x).dtype == dtype


def test_integer_averages_round_half_away() -> None:
    x = np.array([[[1, 2, -1, -2, 3, 3]]], np.int8)
    rules: dict[str, Any] = {"kernel": (2,), "stride": (2,), "pads": ((0, 0),)}
    found = pool.avg_pool(x, **rules)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, [[[2, -2, 3]]])
    np.testing.assert_array_equal(pool.global_avg_pool(x[..., :2]), [[[2]]])


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 0, 5, 5), (2, 3, 0, 5)])
def test_empty_inputs(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    y = pool.max_pool(x, **RULES)
    assert y.shape == pool.avg_pool(x, **RULES).shape == pool.max_pool_indices(x, **RULES).shape
    assert y.shape == (*shape[:2], 2 if shape[2] else 0, 5)
    assert pool.max_pool_grad(y, x, **RULES).shape == shape
    assert pool.avg_pool_grad(y, input_shape=shape, **RULES).shape == shape


def test_global_pools() -> None:
    x = np.random.default_rng(4).standard_normal((2, 3, 4, 5)).astype(np.float32)
    for layout in ("NCHW", "NHWC"):
        axes = (2, 3) if layout == "NCHW" else (1, 2)
        found = pool.global_avg_pool(x, layout=layout)
        np.testing.assert_allclose(found, x.mean(axis=axes, keepdims=True), rtol=1e-5)
        found = pool.global_max_pool(x, layout=layout)
        np.testing.assert_array_equal(found, x.max(axis=axes, keepdims=True))
    assert pool.global_max_pool(x[:0]).shape == (0, 3, 1, 1)
    with pytest.raises(ShapeError, match="no position"):
        pool.global_avg_pool(x[:, :, :0])


def test_bad_operands() -> None:
    x = np.zeros((1, 1, 5, 5))
    with pytest.raises(DTypeError, match="complex"):
        pool.max_pool(x.astype(np.complex64), **RULES)
    with pytest.raises(ShapeError, match="'include' or 'exclude'"):
        pool.avg_pool(x, **RULES, count="all")
    with pytest.raises(ShapeError, match="gradient has"):
        pool.max_pool_grad(x, x, **RULES)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_dilation2d_against_loops(layout: str) -> None:
    random = np.random.default_rng(5)
    x, weight = random.standard_normal((2, 3, 5, 6)), random.standard_normal((3, 2, 3))
    rules: dict[str, Any] = {"stride": (2, 1), "dilation": (2, 1), "pads": ((1, 0), (2, 1))}
    found = morphology.dilation2d(
        in_layout(x, layout), weight, mode="CAFFE", layout=layout, **rules
    )
    found = found if layout == "NCHW" else np.moveaxis(found, -1, 1)
    assert found.shape == (2, 3, 2, 7)
    for n, c, oy, ox in np.ndindex(found.shape):
        values = [
            x[n, c, y, at] + weight[c, ky, kx]
            for ky, kx in np.ndindex(2, 3)
            for y, at in [(oy * 2 - 1 + 2 * ky, ox - 2 + kx)]
            if 0 <= y < 5 and 0 <= at < 6
        ]
        assert found[n, c, oy, ox] == max(values)
    same = morphology.dilation2d(x, weight, stride=(1, 1), dilation=(1, 1), pads=((0, 0),) * 2)
    assert same.shape == x.shape
    with pytest.raises(ShapeError, match="3 channels but weight expects 2"):
        morphology.dilation2d(x, weight[:2], **rules)
    with pytest.raises(ShapeError, match="has 2 axes"):
        morphology.dilation2d(x, weight[0], **rules)
