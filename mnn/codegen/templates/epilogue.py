"""What happens to a register tile before it is stored: a fused program, with its operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body, element_type
from mnn.codegen.builder import I1, I8, Function, Index, Module, Value, element, lanes_of, vector
from mnn.codegen.kernel import Epilogue, Tensor
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.tile import Rows, Tile
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["Ending", "Operand", "ending_of", "load_columns", "store_columns"]

_FLOAT = np.dtype(np.float32)
_LONG = 12
"""Instructions a vector above which the program is a loop over rows instead of straight code."""


@dataclass(frozen=True)
class Operand:
    """How an operand of an epilogue varies.

    Attributes:
        dtype: NumPy name of its dtype.
        by_row: it differs from row to row.
        by_column: it differs from column to column, and columns are neighbours in memory.
    """

    dtype: str
    by_row: bool
    by_column: bool

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Ending:
    """What becomes of a tile's sums; plain data, part of the description of a kernel.

    Attributes:
        program: input 0 is the sum (float32), the others are the operands; None stores the sums.
        operands: one for each further input of the program.
    """

    program: Program | None = None
    operands: tuple[Operand, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of what is stored."""
        if self.program is None:
            return _FLOAT
        return np.dtype(self.program.dtype(self.program.outputs[0]))

    def spills(self, target: Target) -> bool:
        """True when `store` needs memory for the sums: long programs run row by row."""
        if self.program is None:
            return False
        trial = Module(target).function("trial", [])
        inputs = [
            Value("poison", vector(target.lanes, element_type(np.dtype(each))))
            for each in self.program.inputs
        ]
        self.program.emit(trial, target.lanes, inputs)
        return trial.text().count("\n") > _LONG + 4

    def store(
        self,
        f: Function,
        tile: Tile,
        sums: Sequence[Value],
        out: Rows,
        operands: Sequence[Rows] = (),
        *,
        columns: Index | None = None,
        starts: Sequence[Index] | None = None,
        spill: Value | None = None,
    ) -> None:
        """Build the program on all sums and store the results.

        Args:
            out: where the first column of the tile's rows is stored; columns are neighbours.
            starts: which column each vector of the tile begins with, counted from the tile's
                first; by default the vectors lie side by side. Not together with `columns`.
            operands: where each operand's elements for the first column lie. A row's address must
                be right for every row, also where `by_row` is False.
            columns: how many columns are stored and may be read from operands, at least 1; None
                stands for all.
            spill: memory of `tile.spill_bytes` bytes, aligned to 64; needed where `spills`.
        """
        if starts is None:
            starts = [each * tile.lanes for each in range(tile.vectors)]
        if spill is None:
            self._store_rows(f, tile, sums, out, operands, columns, starts, 0, tile.rows)
            return
        size = 4 * tile.lanes
        for number, each in enumerate(sums):
            f.store(each, f.offset(spill, size * number), align=size)
        with f.loop(0, tile.rows) as loop:
            row = f.offset(spill, f.mul(loop.index, size * tile.vectors))
            held = [
                f.load(sums[0].type, f.offset(row, size * each), align=size)
                for each in range(tile.vectors)
            ]
            self._store_rows(f, tile, held, out, operands, columns, starts, loop.index, 1)

    def _store_rows(
        self,
        f: Function,
        tile: Tile,
        sums: Sequence[Value],
        out: Rows,
        operands: Sequence[Rows],
        columns: Index | None,
        starts: Sequence[Index],
        first: Index,
        count: int,
    ) -> None:
        loaded: dict[tuple[int, int, int], Value] = {}
        size = self.dtype.itemsize
        for row in range(count):
            number = f.add(first, row)
            target = out.pointer(f, number)
            places = [each.pointer(f, number) for each in operands]
            for each, start in enumerate(starts):
                result = sums[row * tile.vectors + each]
                values = [
                    self._operand(f, tile, loaded, index, places[index], row, each, start, columns)
                    for index in range(len(self.operands))
                ]
                if self.program is not None:
                    (result,) = self.program.emit(f, tile.lanes, [result, *values])
                store_columns(f, result, f.offset(target, f.mul(start, size)), size, start, columns)

    def _operand(
        self,
        f: Function,
        tile: Tile,
        loaded: dict[tuple[int, int, int], Value],
        index: int,
        place: Value,
        row: int,
        each: int,
        start: Index,
        columns: Index | None,
    ) -> Value:
        """Return an operand's elements for one vector; what does not vary is loaded once."""
        kind = self.operands[index]
        key = (index, row if kind.by_row else 0, each if kind.by_column else 0)
        if key in loaded:
            return loaded[key]
        dtype = np.dtype(kind.dtype)
        base = I8 if dtype.kind == "b" else element_type(dtype)
        if kind.by_column:
            where = f.offset(place, f.mul(start, kind.itemsize))
            value = load_columns(f, vector(tile.lanes, base), where, kind.itemsize, start, columns)
        else:
            value = f.splat(f.load(base, place, align=kind.itemsize), tile.lanes)
        if dtype.kind == "b":
            value = Body(f, tile.lanes, np.dtype(np.uint8)).truth(value)
        loaded[key] = value
        return value


def load_columns(
    f: Function, kind: str, place: Value, align: int, start: Index = 0, columns: Index | None = None
) -> Value:
    """Return a vector of neighbours; lanes whose number + start is not below `columns` are 0."""
    lanes = lanes_of(kind)
    if columns is None:
        return f.load(kind, place, align=align)
    if f.target.masks:
        return f.load_masked(kind, place, _mask(f, columns, start, lanes), align=align)
    with f.loop(0, _count(f, columns, start, lanes), 1, [Value("zeroinitializer", kind)]) as loop:
        item = f.load(element(kind), f.offset(place, f.mul(loop.index, align)), align=align)
        loop.next = [
            f.make(
                f"insertelement {kind} {loop.carried[0].text}, {item.type} {item.text}, "
                f"i64 {loop.index.text}",
                kind,
            )
        ]
    return loop.results[0]


def store_columns(
    f: Function,
    value: Value,
    place: Value,
    align: int,
    start: Index = 0,
    columns: Index | None = None,
) -> None:
    """Store the lanes whose number + start is below `columns`; bools as bytes."""
    lanes = lanes_of(value.type)
    if element(value.type) == I1:
        kind = vector(lanes, I8)
        value = f.make(f"zext {value.type} {value.text} to {kind}", kind)
    if columns is None:
        f.store(value, place, align=align)
    elif f.target.masks:
        f.store_masked(value, place, _mask(f, columns, start, lanes), align=align)
    else:
        with f.loop(0, _count(f, columns, start, lanes)) as loop:
            item = f.extract(value, loop.index)
            f.store(item, f.offset(place, f.mul(loop.index, align)), align=align)


def _mask(f: Function, columns: Index, start: Index, lanes: int) -> Value:
    return f.first_lanes(f.sub(columns, start), lanes)


def _count(f: Function, columns: Index, start: Index, lanes: int) -> Index:
    return f.min(f.max(f.sub(columns, start), 0), lanes)


def ending_of(epilogue: Epilogue | None, shape: Sequence[int]) -> tuple[Ending, tuple[Tensor, ...]]:
    """Return what an epilogue does, and its operands broadcast to the shape of the result.

    Args:
        shape: of the result; its last axis are the columns, the one before are the rows.

    Raises:
        CodegenError: the program has not one output or not a float32 as first input, its inputs
            do not match the operands, or an operand's columns are not neighbours.
    """
    if epilogue is None:
        return Ending(), ()
    program = epilogue.program
    tensors = tuple(each.broadcast(shape) for each in epilogue.operands)
    found = tuple(str(each.dtype) for each in tensors)
    if program.reduces or len(program.outputs) != 1 or program.inputs != ("float32", *found):
        raise CodegenError(
            f"epilogue: found a program of inputs {program.inputs} with {len(program.outputs)} "
            f"outputs for operands of {found}, expected float32 and the operands' dtypes, one "
            "output and no reductions. Run it as a loop of its own."
        )
    operands = []
    for each in tensors:
        if each.shape[-1] > 1 and each.strides[-1] not in (0, 1):
            raise CodegenError(
                f"epilogue: an operand has columns {each.strides[-1]} elements apart, expected 0 "
                "or 1. Copy it first."
            )
        operands.append(
            Operand(
                str(each.dtype),
                by_row=each.shape[-2] > 1 and each.strides[-2] != 0,
                by_column=each.shape[-1] > 1 and each.strides[-1] != 0,
            )
        )
    return Ending(program, tuple(operands)), tensors
