"""NumPy's indexing with arrays, its adjoint, and assignment to elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importers.indexing import Places
from mnn.compile.importing import Application, imports

__all__ = ["picked"]

Part = tuple[Any, ...]


class _Index:
    """An index being read, part by part; see `mnn.ops.index_parts`.

    Attributes:
        basic: sizes of the result's axes that slices and new axes make.
        axes, starts, steps, counts: as in `Places`, but walking axes are numbers in `basic`.
        indices: arrays of integers.
        place: where in `basic` the axes of the indices stand.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = shape
        self.basic: list[int] = []
        self.axes: list[int | None] = []
        self.starts: list[int] = []
        self.steps: list[int] = []
        self.counts: list[int] = []
        self.indices: list[Value] = []
        self.place = 0

    def _axis(self, goes: int | None, start: int, step: int, count: int) -> None:
        self.axes.append(goes)
        self.starts.append(start)
        self.steps.append(step)
        self.counts.append(count)

    def read(self, flow: Flow, parts: Sequence[Part], arrays: Sequence[Value]) -> bool:
        """Take in all parts; False when they are not for kernels."""
        used = sum(_dimensions(part, arrays) for part in parts)
        fill: list[Part] = [("slice", None, None, None)] * (len(self.shape) - used)
        split = parts.index(("dots",)) if ("dots",) in parts else len(parts)
        has_array = any(part[0] == "array" for part in parts)
        runs, was_fancy = 0, False
        for part in [*parts[: split + 1], *fill, *parts[split + 1 :]]:
            # Beside arrays, integers take part in the fancy indexing, as in NumPy.
            fancy = part[0] == "array" or (part[0] == "int" and has_array)
            if fancy and not was_fancy:
                runs += 1
                self.place = len(self.basic) if runs == 1 else 0
            was_fancy = fancy
            if not self._part(flow, part, arrays):
                return False
        return True

    def _part(self, flow: Flow, part: Part, arrays: Sequence[Value]) -> bool:
        axis = len(self.axes)
        if part[0] == "new":
            self.basic.append(1)
        elif part[0] == "int":
            size = self.shape[axis]
            if not -size <= part[1] < size:
                return False
            self._axis(None, part[1] % size, 1, 1)
        elif part[0] == "slice":
            start, stop, step = slice(*part[1:]).indices(self.shape[axis])
            count = len(range(start, stop, step))
            self._axis(len(self.basic), start, step, count)
            self.basic.append(count)
        elif part[0] == "array":
            return self._array(flow, arrays[part[1]])
        return True

    def _array(self, flow: Flow, value: Value) -> bool:
        found = [value]
        if value.dtype.kind == "b":
            # The places of a mask are known only if the mask is.
            if value.array is None or not value.shape:
                return False
            found = [flow.constant(each) for each in np.nonzero(value.array)]
        for each in found:
            self._axis(-1 - len(self.indices), 0, 1, self.shape[len(self.axes)])
            self.indices.append(each)
        return True

    def places(self, flow: Flow) -> tuple[Places, tuple[int, ...]]:
        """Return the places, and the shape of the index space."""
        joined = np.broadcast_shapes(*(each.shape for each in self.indices))
        before, after = self.place, len(self.basic) - self.place
        lifted = [
            flow.reshape(
                each,
                (*(1,) * (before + len(joined) - len(each.shape)), *each.shape, *(1,) * after),
            )
            for each in self.indices
        ]
        axes = [
            goes + len(joined) if goes is not None and goes >= before else goes
            for goes in self.axes
        ]
        found = Places(
            tuple(lifted), tuple(axes), tuple(self.starts), tuple(self.steps), tuple(self.counts)
        )
        return found, (*self.basic[:before], *joined, *self.basic[before:])


def _dimensions(part: Part, arrays: Sequence[Value]) -> int:
    """Return how many dimensions a part uses up."""
    if part[0] == "array":
        value = arrays[part[1]]
        return len(value.shape) if value.dtype.kind == "b" else 1
    return int(part[0] in ("int", "slice"))


def _places(
    flow: Flow, shape: Sequence[int], node: Application, first: int
) -> tuple[Places, tuple[int, ...]] | None:
    """Return the places of a node's index, whose arrays are its operands from `first` on."""
    arrays = [node.operand(number) for number in range(first, len(node.operands))]
    index = _Index(shape)
    if any(each.dtype.kind not in "iub" for each in arrays):
        return None
    if not index.read(flow, node.attributes["parts"], arrays):
        return None
    return index.places(flow)


def picked(flow: Flow, node: Application) -> Value | None:
    """Return `x[index]` for an index with arrays, None when a kernel does not take it."""
    x = node.operand(0)
    found = _places(flow, x.shape, node, 1)
    if found is None:
        return None
    places, shape = found
    assert shape == node.shape, (shape, node.shape)
    return places.gather(flow, x, shape)


@imports("put_like")
def _put_like(flow: Flow, node: Application) -> Value | None:
    g = node.operand(0)
    found = _places(flow, node.shape, node, 2)
    if found is None:
        return None
    places, shape = found
    # The places of a mask are all different.
    masks = all(node.operand(number).dtype.kind == "b" for number in range(2, len(node.operands)))
    values = flow.broadcast(g, shape)
    start = flow.number(0, g.dtype)
    return places.scatter(flow, start, values, node.shape, "none" if masks else "add")


@imports("assign_index")
def _assign_index(flow: Flow, node: Application) -> Value | None:
    x, value = node.operand(0), node.operand(1)
    found = _places(flow, x.shape, node, 2)
    if found is None or value.dtype.kind not in "biuf":
        return None
    places, shape = found
    # Leading axes of size 1 that the chosen elements lack.
    extra = max(len(value.shape) - len(shape), 0)
    cast = flow.map("cast", [value], compute=value.dtype, result=x.dtype)
    fitting = flow.broadcast(flow.reshape(cast, value.shape[extra:]), shape)
    return places.scatter(flow, x, fitting, node.shape, "none")
