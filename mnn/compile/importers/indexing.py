"""Reading and writing by index arrays: gathers and scatters over one index space.

A gather has the shape of its result, a scatter that of the values it puts. Each axis of the indexed
array walks along an axis of that space or stands where an index says; see
`mnn.codegen.templates.places`. Indices that are known are compared with the sizes here; of others
every one is compared while running.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports
from mnn.compile.support import kernel_dtype
from mnn.records import dataclass

__all__ = ["Places"]

_INT = np.dtype(np.int64)


@dataclass(frozen=True)
class Places:
    """Where indices point in an array.

    Attributes:
        indices: integers, broadcasting to the index space.
        axes: for each axis of the array the axis of the space, -1 - k for index k, or None when it
            stands still at `starts`.
        starts, steps: of the axes that walk; index axes count from 0 in steps of 1.
        counts: how many elements of each axis take part.
    """

    indices: tuple[Value, ...]
    axes: tuple[int | None, ...]
    starts: tuple[int, ...]
    steps: tuple[int, ...]
    counts: tuple[int, ...]

    def fit(self) -> bool | None:
        """Return whether all indices are known to be good, None when one is known to be bad."""
        known = True
        for size, goes in zip(self.counts, self.axes, strict=True):
            if goes is None or goes >= 0:
                continue
            array = self.indices[-1 - goes].array
            if array is None:
                known = False
            elif array.size and not -size <= int(array.min()) <= int(array.max()) < size:
                return None
        return known

    def gather(self, flow: Flow, data: Value, shape: Sequence[int]) -> Value | None:
        """Return the elements over an index space, None when a kernel does not take this."""
        fits = self.fit()
        if fits is None or not _taken(data, *self.indices) or 0 in shape:
            return None
        cut = flow.slice(data, self.starts, self.steps, self.counts)
        kept = [goes for goes in self.axes if goes is not None]
        sizes = [
            size for size, goes in zip(self.counts, self.axes, strict=True) if goes is not None
        ]
        attributes = {"axes": tuple(kept), "checked": not fits}
        inputs = (flow.reshape(cut, sizes), *self.indices)
        return flow.make("gather", inputs, shape, data.dtype, attributes)

    def scatter(
        self, flow: Flow, start: Value, values: Value, shape: Sequence[int], combination: str
    ) -> Value | None:
        """Return an array of a shape with values put into it, None when a kernel does not take it.

        Args:
            start: broadcasts to the shape.
            values: over the index space, of the same dtype.
        """
        fits = self.fit()
        if fits is None or not _taken(start, values, *self.indices) or 0 in shape:
            return None
        attributes = {
            "axes": self.axes,
            "starts": self.starts,
            "steps": self.steps,
            "counts": self.counts,
            "combination": combination,
            "checked": not fits,
        }
        inputs = (start, values, *self.indices)
        return flow.make("scatter", inputs, shape, start.dtype, attributes)


def _taken(*values: Value) -> bool:
    return all(kernel_dtype(each.dtype) and each.size for each in values)


def _whole(
    shape: Sequence[int], axes: Sequence[int | None], indices: Sequence[Value], rank: int
) -> Places | None:
    """Return places in an array that is used from its start on.

    Args:
        rank: of the index space, to which the indices broadcast.
    """
    if any(each.dtype.kind not in "iu" for each in indices):
        return None
    assert all(len(each.shape) == rank for each in indices)
    still = (0,) * len(shape), (1,) * len(shape)
    return Places(tuple(indices), tuple(axes), *still, tuple(shape))


def _lifted(flow: Flow, index: Value, before: int, after: int) -> Value:
    """Return an index with axes of size 1 around its own."""
    return flow.reshape(index, (*(1,) * before, *index.shape, *(1,) * after))


# --- along one axis ------------------------------------------------------------------------------


@imports("gather")
def _gather(flow: Flow, node: Application) -> Value | None:
    data, indices = node.operand(0), node.operand(1)
    axis = node.attributes["axis"] % len(data.shape)
    if data.size == 0 or indices.size == 0:
        return None
    even = _evenly(flow, data, indices, axis)
    if even is not None:
        return flow.reshape(even, node.shape)
    after = len(data.shape) - axis - 1
    rank = len(node.shape)
    axes = [*range(axis), -1, *range(rank - after, rank)]
    places = _whole(data.shape, axes, [_lifted(flow, indices, axis, after)], rank)
    return places.gather(flow, data, node.shape) if places else None


def _evenly(flow: Flow, data: Value, indices: Value, axis: int) -> Value | None:
    """Return what known indices at equal distances pick: a slice. None for others."""
    if indices.array is None:
        return None
    size, places = data.shape[axis], indices.array.reshape(-1).astype(np.int64)
    if not -size <= int(places.min()) <= int(places.max()) < size:
        return None
    places = np.where(places < 0, places + size, places)
    steps = np.diff(places)
    step = int(steps[0]) if steps.size else 1
    if np.any(steps != step):
        return None
    starts, moves, shape = [0] * len(data.shape), [1] * len(data.shape), list(data.shape)
    starts[axis], moves[axis] = int(places[0]), step or 1
    shape[axis] = places.size if step else 1
    cut = flow.slice(data, starts, moves, shape)
    if step:
        return cut
    shape[axis] = places.size
    return flow.broadcast(cut, shape)


@imports("gather_elements")
def _gather_elements(flow: Flow, node: Application) -> Value | None:
    data, indices = node.operand(0), node.operand(1)
    places = _along(data, indices, node.attributes["axis"])
    return places.gather(flow, data, node.shape) if places else None


def _along(data: Value, indices: Value, axis: int) -> Places | None:
    """Return the places of one index for each element along an axis."""
    rank = len(data.shape)
    axes: list[int | None] = list(range(rank))
    axes[axis % rank] = -1
    return _whole(data.shape, axes, [indices], rank)


@imports("scatter_elements")
def _scatter_elements(flow: Flow, node: Application) -> Value | None:
    data, indices, updates = (node.operand(position) for position in range(3))
    if updates.dtype != data.dtype:
        return None
    places = _along(data, indices, node.attributes["axis"])
    reduction = node.attributes["reduction"]
    return places.scatter(flow, data, updates, node.shape, reduction) if places else None


@imports("reverse_sequence")
def _reverse_sequence(flow: Flow, node: Application) -> Value | None:
    x, lengths = node.operand(0), node.operand(1)
    rank = len(x.shape)
    batch, time = (node.attributes[each] % rank for each in ("batch_axis", "time_axis"))
    if x.size == 0 or lengths.dtype.kind not in "iu":
        return None
    count = flow.map("cast", [lengths], compute=lengths.dtype, result=_INT)
    count = _lifted(flow, count, batch, rank - batch - 1)
    steps = _lifted(flow, flow.constant(np.arange(x.shape[time])), time, rank - time - 1)
    within = flow.map("less", [steps, count], compute=_INT, result=np.dtype(np.bool_))
    last = flow.map("subtract", [count, flow.number(1, _INT)])
    turned = flow.map("select", [within, flow.map("subtract", [last, steps]), steps], compute=_INT)
    # A length below 0 is as bad as one beyond the axis.
    below = flow.map("less", [count, flow.number(0, _INT)], result=np.dtype(np.bool_))
    index = flow.map("select", [below, flow.number(x.shape[time], _INT), turned], compute=_INT)
    axes: list[int | None] = list(range(rank))
    axes[time] = -1
    places = _whole(x.shape, axes, [index], rank)
    return places.gather(flow, x, node.shape) if places else None


# --- coordinates ---------------------------------------------------------------------------------


def _coordinates(
    flow: Flow, shape: Sequence[int], indices: Value, batch: int, rank: int
) -> Places | None:
    """Return the places that the last axis of `indices` names, after `batch` shared axes."""
    depth, outer = indices.shape[-1], indices.shape[:-1]
    if not depth or indices.size == 0:
        return None
    columns = []
    for number in range(depth):
        starts = (*(0,) * len(outer), number)
        column = flow.slice(indices, starts, (1,) * len(indices.shape), (*outer, 1))
        columns.append(_lifted(flow, flow.reshape(column, outer), 0, rank - len(outer)))
    axes = [*range(batch), *[-1 - number for number in range(depth)]]
    axes += range(len(outer), len(outer) + len(shape) - len(axes))
    return _whole(shape, axes, columns, rank)


@imports("gather_nd")
def _gather_nd(flow: Flow, node: Application) -> Value | None:
    data, indices = node.operand(0), node.operand(1)
    batch = node.attributes["batch_dims"]
    if data.size == 0 or len(indices.shape) <= batch:
        return None
    places = _coordinates(flow, data.shape, indices, batch, len(node.shape))
    return places.gather(flow, data, node.shape) if places else None


@imports("gather_nd_gradient")
def _gather_nd_gradient(flow: Flow, node: Application) -> Value | None:
    g, indices = node.operand(0), node.operand(2)
    batch = node.attributes["batch_dims"]
    if len(indices.shape) <= batch:
        return None
    places = _coordinates(flow, node.shape, indices, batch, len(g.shape))
    return places.scatter(flow, flow.number(0, g.dtype), g, node.shape, "add") if places else None


@imports("scatter_nd")
def _scatter_nd(flow: Flow, node: Application) -> Value | None:
    indices, updates, data = node.operand(0), node.operand(1), node.optional(3)
    if data is not None and len(data.shape) > len(node.shape):
        return None
    updates = flow.map("cast", [updates], compute=updates.dtype, result=node.dtype)
    if data is None:
        start = flow.number(0, node.dtype)
    else:
        start = flow.map("cast", [data], compute=data.dtype, result=node.dtype)
    places = _coordinates(flow, node.shape, indices, 0, len(updates.shape))
    reduction = node.attributes["reduction"]
    return places.scatter(flow, start, updates, node.shape, reduction) if places else None


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
