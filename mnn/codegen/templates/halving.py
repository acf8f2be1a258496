"""Pictures of bytes halved in both directions: means of four pixels, halves rounded up."""

from __future__ import annotations

import math

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import I8, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.shuffles import joined
from mnn.codegen.templates.taps import Taps
from mnn.codegen.templates.window import split
from mnn.records import dataclass

__all__ = ["HalvingKernel", "halves", "lower"]

_UNIT = 16
"""Bytes that are read at once: whole pairs of pixels, and perhaps something behind them."""
_BYTE = np.dtype(np.uint8)


def halves(source: Tensor, out: Tensor, taps: tuple[Taps, Taps]) -> bool:
    """Return whether a resize of bytes takes the mean of 2 x 2 pixels that lie side by side.

    Args:
        source, out: axes (outer ..., rows, positions, channels).
        taps: of rows and positions, in 11 bits.
    """
    channels = out.shape[-1]
    if source.dtype != np.uint8 or channels > 4:
        return False
    for each, length in zip(taps, source.shape[-3:-1], strict=True):
        even = 2 * np.arange(len(each.places))
        pairs = np.array_equal(each.places, np.stack([even, even + 1], -1))
        if not pairs or length != 2 * len(each.places) or not (each.weights == 1024).all():
            return False
    return all(
        (channels == 1 or tensor.strides[-1] == 1) and tensor.strides[-2] == channels
        for tensor in (source, out)
    )


def lower(source: Tensor, out: Tensor, target: Target, label: str) -> list[Call]:
    """Return calls for tensors that `halves` is true for."""
    *outer, height, width, channels = out.shape
    slots: list[Slot] = [source.pointer, source.strides[-3], out.pointer, out.strides[-3]]
    slots += [height, width]
    for axis, number in enumerate(outer):
        slots += [number, source.strides[axis], out.strides[axis]]
    return [
        Call(
            HalvingKernel(channels, len(outer)),
            tuple(slots),
            items=math.prod(outer) * height,
            grain=max(1, 60_000 // (width * channels)),
            work=4 * out.size,
            traffic=source.size + out.size,
            label=label,
        )
    ]


@dataclass(frozen=True)
class HalvingKernel(Kernel):
    """Means of 2 x 2 pixels; an item is a row of results.

    Attributes:
        channels: of a pixel, 4 at most.
        outer: number of axes besides rows, positions and channels.
    """

    channels: int
    outer: int

    @property
    def pairs(self) -> int:
        """Pairs of pixels in what is read at once."""
        return _UNIT // (2 * self.channels)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(
            "*x xrow *y yrow H W"
            + "".join(f" n{axis} x{axis} y{axis}" for axis in range(self.outer))
        )
        counts = [getattr(a, f"n{axis}") for axis in range(self.outer)]
        units = 2 * target.vector_bytes // _UNIT
        width = units * self.pairs
        # More is read than the pairs: behind the last ones there may be nothing.
        spare = -(-(_UNIT - 2 * self.channels * self.pairs) // (2 * self.channels))
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            *places, row = split(f, items.index, [*counts, a.H])
            source = f.offset(a.x, f.mul(row, f.mul(a.xrow, 2)))
            goal = f.offset(a.y, f.mul(row, a.yrow))
            for axis, place in enumerate(places):
                source = f.offset(source, f.mul(place, getattr(a, f"x{axis}")))
                goal = f.offset(goal, f.mul(place, getattr(a, f"y{axis}")))
            rows = [source, f.offset(source, a.xrow)]
            readable = f.value(f.sub(a.W, spare))
            whole = f.select(f.compare("sge", readable, width), readable, f.constant(0))
            with f.loop(0, whole, width) as loop:
                # The last ones overlap those before.
                self._vectors(f, rows, goal, f.min(loop.index, f.sub(readable, width)), units)
            with f.loop(f.mul(whole, self.channels), f.mul(a.W, self.channels)) as loop:
                self._single(f, rows, goal, loop.index)
        return module

    def _vectors(
        self, f: Function, rows: list[Value], goal: Value, index: Index, units: int
    ) -> None:
        """Build as many results as `units` readings of each row give."""
        used = self.pairs * self.channels
        halves = [
            self._sums(f, rows, f.mul(index, 2 * self.channels), start, units // 2)
            for start in (0, units // 2)
        ]
        lanes = [unit * _UNIT // 2 + each for unit in range(units) for each in range(used)]
        both = joined(f, halves)
        goal = f.offset(goal, f.mul(index, self.channels))
        while lanes:
            count = 1 << (len(lanes).bit_length() - 1)
            part, lanes = lanes[:count], lanes[count:]
            f.store(f.shuffle(both, None, part), goal, 1)
            goal = f.offset(goal, count)

    def _sums(self, f: Function, rows: list[Value], first: Index, start: int, units: int) -> Value:
        """Return means, as bytes, of what lies in `units` readings of both rows."""
        step = 2 * self.channels * self.pairs
        k = Body(f, units * _UNIT // 2, np.dtype(np.int16))
        order = []
        for unit in range(units):
            inside = [
                2 * self.channels * pair + channel + side * self.channels
                for pair in range(self.pairs)
                for channel in range(self.channels)
                for side in (0, 1)
            ]
            inside += [-1] * (_UNIT - len(inside))
            order += [each if each < 0 else unit * _UNIT + each for each in inside]
        total = k.const(2)
        for row in rows:
            places = [
                f.offset(f.offset(row, first), (start + unit) * step) for unit in range(units)
            ]
            loaded = joined(f, [f.load(vector(_UNIT, I8), each, 1) for each in places])
            pairs = f.shuffle(loaded, None, order)
            words = f.make(f"bitcast {pairs.type} {pairs.text} to {k.type}", k.type)
            total = k.add(total, k.integer_op("and", words, 0xFF))
            total = k.add(total, k.integer_op("lshr", words, 8))
        return k.convert(k.integer_op("lshr", total, 2), k.dtype, _BYTE)

    def _single(self, f: Function, rows: list[Value], goal: Value, index: Index) -> None:
        """Build one element; `index` counts elements of the result."""
        k = Body(f, 1, np.dtype(np.int16))
        position = f.mul(f.div(index, self.channels), self.channels)
        total = k.const(2)
        for row in rows:
            for side in (0, self.channels):
                place = f.offset(row, f.add(f.add(position, index), side))
                total = k.add(total, k.convert(f.load(I8, place, 1), _BYTE, k.dtype))
        mean = k.convert(k.integer_op("lshr", total, 2), k.dtype, _BYTE)
        f.store(mean, f.offset(goal, index), 1)
