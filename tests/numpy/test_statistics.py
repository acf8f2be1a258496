"""Histograms, covariance and convolution agree with NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, REAL, arrays, matches, numbers, tried

FINITE = tuple(each for each in REAL if each != "?")
A = np.array([[1.5, -2, 3, 0.5], [4, 0.25, -6, 1], [1, 2, 2, 5]], np.float32)


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@pytest.mark.parametrize("name", ["histogram", "histogram_bin_edges"])
@given(data=st.data())
@tried
def test_histogram(name: str, data: Any) -> None:
    array = data.draw(arrays((*FINITE, "c8"), special=0.1))
    bins = data.draw(
        st.sampled_from([10, 3, 1, 0, np.array([-1.0, 0, 2]), [0, 1, 5], "auto", "sturges", "no"])
    )
    options: dict[str, Any] = {}
    if data.draw(st.booleans()):
        options["range"] = data.draw(st.sampled_from([(-1, 2), (0.5, 0.5), (3, 1)]))
    if name == "histogram" and data.draw(st.booleans()):
        options["density"] = data.draw(st.booleans())
    if data.draw(st.integers(0, 3)) == 0 and not isinstance(bins, str):
        options["weights"] = np.ones(array.shape, data.draw(st.sampled_from(["f4", "f8", "i4"])))
    matches(*both(name), array, bins, **options)


@given(data=st.data())
@tried
def test_histograms_of_points(data: Any) -> None:
    count = data.draw(st.integers(1, 12))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    x, y, z = (numbers(random, (count,), data.draw(st.sampled_from(["f4", "i4"]))) for _ in "xyz")
    bins = data.draw(st.sampled_from([3, [2, 4], [np.array([-1.0, 0, 3]), 2]]))
    options: dict[str, Any] = {"density": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        options["range"] = [(-5, 5), (-2, 3)]
    if data.draw(st.booleans()):
        options["weights"] = random.random(count).astype("f4")
    matches(*both("histogram2d"), x, y, bins, **options)
    options.pop("range", None)
    several = 3 if isinstance(bins, int) else [2, 3, 4]
    matches(*both("histogramdd"), np.stack([x, y, z], 1), several, **options)
    matches(*both("histogramdd"), [x, y, z], several, **options)


@given(data=st.data())
@tried
def test_bincount(data: Any) -> None:
    array = data.draw(arrays(ranks=(1, 1), sizes=(0, 6), special=0))
    if data.draw(st.booleans()) and array.dtype.kind == "i":
        array = np.abs(array)
    options: dict[str, Any] = {"minlength": data.draw(st.sampled_from([0, 5, 20]))}
    if data.draw(st.booleans()):
        options["weights"] = np.arange(array.size, dtype=data.draw(st.sampled_from(["f4", "f8"])))
    matches(*both("bincount"), array, **options)


def test_counts_that_are_refused() -> None:
    for arguments in ((A,), (np.array([1, -1]),), (np.array([1, 2]), A[0]), (np.array([0.5]),)):
        matches(*both("bincount"), *arguments)


@given(data=st.data())
@tried
def test_digitize(data: Any) -> None:
    edges = np.sort(data.draw(arrays(("f4", "f8", "i4"), ranks=(1, 1), sizes=(0, 5), special=0)))
    if data.draw(st.booleans()):
        edges = edges[::-1]
    values = data.draw(arrays(EVERY))
    matches(*both("digitize"), values, edges, data.draw(st.booleans()))


def test_edges_in_no_order() -> None:
    for edges in (np.array([1.0, 3, 2]), A, np.array([1j])):
        matches(*both("digitize"), A, edges)


@given(data=st.data())
@tried
def test_cov(data: Any) -> None:
    array = data.draw(arrays((*REAL, "c8"), ranks=(0, 2), sizes=(1, 6), special=0))
    options: dict[str, Any] = {
        "rowvar": data.draw(st.booleans()),
        "bias": data.draw(st.booleans()),
    }
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    if data.draw(st.booleans()):
        options["ddof"] = data.draw(st.sampled_from([0, 1, 2, 0.5]))
    if array.ndim == 2 and data.draw(st.booleans()):
        count = array.shape[1 if options["rowvar"] else 0]
        if data.draw(st.booleans()):
            options["fweights"] = random.integers(1, 4, count)
        if data.draw(st.booleans()):
            options["aweights"] = (random.integers(1, 9, count) / 4).astype("f4")
    if array.ndim and data.draw(st.booleans()):
        options["y"] = numbers(random, array.shape, "f4")
    matches(*both("cov"), array, **options)


def test_covariances_that_are_refused() -> None:
    for options in (
        {"aweights": -A[0]},
        {"fweights": np.array([0.5, 1, 1, 1])},
        {"fweights": np.array([1, 1, -1, 1])},
    ):
        matches(*both("cov"), A, recorded=False, **options)
    matches(*both("cov"), np.zeros((2, 2, 2), "f4"))
    matches(*both("cov"), np.zeros((0, 3), "f4"))
    matches(*both("cov"), A, dtype=np.dtype("f8"), defaults=False)


@given(data=st.data())
@tried
def test_corrcoef(data: Any) -> None:
    array = data.draw(arrays((*REAL, "c8"), ranks=(1, 2), sizes=(2, 6), special=0))
    rowvar = data.draw(st.booleans())
    matches(*both("corrcoef"), array, rowvar=rowvar)
    other = numbers(np.random.default_rng(array.size), array.shape, "f4")
    matches(*both("corrcoef"), array, other, rowvar)


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@given(data=st.data())
@tried
def test_convolution(name: str, data: Any) -> None:
    one = data.draw(arrays(ranks=(1, 1), sizes=(0, 7), special=0))
    two = data.draw(arrays(ranks=(0, 1), sizes=(1, 5), special=0))
    mode = data.draw(st.sampled_from(["full", "same", "valid", "nonsense"]))
    matches(*both(name), one, two, mode)


def test_convolutions_that_are_refused() -> None:
    for name in ("convolve", "correlate"):
        matches(*both(name), A, A)
        matches(*both(name), A[0], A[0, :0])


def test_covariance_of_what_is_not_known_yet() -> None:
    expr.lazy_eval(True)
    place = expr.placeholder([3, -1])
    graph = mnp.cov(place)
    for count in (2, 4):
        place.resize([3, count])
        place.write(A[:, :count])
        agree(np.cov(A[:, :count]).astype("f4"), np.array(graph))
