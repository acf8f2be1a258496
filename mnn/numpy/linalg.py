"""Linear algebra: norm, svd, solve."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import float_result
from mnn.expr.var import Var
from mnn.numpy.reductions import max, min, sum
from mnn.ops.convert import cast
from mnn.ops.linalg import det
from mnn.ops.linalg import svd as _svd
from mnn.ops.operands import as_var
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import sqrt

__all__ = ["det", "norm", "solve", "svd"]


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Var:
    """Return a vector or matrix norm.

    Args:
        x: array.
        ord: None (root of the sum of squares), a number, inf, -inf or 0 for vectors; "fro", 1, -1,
            inf or -inf for matrices.
        axis: one axis for vectors, two for matrices, None: the whole array.
        keepdims: leave reduced axes with size 1.

    Raises:
        ShapeError: the order does not exist for that number of axes.
    """
    var = as_var(x, "norm")
    if var.dtype.kind in "biu":
        var = cast(var, float_result(var.dtype))
    if ord is None:
        root: Var = sqrt(sum(_absolute(var) ** 2, axis, keepdims=keepdims))
        return root
    if axis is None:
        axis = tuple(range(var.ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if len(axes) == 1:
        return _vector_norm(var, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ShapeError(f"norm: order {ord!r} over {len(axes)} axes, expected one or two.")
    return _matrix_norm(var, ord, axes, keepdims)


def _vector_norm(var: Var, ord: Any, axis: int, keepdims: bool) -> Var:
    if isinstance(ord, str):
        raise ShapeError(f"norm: order {ord!r} is for matrices.")
    magnitude = _absolute(var)
    if ord == _np.inf:
        return max(magnitude, axis, keepdims=keepdims)
    if ord == -_np.inf:
        return min(magnitude, axis, keepdims=keepdims)
    if ord == 0:
        return sum(cast(magnitude != 0, var.dtype), axis, keepdims=keepdims)
    total = sum(magnitude ** float(ord), axis, keepdims=keepdims)
    return total ** (1.0 / float(ord))


def _matrix_norm(var: Var, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Var:
    magnitude = _absolute(var)
    if ord == "fro":
        root: Var = sqrt(sum(magnitude**2, axes, keepdims=keepdims))
        return root
    if ord not in (1, -1, _np.inf, -_np.inf):
        raise ShapeError(f"norm: order {ord!r} of a matrix, expected 'fro', 1, -1, inf or -inf.")
    rows, columns = axes[0] % var.ndim, axes[1] % var.ndim
    summed, picked = (rows, columns) if abs(ord) == 1 else (columns, rows)
    totals = sum(magnitude, summed, keepdims=True)
    found = max(totals, picked, keepdims=True) if ord > 0 else min(totals, picked, keepdims=True)
    return found if keepdims else sum(found, (rows, columns))


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Return `(u, s, vt)` with `a = (u * s) @ vt`, s descending.

    Args:
        a: `(..., rows, columns)`.
        full_matrices: u and vt are square; False: as narrow as s is long.
        compute_uv: False: return s alone.
        hermitian: accepted for compatibility.

    Raises:
        ShapeError: no matrices, or numbers that are not finite.
    """
    var = as_var(a, "svd")
    if var.ndim < 2:
        raise ShapeError(f"svd: found shape {var.shape}, expected matrices.")
    rows, columns = var.shape[-2:]
    if full_matrices and compute_uv and rows != columns:
        # The operator gives the reduced form only: the other vectors need values.
        try:
            found = _np.linalg.svd(cast(var, float_result(var.dtype))._array())
        except _np.linalg.LinAlgError as error:
            raise ShapeError(f"svd: {error}. Check the numbers for NaN and infinity.") from error
        return tuple(Var(_np.ascontiguousarray(each)) for each in found)
    values, left, right = _svd(var)
    return (left, values, right) if compute_uv else values


def solve(a: Any, b: Any) -> Var:
    """Return x with `a @ x = b` for square a.

    Raises:
        ShapeError: a is not square, is singular, or b does not fit.
    """
    left, right = as_var(a, "solve"), as_var(b, "solve")
    dtype = float_result(_np.result_type(left.dtype, right.dtype))
    if dtype.kind not in "fc":
        raise DTypeError(f"solve: found {dtype}, expected numbers.")
    try:
        found = _np.linalg.solve(left._array().astype(dtype), right._array().astype(dtype))
    except (_np.linalg.LinAlgError, ValueError) as error:
        raise ShapeError(f"solve: shapes {left.shape} and {right.shape}: {error}.") from error
    return Var(found)
