"""bfloat16 in operators: what only moves elements takes it as it is, all else through float32.

Operators never see bfloat16 where they compute: operands arrive as float32, and results of float32
are rounded to bfloat16 where that is the type to which the operands promote. So each operator is
rounded once, whatever it does inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.expr.dtypes import bfloat16_type, common_dtype, default_float, is_bfloat16

__all__ = [
    "MOVES",
    "as_bfloat16",
    "as_float32",
    "computes_bfloat16",
    "keeps_bfloat16",
    "rounded_once",
]

Array = np.ndarray[Any, Any]

MOVES = frozenset(
    (
        "assign_index",
        "broadcast_like",
        "broadcast_to",
        "cast",
        "concat",
        "convert",
        "fill",
        "flatten",
        "gather",
        "gather_elements",
        "gather_nd",
        "getitem",
        "if_else",
        "last_assigned",
        "loop",
        "ones_like",
        "relabel",
        "reshape",
        "reshape_like",
        "reverse",
        "slice_steps",
        "split",
        "split_like",
        "squeeze",
        "stack",
        "tile",
        "transpose",
        "unsqueeze",
        "while_loop",
        "zeros_like",
    )
)
"""Operators that give elements as they are, or convert them themselves."""

_PROMOTING = ("elementwise", "matmul")


def computes_bfloat16(name: str, operands: Sequence[Any]) -> bool:
    """Return True if an operator has operands (arrays or types) to compute through float32."""
    if name in MOVES:
        return False
    return any(each is not None and is_bfloat16(each.dtype) for each in operands)


def keeps_bfloat16(family: str, operands: Sequence[Any], attributes: Mapping[str, Any]) -> bool:
    """Return True if float32 results of an operator with such operands become bfloat16.

    False where a caller asks for a dtype, and where another operand is of a wider type. Operands
    that are no floats say where to look or how much, but for arithmetic.
    """
    if attributes.get("dtype") is not None:
        return False
    dtypes = [each.dtype for each in operands if each is not None]
    if family not in _PROMOTING:
        dtypes = [each for each in dtypes if each.kind not in "biu"]
    return is_bfloat16(common_dtype(*dtypes))


def rounded_once(values: Array) -> Array:
    """Return numbers as bfloat16, of two equally near ones the even one.

    The way through float32 that `ml_dtypes` takes rounds twice: what it leaves of a number just
    beside the middle of two others may be the middle itself. Here, what float32 cannot hold is cut
    off, and leaves its last bit set, so that no middle arises ("rounding to odd").
    """
    wanted = bfloat16_type()
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        values = _odd_doubles(values)
    elif values.dtype.kind in "iu" and values.dtype.itemsize == 4:
        values = values.astype(np.float64)
    if values.dtype.kind != "f" or values.dtype.itemsize < 8:
        return values.astype(wanted)
    narrow = np.array(values, np.float32)
    inexact = (narrow != values) & (values == values)
    if not inexact.any():
        return narrow.astype(wanted)
    beyond = inexact & (np.abs(narrow) > np.abs(values))
    bits = narrow.view(np.uint32)
    bits -= beyond
    bits |= inexact
    return narrow.astype(wanted)


def _odd_doubles(values: Array) -> Array:
    """Return integers of 64 bits as float64; of those that do not fit, the last bit is set."""
    large = np.abs(values.astype(np.float64)) >= 2.0**53
    if not large.any():
        return values.astype(np.float64)
    dropped = values & values.dtype.type(2047)
    cut = (values >> values.dtype.type(11)) | (dropped != 0)
    return np.where(large, cut.astype(np.float64) * 2048, values.astype(np.float64))


def as_float32(operands: Sequence[Any]) -> list[Any]:
    """Return arrays, or types, with float32 in place of bfloat16."""
    return [
        each if each is None or not is_bfloat16(each.dtype) else _widened(each) for each in operands
    ]


def as_bfloat16(results: Sequence[Any]) -> tuple[Any, ...]:
    """Return arrays, or types, with bfloat16 in place of float32."""
    wanted = np.dtype(bfloat16_type())
    return tuple(
        each
        if each.dtype != default_float
        else each.astype(wanted)
        if isinstance(each, np.ndarray)
        else each.with_dtype(wanted)
        for each in results
    )


def _widened(operand: Any) -> Any:
    if isinstance(operand, np.ndarray):
        return operand.astype(default_float)
    return operand.with_dtype(default_float)
