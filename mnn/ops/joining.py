"""Joining arrays along an axis, old or new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.symbols import Dim, Symbol, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.elementwise import known_value, promote
from mnn.ops.operands import as_vars
from mnn.ops.samples import integers, normal, text_operand
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["concat", "stack"]

Array = np.ndarray[Any, Any]


def _infer_concat(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    if not types:
        raise ShapeError("concat: found no arrays, expected at least one.")
    dtype = promote("concat", [each.dtype for each in types])
    first = types[0]
    if any(each.shape is None for each in types):
        return TensorType(None, dtype, first.format)
    shapes = [each.shape for each in types if each.shape is not None]
    rank = len(shapes[0])
    if rank == 0:
        raise ShapeError("concat: 0-d arrays have no axis to join along. Use stack.")
    axis = normalize_axis("concat", attributes["axis"], rank)
    total: Dim = 0
    result = list(shapes[0])
    for number, shape in enumerate(shapes):
        for position in range(rank):
            if len(shape) == rank and position != axis:
                one, two = result[position], shape[position]
                if is_known(one, two) and one != two:
                    break
                result[position] = two if isinstance(one, Symbol) else one
        else:
            if len(shape) == rank:
                total = shape[axis] + total
                continue
        raise ShapeError(
            f"concat: array {number} has shape {shape_numbers(shape)}, expected the shape of array "
            f"0, {shape_numbers(shapes[0])}, but for axis {axis}."
        )
    result[axis] = total
    return known_value(
        _concat_reference, types, attributes, TensorType(tuple(result), dtype, first.format)
    )


def _concat_reference(*arrays: Array, axis: int) -> Array:
    dtype = promote("concat", [each.dtype for each in arrays])
    return np.concatenate([each.astype(dtype, copy=False) for each in arrays], axis)


def _grad_concat(call: GradCall) -> list[Var | None]:
    from mnn.ops.convert import cast

    operands = [each for each in call.inputs if each is not None]
    found = _split_like(call.grad, *operands, axis=call.attributes["axis"])
    parts = found if isinstance(found, tuple) else (found,)
    return [
        (part if part.dtype == each.dtype else cast(part, each.dtype))
        if kind_of(each.dtype) in "fc"
        else None
        for part, each in zip(parts, operands, strict=True)
    ]


def _infer_split_like(
    types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> list[TensorType]:
    return [types[0].with_shape(each.shape) for each in types[1:]]


def _split_like_reference(g: Array, *likes: Array, axis: int) -> list[Array]:
    ends = np.cumsum([each.shape[axis] for each in likes])
    return np.split(g, ends[:-1], axis)


def _grad_split_like(call: GradCall) -> list[Var | None]:
    from mnn.ops.create import zeros_like

    parts = [
        zeros_like(output) if grad is None else grad
        for grad, output in zip(call.grads, call.outputs, strict=True)
    ]
    return [concat(parts, call.attributes["axis"]), *([None] * (len(call.inputs) - 1))]


_split_like: OpSpec = OpSpec(
    "split_like",
    ("g", "likes*"),
    _infer_split_like,
    _split_like_reference,
    "movement",
    attributes={"axis": 0},
    grad=_grad_split_like,
    samples=(
        Sample((normal(3, 2), normal(2, 2), normal(1, 2))),
        Sample((normal(2, 3), normal(2, 0), normal(2, 3)), {"axis": -1}),
        Sample((normal(3), normal(3))),
        Sample((normal(0, 2), normal(0, 2), normal(0, 2)), gradient=False),
    ),
    doc="g cut along an axis into parts as long as other arrays: the adjoint of concat",
)


_concat = OpSpec(
    "concat",
    ("values*",),
    _infer_concat,
    _concat_reference,
    "movement",
    attributes={"axis": 0},
    grad=_grad_concat,
    codec=Codec("Concat", "Axis", fields={"axis": "axis"}),
    onnx="Concat",
    samples=(
        Sample((normal(2, 3), normal(1, 3)), {"axis": 0}),
        Sample((normal(2, 1), normal(2, 3), normal(2, 2)), {"axis": -1}),
        Sample((normal(3),)),
        Sample((normal(0, 2), normal(1, 2)), gradient=False),
        Sample((integers(2), normal(3)), gradient=False),
    ),
    bad=(
        BadCall("sizes differ", (normal(2, 3), normal(2, 2)), ShapeError),
        BadCall("ranks differ", (normal(2, 3), normal(3)), ShapeError),
        BadCall("axis out of range", (normal(2), normal(2)), ShapeError, {"axis": 1}),
        BadCall("no dimensions", (normal(), normal()), ShapeError),
        text_operand(2),
    ),
    doc="arrays joined along an axis",
)


def concat(values: Sequence[Any], axis: int = 0) -> Var:
    """Return arrays joined along `axis`; dtypes promote as in NumPy.

    Raises:
        ShapeError: no arrays, or shapes differ elsewhere than on `axis`.
    """
    operands = as_vars(values, "concat")
    if not operands:
        raise ShapeError("concat: found no arrays, expected at least one.")
    result: Var = _concat(*operands, axis=axis_number("concat", axis))
    return result


def _infer_stack(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    if not types:
        raise ShapeError("stack: found no arrays, expected at least one.")
    dtype = promote("stack", [each.dtype for each in types])
    first = types[0]
    if any(each.shape is None for each in types):
        return TensorType(None, dtype, first.format)
    shape = list(first.shape or ())
    for number, each in enumerate(types):
        other = each.shape or ()
        if len(other) != len(shape) or any(
            is_known(one, two) and one != two for one, two in zip(shape, other, strict=True)
        ):
            raise ShapeError(
                f"stack: array {number} has shape {shape_numbers(other)}, expected that of "
                f"array 0, {shape_numbers(first.shape or ())}."
            )
    axis = normalize_axis("stack", attributes["axis"], len(shape) + 1)
    shape.insert(axis, len(types))
    return known_value(
        _stack_reference, types, attributes, TensorType(tuple(shape), dtype, first.format)
    )


def _stack_reference(*arrays: Array, axis: int) -> Array:
    dtype = promote("stack", [each.dtype for each in arrays])
    return np.stack([each.astype(dtype, copy=False) for each in arrays], axis)


def _grad_stack(call: GradCall) -> list[Var | None]:
    from mnn.ops.convert import cast
    from mnn.ops.slicing import unstack

    operands = [each for each in call.inputs if each is not None]
    parts = unstack(call.grad, call.attributes["axis"], len(operands))
    return [
        (part if part.dtype == each.dtype else cast(part, each.dtype))
        if kind_of(each.dtype) in "fc"
        else None
        for part, each in zip(parts, operands, strict=True)
    ]


_stack = OpSpec(
    "stack",
    ("values*",),
    _infer_stack,
    _stack_reference,
    "movement",
    attributes={"axis": 0},
    grad=_grad_stack,
    codec=Codec("Pack", "PackParam", fields={"axis": "axis"}),
    samples=(
        Sample((normal(2, 3), normal(2, 3, seed=1)), {"axis": 0}),
        Sample((normal(2), normal(2), normal(2)), {"axis": -1}),
        Sample((normal(), normal())),
        Sample((normal(0), normal(0)), {"axis": 1}, gradient=False),
    ),
    bad=(
        BadCall("shapes differ", (normal(2), normal(3)), ShapeError),
        BadCall("axis out of range", (normal(2), normal(2)), ShapeError, {"axis": 2}),
    ),
    doc="arrays of one shape joined along a new axis",
)


def stack(values: Sequence[Any], axis: int = 0) -> Var:
    """Return arrays of one shape joined along a new dimension at `axis`.

    Raises:
        ShapeError: no arrays, or shapes differ.
    """
    operands = as_vars(values, "stack")
    if not operands:
        raise ShapeError("stack: found no arrays, expected at least one.")
    result: Var = _stack(*operands, axis=axis_number("stack", axis))
    return result
