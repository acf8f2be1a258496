"""Matrix products against NumPy in float64: any shape, strides, batch, epilogue and target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

import mnn.ops  # noqa: F401  (operators bring their bodies)
from mnn.codegen.emission import emit
from mnn.codegen.kernel import CONSTANT, INPUT, OUTPUT, Buffer, Call, Epilogue, Tensor
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS, Target, host_target
from mnn.codegen.templates import gemm
from mnn.codegen.templates.packing import Panels, can_pack, pack
from mnn.codegen.templates.pairs import pairs_along_rows
from mnn.codegen.templates.tile import PAIRS
from mnn.errors import CodegenError
from tests.codegen.running import Runner

Array = np.ndarray[Any, Any]
X86 = ["avx512", "avx2", "sse2"]
FLOAT = np.dtype(np.float32)


def placed(
    shape: Sequence[int],
    kind: str,
    order: Sequence[int],
    spread: int = 1,
    repeated: Sequence[int] = (),
    dtype: Any = FLOAT,
    values: Array | None = None,
) -> Tensor:
    """A tensor whose axes lie in `order`, with gaps of `spread`, some axes without extent."""
    strides = [0] * len(shape)
    step = spread
    for axis in reversed(order):
        if axis not in repeated:
            strides[axis] = step
            step *= shape[axis]
    size = sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    size = size if math.prod(shape) else 0
    buffer = Buffer(size * np.dtype(dtype).itemsize, kind)
    tensor = Tensor(buffer, tuple(shape), tuple(strides), np.dtype(dtype))
    if kind == CONSTANT:
        content = np.zeros(size, dtype)
        view = np.lib.stride_tricks.as_strided(
            content, shape, [each * content.itemsize for each in strides]
        )
        if values is not None:
            view[...] = values
        buffer = Buffer.constant(content)
        tensor = Tensor(buffer, tensor.shape, tensor.strides, tensor.dtype)
    return tensor


@dataclass
class Case:
    """Tensors of a product and what they hold."""

    a: Tensor
    b: Tensor
    out: Tensor
    bias: Tensor | None
    epilogue: Epilogue | None
    values: list[tuple[Tensor, Array]]

    def value(self, tensor: Tensor) -> Array:
        for each, array in self.values:
            if each is tensor:
                return array
        raise KeyError

    def calls(self, target: str, **options: Any) -> list[Call]:
        return gemm.lower(
            self.a,
            self.b,
            self.out,
            TARGETS[target],
            bias=self.bias,
            epilogue=self.epilogue,
            **options,
        )

    def run(self, target: str, chunk: int = 0, **options: Any) -> Array:
        runner = Runner(self.calls(target, **options), TARGETS[target])
        for tensor, array in self.values:
            if not tensor.is_constant and tensor.size:
                runner.view(tensor)[...] = array
        runner.run(chunk)
        return runner.view(self.out).copy()

    def accumulated(self) -> tuple[Array, Array]:
        """The sums in float64, and how large they would be without cancellation."""
        a, b = (self.value(each).astype(np.float64) for each in (self.a, self.b))
        with np.errstate(all="ignore"):
            sums, size = a @ b, np.abs(a) @ np.abs(b)
            if self.bias is not None:
                sums, size = sums + self.value(self.bias), size + np.abs(self.value(self.bias))
        return np.broadcast_to(sums, self.out.shape), np.broadcast_to(size, self.out.shape)


def _step(name: str, *arguments: int) -> Step:
    return Step(name, arguments, "float32", "float32")


@dataclass(frozen=True)
class Tail:
    """An epilogue and what it means."""

    program: Program
    meaning: Any

    @property
    def operands(self) -> tuple[str, ...]:
        return self.program.inputs[1:]


def _tail(meaning: Any, *steps: Step, operands: Sequence[str] = ()) -> Tail:
    inputs = ("float32", *operands)
    return Tail(Program(inputs, steps, (len(inputs) + len(steps) - 1,)), meaning)


TAILS = {
    "relu": _tail(
        lambda x: np.maximum(x, 0), Step("relu", (0,), "float32", "float32", (("slope", 0.0),))
    ),
    "residual": _tail(lambda x, y: x + y, _step("add", 0, 1), operands=["float32"]),
    "scaled": _tail(
        lambda x, y, z: x * y + z,
        _step("multiply", 0, 1),
        _step("add", 3, 2),
        operands=["float32", "float32"],
    ),
    "gated": _tail(
        lambda x, y: y / (1 + np.exp(-x)),
        _step("sigmoid", 0),
        _step("multiply", 2, 1),
        operands=["float32"],
    ),
    "masked": _tail(
        lambda x, y: np.where(y, x, -1.0),
        constant_step(-1.0, "float32"),
        _step("select", 1, 0, 2),
        operands=["bool"],
    ),
    "doubled": _tail(
        lambda x, y: x + y,
        Step("add", (0, 1), "float64", "float64"),
        operands=["float64"],
    ),
    "positive": _tail(
        lambda x: x > 0.25,
        constant_step(0.25, "float32"),
        Step("greater", (0, 1), "float32", "bool"),
    ),
}


def _filled(rng: np.random.Generator, shape: Sequence[int], dtype: Any = FLOAT) -> Array:
    if np.dtype(dtype).kind == "b":
        return rng.random(shape) < 0.5
    return rng.uniform(-2, 2, shape).astype(dtype)


def plain_case(
    m: int, k: int, n: int, *, batch: Sequence[int] = (), constant: bool = True, seed: int = 0
) -> Case:
    """A product of tensors without gaps, with a bias."""
    rng = np.random.default_rng(seed)
    order = range(len(batch) + 2)
    a = placed((*batch, m, k), INPUT, order)
    b_value = _filled(rng, (*batch, k, n))
    b = placed((*batch, k, n), CONSTANT if constant else INPUT, order, values=b_value)
    bias = placed((n,), INPUT, [0])
    out = placed((*batch, m, n), OUTPUT, order)
    values = [(a, _filled(rng, a.shape)), (b, b_value), (bias, _filled(rng, (n,)))]
    return Case(a, b, out, bias, None, values)


@st.composite
def cases(draw: Any, tails: Sequence[str] = tuple(TAILS)) -> Case:
    """Products of any layout, most with one of the epilogues when there are `tails`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = st.one_of(st.integers(0, 5), st.integers(1, 40), st.sampled_from([16, 32, 49, 64, 96]))
    m, k, n = draw(sizes), draw(sizes), draw(sizes)
    batch = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    constants = draw(st.sampled_from(["none", "b", "ab", "b", "none"]))
    values: list[tuple[Tensor, Array]] = []

    def tensor(shape: tuple[int, ...], kind: str, dtype: Any = FLOAT, tidy: bool = False) -> Tensor:
        axes = range(len(shape))
        order = draw(st.permutations(axes)) if not tidy and draw(st.booleans()) else list(axes)
        spread = 1 if tidy else draw(st.sampled_from([1, 1, 1, 2]))
        repeated = [axis for axis in axes[:-2] if draw(st.integers(0, 3)) == 0]
        value = _filled(rng, shape, dtype)
        for axis in repeated:
            value = np.repeat(value.take([0], axis), shape[axis], axis)
        made = placed(shape, kind, order, spread, repeated, dtype, value)
        values.append((made, value))
        return made

    def broadcast_batch() -> tuple[int, ...]:
        kept = batch[draw(st.integers(0, len(batch))) :]
        return tuple(1 if draw(st.integers(0, 3)) == 0 else size for size in kept)

    a = tensor((*broadcast_batch(), m, k), CONSTANT if "a" in constants else INPUT)
    b = tensor((*broadcast_batch(), k, n), CONSTANT if "b" in constants else INPUT)
    bias = None
    if draw(st.booleans()):
        bias = tensor((n,), draw(st.sampled_from([INPUT, CONSTANT])))
    epilogue = None
    name = draw(st.sampled_from(["none", "none", *tails]))
    dtype: Any = FLOAT
    if name != "none":
        tail = TAILS[name]
        operands = []
        for each in tail.operands:
            whole = (*batch, m, n)
            shape = tuple(1 if draw(st.integers(0, 2)) == 0 else size for size in whole)
            shape = shape[draw(st.integers(0, len(shape))) :]
            operands.append(tensor(shape, INPUT, each, tidy=each != "float32"))
        epilogue = Epilogue(tail.program, tuple(operands))
        dtype = np.dtype(tail.program.dtype(tail.program.outputs[0]))
    axes = list(range(len(batch) + 2))
    tidy = dtype != FLOAT or draw(st.booleans())
    order = axes if tidy else draw(st.permutations(axes))
    out = placed(
        (*batch, m, n), OUTPUT, order, 1 if tidy else draw(st.sampled_from([1, 2])), (), dtype
    )
    return Case(a, b, out, bias, epilogue, values)


def judge(case: Case, got: Array) -> None:
    """Compare with float64, allowing for float32 sums of the terms' size."""
    sums, size = case.accumulated()
    expected: Array = sums
    if case.epilogue is not None:
        tail = next(each for each in TAILS.values() if each.program == case.epilogue.program)
        expected = tail.meaning(sums, *(case.value(each) for each in case.epilogue.operands))
        if expected.dtype == np.bool_:
            sure = np.abs(sums - 0.25) > 1e-5 * (size + 1)
            np.testing.assert_array_equal(got[sure], np.broadcast_to(expected, got.shape)[sure])
            return
    assert np.all(np.abs(got - expected) <= 2e-6 * (size + 1))


@pytest.mark.parametrize("target", X86)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(), chunk=st.sampled_from([0, 0, 1]))
def test_any_product_agrees_with_numpy(target, case, chunk):
    judge(case, case.run(target, chunk))


SIZES = [
    (1, 1, 1),
    (1, 700, 130),
    (3, 64, 1000),
    (4, 33, 17),
    (14, 5, 16),
    (15, 600, 31),
    (130, 37, 50),
    (257, 100, 3),
    (300, 20, 1),
    (70, 1030, 100),
]


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("constant", [True, False], ids=["constant", "computed"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_many_blocks_split_anywhere(target, size, constant):
    case = plain_case(*size, constant=constant)
    whole = case.run(target)
    judge(case, whole)
    np.testing.assert_array_equal(case.run(target, chunk=1), whole)


@pytest.mark.parametrize("target", X86)
def test_columns_of_b_along_k(target):
    for size in [(1, 100, 70), (2, 40, 9), (3, 17, 5), (4, 31, 64), (40, 64, 33), (20, 9, 50)]:
        case = plain_case(*size, batch=(2,), constant=False)
        case.b = placed(case.b.shape, INPUT, [0, 2, 1])
        case.values[1] = (case.b, case.values[1][1])
        judge(case, case.run(target))


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("size", [(1, 40, 40), (5, 40, 40), (20, 30, 3), (33, 70, 50)], ids=str)
def test_special_values_stay_in_their_row_and_column(target, size):
    m, k, n = size
    case = plain_case(m, k, n)
    a, b = case.value(case.a), case.value(case.b).copy()
    a[m // 2, 3], a[0, 1], b[2, n - 1] = np.nan, np.inf, -np.inf
    b[1, 0] = 0.0
    case.b = placed(b.shape, CONSTANT, [0, 1], values=b)
    case.values[1] = (case.b, b)
    with np.errstate(all="ignore"):
        expected = a.astype(np.float64) @ b.astype(np.float64) + case.value(case.bias)
    got = case.run(target)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    kept = np.isfinite(expected)
    np.testing.assert_allclose(got[kept], expected[kept], atol=1e-4)
    np.testing.assert_array_equal(got[~kept], expected[~kept].astype(np.float32))


def test_sums_of_nothing_are_the_bias():
    case = plain_case(3, 0, 20, batch=(2,))
    got = case.run("avx512")
    np.testing.assert_array_equal(got, np.broadcast_to(case.value(case.bias), got.shape))


@pytest.mark.parametrize("size", [(0, 4, 5), (3, 4, 0)])
def test_an_empty_result_needs_no_call(size):
    assert plain_case(*size).calls("avx512") == []


@pytest.mark.parametrize("target", X86)
def test_long_sums_are_as_exact_as_short_ones(target):
    case = plain_case(20, 6000, 40)
    sums, _ = case.accumulated()
    error = np.abs(case.run(target) - sums).max() / np.abs(sums).max()
    assert error < 1e-6


@pytest.mark.parametrize("target", X86)
def test_rows_of_a_by_lane(target):
    # The way of NEON, on vectors of this machine.
    lanes = replace(TARGETS[target], lane_multiply=True)
    for size in [(7, 3, 12), (7, 4, 12), (20, 39, 50)]:
        case = plain_case(*size)
        calls = gemm.lower(case.a, case.b, case.out, lanes, bias=case.bias)
        runner = Runner(calls, lanes)
        for tensor, array in case.values:
            if not tensor.is_constant:
                runner.write(tensor, array)
        runner.run()
        judge(case, runner.view(case.out).copy())


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_neon_needs_nothing_from_outside(case):
    neon = TARGETS["neon"]
    for call in case.calls("neon"):
        text = call.kernel.build(neon).text()
        emit(text, triple=neon.triple, cpu=neon.cpu, features=neon.features)


def _bfloat16(values: Array) -> Array:
    """Values rounded to the nearest bfloat16, of two equally near ones to the even one."""
    exact = values.astype(np.float64)
    unit = np.exp2(np.floor(np.log2(np.maximum(np.abs(exact), 1e-300))) - 7)
    return np.round(exact / unit) * unit


@pytest.mark.parametrize("b_is", ["constant", "computed", "transposed"])
@pytest.mark.parametrize("size", [(1, 99, 70), (60, 33, 5), (50, 64, 48), (130, 700, 33)], ids=str)
def test_low_precision_multiplies_bfloat16(size, b_is):
    target = host_target()
    case = plain_case(*size, constant=b_is == "constant")
    if b_is == "transposed":
        case.b = placed(case.b.shape, INPUT, [1, 0])
        case.values[1] = (case.b, case.values[1][1])
    calls = gemm.lower(case.a, case.b, case.out, target, bias=case.bias, low=True)
    runner = Runner(calls, target)
    for tensor, array in case.values:
        if not tensor.is_constant:
            runner.write(tensor, array)
    runner.run(chunk=1)
    got = runner.view(case.out).copy()
    if getattr(calls[-1].kernel, "product", "") == PAIRS:
        case.values = [
            (tensor, _bfloat16(array) if tensor is not case.bias else array)
            for tensor, array in case.values
        ]
    judge(case, got)


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1]], ids=str)
def test_panels_of_pairs(order):
    target = host_target()
    rng = np.random.default_rng(5)
    for depth, columns in [(5, 40), (32, 16), (34, 49), (64, 70), (97, 33)]:
        value = _filled(rng, (2, depth, columns))
        known = placed(value.shape, CONSTANT, order, values=value)
        computed = placed(value.shape, INPUT, order)
        panels = Panels(-(-depth // 2), columns, 2, target.lanes, PAIRS)
        expected = np.empty((2, panels.bytes // 4), np.float32)
        for made, matrix in zip(expected, value, strict=True):
            panels.fill(made, pairs_along_rows(matrix).view(np.float32))
        for tensor in (known, computed):
            if target.bfloat16 and can_pack(tensor, target, PAIRS):
                got = _packed(tensor, value, panels, target)
                np.testing.assert_array_equal(got, expected.reshape(-1).view(np.uint32))


def test_bfloat16_kernels_are_made_for_machines_that_have_them():
    target = replace(TARGETS["avx512"], features="+avx512bf16", bfloat16=True)
    case = plain_case(20, 40, 40)
    (call,) = gemm.lower(case.a, case.b, case.out, target, bias=case.bias, low=True)
    assert call.scratch
    emit(
        call.kernel.build(target).text(),
        triple=target.triple,
        cpu=target.cpu,
        features=target.features,
    )


def test_rounding_to_pairs():
    values = np.array([[1.0, -0.0, np.inf, np.nan], [1 + 2**-8, 3e38, -np.inf, 1e-40]], np.float32)
    pairs = pairs_along_rows(values)
    np.testing.assert_array_equal(pairs_along_rows(np.asfortranarray(values)), pairs)
    low = (pairs << 16).view(np.float32)
    high = (pairs & 0xFFFF0000).view(np.float32)
    np.testing.assert_array_equal(low, [[1.0, -0.0, np.inf, np.nan]])
    assert np.signbit(low[0, 1])
    np.testing.assert_array_equal(high[0, [0, 2]], [1.0, -np.inf])
    assert abs(high[0, 1] / 3e38 - 1) < 2**-8
    np.testing.assert_array_equal(pairs_along_rows(values[:1]) >> 16, [[0, 0, 0, 0]])


def _packed(tensor: Tensor, value: Array, panels: Panels, target: Target) -> Array:
    """What a tensor is packed into, as bits."""
    room, calls = pack(tensor, panels, target)
    if tensor.is_constant:
        return room.array.reshape(-1).view(np.uint8).view(np.uint32)
    runner = Runner(calls, target)
    runner.write(tensor, value)
    runner.run(chunk=1)
    return runner.memory(room).bytes[: room.size].view(np.uint32).copy()


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1], [1, 2, 0]], ids=str)
def test_panels(target, order):
    rng = np.random.default_rng(5)
    for depth, columns in [(1, 3), (5, 40), (20, 16), (33, 49), (64, 1), (17, 70)]:
        value = _filled(rng, (2, depth, columns))
        known = placed(value.shape, CONSTANT, order, values=value)
        computed = placed(value.shape, INPUT, order)
        for vectors in (1, 2, 3):
            panels = Panels(depth, columns, vectors, TARGETS[target].lanes)
            expected = np.empty((2, panels.bytes // 4), np.float32)
            for made, matrix in zip(expected, value, strict=True):
                panels.fill(made, matrix)
            for tensor in (known, computed):
                got = _packed(tensor, value, panels, TARGETS[target])
                np.testing.assert_array_equal(got, expected.reshape(-1).view(np.uint32))


def test_what_does_not_fit_is_explained():
    case = plain_case(3, 4, 5)
    target = TARGETS["avx512"]
    short = placed((3, 3), INPUT, [0, 1])
    double = placed((3, 4), INPUT, [0, 1], dtype=np.float64)
    vector = placed((4,), INPUT, [0])
    many = placed((2, 3, 4), INPUT, [0, 1, 2])
    for a, b, bias in [
        (short, case.b, None),
        (double, case.b, None),
        (case.a, vector, None),
        (many, case.b, None),
        (case.a, case.b, vector),
    ]:
        with pytest.raises(CodegenError, match="matrix product"):
            gemm.lower(a, b, case.out, target, bias=bias)
    whole = Epilogue(TAILS["positive"].program, ())
    with pytest.raises(CodegenError, match="bool"):
        gemm.lower(case.a, case.b, case.out, target, epilogue=whole)
    wrong = Epilogue(TAILS["residual"].program, (double,))
    with pytest.raises(CodegenError, match="float64"):
        gemm.lower(case.a, case.b, case.out, target, epilogue=wrong)


def test_one_kernel_serves_many_sizes():
    kernels = {
        plain_case(m, k, n).calls("avx512")[-1].kernel
        for m, k, n in [(196, 64, 384), (784, 32, 192), (3136, 24, 96), (196, 96, 64)]
    }
    assert len(kernels) == 1
