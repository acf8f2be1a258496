"""Access of loops to memory: lanes of neighbours, of one element, or of elements far apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import (
    F32,
    F64,
    I1,
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
from mnn.records import dataclass

__all__ = [
    "CROSS",
    "FAR",
    "ONE",
    "REVERSED",
    "SIDE",
    "TAKING_TURNS",
    "Stream",
    "computed",
    "cut_rows",
    "in_memory",
    "lane_numbers",
    "layout",
    "masks_tails",
    "memory_type",
    "odometer",
    "stride_class",
    "tail_mask",
    "vector_lanes",
]

ONE, SIDE, REVERSED, FAR = "one", "side", "reversed", "far"
"""How neighbours of a loop lie: the same element, side by side, backwards, elsewhere."""

_LANE_TYPES = {1: I8, 2: I16, 4: I32, 8: I64}


CROSS, TAKING_TURNS = "cross", "turns"
"""More ways for two axes: neighbours lie along the other axis, the *cross* axis; or they do so and
there is nothing between them along the lanes' axis, so elements of a few channels take turns."""

_LINE = 64
"""Bytes that come into the cache together."""
MOST_TURNS = 4
"""Most channels that are taken apart by shuffles of their own."""


def stride_class(stride: int) -> str:
    """Return the class of a stride in elements."""
    return {0: ONE, 1: SIDE, -1: REVERSED}.get(stride, FAR)


def layout(across: int, along: int, rows: int) -> str:
    """Return how an operand lies by its strides in elements along the cross axis and the lanes'.

    Args:
        rows: size of the cross axis when it is small, else 0.
    """
    if abs(across) == 1 and 1 < rows <= MOST_TURNS and abs(along) == rows:
        return TAKING_TURNS
    if across == 1 and stride_class(along) == FAR:
        return CROSS
    return stride_class(along)


def vector_lanes(target: Target, dtypes: Sequence[str]) -> int:
    """Return how many elements are computed at once: the widest type fills one register."""
    widest = max((np.dtype(each).itemsize for each in dtypes), default=4)
    return target.vector_bytes // widest


def masks_tails(target: Target, dtypes: Sequence[str], classes: Sequence[str]) -> bool:
    """True when what is left of a vector is best read and written under a mask.

    Masked access to elements of 1 and 2 bytes exists in registers of 64 bytes only.
    """
    small = target.vector_bytes == 64 or all(np.dtype(each).itemsize >= 4 for each in dtypes)
    return target.masks and small and not {REVERSED, FAR, TAKING_TURNS} & set(classes)


def lane_numbers(lanes: int, kind: str) -> Value:
    """Return the constant 0, 1, 2, ... of integers."""
    if lanes == 1:
        return Value("0", kind)
    listed = ", ".join(f"{kind} {lane}" for lane in range(lanes))
    return Value(f"<{listed}>", vector(lanes, kind))


def tail_mask(function: Function, count: Index, lanes: int, itemsize: int) -> Value:
    """Return the mask of the first `count` lanes, all of them when count is larger."""
    kind = _LANE_TYPES[itemsize]
    clipped = function.value(function.min(count, lanes))
    if kind != I64:
        clipped = function.make(f"trunc i64 {clipped.text} to {kind}", kind)
    numbers, limit = lane_numbers(lanes, kind), function.splat(clipped, lanes)
    return function.make(f"icmp ult {numbers.type} {numbers.text}, {limit.text}", vector(lanes, I1))


def memory_type(dtype: str) -> str:
    """Return the LLVM type of an element in memory."""
    kind = np.dtype(dtype)
    if kind.kind == "f" and kind.itemsize > 2:
        return F32 if kind.itemsize == 4 else F64
    return _LANE_TYPES[kind.itemsize]


def computed(function: Function, dtype: str, found: Value) -> Value:
    """Return what was loaded as it is computed with: bools are i1, float16 is float32."""
    lanes = lanes_of(found.type)
    if dtype == "bool":
        return Body(function, lanes, np.dtype(np.uint8)).truth(found)
    if dtype == "float16":
        return Body(function, lanes, np.dtype(np.float32)).from_float16(found)
    return found


def in_memory(function: Function, dtype: str, value: Value) -> Value:
    """Return a value as it is stored: bools are bytes, float32 may become float16."""
    lanes = lanes_of(value.type)
    if dtype == "bool":
        byte = np.dtype(np.uint8)
        return Body(function, lanes, byte).convert(value, np.dtype(np.bool_), byte)
    if dtype == "float16":
        return Body(function, lanes, np.dtype(np.float32)).to_float16(value)
    return value


@dataclass(frozen=True)
class Stream:
    """Elements along one axis.

    Attributes:
        dtype: NumPy name of the elements.
        kind: ONE, SIDE, REVERSED or FAR.
        pointer: the element with index 0.
        stride: bytes from one element to the next; needed for FAR only.
    """

    dtype: str
    kind: str
    pointer: Value
    stride: Index = 0

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return np.dtype(self.dtype).itemsize

    def _place(self, function: Function, index: Index) -> Value:
        if self.kind == ONE:
            return self.pointer
        step: Index = {SIDE: self.itemsize, REVERSED: -self.itemsize}.get(self.kind, self.stride)
        return function.offset(self.pointer, function.mul(index, step))

    def load(
        self,
        function: Function,
        lanes: int,
        index: Index,
        later: int = 0,
        mask: Value | None = None,
    ) -> Value:
        """Return elements index + later ... as they are computed with: bools are i1.

        Args:
            later: a number of elements, kept apart from `index` because it costs nothing.
            mask: lanes to read; the others are 0.
        """
        size, memory = self.itemsize, memory_type(self.dtype)
        place = self._place(function, index)
        if lanes == 1 or self.kind == ONE:
            found = function.load(memory, self._later(function, place, later), size)
            found = function.splat(found, lanes)
        elif self.kind == SIDE:
            place, kind = function.offset(place, later * size), vector(lanes, memory)
            if mask is None:
                found = function.load(kind, place, size)
            else:
                found = function.load_masked(kind, place, mask, size)
        elif self.kind == REVERSED:
            place = function.offset(place, -(later + lanes - 1) * size)
            found = function.load(vector(lanes, memory), place, size)
            found = function.shuffle(found, None, list(reversed(range(lanes))))
        else:
            found = function.undefined(vector(lanes, memory))
            place = self._later(function, place, later)
            for lane in range(lanes):
                found = function.insert(found, function.load(memory, place, size), lane)
                place = function.offset(place, self.stride)
        return computed(function, self.dtype, found)

    def store(
        self,
        function: Function,
        value: Value,
        lanes: int,
        index: Index,
        later: int = 0,
        mask: Value | None = None,
    ) -> None:
        """Write elements index + later ...; bools are i1."""
        assert lanes == 1 or self.kind != ONE, "several lanes for one element"
        size = self.itemsize
        stored = in_memory(function, self.dtype, value)
        place = self._place(function, index)
        if lanes == 1:
            function.store(stored, self._later(function, place, later), size)
        elif self.kind == SIDE:
            place = function.offset(place, later * size)
            if mask is None:
                function.store(stored, place, size)
            else:
                function.store_masked(stored, place, mask, size)
        elif self.kind == REVERSED:
            place = function.offset(place, -(later + lanes - 1) * size)
            turned = function.shuffle(stored, None, list(reversed(range(lanes))))
            function.store(turned, place, size)
        else:
            place = self._later(function, place, later)
            for lane in range(lanes):
                function.store(function.extract(stored, lane), place, size)
                place = function.offset(place, self.stride)

    def prefetch(self, function: Function, index: Index, later: int) -> None:
        """Ask for the line of element index + later, where `later` is the first one in a line."""
        assert self.kind == SIDE, "only neighbours share a line"
        if later * self.itemsize % _LINE == 0:
            place = self._place(function, index)
            function.prefetch(function.offset(place, later * self.itemsize))

    def _later(self, function: Function, place: Value, later: int) -> Value:
        if self.kind == ONE:
            return place
        step: Index = {SIDE: self.itemsize, REVERSED: -self.itemsize}.get(self.kind, self.stride)
        return function.offset(place, function.mul(later, step))


@contextmanager
def odometer(
    function: Function,
    lo: Index,
    hi: Index,
    sizes: Sequence[Index],
    pointers: Sequence[Value],
    strides: Sequence[Sequence[Index]],
    handed: list[Value] | None = None,
) -> Iterator[tuple[Value, list[Value]]]:
    """Build a loop over positions lo..hi of several axes, the last one turning fastest.

    Args:
        sizes: of the axes; that of the first is not needed and may be anything.
        pointers: places at position 0.
        strides: for each pointer, bytes along each axis.
        handed: values that a turn hands to the next one: the first ones outside of the loop, inside
            those of the turn before, which the turn replaces in the list.

    Yields:
        the position's number and the pointers there.
    """
    axes = len(sizes)
    counters: list[Value] = []
    left: Index = lo
    for axis in reversed(range(1, axes)):
        counters.insert(0, function.value(function.rem(left, sizes[axis])))
        left = function.div(left, sizes[axis])
    moved = list(pointers)
    for number, steps in enumerate(strides):
        for axis in range(axes):
            distance = function.mul(left if axis == 0 else counters[axis - 1], steps[axis])
            moved[number] = function.offset(moved[number], distance)
    # When axis k + 1 is through, its walk is undone together with the step along axis k.
    jumps = [
        [
            function.sub(steps[axis], function.mul(sizes[axis + 1], steps[axis + 1]))
            if axis < axes - 1
            else steps[axis]
            for axis in range(axes)
        ]
        for steps in strides
    ]
    handed = [] if handed is None else handed
    with function.loop(lo, hi, carried=[*counters, *moved, *handed]) as loop:
        here = loop.carried[len(counters) : len(counters) + len(moved)]
        handed[:] = loop.carried[len(counters) + len(moved) :]
        yield loop.index, here
        advanced = _advanced(function, loop.carried[: len(counters)], here, sizes, jumps)
        loop.next = [*advanced, *handed]


@contextmanager
def cut_rows(
    function: Function,
    sizes: Sequence[Index],
    pointers: Sequence[Value],
    strides: Sequence[Sequence[Index]],
    length: Index,
    part: int,
    parts: Index,
) -> Iterator[tuple[list[Value], Index, Index]]:
    """Build a loop over rows whose `parts` of `part` elements are the items of an entry.

    Args:
        sizes, pointers, strides: the axes over rows, as for `odometer`.
        length: elements of a row.

    Yields:
        pointers of a row, and the elements from ... to that belong to the items.
    """
    f = function
    _, lo, hi, _ = f.arguments
    if not sizes:
        yield list(pointers), f.mul(lo, part), f.min(f.mul(hi, part), length)
        return
    first, last = f.div(lo, parts), f.div(f.add(hi, f.sub(parts, 1)), parts)
    with odometer(f, first, last, sizes, pointers, strides) as (row, places):
        before = f.mul(row, parts)
        start = f.mul(f.max(f.sub(lo, before), 0), part)
        end = f.min(f.mul(f.min(f.sub(hi, before), parts), part), length)
        yield places, start, end


def _advanced(
    function: Function,
    counters: Sequence[Value],
    pointers: Sequence[Value],
    sizes: Sequence[Index],
    jumps: Sequence[Sequence[Index]],
) -> list[Value]:
    axes = len(sizes)
    if not axes:
        return list(pointers)
    moved = [
        function.offset(place, steps[axes - 1])
        for place, steps in zip(pointers, jumps, strict=True)
    ]
    turned: list[Value] = []
    through: Value | None = None
    for axis in reversed(range(1, axes)):
        count = counters[axis - 1]
        more = function.value(function.add(count, 1))
        if through is not None:
            more = function.select(through, more, count)
        full = function.compare("eq", more, sizes[axis])
        through = full
        turned.insert(0, function.select(full, function.constant(0), more))
        moved = [
            function.offset(
                place,
                function.select(full, function.value(steps[axis - 1]), function.constant(0)),
            )
            for place, steps in zip(moved, jumps, strict=True)
        ]
    return [*turned, *moved]
