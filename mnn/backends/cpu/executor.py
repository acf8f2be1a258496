"""The machine code that runs a plan: it fills in addresses, then runs every step in order.

One foreign call runs a whole list of steps without holding Python's lock. All that the code needs
lies in blocks of 8-byte fields, which Python fills; the field names below give their order.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnn.codegen.builder import I64, PTR, Function, Index, Module, Value
from mnn.codegen.kernel import Kernel
from mnn.codegen.target import Target

__all__ = ["LOOP", "MOVE", "PATCH", "ROW", "RUN", "Executor", "Fields", "data_displacement"]

_WORD = 8


class Fields:
    """Names of the fields of a block, in order; `*name` is a pointer."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names = [each.lstrip("*") for each in text.split()]
        self.size = len(self.names)

    def __getitem__(self, name: str) -> int:
        """Return the place of a field, in words from the start of the block."""
        return self.names.index(name)

    def load(self, f: Function, base: Value, name: str) -> Value:
        """Build the load of one field of the block at `base`."""
        place = self[name]
        kind = PTR if self.text.split()[place].startswith("*") else I64
        return f.load(kind, f.offset(base, _WORD * place), align=_WORD)


RUN = Fields("displacement *patches patch_count *rows row_count *scratch scratch_step *team")
"""What one foreign call works on. `displacement` is that of `data_displacement`."""

PATCH = Fields("*place *base offset")
"""Writes the data address of the array object that `base` holds, plus offset, to `place`."""

ROW = Fields("*function *arguments items grain")
"""One step. Without a function, `arguments` is a LOOP."""

LOOP = Fields("*rows row_count turns *moves move_count")
"""Rows that run `turns` times. After each turn every MOVE adds `step` to the word at `place`."""

MOVE = Fields("*place step")


@dataclass(frozen=True)
class Executor(Kernel):
    """`void KERNEL(ptr run)`: runs the rows of a RUN block."""

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        rows = module.function("rows", [("run", PTR), ("first", PTR), ("count", I64)])
        loop = module.function("loop", [("run", PTR), ("loop", PTR)])
        _build_rows(rows, loop)
        _build_loop(loop, rows)
        entry = module.function(Module.ENTRY, [("run", PTR)], linkage="", attributes="")
        _build_entry(entry, rows)
        return module


def _each(f: Function, first: Value, index: Value, fields: Fields) -> Value:
    return f.offset(first, f.mul(index, fields.size * _WORD))


def _build_entry(f: Function, rows: Function) -> None:
    (run,) = f.arguments
    displacement = RUN.load(f, run, "displacement")
    patches = RUN.load(f, run, "patches")
    with f.loop(0, RUN.load(f, run, "patch_count")) as turn:
        patch = _each(f, patches, turn.index, PATCH)
        holder = f.load(PTR, PATCH.load(f, patch, "base"), align=_WORD)
        data = f.load(PTR, f.offset(holder, displacement), align=_WORD)
        moved = f.offset(data, PATCH.load(f, patch, "offset"))
        f.store(moved, PATCH.load(f, patch, "place"), align=_WORD)
    f.call(rows, [run, RUN.load(f, run, "rows"), RUN.load(f, run, "row_count")])


def _build_rows(f: Function, loop: Function) -> None:
    run, first, count = f.arguments
    scratch = RUN.load(f, run, "scratch")
    zero = f.constant(0)
    with f.loop(0, count) as turn:
        row = _each(f, first, turn.index, ROW)
        function = ROW.load(f, row, "function")
        arguments = ROW.load(f, row, "arguments")
        with f.branch(_is_null(f, function)) as otherwise:
            f.call(loop, [run, arguments])
            otherwise()
            items = ROW.load(f, row, "items")
            f.call_address(function, [arguments, zero, items, scratch])


def _is_null(f: Function, pointer: Value) -> Value:
    return f.compare("eq", pointer, Value("null", PTR))


def _build_loop(f: Function, rows: Function) -> None:
    run, loop = f.arguments
    inner = LOOP.load(f, loop, "rows")
    inner_count = LOOP.load(f, loop, "row_count")
    turns = LOOP.load(f, loop, "turns")
    with f.loop(0, turns):
        f.call(rows, [run, inner, inner_count])
        _move(f, loop, 1)
    _move(f, loop, f.sub(0, turns))


def _move(f: Function, loop: Value, times: Index) -> None:
    moves = LOOP.load(f, loop, "moves")
    with f.loop(0, LOOP.load(f, loop, "move_count")) as turn:
        move = _each(f, moves, turn.index, MOVE)
        place = MOVE.load(f, move, "place")
        distance = f.mul(MOVE.load(f, move, "step"), times)
        moved = f.value(f.add(f.load(I64, place, align=_WORD), distance))
        f.store(moved, place, align=_WORD)


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
    samples: list[np.ndarray[Any, Any]] = [np.empty(3, np.uint8), np.empty((2, 5), np.float64)[1:]]
    for each in samples:
        found = ctypes.c_void_p.from_address(id(each) + displacement).value
        if found != each.__array_interface__["data"][0]:
            return None
    return displacement
