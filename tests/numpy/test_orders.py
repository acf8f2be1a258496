"""Medians and quantiles agree with NumPy's: every method, weights, NaN, eager and recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, REAL, arrays, axes_of, matches, tried

METHODS = """
    inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen weibull
    linear median_unbiased normal_unbiased lower higher midpoint nearest
""".split()  # noqa: SIM905 - reads better
# NumPy subtracts 8-bit integers without widening them, and so would have other quantiles.
SMALL = tuple(each for each in REAL if each != "?")
Q = [0, 1, 0.5, 0.25, [0.1, 0.5, 0.9], np.array([[0.0, 0.3], [1.0, 0.7]]), [1.5], -0.1, np.array(1)]


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@pytest.mark.parametrize("name", ["median", "nanmedian"])
@given(data=st.data())
@tried
def test_median(name: str, data: Any) -> None:
    array = data.draw(arrays(EVERY if name == "median" else REAL))
    axis = data.draw(axes_of(array))
    if axis == () and 0 in array.shape:
        return  # NumPy does not think of that
    options = {"axis": axis, "keepdims": data.draw(st.booleans())}
    matches(*both(name), array, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@given(data=st.data())
@tried
def test_methods(name: str, method: str, data: Any) -> None:
    array = data.draw(arrays(SMALL, sizes=(1, 5)))
    options = {"axis": data.draw(axes_of(array)), "keepdims": data.draw(st.booleans())}
    q = data.draw(st.sampled_from(Q))
    if isinstance(q, np.ndarray) and (
        # NumPy's shares of integers are integers, and its axes of q sometimes change places.
        (q.dtype.kind == "i" and method not in ("linear", "nearest"))
        or (q.ndim == 2 and name == "nanquantile")
    ):
        return
    matches(*both(name), array, q, method=method, **options)


@pytest.mark.parametrize("name", ["percentile", "nanpercentile"])
@given(data=st.data())
@tried
def test_percentiles(name: str, data: Any) -> None:
    array = data.draw(arrays(SMALL))
    axis = data.draw(axes_of(array))
    if axis == () and 0 in array.shape:
        return
    options = {"axis": axis, "keepdims": data.draw(st.booleans())}
    q = data.draw(st.sampled_from([0, 100, 50, 12.5, [10, 90], np.array([5.0, 30.0]), 101]))
    matches(*both(name), array, q, **options)


@pytest.mark.parametrize("name", ["quantile", "nanquantile", "percentile", "nanpercentile"])
@given(data=st.data())
@tried
def test_weights(name: str, data: Any) -> None:
    array = data.draw(arrays(SMALL, ranks=(1, 3), sizes=(1, 5)))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.sampled_from([None, *range(-array.ndim, array.ndim)]))
    shape = array.shape
    if axis is not None and "nan" not in name and data.draw(st.booleans()):
        shape = (array.shape[axis],)
    weights = random.integers(0, 4, shape).astype("f4") + (0 if "nan" in name else 0.25)
    q = data.draw(st.sampled_from([0.5, 0.0, 1.0, [0.2, 0.8]]))
    if "nan" in name and bool((weights == 0).any()):
        weights = weights + 1
    matches(*both(name), array, q, axis=axis, weights=weights, method="inverted_cdf")


def test_calls_that_are_refused() -> None:
    x = np.arange(6.0, dtype="f4").reshape(2, 3)
    for name in ("quantile", "percentile", "nanquantile", "nanpercentile"):
        for options in (
            {"method": "nonsense"},
            {"weights": x},
            {"weights": -x, "method": "inverted_cdf"},
            {"weights": x[0], "method": "inverted_cdf"},
            {"weights": x[0], "method": "inverted_cdf", "axis": 0},
            {"weights": x[0] * 0, "method": "inverted_cdf", "axis": 1},
        ):
            if "nan" in name and options.get("axis") == 1:
                continue  # here NaN is left, as where nothing is
            matches(*both(name), x, 0.5, recorded=False, **options)
        matches(*both(name), x + 1j, 0.5)
        matches(*both(name), x, [[[0.5]]])


def test_out() -> None:
    x = np.arange(12.0, dtype="f4").reshape(3, 4)
    for name in ("median", "nanmedian"):
        found = mnp.zeros([4])
        assert getattr(mnp, name)(x, 0, found) is found
        agree(getattr(np, name)(x, 0), np.asarray(found))
    for name in ("quantile", "nanquantile"):
        found = mnp.zeros([2, 4])
        assert getattr(mnp, name)(x, [0.1, 0.9], 0, found) is found
        agree(getattr(np, name)(x, [0.1, 0.9], 0).astype("f4"), np.asarray(found))


@pytest.mark.parametrize("name", ["quantile", "nanquantile", "median", "nanmedian"])
def test_sizes_that_are_not_known(name: str) -> None:
    expr.lazy_eval(True)
    place = expr.placeholder([-1, 3])
    arguments = ([0.2, 0.7],) if "quantile" in name else ()
    graph = getattr(mnp, name)(place, *arguments, axis=0)
    for count in (1, 4, 7):
        data = np.random.default_rng(count).standard_normal((count, 3)).astype("f4")
        place.resize([count, 3])
        place.write(data)
        agree(getattr(np, name)(data, *arguments, axis=0).astype("f4"), np.array(graph))
