"""Elements or whole rows picked by indices along any axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mnn.codegen.builder import Function, Index, Module, Value, vector
from mnn.codegen.kernel import Call, Kernel, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.access import cut_rows
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

__all__ = ["GatherKernel", "lower", "lower_gather", "lower_gather_elements"]

_PART = 1024
"""Elements of the last axis that are one item."""
_UNITS = 4
_CHUNK = 8192
"""Elements worth handing to another thread."""


@dataclass(frozen=True)
class GatherKernel(Kernel):
    """Copies elements from places that indices name.

    Attributes:
        itemsize: bytes of an element.
        indices: dtypes of the indices; negative ones count from the end.
        runs: indices are for the whole last axis, and neighbours along it lie side by side.
        kept: number of axes before the last one.
        checked: a bad index sets the status; otherwise there are none.

    Arguments: for data, output and each index the pointer and the strides in bytes along all axes;
    sizes of the axes; parts of the last one; then `place_fields`.
    """

    itemsize: int
    indices: tuple[str, ...]
    runs: bool
    kept: int
    checked: bool

    @property
    def operands(self) -> list[str]:
        """Names of data, output and indices."""
        return ["x", "y", *[f"i{number}" for number in range(len(self.indices))]]

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for each in self.operands:
            names += [f"*{each}", *[f"{each}k{axis}" for axis in range(self.kept + 1)]]
        names += [*[f"k{axis}" for axis in range(self.kept + 1)], "parts"]
        return " ".join(names) + " " + place_fields(len(self.indices), checked=self.checked)

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Gather(self, module.entry(), target).build()
        return module


class _Gather:
    """Builds the code of a GatherKernel."""

    def __init__(self, kernel: GatherKernel, function: Function, target: Target) -> None:
        self.kernel, self.function = kernel, function
        self.lanes = target.vector_bytes // kernel.itemsize
        self.block = function.block(kernel.fields())

    def build(self) -> None:
        """Build the walk over parts of the last axis."""
        f, kernel, block = self.function, self.kernel, self.block
        axes = range(kernel.kept)
        sizes = [getattr(block, f"k{axis}") for axis in axes]
        strides = [[getattr(block, f"{each}k{axis}") for axis in axes] for each in kernel.operands]
        length = getattr(block, f"k{kernel.kept}")
        pointers = [getattr(block, each) for each in kernel.operands]
        cut = cut_rows(f, sizes, pointers, strides, length, _PART, block.parts)
        with cut as ((data, out, *indices), start, end):
            if kernel.runs:
                distance = place_of(f, block, kernel.indices, indices)
                self._run(f.offset(data, distance), out, start, end)
            else:
                self._elements([data, out, *indices], start, end)

    def _run(self, source: Value, out: Value, start: Index, end: Index) -> None:
        """Build the copy of neighbours; memory of data and output is never the same."""
        f, size, lanes = self.function, self.kernel.itemsize, self.lanes
        length = f.sub(end, start)
        many = f.add(start, f.floor_to(length, lanes * _UNITS))
        single = f.add(start, f.floor_to(length, lanes))
        stretches = [(start, many, lanes, _UNITS), (many, single, lanes, 1), (single, end, 1, 1)]
        for first, last, width, units in stretches:
            kind = vector(width, ELEMENT_TYPES[size])
            with f.loop(first, last, width * units) as loop:
                place = f.mul(loop.index, size)
                for unit in range(units):
                    far = unit * width * size
                    found = f.load(kind, f.offset(f.offset(source, place), far), size)
                    f.store(found, f.offset(f.offset(out, place), far), size)

    def _elements(self, pointers: Sequence[Value], start: Index, end: Index) -> None:
        """Build the loop over single elements."""
        f, kernel, size = self.function, self.kernel, self.kernel.itemsize
        steps = [getattr(self.block, f"{each}k{kernel.kept}") for each in kernel.operands]
        many = f.add(start, f.floor_to(f.sub(end, start), _UNITS))
        for first, until, units in ((start, many, _UNITS), (many, end, 1)):
            with f.loop(first, until, units) as loop:
                for unit in range(units):
                    place = f.add(loop.index, unit)
                    x, y, *i = (
                        f.offset(pointer, f.mul(place, step))
                        for pointer, step in zip(pointers, steps, strict=True)
                    )
                    distance = place_of(f, self.block, kernel.indices, i)
                    found = f.load(ELEMENT_TYPES[size], f.offset(x, distance), size)
                    f.store(found, y, size)


def lower(
    data: Tensor,
    indices: Sequence[Tensor],
    out: Tensor,
    target: Target,
    *,
    axes: Sequence[int],
    status: Tensor | None = None,
    label: str = "gather",
) -> list[Call]:
    """Return the calls that store elements of `data` at places that indices name in `out`.

    Args:
        data: elements of 1, 2, 4 or 8 bytes; has elements when `out` does.
        indices: integers from -size to size - 1 of their axes, views of the shape of `out`.
        out: overlaps nothing.
        axes: for each axis of `data` the axis of `out` that it walks along, or -1 - k for the axis
            of index k.
        status: one int64; a bad index makes it 1 and is taken for 0. None: the caller knows that
            there is none.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    if data.dtype != out.dtype:
        raise CodegenError(
            f"{label}: found data of {data.dtype} and output of {out.dtype}, expected the same."
        )
    picked = pick(label, data, indices, axes, out.shape)
    if 0 in out.shape:
        return []
    space = canonical([picked.tensor, *indices], [out], [False], out.shape, 0)
    sizes = space.kept or (1,)
    source, *places = space.inputs
    operands = [source, *space.outputs, *places]
    strides = [each.kept or (0,) for each in operands]
    runs = (
        sizes[-1] > 1
        and strides[0][-1] == strides[1][-1] == 1
        and not any(each[-1] for each in strides[2:])
    )
    size = out.dtype.itemsize
    kernel = GatherKernel(
        size,
        tuple(each.dtype.name for each in indices),
        runs,
        len(sizes) - 1,
        status is not None,
    )
    parts = -(-sizes[-1] // _PART)
    values: dict[str, Any] = {"parts": parts, **place_slots(picked, status)}
    for name, operand, steps in zip(kernel.operands, operands, strides, strict=True):
        values[name] = operand.pointer
        for number, step in enumerate(steps):
            values[f"{name}k{number}"] = step * operand.itemsize
    for number, each in enumerate(sizes):
        values[f"k{number}"] = each
    items = math.prod(sizes[:-1]) * parts
    traffic = 2 * out.size * size + sum(_bytes(sizes, each) for each in places)
    return [
        Call(
            kernel,
            tuple(values[each.lstrip("*")] for each in kernel.fields().split()),
            items,
            grain=max(1, _CHUNK * items // out.size),
            traffic=traffic,
            label=f"{label} {'x'.join(map(str, out.shape))}",
        )
    ]


def lower_gather(
    data: Tensor,
    indices: Tensor,
    out: Tensor,
    target: Target,
    *,
    axis: int,
    status: Tensor | None = None,
    label: str = "",
) -> list[Call]:
    """Return the calls that store `numpy.take(data, indices, axis)` in `out`.

    Args: as for `lower`; the indices have a shape of their own, which replaces the axis.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    if not 0 <= axis < len(data.shape) or out.shape != shape:
        raise CodegenError(
            f"gather: output has shape {out.shape}, expected {shape} for data {data.shape} and "
            f"indices {indices.shape} along axis {axis}."
        )
    before, after = len(data.shape[:axis]), len(data.shape[axis + 1 :])
    strides = (*[0] * before, *indices.strides, *[0] * after)
    picks = replace(indices, shape=shape, strides=strides)
    last = len(shape)
    axes = [*range(before), -1, *range(last - after, last)]
    return lower(data, [picks], out, target, axes=axes, status=status, label=label or "gather")


def lower_gather_elements(
    data: Tensor,
    indices: Tensor,
    out: Tensor,
    target: Target,
    *,
    axis: int,
    status: Tensor | None = None,
    label: str = "",
) -> list[Call]:
    """Return the calls that store `numpy.take_along_axis(data, indices, axis)` in `out`.

    Args: as for `lower`; `data` may be longer along other axes, whose first elements are used.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    shape = indices.shape
    if not 0 <= axis < len(shape) or out.shape != shape:
        raise CodegenError(
            f"gather elements: found indices {shape} and output {out.shape} along axis {axis}, "
            "expected equal shapes."
        )
    axes = [*range(axis), -1, *range(axis + 1, len(shape))]
    label = label or "gather elements"
    return lower(data, [indices], out, target, axes=axes, status=status, label=label)


def _bytes(sizes: Sequence[int], operand: Operand) -> int:
    """Return the bytes of an input, repeated elements once."""
    moved = [n for n, stride in zip(sizes, operand.kept, strict=False) if stride]
    return math.prod(moved) * operand.itemsize
