"""Sorting, searching, selecting and comparing."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import IndexRangeError, ShapeError
from mnn.expr.var import Var
from mnn.ops import index as _index
from mnn.ops import search as _search
from mnn.ops import sorting as _sorting
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.axes import integers_of, normalize_axis
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var
from mnn.ops.transpose import transpose

__all__ = [
    "allclose",
    "argpartition",
    "argsort",
    "argwhere",
    "array_equal",
    "array_equiv",
    "diff",
    "dot",
    "flatnonzero",
    "inner",
    "isclose",
    "matmul",
    "nonzero",
    "outer",
    "partition",
    "searchsorted",
    "sort",
    "take",
    "take_along_axis",
    "tensordot",
    "trace",
    "unique",
    "vdot",
    "where",
]


def sort(a: Any, axis: int | None = -1) -> Var:
    """Return a sorted copy along `axis` (None: of the flat array)."""
    x = as_var(a, "sort")
    return _sorting.sort(ravel(x) if axis is None else x, 0 if axis is None else axis)


def argsort(a: Any, axis: int | None = -1) -> Var:
    """Return the int32 positions that sort along `axis`; equal elements keep their order."""
    x = as_var(a, "argsort")
    return _sorting.sort(ravel(x) if axis is None else x, 0 if axis is None else axis, True)


def partition(a: Any, kth: Any, axis: int | None = -1) -> Var:
    """Return a copy with the elements at positions `kth` of `axis` where sorting puts them.

    Smaller ones stand before them and larger ones after; here the whole axis is sorted.

    Raises:
        IndexRangeError: a position is out of range.
    """
    _check_positions("partition", a, kth, axis)
    return sort(a, axis)


def argpartition(a: Any, kth: Any, axis: int | None = -1) -> Var:
    """Return the int32 positions that partition `axis`; see `partition`.

    Raises:
        IndexRangeError: a position is out of range.
    """
    _check_positions("argpartition", a, kth, axis)
    return argsort(a, axis)


def _check_positions(name: str, a: Any, kth: Any, axis: int | None) -> None:
    x = as_var(a, name)
    size = x.size if axis is None else x.shape[normalize_axis(name, axis, x.ndim)]
    wrong = [each for each in integers_of(name, kth, "kth") if not -size <= each < size]
    if wrong and size >= 0:
        raise IndexRangeError(
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
    x, value = as_var(a, "searchsorted"), as_var(v, "searchsorted")
    if x.ndim != 1 or side not in ("left", "right"):
        raise ShapeError(
            f"searchsorted: found shape {x.shape} and side {side!r}, expected one dimension and "
            "'left' or 'right'."
        )
    if sorter is not None:
        x = take(x, sorter)
    size = x.size
    place: Var = cast(_zeros_like(value), _np.int32)
    step = 1 << (size.bit_length() - 1) if size else 0
    while step:
        probe = place + step
        element = take(x, _minimum(probe, size) - 1)
        before = _precedes(element, value) if side == "left" else ~_precedes(value, element)
        place = _select((probe <= size) & before, probe, place)
        step //= 2
    return place


def _precedes(x: Var, y: Var) -> Var:
    """Return where x stands before y in sorted order: NaN is last."""
    less = x < y
    if y.dtype.kind in "fc":
        less = less | ((y != y) & (x == x))
    return less


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


def take(a: Any, indices: Any, axis: int | None = None) -> Var:
    """Return elements by index along `axis` (None: of the flat array).

    Raises:
        IndexRangeError: an index is out of range.
    """
    x = as_var(a, "take")
    return _index.gather(ravel(x) if axis is None else x, indices, 0 if axis is None else axis)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Var:
    """Return one element per index along `axis`."""
    x, places = as_var(arr, "take_along_axis"), as_var(indices, "take_along_axis")
    if axis is None:
        x, axis = ravel(x), 0
    result: Var = _index.gather_elements(
        x, places, axis=normalize_axis("take_along_axis", axis, x.ndim)
    )
    return result


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> Any:
    """Return the sorted distinct elements, and on request first indices, inverse and counts."""
    x = as_var(ar, "unique")
    values, first, inverse, counts = _search.unique(x)
    found = [values]
    if return_index:
        found.append(first)
    if return_inverse:
        found.append(reshape(inverse, tuple(x.shape), copy_zero=False))
    if return_counts:
        found.append(counts)
    return found[0] if len(found) == 1 else tuple(found)


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Return whether shapes and all elements are equal."""
    one, two = as_var(a1, "array_equal")._array(), as_var(a2, "array_equal")._array()
    return bool(_np.array_equal(one, two, equal_nan=equal_nan))


def array_equiv(a1: Any, a2: Any) -> bool:
    """Return whether one array broadcasts to the other with equal elements."""
    one, two = as_var(a1, "array_equiv")._array(), as_var(a2, "array_equiv")._array()
    return bool(_np.array_equiv(one, two))


def isclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Var:
    """Return where |a - b| <= atol + rtol * |b|."""
    one, two = as_var(a, "isclose")._array(), as_var(b, "isclose")._array()
    return Var(_np.asarray(_np.isclose(one, two, rtol, atol, equal_nan)))


def allclose(
    a: Any, b: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Return whether |a - b| <= atol + rtol * |b| everywhere."""
    return bool(isclose(a, b, rtol, atol, equal_nan)._array().all())


def matmul(x1: Any, x2: Any) -> Var:
    """Return the matrix product over the last two dimensions; leading ones broadcast."""
    return _matmul(x1, x2)


def dot(a: Any, b: Any) -> Var:
    """Return the product-sum over the last axis of a and the second to last of b."""
    x, y = as_var(a, "dot"), as_var(b, "dot")
    if not x.ndim or not y.ndim:
        return x * y
    if y.ndim <= 2:
        return _matmul(x, y) if x.ndim <= 2 else tensordot(x, y, ([-1], [max(y.ndim - 2, 0)]))
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 2]))


def vdot(a: Any, b: Any) -> Var:
    """Return the product-sum of all elements (of the conjugate of a)."""
    x, y = ravel(as_var(a, "vdot")), ravel(as_var(b, "vdot"))
    if x.dtype.kind == "c":
        x = Var(x._array().conj())
    return _matmul(x, y)


def inner(a: Any, b: Any) -> Var:
    """Return the product-sum over the last axes."""
    x, y = as_var(a, "inner"), as_var(b, "inner")
    if not x.ndim or not y.ndim:
        return x * y
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


def outer(a: Any, b: Any) -> Var:
    """Return all products of an element of a with one of b."""
    return reshape(ravel(as_var(a, "outer")), (-1, 1)) * ravel(as_var(b, "outer"))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Var:
    """Return the product-sum over pairs of axes.

    Args:
        a, b: arrays.
        axes: a number of axes (last of a, first of b), or two lists of axes.

    Raises:
        ShapeError: the summed axes differ in size.
    """
    x, y = as_var(a, "tensordot"), as_var(b, "tensordot")
    if isinstance(axes, int):
        left, right = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        left, right = ([each] if isinstance(each, int) else list(each) for each in axes)
    left = [normalize_axis("tensordot", each, x.ndim) for each in left]
    right = [normalize_axis("tensordot", each, y.ndim) for each in right]
    if [x.shape[each] for each in left] != [y.shape[each] for each in right]:
        raise ShapeError(
            f"tensordot: axes {left} of {x.shape} and {right} of {y.shape} differ in size."
        )
    rest_x = [each for each in range(x.ndim) if each not in left]
    rest_y = [each for each in range(y.ndim) if each not in right]
    inner_size = int(_np.prod([x.shape[each] for each in left], dtype=int))
    sizes_x, sizes_y = [x.shape[each] for each in rest_x], [y.shape[each] for each in rest_y]
    rows, columns = int(_np.prod(sizes_x, dtype=int)), int(_np.prod(sizes_y, dtype=int))
    matrix_x = reshape(transpose(x, rest_x + left), (rows, inner_size), copy_zero=False)
    matrix_y = reshape(transpose(y, right + rest_y), (inner_size, columns), copy_zero=False)
    return reshape(_matmul(matrix_x, matrix_y), sizes_x + sizes_y, copy_zero=False)


def trace(a: Any, offset: int = 0) -> Var:
    """Return the sum of diagonal `offset` of a matrix."""
    from mnn.numpy.creation import diag
    from mnn.numpy.reductions import sum

    return sum(diag(a, offset))


def diff(a: Any, n: int = 1, axis: int = -1) -> Var:
    """Return the n-th differences of neighbours along `axis`."""
    x = as_var(a, "diff")
    if n < 0:
        raise ShapeError(f"diff: n is {n}, expected >= 0.")
    place = normalize_axis("diff", axis, x.ndim)
    later: list[Any] = [slice(None)] * x.ndim
    earlier: list[Any] = [slice(None)] * x.ndim
    later[place], earlier[place] = slice(1, None), slice(None, -1)
    for _ in range(n):
        one, two = x[tuple(later)], x[tuple(earlier)]
        x = one != two if x.dtype.kind == "b" else one - two
    return x
