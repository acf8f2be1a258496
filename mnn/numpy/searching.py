"""Sorting, searching, selecting and comparing."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import IndexRangeError, ShapeError
from mnn.expr.var import Var
from mnn.numpy.elementwise import clip as _clip
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.reductions import stored, sum
from mnn.ops import index as _index
from mnn.ops import search as _search
from mnn.ops import sorting as _sorting
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.broadcast import reshape_like
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.joining import concat as _concat
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var, as_vars
from mnn.ops.repeat import broadcast_to
from mnn.ops.shape import range as _range
from mnn.ops.shape import shape as _shape
from mnn.ops.transpose import transpose
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import isfinite as _isfinite
from mnn.ops.unary import isnan as _isnan

__all__ = [
    "allclose",
    "argpartition",
    "argsort",
    "argwhere",
    "array_equal",
    "array_equiv",
    "flatnonzero",
    "isclose",
    "nonzero",
    "partition",
    "searchsorted",
    "sort",
    "take",
    "take_along_axis",
    "where",
]


_SORTS = (None, "quicksort", "heapsort", "mergesort", "stable")


def _check_sort(name: str, kind: Any, order: Any, stable: Any = None) -> None:
    """Accept NumPy's ways to sort: the one used is stable, which fits all of them."""
    if kind is not None and stable is not None:
        raise ShapeError(f"{name}: found both kind and stable. Give one.")
    if kind not in _SORTS or order is not None:
        raise ShapeError(
            f"{name}: kind is {kind!r} and order {order!r}, expected one of {_SORTS} and None: "
            "there are no fields to order by."
        )


def sort(
    a: Any,
    axis: int | None = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: bool = False,
) -> Var:
    """Return a sorted copy along `axis` (None: of the flat array); equal elements keep theirs.

    Args:
        a: array.    axis: which axis.
        kind, order, stable: as in NumPy; the order is stable whatever they say.
        descending: begin with the largest, as the array API standard has it.
    """
    _check_sort("sort", kind, order, stable)
    x = as_var(a, "sort")
    place = 0 if axis is None else axis
    return _sorting.sort(ravel(x) if axis is None else x, place, descend=descending)


def argsort(
    a: Any,
    axis: int | None = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: bool = False,
) -> Var:
    """Return the int32 positions that sort along `axis`; equal elements keep their order.

    Args:
        a: array.    axis: which axis.
        kind, order, stable: as in NumPy; the order is stable whatever they say.
        descending: begin with the largest, as the array API standard has it.
    """
    _check_sort("argsort", kind, order, stable)
    x = as_var(a, "argsort")
    flat = axis is None or not x.ndim
    place = 0 if axis is None or flat else axis
    return _sorting.sort(ravel(x) if flat else x, place, True, descending)


def partition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Var:
    """Return a copy with the elements at positions `kth` of `axis` where sorting puts them.

    Smaller ones stand before them and larger ones after, in any order.

    Raises:
        ShapeError: a position is out of range, or an unknown kind.
    """
    _check_positions("partition", a, kth, axis, kind)
    x = as_var(a, "partition")
    if order is None and at_once(x):
        found: Var = computed(_np.partition, x, kth, axis)
        return found
    return sort(x, axis, None, order)


def argpartition(
    a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: Any = None
) -> Var:
    """Return the int32 positions that partition `axis`; see `partition`.

    Raises:
        ShapeError: a position is out of range, or an unknown kind.
    """
    _check_positions("argpartition", a, kth, axis, kind)
    x = as_var(a, "argpartition")
    if order is None and at_once(x):
        return cast(computed(_np.argpartition, x, kth, axis), _np.int32)
    return argsort(x, axis, None, order)


def _check_positions(name: str, a: Any, kth: Any, axis: int | None, kind: Any) -> None:
    x = as_var(a, name)
    if kind != "introselect":
        raise ShapeError(f"{name}: kind is {kind!r}, expected 'introselect'.")
    if axis is None or (not x.ndim and axis in (0, -1) and name == "argpartition"):
        size = x.size
    else:
        size = x.shape[normalize_axis(name, axis, x.ndim)]
    wrong = [each for each in integers_of(name, kth, "kth") if not -size <= each < size]
    if wrong and size >= 0:
        raise ShapeError(
            f"{name}: kth = {wrong[0]} is out of range for {size} elements. Expected {-size} to "
            f"{size - 1}."
        )


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Var:
    """Return the int32 places in a sorted array before which elements keep it sorted.

    Args:
        a: one dimension, ascending (NaN last), unless `sorter` is given.
        v: values to place, any shape; the result has the same.
        side: "left": the first such place; "right": the last.
        sorter: positions that sort `a`, from `argsort`.

    Raises:
        ShapeError: `a` is not one-dimensional, or `side` is no side.
    """
    x, value = as_vars((a, v), "searchsorted")
    if x.ndim != 1 or side not in ("left", "right"):
        raise ShapeError(
            f"searchsorted: found shape {x.shape} and side {side!r}, expected one dimension and "
            "'left' or 'right'."
        )
    if sorter is not None:
        x = take(x, sorter)
    result: Var = _search.searchsorted(x, value, right=side == "right")
    return result


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Return x where the condition is true, else y; without x and y, the true positions.

    Raises:
        ShapeError: only one of x and y is given.
    """
    if (x is None) != (y is None):
        raise ShapeError("where: found one of x and y, expected both or none.")
    return nonzero(condition) if x is None else _select(condition, x, y)


def argwhere(a: Any) -> Var:
    """Return the coordinates of nonzero elements: `(count, rank)`, int32."""
    return _search.where(a)


def nonzero(a: Any) -> tuple[Var, ...]:
    """Return the coordinates of nonzero elements, one int32 array per dimension."""
    x = as_var(a, "nonzero")
    if not x.ndim:
        raise ShapeError("nonzero: found a 0-d array, expected at least one dimension.")
    found = _search.where(x)
    return tuple(found[:, axis] for axis in range(x.ndim))


def flatnonzero(a: Any) -> Var:
    """Return the positions of nonzero elements in the flat array, int32."""
    return nonzero(ravel(as_var(a, "flatnonzero")))[0]


def take(
    a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise"
) -> Var:
    """Return elements by index along `axis` (None: of the flat array).

    Args:
        a: array.
        indices: integers of any shape, or bools, which count as 0 and 1.
        axis: which axis.
        out: Var to write the result to.
        mode: what happens to indices out of range: "raise", "wrap" around or "clip" to the ends.

    Raises:
        IndexRangeError: an index is out of range.    ShapeError: an unknown mode.
    """
    x, places = as_var(a, "take"), as_var(indices, "take")
    if mode not in ("raise", "wrap", "clip"):
        raise ShapeError(f"take: mode is {mode!r}, expected 'raise', 'wrap' or 'clip'.")
    if axis is None:
        x, axis = ravel(x), 0
    if places.dtype.kind == "b" or not places.size:
        places = cast(places, _np.int32)
    if mode != "raise":
        length: Any = x.shape[normalize_axis("take", axis, x.ndim)]
        if length < 0:
            length = _shape(x)[axis]
        places = places % length if mode == "wrap" else _clip(places, 0, length - 1)
    return stored(_index.gather(x, places, axis), out)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Var:
    """Return one element per index along `axis`."""
    x, places = as_var(arr, "take_along_axis"), as_var(indices, "take_along_axis")
    if places.dtype.kind not in "iu":
        raise IndexRangeError(
            f"take_along_axis: indices are {places.dtype}, expected integers. Use astype(int)."
        )
    if axis is None:
        x, axis = ravel(x), 0
    result: Var = _index.gather_elements(
        x, places, axis=normalize_axis("take_along_axis", axis, x.ndim)
    )
    return result


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Return whether shapes and all elements are equal."""
    one, two = (each._array() for each in as_vars((a1, a2), "array_equal"))
    return bool(_np.array_equal(one, two, equal_nan=equal_nan))


def array_equiv(a1: Any, a2: Any) -> bool:
    """Return whether one array broadcasts to the other with equal elements."""
    one, two = (each._array() for each in as_vars((a1, a2), "array_equiv"))
    return bool(_np.array_equiv(one, two))


def isclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Var:
    """Return where |a - b| <= atol + rtol * |b|."""
    x, y = as_vars((a, b), "isclose")
    if y.dtype.kind in "biu":
        y = cast(y, _np.float64)
    near: Var = _absolute(x - y) <= _absolute(y) * rtol + atol
    close: Var = (near & _isfinite(y)) | (x == y)
    if equal_nan:
        close = close | (_isnan(x) & _isnan(y))
    return close


def allclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Return whether |a - b| <= atol + rtol * |b| everywhere."""
    return bool(isclose(a, b, rtol, atol, equal_nan)._array().all())
