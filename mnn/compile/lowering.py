"""From units to kernel calls: where every stored value lies, and which template makes it.

Stored values are tensors with strides, so layouts need no pass of their own: convolutions and
poolings store their results channels-last, loops follow their largest operand, and the rest is in
logical order. What reads them gets strides; only a reshape that strides cannot say is a copy.
Operands of a concat are stored in their part of its result at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.plan import HostCall, LoopCall
from mnn.codegen.kernel import (
    CONSTANT,
    INPUT,
    OUTPUT,
    Buffer,
    Call,
    Epilogue,
    Pointer,
    Slot,
    Tensor,
    contiguous,
)
from mnn.codegen.program import Program, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates import loops
from mnn.compile.anchors import anchor_calls
from mnn.compile.flow import VIEWS, Flow, Value
from mnn.compile.fusion import ANCHORS, Unit, fuse, stored_in_place, views_of_anchor
from mnn.compile.importers.control import LoopBody
from mnn.compile.programs import build_program
from mnn.compile.resizing import Resized
from mnn.compile.strides import apply_view, is_contiguous, memory_order, reshaped, unviewed
from mnn.compile.support import kernel_dtype
from mnn.compile.verify_flow import verify_flow, verify_units
from mnn.compile.verify_plan import verify_order, verify_steps, verify_tensors
from mnn.config import config
from mnn.records import dataclass, field, replace

__all__ = ["Lowered", "lower"]

_MOVING = frozenset({"map", "resize"})
"""What begins kernels that store their results in any order of axes equally well."""

Array = np.ndarray[Any, Any]
_Calls = list[Call | HostCall | LoopCall]


@dataclass
class Lowered:
    """What a plan needs, and what `mnn.explain` tells.

    Attributes:
        steps: in order.    inputs, outputs: tensors of the arguments and the results.
        units: what each step came from: (unit, number of its steps).
        status: what steps set when an index is out of range, None when none can be.
    """

    steps: _Calls
    inputs: list[Tensor]
    outputs: list[Tensor]
    units: list[tuple[Unit, int]] = field(default_factory=list)
    status: Tensor | None = None


def lower(flow: Flow, target: Target, *, low: bool = False) -> Lowered:
    """Return the calls that compute a flow's outputs.

    Args:
        flow: what to compute.
        target: the machine.
        low: matrix kernels may use bfloat16.
    """
    lowering = _Lowering(flow, target, low)
    return lowering.run()


def _identity(dtype: np.dtype[Any]) -> Program:
    return Program((dtype.name,), (), (0,))


class _Lowering:
    def __init__(
        self, flow: Flow, target: Target, low: bool, outer: _Lowering | None = None
    ) -> None:
        self.flow = flow
        self.target = target
        self.low = low
        self.steps: _Calls = []
        self.tensors: dict[Value, Tensor] = {}
        self.parts: dict[Value, tuple[Value, int]] = {}
        self.inputs: list[Tensor] = []
        # Values that are results of the plan, in memory of their own.
        self.final: set[Value] = set()
        # Stand-ins for buffers in which a loop's turn reads or writes further on than the last.
        self.windows: dict[Buffer, tuple[Buffer, int]] = {}
        self.moving: Mapping[Value, tuple[int, ...]] = {}
        # Stored values whose memory is given from outside.
        self.given: dict[Value, Tensor] = {}
        self.outer = self if outer is None else outer
        self.status: Tensor | None = None

    def run(self) -> Lowered:
        self.final = set(self.flow.outputs)
        for value in self.flow.inputs:
            buffer = Buffer(max(value.bytes, 1), INPUT, name=f"input {value.number}")
            self.tensors[value] = contiguous(buffer, value.shape, value.dtype)
            self.inputs.append(self.tensors[value])
        counts = self._lower_units()
        outputs = self._outputs()
        if config.verify:
            verify_steps(self.steps)
            verify_tensors(dict(zip(self.flow.outputs, outputs, strict=True)))
        return Lowered(self.steps, self.inputs, outputs, counts, self.status)

    def _lower_units(self, units: Sequence[Unit] | None = None) -> list[tuple[Unit, int]]:
        units = fuse(self.flow) if units is None else units
        if config.verify:
            verify_flow(self.flow)
            verify_units(self.flow, units)
        known = [each.buffer for each in self.tensors.values()]
        self._reserve_parts(units)
        self._reserve_results(units)
        counts = []
        for unit in units:
            before = len(self.steps)
            self._lower(unit)
            counts.append((unit, len(self.steps) - before))
        if config.verify:
            verify_tensors(self.tensors)
            if self.outer.status is not None:
                known.append(self.outer.status.buffer)
            verify_order(counts, self.steps, self.tensors, known)
        return counts

    # --- where values lie ------------------------------------------------------------------------

    def _reserve_parts(self, units: Sequence[Unit]) -> None:
        """Decide which stored values are parts of a concat's result."""
        stored = {unit.root for unit in units if unit.is_loop or unit.root.kind in ANCHORS}
        stored |= {unit.root for unit in units if unit.root.kind == "concat"}
        kept = set(self.flow.outputs)
        for unit in units:
            root = unit.root
            if root.kind != "concat":
                continue
            start, axis = 0, root.attributes["axis"]
            for value in root.inputs:
                if value in stored and value not in kept and value not in self.parts:
                    self.parts[value] = (root, start)
                start += value.shape[axis]

    def _reserve_results(self, units: Sequence[Unit]) -> None:
        """Let kernels that store in any order write results that are views of what they store."""
        able = {
            unit.root
            for unit in units
            if (unit.is_loop and not unit.axes and (unit.anchor or unit.root).kind in _MOVING)
            or unit.root.kind == "resize"
        }
        for value in self.flow.outputs:
            tensor: Tensor | None = contiguous(
                Buffer(max(value.bytes, 1), OUTPUT, name="output"), value.shape, value.dtype
            )
            base = value
            while base.kind in ("permute", "reshape") and tensor is not None:
                tensor, base = unviewed(base, tensor), base.inputs[0]
            if tensor is None or base in self.parts or (base in self.final and base is not value):
                continue
            if base in able:
                self.given.setdefault(base, tensor)

    def _allocate(self, value: Value, order: Sequence[int]) -> Tensor:
        """Return memory for a value, with its axes from outermost to innermost in `order`."""
        if value in self.given:
            made = self.given[value]
        elif value in self.parts:
            whole, start = self.parts[value]
            if whole not in self.tensors:
                self.tensors[whole] = self._allocate(whole, order)
            held = self.tensors[whole]
            axis = whole.attributes["axis"]
            made = replace(held, shape=value.shape, offset=held.offset + start * held.strides[axis])
        else:
            final = value in self.final and _ordered(value.shape, order)
            buffer = Buffer(max(value.bytes, 1), OUTPUT if final else "temporary", name=value.kind)
            made = contiguous(buffer, value.shape, value.dtype, None if final else order)
        self.tensors[value] = made
        return made

    def _tensor(self, value: Value) -> Tensor:
        """Return where a value is, copying it only when a reshape needs that."""
        found = self.tensors.get(value)
        if found is not None:
            return found
        if value.kind == "constant":
            assert value.array is not None
            buffer = Buffer.constant(value.array, name=f"constant {value.number}")
            found = contiguous(buffer, value.shape, value.dtype)
        else:
            assert value.kind in VIEWS, f"{value} is not stored"
            source = self._tensor(value.inputs[0])
            found = apply_view(value, source)
            if found is None:
                found = reshaped(self._copied(source), value.shape)
                assert found is not None
            if value in self.moving:
                pairs = zip(self.moving[value], source.strides, strict=True)
                found = self._window(found, sum(step * stride for step, stride in pairs))
        self.tensors[value] = found
        return found

    def _window(self, tensor: Tensor, distance: int) -> Tensor:
        """Return a tensor that lies `distance` elements further on in each turn of a loop."""
        stand_in = Buffer(tensor.buffer.size, name="window")
        self.windows[stand_in] = (tensor.buffer, distance * tensor.dtype.itemsize)
        return replace(tensor, buffer=stand_in)

    def _copied(self, source: Tensor) -> Tensor:
        """Return a copy in logical order."""
        buffer = Buffer(max(source.size * source.dtype.itemsize, 1), name="copy")
        made = contiguous(buffer, source.shape, source.dtype)
        self._loop(_identity(source.dtype), [source], made, label="copy")
        return made

    def _outputs(self) -> list[Tensor]:
        found = []
        for value in self.flow.outputs:
            tensor = self._tensor(value)
            whole = is_contiguous(tensor) and tensor.offset == 0
            if not whole or (tensor.buffer.kind not in (INPUT, CONSTANT, OUTPUT)):
                buffer = Buffer(max(value.bytes, 1), OUTPUT, name="output")
                made = contiguous(buffer, value.shape, value.dtype)
                self._loop(_identity(value.dtype), [tensor], made, label="copy out")
                tensor = made
            found.append(tensor)
        return found

    # --- units -----------------------------------------------------------------------------------

    def _loop(
        self,
        program: Program,
        inputs: Sequence[Tensor],
        output: Tensor,
        *,
        reduced: int = 0,
        label: str = "",
    ) -> None:
        if not output.size:
            return
        if not program.steps and not kernel_dtype(output.dtype):
            self.steps.append(HostCall(list, tuple(inputs), (output,), label))
            return
        self.steps += loops.lower(
            program, inputs, [output], self.target, reduced=reduced, label=label
        )

    def _lower(self, unit: Unit) -> None:
        if unit.anchor is not None and self._lower_anchored(unit):
            return
        if unit.anchor is not None:
            unit.reasons.append("the template does not take this epilogue")
            self._lower_anchor(unit.anchor)
            unit.anchor = None
        if unit.is_loop:
            self._lower_loop(unit)
        elif unit.root.kind in ANCHORS:
            self._lower_anchor(unit.root)
        else:
            _LOWERINGS[unit.root.kind](self, unit.root)

    def _lower_loop(self, unit: Unit) -> None:
        program, inputs = build_program(unit, self._tensor, anchored=False)
        order = self._loop_order(unit, inputs)
        output = self._allocate(unit.root, order)
        if not unit.axes:
            self._loop(program, inputs, output, label=_label(unit))
            return
        kept = [axis for axis in range(len(unit.shape)) if axis not in unit.axes]
        arranged = [*kept, *unit.axes]
        # An element for each place of the index space, or one for each row.
        stored = arranged if unit.root.shape == unit.shape else kept
        self._loop(
            program,
            [each.broadcast(unit.shape).permuted(arranged) for each in inputs],
            output.permuted(stored),
            reduced=len(unit.axes),
            label=_label(unit),
        )

    def _loop_order(self, unit: Unit, inputs: Sequence[Tensor]) -> tuple[int, ...]:
        """Return the memory order of the largest operand that does not repeat elements."""
        shape = unit.root.shape
        best: Tensor | None = None
        for tensor in inputs:
            if len(tensor.shape) != len(shape) or tensor.is_constant:
                continue
            repeated = any(
                stride == 0 and size != 1
                for stride, size in zip(tensor.strides, tensor.shape, strict=True)
            )
            if not repeated and (best is None or tensor.size > best.size):
                best = tensor
        return tuple(range(len(shape))) if best is None else memory_order(best)

    # --- anchors ---------------------------------------------------------------------------------

    def _lower_anchor(self, anchor: Value) -> None:
        if anchor.kind == "resize":
            resized = Resized.of(anchor, self._tensor(anchor.inputs[0]))
            output = self._allocate(anchor, resized.order(anchor.shape))
            self.steps += resized.calls(output, self.target, None)
            return
        output = self._allocate(anchor, _anchor_order(anchor))
        self.steps += self._anchor_calls(anchor, output, None)

    def _lower_anchored(self, unit: Unit) -> bool:
        """Lower an anchor with its unit as epilogue; False when the template does not take it."""
        anchor = unit.anchor
        assert anchor is not None
        if anchor.kind == "resize":
            return self._lower_resized(unit, anchor)
        program, inputs = build_program(unit, self._tensor, anchored=True)
        operands = []
        channel = -1 if anchor.kind == "matmul" else 1
        for tensor in inputs:
            moved = reshaped(tensor.broadcast(unit.shape), anchor.shape)
            if moved is None or moved.strides[channel] not in (0, 1):
                return False
            if moved.dtype != np.float32 and anchor.kind != "conv_int8":
                return False
            operands.append(moved)
        root = unit.root
        order = _anchor_order(anchor)
        if root.shape == anchor.shape:
            output = self._allocate(root, order)
        else:
            buffer = Buffer(max(root.bytes, 1), name=anchor.kind)
            output = contiguous(buffer, anchor.shape, root.dtype, order)
            if root in self.final and _ordered(anchor.shape, order):
                output = replace(output, buffer=Buffer(max(root.bytes, 1), OUTPUT))
            found = reshaped(output, root.shape)
            assert found is not None
            self.parts.pop(root, None)
            self.tensors[root] = found
        self.steps += self._anchor_calls(anchor, output, Epilogue(program, tuple(operands)))
        return True

    def _lower_resized(self, unit: Unit, anchor: Value) -> bool:
        """Lower a resize with its unit as epilogue; False when its views cannot be followed."""
        resized: Resized | None = Resized.of(anchor, self._tensor(anchor.inputs[0]))
        for view in views_of_anchor(anchor, unit):
            resized = None if resized is None else resized.seen(view)
        if resized is None:
            return False
        program, inputs = build_program(unit, self._tensor, anchored=True)
        operands = [reshaped(each.broadcast(unit.shape), resized.shape) for each in inputs]
        stored = self._allocate(unit.root, resized.order(unit.root.shape))
        output = reshaped(stored, resized.shape)
        assert output is not None
        epilogue = Epilogue(program, tuple(each for each in operands if each is not None))
        self.steps += resized.calls(output, self.target, epilogue)
        return True

    def _anchor_calls(self, anchor: Value, output: Tensor, epilogue: Epilogue | None) -> list[Call]:
        operands = [self._tensor(each) for each in anchor.inputs]
        return anchor_calls(anchor, operands, output, self.target, epilogue, low=self.low)

    # --- the rest --------------------------------------------------------------------------------

    def concat(self, value: Value) -> None:
        """Copy the operands that were not stored in place."""
        if value not in self.tensors:
            axes = [memory_order(self._tensor(each)) for each in value.inputs]
            self._allocate(value, axes[0])
        whole, axis = self.tensors[value], value.attributes["axis"]
        start = 0
        for each in value.inputs:
            if self.parts.get(each) != (value, start):
                part = replace(
                    whole, shape=each.shape, offset=whole.offset + start * whole.strides[axis]
                )
                self._loop(_identity(each.dtype), [self._tensor(each)], part, label="concat")
            start += each.shape[axis]

    def pad(self, value: Value) -> None:
        """Fill everything, then copy the operand into its place."""
        source = self._tensor(value.inputs[0])
        whole = self._allocate(value, memory_order(source))
        number = constant_step(value.attributes["value"], value.dtype.name)
        self._loop(Program((), (number,), (0,)), [], whole, label="pad")
        moved = sum(
            low * stride
            for low, stride in zip(value.attributes["before"], whole.strides, strict=True)
        )
        inner = replace(whole, shape=source.shape, offset=whole.offset + moved)
        self._loop(_identity(value.dtype), [source], inner, label="pad")

    def scan(self, value: Value) -> None:
        """Running sums or products."""
        source = self._tensor(value.inputs[0])
        output = self._allocate(value, memory_order(source))
        attributes = dict(value.attributes)
        self.steps += loops.lower_scan(
            attributes.pop("name"), source, output, self.target, **attributes
        )

    def _status(self, value: Value) -> Tensor | None:
        """Return what a step sets for a bad index, None when its indices are known to be good."""
        if not value.attributes.get("checked", False):
            return None
        outer = self.outer
        if outer.status is None:
            outer.status = contiguous(Buffer(8, name="status"), (1,), np.dtype(np.int64))
        return outer.status

    def select(self, value: Value) -> None:
        """A kind with a template of its own and one result."""
        from mnn.compile.selecting import SELECTING, Setting, result_order

        operands = [self._tensor(each) for each in value.inputs]
        order = result_order(value, operands)
        if value in self.final:
            order = range(len(value.shape))
        output = self._allocate(value, order)
        setting = Setting(self.target, self._status(value), self.low)
        self.steps += SELECTING[value.kind](value, operands, output, setting)

    def sort(self, value: Value) -> None:
        """The first elements of sorted rows, and their positions."""
        from mnn.compile.selecting import sorted_rows

        source, results = self._tensor(value.inputs[0]), self._parts(value)
        self.steps += sorted_rows(self.flow, value, source, results, self.target)

    def nms(self, value: Value) -> None:
        """Boxes that are kept, for each class."""
        from mnn.compile.selecting import suppressed

        operands = [self._tensor(each) for each in value.inputs]
        self.steps += suppressed(value, operands, self._parts(value), self.target)

    def _parts(self, value: Value) -> list[Tensor]:
        """Return memory for the results of a value that has several."""
        outputs = []
        for port, (shape, dtype) in enumerate(value.attributes["types"]):
            size = max(math.prod(shape) * dtype.itemsize, 1)
            tensor = contiguous(Buffer(size, name=value.kind), shape, dtype)
            outputs.append(tensor)
            part = self.flow.make("part", (value,), shape, dtype, {"port": port})
            self.tensors[part] = tensor
        return outputs

    def loop(self, value: Value) -> None:
        """Turns in machine code: the body's calls, then the new states over the old ones."""
        body: LoopBody = value.attributes["body"]
        results = self._parts(value)
        states, stacks = results[: len(body.states)], results[len(body.states) :]
        inner = _Lowering(body.flow, self.target, self.low, self.outer)
        inner.moving = body.moving
        for number, outside in enumerate(value.inputs):
            tensor = self._tensor(outside)
            if number in body.states:
                state = states[body.states.index(number)]
                self._loop(_identity(outside.dtype), [tensor], state, label="first state")
                tensor = state
            inner.tensors[body.flow.inputs[number]] = tensor
        old = [body.flow.inputs[number] for number in body.states]
        self.steps.append(inner.turns(body.count, old, states, stacks))

    def turns(
        self,
        count: int,
        old: Sequence[Value],
        states: Sequence[Tensor],
        stacks: Sequence[Tensor],
    ) -> LoopCall:
        """Return the loop over this flow: its outputs become the states, or are stacked."""
        units = fuse(self.flow)
        for value, state, new in zip(old, states, self.flow.outputs, strict=False):
            root = stored_in_place(units, value, new, self.flow.outputs)
            if root is not None:
                place = reshaped(state, root.shape)
                assert place is not None
                self.given[root] = place
        self._lower_units(units)
        ends = [self._tensor(each) for each in self.flow.outputs]
        places = [*states]
        for stack in stacks:
            first = replace(stack, shape=stack.shape[1:], strides=stack.strides[1:])
            places.append(self._window(first, stack.strides[0]))
        # Stacks first: a state that is stacked, too, is still the old one until it is stored.
        for end, place in sorted(
            zip(ends, places, strict=True), key=lambda pair: pair[1].buffer not in self.windows
        ):
            if end != place:
                self._loop(_identity(end.dtype), [end], place, label="next state")
        moving = []
        calls = []
        for number, call in enumerate(self.steps):
            assert isinstance(call, Call), f"{call} within a loop"
            slots: list[Slot] = []
            for position, slot in enumerate(call.slots):
                if isinstance(slot, Pointer) and slot.buffer in self.windows:
                    buffer, distance = self.windows[slot.buffer]
                    moving.append((number, position, distance))
                    slot = Pointer(buffer, slot.offset)
                slots.append(slot)
            calls.append(replace(call, slots=tuple(slots)))
        return LoopCall(tuple(calls), count, tuple(moving), f"loop of {count} turns")

    def host(self, value: Value) -> None:
        """A step of NumPy."""
        outputs = self._parts(value)
        self.steps.append(
            HostCall(
                value.attributes["function"],
                tuple(self._tensor(each) for each in value.inputs),
                tuple(outputs),
                value.attributes["label"],
            )
        )


_LOWERINGS: dict[str, Callable[[_Lowering, Value], None]] = {
    "concat": _Lowering.concat,
    "pad": _Lowering.pad,
    "scan": _Lowering.scan,
    "attention": _Lowering.select,
    "gather": _Lowering.select,
    "scatter": _Lowering.select,
    "sort": _Lowering.sort,
    "nms": _Lowering.nms,
    "grid_sample": _Lowering.select,
    "roi_align": _Lowering.select,
    "crop_and_resize": _Lowering.select,
    "grey": _Lowering.select,
    "host": _Lowering.host,
    "loop": _Lowering.loop,
}


def _anchor_order(anchor: Value) -> tuple[int, ...]:
    rank = len(anchor.shape)
    return tuple(range(rank)) if anchor.kind == "matmul" else (0, *range(2, rank), 1)


def _ordered(shape: Sequence[int], order: Sequence[int]) -> bool:
    """True when a memory order is the logical one, but for axes of size 1."""
    moving = [axis for axis in order if shape[axis] != 1]
    return moving == sorted(moving)


def _label(unit: Unit) -> str:
    """Return the names of a loop's steps, for profiles."""
    names = [
        member.attributes["step"] if member.kind == "map" else member.attributes["name"]
        for member in sorted(unit.members, key=lambda value: value.number)
        if member.kind in ("map", "reduce")
    ]
    shown = " ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    return f"{shown} {'x'.join(map(str, unit.shape))}"
