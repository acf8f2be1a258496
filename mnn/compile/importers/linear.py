"""Matrix products, convolutions and poolings: the anchors that other work is fused into."""

from __future__ import annotations

import math

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importers.reductions import mean
from mnn.compile.importing import Application, imports
from mnn.ops.reference.layout import channels_first_axes, spatial_axes
from mnn.ops.reference.window_shapes import conv_padding, pool_padding

__all__: list[str] = []

_SINGLE = np.dtype(np.float32)


@imports("matmul")
def _matmul(flow: Flow, node: Application) -> Value | None:
    a, b = node.operand(0), node.operand(1)
    if a.dtype != _SINGLE or b.dtype != _SINGLE or 0 in node.shape or a.size == 0:
        return None
    a, b = _matrix(flow, a, 0), _matrix(flow, b, 1)
    if node.attributes["transpose_a"] and len(node.operand(0).shape) > 1:
        a = _swapped(flow, a)
    if node.attributes["transpose_b"] and len(node.operand(1).shape) > 1:
        b = _swapped(flow, b)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    rank = len(batch) + 2
    a, b = (flow.reshape(each, (1,) * (rank - len(each.shape)) + each.shape) for each in (a, b))
    shape = (*batch, a.shape[-2], b.shape[-1])
    made = flow.make("matmul", (a, b), shape, _SINGLE)
    return flow.reshape(made, node.shape)


def _matrix(flow: Flow, x: Value, axis: int) -> Value:
    """Return a vector as a matrix of one row (axis 0) or column (axis 1)."""
    if len(x.shape) > 1:
        return x
    return flow.reshape(x, (1, x.size) if axis == 0 else (x.size, 1))


def _swapped(flow: Flow, x: Value) -> Value:
    rank = len(x.shape)
    return flow.permute(x, (*range(rank - 2), rank - 1, rank - 2))


@imports("conv")
def _conv(flow: Flow, node: Application) -> Value | None:
    x, weight, bias = node.operand(0), node.operand(1), node.optional(2)
    if any(each is not None and each.dtype != _SINGLE for each in (x, weight, bias)):
        return None
    if 0 in node.shape or x.size == 0 or weight.size == 0:
        return None
    attributes = node.attributes
    order = channels_first_axes(attributes["layout"], len(x.shape))
    first = flow.permute(x, order)
    kernel = weight.shape[2:]
    pads = tuple(
        conv_padding(
            length, size, stride=stride, dilation=dilation, pads=pad, mode=attributes["mode"]
        )
        for length, size, stride, dilation, pad in zip(
            first.shape[2:],
            kernel,
            attributes["stride"],
            attributes["dilation"],
            attributes["pads"],
            strict=True,
        )
    )
    window = {
        "stride": attributes["stride"],
        "dilation": attributes["dilation"],
        "pads": pads,
        "groups": attributes["groups"],
    }
    shape = [node.shape[axis] for axis in order]
    operands = (
        (first, weight) if bias is None else (first, weight, flow.reshape(bias, (bias.size,)))
    )
    made = _conv_as_matmul(flow, operands, window, shape) or flow.make(
        "conv", operands, shape, _SINGLE, window
    )
    return flow.permute(made, np.argsort(order).tolist())


def _conv_as_matmul(
    flow: Flow, operands: tuple[Value, ...], window: dict[str, object], shape: list[int]
) -> Value | None:
    """Return a convolution of single positions as a matrix product, None for others."""
    x, weight = operands[:2]
    single = all(size == 1 for size in (*x.shape[2:], *weight.shape[2:]))
    unpadded = all(pad == (0, 0) for pad in window["pads"])  # type: ignore[attr-defined]
    if not single or not unpadded or window["groups"] != 1:
        return None
    rows = flow.reshape(x, x.shape[:2])
    columns = flow.permute(flow.reshape(weight, weight.shape[:2]), (1, 0))
    product = flow.make("matmul", (rows, columns, *operands[2:]), (x.shape[0], shape[1]), _SINGLE)
    return flow.reshape(product, shape)


@imports("max_pool", "avg_pool")
def _pool(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if x.dtype != _SINGLE or 0 in node.shape or x.size == 0:
        return None
    attributes = node.attributes
    order = channels_first_axes(attributes["layout"], len(x.shape))
    first = flow.permute(x, order)
    pads = tuple(
        pool_padding(length, size, stride=stride, pads=pad, mode=attributes["mode"])
        for length, size, stride, pad in zip(
            first.shape[2:],
            attributes["kernel"],
            attributes["stride"],
            attributes["pads"],
            strict=True,
        )
    )
    window = {
        "kind": "max" if node.name == "max_pool" else "average",
        "kernel": attributes["kernel"],
        "stride": attributes["stride"],
        "pads": pads,
        "count": attributes.get("count", "exclude"),
    }
    made = flow.make("pool", (first,), [node.shape[axis] for axis in order], _SINGLE, window)
    return flow.permute(made, np.argsort(order).tolist())


@imports("global_avg_pool", "global_max_pool")
def _global_pool(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if x.dtype != _SINGLE or x.size == 0:
        return None
    axes = spatial_axes(node.attributes["layout"], len(x.shape))
    if math.prod(x.shape[axis] for axis in axes) == 1:
        return flow.reshape(x, node.shape)
    if node.name == "global_avg_pool":
        return mean(flow, x, axes)
    return flow.reduce("max", x, axes)
