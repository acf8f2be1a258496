"""Rearrangements made of reshapes and transposes, and TensorFlow-style slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import Dim
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.movement import expand_dims, reshape, squeeze, transpose
from mnn.ops.operands import as_var
from mnn.ops.samples import normal
from mnn.ops.slicing import pad, slice, slice_steps
from mnn.ops.spec import REQUIRED, BadCall, OpSpec, Sample

__all__ = [
    "batch_to_space_nd",
    "bias_add",
    "channel_shuffle",
    "crop",
    "depth_to_space",
    "depth_to_space_blocks",
    "space_to_batch_nd",
    "space_to_depth",
    "space_to_depth_blocks",
    "strided_slice",
]

Array = np.ndarray[Any, Any]


# --- depth and space -----------------------------------------------------------------------------


def _planes(shape: tuple[Dim, ...], layout: str) -> tuple[Dim, Dim, Dim, Dim]:
    batch, one, two, three = shape
    return (batch, three, one, two) if layout == "NHWC" else (batch, one, two, three)


def _joined(planes: tuple[Dim, Dim, Dim, Dim], layout: str) -> tuple[Dim, ...]:
    batch, channels, height, width = planes
    return (batch, height, width, channels) if layout == "NHWC" else planes


def _check_rank(name: str, x: TensorType) -> bool:
    if x.shape is not None and len(x.shape) != 4:
        raise ShapeError(f"{name}: found {x.describe()}, expected four dimensions.")
    return x.shape is not None


def _divided(name: str, size: Dim, factor: int, what: str) -> Dim:
    if isinstance(size, int) and size % factor:
        raise ShapeError(f"{name}: {what} {size} is not a multiple of {factor}.")
    return size // factor


def _infer_depth_to_space(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, block, layout = types[0], attributes["block"], attributes["layout"]
    if block < 1:
        raise ShapeError(f"depth_to_space: block size is {block}, expected at least 1.")
    if not _check_rank("depth_to_space", x) or x.shape is None:
        return x.with_shape(None)
    batch, channels, height, width = _planes(x.shape, layout)
    depth = _divided("depth_to_space", channels, block * block, "the number of channels")
    return x.with_shape(_joined((batch, depth, height * block, width * block), layout))


def _depth_to_space(x: Array, *, block: int, mode: str, layout: str) -> Array:
    if layout == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    batch, channels, height, width = x.shape
    depth = channels // (block * block)
    if mode == "DCR":
        parts = x.reshape(batch, block, block, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(batch, depth, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    result: Array = parts.reshape(batch, depth, height * block, width * block)
    return result.transpose(0, 2, 3, 1) if layout == "NHWC" else result


def _infer_space_to_depth(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, block, layout = types[0], attributes["block"], attributes["layout"]
    if block < 1:
        raise ShapeError(f"space_to_depth: block size is {block}, expected at least 1.")
    if not _check_rank("space_to_depth", x) or x.shape is None:
        return x.with_shape(None)
    batch, channels, height, width = _planes(x.shape, layout)
    rows = _divided("space_to_depth", height, block, "the height")
    columns = _divided("space_to_depth", width, block, "the width")
    return x.with_shape(_joined((batch, channels * (block * block), rows, columns), layout))


def _space_to_depth(x: Array, *, block: int, mode: str, layout: str) -> Array:
    if layout == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    batch, channels, height, width = x.shape
    rows, columns = height // block, width // block
    parts = x.reshape(batch, channels, rows, block, columns, block)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    depth = channels * block * block
    result: Array = parts.transpose(order).reshape(batch, depth, rows, columns)
    return result.transpose(0, 2, 3, 1) if layout == "NHWC" else result


_BLOCKS: Mapping[str, Any] = {"block": REQUIRED, "mode": "DCR", "layout": "NCHW"}

depth_to_space_blocks: OpSpec = OpSpec(
    "depth_to_space",
    ("x",),
    _infer_depth_to_space,
    _depth_to_space,
    "movement",
    attributes=_BLOCKS,
    grad=lambda call: [space_to_depth_blocks(call.grad, **call.attributes)],
    codec=Codec("DepthToSpace", handled=True),
    onnx="DepthToSpace",
    samples=(
        Sample((normal(1, 8, 2, 1),), {"block": 2}),
        Sample((normal(1, 4, 1, 2),), {"block": 2, "mode": "CRD"}),
        Sample((normal(1, 1, 2, 4),), {"block": 2, "layout": "NHWC"}),
        Sample((normal(0, 4, 1, 1),), {"block": 2}, gradient=False),
    ),
    bad=(
        BadCall("channels", (normal(1, 3, 2, 2),), ShapeError, {"block": 2}),
        BadCall("rank", (normal(3, 4),), ShapeError, {"block": 2}),
    ),
    doc="blocks of channels laid out in space",
)

space_to_depth_blocks: OpSpec = OpSpec(
    "space_to_depth",
    ("x",),
    _infer_space_to_depth,
    _space_to_depth,
    "movement",
    attributes=_BLOCKS,
    grad=lambda call: [depth_to_space_blocks(call.grad, **call.attributes)],
    codec=Codec("SpaceToDepth", handled=True),
    onnx="SpaceToDepth",
    samples=(
        Sample((normal(1, 2, 4, 2),), {"block": 2}),
        Sample((normal(1, 1, 2, 4),), {"block": 2, "mode": "CRD"}),
        Sample((normal(1, 2, 4, 1),), {"block": 1, "layout": "NHWC"}),
        Sample((normal(0, 1, 2, 2),), {"block": 2}, gradient=False),
    ),
    bad=(BadCall("height", (normal(1, 3, 3, 2),), ShapeError, {"block": 2}),),
    doc="blocks of space moved into channels",
)


def depth_to_space(x: Any, axis: int) -> Var:
    """Return x with blocks of `axis * axis` channels laid out in space (`axis`: the block size)."""
    operand = as_var(x, "depth_to_space")
    result: Var = depth_to_space_blocks(operand, block=int(axis), layout=operand.data_format.layout)
    return result


def space_to_depth(x: Any, axis: int) -> Var:
    """Return x with blocks of `axis` by `axis` pixels moved into channels."""
    operand = as_var(x, "space_to_depth")
    result: Var = space_to_depth_blocks(operand, block=int(axis), layout=operand.data_format.layout)
    return result


# --- space and batch -----------------------------------------------------------------------------


def _pairs(name: str, value: Any) -> list[tuple[int, int]]:
    if isinstance(value, (list, tuple)):
        value = np.asarray([[int(low), int(high)] for low, high in value], np.int32)
    numbers = integers_of(name, value, "pairs")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _spatial(x: Var, count: int) -> list[int]:
    first = 1 if x.data_format.channel_last else 2
    return list(range(first, first + count))


def space_to_batch_nd(x: Any, block_shape: Any, paddings: Any) -> Var:
    """Return x padded, and blocks of its space moved into the batch.

    Args:
        x: `(N, C, spatial...)`, or `(N, spatial..., C)` when it is NHWC.
        block_shape: block size per spatial axis.
        paddings: `[[before, after], ...]` per spatial axis.

    Raises:
        ShapeError: a padded size is not a multiple of its block.
    """
    operand = as_var(x, "space_to_batch_nd")
    blocks = integers_of("space_to_batch_nd", block_shape, "block_shape")
    axes = _spatial(operand, len(blocks))
    pads = [(0, 0)] * operand.ndim
    for axis, pair in zip(axes, _pairs("space_to_batch_nd", paddings), strict=True):
        pads[axis] = pair
    padded = pad(operand, pads) if any(map(any, pads)) else operand
    shape: list[int] = [-1]
    order_blocks: list[int] = []
    order_rest: list[int] = [0]
    for axis, size in enumerate(padded.shape):
        if axis == 0:
            continue
        if axis in axes:
            block = blocks[axes.index(axis)]
            if size % block:
                raise ShapeError(
                    f"space_to_batch_nd: size {size} of axis {axis} is not a multiple of {block}."
                )
            shape += [size // block, block]
            order_rest.append(len(shape) - 2)
            order_blocks.append(len(shape) - 1)
        else:
            shape.append(size)
            order_rest.append(len(shape) - 1)
    if operand.shape[0] >= 0:
        shape[0] = operand.shape[0]
    split = transpose(reshape(padded, shape, copy_zero=False), [*order_blocks, *order_rest])
    rest = [shape[place] for place in order_rest[1:]]
    total = int(np.prod(blocks))
    return reshape(split, [shape[0] * total if shape[0] >= 0 else -1, *rest], copy_zero=False)


def batch_to_space_nd(x: Any, block_shape: Any, crops: Any) -> Var:
    """Return x with blocks of its batch laid out in space, then cropped.

    Args:
        x: `(N, C, spatial...)`, or `(N, spatial..., C)` when it is NHWC.
        block_shape: block size per spatial axis.
        crops: `[[before, after], ...]` per spatial axis.

    Raises:
        ShapeError: the batch is not a multiple of the blocks.
    """
    operand = as_var(x, "batch_to_space_nd")
    blocks = integers_of("batch_to_space_nd", block_shape, "block_shape")
    axes = _spatial(operand, len(blocks))
    total = int(np.prod(blocks))
    batch = operand.shape[0]
    if batch >= 0 and batch % total:
        raise ShapeError(f"batch_to_space_nd: batch {batch} is not a multiple of {total}.")
    rest = batch // total if batch >= 0 else -1
    count = len(blocks)
    split = reshape(operand, [*blocks, rest, *operand.shape[1:]], copy_zero=False)
    order = [count]
    shape = [rest]
    for axis in range(1, operand.ndim):
        order.append(count + axis)
        if axis in axes:
            place = axes.index(axis)
            order.append(place)
            shape.append(operand.shape[axis] * blocks[place])
        else:
            shape.append(operand.shape[axis])
    spread = reshape(transpose(split, order), shape, copy_zero=False)
    begin, size = [0] * operand.ndim, list(shape)
    for axis, (low, high) in zip(axes, _pairs("batch_to_space_nd", crops), strict=True):
        begin[axis] = low
        size[axis] = shape[axis] - low - high
    if rest < 0:
        size[0] = -1
    return slice(spread, begin, size)


def channel_shuffle(x: Any, axis: int) -> Var:
    """Return x with its channels dealt into `axis` groups and read across them (ShuffleNet).

    Raises:
        ShapeError: the channels do not divide into the groups.
    """
    operand = as_var(x, "channel_shuffle")
    last = operand.data_format.channel_last
    place = operand.ndim - 1 if last else min(1, operand.ndim - 1)
    shape = list(operand.shape)
    groups = int(axis)
    if groups < 1 or shape[place] % groups:
        raise ShapeError(
            f"channel_shuffle: {shape[place]} channels do not divide into {groups} groups."
        )
    split = [*shape[:place], groups, shape[place] // groups, *shape[place + 1 :]]
    order = list(range(len(split)))
    order[place], order[place + 1] = order[place + 1], order[place]
    shuffled = transpose(reshape(operand, split, copy_zero=False), order)
    return reshape(shuffled, shape, copy_zero=False)


def bias_add(value: Any, bias: Any) -> Var:
    """Return value plus a 1-D bias along its last dimension.

    Raises:
        ShapeError: the bias does not have one number per element of that dimension.
    """
    x, b = as_var(value, "bias_add"), as_var(bias, "bias_add")
    sizes = (*x.shape[-1:], *b.shape)
    if b.ndim != 1 or not x.ndim or (-1 not in sizes and sizes[0] != sizes[1]):
        raise ShapeError(
            f"bias_add: bias of shape {b.shape} for a value of shape {x.shape}. Expected one "
            "number per element of the last dimension."
        )
    return x + b


def crop(x: Any, size: Any, axis: int = 2, offset: Any = (0,)) -> Var:
    """Return the part of x that has the size of another array from `axis` on.

    Args:
        x: array.
        size: array whose shape gives the sizes.
        axis: first cropped dimension.
        offset: where the part begins: one number, or one per cropped dimension.

    Raises:
        ShapeError: the part leaves x.
    """
    operand, like = as_var(x, "crop"), as_var(size, "crop")
    first = normalize_axis("crop", axis, operand.ndim)
    offsets = integers_of("crop", offset, "offset")
    count = operand.ndim - first
    if len(offsets) == 1:
        offsets *= count
    if len(offsets) != count or like.ndim != operand.ndim:
        raise ShapeError(
            f"crop: {len(offsets)} offsets and a size of {like.ndim} dimensions for {operand.ndim}."
        )
    begin = [*([0] * first), *offsets]
    return slice(operand, begin, [*operand.shape[:first], *like.shape[first:]])


# --- TensorFlow's strided slice ------------------------------------------------------------------


def strided_slice(
    x: Any,
    begin: Any,
    end: Any,
    strides: Any,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Var:
    """Return `x[begin:end:strides]` with TensorFlow's bit masks.

    Args:
        x: array.
        begin, end, strides: one number per slice specification.
        begin_mask, end_mask: bit i: ignore the bound.
        ellipsis_mask: bit i: specification i stands for all dimensions not named.
        new_axis_mask: bit i: insert a dimension of size 1.
        shrink_axis_mask: bit i: take one element and drop the dimension.

    Raises:
        ShapeError: more specifications than dimensions, or a stride of 0.
    """
    operand = as_var(x, "strided_slice")
    low = integers_of("strided_slice", begin, "begin")
    high = integers_of("strided_slice", end, "end")
    step = integers_of("strided_slice", strides, "strides")
    if not len(low) == len(high) == len(step):
        raise ShapeError("strided_slice: begin, end and strides differ in length.")
    named = sum(1 for place in range(len(low)) if not (ellipsis_mask | new_axis_mask) >> place & 1)
    if named > operand.ndim:
        raise ShapeError(f"strided_slice: {named} specifications for {operand.ndim} dimensions.")
    plan = _Plan(operand)
    for place in range(len(low)):
        bit = 1 << place
        if ellipsis_mask & bit:
            plan.skip(operand.ndim - named)
        elif new_axis_mask & bit:
            plan.insert()
        elif shrink_axis_mask & bit:
            plan.shrink(low[place])
        else:
            plan.take(
                None if begin_mask & bit else low[place],
                None if end_mask & bit else high[place],
                step[place],
            )
    return plan.apply()


class _Plan:
    """Slices, dropped and inserted dimensions of one strided slice."""

    def __init__(self, x: Var) -> None:
        self.x = x
        self.axis = 0
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.axes: list[int] = []
        self.steps: list[int] = []
        self.dropped: list[int] = []
        self.inserted: list[int] = []
        self.result = 0

    def skip(self, count: int) -> None:
        self.axis += count
        self.result += count

    def insert(self) -> None:
        self.inserted.append(self.result)
        self.result += 1

    def _add(self, start: int, end: int, step: int) -> None:
        self.starts.append(start)
        self.ends.append(end)
        self.axes.append(self.axis)
        self.steps.append(step)
        self.axis += 1

    def shrink(self, index: int) -> None:
        size = self.x.shape[self.axis]
        if size >= 0 and not -size <= index < size:
            raise ShapeError(
                f"strided_slice: index {index} is out of range for axis {self.axis} of size {size}."
            )
        self.dropped.append(self.axis)
        self._add(index, 2**31 - 1 if index == -1 else index + 1, 1)

    def take(self, low: int | None, high: int | None, step: int) -> None:
        if step == 0:
            raise ShapeError("strided_slice: a stride is 0, expected another number.")
        start = (0 if step > 0 else 2**31 - 1) if low is None else low
        end = (2**31 - 1 if step > 0 else -(2**31) + 1) if high is None else high
        self._add(start, end, step)
        self.result += 1

    def apply(self) -> Var:
        found = self.x
        if self.starts:
            parts = (self.starts, self.ends, self.axes, self.steps)
            operands = [Var(np.array(each, np.int32)) for each in parts]
            found = slice_steps(found, *operands)
        if self.dropped:
            found = squeeze(found, self.dropped)
        return expand_dims(found, self.inserted) if self.inserted else found
