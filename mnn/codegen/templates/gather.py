"""Elements or whole rows picked by index along one axis."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mnn.codegen.builder import I8, I16, I32, I64, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Call, Kernel, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.access import cut_rows
from mnn.codegen.templates.space import Space, canonical
from mnn.errors import CodegenError

__all__ = ["GatherKernel", "lower_gather", "lower_gather_elements"]

_TYPES = {1: I8, 2: I16, 4: I32, 8: I64}
_PART = 1024
"""Elements of the last axis that are one item."""
_UNITS = 4


@dataclass(frozen=True)
class GatherKernel(Kernel):
    """Copies elements from places that indices name.

    Attributes:
        itemsize: bytes of an element.
        index: dtype of indices; negative ones count from the end.
        runs: one index is for the whole last axis, and neighbours along it lie side by side.
        kept: number of axes before the last one.

    Arguments: for data, indices and output the pointer and the strides in bytes along all axes; the
    stride in bytes and the size of the picked axis; sizes of the axes; parts of the last one.
    """

    itemsize: int
    index: str
    runs: bool
    kept: int

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for each in "xiy":
            names += [f"*{each}", *[f"{each}k{axis}" for axis in range(self.kept + 1)]]
        sizes = [f"k{axis}" for axis in range(self.kept + 1)]
        return " ".join([*names, *sizes, "stride", "size", "parts"])

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
        strides = [[getattr(block, f"{each}k{axis}") for axis in axes] for each in "xiy"]
        length = getattr(block, f"k{kernel.kept}")
        pointers = [block.x, block.i, block.y]
        cut = cut_rows(f, sizes, pointers, strides, length, _PART, block.parts)
        with cut as ((data, indices, out), start, end):
            if kernel.runs:
                self._run(f.offset(data, self._distance(indices)), out, start, end)
            else:
                self._elements(data, indices, out, start, end)

    def _distance(self, pointer: Value) -> Index:
        """Return the bytes from index 0 to the one that is stored at the pointer."""
        f, dtype = self.function, np.dtype(self.kernel.index)
        index = f.load(_TYPES[dtype.itemsize], pointer, dtype.itemsize)
        if dtype.itemsize < 8:
            word = "sext" if dtype.kind == "i" else "zext"
            index = f.make(f"{word} {index.type} {index.text} to i64", I64)
        if dtype.kind == "i":
            turned = f.value(f.add(index, self.block.size))
            index = f.select(f.compare("slt", index, 0), turned, index)
        return f.mul(index, self.block.stride)

    def _run(self, source: Value, out: Value, start: Index, end: Index) -> None:
        """Build the copy of neighbours; memory of data and output is never the same."""
        f, size, lanes = self.function, self.kernel.itemsize, self.lanes
        length = f.sub(end, start)
        many = f.add(start, f.floor_to(length, lanes * _UNITS))
        single = f.add(start, f.floor_to(length, lanes))
        stretches = [(start, many, lanes, _UNITS), (many, single, lanes, 1), (single, end, 1, 1)]
        for first, last, width, units in stretches:
            kind = vector(width, _TYPES[size])
            with f.loop(first, last, width * units) as loop:
                place = f.mul(loop.index, size)
                for unit in range(units):
                    far = unit * width * size
                    found = f.load(kind, f.offset(f.offset(source, place), far), size)
                    f.store(found, f.offset(f.offset(out, place), far), size)

    def _elements(self, data: Value, indices: Value, out: Value, start: Index, end: Index) -> None:
        """Build the loop over single elements."""
        f, block, size = self.function, self.block, self.kernel.itemsize
        last = self.kernel.kept
        steps = [getattr(block, f"{each}k{last}") for each in "xiy"]
        many = f.add(start, f.floor_to(f.sub(end, start), _UNITS))
        for first, until, units in ((start, many, _UNITS), (many, end, 1)):
            with f.loop(first, until, units) as loop:
                for unit in range(units):
                    place = f.add(loop.index, unit)
                    x, i, y = (
                        f.offset(pointer, f.mul(place, step))
                        for pointer, step in zip((data, indices, out), steps, strict=True)
                    )
                    found = f.load(_TYPES[size], f.offset(x, self._distance(i)), size)
                    f.store(found, y, size)


def lower_gather(
    data: Tensor,
    indices: Tensor,
    out: Tensor,
    target: Target,
    *,
    axis: int,
    label: str = "",
) -> list[Call]:
    """Return the calls that store `numpy.take(data, indices, axis)` in `out`.

    Args:
        data: elements of 1, 2, 4 or 8 bytes.
        indices: integers from -size to size - 1 of the axis. The caller guarantees that: others
            read foreign memory.
        out: shape of `data` with the axis replaced by the shape of `indices`; overlaps nothing.
        axis: >= 0.

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
    steps = data.strides
    source = replace(
        data, shape=shape, strides=(*steps[:axis], *[0] * len(indices.shape), *steps[axis + 1 :])
    )
    picks = replace(indices, shape=shape, strides=(*[0] * before, *indices.strides, *[0] * after))
    along = (steps[axis], data.shape[axis])
    return _lower(source, picks, out, along, target, label or "gather")


def lower_gather_elements(
    data: Tensor,
    indices: Tensor,
    out: Tensor,
    target: Target,
    *,
    axis: int,
    label: str = "",
) -> list[Call]:
    """Return the calls that store `numpy.take_along_axis(data, indices, axis)` in `out`.

    Args: as for `lower_gather`, but `out` has the shape of `indices`, and `data` too, except along
        the axis; `data` may also be longer along other axes, whose first elements are used.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    shape = indices.shape
    fits = len(data.shape) == len(shape) and all(
        have >= want
        for n, (have, want) in enumerate(zip(data.shape, shape, strict=True))
        if n != axis
    )
    if not fits or out.shape != shape or not 0 <= axis < len(shape):
        raise CodegenError(
            f"gather elements: found data {data.shape}, indices {shape}, output {out.shape}, "
            f"expected equal shapes except along axis {axis} of data."
        )
    steps = data.strides
    source = replace(data, shape=shape, strides=(*steps[:axis], 0, *steps[axis + 1 :]))
    along = (steps[axis], data.shape[axis])
    return _lower(source, indices, out, along, target, label or "gather elements")


def _lower(
    source: Tensor,
    indices: Tensor,
    out: Tensor,
    along: tuple[int, int],
    target: Target,
    label: str,
) -> list[Call]:
    """Return the call; all tensors are views of the output's shape, `along` is (stride, size)."""
    if source.dtype != out.dtype or source.dtype.itemsize not in _TYPES:
        raise CodegenError(
            f"{label}: found data of {source.dtype} and output of {out.dtype}, expected the same "
            "dtype of 1, 2, 4 or 8 bytes."
        )
    if indices.dtype.kind not in "iu":
        raise CodegenError(f"{label}: found indices of {indices.dtype}, expected integers.")
    if 0 in out.shape:
        return []
    space = canonical([source, indices], [out], [False], out.shape, 0)
    sizes = space.kept or (1,)
    operands = [*space.inputs, *space.outputs]
    strides = [each.kept or (0,) for each in operands]
    runs = strides[1][-1] == 0 and strides[0][-1] == 1 and strides[2][-1] == 1 and sizes[-1] > 1
    size = out.dtype.itemsize
    kernel = GatherKernel(size, indices.dtype.name, runs, len(sizes) - 1)
    parts = -(-sizes[-1] // _PART)
    values: dict[str, Any] = {"stride": along[0] * size, "size": along[1], "parts": parts}
    for name, operand, steps in zip("xiy", operands, strides, strict=True):
        values[name] = operand.pointer
        for number, step in enumerate(steps):
            values[f"{name}k{number}"] = step * operand.itemsize
    for number, each in enumerate(sizes):
        values[f"k{number}"] = each
    items = math.prod(sizes[:-1]) * parts
    return [
        Call(
            kernel,
            tuple(values[each.lstrip("*")] for each in kernel.fields().split()),
            items,
            grain=max(1, 8192 // (out.size // items)),
            traffic=2 * out.size * size + _bytes(space, 1),
            label=label,
        )
    ]


def _bytes(space: Space, number: int) -> int:
    """Return the bytes of an input."""
    operand = space.inputs[number]
    moved = [n for n, stride in zip(space.kept, operand.kept, strict=True) if stride]
    return math.prod(moved) * operand.itemsize
