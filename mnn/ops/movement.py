"""The same elements in another shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.enums import data_format
from mnn.expr.symbols import Dim, Symbol, fresh, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand, integers_of, normalize_axes, normalize_axis
from mnn.ops.broadcast import reshape_like
from mnn.ops.codec import Codec
from mnn.ops.elementwise import known_value
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal
from mnn.ops.spec import INTEGERS, REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = [
    "expand_dims",
    "flatten",
    "ravel",
    "reshape",
    "squeeze",
    "unsqueeze",
]

Array = np.ndarray[Any, Any]


def _unknown(rank: Dim | None, hint: str) -> tuple[Dim, ...] | None:
    return (
        None
        if rank is None or isinstance(rank, Symbol)
        else tuple(fresh(hint) for _ in range(rank))
    )


# --- reshape -------------------------------------------------------------------------------------


def _resolved(
    name: str, old: tuple[Dim, ...] | None, wanted: Sequence[int], *, copy_zero: bool
) -> tuple[Dim, ...]:
    """Return the new shape: -1 inferred, 0 copied if `copy_zero`."""
    sizes: list[Dim] = list(wanted)
    if copy_zero:
        for axis, size in enumerate(sizes):
            if size == 0 and old is not None and axis < len(old):
                sizes[axis] = old[axis]
    if any(isinstance(size, int) and size < -1 for size in sizes) or sizes.count(-1) > 1:
        raise ShapeError(
            f"{name}: found shape {list(wanted)}, expected sizes >= 0 and at most one -1."
        )
    if old is None:
        return tuple(fresh("reshaped") if size == -1 else size for size in sizes)
    total: Dim = 1
    for size in old:
        total = total * size
    rest: Dim = 1
    for size in sizes:
        if not (isinstance(size, int) and size == -1):
            rest = rest * size
    if not is_known(total, rest):
        return tuple(_inferred(total, rest) if size == -1 else size for size in sizes)
    fits = total == rest if -1 not in sizes else bool(rest) and int(total) % int(rest) == 0  # type: ignore[arg-type]
    if not fits and not (-1 in sizes and total == 0 and rest == 0):
        raise ShapeError(
            f"{name}: {total} elements of shape {shape_numbers(old)} do not fill shape "
            f"{list(wanted)}. Expected an equal number of elements."
        )
    return tuple(
        (int(total) // int(rest) if rest else 0) if size == -1 else size  # type: ignore[arg-type]
        for size in sizes
    )


def _inferred(total: Dim, rest: Dim) -> Dim:
    return fresh("reshaped") if rest == 0 else total // rest


def _infer_reshape(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, shape = types
    if shape.value is None:
        rank = shape.shape[0] if shape.shape else None
        return x.with_shape(_unknown(rank, "reshaped"))
    wanted = [int(size) for size in shape.value.reshape(-1)]
    sizes = _resolved("reshape", x.shape, wanted, copy_zero=attributes["copy_zero"])
    result = TensorType(sizes, x.dtype, x.format)
    if x.value is not None and result.is_static:
        result = TensorType(sizes, x.dtype, x.format, x.value.reshape(shape_numbers(sizes)))
    return result


def _reshape_reference(x: Array, shape: Array, *, copy_zero: bool) -> Array:
    wanted = [int(size) for size in shape.reshape(-1)]
    sizes = _resolved("reshape", x.shape, wanted, copy_zero=copy_zero)
    result: Array = x.reshape(shape_numbers(sizes))
    return result


def _grad_reshape(call: GradCall) -> list[Var | None]:
    return [reshape_like(call.grad, call.input(0)), None]


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


_reshape = OpSpec(
    "reshape",
    ("x", "shape"),
    _infer_reshape,
    _reshape_reference,
    "movement",
    attributes={"copy_zero": True},
    grad=_grad_reshape,
    codec=Codec("Reshape", handled=True),
    onnx="Reshape",
    kinds={"shape": INTEGERS},
    samples=(
        Sample((normal(2, 6), _ints(3, 4))),
        Sample((normal(2, 3, 2), _ints(0, -1))),
        Sample((normal(4), _ints(2, -1, 1))),
        Sample((normal(1), np.zeros(0, np.int32))),
        Sample((normal(0, 3), _ints(3, 0)), {"copy_zero": False}, gradient=False),
        Sample((integers(4), _ints(2, 2)), gradient=False),
    ),
    bad=(
        BadCall("other element count", (normal(4), _ints(3)), ShapeError),
        BadCall("two unknown sizes", (normal(4), _ints(-1, -1)), ShapeError),
        BadCall("indivisible", (normal(4), _ints(3, -1)), ShapeError),
    ),
    doc="the elements of x, in order, in another shape",
)


def reshape(
    x: Any,
    shape: Any,
    original_format: data_format = data_format.NCHW,
    *,
    copy_zero: bool = True,
) -> Var:
    """Return the elements of x, in order, in another shape.

    Args:
        x: any array.
        shape: sizes; one may be -1 (inferred), and 0 copies the size of that axis.
        original_format: accepted for compatibility; elements are always taken in logical order.
        copy_zero: False: a 0 means an empty axis.

    Raises:
        ShapeError: the element counts differ.
    """
    sizes = int_operand("reshape", shape, "shape")
    result: Var = _reshape(as_var(x, "reshape"), sizes, copy_zero=copy_zero)
    return result


def ravel(x: Any) -> Var:
    """Return the elements in order as one dimension."""
    return reshape(x, (-1,))


def _flat_shape(shape: tuple[Dim, ...], axis: int, end_axis: int | None) -> tuple[Dim, ...]:
    rank = len(shape)
    if end_axis is None:
        place = axis % rank if rank else 0
        return (_product(shape[:place]), _product(shape[place:]))
    if not rank:
        return (1,)
    first = normalize_axis("flatten", axis, rank)
    last = normalize_axis("flatten", end_axis, rank)
    if last < first:
        raise ShapeError(f"flatten: axis {axis} stands behind axis {end_axis}. Exchange them.")
    return (*shape[:first], _product(shape[first : last + 1]), *shape[last + 1 :])


def _product(sizes: tuple[Dim, ...]) -> Dim:
    total: Dim = 1
    for size in sizes:
        total = total * size
    return total


def _infer_flatten(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is None:
        rank = 2 if attributes["end_axis"] is None else None
        return x.with_shape(_unknown(rank, "flat"))
    return x.with_shape(_flat_shape(x.shape, **attributes))


_flatten: OpSpec = OpSpec(
    "flatten",
    ("x",),
    _infer_flatten,
    lambda x, *, axis, end_axis: x.reshape(_flat_shape(x.shape, axis, end_axis)),
    "movement",
    attributes={"axis": 0, "end_axis": -1},
    grad=lambda call: [reshape_like(call.grad, call.input(0))],
    codec=Codec("Flatten", handled=True),
    onnx="Flatten",
    samples=(
        Sample((normal(2, 3, 2),)),
        Sample((normal(2, 3, 2),), {"axis": 1, "end_axis": None}),
        Sample((normal(2, 3, 2),), {"axis": 0, "end_axis": 1}),
        Sample((normal(),)),
        Sample((normal(0, 3),), {"axis": 1, "end_axis": None}, gradient=False),
    ),
    bad=(
        BadCall("axis out of range", (normal(2, 3),), ShapeError, {"axis": 2}),
        BadCall("axes exchanged", (normal(2, 3),), ShapeError, {"axis": 1, "end_axis": 0}),
    ),
    doc="x with a range of dimensions joined into one",
)


def flatten(x: Any, axis: int = 0, end_axis: int | None = -1) -> Var:
    """Return x with the dimensions from `axis` to `end_axis` (inclusive) joined into one.

    `end_axis=None` gives a matrix: the dimensions before `axis`, and those from it on.
    """
    result: Var = _flatten(as_var(x, "flatten"), axis=axis, end_axis=end_axis)
    return result


# --- dimensions of size 1 ------------------------------------------------------------------------


def _infer_unsqueeze(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, axes = types[0], attributes["axes"]
    if x.shape is None:
        return x.with_shape(None)
    rank = len(x.shape) + len(axes)
    chosen = normalize_axes("expand_dims", axes, rank)
    sizes = iter(x.shape)
    shape = tuple(1 if axis in chosen else next(sizes) for axis in range(rank))
    result = TensorType(shape, x.dtype, x.format)
    return known_value(_unsqueeze_reference, types, attributes, result)


def _unsqueeze_reference(x: Array, *, axes: tuple[int, ...]) -> Array:
    chosen = normalize_axes("expand_dims", axes, x.ndim + len(axes))
    return np.expand_dims(x, chosen)


_unsqueeze = OpSpec(
    "unsqueeze",
    ("x",),
    _infer_unsqueeze,
    _unsqueeze_reference,
    "movement",
    attributes={"axes": REQUIRED},
    grad=lambda call: [reshape_like(call.grad, call.input(0))],
    codec=Codec("Unsqueeze", "SqueezeParam", fields={"axes": "squeezeDims"}),
    onnx="Unsqueeze",
    samples=(
        Sample((normal(2, 3),), {"axes": (1,)}),
        Sample((normal(3),), {"axes": (0, -1)}),
        Sample((normal(),), {"axes": (0,)}),
        Sample((normal(0, 2),), {"axes": (2,)}, gradient=False),
    ),
    bad=(
        BadCall("axis out of range", (normal(3),), ShapeError, {"axes": (3,)}),
        BadCall("axis twice", (normal(3),), ShapeError, {"axes": (0, -3)}),
    ),
    doc="x with dimensions of size 1 inserted",
)


def unsqueeze(x: Any, axes: Any = ()) -> Var:
    """Return x with dimensions of size 1 inserted; `axes` are positions in the result."""
    result: Var = _unsqueeze(as_var(x, "unsqueeze"), axes=integers_of("unsqueeze", axes))
    return result


def expand_dims(x: Any, axis: Any) -> Var:
    """Return x with a dimension of size 1 inserted at `axis`."""
    return unsqueeze(x, axis)


def _infer_squeeze(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, axes = types[0], attributes["axes"]
    if x.shape is None:
        return x.with_shape(None)
    if axes is None:
        if not x.is_static:
            return x.with_shape(None)
        chosen = tuple(axis for axis, size in enumerate(x.shape) if size == 1)
    else:
        chosen = normalize_axes("squeeze", axes, len(x.shape))
    for axis in chosen:
        if isinstance(x.shape[axis], int) and x.shape[axis] != 1:
            raise ShapeError(
                f"squeeze: axis {axis} of {x.describe()} has size {x.shape[axis]}, expected 1. "
                "Name axes of size 1 only."
            )
    result = TensorType(
        tuple(size for axis, size in enumerate(x.shape) if axis not in chosen), x.dtype, x.format
    )
    return known_value(_squeeze_reference, types, attributes, result)


def _squeeze_reference(x: Array, *, axes: tuple[int, ...] | None) -> Array:
    if axes is None:
        return np.squeeze(x)
    return np.squeeze(x, normalize_axes("squeeze", axes, x.ndim))


_squeeze = OpSpec(
    "squeeze",
    ("x",),
    _infer_squeeze,
    _squeeze_reference,
    "movement",
    attributes={"axes": None},
    grad=lambda call: [reshape_like(call.grad, call.input(0))],
    codec=Codec("Squeeze", handled=True),
    onnx="Squeeze",
    samples=(
        Sample((normal(2, 1, 3, 1),)),
        Sample((normal(2, 1, 3, 1),), {"axes": (1,)}),
        Sample((normal(1, 3),), {"axes": (-2,)}),
        Sample((normal(1),)),
        Sample((normal(0, 1),), {"axes": (1,)}, gradient=False),
    ),
    bad=(BadCall("size not 1", (normal(2, 3),), ShapeError, {"axes": (0,)}),),
    doc="x without dimensions of size 1",
)


def squeeze(x: Any, axes: Any = ()) -> Var:
    """Return x without dimensions of size 1: those in `axes`, or all of them.

    Raises:
        ShapeError: a named dimension has another size.
    """
    chosen = None if axes is None else integers_of("squeeze", axes) or None
    result: Var = _squeeze(as_var(x, "squeeze"), axes=chosen)
    return result
