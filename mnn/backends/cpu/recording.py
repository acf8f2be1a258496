"""From a plan that was just made to what is stored of it; see `mnn.backends.cpu.stored`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.instance import Recipe
from mnn.backends.cpu.steps import buffers_of
from mnn.backends.cpu.stored import StoredConstants, StoredPlan
from mnn.backends.cpu.tables import Places, TableBuilder
from mnn.codegen.images import Image
from mnn.codegen.kernel import CONSTANT, Buffer
from mnn.codegen.linking import library
from mnn.codegen.prepare import pending
from mnn.codegen.room import ALIGNMENT, address_of
from mnn.compile.memory import lifetimes, place

__all__ = ["record_constants", "record_plan"]

Array = np.ndarray[Any, Any]

INLINE_LIMIT = 4 << 20
"""Bytes of constants that are neither in the files nor made of them; with more, nothing is kept."""


def record_constants(
    constants: Sequence[Buffer], kernels: Mapping[int, int], files: Sequence[memoryview]
) -> StoredConstants | None:
    """Return how constants come about, None when that takes more than can be stored.

    Args:
        constants: those that a plan reads, before they are prepared.
        kernels: numbers of what computes them, by the `id` of the description.
        files: mapped files that may hold their content.
    """
    waiting = pending(constants)
    calls = [call for each in waiting for call in each.calls]
    if any(id(each.kernel) not in kernels for each in calls):
        return None  # made for another target than the plan
    named = [buffer for call in calls for buffer in buffers_of(call) if buffer.kind == CONSTANT]
    computed = set(waiting)
    # Constants that only others are made of need memory for a moment.
    passing = computed.difference(constants)
    every = [each for each in dict.fromkeys([*constants, *named]) if each not in passing]
    ranges = [(address_of(np.frombuffer(each, np.uint8)), each.nbytes) for each in files]
    where: list[tuple[int, int]] = []
    copies: list[tuple[int, int, int]] = []
    inline: list[tuple[int, bytes]] = []
    total = 0
    for number, buffer in enumerate(every):
        if buffer in computed:
            where.append((-1, buffer.size))
            continue
        content = buffer.array
        found = _in_files(content, ranges)
        if found is None:
            total += content.nbytes
            if total > INLINE_LIMIT:
                return None
            inline.append((number, content.tobytes()))
        elif number >= len(constants) or found[1] % ALIGNMENT == 0:
            where.append(found)
            continue
        else:
            copies.append((number, *found))
        where.append((-1, content.nbytes))
    numbers = {buffer: number for number, buffer in enumerate(every)}
    lives = lifetimes([list(buffers_of(call)) for call in calls], passing)
    offsets, arena_bytes = place(list(lives.values()))
    temporaries = dict(zip(lives, offsets, strict=True))
    builder = TableBuilder(Places(numbers, temporaries, {}, kernels), 0)
    actions = (builder.add_run(calls),) if calls else ()
    recipe = Recipe(
        builder.finish(),
        0,
        {},
        arena_bytes,
        max((each.scratch for each in calls), default=0),
        {},
        (),
        actions,
        (),
        any(each.items > each.grain for each in calls),
        None,
    )
    return StoredConstants(tuple(where), tuple(copies), tuple(inline), len(constants), recipe)


def _in_files(content: Array, ranges: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the number of the file that an array is a part of, and its offset there.

    Args:
        content: the array.
        ranges: address and size of each mapped file.
    """
    start = address_of(content)
    for number, (first, size) in enumerate(ranges):
        if first <= start and start + content.nbytes <= first + size:
            return number, start - first
    return None


def record_plan(
    recipe: Recipe, constants: StoredConstants, functions: Sequence[int]
) -> StoredPlan | None:
    """Return a plan without addresses, None when parts of it are more than data and code.

    Args:
        recipe: with tables that are not bound.
        constants: of `record_constants`.
        functions: addresses of kernels by number.
    """
    if not all(isinstance(each, int) for each in (*recipe.actions, *recipe.results)):
        return None
    code = bytearray()
    entries: list[int] = []
    alignment = 1
    for address in functions:
        image = library().image_at(address)
        if image is None:
            return None
        code += bytes(-len(code) % image.alignment)
        entries.append(len(code) + image.symbols[""])
        code += image.code
        alignment = max(alignment, image.alignment)
    return StoredPlan(recipe, constants, Image(bytes(code), alignment, {"": 0}), tuple(entries))
