"""Picking by index against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import loops
from mnn.errors import CodegenError
from tests.codegen.programs import output, shapes, small_numbers, views
from tests.codegen.running import filled, run

X86 = ("avx512", "avx2", "sse2")


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_take(target: str, data: Any) -> None:
    shape = data.draw(shapes(limit=3, sizes=(1, 2, 3, 5, 17, 40)).filter(len))
    axis = data.draw(st.integers(0, len(shape) - 1))
    picked = data.draw(shapes(limit=2, sizes=(0, 1, 3, 9)))
    dtype = data.draw(st.sampled_from(["bool", "uint8", "int16", "float32", "float64"]))
    kind = data.draw(st.sampled_from(["int32", "int64", "uint8", "int8"]))
    x = data.draw(views(shape, dtype))
    result = (*shape[:axis], *picked, *shape[axis + 1 :])
    out = data.draw(views(result, dtype, OUTPUT))
    i = data.draw(views(picked, kind))
    array = small_numbers(1, x)
    most = min(shape[axis], np.iinfo(kind).max)
    least = -most if kind.startswith("i") else 0
    rng = np.random.default_rng(5)
    own = tuple(n if s else 1 for n, s in zip(picked, i.strides, strict=True))
    indices = np.broadcast_to(rng.integers(least, most, own).astype(kind), picked)
    calls = loops.lower_gather(x, i, out, TARGETS[target], axis=axis)
    if not calls:
        assert out.size == 0
        return
    chunk = data.draw(st.sampled_from([0, 1]))
    (got,) = run(calls, [(x, array), (i, indices)], [out], target=TARGETS[target], chunk=chunk)
    np.testing.assert_array_equal(got, np.take(array, indices.astype(np.int64), axis))


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take_along_axis(target: str, axis: int) -> None:
    rng = np.random.default_rng(axis)
    x = rng.standard_normal((5, 6, 7), np.float32)
    indices = rng.integers(-x.shape[axis], x.shape[axis], (5, 6, 7))
    data, picks, out = filled(x), filled(indices), output(x.shape, "float32")
    calls = loops.lower_gather_elements(data, picks, out, TARGETS[target], axis=axis)
    (got,) = run(calls, [(data, x), (picks, indices)], [out], target=TARGETS[target], chunk=1)
    np.testing.assert_array_equal(got, np.take_along_axis(x, indices, axis))


def test_embeddings_copy_rows() -> None:
    rng = np.random.default_rng(0)
    for width in (1, 3, 16, 33, 300, 3000):
        table = rng.standard_normal((50, width), np.float32)
        indices = rng.integers(0, 50, (4, 9)).astype(np.int32)
        data, picks, out = filled(table), filled(indices), output((4, 9, width), "float32")
        calls = loops.lower_gather(data, picks, out, TARGETS["avx2"], axis=0)
        assert calls[0].kernel.runs == (width > 1)  # type: ignore[attr-defined]
        pairs = [(data, table), (picks, indices)]
        (got,) = run(calls, pairs, [out], target=TARGETS["avx2"], chunk=1)
        np.testing.assert_array_equal(got, table[indices])


def test_what_gathers_do_not_take() -> None:
    x = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.float32))
    i = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.int32))
    with pytest.raises(CodegenError, match="integers"):
        loops.lower_gather(x, x, x, TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="same"):
        loops.lower_gather(x, i, i, TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="shape"):
        loops.lower_gather(x, i, output((5,), "float32"), TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="equal shapes"):
        loops.lower_gather_elements(x, i, output((5,), "float32"), TARGETS["avx2"], axis=0)


def test_emits_for_neon() -> None:
    x = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.float32))
    i = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.int32))
    (call,) = loops.lower_gather(x, i, x, TARGETS["neon"], axis=0)
    assert "KERNEL" in call.kernel.build(TARGETS["neon"]).text()
