"""Parts of arrays: slices, splits, reversals."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, int_operand, integers_of, normalize_axes, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import known_value
from mnn.ops.joining import concat
from mnn.ops.movement import squeeze
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal
from mnn.ops.spec import INTEGERS, REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = [
    "LIMIT",
    "slice",
    "slice_steps",
    "split",
    "split_spec",
    "unstack",
]

Array = np.ndarray[Any, Any]

LIMIT = 2**31 - 1
"""A bound behind every axis; -LIMIT is one before every first element."""


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


# --- split ---------------------------------------------------------------------------------------


def _part_lengths(name: str, length: int, sizes: tuple[int, ...] | None, parts: int) -> list[int]:
    """Return the sizes of the parts, or raise ShapeError when they do not fill the axis."""
    if sizes is None:
        if parts < 1 or length % parts:
            raise ShapeError(f"{name}: an axis of size {length} has no {parts} equal parts.")
        return [length // parts] * parts
    found = list(sizes)
    if found.count(-1) == 1:
        found[found.index(-1)] = length - sum(size for size in found if size >= 0)
    if min(found, default=0) < 0 or sum(found) != length:
        raise ShapeError(
            f"{name}: sizes {list(sizes)} do not add up to an axis of size {length}. "
            "Expected sizes >= 0 (one may be -1: the rest)."
        )
    return found


def _infer_split(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    x, sizes, parts = types[0], attributes["sizes"], attributes["parts"]
    if sizes is None and parts < 1:
        raise ShapeError(f"split: found {parts} parts, expected at least 1.")
    count = parts if sizes is None else len(sizes)
    if x.shape is None:
        return [x.with_shape(None) for _ in range(count)]
    axis = normalize_axis("split", attributes["axis"], len(x.shape))
    length = x.shape[axis]
    lengths: list[Dim]
    if isinstance(length, int):
        lengths = list(_part_lengths("split", length, sizes, parts))
    elif sizes is None:
        lengths = [length // parts] * parts
    else:
        lengths = [fresh("rest") if size == -1 else size for size in sizes]
    found = [x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in lengths]
    if x.value is None:
        return found
    values = _split_reference(x.value, axis=axis, sizes=sizes, parts=parts)
    return [
        TensorType(part.shape, part.dtype, part.format, value.copy())
        for part, value in zip(found, values, strict=True)
    ]


def _split_reference(
    x: Array, *, axis: int, sizes: tuple[int, ...] | None, parts: int
) -> list[Array]:
    axis = normalize_axis("split", axis, x.ndim)
    lengths = _part_lengths("split", x.shape[axis], sizes, parts)
    return np.split(x, np.cumsum(lengths)[:-1], axis)


def _grad_split(call: GradCall) -> list[Var | None]:
    parts = [
        zeros_like(output) if grad is None else grad
        for grad, output in zip(call.grads, call.outputs, strict=True)
    ]
    return [concat(parts, call.attributes["axis"])]


split_spec: OpSpec = OpSpec(
    "split",
    ("x",),
    _infer_split,
    _split_reference,
    "movement",
    attributes={"axis": 0, "sizes": REQUIRED, "parts": 0},
    grad=_grad_split,
    codec=Codec("Slice", handled=True),
    onnx="Split",
    samples=(
        Sample((normal(4, 3),), {"axis": 0, "sizes": (1, 3)}),
        Sample((normal(2, 4),), {"axis": -1, "sizes": (2, 0, 2)}),
        Sample((normal(0, 2),), {"axis": 1, "sizes": (1, 1)}, gradient=False),
        Sample((integers(3),), {"axis": 0, "sizes": (3,)}, gradient=False),
        Sample((normal(4, 2),), {"axis": 0, "sizes": None, "parts": 2}),
        Sample((normal(5),), {"axis": 0, "sizes": (2, -1)}),
    ),
    bad=(
        BadCall("sizes do not add up", (normal(4),), ShapeError, {"sizes": (1, 2)}),
        BadCall("axis out of range", (normal(4),), ShapeError, {"axis": 1, "sizes": (4,)}),
        BadCall("unequal parts", (normal(5),), ShapeError, {"sizes": None, "parts": 2}),
        BadCall("no parts", (normal(5),), ShapeError, {"sizes": None, "parts": 0}),
    ),
    doc="consecutive parts of x along an axis",
)


def split(x: Any, size_splits: Any, axis: int = 0) -> list[Var]:
    """Return consecutive parts of x along `axis`.

    Args:
        x: array.
        size_splits: number of equal parts, or the size of each part (one may be -1: the rest).
        axis: which dimension.

    Raises:
        ShapeError: the parts do not add up to the size of the axis.
    """
    operand = as_var(x, "split")
    if isinstance(size_splits, (int, np.integer)):
        found = split_spec(
            operand, axis=axis_number("split", axis), sizes=None, parts=int(size_splits)
        )
    else:
        sizes = integers_of("split", size_splits, "size_splits")
        found = split_spec(operand, axis=axis_number("split", axis), sizes=sizes)
    return list(found) if isinstance(found, tuple) else [found]


def unstack(x: Any, axis: int = 0, count: int | None = None) -> list[Var]:
    """Return the parts of x along `axis`, without that dimension.

    Args:
        x: array.    axis: which dimension.    count: its size, where it is not known yet.

    Raises:
        ShapeError: axis is out of range, or its size is neither known nor given.
    """
    operand = as_var(x, "unstack")
    place = normalize_axis("unstack", axis, operand.ndim)
    number = operand.shape[place] if count is None else count
    if number < 0:
        raise ShapeError(
            f"unstack: the size of axis {place} of {operand._type.describe()} is not known yet, so "
            "neither is the number of results. Expected a known size. Give it as count=."
        )
    if number == 0:
        return []
    return [squeeze(part, [place]) for part in split(operand, (1,) * number, place)]


# --- slices --------------------------------------------------------------------------------------


def _infer_slice_steps(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is None:
        return x.with_shape(None)
    values = [None if each is None else each.value for each in types[1:]]
    if any(
        each is not None and value is None for each, value in zip(types[1:], values, strict=True)
    ):
        return x.with_shape(fresh("sliced") for _ in x.shape)
    shape: list[Dim] = list(x.shape)
    for axis, part in _slices(len(shape), *values):
        shape[axis] = _sliced_length(shape[axis], part)
    return known_value(_slice_steps_reference, types, attributes, x.with_shape(shape))


def _sliced_length(length: Dim, part: builtins.slice) -> Dim:
    if isinstance(length, int):
        return len(range(*part.indices(length)))
    everything = part.step == 1 and part.start == 0 and (part.stop is None or part.stop >= LIMIT)
    return length if everything else fresh("sliced")


def _slices(
    rank: int, starts: Array | None, ends: Array | None, axes: Array | None, steps: Array | None
) -> list[tuple[int, builtins.slice]]:
    if starts is None or ends is None:
        raise ShapeError("slice: starts and ends are required.")
    begin, end = ([int(v) for v in each.reshape(-1)] for each in (starts, ends))
    chosen = list(range(len(begin))) if axes is None else [int(v) for v in axes.reshape(-1)]
    stride = [1] * len(begin) if steps is None else [int(v) for v in steps.reshape(-1)]
    if not len(begin) == len(end) == len(chosen) == len(stride):
        raise ShapeError(
            f"slice: found {len(begin)} starts, {len(end)} ends, {len(chosen)} axes and "
            f"{len(stride)} steps, expected as many of each."
        )
    if 0 in stride:
        raise ShapeError("slice: a step is 0, expected another number.")
    places = normalize_axes("slice", chosen, rank)
    return [
        (axis, builtins.slice(low, _stop(high, step), step))
        for axis, low, high, step in zip(places, begin, end, stride, strict=True)
    ]


def _stop(high: int, step: int) -> int | None:
    # Huge numbers mean "to the end"; going backwards the end is before the first element.
    return None if step < 0 and high <= -LIMIT else high


def _slice_steps_reference(
    x: Array, starts: Array, ends: Array, axes: Array | None = None, steps: Array | None = None
) -> Array:
    index = [builtins.slice(None)] * x.ndim
    for axis, part in _slices(x.ndim, starts, ends, axes, steps):
        index[axis] = part
    result: Array = x[tuple(index)]
    return result


def _put_slice_reference(
    g: Array,
    like: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    result: Array = np.zeros(like.shape, g.dtype)
    _slice_steps_reference(result, starts, ends, axes, steps)[...] = g
    return result


_put_slice: OpSpec = OpSpec(
    "slice_steps_gradient",
    ("g", "like", "starts", "ends", "axes?", "steps?"),
    lambda types, attributes: types[0].with_shape(types[1].shape),
    _put_slice_reference,
    "movement",
    grad=lambda call: [slice_steps(call.grad, *call.inputs[2:]), *([None] * 5)],
    kinds={"starts": INTEGERS, "ends": INTEGERS},
    samples=(
        Sample((normal(2, 5), normal(4, 5), _ints(1, 0), _ints(3, 100))),
        Sample((normal(2), normal(6), _ints(4), _ints(0), _ints(0), _ints(-2))),
        Sample((normal(0), normal(3), _ints(2), _ints(1)), gradient=False),
    ),
    doc="zeros like `like` with g put at a slice: the adjoint of slicing",
)


def _grad_slice_steps(call: GradCall) -> list[Var | None]:
    return [_put_slice(call.grad, *call.inputs), *([None] * (len(call.inputs) - 1))]


slice_steps: OpSpec = OpSpec(
    "slice_steps",
    ("x", "starts", "ends", "axes?", "steps?"),
    _infer_slice_steps,
    _slice_steps_reference,
    "movement",
    grad=_grad_slice_steps,
    codec=Codec("StridedSlice", handled=True),
    onnx="Slice",
    kinds={"starts": INTEGERS, "ends": INTEGERS},
    samples=(
        Sample((normal(4, 5), _ints(1, 0), _ints(3, 100))),
        Sample((normal(4, 5), _ints(-2), _ints(LIMIT), _ints(1), _ints(1))),
        Sample((normal(6), _ints(4), _ints(-LIMIT), _ints(0), _ints(-2))),
        Sample((normal(3), _ints(2), _ints(1)), gradient=False),
        Sample((integers(5), _ints(1), _ints(4)), gradient=False),
    ),
    bad=(
        BadCall("count mismatch", (normal(4), _ints(0, 1), _ints(1)), ShapeError),
        BadCall("zero step", (normal(4), _ints(0), _ints(1), _ints(0), _ints(0)), ShapeError),
        BadCall("axis out of range", (normal(4), _ints(0), _ints(1), _ints(1)), ShapeError),
    ),
    doc="x from starts to ends in steps along axes; bounds are clamped as in Python",
)


def slice(x: Any, starts: Any, sizes: Any) -> Var:
    """Return the block of `sizes` that begins at `starts`.

    Args:
        x: array.
        starts: first index per dimension; negative ones count from the end.
        sizes: size per dimension; -1: up to the end.

    Raises:
        ShapeError: the block leaves the array.
    """
    operand = as_var(x, "slice")
    begin = integers_of("slice", starts, "starts")
    extent = integers_of("slice", sizes, "sizes")
    shape = operand.shape
    if len(begin) != len(shape) or len(extent) != len(shape):
        raise ShapeError(
            f"slice: found {len(begin)} starts and {len(extent)} sizes, expected {len(shape)} each."
        )
    for axis, (low, count, size) in enumerate(zip(begin, extent, shape, strict=True)):
        start = low + size if low < 0 else low
        high = size if count == -1 else start + count
        if size >= 0 and not 0 <= start <= high <= size:
            raise ShapeError(
                f"slice: [{start}, {high}) leaves axis {axis} of size {size}. Expected a block "
                "inside."
            )
    # Bounds stay as they were asked for, so that the graph still fits when a size changes.
    ends = [
        LIMIT if count == -1 or (low < 0 and low + count == 0) else low + count
        for low, count in zip(begin, extent, strict=True)
    ]
    result: Var = slice_steps(
        operand, int_operand("slice", begin, "starts"), int_operand("slice", ends, "ends")
    )
    return result
