"""Python's floats that meet double arrays, or become doubles, keep all their digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp

VALUES = [0.1, 0.2, 0.3]

MADE: dict[str, Callable[[Any], Any]] = {
    "array": lambda m: m.array([0.7, 0.1], dtype=m.float64),
    "nested": lambda m: m.array([[0.7], [0.1]], dtype="f8"),
    "number": lambda m: m.asarray(0.7, dtype=m.float64),
    "complex": lambda m: m.array([0.1 + 0.2j], dtype=m.complex128),
    "whole numbers": lambda m: m.array([16777217.0], dtype=m.int64),
    "full": lambda m: m.full(3, 0.7, dtype=m.float64),
    "linspace": lambda m: m.linspace(0, 0.7, 4, dtype=m.float64),
}

MET: dict[str, Callable[[Any, Any], Any]] = {
    "times": lambda m, x: x * VALUES,
    "equal": lambda m, x: x == VALUES,
    "maximum": lambda m, x: m.maximum(x, [0.15, 0.25, 0.35]),
    "full_like": lambda m, x: m.full_like(x, 0.7),
    "pad": lambda m, x: m.pad(x, 1, constant_values=0.7),
    "append": lambda m, x: m.append(x, [0.7]),
    "concatenate": lambda m, x: m.concatenate([x, [0.7]]),
    "stack": lambda m, x: m.stack([x, VALUES]),
    "vstack": lambda m, x: m.vstack([x, VALUES]),
    "outer": lambda m, x: m.outer(x, VALUES),
    "dot": lambda m, x: m.dot(x, VALUES),
    "einsum": lambda m, x: m.einsum("i,i", x, VALUES),
    "polyval": lambda m, x: m.polyval([0.1, 0.2], x),
    "interp": lambda m, x: m.interp(x, [0, 0.7], [0, 0.3]),
    "isin": lambda m, x: m.isin(x, [0.1]),
    "searchsorted": lambda m, x: m.searchsorted(x, 0.2) + m.searchsorted(x, [0.2]),
    "digitize": lambda m, x: m.digitize(x, [0.1, 0.2]),
    "histogram": lambda m, x: m.histogram(x, VALUES)[1],
    "average": lambda m, x: m.average(x, weights=[0.1, 0.2, 0.7]),
    "isclose": lambda m, x: m.isclose(x, VALUES, rtol=0, atol=0),
    "array_equal": lambda m, x: m.array_equal(x, VALUES),
    "cov": lambda m, x: m.cov(x, [0.1, 0.4, 0.3]),
    "solve": lambda m, x: m.linalg.solve(m.diag(x), VALUES),
}

WRITTEN: dict[str, Callable[[Any, Any], Any]] = {
    "a list": lambda m, x: x.__setitem__(slice(None), [0.7, 0.1, 0.2]),
    "places": lambda m, x: x.__setitem__([0, 1], [0.7, 0.3]),
    "in place": lambda m, x: x.__iadd__(VALUES),
    "fill": lambda m, x: x.fill(0.7),
    "copyto": lambda m, x: m.copyto(x, 0.7),
    "fill_diagonal": lambda m, x: m.fill_diagonal(x[:, None], 0.7),
}


def _same(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(wanted), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", MADE)
def test_arrays_made_with_a_type_have_its_digits(name: str) -> None:
    _same(MADE[name](mnp), MADE[name](np))


@pytest.mark.parametrize("name", MET)
def test_numbers_that_meet_doubles_have_their_digits(name: str) -> None:
    x = np.array(VALUES)
    _same(MET[name](mnp, mnp.asarray(x)), MET[name](np, x))


@pytest.mark.parametrize("name", WRITTEN)
def test_numbers_written_to_doubles_have_their_digits(name: str) -> None:
    wanted, found = np.array(VALUES), mnp.array(np.array(VALUES))
    WRITTEN[name](np, wanted)
    WRITTEN[name](mnp, found)
    _same(found, wanted)


def test_numbers_that_meet_floats_are_floats() -> None:
    x = mnp.asarray(np.array(VALUES, np.float32))
    assert (x * VALUES).dtype == np.float32
    assert bool((x == VALUES).all())
    assert mnp.histogram(x, VALUES)[0].tolist() == [1, 2]


def test_large_integers_keep_their_digits() -> None:
    numbers = [2**64 - 1, 5]
    assert mnp.array(numbers, dtype=np.uint64).read().tolist() == numbers


def test_arrays_are_not_made_by_calling_their_class() -> None:
    with pytest.raises(TypeError, match="array or empty"):
        mnp.ndarray((2, 2))
