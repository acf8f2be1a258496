"""Matrix products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.symbols import Dim, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.broadcast import reshape_like
from mnn.ops.codec import Codec
from mnn.ops.elementwise import broadcast_shapes, fit_gradient, promote
from mnn.ops.operands import as_var
from mnn.ops.samples import normal, text_operand
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["matmul"]

Array = np.ndarray[Any, Any]


def _swap(array: Array) -> Array:
    result: Array = np.swapaxes(array, -1, -2)
    return result


def _reference(a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> Array:
    dtype = promote("matmul", [a.dtype, b.dtype])
    a = _swap(a) if transpose_a and a.ndim > 1 else a
    b = _swap(b) if transpose_b and b.ndim > 1 else b
    if dtype == np.float16:
        half: Array = np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(dtype)
        return half
    result: Array = np.asarray(np.matmul(a.astype(dtype, copy=False), b.astype(dtype, copy=False)))
    return result


def _matrix(
    shape: tuple[Dim, ...], *, transposed: bool, first: bool
) -> tuple[tuple[Dim, ...], Dim, Dim]:
    """Return (batch sizes, rows, columns) of an operand; vectors become one-row/one-column."""
    if len(shape) == 1:
        return ((), 1, shape[0]) if first else ((), shape[0], 1)
    rows, columns = shape[-2:]
    return (shape[:-2], columns, rows) if transposed else (shape[:-2], rows, columns)


def _infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    a, b = types
    dtype = promote("matmul", [a.dtype, b.dtype])
    format = a.format if (a.rank or 0) >= (b.rank or 0) else b.format
    if a.shape is None or b.shape is None:
        return TensorType(None, dtype, format)
    if not a.shape or not b.shape:
        raise ShapeError(
            "matmul: found an operand without dimensions, expected at least one each. "
            "Use * for a product with a number."
        )
    batch_a, rows, inner = _matrix(a.shape, transposed=attributes["transpose_a"], first=True)
    batch_b, other, columns = _matrix(b.shape, transposed=attributes["transpose_b"], first=False)
    if isinstance(inner, int) and isinstance(other, int) and inner != other:
        raise ShapeError(
            f"matmul: {inner} columns meet {other} rows (shapes {shape_numbers(a.shape)} and "
            f"{shape_numbers(b.shape)}, transposes {attributes['transpose_a']} and "
            f"{attributes['transpose_b']}). Expected equal numbers. Transpose or "
            "reshape an operand."
        )
    batch = broadcast_shapes("matmul", [batch_a, batch_b]) or ()
    shape: tuple[Dim, ...] = batch
    if len(a.shape) > 1:
        shape = (*shape, rows)
    if len(b.shape) > 1:
        shape = (*shape, columns)
    return TensorType(shape, dtype, format)


def _gradient(call: GradCall) -> list[Var | None]:
    a, b, g = call.input(0), call.input(1), call.grad
    from mnn.ops.movement import expand_dims

    # Vectors are treated as matrices, so that one rule serves; results are shaped back at the end.
    left = expand_dims(a, 0) if a.ndim == 1 else a
    right = expand_dims(b, 1) if b.ndim == 1 else b
    if b.ndim == 1:
        g = expand_dims(g, -1)
    if a.ndim == 1:
        g = expand_dims(g, -2)
    ta, tb = call.attributes["transpose_a"], call.attributes["transpose_b"]
    ta, tb = ta and a.ndim > 1, tb and b.ndim > 1
    if ta:
        grad_a = _matmul(right, g, transpose_a=tb, transpose_b=True)
    else:
        grad_a = _matmul(g, right, transpose_a=False, transpose_b=not tb)
    if tb:
        grad_b = _matmul(g, left, transpose_a=True, transpose_b=ta)
    else:
        grad_b = _matmul(left, g, transpose_a=not ta, transpose_b=False)
    fitted = [fit_gradient(grad_a, left), fit_gradient(grad_b, right)]
    return [
        None if found is None else reshape_like(found, operand)
        for found, operand in zip(fitted, (a, b), strict=True)
    ]


def _numpy_oracle(
    a: Array, b: Array, *, transpose_a: bool = False, transpose_b: bool = False
) -> Any:
    return np.matmul(
        a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b
    )


_matmul = OpSpec(
    "matmul",
    ("a", "b"),
    _infer,
    _reference,
    "matmul",
    attributes={"transpose_a": False, "transpose_b": False},
    grad=_gradient,
    codec=Codec(
        "MatMul",
        "MatMul",
        fields={"transpose_a": "transposeA", "transpose_b": "transposeB"},
    ),
    onnx="MatMul",
    samples=(
        Sample((normal(3, 4), normal(4, 2)), oracle=_numpy_oracle),
        Sample((normal(4, 3), normal(4, 2)), {"transpose_a": True}, oracle=_numpy_oracle),
        Sample((normal(3, 4), normal(2, 4)), {"transpose_b": True}, oracle=_numpy_oracle),
        Sample(
            (normal(4, 3), normal(2, 4)),
            {"transpose_a": True, "transpose_b": True},
            oracle=_numpy_oracle,
        ),
        Sample((normal(2, 1, 3, 2), normal(3, 2, 2)), oracle=_numpy_oracle),
        Sample((normal(3), normal(3)), oracle=_numpy_oracle),
        Sample((normal(2, 3), normal(3)), oracle=_numpy_oracle),
        Sample((normal(3), normal(2, 3, 2)), oracle=_numpy_oracle),
        Sample((normal(0, 3), normal(3, 2)), gradient=False, oracle=_numpy_oracle),
        Sample((normal(2, 0), normal(0, 3)), gradient=False, oracle=_numpy_oracle),
    ),
    bad=(
        BadCall("inner sizes differ", (normal(2, 3), normal(2, 3)), ShapeError),
        BadCall("no dimensions", (normal(2, 3), normal()), ShapeError),
        BadCall("batches do not broadcast", (normal(2, 2, 2), normal(3, 2, 2)), ShapeError),
        text_operand(2),
    ),
    doc="matrix product over the last two dimensions; leading ones broadcast",
)


def matmul(a: Any, b: Any, transposeA: bool = False, transposeB: bool = False) -> Var:
    """Return the matrix product of a and b.

    Args:
        a: `(..., M, K)`, or `(K,)`.
        b: `(..., K, N)`, or `(K,)`; leading dimensions broadcast.
        transposeA, transposeB: swap the last two dimensions of an operand first.

    Returns:
        Var of shape `(..., M, N)`; a vector operand drops its dimension, as in NumPy.

    Raises:
        ShapeError: inner sizes differ, or an operand has no dimensions.
    """
    first, second = as_var(a, "matmul"), as_var(b, "matmul")
    for operand in (first, second):
        if kind_of(operand.dtype) not in "biufc":
            raise DTypeError(f"matmul: found {operand.dtype}, expected numbers.")
    result: Var = _matmul(first, second, transpose_a=bool(transposeA), transpose_b=bool(transposeB))
    return result
