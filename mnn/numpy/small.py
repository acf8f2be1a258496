"""Functions that leave small computed arrays to NumPy; see `mnn.ops.quick`.

The operators of the graph cost more than NumPy's whole call when there are only some elements. What
NumPy gives is what they would give, type included: the functions move elements or multiply arrays
of one type with each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as _np

from mnn.config import config
from mnn.expr.enums import data_format
from mnn.expr.modes import recorders
from mnn.expr.var import Var
from mnn.ops.quick import SMALL

__all__ = ["FLOATS", "left_to_numpy", "plain_arguments"]

Function = TypeVar("Function", bound=Callable[..., Any])

FLOATS = frozenset((_np.dtype(_np.float32), _np.dtype(_np.float64)))
"""Types whose sums have the same type everywhere."""

_NCHW = data_format.NCHW
_PLAIN = frozenset((int, bool, str, slice, type(None)))


def left_to_numpy(
    numpys: Callable[..., Any],
    dtypes: frozenset[Any] | None = None,
    arrays: int = 1,
    *,
    large: bool = False,
) -> Callable[[Function], Function]:
    """Return a decorator of the general function of the same meaning.

    Calls with small computed Vars, alone or in a list, of one type, and otherwise only with ints,
    texts and tuples of them, are NumPy's. What NumPy refuses goes the general way, which explains
    errors.

    Args:
        numpys: NumPy's function.
        dtypes: the only types to leave to it.
        arrays: how many arguments are arrays; Python numbers in their places have other types.
        large: kernels are not quicker at large arrays either.
    """
    limit = 1 << 62 if large else SMALL

    def decorate(general: Function) -> Function:
        @functools.wraps(general)
        def call(*operands: Any, **options: Any) -> Any:
            if not config.lazy and not recorders.count:
                given = plain_arguments(operands, dtypes, arrays, limit)
                if given is not None and _are_plain(options.values()):
                    try:
                        return _wrapped(numpys(*given, **options))
                    except (TypeError, ValueError, IndexError):
                        pass
                given = None  # what waits must be the only one that knows the arrays
            return general(*operands, **options)

        return call  # type: ignore[return-value]

    return decorate


def plain_arguments(
    operands: tuple[Any, ...],
    dtypes: frozenset[Any] | None = None,
    arrays: int = 1,
    limit: int = SMALL,
) -> list[Any] | None:
    """Return arguments for NumPy, None for calls that `left_to_numpy` does not leave to it."""
    found: list[Any] = []
    dtype = None
    for each in operands:
        kind = type(each)
        if kind is Var:
            value = _small(each, limit)
            if value is None or (dtype is not None and value.dtype is not dtype):
                return None
            dtype = value.dtype
            found.append(value)
        elif kind is list or kind is tuple:
            if each and type(each[0]) is Var:
                values = [_small(item, limit) if type(item) is Var else None for item in each]
                dtype = None if values[0] is None else values[0].dtype
                if dtype is None or any(item is None or item.dtype is not dtype for item in values):
                    return None
                found.append(values)
            elif len(found) >= arrays and _are_plain(each):
                found.append(each)
            else:
                return None
        elif kind in _PLAIN and len(found) >= arrays:
            found.append(each)
        else:
            return None
    if dtype is None or (dtypes is not None and dtype not in dtypes):
        return None
    return found


def _small(var: Var, limit: int) -> Any:
    value = var._value
    if value is None or value.size > limit or var._ref is not None or var._format is not _NCHW:
        return None
    return value


def _are_plain(values: Any) -> bool:
    for each in values:
        kind = type(each)
        if kind is tuple or kind is list:
            if not _are_plain(each):
                return False
        elif kind not in _PLAIN:
            return False
    return True


def _wrapped(found: Any) -> Any:
    if isinstance(found, (list, tuple)):
        return type(found)(_wrapped(each) for each in found)
    return Var(found if type(found) is _np.ndarray else _np.asarray(found))
