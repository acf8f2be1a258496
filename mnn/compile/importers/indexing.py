"""Reading by index arrays."""

from __future__ import annotations

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports

__all__: list[str] = []


@imports("gather")
def _gather(flow: Flow, node: Application) -> Value | None:
    data, indices = node.operand(0), node.operand(1)
    axis = node.attributes["axis"] % len(data.shape)
    if indices.array is None or indices.size != 1 or data.size == 0:
        return None
    # A single known index is a slice.
    place = int(indices.array.reshape(())) % data.shape[axis]
    if not -data.shape[axis] <= int(indices.array.reshape(())) < data.shape[axis]:
        return None
    starts, shape = [0] * len(data.shape), list(data.shape)
    starts[axis], shape[axis] = place, 1
    return flow.reshape(flow.slice(data, starts, [1] * len(shape), shape), node.shape)


@imports("one_hot")
def _one_hot(flow: Flow, node: Application) -> Value | None:
    indices, depth, on, off = (node.operand(position) for position in range(4))
    if depth.array is None or 0 in node.shape or on.dtype != off.dtype:
        return None
    if indices.dtype.kind not in "iu" or on.size != 1 or off.size != 1:
        return None
    axis = node.attributes["axis"] % len(node.shape)
    count = int(depth.array.reshape(()))
    lifted = flow.reshape(indices, (*indices.shape[:axis], 1, *indices.shape[axis:]))
    shape = [1] * len(node.shape)
    shape[axis] = count
    numbers = flow.constant(np.arange(count, dtype=indices.dtype).reshape(shape))
    hit = flow.map("equal", [lifted, numbers], result=np.dtype(np.bool_))
    ends = [flow.reshape(each, (1,) * len(node.shape)) for each in (on, off)]
    return flow.map("select", [hit, *ends], compute=node.dtype)
