"""Choosing and putting elements agree with NumPy's, eager and recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.errors import DTypeError
from mnn.expr.var import Var
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, REAL, arrays, axes_of, matches, numbers, tried

A = np.array([[1.5, -2, 3], [4, 0.25, -6]], np.float32)


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


def changing(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return functions that return the array they change."""

    def ours(a: Any, *arguments: Any, **options: Any) -> Any:
        target = a + 0 if a.dtype.kind != "b" else a | False
        assert getattr(mnp, name)(target, *arguments, **options) is None
        return target

    def numpys(a: Any, *arguments: Any, **options: Any) -> Any:
        target = a.copy()
        getattr(np, name)(target, *arguments, **options)
        return target

    return ours, numpys


@given(data=st.data())
@tried
def test_extract_and_compress(data: Any) -> None:
    array = data.draw(arrays())
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    matches(*both("extract"), random.random(array.shape) < 0.5, array)
    axis = data.draw(axes_of(array, several=False))
    count = array.size
    if axis is not None and -array.ndim <= axis < array.ndim:
        count = array.shape[axis]
    condition = random.random(max(0, count - data.draw(st.integers(0, 1)))) < 0.5
    matches(*both("compress"), condition, array, axis)


def test_conditions_that_do_not_fit() -> None:
    matches(*both("compress"), np.ones((1, 2), bool), A)
    matches(*both("compress"), np.ones(4, bool), A, 0)
    matches(*both("extract"), np.ones(9, bool), A)


@pytest.mark.parametrize("name", ["place", "putmask"])
@given(data=st.data())
@tried
def test_writing_at_conditions(name: str, data: Any) -> None:
    array = data.draw(arrays())
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    mask = np.asarray(random.random(array.shape) < 0.5)
    if data.draw(st.booleans()):
        values: Any = numbers(random, (data.draw(st.integers(1, 5)),), array.dtype.str[1:])
    else:
        values = data.draw(st.sampled_from([1, 0, [1, 2], [2, 1, 3]]))
    matches(*changing(name), array, mask, values)


def test_what_cannot_be_written() -> None:
    for name in ("place", "putmask"):
        matches(*changing(name), A, np.ones(2, bool), 1)
        matches(*changing(name), A.astype("i4"), A > 0, A)
        matches(*changing(name), A, A > 0, [])
        matches(*changing(name), A, A > 99, [], recorded=False)
        matches(*changing(name), A.astype("i1"), A > 0, 300)
        with pytest.raises(DTypeError, match="expected a Var"):
            getattr(mnp, name)(A.copy(), A > 0, 1)
    with pytest.raises(DTypeError, match="expected a Var"):
        mnp.put(A.copy(), 0, 1)


@given(data=st.data())
@tried
def test_put(data: Any) -> None:
    array = data.draw(arrays(sizes=(1, 4)))
    mode = data.draw(st.sampled_from(["raise", "wrap", "clip", "nonsense"]))
    low, high = (-array.size, array.size) if mode == "raise" else (-12, 12)
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    places = random.integers(low, high, data.draw(st.integers(0, 5)))
    values = numbers(random, (data.draw(st.integers(1, 5)),), data.draw(st.sampled_from(EVERY)))
    if values.dtype.kind == "c" or array.dtype.kind in "bu":
        values = np.abs(values).astype(array.dtype)
    matches(*changing("put"), array, places, values, mode=mode)


def test_places_out_of_range() -> None:
    matches(*changing("put"), A, [9], 1)
    matches(*changing("put"), A, [0], [])
    matches(*changing("put"), A, [[0, 1], [2, 3]], [7, 8])


@given(data=st.data())
@tried
def test_choose(data: Any) -> None:
    choices = [data.draw(arrays(REAL, ranks=(2, 2), sizes=(3, 3)))]
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    for _ in range(data.draw(st.integers(0, 3))):
        shape = data.draw(st.sampled_from([(3, 3), (3,), (), (1, 3)]))
        choices.append(numbers(random, shape, data.draw(st.sampled_from(REAL))))
    mode = data.draw(st.sampled_from(["raise", "wrap", "clip", "nonsense"]))
    low, high = (0, len(choices)) if mode == "raise" else (-5, 5)
    numbered = random.integers(low, high, (3, 3)).astype(data.draw(st.sampled_from(["i4", "i8"])))
    matches(*both("choose"), numbered, choices, mode=mode)


def test_choices_that_do_not_exist() -> None:
    matches(*both("choose"), np.array([0, 5]), [A[0, :2], A[1, :2]], recorded=False)
    matches(*both("choose"), np.array([0.5, 1]), [A[0, :2], A[1, :2]])
    matches(*both("choose"), np.array([0, 1]), [])
    matches(*both("choose"), np.array([True, False, True]), A)


@given(data=st.data())
@tried
def test_select(data: Any) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    count = data.draw(st.integers(1, 3))
    conditions = [np.asarray(random.random((2, 3)) < 0.5) for _ in range(count)]
    choices = [
        numbers(random, data.draw(st.sampled_from([(2, 3), (3,), ()])), kind)
        for kind in data.draw(st.lists(st.sampled_from(EVERY), min_size=count, max_size=count))
    ]
    default = data.draw(st.sampled_from([0, 1, 2.5, np.float32(3)]))
    matches(*both("select"), conditions, choices, default)


def test_selections_that_are_refused() -> None:
    yes = np.array([True, False])
    for conditions, choices in (([], []), ([yes], []), ([np.array([1, 0])], [np.array([1, 2])])):
        matches(*both("select"), conditions, choices)


@given(data=st.data())
@tried
def test_piecewise(data: Any) -> None:
    array = data.draw(arrays(REAL, special=0.1))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    count = data.draw(st.integers(1, 2))
    conditions = [np.asarray(random.random(array.shape) < 0.5) for _ in range(count)]
    functions: list[Any] = [1, lambda v: v * v, lambda v: v + v][: data.draw(st.integers(1, 3))]
    if array.dtype.kind == "b":
        functions = [True] * len(functions)
    matches(*both("piecewise"), array, conditions, functions)


def test_arguments_of_pieces() -> None:
    def scaled(v: Any, by: float, plus: float = 0) -> Any:
        return v * by + plus

    matches(*both("piecewise"), A, [A > 0], [scaled, 0], 2, plus=1)
    matches(*both("piecewise"), A, A > 0, [scaled, 0], 2)
    matches(*both("piecewise"), A[0], [A[0] > 0, A[0] < -1], [scaled, scaled, 5], 2)
    matches(*both("piecewise"), A, [A > 0], [1, 2, 3])


def test_out() -> None:
    for name, arguments in (
        ("compress", (np.array([True, True, False]), A, 1)),
        ("choose", (np.array([0, 1]), A[:, :2])),
    ):
        want = getattr(np, name)(*arguments)
        found = Var(np.zeros(want.shape, "f4"))
        assert getattr(mnp, name)(*arguments, out=found) is found
        agree(want, found)
