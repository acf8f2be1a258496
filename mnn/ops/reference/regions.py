"""Regions of images, brought to one size: crops, RoIAlign and RoI pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import IndexRangeError, ShapeError
from mnn.ops.reference.layout import channels_first, in_layout, join_shape
from mnn.ops.reference.precision import Array, DType
from mnn.ops.reference.rounding import round_half_away

__all__ = ["crop_and_resize", "region_shape", "roi_align", "roi_pooling"]


def region_shape(
    x: tuple[Any, ...], count: Any, size: tuple[Any, Any], layout: str
) -> tuple[Any, ...]:
    """Return the shape of `count` regions of an image of shape x; lengths may be symbols."""
    return join_shape(count, x[-1] if layout == "NHWC" else x[1], tuple(size), layout)


def _result_type(x: Array) -> DType:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)


def _check(name: str, x: Array, regions: Array, columns: int) -> None:
    if x.ndim != 4 or regions.ndim != 2 or regions.shape[1] != columns:
        raise ShapeError(
            f"{name}: found images of shape {x.shape} and regions of shape {regions.shape}, "
            f"expected four dimensions and (n, {columns}). Check both shapes."
        )


def _samples(name: str, index: Array, count: int, batch: int) -> Array:
    """Return the sample number of each region."""
    numbers = index.reshape(-1)
    if numbers.size != count:
        raise ShapeError(
            f"{name}: found {numbers.size} sample numbers for {count} regions, expected one each. "
            "Check the second operand."
        )
    wrong = numbers[~((numbers >= 0) & (numbers < batch) & (numbers == np.floor(numbers)))]
    if wrong.size:
        raise IndexRangeError(
            f"{name}: found sample number {wrong[0]} of a region, expected a whole number in "
            f"[0, {batch}). Check it against the batch of the images."
        )
    return numbers.astype(np.int64)


def _bilinear(plane: Array, y: Array, x: Array) -> Array:
    """Return pixels of a (C, H, W) plane at the products of coordinates, edges repeated."""
    rows, columns = plane.shape[1:]
    for axis, (points, length) in enumerate(((y, rows), (x, columns)), 1):
        points = np.clip(points, 0, length - 1)
        low = np.floor(points).astype(np.int64)
        high = np.minimum(low + 1, length - 1)
        fraction = (points - low).reshape((-1, 1) if axis == 1 else (1, -1))
        first, second = np.take(plane, low, axis), np.take(plane, high, axis)
        with np.errstate(invalid="ignore", over="ignore"):
            # A pixel of weight 0 has no influence, not even an infinite one.
            plane = np.where(fraction == 1, 0.0, first * (1 - fraction))
            plane = plane + np.where(fraction == 0, 0.0, second * fraction)
    return plane


# --- crop and resize -----------------------------------------------------------------------------


def crop_and_resize(
    image: Array, boxes: Array, box_index: Array, size: Array, *, method: str, outside: float
) -> Array:
    """Return boxes of NHWC images, resized to one size, by TensorFlow's rule.

    Position i of n reads `low (length - 1) + i (high - low) (length - 1) / (n - 1)`, the middle of
    the box when n is 1; `nearest` rounds halves away from zero.

    Args:
        image: `(N, H, W, C)`.
        boxes: `(n, 4)` normalised (y1, x1, y2, x2); corners may be swapped, which flips.
        box_index: `(n,)` image of each box.
        size: (height, width) of the results.
        method: `bilinear` or `nearest`.
        outside: value of places outside the image; also of coordinates that are NaN.

    Returns:
        `(n, height, width, C)`; the float type of the image, float32 for integers.

    Raises:
        ShapeError: shapes or the method do not fit.    IndexRangeError: there is no such image.
    """
    _check("crop_and_resize", image, boxes, 4)
    lengths = [int(each) for each in size.reshape(-1)]
    if len(lengths) != 2 or min(lengths) < 0 or method not in ("bilinear", "nearest"):
        raise ShapeError(
            f"crop_and_resize: found size {lengths} and method {method!r}, expected a height and a "
            "width >= 0, and 'bilinear' or 'nearest'. Check both."
        )
    index = _samples("crop_and_resize", box_index, boxes.shape[0], image.shape[0])
    _, rows, columns, channels = image.shape
    result = np.full((boxes.shape[0], *lengths, channels), outside, np.float64)
    for number, (y1, x1, y2, x2) in enumerate(boxes.astype(np.float64)):
        y, x = _box_points(y1, y2, lengths[0], rows), _box_points(x1, x2, lengths[1], columns)
        down, across = _within(y, 0, rows - 1), _within(x, 0, columns - 1)
        if not (down.any() and across.any()):
            continue
        y, x = y[down], x[across]
        plane = np.moveaxis(image[index[number]], -1, 0).astype(np.float64)
        if method == "nearest":
            found = plane[:, _whole(y)[:, None], _whole(x)[None, :]]
        else:
            found = _bilinear(plane, y, x)
        result[number][np.ix_(down, across)] = np.moveaxis(found, 0, -1)
    with np.errstate(over="ignore"):
        return result.astype(_result_type(image))


def _box_points(low: float, high: float, count: int, length: int) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        if count == 1:
            return np.array([(low + high) * (length - 1) / 2])
        step = (high - low) * (length - 1) / max(count - 1, 1)
        result: Array = low * (length - 1) + np.arange(count) * step
        return result


def _within(points: Array, low: float, high: float) -> Array:
    result: Array = (points >= low) & (points <= high)
    return result


def _whole(points: Array) -> Array:
    return round_half_away(points).astype(np.int64)


# --- regions of interest -------------------------------------------------------------------------


def roi_align(
    x: Array,
    rois: Array,
    batch_index: Array,
    *,
    pooled: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    mode: str,
    layout: str = "NCHW",
) -> Array:
    """Return regions of interest sampled on a regular grid (He et al., "Mask R-CNN", 2017).

    Samples outside [-1, length] count as 0; the others are bilinear, with edges repeated. A bin
    without samples gives 0.

    Args:
        x: `(N, C, H, W)` for NCHW, `(N, H, W, C)` for NHWC.
        rois: `(n, 4)` corners (x1, y1, x2, y2).
        batch_index: `(n,)` sample of each region.
        pooled: (height, width) of the results.
        spatial_scale: from region coordinates to pixels.
        sampling_ratio: samples per bin and axis; 0 or less: ceil(bin size).
        aligned: shift by half a pixel, and allow regions smaller than a pixel.
        mode: `avg` or `max` over the interpolated samples of a bin.
        layout: of x and the result.

    Returns:
        `(n, C, height, width)` in `layout`; the float type of x, float32 for integers.

    Raises:
        ShapeError: shapes or the mode do not fit.    IndexRangeError: there is no such sample.
    """
    _check("roi_align", x, rois, 4)
    if mode not in ("avg", "max"):
        raise ShapeError(
            f"roi_align: found mode {mode!r}, expected 'avg' or 'max'. Check the spelling."
        )
    planes = channels_first(x, layout)
    index = _samples("roi_align", batch_index, rois.shape[0], x.shape[0])
    corners = _finite("roi_align", rois) * spatial_scale - (0.5 if aligned else 0.0)
    result = np.zeros((rois.shape[0], planes.shape[1], *pooled), np.float64)
    for number, (x1, y1, x2, y2) in enumerate(corners):
        points = [
            _roi_points(low, high - low if aligned else max(high - low, 1.0), bins, sampling_ratio)
            for low, high, bins in ((y1, y2, pooled[0]), (x1, x2, pooled[1]))
        ]
        if 0 not in (*points[0].shape, *points[1].shape, *planes.shape[2:]):
            result[number] = _bins(planes[index[number]].astype(np.float64), points, mode)
    with np.errstate(over="ignore"):
        return in_layout(result.astype(_result_type(x)), layout)


def _finite(name: str, rois: Array) -> Array:
    corners = rois.astype(np.float64)
    if not np.isfinite(corners).all():
        raise ShapeError(
            f"{name}: found a region with a coordinate that is NaN or infinite, expected finite "
            "ones. Check the regions."
        )
    return corners


def _roi_points(begin: float, extent: float, bins: int, ratio: int) -> Array:
    """Return sample coordinates, (bins, samples per bin)."""
    width = extent / max(bins, 1)
    count = ratio if ratio > 0 else max(0, int(np.ceil(width)))
    starts = begin + np.arange(bins)[:, None] * width
    result: Array = starts + (np.arange(count)[None, :] + 0.5) * width / max(count, 1)
    return result


def _bins(plane: Array, points: list[Array], mode: str) -> Array:
    """Return the mean or maximum over the samples of each bin of a (C, H, W) plane."""
    y, x = (each.reshape(-1) for each in points)
    rows, columns = plane.shape[1:]
    inside = _within(y, -1, rows)[:, None] & _within(x, -1, columns)[None, :]
    found = np.where(inside, _bilinear(plane, y, x), 0.0)
    blocks = found.reshape(-1, *points[0].shape, *points[1].shape)
    with np.errstate(invalid="ignore", over="ignore"):
        result: Array = blocks.max((2, 4)) if mode == "max" else blocks.mean((2, 4))
    return result


def roi_pooling(
    x: Array,
    rois: Array,
    *,
    pooled: tuple[int, int],
    spatial_scale: float,
    layout: str = "NCHW",
) -> Array:
    """Return the maxima of bins of regions of interest (Girshick, "Fast R-CNN", 2015).

    Corners are rounded to pixels, halves away from zero, and belong to the region. Bin i of n
    over L pixels is [floor(i L / n), ceil((i + 1) L / n)); one without pixels gives 0.

    Args:
        x: `(N, C, H, W)` for NCHW, `(N, H, W, C)` for NHWC.
        rois: `(n, 5)`: sample, then corners (x1, y1, x2, y2).
        pooled: (height, width) of the results.
        spatial_scale: from region coordinates to pixels.
        layout: of x and the result.

    Returns:
        `(n, C, height, width)` in `layout`, the type of x.

    Raises:
        ShapeError: shapes do not fit.    IndexRangeError: there is no such sample.
    """
    _check("roi_pooling", x, rois, 5)
    planes = channels_first(x, layout)
    index = _samples("roi_pooling", rois[:, 0], rois.shape[0], x.shape[0])
    scaled = _finite("roi_pooling", rois[:, 1:]) * spatial_scale
    corners = round_half_away(np.clip(scaled, -(2.0**31), 2.0**31)).astype(np.int64)
    result = np.zeros((rois.shape[0], planes.shape[1], *pooled), x.dtype)
    for number, (x1, y1, x2, y2) in enumerate(corners):
        down = _bin_bounds(int(y1), int(y2), pooled[0], planes.shape[2])
        across = _bin_bounds(int(x1), int(x2), pooled[1], planes.shape[3])
        plane = planes[index[number]]
        for row, (top, bottom) in enumerate(down):
            if top == bottom:
                continue
            strip = plane[:, top:bottom].max(1)
            for column, (left, right) in enumerate(across):
                if left < right:
                    result[number, :, row, column] = strip[:, left:right].max(1)
    return in_layout(result, layout)


def _bin_bounds(first: int, last: int, bins: int, length: int) -> list[tuple[int, int]]:
    """Return the pixels [low, high) of each bin, clipped to the image."""
    extent = max(last - first + 1, 1)
    edges = [
        (first + place * extent // bins, first - (-(place + 1) * extent // bins))
        for place in range(bins)
    ]
    return [(min(max(low, 0), length), min(max(high, 0), length)) for low, high in edges]
