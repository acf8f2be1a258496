"""Convolutions as matrix products over rows of pixels, without a matrix of patches in memory.

A register tile has neighbouring outputs of one row. For each row of a window, the inputs of all
columns of the window and all channels are neighbours, so a window is as many runs along k as it has
rows. The input rows of some output rows are copied to scratch memory first, with zeros around them;
the copy costs little, and every other question (borders, slices, planes) ends there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.builder import F32, I64, Function, Index, Loop, Module, Value, vector
from mnn.codegen.kernel import (
    CONSTANT,
    TEMPORARY,
    Buffer,
    Call,
    Kernel,
    Pointer,
    Slot,
    Tensor,
    contiguous,
)
from mnn.codegen.target import Target
from mnn.codegen.templates import relayout
from mnn.codegen.templates.conv_lines import InputRows
from mnn.codegen.templates.convolution import (
    Convolution,
    PatchRows,
    operand_fields,
    operand_rows,
)
from mnn.codegen.templates.epilogue import Ending, load_columns
from mnn.codegen.templates.float16_tile import (
    accumulate_halves,
    clear_sums,
    column_scales,
    finished_rows,
    sums_memory,
)
from mnn.codegen.templates.packing import Panels, pack
from mnn.codegen.templates.tile import (
    FLOAT32,
    HALVES,
    LONG_SUM,
    PAIRS,
    StridedRows,
    Tile,
    accumulate,
    accumulate_long,
)
from mnn.codegen.templates.tiled import tile_of
from mnn.codegen.templates.window import split
from mnn.records import dataclass, replace

__all__ = ["RowsItem", "RowsKernel", "RowsPlan", "lower", "reads_planes"]

Array = np.ndarray[Any, Any]
_FLOAT = np.dtype(np.float32)
_FEW_CHANNELS = 4
"""Up to so many channels are read plane by plane: the rest of a window's row is long enough."""
_ROWS_BYTES = 256 * 1024
"""Input rows in scratch memory."""
_PANEL_BYTES = 384 * 1024
"""Of a panel, that all tiles of a block should find in the second-level cache."""
_FAR_BYTES = 1024 * 1024
"""Weights beyond this come from afar."""
_AHEAD = 32 * 1024
"""How many bytes of such weights are asked for in advance."""
_ITEM_WORK = 700_000
"""Multiply-adds of an item, if there are not too few items then."""
_ITEMS = 32
"""As many items are enough for any number of threads."""


def reads_planes(x: Tensor, groups: int) -> bool:
    """True when an image is read as it is although its channels are far apart."""
    return groups == 1 and x.shape[-1] <= _FEW_CHANNELS and x.strides[3] == 1


def lower(problem: Convolution) -> list[Call]:
    """Return the calls of any convolution whose x has neighbouring channels or `reads_planes`."""
    return RowsPlan(problem).calls()


class RowsPlan:
    """How a convolution is cut into blocks."""

    def __init__(self, problem: Convolution) -> None:
        self.problem = problem
        window, x, out = problem.window, problem.x, problem.out
        self.depth, self.height, self.width = out.shape[1:4]
        self.planar = problem.inputs > 1 and x.strides[-1] != 1
        self.planes = problem.inputs if self.planar else 1
        self.product = problem.product
        self.size = 2 if self.product == PAIRS else 4
        self.pixel = self.size * (problem.inputs // self.planes)
        self.direct = not window.taps or (
            self.product == FLOAT32
            and not self.planar
            and all(
                window.inside(axis, x.shape[1 + axis], out.shape[1 + axis]) for axis in range(3)
            )
        )
        dense = not self.direct or self.size * x.strides[3] == self.pixel
        self.joined = window.kernel[2] == 1 or (dense and window.dilation[2] == 1)
        depth, height, width = window.kernel
        self.steps = self.pixel // 4 * (width if self.joined else 1)
        self.taps = self.planes * depth * height * (1 if self.joined else width)
        self.terms = self.steps * self.taps
        if not self.terms:
            self.steps, self.taps = 1, 0
        self.tile, self.panels = self.choose()
        self._cut()

    def choose(self) -> tuple[Tile, Panels]:
        """Return what is computed at once, and how the weights lie for that."""
        outputs, lanes = self.problem.outputs, self.problem.target.lanes
        terms = max(self.terms, 1)
        target, product = self.problem.target, self.product
        rows, vectors = tile_of(target, self.width, outputs, terms, product=product)
        tile = Tile(rows, vectors, lanes, product)
        return tile, Panels(self.terms, outputs, vectors, lanes, product)

    def _cut(self) -> None:
        """Choose the rows, columns and panels of an item."""
        problem, window = self.problem, self.problem.window
        shared = window.dilation[1] == 1 and window.stride[1] <= window.kernel[1]
        columns = self.width
        while (
            columns > self.tile.rows and self._line(columns) * self.lines(1, shared) > _ROWS_BYTES
        ):
            columns = -(-columns // 2)
        self.columns = min(self.width, -(-columns // self.tile.rows) * self.tile.rows)
        line = self._line(self.columns)
        wanted = min(_ITEMS, max(1, problem.work // _ITEM_WORK))
        others = math.prod(problem.out.shape[:2]) * problem.groups
        others *= -(-self.width // self.columns)
        # Weights that do not stay in the cache are read by one item each, rows are shared.
        heavy = self.panels.bytes > 2 * _PANEL_BYTES
        panels = min(self.panels.panels, -(-wanted // others)) if heavy else 1
        rows = self.height
        splits = -(-wanted // (others * panels))
        while rows > 1 and (
            self.lines(rows, shared) * line > _ROWS_BYTES or -(-self.height // rows) < splits
        ):
            rows -= 1
        self.rows = -(-self.height // -(-self.height // rows))
        self.shared = shared
        left = -(-wanted // (others * -(-self.height // self.rows)))
        self.panel_blocks = min(self.panels.panels, left)
        self.block_panels = -(-self.panels.panels // self.panel_blocks)
        self.panel_blocks = -(-self.panels.panels // self.block_panels)
        spots = self.rows * -(-self.columns // self.tile.rows)
        blocks = -(-self.panels.panel_bytes // _PANEL_BYTES)
        self.block_taps = self.taps
        if spots > 1 and blocks > 1 and self.taps > 1:
            self.block_taps = -(-self.taps // blocks)
        self.partial_bytes = 0
        if self.block_taps < self.taps:
            self.partial_bytes = -(-spots * self.tile.spill_bytes // 64) * 64
        self.scale_bytes = 64 if self.product == HALVES else 0

    def _line(self, columns: int) -> int:
        """Return the bytes of an input row for some outputs."""
        return -(-self.problem.window.reach(2, columns) * self.pixel // 64) * 64

    def lines(self, rows: int, shared: bool) -> int:
        """Return the input rows for some output rows."""
        window = self.problem.window
        each = window.reach(1, rows) if shared else window.kernel[1] * rows
        return self.planes * window.kernel[0] * each

    def calls(self) -> list[Call]:
        """Return the calls."""
        problem, window, x, out = (
            self.problem,
            self.problem.window,
            self.problem.x,
            self.problem.out,
        )
        panels, before = self.weights()
        line = self._line(self.columns)
        height = window.reach(1, self.rows) if self.shared else self.rows
        strides = problem.strides(x)
        table, down, right = self._table(line, height)
        rows_down = window.stride[1] if self.shared else 1
        slots: list[Slot] = [
            x.pointer,
            *strides,
            *(4 * x.strides[-1], 4 * x.strides[-1] * problem.inputs),
            *x.shape[1:4],
            out.pointer,
            *problem.strides(out),
            problem.outputs,
            *(panels, self.panels.bytes, self.panels.panel_bytes),
            *(self.panels.full, self.panels.panels, problem.bias_pointer),
            *(problem.groups, self.depth, -(-self.height // self.rows), self.rows, self.height),
            *(-(-self.width // self.columns), self.columns, self.width),
            *(self.panel_blocks, self.block_panels),
            *(window.stride[0], window.stride[1], window.stride[2], *window.begin),
            *(self.planes, window.kernel[0], window.dilation[0]),
            *(1 if self.shared else window.kernel[1], window.dilation[1]),
            *(height, rows_down, 1 if self.shared else window.stride[1]),
            *(window.reach(2, self.columns), self.pixel, line),
            *(down if self.direct else rows_down * line, right),
            *(table, self.taps, self.steps, self.block_taps),
            self.partial_bytes + self.scale_bytes,
        ]
        items = out.shape[0] * problem.groups * self.depth * -(-self.height // self.rows)
        items *= -(-self.width // self.columns) * self.panel_blocks
        scratch = 0 if self.direct else self.lines(self.rows, self.shared) * line
        kernel, what = self.kernel()
        return [
            *before,
            problem.call(
                kernel,
                (*slots, *problem.operand_slots()),
                items,
                what,
                scratch + self.partial_bytes + self.scale_bytes,
            ),
        ]

    def kernel(self) -> tuple[Kernel, str]:
        """Return the kernel and what it calls itself."""
        problem = self.problem
        kernel = RowsKernel(
            self.tile,
            problem.ending,
            tail=self.panels.tail,
            planar=self.planar,
            direct=self.direct,
            blocked=self.partial_bytes > 0,
            narrow=problem.outputs < self.tile.lanes,
            far=self.panels.bytes > _FAR_BYTES,
            long=self.product != HALVES
            and self.terms > 2 * LONG_SUM
            and self.steps >= LONG_SUM // 4,
        )
        return kernel, f"rows {self.tile.rows}x{self.tile.width}"

    def _table(self, line: int, height: int) -> tuple[Pointer, int, int]:
        """Return where the taps lie, in bytes; the distance to the output row below, to the right.

        Distances are those in the image or in the copied rows, whichever the tiles read.
        """
        window = self.problem.window
        plane, deep, down, right = (4 * self.problem.x.strides[each] for each in (-1, 1, 2, 3))
        if not self.direct:
            down = line * (1 if self.shared else self.rows)
            deep = line * height * (1 if self.shared else window.kernel[1])
            plane, right = deep * window.kernel[0], self.pixel
        else:
            deep, down = deep * window.dilation[0], down * window.dilation[1]
        across = 1 if self.joined else window.kernel[2]
        places = np.indices((self.planes, *window.kernel[:2], across)).reshape(4, -1)
        steps = np.array([plane, deep, down, right * window.dilation[2]])
        table = (steps @ places).astype(np.int64)
        step_down = 4 * self.problem.x.strides[2] * window.stride[1]
        if not table.size:
            table = np.zeros(1, np.int64)
        return Pointer(Buffer.constant(table, "taps")), step_down, right * window.stride[2]

    def weights(self) -> tuple[Pointer, list[Call]]:
        """Return the panels of all groups, and the calls that make them."""
        problem, weight, target = self.problem, self.problem.weight, self.problem.target
        if not self.terms:
            return problem.bias_pointer, []
        groups, outputs = weight.shape[:2]
        order = (0, 2, 3, 4, 5, 1) if self.planar else (0, 3, 4, 5, 2, 1)
        shape = (groups, self.terms * (4 // self.size), outputs)
        kind = CONSTANT if weight.is_constant else TEMPORARY
        room = Buffer(4 * math.prod(shape), kind, name="weights")
        moved = weight.permuted(order)
        calls = relayout.lower(moved, contiguous(room, moved.shape, _FLOAT), target)
        if weight.is_constant:
            room.compute_by(calls, target)
            calls = []
        packed, more = pack(contiguous(room, shape, _FLOAT), self.panels, target)
        return Pointer(packed), [*calls, *more]


@dataclass(frozen=True)
class RowsKernel(Kernel):
    """An item is a block of output rows and columns of a group, with some panels of channels.

    Attributes:
        tile: what is computed at once: neighbouring outputs of a row.
        ending: what becomes of the sums.
        tail: vectors of the last panel when it has fewer, 0 when it never has.
        planar: channels are far apart, rows of a channel are read.
        direct: no window leaves the image, which is read in place.
        blocked: the taps are cut into blocks, with sums in memory in between.
        narrow: a group has fewer outputs than a vector has lanes.
        far: weights are asked for in advance.
        long: sums are so long that parts of them are summed apart, with less rounding.
    """

    tile: Tile
    ending: Ending
    tail: int = 0
    planar: bool = False
    direct: bool = False
    blocked: bool = False
    narrow: bool = False
    far: bool = False
    long: bool = False

    def fields(self) -> str:
        """Return the names of the argument slots."""
        return (
            "*x xn xd xh xw xp xg D H W *y yn yd yh yw N *b group_bytes panel_bytes full panels "
            "*bias G OD row_blocks rows OH column_blocks columns OW panel_blocks block_panels "
            "SD SH SW bd bh bw planes KD dd turns turn height fewer step positions pixel line "
            "down right "
            "*taps count steps block_taps partial" + operand_fields(self.ending)
        )

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(self.fields())
        a.spill = f.allocate(self.tile.spill_bytes) if self.ending.spills(target) else None
        a.sums = f.arguments[3]
        a.lines = f.offset(f.arguments[3], a.partial)
        # The inverse of what float16 in the copied lines were multiplied by.
        a.scale = f.offset(a.lines, -4)
        counts = [0, a.G, a.OD, a.row_blocks, a.column_blocks, a.panel_blocks]
        nothing = f.constant(-1)
        with f.loop(f.arguments[1], f.arguments[2], carried=[nothing]) as loop:
            n, group, d, row, column, panel = split(f, loop.index, counts)
            h = f.mul(row, a.rows)
            w = f.min(f.mul(column, a.columns), f.sub(a.OW, a.columns))
            item = self.item(f, a, (n, d, h, w), group)
            place = f.value(f.div(loop.index, a.panel_blocks))
            if not self.direct:
                with f.when(f.compare("ne", place, loop.carried[0])):
                    item.copy_rows()
            item.compute(f.mul(panel, a.block_panels))
            loop.next = [place]
        return module

    def item(
        self,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        group: Index,
    ) -> RowsItem:
        """Return what builds an item."""
        return RowsItem(self, f, a, place, group)


class RowsItem:
    """One item being built."""

    def __init__(
        self,
        kernel: RowsKernel,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        group: Index,
    ) -> None:
        self.kernel, self.f, self.a, self.place, self.group = kernel, f, a, place, group
        n, d, h, w = place
        self.count = f.min(f.sub(a.OH, h), a.rows)
        self.channel = f.mul(group, a.N)
        self.d = f.sub(f.mul(d, a.SD), a.bd)
        self.h = f.sub(f.mul(h, a.SH), a.bh)
        self.w = f.sub(f.mul(w, a.SW), a.bw)
        self.x = f.offset(a.x, f.add(f.mul(n, a.xn), f.mul(group, a.xg)))
        size = kernel.ending.dtype.itemsize
        distance = f.add(f.mul(n, a.yn), f.add(f.mul(d, a.yd), f.mul(self.channel, size)))
        self.y = f.offset(a.y, f.add(distance, f.add(f.mul(h, a.yh), f.mul(w, a.yw))))
        self.origin = a.lines
        if kernel.direct:
            distance = f.add(f.mul(self.d, a.xd), f.mul(self.h, a.xh))
            self.origin = f.offset(self.x, f.add(distance, f.mul(self.w, a.xw)))

    def copy_rows(self) -> None:
        """Build the copy of all input rows of the block, with zeros around."""
        kernel, place = self.kernel, (self.d, self.h, self.w)
        product = kernel.tile.product
        InputRows(self.f, self.a, product, kernel.planar, self.x, place, self.count).copy()

    # --- products --------------------------------------------------------------------------------

    def compute(self, first: Index) -> None:
        """Build the products with some panels, from number `first` on."""
        f, a, kernel = self.f, self.a, self.kernel
        last = f.min(f.add(first, a.block_panels), a.panels)
        with f.loop(first, f.min(last, a.full) if kernel.tail else last) as loop:
            self._panel(kernel.tile, loop.index)
        if kernel.tail:
            with f.loop(f.max(first, a.full), last) as loop:
                self._panel(replace(kernel.tile, vectors=kernel.tail), loop.index)

    def _panel(self, tile: Tile, number: Index) -> None:
        """Build the products of all tiles with one panel."""
        f, a, kernel = self.f, self.a, self.kernel
        column = f.mul(number, kernel.tile.width)
        columns = a.N if kernel.narrow else None
        starts: list[Index] = [each * tile.lanes for each in range(tile.vectors)]
        if not kernel.narrow:
            starts[-1] = f.min(starts[-1], f.sub(f.sub(a.N, column), tile.lanes))
        panel = f.offset(a.b, f.add(f.mul(self.group, a.group_bytes), f.mul(number, a.panel_bytes)))
        place = f.offset(a.bias, f.mul(f.add(self.channel, column), 4))
        kind = vector(tile.lanes, F32)
        bias = [
            load_columns(f, kind, f.offset(place, f.mul(each, 4)), 4, 0, columns) for each in starts
        ]

        if tile.product == HALVES:
            self._panel_of_halves(tile, panel, column, bias, starts, columns)
            return

        def finish(sums: Sequence[Value], row: Index, across: Index) -> None:
            self.store(tile, sums, row, across, column, starts, columns)

        if not kernel.blocked:
            with self.tiles(tile) as (row, across, _):
                rows = self.rows_of(row, across)
                sums = self._taps(tile, bias * tile.rows, rows, panel, 0, a.count)
                finish(sums, row, across)
            return
        with self.tiles(tile) as (_, _, sums_place):
            self._save(bias * tile.rows, sums_place)
        with f.loop(0, a.count, a.block_taps) as block:
            end = f.min(f.add(block.index, a.block_taps), a.count)
            with self.tiles(tile) as (row, across, sums_place):
                held = self._saved(tile, sums_place)
                rows = self.rows_of(row, across)
                held = self._taps(tile, held, rows, panel, block.index, end)
                self._save(held, sums_place)
        with self.tiles(tile) as (row, across, sums_place):
            finish(self._saved(tile, sums_place), row, across)

    def _panel_of_halves(
        self,
        tile: Tile,
        panel: Value,
        column: Index,
        bias: Sequence[Value],
        starts: Sequence[Index],
        columns: Index | None,
    ) -> None:
        """Build what `_panel` does, with sums that lie in memory all the time."""
        f, a, kernel = self.f, self.a, self.kernel
        scales = column_scales(f, tile, panel, f.mul(a.count, a.steps))

        def add_taps(row: Index, across: Index, place: Value, first: Index, last: Index) -> None:
            rows = self.rows_of(row, across)
            with self._taps_between(tile, rows, panel, first, last) as (at, b, ahead, _):
                accumulate_halves(f, tile, place, at, b, a.steps, ahead=ahead)

        def finish(row: Index, across: Index, place: Value) -> None:
            single, scale = replace(tile, rows=1), f.load(F32, a.scale)
            with finished_rows(f, tile, place, scales) as (each, sums_of):
                sums, pixel = sums_of(scale, bias), f.add(across, each)
                self.store(single, sums, row, pixel, column, starts, columns)

        if not kernel.blocked:
            with self.tiles(tile) as (row, across, _):
                place = sums_memory(f, tile)
                clear_sums(f, tile, place)
                add_taps(row, across, place, 0, a.count)
                finish(row, across, place)
            return
        with self.tiles(tile) as (_, _, place):
            clear_sums(f, tile, place)
        with f.loop(0, a.count, a.block_taps) as block:
            end = f.min(f.add(block.index, a.block_taps), a.count)
            with self.tiles(tile) as (row, across, place):
                add_taps(row, across, place, block.index, end)
        with self.tiles(tile) as (row, across, place):
            finish(row, across, place)

    @contextmanager
    def tiles(self, tile: Tile) -> Iterator[tuple[Index, Index, Value]]:
        """Build a loop over the block's tiles: row, first column, and memory for their sums."""
        f, a, kernel = self.f, self.a, self.kernel
        across = f.div(f.add(a.columns, tile.rows - 1), tile.rows)
        with f.loop(0, self.count) as row, f.loop(0, across) as loop:
            number = f.add(f.mul(row.index, across), loop.index)
            column = f.min(f.mul(loop.index, tile.rows), f.sub(a.columns, tile.rows))
            yield row.index, column, f.offset(a.sums, f.mul(number, kernel.tile.spill_bytes))

    def rows_of(self, row: Index, column: Index) -> StridedRows:
        """Return where the windows of a tile begin."""
        f, a = self.f, self.a
        distance = f.add(f.mul(row, a.down), f.mul(column, a.right))
        return StridedRows(f.offset(self.origin, distance), a.right)

    def _taps(
        self,
        tile: Tile,
        sums: Sequence[Value],
        rows: StridedRows,
        panel: Value,
        first: Index,
        last: Index,
    ) -> list[Value]:
        """Return sums plus the products of some taps."""
        multiply = accumulate_long if self.kernel.long else accumulate
        with self._taps_between(tile, rows, panel, first, last, sums) as (at, b, ahead, loop):
            align, steps = tile.panel_align, self.a.steps
            held = loop.carried
            loop.next = multiply(self.f, tile, held, at, b, steps, align=align, ahead=ahead)
        return loop.results

    @contextmanager
    def _taps_between(
        self,
        tile: Tile,
        rows: StridedRows,
        panel: Value,
        first: Index,
        last: Index,
        carried: Sequence[Value] = (),
    ) -> Iterator[tuple[StridedRows, Value, int, Loop]]:
        """Build a loop over some taps: rows and panel of a tap, what to ask for ahead, the loop."""
        f, a = self.f, self.a
        size = f.mul(a.steps, tile.panel_step)
        with f.loop(first, last, carried=carried) as loop:
            distance = f.load(I64, f.offset(a.taps, f.mul(loop.index, 8)), align=8)
            at = replace(rows, base=f.offset(rows.base, distance))
            b = f.offset(panel, f.mul(loop.index, size))
            yield at, b, _AHEAD if self.kernel.far else 0, loop

    def _save(self, sums: Sequence[Value], place: Value) -> None:
        size = 4 * self.kernel.tile.lanes
        for number, each in enumerate(sums):
            self.f.store(each, self.f.offset(place, size * number), align=size)

    def _saved(self, tile: Tile, place: Value) -> list[Value]:
        f, size = self.f, 4 * tile.lanes
        return [
            f.load(vector(tile.lanes, F32), f.offset(place, size * number), align=size)
            for number in range(tile.sums)
        ]

    def store(
        self,
        tile: Tile,
        sums: Sequence[Value],
        row: Index,
        across: Index,
        column: Index,
        starts: Sequence[Index],
        columns: Index | None,
    ) -> None:
        """Build the ending of a tile."""
        f, a, ending = self.f, self.a, self.kernel.ending
        n, d, h, w = self.place
        distance = f.add(f.mul(row, a.yh), f.mul(across, a.yw))
        distance = f.add(distance, f.mul(column, ending.dtype.itemsize))
        out = PatchRows(f.offset(self.y, distance), a.yh, a.yw, 0)
        place = (n, d, f.add(h, row), f.add(w, across))
        operands = operand_rows(f, ending, a, place, f.add(self.channel, column))
        ending.store(f, tile, sums, out, operands, columns=columns, starts=starts, spill=a.spill)
