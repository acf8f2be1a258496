"""Diagonals and triangles of matrices, and the indices of their elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.locks import lock
from mnn.expr.var import Var
from mnn.numpy.creation import _check_like, _dtype, _fresh
from mnn.numpy.hosting import at_once, computed, plain
from mnn.numpy.sizes import at_least_zero, sizes_of, smaller, steps
from mnn.numpy.small import left_to_numpy
from mnn.ops.axes import normalize_axis
from mnn.ops.comparison import greater_equal, less_equal, select
from mnn.ops.index import gather
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var, as_vars
from mnn.ops.repeat import broadcast_to
from mnn.ops.scatter import scatter_nd
from mnn.ops.transpose import transpose

__all__ = [
    "diag",
    "diag_indices",
    "diag_indices_from",
    "diagflat",
    "diagonal",
    "fill_diagonal",
    "mask_indices",
    "tri",
    "tril",
    "tril_indices",
    "tril_indices_from",
    "triu",
    "triu_indices",
    "triu_indices_from",
]


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, like: Any = None) -> Var:
    """Return ones at and below diagonal k of an N by M matrix of zeros, float32 by default."""
    _check_like("tri", like)
    return _fresh(_np.tri(N, M, k, dtype=_dtype(dtype)))


def _triangle(m: Any, k: int, kept: Callable[..., Any]) -> Var:
    var = as_var(m, "triangle")
    if var.ndim < 1:
        raise DTypeError(f"tril/triu: found shape {var.shape}, expected matrices.")
    if var.ndim == 1:
        var = broadcast_to(var, sizes_of(var) * 2)
    rows, columns = (steps(size) for size in sizes_of(var)[-2:])
    ahead = columns - reshape(rows, (-1, 1))
    return select(kept(ahead, k), var, Var(_np.zeros((), var.dtype)))


@left_to_numpy(_np.tril, large=True)
def tril(m: Any, k: int = 0) -> Var:
    """Return matrices with everything above diagonal k set to 0."""
    return _triangle(m, k, less_equal)


@left_to_numpy(_np.triu, large=True)
def triu(m: Any, k: int = 0) -> Var:
    """Return matrices with everything below diagonal k set to 0."""
    return _triangle(m, k, greater_equal)


def diag(v: Any, k: int = 0) -> Var:
    """Return a matrix with v on diagonal k, or diagonal k of a matrix."""
    var = as_var(v, "diag")
    if var.ndim not in (1, 2):
        raise ShapeError(f"diag: found shape {var.shape}, expected one or two dimensions.")
    if var.ndim == 2:
        return diagonal(var, k)
    if at_once(var):
        return Var(_np.diag(var._array(), k))
    (length,) = sizes_of(var)
    size, first = length + abs(k), steps(length)
    flat = (first - min(k, 0)) * size + (first + max(k, 0))
    spread = scatter_nd(reshape(flat, (-1, 1)), var, [size * size])
    return reshape(spread, [size, size], copy_zero=False)


@left_to_numpy(_np.diagflat)
def diagflat(v: Any, k: int = 0) -> Var:
    """Return a matrix with the elements of v, in order, on diagonal k."""
    return diag(ravel(as_var(v, "diagflat")), k)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Var:
    """Return diagonals of the matrices along two axes, as the last axis of the result.

    Diagonals of a computed array share its memory; as in NumPy, they cannot be written.

    Args:
        a: array.    offset: of the diagonal, above the main one.
        axis1, axis2: rows and columns of the matrices.

    Raises:
        ShapeError: fewer than two dimensions, or equal axes.
    """
    var = as_var(a, "diagonal")
    if var.ndim < 2:
        raise ShapeError(f"diagonal: found shape {var.shape}, expected at least two dimensions.")
    first, second = (normalize_axis("diagonal", each, var.ndim) for each in (axis1, axis2))
    if first == second:
        raise ShapeError(f"diagonal: axes {axis1} and {axis2} are the same, expected two.")
    if at_once(var):
        found = var._array().diagonal(offset, first, second)
        lock(found)
        return Var(found, var.data_format)
    rest = [each for each in range(var.ndim) if each not in (first, second)]
    moved = transpose(var, [first, second, *rest])
    rows, columns, *sizes = sizes_of(moved)
    count = at_least_zero(smaller(rows + min(offset, 0), columns - max(offset, 0)))
    place = steps(count)
    flat = (place - min(offset, 0)) * columns + (place + max(offset, 0))
    lines = gather(reshape(moved, [rows * columns, *sizes], copy_zero=False), flat)
    return transpose(lines, [*range(1, lines.ndim), 0])


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Write values to the main diagonal of a Var in place.

    Args:
        a: Var of at least two dimensions, all of one size if there are more.
        val: number, or numbers to write one after the other, repeated.
        wrap: of a tall matrix, begin again below the diagonal.

    Raises:
        DTypeError: `a` is no Var.    ShapeError: its shape.
    """
    if not isinstance(a, Var):
        raise DTypeError(f"fill_diagonal: found {type(a).__name__}, expected a Var.")
    if a.ndim < 2:
        raise ShapeError(f"fill_diagonal: found shape {a.shape}, expected at least 2 dimensions.")
    filled = _np.zeros(tuple(a.shape), bool)
    _np.fill_diagonal(filled, True, wrap)
    places = _np.nonzero(filled)
    values = as_vars((val, a), "fill_diagonal")[0]
    if values.size != 1:
        count = max(values.size, 1)
        values = gather(ravel(values), _np.arange(len(places[0]), dtype=_np.int32) % count)
    else:
        values = reshape(values, ())
    a[places] = values


# --- indices -------------------------------------------------------------------------------------


def _indices(function: Callable[..., Any], *arguments: Any) -> tuple[Var, ...]:
    found: tuple[Var, ...] = computed(function, *arguments)
    return found


def _check_square(name: str, arr: Any) -> tuple[int, ...]:
    shape = tuple(as_var(arr, name).shape)
    if len(shape) != 2:
        raise ShapeError(f"{name}: found shape {shape}, expected a matrix.")
    return shape


def diag_indices(n: int, ndim: int = 2) -> tuple[Var, ...]:
    """Return the indices of the main diagonal of an array of `ndim` dimensions of size n."""
    return _indices(_np.diag_indices, plain(n), plain(ndim))


def diag_indices_from(arr: Any) -> tuple[Var, ...]:
    """Return the indices of the main diagonal of an array with equal sizes."""
    shape = tuple(as_var(arr, "diag_indices_from").shape)
    if len(shape) < 2 or len(set(shape)) != 1:
        raise ShapeError(
            f"diag_indices_from: found shape {shape}, expected two or more equal sizes."
        )
    return diag_indices(shape[0], len(shape))


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Var, ...]:
    """Return the indices of the lower triangle, to diagonal k, of an n by m (or n) matrix."""
    return _indices(_np.tril_indices, n, k, m)


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Var, ...]:
    """Return the indices of the lower triangle of a matrix."""
    rows, columns = _check_square("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Var, ...]:
    """Return the indices of the upper triangle, from diagonal k, of an n by m (or n) matrix."""
    return _indices(_np.triu_indices, n, k, m)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Var, ...]:
    """Return the indices of the upper triangle of a matrix."""
    rows, columns = _check_square("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def mask_indices(n: int, mask_func: Callable[..., Any], k: Any = 0) -> tuple[Var, ...]:
    """Return where `mask_func(ones((n, n)), k)` is not 0: `triu` and `tril` are such functions."""
    kept = mask_func(_fresh(_np.ones((n, n), int)), k)
    return _indices(_np.nonzero, as_var(kept, "mask_indices")._array() != 0)
