"""How the windows of a pooling lie on each spatial axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference.layout import split_shape
from mnn.ops.reference.precision import Array, DType
from mnn.ops.reference.window_shapes import Pads, effective_kernel, pool_padding, pool_shape
from mnn.records import dataclass

__all__ = [
    "PoolAxis",
    "along",
    "check_pool_grad",
    "check_real",
    "empty_result",
    "pool_axes",
]


def along(axis: int, piece: slice) -> tuple[slice, ...]:
    """Return the index that takes `piece` of one axis and all of the axes before it."""
    return (*[slice(None)] * axis, piece)


@dataclass(frozen=True)
class PoolAxis:
    """One spatial axis of a pooling: window i reads `i * stride - begin + tap * dilation`."""

    length: int
    count: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int

    def positions(self) -> Array:
        """Return the input position of every tap of every window: (count, kernel)."""
        starts = np.arange(self.count) * self.stride - self.begin
        return starts[:, None] + np.arange(self.kernel) * self.dilation

    def nearest(self) -> Array:
        """Return `positions` moved into the input: to a tap of the same window if one is inside.

        So a maximum sees nothing but its window, and where a window lies outside, the edge.
        """
        positions = self.positions()
        inside = (positions >= 0) & (positions < self.length)
        taps = np.arange(self.kernel)
        first, last = inside.argmax(axis=1), self.kernel - 1 - inside[:, ::-1].argmax(axis=1)
        moved = np.clip(taps, first[:, None], last[:, None])
        chosen = np.take_along_axis(positions, moved, axis=1)
        inner: Array = np.clip(chosen, 0, self.length - 1)
        return inner

    def overhang(self) -> int:
        """Return how far the last window reaches beyond the input (0 or more)."""
        reach: int = effective_kernel(self.kernel, self.dilation)
        return max(0, (self.count - 1) * self.stride + reach - self.begin - self.length)

    def taps(self) -> list[slice]:
        """Return for each tap the padded positions that the windows read."""
        span = (self.count - 1) * self.stride + 1
        return [
            slice(tap * self.dilation, tap * self.dilation + span, self.stride)
            for tap in range(self.kernel)
        ]


def pool_axes(
    name: str,
    shape: tuple[int, ...],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int] | None,
    pads: Pads,
    mode: str,
    ceil_mode: bool,
    clip: bool,
    layout: str,
) -> tuple[PoolAxis, ...]:
    """Return the geometry of every spatial axis, after checking the attributes."""
    result = pool_shape(
        shape,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        pads=pads,
        mode=mode,
        ceil_mode=ceil_mode,
        clip=clip,
        layout=layout,
        name=name,
    )
    gaps = (1,) * len(kernel) if dilation is None else dilation
    found = []
    for length, count, size, step, gap, pad in zip(
        split_shape(shape, layout)[2],
        split_shape(result, layout)[2],
        kernel,
        stride,
        gaps,
        pads,
        strict=True,
    ):
        begin, end = pool_padding(length, size, stride=step, dilation=gap, pads=pad, mode=mode)
        found.append(PoolAxis(length, count, size, step, gap, begin, end))
    return tuple(found)


def empty_result(x: Array, axes: Sequence[PoolAxis], dtype: DType) -> Array | None:
    """Return the result when it has no element, else None."""
    shape = (*x.shape[:2], *(axis.count for axis in axes))
    return np.zeros(shape, dtype) if 0 in shape else None


def check_real(name: str, x: Array) -> None:
    if x.dtype.kind not in "fiub":
        raise DTypeError(
            f"{name}: found dtype {x.dtype}, expected real numbers. Pool real and imaginary parts "
            "separately."
        )


def check_pool_grad(
    name: str, grad: Array, input_shape: tuple[int, ...], axes: Sequence[PoolAxis]
) -> None:
    expected = (*input_shape[:2], *(axis.count for axis in axes))
    if grad.shape != expected:
        raise ShapeError(
            f"{name}: the gradient has channels-first shape {grad.shape}, expected {expected}, "
            "the shape of the forward result. Check that the attributes are those of the "
            "forward call."
        )
