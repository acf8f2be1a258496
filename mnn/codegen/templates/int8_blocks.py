"""Depthwise convolutions of bytes in blocks of channels that fill a register with their codes.

As `int8_depthwise`, but what lies together is chosen so that x86 moves least: the inputs of four
taps are woven within 16-byte parts of registers, which leaves the channels of a block in another
order, and narrowing sums to bytes within such parts restores it. Weights and everything else of a
channel are packed in the order between. Only for results that are codes of the sums. Where pixels
are narrower than a register, a block is several neighbouring ones.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.builder import F32, I8, I16, I32, I64, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, Slot
from mnn.codegen.target import Target
from mnn.codegen.templates.convolution import largest_power
from mnn.codegen.templates.int8_lines import FIELDS, Lines, copy_lines
from mnn.codegen.templates.int8_problem import Int8Problem
from mnn.codegen.templates.int8_steps import clipped, whole_numbers
from mnn.codegen.templates.int8_tile import (
    BYTES,
    add_products,
    arranged,
    product_of,
    starting_sums,
)
from mnn.codegen.templates.window import split
from mnn.records import dataclass

__all__ = ["Int8BlocksKernel", "lower", "suits"]

Array = np.ndarray[Any, Any]
_PART = 16
"""Bytes of the parts of a register within which x86 weaves and narrows."""
_VECTORS = 4
"""Of 32-bit sums, for a register of bytes."""
_UNROLLED = 14
"""Steps of a window that may be written out."""
_WINDOW_BYTES = 32 * 1024
"""Of woven lines that a row of windows reads, which should stay in the first-level cache."""
_SCRATCH_BYTES = 256 * 1024
_ITEMS = 32
_ITEM_OUTPUTS = 32 * 1024
"""Outputs that take some microseconds."""


def suits(problem: Int8Problem) -> bool:
    """True where codes of a depthwise convolution fill registers, and no sum is beyond 2^31."""
    window = problem.window
    single = problem.outputs == problem.inputs == 1 and problem.groups >= _PART
    steps = window.kernel[0] * window.kernel[1] * -(-window.kernel[2] // 4)
    if not single or steps > _UNROLLED or not problem.target.packs:
        return False
    return product_of(problem.target) == BYTES and problem.bounds is not None


def lower(problem: Int8Problem) -> list[Call]:
    """Return the calls of a convolution that `suits`; x has neighbouring channels."""
    return [_Plan(problem).call()]


class _Plan:
    """How a convolution is cut into items: parts of blocks of channels, and of rows."""

    def __init__(self, problem: Int8Problem) -> None:
        self.problem = problem
        self.samples, self.depth, self.height, self.width, self.channels = problem.out.shape
        self.pixels = self._pixels()
        self.unit = self.pixels * self.channels
        lanes = min(problem.target.lanes, largest_power(self.unit) // _VECTORS)
        self.lanes, self.block = lanes, lanes * _VECTORS
        self.blocks = -(-self.unit // self.block)
        self.width //= self.pixels
        self.together = -(-problem.window.kernel[2] // 4)
        wanted = min(_ITEMS, max(1, problem.out.size // _ITEM_OUTPUTS))
        self.part, self.columns = self.blocks, self.width
        while self.part > 1 and self._bytes(1) > _WINDOW_BYTES:
            self.part = -(-self.part // 2)
        while self.columns > 8 and self._bytes(1) > _WINDOW_BYTES:
            self.columns = -(-self.columns // 2)
        others = self.samples * self.depth * -(-self.width // self.columns)
        while self.part > 1 and others * self.parts * self.height < wanted:
            self.part = -(-self.part // 2)
        rows = self.height
        while rows > 1 and (
            self._bytes(rows) > _SCRATCH_BYTES
            or -(-self.height // rows) * others * self.parts < wanted
        ):
            rows -= 1
        self.rows = -(-self.height // -(-self.height // rows))
        self.lines = self._lines(self.rows)

    def _pixels(self) -> int:
        """Return how many neighbouring outputs of a row a block has."""
        window, out = self.problem.window, self.problem.out
        size = self.problem.target.vector_bytes
        pixels = size // self.channels
        dense = out.strides[3] == self.channels or self.width == 1
        fits = size % self.channels == 0 and self.width % max(pixels, 1) == 0
        return pixels if fits and pixels > 1 and dense and window.stride[2] == 1 else 1

    @property
    def parts(self) -> int:
        """Parts of the blocks."""
        return -(-self.blocks // self.part)

    def _lines(self, rows: int) -> Lines:
        depth, height, width = self.problem.x.shape[1:4]
        channels = min(self.part * self.block, self.channels)
        columns = self.columns * self.pixels
        return Lines(
            self.problem.window,
            (depth, height, width),
            channels,
            rows,
            columns,
            BYTES,
            self.problem.zero,
        )

    @property
    def woven(self) -> int:
        """Bytes of an input row with taps put together."""
        return 4 * self.block * self.part * self.together * self.columns

    def _bytes(self, rows: int) -> int:
        return self._lines(rows).count * self.woven

    def call(self) -> Call:
        """Return the call."""
        problem, window, x, out, lines = (
            self.problem,
            self.problem.window,
            self.problem.x,
            self.problem.out,
            self.lines,
        )
        bounds = problem.bounds
        assert bounds is not None
        row_blocks = -(-self.height // self.rows)
        column_blocks = -(-self.width // self.columns)
        woven, plain = self.woven, -(-lines.bytes // 64) * 64
        slots: list[Slot] = [
            *lines.slots(),
            x.pointer,
            *problem.strides(x),
            out.pointer,
            *problem.strides(out),
            *(Pointer(self._weights()), Pointer(self._numbers())),
            *(self.unit, self.part, self.blocks, self.parts),
            *(self.depth, row_blocks, self.rows, self.height),
            *(column_blocks, self.columns, self.width),
            *(*window.stride, *window.begin),
            *(woven, plain, lines.down, window.kernel[1] if lines.shared else 1),
            self._table(woven),
            *bounds,
        ]
        kernel = Int8BlocksKernel(
            window.kernel[0] * window.kernel[1],
            window.kernel[2],
            window.stride[2],
            window.dilation[2],
            self.pixels,
            self.lanes,
        )
        items = self.samples * self.parts * self.depth * row_blocks * column_blocks
        return problem.call(kernel, slots, items, "int8 depthwise", plain + lines.count * woven)

    def _table(self, woven: int) -> Pointer:
        """Return where the rows of a window lie, in bytes."""
        window = self.problem.window
        places = [
            self.lines.tap(deep, down) * woven
            for deep in range(window.kernel[0])
            for down in range(window.kernel[1])
        ]
        return Pointer(Buffer.constant(np.array(places, np.int64), "taps"))

    def _order(self) -> Array:
        """Return for each block the channels of its vectors, as they are when taps are woven."""
        starts = [min(n * self.block, self.unit - self.block) for n in range(self.blocks)]
        inside = np.arange(self.block).reshape(-1, _VECTORS, 4).transpose(1, 0, 2).reshape(-1)
        found: Array = (np.array(starts)[:, None] + inside) % self.channels
        return found

    def _weights(self) -> Buffer:
        """Return (blocks, rows of a window, steps, vectors, lanes) of 4 bytes."""
        window = self.problem.window
        rows, width = window.kernel[0] * window.kernel[1], window.kernel[2]
        size = 4 * self.blocks * rows * self.together * self.block

        def make() -> Array:
            flat = self.problem.weight.array().reshape(self.channels, rows, width)
            taps = np.pad(flat, ((0, 0), (0, 0), (0, 4 * self.together - width)))
            steps = taps.reshape(self.channels, rows, self.together, 4).transpose(1, 2, 3, 0)
            made = arranged(steps, BYTES)[..., self._order()]
            return np.ascontiguousarray(np.moveaxis(made, 2, 0))

        return Buffer(size, CONSTANT, make=make, name="int8 depthwise weights")

    def _numbers(self) -> Buffer:
        """Return (blocks, 3, block) of 4 bytes: first sums, scales and biases."""
        problem, order = self.problem, self._order()
        flat = problem.weight.array().reshape(self.channels, -1)
        assert problem.scale is not None
        assert problem.bias is not None
        starts = starting_sums(flat, problem.zero, BYTES).view(np.float32)
        rows = [starts, problem.scale.array(), problem.bias.array()]
        return Buffer.constant(np.stack([each[order] for each in rows], axis=1), "int8 numbers")


@dataclass(frozen=True)
class Int8BlocksKernel(Kernel):
    """An item is a block of output rows with some of the blocks of channels.

    Attributes:
        rows: of a window, all depths counted.
        taps, stride, dilation: of a window's row.
        pixels: neighbouring outputs that a block has, if more than one of all channels.
        lanes: channels of a vector of sums; a block has 4 of these.
    """

    rows: int
    taps: int
    stride: int
    dilation: int
    pixels: int
    lanes: int

    @property
    def together(self) -> int:
        """Steps for a row of a window."""
        return -(-self.taps // 4)

    @property
    def block(self) -> int:
        """Channels of a block."""
        return self.lanes * _VECTORS

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(
            FIELDS + "*x xn xd xh xw *y yn yd yh yw *weights *numbers C part blocks parts "
            "OD row_blocks rows OH column_blocks columns OW SD SH SW bd bh bw woven plain down "
            "reach *table minimum maximum"
        )
        a.lines = f.arguments[3]
        a.made = f.offset(a.lines, a.plain)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            counts = [0, a.parts, a.OD, a.row_blocks, a.column_blocks]
            n, part, d, row, column = split(f, loop.index, counts)
            h = f.mul(row, a.rows)
            w = f.min(f.mul(column, a.columns), f.sub(a.OW, a.columns))
            _Item(self, f, a, (n, d, h, w), f.mul(part, a.part)).emit()
        return module


class _Item:
    """One item being built."""

    def __init__(
        self,
        kernel: Int8BlocksKernel,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        first: Index,
    ) -> None:
        self.kernel, self.f, self.a, self.place, self.first = kernel, f, a, place, first
        self.rows = f.min(f.sub(a.OH, place[2]), a.rows)
        self.blocks = f.min(f.sub(a.blocks, first), a.part)
        # The last block of all ends with the last channel, and begins within the one before.
        self.channel = self._start(first)
        end = f.min(f.mul(f.add(first, self.blocks), kernel.block), a.C)
        self.channels = f.sub(end, self.channel)
        self.pixel = f.div(self.channels, kernel.pixels)
        self.column = f.mul(self.blocks, 4 * kernel.block * kernel.together)

    def _start(self, block: Index) -> Index:
        """Return the first channel of a block."""
        f, kernel = self.f, self.kernel
        return f.min(f.mul(block, kernel.block), f.sub(self.a.C, kernel.block))

    def emit(self) -> None:
        """Build the item."""
        f, a, kernel = self.f, self.a, self.kernel
        n, d, h, w = self.place
        first = (
            f.sub(f.mul(d, a.SD), a.bd),
            f.sub(f.mul(h, a.SH), a.bh),
            f.sub(f.mul(f.mul(w, kernel.pixels), a.SW), a.bw),
        )
        source = f.offset(a.x, f.add(f.mul(n, a.xn), self.channel))
        missing = f.sub(a.rows, self.rows)
        copy_lines(f, BYTES, a, source, first, missing, self.pixel, a.lines)
        with f.loop(0, self.rows) as row:
            self._weave(row.index)
            with f.loop(0, self.blocks) as loop:
                self._block(row.index, loop.index)

    def _weave(self, row: Value) -> None:
        """Build the lines in which the inputs of four taps lie side by side, new ones of a row."""
        f, a = self.f, self.a
        end = f.add(f.mul(row, a.down), a.reach)
        start = f.select(f.compare("eq", row, 0), f.constant(0), f.value(f.sub(end, a.down)))
        with f.loop(0, f.mul(a.depths, a.turns)) as group, f.loop(start, end) as loop:
            self._weave_line(f.add(f.mul(group.index, a.height), loop.index))

    def _weave_line(self, line: Index) -> None:
        f, a, kernel = self.f, self.a, self.kernel
        size = 4 * kernel.block
        kind = vector(kernel.block, I8)
        with f.loop(0, a.columns) as column:
            start = f.mul(column.index, f.mul(self.channels, kernel.stride))
            source = f.offset(a.lines, f.add(f.mul(line, a.line), start))
            distance = f.add(f.mul(line, a.woven), f.mul(column.index, self.column))
            goal = f.offset(a.made, distance)
            with f.loop(0, self.blocks) as loop:
                inside = f.sub(self._start(f.add(self.first, loop.index)), self.channel)
                pixels = f.offset(source, inside)
                taps = [
                    f.load(kind, f.offset(pixels, f.mul(self.pixel, tap * kernel.dilation)), 1)
                    for tap in range(kernel.taps)
                ]
                taps += [Value("zeroinitializer", kind)] * (-kernel.taps % 4)
                there = f.offset(goal, f.mul(loop.index, size * kernel.together))
                for step in range(kernel.together):
                    for each, value in enumerate(self._woven(taps[4 * step : 4 * step + 4])):
                        place = f.offset(there, size * step + 4 * kernel.lanes * each)
                        f.store(value, place, align=16)

    def _woven(self, taps: list[Value]) -> list[Value]:
        """Return four vectors whose lanes hold a byte of each of four vectors of bytes."""
        halves = []
        for one, two in (taps[:2], taps[2:]):
            halves.append([self._zipped(one, two, side) for side in (0, 1)])
        made = []
        for side in (0, 1):
            low, high = (self._words(halves[each][side]) for each in (0, 1))
            made += [self._zipped(low, high, end) for end in (0, 1)]
        return made

    def _words(self, value: Value) -> Value:
        kind = vector(2 * self.kernel.lanes, I16)
        return self.f.make(f"bitcast {value.type} {value.text} to {kind}", kind)

    def _zipped(self, one: Value, two: Value, side: int) -> Value:
        """Return the elements of both in turn, of one half of each 16-byte part."""
        lanes = self.kernel.block if one.type.endswith("i8>") else 2 * self.kernel.lanes
        part = _PART * lanes // self.kernel.block
        order = [
            place
            for start in range(0, lanes, part)
            for each in range(start + side * part // 2, start + (side + 1) * part // 2)
            for place in (each, each + lanes)
        ]
        return self.f.shuffle(one, two, order)

    def _block(self, row: Index, number: Index) -> None:
        """Build a row of outputs of one block of channels."""
        f, a, kernel = self.f, self.a, self.kernel
        size = 4 * kernel.lanes
        block = f.add(self.first, number)
        weights = f.offset(a.weights, f.mul(block, kernel.rows * kernel.together * _VECTORS * size))
        factors = [
            self._load(weights, each, I32)
            for each in range(kernel.rows * kernel.together * _VECTORS)
        ]
        numbers = f.offset(a.numbers, f.mul(block, 3 * _VECTORS * size))
        first, scale, bias = (
            [self._load(numbers, group * _VECTORS + each, kind) for each in range(_VECTORS)]
            for group, kind in ((0, I32), (1, F32), (2, F32))
        )
        source = f.offset(a.made, f.mul(number, _VECTORS * size * kernel.together))
        n, d, h, w = self.place
        distance = f.add(f.mul(n, a.yn), f.add(f.mul(d, a.yd), f.mul(f.add(h, row), a.yh)))
        right = f.mul(a.yw, kernel.pixels)
        goal = f.offset(a.y, f.add(distance, f.add(f.mul(w, right), self._start(block))))
        start = f.offset(source, f.mul(row, f.mul(a.down, a.woven)))
        places = [
            f.offset(start, f.load(I64, f.offset(a.table, 8 * each), align=8))
            for each in range(kernel.rows)
        ]
        with f.loop(0, a.columns) as loop:
            moved = f.mul(loop.index, self.column)
            sums = list(first)
            for each, place in enumerate(places):
                pixel = f.offset(place, moved)
                for step in range(kernel.together):
                    for part in range(_VECTORS):
                        value = self._load(pixel, step * _VECTORS + part, I32, 16)
                        factor = factors[(each * kernel.together + step) * _VECTORS + part]
                        sums[part] = add_products(f, BYTES, sums[part], value, factor)
            codes = self._codes(sums, scale, bias)
            f.store(codes, f.offset(goal, f.mul(loop.index, right)), align=1)

    def _load(self, place: Value, number: int, kind: str, align: int = 0) -> Value:
        size = 4 * self.kernel.lanes
        whole = vector(self.kernel.lanes, kind)
        return self.f.load(whole, self.f.offset(place, number * size), align=align or size)

    def _codes(self, sums: list[Value], scale: list[Value], bias: list[Value]) -> Value:
        """Return the codes of a block's sums, in the order of channels."""
        f, a = self.f, self.a
        whole = [whole_numbers(f, *each) for each in zip(sums, scale, bias, strict=True)]
        halves = [f.narrowed(whole[each], whole[each + 1]) for each in (0, 2)]
        return clipped(f, f.narrowed(*halves), a.minimum, a.maximum)
