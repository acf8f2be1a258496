"""Softmax and normalisations, said with elementwise steps and reductions: fusion joins them."""

from __future__ import annotations

import math

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importers.elementwise import channel_vector
from mnn.compile.importers.reductions import mean
from mnn.compile.importing import Application, imports

__all__: list[str] = []

_BOOL = np.dtype(np.bool_)


def _computable(*values: Value | None) -> bool:
    kinds = {each.dtype for each in values if each is not None}
    sizes = [each.size for each in values if each is not None]
    return len(kinds) == 1 and next(iter(kinds)) in (np.float32, np.float64) and 0 not in sizes


@imports("softmax", "log_softmax")
def _softmax(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    steps = ("exp", "log") if node.name == "log_softmax" else ("exp",)
    if not _computable(x) or not all(node.computes(each, x.dtype) for each in steps):
        return None
    axis = node.attributes["axis"] % len(x.shape)
    top = flow.reduce("max", x, (axis,))
    # An infinite maximum is left in place, so that only rows which are NaN in NumPy become NaN.
    finite = flow.map("isfinite", [top], result=_BOOL)
    shift = flow.map("select", [finite, top, flow.number(0, x.dtype)], compute=x.dtype)
    shifted = flow.map("subtract", [x, shift])
    powers = flow.map("exp", [shifted])
    total = flow.reduce("sum", powers, (axis,))
    if node.name == "softmax":
        return flow.map("divide", [powers, total])
    return flow.map("subtract", [shifted, flow.map("log", [total])])


@imports("layer_norm")
def _layer_norm(flow: Flow, node: Application) -> Value | None:
    x, gamma, beta = node.operand(0), node.optional(1), node.optional(2)
    if not _computable(x, gamma, beta):
        return None
    attributes = node.attributes
    group, shape = attributes["group"], x.shape
    if group > 1:
        rows = flow.reshape(x, (shape[0] * group, math.prod(shape[1:]) // group))
        axes: tuple[int, ...] = (1,)
    else:
        rows, axes = x, tuple(sorted(axis % len(shape) for axis in attributes["axes"]))
    centred = rows
    if not attributes["rms"]:
        centred = flow.map("subtract", [rows, mean(flow, rows, axes)])
    variance = mean(flow, flow.map("multiply", [centred, centred]), axes)
    shifted = flow.map("add", [variance, flow.number(attributes["epsilon"], x.dtype)])
    y = flow.map("divide", [centred, flow.map("sqrt", [shifted])])
    inner = [size if axis in axes else 1 for axis, size in enumerate(rows.shape)]
    for step, parameter in (("multiply", gamma), ("add", beta)):
        if parameter is not None:
            y = flow.map(step, [y, flow.reshape(parameter, inner)])
    return flow.reshape(y, shape)


@imports("scale")
def _scale(flow: Flow, node: Application) -> Value | None:
    x, factor, bias = node.operand(0), node.operand(1), node.optional(2)
    if not _computable(x, factor, bias):
        return None
    layout = node.attributes["layout"]
    y = flow.map("multiply", [x, channel_vector(flow, factor, len(x.shape), layout)])
    if bias is None:
        return y
    return flow.map("add", [y, channel_vector(flow, bias, len(x.shape), layout)])


@imports("batch_norm_inference")
def _batch_norm(flow: Flow, node: Application) -> Value | None:
    x, centre, spread = (node.operand(position) for position in range(3))
    factor, bias = node.optional(3), node.optional(4)
    parameters = [centre, spread, *(each for each in (factor, bias) if each is not None)]
    if not _computable(x, *parameters):
        return None
    layout, rank = node.attributes["layout"], len(x.shape)
    arrays = [each.array for each in (centre, spread)]
    if arrays[0] is None or arrays[1] is None:
        return None
    # Known statistics make one factor and one offset per channel, computed in float64.
    slope = 1 / np.sqrt(arrays[1].astype(np.float64).reshape(-1) + node.attributes["epsilon"])
    for_all = [None if each is None else each.array for each in (factor, bias)]
    if any(
        each is not None and found is None
        for each, found in zip((factor, bias), for_all, strict=True)
    ):
        return None
    if for_all[0] is not None:
        slope = slope * for_all[0].reshape(-1)
    offset = -arrays[0].astype(np.float64).reshape(-1) * slope
    if for_all[1] is not None:
        offset = offset + for_all[1].reshape(-1)
    steps = (("multiply", slope), ("add", offset))
    y = x
    for step, numbers in steps:
        vector = flow.constant(numbers.astype(x.dtype))
        y = flow.map(step, [y, channel_vector(flow, vector, rank, layout)])
    return y


@imports("normalize")
def _normalize(flow: Flow, node: Application) -> Value | None:
    x, weight = node.operand(0), node.optional(1)
    if not _computable(x, weight):
        return None
    layout, rank = node.attributes["layout"], len(x.shape)
    channels = rank - 1 if layout == "NHWC" else 1
    axes = tuple(range(1, rank)) if node.attributes["across_spatial"] else (channels,)
    total = flow.reduce("sum", flow.map("multiply", [x, x]), axes)
    shifted = flow.map("add", [total, flow.number(node.attributes["epsilon"], x.dtype)])
    y = flow.map("divide", [x, flow.map("sqrt", [shifted])])
    if weight is None:
        return y
    return flow.map("multiply", [y, channel_vector(flow, weight, rank, layout)])
