"""Pooling: maxima and means of windows, and of whole planes.

Channels are neighbours and fill the vectors. A step of the inner loop makes several outputs of a
row: what their windows have in common, the maxima or sums along the columns, is computed once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Index, Module, Value, vector
from mnn.codegen.kernel import Buffer, Call, Epilogue, Kernel, Slot, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates import relayout
from mnn.codegen.templates.epilogue import Ending, load_columns, store_columns
from mnn.codegen.templates.tile import StridedRows, Tile
from mnn.codegen.templates.window import (
    Window,
    channels_last,
    image_ending,
    images,
    split,
    window_of,
)
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["PlaneKernel", "PoolKernel", "lower"]

_GROUP = 4
"""Vectors of channels that the mean of a plane handles at once."""
_RUNS = (4096, 64)
"""Sums of a row are sums over runs of runs of positions, so that rounding errors stay small."""


def lower(
    x: Tensor,
    out: Tensor,
    target: Target,
    *,
    kind: str,
    kernel: Sequence[int],
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
    count: str = "exclude",
    epilogue: Epilogue | None = None,
) -> list[Call]:
    """Return calls that store the maximum or mean of each window.

    Args:
        x, out: (samples, channels, 1 to 3 spatial axes); strides are arbitrary, neighbouring
            channels are fastest. Windows of `out` may hang over the end of `x` (ceil mode).
        kind: "max" (NaN wins; a window that lies outside takes the nearest edge) or "average".
        kernel, stride: a number for each spatial axis.
        pads: (begin, end) for each spatial axis.
        count: "include" divides by the positions in input or padding, "exclude" by those in the
            input; a window without any is 0.
        epilogue: applied to the results; operands broadcast to the shape of `out`.

    Raises:
        CodegenError: a maximum of elements that have not 1, 4 or 8 bytes, a mean of other elements
            than float32 or float64, or an epilogue on other elements than float32.
    """
    _check(x, kind, count, epilogue)
    if not out.size:
        return []
    window = window_of(kernel, stride, [1] * len(kernel), pads)
    ends = window_of(kernel, stride, [1] * len(kernel), [(end, 0) for _, end in pads]).begin
    source, goal = channels_last(images(x)), channels_last(images(out))
    source, before = relayout.neighbouring(source, target, repeated=False)
    after: list[Call] = []
    if goal.strides[-1] != 1:
        room = Buffer(goal.size * goal.dtype.itemsize, name="pool")
        inner, final = contiguous(room, goal.shape, goal.dtype), goal
        after = relayout.lower(inner, final, target)
        goal = inner
    if epilogue is not None:
        operands = []
        for each in epilogue.operands:
            made, calls = relayout.neighbouring(images(each.broadcast(out.shape)), target)
            before += calls
            operands.append(made)
        epilogue = replace(epilogue, operands=tuple(operands))
    ending, tensors = image_ending(epilogue, goal)
    stored = x.dtype if epilogue is None else ending.dtype
    if stored != out.dtype:
        raise CodegenError(
            f"pool: the results are {stored}, the output is {out.dtype}, expected equal types. "
            "Convert in the epilogue."
        )
    problem = _Problem(source, goal, target, window, ends, kind, count, ending, tensors)
    return [*before, problem.call(), *after]


def _check(x: Tensor, kind: str, count: str, epilogue: Epilogue | None) -> None:
    if kind not in ("max", "average") or count not in ("include", "exclude"):
        raise CodegenError(
            f"pool: found kind {kind!r} and count {count!r}, expected 'max' or 'average', and "
            "'include' or 'exclude'."
        )
    fits = x.dtype.itemsize in (4, 8) and x.dtype.kind in "iuf"
    fits = fits or (x.dtype.itemsize == 1 and x.dtype.kind in "iu")
    if not fits or (kind == "average" and x.dtype.kind != "f"):
        raise CodegenError(
            f"pool: found elements of {x.dtype}, expected 1, 4 or 8 bytes, and floats for a mean. "
            "Convert them first."
        )
    if epilogue is not None and x.dtype != np.float32:
        raise CodegenError(f"pool: found an epilogue on {x.dtype}, expected float32 elements.")


@dataclass(frozen=True)
class _Problem:
    """What `lower` was asked for, with axes (samples, depth, height, width, channels)."""

    x: Tensor
    out: Tensor
    target: Target
    window: Window
    ends: tuple[int, int, int]
    kind: str
    count: str
    ending: Ending
    operands: tuple[Tensor, ...]

    @property
    def lanes(self) -> int:
        return self.target.vector_bytes // self.x.dtype.itemsize

    def call(self) -> Call:
        lengths = self.x.shape[1:4]
        covers = all(
            begin >= 0 and size - begin >= length
            for size, begin, length in zip(
                self.window.kernel, self.window.begin, lengths, strict=True
            )
        )
        if self.out.shape[1:4] == (1, 1, 1) and covers and math.prod(lengths) > 1:
            return self._plane()
        return self._windows()

    def _strides(self, tensor: Tensor, axes: int) -> list[int]:
        return [each * tensor.dtype.itemsize for each in tensor.strides[:axes]]

    def _operand_slots(self) -> list[Slot]:
        slots: list[Slot] = []
        for each in self.operands:
            slots += [each.pointer, *self._strides(each, 4)]
        return slots

    def _made(
        self, kernel: Kernel, slots: Sequence[Slot], items: int, reads: int, what: str
    ) -> Call:
        size = self.x.dtype.itemsize
        traffic = size * (self.x.size + (1 + len(self.operands)) * self.out.size)
        cost = size * reads
        shape = "x".join(map(str, self.x.shape[1:]))
        return Call(
            kernel,
            tuple(slots),
            items=items,
            grain=max(1, 100_000 // max(1, cost // items)),
            traffic=traffic,
            label=f"pool {self.kind} {what} {shape}",
        )

    def _plane(self) -> Call:
        """Return the call for a window that covers each plane."""
        samples, *lengths, channels = self.x.shape
        depth, height, width = lengths
        _, deep, high, wide = self._strides(self.x, 4)
        if height == 1 or high == width * wide:
            width, height = width * height, 1
        sizes = lengths
        if self.count == "include":
            sizes = [
                min(size, begin + length + end)
                for size, begin, length, end in zip(
                    self.window.kernel, self.window.begin, lengths, self.ends, strict=True
                )
            ]
        groups = -(-channels // (_GROUP * self.lanes))
        kernel = PlaneKernel(self.kind, str(self.x.dtype), self.ending)
        slots: list[Slot] = [self.x.pointer, self._strides(self.x, 1)[0], deep, high, wide]
        slots += [self.out.pointer, self._strides(self.out, 1)[0], channels, groups]
        slots += [depth, height, width, math.prod(sizes), *self._operand_slots()]
        return self._made(kernel, slots, samples * groups, self.x.size, "plane")

    def _windows(self) -> Call:
        samples, depth, height, width, channels = self.out.shape
        kernel = self._kernel()
        window, length = self.window, self.x.shape[3]
        size, step, begin = window.kernel[2], window.stride[2], window.begin[2]
        first = min(-(-begin // step), width)
        last = (length - size + begin) // step + 1 if length + begin >= size else first
        inner = max(0, min(last, width) - first) // kernel.tile * kernel.tile
        inner = inner if kernel.tile > 1 else 0
        slots: list[Slot] = [self.x.pointer, *self._strides(self.x, 4)]
        slots += [self.out.pointer, *self._strides(self.out, 4)]
        slots += [channels, depth, height, width, *self.x.shape[1:4]]
        slots += [*window.kernel, *window.stride, *window.begin, *self.ends]
        slots += [first, inner, *self._operand_slots()]
        what = "x".join(map(str, window.kernel[1:]))
        reads = self.out.size * window.taps
        return self._made(kernel, slots, samples * depth * height, reads, what)

    def _kernel(self) -> PoolKernel:
        size, step = self.window.kernel[2], self.window.stride[2]
        tile = next(
            (each for each in (4, 2) if (each - 1) * step + size <= self.target.registers // 2), 1
        )
        return PoolKernel(
            self.kind,
            str(self.x.dtype),
            self.ending,
            self.count,
            # A window that lies behind the input has no depth at all, and nothing to read.
            deep=self.window.kernel[0] > 1
            or not self.window.inside(0, self.x.shape[1], self.out.shape[1]),
            width=size if tile > 1 else 0,
            step=step if tile > 1 else 0,
            tile=tile,
        )


class _Joining:
    """How values are joined: by maximum or by sum."""

    def __init__(self, f: Function, kind: str, dtype: np.dtype[Any], lanes: int) -> None:
        self.k = Body(f, lanes, dtype)
        self.maximum = kind == "max"

    def start(self) -> Value:
        """Return what leaves any value as it is."""
        if not self.maximum:
            return self.k.const(0.0)
        if self.k.floating:
            return self.k.const(-math.inf)
        return self.k.const(int(np.iinfo(self.k.dtype).min))

    def join(self, left: Value, right: Value) -> Value:
        """Return both in one."""
        return self.k.maximum(left, right) if self.maximum else self.k.add(left, right)


@dataclass(frozen=True)
class PoolKernel(Kernel):
    """Windows of any size; an item is a row of outputs.

    Attributes:
        kind: "max" or "average".
        dtype: NumPy name.
        count: what a mean divides by.
        deep: windows have a depth, or may lie behind the input.
        width, step, tile: outputs made at once, with windows of `width` columns, `step` apart;
            a tile of 1 takes width and stride at run time.
    """

    kind: str
    dtype: str
    ending: Ending
    count: str
    deep: bool
    width: int
    step: int
    tile: int

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        fields = "*x xn xd xh xw *y yn yd yh yw C OD OH OW D H W KD KH KW SD SH SW bd bh bw"
        fields += " ed eh ew first inner"
        fields += "".join(f" *o{i} on{i} od{i} oh{i} ow{i}" for i in range(len(self._operands)))
        a = f.block(fields)
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            n, d, h = split(f, loop.index, [0, a.OD, a.OH])
            _Row(self, f, a, n, d, h).emit()
        return module

    @property
    def _operands(self) -> tuple[Any, ...]:
        return self.ending.operands


class _Row:
    """One row of outputs being built."""

    def __init__(
        self, kernel: PoolKernel, f: Function, a: SimpleNamespace, n: Index, d: Index, h: Index
    ) -> None:
        self.kernel, self.f, self.a = kernel, f, a
        self.dtype = np.dtype(kernel.dtype)
        self.size = self.dtype.itemsize
        self.lanes = f.target.vector_bytes // self.size
        self.depth = self._range(d, a.SD, a.bd, a.KD, a.D)
        self.height = self._range(h, a.SH, a.bh, a.KH, a.H)
        self.x = f.offset(a.x, f.mul(n, a.xn))
        self.y = self._at(a.y, n, d, h, a.yn, a.yd, a.yh)
        self.operands = [
            self._at(
                *(getattr(a, f"o{each}"), n, d, h),
                *(getattr(a, f"{name}{each}") for name in ("on", "od", "oh")),
            )
            for each in range(len(kernel.ending.operands))
        ]
        self.positions = f.mul(self._counted(d, "D"), self._counted(h, "H"))

    def _at(self, p: Value, n: Index, d: Index, h: Index, sn: Index, sd: Index, sh: Index) -> Value:
        f = self.f
        return f.offset(p, f.add(f.mul(n, sn), f.add(f.mul(d, sd), f.mul(h, sh))))

    def _range(
        self, i: Index, step: Index, begin: Index, size: Index, length: Index
    ) -> tuple[Index, Index]:
        """Return the input positions of output i; for a maximum at least one."""
        f = self.f
        start = f.sub(f.mul(i, step), begin)
        end = f.min(f.add(start, size), length)
        if self.kernel.kind != "max":
            return f.max(start, 0), end
        first = f.min(f.max(start, 0), f.sub(length, 1))
        return first, f.max(end, f.add(first, 1))

    def _counted(self, i: Index, axis: str) -> Index:
        """Return how many positions of an axis a mean of output i divides by."""
        f, low = self.f, axis.lower()
        begin, step, size = (getattr(self.a, each) for each in (f"b{low}", f"S{axis}", f"K{axis}"))
        length = getattr(self.a, axis)
        if self.kernel.count == "exclude":
            first, last = self._range(i, step, begin, size, length)
            return f.max(f.sub(last, first), 0)
        start = f.sub(f.mul(i, step), begin)
        inside = f.sub(f.add(length, getattr(self.a, f"e{low}")), start)
        return f.max(f.min(size, inside), 0)

    def emit(self) -> None:
        """Build the row: tiles in the middle, whatever they leave out one by one."""
        f, a, tile = self.f, self.a, self.kernel.tile
        whole = f.floor_to(a.C, self.lanes)
        if tile > 1:
            done = f.add(a.first, a.inner)
            with f.loop(a.first, done, tile) as columns, f.loop(0, whole, self.lanes) as loop:
                self._tile(columns.index, loop.index)
        with f.loop(0, a.OW) as columns:
            # Unsigned, so that columns before the first are outside too.
            outside = f.compare("uge", f.sub(columns.index, a.first), a.inner)
            start = f.select(outside, f.constant(0), f.value(whole))
            with f.loop(start, whole, self.lanes) as loop:
                self._single(columns.index, loop.index, None)
            with f.when(f.compare("slt", whole, a.C)):
                self._single(columns.index, whole, f.sub(a.C, whole))

    def _over_rows(self, place: Value, values: list[Value], turn: Any) -> list[Value]:
        """Return the values carried by `turn(row address, values)` over the window's rows."""
        f, a = self.f, self.a

        def over_height(place: Value, values: list[Value]) -> list[Value]:
            with f.loop(*self.height, carried=values) as loop:
                loop.next = turn(f.offset(place, f.mul(loop.index, a.xh)), loop.carried)
            return loop.results

        if not self.kernel.deep:
            return over_height(f.offset(place, f.mul(self.depth[0], a.xd)), values)
        with f.loop(*self.depth, carried=values) as loop:
            loop.next = over_height(f.offset(place, f.mul(loop.index, a.xd)), loop.carried)
        return loop.results

    def _load(self, place: Value, columns: Index | None) -> Value:
        kind = vector(self.lanes, Body(self.f, 1, self.dtype).element)
        return load_columns(self.f, kind, place, self.size, 0, columns)

    def _tile(self, column: Index, channel: Index) -> None:
        f, a, kernel = self.f, self.a, self.kernel
        joining = _Joining(f, kernel.kind, self.dtype, self.lanes)
        count = (kernel.tile - 1) * kernel.step + kernel.width
        start = f.sub(f.mul(column, kernel.step), a.bw)
        place = f.offset(self.x, f.add(f.mul(start, a.xw), f.mul(channel, self.size)))
        steps = [f.mul(a.xw, each) for each in range(count)]

        def turn(row: Value, values: list[Value]) -> list[Value]:
            return [
                joining.join(each, self._load(f.offset(row, step), None))
                for each, step in zip(values, steps, strict=True)
            ]

        held = self._over_rows(place, [joining.start()] * count, turn)
        positions = f.mul(self.positions, kernel.width)
        for each in range(kernel.tile):
            first = each * kernel.step
            total = held[first]
            for other in held[first + 1 : first + kernel.width]:
                total = joining.join(total, other)
            self._store(total, positions, f.add(column, each), channel, None)

    def _single(self, column: Index, channel: Index, columns: Index | None) -> None:
        f, a = self.f, self.a
        joining = _Joining(f, self.kernel.kind, self.dtype, self.lanes)
        place = f.offset(self.x, f.mul(channel, self.size))
        width = self._range(column, a.SW, a.bw, a.KW, a.W)

        def turn(row: Value, values: list[Value]) -> list[Value]:
            with f.loop(*width, carried=values) as loop:
                item = self._load(f.offset(row, f.mul(loop.index, a.xw)), columns)
                loop.next = [joining.join(loop.carried[0], item)]
            return loop.results

        (total,) = self._over_rows(place, [joining.start()], turn)
        positions = f.mul(self.positions, self._counted(column, "W"))
        self._store(total, positions, column, channel, columns)

    def _store(
        self, total: Value, positions: Index, column: Index, channel: Index, columns: Index | None
    ) -> None:
        f, a = self.f, self.a
        if self.kernel.kind == "average":
            total = _divided(f, total, self.lanes, self.dtype, f.max(positions, 1))
        size = _stored_size(self.kernel.ending, self.size)
        place = f.offset(self.y, f.add(f.mul(column, a.yw), f.mul(channel, size)))
        rows = []
        for number, (each, start) in enumerate(
            zip(self.kernel.ending.operands, self.operands, strict=True)
        ):
            there = f.mul(column, getattr(a, f"ow{number}"))
            if each.by_column:
                there = f.add(there, f.mul(channel, each.itemsize))
            rows.append(StridedRows(f.offset(start, there), 0))
        _finish(f, self.kernel.ending, total, place, rows, columns, self.size)


def _stored_size(ending: Ending, size: int) -> int:
    """Return the bytes of an element that is stored, given those of one that is pooled."""
    return size if ending.program is None else ending.dtype.itemsize


def _divided(
    f: Function, total: Value, lanes: int, dtype: np.dtype[Any], positions: Index
) -> Value:
    """Return sums divided by a whole number."""
    k = Body(f, 1, dtype)
    number = f.make(f"sitofp i64 {f.value(positions).text} to {k.element}", k.element)
    return Body(f, lanes, dtype).div(total, f.splat(number, lanes))


def _finish(
    f: Function,
    ending: Ending,
    total: Value,
    place: Value,
    operands: Sequence[StridedRows],
    columns: Index | None,
    size: int,
) -> None:
    """Store results, after the epilogue if there is one."""
    if ending.program is None:
        store_columns(f, total, place, size, 0, columns)
        return
    tile = Tile(1, 1, f.target.vector_bytes // size)
    ending.store(f, tile, [total], StridedRows(place, 0), operands, columns=columns)


@dataclass(frozen=True)
class PlaneKernel(Kernel):
    """Maximum or mean of whole planes; an item is a group of channels of a sample.

    Attributes:
        kind: "max" or "average".
        dtype: NumPy name.
    """

    kind: str
    dtype: str
    ending: Ending

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        fields = "*x xn xd xh xw *y yn C groups D H W positions"
        count = len(self.ending.operands)
        fields += "".join(f" *o{i} on{i} od{i} oh{i} ow{i}" for i in range(count))
        a = f.block(fields)
        lanes = target.vector_bytes // np.dtype(self.dtype).itemsize
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            n, group = split(f, loop.index, [0, a.groups])
            first = f.mul(group, _GROUP * lanes)
            last = f.min(f.add(first, _GROUP * lanes), a.C)
            with f.branch(f.compare("eq", f.sub(last, first), _GROUP * lanes)) as otherwise:
                self._part(f, a, n, first, _GROUP, None)
                otherwise()
                with f.loop(first, last, lanes) as each:
                    rest = f.min(f.sub(last, each.index), lanes)
                    self._part(f, a, n, each.index, 1, rest)
        return module

    def _part(
        self,
        f: Function,
        a: SimpleNamespace,
        n: Index,
        channel: Index,
        count: int,
        columns: Index | None,
    ) -> None:
        """Build the result of `count` vectors of channels."""
        dtype = np.dtype(self.dtype)
        size = dtype.itemsize
        lanes = f.target.vector_bytes // size
        joining = _Joining(f, self.kind, dtype, lanes)
        kind = joining.start().type
        place = f.offset(a.x, f.add(f.mul(n, a.xn), f.mul(channel, size)))
        width = lanes * size

        def over(row: Value, lo: Index, hi: Index, runs: Sequence[int]) -> list[Value]:
            if runs:
                with f.loop(lo, hi, runs[0], start) as loop:
                    end = f.min(f.add(loop.index, runs[0]), hi)
                    found = over(row, loop.index, end, runs[1:])
                    loop.next = list(map(joining.join, loop.carried, found))
                return loop.results
            with f.loop(lo, hi, carried=start) as loop:
                pixel = f.offset(row, f.mul(loop.index, a.xw))
                found = [
                    load_columns(f, kind, f.offset(pixel, width * each), size, 0, columns)
                    for each in range(count)
                ]
                loop.next = list(map(joining.join, loop.carried, found))
            return loop.results

        start = [joining.start()] * count
        with f.loop(0, a.D, carried=start) as deep:
            layer = f.offset(place, f.mul(deep.index, a.xd))
            with f.loop(0, a.H, carried=start) as high:
                found = over(f.offset(layer, f.mul(high.index, a.xh)), 0, a.W, _RUNS)
                high.next = list(map(joining.join, high.carried, found))
            deep.next = list(map(joining.join, deep.carried, high.results))
        for each, total in enumerate(deep.results):
            if self.kind == "average":
                total = _divided(f, total, lanes, dtype, a.positions)
            here = f.add(channel, each * lanes)
            distance = f.add(f.mul(n, a.yn), f.mul(here, _stored_size(self.ending, size)))
            rows = [
                self._operand(f, a, number, n, here) for number in range(len(self.ending.operands))
            ]
            _finish(f, self.ending, total, f.offset(a.y, distance), rows, columns, size)

    def _operand(
        self, f: Function, a: SimpleNamespace, number: int, n: Index, channel: Index
    ) -> StridedRows:
        kind = self.ending.operands[number]
        there = f.mul(n, getattr(a, f"on{number}"))
        if kind.by_column:
            there = f.add(there, f.mul(channel, kind.itemsize))
        return StridedRows(f.offset(getattr(a, f"o{number}"), there), 0)
