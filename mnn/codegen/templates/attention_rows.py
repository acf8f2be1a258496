"""Attention: products with keys, softmax, products with values, without storing the scores.

One item is a block of query rows of one batch entry. Its scores lie in scratch memory, which stays
in a second-level cache: register tiles write them, rows become powers in place, and they are the
left operand of the second product. Where there are many keys they come in blocks; sums so far are
then scaled down whenever a block has a larger score (Milakov and Gimelshein, "Online normalizer
calculation for softmax", 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Function, Index, Module, Value, lanes_of
from mnn.codegen.kernel import Kernel
from mnn.codegen.mathematics.exponential import EXP2
from mnn.codegen.mathematics.floats import SINGLE, nearest, scale
from mnn.codegen.target import Target
from mnn.codegen.templates.access import tail_mask
from mnn.codegen.templates.epilogue import Ending, store_columns
from mnn.codegen.templates.float16 import A_TOP, store_powers, store_row
from mnn.codegen.templates.float16_tile import (
    accumulate_halves,
    clear_sums,
    column_scales,
    finished_rows,
    sums_memory,
)
from mnn.codegen.templates.pairs import neighbours, store_pairs
from mnn.codegen.templates.product import batch_fields, located
from mnn.codegen.templates.tile import (
    FLOAT32,
    HALVES,
    PAIRS,
    StridedRows,
    Tile,
    accumulate,
    accumulate_long,
    zeros,
)
from mnn.codegen.templates.window import split
from mnn.records import dataclass, replace

__all__ = ["GROUP", "AttentionKernel"]

_FLOAT = np.dtype(np.float32)
_LOG2_E = 1.4426950408889634
_LOWEST = -154.0
"""A power of two that is 0."""
GROUP = 4
"""Rows whose softmax is computed at once."""
SUM, TOP, LESS = range(3)


@dataclass(frozen=True)
class AttentionKernel(Kernel):
    """out = softmax(ending(q k)) v over a batch.

    The last tile of rows ends with the last row and does again what the one before did.

    Attributes:
        rows: of all register tiles; there are at least as many queries.
        key_vectors, key_tail: of a panel of keys, of the last one if it may have fewer, else 0.
        value_vectors, value_tail: the same of values.
        lanes: of a vector.
        product: see `Tile`; for others than FLOAT32 queries and powers are rounded.
        batch: number of batch axes.
        packed: values lie in panels; otherwise in rows whose elements are neighbours.
        few_keys, narrow: there are fewer keys, or elements of a value, than lanes.
        long_keys, long_values: sums of the first and second product are made in parts, for less
            rounding.
        online: keys come in several blocks.
        causal: a query sees keys up to its own place, counted from the last query and key.
        zero: the result of a query that sees nothing is 0, not NaN.
        ending: what becomes of the scores before softmax; float32.
    """

    rows: int
    key_vectors: int
    key_tail: int
    value_vectors: int
    value_tail: int
    lanes: int
    product: str
    batch: int
    packed: bool
    few_keys: bool
    narrow: bool
    long_keys: bool
    long_values: bool
    online: bool
    causal: bool
    zero: bool
    ending: Ending

    def fields(self) -> str:
        """Return the names of the argument block's slots; strides are in bytes.

        Scratch holds three numbers for each of `row_room` rows, a whole number of groups, then
        scores, rounded queries, and sums.
        """
        names = "*a *b *v *out a_row v_step out_row depth m n e tiles block_tiles row_blocks "
        names += "key_bytes full_keys keys block_keys value_bytes full_values values "
        names += "row_room score_row query_row sum_row place_scores place_queries place_sums "
        names += " ".join(f"v{axis}" for axis in range(self.batch))
        return names + " " + batch_fields(self.batch, self.ending)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Attention(self, module.entry(), target).build()
        return module


class _Attention:
    """Builds the code of an AttentionKernel."""

    def __init__(self, kernel: AttentionKernel, function: Function, target: Target) -> None:
        self.kernel, self.function, self.target = kernel, function, target
        self.body = Body(function, kernel.lanes, _FLOAT)
        self.block = function.block(kernel.fields())
        self.scratch = function.arguments[3]
        self.scores = function.offset(self.scratch, self.block.place_scores)
        self.queries = function.offset(self.scratch, self.block.place_queries)
        self.sums = function.offset(self.scratch, self.block.place_sums)
        tile = Tile(kernel.rows, kernel.key_vectors, kernel.lanes, kernel.product)
        spills = kernel.ending.spills(target)
        self.spill = function.allocate(tile.spill_bytes) if spills else None

    def build(self) -> None:
        """Build the work on all items."""
        f, kernel, block = self.function, self.kernel, self.block
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            at = located(f, block, items.index, kernel.batch, kernel.ending, [block.row_blocks])
            sizes = [getattr(block, f"size{axis}") for axis in range(kernel.batch)]
            digits = split(f, items.index, [*(sizes or [1]), block.row_blocks])
            at.v = block.v
            for axis, place in enumerate(digits[: kernel.batch]):
                at.v = f.offset(at.v, f.mul(place, getattr(block, f"v{axis}")))
            self._rows(at)

    def _rows(self, at: SimpleNamespace) -> None:
        """Build the work on a block of rows."""
        f, kernel, block = self.function, self.kernel, self.block
        start = f.mul(at.blocks[0], block.block_tiles)
        at.tiles = (start, f.min(f.add(start, block.block_tiles), block.tiles))
        at.first = f.min(f.mul(start, kernel.rows), f.sub(block.m, kernel.rows))
        last = f.min(f.mul(at.tiles[1], kernel.rows), block.m)
        at.count = f.sub(last, at.first)
        at.a_row = block.a_row
        if kernel.product != FLOAT32:
            self._round(at)
        seen: Index = block.n
        if kernel.causal:
            seen = f.min(f.max(f.add(last, f.sub(block.n, block.m)), 1), block.n)
        if not kernel.online:
            self._keys(at, 0, seen)
            return
        self._begin(at)
        with f.loop(0, seen, block.block_keys) as keys:
            self._keys(at, keys.index, f.min(f.sub(seen, keys.index), block.block_keys))
        self._finish(at)

    def _round(self, at: SimpleNamespace) -> None:
        """Build the conversion of the block's queries, which from then on are those in scratch."""
        f, block = self.function, self.block
        with f.loop(0, at.count) as loop:
            source = f.offset(at.a, f.mul(f.add(loop.index, at.first), block.a_row))
            goal = f.offset(self.queries, f.mul(loop.index, block.query_row))
            if self.kernel.product == PAIRS:
                store_pairs(f, source, block.depth, goal)
            else:
                store_row(f, source, block.depth, goal, self.kernel.lanes)
        at.a = f.offset(self.queries, f.sub(0, f.mul(at.first, block.query_row)))
        at.a_row = block.query_row

    def _keys(self, at: SimpleNamespace, start: Index, count: Index) -> None:
        """Build the work on keys start ... start + count, at least one."""
        self._scores(at, start, count)
        self._softmax(at, start, count)
        self._values(at, start, count)

    def _tile_row(self, tile: Index) -> Index:
        """Return the first row of a tile."""
        f, kernel = self.function, self.kernel
        return f.min(f.mul(tile, kernel.rows), f.sub(self.block.m, kernel.rows))

    # --- products with keys ----------------------------------------------------------------------

    def _scores(self, at: SimpleNamespace, start: Index, count: Index) -> None:
        f, kernel, block = self.function, self.kernel, self.block
        width = kernel.key_vectors * kernel.lanes
        first = f.div(start, width)
        last = f.add(first, f.div(f.add(count, width - 1), width))
        main = Tile(kernel.rows, kernel.key_vectors, kernel.lanes, kernel.product)
        with f.loop(first, f.min(last, block.full_keys) if kernel.key_tail else last) as panels:
            self._score_panel(at, main, panels.index, start)
        if kernel.key_tail:
            tail = Tile(kernel.rows, kernel.key_tail, kernel.lanes, kernel.product)
            with f.loop(f.max(first, block.full_keys), last) as panels:
                self._score_panel(at, tail, panels.index, start)

    def _score_panel(self, at: SimpleNamespace, tile: Tile, panel: Index, start: Index) -> None:
        """Build the scores of all the block's rows and one panel of keys."""
        f, kernel, block = self.function, self.kernel, self.block
        column = f.mul(panel, kernel.key_vectors * kernel.lanes)
        columns = block.n if kernel.few_keys else None
        starts: list[Index] = [each * tile.lanes for each in range(tile.vectors)]
        if not kernel.few_keys:
            starts[-1] = f.min(starts[-1], f.sub(f.sub(block.n, column), tile.lanes))
        b = f.offset(at.b, f.mul(panel, block.key_bytes))
        goal = f.offset(self.scores, f.mul(f.sub(column, start), 4))
        operands = [
            f.offset(each, f.mul(column, kind.itemsize)) if kind.by_column else each
            for each, kind in zip(at.operands, kernel.ending.operands, strict=True)
        ]
        steps = block.depth
        if kernel.product == PAIRS:
            steps = f.div(f.add(steps, 1), 2)
        scales = column_scales(f, tile, b, steps) if kernel.product == HALVES else []
        with f.loop(*at.tiles) as loop:
            row = self._tile_row(loop.index)
            local = f.sub(row, at.first)

            def rows(base: Value, stride: Index, number: Index) -> StridedRows:
                return StridedRows(f.offset(base, f.mul(number, stride)), stride)

            def store(part: Tile, sums: Sequence[Value], number: Index) -> None:
                kernel.ending.store(
                    f,
                    part,
                    sums,
                    rows(goal, block.score_row, f.add(local, number)),
                    [
                        rows(each, getattr(block, f"operand{n}_row"), f.add(row, number))
                        for n, each in enumerate(operands)
                    ],
                    columns=columns,
                    starts=starts,
                    spill=self.spill,
                )

            queries = rows(at.a, at.a_row, row)
            if kernel.product == HALVES:
                place = self._products(tile, queries, b, steps)
                with finished_rows(f, tile, place, scales) as (each, sums_of):
                    scale = f.load(F32, f.offset(queries.pointer(f, each), f.mul(steps, 4)))
                    store(replace(tile, rows=1), sums_of(scale, None), each)
            else:
                multiply = accumulate_long if kernel.long_keys else accumulate
                held, align = zeros(f, tile), tile.panel_align
                store(tile, multiply(f, tile, held, queries, b, steps, align=align), 0)

    def _products(self, tile: Tile, rows: StridedRows, panel: Value, steps: Index) -> Value:
        """Build products of float16; return where their sums lie, which are still scaled."""
        place = sums_memory(self.function, tile)
        clear_sums(self.function, tile, place)
        accumulate_halves(self.function, tile, place, rows, panel, steps)
        return place

    # --- softmax ---------------------------------------------------------------------------------

    def _number(self, row: Index, place: int) -> Value:
        """Return where a number of a row is kept.

        Args:
            place: SUM is the sum of its powers, in the end what its values are multiplied by; TOP
                its largest score; LESS what its sums so far are multiplied by.
        """
        f = self.function
        return f.offset(self.scratch, f.mul(f.add(row, f.mul(self.block.row_room, place)), 4))

    def _hide(self, at: SimpleNamespace, start: Index, count: Index, room: Index) -> None:
        """Build -inf in place of all scores that a row does not see, up to `room`."""
        f, k, kernel = self.function, self.body, self.kernel
        lanes, lowest = kernel.lanes, k.const(-np.inf)
        with f.loop(0, at.count) as rows:
            scores = f.offset(self.scores, f.mul(rows.index, self.block.score_row))
            visible = count
            if kernel.causal:
                place = f.add(f.add(at.first, rows.index), f.sub(self.block.n, self.block.m))
                visible = f.min(f.max(f.sub(f.add(place, 1), start), 0), count)
            whole = f.floor_to(visible, lanes)
            with f.loop(whole, visible, lanes) as loop:
                place = f.offset(scores, f.mul(loop.index, 4))
                inside = tail_mask(f, f.sub(visible, loop.index), lanes, 4)
                f.store(f.select(inside, f.load(k.type, place), lowest), place)
            with f.loop(f.floor_to(f.add(visible, lanes - 1), lanes), room, lanes) as loop:
                f.store(lowest, f.offset(scores, f.mul(loop.index, 4)))

    def _softmax(self, at: SimpleNamespace, start: Index, count: Index) -> None:
        """Build the step from scores to powers, several rows at once, and note what comes later.

        Rows beyond the last one, up to a whole number of groups, are garbage and stay so.
        """
        f, kernel = self.function, self.kernel
        group = 2 * kernel.lanes if kernel.product == PAIRS else kernel.lanes
        room = f.floor_to(f.add(count, group - 1), group)
        self._hide(at, start, count, room)
        few = Body(f, GROUP, _FLOAT)
        with f.loop(0, at.count, GROUP) as rows:
            scores = [
                f.offset(self.scores, f.mul(f.add(rows.index, each), self.block.score_row))
                for each in range(GROUP)
            ]
            top, place = self._top(scores, room), self._number(rows.index, SUM)
            old = None
            if kernel.online:
                old = f.load(few.type, self._number(rows.index, TOP))
                top = _larger(few, top, old)
                f.store(top, self._number(rows.index, TOP))
            shift = _finite(few, top)
            total = self._powers(scores, room, shift)
            if old is None:
                f.store(self._inverse(few, total), place)
            else:
                self._settle(few, rows.index, old, shift, total)

    def _settle(self, k: Body, row: Index, old: Value, shift: Value, total: Value) -> None:
        """Build the sums of all blocks so far, and how what was summed before becomes less."""
        f, place = self.function, self._number(row, SUM)
        factor = _power(k, k.mul(k.sub(old, shift), k.const(_LOG2_E)))
        f.store(factor, self._number(row, LESS))
        f.store(k.fma(f.load(k.type, place), factor, total), place)

    def _inverse(self, k: Body, total: Value) -> Value:
        """Return what the products of rows with values are multiplied by."""
        found = k.div(k.const(1.0), total)
        if self.kernel.zero:
            found = k.pick(k.compare("eq", total, 0.0), k.const(1.0), found)
        return found

    def _top(self, scores: Sequence[Value], room: Index) -> Value:
        """Return the largest score of each row of a group. NaN may be missed."""
        f, k, lanes = self.function, self.body, self.kernel.lanes
        with f.loop(0, room, lanes, [k.const(-np.inf)] * GROUP) as loop:
            loop.next = [
                _larger(k, f.load(k.type, f.offset(place, f.mul(loop.index, 4))), held)
                for place, held in zip(scores, loop.carried, strict=True)
            ]
        return _folded(f, loop.results, _larger)

    def _powers(self, scores: Sequence[Value], room: Index, shift: Value) -> Value:
        """Build powers over the scores of a group of rows and return their sums."""
        f, k, lanes = self.function, self.body, self.kernel.lanes
        shifts = [f.splat(f.extract(shift, each), lanes) for each in range(GROUP)]

        def power(row: int, index: Index) -> Value:
            score = f.load(k.type, f.offset(scores[row], f.mul(index, 4)))
            return _power(k, k.mul(k.sub(score, shifts[row]), k.const(_LOG2_E)))

        paired = self.kernel.product == PAIRS
        with f.loop(0, room, 2 * lanes if paired else lanes, [k.const(0.0)] * GROUP) as loop:
            for row in range(GROUP):
                made = power(row, loop.index)
                total = k.add(loop.carried[row], made)
                if paired:
                    more = power(row, f.add(loop.index, lanes))
                    total = k.add(total, more)
                    place = f.offset(scores[row], f.mul(loop.index, 2))
                    f.store(neighbours(f, made, more), place)
                elif self.kernel.product == HALVES:
                    store_powers(f, made, f.offset(scores[row], f.mul(loop.index, 4)))
                else:
                    f.store(made, f.offset(scores[row], f.mul(loop.index, 4)))
                loop.next.append(total)
        return _folded(f, loop.results, Body.add)

    # --- products with values --------------------------------------------------------------------

    def _values(self, at: SimpleNamespace, start: Index, count: Index) -> None:
        f, kernel, block = self.function, self.kernel, self.block
        main = Tile(kernel.rows, kernel.value_vectors, kernel.lanes, kernel.product)
        with f.loop(0, block.full_values if kernel.value_tail else block.values) as panels:
            self._value_panel(at, main, panels.index, start, count)
        if kernel.value_tail:
            tail = Tile(kernel.rows, kernel.value_tail, kernel.lanes, kernel.product)
            with f.loop(block.full_values, block.values) as panels:
                self._value_panel(at, tail, panels.index, start, count)

    def _value_panel(
        self, at: SimpleNamespace, tile: Tile, panel: Index, start: Index, count: Index
    ) -> None:
        """Build the products of all the block's rows and one panel of values."""
        f, kernel, block = self.function, self.kernel, self.block
        column = f.mul(panel, kernel.value_vectors * kernel.lanes)
        starts = self._value_starts(tile, column)
        steps = count
        if kernel.product == PAIRS:
            steps, start = f.div(f.add(count, 1), 2), f.div(start, 2)
        if kernel.packed:
            step: Index = tile.panel_step
            v = f.offset(at.v, f.mul(panel, block.value_bytes))
        else:
            step, v = block.v_step, f.offset(at.v, f.mul(column, 4))
        scales = column_scales(f, tile, v, block.n) if kernel.product == HALVES else []
        v = f.offset(v, f.mul(start, step))
        with f.loop(*at.tiles) as loop:
            row = self._tile_row(loop.index)
            local = f.sub(row, at.first)
            slot = f.mul(f.sub(loop.index, at.tiles[0]), kernel.rows)
            place = f.offset(self.scores, f.mul(local, block.score_row))
            powers = StridedRows(place, block.score_row)

            def before(part: Tile, number: Index) -> list[Value] | None:
                if not kernel.online:
                    return None
                held = self._sums(part, f.add(slot, number), column)
                return self._scaled(part, held, f.add(local, number), LESS)

            def finish(part: Tile, sums: Sequence[Value], number: Index) -> None:
                if kernel.online:
                    self._keep_sums(part, sums, f.add(slot, number), column)
                    return
                sums = self._scaled(part, sums, f.add(local, number), SUM)
                self._store(at, part, sums, f.add(row, number), column, starts)

            if kernel.product == HALVES:
                place, single = self._products(tile, powers, v, steps), replace(tile, rows=1)
                with finished_rows(f, tile, place, scales) as (each, sums_of):
                    scale = self.body.alone.const(2.0**-A_TOP)
                    finish(single, sums_of(scale, before(single, each)), each)
                return
            sums = (accumulate_long if kernel.long_values else accumulate)(
                f,
                tile,
                before(tile, 0) or zeros(f, tile),
                powers,
                v,
                steps,
                panel_step=step,
                starts=None if kernel.packed else starts,
                align=tile.panel_align if kernel.packed else 4,
            )
            finish(tile, sums, 0)

    def _value_starts(self, tile: Tile, column: Index) -> list[Index]:
        f = self.function
        starts: list[Index] = [each * tile.lanes for each in range(tile.vectors)]
        if not self.kernel.narrow:
            starts[-1] = f.min(starts[-1], f.sub(f.sub(self.block.e, column), tile.lanes))
        return starts

    def _scaled(self, tile: Tile, sums: Sequence[Value], row: Index, place: int) -> list[Value]:
        """Return a tile's sums with each row multiplied by one of its numbers."""
        f, k = self.function, self.body
        made = []
        for number in range(tile.rows):
            factor = f.load(F32, self._number(f.add(row, number), place))
            spread = f.splat(factor, tile.lanes)
            own = sums[number * tile.vectors : (number + 1) * tile.vectors]
            made += [k.mul(each, spread) for each in own]
        return made

    def _store(
        self,
        at: SimpleNamespace,
        tile: Tile,
        sums: Sequence[Value],
        row: Index,
        column: Index,
        starts: Sequence[Index],
    ) -> None:
        f, block = self.function, self.block
        columns = block.e if self.kernel.narrow else None
        base = f.offset(at.out, f.mul(column, 4))
        for number in range(tile.rows):
            place = f.offset(base, f.mul(f.add(row, number), block.out_row))
            for each, start in enumerate(starts):
                value = sums[number * tile.vectors + each]
                store_columns(f, value, f.offset(place, f.mul(start, 4)), 4, start, columns)

    # --- several blocks of keys ------------------------------------------------------------------

    def _sum_places(self, tile: Tile, slot: Index, column: Index) -> list[Value]:
        """Return where sums so far are kept: rows of overlapping tiles have places of their own."""
        f, block = self.function, self.block
        places = []
        for number in range(tile.rows):
            row = f.offset(self.sums, f.mul(f.add(slot, number), block.sum_row))
            place = f.offset(row, f.mul(column, 4))
            places += [f.offset(place, 4 * tile.lanes * each) for each in range(tile.vectors)]
        return places

    def _sums(self, tile: Tile, slot: Index, column: Index) -> list[Value]:
        f = self.function
        places = self._sum_places(tile, slot, column)
        return [f.load(self.body.type, each, 4 * tile.lanes) for each in places]

    def _keep_sums(self, tile: Tile, sums: Sequence[Value], slot: Index, column: Index) -> None:
        places = self._sum_places(tile, slot, column)
        for each, place in zip(sums, places, strict=True):
            self.function.store(each, place, 4 * tile.lanes)

    def _begin(self, at: SimpleNamespace) -> None:
        """Build the state before the first block of keys."""
        f, k, kernel, block = self.function, self.body, self.kernel, self.block
        alone = k.alone
        with f.loop(0, at.count) as loop:
            f.store(alone.const(0.0), self._number(loop.index, SUM))
            f.store(alone.const(-np.inf), self._number(loop.index, TOP))
        tiles = f.sub(at.tiles[1], at.tiles[0])
        with f.loop(0, f.mul(f.mul(tiles, kernel.rows), block.sum_row), 4 * k.lanes) as loop:
            f.store(k.const(0.0), f.offset(self.sums, loop.index), 4 * k.lanes)

    def _finish(self, at: SimpleNamespace) -> None:
        """Build the last scaling and the stores."""
        f, kernel, block = self.function, self.kernel, self.block
        with f.loop(0, at.count) as loop:
            place = self._number(loop.index, SUM)
            f.store(self._inverse(self.body.alone, f.load(F32, place)), place)
        single = Tile(kernel.rows, 1, kernel.lanes)
        with f.loop(*at.tiles) as loop:
            row = self._tile_row(loop.index)
            slot = f.mul(f.sub(loop.index, at.tiles[0]), kernel.rows)
            with f.loop(0, block.e, kernel.lanes) as columns:
                column = columns.index
                starts = self._value_starts(single, column)
                sums = self._sums(single, slot, column)
                sums = self._scaled(single, sums, f.sub(row, at.first), SUM)
                self._store(at, single, sums, row, column, starts)


def _larger(k: Body, left: Value, right: Value) -> Value:
    """Return the larger one, `right` when one is NaN."""
    return k.pick(k.compare("gt", left, right), left, right)


def _folded(
    f: Function, vectors: Sequence[Value], combine: Callable[[Body, Value, Value], Value]
) -> Value:
    """Return a vector with all lanes of each vector combined; their number is a power of two."""
    held, lanes = list(vectors), lanes_of(vectors[0].type)
    while len(held) > 1 or lanes > len(vectors):
        size = lanes if len(held) > 1 else lanes // 2
        pairs = list(zip(held[::2], held[1::2], strict=True)) if len(held) > 1 else [(held[0],)]
        made = []
        for pair in pairs:
            # Lanes of one vector in the first half, of the next in the second.
            other = pair[1] if len(pair) > 1 else None
            even, odd = (f.shuffle(pair[0], other, range(start, 2 * size, 2)) for start in (0, 1))
            made.append(combine(Body(f, size, _FLOAT), even, odd))
        held, lanes = made, size
    return held[0]


def _finite(k: Body, top: Value) -> Value:
    """Return a maximum, 0 in place of -inf."""
    return k.pick(k.compare("eq", top, -np.inf), k.const(0.0), top)


def _power(k: Body, x: Value) -> Value:
    """Return 2**x within 1 ulp for x <= 0; NaN stays."""
    x = k.at_least(x, _LOWEST)
    whole, bits = nearest(k, x)
    return scale(k, k.polynomial(k.sub(x, whole), EXP2[SINGLE]), whole, bits)
