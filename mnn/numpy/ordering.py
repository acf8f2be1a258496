"""Orders by several keys, of complex numbers, and without zeros at the ends."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.var import Var
from mnn.numpy.hosting import computed
from mnn.ops.axes import normalize_axis
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.index import gather_elements as _gather_elements
from mnn.ops.operands import as_var
from mnn.ops.sorting import argsort as _argsort
from mnn.ops.sorting import sort as _sort

__all__ = ["lexsort", "msort", "sort_complex", "trim_zeros"]


def lexsort(keys: Any, axis: int = -1) -> Var:
    """Return the int32 positions that sort by several keys, the last of which decides first.

    Args:
        keys: arrays of one shape, or an array whose first axis counts the keys.
        axis: along which axis of the keys.

    Raises:
        DTypeError: no keys.    ShapeError: keys of several shapes.
    """
    if isinstance(keys, (list, tuple)):
        ordered = [as_var(each, "lexsort") for each in keys]
    else:
        stacked = as_var(keys, "lexsort")
        ordered = [stacked[each] for each in range(stacked.shape[0])] if stacked.ndim else []
    if not ordered:
        raise DTypeError("lexsort: found no keys, expected at least one.")
    if any(each.shape != ordered[0].shape for each in ordered):
        raise ShapeError(
            f"lexsort: keys have shapes {[each.shape for each in ordered]}, expected equal ones."
        )
    if not ordered[0].ndim:
        if axis in (0, -1):
            return cast(_zeros_like(ordered[0]), _np.int32)
        normalize_axis("lexsort", axis, 0)
    place = normalize_axis("lexsort", axis, ordered[0].ndim)
    order: Var = _argsort(ordered[0], axis=place)
    for key in ordered[1:]:
        step = _argsort(_gather_elements(key, order, axis=place), axis=place)
        order = _gather_elements(order, step, axis=place)
    return order


def sort_complex(a: Any) -> Var:
    """Return the numbers as complex ones, sorted by real, then by imaginary part."""
    x = as_var(a, "sort_complex")
    if x.dtype.kind != "c":
        x = cast(x, _np.complex128 if x.dtype == _np.float64 else _np.complex64)
    return _sort(x, -1)


def msort(a: Any) -> Var:
    """Return a copy sorted along the first axis."""
    return _sort(as_var(a, "msort"), 0)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Var:
    """Return the array without the zeros at the ends; values are read at once.

    Args:
        filt: array.
        trim: "f" for the front, "b" for the back, "fb" for both.
        axis: along which axis or axes; None: all.
    """
    result: Var = computed(_np.trim_zeros, as_var(filt, "trim_zeros"), trim, axis)
    return result
