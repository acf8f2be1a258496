"""Python's operators on small arrays, in machine code.

Entering a Python function, looking at two operands and making an object takes longer than NumPy
takes for ten numbers. Here the same few comparisons as in `mnn.ops.quick` are compiled, as every
kernel of this package is, and made methods of `Var`: they call NumPy's function when the operands
are small computed arrays of one dtype, and the Python function of `mnn.ops.quick` otherwise.

The code knows where the slots of a `Var` and a few fields of an array lie. Both are found out by
looking at objects, and checked; where anything is not as expected (another interpreter, a build
without a global lock or for debugging), nothing is installed and nothing but time is lost. Code is
installed only when it is in the cache of kernels, or when something else is compiled anyway.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.config import mode
from mnn.errors import CodegenError
from mnn.expr.enums import data_format
from mnn.expr.var import Var
from mnn.ops.machine_code import (
    AT_DTYPE,
    AT_RANK,
    AT_SIZES,
    COMMON,
    DTYPES,
    FIRST,
    FUNCTIONS,
    Function,
    Method,
    module_text,
)
from mnn.ops.machine_objects import function_at, method_at

__all__ = ["Method", "install", "install_on_use"]

_VERSIONS = ((3, 10), (3, 14))
_MANY_CALLS = 100_000


def install(methods: Sequence[Method], *, compiling: bool) -> bool:
    """Make methods of Var of machine code; False when that is not possible, or not yet.

    Args:
        compiling: compile the code if it is not in the cache.
    """
    if not _is_known_interpreter():
        return False
    places = _places_of_slots()
    if places is None or not _arrays_are_as_expected():
        return False
    try:
        addresses = _linked(module_text(methods), methods, places, compiling=compiling)
    except (CodegenError, OSError, ValueError, AttributeError):
        return False
    if addresses is None:
        return False
    for method, address in zip(methods, addresses, strict=True):
        if method.replace is not None:
            method.replace(function_at(method, address))
        else:
            setattr(Var, method.name, method_at(method, address))
    return True


def install_on_use(methods: Sequence[Method]) -> None:
    """Have methods installed when the first of them is called.

    Then they are taken from the cache. If they are not there, they are made when something else
    has to be compiled, or after many calls: once on a machine.
    """
    calls = itertools.count(1)

    watched = [each for each in methods if each.kind not in FUNCTIONS]

    def restore() -> None:
        for each in watched:
            setattr(Var, each.name, each.general)

    begun: list[bool] = []

    def compile_now() -> None:
        # Compiling calls it again when it was waiting for something to be compiled.
        if not begun:
            begun.append(True)
            restore()
            install(methods, compiling=True)

    def decide(number: int) -> None:
        from mnn.codegen.linking import before_compiling

        if number > 1:
            compile_now()
        elif not install(methods, compiling=False):
            if importlib.util.find_spec("llvmlite") is not None:
                before_compiling(compile_now)
            else:
                restore()

    def deciding(method: Method) -> Function:
        general = method.general

        @functools.wraps(general)
        def call(self: Any, *operands: Any) -> Any:
            number = next(calls)
            if number == 1 or number == _MANY_CALLS:
                decide(number)
            return general(self, *operands)

        return call

    for each in watched:
        setattr(Var, each.name, deciding(each))


# --- what the interpreter is like ----------------------------------------------------------------


def _is_known_interpreter() -> bool:
    return (
        sys.implementation.name == "cpython"
        and _VERSIONS[0] <= sys.version_info[:2] <= _VERSIONS[1]
        and getattr(sys, "_is_gil_enabled", lambda: True)()
        and not hasattr(sys, "gettotalrefcount")
        and sys.maxsize == (1 << 63) - 1
        and object.__basicsize__ == 16
        and sys.platform.startswith("linux")
    )


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _places_of_slots() -> dict[str, int] | None:
    """Return the offsets of slots in a Var."""
    probe: Any = object.__new__(Var)
    found = {}
    for slot in ("value", "ref", "format", "name"):
        sentinel = object()
        setattr(probe, f"_{slot}", sentinel)
        at = [
            offset
            for offset in range(16, Var.__basicsize__, 8)
            if _word(id(probe) + offset) == id(sentinel)
        ]
        if len(at) != 1:
            return None
        found[f"at_{slot}"] = at[0]
    return found


def _arrays_are_as_expected() -> bool:
    """True when rank, sizes and dtype of arrays lie where NumPy's binary interface puts them."""
    for shape, code in (((3,), "f"), ((2, 5, 7), "d"), ((), "i"), ((0, 4), "?")):
        array: np.ndarray[Any, Any] = np.empty(shape, code)
        rank = ctypes.c_int.from_address(id(array) + AT_RANK).value
        sizes = _word(id(array) + AT_SIZES)
        if rank != len(shape) or _word(id(array) + AT_DTYPE) != id(array.dtype):
            return False
        if tuple(_word(sizes + 8 * axis) for axis in range(rank)) != shape:
            return False
    return True


def _linked(
    text: str, methods: Sequence[Method], places: dict[str, int], *, compiling: bool
) -> list[int] | None:
    """Return the addresses of the entries in code that knows this process's addresses."""
    from mnn.codegen.images import Image
    from mnn.codegen.linking import library
    from mnn.codegen.mapping import map_images

    code = library()
    if not compiling and not code.has(text):
        return None
    start = code.address(text)
    image = code.image_at(start)
    if image is None:
        return None
    offsets = [
        code.address(text, f"_{number}") - start + image.symbols[""]
        for number in range(len(methods))
    ]
    words = [FIRST, *_common(places)]
    for each in methods:
        words += _words_of(each)
    table = np.array([FIRST + number for number in range(len(words))], np.int64).tobytes()
    if image.code.count(table) != 1:
        return None
    filled = image.code.replace(table, np.array(words, np.int64).tobytes())
    (base,) = map_images([Image(filled, image.alignment, image.symbols)])
    return [base + offset for offset in offsets]


_kept: list[Any] = [np.asarray, data_format.NCHW, ""]


def _common(places: dict[str, int]) -> list[int]:
    system = ctypes.pythonapi

    def function(name: str) -> int:
        return int(ctypes.cast(getattr(system, name), ctypes.c_void_p).value or 0)

    known = {
        "var": id(Var),
        "ndarray": id(np.ndarray),
        "none": id(None),
        "format": id(data_format.NCHW),
        "name": id(_kept[2]),
        "asarray": id(np.asarray),
        "slice": id(slice),
        "int": id(int),
        "float": id(float),
        "float32": id(np.dtype(np.float32)),
        "float64": id(np.dtype(np.float64)),
        "mode": mode.address,
        **places,
        "call": function("PyObject_Vectorcall"),
        "allocate": function("PyType_GenericAlloc"),
        "clear": function("PyErr_Clear"),
        "item": function("PyObject_GetItem"),
        "keep": function("Py_IncRef"),
        "drop": function("Py_DecRef"),
    }
    return [known[name] for name in COMMON]


def _words_of(method: Method) -> list[int]:
    dtypes = sorted(method.dtypes, key=lambda each: (each.kind != "f", each.itemsize))[:DTYPES]
    _kept.extend([method.function, method.general, dtypes])
    listed = [id(each) for each in dtypes] + [0] * (DTYPES - len(dtypes))
    return [id(method.function), id(method.general), len(dtypes), *listed]
