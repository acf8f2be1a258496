"""Places that arrays of indices name: what gathers and scatters have in common.

A *picked* tensor is seen over an index space: some of its axes walk along axes of the space, the
others stand where an index says. Indices may come from anywhere, so every one of them is compared
with the size of its axis: a bad one sets the status of the plan and is taken for 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.builder import I8, I16, I32, I64, PTR, Function, Index, Value
from mnn.codegen.kernel import Slot, Tensor
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["ELEMENT_TYPES", "Picked", "pick", "place_fields", "place_of", "place_slots"]

ELEMENT_TYPES = {1: I8, 2: I16, 4: I32, 8: I64}
"""How elements of so many bytes are copied."""


@dataclass(frozen=True)
class Picked:
    """A tensor over an index space.

    Attributes:
        tensor: of the space's shape; stride 0 along what only indices move.
        along: for each index its axis: the stride in bytes, and the size.
    """

    tensor: Tensor
    along: tuple[tuple[int, int], ...]


def pick(
    name: str, tensor: Tensor, indices: Sequence[Tensor], axes: Sequence[int], shape: Sequence[int]
) -> Picked:
    """Return a tensor as seen over an index space.

    Args:
        name: for messages.
        tensor: elements of 1, 2, 4 or 8 bytes.
        indices: integers, of `shape`.
        axes: for each axis of the tensor the axis of the space that it walks along, from its first
            element on, or -1 - k when index k says where it stands.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    if tensor.dtype.itemsize not in ELEMENT_TYPES:
        raise CodegenError(f"{name}: found {tensor.dtype}, expected elements of 1 to 8 bytes.")
    if any(each.dtype.kind not in "iu" for each in indices):
        found = [str(each.dtype) for each in indices]
        raise CodegenError(f"{name}: found indices of {found}, expected integers.")
    walks = [goes for goes in axes if goes >= 0]
    fits = (
        len(axes) == len(tensor.shape)
        and len(set(axes)) == len(axes)
        and all(each.shape == tuple(shape) for each in indices)
        and sorted(-1 - goes for goes in axes if goes < 0) == list(range(len(indices)))
        and max(walks, default=0) < max(len(shape), 1)
        and all(
            goes < 0 or size >= shape[goes] for size, goes in zip(tensor.shape, axes, strict=True)
        )
    )
    if not fits:
        raise CodegenError(
            f"{name}: axes {tuple(axes)} of a tensor of {tensor.shape} do not fit indices of "
            f"{[each.shape for each in indices]} over the shape {tuple(shape)}."
        )
    strides = [0] * len(shape)
    along = [(0, 0)] * len(indices)
    for size, stride, goes in zip(tensor.shape, tensor.strides, axes, strict=True):
        if goes >= 0:
            strides[goes] = stride
        else:
            along[-1 - goes] = (stride * tensor.dtype.itemsize, size)
    return Picked(replace(tensor, shape=tuple(shape), strides=tuple(strides)), tuple(along))


def place_fields(count: int, *, checked: bool) -> str:
    """Return the names of argument slots for `count` indices."""
    names = [f"stride{number} size{number}" for number in range(count)]
    return " ".join([*names, *(["*status"] if checked else [])])


def place_slots(picked: Picked, status: Tensor | None) -> dict[str, Slot]:
    """Return what these slots hold."""
    slots: dict[str, Slot] = {}
    for number, (stride, size) in enumerate(picked.along):
        slots[f"stride{number}"], slots[f"size{number}"] = stride, size
    if status is not None:
        slots["status"] = status.pointer
    return slots


def place_of(
    f: Function, block: SimpleNamespace, dtypes: Sequence[str], pointers: Sequence[Value]
) -> Index:
    """Build the distance, in bytes, that the indices at `pointers` move a picked tensor.

    Args:
        block: the argument block with `place_fields`; without `status` indices are not compared.
        dtypes: NumPy names of the indices' dtypes.
    """
    total: Index = 0
    for number, (dtype, pointer) in enumerate(zip(dtypes, pointers, strict=True)):
        size = getattr(block, f"size{number}")
        index = _loaded(f, np.dtype(dtype), pointer, size)
        if hasattr(block, "status"):
            inside = f.compare("ult", index, size)
            with f.when(f.compare("uge", index, size)):
                f.store(f.constant(1), block.status, 8)
            index = f.select(inside, index, f.constant(0))
        total = f.add(total, f.mul(index, getattr(block, f"stride{number}")))
    return total


def _loaded(f: Function, dtype: np.dtype[np.generic], pointer: Value, size: Value) -> Value:
    """Return an index that counts from the start, if it is one."""
    assert pointer.type == PTR
    index = f.load(ELEMENT_TYPES[dtype.itemsize], pointer, dtype.itemsize)
    if dtype.itemsize < 8:
        word = "sext" if dtype.kind == "i" else "zext"
        index = f.make(f"{word} {index.type} {index.text} to i64", I64)
    if dtype.kind == "i":
        turned = f.value(f.add(index, size))
        index = f.select(f.compare("slt", index, 0), turned, index)
    return index
