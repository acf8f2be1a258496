"""Source rows resized across, into scratch: vectors along channels, or along positions.

Positions of few channels are read with one load each: bytes together with their right neighbours,
because fixed point sums of pairs are one instruction; floats padded to a power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import (
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    Function,
    Index,
    Value,
    lanes_of,
    vector,
)
from mnn.codegen.target import Target
from mnn.codegen.templates.access import memory_type
from mnn.codegen.templates.shuffles import joined
from mnn.codegen.templates.taps import COPY, FIXED, FLOAT32, FLOAT64
from mnn.records import dataclass

__all__ = [
    "Across",
    "Pixels",
    "Row",
    "listed",
    "pair_sums",
    "turn_pixels",
    "weighted",
]

_INTEGERS = {1: I8, 2: I16, 4: I32, 8: I64}
_HALF = 16
"""Bytes of the unit in which registers are put together."""
_AHEAD = 4096
"""Distance, in bytes, at which memory is asked for."""


@dataclass(frozen=True)
class Pixels:
    """How positions of a row are read: some elements at once.

    Attributes:
        count: elements read at once, a power of two; all but the first `channels` are dropped.
        channels: elements of a position.
        turned: a position's elements come in reverse order.
        window: bytes that hold a position and its right neighbour, read at once; 0: each tap is
            read by itself.
        stride: elements from a position to its neighbour; matters for windows only.
        planar: results lie channel by channel, not position by position.
        paired: both taps of a position, single elements side by side, are read at once.
    """

    count: int = 1
    channels: int = 1
    turned: bool = False
    window: int = 0
    stride: int = 1
    planar: bool = False
    paired: bool = False


def turn_pixels(target: Target, arithmetic: str, itemsize: int) -> int:
    """Return how many positions are made at once; `itemsize` is that of the source."""
    return target.vector_bytes // _work_size(arithmetic, itemsize)


def _work_size(arithmetic: str, itemsize: int) -> int:
    """Return the bytes of an element while it is computed."""
    return {FIXED: 4, COPY: itemsize, FLOAT32: 4, FLOAT64: 8}[arithmetic]


@dataclass(frozen=True)
class Row:
    """What becomes of a source row.

    Attributes:
        dtype: NumPy name of the source's elements.
        arithmetic: FIXED, COPY, FLOAT32 or FLOAT64.
        taps: of a position.
        pixels: how positions are read; None: vectors lie along neighbouring channels.
        ahead: positions for each cache line that is asked for before it is needed; 0: none is.
    """

    dtype: str
    arithmetic: str
    taps: int
    pixels: Pixels | None
    ahead: int = 0

    @property
    def held_dtype(self) -> str:
        """Dtype of rows in scratch."""
        if self.arithmetic == COPY:
            return "uint8" if self.dtype == "bool" else self.dtype
        return "int16" if self.arithmetic == FIXED else self.arithmetic

    @property
    def held_size(self) -> int:
        """Bytes of an element in scratch."""
        return np.dtype(self.held_dtype).itemsize


def weighted(k: Body, values: Sequence[Value], weights: Sequence[Value], dtype: str) -> Value:
    """Return the sum of values times weights; of integers (`dtype`) with all of its roundings.

    Halves are rounded to even afterwards, so the last bit decides what integers become.
    """
    total = k.mul(values[0], weights[0])
    for value, weight in zip(values[1:], weights[1:], strict=True):
        if np.dtype(dtype).kind == "f":
            total = k.fma(value, weight, total)
        else:
            total = k.add(total, k.mul(value, weight))
    return total


def listed(f: Function, table: Value, index: Index) -> Value:
    """Return an element of a table of int32."""
    found = f.load(I32, f.offset(table, f.mul(index, 4)))
    return f.make(f"sext i32 {found.text} to i64", I64)


class Across:
    """A source row being resized across, into scratch."""

    def __init__(self, kernel: Row, f: Function, block: SimpleNamespace) -> None:
        self.kernel, self.f, self.a = kernel, f, block
        self.source, self.goal = f.arguments[1:]
        self.size = np.dtype(kernel.dtype).itemsize
        self.lanes = turn_pixels(f.target, kernel.arithmetic, self.size)
        self.memory = memory_type(kernel.dtype)

    def build(self) -> None:
        """Build the loop over positions."""
        f, a = self.f, self.a
        if self.kernel.pixels is None:
            with f.loop(0, a.W) as loop:
                self._channels(loop.index)
            return
        with f.loop(a.lo, a.hi, self.lanes) as loop:
            self._vectors(self.kernel.pixels, f.min(loop.index, f.sub(a.hi, self.lanes)))
        for start, end in ((0, a.lo), (a.hi, a.W)):
            with f.loop(start, end) as loop:
                self._single(self.kernel.pixels, loop.index)

    # --- what all ways have in common ------------------------------------------------------------

    def _place(self, position: Index, tap: int) -> Value:
        """Return the address of a position's element for a tap."""
        f, a = self.f, self.a
        number = f.add(position, f.mul(a.W, tap))
        return f.offset(self.source, listed(f, a.xp, number))

    def _combined(self, values: Sequence[Value], weights: Sequence[Value]) -> Value:
        """Return taps (as they lie in memory) with their weights, as it is held in scratch."""
        f, kernel = self.f, self.kernel
        if kernel.arithmetic == COPY:
            return values[0]
        lanes = lanes_of(values[0].type)
        have = np.dtype(kernel.dtype)
        if kernel.arithmetic == FIXED:
            k = Body(f, lanes, np.dtype(np.int32))
            left, right = (k.convert(each, have, k.dtype) for each in values)
            pairs = k.integer_op("or", left, k.shift_left(right, 16))
            return self._shortened(pair_sums(k, pairs, weights[0]))
        k = Body(f, lanes, np.dtype(kernel.arithmetic))
        operands = [k.convert(each, have, k.dtype) for each in values]
        return weighted(k, operands, weights, kernel.dtype)

    def _shortened(self, sums: Value) -> Value:
        """Return fixed point sums as 16-bit numbers."""
        k = Body(self.f, lanes_of(sums.type), np.dtype(np.int32))
        return k.convert(k.integer_op("lshr", sums, 4), k.dtype, np.dtype(np.int16))

    def _weight_type(self) -> tuple[str, int]:
        kind = {FIXED: I32, FLOAT32: F32, FLOAT64: F64}[self.kernel.arithmetic]
        return kind, 8 if kind == F64 else 4

    def _weights(self, position: Index, count: int, lanes: int) -> list[Value]:
        """Return the weights of each tap; the table has `count` equal ones for each position."""
        f, a, kernel = self.f, self.a, self.kernel
        if kernel.arithmetic == COPY:
            return []
        kind, size = self._weight_type()
        found = []
        for tap in range(1 if kernel.arithmetic == FIXED else kernel.taps):
            number = f.mul(f.add(position, f.mul(a.W, tap)), count)
            place = f.offset(a.xw, f.mul(number, size))
            found.append(f.load(vector(lanes, kind), place, size))
        return found

    # --- vectors along channels ------------------------------------------------------------------

    def _channels(self, position: Index) -> None:
        f, a, kernel = self.f, self.a, self.kernel
        places = [self._place(position, tap) for tap in range(kernel.taps)]
        weights = [f.splat(each, self.lanes) for each in self._weights(position, 1, 1)]
        goal = f.offset(self.goal, f.mul(f.mul(position, a.C), kernel.held_size))
        kind = vector(self.lanes, self.memory)
        with f.loop(0, a.C, self.lanes) as loop:
            index = f.min(loop.index, f.sub(a.C, self.lanes))
            values = [
                f.load(kind, f.offset(place, f.mul(index, self.size)), self.size)
                for place in places
            ]
            result = self._combined(values, weights)
            f.store(result, f.offset(goal, f.mul(index, kernel.held_size)), kernel.held_size)

    # --- positions of few elements ---------------------------------------------------------------

    def _goal(self, pixels: Pixels, position: Index, channel: int = 0) -> Value:
        """Return where a position's results lie in scratch, or a channel of them."""
        f, size = self.f, self.kernel.held_size
        if pixels.planar:
            number = f.add(position, f.mul(self.a.W, channel))
        else:
            number = f.add(f.mul(position, pixels.channels), channel)
        return f.offset(self.goal, f.mul(number, size))

    def _single(self, pixels: Pixels, position: Index) -> None:
        """Build one position, reading nothing but its own elements."""
        f, kernel = self.f, self.kernel
        weights = self._weights(position, pixels.count, 1)
        if pixels.window:
            first = self._place(position, 0)
            places = [first, f.offset(first, pixels.stride)]
        else:
            places = [self._place(position, tap) for tap in range(kernel.taps)]
        for channel in range(pixels.channels):
            inside = pixels.channels - 1 - channel if pixels.turned else channel
            values = [
                f.load(self.memory, f.offset(place, inside * self.size), self.size)
                for place in places
            ]
            goal = self._goal(pixels, position, channel)
            f.store(self._combined(values, weights), goal, kernel.held_size)

    def _vectors(self, pixels: Pixels, position: Index) -> None:
        """Build as many positions as a vector has lanes."""
        f, kernel = self.f, self.kernel
        if kernel.ahead:
            for number in range(0, self.lanes, kernel.ahead):
                f.prefetch(f.offset(self._place(f.add(position, number), 0), _AHEAD))
        each = self.lanes // pixels.count
        groups = []
        for group in range(pixels.count):
            first = f.add(position, group * each)
            weights = self._weights(first, pixels.count, self.lanes)
            if pixels.window:
                groups.append(self._windows(pixels, first, each, weights[0]))
            elif pixels.paired:
                groups.append(self._combined(self._pairs(first), weights))
            else:
                values = [
                    self._gathered(first, each, tap, pixels.count) for tap in range(kernel.taps)
                ]
                groups.append(self._combined(values, weights))
        for number, result in enumerate(self._arranged(pixels, groups)):
            if pixels.planar:
                goal = self._goal(pixels, position, number)
            else:
                goal = f.offset(
                    self._goal(pixels, position), number * self.lanes * kernel.held_size
                )
            f.store(result, goal, kernel.held_size)

    def _gathered(self, position: Index, each: int, tap: int, count: int) -> Value:
        """Return `count` elements for each of some positions, as one vector."""
        f = self.f
        places = [self._place(f.add(position, number), tap) for number in range(each)]
        bits = _collected(f, places, count * self.size, self.size)
        return _cast(f, bits, vector(each * count, self.memory))

    def _pairs(self, position: Index) -> list[Value]:
        """Return both taps of as many positions as there are lanes."""
        f, lanes = self.f, self.lanes
        places = [self._place(f.add(position, number), 0) for number in range(lanes)]
        bits = _collected(f, places, 2 * self.size, self.size)
        both = _cast(f, bits, vector(2 * lanes, self.memory))
        return [f.shuffle(both, None, range(start, 2 * lanes, 2)) for start in (0, 1)]

    def _windows(self, pixels: Pixels, position: Index, each: int, weights: Value) -> Value:
        """Return results of positions that are read together with their neighbours."""
        f = self.f
        places = [self._place(f.add(position, number), 0) for number in range(each)]
        size = pixels.window
        found = _cast(f, _collected(f, places, size, 1), vector(each * size, I8))
        words = vector(each * size, I16)
        wide = f.make(f"zext {found.type} {found.text} to {words}", words)
        order = []
        for number in range(each):
            for lane in range(pixels.count):
                inside = number * size + lane
                used = lane < pixels.channels
                order += [inside, inside + pixels.stride] if used else [-1, -1]
        pairs = _cast(f, f.shuffle(wide, None, order), vector(self.lanes, I32))
        return self._shortened(pair_sums(Body(f, self.lanes, np.dtype(np.int32)), pairs, weights))

    def _arranged(self, pixels: Pixels, groups: Sequence[Value]) -> list[Value]:
        """Return vectors of results as they lie in scratch, from groups of whole positions."""
        f, lanes, channels = self.f, self.lanes, pixels.channels
        if pixels.count == channels == 1:
            return list(groups)
        count = len(groups)
        low = joined(f, groups[: max(1, count // 2)])
        high = joined(f, groups[count // 2 :]) if count > 1 else None
        found = []
        for number in range(channels):
            order = []
            for lane in range(lanes):
                if pixels.planar:
                    place, channel = lane, number
                else:
                    place, channel = divmod(number * lanes + lane, channels)
                inside = channels - 1 - channel if pixels.turned else channel
                order.append(place * pixels.count + inside)
            found.append(f.shuffle(low, high, order))
        return found


def pair_sums(k: Body, pairs: Value, weights: Value) -> Value:
    """Return, in 32 bits, sums of the products of both 16-bit numbers of each lane."""
    f = k.function
    lanes = lanes_of(pairs.type)
    if f.target.sums_pairs and lanes in (4, 8, 16):
        name = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}[lanes]
        halves = vector(2 * lanes, I16)
        given = [_cast(f, each, halves) for each in (pairs, weights)]
        return f.intrinsic(f"llvm.x86.{name}", pairs.type, given)
    low = [k.integer_op("and", each, 0xFFFF) for each in (pairs, weights)]
    high = [k.integer_op("lshr", each, 16) for each in (pairs, weights)]
    return k.add(k.mul(*low), k.mul(*high))


def _cast(f: Function, value: Value, kind: str) -> Value:
    if value.type == kind:
        return value
    return f.make(f"bitcast {value.type} {value.text} to {kind}", kind)


def _collected(f: Function, places: Sequence[Value], size: int, align: int) -> Value:
    """Return units of `size` bytes from several addresses behind each other."""
    if size > 8:
        kind = vector(size // 4, I32)
        return joined(f, [f.load(kind, place, align) for place in places])
    kind = _INTEGERS[size]
    held = max(1, _HALF // size)
    parts = []
    for start in range(0, len(places), held):
        used = places[start : start + held]
        part = f.undefined(vector(len(used), kind))
        for lane, place in enumerate(used):
            item = f.load(kind, place, align)
            part = f.insert(part, item, lane) if len(used) > 1 else item
        parts.append(part)
    return joined(f, parts) if len(parts) > 1 else parts[0]
