"""Convolutions of 8-bit integers as matrix products over rows of pixels; sums are exact.

As `conv_rows`: the input rows of some output rows are copied to scratch memory, with what stands
for 0 around them, and a register tile has neighbouring outputs of one row. Matrix products are
convolutions of one tap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I8, I32, I64, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.convolution import PatchRows, operand_fields, operand_rows
from mnn.codegen.templates.epilogue import Ending, load_columns
from mnn.codegen.templates.int8_lines import FIELDS, Lines, copy_lines
from mnn.codegen.templates.int8_problem import Int8Problem
from mnn.codegen.templates.int8_steps import clipped, whole_numbers
from mnn.codegen.templates.int8_tile import (
    accumulate,
    arranged,
    depth_of,
    in_vectors,
    product_of,
    starting_sums,
)
from mnn.codegen.templates.packing import Panels
from mnn.codegen.templates.tile import StridedRows, Tile
from mnn.codegen.templates.tiled import tile_of
from mnn.codegen.templates.window import split
from mnn.records import dataclass, replace

__all__ = ["Int8RowsKernel", "lower", "reads_planes", "real_sums"]

Array = np.ndarray[Any, Any]
_FLOAT = np.dtype(np.float32)
_LINES_BYTES = 160 * 1024
"""Of lines in scratch memory, which should stay in the second-level cache."""
_ITEM_WORK = 2_500_000
"""Multiply-adds of an item, if there are not too few items then."""
_FEW_CHANNELS = 4
"""Up to so many channels are read plane by plane: the rest of a window's row is long enough."""
_FAR_BYTES = 256 * 1024
"""Weights beyond this come from afar."""
_FEW_PIXELS = 64
"""Items of so many pixels read weights too rarely for waiting not to matter."""
_AHEAD = 16 * 1024
"""How many bytes of such weights are asked for in advance."""
_ITEMS = 32
"""As many items are enough for any number of threads."""


def reads_planes(x: Tensor, groups: int) -> bool:
    """True when an image is read as it is although its channels are far apart."""
    return groups == 1 and 1 < x.shape[-1] <= _FEW_CHANNELS and x.strides[3] == 1


def lower(problem: Int8Problem) -> list[Call]:
    """Return the calls of any convolution whose x has neighbouring channels or `reads_planes`.

    Raises:
        CodegenError: sums could leave 32 bits.
    """
    return [_Plan(problem).call()]


class _Plan:
    """How a convolution is cut into items."""

    def __init__(self, problem: Int8Problem) -> None:
        self.problem = problem
        window = problem.window
        self.product = product_of(problem.target)
        self.depth, self.height, self.width = problem.out.shape[1:4]
        self.joined = window.kernel[2] == 1 or window.dilation[2] == 1
        self.planes = problem.inputs if problem.x.strides[-1] != 1 else 1
        self.together = problem.inputs // self.planes
        self.run = self.together * (window.kernel[2] if self.joined else 1)
        self.steps = -(-self.run // depth_of(self.product))
        across = 1 if self.joined else window.kernel[2]
        self.taps = self.planes * window.kernel[0] * window.kernel[1] * across
        lanes = problem.target.lanes
        rows, vectors = tile_of(problem.target, self.width, problem.outputs, self.steps * self.taps)
        self.tile = Tile(rows, vectors, lanes)
        self.panels = Panels(self.steps * self.taps, problem.outputs, vectors, lanes)
        self._cut()

    def _cut(self) -> None:
        """Choose the rows, columns and panels of an item."""
        problem, tile = self.problem, self.tile
        columns = self.width
        while columns > tile.rows and self._lines(1, columns).bytes > _LINES_BYTES:
            columns = -(-columns // 2)
        wanted = min(_ITEMS, max(1, problem.work // _ITEM_WORK))
        others = math.prod(problem.out.shape[:2]) * problem.groups
        if self.height == 1:
            columns = min(columns, -(-self.width // max(1, wanted // others)))
        self.columns = min(self.width, -(-columns // tile.rows) * tile.rows)
        others *= -(-self.width // self.columns)
        rows, splits = self.height, -(-wanted // others)
        while rows > 1 and (
            self._lines(rows, self.columns).bytes > _LINES_BYTES or -(-self.height // rows) < splits
        ):
            rows -= 1
        self.rows = -(-self.height // -(-self.height // rows))
        left = -(-wanted // (others * -(-self.height // self.rows)))
        self.block_panels = -(-self.panels.panels // min(self.panels.panels, left))
        self.panel_blocks = -(-self.panels.panels // self.block_panels)
        self.lines = self._lines(self.rows, self.columns)

    def _lines(self, rows: int, columns: int) -> Lines:
        depth, height, width = self.problem.x.shape[1:4]
        return Lines(
            self.problem.window,
            (depth, height, width),
            self.together,
            rows,
            columns,
            self.product,
            self.problem.zero,
            self.planes,
            self.problem.x.strides[-1],
        )

    def call(self) -> Call:
        """Return the call."""
        problem, window, x, out, lines = (
            self.problem,
            self.problem.window,
            self.problem.x,
            self.problem.out,
            self.lines,
        )
        row_blocks = -(-self.height // self.rows)
        column_blocks = -(-self.width // self.columns)
        pixel, bounds = lines.size * self.together, self._bounds()
        slots: list[Slot] = [
            *lines.slots(),
            x.pointer,
            *problem.strides(x),
            self.together,
            out.pointer,
            *problem.strides(out),
            problem.outputs,
            *(Pointer(self._weights()), self.panels.bytes, self.panels.panel_bytes),
            *(self.panels.full, self.panels.panels),
            *(self._starts(), *problem.channel_slots()),
            *(problem.groups, self.depth, row_blocks, self.rows, self.height),
            *(column_blocks, self.columns, self.width, self.panel_blocks, self.block_panels),
            *(*window.stride, *window.begin),
            *(lines.down * lines.line, pixel * window.stride[2]),
            *(self._table(pixel), self.taps, self.steps, *(bounds or (0, 0))),
        ]
        items = out.shape[0] * problem.groups * self.depth * row_blocks
        items *= column_blocks * self.panel_blocks
        kernel = Int8RowsKernel(
            self.tile,
            self.product,
            problem.ending,
            tail=self.panels.tail,
            narrow=problem.outputs < self.tile.lanes,
            narrows=bounds is not None,
            far=self.panels.bytes > _FAR_BYTES and self.rows * self.columns <= _FEW_PIXELS,
        )
        what = f"int8 rows {self.tile.rows}x{self.tile.width}"
        return problem.call(kernel, (*slots, *problem.operand_slots()), items, what, lines.bytes)

    def _bounds(self) -> tuple[int, int] | None:
        """Return the bounds of codes that are narrowed several rows at once, None for others."""
        able = self.problem.target.packs and self.problem.outputs >= self.tile.lanes
        return self.problem.bounds if able and self.tile.rows > 1 else None

    def _table(self, pixel: int) -> Pointer:
        """Return where the taps' lines begin, counted from those of the first output, in bytes."""
        window, lines = self.problem.window, self.lines
        across = 1 if self.joined else window.kernel[2]
        places = [
            lines.tap(deep, down, plane) * lines.line + tap * window.dilation[2] * pixel
            for plane in range(self.planes)
            for deep in range(window.kernel[0])
            for down in range(window.kernel[1])
            for tap in range(across)
        ]
        return Pointer(Buffer.constant(np.array(places, np.int64), "taps"))

    def _weights(self) -> Buffer:
        """Return the panels of all groups."""
        problem, panels = self.problem, self.panels
        groups, outputs = problem.weight.shape[:2]
        order = (0, 2, 3, 4, 5, 1) if self.planes > 1 else (0, 3, 4, 5, 2, 1)

        def make() -> Array:
            moved = problem.weight.array().transpose(order)
            runs = moved.reshape(groups, self.taps, self.run, outputs)
            depth = depth_of(self.product)
            room = self.steps * depth - self.run
            steps = np.pad(runs, ((0, 0), (0, 0), (0, room), (0, 0)))
            steps = steps.reshape(groups, panels.depth, depth, outputs)
            made = np.zeros((groups, panels.bytes // 4), np.int32)
            plain = arranged(steps, self.product)
            for group in range(groups):
                panels.fill(made[group], plain[group])
            return in_vectors(made, self.product, panels.lanes)

        return Buffer(groups * panels.bytes, CONSTANT, make=make, name="int8 weights")

    def _starts(self) -> Pointer:
        problem = self.problem
        weight = problem.weight.array()
        flat = weight.reshape(weight.shape[0] * weight.shape[1], -1)
        return Pointer(
            Buffer.constant(starting_sums(flat, problem.zero, self.product), "starting sums")
        )


@dataclass(frozen=True)
class Int8RowsKernel(Kernel):
    """An item is a block of output rows and columns of a group, with some panels of channels.

    Attributes:
        tile: what is computed at once: neighbouring outputs of a row.
        product: see `int8_tile`.
        ending: what becomes of the sums times the channel's scale plus its bias, float32.
        tail: vectors of the last panel when it has fewer, 0 when it never has.
        narrow: a group has fewer outputs than a vector has lanes.
        narrows: results are nothing but codes, which are narrowed several rows at once.
        far: weights are asked for in advance.
    """

    tile: Tile
    product: str
    ending: Ending
    tail: int = 0
    narrow: bool = False
    narrows: bool = False
    far: bool = False

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(
            FIELDS + "*x xn xd xh xw xg *y yn yd yh yw N *b group_bytes panel_bytes full panels "
            "*start *scale *bias G OD row_blocks rows OH column_blocks columns OW panel_blocks "
            "block_panels SD SH SW bd bh bw down right *taps count steps minimum maximum"
            + operand_fields(self.ending)
        )
        a.spill = f.allocate(self.tile.spill_bytes) if self.ending.spills(target) else None
        counts = [0, a.G, a.OD, a.row_blocks, a.column_blocks, a.panel_blocks]
        nothing = f.constant(-1)
        with f.loop(f.arguments[1], f.arguments[2], carried=[nothing]) as loop:
            n, group, d, row, column, panel = split(f, loop.index, counts)
            h = f.mul(row, a.rows)
            w = f.min(f.mul(column, a.columns), f.sub(a.OW, a.columns))
            item = _Item(self, f, a, (n, d, h, w), group)
            place = f.value(f.div(loop.index, a.panel_blocks))
            with f.when(f.compare("ne", place, loop.carried[0])):
                item.copy_lines()
            item.compute(f.mul(panel, a.block_panels))
            loop.next = [place]
        return module


class _Item:
    """One item being built."""

    def __init__(
        self,
        kernel: Int8RowsKernel,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        group: Index,
    ) -> None:
        self.kernel, self.f, self.a, self.place, self.group = kernel, f, a, place, group
        n, d, h, w = place
        self.lines = f.arguments[3]
        self.count = f.min(f.sub(a.OH, h), a.rows)
        self.channel = f.mul(group, a.N)
        size = kernel.ending.dtype.itemsize
        distance = f.add(f.mul(n, a.yn), f.add(f.mul(d, a.yd), f.mul(self.channel, size)))
        self.y = f.offset(a.y, f.add(distance, f.add(f.mul(h, a.yh), f.mul(w, a.yw))))

    def copy_lines(self) -> None:
        """Build the copy of all input rows of the block."""
        f, a = self.f, self.a
        n, d, h, w = self.place
        first = (
            f.sub(f.mul(d, a.SD), a.bd),
            f.sub(f.mul(h, a.SH), a.bh),
            f.sub(f.mul(w, a.SW), a.bw),
        )
        source = f.offset(a.x, f.add(f.mul(n, a.xn), f.mul(self.group, a.xg)))
        missing = f.sub(a.rows, self.count)
        copy_lines(f, self.kernel.product, a, source, first, missing, a.xg, self.lines)

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
        channel = f.mul(f.add(self.channel, column), 4)

        def vectors(table: Value, kind: str) -> list[Value]:
            place = f.offset(table, channel)
            kind = vector(tile.lanes, kind)
            return [
                load_columns(f, kind, f.offset(place, f.mul(each, 4)), 4, 0, columns)
                for each in starts
            ]

        first = vectors(a.start, I32) * tile.rows
        across = f.div(f.add(a.columns, tile.rows - 1), tile.rows)
        with f.loop(0, self.count) as row, f.loop(0, across) as loop:
            place = f.min(f.mul(loop.index, tile.rows), f.sub(a.columns, tile.rows))
            sums = self._sums(tile, first, panel, row.index, place)
            factors, offsets = vectors(a.scale, F32), vectors(a.bias, F32)
            if not kernel.narrows:
                real = real_sums(f, tile, sums, factors, offsets)
                self._store(tile, real, row.index, place, column, starts, columns)
            else:
                out = self._out(row.index, place, column)
                self._store_codes(tile, sums, factors, offsets, out, starts)

    def _sums(
        self, tile: Tile, first: Sequence[Value], panel: Value, row: Index, across: Index
    ) -> list[Value]:
        """Return the sums of a tile."""
        f, a = self.f, self.a
        start = f.offset(self.lines, f.add(f.mul(row, a.down), f.mul(across, a.right)))
        size = f.mul(a.steps, tile.panel_step)
        with f.turns(0, a.count, carried=first) as loop:
            distance = f.load(I64, f.offset(a.taps, f.mul(loop.index, 8)), align=8)
            loop.next = accumulate(
                f,
                tile,
                self.kernel.product,
                loop.carried,
                StridedRows(f.offset(start, distance), a.right),
                f.offset(panel, f.mul(loop.index, size)),
                a.steps,
                ahead=_AHEAD if self.kernel.far else 0,
            )
        return loop.results

    def _store(
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
        out = self._out(row, across, column)
        place = (n, d, f.add(h, row), f.add(w, across))
        operands = operand_rows(f, ending, a, place, f.add(self.channel, column))
        ending.store(f, tile, sums, out, operands, columns=columns, starts=starts, spill=a.spill)

    def _out(self, row: Index, across: Index, column: Index) -> PatchRows:
        """Return where the results of a tile are stored."""
        f, a = self.f, self.a
        distance = f.add(f.mul(row, a.yh), f.mul(across, a.yw))
        distance = f.add(distance, f.mul(column, self.kernel.ending.dtype.itemsize))
        return PatchRows(f.offset(self.y, distance), a.yh, a.yw, 0)

    def _store_codes(
        self,
        tile: Tile,
        sums: Sequence[Value],
        scale: Sequence[Value],
        bias: Sequence[Value],
        out: PatchRows,
        starts: Sequence[Index],
    ) -> None:
        """Build the codes of a tile, four rows of a vector of columns in one register."""
        f, a, lanes = self.f, self.a, tile.lanes
        parts, words, codes = lanes // 4, vector(lanes, I32), vector(lanes, I8)
        # Within 16 bytes lie four columns of each row; rows have theirs together afterwards.
        order = [4 * part + row for row in range(4) for part in range(parts)]
        for first in range(0, tile.rows, 4):
            count = min(4, tile.rows - first)
            places = [out.pointer(f, first + each) for each in range(count)]
            for each, start in enumerate(starts):
                whole = [
                    whole_numbers(f, sums[row * tile.vectors + each], scale[each], bias[each])
                    for row in range(first, first + count)
                ]
                whole += [whole[-1]] * (4 - count)
                halves = [f.narrowed(whole[pair], whole[pair + 1]) for pair in (0, 2)]
                small = clipped(f, f.narrowed(*halves), a.minimum, a.maximum)
                made = f.make(f"bitcast {small.type} {small.text} to {words}", words)
                for row, place in enumerate(places):
                    chosen = order[row * parts : (row + 1) * parts]
                    own = f.shuffle(made, None, chosen) if parts > 1 else f.extract(made, row)
                    value = f.make(f"bitcast {own.type} {own.text} to {codes}", codes)
                    f.store(value, f.offset(place, start), align=1)


def real_sums(
    f: Function, tile: Tile, sums: Sequence[Value], scale: Sequence[Value], bias: Sequence[Value]
) -> list[Value]:
    """Return int32 sums as float32 times the scale plus the bias of their channel.

    Product and sum are rounded apart, so every machine and NumPy give the same.
    """
    k = Body(f, tile.lanes, _FLOAT)
    made = []
    for number, each in enumerate(sums):
        real = f.make(f"sitofp {each.type} {each.text} to {k.type}", k.type)
        vector_number = number % tile.vectors
        made.append(k.add(k.mul(real, scale[vector_number]), bias[vector_number]))
    return made
