"""Copies that only change the order of elements in memory, transposing in registers.

Matrix kernels and windows want certain axes to be neighbours; where they are not, these copies come
before or after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnn.codegen.builder import I8, I16, I32, I64, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates.shuffles import transposed
from mnn.codegen.templates.window import split
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["RelayoutKernel", "lower", "neighbouring"]

_TYPES = {1: I8, 2: I16, 4: I32, 8: I64}
"""Bits are copied, whatever they mean."""
_OUTER = 4
_BLOCK = 16
"""Positions of each of the two inner axes that one item copies, in vectors."""


def lower(source: Tensor, target_tensor: Tensor, target: Target) -> list[Call]:
    """Return calls that copy a tensor's elements into another tensor of the same shape.

    Args:
        source, target_tensor: 4-byte elements of one dtype, at most 6 axes after merging those
            that run through both alike; strides are arbitrary, and 0 only in `source`.

    Raises:
        CodegenError: other element sizes, or more axes.
    """
    size = source.dtype.itemsize
    if size not in _TYPES or source.dtype != target_tensor.dtype:
        raise CodegenError(
            f"relayout: found elements of {source.dtype} for {target_tensor.dtype}, expected equal "
            "types of 1, 2, 4 or 8 bytes. Use a loop."
        )
    if not source.size:
        return []
    axes = _merged(source, target_tensor)
    # The axis along which the target is written, then the one along which the source is read.
    axes.sort(key=lambda each: abs(each[2]))
    written = axes.pop(0)
    axes.sort(key=lambda each: abs(each[1]))
    read = axes.pop(0) if axes else (1, 0, 0)
    if len(axes) > _OUTER:
        raise CodegenError(
            f"relayout: found {len(axes) + 2} axes that do not merge (shape {source.shape}, "
            f"strides {source.strides} and {target_tensor.strides}), expected up to {_OUTER + 2}."
        )
    axes.sort(key=lambda each: -abs(each[2]))
    outer = [(1, 0, 0)] * (_OUTER - len(axes)) + axes
    kernel = RelayoutKernel(
        size,
        transposes=read[1] == 1 and written[2] == 1 and written[1] != 1,
        copies=written[1] == written[2] == 1,
    )
    shape = _Shape(written, read, outer, kernel.lanes(target))
    slots = [source.pointer, target_tensor.pointer]
    for length, from_step, to_step in (written, read, *outer):
        slots += [length, from_step * size, to_step * size]  # type: ignore[list-item]
    traffic = 2 * size * source.size
    return [
        Call(
            kernel,
            (*slots, shape.blocks, shape.read_blocks),
            items=shape.items,
            grain=max(1, 100_000 // max(1, traffic // shape.items)),
            traffic=traffic,
            label=f"relayout {'x'.join(map(str, source.shape))}",
        )
    ]


def neighbouring(
    tensor: Tensor, target: Target, *, repeated: bool = True
) -> tuple[Tensor, list[Call]]:
    """Return a tensor of the same elements whose last axis are neighbours, and calls that make it.

    The tensor itself where it is so already; what is repeated along other axes is copied once.

    Args:
        repeated: a single element for the whole last axis is good, too.
    """
    step = tensor.strides[-1]
    if tensor.shape[-1] == 1 or step == 1 or (repeated and step == 0) or not tensor.size:
        return tensor, []
    shape = [
        size if stride else 1 for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    single = replace(tensor, shape=(*shape[:-1], tensor.shape[-1]))
    size = single.size * tensor.dtype.itemsize
    if tensor.is_constant:
        room = Buffer(size, CONSTANT, make=lambda: np.ascontiguousarray(single.array()))
        return contiguous(room, single.shape, tensor.dtype).broadcast(tensor.shape), []
    made = contiguous(Buffer(size, name="neighbours"), single.shape, tensor.dtype)
    return made.broadcast(tensor.shape), lower(single, made, target)


def _merged(source: Tensor, target: Tensor) -> list[tuple[int, int, int]]:
    """Return (length, source stride, target stride) of the axes, neighbours joined."""
    axes = [
        each
        for each in zip(source.shape, source.strides, target.strides, strict=True)
        if each[0] != 1
    ]
    axes.sort(key=lambda each: -abs(each[2]))
    merged: list[tuple[int, int, int]] = []
    for length, read, written in axes:
        if merged:
            count, outer_read, outer_written = merged[-1]
            if outer_read == read * length and outer_written == written * length:
                merged[-1] = (count * length, read, written)
                continue
        merged.append((length, read, written))
    return merged or [(1, 0, 0)]


class _Shape:
    """How the work is cut into items: blocks of both inner axes of each outer position."""

    def __init__(
        self,
        written: tuple[int, int, int],
        read: tuple[int, int, int],
        outer: Sequence[tuple[int, int, int]],
        lanes: int,
    ) -> None:
        block = _BLOCK * lanes
        self.blocks = -(-written[0] // block)
        self.read_blocks = -(-read[0] // block)
        self.items = math.prod(each[0] for each in outer) * self.blocks * self.read_blocks


@dataclass(frozen=True)
class RelayoutKernel(Kernel):
    """Copies blocks of two inner axes: W, along which is written, and R, along which is read.

    Attributes:
        size: bytes of an element.
        transposes: both strides are 1 element, one on each side.
        copies: W has neighbours on both sides.
    """

    size: int
    transposes: bool
    copies: bool

    def lanes(self, target: Target) -> int:
        """Return the elements handled at once; squares of small elements would be large."""
        return min(16, target.vector_bytes // self.size)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        fields = "*x *y nw xw yw nr xr yr"
        fields += "".join(f" n{each} x{each} y{each}" for each in range(_OUTER))
        a = f.block(fields + " wb rb")
        block = _BLOCK * self.lanes(target)
        counts = [getattr(a, f"n{each}") for each in range(_OUTER)]
        with f.loop(f.arguments[1], f.arguments[2]) as loop:
            *places, write_block, read_block = split(f, loop.index, [*counts, a.wb, a.rb])
            source, goal = a.x, a.y
            for each, place in enumerate(places):
                source = f.offset(source, f.mul(place, getattr(a, f"x{each}")))
                goal = f.offset(goal, f.mul(place, getattr(a, f"y{each}")))
            w, r = f.mul(write_block, block), f.mul(read_block, block)
            source = f.offset(source, f.add(f.mul(w, a.xw), f.mul(r, a.xr)))
            goal = f.offset(goal, f.add(f.mul(w, a.yw), f.mul(r, a.yr)))
            counts_inside = f.min(f.sub(a.nw, w), block), f.min(f.sub(a.nr, r), block)
            _Block(self, f, source, goal, (a.xw, a.xr), (a.yw, a.yr)).emit(*counts_inside)
        return module


@dataclass(frozen=True)
class _Block:
    """A block being copied; strides in bytes along (W, R)."""

    kernel: RelayoutKernel
    f: Function
    source: Value
    goal: Value
    reads: tuple[Index, Index]
    writes: tuple[Index, Index]

    def at(self, w: Index, r: Index) -> tuple[Value, Value]:
        """Return the addresses of a position."""
        f = self.f
        source = f.offset(self.source, f.add(f.mul(w, self.reads[0]), f.mul(r, self.reads[1])))
        goal = f.offset(self.goal, f.add(f.mul(w, self.writes[0]), f.mul(r, self.writes[1])))
        return source, goal

    def _move(self, source: Value, goal: Value, lanes: int) -> None:
        """Build the copy of neighbours."""
        size = self.kernel.size
        kind = vector(lanes, _TYPES[size])
        self.f.store(self.f.load(kind, source, align=size), goal, align=size)

    def emit(self, w: Index, r: Index) -> None:
        """Build the copy of the first w times r positions."""
        f, lanes, kernel = self.f, self.kernel.lanes(self.f.target), self.kernel
        if kernel.copies:
            whole = f.floor_to(w, lanes)
            with f.loop(0, r) as across:
                with f.loop(0, whole, lanes) as along:
                    source, goal = self.at(along.index, across.index)
                    self._move(source, goal, lanes)
                self._elements(whole, w, across.index, f.add(across.index, 1))
            return
        if not kernel.transposes:
            self._elements(0, w, 0, r)
            return
        whole_w, whole_r = f.floor_to(w, lanes), f.floor_to(r, lanes)
        with (
            f.loop(0, whole_r, lanes) as across,
            f.loop(0, whole_w, lanes) as along,
        ):
            self._square(along.index, across.index)
        self._elements(0, whole_w, whole_r, r)
        self._elements(whole_w, w, 0, r)

    def _elements(self, w: Index, w_end: Index, r: Index, r_end: Index) -> None:
        f = self.f
        with f.loop(r, r_end) as across, f.loop(w, w_end) as along:
            source, goal = self.at(along.index, across.index)
            self._move(source, goal, 1)

    def _square(self, w: Index, r: Index) -> None:
        """Build a transposition of lanes times lanes elements."""
        f, size = self.f, self.kernel.size
        lanes = self.kernel.lanes(f.target)
        source, goal = self.at(w, r)
        rows = [
            f.load(
                vector(lanes, _TYPES[size]),
                f.offset(source, f.mul(self.reads[0], each)),
                align=size,
            )
            for each in range(lanes)
        ]
        for each, value in enumerate(transposed(f, rows)):
            f.store(value, f.offset(goal, f.mul(self.writes[1], each)), align=size)
