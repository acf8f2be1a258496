"""Functions that NumPy computes: results whose shape depends on values, LAPACK, and the like.

They read their arguments at once, also those of a recorded graph, and return Vars that hold their
values; no gradient flows through them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.expr.dtypes import default_float, float_result, is_bfloat16, kind_of
from mnn.expr.modes import should_record
from mnn.expr.var import Var
from mnn.ops.operands import array_of

__all__ = ["at_once", "computed", "floating", "plain", "wrapped"]

Array = _np.ndarray[Any, Any]


def at_once(*operands: Any) -> bool:
    """Return True when nothing is recorded, so that NumPy may compute from the arrays."""
    return not should_record() and all(
        not isinstance(each, Var) or each._ref is None for each in operands
    )


def plain(value: Any) -> Any:
    """Return `value` with the Vars in it, also those in lists, tuples and dicts, as arrays."""
    if isinstance(value, Var):
        return value._array()
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    if type(value) is dict:
        return {key: plain(each) for key, each in value.items()}
    return value


def wrapped(value: Any) -> Any:
    """Return `value` with the arrays and NumPy numbers in it as Vars; all else stays as it is."""
    if isinstance(value, _np.ndarray):
        return Var(value) if kind_of(value.dtype) in "biufc" else value
    if isinstance(value, _np.generic):
        return Var(_np.asarray(value)) if kind_of(value.dtype) in "biufc" else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(wrapped(each) for each in value))
    if type(value) in (list, tuple):
        return type(value)(wrapped(each) for each in value)
    return value


def floating(value: Any, what: str) -> Array:
    """Return array-like data as an array of floats: integers, bools, bfloat16 become float32."""
    array = array_of(value, what)
    wanted = default_float if is_bfloat16(array.dtype) else float_result(array.dtype)
    return array.astype(wanted, copy=False)


def computed(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a NumPy function makes of arguments that may hold Vars, as Vars.

    NumPy's own exceptions reach the caller as they are.
    """
    given = [plain(each) for each in arguments]
    named = {name: plain(each) for name, each in options.items()}
    return wrapped(function(*given, **named))
