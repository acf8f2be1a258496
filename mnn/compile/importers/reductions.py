"""Reductions and positions of extremes."""

from __future__ import annotations

import math

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports
from mnn.compile.support import kernel_dtype

__all__ = ["mean"]

_NAMES = {
    "reduce_sum": "sum",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_prod": "prod",
    "reduce_any": "any",
    "reduce_all": "all",
}


def mean(flow: Flow, x: Value, axes: tuple[int, ...]) -> Value:
    """Return the mean of a float value over axes, which stay with size 1."""
    count = math.prod(x.shape[axis] for axis in axes)
    total = flow.reduce("sum", x, axes)
    return flow.map("divide", [total, flow.number(count, x.dtype)])


def _axes(node: Application, rank: int) -> tuple[int, ...]:
    axes = node.attributes["axes"]
    return tuple(range(rank)) if axes is None else tuple(axis % rank for axis in axes)


@imports(*_NAMES, "reduce_mean")
def _reduction(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    axes = _axes(node, len(x.shape))
    if not (kernel_dtype(x.dtype) and kernel_dtype(node.dtype)) or x.size == 0:
        return None
    if node.name in ("reduce_any", "reduce_all"):
        source = flow.map("not_equal", [x, flow.number(0, x.dtype)], result=np.dtype(np.bool_))
    else:
        source = flow.map("cast", [x], compute=x.dtype, result=node.dtype)
    if node.name == "reduce_mean":
        if node.dtype.kind != "f" or x.dtype.kind != "f":
            return None
        found = mean(flow, source, axes)
    elif axes:
        found = flow.reduce(_NAMES[node.name], source, axes, node.dtype)
    else:
        found = source
    return flow.reshape(found, node.shape)


@imports("argmax", "argmin")
def _position(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if not kernel_dtype(x.dtype) or x.size == 0:
        return None
    axis = node.attributes["axis"] % len(x.shape)
    return flow.reshape(flow.reduce(node.name, x, (axis,), node.dtype), node.shape)


@imports("sum_like")
def _sum_like(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if not kernel_dtype(x.dtype) or x.size == 0:
        return None
    lifted = (1,) * (len(x.shape) - len(node.shape)) + node.shape
    axes = [axis for axis, size in enumerate(lifted) if size == 1 and x.shape[axis] != 1]
    found = flow.reduce("sum", x, axes) if axes else x
    return flow.reshape(found, node.shape)


@imports("cumsum", "cumprod")
def _scan(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if x.dtype != node.dtype or not kernel_dtype(x.dtype) or x.dtype.kind == "b" or x.size == 0:
        return None
    attributes = {
        "name": node.name[3:],
        "axis": node.attributes["axis"] % len(x.shape),
        "exclusive": bool(node.attributes.get("exclusive", False)),
        "reverse": bool(node.attributes.get("reverse", False)),
    }
    return flow.make("scan", (x,), node.shape, node.dtype, attributes)
