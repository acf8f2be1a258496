"""Elementwise operators whose operands need shaping first; the others need no importer."""

from __future__ import annotations

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports
from mnn.compile.support import kernel_dtype

__all__ = ["channel_vector"]


def channel_vector(flow: Flow, vector: Value, rank: int, layout: str) -> Value:
    """Return one number per channel (or one for all), shaped to broadcast against `rank` axes."""
    shape = [1] * rank
    shape[rank - 1 if layout == "NHWC" else 1] = vector.size
    return flow.reshape(vector, shape)


@imports("cast")
def _cast(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if not (kernel_dtype(x.dtype) and kernel_dtype(node.dtype)):
        return None
    if x.dtype.kind == "f" and node.dtype.kind in "iu":
        if node.dtype.itemsize == 8:
            return flow.map("cast", [x], result=node.dtype)
        # Through int64, as the reference does: numbers beyond a small type wrap.
        x = flow.map("cast", [x], result=np.dtype(np.int64))
    return flow.map("cast", [x], compute=x.dtype, result=node.dtype)


@imports("select")
def _select(flow: Flow, node: Application) -> Value | None:
    operands = [node.operand(position) for position in range(3)]
    if not all(kernel_dtype(each.dtype) for each in operands):
        return None
    return flow.map("select", operands, compute=node.dtype)


@imports("prelu")
def _prelu(flow: Flow, node: Application) -> Value | None:
    x, slopes = node.operand(0), node.operand(1)
    if x.dtype != np.float32 or slopes.dtype != np.float32 or len(x.shape) < 2:
        return None
    shaped = channel_vector(flow, slopes, len(x.shape), node.attributes["layout"])
    return flow.map("prelu", [x, shaped])


@imports("zeros_like", "ones_like")
def _filled(flow: Flow, node: Application) -> Value:
    number = flow.number(node.name == "ones_like", node.dtype)
    return flow.broadcast(number, node.shape)


@imports("fill")
def _fill(flow: Flow, node: Application) -> Value:
    return flow.broadcast(flow.reshape(node.operand(1), ()), node.shape)
