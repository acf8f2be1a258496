"""Few rows times columns that lie along k: dot products of vectors, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Kernel
from mnn.codegen.target import Target
from mnn.codegen.templates.epilogue import Ending
from mnn.codegen.templates.product import BIAS_ONE, NO_BIAS, batch_fields, located
from mnn.codegen.templates.tile import StridedRows, Tile
from mnn.records import dataclass

__all__ = ["MOST_ROWS", "DotProducts", "columns_at_once", "sums_of_lanes"]

MOST_ROWS = 4
"""Rows of A up to which this is the way."""
_FLOAT = np.dtype(np.float32)


def columns_at_once(target: Target, rows: int, n: int) -> int:
    """Return how many columns a step takes: a power of two, not more than there are."""
    many = {1: 8, 2: 8, 3: 4, 4: 4} if target.registers > 16 else {1: 8, 2: 4, 3: 2, 4: 2}
    columns = min(many[rows], target.lanes)
    while columns > n:
        columns //= 2
    return columns


@dataclass(frozen=True)
class DotProducts(Kernel):
    """out = ending(a b + bias) over a batch, where columns of b and rows of a lie along k.

    Attributes:
        rows: of a, MOST_ROWS at most.
        columns: of b at once; the last ones overlap those before.
        bias, batch, ending: as for `TiledProduct`.
    """

    rows: int
    columns: int
    bias: str
    batch: int
    ending: Ending

    def fields(self) -> str:
        """Return the names of the argument block's slots; strides are in bytes."""
        names = "*a *b *out *bias a_row b_column out_row steps n groups block_groups blocks "
        return names + batch_fields(self.batch, self.ending)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        block = f.block(self.fields())
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            at = located(f, block, items.index, self.batch, self.ending, [block.blocks])
            first = f.mul(at.blocks[0], block.block_groups)
            with f.loop(first, f.min(f.add(first, block.block_groups), block.groups)) as groups:
                column = f.mul(groups.index, self.columns)
                self._group(f, block, at, f.min(column, f.sub(block.n, self.columns)))
        return module

    def _group(
        self, f: Function, block: SimpleNamespace, at: SimpleNamespace, column: Index
    ) -> None:
        """Build all products of one group of columns."""
        lanes = f.target.lanes
        rows = StridedRows(at.a, block.a_row).ready(f, self.rows)
        start = f.offset(at.b, f.mul(column, block.b_column))
        columns = StridedRows(start, block.b_column).ready(f, self.columns)
        k = Body(f, lanes, _FLOAT)
        held = [k.const(0.0)] * (self.rows * self.columns)
        whole = f.floor_to(block.steps, lanes)
        kind = vector(lanes, F32)
        with f.loop(0, whole, lanes, held) as loop:
            left = [f.load(kind, each) for each in rows(f.mul(loop.index, 4))]
            right = [f.load(kind, each) for each in columns(f.mul(loop.index, 4))]
            loop.next = _products(k, left, right, loop.carried)
        held = loop.results
        if f.target.masks:
            with f.loop(whole, block.steps, lanes, held) as loop:
                mask = f.first_lanes(f.sub(block.steps, loop.index), lanes)
                left = [f.load_masked(kind, each, mask) for each in rows(f.mul(loop.index, 4))]
                right = [f.load_masked(kind, each, mask) for each in columns(f.mul(loop.index, 4))]
                loop.next = _products(k, left, right, loop.carried)
            sums = self._joined(f, loop.results)
        else:
            single = Body(f, 1, _FLOAT)
            rest = [single.const(0.0)] * (self.rows * self.columns)
            with f.loop(whole, block.steps, 1, rest) as loop:
                left = [f.load(F32, each) for each in rows(f.mul(loop.index, 4))]
                right = [f.load(F32, each) for each in columns(f.mul(loop.index, 4))]
                loop.next = _products(single, left, right, loop.carried)
            sums = self._with_rest(f, self._joined(f, held), loop.results)
        self._finish(f, block, at, column, sums)

    def _joined(self, f: Function, held: Sequence[Value]) -> list[Value]:
        """Return one vector for each row: the sum over the lanes for each column."""
        return [
            sums_of_lanes(f, held[row * self.columns : (row + 1) * self.columns])
            for row in range(self.rows)
        ]

    def _with_rest(self, f: Function, sums: Sequence[Value], rest: Sequence[Value]) -> list[Value]:
        """Return the sums with what is left of each column added."""
        k = Body(f, self.columns, _FLOAT)
        made = []
        for row, each in enumerate(sums):
            more = rest[row * self.columns]
            if self.columns > 1:
                more = f.undefined(each.type)
                for column in range(self.columns):
                    more = f.insert(more, rest[row * self.columns + column], column)
            made.append(k.add(each, more))
        return made

    def _finish(
        self,
        f: Function,
        block: SimpleNamespace,
        at: SimpleNamespace,
        column: Index,
        sums: list[Value],
    ) -> None:
        """Build bias, ending and stores."""
        if self.bias != NO_BIAS:
            k = Body(f, self.columns, _FLOAT)
            if self.bias == BIAS_ONE:
                bias = f.splat(f.load(F32, block.bias), self.columns)
            else:
                place = f.offset(block.bias, f.mul(column, 4))
                bias = f.load(vector(self.columns, F32), place)
            sums = [k.add(each, bias) for each in sums]
        out = f.offset(at.out, f.mul(column, self.ending.dtype.itemsize))
        operands = [
            StridedRows(
                f.offset(each, f.mul(column, kind.itemsize)) if kind.by_column else each,
                getattr(block, f"operand{n}_row"),
            )
            for n, (each, kind) in enumerate(zip(at.operands, self.ending.operands, strict=True))
        ]
        tile = Tile(self.rows, 1, self.columns)
        self.ending.store(f, tile, sums, StridedRows(out, block.out_row), operands)


def _products(
    k: Body, left: Sequence[Value], right: Sequence[Value], sums: Sequence[Value]
) -> list[Value]:
    """Return sums plus the products of each left and each right."""
    return [
        k.fma(each, other, sums[row * len(right) + column])
        for row, each in enumerate(left)
        for column, other in enumerate(right)
    ]


def sums_of_lanes(f: Function, vectors: Sequence[Value]) -> Value:
    """Return a vector of the sum over the lanes of each vector; their number is a power of two."""
    held = list(vectors)
    lanes = f.target.lanes
    while len(held) > 1:
        # Lanes of one vector in the first half, of the next in the second.
        held = [_pairs(f, *each) for each in zip(held[::2], held[1::2], strict=True)]
    (single,) = held
    while lanes > len(vectors):
        lanes //= 2
        k = Body(f, lanes, _FLOAT)
        if lanes == 1:
            return k.add(f.extract(single, 0), f.extract(single, 1))
        even = f.shuffle(single, None, range(0, 2 * lanes, 2))
        single = k.add(even, f.shuffle(single, None, range(1, 2 * lanes, 2)))
    return single


def _pairs(f: Function, left: Value, right: Value) -> Value:
    """Return sums of neighbouring lanes: those of left, then those of right."""
    lanes = f.target.lanes
    even = f.shuffle(left, right, range(0, 2 * lanes, 2))
    odd = f.shuffle(left, right, range(1, 2 * lanes, 2))
    return Body(f, lanes, _FLOAT).add(even, odd)
