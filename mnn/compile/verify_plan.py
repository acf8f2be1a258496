"""Verification of what will run: tensors inside of their memory, steps in order, places apart.

The second half of what `mnn.config.verify` switches on; see `mnn.compile.verify_flow`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mnn.backends.cpu.steps import HostCall, LoopCall, Step, buffers_of, calls_of
from mnn.codegen.kernel import CONSTANT, INPUT, Buffer, Call, Pointer, Tensor
from mnn.codegen.room import ALIGNMENT
from mnn.compile.flow import Value
from mnn.compile.fusion import Unit
from mnn.compile.memory import Lifetime
from mnn.compile.verify_flow import stored_base
from mnn.errors import VerificationError

__all__ = ["verify_order", "verify_places", "verify_steps", "verify_tensors"]

_KNOWN = (INPUT, CONSTANT)


def verify_tensors(tensors: Mapping[Value, Tensor]) -> None:
    """Check where values lie: with their shape and dtype, inside of a buffer.

    Raises:
        VerificationError: a tensor describes another array than the value, or reaches beyond its
            buffer.
    """
    for value, tensor in tensors.items():
        if tensor.shape != value.shape or tensor.dtype != value.dtype:
            raise VerificationError(f"verify: {value!r} lies in {tensor}")
        _verify_extent(tensor, repr(value))


def _verify_extent(tensor: Tensor, what: str) -> None:
    if len(tensor.strides) != len(tensor.shape):
        raise VerificationError(f"verify: {what}: shape and strides differ in {tensor}")
    if not tensor.size:
        return
    ways = [step * (size - 1) for step, size in zip(tensor.strides, tensor.shape, strict=True)]
    first = tensor.offset + sum(way for way in ways if way < 0)
    last = tensor.offset + sum(way for way in ways if way > 0)
    if first < 0 or (last + 1) * tensor.dtype.itemsize > tensor.buffer.size:
        raise VerificationError(f"verify: {what} reaches beyond its memory: {tensor}")


def verify_steps(steps: Sequence[Step]) -> None:
    """Check calls: what they do is something, and where they begin is inside of buffers.

    Raises:
        VerificationError: a count or an address is impossible, after all turns of a loop too.
    """
    for step in steps:
        if isinstance(step, HostCall):
            for tensor in (*step.inputs, *step.outputs):
                _verify_extent(tensor, step.label)
        for call in calls_of([step]):
            if call.items < 1 or call.grain < 1 or call.scratch < 0:
                raise VerificationError(f"verify: a call of nothing: {call}")
            for slot in call.slots:
                if isinstance(slot, Pointer):
                    _verify_address(slot.buffer, slot.offset, call)
        if isinstance(step, LoopCall):
            for number, position, distance in step.moving:
                call = step.steps[number]
                slot = call.slots[position]
                if isinstance(slot, Pointer):
                    end = slot.offset + distance * max(step.count - 1, 0)
                    _verify_address(slot.buffer, end, call)


def _verify_address(buffer: Buffer, offset: int, call: Call) -> None:
    if not 0 <= offset <= buffer.size:
        raise VerificationError(f"verify: {call.label}: byte {offset} of {buffer!r} is no place")


def verify_order(
    counts: Sequence[tuple[Unit, int]],
    steps: Sequence[Step],
    tensors: Mapping[Value, Tensor],
    given: Sequence[Buffer] = (),
) -> None:
    """Check that what units read was written by steps before theirs.

    Args:
        counts: units in order, and how many of the steps each one made.
        steps: those of the units, perhaps with others after them.
        tensors: where values lie.
        given: buffers with content.

    Raises:
        VerificationError: a unit reads memory that no step has written, or a temporary of its own
            is named by one step only: that step reads garbage, or what it writes is lost.
    """
    named = set(given)
    results = {tensor.buffer for tensor in tensors.values()}
    uses: dict[Buffer, int] = {}
    for step in steps:
        for buffer in set(buffers_of(step)):
            uses[buffer] = uses.get(buffer, 0) + (2 if isinstance(step, LoopCall) else 1)
    place = 0
    for unit, count in counts:
        if not count:
            continue
        # Copies of what a unit reads are steps of that unit, and so are anchors that it has lost.
        mine = steps[place : place + count]
        before = {buffer for each in mine[:-1] for buffer in buffers_of(each)}
        own = before.union(buffers_of(mine[-1]))
        readable = named | {buffer for buffer in before if uses[buffer] > 1}
        place += count
        for value in unit.sources():
            tensor = tensors.get(stored_base(value))
            if tensor is None or not tensor.size or tensor.buffer.kind in _KNOWN:
                continue
            if tensor.buffer not in readable:
                raise VerificationError(
                    f"verify: the unit of {unit.root!r} reads {value!r} in {tensor.buffer!r}, "
                    "which no step has written"
                )
        for buffer in own - named - results:
            if buffer.kind not in _KNOWN and uses[buffer] < 2:
                raise VerificationError(
                    f"verify: the unit of {unit.root!r} uses {buffer!r} in one step only"
                )
        named |= own


def verify_places(lives: Sequence[Lifetime], offsets: Sequence[int], total: int) -> None:
    """Check the places of temporaries in their common memory.

    Raises:
        VerificationError: one is not aligned or not inside, or overlaps with one that is needed at
            the same time.
    """
    placed = sorted(
        (offset, life.size, life.first, life.last)
        for offset, life in zip(offsets, lives, strict=True)
        if life.size
    )
    for number, (offset, size, first, last) in enumerate(placed):
        if offset % ALIGNMENT or offset < 0 or offset + size > total:
            raise VerificationError(f"verify: {size} bytes at {offset} of {total}")
        for start, other, begin, end in placed[number + 1 :]:
            if start >= offset + size:
                break
            if first <= end and begin <= last:
                raise VerificationError(
                    f"verify: {size} bytes at {offset} of steps {first} to {last} overlap with "
                    f"{other} bytes at {start} of steps {begin} to {end}"
                )
