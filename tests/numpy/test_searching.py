"""Sorting and searching agree with NumPy's, eager and recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, REAL, arrays, axes_of, matches, tried

KINDS = [None, "quicksort", "heapsort", "mergesort", "stable", "nonsense"]


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@given(data=st.data())
@tried
def test_sort(data: Any) -> None:
    array = data.draw(arrays())
    axis = data.draw(axes_of(array, several=False))
    matches(*both("sort"), array, axis, data.draw(st.sampled_from(KINDS)))
    matches(*both("argsort"), array, axis, "stable")
    matches(*both("argsort"), array, axis, stable=True)
    matches(*both("sort"), array, axis, "stable", stable=True)


@given(data=st.data())
@tried
def test_sort_complex(data: Any) -> None:
    matches(*both("sort_complex"), data.draw(arrays()))


def test_msort() -> None:
    array = np.random.default_rng(0).standard_normal((5, 3)).astype("f4")
    agree(np.sort(array, 0), mnp.msort(array))


@pytest.mark.parametrize("name", ["partition", "argpartition"])
@given(data=st.data())
@tried
def test_partition(name: str, data: Any) -> None:
    array = data.draw(arrays(REAL, ranks=(1, 3), sizes=(1, 5)))
    axis = data.draw(st.sampled_from([None, *range(-array.ndim, array.ndim)]))
    size = array.size if axis is None else array.shape[axis]
    kth = data.draw(st.integers(-size, size - 1))

    def chosen(function: Any) -> Any:
        # What is not at that place may be in any order.
        def elements(x: Any, k: Any, along: Any) -> Any:
            found = np.asarray(function(x, k, along))
            if name == "argpartition":
                flat = np.asarray(x) if along is not None else np.asarray(x).ravel()
                found = np.take_along_axis(flat, found, along if along is not None else 0)
            return np.take(found, k, along if along is not None else 0)

        return elements

    matches(*map(chosen, both(name)), array, kth, axis)


def test_places_that_do_not_exist() -> None:
    array = np.arange(6.0, dtype="f4").reshape(2, 3)
    for name in ("partition", "argpartition"):
        for arguments in ((array, 3), (array, -4), (array, 2, 0), (array, 0, 2)):
            matches(*both(name), *arguments)
        matches(*both(name), array, 0, kind="nonsense")


@given(data=st.data())
@tried
def test_searchsorted(data: Any) -> None:
    ordered = np.sort(data.draw(arrays(REAL, ranks=(1, 1), sizes=(0, 6))))
    values = data.draw(arrays(REAL))
    if ordered.dtype.kind + values.dtype.kind in ("iu", "ui"):
        values = values.astype(ordered.dtype)
    matches(*both("searchsorted"), ordered, values, data.draw(st.sampled_from(["left", "right"])))
    shuffled = np.random.default_rng(ordered.size).permutation(ordered)
    matches(*both("searchsorted"), shuffled, values, sorter=np.argsort(shuffled))


@given(data=st.data())
@tried
def test_lexsort(data: Any) -> None:
    first = data.draw(arrays(REAL))
    second = np.random.default_rng(1).integers(0, 3, first.shape).astype("f4")
    axis = data.draw(st.integers(-first.ndim - 1, first.ndim))
    matches(*both("lexsort"), (first, second), axis)
    matches(*both("lexsort"), np.stack([first, first[::-1] if first.ndim else first]), axis)


def test_keys_that_are_none() -> None:
    for keys in ([], 5, [np.zeros(2), np.zeros(3)]):
        matches(*both("lexsort"), keys)


@given(data=st.data())
@tried
def test_trim_zeros(data: Any) -> None:
    array = data.draw(arrays(EVERY, ranks=(1, 2), sizes=(0, 6), special=0))
    array = np.where(np.random.default_rng(array.size).random(array.shape) < 0.5, 0, array)
    trim = data.draw(st.sampled_from(["fb", "f", "b", "F", "x"]))
    matches(*both("trim_zeros"), array, trim)
    matches(*both("trim_zeros"), array, "fb", data.draw(st.sampled_from([0, -1, 3])))


@pytest.mark.parametrize("name", ["where", "nonzero", "flatnonzero", "argwhere"])
@given(data=st.data())
@tried
def test_true_places(name: str, data: Any) -> None:
    array = data.draw(arrays())
    matches(*both(name), array)
    if name == "where":
        other = data.draw(arrays())
        matches(*both(name), array, array, other if data.draw(st.booleans()) else array)
