"""Symbolic sizes follow integer arithmetic."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnn.expr.symbols import Dim, Symbol, fresh, substitute

N, M = fresh("n"), fresh("m")
SIZES = st.integers(1, 50)


def _formulas() -> st.SearchStrategy[Any]:
    leaves = st.sampled_from([N, M]) | SIZES
    return st.recursive(
        leaves,
        lambda inner: st.tuples(st.sampled_from(["+", "-", "*", "//"]), inner, inner),
        max_leaves=8,
    )


def _apply(formula: Any, n: Dim, m: Dim) -> Dim | None:
    if isinstance(formula, Symbol):
        return n if formula == N else m
    if not isinstance(formula, tuple):
        return int(formula)
    left, right = _apply(formula[1], n, m), _apply(formula[2], n, m)
    if left is None or right is None:
        return None
    if formula[0] == "//":
        return None if right == 0 else left // right
    return {"+": left + right, "-": left - right, "*": left * right}[formula[0]]


@given(_formulas(), SIZES, SIZES)
def test_substitution_equals_direct_arithmetic(formula: Any, n: int, m: int) -> None:
    direct = _apply(formula, n, m)
    symbolic = _apply(formula, N, M)
    if direct is not None and symbolic is not None:
        # A divisor may be zero only for these sizes.
        with contextlib.suppress(ZeroDivisionError):
            assert substitute(symbolic, {N: n, M: m}) == direct


def test_equal_formulas_are_equal() -> None:
    assert (N + 1) + 1 == N + 2
    assert N + M == M + N
    assert (N * 4) // 4 == N
    assert N - N == 0
    assert fresh() != fresh()


def test_the_truth_of_a_size_is_an_error() -> None:
    with pytest.raises(TypeError, match="unknown size"):
        bool(N)
