"""Sampling images at the places of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.layout import channels_first, in_layout, join_shape
from mnn.ops.reference.precision import Array, DType
from mnn.ops.reference.regions import crop_and_resize, roi_align, roi_pooling
from mnn.ops.reference.resize import cubic_weights

__all__ = [
    "crop_and_resize",
    "grid_sample",
    "grid_sample_shape",
    "roi_align",
    "roi_pooling",
]

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


def grid_sample_shape(
    x: tuple[Any, ...], grid: tuple[Any, ...], layout: str = "NCHW"
) -> tuple[Any, ...]:
    """Return the shape of `grid_sample` for the shapes of its operands; lengths may be symbols."""
    channels = x[-1] if layout == "NHWC" else x[1]
    return join_shape(x[0], channels, tuple(grid[1:-1]), layout)


def grid_sample(
    x: Array,
    grid: Array,
    *,
    mode: str,
    padding: str,
    align_corners: bool,
    layout: str = "NCHW",
) -> Array:
    """Return x sampled at the normalised coordinates of `grid`; computed in float64.

    A coordinate that is NaN counts as -1. A tap of weight 0 has no influence, whatever its value.

    Args:
        x: `(N, C, spatial...)` for NCHW, `(N, spatial..., C)` for NHWC.
        grid: `(N, outputs..., spatial rank)`, coordinates in -1..1, that of the last axis first.
        mode: `bilinear` (linear in all axes), `nearest` (halves up) or `bicubic` (a = -0.75).
        padding: what lies outside: `zeros`, `border` (the nearest edge pixel) or `reflection`
            (about the outer pixels' centres with `align_corners`, else about their outer edges).
        align_corners: -1 and 1 mean the centres of the outer pixels, else their outer edges.
        layout: of x and the result.

    Returns:
        `(N, C, outputs...)` in `layout`; the float type of x, float32 for integers.

    Raises:
        ShapeError: ranks, batches or names do not fit, or there is nothing to sample.
    """
    rank = x.ndim - 2
    if rank < 1 or grid.ndim != x.ndim or grid.shape[-1] != rank or grid.shape[0] != x.shape[0]:
        raise ShapeError(
            f"grid_sample: found a grid of shape {grid.shape} for an image of shape {x.shape}, "
            f"expected (batch, outputs..., {max(rank, 1)}) with the same batch. Check the grid."
        )
    if mode not in _MODES or padding not in _PADDINGS:
        raise ShapeError(
            f"grid_sample: found mode {mode!r} and padding {padding!r}, expected one of {_MODES} "
            f"and one of {_PADDINGS}. Check the spelling."
        )
    planes = channels_first(x, layout)
    lengths = planes.shape[2:]
    if 0 in lengths:
        raise ShapeError(
            f"grid_sample: the image of shape {x.shape} has no pixels, expected at least one to "
            "sample. Check the image."
        )
    source = planes.astype(np.float64)
    points = [
        _source_points(grid[..., rank - 1 - axis], length, padding, align_corners)
        for axis, length in enumerate(lengths)
    ]
    if mode == "bicubic":
        result = _cubic(source, points, padding, align_corners)
    else:
        inside = [
            _mapped(point, length, padding, align_corners)
            for point, length in zip(points, lengths, strict=True)
        ]
        result = _nearest(source, inside) if mode == "nearest" else _linear(source, inside)
    with np.errstate(over="ignore"):
        return in_layout(result.astype(_result_type(x)), layout)


def _result_type(x: Array) -> DType:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)


def _source_points(g: Array, length: int, padding: str, align_corners: bool) -> Array:
    """Return pixel coordinates, finite: those far outside all mean the same."""
    g = np.where(np.isnan(g), -1.0, g.astype(np.float64))
    if padding == "reflection":
        g = np.where(np.isfinite(g), g, -1.0)
    g = np.clip(g, -1e15, 1e15)
    scaled = (g + 1) * (length - 1) / 2 if align_corners else ((g + 1) * length - 1) / 2
    # No tap of a point four pixels outside is inside.
    return scaled if padding == "reflection" else np.clip(scaled, -4.0, length + 3.0)


def _mapped(p: Array, length: int, padding: str, align_corners: bool) -> Array:
    """Return coordinates moved into the image, unless what is outside is zero."""
    if padding == "zeros":
        return p
    if padding == "reflection":
        p = _reflected(p, length, align_corners)
    return np.clip(p, 0, length - 1)


def _reflected(p: Array, length: int, align_corners: bool) -> Array:
    low, span = (0.0, length - 1.0) if align_corners else (-0.5, float(length))
    if span <= 0:
        return np.zeros_like(p)
    folded = np.abs(p - low) % (2 * span)
    result: Array = np.minimum(folded, 2 * span - folded) + low
    return result


def _read(x: Array, places: list[Array]) -> Array:
    """Return x at whole places (batch, outputs...) as (batch, channels, outputs...), 0 outside."""
    inside = np.ones(places[0].shape, bool)
    index = []
    for place, length in zip(places, x.shape[2:], strict=True):
        inside &= (place >= 0) & (place <= length - 1)
        index.append(np.clip(place, 0, length - 1).astype(np.int64))
    batch = np.arange(x.shape[0]).reshape((-1,) + (1,) * (places[0].ndim - 1))
    key = (batch, *index)
    found = np.moveaxis(x, 1, -1)[key]
    return np.moveaxis(np.where(inside[..., None], found, 0.0), -1, 1)


def _nearest(x: Array, points: list[Array]) -> Array:
    return _read(x, [np.floor(point + 0.5) for point in points])


def _combined(x: Array, places: list[list[Array]], weights: list[list[Array]]) -> Array:
    """Return the sum over all combinations of taps, one list of taps per axis."""
    total: Array | None = None
    for taps in np.ndindex(*(len(each) for each in places)):
        weight = np.ones(places[0][0].shape)
        for axis, tap in enumerate(taps):
            weight = weight * weights[axis][tap]
        value = _read(x, [each[tap] for each, tap in zip(places, taps, strict=True)])
        with np.errstate(invalid="ignore", over="ignore"):
            part = np.where(weight[:, None] == 0, 0.0, value * weight[:, None])
            total = part if total is None else total + part
    assert total is not None
    return total


def _linear(x: Array, points: list[Array]) -> Array:
    lows = [np.floor(each) for each in points]
    fractions = [each - low for each, low in zip(points, lows, strict=True)]
    return _combined(x, [[low, low + 1] for low in lows], [[1 - f, f] for f in fractions])


def _cubic(x: Array, points: list[Array], padding: str, align_corners: bool) -> Array:
    places, weights = [], []
    for point, length in zip(points, x.shape[2:], strict=True):
        low = np.floor(point)
        taps = cubic_weights(point - low)
        weights.append([taps[..., each] for each in range(4)])
        moved = [_mapped(low + each, length, padding, align_corners) for each in range(-1, 3)]
        places.append([np.rint(each) for each in moved])
    return _combined(x, places, weights)
