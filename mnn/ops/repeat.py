"""Broadcasting and repeating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import fresh, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand
from mnn.ops.broadcast import sum_like
from mnn.ops.codec import Codec
from mnn.ops.elementwise import broadcast_shapes, known_value
from mnn.ops.operands import as_var
from mnn.ops.samples import normal
from mnn.ops.spec import INTEGERS, BadCall, GradCall, OpSpec, Sample

__all__ = ["broadcast_to", "tile"]

Array = np.ndarray[Any, Any]


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


def _infer_broadcast(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, shape = types
    if shape.value is None:
        count = shape.shape[0] if shape.shape else None
        if not isinstance(count, int) or (x.rank is None and not attributes["exact"]):
            return x.with_shape(None)
        rank = count if attributes["exact"] else max(count, x.rank or 0)
        return x.with_shape([fresh("broadcast") for _ in range(rank)])
    wanted = tuple(int(size) for size in shape.value.reshape(-1))
    sizes = broadcast_shapes("broadcast_to", [x.shape, wanted])
    if attributes["exact"] and sizes is not None and shape_numbers(sizes) != wanted:
        raise ShapeError(
            f"broadcast_to: {x.describe()} does not broadcast to {list(wanted)}. Expected equal "
            "sizes or 1, counted from the last axis."
        )
    return known_value(_broadcast_reference, types, attributes, x.with_shape(sizes))


def _broadcast_reference(x: Array, shape: Array, *, exact: bool) -> Array:
    wanted = tuple(int(size) for size in shape.reshape(-1))
    return np.broadcast_to(x, wanted if exact else np.broadcast_shapes(x.shape, wanted))


_broadcast_to = OpSpec(
    "broadcast_to",
    ("x", "shape"),
    _infer_broadcast,
    _broadcast_reference,
    "movement",
    attributes={"exact": True},
    grad=lambda call: [sum_like(call.grad, call.input(0)), None],
    codec=Codec("BroadcastTo", handled=True),
    onnx="Expand",
    kinds={"shape": INTEGERS},
    samples=(
        Sample((normal(3, 1), _ints(2, 3, 4))),
        Sample((normal(), _ints(2, 2))),
        Sample((normal(2, 3), _ints(1, 1)), {"exact": False}),
        Sample((normal(1, 3), _ints(0, 3)), gradient=False),
    ),
    bad=(
        BadCall("sizes differ", (normal(3), _ints(2)), ShapeError),
        BadCall("would shrink", (normal(2, 3), _ints(1, 3)), ShapeError),
    ),
    doc="x repeated along axes of size 1 to a given shape",
)


def broadcast_to(input: Any, shape: Any) -> Var:
    """Return input broadcast to `shape`.

    Raises:
        ShapeError: a size of input is neither 1 nor that of shape.
    """
    sizes = int_operand("broadcast_to", shape, "shape")
    result: Var = _broadcast_to(as_var(input, "broadcast_to"), sizes)
    return result


def _infer_tile(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, repeats = types
    if repeats.value is None or x.shape is None:
        return x.with_shape(None if x.shape is None else [fresh("tiled") for _ in x.shape])
    counts = [int(each) for each in repeats.value.reshape(-1)]
    if len(counts) != len(x.shape) or min(counts, default=0) < 0:
        raise ShapeError(
            f"tile: found repeats {counts} for {x.describe()}, expected one count >= 0 per "
            "dimension."
        )
    sizes = [size * count for size, count in zip(x.shape, counts, strict=True)]
    return known_value(_tile_reference, types, attributes, x.with_shape(sizes))


def _tile_reference(x: Array, repeats: Array) -> Array:
    counts = tuple(int(each) for each in repeats.reshape(-1))
    if len(counts) != x.ndim:
        raise ShapeError(f"tile: found repeats {counts} for {x.ndim} dimensions, expected as many.")
    return np.tile(x, counts)


def _tile_gradient_reference(g: Array, like: Array, repeats: Array) -> Array:
    folded: list[int] = []
    for count, size in zip(repeats.reshape(-1), like.shape, strict=True):
        folded += [int(count), size]
    total: Array = g.reshape(folded).sum(axis=tuple(range(0, 2 * like.ndim, 2)), dtype=g.dtype)
    return total


_tile_gradient: OpSpec = OpSpec(
    "tile_gradient",
    ("g", "like", "multiples"),
    lambda types, attributes: types[0].with_shape(types[1].shape),
    _tile_gradient_reference,
    "movement",
    grad=lambda call: [tile(call.grad, call.input(2)), None, None],
    kinds={"multiples": INTEGERS},
    samples=(
        Sample((normal(4, 3), normal(2, 3), _ints(2, 1))),
        Sample((normal(6), normal(2), _ints(3))),
        Sample((normal(0), normal(2), _ints(0)), gradient=False),
        Sample((normal(), normal(), np.zeros(0, np.int32))),
    ),
    doc="adjoint of tile: gradients summed over the copies",
)


def _grad_tile(call: GradCall) -> list[Var | None]:
    return [_tile_gradient(call.grad, call.input(0), call.input(1)), None]


_tile = OpSpec(
    "tile",
    ("x", "multiples"),
    _infer_tile,
    _tile_reference,
    "movement",
    grad=_grad_tile,
    codec=Codec("Tile"),
    onnx="Tile",
    kinds={"multiples": INTEGERS},
    samples=(
        Sample((normal(2, 3), _ints(2, 1))),
        Sample((normal(3), _ints(3))),
        Sample((normal(), np.zeros(0, np.int32))),
        Sample((normal(2), _ints(0)), gradient=False),
    ),
    bad=(BadCall("repeat count", (normal(2, 3), _ints(2)), ShapeError),),
    doc="x repeated along each dimension",
)


def tile(x: Any, multiples: Any) -> Var:
    """Return x repeated `multiples[i]` times along dimension i.

    Raises:
        ShapeError: not one count per dimension.
    """
    counts = int_operand("tile", multiples, "multiples")
    result: Var = _tile(as_var(x, "tile"), counts)
    return result
