"""Normalisations against their definitions, row by row, and their gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference import channel_norm, norm
from mnn.ops.reference.layout import in_layout

Array = np.ndarray[Any, Any]


def _noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def _row(values: Array, epsilon: float, *, rms: bool = False) -> Array:
    """Normalise one flat row, from the definition."""
    mean = 0.0 if rms else sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return np.array([(value - mean) / (variance + epsilon) ** 0.5 for value in values])


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_layer_norm_against_rows(data: st.DataObject, rms: bool) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    axes = data.draw(
        st.lists(st.integers(0, len(shape) - 1), min_size=1, max_size=len(shape), unique=True)
    )
    negative = [axis - len(shape) if data.draw(st.booleans()) else axis for axis in axes]
    x = _noise(*shape)
    inner = [shape[axis] for axis in sorted(axes)]
    gamma, beta = _noise(int(np.prod(inner)), seed=1), _noise(int(np.prod(inner)), seed=2)
    found = norm.layer_norm(x, gamma, beta, axes=negative, epsilon=0.01, rms=rms)
    outer = [axis for axis in range(len(shape)) if axis not in axes]
    order = (*outer, *sorted(axes))
    rows = x.transpose(order).reshape(-1, len(gamma))
    expected = np.stack([_row(row, 0.01, rms=rms) * gamma + beta for row in rows])
    moved = expected.reshape([shape[axis] for axis in order])
    np.testing.assert_allclose(found, moved.transpose(np.argsort(order)), rtol=1e-10, atol=1e-10)


def test_layer_norm_groups_take_rows_of_equal_length() -> None:
    x, gamma = _noise(2, 4, 3), _noise(6, seed=1)
    found = norm.layer_norm(x, gamma, epsilon=0.01, group=2)
    expected = np.stack([_row(row, 0.01) * gamma for row in x.reshape(4, 6)])
    np.testing.assert_allclose(found, expected.reshape(2, 4, 3), rtol=1e-10)


@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize(("axes", "group"), [((-1,), 1), ((0, 2), 1), ((-1,), 2)])
def test_layer_norm_gradient(
    rms: bool, axes: tuple[int, ...], group: int, assert_gradient: Callable[..., None]
) -> None:
    x = _noise(2, 4, 3)
    size = 6 if group > 1 else int(np.prod([x.shape[axis] for axis in axes]))
    gamma, beta, seed = _noise(size, seed=1), _noise(size, seed=2), _noise(*x.shape, seed=3)
    common: dict[str, Any] = {"axes": axes, "epsilon": 0.01, "group": group, "rms": rms}
    found = norm.layer_norm_grad(seed, x, gamma, **common)
    assert_gradient(
        lambda *inputs: norm.layer_norm(*inputs, **common), [x, gamma, beta], list(found), seed
    )
    plain = norm.layer_norm_grad(seed, x, **common)
    assert_gradient(lambda x: norm.layer_norm(x, **common), [x], [plain[0]], seed)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_batch_norm(layout: str, assert_gradient: Callable[..., None]) -> None:
    x = in_layout(_noise(2, 3, 4, 2), layout)
    scale, bias, seed = _noise(3, seed=1), _noise(3, seed=2), _noise(*x.shape, seed=3)
    common: dict[str, Any] = {"epsilon": 0.01, "layout": layout}
    y, mean, variance = norm.batch_norm_train(x, scale, bias, **common)
    np.testing.assert_allclose(
        norm.batch_norm(x, mean, variance, scale, bias, **common), y, rtol=1e-10, atol=1e-12
    )
    channels = np.moveaxis(x, 1 if layout == "NCHW" else 3, 0).reshape(3, -1)
    np.testing.assert_allclose(mean, [sum(row) / 16 for row in channels], rtol=1e-10, atol=1e-12)
    plain, _, _ = norm.batch_norm_train(x, **common)
    rows = np.moveaxis(plain, 1 if layout == "NCHW" else 3, 0).reshape(3, -1)
    np.testing.assert_allclose(rows, [_row(row, 0.01) for row in channels], rtol=1e-10)
    found = norm.batch_norm_train_grad(seed, x, scale, **common)
    assert_gradient(
        lambda *inputs: norm.batch_norm_train(*inputs, **common)[0],
        [x, scale, bias],
        list(found),
        seed,
    )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_group_and_instance_norm(layout: str) -> None:
    x, scale, bias = _noise(2, 6, 4, 3), _noise(6, seed=1), _noise(6, seed=2)
    given_x = in_layout(x, layout)
    column = (1, 6, 1, 1)
    for groups in (1, 2, 3, 6):
        rows = x.reshape(2 * groups, -1)
        expected = np.stack([_row(row, 0.01) for row in rows]).reshape(x.shape)
        expected = expected * scale.reshape(column) + bias.reshape(column)
        found = norm.group_norm(given_x, scale, bias, groups=groups, epsilon=0.01, layout=layout)
        np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-9, atol=1e-10)
    found = norm.instance_norm(given_x, scale, bias, epsilon=0.01, layout=layout)
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-9, atol=1e-10)


def test_moments() -> None:
    x = _noise(2, 3, 4)
    mean, variance = norm.moments(x, axes=(0, -1), keepdims=True)
    assert mean.shape == variance.shape == (1, 3, 1)
    np.testing.assert_allclose(mean[0, :, 0], x.mean(axis=(0, 2)))
    np.testing.assert_allclose(variance[0, :, 0], x.var(axis=(0, 2)))
    mean, variance = norm.moments(x[:0], axes=(0,))
    np.testing.assert_array_equal(mean, np.zeros((3, 4)))
    np.testing.assert_array_equal(variance, np.zeros((3, 4)))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_lrn_against_loops(layout: str, size: int) -> None:
    x = _noise(2, 4, 3, 5)
    before, after = (size - 1) // 2, size // 2
    common: dict[str, Any] = {"size": size, "alpha": 0.7, "beta": 0.75, "bias": 2.0}
    found = channel_norm.lrn(in_layout(x, layout), **common, layout=layout)
    expected = np.empty_like(x)
    for n, c, y, at in np.ndindex(x.shape):
        total = sum(x[n, k, y, at] ** 2 for k in range(max(0, c - before), min(4, c + after + 1)))
        expected[n, c, y, at] = x[n, c, y, at] / (2 + 0.7 / size * total) ** 0.75
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-10)

    found = channel_norm.lrn(in_layout(x, layout), **common, within_channel=True, layout=layout)
    for n, c, y, at in np.ndindex(x.shape):
        rows = range(max(0, y - before), min(3, y + after + 1))
        columns = range(max(0, at - before), min(5, at + after + 1))
        total = sum(x[n, c, i, j] ** 2 for i, j in itertools.product(rows, columns))
        expected[n, c, y, at] = x[n, c, y, at] / (2 + 0.7 / size**2 * total) ** 0.75
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-10)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_normalize_scale_and_prelu(layout: str) -> None:
    x, weight, bias = _noise(2, 3, 4, 5), _noise(3, seed=1), _noise(3, seed=2)
    given_x, column = in_layout(x, layout), (1, 3, 1, 1)
    found = channel_norm.normalize(given_x, weight, epsilon=0.1, layout=layout)
    expected = x / np.sqrt((x**2).sum(axis=1, keepdims=True) + 0.1) * weight.reshape(column)
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-12)
    found = channel_norm.normalize(
        given_x, weight[:1], epsilon=0.1, across_spatial=True, layout=layout
    )
    expected = x / np.sqrt((x**2).sum(axis=(1, 2, 3), keepdims=True) + 0.1) * weight[0]
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-12)
    found = channel_norm.scale(given_x, weight, bias, layout=layout)
    expected = x * weight.reshape(column) + bias.reshape(column)
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-12)
    found = channel_norm.prelu(given_x, weight, layout=layout)
    expected = np.where(x > 0, x, x * weight.reshape(column))
    np.testing.assert_allclose(found, in_layout(expected, layout), rtol=1e-12)
    found = channel_norm.prelu(given_x, weight[:1], layout=layout)
    np.testing.assert_allclose(found, np.where(given_x > 0, given_x, given_x * weight[0]))


def test_empty_and_half() -> None:
    empty = np.zeros((0, 4, 3), np.float32)
    ones = np.ones(4, np.float32)
    assert norm.layer_norm(empty, epsilon=0.1).shape == empty.shape
    assert norm.group_norm(empty, ones, groups=2, epsilon=0.1).shape == empty.shape
    y, mean, variance = norm.batch_norm_train(empty, ones, epsilon=0.1)
    assert (y.shape, mean.shape, variance.shape) == (empty.shape, (4,), (4,))
    grads = norm.batch_norm_train_grad(empty, empty, ones, epsilon=0.1)
    assert [grad.shape for grad in grads] == [empty.shape, (4,), (4,)]
    grads = norm.layer_norm_grad(empty, empty, epsilon=0.1)
    assert [grad.shape for grad in grads] == [empty.shape, (3,), (3,)]
    assert channel_norm.lrn(empty, size=3, alpha=1.0, beta=1.0).shape == empty.shape
    # A mean square of 300^2 overflows float16, not the float32 it is computed in.
    half = np.full((1, 8), 300, np.float16)
    found = norm.layer_norm(half, epsilon=0.0, rms=True)
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, np.ones((1, 8)))


def test_bad_operands() -> None:
    x = np.zeros((2, 4, 3), np.float32)
    with pytest.raises(DTypeError, match="int64"):
        norm.layer_norm(x.astype(np.int64), epsilon=0.1)
    with pytest.raises(ShapeError, match="different axes"):
        norm.layer_norm(x, axes=(1, -2), epsilon=0.1)
    with pytest.raises(ShapeError, match="different axes"):
        norm.layer_norm(x, axes=(3,), epsilon=0.1)
    with pytest.raises(ShapeError, match="has 4 values but 3"):
        norm.layer_norm(x, np.ones(4, np.float32), epsilon=0.1)
    with pytest.raises(ShapeError, match="do not divide into 5"):
        norm.layer_norm(x, epsilon=0.1, group=5)
    with pytest.raises(ShapeError, match="found 3 values per channel for 4"):
        norm.instance_norm(x, np.ones(3, np.float32), epsilon=0.1)
    with pytest.raises(ShapeError, match=r"4 channels .* into 3 groups"):
        norm.group_norm(x, groups=3, epsilon=0.1)
    with pytest.raises(ShapeError, match="size is 0"):
        channel_norm.lrn(x, size=0, alpha=1.0, beta=1.0)
    with pytest.raises(ShapeError, match="no channel axis"):
        channel_norm.scale(np.zeros(3), np.ones(3))
