"""Products of float16: every matrix kernel on targets that have them, and what they are made of."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

import mnn  # noqa: F401  (operators bring their bodies)
from mnn.codegen.emission import Emitter
from mnn.codegen.kernel import CONSTANT, INPUT, Call, Epilogue
from mnn.codegen.target import TARGETS, Target
from mnn.codegen.templates import attention, gemm
from mnn.codegen.templates.float16 import RUN
from mnn.codegen.templates.packing import Panels, pack
from mnn.codegen.templates.tile import FLOAT32, HALVES, PAIRS
from mnn.errors import CodegenError
from mnn.records import replace
from tests.codegen import test_attention as attending
from tests.codegen.accuracy import (
    TYPICAL,
    WORST,
    emulated_halves,
    halves_of_neon,
    typical_error,
)
from tests.codegen.convolving import check, labels
from tests.codegen.running import Array, Runner, filled, run
from tests.codegen.test_gemm import TAILS, Case, cases, placed, plain_case

X86 = ("avx512", "avx2")
ONE = ((1, 1), (1, 1))
NATIVE = {
    "avx512": replace(
        TARGETS["avx512"],
        features="+avx512fp16",
        float16_products=True,
        float16_arithmetic=True,
    ),
    "neon": halves_of_neon(),
}


def lowered(case: Case, target: Target) -> list[Call]:
    """Return the calls of a product of float16."""
    calls = gemm.lower(
        case.a, case.b, case.out, target, bias=case.bias, epilogue=case.epilogue, low=True
    )
    assert calls[-1].kernel.product == HALVES  # type: ignore[attr-defined]
    return calls


def computed(case: Case, target: Target, chunk: int = 0) -> Array:
    """Return what a product of float16 gives."""
    runner = Runner(lowered(case, target), target)
    for tensor, array in case.values:
        if not tensor.is_constant:
            runner.write(tensor, array)
    runner.run(chunk)
    return runner.view(case.out).copy()


def judge(case: Case, got: Array) -> None:
    """Compare with float64, as the table of accuracy allows."""
    sums, size = case.accumulated()
    assert np.all(np.abs(got - sums) <= WORST[HALVES] * size)
    assert typical_error(got, sums) <= TYPICAL[HALVES]


# --- products ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("b_is", ["constant", "computed", "transposed"])
@pytest.mark.parametrize(
    "size", [(1, 99, 70), (60, 33, 5), (50, 64, 48), (61, 1, 33), (130, 700, 39)], ids=str
)
def test_products(target: str, b_is: str, size: tuple[int, int, int]) -> None:
    if b_is != "constant" and size[0] == 1:
        size = (48, *size[1:])
    case = plain_case(*size, constant=b_is == "constant")
    if b_is == "transposed":
        case.b = placed(case.b.shape, INPUT, [1, 0])
        case.values[1] = (case.b, case.values[1][1])
    whole = computed(case, emulated_halves(target))
    judge(case, whole)
    np.testing.assert_array_equal(computed(case, emulated_halves(target), chunk=1), whole)


@pytest.mark.parametrize("target", X86)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(tails=()), chunk=st.sampled_from([0, 0, 1]))
def test_products_of_any_layout(target: str, case: Case, chunk: int) -> None:
    """Those that are not worth it stay products of float32."""
    chosen = emulated_halves(target)
    calls = gemm.lower(case.a, case.b, case.out, chosen, bias=case.bias, low=True)
    runner = Runner(calls, chosen)
    for tensor, array in case.values:
        if not tensor.is_constant and tensor.size:
            runner.view(tensor)[...] = array
    runner.run(chunk)
    sums, size = case.accumulated()
    assert np.all(np.abs(runner.view(case.out) - sums) <= WORST[HALVES] * size)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("bias", ["none", "one"])
def test_products_of_a_batch(target: str, bias: str) -> None:
    case = plain_case(50, 70, 45, batch=(2, 3))
    values = case.value(case.bias)[:1]
    case.bias = None
    if bias == "one":
        one = filled(values)
        case.bias = one.broadcast((45,))
        case.values.append((case.bias, np.repeat(values, 45)))
        case.values[-1:] = [(one, values), *case.values[-1:]]
    runner = Runner(lowered(case, emulated_halves(target)), emulated_halves(target))
    for tensor, array in case.values:
        if not tensor.is_constant and tensor.shape == array.shape and 0 not in tensor.strides:
            runner.write(tensor, array)
    runner.run(1)
    judge(case, runner.view(case.out))


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("name", list(TAILS))
def test_epilogues(target: str, name: str) -> None:
    """Whatever follows meets the sums that are stored without it."""
    plain, tail = plain_case(23, 134, 49), TAILS[name]
    sums = computed(plain, emulated_halves(target))
    rng, values, operands = np.random.default_rng(3), list(plain.values), []
    for number, dtype in enumerate(tail.operands):
        array = rng.standard_normal((23, 49) if number == 0 else (49,)).astype(dtype)
        operands.append(filled(array))
        values.append((operands[-1], array))
    dtype = np.dtype(tail.program.dtype(tail.program.outputs[0]))
    out = placed((23, 49), "output", [0, 1], dtype=dtype)
    case = Case(plain.a, plain.b, out, plain.bias, Epilogue(tail.program, tuple(operands)), values)
    got = computed(case, emulated_halves(target))
    expected = tail.meaning(sums, *(case.value(each) for each in operands))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_errors_do_not_grow_with_the_depth() -> None:
    errors, target = [], emulated_halves("avx512")
    for depth in (RUN, 8 * RUN, 128 * RUN):
        case = plain_case(20, depth, 64)
        case.bias = None
        errors.append(typical_error(computed(case, target), case.accumulated()[0]))
    assert max(errors) < 1.15 * min(errors)


def test_sums_of_one_sign() -> None:
    """A sum that grows is not lost in the rounding of what is added to it."""
    case = plain_case(20, 3000, 64)
    case.bias = None
    magnitudes = [np.abs(each) for _, each in case.values[:2]]
    case.b = placed(case.b.shape, CONSTANT, [0, 1], values=magnitudes[1])
    case.values = [(case.a, magnitudes[0]), (case.b, magnitudes[1])]
    got, exact = computed(case, emulated_halves("avx512")), case.accumulated()[0]
    np.testing.assert_allclose(got, exact, rtol=2.0**-10)


# --- magnitudes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("constant", [True, False])
def test_magnitudes_that_float16_does_not_have(target: str, constant: bool) -> None:
    """Rows and columns of any size: results are as exact as those of ordinary numbers."""
    case = plain_case(60, 300, 37, constant=constant)
    case.bias = None
    rows = np.geomspace(1e-25, 1e25, 60, dtype=np.float32)[:, None]
    columns = np.geomspace(1e9, 1e-12, 37, dtype=np.float32)
    a, b = case.value(case.a) * rows, case.value(case.b) * columns
    a[7], b[:, 5] = 0.0, 0.0
    case.b = placed(b.shape, CONSTANT if constant else INPUT, [0, 1], values=b)
    case.values = [(case.a, a), (case.b, b)]
    got, (sums, size) = computed(case, emulated_halves(target)), case.accumulated()
    assert np.isfinite(got).all()
    assert np.all(np.abs(got - sums) <= WORST[HALVES] * size + 1e-38)
    kept = np.delete(np.delete(got / rows / columns, 7, 0), 5, 1)
    exact = np.delete(np.delete(sums / rows / columns, 7, 0), 5, 1)
    assert typical_error(kept, exact) < TYPICAL[HALVES]


@pytest.mark.parametrize("target", X86)
def test_the_largest_products_do_not_overflow(target: str) -> None:
    case = plain_case(15, 2 * RUN, 40)
    case.bias = None
    a, b = np.full((15, 2 * RUN), 60000.0, np.float32), np.full((2 * RUN, 40), -65504, np.float32)
    a[3], b[:, 1] = 1.999 * 2.0**120, 3.999
    a[4] = 2.0**-110
    case.b = placed(b.shape, CONSTANT, [0, 1], values=b)
    case.values = [(case.a, a), (case.b, b)]
    with np.errstate(over="ignore"):
        exact = case.accumulated()[0].astype(np.float32)
    np.testing.assert_allclose(
        computed(case, emulated_halves(target)), exact, rtol=WORST[HALVES], atol=1e-38
    )


@pytest.mark.parametrize("target", X86)
def test_special_values_stay_in_their_row_and_column(target: str) -> None:
    case = plain_case(33, 70, 50)
    a, b = case.value(case.a), case.value(case.b).copy()
    a[16, 3], a[0, 1], b[2, 49], b[1, 0] = np.nan, np.inf, -np.inf, 0.0
    case.b = placed(b.shape, CONSTANT, [0, 1], values=b)
    case.values[1] = (case.b, b)
    with np.errstate(all="ignore"):
        expected = a.astype(np.float64) @ b.astype(np.float64) + case.value(case.bias)
    got = computed(case, emulated_halves(target))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    kept = np.isfinite(expected)
    assert typical_error(got[kept], expected[kept]) < TYPICAL[HALVES]
    np.testing.assert_array_equal(got[~kept], expected[~kept].astype(np.float32))


@pytest.mark.parametrize("target", X86)
def test_panels_of_float16(target: str) -> None:
    """Columns times their scales, which lie behind each panel, in the order of the vectors."""
    chosen, rng = emulated_halves(target), np.random.default_rng(5)
    for depth, columns in [(5, 40), (33, 3), (20, 49), (64, 16)]:
        value = rng.standard_normal((2, depth, columns), np.float32) * 1e6
        plain, halves = (
            Panels(depth, columns, 2, chosen.lanes, product) for product in (FLOAT32, HALVES)
        )
        source = filled(value, CONSTANT)
        wanted, _ = pack(source, plain, chosen)
        room, _ = pack(source, halves, chosen)
        memory = room.array.reshape(2, -1).view(np.uint8)
        singles = wanted.array.reshape(2, -1).view(np.uint8).view(np.float32)
        for number, whole in enumerate(singles):
            place = start = 0
            for panel in range(halves.panels):
                width = chosen.lanes * (2 if panel < halves.full else halves.tail)
                part = memory[number, place:]
                found = part[: 2 * depth * width].view(np.float16).reshape(depth, width)
                scales = part[2 * depth * width :][: 4 * width].view(np.float32)
                exact = whole[start : start + depth * width].reshape(depth, width)
                assert np.all(np.abs(found).max(0)[exact.any(0)] >= 2)
                np.testing.assert_array_equal(found, (exact / scales).astype(np.float16))
                place += (2 * depth + 4) * width
                start += depth * width


# --- convolutions --------------------------------------------------------------------------------

CONVOLUTIONS: list[tuple[tuple[int, ...], Any, int, dict[str, Any]]] = [
    ((1, 64, 14, 14), (3, 3), 64, {"pads": ONE, "stride": (2, 2)}),
    ((2, 17, 9, 11), (3, 5), 37, {"pads": ((2, 0), (1, 3)), "dilation": (2, 2)}),
    ((1, 512, 7, 7), (3, 3), 48, {"pads": ONE}),
    ((1, 32, 9, 9), (1, 1), 48, {"stride": (2, 2)}),
    ((2, 32, 9, 5), (1, 1), 41, {}),
    ((1, 40, 9, 9), (3, 3), 40, {"groups": 2}),
    ((1, 3, 20, 20), (3, 3), 20, {"last": False}),
    ((1, 3, 20, 20), (7, 7), 20, {"stride": (2, 2), "pads": ((3, 3), (3, 3))}),
    ((1, 32, 9, 11), (3, 3), 2, {"pads": ONE}),
    ((2, 20, 7, 9), (4, 4), 24, {"stride": (2, 2), "pads": ONE, "transpose": True}),
    ((1, 6, 4, 5, 6), (2, 3, 2), 19, {"stride": (2, 1, 1)}),
]


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize(("shape", "kernel", "outputs", "options"), CONVOLUTIONS)
def test_convolutions(
    target: str | Target, shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any]
) -> None:
    chosen = target if isinstance(target, Target) else emulated_halves(target)
    more = {"output_padding": (0, 0)} if "transpose" in options else {}
    for chunk, residual, size in ((0, False, 1.0), (1, True, 1e6)):
        calls = check(
            shape,
            kernel,
            outputs,
            chosen,
            low=True,
            tolerance=2 * TYPICAL[HALVES],
            chunk=chunk,
            residual=residual and size == 1.0,
            size=size,
            **options,
            **more,
        )
        uses = [getattr(getattr(each.kernel, "tile", each.kernel), "product", "") for each in calls]
        assert (HALVES in uses) != ("dots" in labels(calls))


def test_few_outputs_are_products_of_float32() -> None:
    """Whatever the machine has: their kernel has no other."""
    for target in (replace(TARGETS["avx512"], bfloat16=True), emulated_halves("avx512")):
        calls = check((1, 32, 9, 11), (3, 3), 2, target, low=True, pads=ONE)
        assert "dots" in labels(calls)


# --- attention -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("sizes", [(2, 40, 64, 64, 64), (1, 9, 33, 32, 17), (3, 20, 2200, 64, 70)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(target: str | Target, sizes: tuple[int, ...], causal: bool) -> None:
    case = attending.Case(*sizes)
    scale = 1 / math.sqrt(sizes[3])
    chosen = target if isinstance(target, Target) else emulated_halves(target)
    calls = attention.lower(
        case.q,
        case.k,
        case.v,
        case.out,
        chosen,
        scores=Epilogue(attending.program(scale)),
        causal=causal,
        low=True,
    )
    assert calls[-1].kernel.product == HALVES  # type: ignore[attr-defined]
    pairs = list(zip(case.tensors, case.arrays, strict=True))
    want = attending.wanted(*case.views, scale=scale, causal=causal)
    for chunk in (0, 1):
        (got,) = run(calls, pairs, [case.out], target=chosen, chunk=chunk)
        # Two products, one after the other.
        assert typical_error(got, want) < 2 * TYPICAL[HALVES]


@pytest.mark.parametrize("n", [40, 2100])
def test_attention_that_sees_nothing(n: int) -> None:
    case, chosen = attending.Case(1, 10, n, 4, 18), emulated_halves("avx2")
    mask = np.zeros((10, n), np.float32)
    case.arrays[0][1], mask[4] = np.nan, -np.inf
    tensor = filled(mask)
    calls = attention.lower(
        case.q,
        case.k,
        case.v,
        case.out,
        chosen,
        scores=Epilogue(attending.program(1.0, mask="add"), (tensor,)),
        zero=True,
        low=True,
    )
    pairs = [*zip(case.tensors, case.arrays, strict=True), (tensor, mask)]
    (got,) = run(calls, pairs, [case.out], target=chosen)
    want = attending.wanted(*case.views, mask=mask, zero=True)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(got[0, 4], 0)


# --- targets -------------------------------------------------------------------------------------


def assembly(call: Call, target: Target) -> str:
    """Return the code of a kernel as text."""
    from mnn.codegen.emission import binding

    text, emitter = (
        call.kernel.build(target).text(),
        Emitter(triple=target.triple, cpu=target.cpu, features=target.features),
    )
    emitter.emit(text)
    module = binding().parse_assembly(text)
    module.triple = emitter.machine.triple
    return str(emitter.machine.emit_assembly(module))


def inner_loops(text: str, pattern: str) -> list[str]:
    """Return the loops without others inside that have an instruction."""
    found = []
    for block in re.split(r"^(?=\.LBB\w+:)", text, flags=re.MULTILINE):
        label = block.split(":", 1)[0]
        body, jump, _ = block.partition(f"\t{label}\n")
        if jump and re.search(pattern, body):
            found.append(body)
    return found


@pytest.mark.parametrize(
    ("name", "pattern", "stack"),
    [("avx512", r"vfmadd\d+ph", "%rsp"), ("neon", r"fmla\tv\d+\.8h", "[sp")],
)
def test_inner_loops_use_registers_and_instructions_of_float16(
    name: str, pattern: str, stack: str
) -> None:
    target, case = NATIVE[name], plain_case(196, 512, 512)
    (call,) = lowered(case, target)
    loops = inner_loops(assembly(call, target), pattern)
    kernel: Any = call.kernel
    assert not any(stack in each or "cvt" in each for each in loops)
    most = max(len(re.findall(pattern, each)) for each in loops)
    assert most == kernel.rows * kernel.vectors // 2 * (target.lanes if name == "neon" else 1)


@pytest.mark.parametrize("name", list(NATIVE))
def test_all_kernels_are_made_for_machines_that_have_float16(name: str) -> None:
    target = NATIVE[name]
    emitter = Emitter(triple=target.triple, cpu=target.cpu, features=target.features)
    attended = attending.Case(2, 40, 64, 64, 64)
    calls = attention.lower(attended.q, attended.k, attended.v, attended.out, target, low=True)
    for size in [(1, 40, 40), (50, 64, 48), (20, 300, 5)]:
        calls += lowered(plain_case(*size), target)
    for call in calls:
        assert emitter.emit(call.kernel.build(target).text())[0]


def test_bfloat16_comes_first() -> None:
    both = replace(NATIVE["avx512"], bfloat16=True)
    case = plain_case(50, 64, 48)
    calls = gemm.lower(case.a, case.b, case.out, both, bias=case.bias, low=True)
    assert calls[-1].kernel.product == PAIRS  # type: ignore[attr-defined]


def test_other_targets_refuse() -> None:
    case = plain_case(50, 64, 48)
    (call,) = lowered(case, emulated_halves("avx2"))
    with pytest.raises(CodegenError, match="products of float16"):
        call.kernel.build(TARGETS["avx2"])


def test_which_precisions_are_low() -> None:
    plain, halves = TARGETS["avx512"], NATIVE["avx512"]
    pairs = replace(plain, bfloat16=True)
    for target in (plain, halves, pairs):
        assert target.shortens("low")
        assert not target.shortens("normal")
        assert not target.shortens("high")
    assert [each.shortens("low_bf16") for each in (plain, halves, pairs)] == [False, False, True]
