"""Gathering: elements and slices chosen by index arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import known_value
from mnn.ops.operands import as_var
from mnn.ops.reference import indexing as maths
from mnn.ops.samples import integers, normal
from mnn.ops.spec import INTEGERS, BadCall, GradCall, OpSpec, Sample

__all__ = ["check_indices", "gather", "gather_along", "gather_elements", "gather_nd"]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)


def _ints(*values: Any) -> Array:
    return np.array(values, np.int32)


def check_indices(name: str, indices: TensorType) -> None:
    """Raise DTypeError when indices are no integers."""
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices are {indices.dtype}, expected integers.")


# --- gather --------------------------------------------------------------------------------------


def _infer_gather(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    data, indices = types
    check_indices("gather", indices)
    if data.shape is None or indices.shape is None:
        return data.with_shape(None)
    axis = normalize_axis("gather", attributes["axis"], len(data.shape))
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    if data.value is not None and indices.value is not None:
        return known_value(maths.gather, types, attributes, data.with_shape(shape))
    return data.with_shape(shape)


def _gather_reference(data: Array, indices: Array, *, axis: int) -> Array:
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"gather: indices are {indices.dtype}, expected integers.")
    return maths.gather(data, indices, axis=normalize_axis("gather", axis, data.ndim))


def _grad_gather(call: GradCall) -> list[Var | None]:
    from mnn.ops.getitem import put_like

    data, indices = call.input(0), call.input(1)
    axis = call.attributes["axis"] % data.ndim
    return [put_like(call.grad, data, (*[slice(None)] * axis, indices)), None]


gather_along: OpSpec = OpSpec(
    "gather",
    ("data", "indices"),
    _infer_gather,
    _gather_reference,
    "index",
    attributes={"axis": 0},
    grad=_grad_gather,
    codec=Codec("GatherV2", handled=True),
    onnx="Gather",
    samples=(
        Sample((normal(4, 3), _ints(2, 0, 2))),
        Sample((normal(2, 4), _ints([0, 3], [1, 1])), {"axis": 1}),
        Sample((normal(3), np.array(1, np.int32))),
        Sample((integers(3), _ints(-1)), gradient=False),
        Sample((normal(3, 2), np.zeros(0, np.int32)), gradient=False),
    ),
    bad=(
        BadCall("float indices", (normal(3), normal(2)), DTypeError),
        BadCall("axis out of range", (normal(3), _ints(0)), ShapeError, {"axis": 1}),
    ),
    doc="slices of data along an axis, chosen by integers",
)


def gather(x: Any, index: Any, axis: int = 0) -> Var:
    """Return the slices of x along `axis` that the integers `index` name.

    Raises:
        IndexRangeError: an index is out of range.    DTypeError: index holds no integers.
    """
    result: Var = gather_along(
        as_var(x, "gather"), as_var(index, "gather"), axis=axis_number("gather", axis)
    )
    return result


def _infer_gather_nd(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    data, indices = types
    check_indices("gather_nd", indices)
    if data.shape is None or not indices.shape or not isinstance(indices.shape[-1], int):
        return data.with_shape(None)
    batch, depth = attributes["batch_dims"], indices.shape[-1]
    if batch + depth > len(data.shape):
        raise ShapeError(
            f"gather_nd: {depth} coordinates after {batch} batch axes for {data.describe()}. "
            "Expected no more than it has dimensions."
        )
    return data.with_shape((*indices.shape[:-1], *data.shape[batch + depth :]))


def _grad_gather_nd(call: GradCall) -> list[Var | None]:
    gradient: Var = _gather_nd_gradient(call.grad, call.input(0), call.input(1), **call.attributes)
    return [gradient, None]


_gather_nd_gradient: OpSpec = OpSpec(
    "gather_nd_gradient",
    ("g", "like", "indices"),
    lambda types, attributes: types[0].with_shape(types[1].shape),
    maths.gather_nd_gradient,
    "index",
    attributes={"batch_dims": 0},
    grad=lambda call: [_gather_nd(call.grad, call.input(2), **call.attributes), None, None],
    kinds={"indices": INTEGERS},
    samples=(
        Sample((normal(3), normal(3, 2), _ints([0, 1], [2, 0], [0, 1]))),
        Sample((normal(2, 1, 2), normal(2, 3, 2), _ints([[1]], [[2]])), {"batch_dims": 1}),
        Sample((normal(0, 2), normal(3, 2), np.zeros((0, 1), np.int32)), gradient=False),
    ),
    doc="zeros like `like` with g added at coordinates: the adjoint of gather_nd",
)


_gather_nd: OpSpec = OpSpec(
    "gather_nd",
    ("data", "indices"),
    _infer_gather_nd,
    maths.gather_nd,
    "index",
    attributes={"batch_dims": 0},
    grad=_grad_gather_nd,
    codec=Codec("GatherND", "Axis", fields={"batch_dims": "axis"}),
    onnx="GatherND",
    strict=True,
    samples=(
        Sample((normal(3, 4), _ints([0, 1], [2, 3], [0, 1]))),
        Sample((normal(3, 4), _ints([2], [0]))),
        Sample((normal(2, 3, 2), _ints([[1]], [[2]])), {"batch_dims": 1}),
        Sample((normal(3, 2), np.zeros((0, 1), np.int32)), gradient=False),
    ),
    bad=(BadCall("too deep", (normal(3), _ints([0, 0])), ShapeError),),
    doc="elements or slices of data at coordinates",
)


def gather_nd(x: Any, indices: Any, batch_dims: int = 0) -> Var:
    """Return the elements or slices of x at the coordinates in the last axis of `indices`."""
    result: Var = _gather_nd(
        as_var(x, "gather_nd"), as_var(indices, "gather_nd"), batch_dims=int(batch_dims)
    )
    return result


def _infer_elements(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    data, indices = types
    check_indices("gather_elements", indices)
    if data.rank is not None and indices.rank is not None:
        normalize_axis("gather_elements", attributes["axis"], data.rank)
        if data.rank != indices.rank:
            raise ShapeError(
                f"gather_elements: data is {data.describe()} and indices {indices.describe()}. "
                "Expected equal ranks."
            )
    return data.with_shape(indices.shape)


def _grad_gather_elements(call: GradCall) -> list[Var | None]:
    from mnn.ops.scatter import scatter_elements

    start = zeros_like(call.input(0))
    gradient: Var = scatter_elements(
        start, call.input(1), call.grad, axis=call.attributes["axis"], reduction="add"
    )
    return [gradient, None]


gather_elements: OpSpec = OpSpec(
    "gather_elements",
    ("data", "indices"),
    _infer_elements,
    maths.gather_elements,
    "index",
    attributes={"axis": 0},
    grad=_grad_gather_elements,
    codec=Codec("GatherElements", handled=True),
    onnx="GatherElements",
    samples=(
        Sample((normal(3, 2), _ints([0, 2], [1, 1])), {"axis": 0}),
        Sample((normal(2, 3), _ints([2], [-1])), {"axis": 1}),
        Sample((normal(2, 3), np.zeros((0, 3), np.int32)), gradient=False),
    ),
    kinds={"indices": INTEGERS},
    bad=(
        BadCall("ranks differ", (normal(2, 3), _ints(0)), ShapeError),
        BadCall("float indices", (normal(3), normal(2)), DTypeError),
    ),
    doc="one element of data per index along an axis",
)
