"""Memory of a plan: which temporaries may share bytes, and how many bytes all of them need.

The steps of a plan run in order, so a temporary lives from the first step that names it to the
last. Temporaries whose lives do not overlap share memory; the size of the whole is known before
anything runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from mnn.codegen.kernel import TEMPORARY, Buffer
from mnn.codegen.room import round_up

__all__ = ["Lifetime", "lifetimes", "place"]


class Lifetime(NamedTuple):
    """How long some bytes are needed: from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def lifetimes(
    uses: Iterable[Iterable[Buffer]], others: Collection[Buffer] = ()
) -> dict[Buffer, Lifetime]:
    """Return the lifetime of each temporary, given the buffers that each step names, in order.

    Args:
        uses: buffers of any kind.
        others: buffers that are treated as temporaries.
    """
    found: dict[Buffer, Lifetime] = {}
    for step, buffers in enumerate(uses):
        for buffer in buffers:
            if buffer.kind == TEMPORARY or buffer in others:
                before = found.get(buffer)
                first = step if before is None else before.first
                found[buffer] = Lifetime(buffer.size, first, step)
    return found


def place(lives: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Return the offset of each lifetime in one piece of memory, and the size of that piece.

    Two that are alive at the same step never overlap. Offsets are multiples of ALIGNMENT. The
    largest are placed first, each into the smallest gap that holds it.
    """
    offsets = [0] * len(lives)
    peak = 0
    # Numbers of what is placed already, by step of life.
    alive: list[list[int]] = [[] for _ in range(max((each.last for each in lives), default=-1) + 1)]
    order = sorted(range(len(lives)), key=lambda each: (-lives[each].size, lives[each].first))
    for number in order:
        size, first, last = lives[number]
        if size == 0:
            continue
        together = {each for step in range(first, last + 1) for each in alive[step]}
        taken = sorted((offsets[each], offsets[each] + lives[each].size) for each in together)
        offsets[number] = _best_gap(taken, size)
        peak = max(peak, offsets[number] + round_up(size))
        for step in range(first, last + 1):
            alive[step].append(number)
    return offsets, peak


def _best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Return the start of the smallest gap of at least `size` between sorted intervals."""
    best, best_room = -1, 0
    free = 0
    for start, end in taken:
        room = start - free
        if room >= size and (best < 0 or room < best_room):
            best, best_room = free, room
        free = max(free, round_up(end))
    return free if best < 0 else best
