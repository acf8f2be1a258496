"""Reductions agree with NumPy's: every argument, any shape and type, eager and recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.errors import ShapeError
from tests.numpy.agreement import agree
from tests.numpy.differential import EVERY, FLOATS, REAL, arrays, axes_of, matches, tried

A = np.array([[1.5, -2, 3], [4, 0.25, -6]], np.float32)
WHOLE = ("sum", "prod", "max", "min", "amax", "amin")
LOGICAL = ("all", "any")
MOMENTS = ("mean", "std", "var")


def both(name: str) -> tuple[Any, Any]:
    return getattr(mnp, name), getattr(np, name)


@pytest.mark.parametrize("name", [*WHOLE, *LOGICAL, *MOMENTS])
@given(data=st.data())
@tried
def test_axes_where_and_initial(name: str, data: Any) -> None:
    array = data.draw(arrays(EVERY if name != "prod" else (*REAL, "c8")))
    options: dict[str, Any] = {}
    if data.draw(st.booleans()):
        options["axis"] = data.draw(axes_of(array))
    if data.draw(st.booleans()):
        options["keepdims"] = data.draw(st.booleans())
    if data.draw(st.integers(0, 2)) == 0:
        shape = array.shape[data.draw(st.integers(0, array.ndim)) :]
        random = np.random.default_rng(data.draw(st.integers(0, 99)))
        options["where"] = np.asarray(random.random(shape) < 0.6)
    if name in WHOLE and data.draw(st.integers(0, 2)) == 0:
        options["initial"] = data.draw(st.sampled_from([0, 1, 3, 2.5, -2.0]))
        if array.dtype.kind in "bu" and options["initial"] < 0:
            options["initial"] = 2
    matches(*both(name), array, **options)


@pytest.mark.parametrize("name", ["argmax", "argmin", "count_nonzero", "ptp"])
@given(data=st.data())
@tried
def test_positions_counts_and_ranges(name: str, data: Any) -> None:
    array = data.draw(arrays(REAL if name == "ptp" else EVERY))
    axis = data.draw(axes_of(array, several=not name.startswith("arg")))
    matches(*both(name), array, axis=axis, keepdims=data.draw(st.booleans()))


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "cumsum", "cumprod", "std", "var"])
@given(data=st.data())
@tried
def test_result_types(name: str, data: Any) -> None:
    array = data.draw(arrays(REAL, ranks=(1, 2), sizes=(1, 3), special=0))
    dtype = data.draw(st.sampled_from(["i4", "i8", "u1", "f4", "f8", "c8"]))
    if name in ("std", "var") and dtype not in ("f4", "f8"):
        return
    if name.startswith("cum") or array.dtype.kind != "f" or np.dtype(dtype).kind in "fc":
        if array.dtype.kind == "f" and dtype == "u1":
            return
        matches(*both(name), array, axis=0, dtype=np.dtype(dtype), defaults=False)


@pytest.mark.parametrize("name", ["std", "var"])
@given(data=st.data())
@tried
def test_degrees_of_freedom_and_known_means(name: str, data: Any) -> None:
    array = data.draw(arrays(EVERY, ranks=(1, 3)))
    axis = data.draw(st.sampled_from([None, 0, -1]))
    which = data.draw(st.sampled_from(["ddof", "correction"]))
    matches(*both(name), array, axis=axis, **{which: data.draw(st.sampled_from([0, 1, 1.5, 9]))})
    real = data.draw(arrays(FLOATS, ranks=(1, 3), sizes=(1, 3), special=0))
    middle = real.mean(axis=axis, keepdims=True)
    matches(*both(name), real, axis=axis, mean=middle)


def test_one_way_to_say_the_degrees_of_freedom() -> None:
    for function in (mnp.var, mnp.std):
        with pytest.raises(ShapeError, match="correction"):
            function(A, ddof=1, correction=1)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@given(data=st.data())
@tried
def test_running(name: str, data: Any) -> None:
    array = data.draw(arrays((*REAL, "c8")))
    matches(*both(name), array, axis=data.draw(axes_of(array, several=False)))


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
@given(data=st.data())
@tried
def test_running_with_a_start(name: str, data: Any) -> None:
    array = data.draw(arrays((*REAL, "c8")))
    options: dict[str, Any] = {"include_initial": data.draw(st.booleans())}
    if data.draw(st.booleans()):
        options["axis"] = data.draw(axes_of(array, several=False))
    if data.draw(st.booleans()) and array.dtype.kind in "biu":
        options["dtype"] = np.dtype("i4")
    matches(*both(name), array, **options)


@given(data=st.data())
@tried
def test_trapezoid(data: Any) -> None:
    y = data.draw(arrays((*REAL, "c8"), ranks=(1, 3), special=0.1))
    axis = data.draw(st.integers(-y.ndim, y.ndim - 1))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    kind = data.draw(st.integers(0, 2))
    if kind == 0:
        matches(*both("trapezoid"), y, dx=data.draw(st.sampled_from([1.0, 0.5, 2])), axis=axis)
    else:
        shape = (y.shape[axis],) if kind == 1 else y.shape
        matches(*both("trapezoid"), y, random.integers(0, 9, shape).astype("f4"), axis=axis)


@given(data=st.data())
@tried
def test_average(data: Any) -> None:
    array = data.draw(arrays((*REAL, "c8"), special=0.1))
    options: dict[str, Any] = {
        "axis": data.draw(axes_of(array)),
        "returned": data.draw(st.booleans()),
        "keepdims": data.draw(st.booleans()),
    }
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    kind = data.draw(st.integers(0, 3))
    if kind == 1:
        options["weights"] = random.integers(1, 5, array.shape).astype(
            data.draw(st.sampled_from(["f4", "f8", "i4"]))
        )
    elif kind == 2 and options["axis"] is not None:
        axes = options["axis"] if isinstance(options["axis"], tuple) else (options["axis"],)
        if all(-array.ndim <= each < array.ndim for each in axes) and axes:
            shape = tuple(array.shape[each] for each in axes)
            options["weights"] = random.integers(1, 5, shape).astype("f4")
    elif kind == 3:
        options["weights"] = random.integers(1, 5, 2).astype("f4")
    if not array.size and options.get("weights", np.zeros(0)).shape != array.shape:
        return  # NumPy divides sizes or by sums that no result needs, and fails
    # A graph that is being recorded does not know that weights add up to 0.
    matches(*both("average"), array, recorded=array.size > 0, **options)


def test_weights_that_add_up_to_nothing() -> None:
    matches(*both("average"), A, weights=np.zeros((2, 3), "f4"), recorded=False)


@pytest.mark.parametrize(
    "name", [*WHOLE, *LOGICAL, *MOMENTS, "ptp", "argmax", "argmin", "cumsum", "cumprod", "median"]
)
def test_out(name: str) -> None:
    ours, numpys = both(name)
    want = np.asarray(numpys(A, axis=0))
    found = mnp.zeros(want.shape, dtype=want.dtype)
    assert ours(A, axis=0, out=found) is found
    agree(want, np.asarray(found))
    with pytest.raises(ShapeError, match="out"):
        ours(A, axis=0, out=mnp.zeros([7]))
    if name in WHOLE:
        with pytest.raises(TypeError):
            ours(A, axis=0, out=np.zeros(3, "f4"))
