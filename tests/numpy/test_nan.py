"""Reductions without NaN agree with NumPy's: every argument, eager and recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, FLOATS, REAL, arrays, axes_of, matches, tried

A = np.array([[1.5, np.nan, 3], [np.nan, np.nan, -6]], np.float32)


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@pytest.mark.parametrize(
    "name", ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd"]
)
@given(data=st.data())
@tried
def test_axes_where_and_initial(name: str, data: Any) -> None:
    array = data.draw(arrays(EVERY if name != "nanprod" else REAL, special=0.5))
    options: dict[str, Any] = {}
    if data.draw(st.booleans()):
        options["axis"] = data.draw(axes_of(array))
    if data.draw(st.booleans()):
        options["keepdims"] = data.draw(st.booleans())
    if data.draw(st.integers(0, 2)) == 0:
        shape = array.shape[data.draw(st.integers(0, array.ndim)) :]
        random = np.random.default_rng(data.draw(st.integers(0, 99)))
        options["where"] = np.asarray(random.random(shape) < 0.6)
    if name[3:] in ("sum", "prod", "max", "min") and data.draw(st.integers(0, 2)) == 0:
        options["initial"] = data.draw(st.sampled_from([0, 1, 3]))
    if name[3:] in ("var", "std") and data.draw(st.booleans()):
        options["ddof"] = data.draw(st.sampled_from([0, 1, 2]))
    matches(*both(name), array, **options)


@pytest.mark.parametrize("name", ["nanargmax", "nanargmin"])
@given(data=st.data())
@tried
def test_positions(name: str, data: Any) -> None:
    array = data.draw(arrays(EVERY))
    axis = data.draw(axes_of(array, several=False))
    keepdims = data.draw(st.booleans())
    only = array.dtype.kind in "fc" and array.size and np.isnan(array).all(axis=None).any()
    if array.dtype.kind in "fc" and array.size and axis is not None and array.ndim:
        axis = max(min(axis, array.ndim - 1), -array.ndim)
        only = np.isnan(array).all(axis=axis).any()
    # A graph that is being recorded does not know whether there are numbers.
    matches(*both(name), array, axis=axis, keepdims=keepdims, recorded=not only)


@pytest.mark.parametrize("name", ["nancumsum", "nancumprod"])
@given(data=st.data())
@tried
def test_running(name: str, data: Any) -> None:
    array = data.draw(arrays((*REAL, "c8"), special=0.5))
    matches(*both(name), array, axis=data.draw(axes_of(array, several=False)))


@pytest.mark.parametrize("name", ["nanmean", "nanvar", "nanstd", "nansum", "nanprod"])
@given(data=st.data())
@tried
def test_result_types(name: str, data: Any) -> None:
    # NumPy subtracts the mean in float16 whatever the dtype asked for.
    exact = FLOATS[1:] if name in ("nanvar", "nanstd") else FLOATS
    array = data.draw(arrays(exact, ranks=(1, 2), sizes=(1, 3)))
    dtype = np.dtype(data.draw(st.sampled_from(["f4", "f8"])))
    matches(*both(name), array, axis=0, dtype=dtype, defaults=False)


def test_integer_results_are_refused() -> None:
    for name in ("nanmean", "nanvar", "nanstd"):
        matches(*both(name), A, dtype=np.dtype("i4"))


@pytest.mark.parametrize(
    "name",
    ["nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nancumsum"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_out(name: str) -> None:
    want = getattr(np, name)(A, axis=0)
    found = mnp.zeros(want.shape)
    assert getattr(mnp, name)(A, axis=0, out=found) is found
    agree(want, np.asarray(found))
