"""Results that NumPy computes, in the types that are ours where it invents them.

See rules 1 and 4 of `mnn.expr.dtypes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.numpy.hosting import plain, wrapped

__all__ = ["narrowed", "positioned"]

_NARROW = {"float64": _np.float32, "complex128": _np.complex64}


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return arrays and NumPy numbers changed, also those in tuples and lists, as Vars."""
    if isinstance(value, (_np.ndarray, _np.generic)):
        return wrapped(change(_np.asarray(value)))
    if isinstance(value, (tuple, list)):
        made = [_each(each, change) for each in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return wrapped(value)


def narrowed(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Return what a NumPy function makes of arguments that may hold Vars, as Vars.

    Its float64 is float32, and its complex128 complex64, unless an argument is that wide itself;
    its int64 is int32 where no argument has 64 bits, as for counts and positions.
    """
    given = [plain(each) for each in arguments]
    named = {name: plain(each) for name, each in options.items()}
    kinds = {each.dtype for each in _arrays([*given, *named.values()])}
    wide = any(each.kind in "fc" and each in (_np.float64, _np.complex128) for each in kinds)
    large = any(each.kind in "iu" and each.itemsize == 8 for each in kinds)

    def change(array: Any) -> Any:
        if array.dtype.name in _NARROW and not wide:
            return array.astype(_NARROW[array.dtype.name])
        if array.dtype == _np.int64 and not large:
            return array.astype(_np.int32)
        return array

    return _each(function(*given, **named), change)


def _arrays(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for each in values:
        if isinstance(each, (_np.ndarray, _np.generic)):
            found.append(each)
        elif isinstance(each, (list, tuple)):
            found.extend(_arrays(list(each)))
    return found


def positioned(value: Any) -> Any:
    """Return positions and counts from NumPy as Vars of int32; other arrays as they are."""

    def change(array: Any) -> Any:
        return array.astype(_np.int32) if array.dtype == _np.int64 else array

    return _each(value, change)
