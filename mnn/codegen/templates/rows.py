"""Loops along an axis whose neighbours lie side by side: element by element, or row by row.

A row is what lies along the reduced axes. It is walked in passes: each reads what it needs, ends
some reductions, and the last one stores. Without reductions rows may be cut anywhere.

Passes of one row wait for each other, those of different rows do not. *Staggered* passes run side
by side in one loop, each a row behind the one before it: while exponentials of a row are computed,
the next row comes from memory and is searched for its maximum, and the row before is divided.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Index, Module, Value, lanes_of
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    ONE,
    SIDE,
    Stream,
    cut_rows,
    odometer,
    tail_mask,
    vector_lanes,
)
from mnn.codegen.templates.reduction import PLAIN_STEPS, Reduction, State
from mnn.codegen.templates.schedule import (
    closure,
    is_constant,
    program_cost,
    used_dtypes,
    values_of,
)
from mnn.codegen.templates.walk import Pass, Walk, WalkKernel, flattened, grouped
from mnn.records import replace

__all__ = ["RowKernel", "block_size"]


def block_size(program: Program, target: Target) -> int:
    """Return how many elements of a row are one item, where rows are cut."""
    return 16 * vector_lanes(target, used_dtypes(program))


@dataclass(frozen=True)
class RowKernel(WalkKernel):
    """A program over rows, with lanes along the last reduced axis.

    Attributes:
        cut: an item is a part of a row instead of a row; only without reductions.
        waits: a turn of the main loop waits long for the one before, and rows are long enough for
            more accumulators.
        staggered: passes run side by side on neighbouring rows; there is one reduced axis, nothing
            is saved but in outputs, and scratch has room for a row of the widest output. It takes
            what passes store before the first row and after the last one.
    """

    cut: bool = False
    waits: bool = False
    staggered: bool = False

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Rows(self, module.entry(), target).build()
        return module


@dataclass
class _Row:
    """One row, or a part of it, being built.

    Attributes:
        pointers: of inputs, then of outputs.
        held: row values made so far, one lane.
        spread: the same in all lanes, made before the loops that use them.
        blocks: element values by place, for rows in registers.
    """

    pointers: list[Value]
    start: Index
    end: Index
    held: dict[int, Value] = field(default_factory=dict)
    spread: dict[int, Value] = field(default_factory=dict)
    blocks: dict[int, dict[int, Value]] = field(default_factory=dict)


@dataclass
class _Segment:
    """Elements along the last reduced axis: the streams, and the position of the first."""

    inputs: list[Stream]
    outputs: list[Stream]
    saved: list[Stream]
    base: Index


@dataclass
class _Stage:
    """A pass over a segment of a row.

    Attributes:
        coming: what the pass will read of the next row.
    """

    row: _Row
    job: Pass
    segment: _Segment
    coming: list[Stream] = field(default_factory=list)


class _Rows(Walk):
    """Builds the code of a RowKernel."""

    kernel: RowKernel

    def __init__(self, kernel: RowKernel, function: Function, target: Target) -> None:
        super().__init__(kernel, function, target)
        self.kernel = kernel
        cost = program_cost(self.program)
        self.units = 4 if cost <= 24 else 2 if cost <= 96 else 1
        if kernel.waits and target.registers >= 32:
            self.units *= 2

    def build(self) -> None:
        """Build the walk over rows, or parts of rows."""
        f, kernel = self.function, self.kernel
        _, lo, hi, _ = f.arguments
        pointers = [self.argument(each) for each in kernel.operands]
        strides = [self.listed(f"{each}k", kernel.kept) for each in kernel.operands]
        sizes = self.listed("k", kernel.kept)
        length: Index = kernel.length or self.argument(f"r{kernel.reduced - 1}")
        if kernel.staggered:
            self._staggered(sizes, pointers, strides, length)
            return
        if not kernel.cut:
            with odometer(f, lo, hi, sizes, pointers, strides) as (_, places):
                self._row(_Row(places, 0, length))
            return
        size, parts = block_size(self.program, self.target), self.argument("parts")
        with cut_rows(f, sizes, pointers, strides, length, size, parts) as (places, start, end):
            self._row(_Row(places, start, end))

    # --- staggered rows --------------------------------------------------------------------------

    def _staggered(
        self,
        sizes: list[Index],
        pointers: list[Value],
        strides: list[list[Index]],
        length: Index,
    ) -> None:
        """Build the loop whose turn `index` does pass n of row index - n, for all passes.

        Passes of rows outside of lo..hi read row 0 and store in scratch. They always run, so that
        every row is added up in the same order wherever rows are split.
        """
        f, passes = self.function, self.schedule.passes
        _, lo, hi, spare = f.arguments
        nowhere = [*pointers[: self.count], *[spare for _ in pointers[self.count :]]]
        ended = [(n, each) for n, found in enumerate(self.schedule.reductions) for each in found]
        # Pointers of the last rows, the latest one first, then their reductions in the same way.
        groups = [list(nowhere) for _ in range(1, passes)]
        for number, value in ended:
            nothing = Body(f, 1, np.dtype(self.program.dtype(value))).const(0)
            groups.append([nothing] * (passes - 1 - number))
        handed = flattened(groups)
        turns = f.select(f.compare("slt", lo, hi), f.value(f.add(hi, passes - 1)), lo)
        with odometer(f, lo, turns, sizes, pointers, strides, handed) as (index, here):
            before = grouped(handed, groups)
            inside = f.compare("slt", index, hi)
            first = [f.select(inside, a, b) for a, b in zip(here, nowhere, strict=True)]
            places = [first, *before[: passes - 1]]
            made = dict(zip([each for _, each in ended], before[passes - 1 :], strict=True))
            rows = [_Row(each, 0, length) for each in places]
            for n, row in enumerate(rows):
                row.held = {each: made[each][n - m - 1] for m, each in ended if m < n}
            results = self._side_by_side(rows)
            self._store_row_values(rows[-1])
            later = [[results[each], *made[each]][: passes - 1 - n] for n, each in ended]
            handed[:] = flattened([*places[:-1], *later])

    def _side_by_side(self, rows: list[_Row]) -> dict[int, Value]:
        """Build pass n on row n for all passes and return what reductions have found."""
        stages = []
        for number, row in enumerate(rows):
            self._load_row_values(row)
            job = self._ready(row, number)
            saved = row.pointers[:1] * len(self.schedule.saves)  # They are in outputs.
            stages.append(_Stage(row, job, self._segment(row.pointers, saved, 0)))
        stages[0].coming = self._coming(stages[0])
        states = [[each.start_lasting(self.lanes) for each in s.job.reductions] for s in stages]
        ends = _Elements(self, stages).build([each for group in states for each in group])
        found: dict[int, Value] = {}
        for stage in stages:
            reductions = stage.job.reductions
            mine, ends = ends[: len(reductions)], ends[len(reductions) :]
            folded = [each.fold(end) for each, end in zip(reductions, mine, strict=True)]
            stage.row.held |= (results := stage.job.results(folded))
            found |= results
        return found

    def _coming(self, stage: _Stage) -> list[Stream]:
        """Return what the first pass will read of the next row.

        It is asked for early, because a pass that shares its loop with others looks less far ahead.
        """
        f, axis = self.function, self.kernel.kept - 1
        read = closure(self.program, stage.job.wanted, self.schedule.rows.__getitem__)[0]
        return [
            replace(
                stage.segment.inputs[n],
                pointer=f.offset(stage.row.pointers[n], self.argument(f"x{n}k{axis}")),
            )
            for n in read
            if n < self.count and self.kinds[n] == SIDE
        ]

    # --- one row ---------------------------------------------------------------------------------

    def _row(self, row: _Row) -> None:
        self._load_row_values(row)
        for number in range(self.schedule.passes):
            self._pass(row, number)
        self._store_row_values(row)

    def _load_row_values(self, row: _Row) -> None:
        for number in range(self.count):
            if self.kernel.rows[number]:
                stream = Stream(self.dtypes[number], ONE, row.pointers[number])
                row.held[number] = stream.load(self.function, 1, 0)

    def _store_row_values(self, row: _Row) -> None:
        f, rows = self.function, self.kernel.rows
        for number, value in enumerate(self.program.outputs, self.count):
            if rows[number]:
                made = self._row_value(row, value)
                Stream(self.dtypes[number], ONE, row.pointers[number]).store(f, made, 1, 0)

    def _row_value(self, row: _Row, value: int) -> Value:
        return values_of(self.function, 1, self.program, [value], row.held, _nothing)[value]

    def _ready(self, row: _Row, number: int) -> Pass:
        """Return a pass; the row's values that it needs are spread over lanes."""
        job = Pass(self, number)
        for value in job.row_values:
            single = self._row_value(row, value)
            if value not in row.spread:
                row.spread[value] = self.function.splat(single, self.lanes)
        return job

    def _segment(self, pointers: list[Value], saved: list[Value], base: Index) -> _Segment:
        along = f"r{self.kernel.reduced - 1}"
        streams = [self.stream(n, each, along) for n, each in enumerate(pointers)]
        kept = [self.saved_stream(n, pointers, each, along) for n, each in enumerate(saved)]
        return _Segment(streams[: self.count], streams[self.count :], kept, base)

    def _pass(self, row: _Row, number: int) -> None:
        job = self._ready(row, number)
        state = [each.start_lasting(self.lanes) for each in job.reductions]
        state = self._nest(row, job, 0, row.pointers, self.scratch(), 0, state)
        folded = [each.fold(mine) for each, mine in zip(job.reductions, state, strict=True)]
        row.held |= job.results(folded)

    def _nest(
        self,
        row: _Row,
        job: Pass,
        axis: int,
        pointers: list[Value],
        saved: list[Value],
        base: Index,
        state: list[State],
    ) -> list[State]:
        """Build the loops over the reduced axes from `axis` on and return the lasting states."""
        f, last = self.function, self.kernel.reduced - 1
        if axis == last:
            stage = _Stage(row, job, self._segment(pointers, saved, base))
            return _Elements(self, [stage]).build(state)
        rest: Index = 1
        for inner in range(axis + 1, last + 1):
            rest = f.mul(rest, self.argument(f"r{inner}"))
        with f.loop(0, self.argument(f"r{axis}"), carried=flattened(state)) as loop:
            moved = [
                f.offset(place, f.mul(loop.index, self.argument(f"{name}r{axis}")))
                for place, name in zip(pointers, self.kernel.operands, strict=True)
            ]
            sizes = [np.dtype(self.program.dtype(each)).itemsize for each in self.schedule.saves]
            moved_saved = [
                f.offset(place, f.mul(loop.index, f.mul(rest, size)))
                for place, size in zip(saved, sizes, strict=False)
            ]
            further = f.add(base, f.mul(loop.index, self.argument(f"w{axis}")))
            inside = self._nest(
                row, job, axis + 1, moved, moved_saved, further, grouped(loop.carried, state)
            )
            loop.next = flattened(inside)
        return grouped(loop.results, state)


class _Elements:
    """The elements of segments of one length, each in one pass."""

    def __init__(self, rows: _Rows, stages: list[_Stage]) -> None:
        self.rows, self.stages = rows, stages
        self.function, self.program = rows.function, rows.program
        self.reductions = [reduction for each in stages for reduction in each.job.reductions]

    def build(self, state: list[State]) -> list[State]:
        """Build the work on all elements and return the lasting states."""
        f, row, lanes = self.function, self.stages[0].row, self.rows.lanes
        if self.rows.kernel.length:
            return self._in_registers()
        start, end = row.start, row.end
        many = f.add(start, f.floor_to(f.sub(end, start), lanes * self.rows.units))
        state = self._main(state, start, many)
        if self.rows.masks:
            return self._rest(state, many, end, lanes, masked=True)
        single = f.add(start, f.floor_to(f.sub(end, start), lanes))
        if self.rows.units > 1:
            state = self._rest(state, many, single, lanes)
        return self._rest(state, single, end, 1) if lanes > 1 else state

    def _main(self, state: list[State], start: Index, end: Index) -> list[State]:
        """Build the loop over several vectors a turn, from start to end, a whole number of turns.

        Sums of floats are settled after PLAIN_STEPS turns.
        """
        f, units, lanes = self.function, self.rows.units, self.rows.lanes
        if not self.reductions:
            with f.loop(start, end, units * lanes) as loop:
                for unit in range(units):
                    self._block(loop.index, unit * lanes, lanes, None, [])
            return state
        if not any(each.settles for each in self.reductions):
            return self._turns(state, start, end)
        stride = units * lanes * PLAIN_STEPS
        with f.loop(start, end, stride, carried=flattened(state)) as loop:
            until = f.min(f.add(loop.index, stride), end)
            inside = self._turns(grouped(loop.carried, state), loop.index, until)
            loop.next = flattened(inside)
        return grouped(loop.results, state)

    def _turns(self, state: list[State], start: Index, end: Index) -> list[State]:
        f, units, lanes = self.function, self.rows.units, self.rows.lanes
        fresh = [each.start(lanes) for each in self.reductions for _ in range(units)]
        with f.loop(start, end, units * lanes, flattened(fresh)) as loop:
            local = grouped(loop.carried, fresh)
            for unit in range(units):
                local[unit::units] = self._block(
                    loop.index, unit * lanes, lanes, None, local[unit::units]
                )
            loop.next = flattened(local)
        local = grouped(loop.results, fresh)
        return [
            each.settle(lasting, each.join(local[units * n : units * n + units]))
            for n, (each, lasting) in enumerate(zip(self.reductions, state, strict=True))
        ]

    def _rest(
        self, state: list[State], start: Index, end: Index, lanes: int, *, masked: bool = False
    ) -> list[State]:
        """Build the loop over what is too short for the main one; lane 0 takes single elements."""
        f = self.function
        fresh = [each.start(lanes) for each in self.reductions]
        with f.loop(start, end, lanes, flattened(fresh)) as loop:
            mask = None
            if masked:
                mask = tail_mask(f, f.sub(end, loop.index), lanes, self.rows.widest)
            made = self._block(loop.index, 0, lanes, mask, grouped(loop.carried, fresh))
            loop.next = flattened(made)
        local = grouped(loop.results, fresh)
        if lanes < self.rows.lanes:
            local = [self._widened(each, s) for each, s in zip(self.reductions, local, strict=True)]
        return [
            each.settle(lasting, mine)
            for each, lasting, mine in zip(self.reductions, state, local, strict=True)
        ]

    def _widened(self, reduction: Reduction, state: State) -> State:
        """Return the state of one lane as one of all lanes."""
        pairs = zip(reduction.start(self.rows.lanes), state, strict=True)
        return [self.function.insert(empty, single, 0) for empty, single in pairs]

    def _in_registers(self) -> list[State]:
        """Build straight code for a row of known length; values stay for later passes.

        Lanes get few elements each, so the local states will do.
        """
        f, lanes, length = self.function, self.rows.lanes, self.rows.kernel.length
        units = 4
        local = [[each.start(lanes) for each in self.reductions] for _ in range(units)]
        singles = [each.start(1) for each in self.reductions]
        whole = length if self.rows.masks else length - length % lanes
        for number, place in enumerate(range(0, whole, lanes)):
            mask = None
            if length - place < lanes:
                mask = tail_mask(f, length - place, lanes, self.rows.widest)
            mine = local[number % units]
            local[number % units] = self._block(place, 0, lanes, mask, mine)
        for place in range(whole, length):
            singles = self._block(place, 0, 1, None, singles)
        result = []
        for n, each in enumerate(self.reductions):
            made = each.join([group[n] for group in local])
            if whole < length:
                made = each.join([made, self._widened(each, singles[n])])
            result.append(made)
        return result

    def _block(
        self, index: Index, later: int, lanes: int, mask: Value | None, state: list[State]
    ) -> list[State]:
        """Build the work on `lanes` elements and return the local states."""
        made: list[State] = []
        for each in self.stages:
            count = len(each.job.reductions)
            mine = state[len(made) : len(made) + count]
            made += self._stage(each, index, later, lanes, mask, mine)
        return made

    def _stage(
        self,
        stage: _Stage,
        index: Index,
        later: int,
        lanes: int,
        mask: Value | None,
        state: list[State],
    ) -> list[State]:
        f, row, job, segment = self.function, stage.row, stage.job, stage.segment
        held: dict[int, Value] = {}
        if isinstance(index, int):
            held = row.blocks.setdefault(index, {})

        def leaf(value: int) -> Value | None:
            if value in job.old:
                return segment.saved[job.old[value]].load(f, lanes, index, later, mask)
            if self.rows.schedule.rows[value] and not is_constant(self.program, value):
                return row.held[value] if lanes == 1 else row.spread[value]
            if value < self.rows.count:
                return segment.inputs[value].load(f, lanes, index, later, mask)
            return None

        for stream in stage.coming if mask is None and lanes > 1 else []:
            stream.prefetch(f, index, later)
        values = values_of(f, lanes, self.program, job.wanted, held, leaf)
        for value, number in job.saves.items():
            segment.saved[number].store(f, values[value], lanes, index, later, mask)
        for number in job.stores:
            made = values[self.program.outputs[number]]
            segment.outputs[number].store(f, made, lanes, index, later, mask)
        counts = any(each.is_arg and each.indices is None for each in job.reductions)
        place = f.add(segment.base, index) if counts else 0
        return [
            self._taken(each, mine, values, (place, later), mask)
            for each, mine in zip(job.reductions, state, strict=True)
        ]

    def _taken(
        self,
        reduction: Reduction,
        state: State,
        values: dict[int, Value],
        place: tuple[Index, int],
        mask: Value | None,
    ) -> State:
        """Return the local state with a block added; the first lane is at the sum of `place`."""
        lanes = lanes_of(state[0].type)
        element = reduction.element(lanes, values[reduction.argument], mask)
        position = None
        if reduction.indices is not None:
            position = values[reduction.indices]
        elif reduction.is_arg:
            position = reduction.positions(*place, lanes)
        return reduction.take(state, element, position)


def _nothing(value: int) -> None:
    return None
