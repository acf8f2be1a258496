"""Polynomials agree with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.numpy import polynomial
from tests.numpy.agreement import agree
from tests.numpy.differential import arrays, matches, numbers, tried

KINDS = ("i4", "i8", "f4", "f8", "c8")


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@given(data=st.data())
@tried
def test_polyval(data: Any) -> None:
    p = data.draw(arrays(KINDS, ranks=(1, 1), sizes=(0, 5), special=0))
    matches(*both("polyval"), p, data.draw(arrays((*KINDS, "u1", "?"), special=0.1)))


@pytest.mark.parametrize("name", ["polyadd", "polysub", "polymul", "polydiv"])
@given(data=st.data())
@tried
def test_arithmetic(name: str, data: Any) -> None:
    sizes = (1, 5)
    one, two = (data.draw(arrays(KINDS, ranks=(0, 1), sizes=sizes, special=0)) for _ in "12")
    if name == "polydiv" and not np.atleast_1d(two)[0]:
        two = two + two.dtype.type(1)
    matches(*both(name), one, two)


@given(data=st.data())
@tried
def test_derivatives_and_integrals(data: Any) -> None:
    p = data.draw(arrays((*KINDS, "u1", "f2"), ranks=(1, 1), sizes=(1, 5), special=0))
    m = data.draw(st.sampled_from([0, 1, 2, -1]))
    matches(*both("polyder"), p, m)
    k = data.draw(st.sampled_from([None, 2, 1.5, [1.0, 2.0], np.array([3.0], "f4"), []]))
    if isinstance(k, list) and m < 1:
        return
    matches(*both("polyint"), p, m, k)


@given(data=st.data())
@tried
def test_roots(data: Any) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    kind = data.draw(st.sampled_from(["f4", "f8", "i4", "c8"]))
    places = numbers(random, (data.draw(st.integers(0, 4)),), kind)
    matches(*both("poly"), places)
    matches(*both("roots"), np.array([0, 2, -3, 1], kind))
    if kind == "f8":
        matches(*both("poly"), random.standard_normal((3, 3)))


@given(data=st.data())
@tried
def test_polyfit(data: Any) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    kind = data.draw(st.sampled_from(["f4", "f8", "i4"]))
    x, y = np.arange(7).astype(kind), random.integers(-5, 5, (7, 2)).astype(kind)
    options: dict[str, Any] = {}
    if data.draw(st.booleans()):
        options["w"] = random.integers(1, 4, 7).astype("f4")
    which = data.draw(st.sampled_from(["", "full", "cov"]))
    if which:
        options[which] = True
    degree = data.draw(st.sampled_from([0, 1, 2]))
    heights = y[:, 0] if data.draw(st.booleans()) else y
    want, have = (
        np.polyfit(x, heights, degree, **options),
        mnp.polyfit(x, heights, degree, **options),
    )
    for one, two in zip(want, have, strict=True) if which else [(want, have)]:
        np.testing.assert_allclose(np.asarray(two), one, rtol=2e-3, atol=2e-4)


def test_fits_that_are_refused() -> None:
    x = np.arange(4.0, dtype="f4")
    for arguments in ((x, x, -1), (x, x[:2], 1), (x[:0], x[:0], 1), (x.reshape(2, 2), x, 1)):
        matches(*both("polyfit"), *arguments)


@given(data=st.data())
@tried
def test_vander(data: Any) -> None:
    x = data.draw(arrays((*KINDS, "?", "u1", "f2"), ranks=(1, 2), sizes=(0, 4), special=0))
    count = data.draw(st.sampled_from([None, 0, 1, 3]))
    matches(*both("vander"), x, count, data.draw(st.booleans()))


def test_polynomials_as_objects() -> None:
    ours, numpys = mnp.poly1d([0, 1, -3, 2.0]), np.poly1d([0, 1, -3, 2.0])
    for function in (
        lambda p: p.coeffs,
        lambda p: p.roots,
        lambda p: p(np.array([0.5, 2], "f4")),
        lambda p: (p + 1).c,
        lambda p: (2 - p).c,
        lambda p: (p * p).c,
        lambda p: (p**3).c,
        lambda p: (p / 2).c,
        lambda p: (-p).c,
        lambda p: (p * p / p)[0].c,
        lambda p: p.deriv().c,
        lambda p: p.integ(2, [1, 2]).c,
        lambda p: p(p).c,
        lambda p: p[1],
        lambda p: p[9],
        lambda p: np.array(list(p)),
        lambda p: np.array(p),
    ):
        agree(np.asarray(function(numpys)), np.asarray(function(ours)))
    assert (len(ours), ours.order, str(ours)) == (2, 2, str(numpys))
    assert repr(ours).startswith("poly1d([ 1., -3.,  2.]")
    assert ours == mnp.poly1d([1, -3, 2.0])
    assert ours != mnp.poly1d([1])
    ours[3] = 5
    agree(np.array([5.0, 1, -3, 2]), ours.coeffs)
    agree(np.poly1d([1, 2], True).c, mnp.poly1d([1, 2], True).c)
    assert str(mnp.poly1d([1, 2], variable="z")) == str(np.poly1d([1, 2], variable="z"))
    agree(np.polyadd([1, 2], [3]), mnp.polyadd([1, 2], [3]))


def test_other_series() -> None:
    c, x = np.array([1.0, 2, 3], "f4"), np.linspace(-1, 1, 5, dtype="f4")
    for family, name in (
        ("chebyshev", "chebval"),
        ("legendre", "legval"),
        ("hermite", "hermval"),
        ("hermite_e", "hermeval"),
        ("laguerre", "lagval"),
        ("polynomial", "polyval"),
    ):
        wanted = getattr(getattr(np.polynomial, family), name)(x, c)
        found = getattr(getattr(polynomial, family), name)(mnp.array(x), mnp.array(c))
        agree(wanted.astype("f4"), found)
    fitted = polynomial.polynomial.polyfit(mnp.array(x), mnp.array(x) * 2 + 1, 1)
    np.testing.assert_allclose(np.asarray(fitted), [1, 2], atol=1e-5)
    assert polynomial.Polynomial is np.polynomial.Polynomial
    with pytest.raises(AttributeError, match="nonsense"):
        _ = polynomial.nonsense
