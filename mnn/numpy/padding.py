"""Elements around arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError, UnsupportedError
from mnn.expr.var import Var
from mnn.numpy import orders as _orders
from mnn.numpy import reductions as _reductions
from mnn.numpy.elementwise import rint as _rint
from mnn.numpy.sizes import known_shape
from mnn.ops import padding as _padding
from mnn.ops.convert import cast as _cast
from mnn.ops.index import gather as _gather
from mnn.ops.joining import concat as _concat
from mnn.ops.operands import array_of, as_var
from mnn.ops.repeat import tile as _tile

__all__ = ["pad"]

_Pairs = list[tuple[int, int]]
_MIRRORS = {"reflect": 1, "symmetric": 2, "edge": 3}
_STATISTICS: dict[str, Callable[..., Var]] = {
    "maximum": _reductions.max,
    "minimum": _reductions.min,
    "mean": _reductions.mean,
    "median": _orders.median,
}
_MODES = sorted(["constant", "empty", "wrap", *_MIRRORS, *_STATISTICS])


def pad(array: Any, pad_width: Any, mode: str = "constant", **options: Any) -> Var:
    """Return the array with elements added at both ends of each dimension.

    Args:
        array: array.
        pad_width: one number, one (before, after) pair, or a pair per dimension.
        mode: "constant"; "edge", "reflect", "symmetric" or "wrap": elements of the array;
            "maximum", "minimum", "mean" or "median" of the axis; "empty": zeros.
        options: `constant_values` for "constant": a number, or numbers given like pad_width.

    Raises:
        ShapeError: pad_width does not fit, or an unknown mode.    DTypeError: no whole widths.
        UnsupportedError: another option of NumPy.
    """
    var = as_var(array, "pad")
    if mode not in _MODES:
        raise ShapeError(f"pad: mode is {mode!r}, expected one of {_MODES}.")
    values = options.pop("constant_values", 0) if mode == "constant" else 0
    if options.pop("reflect_type", "even") != "even" or options:
        raise UnsupportedError(
            f"pad: {sorted(options) or 'reflect_type'} is not available for mode {mode!r}."
        )
    pairs = _widths(var, pad_width)
    if mode in ("constant", "empty"):
        return _constants(var, pairs, values)
    if mode in _STATISTICS:
        return _statistics(var, pairs, _STATISTICS[mode])
    return _copies(var, pairs, mode)


def _widths(var: Var, pad_width: Any) -> _Pairs:
    widths = array_of(pad_width, "pad")
    if widths.dtype.kind not in "iu":
        raise DTypeError(f"pad: pad_width is {pad_width!r}, expected whole numbers.")
    try:
        pairs = _np.broadcast_to(widths, (var.ndim, 2))
    except ValueError as error:
        raise ShapeError(f"pad: pad_width {pad_width!r} for {var.ndim} dimensions.") from error
    if pairs.size and pairs.min() < 0:
        raise ShapeError("pad: found a negative width, expected >= 0.")
    return [(int(before), int(after)) for before, after in pairs]


def _constants(var: Var, pairs: _Pairs, values: Any) -> Var:
    found = array_of(values, "pad")
    if found.size == 1:
        return _padding.pad(var, pairs, 0, found.reshape(()).astype(var.dtype))
    try:
        ends = _np.broadcast_to(found, (var.ndim, 2)).astype(var.dtype)
    except ValueError as error:
        raise ShapeError(f"pad: constant_values {values!r} for {var.ndim} dimensions.") from error
    for axis, widths in enumerate(pairs):
        for place in (0, 1):
            around = [(0, 0)] * var.ndim
            around[axis] = (widths[0], 0) if place == 0 else (0, widths[1])
            var = _padding.pad(var, around, 0, ends[axis, place])
    return var


def _statistics(var: Var, pairs: _Pairs, function: Callable[..., Var]) -> Var:
    """Return the array with one number of each axis at its ends; axes in order, as in NumPy."""
    for axis, widths in enumerate(pairs):
        number = function(var, axis, keepdims=True)
        if number.dtype != var.dtype:
            number = _cast(_rint(number) if var.dtype.kind in "iu" else number, var.dtype)
        once = [1] * var.ndim
        before, after = (
            _tile(number, [*once[:axis], width, *once[axis + 1 :]]) for width in widths
        )
        var = _concat([before, var, after], axis)
    return var


def _copies(var: Var, pairs: _Pairs, mode: str) -> Var:
    """Return the array with elements of its own at the ends."""
    limit = {"reflect": 1, "symmetric": 0}.get(mode, 0)
    wide = any(
        max(widths) > size - limit
        for size, widths in zip(var.shape, pairs, strict=True)
        if size >= 0 and mode in ("reflect", "symmetric")
    )
    if mode in _MIRRORS and not wide:
        return _padding.pad(var, pairs, _MIRRORS[mode])
    for axis, widths in enumerate(pairs):
        if not any(widths):
            continue
        size = known_shape("pad", var)[axis]
        if not size:
            raise ShapeError(f"pad: axis {axis} of {var.shape} has no elements to repeat.")
        places = _np.pad(_np.arange(size, dtype=_np.int32), widths, mode)  # type: ignore[call-overload]
        var = _gather(var, places, axis)
    return var
