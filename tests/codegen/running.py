"""Runs calls of templates on buffers whose ends touch unreadable memory: any overrun crashes."""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mnn.codegen.host import host
from mnn.codegen.kernel import CONSTANT, INPUT, Buffer, Call, Pointer, Tensor, contiguous
from mnn.codegen.linking import library
from mnn.codegen.prepare import pending
from mnn.codegen.target import Target, host_target
from tests.codegen.aarch64 import Emulated, Held

pytest.importorskip("llvmlite", reason="kernels are machine code")

Array = np.ndarray[Any, Any]
_PAGE = mmap.PAGESIZE
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


class Guarded:
    """`size` bytes that end where an unreadable page begins (but for rounding up to `align`)."""

    def __init__(self, size: int, align: int, fill: int = 0xAB) -> None:
        room = -(-max(size, 1) // align) * align
        pages = -(-room // _PAGE)
        self._map = mmap.mmap(-1, (pages + 2) * _PAGE)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        for page in (self._start, self._start + (pages + 1) * _PAGE):
            assert libc.mprotect(ctypes.c_void_p(page), _PAGE, 0) == 0
        self.address = self._start + (pages + 1) * _PAGE - room
        place = self.address - self._start
        self.bytes = np.frombuffer(self._map, np.uint8, room, place)
        self.bytes[...] = fill
        self._libc = libc

    def __del__(self) -> None:
        for page in (self._start, self._start + len(self._map) - _PAGE):
            self._libc.mprotect(ctypes.c_void_p(page), _PAGE, mmap.PROT_READ | mmap.PROT_WRITE)


class Native:
    """This machine with some kernels."""

    def __init__(self, texts: Sequence[str], target: Target) -> None:
        self._functions = [_ENTRY(each) for each in library().compile_all(texts, target)]

    def hold(self, size: int, align: int) -> Guarded:
        """Return memory that ends at an unreadable page (but for rounding up to `align`)."""
        return Guarded(size, align)

    def run(self, parts: Sequence[tuple[int, int, int, int]], scratch: int) -> None:
        """Call kernels: (number, address of the argument block, lo, hi)."""
        for number, block, lo, hi in parts:
            self._functions[number](block, lo, hi, scratch)


def runs_here(target: Target) -> bool:
    """True when this machine runs the code itself; other code needs an emulator."""
    mine = host().process_triple
    return (target.triple or mine).split("-")[0] == mine.split("-")[0]


class Runner:
    """Gives buffers guarded memory and runs calls on it; keeps both, for repeated timing.

    Args:
        target: what the calls are for; None means what this machine has. AArch64 is emulated.
        made: a constant that the calls compute.
    """

    def __init__(
        self, calls: Sequence[Call], target: Target | None = None, made: Buffer | None = None
    ) -> None:
        self.calls = list(calls)
        self._made = made
        self._memory: dict[Buffer, Guarded | Held] = {}
        chosen = target or host_target()
        kernels = list(dict.fromkeys(each.kernel for each in self.calls))
        self._numbers = {kernel: number for number, kernel in enumerate(kernels)}
        texts = [each.build(chosen).text() for each in kernels]
        machine = Native if runs_here(chosen) else Emulated
        self._machine: Native | Emulated = machine(texts, chosen)
        scratch = max([each.scratch for each in self.calls], default=0)
        self._scratch = self._machine.hold(scratch, 64)
        self._blocks = [self._block(each) for each in self.calls]

    def memory(self, buffer: Buffer) -> Guarded | Held:
        """Return the memory of a buffer; that of a constant holds its content."""
        if buffer not in self._memory:
            foreign = buffer.kind not in ("constant", "temporary")
            held = self._machine.hold(buffer.size, 1 if foreign else 64)
            if buffer.kind == CONSTANT and buffer is not self._made:
                content = _content(buffer).reshape(-1).view(np.uint8)
                held.bytes[: content.size] = content
            self._memory[buffer] = held
        return self._memory[buffer]

    def write(self, tensor: Tensor, array: Array) -> None:
        """Store an array in a tensor."""
        self.view(tensor)[...] = array

    def view(self, tensor: Tensor) -> Array:
        """Return a tensor's elements as a NumPy view."""
        flat = self.memory(tensor.buffer).bytes[: tensor.buffer.size].view(tensor.dtype)
        steps = tuple(each * tensor.dtype.itemsize for each in tensor.strides)
        return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)

    def _block(self, call: Call) -> Guarded | Held:
        packed = b""
        for slot in call.slots:
            if isinstance(slot, Pointer):
                packed += struct.pack("<q", self.memory(slot.buffer).address + slot.offset)
            elif isinstance(slot, float):
                packed += struct.pack("<fi", slot, 0)
            else:
                packed += struct.pack("<q", slot)
        held = self._machine.hold(len(packed), 8)
        held.bytes[: len(packed)] = np.frombuffer(packed, np.uint8)
        return held

    def run(self, chunk: int = 0) -> None:
        """Run the calls in order; `chunk` items at a time, 0 for all at once."""
        parts = []
        for call, block in zip(self.calls, self._blocks, strict=True):
            step = chunk or call.items
            for lo in range(0, call.items, step):
                hi = min(lo + step, call.items)
                parts.append((self._numbers[call.kernel], block.address, lo, hi))
        self._machine.run(parts, self._scratch.address)


def _content(buffer: Buffer) -> Array:
    """Return what a constant holds, where need be after the emulator has computed it."""
    for each in pending([buffer]):
        if each.target is not None and not runs_here(each.target):
            runner = Runner(each.calls, each.target, made=each)
            runner.run()
            each.hold(runner.memory(each).bytes[: each.size].copy())
    return buffer.array


def filled(array: Array, kind: str = INPUT, order: Sequence[int] | None = None) -> Tensor:
    """Return a tensor for an array, in a buffer of its own; constants hold the content."""
    if kind == CONSTANT:
        moved = array if order is None else array.transpose(order)
        return contiguous(
            Buffer.constant(np.ascontiguousarray(moved)), array.shape, array.dtype, order
        )
    return contiguous(Buffer(array.nbytes, kind), array.shape, array.dtype, order)


def run(
    calls: Sequence[Call],
    inputs: Mapping[Tensor, Array] | Sequence[tuple[Tensor, Array]],
    outputs: Sequence[Tensor],
    *,
    target: Target | None = None,
    chunk: int = 0,
) -> list[Array]:
    """Return what calls store in `outputs`, given what `inputs` hold.

    Args:
        chunk: items a kernel is given at once, to prove that work may be split anywhere.
    """
    runner = Runner(calls, target)
    pairs = inputs.items() if isinstance(inputs, Mapping) else inputs
    for tensor, array in pairs:
        runner.write(tensor, array)
    runner.run(chunk)
    return [runner.view(each).copy() for each in outputs]
