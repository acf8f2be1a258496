"""Arrays made from shapes: shape queries, ranges, fills, one-hot rows, random numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import float_result
from mnn.expr.symbols import Dim, fresh, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, int_operand
from mnn.ops.codec import Codec
from mnn.ops.comparison import select
from mnn.ops.convert import cast
from mnn.ops.elementwise import known_value, promote, unify_operands
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal
from mnn.ops.spec import INTEGERS, BadCall, GradCall, OpSpec, Sample

__all__ = [
    "fill",
    "linspace",
    "one_hot",
    "range",
    "rank",
    "shape",
    "size",
]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)
_range = range  # the public function below takes the name, as in the reference package


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


def _no_gradient(call: GradCall) -> list[Var | None]:
    return [None] * len(call.inputs)


# --- queries -------------------------------------------------------------------------------------


def _shape_order(rank: int, *, channel_last: bool) -> list[int]:
    if channel_last and rank >= 3:
        return [0, *_range(2, rank), 1]
    return list(_range(rank))


def _infer_shape(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is None:
        return TensorType((fresh("rank"),), _INT, x.format)
    order = _shape_order(len(x.shape), channel_last=attributes["as_channel_last"])
    sizes: list[Dim] = [x.shape[axis] for axis in order]
    sizes = sizes[slice(attributes["start"], attributes["end"])]
    result = TensorType((len(sizes),), _INT, x.format)
    if is_known(*sizes):
        value = np.array(sizes, _INT)
        value.flags.writeable = False
        return TensorType(result.shape, _INT, x.format, value)
    return result


def _shape_reference(
    x: Array, *, as_channel_last: bool, start: int | None, end: int | None
) -> Array:
    sizes = [x.shape[axis] for axis in _shape_order(x.ndim, channel_last=as_channel_last)]
    return np.array(sizes[start:end], _INT)


_shape = OpSpec(
    "shape",
    ("x",),
    _infer_shape,
    _shape_reference,
    "shape",
    attributes={"as_channel_last": False, "start": None, "end": None},
    grad=_no_gradient,
    codec=Codec("Shape", handled=True),
    onnx="Shape",
    samples=(
        Sample((normal(2, 3, 4),), gradient=False),
        Sample((normal(),), gradient=False),
        Sample((normal(0, 2),), {"start": 1}, gradient=False),
        Sample((normal(1, 2, 3, 4),), {"as_channel_last": True}, gradient=False),
    ),
    doc="sizes of x as int32",
)


def shape(x: Any) -> Var:
    """Return the sizes of x as a 1-D int32 Var."""
    result: Var = _shape(as_var(x, "shape"))
    return result


def _scalar_query(name: str, function: Any, from_shape: Any, doc: str) -> OpSpec:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        x = types[0]
        value = None if x.shape is None else from_shape(x.shape)
        if isinstance(value, int):
            return TensorType((), _INT, x.format, np.array(value, _INT))
        return TensorType((), _INT, x.format)

    return OpSpec(
        name,
        ("x",),
        infer,
        lambda x: np.array(function(x), _INT),
        "shape",
        grad=_no_gradient,
        codec=Codec(name.capitalize()),
        samples=(
            Sample((normal(2, 3),), gradient=False),
            Sample((normal(),), gradient=False),
            Sample((normal(0, 3),), gradient=False),
        ),
        doc=doc,
    )


def _known_size(shape: tuple[Dim, ...]) -> int | None:
    return math.prod(shape_numbers(shape)) if is_known(*shape) else None


_rank = _scalar_query("rank", lambda x: x.ndim, len, "number of dimensions as int32")
_size = _scalar_query("size", lambda x: x.size, _known_size, "number of elements as int32")


def rank(x: Any) -> Var:
    """Return the number of dimensions of x as a 0-d int32 Var."""
    result: Var = _rank(as_var(x, "rank"))
    return result


def size(x: Any) -> Var:
    """Return the number of elements of x as a 0-d int32 Var."""
    result: Var = _size(as_var(x, "size"))
    return result


# --- ranges and fills ----------------------------------------------------------------------------


def _range_length(start: Any, limit: Any, delta: Any) -> int:
    if delta == 0:
        raise ShapeError("range: delta is 0, expected another number.")
    steps: int = math.ceil((limit - start) / delta)
    return max(0, steps)


def _infer_range(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    dtype = promote("range", [each.dtype for each in types])
    values = [each.value for each in types]
    if any(value is None for value in values):
        return TensorType((fresh("range"),), dtype, types[0].format)
    start, limit, delta = (value.reshape(()).item() for value in values if value is not None)
    result = TensorType((_range_length(start, limit, delta),), dtype, types[0].format)
    return known_value(_range_reference, types, attributes, result)


def _range_reference(start: Array, limit: Array, delta: Array) -> Array:
    dtype = promote("range", [start.dtype, limit.dtype, delta.dtype])
    first, last, step = (each.reshape(()).item() for each in (start, limit, delta))
    steps = np.arange(_range_length(first, last, step))
    result: Array = np.asarray(first + steps * step).astype(dtype)
    return result


_range_spec = OpSpec(
    "range",
    ("start", "limit", "delta"),
    _infer_range,
    _range_reference,
    "create",
    grad=_no_gradient,
    codec=Codec("Range", "Range"),
    onnx="Range",
    samples=(
        Sample((np.array(1, np.int32), np.array(8, np.int32), np.array(3, np.int32))),
        Sample((np.float32(0), np.float32(1), np.float32(0.25)), gradient=False),
        Sample((np.array(3, np.int32), np.array(0, np.int32), np.array(-1, np.int32))),
        Sample((np.array(3, np.int32), np.array(0, np.int32), np.array(1, np.int32))),
    ),
    bad=(BadCall("zero step", (0, 3, 0), ShapeError),),
    doc="start, start + delta, ... up to limit, which is left out",
)


def range(start: Any, limit: Any, delta: Any) -> Var:
    """Return `start, start + delta, ...` up to `limit`, which is left out; empty if it is behind.

    Raises:
        ShapeError: delta is 0.
    """
    result: Var = _range_spec(*unify_operands("range", [start, limit, delta]))
    return result


def _infer_fill(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    sizes, value = types
    if sizes.value is None:
        count = sizes.shape[0] if sizes.shape else None
        shape = tuple(fresh("fill") for _ in _range(count)) if isinstance(count, int) else None
        return TensorType(shape, value.dtype, value.format)
    numbers = tuple(int(each) for each in sizes.value.reshape(-1))
    if any(number < 0 for number in numbers):
        raise ShapeError(f"fill: found shape {list(numbers)}, expected sizes >= 0.")
    return known_value(
        _fill_reference, types, attributes, TensorType(numbers, value.dtype, value.format)
    )


def _fill_reference(shape: Array, value: Array) -> Array:
    sizes = tuple(int(each) for each in shape.reshape(-1))
    if any(size < 0 for size in sizes):
        raise ShapeError(f"fill: found shape {list(sizes)}, expected sizes >= 0.")
    return np.full(sizes, value.reshape(()), value.dtype)


def _grad_fill(call: GradCall) -> list[Var | None]:
    from mnn.ops.broadcast import sum_like

    return [None, sum_like(call.grad, call.input(1))]


_fill = OpSpec(
    "fill",
    ("shape", "value"),
    _infer_fill,
    _fill_reference,
    "create",
    grad=_grad_fill,
    codec=Codec("Fill", "Fill"),
    onnx="ConstantOfShape",
    kinds={"shape": INTEGERS},
    samples=(
        Sample((_ints(2, 3), normal())),
        Sample((np.zeros(0, np.int32), normal())),
        Sample((_ints(0, 3), np.array(7, np.int32)), gradient=False),
    ),
    bad=(BadCall("negative size", (_ints(-1), normal()), ShapeError),),
    doc="an array of one repeated value",
)


def fill(shape: Any, value: Any) -> Var:
    """Return an array of `shape` filled with the 0-d `value`."""
    result: Var = _fill(int_operand("fill", shape, "shape"), as_var(value, "fill"))
    return result


def linspace(start: Any, stop: Any, num: int = 50) -> Var:
    """Return `num` evenly spaced numbers from start to stop, both included.

    Raises:
        ShapeError: num < 0.
    """
    count = operator.index(num)
    if count < 0:
        raise ShapeError(f"linspace: found {count} numbers, expected >= 0.")
    low, high = unify_operands("linspace", [start, stop])
    dtype = float_result(promote("linspace", [low.dtype, high.dtype]))
    low, high = cast(low, dtype), cast(high, dtype)
    steps = Var((np.arange(count) / max(count - 1, 1)).astype(dtype))
    if count < 2:
        return low + (high - low) * steps
    # Rounding must not miss the end.
    last = Var(np.arange(count) == count - 1)
    return select(last, high, low + (high - low) * steps)


# --- one-hot -------------------------------------------------------------------------------------


def _infer_one_hot(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    indices, depth, on, off = types
    if indices.dtype.kind not in "iub":
        raise DTypeError(f"one_hot: indices are {indices.dtype}, expected integers.")
    dtype = promote("one_hot", [on.dtype, off.dtype])
    if indices.shape is None:
        return TensorType(None, dtype, indices.format)
    rank = len(indices.shape) + 1
    axis = attributes["axis"]
    if not -rank <= axis < rank:
        raise ShapeError(f"one_hot: axis {axis} is out of range for a result of {rank} dimensions.")
    count: Dim = fresh("depth") if depth.value is None else int(depth.value.reshape(()).item())
    if isinstance(count, int) and count < 0:
        raise ShapeError(f"one_hot: depth is {count}, expected >= 0.")
    sizes = list(indices.shape)
    sizes.insert(axis % rank, count)
    return TensorType(tuple(sizes), dtype, indices.format)


def _one_hot_reference(indices: Array, depth: Array, on: Array, off: Array, *, axis: int) -> Array:
    if indices.dtype.kind not in "iub":
        raise DTypeError(f"one_hot: indices are {indices.dtype}, expected integers.")
    dtype = promote("one_hot", [on.dtype, off.dtype])
    count = int(depth.reshape(()).item())
    if count < 0:
        raise ShapeError(f"one_hot: depth is {count}, expected >= 0.")
    hit = indices[..., None] == np.arange(count)
    result = np.where(hit, on.astype(dtype).reshape(()), off.astype(dtype).reshape(()))
    return np.moveaxis(result, -1, axis)


_one_hot = OpSpec(
    "one_hot",
    ("indices", "depth", "on", "off"),
    _infer_one_hot,
    _one_hot_reference,
    "create",
    attributes={"axis": -1},
    grad=_no_gradient,
    codec=Codec("OneHot", "OneHotParam", fields={"axis": "axis"}),
    onnx="OneHot",
    samples=(
        Sample(
            (_ints(0, 2, 5), _ints(3).reshape(()), np.float32(1), np.float32(0)), gradient=False
        ),
        Sample((integers(2, 2, low=0), 3, 5, -1), {"axis": 0}, gradient=False),
        Sample((np.zeros((0,), np.int32), 3, 1.0, 0.0), gradient=False),
    ),
    bad=(
        BadCall("float indices", (normal(3), 3, 1.0, 0.0), DTypeError),
        BadCall("negative depth", (_ints(1), -3, 1.0, 0.0), ShapeError),
        BadCall("axis out of range", (_ints(1), 3, 1.0, 0.0), ShapeError, {"axis": 2}),
    ),
    doc="rows that are `on` at an index and `off` elsewhere; an index out of range gives all off",
)


def one_hot(
    indices: Any, depth: Any, onValue: Any = 1.0, offValue: Any = 0.0, axis: int = -1
) -> Var:
    """Return one-hot rows.

    Args:
        indices: integers of any shape; out of [0, depth) they give rows of `offValue`.
        depth: length of the new axis.
        onValue, offValue: numbers.
        axis: position of the new axis in the result.

    Raises:
        DTypeError: indices are no integers.    ShapeError: depth < 0 or axis out of range.
    """
    on, off = unify_operands("one_hot", [onValue, offValue])
    result: Var = _one_hot(
        as_var(indices, "one_hot"),
        as_var(depth, "one_hot"),
        on,
        off,
        axis=axis_number("one_hot", axis),
    )
    return result
