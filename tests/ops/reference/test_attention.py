"""Attention against loops over queries, softmax at its limits, and laws of rotary positions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, ShapeError
from mnn.expr.symbols import fresh
from mnn.ops.reference import attention as reference

Array = np.ndarray[Any, Any]


def _noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def _one(
    query: Array, keys: Array, values: Array, shifts: list[float], scale: float
) -> list[float]:
    """Return the answer to one query: a mean of values weighted by exp(score)."""
    weights = [
        math.exp(float(query @ key) * scale + shift)
        for key, shift in zip(keys, shifts, strict=True)
    ]
    total = sum(weights)
    return [
        sum(w * v for w, v in zip(weights, column, strict=True)) / total if total else 0.0
        for column in values.T
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 3)] * 6),
    st.sampled_from(["none", "additive", "boolean", "integer"]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, 0.3]),
)
def test_attention_against_loops(
    sizes: tuple[int, ...], kind: str, causal: bool | None, scale: float | None
) -> None:
    batch, length, more, groups, shared, size = sizes
    keys, heads = length + more - 1, groups * shared
    q, k = _noise(batch, length, heads, size), _noise(batch, keys, groups, size, seed=1)
    v = _noise(batch, keys, groups, 2, seed=2)
    mask: Array | None = None
    shifts = np.zeros((batch, heads, length, keys))
    if kind == "additive":
        mask = _noise(batch, 1, length, keys, seed=3)
        shifts += mask
    elif kind != "none":
        seen = _noise(heads, length, keys, seed=4) > -0.5
        mask = seen if kind == "boolean" else seen.astype(np.int32) * 3
        shifts += np.where(seen, 0, -np.inf)
    hidden = (mask is None) if causal is None else causal
    found = reference.attention(q, k, v, mask, scale=scale, causal=causal)
    assert found.shape == (batch, length, heads * 2)
    factor = 1 / math.sqrt(size) if scale is None else scale
    for n, i, h in np.ndindex(batch, length, heads):
        row = list(shifts[n, h, i])
        if hidden:
            row = [s if j - i <= keys - length else -math.inf for j, s in enumerate(row)]
        expected = _one(q[n, i, h], k[n, :, h // shared], v[n, :, h // shared], row, factor)
        np.testing.assert_allclose(found[n, i, 2 * h : 2 * h + 2], expected, rtol=1e-10, atol=1e-12)


def test_a_query_that_sees_nothing_gives_zeros() -> None:
    q = _noise(1, 2, 1, 3)
    mask = np.array([[True, True], [False, False]])
    for each in (mask, np.where(mask, 0, -np.inf)):
        found = reference.attention(q, q, q, each)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found[0, 1], np.zeros(3))


def test_without_a_mask_the_future_is_hidden() -> None:
    q = _noise(2, 4, 2, 3)
    cut = reference.attention(q[:, :2], q[:, :2], q[:, :2])
    np.testing.assert_allclose(reference.attention(q, q, q)[:, :2], cut, rtol=1e-12)
    seen = np.tri(4, dtype=bool)
    np.testing.assert_allclose(reference.attention(q, q, q, seen), reference.attention(q, q, q))


def test_large_scores_do_not_overflow() -> None:
    q = np.full((1, 1, 1, 4), 1e4, np.float32)
    found = reference.attention(q, q, np.ones_like(q), causal=False)
    np.testing.assert_array_equal(found, np.ones((1, 1, 4)))


@pytest.mark.parametrize("shape", [(0, 2, 2, 3), (2, 0, 2, 3), (2, 2, 0, 3), (2, 2, 2, 0)])
def test_empty_inputs(shape: tuple[int, ...]) -> None:
    q = np.zeros(shape, np.float32)
    found = reference.attention(q, q, q)
    assert found.shape == (shape[0], shape[1], shape[2] * shape[3])


def test_no_keys_give_zeros() -> None:
    q, k = np.ones((1, 2, 1, 3)), np.ones((1, 0, 1, 3))
    np.testing.assert_array_equal(reference.attention(q, k, k), np.zeros((1, 2, 3)))


def test_bad_operands() -> None:
    q = np.zeros((1, 2, 4, 3))
    with pytest.raises(ShapeError, match=r"expected \(batch, length, heads, size\)"):
        reference.attention(q[0], q, q)
    with pytest.raises(ShapeError, match="cannot share 3"):
        reference.attention(q, q[:, :, :3], q[:, :, :3])
    with pytest.raises(ShapeError, match="do not fit"):
        reference.attention(q, q[..., :2], q)
    with pytest.raises(ShapeError, match="does not broadcast"):
        reference.attention(q, q, q, np.zeros((3, 3)))
    with pytest.raises(ShapeError, match="does not broadcast"):
        reference.attention(q, q, q, np.zeros((5, 1, 4, 2, 2)))
    with pytest.raises(DTypeError, match="int64"):
        reference.attention(q.astype(np.int64), q, q)


def test_softmax_at_its_limits() -> None:
    x = np.array([[1000.0, 1000.0], [-1000.0, 0.0], [-np.inf, 3.0]])
    expected = [[0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]
    np.testing.assert_array_equal(reference.softmax(x), expected)
    np.testing.assert_array_equal(
        reference.log_softmax(x), [[-math.log(2)] * 2, [-1000.0, 0.0], [-np.inf, 0.0]]
    )
    for bad in ([-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]):
        assert np.isnan(reference.softmax(np.array(bad))).any()
    assert reference.softmax(np.zeros((2, 0))).shape == (2, 0)
    assert reference.softmax(np.zeros((0, 2)), axis=0).shape == (0, 2)
    assert reference.softmax(np.zeros(3, np.float16)).dtype == np.float16
    with pytest.raises(DTypeError, match="bool"):
        reference.softmax(np.zeros(3, bool))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_against_its_definition(axis: int) -> None:
    x = _noise(3, 4, 5)
    expected = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(reference.softmax(x, axis), expected, rtol=1e-12)
    np.testing.assert_allclose(reference.log_softmax(x, axis), np.log(expected), rtol=1e-11)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope_depends_on_distances_only(interleaved: bool) -> None:
    q, k = _noise(1, 1, 1, 8), _noise(1, 1, 1, 8, seed=1)

    def score(first: int, second: int) -> float:
        rotated = [
            reference.rope(
                each,
                *reference.rope_tables(np.array([at]), 6, dtype=np.dtype(np.float64)),
                interleaved=interleaved,
            )
            for each, at in ((q, first), (k, second))
        ]
        return float((rotated[0] * rotated[1]).sum())

    assert math.isclose(score(7, 3), score(104, 100), rel_tol=1e-9)
    assert not math.isclose(score(7, 3), score(7, 4), rel_tol=1e-3)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope_is_a_complex_rotation(interleaved: bool) -> None:
    x, positions = _noise(2, 3, 2, 6), np.array([4, 0, 9])
    cosines, sines = reference.rope_tables(positions, 4, base=100.0, dtype=np.dtype(np.float64))
    found = reference.rope(x, cosines, sines, interleaved=interleaved)
    pairs = [(0, 1), (2, 3)] if interleaved else [(0, 2), (1, 3)]
    for number, (first, second) in enumerate(pairs):
        angle = positions * 100.0 ** (-number / 2)
        turned = (x[..., first] + 1j * x[..., second]) * np.exp(1j * angle)[None, :, None]
        np.testing.assert_allclose(found[..., first], turned.real, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found[..., second], turned.imag, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(found[..., 4:], x[..., 4:])
    np.testing.assert_array_equal(found[:, 1], x[:, 1])


def test_shapes_keep_symbols() -> None:
    batch, length = fresh("batch"), fresh("length")
    found = reference.attention_shape((batch, length, 4, 3), (1, 7, 2, 3), (batch, 7, 2, 5))
    assert found == (batch, length, 20)


def test_bad_rotations() -> None:
    with pytest.raises(ShapeError, match="size is 3"):
        reference.rope_tables(np.arange(2), 3)
    cosines, sines = reference.rope_tables(np.arange(2), 8)
    with pytest.raises(ShapeError, match="do not fit"):
        reference.rope(np.zeros((1, 2, 1, 6), np.float32), cosines, sines)
    with pytest.raises(ShapeError, match="do not fit"):
        reference.rope(np.zeros((1, 3, 1, 8), np.float32), cosines, sines)
