"""Elements added around arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.enums import PadValue_Mode
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand
from mnn.ops.broadcast import reshape_like
from mnn.ops.codec import Codec
from mnn.ops.comparison import select
from mnn.ops.convert import cast
from mnn.ops.create import ones_like, zeros_like
from mnn.ops.operands import as_var
from mnn.ops.reduce import reduce_sum
from mnn.ops.samples import normal
from mnn.ops.spec import INTEGERS, BadCall, GradCall, OpSpec, Sample

__all__ = ["pad", "pad_gradient"]

Array = np.ndarray[Any, Any]


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


_MODES = {0: "constant", 1: "reflect", 2: "symmetric", 3: "edge"}


def _pairs(name: str, rank: int, paddings: Array) -> list[tuple[int, int]]:
    flat = [int(each) for each in paddings.reshape(-1)]
    if len(flat) != 2 * rank:
        raise ShapeError(
            f"{name}: found {len(flat)} paddings for {rank} dimensions, expected one "
            "[before, after] pair per dimension."
        )
    return list(zip(flat[::2], flat[1::2], strict=True))


def _infer_pad(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, paddings = types[0], types[1]
    if x.shape is None or paddings.value is None:
        return x.with_shape(None if x.shape is None else [fresh("padded") for _ in x.shape])
    sizes: list[Dim] = []
    for size, (low, high) in zip(x.shape, _pairs("pad", len(x.shape), paddings.value), strict=True):
        new = size + (low + high)
        if isinstance(new, int) and new < 0:
            raise ShapeError(f"pad: {x.describe()} cannot lose {-low - high} elements of an axis.")
        _check_mirror(size, low, high, attributes["mode"])
        sizes.append(new)
    return x.with_shape(sizes)


def _check_mirror(size: Dim, low: int, high: int, mode: int) -> None:
    """Raise ShapeError when an axis has too few elements to repeat or mirror."""
    if mode == PadValue_Mode.CONSTANT or not isinstance(size, int):
        return
    kept, longest = size + min(0, low) + min(0, high), max(low, high, 0)
    if kept < 1 and longest:
        raise ShapeError("pad: an empty axis has nothing to repeat. Pad it with a constant.")
    limit = kept - (1 if mode == PadValue_Mode.REFLECT else 0)
    if mode != PadValue_Mode.EDGE and longest > limit:
        raise ShapeError(
            f"pad: {longest} elements cannot be mirrored from an axis of {kept}. "
            f"Expected at most {limit}."
        )


def _pad_reference(x: Array, paddings: Array, value: Array | None = None, *, mode: int) -> Array:
    pairs = _pairs("pad", x.ndim, paddings)
    if any(size + low + high < 0 for size, (low, high) in zip(x.shape, pairs, strict=True)):
        raise ShapeError(f"pad: {pairs} removes more than shape {x.shape} has.")
    grow = [(max(0, low), max(0, high)) for low, high in pairs]
    if mode == PadValue_Mode.CONSTANT:
        fill = 0 if value is None else value.reshape(()).item()
        grown = np.pad(x, grow, constant_values=fill)
        return grown[tuple(slice(max(0, -low), min(0, high) or None) for low, high in pairs)]
    crop = tuple(
        slice(max(0, -low), max(max(0, -low), size - max(0, -high)))
        for (low, high), size in zip(pairs, x.shape, strict=True)
    )
    for size, (low, high) in zip(x.shape, pairs, strict=True):
        _check_mirror(size, low, high, mode)
    result: Array = np.pad(x[crop], grow, mode=_MODES[mode])  # type: ignore[call-overload]
    return result


def _pad_gradient_reference(g: Array, paddings: Array, like: Array, *, mode: int) -> Array:
    """Add every padded element's gradient to the element it was copied from."""
    positions = np.arange(like.size).reshape(like.shape)
    if mode == PadValue_Mode.CONSTANT:
        source = _pad_reference(positions, paddings, np.array(-1), mode=mode).reshape(-1)
    else:
        source = _pad_reference(positions, paddings, mode=mode).reshape(-1)
    kept = source >= 0
    total = np.zeros(like.size, g.dtype)
    np.add.at(total, source[kept], g.reshape(-1)[kept])
    result: Array = total.reshape(like.shape)
    return result


pad_gradient = OpSpec(
    "pad_gradient",
    ("g", "paddings", "like"),
    lambda types, attributes: types[0].with_shape(types[2].shape),
    _pad_gradient_reference,
    "movement",
    attributes={"mode": 0},
    grad=lambda call: [
        _pad(call.grad, call.input(1), mode=call.attributes["mode"]),
        None,
        None,
    ],
    kinds={"paddings": INTEGERS},
    samples=(
        Sample((normal(4, 5), _ints(1, 1, 0, 2), normal(2, 3)), gradient=False),
        Sample((normal(7), _ints(2, 2), normal(3)), {"mode": 1}),
        Sample((normal(7), _ints(2, 2), normal(3)), {"mode": 2}, gradient=False),
        Sample((normal(3), _ints(0, 3), normal(0)), gradient=False),
    ),
    doc="adjoint of pad: gradients summed onto the elements they were copied from",
)


def _grad_pad(call: GradCall) -> list[Var | None]:
    x, paddings, mode = call.input(0), call.input(1), call.attributes["mode"]
    value = call.inputs[2]
    found: list[Var | None] = [pad_gradient(call.grad, paddings, x, mode=mode), None, None]
    if value is not None and kind_of(value.dtype) in "fc" and mode == PadValue_Mode.CONSTANT:
        inside: Var = _pad(ones_like(x), paddings, mode=mode)
        total = reduce_sum(select(inside != 0, zeros_like(call.grad), call.grad))
        found[2] = reshape_like(cast(total, value.dtype), value)
    return found


_pad: OpSpec = OpSpec(
    "pad",
    ("x", "paddings", "value?"),
    _infer_pad,
    _pad_reference,
    "movement",
    attributes={"mode": 0},
    grad=_grad_pad,
    codec=Codec("Padding", "PadParam", fields={"mode": "mode"}),
    onnx="Pad",
    kinds={"paddings": INTEGERS},
    samples=(
        Sample((normal(2, 3), _ints(1, 0, 2, 1))),
        Sample((normal(4), _ints(2, 3)), {"mode": 1}),
        Sample((normal(4), _ints(2, 3)), {"mode": 2}),
        Sample((normal(2, 2), _ints(1, 1, 0, 2)), {"mode": 3}),
        Sample((normal(4), _ints(-1, 2))),
        Sample((normal(2), _ints(1, 1), np.array(7.0, np.float32))),
        Sample((normal(0), _ints(1, 1)), gradient=False),
    ),
    bad=(
        BadCall("pair count", (normal(2, 3), _ints(1, 1)), ShapeError),
        BadCall("crops too much", (normal(2), _ints(-2, -1)), ShapeError),
    ),
    doc="x with elements added before and after each dimension",
)


def _listed(pair: Any) -> list[Any]:
    return list(pair) if isinstance(pair, (list, tuple, np.ndarray)) else [pair]


def pad(x: Any, paddings: Any, mode: Any = PadValue_Mode.CONSTANT, value: Any = None) -> Var:
    """Return x with elements added at both ends of each dimension.

    Args:
        x: array.
        paddings: `[[before, after], ...]`, one pair per dimension; negative numbers crop.
        mode: CONSTANT, REFLECT (without the edge), SYMMETRIC (with the edge) or EDGE.
        value: number for CONSTANT, 0 by default.

    Raises:
        ShapeError: not one pair per dimension, or more is mirrored than there is.
    """
    operand = as_var(x, "pad")
    if isinstance(paddings, (list, tuple)):
        paddings = [each for pair in paddings for each in _listed(pair)]
    pairs = int_operand("pad", paddings, "paddings")
    fill = None if value is None else as_var(value, "pad")
    result: Var = _pad(operand, pairs, fill, mode=int(PadValue_Mode(mode)))
    return result
