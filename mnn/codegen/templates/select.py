"""The first few elements of rows in sorted order: the largest scores, short rows sorted whole.

Of a long row, the largest elements of groups are found first: at least `count` elements are no less
than the `count`-th of them. Those are candidates; when there is no room for more, the last of the
first `count` is found anew and what comes after it is dropped. It is found by halving the range of
keys and counting. In the end every candidate's place is the number of those before it.
"""

from __future__ import annotations

import math

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import I32, I64, PTR, Function, Index, Module, Value
from mnn.codegen.kernel import Call, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.access import lane_numbers, memory_type
from mnn.codegen.templates.ordering import OrderingKernel, key_bits, load_keys, prepared
from mnn.records import dataclass

__all__ = ["MOST", "SelectKernel", "lower"]

MOST = 512
"""Elements to be found, up to which this is the way."""
_ROOM = 64
"""Candidates at least, before the first are dropped; otherwise four times as many as wanted."""
_PREFIX = 16384
"""Elements of a row, at most, that groups are made of."""
_UNITS = 4


@dataclass(frozen=True)
class SelectKernel(OrderingKernel):
    """Finds candidates, and the places of those."""

    def fields(self) -> str:
        """Return the names of the argument block.

        `prefix` is a multiple of `room`, which is a whole number of vectors; 0 makes all elements
        candidates, for whom there must be room. Above `enough` candidates, dropping some pays.

        Scratch holds `room` keys, as many positions, and `count` places.
        """
        return f"{super().fields()} room prefix enough"

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Select(self, module.entry(), target).build()
        return module


class _Select:
    """Builds the code of a SelectKernel.

    Keys are turned around: the larger, the earlier.
    """

    def __init__(self, kernel: SelectKernel, f: Function, target: Target) -> None:
        self.kernel, self.f = kernel, f
        self.size = key_bits(kernel.dtype) // 8
        self.lanes = target.vector_bytes // self.size
        self.k = Body(f, self.lanes, np.dtype(f"i{self.size}"))
        self.one = self.k.alone
        self.block = f.block(kernel.fields())
        self.keys = f.arguments[3]
        # Whole vectors may be written behind the last candidate.
        space = f.mul(f.add(self.block.room, self.lanes), self.size)
        self.positions = f.offset(self.keys, space)
        self.order = f.offset(self.positions, space)
        self.held = f.keep("held", 8)
        self.low, self.high = f.keep("low", 8), f.keep("high", 8)

    def build(self) -> None:
        """Build the work on all rows."""
        f, block = self.f, self.block
        with f.loop(f.arguments[1], f.arguments[2]) as rows:
            x = f.offset(block.x, f.mul(rows.index, block.x_row))
            with f.branch(f.compare("eq", block.prefix, 0)) as otherwise:
                self._fill(x, block.length)
                f.store(f.value(block.length), self.held, 8)
                otherwise()
                self._scan(x)
            with f.when(f.compare("sgt", f.load(I64, self.held, 8), block.enough)):
                self._drop()
            self._rank()
            self._store(x, rows.index)

    # --- candidates ------------------------------------------------------------------------------

    def _at(self, base: Value, index: Index) -> Value:
        return self.f.offset(base, self.f.mul(index, self.size))

    def _load(self, x: Value, index: Index, lanes: int) -> Value:
        """Return keys of a row's elements."""
        f, dtype = self.f, self.kernel.dtype
        place = f.offset(x, f.mul(index, np.dtype(dtype).itemsize))
        return load_keys(f, dtype, place, lanes, descending=not self.kernel.descending)

    def _numbers(self, index: Index, lanes: int) -> Value:
        """Return index, index + 1, ... as integers of the keys' size."""
        f, kind = self.f, self.one.type
        first = f.value(index)
        if kind != I64:
            first = f.make(f"trunc i64 {first.text} to {kind}", kind)
        if lanes == 1:
            return first
        return self.k.add(f.splat(first, lanes), lane_numbers(lanes, kind))

    def _fill(self, x: Value, count: Index) -> None:
        """Build the first candidates: the first elements."""
        f = self.f
        whole = f.floor_to(count, self.lanes)
        for start, end, lanes in ((0, whole, self.lanes), (whole, count, 1)):
            with f.loop(start, end, lanes) as loop:
                f.store(
                    self._load(x, loop.index, lanes), self._at(self.keys, loop.index), self.size
                )
                numbers = self._numbers(loop.index, lanes)
                f.store(numbers, self._at(self.positions, loop.index), self.size)

    def _peaks(self, x: Value) -> None:
        """Build the largest keys of `room` groups of elements, in place of candidates."""
        f, k, block = self.f, self.k, self.block
        with f.loop(0, block.room, self.lanes) as loop:
            first = self._load(x, loop.index, self.lanes)
            start = f.add(loop.index, block.room)
            with f.loop(start, block.prefix, block.room, [first]) as inner:
                keys = self._load(x, inner.index, self.lanes)
                inner.next = [
                    k.pick(k.compare("gt", keys, inner.carried[0]), keys, inner.carried[0])
                ]
            f.store(inner.results[0], self._at(self.keys, loop.index), self.size)
        f.store(block.room, self.held, 8)

    def _scan(self, x: Value) -> None:
        """Build the search for candidates."""
        f, lanes, length = self.f, self.lanes, self.block.length
        self._peaks(x)
        self._call("limit")
        f.store(f.constant(0), self.held, 8)
        many = f.floor_to(length, _UNITS * lanes)
        with f.loop(0, many, _UNITS * lanes) as loop:
            limit = f.splat(f.load(self.one.type, self.low, 8), lanes)
            found = [
                self.k.compare("ge", self._load(x, f.add(loop.index, unit * lanes), lanes), limit)
                for unit in range(_UNITS)
            ]
            either = found[0]
            for each in found[1:]:
                either = self.k.logical("logical_or", either, each)
            with f.when(self.k.any(either)):
                for unit, each in enumerate(found):
                    self._consider_lanes(x, f.add(loop.index, unit * lanes), each)
        with f.loop(many, length) as loop:
            self._consider(x, loop.index)

    def _consider_lanes(self, x: Value, start: Index, found: Value) -> None:
        """Build the steps for the elements of a vector for which a condition holds."""
        f, lanes = self.f, self.lanes
        bits = f.make(f"bitcast {found.type} {found.text} to i{lanes}", f"i{lanes}")
        mask = f.make(f"zext i{lanes} {bits.text} to i64", I64)
        count = f.intrinsic("llvm.ctpop.i64", I64, [mask])
        with f.loop(0, count, 1, [mask]) as loop:
            left = loop.carried[0]
            text = f"call i64 @llvm.cttz.i64(i64 {left.text}, i1 true)"
            f.module.declare("i64 @llvm.cttz.i64(i64, i1)")
            self._consider(x, f.add(start, f.make(text, I64)))
            fewer = f.value(f.sub(left, 1))
            loop.next = [f.make(f"and i64 {left.text}, {fewer.text}", I64)]

    def _consider(self, x: Value, index: Index) -> None:
        """Build the step that makes one element a candidate if it comes early enough."""
        f, k = self.f, self.one
        key = self._load(x, index, 1)
        with f.when(k.compare("ge", key, f.load(k.type, self.low, 8))):
            held = f.load(I64, self.held, 8)
            f.store(key, self._at(self.keys, held), self.size)
            f.store(self._numbers(index, 1), self._at(self.positions, held), self.size)
            more = f.value(f.add(held, 1))
            f.store(more, self.held, 8)
            with f.when(f.compare("eq", more, self.block.room)):
                self._drop()

    # --- the last of the first ones --------------------------------------------------------------

    def _drop(self) -> None:
        """Build what leaves the first `count` candidates, of more, in their order."""
        self._call("drop")

    def _call(self, name: str) -> None:
        """Call `limit`, which finds the last key of the first `count` candidates, or `drop`."""
        f, module = self.f, self.f.module
        found = module.find(name)
        if found is None:
            arguments = [("keys", PTR), ("positions", PTR), ("held", PTR)]
            arguments += [("low", PTR), ("high", PTR), ("count", I64)]
            found = module.function(name, arguments)
            _Drop(found, self.k.inside(found), self.size).build(removes=name == "drop")
        pointers = [self.keys, self.positions, self.held, self.low, self.high]
        f.call(found, [*pointers, self.block.count])

    # --- results ---------------------------------------------------------------------------------

    def _rank(self) -> None:
        """Build the positions in sorted order."""
        f, k, lanes, count = self.f, self.k, self.lanes, self.block.count
        # Keys behind the last candidate come last.
        held = f.load(I64, self.held, 8)
        lowest = k.const(-(2 ** (8 * self.size - 1)))
        f.store(lowest, self._at(self.keys, held), self.size)
        end = f.floor_to(f.add(held, lanes - 1), lanes)
        with f.loop(0, held) as loop:
            own = f.splat(f.load(self.one.type, self._at(self.keys, loop.index), self.size), lanes)
            middle = f.floor_to(loop.index, lanes)

            def counted(start: Index, stop: Index, name: str, before: Value) -> Value:
                with f.loop(start, stop, lanes, [before]) as inner:
                    keys = f.load(k.type, self._at(self.keys, inner.index), self.size)
                    inner.next = [_count(k, inner.carried[0], k.compare(name, keys, own))]
                return inner.results[0]

            total = counted(0, middle, "ge", k.const(0))
            total = counted(f.add(middle, lanes), end, "gt", total)
            keys = f.load(k.type, self._at(self.keys, middle), self.size)
            lane = self._numbers(f.sub(loop.index, middle), 1)
            earlier = k.compare("lt", lane_numbers(lanes, self.one.type), f.splat(lane, lanes))
            equal = f.both(k.compare("eq", keys, own), earlier)
            ahead = k.logical("logical_or", k.compare("gt", keys, own), equal)
            place = k.reduce_add(_count(k, total, ahead))
            if self.size == 4:
                place = f.make(f"zext i32 {place.text} to i64", I64)
            with f.when(f.compare("slt", place, count)):
                position = f.load(self.one.type, self._at(self.positions, loop.index), self.size)
                f.store(position, self._at(self.order, place), self.size)

    def _store(self, x: Value, row: Index) -> None:
        f, kernel, block = self.f, self.kernel, self.block
        size = np.dtype(kernel.dtype).itemsize
        y = f.offset(block.y, f.mul(row, block.y_row))
        i = f.offset(block.i, f.mul(row, block.i_row))
        with f.loop(0, block.count) as loop:
            position = f.load(self.one.type, self._at(self.order, loop.index), self.size)
            wide = position
            if self.size == 4:
                wide = f.make(f"zext i32 {position.text} to i64", I64)
            if kernel.values:
                found = f.load(memory_type(kernel.dtype), f.offset(x, f.mul(wide, size)), size)
                f.store(found, f.offset(y, f.mul(loop.index, block.y_step)), size)
            if kernel.indices:
                if self.size == 8:
                    position = f.make(f"trunc i64 {position.text} to i32", I32)
                f.store(position, f.offset(i, f.mul(loop.index, block.i_step)), 4)


class _Drop:
    """Builds a function that finds the last of the first `count` candidates.

    In the end `low` holds the least key of a further candidate.
    """

    def __init__(self, f: Function, k: Body, size: int) -> None:
        self.f, self.k, self.size = f, k, size
        self.keys, self.positions, self.held, self.low, self.high, self.count = f.arguments

    def _at(self, base: Value, index: Index) -> Value:
        return self.f.offset(base, self.f.mul(index, self.size))

    def build(self, *, removes: bool) -> None:
        """Build the search for the last key, then the removal of candidates after it.

        Args:
            removes: further candidates come later in the row, so equal keys are no help to them.
        """
        f, k, one = self.f, self.k, self.k.alone
        held = f.load(I64, self.held, 8)
        lowest = -(2 ** (8 * self.size - 1))
        f.store(k.const(lowest), self._at(self.keys, held), self.size)
        end = f.floor_to(f.add(held, k.lanes - 1), k.lanes)
        with f.loop(0, end, k.lanes, [k.const(lowest)]) as loop:
            keys = f.load(k.type, self._at(self.keys, loop.index), self.size)
            loop.next = [k.maximum(keys, loop.carried[0])]
        f.store(one.const(lowest), self.low, 8)
        f.store(k.reduce_max(loop.results[0]), self.high, 8)
        with f.repeat() as leave:
            low, high = f.load(one.type, self.low, 8), f.load(one.type, self.high, 8)
            leave(one.compare("ge", low, high))
            # The mean, rounded down, without overflow.
            half = one.integer_op("ashr", one.integer_op("xor", low, high), 1)
            middle = one.integer_op("add", one.integer_op("and", low, high), half)
            above = self._above(middle, end)
            enough = f.compare("slt", above, self.count)
            exact = f.compare("eq", above, self.count)
            f.store(f.select(enough, middle, high), self.high, 8)
            next_low = f.select(enough, low, one.integer_op("add", middle, 1))
            f.store(next_low, self.low, 8)
            # So many are above: the search is over.
            with f.when(exact):
                f.store(middle, self.low, 8)
                f.store(middle, self.high, 8)
        limit = f.load(one.type, self.low, 8)
        equal = f.value(f.sub(self.count, self._above(limit, end)))
        more = one.integer_op("add", limit, 1)
        if removes:
            self._remove(held, limit, equal)
            last = one.const(2 ** (8 * self.size - 1) - 1)
            least = one.pick(one.compare("eq", limit, last), last, more)
        else:
            least = f.select(f.compare("eq", equal, 0), more, limit)
        f.store(least, self.low, 8)

    def _above(self, limit: Value, end: Index) -> Value:
        """Return how many keys are larger than a limit."""
        f, k = self.f, self.k
        spread = f.splat(limit, k.lanes)
        with f.loop(0, end, k.lanes, [k.const(0)]) as loop:
            keys = f.load(k.type, self._at(self.keys, loop.index), self.size)
            loop.next = [_count(k, loop.carried[0], k.compare("gt", keys, spread))]
        total = k.reduce_add(loop.results[0])
        return total if self.size == 8 else f.make(f"zext i32 {total.text} to i64", I64)

    def _remove(self, held: Index, limit: Value, equal: Index) -> None:
        """Build the removal of candidates after the last one; the others move up."""
        f, one = self.f, self.k.alone
        with f.loop(0, held, 1, [f.constant(0), f.value(equal)]) as loop:
            place, left = loop.carried
            key = f.load(one.type, self._at(self.keys, loop.index), self.size)
            position = f.load(one.type, self._at(self.positions, loop.index), self.size)
            f.store(key, self._at(self.keys, place), self.size)
            f.store(position, self._at(self.positions, place), self.size)
            same = f.both(one.compare("eq", key, limit), f.compare("sgt", left, 0))
            kept = one.logical("logical_or", one.compare("gt", key, limit), same)
            loop.next = [_plus(f, "add", place, kept), _plus(f, "sub", left, same)]
        f.store(loop.results[0], self.held, 8)


def _count(k: Body, total: Value, condition: Value) -> Value:
    """Return counts with 1 added where a condition holds."""
    f = k.function
    one = f.make(f"sext {condition.type} {condition.text} to {k.type}", k.type)
    return k.sub(total, one)


def _plus(f: Function, word: str, number: Value, condition: Value) -> Value:
    one = f.make(f"zext i1 {condition.text} to i64", I64)
    return f.make(f"{word} i64 {number.text}, {one.text}", I64)


def lower(
    x: Tensor,
    values: Tensor | None,
    indices: Tensor | None,
    target: Target,
    *,
    count: int,
    descending: bool = False,
    label: str = "first of rows",
) -> list[Call]:
    """Return the calls that store the first `count` elements of each row of x, in order.

    Args:
        x: (..., length) of bool, integers, float32 or float64.
        values: (..., count) of the same dtype, or None.
        indices: (..., count) of int32: their positions, or None.
        count: at most MOST.
        descending: the largest come first, and NaN before them; otherwise NaN come last. Equal
            elements keep their order.

    Raises:
        CodegenError: dtypes or shapes do not fit.
    """
    found = prepared(label, x, values, indices, target, count)
    if found is None:
        return []
    slots, calls = found
    kernel = SelectKernel(x.dtype.name, descending, values is not None, indices is not None)
    size = key_bits(x.dtype.name) // 8
    lanes = target.vector_bytes // size
    length = x.shape[-1]
    room = -(-max(_ROOM, 4 * count) // lanes) * lanes
    prefix = min(length, _PREFIX) // room * room if length > room else 0
    if not prefix:
        room = max(length, room)
    items = math.prod(x.shape[:-1])
    call = Call(
        kernel,
        (*slots, room, prefix, count + count // 2 + lanes),
        items,
        grain=max(1, 16384 // (length + count * count // lanes)),
        scratch=size * (2 * (room + lanes) + count),
        traffic=x.size * x.dtype.itemsize,
        label=f"{label} {count} of {'x'.join(map(str, x.shape))}",
    )
    return [*calls, call]
