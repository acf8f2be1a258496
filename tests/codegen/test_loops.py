"""Fused loops against NumPy: random programs on random views, targets, chunks, guard pages."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import OUTPUT, Tensor
from mnn.codegen.program import Program
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import loops, reducing, schedule
from tests.codegen.programs import (
    chains,
    evaluate,
    is_row,
    output,
    programs,
    shapes,
    small_numbers,
    step,
    views,
)
from tests.codegen.running import filled, run

X86 = ("avx512", "avx2", "sse2")
SOFTMAX = Program(
    ("float32",),
    (
        step("reduce.max", 0),
        step("subtract", 0, 1),
        step("exp", 2),
        step("reduce.sum", 3),
        step("divide", 3, 4),
    ),
    (5,),
)


def check(program: Program, data: Any, shape: tuple[int, ...], reduced: int, target: str) -> None:
    """Compare a program on random views with NumPy, exactly."""
    inputs = [data.draw(views(shape, each)) for each in program.inputs]
    arrays = [small_numbers(number, each) for number, each in enumerate(inputs)]
    kept = shape[: len(shape) - reduced]
    outputs = [
        data.draw(views(kept if is_row(program, each) else shape, program.dtype(each), OUTPUT))
        for each in program.outputs
    ]
    outputs = in_place(data, inputs, outputs)
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


def in_place(data: Any, inputs: list[Tensor], outputs: list[Tensor]) -> list[Tensor]:
    """Return the outputs, some of them in the memory of an input."""
    free = [each for each in inputs if each.size and 0 not in each.strides]
    chosen = []
    for out in outputs:
        fitting = [each for each in free if (each.shape, each.dtype) == (out.shape, out.dtype)]
        if fitting and data.draw(st.integers(0, 3)) == 0:
            out = fitting[0]
            free.remove(out)
        chosen.append(out)
    return chosen


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


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_programs_whose_rows_are_cut(target: str, data: Any) -> None:
    """Rows are cut here as if they were a thousand times as long."""
    columns = data.draw(st.sampled_from([(), (1,), (3,), (2, 3), (5,), (40,)]))
    length = data.draw(st.sampled_from([(300,), (1000,), (40, 25), (641,), (2100,)]))
    shape = (*columns, *length)
    program = data.draw(programs(reduces=True, length=math.prod(length)))
    with mock.patch.object(reducing, "_CHUNK", 16):
        check(program, data, shape, len(length), target)


@pytest.mark.parametrize("target", X86)
def test_cut_rows_run_in_several_calls(target: str) -> None:
    shape = (2, 70000)
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    source, out = filled(x), output(shape, "float32")
    calls = loops.lower(SOFTMAX, [source], [out], TARGETS[target], reduced=1)
    assert len(calls) == 5 + 2  # a piece is left over twice
    assert max(each.items for each in calls) >= 8
    (got,) = run(calls, [(source, x)], [out], target=TARGETS[target])
    (truth,) = evaluate(SOFTMAX, [x], 1, exact=True)
    np.testing.assert_allclose(got, truth, rtol=2e-6)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_narrow_columns_are_dealt_out(target: str, width: int) -> None:
    x = np.random.default_rng(0).random((9001, width), np.float32)
    source, out = filled(x), output((width,), "float32")
    program = Program(("float32",), (step("reduce.sum", 0),), (1,))
    calls = loops.lower(program, [source.permuted((1, 0))], [out], TARGETS[target], reduced=1)
    (got,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=1)
    np.testing.assert_allclose(got, x.sum(0, np.float64), rtol=3e-7)


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_values_kept_between_passes(target: str, data: Any) -> None:
    """Whatever a later pass needs is kept here, in scratch or outputs, as if it were costly."""
    sizes = [(3, 40), (40, 3), (2, 3, 17), (17, 40), (3, 100), (70, 9), (2, 5, 70), (512, 11)]
    shape = data.draw(st.sampled_from(sizes))
    reduced = data.draw(st.integers(1, len(shape) - 1))
    straight = data.draw(st.sampled_from([0, 0, 768]))
    with (
        mock.patch.object(schedule, "_WORTH_KEEPING", 1),
        mock.patch.object(reducing, "_STRAIGHT", straight),
    ):
        check(data.draw(chains()), data, shape, reduced, target)
