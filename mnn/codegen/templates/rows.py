"""Loops along an axis whose neighbours lie side by side: element by element, or row by row.

A row is what lies along the reduced axes. It is walked in passes: each reads what it needs, ends
some reductions, and the last one stores. Without reductions rows may be cut anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from mnn.codegen.builder import Function, Index, Module, Value, lanes_of
from mnn.codegen.kernel import Kernel
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    ONE,
    ROW,
    SIDE,
    Stream,
    masks_tails,
    odometer,
    tail_mask,
    vector_lanes,
)
from mnn.codegen.templates.reduction import PLAIN_STEPS, Reduction, State
from mnn.codegen.templates.schedule import (
    Schedule,
    closure,
    is_constant,
    make_schedule,
    program_cost,
    used_dtypes,
    values_of,
)

__all__ = ["IN_SCRATCH", "RowKernel", "block_size"]

IN_SCRATCH = -1
"""Place of a saved value that is not an output."""


def block_size(program: Program, target: Target) -> int:
    """Return how many elements of a row are one item, where rows are cut."""
    return 16 * vector_lanes(target, used_dtypes(program))


@dataclass(frozen=True)
class RowKernel(Kernel):
    """A program over rows.

    Attributes:
        inputs: for each input how neighbours along the last reduced axis lie, or ROW.
        outputs: the same for outputs; ROW has one element for each row.
        kept, reduced: numbers of axes; reduced >= 1.
        places: for each saved value (in the order of the schedule) the number of the output that
            holds it meanwhile, or IN_SCRATCH; None saves nothing.
        cut: an item is a part of a row instead of a row; only without reductions.
        length: elements of a row, when the whole row is to be held in registers; 0: any number.
        wide: positions need 64 bits.

    Arguments: for each operand its pointer and strides in bytes along the kept axes, along the
    reduced axes; sizes of kept axes; sizes of reduced axes; their weights in positions (that of the
    last is 1); parts of a row; bytes in scratch before each saved value.
    """

    program: Program
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kept: int
    reduced: int
    places: tuple[int, ...] | None = None
    cut: bool = False
    length: int = 0
    wide: bool = False

    @property
    def schedule(self) -> Schedule:
        """Passes of the program."""
        return make_schedule(
            self.program,
            [each == ROW for each in self.inputs],
            [each != ROW for each in self.outputs],
            save=self.places is not None,
        )

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for kind, count in (("x", len(self.inputs)), ("y", len(self.outputs))):
            for number in range(count):
                names.append(f"*{kind}{number}")
                names += [f"{kind}{number}k{axis}" for axis in range(self.kept)]
                names += [f"{kind}{number}r{axis}" for axis in range(self.reduced)]
        names += [f"k{axis}" for axis in range(self.kept)]
        names += [f"r{axis}" for axis in range(self.reduced)]
        names += [f"w{axis}" for axis in range(self.reduced)]
        names.append("parts")
        names += [f"s{number}" for number in range(len(self.places or ()))]
        return " ".join(names)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        function = module.entry()
        _Rows(self, function, target).build()
        return module


@dataclass
class _Row:
    """What is known while the code of one row is being built.

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
    """Elements along the last reduced axis: the streams, and the position before the first."""

    inputs: list[Stream | None]
    outputs: list[Stream | None]
    saved: dict[int, Stream]
    base: Index


class _Rows:
    """Builds the code of a RowKernel."""

    def __init__(self, kernel: RowKernel, function: Function, target: Target) -> None:
        self.kernel, self.function = kernel, function
        self.program, self.schedule = kernel.program, kernel.schedule
        dtypes = used_dtypes(self.program)
        self.lanes = vector_lanes(target, dtypes)
        self.masks = masks_tails(
            target, self.program.inputs + self._out_dtypes(), kernel.inputs + kernel.outputs
        )
        self.widest = max(np.dtype(each).itemsize for each in dtypes)
        self.units = 4 if program_cost(self.program) <= 24 else 2
        self.units = 1 if program_cost(self.program) > 96 else self.units
        self.block: SimpleNamespace = function.block(kernel.fields())

    def _out_dtypes(self) -> tuple[str, ...]:
        return tuple(self.program.dtype(each) for each in self.program.outputs)

    def _arguments(self, pattern: str, count: int) -> list[Index]:
        return [getattr(self.block, f"{pattern}{number}") for number in range(count)]

    def build(self) -> None:
        """Build the walk over rows, or parts of rows."""
        f, kernel = self.function, self.kernel
        _, lo, hi, _ = f.arguments
        names = [f"x{n}" for n in range(len(kernel.inputs))]
        names += [f"y{n}" for n in range(len(kernel.outputs))]
        pointers = [getattr(self.block, each) for each in names]
        strides = [self._arguments(f"{each}k", kernel.kept) for each in names]
        sizes = self._arguments("k", kernel.kept)
        length: Index = kernel.length or getattr(self.block, f"r{kernel.reduced - 1}")
        if not kernel.cut:
            with odometer(f, lo, hi, sizes, pointers, strides) as (_, places):
                self._row(_Row(places, 0, length))
            return
        size = block_size(self.program, self.function.target)
        if not kernel.kept:
            end = f.min(f.mul(hi, size), length)
            self._row(_Row(pointers, f.mul(lo, size), end))
            return
        parts = self.block.parts
        first, last = f.div(lo, parts), f.div(f.add(hi, f.sub(parts, 1)), parts)
        with odometer(f, first, last, sizes, pointers, strides) as (row, places):
            before = f.mul(row, parts)
            start = f.mul(f.max(f.sub(lo, before), 0), size)
            end = f.min(f.mul(f.min(f.sub(hi, before), parts), size), length)
            self._row(_Row(places, start, end))

    # --- one row ---------------------------------------------------------------------------------

    def _row(self, row: _Row) -> None:
        f, program = self.function, self.program
        for number, kind in enumerate(self.kernel.inputs):
            if kind == ROW:
                stream = Stream(program.inputs[number], ONE, row.pointers[number])
                row.held[number] = stream.load(f, 1, 0)
        for number in range(self.schedule.passes):
            self._pass(row, number)
        for number, kind in enumerate(self.kernel.outputs):
            if kind == ROW:
                value = self.row_value(row, program.outputs[number])
                place = row.pointers[len(self.kernel.inputs) + number]
                Stream(program.dtype(program.outputs[number]), ONE, place).store(f, value, 1, 0)

    def row_value(self, row: _Row, value: int) -> Value:
        values_of(self.function, 1, self.program, [value], row.held, lambda each: None)
        return row.held[value]

    def _pass(self, row: _Row, number: int) -> None:
        f, schedule = self.function, self.schedule
        position = "int64" if self.kernel.wide else "int32"
        ended = [Reduction(f, self.program, each, position) for each in schedule.reductions[number]]
        job = _Pass(self, row, number, ended)
        job.spread_row_values()
        state = [each.start_lasting(self.lanes) for each in ended]
        state = self._nest(row, job, state)
        for value, reduction, lasting in zip(
            schedule.reductions[number], ended, state, strict=True
        ):
            row.held[value] = reduction.end(reduction.fold(lasting))

    def _nest(self, row: _Row, job: _Pass, state: list[State]) -> list[State]:
        """Build the loops over the reduced axes."""
        f, kernel = self.function, self.kernel
        outer = kernel.reduced - 1
        scratch = [
            f.offset(f.arguments[3], getattr(self.block, f"s{n}"))
            for n in range(len(kernel.places or ()))
        ]
        names = [f"x{n}" for n in range(len(kernel.inputs))]
        names += [f"y{n}" for n in range(len(kernel.outputs))]
        last = getattr(self.block, f"r{outer}")
        sizes = [np.dtype(self.program.dtype(each)).itemsize for each in self.schedule.saves]

        def level(
            axis: int, pointers: list[Value], saved: list[Value], base: Index, state: list[State]
        ) -> list[State]:
            if axis == outer:
                segment = self._segment(pointers, saved, base)
                return job.segment(segment, state)
            flat = [each for group in state for each in group]
            rest: Index = last
            for inner in range(axis + 1, outer):
                rest = f.mul(rest, getattr(self.block, f"r{inner}"))
            with f.loop(0, getattr(self.block, f"r{axis}"), carried=flat) as loop:
                moved = [
                    f.offset(place, f.mul(loop.index, getattr(self.block, f"{name}r{axis}")))
                    for place, name in zip(pointers, names, strict=True)
                ]
                moved_saved = [
                    f.offset(place, f.mul(loop.index, f.mul(rest, size)))
                    for place, size in zip(saved, sizes, strict=True)
                ]
                further = f.add(base, f.mul(loop.index, getattr(self.block, f"w{axis}")))
                inside = level(axis + 1, moved, moved_saved, further, _grouped(loop.carried, state))
                loop.next = [each for group in inside for each in group]
            return _grouped(loop.results, state)

        return level(0, row.pointers, scratch, 0, state)

    def _segment(self, pointers: Sequence[Value], saved: Sequence[Value], base: Index) -> _Segment:
        kernel, program = self.kernel, self.program
        axis = kernel.reduced - 1

        def stream(name: str, number: int, dtype: str, kind: str) -> Stream | None:
            if kind == ROW:
                return None
            place = number + (len(kernel.inputs) if name == "y" else 0)
            stride = getattr(self.block, f"{name}{number}r{axis}")
            return Stream(dtype, kind, pointers[place], stride)

        inputs = [
            stream("x", number, program.inputs[number], kind)
            for number, kind in enumerate(kernel.inputs)
        ]
        outputs = [
            stream("y", number, program.dtype(program.outputs[number]), kind)
            for number, kind in enumerate(kernel.outputs)
        ]
        kept: dict[int, Stream] = {}
        places = zip(self.schedule.saves, kernel.places or (), saved, strict=True)
        for value, output, pointer in places:
            found = None if output == IN_SCRATCH else outputs[output]
            kept[value] = found or Stream(program.dtype(value), SIDE, pointer)
        return _Segment(inputs, outputs, kept, base)


def _grouped(flat: Sequence[Value], like: Sequence[State]) -> list[State]:
    """Return values in groups of the lengths of those in `like`."""
    groups, start = [], 0
    for each in like:
        groups.append(list(flat[start : start + len(each)]))
        start += len(each)
    return groups


class _Pass:
    """One pass over the elements of a row."""

    def __init__(
        self, rows: _Rows, row: _Row, number: int, reductions: Sequence[Reduction]
    ) -> None:
        self.rows, self.row, self.number = rows, row, number
        self.function, self.program = rows.function, rows.program
        self.reductions = reductions
        schedule = rows.schedule
        self.saves = [each for each in schedule.saves if schedule.depth[each] == number]
        self.old = [each for each in schedule.saves if schedule.depth[each] < number]
        self.stores = (
            [n for n, kind in enumerate(rows.kernel.outputs) if kind != ROW]
            if number == schedule.passes - 1
            else []
        )
        if rows.kernel.length:
            self.saves, self.old = [], []
        self.wanted = [each.argument for each in reductions] + self.saves
        self.wanted += [each.indices for each in reductions if each.indices is not None]
        self.wanted += [self.program.outputs[each] for each in self.stores]

    def spread_row_values(self) -> None:
        """Build the row values that elements of this pass need, in all lanes."""
        row, rows = self.row, self.rows.schedule.rows

        def known(value: int) -> bool:
            return value in self.old or (rows[value] and not is_constant(self.program, value))

        for value in closure(self.program, self.wanted, known)[1]:
            if value not in row.spread and value not in self.old:
                single = self.rows.row_value(row, value)
                row.spread[value] = self.function.splat(single, self.rows.lanes)

    # --- elements --------------------------------------------------------------------------------

    def segment(self, segment: _Segment, state: list[State]) -> list[State]:
        """Build the work on the elements of a segment and return the lasting states."""
        f, row, lanes, units = self.function, self.row, self.rows.lanes, self.rows.units
        if self.rows.kernel.length:
            return self._in_registers(segment, state)
        step = lanes * units
        start, end = row.start, row.end
        many = f.add(start, f.floor_to(f.sub(end, start), step))
        state = self._main(segment, state, start, many)
        single = f.add(start, f.floor_to(f.sub(end, start), lanes))
        if self.rows.masks:
            return self._rest(segment, state, many, end, lanes, masked=True)
        state = self._rest(segment, state, many, single, lanes, masked=False)
        return self._rest(segment, state, single, end, 1, masked=False)

    def _main(self, segment: _Segment, state: list[State], start: Index, end: Index) -> list[State]:
        """Build the loop over several vectors a turn, from start to end, a whole number of turns.

        Sums of floats are settled after PLAIN_STEPS turns.
        """
        f, units, lanes = self.function, self.rows.units, self.rows.lanes
        step = units * lanes
        if not self.reductions:
            with f.loop(start, end, step) as loop:
                for unit in range(units):
                    self._block(segment, loop.index, unit * lanes, lanes, None, None)
            return state
        if not any(each.settles for each in self.reductions):
            return self._turns(segment, state, start, end)
        flat = [each for group in state for each in group]
        stride = step * PLAIN_STEPS
        with f.loop(start, end, stride, carried=flat) as loop:
            until = f.min(f.add(loop.index, stride), end)
            inside = self._turns(segment, _grouped(loop.carried, state), loop.index, until)
            loop.next = [each for group in inside for each in group]
        return _grouped(loop.results, state)

    def _turns(
        self, segment: _Segment, state: list[State], start: Index, end: Index
    ) -> list[State]:
        f, units, lanes = self.function, self.rows.units, self.rows.lanes
        fresh = [each.start(lanes) for each in self.reductions for _ in range(units)]
        with f.loop(start, end, units * lanes, [v for group in fresh for v in group]) as loop:
            local = _grouped(loop.carried, fresh)
            for unit in range(units):
                mine = local[unit::units]
                made = self._block(segment, loop.index, unit * lanes, lanes, None, mine)
                local[unit::units] = made
            loop.next = [v for group in local for v in group]
        local = _grouped(loop.results, fresh)
        return [
            each.settle(lasting, _tree(each.join, local[units * n : units * n + units]))
            for n, (each, lasting) in enumerate(zip(self.reductions, state, strict=True))
        ]

    def _rest(
        self,
        segment: _Segment,
        state: list[State],
        start: Index,
        end: Index,
        lanes: int,
        *,
        masked: bool,
    ) -> list[State]:
        """Build the loop over what is too short for the main one; lane 0 takes single elements."""
        f = self.function
        fresh = [each.start(lanes) for each in self.reductions]
        with f.loop(start, end, lanes, [v for group in fresh for v in group]) as loop:
            mask = None
            if masked:
                mask = tail_mask(f, f.sub(end, loop.index), lanes, self.rows.widest)
            local = _grouped(loop.carried, fresh)
            made = self._block(segment, loop.index, 0, lanes, mask, local)
            loop.next = [v for group in made for v in group]
        local = _grouped(loop.results, fresh)
        if lanes < self.rows.lanes:
            local = [self._widened(each, s) for each, s in zip(self.reductions, local, strict=True)]
        return [
            each.settle(lasting, mine)
            for each, lasting, mine in zip(self.reductions, state, local, strict=True)
        ]

    def _widened(self, reduction: Reduction, state: State) -> State:
        """Return the state of one lane as one of all lanes."""
        f, lanes = self.function, self.rows.lanes
        if lanes == 1:
            return state
        pairs = zip(reduction.start(lanes), state, strict=True)
        return [f.insert(empty, single, 0) for empty, single in pairs]

    def _in_registers(self, segment: _Segment, state: list[State]) -> list[State]:
        """Build straight code for a row of known length; values stay for later passes."""
        f, lanes, length = self.function, self.rows.lanes, self.rows.kernel.length
        units = min(self.rows.units * 2, 4)
        local = [[each.start(lanes) for each in self.reductions] for _ in range(units)]
        singles = [each.start(1) for each in self.reductions]
        number = 0
        place = 0
        while place < length:
            whole = length - place >= lanes
            if whole or self.rows.masks:
                mask = None if whole else tail_mask(f, length - place, lanes, self.rows.widest)
                mine = local[number % units]
                local[number % units] = self._block(segment, place, 0, lanes, mask, mine)
                place += lanes
                number += 1
            else:
                singles = self._block(segment, place, 0, 1, None, singles)
                place += 1
        result = []
        for n, (each, lasting) in enumerate(zip(self.reductions, state, strict=True)):
            made = each.settle(lasting, _tree(each.join, [group[n] for group in local]))
            if not self.rows.masks and length % lanes:
                made = each.settle(made, self._widened(each, singles[n]))
            result.append(made)
        return result

    def _block(
        self,
        segment: _Segment,
        index: Index,
        later: int,
        lanes: int,
        mask: Value | None,
        state: list[State] | None,
    ) -> list[State]:
        """Build the work on `lanes` elements and return the local states."""
        f, row = self.function, self.row
        held: dict[int, Value] = {}
        if self.rows.kernel.length and isinstance(index, int):
            held = row.blocks.setdefault(index, {})

        def leaf(value: int) -> Value | None:
            if value in self.old:
                return segment.saved[value].load(f, lanes, index, later, mask)
            if self.rows.schedule.rows[value] and not is_constant(self.program, value):
                return row.held[value] if lanes == 1 else row.spread[value]
            if value < len(self.program.inputs):
                stream = segment.inputs[value]
                assert stream is not None
                return stream.load(f, lanes, index, later, mask)
            return None

        values = values_of(f, lanes, self.program, self.wanted, held, leaf)
        for value in self.saves:
            segment.saved[value].store(f, values[value], lanes, index, later, mask)
        for number in self.stores:
            stream = segment.outputs[number]
            assert stream is not None
            value = self.program.outputs[number]
            stream.store(f, values[value], lanes, index, later, mask)
        if state is None:
            return []
        place = f.add(segment.base, f.add(index, later))
        return [
            self._taken(each, mine, values, place, mask)
            for each, mine in zip(self.reductions, state, strict=True)
        ]

    def _taken(
        self,
        reduction: Reduction,
        state: State,
        values: dict[int, Value],
        place: Index,
        mask: Value | None,
    ) -> State:
        """Return the local state with a block added; `place` is the position of its first lane."""
        lanes = lanes_of(state[0].type)
        element = reduction.element(lanes, values[reduction.argument], mask)
        position = None
        if reduction.indices is not None:
            position = values[reduction.indices]
        elif reduction.is_arg:
            position = reduction.positions(place, lanes)
        return reduction.take(state, element, position)


def _tree(join: Callable[[State, State], State], states: Sequence[State]) -> State:
    """Return the joined states, neighbours first."""
    found = list(states)
    while len(found) > 1:
        pairs = [join(a, b) for a, b in zip(found[::2], found[1::2], strict=False)]
        found = pairs + ([found[-1]] if len(found) % 2 else [])
    return found[0]
