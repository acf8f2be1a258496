"""Constants that kernels compute, once: packed and transformed weights.

Rearranging weights is most of the work of loading a network, and kernels do it at the speed of
memory, straight into the place where the weights will be used.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.codegen.kernel import CONSTANT, TEMPORARY, Buffer, Call, Kernel, Pointer, Slot
from mnn.codegen.linking import library
from mnn.codegen.room import address_of, aligned_bytes

__all__ = ["pending", "prepare"]

Array = np.ndarray[Any, Any]

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


def pending(buffers: Iterable[Buffer]) -> list[Buffer]:
    """Return the constants among buffers, and those they need, that calls have yet to compute.

    Each comes after the ones that its calls name.
    """
    found: dict[Buffer, None] = {}

    def visit(buffer: Buffer) -> None:
        if buffer.kind != CONSTANT or not buffer.calls or buffer in found:
            return
        for needed in _named(buffer.calls):
            if needed is not buffer:
                visit(needed)
        found[buffer] = None

    for each in buffers:
        visit(each)
    return list(found)


def prepare(buffers: Iterable[Buffer], room: Callable[[Buffer], Array] | None = None) -> None:
    """Compute the constants among buffers, and those they need, that calls compute.

    Args:
        buffers: of any kind.
        room: returns the memory for a constant's content, uint8 at a 64-byte boundary; None means
            memory of its own.

    Raises:
        CodegenError: a kernel cannot be compiled, or not for this machine.
    """
    waiting = pending(buffers)
    functions = _link(waiting)
    waiting.reverse()
    while waiting:
        # Nothing here holds what was only a step on the way, so its memory is free again.
        buffer = waiting.pop()
        content = aligned_bytes(buffer.size) if room is None else room(buffer)
        named = dict.fromkeys(_named(buffer.calls))
        memory = {each: _memory(each, buffer, content) for each in named}
        places = {each: address_of(array) for each, array in memory.items()}
        scratch = aligned_bytes(max(each.scratch for each in buffer.calls))
        for call in buffer.calls:
            block = _pack(call.slots, places)
            arguments = np.frombuffer(block, np.int64) if block else np.zeros(1, np.int64)
            function = _ENTRY(functions[id(call.kernel)][0])
            function(address_of(arguments), 0, call.items, address_of(scratch))
        buffer.hold(content)


def _pack(slots: Sequence[Slot], places: Mapping[Buffer, int]) -> bytes:
    """Return an argument block."""
    parts = []
    for slot in slots:
        if isinstance(slot, Pointer):
            parts.append(struct.pack("<q", places[slot.buffer] + slot.offset))
        elif isinstance(slot, float):
            parts.append(struct.pack("<fi", slot, 0))
        else:
            parts.append(struct.pack("<q", slot))
    return b"".join(parts)


def _link(buffers: Sequence[Buffer]) -> dict[int, tuple[int, Kernel]]:
    """Return the addresses of all kernels, by the `id` of their description, which is kept."""
    functions: dict[int, tuple[int, Kernel]] = {}
    for target in dict.fromkeys(each.target for each in buffers):
        kernels = [call.kernel for each in buffers if each.target == target for call in each.calls]
        found = library().link(kernels, target)
        for kernel, address in zip(kernels, found, strict=True):
            functions[id(kernel)] = (address, kernel)
    return functions


def _named(calls: Iterable[Call]) -> Iterator[Buffer]:
    for call in calls:
        for slot in call.slots:
            if isinstance(slot, Pointer):
                yield slot.buffer


def _memory(buffer: Buffer, made: Buffer, content: Array) -> Array:
    """Return the memory of a buffer that the calls which make a constant name."""
    if buffer is made:
        return content
    if buffer.kind == TEMPORARY:
        return aligned_bytes(buffer.size)
    return buffer.array
