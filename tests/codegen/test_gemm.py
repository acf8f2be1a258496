"""Matrix products against NumPy in float64: any shape, strides, batch, epilogue and target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

import mnn.ops  # noqa: F401  (operators bring their bodies)
from mnn.codegen.kernel import CONSTANT, INPUT, OUTPUT, Buffer, Call, Epilogue, Tensor
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import gemm
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
def cases(draw: Any) -> Case:
    """Products of any layout."""
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
    name = draw(st.sampled_from(["none", "none", *TAILS]))
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
