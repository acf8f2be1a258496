"""Rows of resized images: source rows are resized across once, then combined into output rows.

A row that was resized across lies in scratch, arranged as output rows are stored. It stays there as
long as output rows need it: its place is its number modulo the number of taps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import (
    I64,
    PTR,
    Function,
    Index,
    Module,
    Value,
    lanes_of,
    vector,
)
from mnn.codegen.kernel import Kernel
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import computed, in_memory, memory_type
from mnn.codegen.templates.resize_across import Across, Row, listed, weighted
from mnn.codegen.templates.taps import COPY, FIXED
from mnn.codegen.templates.window import split
from mnn.records import dataclass

__all__ = ["ResizeKernel"]


@dataclass(frozen=True)
class ResizeKernel(Kernel):
    """Two axes resized; an item is a row of outputs.

    Attributes:
        row: how source rows are resized across.
        taps: source rows of an output row: 1, 2 or 4.
        outer: number of further axes.
        program: input 0 is the result (of `dtype`), the others are operands; None stores it.
        along: for each operand, whether it varies along a line of the output.
    """

    row: Row
    taps: int
    outer: int
    program: Program | None
    along: tuple[bool, ...]

    def fields(self) -> str:
        """Return the names of the argument block's slots; strides are in bytes."""
        names = "*x xy *out outy outl H W C lines length held *yp *yw *xp *xw lo hi"
        for axis in range(self.outer):
            names += f" n{axis} x{axis} out{axis}"
        for number in range(len(self.along)):
            names += f" *p{number} p{number}y p{number}l"
            names += "".join(f" p{number}_{axis}" for axis in range(self.outer))
        return names

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        arguments = [("args", PTR), ("source", PTR), ("goal", PTR)]
        across = module.function("across", arguments)
        Across(self.row, across, across.block(self.fields())).build()
        _Rows(self, module.entry(), across).build()
        return module


class _Rows:
    """Output rows being built."""

    def __init__(self, kernel: ResizeKernel, f: Function, across: Function) -> None:
        self.kernel, self.f, self.across = kernel, f, across
        self.a = f.block(kernel.fields())

    def build(self) -> None:
        """Build the loop over rows."""
        f, a, kernel = self.f, self.a, self.kernel
        _, lo, hi, scratch = f.arguments
        # The rows that lie in scratch, by place, and behind them the image they belong to.
        tags = f.allocate(8 * (kernel.taps + 1))
        f.store(f.constant(-1), f.offset(tags, 8 * kernel.taps), align=8)
        with f.loop(lo, hi) as items:
            *places, y = split(f, items.index, [*self._sizes(), a.H])
            image = f.sub(items.index, y)
            before = f.load(I64, f.offset(tags, 8 * kernel.taps), align=8)
            with f.when(f.compare("ne", before, image)):
                for tap in range(kernel.taps):
                    f.store(f.constant(-1), f.offset(tags, 8 * tap), align=8)
                f.store(f.value(image), f.offset(tags, 8 * kernel.taps), align=8)
            source = self._at(a.x, "x", places)
            rows = [self._row(source, tags, scratch, y, tap) for tap in range(kernel.taps)]
            self._lines(rows, y, places)

    def _sizes(self) -> list[Index]:
        return [getattr(self.a, f"n{axis}") for axis in range(self.kernel.outer)]

    def _at(self, pointer: Value, name: str, places: Sequence[Index]) -> Value:
        f = self.f
        for axis, place in enumerate(places):
            pointer = f.offset(pointer, f.mul(place, getattr(self.a, f"{name}{axis}")))
        return pointer

    def _row(self, source: Value, tags: Value, scratch: Value, y: Index, tap: int) -> Value:
        """Return where a source row lies after it was resized across."""
        f, a, taps = self.f, self.a, self.kernel.taps
        number = listed(f, a.yp, f.add(f.mul(y, taps), tap))
        place = f.rem(number, taps)
        goal = f.offset(scratch, f.mul(place, a.held))
        tag = f.offset(tags, f.mul(place, 8))
        with f.when(f.compare("ne", f.load(I64, tag, align=8), number)):
            f.store(number, tag, align=8)
            f.call(self.across, [f.arguments[0], f.offset(source, f.mul(number, a.xy)), goal])
        return goal

    # --- one output row --------------------------------------------------------------------------

    def _lines(self, rows: Sequence[Value], y: Index, places: Sequence[Index]) -> None:
        f, a, kernel = self.f, self.a, self.kernel
        out = f.offset(self._at(a.out, "out", places), f.mul(y, a.outy))
        operands = [
            f.offset(
                self._at(getattr(a, f"p{number}"), f"p{number}_", places),
                f.mul(y, getattr(a, f"p{number}y")),
            )
            for number in range(len(kernel.along))
        ]
        weights = self._weights(y)
        with f.loop(0, a.lines) as loop:
            start = f.mul(loop.index, f.mul(a.length, kernel.row.held_size))
            line = _Line(
                kernel,
                f,
                [f.offset(each, start) for each in rows],
                weights,
                f.offset(out, f.mul(loop.index, a.outl)),
                [
                    f.offset(each, f.mul(loop.index, getattr(a, f"p{number}l")))
                    for number, each in enumerate(operands)
                ],
            )
            lanes = line.lanes
            whole = f.select(f.compare("sge", a.length, lanes), a.length, f.constant(0))
            with f.loop(0, whole, lanes) as along:
                # The last vector overlaps the one before.
                line.emit(f.min(along.index, f.sub(a.length, lanes)), lanes)
            with f.loop(whole, a.length) as along:
                line.emit(along.index, 1)

    def _weights(self, y: Index) -> list[Value]:
        f, kernel = self.f, self.kernel
        if kernel.row.arithmetic == COPY:
            return []
        size, kind = kernel.row.held_size, memory_type(kernel.row.held_dtype)
        first = f.offset(self.a.yw, f.mul(y, size * kernel.taps))
        return [f.load(kind, f.offset(first, size * tap), size) for tap in range(kernel.taps)]


@dataclass
class _Line:
    """Neighbours in an output row being built.

    Attributes:
        rows: where the rows in scratch begin, one per tap.
        weights: of the taps, one lane.
        out: where the line is stored.
        operands: where the operands' elements for its first element lie.
    """

    kernel: ResizeKernel
    f: Function
    rows: Sequence[Value]
    weights: Sequence[Value]
    out: Value
    operands: Sequence[Value]

    @property
    def lanes(self) -> int:
        """Elements computed at once."""
        kernel = self.kernel
        sizes = [kernel.row.held_size]
        if kernel.program is not None:
            steps = kernel.program.steps
            dtypes = [*kernel.program.inputs, *(each.compute for each in steps)]
            dtypes += [each.result for each in steps]
            sizes += [np.dtype(each).itemsize for each in dtypes]
        return self.f.target.vector_bytes // max(sizes)

    def emit(self, index: Index, lanes: int) -> None:
        """Build the elements from `index` on."""
        f, kernel = self.f, self.kernel
        size = kernel.row.held_size
        kind = vector(lanes, memory_type(kernel.row.held_dtype))
        held = [f.load(kind, f.offset(row, f.mul(index, size)), size) for row in self.rows]
        result = self._combined(held, [f.splat(each, lanes) for each in self.weights], lanes)
        dtype = kernel.row.dtype
        if kernel.program is not None:
            result = computed(f, dtype, result)
            operands = [self._operand(n, index, lanes) for n in range(len(self.operands))]
            (result,) = kernel.program.emit(f, lanes, [result, *operands])
            dtype = kernel.program.dtype(kernel.program.outputs[0])
            result = in_memory(f, dtype, result)
        itemsize = np.dtype(dtype).itemsize
        f.store(result, f.offset(self.out, f.mul(index, itemsize)), itemsize)

    def _combined(self, held: Sequence[Value], weights: Sequence[Value], lanes: int) -> Value:
        f, kernel = self.f, self.kernel
        if kernel.row.arithmetic == COPY:
            return held[0]
        if kernel.row.arithmetic == FIXED:
            return _fixed_down(f, held, weights)
        work = Body(f, lanes, np.dtype(kernel.row.arithmetic))
        total = weighted(work, held, weights, kernel.row.dtype)
        return _rounded(work, total, np.dtype(kernel.row.dtype))

    def _operand(self, number: int, index: Index, lanes: int) -> Value:
        f, kernel = self.f, self.kernel
        assert kernel.program is not None
        dtype = kernel.program.inputs[number + 1]
        size, kind = np.dtype(dtype).itemsize, memory_type(dtype)
        place = self.operands[number]
        if kernel.along[number]:
            place = f.offset(place, f.mul(index, size))
            return computed(f, dtype, f.load(vector(lanes, kind), place, size))
        return computed(f, dtype, f.splat(f.load(kind, place, size), lanes))


def _fixed_down(f: Function, held: Sequence[Value], weights: Sequence[Value]) -> Value:
    """Return bytes from rows of 16-bit numbers, with the roundings of OpenCV."""
    k = Body(f, lanes_of(held[0].type), np.dtype(np.int16))
    parts = [_upper_half(k, row, weight) for row, weight in zip(held, weights, strict=True)]
    total = k.integer_op("lshr", k.add(k.add(*parts), k.const(2)), 2)
    return k.convert(total, k.dtype, np.dtype(np.uint8))


def _upper_half(k: Body, left: Value, right: Value) -> Value:
    """Return the upper 16 bits of products of 16-bit numbers."""
    narrow, wide = np.dtype(np.int16), np.dtype(np.int32)
    product = k.mul(k.convert(left, narrow, wide), k.convert(right, narrow, wide))
    return k.convert(k.integer_op("lshr", product, 16), wide, narrow)


def _rounded(k: Body, total: Value, result: np.dtype[Any]) -> Value:
    """Return floats as elements of the result's dtype; integers are rounded and limited."""
    if result.kind in "iu":
        limits = np.iinfo(result)
        total = k.round("rint", total)
        total = k.at_most(k.at_least(total, float(limits.min)), float(limits.max))
    return k.convert(total, k.dtype, result)
