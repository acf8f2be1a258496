"""Products of arrays, sums of diagonals, differences of neighbours."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.numpy.reductions import stored, sum
from mnn.numpy.sizes import product, sizes_of
from mnn.ops.axes import normalize_axes, normalize_axis
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.joining import concat as _concat
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var
from mnn.ops.repeat import broadcast_to
from mnn.ops.shape import range as _range
from mnn.ops.shape import shape as _shape
from mnn.ops.transpose import transpose

__all__ = [
    "diff",
    "dot",
    "inner",
    "matmul",
    "outer",
    "tensordot",
    "trace",
    "vdot",
]


def matmul(x1: Any, x2: Any) -> Var:
    """Return the matrix product over the last two dimensions; leading ones broadcast."""
    return _matmul(x1, x2)


def dot(a: Any, b: Any, out: Any = None) -> Var:
    """Return the product-sum over the last axis of a and the second to last of b."""
    x, y = as_var(a, "dot"), as_var(b, "dot")
    if not x.ndim or not y.ndim:
        return stored(x * y, out)
    if y.ndim <= 2 and x.ndim <= 2:
        return stored(_matmul(x, y), out)
    return stored(tensordot(x, y, ([x.ndim - 1], [max(y.ndim - 2, 0)])), out)


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


def outer(a: Any, b: Any, out: Any = None) -> Var:
    """Return all products of an element of a with one of b."""
    return stored(reshape(ravel(as_var(a, "outer")), (-1, 1)) * ravel(as_var(b, "outer")), out)


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
    pairs = [(x.shape[one], y.shape[two]) for one, two in zip(left, right, strict=False)]
    if len(left) != len(right) or any(-1 not in pair and pair[0] != pair[1] for pair in pairs):
        raise ShapeError(
            f"tensordot: axes {left} of {x.shape} and {right} of {y.shape} differ in size."
        )
    rest_x = [each for each in range(x.ndim) if each not in left]
    rest_y = [each for each in range(y.ndim) if each not in right]
    of_x, of_y = sizes_of(x), sizes_of(y)
    inner_size = product([of_x[each] for each in left])
    sizes_x, sizes_y = [of_x[each] for each in rest_x], [of_y[each] for each in rest_y]
    rows, columns = product(sizes_x), product(sizes_y)
    matrix_x = reshape(transpose(x, rest_x + left), [rows, inner_size], copy_zero=False)
    matrix_y = reshape(transpose(y, right + rest_y), [inner_size, columns], copy_zero=False)
    return reshape(_matmul(matrix_x, matrix_y), sizes_x + sizes_y, copy_zero=False)


def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Var:
    """Return the sum of diagonal `offset` of the matrices along `axis1` and `axis2`.

    Raises:
        ShapeError: fewer than two dimensions, or equal axes.
    """
    x = as_var(a, "trace")
    if x.ndim < 2:
        raise ShapeError(f"trace: found shape {x.shape}, expected at least two dimensions.")
    first, second = normalize_axes("trace", (axis1, axis2), x.ndim)
    rest = [each for each in range(x.ndim) if each not in (first, second)]
    matrices = transpose(x, [first, second, *rest])
    rows, columns = matrices.shape[:2]
    if -1 in (rows, columns):
        sizes = _shape(matrices)
        row, column = (_range(0, sizes[place], 1) for place in (0, 1))
        on_diagonal = reshape(row, (-1, 1)) + offset == column
        mask = reshape(on_diagonal, (0, 0, *[1] * len(rest)))
        kept = _select(mask, matrices, cast(0, x.dtype))
        return sum(kept, (0, 1), dtype, out)
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    steps = _np.arange(count)
    return sum(matrices[steps - min(offset, 0), steps + max(offset, 0)], 0, dtype, out)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Var:
    """Return the n-th differences of neighbours along `axis`.

    Args:
        a: array.    n: how often.    axis: along which axis.
        prepend, append: values to put before and after the array first; numbers are repeated.

    Raises:
        ShapeError: n is negative, or the values do not fit.
    """
    x = as_var(a, "diff")
    if n < 0:
        raise ShapeError(f"diff: n is {n}, expected >= 0.")
    if n == 0:
        return x
    place = normalize_axis("diff", axis, x.ndim)
    x = _extended(x, place, prepend, append)
    later: list[Any] = [slice(None)] * x.ndim
    earlier: list[Any] = [slice(None)] * x.ndim
    later[place], earlier[place] = slice(1, None), slice(None, -1)
    for _ in range(n):
        one, two = x[tuple(later)], x[tuple(earlier)]
        x = one != two if x.dtype.kind == "b" else one - two
    return x


def _extended(x: Var, place: int, prepend: Any, append: Any) -> Var:
    parts = []
    for value in (prepend, append):
        if value is None:
            continue
        part = as_var(value, "diff")
        if not part.ndim:
            sizes = sizes_of(x)
            part = broadcast_to(part, [*sizes[:place], 1, *sizes[place + 1 :]])
        parts.append(part)
    if not parts:
        return x
    return _concat([*parts[: prepend is not None], x, *parts[prepend is not None :]], place)
