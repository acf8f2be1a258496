"""Raster and its adjoint in plain NumPy: boxes of elements copied between flat memories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.errors import IndexRangeError, ShapeError

__all__ = ["check_region", "raster", "raster_gradient"]

Array = np.ndarray[Any, Any]


def raster(*arrays: Array, regions: tuple[tuple[int, ...], ...], shape: tuple[int, ...]) -> Array:
    """Return zeros of `shape` with boxes copied in: the file format's lowest-level movement.

    Args:
        arrays: sources; one source serves all regions, otherwise region k reads source k.
        regions: (source offset, 3 source strides, target offset, 3 target strides, 3 sizes) each,
            in elements.
        shape: of the result.

    Raises:
        IndexRangeError: a region leaves its source or the result.
    """
    result = np.zeros(math.prod(shape), arrays[0].dtype if arrays else np.float32)
    if len(arrays) > 1 and len(arrays) != len(regions):
        raise ShapeError(
            f"raster: {len(regions)} regions for {len(arrays)} sources, expected one each."
        )
    for number, region in enumerate(regions):
        source = np.ascontiguousarray(arrays[number if len(arrays) > 1 else 0]).reshape(-1)
        sizes = region[8:11]
        if min(sizes) <= 0:
            continue
        check_region("source", region[0], region[1:4], sizes, source.size)
        check_region("target", region[4], region[5:8], sizes, result.size)
        read, written = _places(region[0:4], sizes), _places(region[4:8], sizes)
        result[written] = source[read]
    return result.reshape(shape)


def raster_gradient(
    g: Array, *sources: Array, regions: tuple[tuple[int, ...], ...]
) -> tuple[Array, ...]:
    """Return for each source the sum of `g` over the places of the result its elements went to."""
    owner = np.full(g.size, -1, np.int64)
    element = np.zeros(g.size, np.int64)
    for number, region in enumerate(regions):
        if min(region[8:11]) > 0:
            # A later region overwrites, so it takes the place over.
            written = _places(region[4:8], region[8:11])
            owner[written] = number if len(sources) > 1 else 0
            element[written] = _places(region[0:4], region[8:11])
    flat = g.reshape(-1)
    found = []
    for number, source in enumerate(sources):
        total = np.zeros(source.size, g.dtype)
        own = owner == number
        np.add.at(total, element[own], flat[own])
        found.append(total.reshape(source.shape))
    return tuple(found)


def check_region(
    what: str, offset: int, strides: tuple[int, ...], sizes: tuple[int, ...], limit: int
) -> None:
    """Raise IndexRangeError when a box leaves a memory of `limit` elements."""
    if min(sizes) <= 0:
        return
    reach = [stride * (size - 1) for stride, size in zip(strides, sizes, strict=True)]
    low = offset + sum(min(0, each) for each in reach)
    high = offset + sum(max(0, each) for each in reach)
    if low < 0 or high >= limit:
        raise IndexRangeError(
            f"raster: a region reaches [{low}, {high}] of a {what} with {limit} elements. Check "
            "its offset, strides and sizes."
        )


def _places(box: tuple[int, ...], sizes: tuple[int, ...]) -> Array:
    """Return the flat positions of a box given as (offset, 3 strides), in order."""
    places = np.int64(box[0])
    for axis, (stride, size) in enumerate(zip(box[1:4], sizes, strict=True)):
        steps = np.arange(size, dtype=np.int64) * stride
        places = places + steps.reshape([-1 if axis == each else 1 for each in range(3)])
    return np.asarray(places).reshape(-1)
