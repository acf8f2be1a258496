"""Sorting along an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import Dim, fresh, is_known
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.create import zeros_like
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal
from mnn.ops.scatter import scatter_elements
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["argsort", "sort", "topk"]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)


def _order(x: Array, axis: int, *, descending: bool) -> Array:
    """Return the stable order; NaN counts as largest."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # Reversing twice keeps equal elements in their order.
    flipped = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    result: Array = x.shape[axis] - 1 - flipped
    return result


def _topk_reference(x: Array, k: Array, *, axis: int, largest: bool) -> tuple[Array, Array]:
    axis = normalize_axis("topk", axis, x.ndim)
    count = int(k.reshape(()))
    if not 0 <= count <= x.shape[axis]:
        raise ShapeError(
            f"topk: found k = {count} for axis {axis} of size {x.shape[axis]}. "
            f"Expected 0 to {x.shape[axis]}."
        )
    order = np.take(_order(x, axis, descending=largest), np.arange(count), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int32)


def _infer_topk(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    x, k = types
    if x.shape is None:
        return [x.with_shape(None), TensorType(None, _INT, x.format)]
    axis = normalize_axis("topk", attributes["axis"], len(x.shape))
    count: Dim = fresh("k") if k.value is None else int(k.value.reshape(()))
    if is_known(count, x.shape[axis]) and not 0 <= int(count) <= int(x.shape[axis]):  # type: ignore[arg-type]
        raise ShapeError(
            f"topk: found k = {count} for axis {axis} of {x.describe()}. Expected at most its size."
        )
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
    return [x.with_shape(shape), TensorType(shape, _INT, x.format)]


def _grad_topk(call: GradCall) -> list[Var | None]:
    x, values = call.input(0), call.grads[0]
    if values is None:
        return [None, None]
    axis = call.attributes["axis"] % x.ndim
    put: Var = scatter_elements(zeros_like(x), call.outputs[1], values, axis=axis, reduction="add")
    return [put, None]


topk: OpSpec = OpSpec(
    "topk",
    ("x", "k"),
    _infer_topk,
    _topk_reference,
    "sort",
    attributes={"axis": -1, "largest": True},
    grad=_grad_topk,
    codec=Codec("TopKV2", handled=True),
    onnx="TopK",
    samples=(
        Sample((normal(3, 5), 2)),
        Sample((normal(4, 2), 3), {"axis": 0, "largest": False}),
        Sample((integers(6), 4), gradient=False),
        Sample((np.array([1.0, np.nan, 2.0], np.float32), 2), gradient=False),
        Sample((normal(0, 3), 1), gradient=False),
    ),
    bad=(
        BadCall("k too large", (normal(3), 4), ShapeError),
        BadCall("axis out of range", (normal(3), 1), ShapeError, {"axis": 1}),
    ),
    doc="the k largest (or smallest) elements of an axis in order, and their int32 positions",
)


def _infer_same(name: str, dtype: Any = None) -> Any:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        x = types[0]
        if x.rank is not None:
            normalize_axis(name, attributes["axis"], x.rank)
        return TensorType(x.shape, dtype or x.dtype, x.format)

    return infer


def _sort_reference(x: Array, *, axis: int, descending: bool) -> Array:
    axis = normalize_axis("sort", axis, x.ndim)
    made = np.sort(x, axis=axis)
    if _tells_equal_ones_apart(x, made):
        # What follows is stable, and twenty times as slow on long rows.
        return np.take_along_axis(x, _order(x, axis, descending=descending), axis)
    return np.ascontiguousarray(np.flip(made, axis)) if descending else made


def _tells_equal_ones_apart(x: Array, made: Array) -> bool:
    """Return whether equal elements may differ: zeros with signs, NaN of several kinds."""
    if x.dtype.kind in "biu":
        return False
    if x.dtype.kind != "f":
        return True
    return bool(np.isnan(made).any() or ((made == 0) & np.signbit(made)).any())


def _argsort_reference(x: Array, *, axis: int, descending: bool) -> Array:
    axis = normalize_axis("sort", axis, x.ndim)
    return _order(x, axis, descending=descending).astype(np.int32)


def _grad_sort(call: GradCall) -> list[Var | None]:
    x = call.input(0)
    order = argsort(x, **call.attributes)
    axis = call.attributes["axis"] % x.ndim
    put: Var = scatter_elements(zeros_like(x), order, call.grad, axis=axis, reduction="add")
    return [put]


_SAMPLES = (
    Sample((normal(3, 4),), {"axis": 1}),
    Sample((normal(4, 2),), {"axis": 0, "descending": True}),
    Sample((integers(8),), gradient=False),
    Sample((np.array([2.0, np.nan, -np.inf, 1.0], np.float32),), gradient=False),
    Sample((normal(0, 3),), gradient=False),
)
_BAD = (
    BadCall("axis out of range", (normal(3),), ShapeError, {"axis": 1}),
    BadCall("no dimensions", (normal(),), ShapeError),
)

_sort: OpSpec = OpSpec(
    "sort",
    ("x",),
    _infer_same("sort"),
    _sort_reference,
    "sort",
    attributes={"axis": -1, "descending": False},
    grad=_grad_sort,
    codec=Codec("TopKV2", handled=True),
    samples=_SAMPLES,
    bad=_BAD,
    doc="x in ascending (or descending) order along an axis; equal elements keep theirs",
)

argsort: OpSpec = OpSpec(
    "argsort",
    ("x",),
    _infer_same("argsort", _INT),
    _argsort_reference,
    "sort",
    attributes={"axis": -1, "descending": False},
    grad=lambda call: [None],
    codec=Codec("TopKV2", handled=True),
    samples=tuple(Sample(each.inputs, each.attributes, gradient=False) for each in _SAMPLES),
    bad=_BAD,
    doc="int32 positions that sort x along an axis; equal elements keep their order",
)


def sort(x: Any, axis: int = -1, arg: bool = False, descend: bool = False) -> Var:
    """Return x sorted along `axis`, or (`arg`) the int32 positions that sort it.

    Equal elements keep their order; NaN counts as largest.

    Raises:
        ShapeError: axis out of range.
    """
    spec = argsort if arg else _sort
    result: Var = spec(as_var(x, "sort"), axis=axis_number("sort", axis), descending=bool(descend))
    return result
