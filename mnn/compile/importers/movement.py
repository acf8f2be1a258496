"""Movement operators: index maps, which become strides of loads wherever they can."""

from __future__ import annotations

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.grouping import grouped
from mnn.compile.importers.fancy import picked
from mnn.compile.importing import Application, imports

__all__: list[str] = []


@imports("convert", "transpose")
def _permuted(flow: Flow, node: Application) -> Value:
    x = node.operand(0)
    if node.name == "transpose":
        axes = node.attributes["axes"]
        rank = len(x.shape)
        order = tuple(reversed(range(rank))) if axes is None else (axis % rank for axis in axes)
        return flow.permute(x, order)
    source, target = node.attributes["source"], node.attributes["target"]
    rank = len(x.shape)
    if rank < 3 or source.channel_last == target.channel_last:
        return x
    if target.channel_last:
        return flow.permute(x, (0, *range(2, rank), 1))
    return flow.permute(x, (0, rank - 1, *range(1, rank - 1)))


@imports("relabel", "positive")
def _same(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    return x if x.dtype == node.dtype else None


@imports("reshape", "flatten", "squeeze", "unsqueeze", "reshape_like")
def _reshaped(flow: Flow, node: Application) -> Value:
    return flow.reshape(node.operand(0), node.shape)


@imports("broadcast_to", "broadcast_like")
def _broadcast(flow: Flow, node: Application) -> Value:
    return flow.broadcast(node.operand(0), node.shape)


@imports("reverse")
def _reversed(flow: Flow, node: Application) -> Value:
    x = node.operand(0)
    chosen = {axis % len(x.shape) for axis in node.attributes["axes"]}
    return _sliced(
        flow, x, [slice(None, None, -1 if axis in chosen else 1) for axis in range(len(x.shape))]
    )


def _sliced(flow: Flow, x: Value, parts: list[slice]) -> Value:
    """Return x cut by one slice per axis."""
    bounds = [part.indices(size) for part, size in zip(parts, x.shape, strict=True)]
    shape = [len(range(*each)) for each in bounds]
    if 0 in shape:
        return flow.constant(np.zeros(shape, x.dtype))
    return flow.slice(x, [each[0] for each in bounds], [each[2] for each in bounds], shape)


@imports("slice_steps")
def _slice_steps(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    bounds = [node.optional(position) for position in range(1, 5)]
    if any(each is not None and each.array is None for each in bounds):
        return None
    numbers = [
        None if each is None or each.array is None else [int(v) for v in each.array.reshape(-1)]
        for each in bounds
    ]
    starts, ends = numbers[0] or [], numbers[1] or []
    axes = numbers[2] if numbers[2] is not None else list(range(len(starts)))
    steps = numbers[3] if numbers[3] is not None else [1] * len(starts)
    parts = [slice(None)] * len(x.shape)
    for axis, low, high, step in zip(axes, starts, ends, steps, strict=True):
        beyond = step < 0 and high <= -(2**31 - 1)
        parts[axis % len(x.shape)] = slice(low, None if beyond else high, step)
    return _sliced(flow, x, parts)


@imports("getitem")
def _getitem(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    parts = list(node.attributes["parts"])
    if any(part[0] == "array" for part in parts):
        return picked(flow, node)
    used = sum(1 for part in parts if part[0] in ("int", "slice"))
    rest = [("slice", None, None, None)] * (len(x.shape) - used)
    if ("dots",) in parts:
        place = parts.index(("dots",))
        parts[place : place + 1] = rest
    else:
        parts += rest
    cuts: list[slice] = []
    for part in parts:
        if part[0] == "int":
            index = part[1] % x.shape[len(cuts)]
            cuts.append(slice(index, index + 1))
        elif part[0] == "slice":
            cuts.append(slice(*part[1:]))
    return flow.reshape(_sliced(flow, x, cuts), node.shape)


@imports("split", "split_like")
def _split(flow: Flow, node: Application) -> list[Value]:
    x = node.operand(0)
    axis = node.attributes["axis"] % len(x.shape)
    found, start = [], 0
    for type in node.types:
        size = int((type.shape or ())[axis])
        parts = [slice(None)] * len(x.shape)
        parts[axis] = slice(start, start + size)
        found.append(_sliced(flow, x, parts))
        start += size
    return found


@imports("concat", "stack")
def _joined(flow: Flow, node: Application) -> Value | None:
    dtype = node.dtype
    values = [
        flow.map("cast", [each], compute=each.dtype, result=dtype)
        for each in node.operands
        if each is not None
    ]
    if dtype.kind not in "biuf" or dtype.itemsize not in (1, 2, 4, 8):
        return None
    if node.name == "concat":
        axis = node.attributes["axis"] % len(node.shape)
        return grouped(flow, values, axis) or flow.concat(values, axis)
    axis = node.attributes["axis"] % len(node.shape)
    lifted = [flow.reshape(each, (*each.shape[:axis], 1, *each.shape[axis:])) for each in values]
    return flow.concat(lifted, axis)


@imports("tile")
def _tile(flow: Flow, node: Application) -> Value | None:
    x, repeats = node.operand(0), node.operand(1)
    if repeats.array is None or 0 in node.shape:
        return None
    counts = [int(each) for each in repeats.array.reshape(-1)]
    split = [part for size in x.shape for part in (1, size)]
    spread = [part for count, size in zip(counts, x.shape, strict=True) for part in (count, size)]
    return flow.reshape(flow.broadcast(flow.reshape(x, split), spread), node.shape)


@imports("pad")
def _pad(flow: Flow, node: Application) -> Value | None:
    x, paddings, value = node.operand(0), node.operand(1), node.optional(2)
    if node.attributes["mode"] != 0 or paddings.array is None or 0 in x.shape:
        return None
    if x.dtype.kind not in "biuf" or (value is not None and value.array is None):
        return None
    pairs = paddings.array.reshape(-1, 2).tolist()
    number = 0 if value is None or value.array is None else value.array.reshape(()).item()
    inner = _sliced(
        flow,
        x,
        [
            slice(max(0, -low), size - max(0, -high))
            for (low, high), size in zip(pairs, x.shape, strict=True)
        ],
    )
    if 0 in inner.shape:
        return None
    if inner.shape == node.shape:
        return inner
    before = tuple(max(0, low) for low, _ in pairs)
    return flow.make("pad", (inner,), node.shape, x.dtype, {"before": before, "value": number})


@imports("depth_to_space", "space_to_depth")
def _blocks(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    attributes = node.attributes
    block, mode = attributes["block"], attributes.get("mode", "DCR")
    if len(x.shape) != 4 or 0 in x.shape:
        return None
    last = attributes["layout"] == "NHWC"
    first = flow.permute(x, (0, 3, 1, 2)) if last else x
    batch, channels, height, width = first.shape
    if node.name == "depth_to_space":
        rest = channels // (block * block)
        if mode == "DCR":
            split = flow.reshape(first, (batch, block, block, rest, height, width))
            moved = flow.permute(split, (0, 3, 4, 1, 5, 2))
        else:
            split = flow.reshape(first, (batch, rest, block, block, height, width))
            moved = flow.permute(split, (0, 1, 4, 2, 5, 3))
        made = flow.reshape(moved, (batch, rest, height * block, width * block))
    else:
        small = (height // block, width // block)
        split = flow.reshape(first, (batch, channels, small[0], block, small[1], block))
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
        made = flow.reshape(flow.permute(split, order), (batch, channels * block * block, *small))
    return flow.permute(made, (0, 2, 3, 1)) if last else made
