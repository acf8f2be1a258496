"""Distinct elements and sets agree with NumPy's, eager and, where shapes allow, recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, REAL, arrays, matches, tried

X = np.array([3, 1, 2, 1, 3, 3], np.float32)


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@given(data=st.data())
@tried
def test_unique(data: Any) -> None:
    array = data.draw(arrays(ranks=(0, 2), sizes=(0, 5)))
    options = {
        name: data.draw(st.booleans())
        for name in ("return_index", "return_inverse", "return_counts", "equal_nan")
    }
    if data.draw(st.booleans()) and not (array.dtype.kind in "fc" and np.isnan(array).any()):
        options["axis"] = data.draw(st.sampled_from([None, 0, -1, 2]))
    if options["return_inverse"] and array.dtype.kind in "fc" and not options["equal_nan"]:
        array = np.nan_to_num(array)
    matches(*both("unique"), array, **options)


@pytest.mark.parametrize("name", ["unique_all", "unique_counts", "unique_inverse", "unique_values"])
@given(data=st.data())
@tried
def test_unique_of_the_standard(name: str, data: Any) -> None:
    array = data.draw(arrays(REAL, ranks=(0, 2), sizes=(0, 5), special=0))
    ours, numpys = both(name)
    # The standard leaves the order open; ours are sorted.
    wanted = numpys if name != "unique_values" else lambda x: np.sort(np.unique_values(x))
    matches(ours, wanted, array)
    if name != "unique_values":
        assert ours(X)._fields == numpys(X)._fields


def test_order_is_no_choice() -> None:
    agree(np.unique(X), mnp.unique(X, sorted=False))


@pytest.mark.parametrize("name", ["intersect1d", "union1d", "setdiff1d", "setxor1d", "isin"])
@given(data=st.data())
@tried
def test_two_sets(name: str, data: Any) -> None:
    one = data.draw(arrays(EVERY if name != "isin" else REAL, ranks=(0, 2), sizes=(0, 5)))
    kinds = REAL if one.dtype.kind != "c" else EVERY
    two = data.draw(arrays(kinds, ranks=(0, 2), sizes=(0, 5)))
    if {one.dtype.kind, two.dtype.kind} == {"i", "u"}:
        two = two.astype(one.dtype)
    matches(*both(name), one, two)
    if name == "isin":
        matches(*both(name), one, two, invert=True)


def test_arguments_of_sets() -> None:
    for options in ({"return_indices": True}, {"assume_unique": True}):
        matches(*both("intersect1d"), np.unique(X), np.array([2, 3], "f4"), **options)
    matches(*both("setdiff1d"), X[:3], X[:1], assume_unique=True)
    matches(*both("setxor1d"), X[:3], X[:1], assume_unique=True)
    whole = X.astype("i4")
    for kind in (None, "sort", "table", "nonsense"):
        matches(*both("isin"), whole, whole[:2], kind=kind)
    matches(*both("isin"), X, X[:2], kind="table")
    agree(np.isin(X, X[:2]), mnp.in1d(X.reshape(2, 3), X[:2]))


def test_membership_of_what_is_not_known_yet() -> None:
    expr.lazy_eval(True)
    place = expr.placeholder([-1])
    graph = mnp.isin(place, mnp.array([1.0, 3.0]))
    for count in (3, 6):
        place.resize([count])
        place.write(X[:count])
        agree(np.isin(X[:count], [1.0, 3.0]), np.array(graph))
