"""Plans on disk: a later process runs a graph it knows without compiling, or even reading, it.

What is stored is all that a plan consists of: the words of its tables, the code of its kernels, and
how constants come about: bytes of the model's files as they are, small arrays, and what kernels
make of those. Whoever reads a plan supplies the mapped files.

Like compiled kernels, stored plans are code: they are kept where only this user can write. This
module reads them and needs nothing of the compiler; `mnn.backends.cpu.recording` writes them.
"""

from __future__ import annotations

import ctypes
import marshal
import mmap
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.instance import Recipe
from mnn.backends.cpu.runnable import Runnable
from mnn.backends.cpu.tables import Tables
from mnn.codegen.images import Image
from mnn.codegen.mapping import map_images
from mnn.codegen.room import Room, address_of, round_up
from mnn.records import dataclass

__all__ = ["StoredConstants", "StoredPlan", "pack", "read_plan", "release", "unpack"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class StoredConstants:
    """How the constants of a plan come about, by number.

    Attributes:
        where: (number of a file, offset) of content that stays in the file; else (-1, bytes).
        copies: (constant, number of a file, offset) of content that moves to another place.
        inline: (constant, content).
        kept: how many of the constants the plan itself reads, the first ones. What the others hold
            is used once.
        recipe: computes the rest; its kernels are the plan's.
    """

    where: tuple[tuple[int, int], ...]
    copies: tuple[tuple[int, int, int], ...]
    inline: tuple[tuple[int, bytes], ...]
    kept: int
    recipe: Recipe


@dataclass(frozen=True)
class StoredPlan:
    """A plan without addresses.

    Attributes:
        recipe: with tables that are not bound.
        constants: what its tables refer to.
        code: of all kernels, the executor first.
        entries: offsets of the kernels in the code.
    """

    recipe: Recipe
    constants: StoredConstants
    code: Image
    entries: tuple[int, ...]


def pack(plan: StoredPlan) -> bytes:
    """Return a plan as bytes."""
    constants, code = plan.constants, plan.code
    return marshal.dumps(
        (
            _pack_recipe(plan.recipe),
            (constants.where, constants.copies, constants.inline, constants.kept),
            _pack_recipe(constants.recipe),
            (code.code, code.alignment, plan.entries),
        )
    )


def unpack(data: bytes) -> StoredPlan:
    """Return the plan that `pack` made bytes of, in a process of the same Python version."""
    recipe, constants, preparation, (code, alignment, entries) = marshal.loads(data)
    where, copies, inline, kept = constants
    return StoredPlan(
        _unpack_recipe(recipe),
        StoredConstants(where, copies, inline, kept, _unpack_recipe(preparation)),
        Image(code, alignment, {"": 0}),
        entries,
    )


def _pack_recipe(recipe: Recipe) -> tuple[Any, ...]:
    tables = recipe.tables
    assert all(isinstance(each, int) for each in (*recipe.actions, *recipe.results)), recipe
    return (
        tuple(
            each.tobytes()
            for each in (
                tables.words,
                tables.own,
                tables.arena,
                *tables.constants,
                *tables.functions,
            )
        ),
        (tables.runs, tables.rows, tables.probe),
        (recipe.arena_bytes, recipe.scratch_bytes),
        tuple((shape, dtype.str) for shape, dtype in recipe.fresh),
        (recipe.actions, recipe.results, recipe.divisible, recipe.status),
    )


def _unpack_recipe(packed: tuple[Any, ...]) -> Recipe:
    arrays, (runs, rows, probe), (arena_bytes, scratch_bytes), fresh, rest = packed
    words, own, arena, *columns = (np.frombuffer(each, np.int64) for each in arrays)
    actions, results, divisible, status = rest
    return Recipe(
        Tables(
            words,
            own,
            arena,
            (columns[0], columns[1]),
            (columns[2], columns[3]),
            runs,
            rows,
            probe,
        ),
        0,
        {},
        arena_bytes,
        scratch_bytes,
        {},
        tuple((shape, np.dtype(name)) for shape, name in fresh),
        actions,
        results,
        divisible,
        status,
    )


def read_plan(data: bytes, files: Sequence[memoryview], threads: int = 1) -> Runnable:
    """Return a plan from what is stored of it, ready to run.

    Args:
        data: what `pack` returned.
        files: the mapped files that constants are in, the same ones as when it was stored.
        threads: how many may compute constants.

    Raises:
        CodegenError: the system does not let code be mapped.
    """
    plan = unpack(data)
    start = map_images([plan.code])[0]
    functions = [start + each for each in plan.entries]
    addresses, memory = _prepare(plan.constants, functions, files, threads)
    release(files)
    return Runnable(plan.recipe.bound(addresses, functions), memory)


def _prepare(
    constants: StoredConstants,
    functions: Sequence[int],
    files: Sequence[memoryview],
    threads: int,
) -> tuple[list[int], object]:
    """Return the addresses of all constants, and what owns the memory of those that are kept."""
    views = [np.frombuffer(each, np.uint8) for each in files]
    starts = [address_of(each) for each in views]
    kept = constants.kept
    sizes = [round_up(size) if file < 0 else 0 for file, size in constants.where]
    room, passing = Room(sum(sizes[:kept])), Room(sum(sizes[kept:]))
    addresses: list[int] = []
    for number, (file, place) in enumerate(constants.where):
        if file >= 0:
            addresses.append(starts[file] + place)
        else:
            taken = (room if number < kept else passing).take(place)
            addresses.append(address_of(taken))
    for number, file, offset in constants.copies:
        ctypes.memmove(addresses[number], starts[file] + offset, constants.where[number][1])
    for number, content in constants.inline:
        ctypes.memmove(addresses[number], content, len(content))
    if constants.recipe.actions:
        Runnable(constants.recipe.bound(addresses, functions)).run((), threads)
    return addresses, (room, views)


def release(files: Sequence[memoryview]) -> None:
    """Let go of the memory that holds mapped files; who reads them again finds them as they were.

    Weights are read once, to be packed. Their pages would otherwise count as this process's memory
    for as long as it lives.
    """
    if not sys.platform.startswith("linux"):
        return
    for each in files:
        if isinstance(each.obj, mmap.mmap):
            each.obj.madvise(mmap.MADV_DONTNEED)
