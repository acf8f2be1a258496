"""TensorFlow's strided slice: a slice per dimension, with bit masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.ops.axes import integers_of
from mnn.ops.movement import expand_dims, squeeze
from mnn.ops.operands import as_var
from mnn.ops.slicing import LIMIT, slice_steps

__all__ = ["strided_slice"]


def strided_slice(
    x: Any,
    begin: Any,
    end: Any,
    strides: Any,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Var:
    """Return `x[begin:end:strides]` with TensorFlow's bit masks.

    Args:
        x: array.
        begin, end, strides: one number per slice specification.
        begin_mask, end_mask: bit i: ignore the bound.
        ellipsis_mask: bit i: specification i stands for all dimensions not named.
        new_axis_mask: bit i: insert a dimension of size 1.
        shrink_axis_mask: bit i: take one element and drop the dimension.

    Raises:
        ShapeError: more specifications than dimensions, or a stride of 0.
    """
    operand = as_var(x, "strided_slice")
    low = integers_of("strided_slice", begin, "begin")
    high = integers_of("strided_slice", end, "end")
    step = integers_of("strided_slice", strides, "strides")
    if not len(low) == len(high) == len(step):
        raise ShapeError("strided_slice: begin, end and strides differ in length.")
    named = sum(1 for place in range(len(low)) if not (ellipsis_mask | new_axis_mask) >> place & 1)
    if named > operand.ndim:
        raise ShapeError(f"strided_slice: {named} specifications for {operand.ndim} dimensions.")
    plan = _Plan(operand)
    for place in range(len(low)):
        bit = 1 << place
        if ellipsis_mask & bit:
            plan.skip(operand.ndim - named)
        elif new_axis_mask & bit:
            plan.insert()
        elif shrink_axis_mask & bit:
            plan.shrink(low[place])
        else:
            plan.take(
                None if begin_mask & bit else low[place],
                None if end_mask & bit else high[place],
                step[place],
            )
    return plan.apply()


class _Plan:
    """Slices, dropped and inserted dimensions of one strided slice."""

    def __init__(self, x: Var) -> None:
        self.x = x
        self.axis = 0
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.axes: list[int] = []
        self.steps: list[int] = []
        self.dropped: list[int] = []
        self.inserted: list[int] = []
        self.result = 0

    def skip(self, count: int) -> None:
        self.axis += count
        self.result += count

    def insert(self) -> None:
        self.inserted.append(self.result)
        self.result += 1

    def _add(self, start: int, end: int, step: int) -> None:
        self.starts.append(start)
        self.ends.append(end)
        self.axes.append(self.axis)
        self.steps.append(step)
        self.axis += 1

    def shrink(self, index: int) -> None:
        size = self.x.shape[self.axis]
        if size >= 0 and not -size <= index < size:
            raise ShapeError(
                f"strided_slice: index {index} is out of range for axis {self.axis} of size {size}."
            )
        self.dropped.append(self.axis)
        self._add(index, LIMIT if index == -1 else index + 1, 1)

    def take(self, low: int | None, high: int | None, step: int) -> None:
        if step == 0:
            raise ShapeError("strided_slice: a stride is 0, expected another number.")
        start = (0 if step > 0 else LIMIT) if low is None else low
        end = (LIMIT if step > 0 else -LIMIT) if high is None else high
        self._add(start, end, step)
        self.result += 1

    def apply(self) -> Var:
        found = self.x
        if self.starts:
            parts = (self.starts, self.ends, self.axes, self.steps)
            operands = [Var(np.array(each, np.int32)) for each in parts]
            found = slice_steps(found, *operands)
        if self.dropped:
            found = squeeze(found, self.dropped)
        return expand_dims(found, self.inserted) if self.inserted else found
