"""Sorting in graphs: kernels where they are faster than NumPy, and its order everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.cpu.plan import HostCall
from mnn.expr.var import Var
from mnn.ops.sorting import argsort, sort, topk
from tests.compile.recording import Recorded, by_reference, segment

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).integers(-40, 40, (6, 50, 7)).astype(np.float32) / 4


def check(function: Recorded, array: Array, *, hosts: int = 0) -> None:
    """Assert the reference's results, with so many steps of NumPy."""
    made = segment(function, [array])
    plan = made.compiled([array], low=False)[0].plan
    assert sum(isinstance(step, HostCall) for step in plan.steps) == hosts
    for threads in (1, 2):
        found = made.run([array], threads=threads, low=False)
        for got, want in zip(found, by_reference(function, [array]), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("largest", [False, True])
def test_topk(axis: int, largest: bool) -> None:
    def both(x: Var) -> list[Var]:
        return list(topk(x * 2, 3, axis=axis, largest=largest))

    def one(port: int) -> Callable[[Var], Var]:
        return lambda x: topk(x, 3, axis=axis, largest=largest)[port] + 1

    check(both, X)
    check(one(0), X)
    check(one(1), X)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("descend", [False, True])
def test_sort(axis: int, descend: bool) -> None:
    check(lambda x: sort(x, axis, False, descend), X)
    check(lambda x: argsort(x, axis=axis, descending=descend), X)


def test_long_rows() -> None:
    array = np.random.default_rng(1).standard_normal((2, 3000), np.float32)
    array[0, 5:9] = np.nan
    array[1, 100:200] = -0.0
    array[1, 150:160] = 0.0
    check(lambda x: argsort(x, axis=1), array)
    check(lambda x: list(topk(x, 2000, axis=1)), array)
    check(lambda x: sort(x, 1), array, hosts=1)
