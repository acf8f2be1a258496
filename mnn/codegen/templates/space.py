"""Index spaces of loops: which axes are left when those that belong together are walked as one."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from mnn.codegen.kernel import Pointer, Tensor
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["Operand", "Space", "canonical", "tensors_of"]


@dataclass(frozen=True)
class Operand:
    """A tensor as a loop sees it.

    Attributes:
        pointer: address of the element with index 0 along every axis of the space.
        dtype: NumPy name of the elements in memory.
        kept, reduced: strides along the axes of the space, in elements.
        row: one value for all positions along the reduced axes.
    """

    pointer: Pointer
    dtype: str
    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    row: bool

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Space:
    """Sizes of kept and reduced axes, innermost last, and what is read and written over them.

    Attributes:
        weights: for each reduced axis, the distance of neighbours in the order that positions
            (of arg-reductions) are counted in.
    """

    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    weights: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Number of positions along the kept axes."""
        return int(np.prod(self.kept, dtype=np.int64))

    @property
    def length(self) -> int:
        """Number of positions along the reduced axes."""
        return int(np.prod(self.reduced, dtype=np.int64))


@dataclass(frozen=True)
class _Axis:
    """One axis: its size, the strides of all operands along it, outputs first, and its weight."""

    size: int
    strides: tuple[int, ...]
    weight: int = 0


def canonical(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    rows: Sequence[bool],
    shape: Sequence[int],
    reduced: int,
    *,
    ordered: bool = False,
) -> Space:
    """Return the space with few axes: sizes of 1 dropped, neighbours merged, the best one inside.

    Args:
        inputs: views of `shape`.
        outputs: of `shape`, or of `shape` without its last `reduced` axes.
        rows: for each output, whether it is of the second sort.
        reduced: number of reduced axes, the last ones.
        ordered: reduced axes keep their order and direction.

    Raises:
        CodegenError: an output has several indices for one element.
    """
    kept = len(shape) - reduced
    tensors = [*outputs, *inputs]
    short = [*rows, *[False] * len(inputs)]
    strides = [
        (*each.strides[:kept], *[0] * reduced) if row else each.strides
        for each, row in zip(tensors, short, strict=True)
    ]
    weights = [1] * len(shape)
    for axis in reversed(range(kept, len(shape) - 1)):
        weights[axis] = weights[axis + 1] * shape[axis + 1]
    axes = [
        _Axis(size, tuple(each[number] for each in strides), weights[number])
        for number, size in enumerate(shape)
    ]
    _check_outputs(outputs, rows, axes, kept)
    offsets = [each.offset for each in tensors]
    order = _by_size(tensors, axes)
    outer = _arranged([each for each in axes[:kept] if each.size != 1], offsets, order)
    inner = [each for each in axes[kept:] if each.size != 1]
    inner = _merged(inner, ordered=True) if ordered else _arranged(inner, offsets, order)
    operands = [
        Operand(
            Pointer(each.buffer, offset * each.dtype.itemsize),
            each.dtype.name,
            tuple(axis.strides[number] for axis in outer),
            tuple(axis.strides[number] for axis in inner),
            all(axis.strides[number] == 0 for axis in inner),
        )
        for number, (each, offset) in enumerate(zip(tensors, offsets, strict=True))
    ]
    return Space(
        tuple(axis.size for axis in outer),
        tuple(axis.size for axis in inner),
        tuple(operands[len(outputs) :]),
        tuple(operands[: len(outputs)]),
        tuple(axis.weight for axis in inner),
    )


def tensors_of(space: Space) -> tuple[list[Tensor], list[Tensor]]:
    """Return inputs and outputs as views of the space; row outputs have the kept axes only."""

    def tensor(operand: Operand, row: bool) -> Tensor:
        offset, rest = divmod(operand.pointer.offset, operand.itemsize)
        assert not rest
        shape = space.kept if row else (*space.kept, *space.reduced)
        strides = operand.kept if row else (*operand.kept, *operand.reduced)
        return Tensor(operand.pointer.buffer, shape, strides, np.dtype(operand.dtype), offset)

    inputs = [tensor(each, False) for each in space.inputs]
    return inputs, [tensor(each, each.row) for each in space.outputs]


def _check_outputs(
    outputs: Sequence[Tensor], rows: Sequence[bool], axes: Sequence[_Axis], kept: int
) -> None:
    for number, row in enumerate(rows):
        for place, axis in enumerate(axes):
            if axis.size > 1 and axis.strides[number] == 0 and not (row and place >= kept):
                raise CodegenError(
                    f"loops: output {number} has stride 0 along axis {place} of size {axis.size}, "
                    f"expected a place for each of {outputs[number].shape}."
                )


def _by_size(tensors: Sequence[Tensor], axes: Sequence[_Axis]) -> list[int]:
    """Return the operands, those with most bytes first."""

    def size(number: int) -> int:
        moved = [axis.size for axis in axes if axis.strides[number]]
        return math.prod(moved) * tensors[number].dtype.itemsize

    return sorted(range(len(tensors)), key=size, reverse=True)


def _arranged(axes: list[_Axis], offsets: list[int], order: Sequence[int]) -> list[_Axis]:
    """Return the axes ordered, turned and merged; turning moves `offsets`."""

    def compare(left: _Axis, right: _Axis) -> int:
        for number in order:
            a, b = abs(left.strides[number]), abs(right.strides[number])
            if a and b and a != b:
                return -1 if a > b else 1
        return 0

    turned = [_turned(each, offsets, order) for each in axes]
    return _merged(sorted(turned, key=functools.cmp_to_key(compare)), ordered=False)


def _merged(axes: Sequence[_Axis], *, ordered: bool) -> list[_Axis]:
    """Return the axes with those joined that all operands walk as one."""
    merged: list[_Axis] = []
    for axis in axes:
        outer = merged[-1] if merged else None
        if (
            outer is not None
            and all(a == b * axis.size for a, b in zip(outer.strides, axis.strides, strict=True))
            and (not ordered or outer.weight == axis.weight * axis.size)
        ):
            merged[-1] = _Axis(outer.size * axis.size, axis.strides, axis.weight)
        else:
            merged.append(axis)
    return merged


def _turned(axis: _Axis, offsets: list[int], order: Sequence[int]) -> _Axis:
    """Return the axis in the direction that the largest operand that moves along it has."""
    first = next((axis.strides[number] for number in order if axis.strides[number]), 0)
    if first >= 0 or axis.size == 0:
        return axis
    for number, stride in enumerate(axis.strides):
        offsets[number] += stride * (axis.size - 1)
    return _Axis(axis.size, tuple(-each for each in axis.strides), axis.weight)
