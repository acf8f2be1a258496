"""Differences, slopes, interpolation, windows and angles agree with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from tests.numpy.differential import EVERY, REAL, arrays, matches, numbers, tried

A = np.array([[1.5, -2, 3], [4, 0.25, -6]], np.float32)


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@given(data=st.data())
@tried
def test_diff(data: Any) -> None:
    array = data.draw(arrays())
    axis = data.draw(st.integers(-array.ndim - 1, array.ndim))
    options: dict[str, Any] = {}
    if array.ndim and -array.ndim <= axis < array.ndim:
        random = np.random.default_rng(data.draw(st.integers(0, 99)))
        for name in ("prepend", "append"):
            kind = data.draw(st.integers(0, 3))
            if kind == 1:
                options[name] = numbers(random, (), array.dtype.str[1:])
            elif kind == 2:
                shape = list(array.shape)
                shape[axis] = 2
                options[name] = numbers(random, tuple(shape), array.dtype.str[1:])
    matches(*both("diff"), array, data.draw(st.sampled_from([1, 2, 0, -1, 3])), axis, **options)


@given(data=st.data())
@tried
def test_ediff1d(data: Any) -> None:
    array = data.draw(arrays())
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    ends = [
        None,
        3,
        numbers(random, (2,), array.dtype.str[1:]),
        numbers(random, (1, 2), array.dtype.str[1:]),
        np.array([1.5 + 1j], "c8"),
    ]
    if array.dtype.kind == "b":
        ends = [None]
    matches(*both("ediff1d"), array, data.draw(st.sampled_from(ends)), ends[0])
    matches(*both("ediff1d"), array, None, data.draw(st.sampled_from(ends)))


@given(data=st.data())
@tried
def test_gradient(data: Any) -> None:
    kinds = tuple(each for each in EVERY if each[0] not in "?ui")
    array = data.draw(arrays((*kinds, "i4", "i8", "i2"), ranks=(1, 3), sizes=(1, 5), special=0.1))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.sampled_from([None, 0, -1, (0,), array.ndim]))
    rank = array.ndim if axis is None else 1
    distances: list[Any] = []
    kind = data.draw(st.integers(0, 3))
    if kind == 1:
        distances = [data.draw(st.sampled_from([2.0, 0.5, np.float32(3)]))]
    elif kind == 2:
        distances = [0.5] * data.draw(st.sampled_from([rank, rank + 1, 2]))
    elif kind == 3 and axis != array.ndim and 1 not in array.shape:
        sizes = array.shape if axis is None else (array.shape[0 if axis == (0,) else axis],)
        distances = [np.cumsum(random.integers(1, 4, size)).astype("f4") for size in sizes]
    order = data.draw(st.sampled_from([1, 2]))
    if kind == 3 and array.dtype == np.float16:
        array = array.astype("f4")
    matches(*both("gradient"), array, *distances, axis=axis, edge_order=order)


def test_gradients_that_are_refused() -> None:
    matches(*both("gradient"), A, edge_order=3)
    matches(*both("gradient"), A, A, A)
    matches(*both("gradient"), A, A[0], A[0])
    matches(*both("gradient"), A, A[0, :2], A[0])


@given(data=st.data())
@tried
def test_interp(data: Any) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    count = data.draw(st.integers(1, 6))
    points = np.cumsum(random.integers(0, 3, count)).astype(
        data.draw(st.sampled_from(["f4", "f8", "i4"]))
    )
    if data.draw(st.booleans()):
        points = np.arange(count, dtype="f4")
    heights = numbers(
        random, (count,), data.draw(st.sampled_from(["f4", "f8", "i4", "c8"])), special=0.1
    )
    x = data.draw(arrays(REAL))
    options = {
        name: data.draw(st.sampled_from([-1.0, 7.5]))
        for name in ("left", "right")
        if data.draw(st.booleans())
    }
    if bool((np.diff(points) <= 0).any()):
        heights = np.ones_like(heights)  # which of two heights counts is nobody's promise
    matches(*both("interp"), x, points, heights, **options)


@given(data=st.data())
@tried
def test_interp_with_a_period(data: Any) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    count = data.draw(st.integers(1, 6))
    points = random.permutation(np.arange(count, dtype="f4") * 3 - 4)
    heights = numbers(random, (count,), "f4")
    x = data.draw(arrays(("f4", "f8", "i4"), special=0))
    matches(*both("interp"), x, points, heights, period=data.draw(st.sampled_from([25.0, 31, -40])))


def test_interpolations_that_are_refused() -> None:
    x = np.arange(3.0, dtype="f4")
    for arguments in ((x, x, x[:2]), (x, x[:0], x[:0]), (x, A, A), (x + 1j, x, x)):
        matches(*both("interp"), *arguments)
    matches(*both("interp"), x, x, x, period=0)


@given(data=st.data())
@tried
def test_unwrap(data: Any) -> None:
    array = data.draw(arrays(("f4", "f8", "i4", "i8", "i2"), ranks=(1, 3), special=0))
    axis = data.draw(st.integers(-array.ndim - 1, array.ndim))
    options: dict[str, Any] = {}
    if data.draw(st.booleans()):
        options["period"] = data.draw(st.sampled_from([4, 5, 3.5]))
    if data.draw(st.booleans()):
        options["discont"] = data.draw(st.sampled_from([1.0, 3.0, 5.5]))
    matches(*both("unwrap"), array, axis=axis, **options)


@pytest.mark.parametrize("name", ["bartlett", "blackman", "hamming", "hanning", "kaiser"])
def test_windows(name: str) -> None:
    for count in (0, 1, 2, 3, 12, -1, np.float32(5), 51):
        for beta in (0.0, 8.6, 14) if name == "kaiser" else (None,):
            matches(*both(name), count, *([] if beta is None else [beta]))


def test_axes_that_do_not_exist() -> None:
    for axis in (2, -3):
        matches(*both("gradient"), A, axis=axis)
        matches(*both("diff"), A, axis=axis)
    matches(*both("gradient"), A, axis=(0, 0))
