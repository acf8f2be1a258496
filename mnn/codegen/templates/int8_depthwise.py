"""Depthwise convolutions of 8-bit integers.

Lanes are neighbouring channels. Of each input row, for every output column, the inputs of
neighbouring taps are put side by side, four bytes or two 16-bit numbers for each channel. A step
then multiplies as many taps at once as `int8_tile` does numbers along k, and what was put together
serves all output rows whose windows cross the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.builder import F32, I8, I16, I32, I64, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, Slot
from mnn.codegen.target import Target
from mnn.codegen.templates.convolution import (
    PatchRows,
    largest_power,
    operand_fields,
    operand_rows,
)
from mnn.codegen.templates.epilogue import Ending
from mnn.codegen.templates.int8_lines import FIELDS, Lines, copy_lines
from mnn.codegen.templates.int8_problem import Int8Problem
from mnn.codegen.templates.int8_rows import real_sums
from mnn.codegen.templates.int8_tile import (
    add_products,
    arranged,
    depth_of,
    in_vectors,
    product_of,
    starting_sums,
)
from mnn.codegen.templates.tile import Tile
from mnn.codegen.templates.window import split
from mnn.records import dataclass

__all__ = ["Int8DepthwiseKernel", "lower", "suits"]

Array = np.ndarray[Any, Any]
_SCRATCH_BYTES = 96 * 1024
"""Of what was put together, for the rows and channels of an item."""
_ITEMS = 32
_ITEM_OUTPUTS = 16 * 1024
"""Outputs that take some microseconds."""
_FEWEST_LANES = 4


def suits(problem: Int8Problem) -> bool:
    """True for convolutions of single channels, enough of them to fill a vector."""
    return problem.outputs == problem.inputs == 1 and problem.groups >= _FEWEST_LANES


def lower(problem: Int8Problem) -> list[Call]:
    """Return the calls of a convolution that `suits`; x has neighbouring channels."""
    return [_Plan(problem).call()]


class _Plan:
    """How a convolution is cut into items: parts of channels and of rows."""

    def __init__(self, problem: Int8Problem) -> None:
        self.problem = problem
        self.product = product_of(problem.target)
        window = problem.window
        self.samples, self.depth, self.height, self.width, self.channels = problem.out.shape
        self.lanes = min(problem.target.lanes, largest_power(self.channels))
        self.together = -(-window.kernel[2] // depth_of(self.product))
        most = 8 if problem.target.registers > 16 else 4
        self.columns = next(each for each in (8, 4, 2, 1) if each <= min(self.width, most))
        blocks = -(-self.channels // self.lanes)
        wanted = min(_ITEMS, max(1, problem.out.size // _ITEM_OUTPUTS))
        self.part = blocks
        while self.part > 4 and self._bytes(self.part, self._fewest_rows()) > _SCRATCH_BYTES:
            self.part = -(-self.part // 2)
        while self.part > 1 and self.samples * self.depth * self.parts * self.height < wanted:
            self.part = -(-self.part // 2)
        others = self.samples * self.depth * self.parts
        rows = self.height
        while rows > 1 and (
            self._bytes(self.part, rows) > _SCRATCH_BYTES
            or -(-self.height // rows) * others < wanted
        ):
            rows -= 1
        self.rows = -(-self.height // -(-self.height // rows))
        self.lines = self._lines(self.part, self.rows)

    @property
    def parts(self) -> int:
        """Parts of the channels."""
        blocks = -(-self.channels // self.lanes)
        return -(-blocks // self.part)

    def _fewest_rows(self) -> int:
        return min(self.height, 4)

    def _lines(self, part: int, rows: int) -> Lines:
        depth, height, width = self.problem.x.shape[1:4]
        channels = min(part * self.lanes, self.channels)
        return Lines(
            self.problem.window,
            (depth, height, width),
            channels,
            rows,
            self.width,
            self.product,
            self.problem.zero,
        )

    def _bytes(self, part: int, rows: int) -> int:
        lines = self._lines(part, rows)
        return lines.count * self._joined(lines)

    def _joined(self, lines: Lines) -> int:
        """Return the bytes of an input row with taps put together."""
        return -(-4 * lines.channels * self.together * self.width // 64) * 64

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
        joined = self._joined(lines)
        plain = -(-lines.bytes // 64) * 64
        slots: list[Slot] = [
            *lines.slots(),
            x.pointer,
            *problem.strides(x),
            out.pointer,
            *problem.strides(out),
            *(Pointer(self._weights()), self._starts(), *problem.channel_slots()),
            *(self.channels, min(self.part * self.lanes, self.channels), self.parts),
            *(self.depth, row_blocks, self.rows, self.height, self.width),
            *(*window.stride, *window.begin),
            *(lines.count, joined, plain, lines.down * joined),
            *(window.kernel[0] * window.kernel[1], self._table(joined)),
        ]
        kernel = Int8DepthwiseKernel(
            self.product,
            window.kernel[2],
            window.stride[2],
            window.dilation[2],
            self._known_rows(),
            self.columns,
            self.lanes,
            problem.ending,
        )
        items = self.samples * self.parts * self.depth * row_blocks
        return problem.call(
            kernel,
            (*slots, *problem.operand_slots()),
            items,
            "int8 depthwise",
            plain + lines.count * joined,
        )

    def _known_rows(self) -> int:
        """Return the rows of a window if they are few enough to be written out, else 0."""
        rows = self.problem.window.kernel[0] * self.problem.window.kernel[1]
        return rows if rows * self.together <= 12 else 0

    def _table(self, joined: int) -> Pointer:
        """Return where the rows of a window lie, in bytes."""
        window = self.problem.window
        places = [
            self.lines.tap(deep, down) * joined
            for deep in range(window.kernel[0])
            for down in range(window.kernel[1])
        ]
        return Pointer(Buffer.constant(np.array(places, np.int64), "taps"))

    def _blocks(self) -> list[int]:
        """Return the first channel of each block; the last block ends with the last channel."""
        starts = range(0, self.channels, self.lanes)
        return [min(each, self.channels - self.lanes) for each in starts]

    def _weights(self) -> Buffer:
        """Return (blocks, rows of a window, steps, lanes) of 4 bytes."""
        window, depth = self.problem.window, depth_of(self.product)
        rows = window.kernel[0] * window.kernel[1]
        size = 4 * len(self._blocks()) * rows * self.together * self.lanes

        def make() -> Array:
            flat = self.problem.weight.array().reshape(self.channels, rows, window.kernel[2])
            room = self.together * depth - window.kernel[2]
            taps = np.pad(flat, ((0, 0), (0, 0), (0, room)))
            steps = taps.reshape(self.channels, rows, self.together, depth).transpose(1, 2, 3, 0)
            made = arranged(steps, self.product)
            blocks = np.stack([made[..., each : each + self.lanes] for each in self._blocks()])
            return in_vectors(blocks, self.product, self.lanes)

        return Buffer(size, CONSTANT, make=make, name="int8 depthwise weights")

    def _starts(self) -> Pointer:
        flat = self.problem.weight.array().reshape(self.channels, -1)
        return Pointer(
            Buffer.constant(starting_sums(flat, self.problem.zero, self.product), "starting sums")
        )


@dataclass(frozen=True)
class Int8DepthwiseKernel(Kernel):
    """An item is a block of output rows with some of the channels.

    Attributes:
        product: see `int8_tile`.
        taps, stride, dilation: of a window's row.
        rows: of a window, all depths counted; 0 is known at run time only.
        columns: outputs computed at once.
        lanes: channels computed at once.
        ending: what becomes of the sums times the channel's scale plus its bias, float32.
    """

    product: str
    taps: int
    stride: int
    dilation: int
    rows: int
    columns: int
    lanes: int
    ending: Ending

    @property
    def together(self) -> int:
        """Steps for a row of a window."""
        return -(-self.taps // depth_of(self.product))

    @property
    def tile(self) -> Tile:
        """The outputs of a step as rows of one vector."""
        return Tile(self.columns, 1, self.lanes)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(
            FIELDS + "*x xn xd xh xw *y yn yd yh yw *weights *start *scale *bias C part parts "
            "OD row_blocks rows OH OW SD SH SW bd bh bw count joined plain down taps *table"
            + operand_fields(self.ending)
        )
        a.spill = f.allocate(self.tile.spill_bytes) if self.ending.spills(target) else None
        a.lines = f.arguments[3]
        a.made = f.offset(a.lines, a.plain)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            n, part, d, block = split(f, loop.index, [0, a.parts, a.OD, a.row_blocks])
            h = f.mul(block, a.rows)
            # What is left for the last part may be less than a vector.
            channel = f.min(f.mul(part, a.part), f.sub(a.C, self.lanes))
            _Item(self, f, a, (n, d, h, 0), channel).emit()
        return module


class _Item:
    """One item being built."""

    def __init__(
        self,
        kernel: Int8DepthwiseKernel,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        channel: Index,
    ) -> None:
        self.kernel, self.f, self.a, self.place, self.channel = kernel, f, a, place, channel
        self.count = f.min(f.sub(a.OH, place[2]), a.rows)
        self.part = f.min(a.part, f.sub(a.C, channel))

    def emit(self) -> None:
        """Build the item."""
        f, a = self.f, self.a
        n, d, h, _ = self.place
        first = (
            f.sub(f.mul(d, a.SD), a.bd),
            f.sub(f.mul(h, a.SH), a.bh),
            f.sub(0, a.bw),
        )
        source = f.offset(a.x, f.add(f.mul(n, a.xn), self.channel))
        missing = f.sub(a.rows, self.count)
        copy_lines(f, self.kernel.product, a, source, first, missing, self.part, a.lines)
        self._join()
        blocks = f.div(f.add(self.part, self.kernel.lanes - 1), self.kernel.lanes)
        with f.loop(0, blocks) as loop:
            inside = f.min(
                f.mul(loop.index, self.kernel.lanes), f.sub(self.part, self.kernel.lanes)
            )
            self._block(inside)

    # --- taps side by side -----------------------------------------------------------------------

    def _join(self) -> None:
        """Build the lines in which the inputs of neighbouring taps lie side by side."""
        f, a, kernel = self.f, self.a, self.kernel
        lanes, size = kernel.lanes, 4 // depth_of(kernel.product)
        pixel = f.mul(self.part, size)
        with f.loop(0, a.count) as line, f.loop(0, a.OW) as column:
            start = f.add(
                f.mul(line.index, a.line), f.mul(column.index, f.mul(pixel, kernel.stride))
            )
            source = f.offset(a.lines, start)
            distance = f.add(
                f.mul(line.index, a.joined),
                f.mul(column.index, f.mul(self.part, 4 * kernel.together)),
            )
            goal = f.offset(a.made, distance)
            with f.loop(0, self.part, lanes) as loop:
                channel = f.min(loop.index, f.sub(self.part, lanes))
                places = [
                    f.offset(
                        source, f.add(f.mul(pixel, tap * kernel.dilation), f.mul(channel, size))
                    )
                    for tap in range(kernel.taps)
                ]
                for step in range(kernel.together):
                    each = step * depth_of(kernel.product)
                    value = self._side_by_side(places[each : each + depth_of(kernel.product)])
                    there = f.add(f.mul(self.part, 4 * step), f.mul(channel, 4))
                    f.store(value, f.offset(goal, there), align=4)

    def _side_by_side(self, places: Sequence[Value]) -> Value:
        """Return for each lane its elements at all places, and 0 for those that are missing."""
        f, kernel = self.f, self.kernel
        lanes, depth = kernel.lanes, depth_of(kernel.product)
        base = I8 if depth == 4 else I16
        kind = vector(lanes, base)
        values = [f.load(kind, each, align=4 // depth) for each in places]
        values += [Value("zeroinitializer", kind)] * (depth - len(values))
        zipped = [each for lane in range(lanes) for each in (lane, lane + lanes)]
        if depth == 4:
            pairs = [f.shuffle(values[each], values[each + 1], zipped) for each in (0, 2)]
            wide = vector(lanes, I16)
            values = [f.make(f"bitcast {v.type} {v.text} to {wide}", wide) for v in pairs]
        return f.shuffle(values[0], values[1], zipped)

    # --- products --------------------------------------------------------------------------------

    def _block(self, inside: Index) -> None:
        """Build the outputs of one vector of channels."""
        f, a, kernel = self.f, self.a, self.kernel
        lanes = kernel.lanes
        channel = f.add(self.channel, inside)
        # The number of the block of weights; the last one ends with the last channel.
        number = f.div(f.add(channel, lanes - 1), lanes)
        weights = f.offset(a.weights, f.mul(number, f.mul(a.taps, 4 * lanes * kernel.together)))
        factors = [self._weight(weights, each) for each in range(kernel.rows * kernel.together)]
        there = f.mul(channel, 4)
        first, scale, bias = (
            f.load(vector(lanes, kind), f.offset(table, there), align=4)
            for table, kind in ((a.start, I32), (a.scale, F32), (a.bias, F32))
        )
        source = f.offset(a.made, f.mul(inside, 4))
        with f.loop(0, self.count) as row, f.loop(0, a.OW, kernel.columns) as loop:
            w = f.min(loop.index, f.sub(a.OW, kernel.columns))
            step = f.mul(self.part, 4 * kernel.together)
            start = f.offset(source, f.add(f.mul(row.index, a.down), f.mul(w, step)))
            sums = [first] * kernel.columns
            if kernel.rows:
                for each in range(kernel.rows):
                    own = factors[each * kernel.together : (each + 1) * kernel.together]
                    sums = self._row(sums, start, f.constant(each), step, own)
            else:
                with f.turns(0, a.taps, carried=sums) as taps:
                    there = f.mul(taps.index, 4 * lanes * kernel.together)
                    place = f.offset(weights, there)
                    own = [self._weight(place, each) for each in range(kernel.together)]
                    taps.next = self._row(taps.carried, start, taps.index, step, own)
                sums = taps.results
            real = real_sums(f, kernel.tile, sums, [scale], [bias])
            self._store(real, row.index, w, channel)

    def _weight(self, place: Value, number: int) -> Value:
        size = 4 * self.kernel.lanes
        kind = vector(self.kernel.lanes, I32)
        return self.f.load(kind, self.f.offset(place, number * size), align=size)

    def _row(
        self,
        sums: Sequence[Value],
        start: Value,
        number: Value,
        step: Index,
        factors: Sequence[Value],
    ) -> list[Value]:
        """Return the sums with one row of all windows added."""
        f, a, kernel = self.f, self.a, self.kernel
        distance = f.load(I64, f.offset(a.table, f.mul(number, 8)), align=8)
        line = f.offset(start, distance)
        kind = vector(kernel.lanes, I32)
        made = []
        for column, total in enumerate(sums):
            place = f.offset(line, f.mul(step, column))
            for each, factor in enumerate(factors):
                pixel = f.load(kind, f.offset(place, f.mul(self.part, 4 * each)), align=4)
                total = add_products(f, kernel.product, total, pixel, factor)
            made.append(total)
        return made

    def _store(self, sums: Sequence[Value], row: Index, w: Index, channel: Index) -> None:
        f, a, ending = self.f, self.a, self.kernel.ending
        n, d, h, _ = self.place
        row = f.add(h, row)
        distance = f.add(f.mul(n, a.yn), f.add(f.mul(d, a.yd), f.mul(row, a.yh)))
        distance = f.add(distance, f.add(f.mul(w, a.yw), f.mul(channel, ending.dtype.itemsize)))
        out = PatchRows(f.offset(a.y, distance), a.yh, a.yw, 0)
        operands = operand_rows(f, ending, a, (n, d, row, w), channel)
        ending.store(f, self.kernel.tile, sums, out, operands, spill=a.spill)
