"""Grey values of pixels whose colours lie side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I8, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.program import CAST, Program, Step, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates import loops
from mnn.codegen.templates.resize_across import pair_sums
from mnn.codegen.templates.shuffles import apart, joined
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["GreyKernel", "lower_grey"]

_PART = 4096
"""Pixels of an item."""
_SHIFT = 15
_BYTES, _PIXELS = 16, 4
"""Bytes that are read at once, and the pixels in them."""


def lower_grey(
    source: Tensor, out: Tensor, target: Target, *, weights: Sequence[float]
) -> list[Call]:
    """Return calls that store weighted sums of three colours.

    Args:
        source: (rows, columns, 3) uint8, uint16 or float32.
        out: (rows, columns) of the same dtype.
        weights: of the colours; for integers whole numbers, the sum of which is 2 ** 15: halves are
            rounded up.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    fits = source.shape == (*out.shape, 3) and source.dtype == out.dtype
    if not fits or source.dtype not in (np.uint8, np.uint16, np.float32):
        raise CodegenError(
            f"grey: found {source.dtype} of shape {source.shape} for {out.dtype} of {out.shape}, "
            "expected three colours in uint8, uint16 or float32."
        )
    if not out.size:
        return []
    step, inner = source.strides[1:]
    side_by_side = abs(inner) == 1 and step in (3, 4) and out.strides[1] == 1
    if source.dtype == np.uint16 or not side_by_side:
        return _loop(source, out, target, weights)
    if inner < 0:
        source = replace(source, offset=source.offset - 2)
        weights = weights[::-1]
    return [_call(source, out, weights)]


def _call(source: Tensor, out: Tensor, weights: Sequence[float]) -> Call:
    size = source.dtype.itemsize
    rows, columns = out.shape
    reads, writes = source.strides[0], out.strides[0]
    if reads == columns * source.strides[1] and writes == columns:
        rows, columns = 1, rows * columns
    parts = -(-columns // _PART)
    kernel = GreyKernel(source.dtype.name, source.strides[1], tuple(weights))
    slots: list[Slot] = [source.pointer, reads * size, out.pointer, writes * size, columns, parts]
    return Call(
        kernel,
        tuple(slots),
        items=rows * parts,
        grain=max(1, 50_000 // min(columns, _PART)),
        work=3 * out.size,
        traffic=size * (source.strides[1] + 1) * out.size,
        label=f"grey {'x'.join(map(str, out.shape))}",
    )


def _loop(source: Tensor, out: Tensor, target: Target, weights: Sequence[float]) -> list[Call]:
    """Return the calls for colours that lie anywhere."""
    dtype = source.dtype.name
    work = dtype if dtype == "float32" else "uint32"
    colours = [
        replace(source, shape=out.shape, strides=source.strides[:2], offset=offset)
        for offset in (source.offset + each * source.strides[2] for each in range(3))
    ]
    steps: list[Step] = []

    def add(step: Step) -> int:
        steps.append(step)
        return 2 + len(steps)

    def combined(name: str, left: int, right: int) -> int:
        return add(Step(name, (left, right), work, work))

    parts = []
    for number, weight in enumerate(weights):
        colour = add(Step(CAST, (number,), dtype, work))
        parts.append(combined("multiply", colour, add(constant_step(weight, work))))
    total = combined("add", combined("add", parts[0], parts[1]), parts[2])
    if work != dtype:
        total = combined("add", total, add(constant_step(1 << (_SHIFT - 1), work)))
        total = combined("right_shift", total, add(constant_step(_SHIFT, work)))
        total = add(Step(CAST, (total,), work, dtype))
    program = Program((dtype,) * 3, tuple(steps), (total,))
    return loops.lower(program, colours, [out], target, label="grey")


@dataclass(frozen=True)
class GreyKernel(Kernel):
    """Weighted sums of colours; an item is a part of a row.

    Attributes:
        dtype: uint8 or float32.
        step: elements from one pixel to the next: 3, or 4 with one that does not matter.
        weights: of the colours.
    """

    dtype: str
    step: int
    weights: tuple[float, ...]

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block("*x xrow *y yrow columns parts")
        size = np.dtype(self.dtype).itemsize
        lanes = target.lanes
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            row, part = f.div(items.index, a.parts), f.rem(items.index, a.parts)
            start = f.mul(part, _PART)
            count = f.min(f.sub(a.columns, start), _PART)
            source = f.offset(a.x, f.add(f.mul(row, a.xrow), f.mul(start, size * self.step)))
            goal = f.offset(a.y, f.add(f.mul(row, a.yrow), f.mul(start, size)))
            # More is read than the pixels: behind the last one there may be nothing.
            readable = f.value(f.sub(count, self._spare))
            whole = f.select(f.compare("sge", readable, lanes), readable, f.constant(0))
            with f.loop(0, whole, lanes) as loop:
                # The last vector overlaps the one before.
                self._pixels(f, source, goal, f.min(loop.index, f.sub(readable, lanes)))
            with f.loop(whole, count) as loop:
                self._pixel(f, source, goal, loop.index)
        return module

    def _pixels(self, f: Function, source: Value, goal: Value, index: Index) -> None:
        """Build as many pixels as a vector has lanes."""
        lanes, size = f.target.lanes, np.dtype(self.dtype).itemsize
        place = f.offset(source, f.mul(index, size * self.step))
        if self.dtype == "float32":
            step = 4 * lanes
            loaded = [
                f.load(vector(lanes, F32), f.offset(place, step * each))
                for each in range(self.step)
            ]
            result = self._sum(Body(f, lanes, np.dtype(np.float32)), apart(f, loaded)[:3])
        else:
            result = self._bytes(f, place)
        f.store(result, f.offset(goal, f.mul(index, size)), size)

    @property
    def _spare(self) -> int:
        """Pixels that must follow those of a vector."""
        if self.dtype == "uint8":
            return -(-(_BYTES - 3 * self.step - 3) // self.step)
        return self.step - 3

    def _bytes(self, f: Function, place: Value) -> Value:
        """Return grey values of interleaved bytes: sums of two colours, and the third one."""
        lanes = f.target.lanes
        loads = [
            f.load(vector(_BYTES, I8), f.offset(place, pixel * self.step), 1)
            for pixel in range(0, lanes, _PIXELS)
        ]
        loaded = joined(f, loads)
        zeros = Value("zeroinitializer", loaded.type)
        zero = _BYTES * len(loads)
        k = Body(f, lanes, np.dtype(np.int32))
        total = k.const(1 << (_SHIFT - 1))
        for first, colours in ((0, 2), (2, 1)):
            order = []
            for lane in range(lanes):
                start = lane // _PIXELS * _BYTES + lane % _PIXELS * self.step + first
                order += [start, zero, start + 1 if colours == 2 else zero, zero]
            spread = f.shuffle(loaded, zeros, order)
            pairs = f.make(f"bitcast {spread.type} {spread.text} to {k.type}", k.type)
            pair = [int(each) for each in (*self.weights, 0)][first : first + 2]
            total = k.add(total, pair_sums(k, pairs, k.const(pair[0] | pair[1] << 16)))
        shifted = k.integer_op("lshr", total, _SHIFT)
        return k.convert(shifted, k.dtype, np.dtype(np.uint8))

    def _pixel(self, f: Function, source: Value, goal: Value, index: Index) -> None:
        size = np.dtype(self.dtype).itemsize
        place = f.offset(source, f.mul(index, size * self.step))
        kind = F32 if self.dtype == "float32" else I8
        loaded = [f.load(kind, f.offset(place, size * each), size) for each in range(3)]
        if self.dtype == "float32":
            result = self._sum(Body(f, 1, np.dtype(np.float32)), loaded)
        else:
            k, narrow = Body(f, 1, np.dtype(np.int32)), np.dtype(np.uint8)
            total = self._sum(k, [k.convert(each, narrow, k.dtype) for each in loaded])
            total = k.add(total, k.const(1 << (_SHIFT - 1)))
            result = k.convert(k.integer_op("lshr", total, _SHIFT), k.dtype, narrow)
        f.store(result, f.offset(goal, f.mul(index, size)), size)

    def _sum(self, k: Body, colours: Sequence[Value]) -> Value:
        parts = [
            k.mul(each, k.const(weight)) for each, weight in zip(colours, self.weights, strict=True)
        ]
        return k.add(k.add(parts[0], parts[1]), parts[2])
