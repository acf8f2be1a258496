"""Matrix products, decompositions, similarity and means of segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import DTypeError, EvaluationError, IndexRangeError, ShapeError
from mnn.ops.reference.precision import Array, accurate, float_types

__all__ = ["cosine_similarity", "det", "matmul", "segment_mean", "svd", "svd_shape"]


def matmul(
    a: Array,
    b: Array,
    bias: Array | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
) -> Array:
    """Return the matrix product of the last two axes, the others broadcast, plus `bias`.

    A vector `a` is a row and a vector `b` a column whose axis is dropped from the result, as in
    `numpy.matmul`; transposing a vector does nothing. `bias` broadcasts against the result.

    Raises:
        ShapeError: inner lengths or leading axes do not fit, or an operand has no axis.
    """
    left = np.swapaxes(a, -1, -2) if transpose_a and a.ndim > 1 else a
    right = np.swapaxes(b, -1, -2) if transpose_b and b.ndim > 1 else b
    result = np.result_type(a, b) if bias is None else np.result_type(a, b, bias)
    work = accurate(result)
    try:
        found = np.matmul(left.astype(work, copy=False), right.astype(work, copy=False))
        if bias is not None:
            found = found + bias.astype(work, copy=False)
    except ValueError as error:
        raise ShapeError(
            f"matmul: a {a.shape} (transposed: {transpose_a}), b {b.shape} (transposed: "
            f"{transpose_b}) and bias {None if bias is None else bias.shape} do not fit. Expected "
            "equal inner lengths and leading axes that broadcast. Transpose or reshape an operand."
        ) from error
    return np.asarray(found).astype(result, copy=False)


def _check_matrix(name: str, x: Array, *, square: bool) -> None:
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise ShapeError(
            f"{name}: found shape {x.shape}, expected {kind} in the last two axes. "
            "Reshape the operand."
        )


def det(x: Array) -> Array:
    """Return the determinants of the matrices in the last two axes.

    Raises:
        ShapeError: the matrices are not square.    DTypeError: not floating-point.
    """
    result, work = float_types("det", x)
    _check_matrix("det", x, square=True)
    found: Any = np.linalg.det(x.astype(work, copy=False))
    return np.asarray(found).astype(result, copy=False)


def svd_shape(
    shape: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of (singular values, left vectors, right vectors) of (..., m, n)."""
    *lead, rows, columns = shape
    count = min(rows, columns)
    return (*lead, count), (*lead, rows, count), (*lead, count, columns)


def svd(x: Array) -> tuple[Array, Array, Array]:
    """Return (w, u, vt) with x = u @ diag(w) @ vt and w descending, in reduced form.

    Of each pair of vectors, the one in `u` has its component of largest size positive, which
    makes the result unique for distinct singular values.

    Raises:
        ShapeError: not a matrix.    DTypeError: not floating-point.
        EvaluationError: the iteration does not converge, as with NaN or infinity.
    """
    result, work = float_types("svd", x)
    _check_matrix("svd", x, square=False)
    if not x.size:
        w, u, vt = (np.zeros(shape, result) for shape in svd_shape(x.shape))
        return w, u, vt
    try:
        u, w, vt = np.linalg.svd(x.astype(work, copy=False), full_matrices=False)
    except np.linalg.LinAlgError as error:
        raise EvaluationError(
            f"svd: the iteration for shape {x.shape} did not converge, expected finite numbers. "
            "Check the operand for NaN and infinity."
        ) from error
    largest = np.take_along_axis(u, np.abs(u).argmax(axis=-2, keepdims=True), axis=-2)
    sign = np.where(largest < 0, -1, 1).astype(u.dtype)
    u, vt = u * sign, vt * np.swapaxes(sign, -1, -2)
    return w.astype(result), u.astype(result), vt.astype(result)


def cosine_similarity(a: Array, b: Array, *, axis: int) -> Array:
    """Return sum(a * b) / (|a| |b|) along `axis`, which disappears; a zero vector gives NaN.

    Raises:
        ShapeError: shapes do not broadcast or the axis does not exist.
    """
    result, work = float_types("cosine_similarity", a, b)
    try:
        left, right = np.broadcast_arrays(a.astype(work), b.astype(work))
        place = axis + left.ndim if axis < 0 else axis
        if not 0 <= place < left.ndim:
            raise ValueError(f"axis {axis}")
    except ValueError as error:
        raise ShapeError(
            f"cosine_similarity: a {a.shape}, b {b.shape}, axis {axis} do not fit. Expected "
            "shapes that broadcast and an existing axis. Reshape an operand."
        ) from error
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.sqrt(np.square(left).sum(axis=place)) * np.sqrt(
            np.square(right).sum(axis=place)
        )
        found: Any = (left * right).sum(axis=place) / lengths
    return np.asarray(found).astype(result, copy=False)


def segment_mean(data: Array, ids: Array) -> Array:
    """Return the mean of the rows of each id: row i averages `data[ids == i]`, zeros if none.

    Args:
        data: (rows, ...).
        ids: (rows,) integers of at least 0, in any order; the result has max(ids) + 1 rows.

    Raises:
        ShapeError: not one id per row.    IndexRangeError: a negative id.
        DTypeError: data not floating-point or ids not integers.
    """
    result, work = float_types("segment_mean", data)
    if ids.dtype.kind not in "iu":
        raise DTypeError(
            f"segment_mean: ids have dtype {ids.dtype}, expected integers. Use astype(int32)."
        )
    if data.ndim < 1 or ids.shape != data.shape[:1]:
        raise ShapeError(
            f"segment_mean: {ids.shape} ids for data {data.shape}, expected one id per row. "
            "Flatten the ids."
        )
    if ids.size and ids.min() < 0:
        raise IndexRangeError(
            f"segment_mean: found id {ids.min()}, expected numbers of at least 0. Shift the ids."
        )
    count = int(ids.max()) + 1 if ids.size else 0
    sums = np.zeros((count, *data.shape[1:]), work)
    np.add.at(sums, ids, data.astype(work, copy=False))
    sizes = np.maximum(np.bincount(ids, minlength=count), 1).astype(work)
    sums /= sizes.reshape(-1, *[1] * (data.ndim - 1))
    return sums.astype(result, copy=False)
