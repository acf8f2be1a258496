"""The second operand of a matrix product in panels, in the order in which register tiles read it.

A panel holds, for each k, some vectors of neighbouring columns. The last vector of all ends with
the last column, so it begins with columns that the one before has too; only a matrix of fewer
columns than a vector has lanes is filled up with zeros.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, TEMPORARY, Buffer, Call, Kernel, Pointer, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.float16 import HalvesKernel
from mnn.codegen.templates.pairs import neighbours, pairs_along_rows, side_by_side
from mnn.codegen.templates.shuffles import transposed
from mnn.codegen.templates.tile import FLOAT32, HALVES, PAIRS
from mnn.codegen.templates.window import split
from mnn.records import dataclass, replace

__all__ = ["PackKernel", "Panels", "can_pack", "pack"]

Array = np.ndarray[Any, Any]

ROWS, COLUMNS, ELEMENTS = "rows", "columns", "elements"
"""What lies together in the matrix that is packed: its rows, its columns, or nothing."""


@dataclass(frozen=True)
class Panels:
    """How a matrix of `depth` rows and `columns` columns lies in panels.

    Attributes:
        vectors: of a panel; the last one may have fewer.
        lanes: elements of a vector.
        product: see `Tile`; for PAIRS `depth` counts pairs. For HALVES the inverse scales of the
            columns lie behind each panel, as float32.
    """

    depth: int
    columns: int
    vectors: int
    lanes: int
    product: str = FLOAT32

    @property
    def count(self) -> int:
        """Vectors of all panels."""
        return -(-self.columns // self.lanes)

    @property
    def full(self) -> int:
        """Panels of `vectors` vectors."""
        return self.count // self.vectors

    @property
    def tail(self) -> int:
        """Vectors of the narrower last panel, 0 when there is none."""
        return self.count % self.vectors

    @property
    def panels(self) -> int:
        """All panels."""
        return self.full + (self.tail > 0)

    @property
    def panel_bytes(self) -> int:
        """Bytes of a panel of `vectors` vectors."""
        return self._column_bytes * self.vectors * self.lanes

    @property
    def bytes(self) -> int:
        """Bytes of all panels."""
        return self._column_bytes * self.count * self.lanes

    @property
    def _column_bytes(self) -> int:
        return 2 * self.depth + 4 if self.product == HALVES else 4 * self.depth

    def fill(self, made: Array, matrix: Array) -> None:
        """Store a matrix (depth, columns) of 4-byte elements in `made`, flat."""
        lanes, width = self.lanes, self.vectors * self.lanes
        if self.columns < lanes:
            matrix = np.pad(matrix, ((0, 0), (0, lanes - self.columns)))
        overlaps = self.columns % lanes != 0 and self.columns > lanes
        whole = max(self.full - (overlaps and not self.tail), 0)
        start = whole * width
        body = matrix[:, :start].reshape(self.depth, whole, width).transpose(1, 0, 2)
        made[: self.depth * start].reshape(whole, self.depth, width)[...] = body
        vectors = self.count - whole * self.vectors
        last = made[self.depth * start :].reshape(self.depth, vectors, lanes)
        for each in range(vectors):
            first = min(start + each * lanes, matrix.shape[1] - lanes)
            last[:, each] = matrix[:, first : first + lanes]


def _order(b: Tensor, lanes: int) -> str:
    """Return what lies together in b, where that fills vectors."""
    depth, columns = b.shape[-2:]
    if columns >= lanes and b.strides[-1] == 1:
        return ROWS
    if columns >= lanes and depth >= lanes and b.strides[-2] == 1:
        return COLUMNS
    return ELEMENTS


def can_pack(b: Tensor, target: Target, product: str) -> bool:
    """True when `pack` can make panels of b for a product that the target has."""
    return product != PAIRS or b.is_constant or _kernel_makes_pairs(b, target.lanes)


def _kernel_makes_pairs(b: Tensor, lanes: int) -> bool:
    order = _order(b, lanes)
    # Squares along k hold twice as many elements; those of an odd depth would begin in a pair.
    even = b.shape[-2] % 2 == 0 and b.shape[-2] >= 2 * lanes
    return order == ROWS or (order == COLUMNS and even)


def pack(b: Tensor, panels: Panels, target: Target) -> tuple[Buffer, list[Call]]:
    """Return the panels of every matrix of `b`, one after the other, and the calls that make them.

    Args:
        b: (batch..., depth, columns) of float32 that `can_pack`; for PAIRS of depth twice that of
            the panels or one less.
    """
    batch = math.prod(b.shape[:-2])
    pairs = panels.product == PAIRS
    if b.is_constant and pairs and not _kernel_makes_pairs(b, target.lanes):

        def make() -> Array:
            matrices = b.array().reshape(batch, *b.shape[-2:])
            made = np.empty((batch, panels.bytes // 4), np.float32)
            for each, matrix in enumerate(matrices):
                panels.fill(made[each], pairs_along_rows(matrix).view(np.float32))
            return made

        return Buffer(batch * panels.bytes, CONSTANT, make=make, name="panels"), []
    room = Buffer(batch * panels.bytes, CONSTANT if b.is_constant else TEMPORARY, name="panels")
    if panels.product == HALVES:
        plain = replace(panels, product=FLOAT32)
        step = Buffer(batch * plain.bytes, TEMPORARY, name="panels of float32")
        calls = [_packing(b, plain, step), _halving(batch, plain, step, panels, room)]
    else:
        calls = [_packing(b, panels, room)]
    if b.is_constant:
        room.compute_by(calls, target)
        return room, []
    return room, calls


def _packing(b: Tensor, panels: Panels, room: Buffer) -> Call:
    """Return the call that packs what a PackKernel can pack."""
    batch = math.prod(b.shape[:-2])
    depth, columns = b.shape[-2:]
    order = _order(b, panels.lanes)
    slots: list[Slot] = [b.pointer, Pointer(room), 4 * b.strides[-2], 4 * b.strides[-1]]
    slots += [depth, columns, panels.count, panels.full, panels.panel_bytes, panels.bytes]
    for size, stride in zip(b.shape[:-2], b.strides[:-2], strict=True):
        slots += [size, 4 * stride]
    part = 8 * depth * panels.lanes
    return Call(
        PackKernel(
            order, panels.vectors, panels.tail, panels.lanes, len(b.shape) - 2, panels.product
        ),
        tuple(slots),
        items=batch * panels.count,
        grain=max(1, 100_000 // part),
        traffic=batch * panels.count * part,
        label=f"pack {depth}x{columns}",
    )


def _halving(batch: int, plain: Panels, source: Buffer, panels: Panels, room: Buffer) -> Call:
    """Return the call that makes panels of float16 from those of float32."""
    slots: list[Slot] = [Pointer(source), Pointer(room), panels.depth, panels.count, panels.full]
    slots += [plain.panel_bytes, plain.bytes, panels.panel_bytes, panels.bytes]
    part = 6 * panels.depth * panels.lanes
    return Call(
        HalvesKernel(panels.vectors, panels.tail, panels.lanes),
        tuple(slots),
        items=batch * panels.count,
        grain=max(1, 100_000 // part),
        traffic=batch * panels.count * part,
        label=f"halve {panels.depth}x{panels.columns}",
    )


@dataclass(frozen=True)
class PackKernel(Kernel):
    """Writes one vector of columns of a panel per item.

    Attributes:
        order: ROWS, COLUMNS (both at least one vector long) or ELEMENTS.
        vectors, tail: of a panel, of the last panel if that is another.
        lanes: of a vector.
        batch: number of batch axes.
        product: FLOAT32 or PAIRS.
    """

    order: str
    vectors: int
    tail: int
    lanes: int
    batch: int
    product: str

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        fields = "*b *out b_k b_n depth columns count full panel_bytes bytes "
        fields += " ".join(f"size{axis} b{axis}" for axis in range(self.batch))
        block = f.block(fields)
        sizes = [getattr(block, f"size{axis}") for axis in range(self.batch)]
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            number, each = f.div(items.index, block.count), f.rem(items.index, block.count)
            source = block.b
            for axis, place in enumerate(split(f, number, sizes) if sizes else []):
                source = f.offset(source, f.mul(place, getattr(block, f"b{axis}")))
            panel, place = f.div(each, self.vectors), f.rem(each, self.vectors)
            goal = f.offset(block.out, f.mul(number, block.bytes))
            goal = f.offset(goal, f.mul(panel, block.panel_bytes))
            goal = f.offset(goal, f.mul(place, 4 * self.lanes))
            step: Index = 4 * self.lanes * self.vectors
            if self.tail:
                is_full = f.compare("slt", panel, block.full)
                step = f.select(is_full, f.value(step), f.value(4 * self.lanes * self.tail))
            first = f.min(f.mul(each, self.lanes), f.max(f.sub(block.columns, self.lanes), 0))
            source = f.offset(source, f.mul(first, block.b_n))
            emit = {ROWS: self._rows, COLUMNS: self._columns, ELEMENTS: self._elements}
            emit[self.order](f, block, source, goal, step, first)
        return module

    def _rows(
        self,
        f: Function,
        block: SimpleNamespace,
        source: Value,
        goal: Value,
        step: Index,
        first: Index,
    ) -> None:
        """Build the copy of vectors."""

        def load(k: Index) -> Value:
            return f.load(vector(self.lanes, F32), f.offset(source, f.mul(k, block.b_k)))

        def store(value: Value, place: Index) -> None:
            f.store(value, f.offset(goal, f.mul(place, step)), align=4 * self.lanes)

        if self.product == FLOAT32:
            with f.loop(0, block.depth) as loop:
                store(load(loop.index), loop.index)
            return
        half = f.div(block.depth, 2)
        with f.loop(0, half) as loop:
            k = f.mul(loop.index, 2)
            store(side_by_side(f, load(k), load(f.add(k, 1))), loop.index)
        with f.when(f.compare("ne", f.mul(half, 2), block.depth)):
            zero = Body(f, self.lanes, np.dtype(np.float32)).const(0.0)
            store(side_by_side(f, load(f.mul(half, 2)), zero), half)

    def _columns(
        self,
        f: Function,
        block: SimpleNamespace,
        source: Value,
        goal: Value,
        step: Index,
        first: Index,
    ) -> None:
        """Build the transposition of squares; the last one overlaps the one before."""
        ratio = 1 if self.product == FLOAT32 else 2
        length = ratio * self.lanes
        with f.loop(0, f.div(f.add(block.depth, length - 1), length)) as loop:
            k = f.min(f.mul(loop.index, length), f.sub(block.depth, length))
            columns = []
            for each in range(self.lanes):
                place = f.offset(source, f.add(f.mul(k, 4), f.mul(block.b_n, each)))
                parts = [
                    f.load(vector(self.lanes, F32), f.offset(place, 4 * self.lanes * part))
                    for part in range(ratio)
                ]
                columns.append(parts[0] if ratio == 1 else neighbours(f, *parts))
            place = f.offset(goal, f.mul(f.div(k, ratio), step))
            for each, value in enumerate(transposed(f, columns)):
                f.store(value, f.offset(place, f.mul(step, each)), align=4 * self.lanes)

    def _elements(
        self,
        f: Function,
        block: SimpleNamespace,
        source: Value,
        goal: Value,
        step: Index,
        first: Index,
    ) -> None:
        """Build the copy of single elements; lanes beyond the last column become zero."""
        count = f.min(f.sub(block.columns, first), self.lanes)
        zero = Body(f, self.lanes, np.dtype(np.float32)).const(0.0)
        with f.loop(0, block.depth) as loop:
            place = f.offset(goal, f.mul(loop.index, step))
            f.store(zero, place, align=4 * self.lanes)
            row = f.offset(source, f.mul(loop.index, block.b_k))
            with f.loop(0, count) as inner:
                item = f.load(F32, f.offset(row, f.mul(inner.index, block.b_n)))
                f.store(item, f.offset(place, f.mul(inner.index, 4)))
