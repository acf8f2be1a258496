"""Register tiles of float16: see `float16` for what they multiply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I32, Function, Index, Value, lanes_of, vector
from mnn.codegen.templates.float16 import HALF, RUN, rounded
from mnn.codegen.templates.tile import Rows, Tile, check_product, prefetch_panel
from mnn.records import replace

__all__ = ["accumulate_halves", "clear_sums", "column_scales", "finished_rows", "sums_memory"]

_FLOAT = np.dtype(np.float32)


def column_scales(f: Function, tile: Tile, panel: Value, depth: Index) -> list[Value]:
    """Return the inverse scales of the columns of a panel, one vector for each of the tile's."""
    place = f.offset(panel, f.mul(depth, tile.panel_step))
    return _vectors(f, tile, place, tile.panel_align)


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
    kind = vector(tile.lanes, HALF)
    # By way of memory this is a short loop, and conversions read halves of registers for nothing.
    passed = f.keep(f"run_{tile.rows}x{tile.vectors}", half * tile.sums)
    for number, each in enumerate(run):
        row, register = divmod(number, len(_widths(tile)))
        there = f.offset(passed, half * (row * tile.vectors + 2 * register))
        f.store(each, there, align=half)
    with f.turns(0, tile.rows) as rows:
        for column in range(tile.vectors):
            index = f.add(f.mul(rows.index, tile.vectors), column)
            there = f.offset(place, f.mul(index, size))
            more = _single(f, f.load(kind, f.offset(passed, f.mul(index, half)), align=half))
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
    held = [Value("zeroinitializer", vector(each, HALF)) for each in widths] * tile.rows
    turns = f.turns
    if f.target.lane_multiply:
        # Every load has the elements of several steps, of which each multiplies by one.
        whole = f.add(start, f.floor_to(f.sub(end, start), tile.lanes))
        with f.loop(start, whole, tile.lanes, held) as loop:
            kind = vector(2 * tile.lanes, HALF)
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
            kind = vector(widths[0], HALF)
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
        f.load(vector(width, HALF), f.offset(place, 4 * tile.lanes * number), tile.panel_align)
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
    return rounded(f, k.fma(*(_single(f, each) for each in (left, right, addend))))


def _single(f: Function, half: Value) -> Value:
    kind = vector(lanes_of(half.type), F32)
    return f.make(f"fpext {half.type} {half.text} to {kind}", kind)
