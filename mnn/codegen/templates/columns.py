"""Reductions of many rows at once: lanes are neighbours along an axis that is kept.

A block of columns walks along the reduced axes with one accumulator in each lane, so lanes are
never folded. Programs run in passes, as in `rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mnn.codegen.builder import Index, Module, Value
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    CROSS,
    TAKING_TURNS,
    Stream,
    computed,
    cut_rows,
    in_memory,
    masks_tails,
    tail_mask,
)
from mnn.codegen.templates.reduction import PLAIN_STEPS, Reduction, State
from mnn.codegen.templates.schedule import is_constant, values_of
from mnn.codegen.templates.turning import Turned, Turns, tile_rows
from mnn.codegen.templates.walk import IN_SCRATCH, Pass, Walk, WalkKernel, flattened, grouped

__all__ = ["ColumnKernel"]


@dataclass(frozen=True)
class ColumnKernel(WalkKernel):
    """A program over rows, with lanes along the last kept axis; an item is a block of columns.

    Attributes:
        units: vectors in a block.
    """

    units: int = 1

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Columns(self, module.entry(), target).build()
        return module


@dataclass
class _Block:
    """Columns worked on together.

    Attributes:
        pointers: of inputs, then of outputs, at column 0.
        column: number of the first one.
        held: for each unit the row values made so far.
        blocks: element values by unit and position, for columns in registers.
        turned: by operand, the elements of all positions of operands that lie across the lanes;
            such blocks have one unit.
    """

    pointers: list[Value]
    column: Index
    lanes: int
    units: int
    mask: Value | None
    held: list[dict[int, Value]] = field(default_factory=list)
    blocks: dict[tuple[int, int], dict[int, Value]] = field(default_factory=dict)
    turned: dict[int, list[Value]] = field(default_factory=dict)
    count: Index | None = None


class _Columns(Walk):
    """Builds the code of a ColumnKernel."""

    kernel: ColumnKernel

    def build(self) -> None:
        """Build the walk over blocks of columns."""
        f, kernel = self.function, self.kernel
        outer = kernel.kept - 1
        pointers = [self.argument(each) for each in kernel.operands]
        strides = [self.listed(f"{each}k", outer) for each in kernel.operands]
        parts, width = self.argument("parts"), self.lanes * kernel.units
        sizes, length = self.listed("k", outer), self.argument(f"k{outer}")
        cut = cut_rows(f, sizes, pointers, strides, length, width, parts)
        with cut as (places, start, end):
            many = f.add(start, f.floor_to(f.sub(end, start), width))
            self._stretch(places, start, many, self.lanes, kernel.units)
            if self.masks:
                self._stretch(places, many, end, self.lanes, 1, masked=True)
                return
            single = f.add(start, f.floor_to(f.sub(end, start), self.lanes))
            if kernel.units > 1:
                self._stretch(places, many, single, self.lanes, 1)
            if self.lanes > 1:
                self._stretch(places, single, end, 1, 1)

    def _stretch(
        self,
        pointers: list[Value],
        start: Index,
        end: Index,
        lanes: int,
        units: int,
        *,
        masked: bool = False,
    ) -> None:
        """Build the loop over blocks of one width."""
        f = self.function
        with f.loop(start, end, lanes * units) as loop:
            mask = None
            if masked:
                mask = tail_mask(f, f.sub(end, loop.index), lanes, self.widest)
            held: list[dict[int, Value]] = [{} for _ in range(units)]
            block = _Block(pointers, loop.index, lanes, units, mask, held)
            block.count = f.sub(end, loop.index) if masked else None
            self._columns(block)

    # --- a block of columns ----------------------------------------------------------------------

    def _columns(self, block: _Block) -> None:
        f, rows, lanes = self.function, self.kernel.rows, block.lanes
        along = f"k{self.kernel.kept - 1}"
        for number in range(self.count):
            if rows[number]:
                stream = self.stream(number, block.pointers[number], along)
                for unit, held in enumerate(block.held):
                    held[number] = stream.load(f, lanes, block.column, unit * lanes, block.mask)
        crossing = [n for n, kind in enumerate(self.kinds) if kind in (CROSS, TAKING_TURNS)]
        if lanes > 1:
            for number in crossing:
                block.turned[number] = []
                if number < self.count:
                    block.turned[number] = self._turns(block, number).load(f)
        for number in range(self.schedule.passes):
            self._pass(block, number)
        for number, values in block.turned.items():
            if number >= self.count:
                self._turns(block, number).store(f, values)
        for number, value in enumerate(self.program.outputs, self.count):
            if rows[number]:
                stream = self.stream(number, block.pointers[number], along)
                for unit in range(block.units):
                    made = self.row_value(block, unit, value)
                    stream.store(f, made, lanes, block.column, unit * lanes, block.mask)

    def _turned(self, block: _Block, number: int) -> Turned:
        """Return an operand whose rows lie across the lanes."""
        f, length = self.function, self.kernel.length
        stride = self.argument(f"{self.kernel.operands[number]}k{self.kernel.kept - 1}")
        size = tile_rows(self.lanes, length)
        mask = tail_mask(f, length, size, self.widest) if length < size else None
        return Turned(
            self.dtypes[number],
            f.offset(block.pointers[number], f.mul(block.column, stride)),
            stride,
            self.lanes,
            size,
            length,
            mask,
            block.count,
            masks_tails(self.target, self.dtypes, []),
        )

    def _turns(self, block: _Block, number: int) -> Turned | Turns:
        """Return an operand whose rows lie across the lanes, or take turns."""
        turned, length = self._turned(block, number), self.kernel.length
        if self.kinds[number] == CROSS:
            return turned
        return Turns(self.dtypes[number], turned.pointer, self.lanes, length)

    def row_value(self, block: _Block, unit: int, value: int) -> Value:
        """Return a row value of a unit, built on first use."""
        held = block.held[unit]
        return values_of(self.function, block.lanes, self.program, [value], held, _nothing)[value]

    def _pass(self, block: _Block, number: int) -> None:
        job = Pass(self, number)
        for value in job.row_values:
            for unit in range(block.units):
                self.row_value(block, unit, value)
        start = [
            each.start_lasting(block.lanes) for _ in range(block.units) for each in job.reductions
        ]
        states = _Positions(self, block, job).build(start)
        count = len(job.reductions)
        for unit, held in enumerate(block.held):
            mine = states[unit * count : unit * count + count]
            held |= job.results(mine)


class _Positions:
    """The positions along the reduced axes in one pass; states are ordered by unit."""

    def __init__(self, columns: _Columns, block: _Block, job: Pass) -> None:
        self.columns, self.block, self.job = columns, block, job
        self.function, self.program = columns.function, columns.program
        self.every = [each for _ in range(block.units) for each in job.reductions]

    def build(self, state: list[State]) -> list[State]:
        """Build the walk and return the lasting states."""
        return self._nest(0, self.block.pointers, self.columns.scratch(), 0, state)

    def _nest(
        self,
        axis: int,
        pointers: list[Value],
        saved: list[Value],
        base: Index,
        state: list[State],
    ) -> list[State]:
        """Build the loops over the reduced axes from `axis` on."""
        f, columns = self.function, self.columns
        last = columns.kernel.reduced - 1
        rest: Index = 1
        for inner in range(axis + 1, last + 1):
            rest = f.mul(rest, columns.argument(f"r{inner}"))

        def there(index: Index) -> tuple[list[Value], list[Value], Index]:
            moved = [
                f.offset(place, f.mul(index, columns.argument(f"{name}r{axis}")))
                for place, name in zip(pointers, columns.kernel.operands, strict=True)
            ]
            width = columns.lanes * columns.kernel.units
            sizes = [np.dtype(self.program.dtype(n)).itemsize for n in columns.schedule.saves]
            moved_saved = [
                f.offset(place, f.mul(index, f.mul(rest, size * width)))
                for place, size in zip(saved, sizes, strict=False)
            ]
            return moved, moved_saved, f.add(base, f.mul(index, columns.argument(f"w{axis}")))

        if axis == last:
            return self._along(there, state)
        with f.loop(0, columns.argument(f"r{axis}"), carried=flattened(state)) as loop:
            inside = self._nest(axis + 1, *there(loop.index), grouped(loop.carried, state))
            loop.next = flattened(inside)
        return grouped(loop.results, state)

    def _along(
        self,
        there: Callable[[Index], tuple[list[Value], list[Value], Index]],
        state: list[State],
    ) -> list[State]:
        """Build the loop along the last reduced axis; sums are settled after PLAIN_STEPS turns."""
        f, kernel = self.function, self.columns.kernel
        fresh = [each.start(self.block.lanes) for each in self.every]
        if kernel.length:
            local = fresh
            for index in range(kernel.length):
                local = self._position(*there(index), local, index)
            return local
        length = self.columns.argument(f"r{kernel.reduced - 1}")
        if not any(each.settles for each in self.every):
            with f.loop(0, length, carried=flattened(state)) as loop:
                local = grouped(loop.carried, state)
                loop.next = flattened(self._position(*there(loop.index), local))
            return grouped(loop.results, state)
        with f.loop(0, length, PLAIN_STEPS, carried=flattened(state)) as outer:
            until = f.min(f.add(outer.index, PLAIN_STEPS), length)
            with f.loop(outer.index, until, carried=flattened(fresh)) as loop:
                local = grouped(loop.carried, fresh)
                loop.next = flattened(self._position(*there(loop.index), local))
            lasting = grouped(outer.carried, state)
            outer.next = flattened(self._settled(lasting, grouped(loop.results, fresh)))
        return grouped(outer.results, state)

    def _settled(self, state: list[State], local: list[State]) -> list[State]:
        return [
            each.settle(lasting, mine)
            for each, lasting, mine in zip(self.every, state, local, strict=True)
        ]

    def _position(
        self,
        pointers: list[Value],
        saved: list[Value],
        base: Index,
        local: list[State],
        number: int | None = None,
    ) -> list[State]:
        """Build the work on one position of all units and return the local states."""
        count = len(self.job.reductions)
        made = []
        for unit in range(self.block.units):
            mine = local[unit * count : unit * count + count]
            values = self._values(unit, pointers, saved, number)
            for each, state in zip(self.job.reductions, mine, strict=True):
                made.append(self._taken(each, state, values, base))
        return made

    def _values(
        self, unit: int, pointers: list[Value], saved: list[Value], number: int | None
    ) -> dict[int, Value]:
        f, columns, block, job = self.function, self.columns, self.block, self.job
        lanes, later, mask = block.lanes, unit * block.lanes, block.mask
        along = f"k{columns.kernel.kept - 1}"
        held: dict[int, Value] = {}
        if number is not None:
            held = block.blocks.setdefault((unit, number), {})

        def place(number: int) -> tuple[Stream, Index]:
            stream = columns.saved_stream(number, pointers, saved[number], along)
            assert columns.kernel.places is not None
            inside = columns.kernel.places[number] == IN_SCRATCH
            return stream, 0 if inside else block.column

        def leaf(value: int) -> Value | None:
            if value in job.old:
                stream, column = place(job.old[value])
                return stream.load(f, lanes, column, later, mask)
            if columns.schedule.rows[value] and not is_constant(self.program, value):
                return block.held[unit][value]
            if value < columns.count and value in block.turned and number is not None:
                return computed(f, columns.dtypes[value], block.turned[value][number])
            if value < columns.count:
                stream = columns.stream(value, pointers[value], along)
                return stream.load(f, lanes, block.column, later, mask)
            return None

        values = values_of(f, lanes, self.program, job.wanted, held, leaf)
        for value, saved_number in job.saves.items():
            stream, column = place(saved_number)
            stream.store(f, values[value], lanes, column, later, mask)
        for output in job.stores:
            found = columns.count + output
            if found in block.turned:
                made = values[self.program.outputs[output]]
                block.turned[found].append(in_memory(f, columns.dtypes[found], made))
                continue
            stream = columns.stream(found, pointers[found], along)
            made = values[self.program.outputs[output]]
            stream.store(f, made, lanes, block.column, later, mask)
        return values

    def _taken(
        self, reduction: Reduction, state: State, values: dict[int, Value], base: Index
    ) -> State:
        """Return the local state with a position added; masked lanes are never looked at."""
        f, lanes = self.function, self.block.lanes
        element = reduction.element(lanes, values[reduction.argument], None)
        position = None
        if reduction.indices is not None:
            position = values[reduction.indices]
        elif reduction.is_arg:
            single = reduction.positions(base, 0, 1)
            position = f.splat(single, lanes)
        return reduction.take(state, element, position)


def _nothing(value: int) -> None:
    return None
