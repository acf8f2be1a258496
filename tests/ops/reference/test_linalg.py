"""Products, decompositions, similarity, segment means and spectra against their definitions."""

from __future__ import annotations

import cmath
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, EvaluationError, IndexRangeError, ShapeError
from mnn.expr.symbols import fresh, substitute
from mnn.ops.reference import linalg, spectral

Array = np.ndarray[Any, Any]


def _noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("lead", [((), ()), ((2,), ()), ((2, 1), (3,))])
def test_matmul_against_loops(
    transpose_a: bool, transpose_b: bool, lead: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    a = _noise(*lead[0], *((3, 2) if transpose_a else (2, 3)))
    b = _noise(*lead[1], *((4, 3) if transpose_b else (3, 4)), seed=1)
    bias = _noise(4, seed=2)
    found = linalg.matmul(a, b, bias, transpose_a=transpose_a, transpose_b=transpose_b)
    batch = np.broadcast_shapes(*lead)
    assert found.shape == (*batch, 2, 4)
    wide_a = np.broadcast_to(a, (*batch, *a.shape[-2:]))
    wide_b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    for at in np.ndindex(*batch):
        for i, j in np.ndindex(2, 4):
            total = sum(
                wide_a[at][(k, i) if transpose_a else (i, k)]
                * wide_b[at][(j, k) if transpose_b else (k, j)]
                for k in range(3)
            )
            assert math.isclose(found[at][i, j], total + bias[j], rel_tol=1e-10, abs_tol=1e-12)


def test_matmul_of_vectors_and_other_types() -> None:
    matrix, vector = _noise(2, 3), _noise(3, seed=1)
    assert linalg.matmul(vector, vector).shape == ()
    assert linalg.matmul(vector, matrix, transpose_a=True, transpose_b=True).shape == (2,)
    assert linalg.matmul(matrix, vector).shape == (2,)
    whole = np.array([[2**24, 1]])
    np.testing.assert_array_equal(linalg.matmul(whole, whole.T), [[2**48 + 1]])
    half = linalg.matmul(np.ones((1, 4096), np.float16), np.ones((4096, 1), np.float16))
    assert (half.dtype, half.item()) == (np.float16, 4096)
    assert linalg.matmul(np.zeros((2, 0)), np.zeros((0, 3))).shape == (2, 3)
    for bad in (np.zeros((2, 2)), np.zeros(())):
        with pytest.raises(ShapeError, match="do not fit"):
            linalg.matmul(bad, np.zeros((3, 3)))


def _leibniz(x: Array) -> float:
    """Return the determinant as the signed sum over permutations."""
    size = len(x)
    total = 0.0
    for order in itertools.permutations(range(size)):
        swaps = sum(order[i] > order[j] for i in range(size) for j in range(i + 1, size))
        total += (-1) ** swaps * math.prod(float(x[i, order[i]]) for i in range(size))
    return total


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4), st.integers(0, 99))
def test_det_against_permutations(size: int, seed: int) -> None:
    x = _noise(3, size, size, seed=seed)
    np.testing.assert_allclose(linalg.det(x), [_leibniz(each) for each in x], rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 99))
def test_svd_laws(rows: int, columns: int, seed: int) -> None:
    x = _noise(2, rows, columns, seed=seed)
    w, u, vt = linalg.svd(x)
    assert (w.shape, u.shape, vt.shape) == linalg.svd_shape(x.shape)
    np.testing.assert_allclose((u * w[:, None]) @ vt, x, atol=1e-10)
    count = np.eye(min(rows, columns))
    np.testing.assert_allclose(np.swapaxes(u, 1, 2) @ u, np.stack([count] * 2), atol=1e-10)
    np.testing.assert_allclose(vt @ np.swapaxes(vt, 1, 2), np.stack([count] * 2), atol=1e-10)
    assert (np.diff(w, axis=-1) <= 0).all()
    assert (w >= 0).all()
    if x.size:
        tops = np.take_along_axis(u, np.abs(u).argmax(axis=1, keepdims=True), axis=1)
        assert (tops > 0).all()


def test_bad_matrices() -> None:
    with pytest.raises(ShapeError, match="square"):
        linalg.det(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="matrices"):
        linalg.svd(np.zeros(3))
    with pytest.raises(EvaluationError, match="did not converge"):
        linalg.svd(np.full((2, 2), np.nan))
    with pytest.raises(DTypeError, match="int64"):
        linalg.det(np.eye(2, dtype=np.int64))
    assert linalg.det(np.eye(2, dtype=np.float16)).dtype == np.float16


def test_cosine_similarity() -> None:
    a, b = _noise(2, 3, 4), _noise(3, 1, seed=1)
    found = linalg.cosine_similarity(a, b, axis=-2)
    assert found.shape == (2, 4)
    wide = np.broadcast_to(b, a.shape)
    for i, j in np.ndindex(2, 4):
        p, q = a[i, :, j], wide[i, :, j]
        expected = sum(p * q) / math.sqrt(sum(p * p) * sum(q * q))
        assert math.isclose(found[i, j], expected, rel_tol=1e-10)
    assert np.isnan(linalg.cosine_similarity(np.zeros(3), np.ones(3), axis=0))
    with pytest.raises(ShapeError, match="axis 3"):
        linalg.cosine_similarity(a, b, axis=3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=8))
def test_segment_mean_against_loops(ids: list[int]) -> None:
    data = _noise(len(ids), 2)
    found = linalg.segment_mean(data, np.array(ids, np.int32))
    assert found.shape == (max(ids) + 1 if ids else 0, 2)
    for number, row in enumerate(found):
        own = [values for values, at in zip(data, ids, strict=True) if at == number]
        expected = sum(own) / len(own) if own else np.zeros(2)
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)


def test_bad_segments() -> None:
    with pytest.raises(IndexRangeError, match="found id -1"):
        linalg.segment_mean(np.zeros((2, 2)), np.array([0, -1]))
    with pytest.raises(ShapeError, match="one id per row"):
        linalg.segment_mean(np.zeros((2, 2)), np.array([0]))
    with pytest.raises(DTypeError, match="expected integers"):
        linalg.segment_mean(np.zeros((2, 2)), np.zeros(2))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 12), st.integers(1, 6), st.integers(1, 4), st.booleans())
def test_stft_against_the_definition(length: int, size: int, hop: int, onesided: bool) -> None:
    x, window = _noise(2, length), _noise(size, seed=1)
    found = spectral.stft(x, window, hop=hop, onesided=onesided)
    starts = range(0, length - size + 1, hop)
    bins = size // 2 + 1 if onesided else size
    assert found.shape == (2, len(starts), bins, 2)
    for (frame, start), k in itertools.product(enumerate(starts), range(bins)):
        for n in range(2):
            total = sum(
                x[n, start + t] * window[t] * cmath.exp(-2j * math.pi * k * t / size)
                for t in range(size)
            )
            np.testing.assert_allclose(found[n, frame, k], [total.real, total.imag], atol=1e-10)


def test_stft_types_and_shapes() -> None:
    x, window = np.ones((1, 9), np.float32), np.ones(4, np.float32)
    assert spectral.stft(x, window, hop=2).dtype == np.float32
    assert spectral.stft(x[0], window, hop=2).shape == (3, 3, 2)
    length = fresh("length")
    symbolic = spectral.stft_shape((1, length), 4, hop=2)
    assert substitute(symbolic[1], {length: 9}) == 3
    with pytest.raises(ShapeError, match="hop of 0"):
        spectral.stft(x, window, hop=0)
    with pytest.raises(ShapeError, match="expected one axis"):
        spectral.stft(x, window[None], hop=1)
