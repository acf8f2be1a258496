"""Sorting along an axis: whole, or the first few elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports
from mnn.compile.support import kernel_dtype

__all__ = ["first_of_rows"]

_POSITION = np.dtype(np.int32)
_LONG = 128
"""Elements from which on NumPy, which sorts values in vectors, is faster than a radix sort."""


@imports("topk")
def _topk(flow: Flow, node: Application) -> Sequence[Value] | None:
    count = node.operand(1)
    if count.array is None:
        return None
    axis, largest = node.attributes["axis"], bool(node.attributes["largest"])
    return _ordered(flow, node, int(count.array.reshape(())), axis, descending=largest)


@imports("argsort", "sort")
def _sorted(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    axis = node.attributes["axis"]
    length = x.shape[axis]
    if node.name == "sort" and length > _LONG:
        return None
    found = _ordered(flow, node, length, axis, descending=bool(node.attributes["descending"]))
    return None if found is None else found[node.name == "argsort"]


def _ordered(
    flow: Flow, node: Application, count: int, axis: int, *, descending: bool
) -> list[Value] | None:
    """Return the first elements of an axis in sorted order, and their positions."""
    x = node.operand(0)
    rank = len(x.shape)
    if not kernel_dtype(x.dtype) or x.size == 0 or count == 0:
        return None
    axis %= rank
    order = [*[each for each in range(rank) if each != axis], axis]
    back = [order.index(each) for each in range(rank)]
    found = first_of_rows(flow, flow.permute(x, order), count, descending=descending)
    return [flow.permute(each, back) for each in found]


def first_of_rows(flow: Flow, rows: Value, count: int, *, descending: bool) -> list[Value]:
    """Return the first elements of sorted rows, along the last axis, and their positions."""
    shape = (*rows.shape[:-1], count)
    types = ((shape, rows.dtype), (shape, _POSITION))
    attributes = {"count": count, "descending": descending, "types": types}
    made = flow.make("sort", (rows,), (), np.dtype(np.bool_), attributes)
    return [
        flow.make("part", (made,), shape, dtype, {"port": port})
        for port, (shape, dtype) in enumerate(types)
    ]
