"""Rows sorted by the digits of their keys: whole rows, or many of their first elements.

A least significant digit first radix sort: it is stable, its time does not depend on the order of
the elements, and passes in which all elements have the same digit are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import I32, I64, PTR, Function, Index, Module, Value
from mnn.codegen.kernel import Call, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates import select
from mnn.codegen.templates.access import memory_type
from mnn.codegen.templates.ordering import OrderingKernel, key_bits, load_keys, prepared
from mnn.records import dataclass

__all__ = ["RadixSort", "SortKernel", "lower", "scratch_bytes"]

_DIGIT = 8
_DIGITS = 1 << _DIGIT
_SHORT = 128
"""Elements of a row up to which counting those before each is faster."""


def scratch_bytes(bits: int, length: int) -> int:
    """Return the memory that `RadixSort` needs for rows of `length` keys of so many bits."""
    return bits // _DIGIT * _DIGITS * 4 + 2 * length * (bits // 4)


class RadixSort:
    """Builds the sort of pairs (key, position) in memory that it is given.

    Args:
        bits: of a key; a pair has twice as many, with the key in the lower half.
        memory: `scratch_bytes`, aligned to 64.    length: most pairs.
    """

    def __init__(self, f: Function, bits: int, memory: Value, length: Index) -> None:
        self.f, self.bits = f, bits
        self.key, self.pair = f"i{bits}", f"i{2 * bits}"
        self.pair_bytes = bits // 4
        self.passes = bits // _DIGIT
        self.counts = memory
        first = f.offset(memory, self.passes * _DIGITS * 4)
        self.pairs = [first, f.offset(first, f.mul(length, self.pair_bytes))]
        self._source, self._goal = f.keep("source", 8), f.keep("goal", 8)

    def clear(self) -> None:
        """Build the start: no pairs."""
        f = self.f
        lanes = f.target.lanes
        zero = Body(f, lanes, np.dtype(np.int32)).const(0)
        with f.loop(0, self.passes * _DIGITS, lanes) as loop:
            f.store(zero, f.offset(self.counts, f.mul(loop.index, 4)), 4 * lanes)

    def put(self, number: Index, key: Value, position: Value) -> None:
        """Build the storing of pair `number`: a signed key and a position, of `bits` bits."""
        f = self.f
        one = Body(f, 1, np.dtype(f"i{self.bits // 8}"))
        unsigned = one.integer_op("xor", key, -(2 ** (self.bits - 1)))
        wide = f.make(f"zext {self.key} {unsigned.text} to {self.pair}", self.pair)
        high = f.make(f"zext {self.key} {position.text} to {self.pair}", self.pair)
        moved = f.make(f"shl {self.pair} {high.text}, {self.bits}", self.pair)
        both = f.make(f"or {self.pair} {wide.text}, {moved.text}", self.pair)
        f.store(both, self._at(self.pairs[0], number), 8)
        for each in range(self.passes):
            place = self._counter(each, self._digit(both, each))
            f.store(f.make(f"add i32 {f.load(I32, place).text}, 1", I32), place)

    def sort(self, count: Index) -> None:
        """Build the sort of the first `count` pairs, at least one."""
        f = self.f
        f.store(self.pairs[0], self._source, 8)
        f.store(self.pairs[1], self._goal, 8)
        for each in range(self.passes):
            source = f.load(PTR, self._source, 8)
            first = f.load(self.pair, source, 8)
            same = f.load(I32, self._counter(each, self._digit(first, each)))
            wide = f.make(f"zext i32 {same.text} to i64", I64)
            with f.when(f.compare("ne", wide, count)):
                self._pass(each, count)

    def position(self, number: Index) -> Value:
        """Return the position of a pair after sorting, of `bits` bits."""
        f = self.f
        pair = f.load(self.pair, self._at(f.load(PTR, self._source, 8), number), 8)
        high = f.make(f"lshr {self.pair} {pair.text}, {self.bits}", self.pair)
        return f.make(f"trunc {self.pair} {high.text} to {self.key}", self.key)

    def _at(self, base: Value, number: Index) -> Value:
        return self.f.offset(base, self.f.mul(number, self.pair_bytes))

    def _digit(self, pair: Value, number: int) -> Value:
        f = self.f
        moved = f.make(f"lshr {self.pair} {pair.text}, {_DIGIT * number}", self.pair)
        small = f.make(f"trunc {self.pair} {moved.text} to i{_DIGIT}", f"i{_DIGIT}")
        return f.make(f"zext i{_DIGIT} {small.text} to i64", I64)

    def _counter(self, number: int, digit: Value) -> Value:
        f = self.f
        return f.offset(f.offset(self.counts, 4 * _DIGITS * number), f.mul(digit, 4))

    def _pass(self, number: int, count: Index) -> None:
        """Build one pass: from counts to first places, then every pair to its place."""
        f = self.f
        with f.loop(0, _DIGITS, 1, [Value("0", I32)]) as loop:
            place = self._counter(number, loop.index)
            own = f.load(I32, place)
            f.store(loop.carried[0], place)
            loop.next = [f.make(f"add i32 {loop.carried[0].text}, {own.text}", I32)]
        source, goal = f.load(PTR, self._source, 8), f.load(PTR, self._goal, 8)
        with f.loop(0, count) as loop:
            pair = f.load(self.pair, self._at(source, loop.index), 8)
            place = self._counter(number, self._digit(pair, number))
            found = f.load(I32, place)
            wide = f.make(f"zext i32 {found.text} to i64", I64)
            f.store(pair, self._at(goal, wide), 8)
            f.store(f.make(f"add i32 {found.text}, 1", I32), place)
        f.store(goal, self._source, 8)
        f.store(source, self._goal, 8)


@dataclass(frozen=True)
class SortKernel(OrderingKernel):
    """Sorts all elements of a row by their digits."""

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        block = f.block(self.fields())
        bits, size = key_bits(self.dtype), np.dtype(self.dtype).itemsize
        pairs = RadixSort(f, bits, f.arguments[3], block.length)
        with f.loop(f.arguments[1], f.arguments[2]) as rows:
            x, y, i = (
                f.offset(getattr(block, each), f.mul(rows.index, getattr(block, f"{each}_row")))
                for each in "xyi"
            )
            pairs.clear()
            with f.loop(0, block.length) as loop:
                place = f.offset(x, f.mul(loop.index, size))
                key = load_keys(f, self.dtype, place, 1, descending=self.descending)
                number = loop.index
                if bits == 32:
                    number = f.make(f"trunc i64 {number.text} to i32", I32)
                pairs.put(loop.index, key, number)
            pairs.sort(block.length)
            with f.loop(0, block.count) as loop:
                self._store(f, block, [x, y, i], pairs.position(loop.index), loop.index)
        return module

    def _store(
        self,
        f: Function,
        block: SimpleNamespace,
        places: Sequence[Value],
        position: Value,
        n: Value,
    ) -> None:
        """Build the stores of result n: `places` are those of the row and its results."""
        x, y, i = places
        size = np.dtype(self.dtype).itemsize
        narrow = wide = position
        if position.type == I32:
            wide = f.make(f"zext i32 {position.text} to i64", I64)
        else:
            narrow = f.make(f"trunc i64 {position.text} to i32", I32)
        if self.values:
            found = f.load(memory_type(self.dtype), f.offset(x, f.mul(wide, size)), size)
            f.store(found, f.offset(y, f.mul(n, block.y_step)), size)
        if self.indices:
            f.store(narrow, f.offset(i, f.mul(n, block.i_step)), 4)


def lower(
    x: Tensor,
    values: Tensor | None,
    indices: Tensor | None,
    target: Target,
    *,
    count: int,
    descending: bool = False,
    label: str = "sort",
) -> list[Call]:
    """Return the calls that store the first `count` elements of each sorted row of x.

    Args:
        x: (..., length) of bool, integers, float32 or float64; its memory is no result's.
        values: (..., count) of the same dtype, or None.
        indices: (..., count) of int32: their positions, or None.
        descending: the largest come first, and NaN before them; otherwise NaN come last. Equal
            elements keep their order.

    Raises:
        CodegenError: dtypes or shapes do not fit.
    """
    length = x.shape[-1] if x.shape else 0
    if count <= select.MOST and (length <= _SHORT or 4 * count <= length):
        return select.lower(
            x, values, indices, target, count=count, descending=descending, label=label
        )
    found = prepared(label, x, values, indices, target, count)
    if found is None:
        return []
    slots, calls = found
    kernel = SortKernel(x.dtype.name, descending, values is not None, indices is not None)
    bits = key_bits(x.dtype.name)
    call = Call(
        kernel,
        slots,
        items=math.prod(x.shape[:-1]),
        grain=max(1, 2048 // length),
        scratch=scratch_bytes(bits, length),
        traffic=(bits // _DIGIT + 2) * 2 * x.size * (bits // 4),
        label=f"{label} {count} of {'x'.join(map(str, x.shape))}",
    )
    return [*calls, call]
