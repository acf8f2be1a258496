"""Depthwise convolutions, and grouped ones whose groups are narrower than a vector.

Lanes are neighbouring output channels. A step makes a patch of outputs, so that an input pixel is
loaded once for all the windows it lies in. Patches whose windows leave the image read through a
table of addresses, in which pixels outside are a line of zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, PTR, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, Slot, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates import relayout
from mnn.codegen.templates.convolution import (
    Convolution,
    PatchRows,
    largest_power,
    operand_fields,
    operand_rows,
)
from mnn.codegen.templates.epilogue import Ending
from mnn.codegen.templates.tile import Tile
from mnn.codegen.templates.window import split
from mnn.records import dataclass

__all__ = ["DepthwiseKernel", "lower", "suits"]

Array = np.ndarray[Any, Any]
_FLOAT = np.dtype(np.float32)
_UNROLLED_TAPS = 9
"""Up to so many taps all are written out; above, the rows of a window are a loop."""
_MULTIPLICATIONS, _GROUPED_MULTIPLICATIONS = 160, 300
"""How many may be written out in one step, without or with wide groups.

More take long to compile; with groups of 8, fewer would use each loaded input too rarely.
"""
_SPLIT_ROWS = 16
"""Fewer rows of patches than this are split by channels too, for the sake of threads."""


def suits(problem: Convolution) -> bool:
    """True when several groups fit in a vector: that is faster than one product per group."""
    narrow = problem.groups > 1 and _lanes(problem) >= 2 * problem.outputs
    return narrow and problem.window.taps > 0


def _lanes(problem: Convolution) -> int:
    """Return how many output channels are computed at once: whole groups only."""
    lanes = min(problem.target.lanes, largest_power(problem.out.shape[-1]))
    return lanes if lanes % problem.outputs == 0 else 0


def lower(problem: Convolution) -> list[Call]:
    """Return the calls of a convolution that `suits`; x has neighbouring channels."""
    kernel = _kernel(problem)
    x, out, window = problem.x, problem.out, problem.window
    samples, depth, height, width, channels = out.shape
    weights, before = _pack(problem, kernel.lanes)
    blocks = -(-channels // kernel.lanes)
    rows = -(-height // kernel.rows)
    parts = 1
    if samples * depth * rows < _SPLIT_ROWS:
        parts = min(-(-blocks // 2), _SPLIT_ROWS // (samples * depth * rows))
    part = -(-blocks // parts)
    parts = -(-blocks // part)
    slots: list[Slot] = [x.pointer, *problem.strides(x), Pointer(weights), problem.bias_pointer]
    slots += [out.pointer, *problem.strides(out), channels, depth, height, width]
    slots += [*x.shape[1:4], window.kernel[0], window.stride[0], window.dilation[0]]
    slots += [window.kernel[1], *window.begin, part, parts, rows, 4 * x.shape[-1]]
    scratch = kernel.table_start(x.shape[-1]) + 8 * kernel.table_columns * (
        window.kernel[0] * kernel.table_rows(window.kernel[1])
    )
    return [
        *before,
        problem.call(
            kernel,
            (*slots, *problem.operand_slots()),
            samples * parts * depth * rows,
            "depthwise" if problem.outputs == 1 else f"groups of {problem.outputs}",
            scratch,
        ),
    ]


def _kernel(problem: Convolution) -> DepthwiseKernel:
    """Return the kernel whose patches cost least: products, loads, and what lies over the end."""
    window, target = problem.window, problem.target
    height, width = problem.out.shape[2:4]
    taps = window.taps * problem.inputs
    unrolled = window.kernel[0] == 1 and window.kernel[1] * window.kernel[2] <= _UNROLLED_TAPS
    sums = target.registers // 2
    limit = _MULTIPLICATIONS if problem.inputs < 8 else _GROUPED_MULTIPLICATIONS
    per_output = taps if unrolled else window.kernel[2] * problem.inputs

    def cost(rows: int, columns: int) -> float:
        patches = -(-height // rows) * -(-width // columns)
        loads = window.reach(1, rows) * window.reach(2, columns) * (1 + problem.inputs / 2)
        return patches * (rows * columns * taps / 2 + loads + taps + 4)

    candidates = [
        (rows, columns)
        for rows in ((4, 2, 1) if unrolled else (1,))
        for columns in (8, 7, 4, 2, 1)
        if rows <= height
        and columns <= width
        and rows * columns <= sums
        and (rows * columns * per_output <= limit or rows * columns == 1)
    ]
    rows, columns = min(candidates, key=lambda each: cost(*each))
    return DepthwiseKernel(
        window=(window.kernel[1] if unrolled else 0, window.kernel[2]),
        stride=window.stride[1:],
        dilation=window.dilation[1:],
        rows=rows,
        columns=columns,
        lanes=_lanes(problem),
        group=(problem.inputs, problem.outputs),
        ending=problem.ending,
    )


def _pack(problem: Convolution, lanes: int) -> tuple[Buffer, list[Call]]:
    """Return the weights as (blocks of lanes, taps, inputs of a group, lanes), and how to get them.

    The last block ends with the last channel and may begin with channels of the one before.
    """
    weight, (groups, outputs, inputs) = problem.weight, problem.weight.shape[:3]
    channels, taps = groups * outputs, problem.window.taps
    starts = [min(each, channels - lanes) for each in range(0, channels, lanes)]
    size = 4 * len(starts) * taps * inputs * lanes
    if weight.is_constant:

        def make() -> Array:
            matrix = weight.array().reshape(channels, inputs, taps)
            return np.stack([matrix[each : each + lanes].transpose(2, 1, 0) for each in starts])

        return Buffer(size, CONSTANT, make=make, name="depthwise weights"), []
    room = Buffer(size, name="depthwise weights")
    together = lanes // outputs
    shape = (len(starts), together, outputs, inputs, *weight.shape[3:])
    made = contiguous(room, shape, _FLOAT, (0, 4, 5, 6, 3, 1, 2))
    calls: list[Call] = []
    whole = channels // lanes
    pieces = [(0, whole, 0)] + [(whole, 1, groups - together)] * (channels % lanes > 0)
    for block, count, group in pieces:
        strides = (together * weight.strides[0], *weight.strides)
        source = Tensor(
            weight.buffer,
            (count, *shape[1:]),
            strides,
            weight.dtype,
            weight.offset + group * weight.strides[0],
        )
        goal = Tensor(room, source.shape, made.strides, made.dtype, block * made.strides[0])
        calls += relayout.lower(source, goal, problem.target)
    return room, calls


@dataclass(frozen=True)
class DepthwiseKernel(Kernel):
    """Makes patches of `rows` times `columns` outputs; an item is a row of them.

    Attributes:
        window: kernel (height, width); a height of 0 is known at run time only.
        stride, dilation: (down, right).
        lanes: output channels computed at once.
        group: (inputs, outputs) of a group.
    """

    window: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    rows: int
    columns: int
    lanes: int
    group: tuple[int, int]
    ending: Ending

    @property
    def tile(self) -> Tile:
        """The outputs of a step as rows of one vector."""
        return Tile(self.rows * self.columns, 1, self.lanes)

    @property
    def taps_right(self) -> list[int]:
        """Input columns that the windows of a patch read, counted from its first one."""
        return _positions(self.columns, self.stride[1], self.window[1], self.dilation[1])

    @property
    def taps_down(self) -> list[int]:
        """Input rows that the windows of a patch read, where they are known."""
        return _positions(self.rows, self.stride[0], self.window[0], self.dilation[0])

    @property
    def table_columns(self) -> int:
        """Addresses in a row of the table."""
        return len(self.taps_right)

    def table_rows(self, height: int) -> int:
        """Return the rows of the table for windows of a height."""
        return len(self.taps_down) if self.window[0] else height

    def table_start(self, channels: int) -> int:
        """Return where the table begins in scratch memory, behind the line of zeros."""
        return -(-4 * channels // 64) * 64

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        fields = "*x xn xd xh xw *weights *bias *y yn yd yh yw C OD OH OW D H W"
        fields += " KD SD dd KH bd bh bw part parts rows line" + operand_fields(self.ending)
        a = f.block(fields)
        spills = self.ending.spills(target)
        a.spill = f.allocate(self.tile.spill_bytes) if spills else None
        a.zeros, a.table = f.arguments[3], f.offset(f.arguments[3], _rounded(f, a.line))
        with f.loop(0, _rounded(f, a.line), 16) as loop:
            zero = Body(f, 4, _FLOAT).const(0.0)
            f.store(zero, f.offset(a.zeros, loop.index), align=16)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            n, part, d, row = split(f, loop.index, [0, a.parts, a.OD, a.rows])
            h = f.min(f.mul(row, self.rows), f.sub(a.OH, self.rows))
            with f.loop(0, a.OW, self.columns) as columns:
                w = f.min(columns.index, f.sub(a.OW, self.columns))
                _Patch(self, f, a, (n, d, h, w), part).emit()
        return module


def _rounded(f: Function, size: Index) -> Index:
    return f.floor_to(f.add(size, 63), 64)


def _positions(count: int, stride: int, taps: int, dilation: int) -> list[int]:
    return sorted({i * stride + tap * dilation for i in range(count) for tap in range(taps)})


class _Patch:
    """One patch of outputs being built."""

    def __init__(
        self,
        kernel: DepthwiseKernel,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        part: Index,
    ) -> None:
        self.kernel, self.f, self.a, self.place = kernel, f, a, place
        n, d, h, w = place
        self.part = part
        self.d = f.sub(f.mul(d, a.SD), a.bd)
        self.h = f.sub(f.mul(h, kernel.stride[0]), a.bh)
        self.w = f.sub(f.mul(w, kernel.stride[1]), a.bw)
        start = f.add(f.mul(n, a.xn), f.add(f.mul(self.d, a.xd), f.mul(self.h, a.xh)))
        self.x = f.offset(a.x, f.add(start, f.mul(self.w, a.xw)))
        distance = f.add(f.mul(n, a.yn), f.mul(d, a.yd))
        self.y = f.offset(a.y, f.add(distance, f.add(f.mul(h, a.yh), f.mul(w, a.yw))))

    def emit(self) -> None:
        """Build the patch, straight from the image where all of its windows are inside."""
        f, a, kernel = self.f, self.a, self.kernel
        outside = self._outside(self.w, kernel.taps_right[-1], a.W)
        height: Index = f.mul(f.sub(a.KH, 1), kernel.dilation[0])
        if kernel.window[0]:
            height = kernel.taps_down[-1]
        outside = f.make(f"or i1 {outside.text}, {self._outside(self.h, height, a.H).text}", "i1")
        deep = self._outside(self.d, f.mul(f.sub(a.KD, 1), a.dd), a.D)
        outside = f.make(f"or i1 {outside.text}, {deep.text}", "i1")
        with f.branch(outside) as otherwise:
            self._fill_table()
            self._channels(self._from_table)
            otherwise()
            self._channels(self._from_image)

    def _outside(self, start: Index, reach: Index, length: Index) -> Value:
        """Return whether start < 0 or start + reach >= length."""
        f = self.f
        before = f.compare("slt", start, 0)
        behind = f.compare("sge", f.add(start, reach), length)
        return f.make(f"or i1 {before.text}, {behind.text}", "i1")

    def _fill_table(self) -> None:
        """Build the table: for every row that windows read, the addresses of its pixels."""
        f, a, kernel = self.f, self.a, self.kernel
        rows: Index = len(kernel.taps_down) if kernel.window[0] else a.KH
        with f.loop(0, a.KD) as deep, f.loop(0, rows) as loop:
            step = self._step_down(loop.index)
            d, h = f.add(self.d, f.mul(deep.index, a.dd)), f.add(self.h, step)
            inside = f.both(f.compare("ult", d, a.D), f.compare("ult", h, a.H))
            there = f.add(f.mul(f.mul(deep.index, a.dd), a.xd), f.mul(step, a.xh))
            pixels = f.offset(self.x, there)
            number = f.add(f.mul(deep.index, rows), loop.index)
            line = f.offset(a.table, f.mul(number, 8 * kernel.table_columns))
            for place, step in enumerate(kernel.taps_right):
                seen = f.both(inside, f.compare("ult", f.add(self.w, step), a.W))
                pixel = f.select(seen, f.offset(pixels, f.mul(a.xw, step)), a.zeros)
                f.store(pixel, f.offset(line, 8 * place), align=8)

    def _step_down(self, number: Value) -> Index:
        """Return how far below the first one input row `number` lies."""
        f, kernel = self.f, self.kernel
        if not kernel.window[0] or kernel.rows == 1:
            return f.mul(number, kernel.dilation[0])
        taps = kernel.taps_down
        found: Index = taps[0]
        for each, step in enumerate(taps[1:], 1):
            found = f.select(f.compare("sge", number, each), f.constant(step), f.value(found))
        return found

    def _channels(self, part: Callable[[Index], Callable[[Index, Index], list[Value]]]) -> None:
        """Build all blocks of channels; `part` tells where a block's pixels lie."""
        f, a, lanes = self.f, self.a, self.kernel.lanes
        blocks = f.div(f.add(a.C, lanes - 1), lanes)
        first = f.mul(self.part, a.part)
        with f.loop(first, f.min(f.add(first, a.part), blocks)) as loop:
            channel = f.min(f.mul(loop.index, lanes), f.sub(a.C, lanes))
            inputs, outputs = self.kernel.group
            source = channel
            if inputs != outputs:
                source = f.mul(f.div(channel, outputs), inputs)
            self._block(loop.index, channel, part(f.mul(source, 4)))

    def _from_image(self, distance: Index) -> Callable[[Index, Index], list[Value]]:
        f, a, kernel = self.f, self.a, self.kernel
        start = f.offset(self.x, distance)
        steps = [f.mul(a.xw, each) for each in kernel.taps_right]

        def pixels(deep: Index, row: Index) -> list[Value]:
            line = f.offset(start, f.mul(f.mul(deep, a.dd), a.xd))
            down: Index = f.mul(row, kernel.dilation[0])
            if kernel.window[0]:
                assert isinstance(row, int)
                down = kernel.taps_down[row]
            line = f.offset(line, f.mul(down, a.xh))
            return [f.offset(line, step) for step in steps]

        return pixels

    def _from_table(self, distance: Index) -> Callable[[Index, Index], list[Value]]:
        f, a, kernel = self.f, self.a, self.kernel
        rows: Index = len(kernel.taps_down) if kernel.window[0] else a.KH

        def pixels(deep: Index, row: Index) -> list[Value]:
            number = f.add(f.mul(deep, rows), row)
            line = f.offset(a.table, f.mul(number, 8 * kernel.table_columns))
            return [
                f.offset(f.load(PTR, f.offset(line, 8 * each), align=8), distance)
                for each in range(kernel.table_columns)
            ]

        return pixels

    def _block(
        self, number: Index, channel: Index, pixels: Callable[[Index, Index], list[Value]]
    ) -> None:
        """Build the outputs of one vector of channels."""
        f, a, kernel = self.f, self.a, self.kernel
        kind, size = vector(kernel.lanes, F32), 4 * kernel.lanes
        step = size * kernel.group[0]
        block = f.mul(f.mul(a.KD, a.KH), step * kernel.window[1])
        weights = f.offset(a.weights, f.mul(number, block))
        start = f.load(kind, f.offset(a.bias, f.mul(channel, 4)))
        sums = [start] * (kernel.rows * kernel.columns)
        if kernel.window[0]:
            sums = self._unrolled(sums, weights, pixels)
        else:
            with f.loop(0, a.KD, carried=sums) as deep:
                with f.loop(0, a.KH, carried=deep.carried) as loop:
                    row = f.add(f.mul(deep.index, a.KH), loop.index)
                    there = f.offset(weights, f.mul(row, step * kernel.window[1]))
                    factors = self._weights(there, kernel.window[1])
                    held = list(loop.carried)
                    self._add(held, pixels(deep.index, loop.index), {0: factors})
                    loop.next = held
                deep.next = loop.results
            sums = deep.results
        n, d, h, w = self.place
        distance = f.mul(channel, kernel.ending.dtype.itemsize)
        rows = PatchRows(f.offset(self.y, distance), a.yh, a.yw, kernel.columns)
        operands = operand_rows(f, kernel.ending, a, (n, d, h, w), channel, kernel.columns)
        kernel.ending.store(f, kernel.tile, sums, rows, operands, spill=a.spill)

    def _unrolled(
        self,
        sums: Sequence[Value],
        weights: Value,
        pixels: Callable[[Index, Index], list[Value]],
    ) -> list[Value]:
        """Return the sums with all taps added, every input row used for all of its outputs."""
        kernel = self.kernel
        height, width = kernel.window
        factors = self._weights(weights, height * width)
        held = list(sums)
        for number, line in enumerate(kernel.taps_down):
            used = {}
            for row in range(kernel.rows):
                tap, rest = divmod(line - row * kernel.stride[0], kernel.dilation[0])
                if rest == 0 and 0 <= tap < height:
                    used[row] = factors[tap * width : (tap + 1) * width]
            self._add(held, pixels(0, number), used)
        return held

    def _weights(self, place: Value, taps: int) -> list[list[Value]]:
        """Return for each tap the weights of each input of the groups."""
        f, lanes, inputs = self.f, self.kernel.lanes, self.kernel.group[0]
        return [
            [
                f.load(
                    vector(lanes, F32), f.offset(place, 4 * lanes * (tap * inputs + each)), align=4
                )
                for each in range(inputs)
            ]
            for tap in range(taps)
        ]

    def _add(
        self, sums: list[Value], pixels: Sequence[Value], used: dict[int, list[list[Value]]]
    ) -> None:
        """Add the products of a row of pixels with the weights of each row of outputs it is for."""
        kernel = self.kernel
        k = Body(self.f, kernel.lanes, _FLOAT)
        for step, pixel in zip(kernel.taps_right, pixels, strict=True):
            values: list[Value] = []
            for row, factors in used.items():
                for column in range(kernel.columns):
                    tap, rest = divmod(step - column * kernel.stride[1], kernel.dilation[1])
                    if rest or not 0 <= tap < kernel.window[1]:
                        continue
                    values = values or self._spread(pixel)
                    place = row * kernel.columns + column
                    for value, factor in zip(values, factors[tap], strict=True):
                        sums[place] = k.fma(value, factor, sums[place])

    def _spread(self, pixel: Value) -> list[Value]:
        """Return for each input of a group the vector that has it in the lanes of its outputs."""
        f, lanes, (inputs, outputs) = self.f, self.kernel.lanes, self.kernel.group
        held = lanes // outputs * inputs
        value = f.load(vector(held, F32), pixel)
        if inputs == outputs == 1:
            return [value]
        if held == 1:
            return [f.splat(value, lanes)]
        return [
            f.shuffle(value, None, [lane // outputs * inputs + each for lane in range(lanes)])
            for each in range(inputs)
        ]
