"""What the machine can do at best: multiply-adds in registers, copying between memory blocks.

Profiles are given as shares of these. Nothing else uses the kernels.
"""

from __future__ import annotations

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Module, Value, vector
from mnn.codegen.kernel import TEMPORARY, Buffer, Call, Kernel, Pointer
from mnn.codegen.target import Target
from mnn.records import dataclass

__all__ = ["CopyKernel", "MultiplyAddKernel", "copying", "multiply_adds"]

FLOAT32 = np.dtype(np.float32)

CHUNK_BYTES = 1 << 16
"""Bytes that one item of a copy moves."""
_AT_ONCE = 8
"""Vectors that a copy holds in registers."""
_TURNS = 4096
_ITEMS = 128


@dataclass(frozen=True)
class MultiplyAddKernel(Kernel):
    """Independent chains of multiply-adds that never leave the registers.

    Args:
        chains: how many; enough to hide the latency, few enough for the registers.
    """

    chains: int

    def build(self, target: Target) -> Module:
        """Return the code; slots: where each item stores a vector, turns of the inner loop."""
        module = Module(target)
        f = module.entry()
        _, lo, hi, _ = f.arguments
        block = f.block("*out turns")
        k = Body(f, target.lanes, FLOAT32)
        # The chains converge to 0.5 from different starts: no infinities, no denormal numbers.
        factor, addend = k.const(0.5), k.const(0.25)
        starts = [k.const(1.0 + number / 16) for number in range(self.chains)]
        with f.loop(lo, hi) as item:
            with f.loop(0, block.turns, carried=starts) as turn:
                turn.next = [k.fma(each, factor, addend) for each in turn.carried]
            total = turn.results[0]
            for each in turn.results[1:]:
                total = k.add(total, each)
            place = f.offset(block.out, f.mul(item.index, target.vector_bytes))
            f.store(total, place, align=FLOAT32.itemsize)
        return module


@dataclass(frozen=True)
class CopyKernel(Kernel):
    """Copies chunks of CHUNK_BYTES."""

    def build(self, target: Target) -> Module:
        """Return the code; slots: source, destination, both at multiples of 64 bytes."""
        module = Module(target)
        f = module.entry()
        _, lo, hi, _ = f.arguments
        block = f.block("*source *destination")
        kind, width = vector(target.lanes, F32), target.vector_bytes
        step = width * _AT_ONCE
        begin, end = (f.mul(each, CHUNK_BYTES) for each in (lo, hi))
        with f.loop(begin, end, step) as turn:
            held: list[Value] = []
            for number in range(_AT_ONCE):
                place = f.add(turn.index, number * width)
                held.append(f.load(kind, f.offset(block.source, place), align=width))
            for number, each in enumerate(held):
                place = f.add(turn.index, number * width)
                f.store(each, f.offset(block.destination, place), align=width)
        return module


def multiply_adds(target: Target) -> list[Call]:
    """Return a call that does nothing but float32 multiply-adds, a millisecond or so of them."""
    # Two registers hold the constants, another two are left for what the target needs besides.
    chains = min(20, target.registers - 4)
    out = Buffer(_ITEMS * target.vector_bytes, name="sums")
    work = _ITEMS * _TURNS * chains * target.lanes
    kernel = MultiplyAddKernel(chains)
    slots = (Pointer(out), _TURNS)
    return [Call(kernel, slots, _ITEMS, work=work, label="peak multiply-add")]


def copying(size: int) -> list[Call]:
    """Return calls that copy a block of `size` bytes and back, so that both exist in memory."""
    chunks = size // CHUNK_BYTES
    one, two = (Buffer(chunks * CHUNK_BYTES, TEMPORARY, name="block") for _ in range(2))
    return [
        Call(
            CopyKernel(),
            (Pointer(source), Pointer(goal)),
            chunks,
            traffic=2 * chunks * CHUNK_BYTES,
            label="peak copy",
        )
        for source, goal in ((one, two), (two, one))
    ]
