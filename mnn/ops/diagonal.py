"""Matrices by their diagonals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnn.errors import DTypeError, ShapeError
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.codec import Codec
from mnn.ops.comparison import equal
from mnn.ops.convert import cast
from mnn.ops.movement import expand_dims
from mnn.ops.operands import as_var
from mnn.ops.reference import indexing as maths
from mnn.ops.samples import normal
from mnn.ops.shape import range, shape
from mnn.ops.spec import BadCall, OpSpec, Sample

__all__ = ["eye_like", "matrix_band_part"]


def _infer_band(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, lower, upper = types
    if x.rank is not None and x.rank < 2:
        raise ShapeError(f"matrix_band_part: found {x.describe()}, expected matrices.")
    for each in (lower, upper):
        if each.dtype.kind not in "iu" or each.rank not in (None, 0):
            raise DTypeError(
                f"matrix_band_part: a band width is {each.describe()}, expected one integer."
            )
    return x.with_shape(x.shape)


_band_part: OpSpec = OpSpec(
    "matrix_band_part",
    ("x", "lower", "upper"),
    _infer_band,
    maths.band_part,
    "index",
    grad=lambda call: [_band_part(call.grad, call.input(1), call.input(2)), None, None],
    codec=Codec("MatrixBandPart"),
    samples=(
        Sample((normal(3, 4), 1, 0)),
        Sample((normal(2, 3, 3), -1, 0)),
        Sample((normal(0, 3), 0, 0), gradient=False),
    ),
    bad=(
        BadCall("no matrix", (normal(3), 0, 0), ShapeError),
        BadCall("float width", (normal(3, 3), 0.5, 0), DTypeError),
    ),
    doc="matrices with everything but a band around the diagonal set to 0",
)


def matrix_band_part(x: Any, num_lower: Any, num_upper: Any) -> Var:
    """Return matrices with everything but a band around the diagonal set to 0.

    Args:
        x: `(..., rows, columns)`.
        num_lower, num_upper: diagonals kept below and above the main one; negative: all.

    Raises:
        ShapeError: x has fewer than two dimensions.    DTypeError: a width is no integer.
    """
    result: Var = _band_part(as_var(x, "matrix_band_part"), num_lower, num_upper)
    return result


def eye_like(x: Any, k: int = 0) -> Var:
    """Return a matrix of the shape and dtype of x: ones on diagonal `k`, zeros elsewhere.

    Raises:
        ShapeError: x is no matrix.
    """
    operand = as_var(x, "eye_like")
    if operand.ndim != 2:
        raise ShapeError(f"eye_like: found {operand._type.describe()}, expected a matrix.")
    sizes = shape(operand)
    rows = expand_dims(range(0, sizes[0], 1), 1)
    return cast(equal(rows + int(k), range(0, sizes[1], 1)), operand.dtype)
