"""Elementwise functions of `mnn.numpy.elementary` agree with NumPy's, eager and recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, REAL, arrays, matches, numbers, tried

ONE = """
    angle bitwise_count conj conjugate frexp i0 imag iscomplex iscomplexobj isneginf isposinf
    isreal isrealobj modf nan_to_num real signbit sinc spacing
""".split()  # noqa: SIM905 - reads better
TWO = """
    copysign fmax fmin gcd heaviside lcm ldexp logaddexp logaddexp2 nextafter
""".split()  # noqa: SIM905 - reads better
WHOLE = tuple(each for each in REAL if each[0] in "?iu")


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@pytest.mark.parametrize("name", ONE)
@given(data=st.data())
@tried
def test_one_array(name: str, data: Any) -> None:
    array = data.draw(arrays())
    whole = array.dtype.kind in "biu"
    if name == "spacing" and whole:
        array = array.astype("f4")  # else ours is that of float32, NumPy's that of float64
    matches(*both(name), array)


@pytest.mark.parametrize("name", TWO)
@given(data=st.data())
@tried
def test_two_arrays(name: str, data: Any) -> None:
    one = data.draw(arrays(EVERY if name in ("fmax", "gcd") else REAL))
    rank = data.draw(st.integers(0, one.ndim))
    shape = tuple(data.draw(st.sampled_from([1, size])) for size in one.shape[one.ndim - rank :])
    kinds = REAL
    if name in ("gcd", "lcm") and one.dtype.kind in "biu":
        kinds = WHOLE
    elif name == "ldexp":
        kinds = ("i1", "i2", "i4", "u1", "i8", "f4")
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    two = numbers(random, shape, data.draw(st.sampled_from(kinds)), special=0.2)
    if name == "nextafter" and "f" not in (one.dtype.kind + two.dtype.kind):
        one = one.astype("f4")
    if name == "fmax" and one.dtype.kind == "c":
        one = np.nan_to_num(one)
    matches(*both(name), one, two)


@given(data=st.data())
@tried
def test_numbers_for_what_is_none(data: Any) -> None:
    array = data.draw(arrays())
    options: dict[str, Any] = {}
    for name in ("nan", "posinf", "neginf"):
        if data.draw(st.booleans()):
            options[name] = data.draw(st.sampled_from([0.0, 3, -2.5]))
    matches(*both("nan_to_num"), array, **options)


def test_numbers_for_what_is_none_in_place() -> None:
    x = mnp.array([np.nan, np.inf, 1], dtype="f4")
    assert mnp.nan_to_num(x, copy=False, posinf=7) is x
    agree(np.array([0, 7, 1], "f4"), np.asarray(x))


@given(data=st.data())
@tried
def test_angles_in_degrees(data: Any) -> None:
    matches(*both("angle"), data.draw(arrays()), deg=True)


@given(data=st.data())
@tried
def test_real_if_close(data: Any) -> None:
    array = data.draw(arrays(("c8", "c16", "f4")))
    small = array.real + 1e-9j * array.imag if array.dtype.kind == "c" else array
    for tol in (100, 1e-6):
        matches(*both("real_if_close"), array, tol=tol)
        matches(*both("real_if_close"), small.astype(array.dtype), tol=tol)


def test_out() -> None:
    x = np.array([np.inf, -np.inf, 1], "f4")
    for name in ("isposinf", "isneginf"):
        found = mnp.zeros([3], dtype=bool)
        assert getattr(mnp, name)(x, found) is found
        agree(getattr(np, name)(x), np.asarray(found))


def test_large_arguments_of_the_bessel_function() -> None:
    x = np.linspace(-30, 30, 241)
    np.testing.assert_allclose(np.asarray(mnp.i0(x)), np.i0(x), rtol=1e-13)
    np.testing.assert_allclose(np.asarray(mnp.i0(x.astype("f4"))), np.i0(x), rtol=3e-6)
