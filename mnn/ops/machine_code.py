"""The text of Python's operators in machine code; see `mnn.ops.machine`.

It is one module: functions that all methods share, one for each kind of method, and an entry for
each method. Addresses and offsets are read from a table of words, `words`, which the text fills
with numbers that are easy to find again in the finished code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mnn.records import dataclass

__all__ = [
    "AT_DTYPE",
    "AT_RANK",
    "AT_SIZES",
    "COMMON",
    "DTYPES",
    "FIRST",
    "FUNCTIONS",
    "OF_METHOD",
    "Function",
    "Method",
    "module_text",
]

Function = Callable[..., Any]

_SMALL = 1024

DTYPES = 12
"""Most dtypes that one method knows."""

AT_RANK, AT_SIZES, AT_DTYPE = 24, 32, 56
"""Where rank, sizes and dtype of an array object lie: NumPy's binary interface says so."""

# Places in the table of addresses that the code reads.
COMMON = (
    *("var", "ndarray", "none", "format", "name", "asarray", "slice", "int", "float"),
    *("float32", "float64", "mode", "at_value", "at_ref", "at_format", "at_name"),
    *("call", "allocate", "clear", "item", "keep", "drop"),
)
OF_METHOD = ("function", "general", "count", *(f"dtype{number}" for number in range(DTYPES)))
FIRST = 0x6D6E6E5F736C6F74  # tells the table from code


@dataclass(frozen=True, eq=False)
class Method:
    """One operator.

    Attributes:
        name: of the method.
        kind: "binary", "reflected", "unary" or "item"; "one" or "two" for a function of so many
            operands instead of a method.
        general: the Python function for all operands, with the operands of the method.
        function: NumPy's; None for "item".
        dtypes: for which NumPy's result is the right one.
        replace: puts a function in the place of the Python function; not for methods.
    """

    name: str
    kind: str
    general: Function
    function: Any
    dtypes: frozenset[np.dtype[Any]]
    replace: Callable[[Any], None] | None = None


# --- code ----------------------------------------------------------------------------------------


def _place(name: str) -> str:
    """Return the text of the address of a common word."""
    return f"getelementptr (i64, ptr @words, i64 {1 + COMMON.index(name)})"


def _load(result: str, name: str, kind: str = "ptr") -> str:
    # Volatile: the words are put into the finished code, so their text must not be believed.
    return f"  %{result} = load volatile {kind}, ptr {_place(name)}\n"


def _own(result: str, name: str, kind: str = "ptr") -> str:
    offset = OF_METHOD.index(name)
    return (
        f"  %{result}.at = getelementptr i64, ptr %own, i64 {offset}\n"
        f"  %{result} = load volatile {kind}, ptr %{result}.at\n"
    )


_SHARED = (
    # The array of a computed Var in the common format, or null.
    "define internal ptr @array_of(ptr %var) noinline {\n"
    "  %type.at = getelementptr i8, ptr %var, i64 8\n"
    "  %type = load ptr, ptr %type.at\n"
    + _load("var.type", "var")
    + "  %is.var = icmp eq ptr %type, %var.type\n"
    "  br i1 %is.var, label %look, label %no\n"
    "look:\n"
    + _load("o.value", "at_value", "i64")
    + _load("o.ref", "at_ref", "i64")
    + _load("o.format", "at_format", "i64")
    + "  %value.at = getelementptr i8, ptr %var, i64 %o.value\n"
    "  %value = load ptr, ptr %value.at\n"
    "  %ref.at = getelementptr i8, ptr %var, i64 %o.ref\n"
    "  %ref = load ptr, ptr %ref.at\n"
    "  %format.at = getelementptr i8, ptr %var, i64 %o.format\n"
    "  %format = load ptr, ptr %format.at\n"
    + _load("none", "none")
    + _load("nchw", "format")
    + "  %unset = icmp eq ptr %value, null\n"
    "  %plain = icmp eq ptr %ref, %none\n"
    "  %common = icmp eq ptr %format, %nchw\n"
    "  %good.one = and i1 %plain, %common\n"
    "  %set = xor i1 %unset, true\n"
    "  %good = and i1 %good.one, %set\n"
    "  br i1 %good, label %kind, label %no\n"
    "kind:\n"
    "  %kind.at = getelementptr i8, ptr %value, i64 8\n"
    "  %kind.of = load ptr, ptr %kind.at\n"
    + _load("ndarray", "ndarray")
    + "  %is.array = icmp eq ptr %kind.of, %ndarray\n"
    "  br i1 %is.array, label %yes, label %no\n"
    "yes:\n  ret ptr %value\n"
    "no:\n  ret ptr null\n"
    "}\n"
    # Whether an array has few elements.
    "define internal i1 @is_small(ptr %array) noinline {\n"
    f"  %rank.at = getelementptr i8, ptr %array, i64 {AT_RANK}\n"
    "  %rank = load i32, ptr %rank.at\n"
    f"  %sizes.at = getelementptr i8, ptr %array, i64 {AT_SIZES}\n"
    "  %sizes = load ptr, ptr %sizes.at\n"
    "  %none = icmp sle i32 %rank, 0\n"
    "  br i1 %none, label %yes, label %turn\n"
    "turn:\n"
    "  %axis = phi i32 [0, %0], [%next, %more]\n"
    "  %total = phi i64 [1, %0], [%product, %more]\n"
    "  %size.at = getelementptr i64, ptr %sizes, i32 %axis\n"
    "  %size = load i64, ptr %size.at\n"
    f"  %huge = icmp ugt i64 %size, {_SMALL}\n"
    "  br i1 %huge, label %no, label %multiply\n"
    "multiply:\n"
    "  %product = mul i64 %total, %size\n"
    f"  %large = icmp ugt i64 %product, {_SMALL}\n"
    "  br i1 %large, label %no, label %more\n"
    "more:\n"
    "  %next = add i32 %axis, 1\n"
    "  %again = icmp slt i32 %next, %rank\n"
    "  br i1 %again, label %turn, label %yes\n"
    "yes:\n  ret i1 true\n"
    "no:\n  ret i1 false\n"
    "}\n"
    # Whether a dtype is one of those of a method.
    "define internal i1 @is_listed(ptr %dtype, ptr %own) noinline {\n"
    + _own("count", "count", "i64")
    + f"  %list = getelementptr i64, ptr %own, i64 {OF_METHOD.index('dtype0')}\n"
    "  %none = icmp eq i64 %count, 0\n"
    "  br i1 %none, label %no, label %turn\n"
    "turn:\n"
    "  %number = phi i64 [0, %0], [%next, %more]\n"
    "  %each.at = getelementptr i64, ptr %list, i64 %number\n"
    "  %each = load volatile ptr, ptr %each.at\n"
    "  %same = icmp eq ptr %each, %dtype\n"
    "  br i1 %same, label %yes, label %more\n"
    "more:\n"
    "  %next = add i64 %number, 1\n"
    "  %again = icmp ult i64 %next, %count\n"
    "  br i1 %again, label %turn, label %no\n"
    "yes:\n  ret i1 true\n"
    "no:\n  ret i1 false\n"
    "}\n"
    # A new Var that holds what NumPy returned, whose reference it takes over.
    "define internal ptr @var_of(ptr %found) noinline {\n"
    "  %list = alloca ptr\n"
    "  %kind.at = getelementptr i8, ptr %found, i64 8\n"
    "  %kind = load ptr, ptr %kind.at\n"
    + _load("ndarray", "ndarray")
    + _load("drop", "drop")
    + _load("keep", "keep")
    + "  %is.array = icmp eq ptr %kind, %ndarray\n"
    "  br i1 %is.array, label %make, label %convert\n"
    "convert:\n"
    "  store ptr %found, ptr %list\n"
    + _load("call", "call")
    + _load("asarray", "asarray")
    + "  %array = call ptr %call(ptr %asarray, ptr %list, i64 1, ptr null)\n"
    "  call void %drop(ptr %found)\n"
    "  %failed = icmp eq ptr %array, null\n"
    "  br i1 %failed, label %no, label %make\n"
    "make:\n"
    "  %value = phi ptr [%found, %0], [%array, %convert]\n"
    + _load("type", "var")
    + _load("allocate", "allocate")
    + "  %made = call ptr %allocate(ptr %type, i64 0)\n"
    "  %unmade = icmp eq ptr %made, null\n"
    "  br i1 %unmade, label %give.up, label %fill\n"
    "give.up:\n"
    "  call void %drop(ptr %value)\n"
    "  br label %no\n"
    "fill:\n"
    + "".join(
        _load(f"o.{slot}", f"at_{slot}", "i64")
        + f"  %{slot}.at = getelementptr i8, ptr %made, i64 %o.{slot}\n"
        for slot in ("value", "ref", "format", "name")
    )
    + _load("none", "none")
    + _load("nchw", "format")
    + _load("text", "name")
    + "  store ptr %value, ptr %value.at\n"
    "  call void %keep(ptr %none)\n"
    "  store ptr %none, ptr %ref.at\n"
    "  call void %keep(ptr %nchw)\n"
    "  store ptr %nchw, ptr %format.at\n"
    "  call void %keep(ptr %text)\n"
    "  store ptr %text, ptr %name.at\n"
    "  ret ptr %made\n"
    "no:\n  ret ptr null\n"
    "}\n"
    # The Python function.
    "define internal ptr @general(ptr %self, ptr %other, i64 %count, ptr %own) noinline {\n"
    "  %list = alloca [2 x ptr]\n"
    "  store ptr %self, ptr %list\n"
    "  %second = getelementptr ptr, ptr %list, i64 1\n"
    "  store ptr %other, ptr %second\n"
    + _load("call", "call")
    + _own("function", "general")
    + "  %found = call ptr %call(ptr %function, ptr %list, i64 %count, ptr null)\n"
    "  ret ptr %found\n"
    "}\n"
    # NumPy's function of one or two objects; the Python function when NumPy refuses.
    "define internal ptr @numpy(ptr %self, ptr %other, ptr %one, ptr %two, i64 %count, ptr %own)"
    " noinline {\n"
    "  %list = alloca [2 x ptr]\n"
    "  store ptr %one, ptr %list\n"
    "  %second = getelementptr ptr, ptr %list, i64 1\n"
    "  store ptr %two, ptr %second\n"
    + _load("call", "call")
    + _own("function", "function")
    + "  %found = call ptr %call(ptr %function, ptr %list, i64 %count, ptr null)\n"
    "  %failed = icmp eq ptr %found, null\n"
    "  br i1 %failed, label %refused, label %made\n"
    "refused:\n" + _load("clear", "clear") + "  call void %clear()\n"
    "  %other.way = call ptr @general(ptr %self, ptr %other, i64 %count, ptr %own)\n"
    "  ret ptr %other.way\n"
    "made:\n"
    "  %var = call ptr @var_of(ptr %found)\n"
    "  ret ptr %var\n"
    "}\n"
)


def _start(count: int) -> str:
    """Return the beginning of a method: the general way when the mode says so."""
    return (
        _load("mode.at", "mode") + "  %mode = load volatile i64, ptr %mode.at\n"
        "  %special = icmp ne i64 %mode, 0\n"
        "  br i1 %special, label %slow, label %first\n"
        "first:\n"
        "  %left = call ptr @array_of(ptr %self)\n"
        "  %no.left = icmp eq ptr %left, null\n"
        "  br i1 %no.left, label %slow, label %small\n"
        "small:\n"
        "  %left.small = call i1 @is_small(ptr %left)\n"
        "  br i1 %left.small, label %typed, label %slow\n"
        "slow:\n"
        f"  %general = call ptr @general(ptr %self, ptr %other, i64 {count}, ptr %own)\n"
        "  ret ptr %general\n"
        "typed:\n"
        f"  %dtype.at = getelementptr i8, ptr %left, i64 {AT_DTYPE}\n"
        "  %dtype = load ptr, ptr %dtype.at\n"
    )


def _pair(first: str, second: str) -> str:
    """Return the method of two operands, which are given to NumPy in this order."""
    return (
        _start(2) + "  %listed = call i1 @is_listed(ptr %dtype, ptr %own)\n"
        "  %right = call ptr @array_of(ptr %other)\n"
        "  %no.right = icmp eq ptr %right, null\n"
        "  br i1 %no.right, label %number, label %arrays\n"
        "arrays:\n"
        f"  %right.dtype.at = getelementptr i8, ptr %right, i64 {AT_DTYPE}\n"
        "  %right.dtype = load ptr, ptr %right.dtype.at\n"
        "  %same = icmp eq ptr %dtype, %right.dtype\n"
        "  %right.small = call i1 @is_small(ptr %right)\n"
        "  %fits.one = and i1 %same, %right.small\n"
        "  %fits = and i1 %fits.one, %listed\n"
        "  br i1 %fits, label %compute, label %slow\n"
        "number:\n"
        "  %kind.at = getelementptr i8, ptr %other, i64 8\n"
        "  %kind = load ptr, ptr %kind.at\n"
        + _load("int.type", "int")
        + _load("float.type", "float")
        + _load("float32", "float32")
        + _load("float64", "float64")
        + "  %is.int = icmp eq ptr %kind, %int.type\n"
        "  %is.float = icmp eq ptr %kind, %float.type\n"
        "  %is.32 = icmp eq ptr %dtype, %float32\n"
        "  %is.64 = icmp eq ptr %dtype, %float64\n"
        "  %floats = or i1 %is.32, %is.64\n"
        "  %number.one = or i1 %is.int, %is.float\n"
        "  %beside.float = and i1 %number.one, %floats\n"
        "  %beside.int = and i1 %is.int, %listed\n"
        "  %either = or i1 %beside.float, %beside.int\n"
        "  br i1 %either, label %compute, label %slow\n"
        "compute:\n"
        "  %partner = phi ptr [%right, %arrays], [%other, %number]\n"
        f"  %found = call ptr @numpy(ptr %self, ptr %other, ptr %{first}, ptr %{second}, i64 2,"
        " ptr %own)\n"
        "  ret ptr %found\n"
    )


_BODIES = {
    "binary": _pair("left", "partner"),
    "reflected": _pair("partner", "left"),
    "unary": _start(1) + "  %listed = call i1 @is_listed(ptr %dtype, ptr %own)\n"
    "  br i1 %listed, label %compute, label %slow\n"
    "compute:\n"
    "  %found = call ptr @numpy(ptr %self, ptr %self, ptr %left, ptr %left, i64 1, ptr %own)\n"
    "  ret ptr %found\n",
    "item": _start(2) + "  %kind.at = getelementptr i8, ptr %other, i64 8\n"
    "  %kind = load ptr, ptr %kind.at\n"
    + _load("int.type", "int")
    + _load("slice.type", "slice")
    + "  %is.int = icmp eq ptr %kind, %int.type\n"
    "  %is.slice = icmp eq ptr %kind, %slice.type\n"
    "  %simple = or i1 %is.int, %is.slice\n"
    "  br i1 %simple, label %compute, label %slow\n"
    "compute:\n" + _load("item", "item") + "  %part = call ptr %item(ptr %left, ptr %other)\n"
    "  %failed = icmp eq ptr %part, null\n"
    "  br i1 %failed, label %refused, label %made\n"
    "refused:\n" + _load("clear", "clear") + "  call void %clear()\n"
    "  br label %slow\n"
    "made:\n"
    "  %var = call ptr @var_of(ptr %part)\n"
    "  ret ptr %var\n",
}


# A function gets its arguments as a list, their number (the highest bit means something else) and
# the names of those that are named.
_FUNCTION = (
    "  %number = and i64 %flagged, 9223372036854775807\n"
    "  %count.right = icmp eq i64 %number, {count}\n"
    "  %unnamed = icmp eq ptr %names, null\n"
    "  %simple = and i1 %count.right, %unnamed\n"
    "  br i1 %simple, label %try, label %slow\n"
    "try:\n"
    "{mode}"
    "  %self = load ptr, ptr %list\n"
    "  %other.at = getelementptr ptr, ptr %list, i64 {last}\n"
    "  %other = load ptr, ptr %other.at\n"
    "  %left = call ptr @array_of(ptr %self)\n"
    "  %no.left = icmp eq ptr %left, null\n"
    "  br i1 %no.left, label %slow, label %first\n"
    "first:\n"
    "  %right = call ptr @array_of(ptr %other)\n"
    "  %no.right = icmp eq ptr %right, null\n"
    "  br i1 %no.right, label %slow, label %arrays\n"
    "arrays:\n"
    f"  %dtype.at = getelementptr i8, ptr %left, i64 {AT_DTYPE}\n"
    "  %dtype = load ptr, ptr %dtype.at\n"
    f"  %right.dtype.at = getelementptr i8, ptr %right, i64 {AT_DTYPE}\n"
    "  %right.dtype = load ptr, ptr %right.dtype.at\n"
    "  %same = icmp eq ptr %dtype, %right.dtype\n"
    "  %listed = call i1 @is_listed(ptr %dtype, ptr %own)\n"
    "  %left.small = call i1 @is_small(ptr %left)\n"
    "  %right.small = call i1 @is_small(ptr %right)\n"
    "  %fits.one = and i1 %same, %listed\n"
    "  %fits.two = and i1 %left.small, %right.small\n"
    "  %fits = and i1 %fits.one, %fits.two\n"
    "  br i1 %fits, label %compute, label %slow\n"
    "compute:\n"
    "  %found = call ptr @numpy(ptr %self, ptr %other, ptr %left, ptr %right, i64 {count},"
    " ptr %own)\n"
    "  ret ptr %found\n"
    "slow:\n"
    + _load("call", "call")
    + _own("general", "general")
    + "  %other.way = call ptr %call(ptr %general, ptr %list, i64 %flagged, ptr %names)\n"
    "  ret ptr %other.way\n"
)
_MODE = (
    _load("mode.at", "mode") + "  %mode = load volatile i64, ptr %mode.at\n"
    "  %special = icmp ne i64 %mode, 0\n"
    "  br i1 %special, label %slow, label %look\n"
    "look:\n"
)
FUNCTIONS = {"one": 1, "two": 2}


def _entry(method: Method, number: int, own: int) -> str:
    """Return an entry of the module."""
    words = f"ptr getelementptr (i64, ptr @words, i64 {own})"
    if method.kind in FUNCTIONS:
        parameters = "ptr %callable, ptr %list, i64 %flagged, ptr %names"
        given = "ptr %list, i64 %flagged, ptr %names"
    else:
        parameters = given = "ptr %self, ptr %other"
    return (
        f"define ptr @KERNEL_{number}({parameters}) {{\n"
        f"  %found = call ptr @{method.kind}({given}, {words})\n"
        "  ret ptr %found\n}\n"
    )


def _shared(kind: str) -> str:
    """Return the function behind the entries of one kind."""
    parameters, body = "ptr %self, ptr %other", _BODIES.get(kind, "")
    if kind in FUNCTIONS:
        count = FUNCTIONS[kind]
        parameters = "ptr %list, i64 %flagged, ptr %names"
        body = _FUNCTION.format(count=count, last=count - 1, mode=_MODE)
    return f"define internal ptr @{kind}({parameters}, ptr %own) noinline {{\n{body}}}\n"


def module_text(methods: Sequence[Method]) -> str:
    """Return the module: what the methods share, and an entry for each of them."""
    size = 1 + len(COMMON) + len(OF_METHOD) * len(methods)
    words = ", ".join(f"i64 {FIRST + number}" for number in range(size))
    parts = [f"@words = private constant [{size} x i64] [{words}], align 64\n", _SHARED]
    parts += [_shared(kind) for kind in sorted({each.kind for each in methods})]
    parts.append("define void @KERNEL() {\n  ret void\n}\n")
    for number, method in enumerate(methods):
        own = 1 + len(COMMON) + len(OF_METHOD) * number
        parts.append(_entry(method, number, own))
    return "".join(parts)
