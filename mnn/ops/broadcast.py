"""Broadcasting and its adjoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import Dim, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.samples import normal
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["broadcast_like", "reshape_like", "sum_like"]

Array = np.ndarray[Any, Any]


def _like_second(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    return TensorType(types[1].shape, types[0].dtype, types[1].format)


def _checked(name: str, small: tuple[Dim, ...] | None, large: tuple[Dim, ...] | None) -> None:
    if small is None or large is None:
        return
    fits = len(small) <= len(large) and all(
        low == high or low == 1 or not isinstance(low, int) or not isinstance(high, int)
        for low, high in zip(reversed(small), reversed(large), strict=False)
    )
    if not fits:
        raise ShapeError(
            f"{name}: shape {small} does not broadcast to {large}. Expected equal sizes or 1, "
            "counted from the last axis."
        )


def _infer_sum(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    _checked("sum_like", types[1].shape, types[0].shape)
    return _like_second(types, attributes)


def _infer_broadcast(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    _checked("broadcast_like", types[0].shape, types[1].shape)
    return _like_second(types, attributes)


def _sum_like(x: Array, like: Array) -> Array:
    extra = x.ndim - like.ndim
    axes = tuple(range(extra)) + tuple(
        axis + extra
        for axis, size in enumerate(like.shape)
        if size == 1 and x.shape[axis + extra] != 1
    )
    total: Array = x.sum(axis=axes, dtype=x.dtype) if axes else x
    result: Array = total.reshape(like.shape)
    return result


def _grad_sum(call: GradCall) -> tuple[Var, None]:
    return broadcast_like(call.grad, call.input(0)), None


def _grad_broadcast(call: GradCall) -> tuple[Var, None]:
    return sum_like(call.grad, call.input(0)), None


def _infer_reshape(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, like = types
    if x.is_static and like.is_static:
        have, want = (
            math.prod(shape_numbers(x.shape or ())),
            math.prod(shape_numbers(like.shape or ())),
        )
        if have != want:
            raise ShapeError(
                f"reshape_like: {have} elements ({x.describe()}) do not fill {like.describe()}. "
                "Expected equal element counts."
            )
    return _like_second(types, attributes)


def _grad_reshape(call: GradCall) -> tuple[Var, None]:
    return reshape_like(call.grad, call.input(0)), None


reshape_like = OpSpec(
    "reshape_like",
    ("x", "like"),
    _infer_reshape,
    lambda x, like: x.reshape(like.shape),
    "movement",
    grad=_grad_reshape,
    samples=(
        Sample((normal(3, 4), normal(2, 6))),
        Sample((normal(1), normal())),
        Sample((normal(0, 3), normal(2, 0)), gradient=False),
    ),
    bad=(BadCall("other element count", (normal(3), normal(2)), ShapeError),),
    doc="the elements of x, in order, in the shape of `like`",
)

sum_like = OpSpec(
    "sum_like",
    ("x", "like"),
    _infer_sum,
    _sum_like,
    "movement",
    grad=_grad_sum,
    samples=(
        Sample((normal(2, 3, 4), normal(3, 1))),
        Sample((normal(3), normal())),
        Sample((normal(0, 3), normal(1, 3)), gradient=False),
    ),
    bad=(BadCall("no broadcast", (normal(3), normal(2)), ShapeError),),
    doc="x summed over the axes along which `like` would broadcast to it",
)

broadcast_like = OpSpec(
    "broadcast_like",
    ("x", "like"),
    _infer_broadcast,
    lambda x, like: np.broadcast_to(x, like.shape),
    "movement",
    grad=_grad_broadcast,
    samples=(
        Sample((normal(3, 1), normal(2, 3, 4))),
        Sample((normal(), normal(3))),
        Sample((normal(1, 3), normal(0, 3)), gradient=False),
    ),
    bad=(BadCall("no broadcast", (normal(3), normal(2)), ShapeError),),
    doc="x broadcast to the shape of `like`",
)
