"""Strided views of tensors: what movement costs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.codegen.kernel import Tensor, contiguous
from mnn.compile.flow import Value
from mnn.records import replace

__all__ = ["apply_view", "is_contiguous", "memory_order", "reshaped", "unviewed"]


def apply_view(view: Value, tensor: Tensor) -> Tensor | None:
    """Return a tensor seen through a view; None for a reshape that strides cannot say."""
    attributes = view.attributes
    if view.kind == "permute":
        return tensor.permuted(attributes["axes"])
    if view.kind == "broadcast":
        return tensor.broadcast(view.shape)
    if view.kind == "slice":
        moved = sum(
            start * stride
            for start, stride in zip(attributes["starts"], tensor.strides, strict=True)
        )
        strides = tuple(
            step * stride for step, stride in zip(attributes["steps"], tensor.strides, strict=True)
        )
        return replace(tensor, shape=view.shape, strides=strides, offset=tensor.offset + moved)
    assert view.kind == "reshape", view
    return reshaped(tensor, view.shape)


def unviewed(view: Value, tensor: Tensor) -> Tensor | None:
    """Return where a permute's or reshape's operand lies when its result is a tensor.

    None for a reshape that strides cannot say.
    """
    if view.kind == "reshape":
        return reshaped(tensor, view.inputs[0].shape)
    axes = view.attributes["axes"]
    return tensor.permuted([axes.index(axis) for axis in range(len(axes))])


def reshaped(tensor: Tensor, shape: Sequence[int]) -> Tensor | None:
    """Return the tensor's elements in another shape, None when that needs a copy."""
    if tuple(shape) == tensor.shape:
        return tensor
    if not tensor.size:
        return contiguous(tensor.buffer, shape, tensor.dtype)
    old = [
        (size, stride)
        for size, stride in zip(tensor.shape, tensor.strides, strict=True)
        if size != 1
    ]
    strides = [0] * len(shape)
    place = 0
    axis = 0
    while axis < len(shape):
        if shape[axis] == 1:
            axis += 1
            continue
        # A run of old axes and a run of new ones of equal size stand for each other.
        last, total, wanted = axis + 1, old[place][0], shape[axis]
        used = place + 1
        while total != wanted:
            if total < wanted:
                if old[used - 1][1] != old[used][1] * old[used][0]:
                    return None
                total *= old[used][0]
                used += 1
            else:
                wanted *= shape[last]
                last += 1
        step = old[used - 1][1]
        for inner in reversed(range(axis, last)):
            strides[inner] = step
            step *= shape[inner]
        axis, place = last, used
    return replace(tensor, shape=tuple(shape), strides=tuple(strides))


def is_contiguous(tensor: Tensor) -> bool:
    """True when the elements lie in memory in their logical order, without gaps."""
    step = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def memory_order(tensor: Tensor) -> tuple[int, ...]:
    """Return the axes from the outermost to the innermost in memory; axes of size 1 come first."""
    moving = [axis for axis, size in enumerate(tensor.shape) if size != 1]
    still = [axis for axis, size in enumerate(tensor.shape) if size == 1]
    return (*still, *sorted(moving, key=lambda axis: -abs(tensor.strides[axis])))
