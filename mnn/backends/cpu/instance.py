"""The changing memory of a plan: temporaries, argument blocks, scratch. One run at a time."""

from __future__ import annotations

import ctypes
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.fields import RUN, WORD
from mnn.backends.cpu.steps import HostCall, RefusedError
from mnn.backends.cpu.tables import Tables
from mnn.codegen.kernel import CONSTANT, Buffer, Tensor
from mnn.codegen.room import address_of, aligned_bytes, round_up
from mnn.config import config
from mnn.records import dataclass, replace

__all__ = ["Instance", "Recipe", "data_displacement"]

Array = np.ndarray[Any, Any]

_PLAIN = 0x101  # NumPy's flags C_CONTIGUOUS and ALIGNED
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@dataclass(frozen=True)
class Recipe:
    """What the instances of a plan share.

    Attributes:
        tables: words to copy.
        function: address of the executor.
        temporaries: offsets in the arena, of `arena_bytes`.
        scratch_bytes: for each thread.
        foreign: numbers of buffers among the arrays of a run: those given, then those made.
        fresh: shapes and dtypes of the arrays that each run makes.
        actions: the numbers of lists of steps in `tables.runs`, and work for NumPy, in order.
        results: what a run returns: the number of an array, or a tensor to be copied.
        divisible: some step is worth more than one thread.
        status: offset in the arena of the status that steps may set, None when none does.

    `temporaries` and `foreign` are only needed by work for NumPy and by results to be copied.
    """

    tables: Tables
    function: int
    temporaries: Mapping[Buffer, int]
    arena_bytes: int
    scratch_bytes: int
    foreign: Mapping[Buffer, int]
    fresh: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
    actions: tuple[int | HostCall, ...]
    results: tuple[int | Tensor, ...]
    divisible: bool
    status: int | None

    def bound(self, constants: Sequence[int], functions: Sequence[int]) -> Recipe:
        """Return the recipe for this process, given addresses of constants and kernels by number.

        The first function is the executor.
        """
        tables = self.tables.bound(constants, functions, data_displacement() or 0)
        return replace(self, tables=tables, function=functions[0])


class Instance:
    """Memory for one run at a time."""

    def __init__(self, recipe: Recipe) -> None:
        tables = recipe.tables
        self._recipe = recipe
        self._execute = _ENTRY(recipe.function)
        self._arena = aligned_bytes(recipe.arena_bytes)
        self._words = tables.words.copy()
        self._start = address_of(self._words)
        self._words[tables.own] += self._start
        self._words[tables.arena] += address_of(self._arena)
        # Single words are read and written faster through a memoryview.
        self._view = memoryview(self._words)
        self._status = None
        if recipe.status is not None:
            word: Any = self._arena[recipe.status : recipe.status + WORD].view(np.int64)
            self._status = memoryview(word)
        self._runs = [self._pointer(position) for position in tables.runs]
        self._displaced = data_displacement() is not None
        self._scratch_step = round_up(recipe.scratch_bytes)
        self._scratch = aligned_bytes(0)
        self._threads = 0
        self._reserve_scratch(1)

    def run(self, arrays: Sequence[Array], threads: int) -> list[Array]:
        """Return the results of all steps, given C-contiguous arrays of the right type.

        Raises:
            RefusedError: a step set the status.
        """
        if config.verify:
            self._forget()
        foreign = self._begin(arrays)
        for action in self._recipe.actions:
            if not isinstance(action, int):
                self._compute(action, foreign)
            elif threads == 1 or not self._recipe.divisible:
                self._execute(self._runs[action])
            else:
                self._execute_together(self._recipe.tables.runs[action], threads)
        if self._status is not None and self._status[0]:
            raise RefusedError
        return [
            foreign[each] if isinstance(each, int) else self._array(each, foreign).copy()
            for each in self._recipe.results
        ]

    def _forget(self) -> None:
        """Fill memory that steps have to write before they read it: with NaN, as numbers."""
        self._arena[...] = self._scratch[...] = 0xFF

    def profile(self, arrays: Sequence[Array], threads: int) -> list[float]:
        """Run once and return the seconds that each step took."""
        foreign = self._begin(arrays)
        tables, view = self._recipe.tables, self._view
        rows = iter(tables.rows)
        self._patch()
        seconds: list[float] = []
        for action in self._recipe.actions:
            if isinstance(action, HostCall):
                start = time.perf_counter()
                self._compute(action, foreign)
                seconds.append(time.perf_counter() - start)
                continue
            for _ in range(view[tables.runs[action] + RUN["row_count"]]):
                view[tables.probe + RUN["rows"]] = self._start + WORD * next(rows)
                seconds.append(self._time_probe(threads))
        return seconds

    def _time_probe(self, threads: int) -> float:
        """Return the seconds that the row of the probe takes, without the way from Python."""
        probe = self._recipe.tables.probe
        taken: list[float] = []
        for count in (0, 1):
            self._view[probe + RUN["row_count"]] = count
            start = time.perf_counter()
            if threads == 1:
                self._execute(self._pointer(probe))
            else:
                self._execute_together(probe, threads)
            taken.append(time.perf_counter() - start)
        return max(0.0, taken[1] - taken[0])

    def _execute_together(self, run: int, threads: int) -> None:
        """Run a list of steps with a team, if there is one."""
        from mnn.backends.cpu.pool import pool

        team = pool().acquire(threads, self._recipe.function)
        if team is None:
            self._execute(self._pointer(run))
            return
        try:
            self._reserve_scratch(team.threads)
            self._view[run + RUN["team"]] = team.address
            team.wake()
            self._execute(self._pointer(run))
        finally:
            self._view[run + RUN["team"]] = 0
            pool().release(team)

    def _pointer(self, position: int) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._start + WORD * position)

    def _begin(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the arrays of this run, given and new, after noting where they are."""
        foreign = list(arrays)
        for number, array in enumerate(foreign):
            if array.flags.num & _PLAIN != _PLAIN:
                foreign[number] = np.array(array, order="C")
        foreign += [np.empty(shape, dtype) for shape, dtype in self._recipe.fresh]
        if self._status is not None:
            self._status[0] = 0
        view = self._view
        if self._displaced:
            for number, array in enumerate(foreign):
                view[number] = id(array)
        else:
            # Addresses of data, where array objects do not tell them.
            self._addresses = np.array([address_of(each) for each in foreign], np.int64)
            start = address_of(self._addresses)
            for number in range(len(foreign)):
                view[number] = start + WORD * number
        return foreign

    def _patch(self) -> None:
        """Bring the argument blocks up to date without running a step."""
        if not self._runs:
            return
        place = self._recipe.tables.runs[0] + RUN["row_count"]
        count = self._view[place]
        self._view[place] = 0
        self._execute(self._runs[0])
        self._view[place] = count

    def _compute(self, step: HostCall, foreign: Sequence[Array]) -> None:
        given = [self._array(each, foreign) for each in step.inputs]
        for each in given:
            each.flags.writeable = False
        made = step.function(given)
        for tensor, array in zip(step.outputs, made, strict=True):
            assert np.shape(array) == tensor.shape, (step.label, np.shape(array), tensor.shape)
            np.copyto(self._array(tensor, foreign), array, casting="same_kind")

    def _array(self, tensor: Tensor, foreign: Sequence[Array]) -> Array:
        """Return a tensor's elements as a new view."""
        buffer = tensor.buffer
        if buffer.kind == CONSTANT:
            return tensor.array()
        offset = tensor.offset * tensor.dtype.itemsize
        if buffer in self._recipe.temporaries:
            memory, offset = self._arena, offset + self._recipe.temporaries[buffer]
        else:
            memory = foreign[self._recipe.foreign[buffer]]
        if not tensor.size:
            return np.empty(tensor.shape, tensor.dtype)
        steps = tuple(each * tensor.dtype.itemsize for each in tensor.strides)
        found: Array = np.ndarray(tensor.shape, tensor.dtype, memory, offset, steps)
        return found

    def _reserve_scratch(self, threads: int) -> None:
        """Have scratch memory for so many threads."""
        if threads <= self._threads:
            return
        self._threads = threads
        step = self._scratch_step
        self._scratch = aligned_bytes(step * threads)
        for run in (*self._recipe.tables.runs, self._recipe.tables.probe):
            self._view[run + RUN["scratch"]] = address_of(self._scratch)
            self._view[run + RUN["scratch_step"]] = step


@functools.cache
def data_displacement() -> int | None:
    """Return where, in the memory of an array object, the address of its data lies.

    NumPy's binary interface fixes it: right after the head that all objects have. Asking an array
    object for the address takes 0.8 µs; machine code that is given `id(array)` finds it in 1 ns.
    None means that this interpreter is different, and arrays must be asked.
    """
    if sys.implementation.name != "cpython":
        return None
    displacement = object.__basicsize__
    samples: list[Array] = [np.empty(3, np.uint8), np.empty((2, 5), np.float64)[1:]]
    for each in samples:
        found = ctypes.c_void_p.from_address(id(each) + displacement).value
        if found != each.__array_interface__["data"][0]:
            return None
    return displacement
