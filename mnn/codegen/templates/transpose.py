"""Element by element over two axes that operands walk in different order.

Lanes lie along one axis, the *long* one. Operands whose neighbours lie along the other one, the
*cross* axis, are loaded in vectors along that and transposed in registers, tile by tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.builder import Function, Index, Module, Value
from mnn.codegen.kernel import Kernel
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    CROSS,
    ONE,
    TAKING_TURNS,
    Stream,
    computed,
    in_memory,
    masks_tails,
    odometer,
    tail_mask,
    vector_lanes,
)
from mnn.codegen.templates.schedule import is_constant, make_schedule, used_dtypes, values_of
from mnn.codegen.templates.turning import Turned, Turns, tile_rows
from mnn.records import dataclass, field

__all__ = ["BLOCK_TILES", "TileKernel", "tile_lanes"]

BLOCK_TILES = 32
"""Tiles along the long axis that are one item."""


def tile_lanes(program: Program, target: Target) -> int:
    """Return the lanes of a tile: those of a vector, but at most 16."""
    return min(16, vector_lanes(target, used_dtypes(program)))


@dataclass(frozen=True)
class TileKernel(Kernel):
    """A program over tiles.

    Attributes:
        memory: dtypes in memory of inputs, then outputs; float16 is computed as float32.
        inputs, outputs: how neighbours along the long axis lie (ONE, SIDE, REVERSED, FAR), or
            CROSS or TAKING_TURNS.
        fixed: for each input, whether it is one element for all positions along both axes.
        directions: for inputs and outputs whether they go backwards along the cross axis, and
            along the long axis.
        kept: number of further axes, outside.
        rows: size of the cross axis when it is small; 0: any.
        overlaps: the last tiles begin early enough to be whole, and repeat what others did; both
            axes are long enough for that, and no input may be the memory of an output.

    Arguments: for each operand its pointer and strides in bytes along the further axes, the cross
    axis in steps of tiles, the long axis in steps of blocks, then along both by element; sizes of
    the further axes, tiles and blocks; sizes of the cross axis and the long axis.
    """

    program: Program
    memory: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    fixed: tuple[bool, ...]
    directions: tuple[tuple[bool, bool], ...]
    kept: int
    rows: int = 0
    overlaps: bool = False

    @property
    def operands(self) -> list[str]:
        """Names of operands in the argument block."""
        names = [f"x{number}" for number in range(len(self.inputs))]
        return names + [f"y{number}" for number in range(len(self.outputs))]

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for each in self.operands:
            names.append(f"*{each}")
            names += [f"{each}k{axis}" for axis in range(self.kept + 2)]
            names += [f"{each}cross", f"{each}long"]
        names += [f"k{axis}" for axis in range(self.kept + 2)]
        return " ".join([*names, "cross", "long"])

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Tiles(self, module.entry(), target).build()
        return module


@dataclass
class _Tile:
    """One tile being built.

    Attributes:
        pointers: of the operands, at the first element.
        count: positions along the long axis that exist, None: all.
        rows: positions along the cross axis that exist, None: all.
    """

    pointers: list[Value]
    count: Index | None = None
    rows: Index | None = None
    mask: Value | None = None
    held: dict[int, Value] = field(default_factory=dict)


class _Tiles:
    """Builds the code of a TileKernel."""

    def __init__(self, kernel: TileKernel, function: Function, target: Target) -> None:
        self.kernel, self.function, self.program = kernel, function, kernel.program
        self.lanes = tile_lanes(self.program, target)
        self.size = tile_rows(self.lanes, kernel.rows)
        self.kinds = kernel.inputs + kernel.outputs
        self.dtypes = kernel.memory
        self.count = len(kernel.inputs)
        self.masks = masks_tails(target, self.dtypes, self.kinds)
        self.masks_rows = masks_tails(target, self.dtypes, [])
        self.widest = max(np.dtype(each).itemsize for each in used_dtypes(self.program))
        self.block: SimpleNamespace = function.block(kernel.fields())
        self.schedule = make_schedule(
            self.program, kernel.fixed, [True] * len(kernel.outputs), save=False
        )

    def _argument(self, name: str) -> Value:
        found: Value = getattr(self.block, name)
        return found

    def build(self) -> None:
        """Build the walk over items."""
        f, kernel = self.function, self.kernel
        _, lo, hi, _ = f.arguments
        axes = range(kernel.kept + 2)
        sizes = [self._argument(f"k{axis}") for axis in axes]
        pointers = [self._argument(each) for each in kernel.operands]
        strides = [[self._argument(f"{each}k{axis}") for axis in axes] for each in kernel.operands]
        width = self.lanes * BLOCK_TILES
        with odometer(f, lo, hi, sizes, pointers, strides) as (item, places):
            tile = f.rem(f.div(item, sizes[-1]), sizes[-2])
            start = f.mul(f.rem(item, sizes[-1]), width)
            length = f.min(f.sub(self._argument("long"), start), width)
            row_values = self._row_values(places)
            spread = {each: f.splat(value, self.lanes) for each, value in row_values.items()}
            if kernel.overlaps:
                self._overlapping(places, tile, length, spread)
            else:
                self._exact(places, tile, length, row_values, spread)

    def _overlapping(
        self, pointers: list[Value], tile: Index, length: Index, spread: dict[int, Value]
    ) -> None:
        """Build the loop over whole tiles, the last of them moved back."""
        f, back = self.function, self.function.constant(0)
        if not self.kernel.rows:
            room = f.sub(self._argument("cross"), f.mul(f.add(tile, 1), self.size))
            back = f.value(f.min(room, 0))
        pointers = self._moved(pointers, back, 0)
        last = f.sub(length, self.lanes)
        with f.loop(0, length, self.lanes) as loop:
            place = f.min(loop.index, last)
            self._tile(_Tile(self._moved(pointers, 0, place), held=dict(spread)))

    def _exact(
        self,
        pointers: list[Value],
        tile: Index,
        length: Index,
        row_values: dict[int, Value],
        spread: dict[int, Value],
    ) -> None:
        """Build the loop over whole tiles, and what is left."""
        f = self.function
        rows: Index | None = None
        many: Index = f.floor_to(length, self.lanes)
        if not self.kernel.rows:
            rows = f.min(f.sub(self._argument("cross"), f.mul(tile, self.size)), self.size)
            whole = f.compare("eq", rows, self.size)
            many = f.select(whole, f.value(many), f.constant(0))
        with f.loop(0, many, self.lanes) as loop:
            self._tile(_Tile(self._moved(pointers, 0, loop.index), held=dict(spread)))
        self._edge(pointers, row_values, many, length, rows)

    def _row_values(self, pointers: Sequence[Value]) -> dict[int, Value]:
        """Build, in all lanes, what is the same for all elements of an item."""
        f = self.function
        held: dict[int, Value] = {}
        for number, fixed in enumerate(self.kernel.fixed):
            if fixed:
                held[number] = Stream(self.dtypes[number], ONE, pointers[number]).load(f, 1, 0)
        whole = [
            value
            for value, row in enumerate(self.schedule.rows)
            if row and not is_constant(self.program, value)
        ]
        return values_of(f, 1, self.program, whole, held, lambda value: None)

    def _edge(
        self,
        pointers: list[Value],
        row_values: dict[int, Value],
        start: Index,
        end: Index,
        rows: Index | None,
    ) -> None:
        """Build the loop over what is no whole tile; `rows` None means all rows."""
        f = self.function
        if self.masks:
            spread = {each: f.splat(value, self.lanes) for each, value in row_values.items()}
            with f.loop(start, end, self.lanes) as loop:
                count = f.sub(end, loop.index)
                mask = tail_mask(f, count, self.lanes, self.widest)
                moved = self._moved(pointers, 0, loop.index)
                self._tile(_Tile(moved, count, rows, mask, dict(spread)))
            return
        every = rows if rows is not None else (self.kernel.rows or self.size)
        with f.loop(start, end) as along, f.loop(0, every) as across:
            self._single(self._moved(pointers, across.index, along.index), row_values)

    def _moved(self, pointers: Sequence[Value], cross: Index, along: Index) -> list[Value]:
        f = self.function
        return [
            f.offset(
                f.offset(place, f.mul(along, self._argument(f"{name}long"))),
                f.mul(cross, self._argument(f"{name}cross")),
            )
            for place, name in zip(pointers, self.kernel.operands, strict=True)
        ]

    def _single(self, pointers: Sequence[Value], row_values: dict[int, Value]) -> None:
        """Build one element."""
        f = self.function

        def leaf(value: int) -> Value | None:
            if value < self.count:
                return Stream(self.dtypes[value], ONE, pointers[value]).load(f, 1, 0)
            return None

        outputs = self.program.outputs
        held = values_of(f, 1, self.program, outputs, dict(row_values), leaf)
        for number, value in enumerate(outputs, self.count):
            Stream(self.dtypes[number], ONE, pointers[number]).store(f, held[value], 1, 0)

    # --- a tile ----------------------------------------------------------------------------------

    def _tile(self, tile: _Tile) -> None:
        """Build one tile: load and turn, compute row by row, turn and store."""
        f, outputs = self.function, self.program.outputs
        turned = {
            number: self._load_turned(tile, number)
            for number in range(self.count)
            if self.kinds[number] in (CROSS, TAKING_TURNS)
        }
        collected: dict[int, list[Value]] = {}
        for row in range(self.kernel.rows or self.size):
            mask = self._row_mask(tile, row)

            def leaf(value: int, row: int = row, mask: Value | None = mask) -> Value | None:
                if value >= self.count:
                    return None
                if value in turned:
                    return computed(f, self.dtypes[value], turned[value][row])
                return self._stream(tile, value, row).load(f, self.lanes, 0, 0, mask)

            held = values_of(f, self.lanes, self.program, outputs, dict(tile.held), leaf)
            for number, value in enumerate(outputs, self.count):
                if self.kinds[number] in (CROSS, TAKING_TURNS):
                    stored = in_memory(f, self.dtypes[number], held[value])
                    collected.setdefault(number, []).append(stored)
                else:
                    stream = self._stream(tile, number, row)
                    stream.store(f, held[value], self.lanes, 0, 0, mask)
        for number, values in collected.items():
            self._store_turned(tile, number, values)

    def _row_mask(self, tile: _Tile, row: int) -> Value | None:
        f = self.function
        if tile.rows is None or tile.mask is None:
            return tile.mask
        return f.both(tile.mask, f.splat(f.compare("slt", row, tile.rows), self.lanes))

    def _stream(self, tile: _Tile, number: int, row: int) -> Stream:
        """Return a row of an operand."""
        f, name = self.function, self.kernel.operands[number]
        place: Index = row
        if tile.rows is not None and self.kinds[number] == ONE:
            # Read without a mask, so from a row that exists.
            place = f.min(row, f.sub(tile.rows, 1))
        pointer = f.offset(tile.pointers[number], f.mul(place, self._argument(f"{name}cross")))
        stride = self._argument(f"{name}long")
        return Stream(self.dtypes[number], self.kinds[number], pointer, stride)

    def _cross_mask(self, tile: _Tile) -> Value | None:
        """Return the mask of the rows that exist, or None when all of a tile do."""
        f, rows = self.function, self.kernel.rows
        if tile.rows is not None:
            return tail_mask(f, tile.rows, self.size, self.widest)
        if rows and rows < self.size:
            return tail_mask(f, rows, self.size, self.widest)
        return None

    def _turned(self, tile: _Tile, number: int) -> Turned:
        """Return an operand that lies along the cross axis."""
        return Turned(
            self.dtypes[number],
            tile.pointers[number],
            self._argument(f"{self.kernel.operands[number]}long"),
            self.lanes,
            self.size,
            self.kernel.rows,
            self._cross_mask(tile),
            tile.count,
            self.masks_rows,
        )

    def _turns(self, tile: _Tile, number: int) -> Turns:
        """Return an operand whose rows take turns."""
        backwards, mirrored = self.kernel.directions[number]
        pointer, dtype = tile.pointers[number], self.dtypes[number]
        return Turns(dtype, pointer, self.lanes, self.kernel.rows, backwards, mirrored)

    def _load_turned(self, tile: _Tile, number: int) -> list[Value]:
        """Return the rows of an operand that lies along the cross axis, as they are in memory."""
        if self.kinds[number] == CROSS:
            return self._turned(tile, number).load(self.function)
        return self._turns(tile, number).load(self.function)

    def _store_turned(self, tile: _Tile, number: int, values: list[Value]) -> None:
        """Write the rows of an operand that lies along the cross axis."""
        if self.kinds[number] == CROSS:
            self._turned(tile, number).store(self.function, values)
        else:
            self._turns(tile, number).store(self.function, values)
