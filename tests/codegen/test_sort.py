"""Sorting and selecting kernels against NumPy's stable order, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import OUTPUT, Buffer, Tensor, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import select, sort
from mnn.errors import CodegenError
from mnn.records import replace
from tests.codegen.imaging import emit_all
from tests.codegen.programs import output, views
from tests.codegen.running import filled, run

Array = np.ndarray[Any, Any]
X86 = ("avx512", "avx2", "sse2")
DTYPES = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float32", "float64"),
)
SPECIAL = (0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, 1e-40, -1e-40)


def order(x: Array, *, descending: bool) -> Array:
    """Return the stable order of rows; NaN counts as largest."""
    if not descending:
        return np.argsort(x, axis=-1, kind="stable")
    flipped = np.flip(np.argsort(np.flip(x, -1), axis=-1, kind="stable"), -1)
    found: Array = x.shape[-1] - 1 - flipped
    return found


def elements(dtype: str, shape: tuple[int, ...], kind: str, seed: int = 0) -> Array:
    """Return elements: few different ones, many, the extremes, or all the same."""
    rng = np.random.default_rng(seed)
    if kind == "same":
        return np.full(shape, 1, dtype)
    if dtype.startswith("float"):
        made: Array = rng.standard_normal(shape).astype(dtype)
        if kind != "many":
            chosen = rng.random(shape) < (0.4 if kind == "few" else 1.0)
            made[chosen] = rng.choice(SPECIAL, shape)[chosen]
        return made
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    limits = np.iinfo(dtype)
    if kind == "extreme":
        return rng.choice(np.array([limits.min, limits.max, 0], dtype), shape)
    low, high = (0, 7) if kind == "few" else (limits.min, limits.max)
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)


def compare(
    x: Tensor, array: Array, count: int, target: str, *, descending: bool, chunk: int = 0
) -> None:
    """Assert that values and positions are those of the stable order."""
    shape = (*array.shape[:-1], count)
    values, indices = output(shape, array.dtype.name), output(shape, "int32")
    calls = sort.lower(x, values, indices, TARGETS[target], count=count, descending=descending)
    pairs = [(x, array)]
    got, places = run(calls, pairs, [values, indices], target=TARGETS[target], chunk=chunk)
    want = order(array, descending=descending)[..., :count]
    np.testing.assert_array_equal(places, want)
    assert got.tobytes() == np.take_along_axis(array, want, -1).tobytes()


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["few", "many", "extreme", "same"])
def test_every_dtype(target: str, dtype: str, kind: str) -> None:
    for rows, length, count in (
        (3, 10, 4),
        (2, 70, 70),
        (2, 129, 129),
        (1, 1000, 5),
        (2, 700, 100),
        (2, 900, 600),
    ):
        array = elements(dtype, (rows, length), kind)
        for descending in (False, True):
            compare(filled(array), array, count, target, descending=descending, chunk=1)


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_lengths_counts_and_strides(target: str, data: Any) -> None:
    length = data.draw(st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 128, 130, 257, 600, 1500]))
    outer = data.draw(st.sampled_from([(), (1,), (3,), (2, 3), (2, 1, 2)]))
    count = data.draw(st.one_of(st.just(length), st.integers(1, length)))
    dtype = data.draw(st.sampled_from(["float32", "int32", "float64", "uint8"]))
    kind = data.draw(st.sampled_from(["few", "many", "extreme", "same"]))
    x = data.draw(views((*outer, length), dtype))
    array = elements(dtype, (*outer, length), kind, data.draw(st.integers(0, 9)))
    for axis, stride in enumerate(x.strides):
        if stride == 0:
            array = np.broadcast_to(np.take(array, [0], axis), array.shape)
    descending = data.draw(st.booleans())
    compare(x, array, count, target, descending=descending, chunk=data.draw(st.integers(0, 1)))


@pytest.mark.parametrize("target", X86)
def test_rows_in_which_everything_stays_a_candidate(target: str) -> None:
    rising = np.arange(40000, dtype=np.float32)[None]
    for array in (rising, rising[:, ::-1].copy(), np.full((1, 20000), np.nan, np.float32)):
        for descending in (False, True):
            compare(filled(array), array, 20, target, descending=descending)


def test_few_of_many_are_selected_and_others_sorted() -> None:
    def kernel(length: int, count: int) -> Any:
        x = contiguous(Buffer(4 * length, "input"), (1, length), np.dtype(np.float32))
        values = output((1, count), "float32")
        (call,) = sort.lower(x, values, None, TARGETS["avx2"], count=count)
        return call.kernel

    assert isinstance(kernel(8400, 100), select.SelectKernel)
    assert isinstance(kernel(100, 100), select.SelectKernel)
    assert isinstance(kernel(1000, 1000), sort.SortKernel)
    assert isinstance(kernel(8400, 2000), sort.SortKernel)


def test_one_result_alone() -> None:
    array = elements("float32", (3, 300), "few")
    x, indices, values = filled(array), output((3, 300), "int32"), output((3, 9), "float32")
    want = order(array, descending=False)
    target = TARGETS["avx2"]
    calls = sort.lower(x, None, indices, target, count=300)
    (got,) = run(calls, [(x, array)], [indices], target=target)
    np.testing.assert_array_equal(got, want)
    calls = sort.lower(x, values, None, target, count=9)
    (got,) = run(calls, [(x, array)], [values], target=target)
    assert got.tobytes() == np.take_along_axis(array, want[:, :9], 1).tobytes()


def test_what_it_does_not_take() -> None:
    def tensor(*shape: int, dtype: str = "float32") -> Tensor:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return contiguous(Buffer(size, OUTPUT), shape, np.dtype(dtype))

    x, target = tensor(4, 9), TARGETS["avx2"]
    half = tensor(4, 9, dtype="float16")
    apart = replace(tensor(2, 2, 40), shape=(2, 2, 4), strides=(40, 8, 1))
    with pytest.raises(CodegenError, match="do not sort"):
        sort.lower(half, half, None, target, count=9)
    with pytest.raises(CodegenError, match="at most"):
        sort.lower(x, tensor(4, 10), None, target, count=10)
    with pytest.raises(CodegenError, match="a result is"):
        sort.lower(x, tensor(4, 3), None, target, count=4)
    with pytest.raises(CodegenError, match="a result is"):
        sort.lower(x, None, tensor(4, 4, dtype="int64"), target, count=4)
    with pytest.raises(CodegenError, match="several distances"):
        sort.lower(tensor(2, 2, 9), apart, None, target, count=4)
    assert sort.lower(tensor(0, 9), tensor(0, 9), None, target, count=9) == []
    assert sort.lower(x, tensor(4, 0), None, target, count=0) == []


def test_emits_for_neon() -> None:
    for dtype in ("float32", "float64", "uint8"):
        x, values, indices = output((2, 900), dtype), output((2, 700), dtype), None
        calls = sort.lower(x, values, indices, TARGETS["neon"], count=700)
        places = output((2, 30), "int32")
        calls += sort.lower(x, None, places, TARGETS["neon"], count=30, descending=True)
        assert emit_all(calls, "neon") > 0
