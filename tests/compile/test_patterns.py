"""Attention in graphs: found where it is whole, left alone where something else needs its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.expr.var import Var
from mnn.numpy.searching import where
from mnn.ops.activation import softmax
from mnn.ops.expr_api import reshape, transpose
from mnn.ops.matmul import matmul
from mnn.ops.recurrent import attention
from mnn.ops.reduce import reduce_max, reduce_sum
from mnn.ops.unary import exp
from tests.compile.recording import Recorded, by_reference, labels, segment

Array = np.ndarray[Any, Any]
_RNG = np.random.default_rng(0)
M, N, H, D = 24, 37, 3, 16


def _normal(*shape: int) -> Array:
    return _RNG.standard_normal(shape, np.float32)


def heads(x: Var, length: int) -> Var:
    """Return (batch, heads, length, size) of rows with the heads side by side."""
    return transpose(reshape(x, [2, length, H, D]), [0, 2, 1, 3])


def joined(x: Var) -> Var:
    """Return the rows again."""
    return reshape(transpose(x, [0, 2, 1, 3]), [2, M, H * D])


def plain(q: Var, k: Var, v: Var) -> Var:
    """Attention of whole rows."""
    q, k, v = heads(q, M), heads(k, N), heads(v, N)
    return joined(matmul(softmax(matmul(q, k, False, True) * 0.25, -1), v))


def written_out(q: Var, k: Var, v: Var) -> Var:
    """The same, with a softmax of a user's own."""
    q, k, v = heads(q, M), heads(k, N), heads(v, N)
    scores = matmul(q, transpose(k, [0, 1, 3, 2])) * 0.25
    powers = exp(scores - reduce_max(scores, [-1], True))
    return joined(matmul(powers / reduce_sum(powers, [-1], True), v))


def one_batch(q: Var, k: Var, v: Var) -> Var:
    """The same, in one batch of all heads."""
    q, k, v = heads(q, M), heads(k, N), heads(v, N)
    q, v = reshape(q, [2 * H, M, D]), reshape(v, [2 * H, N, D])
    scores = matmul(q, reshape(transpose(k, [0, 1, 3, 2]), [2 * H, D, N])) * 0.25
    return joined(reshape(matmul(softmax(scores, -1), v), [2, H, M, D]))


def two_batches(q: Var, k: Var, v: Var) -> Var:
    """The same; the batch of the products is another than that of softmax."""
    q, k, v = heads(q, M), heads(k, N), heads(v, N)
    scores = matmul(q, transpose(k, [0, 1, 3, 2])) * 0.25
    weights = reshape(softmax(scores, -1), [2 * H, M, N])
    return joined(reshape(matmul(weights, reshape(v, [2 * H, N, D])), [2, H, M, D]))


def check(function: Recorded, arrays: list[Array], count: int) -> None:
    """Assert the reference's results, computed with `count` attention kernels."""
    made = segment(function, arrays)
    steps = labels(made, arrays)
    assert sum(each.startswith("attention") for each in steps) == count, steps
    for threads in (1, 2):
        found = made.run(arrays, threads=threads, low=False)
        for got, want in zip(found, by_reference(function, arrays), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


ROWS = [_normal(2, M, H * D), _normal(2, N, H * D), _normal(2, N, H * D)]


@pytest.mark.parametrize("function", [plain, written_out, one_batch, two_batches])
def test_forms(function: Recorded) -> None:
    check(function, ROWS, 1)


def test_what_follows_reads_the_result_in_place() -> None:
    weight = _normal(H * D, 20)
    steps = labels(segment(lambda *x: matmul(plain(*x), Var(weight)), ROWS), ROWS)
    assert not any(each.startswith("copy") for each in steps), steps


@pytest.mark.parametrize("shape", [(2, 1, 1, N), (M, N), (1, H, M, N), (1, 1, M, 1), (1,)])
def test_added_masks(shape: tuple[int, ...]) -> None:
    def function(q: Var, k: Var, v: Var, mask: Var) -> Var:
        q, k, v = heads(q, M), heads(k, N), heads(v, N)
        scores = matmul(q, k, False, True) / 4 + (1 - mask) * -10000.0
        return joined(matmul(softmax(scores, -1), v))

    check(function, [*ROWS, _RNG.integers(0, 2, shape).astype(np.float32)], 1)


def test_masks_that_choose() -> None:
    def function(q: Var, k: Var, v: Var, mask: Var) -> Var:
        q, k, v = heads(q, M), heads(k, N), heads(v, N)
        scores = where(mask, matmul(q, k, False, True) * 0.25, float("-inf"))
        return joined(matmul(softmax(scores, -1), v))

    mask = np.tri(M, N, 2).astype(bool)
    check(function, [*ROWS, mask], 1)
    mask[3] = False
    made = segment(function, [*ROWS, mask])
    (found,) = made.run([*ROWS, mask], threads=1, low=False)
    assert np.isnan(found[:, 3]).all()
    assert np.isfinite(np.delete(found, 3, axis=1)).all()


def test_parts_that_others_need_are_kept() -> None:
    def weights(q: Var, k: Var, v: Var) -> list[Var]:
        found = softmax(matmul(heads(q, M), heads(k, N), False, True), -1)
        return [joined(matmul(found, heads(v, N))), found]

    def scores(q: Var, k: Var, v: Var) -> list[Var]:
        found = matmul(heads(q, M), heads(k, N), False, True)
        return [joined(matmul(softmax(found, -1), heads(v, N))), reduce_sum(found, [-1])]

    check(weights, ROWS, 0)
    check(scores, ROWS, 0)


def test_what_is_no_attention() -> None:
    def other_axis(q: Var, k: Var, v: Var) -> Var:
        q, k, v = heads(q, M), heads(k, N), heads(v, N)
        return joined(matmul(softmax(matmul(q, k, False, True), -2), v))

    def few_rows(q: Var, k: Var) -> Var:
        return matmul(softmax(matmul(q, k), -1), k, False, True)

    check(other_axis, ROWS, 0)
    check(few_rows, [_normal(2, 4, 8), _normal(2, 8, 30)], 0)
    check(few_rows, [_normal(2, 9, 8), _normal(2, 8, 30)], 1)


@pytest.mark.parametrize("length", [3, 20])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mask", ["", "float32", "bool", "int32"])
@pytest.mark.parametrize("causal", [None, False, True])
def test_operator(length: int, groups: int, mask: str, causal: bool | None) -> None:
    arrays = [
        _normal(2, length, 4, 16),
        _normal(2, 23, groups, 16),
        _normal(2, 23, groups, 10),
    ]
    if mask:
        made = _RNG.integers(0, 2, (2, 1, length, 23)).astype(mask)
        made[0, 0, 1] = 0
        arrays.append(made if mask != "float32" else np.where(made, 0, -np.inf).astype(mask))

    def function(*values: Var) -> Var:
        found: Var = attention(*values, scale=0.3, causal=causal)
        return found

    check(function, arrays, 1 if length >= 8 else 0)
    steps = labels(segment(function, arrays), arrays)
    assert "attention" not in steps, "a step of NumPy"
