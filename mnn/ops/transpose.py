"""Dimensions in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.elementwise import known_value
from mnn.ops.operands import as_var
from mnn.ops.samples import normal
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["moveaxis", "swapaxes", "transpose"]

Array = np.ndarray[Any, Any]


def _infer_transpose(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, axes = types[0], attributes["axes"]
    if x.shape is None:
        return x if axes is None else x.with_shape(fresh("permuted") for _ in axes)
    rank = len(x.shape)
    order = (
        tuple(reversed(range(rank))) if axes is None else normalize_axes("transpose", axes, rank)
    )
    if len(order) != rank:
        raise ShapeError(
            f"transpose: found {len(order)} axes {list(order)} for {x.describe()}. "
            f"Expected a permutation of all {rank}."
        )
    return known_value(
        _transpose_reference, types, attributes, x.with_shape(x.shape[axis] for axis in order)
    )


def _transpose_reference(x: Array, *, axes: tuple[int, ...] | None) -> Array:
    result: Array = x.transpose(axes)
    return result


def _grad_transpose(call: GradCall) -> list[Var | None]:
    axes = call.attributes["axes"]
    if axes is None:
        return [_transpose(call.grad)]
    order = [axis % len(axes) for axis in axes]
    return [_transpose(call.grad, axes=tuple(int(each) for each in np.argsort(order)))]


_transpose = OpSpec(
    "transpose",
    ("x",),
    _infer_transpose,
    _transpose_reference,
    "movement",
    attributes={"axes": None},
    grad=_grad_transpose,
    codec=Codec("Permute", handled=True),
    onnx="Transpose",
    samples=(
        Sample((normal(2, 3, 4),), {"axes": (1, 2, 0)}),
        Sample((normal(2, 3),)),
        Sample((normal(2, 3),), {"axes": (-1, 0)}),
        Sample((normal(),)),
        Sample((normal(0, 3),), gradient=False),
    ),
    bad=(
        BadCall("too few axes", (normal(2, 3),), ShapeError, {"axes": (0,)}),
        BadCall("axis twice", (normal(2, 3),), ShapeError, {"axes": (0, 0)}),
    ),
    doc="x with its dimensions in another order",
)


def transpose(x: Any, perm: Any = None) -> Var:
    """Return x with its dimensions in the order `perm` (None: reversed).

    Raises:
        ShapeError: perm is no permutation of all axes.
    """
    axes = None if perm is None else integers_of("transpose", perm, "perm")
    result: Var = _transpose(as_var(x, "transpose"), axes=axes)
    return result


def swapaxes(x: Any, axis1: int, axis2: int) -> Var:
    """Return x with two dimensions exchanged."""
    operand = as_var(x, "swapaxes")
    order = list(range(operand.ndim))
    first = normalize_axis("swapaxes", axis1, operand.ndim)
    second = normalize_axis("swapaxes", axis2, operand.ndim)
    order[first], order[second] = order[second], order[first]
    return transpose(operand, order)


def moveaxis(x: Any, source: Any, destination: Any) -> Var:
    """Return x with dimensions moved to new positions; the others keep their order."""
    operand = as_var(x, "moveaxis")
    rank = operand.ndim
    old = normalize_axes("moveaxis", integers_of("moveaxis", source), rank)
    new = normalize_axes("moveaxis", integers_of("moveaxis", destination), rank)
    if len(old) != len(new):
        raise ShapeError(
            f"moveaxis: found {len(old)} sources and {len(new)} destinations, expected as many."
        )
    order = [axis for axis in range(rank) if axis not in old]
    for target, axis in sorted(zip(new, old, strict=True)):
        order.insert(target, axis)
    return transpose(operand, order)
