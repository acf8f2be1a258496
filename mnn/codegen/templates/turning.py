"""Loads and stores of small matrices that lie across the lanes: turned in registers on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.codegen.builder import Function, Index, Value, vector
from mnn.codegen.templates import shuffles
from mnn.codegen.templates.access import memory_type
from mnn.records import dataclass

__all__ = ["Turned", "Turns", "tile_rows"]


def tile_rows(lanes: int, rows: int) -> int:
    """Return the rows of a tile: a power of two; `rows` is how many exist, or 0 for any number."""
    return min(lanes, 1 << (rows - 1).bit_length()) if rows else lanes


@dataclass(frozen=True)
class Turned:
    """A matrix whose columns (one for each lane) lie in memory as neighbours.

    Attributes:
        dtype: NumPy name of the elements.
        pointer: element of row 0 in column 0.
        stride: bytes from column to column.
        lanes: number of columns.
        size: rows of the tile, a power of two up to `lanes`.
        rows: how many of them exist, when that is known while generating.
        mask: lanes of a column that exist, None when all `size` do.
        count: columns that exist, None when all do; at least 1.
        masks: access under a mask is an instruction.
    """

    dtype: str
    pointer: Value
    stride: Index
    lanes: int
    size: int
    rows: int
    mask: Value | None
    count: Index | None
    masks: bool

    @property
    def _itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    def _column(self, function: Function, column: int) -> Value:
        """Return the place of a column, or of the last one when it does not exist."""
        place: Index = column
        if self.count is not None:
            place = function.min(column, function.sub(self.count, 1))
        return function.offset(self.pointer, function.mul(place, self.stride))

    def load(self, function: Function) -> list[Value]:
        """Return `size` rows of `lanes` elements, as they are in memory."""
        f, kind = function, vector(self.size, memory_type(self.dtype))
        columns = []
        for column in range(self.lanes):
            place = self._column(f, column)
            if self.mask is None or self.size == 1:
                columns.append(f.load(kind, place, self._itemsize))
            elif self.masks:
                columns.append(f.load_masked(kind, place, self.mask, self._itemsize))
            else:
                single = f.undefined(kind)
                for row in range(self.rows):
                    here = f.offset(place, row * self._itemsize)
                    item = f.load(memory_type(self.dtype), here, self._itemsize)
                    single = f.insert(single, item, row)
                columns.append(single)
        wide = [shuffles.joined(f, columns[row :: self.size]) for row in range(self.size)]
        return shuffles.transposed(f, wide)

    def store(self, function: Function, values: Sequence[Value]) -> None:
        """Write rows of `lanes` elements, as they are in memory."""
        every = [*values, *[values[0]] * (self.size - len(values))]
        for row, wide in enumerate(shuffles.transposed(function, every)):
            for block, value in enumerate(shuffles.parts(function, wide, self.size)):
                self._store_column(function, block * self.size + row, value)

    def _store_column(self, function: Function, column: int, value: Value) -> None:
        f, place, mask = function, self._column(function, column), self.mask
        if self.count is not None:
            exists = f.splat(f.compare("slt", column, self.count), self.size)
            mask = exists if mask is None else f.both(mask, exists)
        if mask is None:
            f.store(value, place, self._itemsize)
        elif self.masks and self.size > 1:
            f.store_masked(value, place, mask, self._itemsize)
        elif self.masks:
            with f.when(mask):
                f.store(value, place, self._itemsize)
        else:
            for row in range(self.rows):
                here = f.offset(place, row * self._itemsize)
                f.store(f.extract(value, row), here, self._itemsize)


@dataclass(frozen=True)
class Turns:
    """Elements of a few rows that take turns in memory.

    Attributes:
        pointer: element of row 0 in lane 0.
        backwards: row 0 comes last in each turn.
        mirrored: lane 0 comes last.
    """

    dtype: str
    pointer: Value
    lanes: int
    rows: int
    backwards: bool = False
    mirrored: bool = False

    def _vectors(self, function: Function) -> list[Value]:
        """Return the places of the vectors."""
        size = np.dtype(self.dtype).itemsize
        before = self.rows - 1 if self.backwards else 0
        before += (self.lanes - 1) * self.rows if self.mirrored else 0
        width = self.lanes * size
        return [
            function.offset(self.pointer, each * width - before * size) for each in range(self.rows)
        ]

    def load(self, function: Function) -> list[Value]:
        """Return the rows, as they are in memory."""
        kind, size = vector(self.lanes, memory_type(self.dtype)), np.dtype(self.dtype).itemsize
        loaded = [function.load(kind, place, size) for place in self._vectors(function)]
        rows = shuffles.apart(function, loaded, mirrored=self.mirrored)
        return rows[::-1] if self.backwards else rows

    def store(self, function: Function, values: Sequence[Value]) -> None:
        """Write the rows, as they are in memory."""
        ordered = list(values)[::-1] if self.backwards else list(values)
        stored = shuffles.together(function, ordered, mirrored=self.mirrored)
        for place, value in zip(self._vectors(function), stored, strict=True):
            function.store(value, place, np.dtype(self.dtype).itemsize)
