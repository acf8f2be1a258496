"""Copies that change the order of elements, on every target this machine runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import OUTPUT, Buffer, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import relayout
from mnn.errors import CodegenError
from tests.codegen.imaging import RUNNABLE, emit_all
from tests.codegen.running import Array, filled, run


def check(array: Array, order: tuple[int, ...], target: str, chunk: int = 0) -> None:
    x = filled(array)
    y = contiguous(Buffer(array.nbytes, OUTPUT), array.shape, array.dtype, order)
    calls = relayout.lower(x, y, TARGETS[target])
    (found,) = run(calls, [(x, array)], [y], target=TARGETS[target], chunk=chunk)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.float16, np.int64])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 33, 17, 1), (3, 40, 50), (5,), (70, 70)])
def test_every_order(target: str, dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for order in itertools.permutations(range(len(shape))):
        for chunk in (0, 1):
            check(array, order, target, chunk)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_random_orders(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=5))
    order = data.draw(st.permutations(range(len(shape))))
    array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    check(array, tuple(order), data.draw(st.sampled_from(RUNNABLE)))


def test_repeated_elements() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = filled(array)
    y = contiguous(Buffer(array.nbytes * 5, OUTPUT), (3, 5, 4), array.dtype, (2, 0, 1))
    wide = x.broadcast((5, 3, 4)).permuted((1, 0, 2))
    calls = relayout.lower(wide, y, TARGETS["avx2"])
    (found,) = run(calls, [(x, array)], [y], target=TARGETS["avx2"])
    np.testing.assert_array_equal(found, np.broadcast_to(array[:, None], (3, 5, 4)))


def test_what_is_refused() -> None:
    x, y = filled(np.zeros((2, 3), np.float32)), filled(np.zeros((2, 3), np.int32))
    with pytest.raises(CodegenError, match="expected equal types"):
        relayout.lower(x, y, TARGETS["avx2"])
    wide = filled(np.zeros((2,) * 7, np.float32))
    turned = contiguous(Buffer(512), (2,) * 7, np.dtype(np.float32), (0, 2, 4, 6, 1, 3, 5))
    with pytest.raises(CodegenError, match="7 axes"):
        relayout.lower(wide, turned, TARGETS["avx2"])


def test_emits_for_neon() -> None:
    for dtype in (np.float32, np.int8, np.float64):
        x = filled(np.zeros((40, 50), dtype))
        y = contiguous(Buffer(x.buffer.size, OUTPUT), x.shape, x.dtype, (1, 0))
        assert emit_all(relayout.lower(x, y, TARGETS["neon"]), "neon") > 0
