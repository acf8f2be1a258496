"""The words of a plan: step rows, argument blocks and patches, before anything has an address.

A plan is translated once into words that hold offsets and numbers, which later processes can use
too. Addresses of kernels and constants are added once for each process; an instance copies the
words and adds the addresses of its own memory. All of one kind are added at once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.fields import LOOP, MOVE, PATCH, ROW, RUN, WORD
from mnn.backends.cpu.steps import LoopCall
from mnn.codegen.kernel import Buffer, Call, Pointer, Slot
from mnn.records import dataclass, replace

__all__ = ["Places", "TableBuilder", "Tables"]

Words = np.ndarray[Any, np.dtype[np.int64]]
Positions = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Places:
    """Where buffers are.

    Attributes:
        constants: their numbers.
        temporaries: offsets in the arena.
        foreign: numbers of the arrays that are given to, or made by, each run.
        functions: numbers of kernels, by the `id` of their description.
    """

    constants: Mapping[Buffer, int]
    temporaries: Mapping[Buffer, int]
    foreign: Mapping[Buffer, int]
    functions: Mapping[int, int]


@dataclass(frozen=True)
class Tables:
    """Words to be copied by each instance.

    Attributes:
        words: the content; int64.
        own: positions of words that hold byte offsets from the start of the words.
        arena: positions of words that hold byte offsets in the arena.
        constants: positions of words that hold byte offsets in constants, and their numbers.
        functions: positions of words for the addresses of kernels, and their numbers.
        runs: position of the RUN block of each list of steps.
        rows: positions of the rows, in the order in which steps were given.
        probe: position of a RUN block without patches, for single rows.

    The words begin with one for each array of a run.
    """

    words: Words
    own: Positions
    arena: Positions
    constants: tuple[Positions, Positions]
    functions: tuple[Positions, Positions]
    runs: tuple[int, ...]
    rows: tuple[int, ...]
    probe: int

    def bound(
        self, constants: Sequence[int], functions: Sequence[int], displacement: int
    ) -> Tables:
        """Return the words for this process.

        Args:
            constants, functions: addresses by number.
            displacement: see `RUN`.
        """
        words = self.words.copy()
        for (positions, numbers), addresses in (
            (self.constants, constants),
            (self.functions, functions),
        ):
            words[positions] += np.array(addresses, np.int64)[numbers]
        for run in (*self.runs, self.probe):
            words[run + RUN["displacement"]] = displacement
        return replace(self, words=words)


class TableBuilder:
    """Translates steps into words.

    Args:
        places: where buffers and kernels are.
        arrays: how many arrays a run is given and makes.
    """

    def __init__(self, places: Places, arrays: int) -> None:
        self._places = places
        self._words = [0] * arrays
        self._own: list[int] = []
        self._arena: list[int] = []
        self._constants: list[tuple[int, int]] = []
        self._functions: list[tuple[int, int]] = []
        self._patches: list[tuple[int, int, int]] = []
        self._runs: list[int] = []
        self._rows: list[int] = []
        self._probe = self._reserve(RUN.size)

    def add_run(self, steps: Sequence[Call | LoopCall]) -> int:
        """Add a list of steps that one foreign call runs, and return its number."""
        run = self._reserve(RUN.size)
        rows = self._add_rows(steps)
        self._rows += [rows + ROW.size * each for each in range(len(steps))]
        self._point(run + RUN["rows"], rows)
        self._words[run + RUN["row_count"]] = len(steps)
        self._runs.append(run)
        return len(self._runs) - 1

    def finish(self) -> Tables:
        """Return what was built. The first run does the patches."""
        table = self._reserve(PATCH.size * len(self._patches))
        for number, (position, base, offset) in enumerate(self._patches):
            row = table + PATCH.size * number
            self._point(row + PATCH["place"], position)
            self._point(row + PATCH["base"], base)
            self._words[row + PATCH["offset"]] = offset
        if self._runs:
            self._point(self._runs[0] + RUN["patches"], table)
            self._words[self._runs[0] + RUN["patch_count"]] = len(self._patches)
        return Tables(
            np.array(self._words, np.int64),
            np.array(self._own, np.intp),
            np.array(self._arena, np.intp),
            _columns(self._constants),
            _columns(self._functions),
            tuple(self._runs),
            tuple(self._rows),
            self._probe,
        )

    def _reserve(self, count: int) -> int:
        position = len(self._words)
        self._words += [0] * count
        return position

    def _point(self, position: int, target: int) -> None:
        self._words[position] = target * WORD
        self._own.append(position)

    def _add_rows(self, steps: Sequence[Call | LoopCall]) -> int:
        rows = self._reserve(ROW.size * len(steps))
        for number, step in enumerate(steps):
            row = rows + ROW.size * number
            if isinstance(step, LoopCall):
                self._point(row + ROW["arguments"], self._add_loop(step))
                continue
            number = self._places.functions[id(step.kernel)]
            self._functions.append((row + ROW["function"], number))
            self._point(row + ROW["arguments"], self._add_block(step.slots))
            self._words[row + ROW["items"]] = step.items
            self._words[row + ROW["grain"]] = max(1, step.grain)
        return rows

    def _add_loop(self, loop: LoopCall) -> int:
        block = self._reserve(LOOP.size)
        rows = self._add_rows(loop.steps)
        self._point(block + LOOP["rows"], rows)
        self._words[block + LOOP["row_count"]] = len(loop.steps)
        self._words[block + LOOP["turns"]] = loop.count
        moves = self._reserve(MOVE.size * len(loop.moving))
        self._point(block + LOOP["moves"], moves)
        self._words[block + LOOP["move_count"]] = len(loop.moving)
        for number, (call, slot, step) in enumerate(loop.moving):
            arguments = self._words[rows + ROW.size * call + ROW["arguments"]] // WORD
            move = moves + MOVE.size * number
            self._point(move + MOVE["place"], arguments + slot)
            self._words[move + MOVE["step"]] = step
        return block

    def _add_block(self, slots: Sequence[Slot]) -> int:
        block = self._reserve(len(slots))
        for position, slot in enumerate(slots, block):
            if isinstance(slot, Pointer):
                self._add_pointer(position, slot)
            elif isinstance(slot, float):
                (self._words[position],) = struct.unpack("<q", struct.pack("<fi", slot, 0))
            else:
                self._words[position] = int(slot)
        return block

    def _add_pointer(self, position: int, pointer: Pointer) -> None:
        buffer, offset = pointer.buffer, pointer.offset
        number = self._places.constants.get(buffer)
        if number is not None:
            self._words[position] = offset
            self._constants.append((position, number))
        elif buffer in self._places.temporaries:
            self._words[position] = self._places.temporaries[buffer] + offset
            self._arena.append(position)
        else:
            self._patches.append((position, self._places.foreign[buffer], offset))


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Positions, Positions]:
    """Return the positions and the numbers of pairs."""
    table = np.array(pairs, np.intp).reshape(-1, 2)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
