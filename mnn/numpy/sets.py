"""Distinct elements, and arrays as sets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.var import Var
from mnn.numpy.defaults import positioned
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.sizes import sizes_of
from mnn.ops import search as _search
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.axes import normalize_axis
from mnn.ops.broadcast import reshape_like as _reshape_like
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.index import gather as _gather
from mnn.ops.movement import ravel
from mnn.ops.operands import array_of, as_var, as_vars
from mnn.ops.sorting import sort as _sort

__all__ = [
    "in1d",
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


class UniqueAllResult(NamedTuple):
    """Distinct values, the first position of each, the value of each element, and counts."""

    values: Var
    indices: Var
    inverse_indices: Var
    counts: Var


class UniqueCountsResult(NamedTuple):
    """Distinct values and how often each occurs."""

    values: Var
    counts: Var


class UniqueInverseResult(NamedTuple):
    """Distinct values and which of them each element is."""

    values: Var
    inverse_indices: Var


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """Return the sorted distinct elements, and on request first indices, inverse and counts.

    Args:
        ar: array.
        return_index, return_inverse, return_counts: what else to return, as int32.
        axis: None: elements of the flat array; else slices along that axis are compared, and the
            result holds values, not a graph.
        equal_nan: NaN equals NaN; False needs the values of floats, too.
        sorted: accepted for compatibility; the elements are sorted in any case.
    """
    x = as_var(ar, "unique")
    if axis is not None:
        normalize_axis("unique", axis, x.ndim)
    apart = not equal_nan and kind_of(x.dtype) in "fc"
    if axis is not None or apart or at_once(x):
        return _unique_values(x, (return_index, return_inverse, return_counts), axis, equal_nan)
    values, first, inverse, counts = _search.unique(x)
    found = [values]
    if return_index:
        found.append(first)
    if return_inverse:
        found.append(_reshape_like(inverse, x))
    if return_counts:
        found.append(counts)
    return found[0] if len(found) == 1 else tuple(found)


def _unique_values(
    x: Var, wanted: tuple[bool, bool, bool], axis: int | None, equal_nan: bool
) -> Any:
    """Return what NumPy's `unique` returns, positions and counts as int32."""
    found: Any = _np.unique(  # type: ignore[call-overload]
        x._array(), *wanted, axis=axis, equal_nan=equal_nan
    )
    if not isinstance(found, tuple):
        return Var(found)
    return (Var(found[0]), *(positioned(each) for each in found[1:]))


def unique_all(x: Any) -> UniqueAllResult:
    """Return distinct values, first indices, inverse and counts; each NaN is another value."""
    return UniqueAllResult(*unique(x, True, True, True, equal_nan=False))


def unique_counts(x: Any) -> UniqueCountsResult:
    """Return distinct values and how often each occurs; each NaN is another value."""
    return UniqueCountsResult(*unique(x, return_counts=True, equal_nan=False))


def unique_inverse(x: Any) -> UniqueInverseResult:
    """Return distinct values and which of them each element is; each NaN is another value."""
    return UniqueInverseResult(*unique(x, return_inverse=True, equal_nan=False))


def unique_values(x: Any) -> Var:
    """Return the distinct values; each NaN is another one."""
    found: Var = unique(x, equal_nan=False)
    return found


def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """Return the sorted values that are in both arrays; values are read at once.

    Args:
        ar1, ar2: arrays, taken as flat.
        assume_unique: no value occurs twice in either.
        return_indices: also return the int32 positions of the values in both.
    """
    one, two = as_vars((ar1, ar2), "intersect1d")
    found = computed(_np.intersect1d, one, two, assume_unique, return_indices)
    if not return_indices:
        return found
    return (found[0], *(cast(each, _np.int32) for each in found[1:]))


def union1d(ar1: Any, ar2: Any) -> Var:
    """Return the sorted distinct values of two arrays; values are read at once."""
    found: Var = computed(_np.union1d, *as_vars((ar1, ar2), "union1d"))
    return found


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Var:
    """Return the sorted distinct values of ar1 that are not in ar2; values are read at once.

    Args:
        ar1, ar2: arrays, taken as flat.
        assume_unique: no value occurs twice in either; then ar1's order stays.
    """
    one, two = as_vars((ar1, ar2), "setdiff1d")
    found: Var = computed(_np.setdiff1d, one, two, assume_unique)
    return found


def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Var:
    """Return the sorted values that are in exactly one of two arrays; values are read at once."""
    one, two = as_vars((ar1, ar2), "setxor1d")
    found: Var = computed(_np.setxor1d, one, two, assume_unique)
    return found


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Var:
    """Return which elements are in a set, in the shape of `element`.

    Args:
        element: array.
        test_elements: the set, an array of any shape. NaN is in no set.
        assume_unique: accepted for compatibility.
        invert: return which are not.
        kind: None, "sort" or "table", the last for integers only; how NumPy searches.

    Raises:
        ShapeError: an unknown kind, or a table of numbers that are no integers.
    """
    x, among = as_vars((element, test_elements), "isin")
    _check_kind(kind, x, among)
    if at_once(x, among):
        found: Var = computed(_np.isin, x, among, assume_unique, invert, kind=kind)
        return found
    if 0 in among.shape:
        inside: Var = cast(_zeros_like(x), _np.bool_)
    else:
        ordered = _sort(ravel(among), 0)
        place = _search.searchsorted(ordered, x)
        (size,) = sizes_of(ordered)
        inside = _gather(ordered, _minimum(place, size - 1)) == x
    return ~inside if invert else inside


def _check_kind(kind: str | None, x: Var, among: Var) -> None:
    if kind not in (None, "sort", "table"):
        raise ShapeError(f"isin: kind is {kind!r}, expected None, 'sort' or 'table'.")
    if kind == "table" and not {x.dtype.kind, among.dtype.kind} <= set("biu"):
        raise ShapeError(
            f"isin: found {x.dtype} and {among.dtype} for a table, expected integers or bools."
        )


def in1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Var:
    """Return which elements of the flat ar1 are in ar2; see `isin`."""
    return isin(ravel(as_var(ar1, "in1d")), ar2, assume_unique, invert, kind=kind)
