"""Elements around arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.var import Var
from mnn.numpy import hosting as _hosting
from mnn.numpy import orders as _orders
from mnn.numpy import reductions as _reductions
from mnn.numpy.elementwise import rint as _rint
from mnn.numpy.sizes import known_shape
from mnn.numpy.small import left_to_numpy
from mnn.ops import padding as _padding
from mnn.ops.axes import normalize_axis
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast as _cast
from mnn.ops.index import gather as _gather
from mnn.ops.joining import concat as _concat
from mnn.ops.operands import array_of, as_var
from mnn.ops.repeat import tile as _tile
from mnn.ops.unary import floor as _floor

__all__ = ["pad"]

_Pairs = list[tuple[int, int]]
_MIRRORS = {"reflect": 1, "symmetric": 2, "edge": 3}
_STATISTICS: dict[str, Callable[..., Var]] = {
    "maximum": _reductions.max,
    "minimum": _reductions.min,
    "mean": _reductions.mean,
    "median": _orders.median,
}
_OPTIONS = {
    "constant": "constant_values",
    "linear_ramp": "end_values",
    **dict.fromkeys(_STATISTICS, "stat_length"),
    "reflect": "reflect_type",
    "symmetric": "reflect_type",
    "edge": "",
    "empty": "",
    "wrap": "",
}


def _small_pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if mode == "empty":
        raise ValueError("elements are 0 here, and anything in NumPy")
    make: Any = _np.pad
    return make(array, pad_width, mode, **options)


@left_to_numpy(_small_pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Var:
    """Return the array with elements added at both ends of each dimension.

    Args:
        array: array.
        pad_width: one number, one (before, after) pair, a pair per dimension, or a dict of them
            by axis.
        mode: "constant"; "edge", "reflect", "symmetric" or "wrap": elements of the array;
            "linear_ramp": steps from the edge to another number; "maximum", "minimum", "mean" or
            "median" of the axis; "empty": zeros; or a function as for `numpy.pad`.
        kwargs: of the mode, given like pad_width: `constant_values`; `end_values` of ramps;
            `stat_length`, how many elements at the edge to look at; `reflect_type`, "even" or
            "odd" (mirrored at the point of the edge). Or arguments of the function.

    Raises:
        ShapeError: pad_width does not fit, an unknown mode, or an argument of another mode.
        DTypeError: no whole widths.
    """
    var = as_var(array, "pad")
    if callable(mode):
        filled: Var = _hosting.computed(_np.pad, var, _widths(var, pad_width), mode, **kwargs)
        return filled
    if mode not in _OPTIONS:
        raise ShapeError(f"pad: mode is {mode!r}, expected one of {sorted(_OPTIONS)}.")
    unknown = sorted(set(kwargs) - {_OPTIONS[mode]})
    if unknown:
        raise ShapeError(f"pad: {unknown} are no arguments of mode {mode!r}.")
    pairs = _widths(var, pad_width)
    option = kwargs.get(_OPTIONS[mode])
    if mode in ("constant", "empty"):
        return _constants(var, pairs, 0 if option is None else option)
    if mode in _MIRRORS and option in (None, "even") and not _is_wide(var, pairs, mode):
        return _padding.pad(var, pairs, _MIRRORS[mode])
    if _hosting.at_once(var):
        given = {name: each for name, each in kwargs.items() if each is not None}
        found: Var = _hosting.computed(_np.pad, var, pairs, mode, **given)
        return found
    if mode in _STATISTICS:
        return _statistics(var, pairs, _STATISTICS[mode], option)
    if mode == "linear_ramp":
        return _ramps(var, pairs, 0 if option is None else option)
    return _copies(var, pairs, mode, option == "odd")


def _widths(var: Var, pad_width: Any) -> _Pairs:
    if isinstance(pad_width, dict):
        found: _Pairs = [(0, 0)] * var.ndim
        for axis, width in pad_width.items():
            before, after = _pairs_of("pad_width", width, 1)[0]
            found[normalize_axis("pad", axis, var.ndim)] = (int(before), int(after))
        pad_width = found
    widths = array_of(pad_width, "pad")
    if widths.dtype.kind not in "iu":
        raise DTypeError(f"pad: pad_width is {pad_width!r}, expected whole numbers.")
    pairs = _pairs_of("pad_width", widths, var.ndim)
    if pairs.size and pairs.min() < 0:
        raise ShapeError("pad: found a negative width, expected >= 0.")
    return [(int(before), int(after)) for before, after in pairs]


def _pairs_of(name: str, values: Any, rank: int) -> Any:
    """Return values given once, as one pair or by dimension, as a pair for each dimension."""
    try:
        return _np.broadcast_to(array_of(values, "pad"), (rank, 2))
    except ValueError as error:
        raise ShapeError(f"pad: {name} is {values!r} for {rank} dimensions.") from error


def _is_wide(var: Var, pairs: _Pairs, mode: str) -> bool:
    """Return True if an axis has fewer elements than a mirror image needs."""
    limit = {"reflect": 1, "symmetric": 0}.get(mode, 0)
    return any(
        max(widths) > size - limit
        for size, widths in zip(var.shape, pairs, strict=True)
        if size >= 0 and mode in ("reflect", "symmetric")
    )


def _constants(var: Var, pairs: _Pairs, values: Any) -> Var:
    found = array_of(values, "pad", exact=True)
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


def _along(var: Var, axis: int, part: slice) -> Var:
    """Return a part of the array along one axis."""
    index: list[Any] = [slice(None)] * axis + [part]
    return var[tuple(index)]


def _shaped(values: Any, rank: int, axis: int) -> Any:
    """Return a vector as an array of `rank` dimensions that runs along one axis."""
    return values.reshape([-1 if each == axis else 1 for each in range(rank)])


def _statistics(var: Var, pairs: _Pairs, function: Callable[..., Var], lengths: Any) -> Var:
    """Return the array with one number of each axis at its ends; axes in order, as in NumPy."""
    looked_at = None if lengths is None else _pairs_of("stat_length", lengths, var.ndim)
    if looked_at is not None and looked_at.size and looked_at.min() < 1:
        raise ShapeError(f"pad: stat_length is {lengths!r}, expected numbers >= 1.")
    for axis, widths in enumerate(pairs):
        ends = []
        for place, width in enumerate(widths):
            part = var
            if looked_at is not None:
                count = int(looked_at[axis, place])
                part = _along(var, axis, slice(None, count) if place == 0 else slice(-count, None))
            number = function(part, axis, keepdims=True)
            if number.dtype != var.dtype:
                number = _cast(_rint(number) if var.dtype.kind in "iu" else number, var.dtype)
            ends.append(_tile(number, [width if each == axis else 1 for each in range(var.ndim)]))
        var = _concat([ends[0], var, ends[1]], axis)
    return var


def _ramps(var: Var, pairs: _Pairs, values: Any) -> Var:
    """Return the array with straight lines from its edges to other numbers."""
    targets = _pairs_of("end_values", values, var.ndim)
    for axis, widths in enumerate(pairs):
        parts = [var]
        for place, width in enumerate(widths):
            edge = _along(var, axis, slice(None, 1) if place == 0 else slice(-1, None))
            kind = _np.result_type(var.dtype, _np.float64)
            end = targets[axis, place].astype(kind)
            shares = _np.arange(width, dtype=_np.float64) / max(width, 1)
            shares = _shaped(shares if place == 0 else shares[::-1], var.ndim, axis)
            ramp = end + (_cast(edge, kind) - end) * shares
            ramp = _cast(_floor(ramp) if var.dtype.kind in "iu" else ramp, var.dtype)
            parts.insert(0 if place == 0 else len(parts), ramp)
        var = _concat(parts, axis)
    return var


def _copies(var: Var, pairs: _Pairs, mode: str, odd: bool) -> Var:
    """Return the array with elements of its own at the ends."""
    for axis, widths in enumerate(pairs):
        if not any(widths):
            continue
        size = known_shape("pad", var)[axis]
        if not size:
            raise ShapeError(f"pad: axis {axis} of {var.shape} has no elements to repeat.")
        make: Any = _np.pad
        places = make(_np.arange(size, dtype=_np.int32), widths, mode)
        mirrored = _gather(var, places, axis)
        if odd and size > 1:
            mirrored = _odd(var, mirrored, places, widths, mode, axis)
        var = mirrored
    return var


def _odd(
    var: Var, mirrored: Var, places: Any, widths: tuple[int, int], mode: str, axis: int
) -> Var:
    """Return elements mirrored at the points of the edges.

    Each is a whole number times the mirrored element, the first and the last of the axis; what
    NumPy makes of unit vectors tells the numbers.
    """
    size = var.shape[axis]
    make: Any = _np.pad
    ends = (0, size - 1)
    factors = []
    for end in ends:
        unit = _np.zeros(size, _np.int64)
        unit[end] = 1
        factors.append(make(unit, widths, mode, reflect_type="odd"))
    own = _np.where(_np.isin(places, ends), 0, 1 - factors[0] - factors[1])
    edges = [_along(var, axis, slice(end, end + 1)) for end in ends]
    found: Any = None
    for factor, operand in zip((own, *factors), (mirrored, *edges), strict=True):
        shaped = _shaped(factor, var.ndim, axis)
        # 0 times infinity must not count.
        term = _select(shaped == 0, _np.zeros((), var.dtype), operand * shaped.astype(var.dtype))
        found = term if found is None else found + term
    return _cast(found, var.dtype)
