"""Reductions of few long rows, cut into pieces: partial results, their combination, and the rest.

One row with reductions is one item of a kernel, so few rows would occupy few threads. The reduced
axis is cut; pieces become a kept axis of their own. A program is cut after its first reductions:

1. *part*: reduces every piece,
2. *whole*: reduces the results of pieces, and computes what follows from that for the row,
3. *rest*: what is left of the program, with results of 2 as inputs. It may be cut again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mnn.codegen.bodies import register_body
from mnn.codegen.kernel import Buffer, Call, Tensor, contiguous
from mnn.codegen.program import Program, Step
from mnn.codegen.templates.schedule import closure, make_schedule
from mnn.codegen.templates.space import Space
from mnn.records import dataclass, replace

__all__ = ["Cut", "lower_cut", "subprogram"]

_ADVANCE = "loops.advance"
register_body(_ADVANCE, lambda k, position, start: k.add(position, start))

Lower = Callable[[Program, Sequence[Tensor], Sequence[Tensor], int], list[Call]]
"""Lowers a program: inputs, outputs, number of reduced axes."""


@dataclass(frozen=True)
class Cut:
    """How a reduced axis is cut.

    Attributes:
        axis: its number among the reduced ones.
        count: pieces.
        dealt: piece i has the elements i, i + count, ...; else neighbours stay together.
        columns: lanes lie along the last kept axis, so results of a piece should be neighbours.
    """

    axis: int
    count: int
    dealt: bool = False
    columns: bool = False


def subprogram(
    program: Program, given: Sequence[int], wanted: Sequence[int]
) -> tuple[Program, list[int]]:
    """Return the part of a program that computes `wanted` from `given`, and where each is.

    The values `given` are its inputs, `wanted` its outputs. The list maps values of the program to
    those of the part, -1 for absent ones.
    """
    first = len(program.inputs)
    place = [-1] * (first + len(program.steps))
    for number, value in enumerate(given):
        place[value] = number
    steps: list[Step] = []
    for value in closure(program, wanted, lambda value: place[value] >= 0)[0]:
        step = program.steps[value - first]
        place[value] = len(given) + len(steps)
        steps.append(replace(step, arguments=tuple(place[each] for each in step.arguments)))
    inputs = tuple(program.dtype(each) for each in given)
    return Program(inputs, tuple(steps), tuple(place[each] for each in wanted)), place


def lower_cut(
    program: Program,
    space: Space,
    tensors: tuple[Sequence[Tensor], Sequence[Tensor]],
    cut: Cut,
    lower: Lower,
) -> list[Call]:
    """Return the calls of a program whose reduced axis is cut.

    Args:
        tensors: inputs and outputs, as views of the space (row outputs without reduced axes).
        lower: for the pieces of the program.
    """
    return _Cutting(program, space, tensors, cut, lower).calls()


class _Cutting:
    """The parts of one cut program."""

    def __init__(
        self,
        program: Program,
        space: Space,
        tensors: tuple[Sequence[Tensor], Sequence[Tensor]],
        cut: Cut,
        lower: Lower,
    ) -> None:
        self.program, self.space, self.cut, self.lower = program, space, cut, lower
        self.inputs, self.outputs = tensors
        self.reduced = len(space.reduced)
        self.schedule = make_schedule(
            program,
            [each.row for each in space.inputs],
            [not each.row for each in space.outputs],
            save=False,
        )
        self.first = self.schedule.reductions[0]

    def _step(self, value: int) -> Step:
        return self.program.steps[value - len(self.program.inputs)]

    def calls(self) -> list[Call]:
        """Return the calls."""
        partial = self._partial_tensors()
        calls = self._parts(partial)
        known, made = self._kept_values()
        late = self._late()
        rows = [self._row_tensor(value) for value in made]
        early = [n for n in range(len(self.outputs)) if n not in late]
        stored = [self.outputs[n] for n in early]
        if late and any(each.row for each in self.space.inputs):
            # An output may be the memory of an input that the rest still reads.
            stored = [self._row_tensor(self.program.outputs[n]) for n in early]
        wanted = [*made, *[self.program.outputs[n] for n in early]]
        calls += self._whole(partial, wanted, [*rows, *stored])
        if late:
            calls += self._rest(known, made, rows, late)
        for number, tensor in zip(early, stored, strict=True):
            if tensor is not self.outputs[number]:
                copy = Program((tensor.dtype.name,), (), (0,))
                calls += self.lower(copy, [tensor], [self.outputs[number]], 0)
        return calls

    def _late(self) -> list[int]:
        """Return the outputs that do not exist once the first reductions are through."""
        return [
            number
            for number, value in enumerate(self.program.outputs)
            if self.schedule.depth[value] > 1 or not self.space.outputs[number].row
        ]

    # --- pieces ----------------------------------------------------------------------------------

    def _partial_tensors(self) -> dict[int, list[Tensor]]:
        """Return memory for the results of pieces: for each reduction the value and a position."""
        shape = (*self.space.kept, self._pieces())
        found = {}
        for value in self.first:
            step = self._step(value)
            if step.reduction.startswith("arg"):
                source = self.program.dtype(step.arguments[0])
                dtypes = [source, "int64"]
            else:
                dtypes = [step.result]
            found[value] = [self._temporary(shape, dtype) for dtype in dtypes]
        return found

    def _temporary(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Return new memory; the last axis is that of pieces."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        order = list(range(len(shape)))
        if self.cut.columns:
            order[-2:] = order[:-3:-1]
        return contiguous(Buffer(size, name="partial"), shape, np.dtype(dtype), order)

    def _pieces(self) -> int:
        size = self.space.reduced[self.cut.axis]
        return self.cut.count + (1 if size % self.cut.count else 0)

    def _parts(self, partial: dict[int, list[Tensor]]) -> list[Call]:
        """Return the calls that reduce pieces: equal ones, then what is left."""
        sources = [self._step(value).arguments[0] for value in self.first]
        part, place = subprogram(self.program, range(len(self.program.inputs)), sources)
        count = len(part.inputs) + len(part.steps)
        steps, outputs, tensors = list(part.steps), [], []
        for value in self.first:
            step = self._step(value)
            argument = place[step.arguments[0]]
            if step.reduction.startswith("arg"):
                source = self.program.dtype(step.arguments[0])
                extreme = f"reduce.{step.reduction[3:]}"
                steps.append(Step(extreme, (argument,), source, source))
                steps.append(replace(step, arguments=(argument,), result="int64"))
            else:
                steps.append(replace(step, arguments=(argument,)))
            tensors += partial[value]
        outputs = list(range(count, len(part.inputs) + len(steps)))
        whole = Program(part.inputs, tuple(steps), tuple(outputs))
        size = self.space.reduced[self.cut.axis]
        each = size // self.cut.count
        calls = self._part(whole, tensors, 0, self.cut.count, each)
        if size % self.cut.count:
            calls += self._part(whole, tensors, self.cut.count, 1, size % self.cut.count)
        return calls

    def _part(
        self, program: Program, partial: Sequence[Tensor], first: int, count: int, length: int
    ) -> list[Call]:
        """Return the calls for `count` pieces of `length` elements, from piece `first` on."""
        kept, axis = len(self.space.kept), len(self.space.kept) + self.cut.axis
        per_piece = self.space.reduced[self.cut.axis] // self.cut.count
        views = []
        for tensor in self.inputs:
            stride = tensor.strides[axis]
            between, inside = stride * length, stride
            if self.cut.dealt and count > 1:
                between, inside = stride, stride * count
            shape, strides = list(tensor.shape), list(tensor.strides)
            shape[axis], strides[axis] = length, inside
            shape.insert(kept, count)
            strides.insert(kept, between)
            offset = tensor.offset + stride * first * per_piece
            views.append(replace(tensor, shape=tuple(shape), strides=tuple(strides), offset=offset))
        results = [
            replace(
                each,
                shape=(*each.shape[:-1], count),
                offset=each.offset + each.strides[-1] * first,
            )
            for each in partial
        ]
        return self.lower(program, views, results, self.reduced)

    # --- the row ---------------------------------------------------------------------------------

    def _whole(
        self, partial: dict[int, list[Tensor]], wanted: Sequence[int], results: Sequence[Tensor]
    ) -> list[Call]:
        """Return the calls that combine the results of pieces and compute the row values `wanted`.

        Inputs of the program: partial results, where arg-reductions have their pieces begin, then
        the row inputs that are needed.
        """
        tensors = [each for value in self.first for each in partial[value]]
        names = [each.dtype.name for each in tensors]
        starts = self._starts()
        args = any(self._step(value).reduction.startswith("arg") for value in self.first)
        if args:
            tensors.append(starts.broadcast(tensors[0].shape))
            names.append("int64")
        known = [
            value
            for value in closure(self.program, wanted, self._given)[1]
            if value not in self.first
        ]
        tail, _ = subprogram(self.program, [*self.first, *known], wanted)
        tensors += [self._along_pieces(self.inputs[value]) for value in known]
        names += [self.program.inputs[value] for value in known]
        steps, combined = self._combining(names, args)
        moved = [*combined, *[len(names) - len(known) + n for n in range(len(known))]]
        shift = len(names) + len(steps)
        count = len(tail.inputs)

        def place(value: int) -> int:
            return moved[value] if value < count else shift + value - count

        steps += [
            replace(each, arguments=tuple(place(n) for n in each.arguments)) for each in tail.steps
        ]
        program = Program(tuple(names), tuple(steps), tuple(place(n) for n in tail.outputs))
        return self.lower(program, tensors, results, 1)

    def _given(self, value: int) -> bool:
        return value in self.first or value < len(self.program.inputs)

    def _combining(self, names: Sequence[str], args: bool) -> tuple[list[Step], list[int]]:
        """Return the steps that combine partial results, and the numbers of the combined values."""
        steps: list[Step] = []
        combined = []
        number = 0
        start = sum(2 if self._is_arg(value) else 1 for value in self.first)
        for value in self.first:
            step = self._step(value)
            if self._is_arg(value):
                assert args
                steps.append(Step(_ADVANCE, (number + 1, start), "int64", "int64"))
                position = len(names) + len(steps) - 1
                steps.append(Step(step.name, (number, position), self._compute(value), step.result))
                number += 2
            else:
                steps.append(Step(step.name, (number,), self._compute(value), step.result))
                number += 1
            combined.append(len(names) + len(steps) - 1)
        return steps, combined

    def _is_arg(self, value: int) -> bool:
        return self._step(value).reduction.startswith("arg")

    def _compute(self, value: int) -> str:
        step = self._step(value)
        return step.compute if self._is_arg(value) else step.result

    def _starts(self) -> Tensor:
        """Return a constant: the position at which each piece begins."""
        inner = math.prod(self.space.reduced[self.cut.axis + 1 :])
        each = self.space.reduced[self.cut.axis] // self.cut.count
        array = np.arange(self._pieces(), dtype=np.int64) * (each * inner)
        return contiguous(Buffer.constant(array), array.shape, array.dtype)

    def _along_pieces(self, tensor: Tensor) -> Tensor:
        """Return a row input as a view of the partial results."""
        kept = len(self.space.kept)
        shape = (*tensor.shape[:kept], self._pieces())
        return replace(tensor, shape=shape, strides=(*tensor.strides[:kept], 0))

    # --- the rest --------------------------------------------------------------------------------

    def _kept_values(self) -> tuple[list[int], list[int]]:
        """Return the inputs that the rest reads, and the row values that must be kept for it."""
        late = [self.program.outputs[number] for number in self._late()]
        made = closure(self.program, late, self._ends)[1]
        inputs = [each for each in made if each < len(self.program.inputs)]
        return inputs, [each for each in made if each not in inputs]

    def _ends(self, value: int) -> bool:
        depends = self.schedule.rows[value] and self.schedule.depth[value] == 1
        return depends or value < len(self.program.inputs)

    def _row_tensor(self, value: int) -> Tensor:
        dtype = np.dtype(self.program.dtype(value))
        size = math.prod(self.space.kept) * dtype.itemsize
        return contiguous(Buffer(size, name="row"), self.space.kept, dtype)

    def _rest(
        self,
        known: Sequence[int],
        made: Sequence[int],
        rows: Sequence[Tensor],
        late: Sequence[int],
    ) -> list[Call]:
        wanted = [self.program.outputs[n] for n in late]
        rest, _ = subprogram(self.program, [*known, *made], wanted)
        shape = (*self.space.kept, *self.space.reduced)
        spread = [
            replace(each, shape=shape, strides=(*each.strides, *[0] * self.reduced))
            for each in rows
        ]
        inputs = [*[self.inputs[value] for value in known], *spread]
        outputs = [self.outputs[n] for n in late]
        return self.lower(rest, inputs, outputs, self.reduced if rest.reduces else 0)
