"""Fused loops against NumPy: random programs on random views, targets, chunks, guard pages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import OUTPUT
from mnn.codegen.program import Program
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import loops
from tests.codegen.programs import evaluate, is_row, programs, shapes, small_numbers, views
from tests.codegen.running import run

X86 = ("avx512", "avx2", "sse2")


def check(program: Program, data: Any, shape: tuple[int, ...], reduced: int, target: str) -> None:
    """Compare a program on random views with NumPy, exactly."""
    inputs = [data.draw(views(shape, each)) for each in program.inputs]
    arrays = [small_numbers(number, each) for number, each in enumerate(inputs)]
    kept = shape[: len(shape) - reduced]
    outputs = [
        data.draw(views(kept if is_row(program, each) else shape, program.dtype(each), OUTPUT))
        for each in program.outputs
    ]
    calls = loops.lower(program, inputs, outputs, TARGETS[target], reduced=reduced)
    chunk = data.draw(st.sampled_from([0, 1, 3]))
    pairs = list(zip(inputs, arrays, strict=True))
    if not calls:
        assert all(each.size == 0 for each in outputs)
        return
    found = run(calls, pairs, outputs, target=TARGETS[target], chunk=chunk)
    with np.errstate(all="ignore"):
        wanted = evaluate(program, arrays, reduced)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_elementwise_programs(target: str, data: Any) -> None:
    program = data.draw(programs(reduces=False, length=1))
    check(program, data, data.draw(shapes()), 0, target)


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_programs_with_reductions(target: str, data: Any) -> None:
    shape = data.draw(shapes(sizes=(1, 2, 3, 5, 17, 40)))
    reduced = data.draw(st.integers(0, len(shape)))
    length = int(np.prod(shape[len(shape) - reduced :], dtype=int)) if reduced else 1
    program = data.draw(programs(reduces=reduced > 0, length=length))
    check(program, data, shape, reduced, target)
