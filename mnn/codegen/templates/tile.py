"""Register tiles: some rows of A times some vectors of B, summed in registers.

The innermost part of matrix products and of convolutions as matrix products. A is read in place,
row by row; B lies in panels: for each k, `Tile.width` neighbouring columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I32, I64, Function, Index, Value, vector
from mnn.codegen.target import Target
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = [
    "FLOAT32",
    "HALVES",
    "LONG_SUM",
    "PAIRS",
    "ListedRows",
    "Rows",
    "StridedRows",
    "Tile",
    "accumulate",
    "accumulate_long",
    "check_product",
    "prefetch_panel",
    "short_product",
    "zeros",
]

FLOAT32, PAIRS, HALVES = "float32", "bfloat16 pairs", "float16"
_FLOAT = np.dtype(np.float32)
_CACHE_LINE = 64

LONG_SUM = 256
"""Steps along k after which sums begin anew, where rounding matters."""


@dataclass(frozen=True)
class Tile:
    """The shape of a register tile; plain data, fit for the description of a kernel.

    Attributes:
        rows, vectors: rows of A, vectors of columns of B. Sums come in this order: all vectors of
            row 0, all vectors of row 1, ...
        lanes: float32 elements of a vector.
        product: what one step along k multiplies. FLOAT32: one float32 of A and of each column.
            PAIRS: two neighbouring bfloat16 of A, and two of each column lying side by side; all
            other geometry is that of float32, with half as many steps. HALVES: one float16 of A
            and of each column, see `float16`; panels have float16, all other geometry is that of
            float32.
    """

    rows: int
    vectors: int
    lanes: int
    product: str = FLOAT32

    @property
    def width(self) -> int:
        """Columns."""
        return self.vectors * self.lanes

    @property
    def sums(self) -> int:
        """Vectors of sums."""
        return self.rows * self.vectors

    @property
    def panel_step(self) -> int:
        """Bytes from one step of a packed panel of B to the next."""
        return (2 if self.product == HALVES else 4) * self.width

    @property
    def panel_align(self) -> int:
        """What the addresses of vectors in a packed panel are multiples of."""
        return (2 if self.product == HALVES else 4) * self.lanes

    @property
    def instructions(self) -> int:
        """Multiply-add instructions of a step."""
        each = -(-self.vectors // 2) if self.product == HALVES else self.vectors
        return self.rows * each

    @property
    def spill_bytes(self) -> int:
        """Bytes of the sums in memory."""
        return 4 * self.sums * self.lanes


class Rows(ABC):
    """Where the rows of something lie: an address for each row of a tile."""

    @abstractmethod
    def pointer(self, f: Function, row: Index) -> Value:
        """Return the address of the first element of a row."""

    def ready(self, f: Function, count: int) -> Callable[[Index], list[Value]]:
        """Return a function from a distance in bytes to the addresses of rows 0..count there.

        Call this before a loop and the result inside.
        """
        first = [self.pointer(f, row) for row in range(count)]
        return lambda distance: [f.offset(each, distance) for each in first]


@dataclass(frozen=True)
class StridedRows(Rows):
    """Rows at equal distances.

    Attributes:
        base: address of row 0.
        stride: bytes from a row to the next.
    """

    base: Value
    stride: Index

    def pointer(self, f: Function, row: Index) -> Value:
        """Return the address of the first element of a row."""
        return f.offset(self.base, f.mul(self.stride, row))

    def ready(self, f: Function, count: int) -> Callable[[Index], list[Value]]:
        """Return a function from a distance in bytes to the addresses of rows 0..count there."""
        # One register for every third row, and the stride and its double as index registers:
        # x86 has not enough registers for one pointer a row.
        double = f.mul(self.stride, 2)
        third = f.add(double, self.stride)
        groups = [self.base]
        for _ in range(1, -(-count // 3)):
            groups.append(f.offset(groups[-1], third))
        steps = (0, self.stride, double)

        def at(distance: Index) -> list[Value]:
            moved = [f.offset(each, distance) for each in groups]
            return [f.offset(moved[row // 3], steps[row % 3]) for row in range(count)]

        return at


@dataclass(frozen=True)
class ListedRows(Rows):
    """Rows at the distances that a table of int64 in memory tells, in bytes.

    Attributes:
        base: what the distances count from.
        table: address of the distance of row 0.
        extra: bytes added to each.
    """

    base: Value
    table: Value
    extra: Index = 0

    def pointer(self, f: Function, row: Index) -> Value:
        """Return the address of the first element of a row."""
        distance = f.load(I64, f.offset(self.table, f.mul(row, 8)), align=8)
        return f.offset(f.offset(self.base, self.extra), distance)


def zeros(f: Function, tile: Tile) -> list[Value]:
    """Return the sums of nothing."""
    zero = Body(f, tile.lanes, _FLOAT).const(0.0)
    return [zero] * tile.sums


def accumulate(
    f: Function,
    tile: Tile,
    sums: Sequence[Value],
    rows: Rows,
    panel: Value,
    steps: Index,
    *,
    panel_step: Index = 0,
    starts: Sequence[Index] | None = None,
    align: int = 4,
    ahead: int = 0,
) -> list[Value]:
    """Return sums plus the products of `steps` steps along k, at least one.

    Args:
        sums: where to start, `tile.sums` vectors.
        rows: where A's rows begin; elements of a row are neighbours, in memory of alignment 4
            (2 is enough for PAIRS).
        panel: B's elements of the first step.
        panel_step: bytes from a step of B to the next; 0 stands for `tile.panel_step`.
        starts: which element of a step each vector begins with; by default they lie side by side.
        align: what the addresses in B are multiples of.
        ahead: how many bytes further on B is asked for, so that it comes into the second-level
            cache in time; 0 leaves that to the machine.

    Raises:
        CodegenError: the target has no such product.
    """
    check_product(f.target, tile)
    step = panel_step or tile.panel_step
    at = rows.ready(f, tile.rows)
    if starts is None:
        starts = [each * tile.lanes for each in range(tile.vectors)]
    vectors = [f.offset(panel, f.mul(each, 4)) for each in starts]
    held = list(sums)
    start: Index = 0
    turns = f.turns
    if f.target.lane_multiply and tile.lanes > 1 and tile.product == FLOAT32:
        start, turns = f.floor_to(steps, tile.lanes), f.loop
        with f.loop(0, start, tile.lanes, held) as loop:
            kind = vector(tile.lanes, F32)
            values = [f.load(kind, each, align=4) for each in at(f.mul(loop.index, 4))]
            loop.next = list(loop.carried)
            for lane in range(tile.lanes):
                columns = _columns(f, tile, vectors, f.mul(f.add(loop.index, lane), step), align)
                factors = [f.shuffle(each, None, [lane] * tile.lanes) for each in values]
                loop.next = _multiply(f, tile, loop.next, factors, columns)
        held = loop.results
    with turns(start, steps, 1, held) as loop:
        if ahead:
            prefetch_panel(f, tile, f.offset(panel, f.mul(loop.index, step)), ahead)
        columns = _columns(f, tile, vectors, f.mul(loop.index, step), align)
        # In this order every factor is used as soon as it is there and needs one register.
        loop.next = []
        for row, place in enumerate(at(f.mul(loop.index, 4))):
            own = loop.carried[row * tile.vectors : (row + 1) * tile.vectors]
            loop.next += _multiply(f, tile, own, [_factor(f, tile, place)], columns)
    return loop.results


def accumulate_long(
    f: Function,
    tile: Tile,
    sums: Sequence[Value],
    rows: StridedRows,
    panel: Value,
    steps: Index,
    *,
    panel_step: Index = 0,
    starts: Sequence[Index] | None = None,
    align: int = 4,
    ahead: int = 0,
    length: int = LONG_SUM,
) -> list[Value]:
    """Return what `accumulate` does, with less rounding: parts of `length` are summed apart."""
    k = Body(f, tile.lanes, _FLOAT)
    step = panel_step or tile.panel_step
    with f.turns(0, steps, length, sums) as blocks:
        part = accumulate(
            f,
            tile,
            zeros(f, tile),
            StridedRows(f.offset(rows.base, f.mul(blocks.index, 4)), rows.stride),
            f.offset(panel, f.mul(blocks.index, step)),
            f.min(f.sub(steps, blocks.index), length),
            panel_step=panel_step,
            starts=starts,
            align=align,
            ahead=ahead,
        )
        blocks.next = [k.add(*each) for each in zip(blocks.carried, part, strict=True)]
    return blocks.results


def short_product(target: Target) -> str:
    """Return what a step multiplies where low precision is good enough."""
    if target.bfloat16:
        return PAIRS
    return HALVES if target.float16_products else FLOAT32


def check_product(target: Target, tile: Tile) -> None:
    """Raise CodegenError when the target does not have the products of a tile."""
    has = {PAIRS: target.bfloat16, HALVES: target.float16_products}.get(tile.product, True)
    if not has or (tile.product != FLOAT32 and tile.lanes != target.lanes):
        raise CodegenError(
            f"register tile: products of {tile.product} in {tile.lanes} lanes on target "
            f"{target.name}, which has none. Use float32."
        )


def prefetch_panel(f: Function, tile: Tile, place: Value, ahead: int) -> None:
    """Build the request for the step of a panel that lies `ahead` bytes behind `place`."""
    for line in range(0, tile.panel_step, _CACHE_LINE):
        f.prefetch(f.offset(place, ahead + line), locality=2)


def _columns(
    f: Function, tile: Tile, vectors: Sequence[Value], distance: Index, align: int
) -> list[Value]:
    """Return the vectors of B at a step, given where they are at the first."""
    kind = vector(tile.lanes, F32 if tile.product == FLOAT32 else I32)
    return [f.load(kind, f.offset(each, distance), align=align) for each in vectors]


def _factor(f: Function, tile: Tile, place: Value) -> Value:
    """Return one step of a row of A in all lanes."""
    if tile.product == PAIRS:
        return f.splat(f.load(I32, place, align=2), tile.lanes)
    return f.splat(f.load(F32, place, align=4), tile.lanes)


def _multiply(
    f: Function,
    tile: Tile,
    sums: Sequence[Value],
    factors: Sequence[Value],
    columns: Sequence[Value],
) -> list[Value]:
    """Return sums plus the products of each factor (a row) and each vector of columns."""
    if tile.product == FLOAT32:
        k = Body(f, tile.lanes, _FLOAT)
        return [
            k.fma(factors[row], columns[each], sums[row * tile.vectors + each])
            for row in range(len(factors))
            for each in range(tile.vectors)
        ]
    kind = vector(2 * tile.lanes, "bfloat")

    def pairs(value: Value) -> Value:
        return f.make(f"bitcast {value.type} {value.text} to {kind}", kind)

    left, right = [pairs(each) for each in factors], [pairs(each) for each in columns]
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * tile.lanes}"
    return [
        f.intrinsic(
            name,
            vector(tile.lanes, F32),
            [sums[row * tile.vectors + each], left[row], right[each]],
        )
        for row in range(len(factors))
        for each in range(tile.vectors)
    ]
