"""Whole-row chains and reductions: exactness, special values, memory shared with inputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mnn.codegen.kernel import INPUT, Buffer, Call, Tensor, contiguous
from mnn.codegen.program import CAST, CONSTANT, Program, Step, constant_step
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import loops
from mnn.codegen.templates.columns import ColumnKernel
from mnn.codegen.templates.rows import RowKernel
from mnn.codegen.templates.transpose import TileKernel
from mnn.codegen.templates.walk import IN_SCRATCH
from mnn.errors import CodegenError
from mnn.records import replace
from tests.codegen.imaging import emit_all
from tests.codegen.programs import evaluate, is_row, output, step
from tests.codegen.running import Runner, filled, run

Array = np.ndarray[Any, Any]
F32 = "float32"
X86 = ("avx512", "avx2", "sse2")

SOFTMAX = Program(
    (F32,),
    (
        step("reduce.max", 0),
        step("subtract", 0, 1),
        step("exp", 2),
        step("reduce.sum", 3),
        step("divide", 3, 4),
    ),
    (5,),
)
LOG_SOFTMAX = Program((F32,), (*SOFTMAX.steps[:4], step("log", 4), step("subtract", 2, 5)), (6,))


def layer_norm(length: int) -> Program:
    """Return layer norm from primitives; inputs 1 and 2 are scale and shift."""
    return Program(
        (F32, F32, F32),
        (
            step("reduce.sum", 0),
            constant_step(1 / length, F32),
            step("multiply", 3, 4),
            step("subtract", 0, 5),
            step("multiply", 6, 6),
            step("reduce.sum", 7),
            step("multiply", 8, 4),
            constant_step(1e-5, F32),
            step("add", 9, 10),
            step("sqrt", 11),
            step("divide", 6, 12),
            step("multiply", 13, 1),
            step("add", 14, 2),
        ),
        (15,),
    )


def rms_norm(length: int) -> Program:
    """Return x / sqrt(mean(x * x) + 1e-6) * scale."""
    return Program(
        (F32, F32),
        (
            step("multiply", 0, 0),
            step("reduce.sum", 2),
            constant_step(1 / length, F32),
            step("multiply", 3, 4),
            constant_step(1e-6, F32),
            step("add", 5, 6),
            step("sqrt", 7),
            step("divide", 0, 8),
            step("multiply", 9, 1),
        ),
        (10,),
    )


def normal(*shape: int, seed: int = 0) -> Array:
    """Return float32 random numbers."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def lowered(
    program: Program, arrays: list[Array], reduced: int, target: str, order: list[int] | None = None
) -> tuple[list[Call], list[Tensor], list[Tensor]]:
    """Return calls on contiguous tensors; axes of the first one lie in memory as `order` says."""
    shape = arrays[0].shape
    tensors = [filled(arrays[0], order=order), *[filled(each) for each in arrays[1:]]]
    views = [each.broadcast(shape) for each in tensors]
    kept = shape[: len(shape) - reduced]
    outputs = [
        output(kept if is_row(program, each) else shape, program.dtype(each))
        for each in program.outputs
    ]
    return loops.lower(program, views, outputs, TARGETS[target], reduced=reduced), tensors, outputs


def results(
    program: Program,
    arrays: list[Array],
    reduced: int,
    target: str,
    order: list[int] | None = None,
    chunk: int = 0,
) -> list[Array]:
    """Return what a program computes."""
    calls, tensors, outputs = lowered(program, arrays, reduced, target, order)
    pairs = list(zip(tensors, arrays, strict=True))
    return run(calls, pairs, outputs, target=TARGETS[target], chunk=chunk)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 10, 16, 17, 31, 64, 100, 255, 1000, 5000])
def test_chains_are_exact_for_every_length(target: str, length: int) -> None:
    rows = 5 if length >= 1000 else 600
    x, scale, shift = normal(rows, length), normal(length, seed=1), normal(length, seed=2)
    cases: list[tuple[Program, list[Array]]] = [
        (SOFTMAX, [x]),
        (LOG_SOFTMAX, [x]),
        (layer_norm(length), [x, scale, shift]),
        (rms_norm(length), [x, scale]),
    ]
    for program, arrays in cases:
        for order in ([0, 1], [1, 0]):
            (got,) = results(program, arrays, 1, target, order)
            wide = [np.broadcast_to(each, x.shape) for each in arrays]
            (truth,) = evaluate(program, wide, 1, exact=True)
            if length == 1 and len(arrays) > 1:
                continue  # All digits cancel.
            np.testing.assert_allclose(got, truth, rtol=2e-5, atol=4e-6)


@pytest.mark.parametrize("target", X86)
def test_kernels_suit_the_length(target: str) -> None:
    def kernel(rows: int, length: int, order: list[int] | None = None) -> Any:
        calls, _, _ = lowered(SOFTMAX, [normal(rows, length)], 1, target, order)
        return calls[0].kernel

    short = kernel(5000, 3)
    assert isinstance(short, ColumnKernel)
    assert short.length == 3
    registers = kernel(1000, 48)
    assert isinstance(registers, RowKernel)
    assert registers.length == 48
    long = kernel(20, 1000)
    assert isinstance(long, RowKernel)
    assert (long.length, long.places) == (0, (0,))
    total = Program((F32,), (step("reduce.sum", 0),), (1,))
    calls, _, _ = lowered(total, [normal(1000, 100)], 1, target, [1, 0])
    assert [type(each.kernel) for each in calls] == [ColumnKernel]
    # The input lies along columns, the output along rows: one of them is turned first.
    calls, _, _ = lowered(SOFTMAX, [normal(1000, 100)], 1, target, [1, 0])
    assert {type(each.kernel) for each in calls} == {TileKernel, ColumnKernel}


def staggered(call: Call) -> bool:
    """Return whether the passes of a call run side by side."""
    return isinstance(call.kernel, RowKernel) and call.kernel.staggered


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("length", [300, 1000, 1024])
@pytest.mark.parametrize("program", [SOFTMAX, LOG_SOFTMAX], ids=["softmax", "log_softmax"])
def test_staggered_passes_change_no_bit(target: str, length: int, program: Program) -> None:
    x = normal(150, length)
    x[3, 5], x[7], x[8, 0] = np.nan, -np.inf, np.inf
    calls, (tensor,), outputs = lowered(program, [x], 1, target)
    assert staggered(calls[0])
    plain = [replace(calls[0], kernel=alone(calls[0].kernel))]
    (wanted,) = run(plain, [(tensor, x)], outputs, target=TARGETS[target])
    for chunk in (0, 1, 7):
        (got,) = run(calls, [(tensor, x)], outputs, target=TARGETS[target], chunk=chunk)
        np.testing.assert_array_equal(got, wanted)


def alone(kernel: Any) -> Any:
    """Return a kernel that is through with a row before it begins the next one."""
    return replace(kernel, staggered=False)


@pytest.mark.parametrize("chunk", [0, 1])
def test_staggered_rows_in_place_with_results_of_rows(chunk: int) -> None:
    """A row's maximum and logarithm of the sum are stored when later rows are under way."""
    program = replace(LOG_SOFTMAX, outputs=(6, 1, 5))
    x = normal(24, 10, 500)
    tensor, most, logs = filled(x), output((24, 10), F32), output((24, 10), F32)
    target = TARGETS["avx512"]
    calls = loops.lower(program, [tensor], [tensor, most, logs], target, reduced=1)
    assert staggered(calls[0])
    runner = Runner(calls, target)
    runner.write(tensor, x)
    runner.run(chunk)
    truth = evaluate(program, [x], 1, exact=True)
    for each, wanted in zip((tensor, most, logs), truth, strict=True):
        np.testing.assert_allclose(runner.view(each), wanted, rtol=1e-5)


def test_passes_stagger_where_it_pays() -> None:
    """Few rows, rows written twice in slow memory and passes without much to compute do not."""
    for shape, wanted in (((1000, 1000), True), ((60, 1000), False), ((4000, 1000), False)):
        calls, _, _ = lowered(SOFTMAX, [normal(*shape)], 1, "avx512")
        assert staggered(calls[0]) == wanted
    calls, _, _ = lowered(LOG_SOFTMAX, [normal(4000, 1000)], 1, "avx512")
    assert staggered(calls[0])
    calls, _, _ = lowered(rms_norm(1000), [normal(1000, 1000), normal(1000)], 1, "avx512")
    assert not staggered(calls[0])


def test_values_stay_in_scratch_where_an_output_may_be_an_input() -> None:
    """The second pass still reads x, so exp(x) may not be kept in its place."""
    program = Program(
        (F32,),
        (step("exp", 0), step("reduce.sum", 1), step("divide", 1, 2), step("multiply", 3, 0)),
        (4,),
    )
    x = normal(20, 1000)
    tensor = filled(x)
    calls = loops.lower(program, [tensor], [tensor], TARGETS["avx2"], reduced=1)
    assert calls[0].kernel.places == (IN_SCRATCH,)  # type: ignore[attr-defined]
    runner = Runner(calls, TARGETS["avx2"])
    runner.write(tensor, x)
    runner.run()
    np.testing.assert_allclose(runner.view(tensor), evaluate(program, [x], 1)[0], rtol=2e-5)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("columns", [512, 519])
def test_columns_that_compete_for_the_cache_are_copied(target: str, columns: int) -> None:
    """Elements of a column are 2048 bytes apart, so they share few places of the cache."""
    room = filled(np.zeros((60, 1024), np.float32))
    view = Tensor(room.buffer, (columns, 60), (1, 1024), room.dtype)
    x = normal(columns, 60)
    out = output((60, columns), F32).permuted((1, 0))
    calls = loops.lower(SOFTMAX, [view], [out], TARGETS[target], reduced=1)
    assert calls[0].kernel.copies  # type: ignore[attr-defined]
    (got,) = run(calls, [(view, x)], [out], target=TARGETS[target], chunk=1)
    np.testing.assert_allclose(got, evaluate(SOFTMAX, [x], 1, exact=True)[0], rtol=2e-6)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("shape", [(7, 33), (3, 1000), (300, 4), (2, 70000)])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_rows_in_place(target: str, shape: tuple[int, int], order: list[int]) -> None:
    x = normal(*shape)
    tensor = filled(x, order=order)
    for program in (SOFTMAX, Program((F32,), (step("multiply", 0, 0),), (1,))):
        reduced = 1 if program.reduces else 0
        calls = loops.lower(program, [tensor], [tensor], TARGETS[target], reduced=reduced)
        runner = Runner(calls, TARGETS[target])
        runner.write(tensor, x)
        runner.run(chunk=1)
        (truth,) = evaluate(program, [x], reduced, exact=True)
        np.testing.assert_allclose(runner.view(tensor), truth, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", X86)
def test_row_results_in_the_memory_of_row_inputs(target: str) -> None:
    """A row result is stored early, while the rest of a cut program still reads a row input."""
    program = Program(
        (F32, F32), (step("reduce.sum", 0), step("add", 2, 1), step("multiply", 0, 1)), (3, 4)
    )
    x, old = normal(2, 70000), normal(2, seed=3)
    source, row = filled(x), filled(old)
    out = output(x.shape, F32)
    view = Tensor(row.buffer, x.shape, (1, 0), row.dtype)
    calls = loops.lower(program, [source, view], [row, out], TARGETS[target], reduced=1)
    runner = Runner(calls, TARGETS[target])
    runner.write(source, x)
    runner.write(row, old)
    runner.run()
    np.testing.assert_allclose(runner.view(row), x.sum(1, np.float64) + old, rtol=1e-5)
    np.testing.assert_array_equal(runner.view(out), x * old[:, None])


# --- sums ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_long_sums_stay_exact(target: str, order: list[int]) -> None:
    program = Program((F32,), (step("reduce.sum", 0),), (1,))
    for array in (np.full((1, 1 << 21), 0.1, np.float32), normal(9, 100003) + 1):
        (got,) = results(program, [array], 1, target, order)
        np.testing.assert_allclose(got, array.sum(1, np.float64), rtol=5e-7)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_integer_sums_wrap_in_the_dtype_of_the_result(target: str, order: list[int]) -> None:
    x = np.random.default_rng(0).integers(-100, 100, (40, 700)).astype(np.int8)
    for result in ("int8", "int32", "int64", "uint16"):
        program = Program(("int8",), (Step("reduce.sum", (0,), result, result),), (1,))
        (got,) = results(program, [x], 1, target, order)
        np.testing.assert_array_equal(got, x.sum(1, dtype=result))


# --- special values ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin", "sum", "prod", "any", "all"])
@pytest.mark.parametrize("length", [4, 21, 300, 200000])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_special_values(target: str, name: str, length: int, order: list[int]) -> None:
    rng = np.random.default_rng(length)
    rows = 6 if length > 1000 else 40
    x = rng.integers(-3, 4, (rows, length)).astype(np.float32)
    specials = np.float32([np.nan, np.inf, -np.inf, -0.0])
    for row in range(1, rows):
        for _ in range(row % 4):
            x[row, rng.integers(length)] = specials[rng.integers(4)]
    x[2], x[3], x[4] = -np.inf, np.inf, np.nan
    result = {"any": "bool", "all": "bool"}.get(name, "int64" if "arg" in name else F32)
    program = Program((F32,), (Step(f"reduce.{name}", (0,), F32, result),), (1,))
    if name == "prod":
        x = np.where(np.abs(x) > 1, np.sign(x), x).astype(np.float32)
    (got,) = results(program, [x], 1, target, order)
    with np.errstate(all="ignore"):
        wanted = getattr(np, name)(x, axis=1)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("target", X86)
def test_positions_over_several_axes(target: str) -> None:
    x = np.random.default_rng(0).integers(0, 5, (3, 4, 5, 6)).astype(np.int32)
    program = Program(("int32",), (Step("reduce.argmin", (0,), "int32", "int32"),), (1,))
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 3, 1]):
        (got,) = results(program, [x], 2, target, order)
        np.testing.assert_array_equal(got, x.reshape(3, 4, 30).argmin(-1))


@pytest.mark.parametrize("target", X86)
def test_extreme_and_its_position_at_once(target: str) -> None:
    x = normal(50, 77)
    steps = (step("reduce.max", 0), Step("reduce.argmax", (0,), F32, "int32"))
    for order in ([0, 1], [1, 0]):
        most, where = results(Program((F32,), steps, (1, 2)), [x], 1, target, order)
        np.testing.assert_array_equal(most, x.max(1))
        np.testing.assert_array_equal(where, x.argmax(1))


# --- empty and odd -------------------------------------------------------------------------------


@pytest.mark.parametrize("target", X86)
def test_empty_rows(target: str) -> None:
    x = np.zeros((3, 0), np.float32)
    for name, wanted in (("sum", 0), ("prod", 1), ("any", False), ("all", True)):
        result = "bool" if isinstance(wanted, bool) else F32
        program = Program((F32,), (Step(f"reduce.{name}", (0,), F32, result),), (1,))
        (got,) = results(program, [x], 1, target)
        assert got.tolist() == [wanted] * 3
    with pytest.raises(CodegenError, match="empty"):
        lowered(Program((F32,), (step("reduce.max", 0),), (1,)), [x], 1, target)
    assert lowered(SOFTMAX, [np.zeros((0, 3), np.float32)], 1, target)[0] == []


@pytest.mark.parametrize("target", X86)
def test_halves_are_converted_on_the_way(target: str) -> None:
    x = normal(37, 50).astype(np.float16)
    x[0, :4] = [np.nan, np.inf, -0.0, 6e-8]
    program = Program(
        ("float16",),
        (
            Step(CAST, (0,), "float16", F32),
            step("add", 1, 1),
            Step(CAST, (2,), F32, "float16"),
            step("reduce.sum", 2),
        ),
        (3, 4),
    )
    for order in ([0, 1], [1, 0]):
        doubled, sums = results(program, [x], 1, target, order)
        np.testing.assert_array_equal(doubled, x + x)
        truth = 2 * x.sum(1, dtype=np.float64)
        np.testing.assert_allclose(sums, truth, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("dtype", ["float16", "complex64", "bool", "uint64"])
def test_movement_takes_any_dtype(target: str, dtype: str) -> None:
    x = (np.arange(600) % 2).astype(dtype).reshape(20, 30)
    source, out = filled(x), output((30, 20), dtype)
    program = Program((dtype,), (), (0,))
    calls = loops.lower(program, [source.permuted((1, 0))], [out], TARGETS[target])
    (got,) = run(calls, [(source, x)], [out], target=TARGETS[target])
    np.testing.assert_array_equal(got, x.T)


def test_what_loops_do_not_take() -> None:
    x = contiguous(Buffer(48, INPUT), (3, 4), np.dtype(F32))
    row = output((3,), F32)
    target = TARGETS["avx2"]
    total = Program((F32,), (step("reduce.sum", 0),), (1,))
    double = Program((F32,), (step("add", 0, 0),), (1,))
    with pytest.raises(CodegenError, match="reduced >= 1"):
        loops.lower(total, [x], [x], target)
    with pytest.raises(CodegenError, match="found inputs"):
        loops.lower(total, [output((3, 4), "int32")], [row], target, reduced=1)
    with pytest.raises(CodegenError, match="shapes"):
        loops.lower(Program((F32, F32), (step("add", 0, 1),), (2,)), [x, row], [x], target)
    with pytest.raises(CodegenError, match="shape"):
        loops.lower(double, [x], [row], target)
    with pytest.raises(CodegenError, match="one value for rows"):
        loops.lower(double, [x], [row], target, reduced=1)
    with pytest.raises(CodegenError, match="stride 0"):
        loops.lower(double, [x], [Tensor(row.buffer, (3, 4), (1, 0), row.dtype)], target)
    both = Program((F32,), (step("add", 0, 0), step("reduce.sum", 0)), (1, 2))
    with pytest.raises(CodegenError, match="one value for rows"):
        loops.lower(both, [x], [row, output((3,), F32)], target, reduced=1)
    constant = Program((), (constant_step(1.0, F32), step("reduce.sum", 0)), (1,))
    with pytest.raises(CodegenError, match="without inputs"):
        loops.lower(constant, [], [row], target, reduced=1)
    halves = Program(("float16",), (Step("add", (0, 0), "float16", "float16"),), (1,))
    with pytest.raises(CodegenError, match="float16"):
        loops.lower(halves, [output((3, 4), "float16")], [output((3, 4), "float16")], target)


def test_constants_fill() -> None:
    program = Program((), (Step(CONSTANT, (), F32, F32, (("value", 2.5),)),), (0,))
    out = output((5, 7), F32)
    (got,) = run(loops.lower(program, [], [out], TARGETS["avx2"]), [], [out])
    assert np.all(got == np.float32(2.5))


def test_calls_say_what_they_cost() -> None:
    calls, _, _ = lowered(SOFTMAX, [normal(1000, 1000)], 1, "avx2")
    (call,) = calls
    assert call.traffic == 8_000_000
    assert call.work >= 5_000_000
    assert call.items == 1000
    assert 1 <= call.grain <= 1000 // 8
    (copy,) = loops.lower(
        Program((F32,), (), (0,)),
        [contiguous(Buffer(1 << 22, INPUT), (1 << 20,), np.dtype(F32))],
        [output((1 << 20,), F32)],
        TARGETS["avx2"],
    )
    assert copy.items // copy.grain >= 8
    assert (1 << 20) // copy.items * copy.grain >= 16384
    assert math.prod((copy.traffic,)) == 2 << 22


@pytest.mark.parametrize("shape", [(1000, 1000), (1000, 48), (5000, 3)])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_emits_for_neon(shape: tuple[int, int], order: list[int]) -> None:
    calls, _, _ = lowered(SOFTMAX, [normal(*shape)], 1, "neon", order)
    assert emit_all(calls, "neon") > 0
