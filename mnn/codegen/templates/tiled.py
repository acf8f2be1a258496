"""Matrix products in register tiles: the kernel, and how a product is cut into tiles and blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

from mnn.codegen.builder import F32, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Kernel
from mnn.codegen.target import Target
from mnn.codegen.templates.epilogue import Ending, load_columns
from mnn.codegen.templates.float16 import store_row
from mnn.codegen.templates.float16_tile import (
    accumulate_halves,
    clear_sums,
    column_scales,
    finished_rows,
    sums_memory,
)
from mnn.codegen.templates.pairs import row_bytes, store_pairs
from mnn.codegen.templates.product import BIAS_ONE, NO_BIAS, batch_fields, located
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
from mnn.records import dataclass, replace

__all__ = ["Blocks", "TiledProduct", "blocks_of", "short_row_bytes", "tile_of"]

_CACHE_BYTES = 384 * 1024
"""Of A, that a block may have: it stays in a second-level cache while B passes by."""
_SMALL_BYTES = 128 * 1024
"""Of B, that are read again at no cost."""
_VECTORS_PER_MICROSECOND = 8000.0
"""Multiply-add instructions: two a cycle are usual."""
_BYTES_PER_MICROSECOND = 100_000.0
"""Of B, beyond the second-level cache."""

_WIDE = {1: 16, 2: 8, 3: 7, 4: 6}
_WIDE_FEW_REGISTERS = {1: 8, 2: 5, 3: 3, 4: 2}
"""Vectors of a tile of so many rows when nothing but reading B takes time."""


@dataclass(frozen=True)
class TiledProduct(Kernel):
    """out = ending(a b + bias) over a batch, in register tiles.

    The last tile of rows ends with the last row, so it computes again what the one before does;
    the same holds for the last vector of columns. Every tile is whole.

    Attributes:
        rows, vectors: of a tile; `out` has at least as many rows.
        tail: vectors of the last panel when it may have fewer, 0 when it never has.
        lanes: of a vector.
        product: see `Tile`; for others than FLOAT32 a is rounded into scratch memory, block by
            block, into rows of `short_row_bytes`.
        bias: NO_BIAS, BIAS_EACH or BIAS_ONE.
        batch: number of batch axes.
        packed: b lies in panels; otherwise in rows whose columns are neighbours.
        narrow: there are fewer columns than lanes.
        long: sums are long enough to be made in blocks, for less rounding.
        ending: what is stored.
    """

    rows: int
    vectors: int
    tail: int
    lanes: int
    product: str
    bias: str
    batch: int
    packed: bool
    narrow: bool
    long: bool
    ending: Ending

    def fields(self) -> str:
        """Return the names of the argument block's slots; strides are in bytes."""
        names = "*a *b *out *bias a_row b_step out_row steps m n panel_bytes full panels tiles "
        names += "block_panels block_tiles column_blocks row_blocks "
        if self.product != FLOAT32:
            names += "k short_row "
        return names + batch_fields(self.batch, self.ending)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        block = f.block(self.fields())
        main = Tile(self.rows, self.vectors, self.lanes, self.product)
        spill = f.allocate(main.spill_bytes) if self.ending.spills(target) else None
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            counts = [block.row_blocks, block.column_blocks]
            at = located(f, block, items.index, self.batch, self.ending, counts)
            row_block, column_block = at.blocks
            first = f.mul(column_block, block.block_panels)
            last = f.min(f.add(first, block.block_panels), block.panels)
            start = f.mul(row_block, block.block_tiles)
            at.tiles = (start, f.min(f.add(start, block.block_tiles), block.tiles))
            at.a_row = block.a_row
            if self.product != FLOAT32:
                self._round(f, block, at)
            with f.loop(first, f.min(last, block.full) if self.tail else last) as panels:
                self._panel(f, block, at, main, panels.index, spill)
            if self.tail:
                tail = Tile(self.rows, self.tail, self.lanes, self.product)
                with f.loop(f.max(first, block.full), last) as panels:
                    self._panel(f, block, at, tail, panels.index, spill)
        return module

    def _round(self, f: Function, block: SimpleNamespace, at: SimpleNamespace) -> None:
        """Build the conversion of a block's rows of A, which from then on is the one in scratch."""
        tiles, end = at.tiles
        first = f.min(f.mul(tiles, self.rows), f.sub(block.m, self.rows))
        scratch = f.arguments[3]
        with f.loop(first, f.min(f.mul(end, self.rows), block.m)) as loop:
            goal = f.offset(scratch, f.mul(f.sub(loop.index, first), block.short_row))
            source = f.offset(at.a, f.mul(loop.index, block.a_row))
            if self.product == PAIRS:
                store_pairs(f, source, block.k, goal)
            else:
                store_row(f, source, block.k, goal, self.lanes)
        at.a = f.offset(scratch, f.sub(0, f.mul(first, block.short_row)))
        at.a_row = block.short_row

    def _panel(
        self,
        f: Function,
        block: SimpleNamespace,
        at: SimpleNamespace,
        tile: Tile,
        panel: Index,
        spill: Value | None,
    ) -> None:
        """Build all tiles of one panel of columns."""
        column = f.mul(panel, self.vectors * self.lanes)
        here = SimpleNamespace(spill=spill, columns=block.n if self.narrow else None)
        here.starts = [each * tile.lanes for each in range(tile.vectors)]
        if not self.narrow:
            last = f.sub(f.sub(block.n, column), tile.lanes)
            here.starts[-1] = f.min(here.starts[-1], last)
        if self.packed:
            here.b, here.step = f.offset(at.b, f.mul(panel, block.panel_bytes)), 0
        else:
            here.b, here.step = f.offset(at.b, f.mul(column, 4)), block.b_step
        here.out = f.offset(at.out, f.mul(column, self.ending.dtype.itemsize))
        here.operands = [
            f.offset(each, f.mul(column, kind.itemsize)) if kind.by_column else each
            for each, kind in zip(at.operands, self.ending.operands, strict=True)
        ]
        here.first = self._first_sums(f, block, tile, column, here.starts, here.columns)
        halves = self.product == HALVES
        here.scales = column_scales(f, tile, here.b, block.steps) if halves else []
        with f.loop(*at.tiles) as loop:
            row = f.min(f.mul(loop.index, tile.rows), f.sub(block.m, tile.rows))
            a = StridedRows(f.offset(at.a, f.mul(row, at.a_row)), at.a_row)
            if halves:
                self._tile_of_halves(f, block, here, tile, a, row)
            else:
                self._tile(f, block, here, tile, a, row)

    def _tile(
        self,
        f: Function,
        block: SimpleNamespace,
        here: SimpleNamespace,
        tile: Tile,
        a: StridedRows,
        row: Index,
    ) -> None:
        """Build a tile: its rows of A, the first of which is number `row`, times a panel."""
        multiply = accumulate_long if self.long else accumulate
        sums = multiply(
            f,
            tile,
            here.first,
            a,
            here.b,
            block.steps,
            panel_step=here.step,
            starts=None if self.packed else here.starts,
            align=tile.panel_align if self.packed else 4,
        )
        self._store(f, block, here, tile, sums, row)

    def _tile_of_halves(
        self,
        f: Function,
        block: SimpleNamespace,
        here: SimpleNamespace,
        tile: Tile,
        a: StridedRows,
        row: Index,
    ) -> None:
        """Build what `_tile` does, with sums in memory."""
        place = sums_memory(f, tile)
        clear_sums(f, tile, place)
        accumulate_halves(f, tile, place, a, here.b, block.steps)
        first = None if self.bias == NO_BIAS else here.first[: tile.vectors]
        with finished_rows(f, tile, place, here.scales) as (each, sums_of):
            scale = f.load(F32, f.offset(a.pointer(f, each), f.mul(block.k, 4)))
            sums = sums_of(scale, first)
            self._store(f, block, here, replace(tile, rows=1), sums, f.add(row, each))

    def _store(
        self,
        f: Function,
        block: SimpleNamespace,
        here: SimpleNamespace,
        tile: Tile,
        sums: Sequence[Value],
        row: Index,
    ) -> None:
        """Build the ending of a tile whose first row is number `row`."""

        def rows(base: Value, stride: Index) -> StridedRows:
            return StridedRows(f.offset(base, f.mul(row, stride)), stride)

        self.ending.store(
            f,
            tile,
            sums,
            rows(here.out, block.out_row),
            [
                rows(each, getattr(block, f"operand{number}_row"))
                for number, each in enumerate(here.operands)
            ],
            columns=here.columns,
            starts=here.starts,
            spill=here.spill,
        )

    def _first_sums(
        self,
        f: Function,
        block: SimpleNamespace,
        tile: Tile,
        column: Index,
        starts: Sequence[Index],
        columns: Index | None,
    ) -> list[Value]:
        """Return the sums that a tile begins with."""
        if self.bias == NO_BIAS:
            return zeros(f, tile)
        if self.bias == BIAS_ONE:
            return [f.splat(f.load(F32, block.bias), tile.lanes)] * tile.sums
        place = f.offset(block.bias, f.mul(column, 4))
        kind = vector(tile.lanes, F32)
        found = [
            load_columns(f, kind, f.offset(place, f.mul(each, 4)), 4, 0, columns) for each in starts
        ]
        return found * tile.rows


def short_row_bytes(product: str, k: int) -> int:
    """Return the distance of rows of `k` elements of A in scratch memory, 0 when there are none."""
    if product == FLOAT32:
        return 0
    # Every float16 lies there twice, and the scale comes behind them.
    return row_bytes(k if product == PAIRS else 2 * (k + 1))


def tile_of(
    target: Target,
    m: int,
    n: int,
    k: int,
    *,
    product: str = FLOAT32,
    few_rows: bool = False,
    in_place: bool = False,
) -> tuple[int, int]:
    """Return the (rows, vectors) of the register tile that suits a product.

    Args:
        product: see `Tile`.    k: steps.
        few_rows: rows of A lie so that caches hold few of them.
        in_place: B is read where it lies, so wide tiles read longer pieces of its rows.
    """
    if product == HALVES:
        # A register has the columns of two vectors.
        rows, vectors = tile_of(replace(target, lanes=2 * target.lanes), m, n, k)
        return rows, min(2 * vectors, -(-n // target.lanes))
    wide = _WIDE if target.registers > 16 else _WIDE_FEW_REGISTERS
    if in_place and m in wide:
        return m, min(wide[m], -(-n // target.lanes))
    limits: dict[int, int] = {}
    for rows, vectors in target.tiles:
        limits[vectors] = max(rows, limits.get(vectors, 0))
    count = -(-n // target.lanes)
    best, chosen = math.inf, (1, 1)
    for vectors, limit in limits.items():
        for rows in range(1, min(limit, m, 8 if few_rows else m) + 1):
            full, tail = divmod(count, min(vectors, count))
            cost = full * _cycles(target, rows, min(vectors, count), k)
            if tail:
                cost += _cycles(target, rows, tail, k)
            cost *= -(-m // rows)
            if (rows, vectors) not in target.tiles:
                cost *= 1.015
            if cost < best:
                best, chosen = cost, (rows, min(vectors, count))
    return chosen


def _cycles(target: Target, rows: int, vectors: int, k: int) -> float:
    """Return about how many cycles a tile takes."""
    sums = rows * vectors
    arithmetic = sums / 2 if target.fused else float(sums)
    loads = (rows + vectors) / 2
    return k * max(arithmetic, loads, 4, 1.4 * vectors) + 1.5 * sums + 12


@dataclass(frozen=True)
class Blocks:
    """How the tiles and panels of a product are shared out.

    Attributes:
        tiles, panels: of a block.
        row_blocks, column_blocks: how many there are.
        grain: fewest blocks worth handing to another thread.
    """

    tiles: int
    panels: int
    row_blocks: int
    column_blocks: int
    grain: int


def blocks_of(tile: Tile, batch: int, m: int, n: int, k: int, tiles: int, panels: int) -> Blocks:
    """Return how to share out a product of `tiles` times `panels` register tiles."""
    limit = max(1, _CACHE_BYTES // (4 * tile.rows * k)) if panels > 1 else tiles
    row_blocks, column_blocks = -(-tiles // limit), 1
    arithmetic = tiles * panels * tile.instructions * (k + 4) / _VECTORS_PER_MICROSECOND
    time = batch * max(arithmetic, 4 * k * n / _BYTES_PER_MICROSECOND)
    wanted = math.ceil(min(max(time / 1.5, 1), 48) / batch)
    # Every block of rows reads B again, every block of columns A, which may have to be rounded.
    most = max(row_blocks, tiles if 4 * k * n <= _SMALL_BYTES else tiles // 4)
    if n > m and tile.product == FLOAT32:
        column_blocks = min(panels, -(-wanted // row_blocks))
        row_blocks = min(most, row_blocks * -(-wanted // (row_blocks * column_blocks)))
    else:
        row_blocks = min(most, row_blocks * -(-wanted // row_blocks))
        column_blocks = min(panels, -(-wanted // row_blocks))
    block_tiles, block_panels = -(-tiles // row_blocks), -(-panels // column_blocks)
    row_blocks, column_blocks = -(-tiles // block_tiles), -(-panels // block_panels)
    grain = math.floor(5 * batch * row_blocks * column_blocks / time)
    return Blocks(block_tiles, block_panels, row_blocks, column_blocks, max(1, grain))
