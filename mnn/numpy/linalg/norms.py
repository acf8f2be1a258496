"""Norms of vectors and matrices, from operators of the graph."""

from __future__ import annotations

import math
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import float_result
from mnn.expr.var import Var
from mnn.numpy.linalg.decompositions import svdvals
from mnn.numpy.reductions import max, min, sum
from mnn.numpy.small import FLOATS, left_to_numpy
from mnn.ops.axes import normalize_axis
from mnn.ops.convert import cast
from mnn.ops.movement import expand_dims, reshape
from mnn.ops.operands import as_var
from mnn.ops.transpose import moveaxis
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import sqrt

__all__ = ["matrix_norm", "norm", "vector_norm"]


@left_to_numpy(_np.linalg.norm, FLOATS, large=True)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Var:
    """Return a vector or matrix norm.

    Args:
        x: array.
        ord: None (root of the sum of squares); for vectors a number, inf, -inf or 0; for matrices
            "fro", "nuc", 1, -1, 2, -2, inf or -inf.
        axis: one axis for vectors, two for matrices; None: the whole array.
        keepdims: leave reduced axes with size 1.

    Raises:
        ShapeError: the order does not exist for that number of axes.
    """
    var = as_var(x, "norm")
    if var.dtype.kind in "biu":
        var = cast(var, float_result(var.dtype))
    if axis is None:
        if ord is None or (ord == 2 and var.ndim == 1) or (ord in ("f", "fro") and var.ndim == 2):
            return _root_of_squares(var, None, keepdims)
        axes = tuple(range(var.ndim))
    else:
        axes = _axes(axis, var.ndim)
    if len(axes) == 1:
        return _vector_norm(var, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(var, ord, axes, keepdims)
    raise ShapeError(f"norm: order {ord!r} over {len(axes)} axes, expected one or two.")


def _axes(axis: Any, rank: int) -> tuple[int, ...]:
    if isinstance(axis, tuple):
        return axis
    try:
        return (int(axis),)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"norm: axis is {axis!r}, expected None, an int or a tuple.") from error


def _root_of_squares(var: Var, axis: Any, keepdims: bool) -> Var:
    magnitude = _absolute(var) if var.dtype.kind == "c" else var
    root: Var = sqrt(sum(magnitude * magnitude, axis, keepdims=keepdims))
    return root


def _largest(magnitude: Var, axis: int, keepdims: bool) -> Var:
    """Return the largest magnitudes, 0 where there are none."""
    if 0 in magnitude.shape:
        return max(magnitude, axis, keepdims=keepdims, initial=0)
    return max(magnitude, axis, keepdims=keepdims)


def _vector_norm(var: Var, ord: Any, axis: int, keepdims: bool) -> Var:
    normalize_axis("norm", axis, var.ndim)
    if isinstance(ord, str):
        raise ShapeError(f"norm: order {ord!r} is for matrices.")
    if ord is None or ord == 2:
        return _root_of_squares(var, axis, keepdims)
    magnitude = _absolute(var)
    if ord == math.inf:
        return _largest(magnitude, axis, keepdims)
    if ord == -math.inf:
        return min(magnitude, axis, keepdims=keepdims)
    if ord == 0:
        return sum(cast(magnitude != 0, magnitude.dtype), axis, keepdims=keepdims)
    if ord == 1:
        return sum(magnitude, axis, keepdims=keepdims)
    power = float(ord)
    return sum(magnitude**power, axis, keepdims=keepdims) ** (1.0 / power)


def _matrix_norm(var: Var, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Var:
    rows, columns = (normalize_axis("norm", each, var.ndim) for each in axes)
    if rows == columns:
        raise ShapeError(f"norm: found axes {axes}, expected two different ones.")
    if ord in (None, "fro", "f"):
        return _root_of_squares(var, (rows, columns), keepdims)
    if ord in (2, -2, "nuc"):
        return _spectral(var, ord, (rows, columns), keepdims)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ShapeError(
            f"norm: order {ord!r} of a matrix, expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf."
        )
    summed, picked = (rows, columns) if abs(ord) == 1 else (columns, rows)
    totals = sum(_absolute(var), summed, keepdims=True)
    found = _largest(totals, picked, True) if ord > 0 else min(totals, picked, keepdims=True)
    return found if keepdims else sum(found, (rows, columns))


def _spectral(var: Var, ord: Any, axes: tuple[int, int], keepdims: bool) -> Var:
    """Return the largest, the smallest or the sum of the singular values."""
    values = svdvals(moveaxis(var, axes, (-2, -1)))
    if ord == "nuc":
        found = sum(values, -1)
    else:
        found = _largest(values, -1, False) if ord == 2 else min(values, -1)
    return expand_dims(found, tuple(sorted(axes))) if keepdims else found


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Var:
    """Return the norms of the matrices of the last two axes; orders are those of `norm`."""
    return norm(x, ord, (-2, -1), keepdims)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Var:
    """Return the norms of vectors along an axis, several axes, or of all elements (None)."""
    var = as_var(x, "vector_norm")
    rank = var.ndim
    if axis is None:
        found = norm(reshape(var, (-1,), copy_zero=False), ord, 0)
        axes = tuple(range(rank))
    elif isinstance(axis, tuple):
        axes = tuple(normalize_axis("vector_norm", each, rank) for each in axis)
        rest = [each for each in range(rank) if each not in axes]
        together = moveaxis(var, axes, tuple(range(len(axes))))
        flat = reshape(together, [-1, *(var.shape[each] for each in rest)], copy_zero=False)
        found = norm(flat, ord, 0)
    else:
        return norm(var, ord, axis, keepdims)
    return expand_dims(found, tuple(sorted(axes))) if keepdims and axes else found
