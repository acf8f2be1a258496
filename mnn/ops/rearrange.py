"""Rearrangements made of reshapes and transposes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import Dim
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand, integers_of, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.movement import reshape
from mnn.ops.operands import as_var
from mnn.ops.padding import pad
from mnn.ops.samples import normal
from mnn.ops.shape import shape
from mnn.ops.slicing import LIMIT, slice_steps
from mnn.ops.spec import REQUIRED, BadCall, OpSpec, Sample
from mnn.ops.transpose import transpose

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
    strict=True,
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


def _sizes(x: Var) -> list[Any]:
    """Return the sizes of x: numbers, or 0-d Vars for those not known yet."""
    found = shape(x) if -1 in x.shape else None
    return [
        size if found is None or size >= 0 else found[axis] for axis, size in enumerate(x.shape)
    ]


def _reshaped(x: Var, sizes: Sequence[Any]) -> Var:
    """Return x in a shape that may hold Vars; a single one is left for reshape to infer."""
    unknown = [place for place, size in enumerate(sizes) if isinstance(size, Var)]
    if len(unknown) == 1:
        sizes = [-1 if place == unknown[0] else size for place, size in enumerate(sizes)]
    return reshape(x, list(sizes), copy_zero=False)


def _blocks_of(name: str, x: Var, block_shape: Any, edges: Any) -> tuple[Any, list[int], Any]:
    """Return block sizes, spatial axes and (before, after) pairs, checked."""
    blocks = integers_of(name, block_shape, "block_shape")
    pairs = _pairs(name, edges)
    if len(blocks) != len(pairs) or len(blocks) > x.ndim - 1 or min(blocks, default=1) < 1:
        raise ShapeError(
            f"{name}: found blocks {list(blocks)} and {len(pairs)} pairs for {x._type.describe()}. "
            "Expected a block size >= 1 and a pair per spatial axis."
        )
    if any(min(pair) < 0 for pair in pairs):
        raise ShapeError(f"{name}: found pairs {pairs}, expected numbers >= 0.")
    return blocks, _spatial(x, len(blocks)), pairs


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
    blocks, axes, pairs = _blocks_of("space_to_batch_nd", operand, block_shape, paddings)
    pads = [(0, 0)] * operand.ndim
    for axis, pair in zip(axes, pairs, strict=True):
        pads[axis] = pair
    padded = pad(operand, pads) if any(map(any, pads)) else operand
    batch, *rest = _sizes(padded)
    split: list[Any] = [batch]
    order_blocks: list[int] = []
    order_rest: list[int] = [0]
    for axis, size in enumerate(rest, 1):
        order_rest.append(len(split))
        if axis not in axes:
            split.append(size)
            continue
        block = blocks[axes.index(axis)]
        if isinstance(size, int) and size % block:
            raise ShapeError(
                f"space_to_batch_nd: size {size} of axis {axis} is not a multiple of {block}. "
                "Pad it to one."
            )
        order_blocks.append(len(split) + 1)
        split += [size // block, block]
    moved = transpose(_reshaped(padded, split), [*order_blocks, *order_rest])
    return _reshaped(
        moved, [batch * math.prod(blocks), *(split[place] for place in order_rest[1:])]
    )


def batch_to_space_nd(x: Any, block_shape: Any, crops: Any) -> Var:
    """Return x with blocks of its batch laid out in space, then cropped.

    Args:
        x: `(N, C, spatial...)`, or `(N, spatial..., C)` when it is NHWC.
        block_shape: block size per spatial axis.
        crops: `[[before, after], ...]` per spatial axis.

    Raises:
        ShapeError: the batch is not a multiple of the blocks, or more is cropped than there is.
    """
    operand = as_var(x, "batch_to_space_nd")
    blocks, axes, pairs = _blocks_of("batch_to_space_nd", operand, block_shape, crops)
    total = math.prod(blocks)
    batch, *rest = _sizes(operand)
    if isinstance(batch, int) and batch % total:
        raise ShapeError(f"batch_to_space_nd: batch {batch} is not a multiple of {total}.")
    count = len(blocks)
    order = [count]
    joined: list[Any] = [batch // total]
    for axis, size in enumerate(rest, 1):
        order.append(count + axis)
        if axis in axes:
            order.append(axes.index(axis))
            size = size * blocks[axes.index(axis)]
        joined.append(size)
    split = _reshaped(operand, [*blocks, batch // total, *rest])
    spread = _reshaped(transpose(split, order), joined)
    for axis, (low, high) in zip(axes, pairs, strict=True):
        if isinstance(joined[axis], int) and low + high > joined[axis]:
            raise ShapeError(
                f"batch_to_space_nd: crops ({low}, {high}) remove more than the {joined[axis]} "
                f"elements of axis {axis}."
            )
    if not any(map(any, pairs)):
        return spread
    starts = [low for low, _ in pairs]
    ends = [-high if high else LIMIT for _, high in pairs]
    cropped: Var = slice_steps(
        spread, *(int_operand("batch_to_space_nd", each, "crops") for each in (starts, ends, axes))
    )
    return cropped


def channel_shuffle(x: Any, axis: int) -> Var:
    """Return x with its channels dealt into `axis` groups and read across them (ShuffleNet).

    Raises:
        ShapeError: the channels do not divide into the groups.
    """
    operand = as_var(x, "channel_shuffle")
    last = operand.data_format.channel_last
    place = operand.ndim - 1 if last else min(1, operand.ndim - 1)
    sizes = _sizes(operand)
    groups, channels = int(axis), sizes[place]
    if groups < 1 or (isinstance(channels, int) and channels % groups):
        raise ShapeError(
            f"channel_shuffle: {channels} channels do not divide into {groups} groups."
        )
    split = [*sizes[:place], groups, channels // groups, *sizes[place + 1 :]]
    order = list(range(len(split)))
    order[place], order[place + 1] = order[place + 1], order[place]
    return _reshaped(transpose(_reshaped(operand, split), order), sizes)


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
    sizes = _sizes(like)[first:]
    ends = [low + size for low, size in zip(offsets, sizes, strict=True)]
    for axis_number, (low, end) in enumerate(zip(offsets, ends, strict=True), first):
        limit = operand.shape[axis_number]
        if low < 0 or (isinstance(end, int) and limit >= 0 and end > limit):
            raise ShapeError(
                f"crop: [{low}, {end}) leaves axis {axis_number} of size {limit}. Expected a part "
                "inside."
            )
    axes = list(range(first, operand.ndim))
    part: Var = slice_steps(
        operand, *(int_operand("crop", each, "bounds") for each in (list(offsets), ends, axes))
    )
    return part
