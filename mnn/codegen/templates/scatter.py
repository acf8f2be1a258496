"""Values put, or combined with what is there, at places that indices name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Index, Module, Value, lanes_of, vector
from mnn.codegen.kernel import Call, Kernel, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.access import computed, cut_rows, in_memory, memory_type, odometer
from mnn.codegen.templates.places import (
    ELEMENT_TYPES,
    pick,
    place_fields,
    place_of,
    place_slots,
)
from mnn.codegen.templates.space import Operand, canonical
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["COMBINATIONS", "ScatterKernel", "lower"]

COMBINATIONS = ("none", "add", "mul", "max", "min")
"""What becomes of an element and a value for it; `none` leaves the value."""

_PART = 256
"""Elements of the last free axis that are one item."""
_CHUNK = 8192
"""Elements worth handing to another thread."""


@dataclass(frozen=True)
class ScatterKernel(Kernel):
    """Combines elements at places that indices name with values, in the order of the values.

    Axes of the values along which every value has an element of its own are *free*: their parts are
    the items. The others are walked in order for each of them.

    Attributes:
        combination: of COMBINATIONS.
        dtype: of elements and values.
        indices: dtypes of the indices; negative ones count from the end.
        runs: indices are for the whole last free axis, and neighbours along it lie side by side.
        free: number of free axes before the last one.
        ordered: number of the other axes.
        checked: a bad index sets the status; otherwise there are none.

    Arguments: for elements, values and each index the pointer, the strides in bytes along free and
    ordered axes; sizes of the axes; parts of the last free one; then `place_fields`.
    """

    combination: str
    dtype: str
    indices: tuple[str, ...]
    runs: bool
    free: int
    ordered: int
    checked: bool

    @property
    def operands(self) -> list[str]:
        """Names of elements, values and indices."""
        return ["x", "y", *[f"i{number}" for number in range(len(self.indices))]]

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for each in self.operands:
            names += [f"*{each}", *[f"{each}k{axis}" for axis in range(self.free + 1)]]
            names += [f"{each}r{axis}" for axis in range(self.ordered)]
        names += [f"k{axis}" for axis in range(self.free + 1)]
        names += [*[f"r{axis}" for axis in range(self.ordered)], "count", "parts"]
        return " ".join(names) + " " + place_fields(len(self.indices), checked=self.checked)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Scatter(self, module.entry(), target).build()
        return module


class _Scatter:
    """Builds the code of a ScatterKernel."""

    def __init__(self, kernel: ScatterKernel, function: Function, target: Target) -> None:
        self.kernel, self.function = kernel, function
        self.dtype = np.dtype(kernel.dtype)
        self.lanes = target.vector_bytes // self.dtype.itemsize
        self.block = function.block(kernel.fields())

    def _listed(self, pattern: str, count: int) -> list[Index]:
        return [getattr(self.block, f"{pattern}{axis}") for axis in range(count)]

    def build(self) -> None:
        """Build the walk over parts of the last free axis, and over all values for each."""
        f, kernel, block = self.function, self.kernel, self.block
        strides = [self._listed(f"{each}k", kernel.free) for each in kernel.operands]
        pointers = [getattr(block, each) for each in kernel.operands]
        length = getattr(block, f"k{kernel.free}")
        sizes = self._listed("k", kernel.free)
        cut = cut_rows(f, sizes, pointers, strides, length, _PART, block.parts)
        with cut as (places, start, end):
            steps = [self._listed(f"{each}r", kernel.ordered) for each in kernel.operands]
            lengths = self._listed("r", kernel.ordered)
            with odometer(f, 0, block.count, lengths, places, steps) as (_, here):
                self._row(here, start, end)

    def _row(self, pointers: Sequence[Value], start: Index, end: Index) -> None:
        """Build the work on part of one row of values."""
        f, kernel, size = self.function, self.kernel, self.dtype.itemsize
        x, y, *i = pointers
        if kernel.runs:
            x = f.offset(x, place_of(f, self.block, kernel.indices, i))
            whole = f.add(start, f.floor_to(f.sub(end, start), self.lanes))
            for first, last, width in ((start, whole, self.lanes), (whole, end, 1)):
                with f.loop(first, last, width) as loop:
                    place = f.mul(loop.index, size)
                    self._combine(f.offset(x, place), f.offset(y, place), width)
            return
        steps = [getattr(self.block, f"{each}k{kernel.free}") for each in kernel.operands]
        with f.loop(start, end) as loop:
            x, y, *i = (
                f.offset(pointer, f.mul(loop.index, step))
                for pointer, step in zip(pointers, steps, strict=True)
            )
            x = f.offset(x, place_of(f, self.block, kernel.indices, i))
            self._combine(x, y, 1)

    def _combine(self, element: Value, value: Value, lanes: int) -> None:
        f, size, name = self.function, self.dtype.itemsize, self.kernel.combination
        if name == "none":
            kind = vector(lanes, ELEMENT_TYPES[size])
            f.store(f.load(kind, value, size), element, size)
            return
        kind = vector(lanes, memory_type(self.kernel.dtype))
        old, new = (
            computed(f, self.kernel.dtype, f.load(kind, each, size)) for each in (element, value)
        )
        k = Body(f, lanes_of(kind), self.dtype)
        combine = {"add": k.add, "mul": k.mul, "max": k.maximum, "min": k.minimum}[name]
        f.store(in_memory(f, self.kernel.dtype, combine(old, new)), element, size)


def lower(
    elements: Tensor,
    values: Tensor,
    indices: Sequence[Tensor],
    target: Target,
    *,
    axes: Sequence[int],
    combination: str = "none",
    status: Tensor | None = None,
    label: str = "scatter",
) -> list[Call]:
    """Return the calls that combine `elements`, in place, with values at places of indices.

    Args:
        elements: what is changed; no two places of it are one. Has elements when `values` does.
        values: of the same dtype, taken in C order: later ones win, or are added later.
        indices: integers from -size to size - 1 of their axes, views of the shape of `values`.
        axes: for each axis of `elements` the axis of `values` that it walks along, or -1 - k for
            the axis of index k.
        combination: of COMBINATIONS; others than `none` need a dtype that kernels compute in.
        status: one int64; a bad index makes it 1 and is taken for 0. None: the caller knows that
            there is none.

    Raises:
        CodegenError: shapes or dtypes do not fit, or no such combination.
    """
    if elements.dtype != values.dtype or combination not in COMBINATIONS:
        raise CodegenError(
            f"{label}: found {values.dtype} values for {elements.dtype} elements, combination "
            f"{combination!r}, expected equal dtypes and one of {COMBINATIONS}."
        )
    picked = pick(label, elements, indices, axes, values.shape)
    if 0 in values.shape:
        return []
    free = [axis for axis in range(len(values.shape)) if axis in axes]
    order = [*free, *[axis for axis in range(len(values.shape)) if axis not in free]]
    goal = picked.tensor.permuted(order)
    rows = replace(goal, shape=goal.shape[: len(free)], strides=goal.strides[: len(free)])
    space = canonical(
        [each.permuted(order) for each in (values, *indices)],
        [rows],
        [True],
        goal.shape,
        len(order) - len(free),
        ordered=True,
    )
    sizes = space.kept or (1,)
    operands = [*space.outputs, *space.inputs]
    strides = [each.kept or (0,) for each in operands]
    runs = (
        sizes[-1] > 1
        and strides[0][-1] == strides[1][-1] == 1
        and not any(each[-1] for each in strides[2:])
    )
    kernel = ScatterKernel(
        combination,
        elements.dtype.name if combination != "none" else f"uint{8 * elements.dtype.itemsize}",
        tuple(each.dtype.name for each in indices),
        runs,
        len(sizes) - 1,
        len(space.reduced),
        status is not None,
    )
    parts = -(-sizes[-1] // _PART)
    slots = _slots(kernel, operands, strides, sizes, space.reduced)
    slots |= {"parts": parts, **place_slots(picked, status)}
    items = math.prod(sizes[:-1]) * parts
    return [
        Call(
            kernel,
            tuple(slots[each.lstrip("*")] for each in kernel.fields().split()),
            items,
            grain=max(1, _CHUNK * items // values.size),
            traffic=3 * values.size * values.dtype.itemsize,
            label=f"{label} {'x'.join(map(str, values.shape))}",
        )
    ]


def _slots(
    kernel: ScatterKernel,
    operands: Sequence[Operand],
    strides: Sequence[Sequence[int]],
    sizes: Sequence[int],
    ordered: Sequence[int],
) -> dict[str, Any]:
    """Return what the argument slots of operands and sizes hold."""
    slots: dict[str, Any] = {"count": math.prod(ordered)}
    for name, operand, steps in zip(kernel.operands, operands, strides, strict=True):
        slots[name] = operand.pointer
        for axis, step in enumerate(steps):
            slots[f"{name}k{axis}"] = step * operand.itemsize
        for axis, step in enumerate(operand.reduced or (0,) * len(ordered)):
            slots[f"{name}r{axis}"] = step * operand.itemsize
    slots |= {f"k{axis}": size for axis, size in enumerate(sizes)}
    slots |= {f"r{axis}": size for axis, size in enumerate(ordered)}
    return slots
