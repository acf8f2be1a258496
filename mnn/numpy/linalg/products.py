"""Products with the array API's meaning: matrices are the last two axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.numpy import products as _products
from mnn.numpy.reductions import stored
from mnn.ops.operands import as_vars

__all__ = ["cross", "diagonal", "matmul", "matrix_transpose", "multi_dot", "outer", "trace"]


def matmul(x1: Any, x2: Any, /) -> Var:
    """Return the matrix product over the last two axes; leading ones broadcast."""
    return _products.matmul(x1, x2)


def matrix_transpose(x: Any, /) -> Var:
    """Return the array with its last two axes exchanged."""
    return _products.matrix_transpose(x)


def outer(x1: Any, x2: Any, /) -> Var:
    """Return all products of an element of one vector with one of another.

    Raises:
        ShapeError: not two vectors.
    """
    first, second = as_vars((x1, x2), "outer")
    if first.ndim != 1 or second.ndim != 1:
        raise ShapeError(f"outer: found shapes {first.shape} and {second.shape}, expected vectors.")
    return _products.outer(first, second)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Var:
    """Return the cross products of vectors of three elements along `axis`.

    Raises:
        ShapeError: not three elements.
    """
    first, second = as_vars((x1, x2), "cross")
    if first.shape[axis] != 3 or second.shape[axis] != 3:
        raise ShapeError(
            f"cross: found shapes {first.shape} and {second.shape}, expected 3 elements along "
            f"axis {axis}."
        )
    return _products.cross(first, second, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Var:
    """Return a diagonal of the matrices of the last two axes."""
    from mnn.numpy.triangles import diagonal as _diagonal

    return _diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Var:
    """Return the sum of a diagonal of the matrices of the last two axes."""
    return _products.trace(x, offset, -2, -1, dtype)


def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Var:
    """Return the product of several matrices, in the order that takes the fewest multiplications.

    Args:
        arrays: matrices; the first and the last may be vectors.
        out: Var to write the result to.

    Raises:
        ValueError: fewer than two arrays, or sizes that do not fit.
    """
    operands = as_vars(arrays, "multi_dot")
    if len(operands) < 2:
        raise ShapeError(f"multi_dot: found {len(operands)} arrays, expected at least two.")
    first, last = operands[0].ndim, operands[-1].ndim
    if first == 1:
        operands[0] = operands[0][None, :]
    if last == 1:
        operands[-1] = operands[-1][:, None]
    if any(each.ndim != 2 for each in operands):
        raise _np.linalg.LinAlgError("multi_dot: expected matrices, and vectors only at the ends.")
    sizes = [operands[0].shape[0], *(each.shape[1] for each in operands)]
    product = _multiplied(operands, _cheapest_splits(sizes), 0, len(operands) - 1)
    if first == 1 and last == 1:
        product = product[0, 0]
    elif first == 1:
        product = product[0]
    elif last == 1:
        product = product[:, 0]
    return stored(product, out)


def _cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return where to split each run of matrices (Cormen, Introduction to Algorithms, ch. 15)."""
    count = len(sizes) - 1
    cost = {(place, place): 0 for place in range(count)}
    splits = {}
    for length in range(1, count):
        for low in range(count - length):
            high = low + length
            cost[low, high], splits[low, high] = min(
                (
                    cost[low, cut]
                    + cost[cut + 1, high]
                    + sizes[low] * sizes[cut + 1] * sizes[high + 1],
                    cut,
                )
                for cut in range(low, high)
            )
    return splits


def _multiplied(
    operands: Sequence[Var], splits: dict[tuple[int, int], int], low: int, high: int
) -> Var:
    if low == high:
        return operands[low]
    cut = splits[low, high]
    left = _multiplied(operands, splits, low, cut)
    return _products.dot(left, _multiplied(operands, splits, cut + 1, high))
