"""Where the channels are: functions that let the others think in channels-first order."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.precision import Array

__all__ = [
    "channel_axis",
    "channel_vector",
    "channels_first",
    "channels_first_axes",
    "in_layout",
    "join_shape",
    "spatial_axes",
    "split_shape",
]


def channel_axis(layout: str, rank: int) -> int:
    """Return the axis of the channels: 1 in NCHW and NC4HW4, the last one in NHWC.

    Raises:
        ShapeError: fewer than two axes, or a layout that is none of the three.
    """
    if rank < 2:
        raise ShapeError(
            f"a {rank}-d array has no channel axis; expected batch and channels at least. "
            "Reshape it to (batch, channels, ...) first."
        )
    if layout in ("NCHW", "NC4HW4"):
        return 1
    if layout == "NHWC":
        return rank - 1
    raise ShapeError(f"layout {layout!r} is unknown. Use 'NCHW', 'NHWC' or 'NC4HW4'.")


def spatial_axes(layout: str, rank: int) -> tuple[int, ...]:
    """Return the axes that are neither batch nor channels."""
    channels = channel_axis(layout, rank)
    return tuple(axis for axis in range(1, rank) if axis != channels)


def channels_first_axes(layout: str, rank: int) -> tuple[int, ...]:
    """Return the permutation that brings axes to the order (batch, channels, spatial...)."""
    return (0, channel_axis(layout, rank), *spatial_axes(layout, rank))


def channels_first(x: Array, layout: str) -> Array:
    """Return a view of `x` with axes (batch, channels, spatial...)."""
    return np.moveaxis(x, channel_axis(layout, x.ndim), 1)


def in_layout(x: Array, layout: str) -> Array:
    """Return the channels-first array `x` with its axes ordered as `layout` says, contiguous."""
    return np.ascontiguousarray(np.moveaxis(x, 1, channel_axis(layout, x.ndim)))


def split_shape(shape: tuple[Any, ...], layout: str) -> tuple[Any, Any, tuple[Any, ...]]:
    """Return (batch, channels, spatial lengths) of a shape; lengths may be symbols."""
    channels = shape[channel_axis(layout, len(shape))]
    return shape[0], channels, tuple(shape[axis] for axis in spatial_axes(layout, len(shape)))


def join_shape(batch: Any, channels: Any, lengths: tuple[Any, ...], layout: str) -> tuple[Any, ...]:
    """Return the shape whose parts are given: the inverse of `split_shape`."""
    if channel_axis(layout, len(lengths) + 2) == 1:
        return (batch, channels, *lengths)
    return (batch, *lengths, channels)


def channel_vector(name: str, vector: Array, rank: int, channels: int, layout: str) -> Array:
    """Return one number per channel, shaped to broadcast against an array of `rank` axes.

    A single number stands for every channel.

    Raises:
        ShapeError: `vector` has neither one element nor one per channel.
    """
    if vector.size not in (1, channels):
        raise ShapeError(
            f"{name}: found {vector.size} values per channel for {channels} channels "
            f"(layout {layout}), expected {channels} or 1. Check the layout and the parameter."
        )
    shape = [1] * rank
    shape[channel_axis(layout, rank)] = vector.size
    return vector.reshape(shape)
