"""Convolutions of 3x3 windows by Winograd's minimal filtering, in blocks that stay in caches.

Tiles of the image are transformed, multiplied position by position with transformed weights, which
is one matrix product for each position, and transformed back. Infinities and NaN spread over the
tile they lie in. Tiles that leave the image read through a table of addresses, in which pixels
outside are a line of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, PTR, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Buffer, Call, Kernel, Pointer, Slot
from mnn.codegen.target import Target
from mnn.codegen.templates import winograd_weights
from mnn.codegen.templates.convolution import Convolution, operand_fields, operand_rows
from mnn.codegen.templates.epilogue import Ending
from mnn.codegen.templates.packing import Panels
from mnn.codegen.templates.tile import FLOAT32, StridedRows, Tile, accumulate_long, zeros
from mnn.codegen.templates.tiled import tile_of
from mnn.codegen.templates.window import split
from mnn.codegen.templates.winograd_matrices import (
    SIZES,
    input_rows,
    output_rows,
)
from mnn.records import dataclass, replace

__all__ = ["WinogradKernel", "best_size", "fits", "lower"]

_FLOAT = np.dtype(np.float32)
_BLOCK_BYTES = 400 * 1024
"""Of transformed tiles, that stay in a second-level cache with all else."""
_SINGLE_BLOCK_BYTES = 1000 * 1024
"""Up to so many bytes of transformed tiles are one block: weights are then read only once."""
_ITEMS = 8
"""Fewer blocks of tiles than this are shared out by panels of channels too."""
_FEW_TILES = 14
"""Blocks of so few tiles are not cut any more."""
_ITEM_WORK = 1_000_000
"""Multiply-adds below which work is not shared out any further."""
_LONG_SUM = 64
"""Sums over more channels are made of parts."""
_AHEAD = 32 * 1024
"""How many bytes of weights are asked for in advance when they come from afar."""
_CACHE_BYTES = 512 * 1024
"""Weights beyond this come from afar."""
_MEMORY_BYTES = 3 * 1024 * 1024
"""Weights beyond this probably come from main memory, and there is enough of them."""
FUSED, TRANSFORM, MULTIPLY = "fused", "transform", "multiply"
"""What an item does: both steps, or one of them, with the transformed tiles in a temporary."""


def fits(problem: Convolution) -> bool:
    """True for windows of 3x3 at every position, with constant weights and enough channels."""
    window, lanes = problem.window, problem.target.lanes
    return (
        window.kernel == (1, 3, 3)
        and window.stride == (1, 1, 1)
        and window.dilation == (1, 1, 1)
        and window.begin[0] == 0
        and problem.x.shape[1] == problem.out.shape[1]
        and problem.groups == 1
        and min(problem.inputs, problem.outputs) >= lanes
        and problem.weight.is_constant
        and problem.x.strides[-1] == 1
    )


def best_size(problem: Convolution) -> int:
    """Return the size of tiles that takes least time, 0 when plain products do.

    The estimate, in cycles, knows arithmetic, transformations and the weights, which are 16/9 or
    36/9 of the plain ones: large weights for few pixels are better left as they are.
    """
    lanes = problem.target.lanes
    pairs = problem.inputs * problem.outputs
    # Short products, which exist for plain products only, take half of everything.
    share = 1.0 if problem.product == FLOAT32 else 0.5
    direct = share * 1.05 * problem.work / lanes / 2 + _far(int(share * 36 * pairs))

    def cost(size: int) -> float:
        plan = _Plan(problem, size)
        positions = plan.positions
        products = 1.12 * plan.blocks * plan.count * positions * pairs / lanes / 2
        # Loads of weights limit tiles of few rows.
        products *= max(1.0, 4 / plan.tile.rows)
        around = plan.tiles * positions * 5 * (problem.inputs + problem.outputs) / lanes
        return products + around + _far(4 * positions * pairs)

    costs = {size: cost(size) for size in SIZES}
    best = min(costs, key=lambda each: costs[each])
    return best if costs[best] < direct else 0


def _far(size: int) -> float:
    """Return the cycles that reading weights takes."""
    return size / 20 + max(0, size - _MEMORY_BYTES) / 10


def lower(problem: Convolution, size: int) -> list[Call]:
    """Return the calls of a convolution that `fits`, in tiles of `size` times `size` outputs."""
    return _Plan(problem, size).calls()


class _Plan:
    """How a convolution is cut into blocks of tiles."""

    def __init__(self, problem: Convolution, size: int) -> None:
        self.problem, self.size = problem, size
        samples, depth, height, width, _ = problem.out.shape
        self.down, self.right = -(-height // size), -(-width // size)
        self.tiles = samples * depth * self.down * self.right
        self.positions = (size + 2) ** 2
        each = 4 * self.positions * problem.inputs
        blocks = -(-self.tiles * each // _BLOCK_BYTES)
        if self.tiles * each <= _SINGLE_BLOCK_BYTES:
            blocks = 1
        # Enough items for several threads, if they are worth it.
        wanted = min(_ITEMS, max(1, problem.work // _ITEM_WORK))
        self._cut(-(-self.tiles // blocks))
        while self.blocks * self.panels.panels < wanted and self.count > _FEW_TILES:
            blocks += 1
            self._cut(-(-self.tiles // blocks))

    def _cut(self, count: int) -> None:
        """Choose the register tile for about `count` tiles of the image in a block."""
        problem = self.problem
        lanes = problem.target.lanes
        rows, vectors = tile_of(problem.target, count, problem.outputs, problem.inputs)
        self.tile = Tile(rows, vectors, lanes)
        self.count = -(-count // rows) * rows
        self.blocks = -(-self.tiles // self.count)
        self.panels = Panels(self.positions * problem.inputs, problem.outputs, vectors, lanes)
        # Positions an odd number of cache lines apart use all places of a cache.
        self.tile_step = -(-problem.inputs // 16) * 64
        if self.tile_step % 2048 == 0:
            self.tile_step += 64
        self.position_step = self.count * self.tile_step // 64 * 64 | 64
        self.product_step = 4 * self.count * self.tile.width | 64

    def calls(self) -> list[Call]:
        """Return the calls."""
        problem = self.problem
        zeros = -(-4 * problem.inputs // 64) * 64
        table = -(-8 * self.positions // 64) * 64
        tiles = self.positions * self.position_step
        products = self.positions * self.product_step
        far = self.panels.bytes > _CACHE_BYTES
        kernel = WinogradKernel(FUSED, self.size, self.tile, self.panels.tail, far, problem.ending)
        what = f"winograd {self.size}, {self.count} tiles"
        if self.blocks >= _ITEMS or self.panels.panels == 1:
            # Tiles stay in scratch memory; the address of room for them is not used.
            slots = self._slots(problem.out.pointer, self.panels.panels)
            scratch = zeros + table + tiles + products
            return [problem.call(kernel, slots, self.blocks, what, scratch)]
        room = Pointer(Buffer(self.blocks * tiles, name="winograd tiles"))
        parts = min(self.panels.panels, -(-4 * _ITEMS // self.blocks))
        part = -(-self.panels.panels // parts)
        slots = self._slots(room, part)
        first = WinogradKernel(
            TRANSFORM, self.size, Tile(1, 1, self.tile.lanes), 0, far=False, ending=Ending()
        )
        second = problem.call(
            replace(kernel, step=MULTIPLY),
            slots,
            self.blocks * -(-self.panels.panels // part),
            what,
            products,
        )
        traffic = 4 * problem.x.size + self.blocks * tiles
        return [
            replace(
                second,
                kernel=first,
                slots=tuple(slots[: len(slots) - 5 * len(problem.operands)]),
                items=self.tiles,
                grain=max(1, 100_000 * self.tiles // traffic),
                scratch=zeros + table,
                work=0,
                traffic=traffic,
                label=f"winograd {self.size}, input {'x'.join(map(str, problem.x.shape[1:]))}",
            ),
            second,
        ]

    def _slots(self, room: Pointer, part: int) -> list[Slot]:
        problem, window, x, out = (
            self.problem,
            self.problem.window,
            self.problem.x,
            self.problem.out,
        )
        images: list[Slot] = [x.pointer, *problem.strides(x), *x.shape[2:]]
        images += [out.pointer, *problem.strides(out), *out.shape[2:]]
        return [
            *images,
            *(Pointer(self._weights()), problem.bias_pointer, room),
            *(out.shape[1], self.down, self.right, self.tiles, self.count),
            *(window.begin[1], window.begin[2], self.panels.panel_bytes),
            *(self.panels.full, self.panels.panels, part, self.blocks),
            *(self.tile_step, self.position_step, self.product_step),
            *problem.operand_slots(),
        ]

    def _weights(self) -> Buffer:
        problem = self.problem
        return winograd_weights.lower(problem.weight, self.panels, self.size, problem.target)


@dataclass(frozen=True)
class WinogradKernel(Kernel):
    """An item is a block of tiles, one tile, or a block of tiles with some panels of channels.

    Attributes:
        step: FUSED, TRANSFORM or MULTIPLY.
        size: outputs in a row of a tile of the image.
        tile: register tile of the products: rows are tiles of the image.
        tail: vectors of the last panel when it has fewer, 0 when it never has.
        far: weights are asked for in advance.
    """

    step: str
    size: int
    tile: Tile
    tail: int
    far: bool
    ending: Ending

    @property
    def edge(self) -> int:
        """Inputs in a row of a tile."""
        return self.size + 2

    def fields(self) -> str:
        """Return the names of the argument slots."""
        return (
            "*x xn xd xh xw H W C *y yn yd yh yw OH OW N *b *bias *tiles "
            "D down right total count bh bw panel_bytes full panels part blocks "
            "tile_step position_step product_step" + operand_fields(self.ending)
        )

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(self.fields())
        single = Tile(1, self.tile.vectors, self.tile.lanes)
        a.spill = f.allocate(single.spill_bytes) if self.ending.spills(target) else None
        build = {FUSED: self._fused, TRANSFORM: self._transform, MULTIPLY: self._multiply}
        build[self.step](f, a, f.arguments[3])
        return module

    def _fused(self, f: Function, a: SimpleNamespace, scratch: Value) -> None:
        place = self._prepare(f, a, scratch)
        size = f.mul(a.position_step, self.edge**2)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            first = f.mul(loop.index, a.count)
            tiles = f.min(f.sub(a.total, first), a.count)
            with f.loop(0, tiles) as each:
                self._one(f, a, f.add(first, each.index), place, each.index)
            products = _Products(self, f, a, place, f.offset(place, size))
            products.build(first, tiles, 0, a.panels)

    def _transform(self, f: Function, a: SimpleNamespace, scratch: Value) -> None:
        self._prepare(f, a, scratch)
        size = f.mul(a.position_step, self.edge**2)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            block, place = f.div(loop.index, a.count), f.rem(loop.index, a.count)
            self._one(f, a, loop.index, f.offset(a.tiles, f.mul(block, size)), place)

    def _multiply(self, f: Function, a: SimpleNamespace, scratch: Value) -> None:
        size = f.mul(a.position_step, self.edge**2)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            # Blocks run fastest, so that weights are still in a cache for the next one.
            part, block = f.div(loop.index, a.blocks), f.rem(loop.index, a.blocks)
            first = f.mul(block, a.count)
            products = _Products(self, f, a, f.offset(a.tiles, f.mul(block, size)), scratch)
            panel = f.mul(part, a.part)
            last = f.min(f.add(panel, a.part), a.panels)
            products.build(first, f.min(f.sub(a.total, first), a.count), panel, last)

    # --- tiles of the image ----------------------------------------------------------------------

    def _prepare(self, f: Function, a: SimpleNamespace, scratch: Value) -> Value:
        """Build the line of zeros at the start of scratch memory; return what follows the table."""
        line = f.floor_to(f.add(f.mul(a.C, 4), 63), 64)
        a.zeros, a.table = scratch, f.offset(scratch, line)
        with f.loop(0, line, 16) as loop:
            f.store(Body(f, 4, _FLOAT).const(0.0), f.offset(scratch, loop.index), align=16)
        return f.offset(a.table, -(-8 * self.edge**2 // 64) * 64)

    def _one(
        self, f: Function, a: SimpleNamespace, number: Index, goal: Value, place: Index
    ) -> None:
        """Build the transformation of one tile, into place number `place` of a block."""
        n, d, row, column = split(f, number, [0, a.D, a.down, a.right])
        h = f.sub(f.mul(row, self.size), a.bh)
        w = f.sub(f.mul(column, self.size), a.bw)
        start = f.add(f.mul(n, a.xn), f.mul(d, a.xd))
        start = f.add(start, f.add(f.mul(h, a.xh), f.mul(w, a.xw)))
        image = f.offset(a.x, start)
        with f.loop(0, self.edge) as loop:
            inside = f.compare("ult", f.add(h, loop.index), a.H)
            pixels = f.offset(image, f.mul(loop.index, a.xh))
            line = f.offset(a.table, f.mul(loop.index, 8 * self.edge))
            for each in range(self.edge):
                seen = f.both(inside, f.compare("ult", f.add(w, each), a.W))
                pixel = f.select(seen, f.offset(pixels, f.mul(a.xw, each)), a.zeros)
                f.store(pixel, f.offset(line, 8 * each), align=8)
        lanes = self.tile.lanes
        goal = f.offset(goal, f.mul(place, a.tile_step))
        with f.loop(0, a.C, lanes) as loop:
            channel = f.min(loop.index, f.sub(a.C, lanes))
            self._channels(f, a, f.mul(channel, 4), goal)

    def _channels(self, f: Function, a: SimpleNamespace, distance: Index, goal: Value) -> None:
        """Build the transformation of one vector of channels."""
        k = Body(f, self.tile.lanes, _FLOAT)
        kind = vector(self.tile.lanes, F32)
        rows = []
        for row in range(self.edge):
            places = [
                f.load(PTR, f.offset(a.table, 8 * (row * self.edge + each)), align=8)
                for each in range(self.edge)
            ]
            values = [f.load(kind, f.offset(place, distance)) for place in places]
            rows.append(input_rows(k, self.size, values))
        goal = f.offset(goal, distance)
        for column in range(self.edge):
            made = input_rows(k, self.size, [each[column] for each in rows])
            for row, value in enumerate(made):
                step = f.mul(a.position_step, row * self.edge + column)
                f.store(value, f.offset(goal, step))


class _Products:
    """Products of a block of tiles with weights, and their transformation into outputs."""

    def __init__(
        self, kernel: WinogradKernel, f: Function, a: SimpleNamespace, tiles: Value, room: Value
    ) -> None:
        self.kernel, self.f, self.a, self.place, self.room = kernel, f, a, tiles, room

    def build(self, first: Index, count: Index, panel: Index, last: Index) -> None:
        """Build the products of tiles first..first + count with some panels."""
        f, a, kernel = self.f, self.a, self.kernel
        tile = kernel.tile
        with f.loop(panel, f.min(last, a.full) if kernel.tail else last) as loop:
            self._panel(tile, loop.index, first, count)
        if kernel.tail:
            with f.loop(f.max(panel, a.full), last) as loop:
                self._panel(replace(tile, vectors=kernel.tail), loop.index, first, count)

    def _panel(self, tile: Tile, number: Index, first: Index, count: Index) -> None:
        f, a, kernel = self.f, self.a, self.kernel
        panel = f.offset(a.b, f.mul(number, a.panel_bytes))
        size = f.mul(a.C, tile.panel_step)
        with f.loop(0, kernel.edge**2) as loop:
            rows = f.offset(self.place, f.mul(loop.index, a.position_step))
            weights = f.offset(panel, f.mul(loop.index, size))
            products = f.offset(self.room, f.mul(loop.index, a.product_step))
            with f.loop(0, count, tile.rows) as part:
                base = f.offset(rows, f.mul(part.index, a.tile_step))
                # Transforming back multiplies rounding errors, so they are kept small.
                sums = accumulate_long(
                    f,
                    tile,
                    zeros(f, tile),
                    StridedRows(base, a.tile_step),
                    weights,
                    a.C,
                    align=4 * tile.lanes,
                    ahead=_AHEAD if kernel.far else 0,
                    length=_LONG_SUM,
                )
                goal = f.offset(products, f.mul(part.index, 4 * tile.width))
                for each, value in enumerate(sums):
                    f.store(value, f.offset(goal, 4 * tile.lanes * each), align=4 * tile.lanes)
        column = f.mul(number, kernel.tile.width)
        starts: list[Index] = [each * tile.lanes for each in range(tile.vectors)]
        starts[-1] = f.min(starts[-1], f.sub(f.sub(a.N, column), tile.lanes))
        with f.loop(0, count) as loop:
            place = f.offset(self.room, f.mul(loop.index, 4 * tile.width))
            self._outputs(tile, f.add(first, loop.index), place, column, starts)

    def _outputs(
        self, tile: Tile, number: Index, place: Value, column: Index, starts: Sequence[Index]
    ) -> None:
        """Build the outputs of one tile of the image from its products."""
        f, a, kernel = self.f, self.a, self.kernel
        size, edge, width = kernel.size, kernel.edge, 4 * tile.lanes
        kind = vector(tile.lanes, F32)
        k = Body(f, tile.lanes, _FLOAT)
        with f.loop(0, tile.vectors) as loop:
            products = f.offset(place, f.mul(loop.index, width))
            columns = []
            for each in range(edge):
                values = [
                    f.load(
                        kind,
                        f.offset(products, f.mul(a.product_step, row * edge + each)),
                        align=width,
                    )
                    for row in range(edge)
                ]
                columns.append(output_rows(k, size, values))
            for row in range(size):
                made = output_rows(k, size, [each[row] for each in columns])
                for each, value in enumerate(made):
                    step = f.mul(a.product_step, row * size + each)
                    f.store(value, f.offset(products, step), align=width)
        self._store(tile, number, place, column, starts)

    def _store(
        self, tile: Tile, number: Index, place: Value, column: Index, starts: Sequence[Index]
    ) -> None:
        """Build the ending of the outputs that lie inside the image."""
        f, a, kernel = self.f, self.a, self.kernel
        n, d, row, across = split(f, number, [0, a.D, a.down, a.right])
        h, w = f.mul(row, kernel.size), f.mul(across, kernel.size)
        kind, width = vector(tile.lanes, F32), 4 * tile.lanes
        bias = f.offset(a.bias, f.mul(column, 4))
        biases = [f.load(kind, f.offset(bias, f.mul(each, 4))) for each in starts]
        k = Body(f, tile.lanes, _FLOAT)
        distance = f.add(f.mul(n, a.yn), f.mul(d, a.yd))
        distance = f.add(distance, f.mul(column, kernel.ending.dtype.itemsize))
        image = f.offset(a.y, distance)
        single = Tile(1, tile.vectors, tile.lanes)
        with (
            f.loop(0, f.min(f.sub(a.OH, h), kernel.size)) as down,
            f.loop(0, f.min(f.sub(a.OW, w), kernel.size)) as right,
        ):
            step = f.add(f.mul(down.index, kernel.size), right.index)
            products = f.offset(place, f.mul(a.product_step, step))
            sums = [
                k.add(f.load(kind, f.offset(products, width * each), align=width), bias)
                for each, bias in enumerate(biases)
            ]
            there = (n, d, f.add(h, down.index), f.add(w, right.index))
            pixel = f.add(f.mul(there[2], a.yh), f.mul(there[3], a.yw))
            kernel.ending.store(
                f,
                single,
                sums,
                StridedRows(f.offset(image, pixel), 0),
                operand_rows(f, kernel.ending, a, there, column),
                starts=starts,
                spill=a.spill,
            )
