"""Matrix products, convolutions and poolings: the anchors that other work is fused into."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.compile import int8
from mnn.compile.flow import Flow, Value
from mnn.compile.importers.reductions import mean
from mnn.compile.importing import Application, imports
from mnn.ops.reference.layout import channels_first_axes, spatial_axes
from mnn.ops.reference.window_shapes import conv_padding, pool_padding, transposed_crop

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


class _Plane:
    """Where a window operator works: its operand channels-first, its window in axis order.

    A picture one pixel wide is seen as one row: kernels walk along rows.
    """

    def __init__(self, flow: Flow, x: Value, node: Application, kernel: Sequence[int]) -> None:
        self._order = channels_first_axes(node.attributes["layout"], len(x.shape))
        self.x = flow.permute(x, self._order)
        self.shape = tuple(node.shape[axis] for axis in self._order)
        self.turned = (
            len(self.shape) == 4
            and kernel[1] == 1
            and self.x.shape[3] == self.shape[3] == 1
            and self.x.shape[2] > 1
        )
        if self.turned:
            self.x = flow.permute(self.x, _TURNED)
            self.shape = tuple(self.shape[axis] for axis in _TURNED)

    def lengths(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Return one entry for each spatial axis, in the order in which the kernel sees them."""
        return tuple(reversed(values)) if self.turned else tuple(values)

    def weight(self, flow: Flow, weight: Value) -> Value:
        """Return the weight with its spatial axes in the same order."""
        return flow.permute(weight, _TURNED) if self.turned else weight

    def restored(self, flow: Flow, result: Value) -> Value:
        """Return the result with the axes of the operator."""
        if self.turned:
            result = flow.permute(result, _TURNED)
        return flow.permute(result, np.argsort(self._order).tolist())


_TURNED = (0, 1, 3, 2)


def _operands(flow: Flow, node: Application) -> tuple[Value, Value, list[Value]] | None:
    """Return input, weight and bias of a float32 convolution, None for what kernels do not take."""
    x, weight, bias = node.operand(0), node.operand(1), node.optional(2)
    if any(each is not None and each.dtype != _SINGLE for each in (x, weight, bias)):
        return None
    if 0 in node.shape or x.size == 0 or weight.size == 0:
        return None
    return x, weight, [] if bias is None else [flow.reshape(bias, (bias.size,))]


@imports("conv")
def _conv(flow: Flow, node: Application) -> Value | None:
    found = _operands(flow, node)
    if found is None:
        return None
    x, weight, bias = found
    attributes, kernel = node.attributes, weight.shape[2:]
    plane = _Plane(flow, x, node, kernel)
    strides, dilations, kernel, given = map(
        plane.lengths, (attributes["stride"], attributes["dilation"], kernel, attributes["pads"])
    )
    pads = tuple(
        conv_padding(
            length, size, stride=stride, dilation=dilation, pads=pad, mode=attributes["mode"]
        )
        for length, size, stride, dilation, pad in zip(
            plane.x.shape[2:], kernel, strides, dilations, given, strict=True
        )
    )
    window = {
        "stride": strides,
        "dilation": dilations,
        "pads": pads,
        "groups": attributes["groups"],
    }
    made = _conv_of_codes(flow, node, window)
    if made is not None:
        return plane.restored(flow, made)
    operands = (plane.x, plane.weight(flow, weight), *bias)
    made = _conv_as_matmul(flow, operands, window, plane.shape) or flow.make(
        "conv", operands, plane.shape, _SINGLE, window
    )
    return plane.restored(flow, made)


def _conv_of_codes(flow: Flow, node: Application, window: Mapping[str, Any]) -> Value | None:
    """Return a convolution of int8 codes with int8 weights, None when it is none of these."""
    codes = int8.codes_of(flow, node.operand(0))
    if codes is None:
        return None
    found = _operands(flow, node)
    assert found is not None
    _, weight, bias = found
    plane = _Plane(flow, codes.value, node, weight.shape[2:])
    moved, target = plane.weight(flow, weight), node.importer.target
    source = int8.Codes(plane.x, codes.scheme)
    return int8.convolution(flow, target, source, moved, bias, plane.shape, window)


def _conv_as_matmul(
    flow: Flow, operands: tuple[Value, ...], window: Mapping[str, Any], shape: Sequence[int]
) -> Value | None:
    """Return a convolution of single positions as a matrix product, None for others."""
    x, weight = operands[:2]
    single = all(size == 1 for size in (*x.shape[2:], *weight.shape[2:]))
    unpadded = all(pad == (0, 0) for pad in window["pads"])
    if not single or not unpadded or window["groups"] != 1:
        return None
    rows = flow.reshape(x, x.shape[:2])
    columns = flow.permute(flow.reshape(weight, weight.shape[:2]), (1, 0))
    product = flow.make("matmul", (rows, columns, *operands[2:]), (x.shape[0], shape[1]), _SINGLE)
    return flow.reshape(product, shape)


@imports("conv_transpose")
def _conv_transpose(flow: Flow, node: Application) -> Value | None:
    found = _operands(flow, node)
    if found is None:
        return None
    x, weight, bias = found
    attributes, kernel = node.attributes, weight.shape[2:]
    plane = _Plane(flow, x, node, kernel)
    strides, dilations, kernel, given = map(
        plane.lengths, (attributes["stride"], attributes["dilation"], kernel, attributes["pads"])
    )
    crops = tuple(
        (
            transposed_crop(
                size, stride=stride, dilation=dilation, pads=pad, mode=attributes["mode"]
            ),
            0,
        )
        for size, stride, dilation, pad in zip(kernel, strides, dilations, given, strict=True)
    )
    window = {
        "stride": strides,
        "dilation": dilations,
        "pads": crops,
        "groups": attributes["groups"],
    }
    operands = (plane.x, plane.weight(flow, weight), *bias)
    made = flow.make("conv_transpose", operands, plane.shape, _SINGLE, window)
    return plane.restored(flow, made)


@imports("max_pool", "avg_pool")
def _pool(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if x.dtype != _SINGLE or 0 in node.shape or x.size == 0:
        return None
    attributes = node.attributes
    plane = _Plane(flow, x, node, attributes["kernel"])
    kernel, strides, given = map(
        plane.lengths, (attributes["kernel"], attributes["stride"], attributes["pads"])
    )
    pads = tuple(
        pool_padding(length, size, stride=stride, pads=pad, mode=attributes["mode"])
        for length, size, stride, pad in zip(plane.x.shape[2:], kernel, strides, given, strict=True)
    )
    window = {
        "kind": "max" if node.name == "max_pool" else "average",
        "kernel": kernel,
        "stride": strides,
        "pads": pads,
        "count": attributes.get("count", "exclude"),
    }
    codes = int8.codes_of(flow, x) if node.name == "max_pool" else None
    if codes is not None:
        # The largest code stands for the largest number.
        plane = _Plane(flow, codes.value, node, attributes["kernel"])
        found = flow.make("pool", (plane.x,), plane.shape, codes.value.dtype, window)
        return int8.dequantised(flow, plane.restored(flow, found), codes.scheme)
    return plane.restored(flow, flow.make("pool", (plane.x,), plane.shape, _SINGLE, window))


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
