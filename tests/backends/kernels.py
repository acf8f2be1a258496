"""Tiny kernels on int64 elements, for tests of what runs kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnn.backends.cpu.plan import Plan
from mnn.codegen.builder import I64, Module
from mnn.codegen.kernel import INPUT, OUTPUT, TEMPORARY, Buffer, Call, Kernel, Tensor
from mnn.codegen.kernel import contiguous as laid_out
from mnn.codegen.target import Target, host_target

INT64 = np.dtype(np.int64)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Linear(Kernel):
    """destination[i] = left[i] * factor + right[i] + number, with the numbers from the block."""

    through_scratch: bool = False

    def build(self, target: Target) -> Module:
        module = Module(target)
        f = module.entry()
        _, lo, hi, scratch = f.arguments
        block = f.block("*left *right *destination factor number")
        with f.loop(lo, hi) as turn:
            place = f.mul(turn.index, 8)
            left = f.load(I64, f.offset(block.left, place), align=8)
            right = f.load(I64, f.offset(block.right, place), align=8)
            found = f.value(f.add(f.mul(left, block.factor), f.add(right, block.number)))
            if self.through_scratch:
                f.store(found, scratch, align=64)
                found = f.load(I64, scratch, align=64)
            f.store(found, f.offset(block.destination, place), align=8)
        return module


def linear(
    left: Tensor,
    right: Tensor,
    destination: Tensor,
    factor: int = 1,
    number: int = 0,
    *,
    grain: int = 1,
    scratch: bool = False,
) -> Call:
    """Return the call of `Linear` on tensors of one size."""
    return Call(
        Linear(scratch),
        (left.pointer, right.pointer, destination.pointer, factor, number),
        destination.size,
        grain=grain,
        scratch=64 if scratch else 0,
        label="linear",
    )


def tensor(shape: int | Sequence[int], kind: str = TEMPORARY) -> Tensor:
    """Return an int64 tensor in a buffer of its own."""
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return laid_out(Buffer(8 * int(np.prod(sizes, dtype=int)), kind), sizes, INT64)


def constant(array: Array) -> Tensor:
    """Return an int64 tensor with this content."""
    return laid_out(Buffer.constant(np.asarray(array, INT64)), np.shape(array), INT64)


def given(shape: int | Sequence[int]) -> Tensor:
    """Return an input."""
    return tensor(shape, INPUT)


def result(shape: int | Sequence[int]) -> Tensor:
    """Return an output."""
    return tensor(shape, OUTPUT)


def random_network(size: int, count: int, seed: int):
    """Steps that combine earlier values at random, and the same in NumPy."""
    random = np.random.default_rng(seed)
    inputs = [given(size), given(size)]
    weights = random.integers(-9, 9, size)
    known: list[Tensor] = [*inputs, constant(weights)]
    steps: list[Call] = []
    recipe: list[tuple[int, int, int, int]] = []
    outputs = []
    for number in range(count):
        # Mostly recent values, so that lives are short and memory is shared.
        left, right = (max(0, len(known) - 1 - int(each)) for each in random.geometric(0.3, 2) - 1)
        factor, added = (int(each) for each in random.integers(-2, 3, 2))
        made = result(size) if number in (count // 2, count - 1) else tensor(size)
        if made.buffer.kind == OUTPUT:
            outputs.append(made)
        scratch = bool(number % 3 == 0)
        steps.append(linear(known[left], known[right], made, factor, added, scratch=scratch))
        recipe.append((left, right, factor, added))
        known.append(made)

    def expected(arrays):
        values = [*arrays, weights]
        for left, right, factor, added in recipe:
            values.append(values[left] * factor + values[right] + added)
        return [values[3 + count // 2], values[-1]]

    return Plan(steps, inputs, outputs, host_target()), expected
