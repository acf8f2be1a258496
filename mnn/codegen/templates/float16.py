"""Products of float16, whose sums become float32 before they are long.

Multiply-adds of float16 go twice as fast as those of float32, but round to 11 bits and end at
65504. Therefore `RUN` products at most are summed in float16, then the sum is added to one of
float32: errors grow with the run, not with the depth. And both operands are multiplied by powers of
two, exactly, which leave no way to infinity: a row (or block) of A such that its largest finite
magnitude lies in [64, 128), a column of B such that it lies in [2, 4). Sums are then multiplied by
the inverses.

In memory, every element of A lies twice, in 32 bits: so many are loaded into all lanes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I32, Function, Index, Module, Value, lanes_of, vector
from mnn.codegen.kernel import Kernel
from mnn.codegen.target import Target
from mnn.codegen.templates.tile import Rows, Tile, check_product, prefetch_panel
from mnn.records import dataclass, replace

__all__ = [
    "A_TOP",
    "ROUNDING",
    "RUN",
    "HalvesKernel",
    "accumulate_halves",
    "across",
    "clear_sums",
    "column_scales",
    "finished_rows",
    "largest",
    "no_magnitude",
    "scale_to",
    "store_halves",
    "store_powers",
    "store_row",
    "sums_memory",
]

RUN = 64
"""Products of float16 that are summed in float16. With numbers of random signs the root of the
mean square of the error is then below 2**-9 of that of the sums, which bfloat16 reaches by the
rounding of its operands alone; at most a run is wrong by (RUN + 2) * ROUNDING of its terms."""
ROUNDING = 2.0**-11
"""Largest relative error of one rounding to float16."""
A_TOP, B_TOP = 6, 1
"""Powers of two of the largest magnitudes: RUN products of (at most) 2**7 and 2**2 are 2**15."""

_HALF = "half"
_FLOAT = np.dtype(np.float32)
_INTEGER = np.dtype(np.int32)
_EXPONENT, _BIAS = 23, 127
_NO_SIGN, _INFINITY = 0x7FFFFFFF, 0x7F800000
_SMALLEST = 27
"""Exponent, as float32 has it, below which magnitudes are not told apart: 2**-100."""


class Scale(NamedTuple):
    """What numbers are multiplied by, and its inverse: powers of two, float32."""

    factor: Value
    inverse: Value


# --- scales --------------------------------------------------------------------------------------


def largest(f: Function, source: Value, count: Index, held: Value) -> Value:
    """Return `held`, or the largest magnitudes of `count` neighbouring float32, lane by lane.

    Magnitudes are bits without sign, as int32: they are in order, and found in fewer cycles.
    Infinities and NaN do not count: they stay what they are, whatever they are multiplied by.
    """
    lanes = lanes_of(held.type)
    whole = f.floor_to(count, lanes)
    with f.loop(0, whole, lanes, [held]) as loop:
        value = f.load(held.type, f.offset(source, f.mul(loop.index, 4)))
        loop.next = [larger(f, value, loop.carried[0])]
    (found,) = loop.results
    with f.loop(whole, count, 1, [f.extract(found, 0)]) as loop:
        value = f.load(I32, f.offset(source, f.mul(loop.index, 4)))
        loop.next = [larger(f, value, loop.carried[0])]
    return f.insert(found, loop.results[0], 0)


def no_magnitude(lanes: int) -> Value:
    """Return what every magnitude is larger than."""
    return Value("zeroinitializer", vector(lanes, I32))


def larger(f: Function, value: Value, held: Value) -> Value:
    """Return the magnitude of a finite float32, given as bits, where it is larger than `held`."""
    k = Body(f, lanes_of(held.type), _INTEGER)
    size = k.integer_op("and", value, _NO_SIGN)
    size = k.pick(k.compare("lt", size, _INFINITY), size, 0)
    return k.pick(k.compare("gt", size, held), size, held)


def across(f: Function, values: Value) -> Value:
    """Return the largest lane of integers."""
    while (lanes := lanes_of(values.type) // 2) >= 1:
        k = Body(f, lanes, _INTEGER)
        halves = [
            f.shuffle(values, None, range(start, start + lanes))
            if lanes > 1
            else f.extract(values, start)
            for start in (0, lanes)
        ]
        values = k.pick(k.compare("gt", halves[0], halves[1]), *halves)
    return values


def scale_to(f: Function, top: Value, power: int) -> Scale:
    """Return the scale that brings magnitudes, as bits, to 2**power ... 2 times it.

    Magnitudes below 2**-100 get the scale of 2**-100.
    """
    k = Body(f, lanes_of(top.type), _INTEGER)
    exponent = k.integer_op("lshr", top, _EXPONENT)
    exponent = k.at_least(exponent, _SMALLEST)
    factor = k.integer_op("sub", k.const(2 * _BIAS + power), exponent)
    inverse = k.integer_op("sub", exponent, power)
    shifted = (k.integer_op("shl", each, _EXPONENT) for each in (factor, inverse))
    return Scale(*(k.bitcast(each, F32) for each in shifted))


def column_scales(f: Function, tile: Tile, panel: Value, depth: Index) -> list[Value]:
    """Return the inverse scales of the columns of a panel, one vector for each of the tile's."""
    place = f.offset(panel, f.mul(depth, tile.panel_step))
    return _vectors(f, tile, place, tile.panel_align)


# --- conversion ----------------------------------------------------------------------------------


def store_halves(
    f: Function, source: Value, count: Index, goal: Value, scale: Value, lanes: int
) -> None:
    """Build the conversion of `count` neighbouring float32 to float16, each of them stored twice.

    Args:
        source: aligned to 4, as is `goal`.
        scale: a float32 that all are multiplied by.
        lanes: elements converted at once.
    """
    whole = f.floor_to(count, lanes)
    for start, end, width in ((0, whole, lanes), (whole, count, 1)):
        k = Body(f, width, _FLOAT)
        factor = f.splat(scale, width)
        with f.loop(start, end, width) as loop:
            distance = f.mul(loop.index, 4)
            value = k.mul(f.load(k.type, f.offset(source, distance)), factor)
            f.store(_twice(f, _half(f, value)), f.offset(goal, distance), align=4)


def store_row(f: Function, source: Value, count: Index, goal: Value, lanes: int) -> None:
    """Build the conversion of a row by a scale of its own, whose inverse comes behind it."""
    top = largest(f, source, count, no_magnitude(lanes))
    scale = scale_to(f, across(f, top), A_TOP)
    store_halves(f, source, count, goal, scale.factor, lanes)
    f.store(scale.inverse, f.offset(goal, f.mul(count, 4)))


def store_powers(f: Function, values: Value, goal: Value) -> None:
    """Store numbers that are 1 at most, by the scale of 1, as `store_halves` does."""
    k = Body(f, lanes_of(values.type), _FLOAT)
    f.store(_twice(f, _half(f, k.mul(values, k.const(2.0**A_TOP)))), goal, align=4)


def _half(f: Function, value: Value) -> Value:
    kind = vector(lanes_of(value.type), _HALF)
    return f.make(f"fptrunc {value.type} {value.text} to {kind}", kind)


def _twice(f: Function, half: Value) -> Value:
    """Return every element twice, side by side."""
    lanes = lanes_of(half.type)
    if lanes == 1:
        return f.splat(half, 2)
    return f.shuffle(half, None, [each // 2 for each in range(2 * lanes)])


@dataclass(frozen=True)
class HalvesKernel(Kernel):
    """Panels of float32 become panels of float16, each with the inverse scales of its columns.

    An item is one vector of columns.

    Attributes:
        vectors, tail: of a panel, of the last panel if that is another.
        lanes: of a vector.
    """

    vectors: int
    tail: int
    lanes: int

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block("*x *y depth count full x_panel x_bytes y_panel y_bytes")
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            number, each = f.div(items.index, a.count), f.rem(items.index, a.count)
            panel, place = f.div(each, self.vectors), f.rem(each, self.vectors)
            vectors: Index = self.vectors
            if self.tail:
                is_full = f.compare("slt", panel, a.full)
                vectors = f.select(is_full, f.constant(self.vectors), f.constant(self.tail))

            def start(base: Value, whole: Index, one: Index, size: int) -> Value:
                distance = f.add(f.mul(number, whole), f.mul(panel, one))
                distance = f.add(distance, f.mul(place, size * self.lanes))
                return f.offset(base, distance)

            self._vector(
                f,
                start(a.x, a.x_bytes, a.x_panel, 4),
                start(a.y, a.y_bytes, a.y_panel, 2),
                f.mul(place, 2 * self.lanes),
                f.mul(vectors, self.lanes),
                a.depth,
            )
        return module

    def _vector(
        self, f: Function, source: Value, goal: Value, more: Index, width: Index, depth: Index
    ) -> None:
        """Build the conversion of a vector of columns.

        Args:
            more: bytes by which scales lie further than elements.
            width: columns of the panel.
        """
        k = Body(f, self.lanes, _FLOAT)
        none = no_magnitude(self.lanes)
        with f.loop(0, depth, 1, [none]) as loop:
            value = f.load(none.type, f.offset(source, f.mul(loop.index, f.mul(width, 4))))
            loop.next = [larger(f, value, loop.carried[0])]
        scale = scale_to(f, loop.results[0], B_TOP)
        align = 2 * self.lanes
        with f.loop(0, depth) as loop:
            value = f.load(k.type, f.offset(source, f.mul(loop.index, f.mul(width, 4))))
            place = f.offset(goal, f.mul(loop.index, f.mul(width, 2)))
            f.store(_half(f, k.mul(value, scale.factor)), place, align=align)
        place = f.offset(goal, f.add(more, f.mul(depth, f.mul(width, 2))))
        f.store(scale.inverse, place, align=align)


# --- products ------------------------------------------------------------------------------------


def sums_memory(f: Function, tile: Tile) -> Value:
    """Return memory on the stack for the sums of a tile."""
    return f.keep(f"sums_{tile.rows}x{tile.vectors}", tile.spill_bytes)


def clear_sums(f: Function, tile: Tile, place: Value) -> None:
    """Store the sums of nothing."""
    zero, size = Body(f, tile.lanes, _FLOAT).const(0.0), 4 * tile.lanes
    for each in range(tile.sums):
        f.store(zero, f.offset(place, size * each), align=size)


def accumulate_halves(
    f: Function,
    tile: Tile,
    place: Value,
    rows: Rows,
    panel: Value,
    steps: Index,
    *,
    ahead: int = 0,
) -> None:
    """Build the addition of the products of `steps` steps along k, at least one, to sums in memory.

    Registers hold a run's sums of float16 and nothing else; those of float32 take twice the room.

    Args:
        place: `tile.spill_bytes` aligned to 64, with sums that are still scaled.
        rows: where A's rows begin; elements as `store_halves` leaves them, alignment 4.
        panel: B's elements of the first step.
        ahead: see `tile.accumulate`.

    Raises:
        CodegenError: the target has no such product.
    """
    check_product(f.target, tile)
    at = rows.ready(f, tile.rows)
    with f.turns(0, steps, RUN) as runs:
        end = f.min(f.add(runs.index, RUN), steps)
        _add(f, tile, place, _run(f, tile, at, panel, runs.index, end, ahead))


def _add(f: Function, tile: Tile, place: Value, run: Sequence[Value]) -> None:
    """Build the addition of a run's sums of float16 to those in memory."""
    k, size, half = Body(f, tile.lanes, _FLOAT), 4 * tile.lanes, 2 * tile.lanes
    kind = vector(tile.lanes, _HALF)
    # By way of memory this is a short loop, and conversions read halves of registers for nothing.
    passed = f.keep(f"run_{tile.rows}x{tile.vectors}", half * tile.sums)
    for number, each in enumerate(run):
        row, register = divmod(number, len(_widths(tile)))
        there = f.offset(passed, half * (row * tile.vectors + 2 * register))
        f.store(each, there, align=half)
    with f.turns(0, tile.rows) as rows:
        for each in range(tile.vectors):
            number = f.add(f.mul(rows.index, tile.vectors), each)
            there = f.offset(place, f.mul(number, size))
            more = _single(f, f.load(kind, f.offset(passed, f.mul(number, half)), align=half))
            f.store(k.add(f.load(k.type, there, align=size), more), there, align=size)


@contextmanager
def finished_rows(
    f: Function, tile: Tile, place: Value, columns: Sequence[Value]
) -> Iterator[tuple[Value, Callable[[Value, Sequence[Value] | None], list[Value]]]]:
    """Build a loop over the rows of a tile whose sums lie in memory.

    Args:
        columns: see `column_scales`.

    Yields the number of a row, and a function that returns its sums: it takes the inverse scale of
    the row, a float32, and vectors that are added, None for zeros.
    """
    k = Body(f, tile.lanes, _FLOAT)
    single = replace(tile, rows=1)
    with f.turns(0, tile.rows) as loop:

        def sums(scale: Value, first: Sequence[Value] | None) -> list[Value]:
            held = _vectors(f, tile, f.offset(place, f.mul(loop.index, single.spill_bytes)))
            factor = f.splat(scale, tile.lanes)
            held = [k.mul(*each) for each in zip(held, columns, strict=True)]
            if first is None:
                return [k.mul(each, factor) for each in held]
            return [k.fma(each, factor, add) for each, add in zip(held, first, strict=True)]

        yield loop.index, sums


def _vectors(f: Function, tile: Tile, place: Value, align: int = 0) -> list[Value]:
    """Return the tile's vectors of one row of float32."""
    kind, size = vector(tile.lanes, F32), 4 * tile.lanes
    places = [f.offset(place, size * each) for each in range(tile.vectors)]
    return [f.load(kind, each, align=align or size) for each in places]


def _widths(tile: Tile) -> list[int]:
    """Return the lanes of the registers that hold a row's sums: two vectors each, or one."""
    pairs, single = divmod(tile.vectors, 2)
    return [2 * tile.lanes] * pairs + [tile.lanes] * single


def _run(
    f: Function,
    tile: Tile,
    at: Callable[[Index], list[Value]],
    panel: Value,
    start: Index,
    end: Index,
    ahead: int,
) -> list[Value]:
    """Return the sums of steps start ... end, at least one, in float16: registers row by row."""
    widths = _widths(tile)
    held = [Value("zeroinitializer", vector(each, _HALF)) for each in widths] * tile.rows
    turns = f.turns
    if f.target.lane_multiply:
        # Every load has the elements of several steps, of which each multiplies by one.
        whole = f.add(start, f.floor_to(f.sub(end, start), tile.lanes))
        with f.loop(start, whole, tile.lanes, held) as loop:
            kind = vector(2 * tile.lanes, _HALF)
            values = [f.load(kind, each, align=4) for each in at(f.mul(loop.index, 4))]
            loop.next = list(loop.carried)
            for lane in range(tile.lanes):
                columns = _columns(f, tile, panel, f.add(loop.index, lane))
                for row, value in enumerate(values):
                    factors = [f.shuffle(value, None, [2 * lane] * each) for each in widths]
                    _multiply(f, loop.next, row, factors, columns)
        held, start, turns = loop.results, whole, f.loop
    with turns(start, end, 1, held) as loop:
        if ahead:
            prefetch_panel(f, tile, f.offset(panel, f.mul(loop.index, tile.panel_step)), ahead)
        columns = _columns(f, tile, panel, loop.index)
        loop.next = list(loop.carried)
        for row, place in enumerate(at(f.mul(loop.index, 4))):
            both = f.splat(f.load(I32, place, align=4), widths[0] // 2)
            kind = vector(widths[0], _HALF)
            factor = f.make(f"bitcast {both.type} {both.text} to {kind}", kind)
            factors = [
                factor if each == widths[0] else f.shuffle(factor, None, range(each))
                for each in widths
            ]
            _multiply(f, loop.next, row, factors, columns)
    return loop.results


def _columns(f: Function, tile: Tile, panel: Value, step: Index) -> list[Value]:
    """Return the elements of B at a step, register by register."""
    place = f.offset(panel, f.mul(step, tile.panel_step))
    return [
        f.load(vector(width, _HALF), f.offset(place, 4 * tile.lanes * number), tile.panel_align)
        for number, width in enumerate(_widths(tile))
    ]


def _multiply(
    f: Function,
    sums: list[Value],
    row: int,
    factors: Sequence[Value],
    columns: Sequence[Value],
) -> None:
    """Add products of a row's factors and of columns to the sums of the row."""
    for number, (factor, column) in enumerate(zip(factors, columns, strict=True)):
        place = row * len(columns) + number
        sums[place] = _fma(f, factor, column, sums[place])


def _fma(f: Function, left: Value, right: Value, addend: Value) -> Value:
    """Return left * right + addend in float16, rounded once but for targets without instruction."""
    kind, lanes = left.type, lanes_of(left.type)
    if f.target.float16_arithmetic:
        return f.intrinsic(f"llvm.fma.v{lanes}f16", kind, [left, right, addend])
    # LLVM would take the way through float64, whose conversion to float16 is a library call.
    k = Body(f, lanes, _FLOAT)
    return _half(f, k.fma(*(_single(f, each) for each in (left, right, addend))))


def _single(f: Function, half: Value) -> Value:
    kind = vector(lanes_of(half.type), F32)
    return f.make(f"fpext {half.type} {half.text} to {kind}", kind)
