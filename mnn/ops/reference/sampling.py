"""Sampling images at given places: grids, boxes and regions of interest."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import IndexRangeError, ShapeError

__all__ = ["crop_and_resize", "grid_sample", "roi_align", "roi_pooling"]

Array = np.ndarray[Any, Any]


def _work(*arrays: Array) -> np.dtype[Any]:
    return np.result_type(np.float32, *arrays)


def _reflect(p: Array, low: float, high: float) -> Array:
    """Return coordinates reflected about `low` and `high` until they lie between."""
    span = high - low
    if span <= 0:
        return np.zeros_like(p)
    folded = np.abs(p - low) % (2 * span)
    result: Array = np.minimum(folded, 2 * span - folded) + low
    return result


def _denormalized(g: Array, size: int, align_corners: bool) -> Array:
    result: Array = (g + 1) * (size - 1) / 2 if align_corners else ((g + 1) * size - 1) / 2
    return result


def _padded(p: Array, size: int, padding: str, align_corners: bool) -> Array:
    if padding == "zeros":
        return p
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
        p = _reflect(p, low, high)
    return np.clip(p, 0, size - 1)


def _read(x: Array, places: list[Array], padding: str, align_corners: bool) -> Array:
    """Return x at integer places (batch, outputs...); outside is 0 or mapped inside."""
    sizes = x.shape[2:]
    inside = np.ones(places[0].shape, bool)
    index = []
    for place, size in zip(places, sizes, strict=True):
        if padding == "reflection":
            place = np.rint(_padded(place, size, padding, align_corners))
        inside &= (place >= 0) & (place <= size - 1)
        index.append(np.clip(np.nan_to_num(place), 0, size - 1).astype(np.int64))
    batch = np.arange(x.shape[0]).reshape((-1,) + (1,) * (places[0].ndim - 1))
    where = (batch, *index)
    found = np.moveaxis(x, 1, -1)[where]
    if padding == "zeros":
        found = np.where(inside[..., None], found, 0)
    return np.moveaxis(found, -1, 1)


def _linear(x: Array, points: list[Array], padding: str, align_corners: bool) -> Array:
    lows = [np.floor(each) for each in points]
    total: Any = 0
    for corner in np.ndindex(*([2] * len(points))):
        weight: Any = 1
        places = []
        for axis, step in enumerate(corner):
            fraction = points[axis] - lows[axis]
            weight = weight * (fraction if step else 1 - fraction)
            places.append(lows[axis] + step)
        value = _read(x, places, padding, align_corners)
        total = total + np.where(weight[:, None] == 0, 0, value) * weight[:, None]
    return np.asarray(total)


def _cubic(x: Array, points: list[Array], padding: str, align_corners: bool) -> Array:
    from mnn.ops.reference.resize import _cubic_weights

    lows = [np.floor(each) for each in points]
    weights = [
        _cubic_weights((each - low).reshape(-1)).reshape(*each.shape, 4)
        for each, low in zip(points, lows, strict=True)
    ]
    total: Any = 0
    for taps in np.ndindex(*([4] * len(points))):
        weight: Any = 1
        for axis, tap in enumerate(taps):
            weight = weight * weights[axis][..., tap]
        places = [low + tap - 1 for low, tap in zip(lows, taps, strict=True)]
        if padding == "border":
            places = [np.clip(p, 0, s - 1) for p, s in zip(places, x.shape[2:], strict=True)]
        total = total + _read(x, places, padding, align_corners) * weight[:, None]
    return np.asarray(total)


def grid_sample(x: Array, grid: Array, *, mode: str, padding: str, align_corners: bool) -> Array:
    """Return x sampled at the normalised coordinates of `grid`.

    Args:
        x: (N, C, spatial...), two or three spatial axes.
        grid: (N, outputs..., spatial rank), coordinates in -1..1, x first.
        mode: `bilinear`, `nearest` or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: -1 and 1 mean the centres of the outer pixels (else their outer edges).

    Raises:
        ShapeError: ranks or batches do not fit.
    """
    rank = x.ndim - 2
    if grid.ndim != x.ndim or grid.shape[-1] != rank or grid.shape[0] != x.shape[0]:
        raise ShapeError(
            f"grid_sample: grid of shape {grid.shape} for an image of shape {x.shape}. Expected "
            f"(batch, outputs..., {rank}) with the same batch."
        )
    dtype = np.result_type(x, np.float32) if x.dtype.kind != "f" else x.dtype
    if 0 in x.shape[2:]:
        raise ShapeError(f"grid_sample: the image of shape {x.shape} has no pixels.")
    source = x.astype(_work(x, grid), copy=False)
    points = [
        _denormalized(grid[..., rank - 1 - axis].astype(np.float64), size, align_corners)
        for axis, size in enumerate(x.shape[2:])
    ]
    if mode == "bicubic":
        return _cubic(source, points, padding, align_corners).astype(dtype)
    mapped = [
        _padded(point, size, padding, align_corners)
        for point, size in zip(points, x.shape[2:], strict=True)
    ]
    if mode == "nearest":
        places = [np.floor(point + 0.5) for point in mapped]
        return _read(source, places, padding, align_corners).astype(dtype)
    return _linear(source, mapped, padding, align_corners).astype(dtype)


def _check_batch(name: str, index: Array, batch: int) -> Array:
    numbers = index.reshape(-1).astype(np.int64)
    if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= batch):
        raise IndexRangeError(
            f"{name}: a batch index of {numbers.tolist()[:8]} is outside [0, {batch})."
        )
    return numbers


def crop_and_resize(
    image: Array, boxes: Array, box_index: Array, size: Array, *, method: str, outside: float
) -> Array:
    """Return boxes of NHWC images, resized to one size (TensorFlow's rule).

    Args:
        image: (N, H, W, C).
        boxes: (n, 4) normalised (y1, x1, y2, x2); corners may be swapped, which flips.
        box_index: (n,) image of each box.
        size: (height, width) of the results.
        method: `bilinear` or `nearest`.
        outside: value of places outside the image.
    """
    if image.ndim != 4 or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(
            f"crop_and_resize: images {image.shape} and boxes {boxes.shape}, expected (N, H, W, C) "
            "and (n, 4)."
        )
    index = _check_batch("crop_and_resize", box_index, image.shape[0])
    height, width = (int(each) for each in size.reshape(-1))
    _, rows, columns, channels = image.shape
    dtype = image.dtype if image.dtype.kind == "f" else np.dtype(np.float32)
    result = np.full((boxes.shape[0], height, width, channels), outside, np.float64)
    for number, (y1, x1, y2, x2) in enumerate(boxes.astype(np.float64)):
        y = _box_points(y1, y2, height, rows)
        x = _box_points(x1, x2, width, columns)
        inside = ((y >= 0) & (y <= rows - 1))[:, None] & ((x >= 0) & (x <= columns - 1))[None]
        plane = image[index[number]].astype(np.float64)
        if method == "nearest":
            found = plane[_clipped(np.round(y), rows)[:, None], _clipped(np.round(x), columns)]
        else:
            found = _bilinear_plane(plane, y[:, None], x[None, :])
        result[number] = np.where(inside[..., None], found, outside)
    return result.astype(dtype)


def _box_points(low: float, high: float, count: int, size: int) -> Array:
    if count > 1:
        return low * (size - 1) + np.arange(count) * ((high - low) * (size - 1) / (count - 1))
    return np.full(count, 0.5 * (low + high) * (size - 1))


def _clipped(p: Array, size: int) -> Array:
    return np.clip(p, 0, size - 1).astype(np.int64)


def _bilinear_plane(plane: Array, y: Array, x: Array) -> Array:
    """Return (H, W, C) pixels at broadcast coordinates, edges repeated."""
    rows, columns = plane.shape[:2]
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    top, left = np.floor(y), np.floor(x)
    dy, dx = (y - top)[..., None], (x - left)[..., None]
    above, below = _clipped(top, rows), _clipped(top + 1, rows)
    west, east = _clipped(left, columns), _clipped(left + 1, columns)
    upper = plane[above, west] * (1 - dx) + plane[above, east] * dx
    lower = plane[below, west] * (1 - dx) + plane[below, east] * dx
    result: Array = upper * (1 - dy) + lower * dy
    return result


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
) -> Array:
    """Return regions of interest sampled on a regular grid (He et al., "Mask R-CNN", 2017).

    Args:
        x: (N, C, H, W).
        rois: (n, 4) corners (x1, y1, x2, y2).
        batch_index: (n,) sample of each region.
        pooled: (height, width) of the results.
        spatial_scale: from region coordinates to pixels.
        sampling_ratio: samples per bin and axis; 0 or less: ceil(bin size).
        aligned: shift by half a pixel, and allow regions smaller than a pixel.
        mode: `avg` or `max` over the samples of a bin.
    """
    index = _check_batch("roi_align", batch_index, x.shape[0])
    height, width = pooled
    result = np.zeros((rois.shape[0], x.shape[1], height, width), np.float64)
    shift = 0.5 if aligned else 0.0
    for number, corners in enumerate(rois.astype(np.float64)):
        x1, y1, x2, y2 = corners * spatial_scale - shift
        sizes = (y2 - y1, x2 - x1)
        if not aligned:
            sizes = (max(sizes[0], 1.0), max(sizes[1], 1.0))
        plane = np.moveaxis(x[index[number]], 0, -1).astype(np.float64)
        y = _roi_points(y1, sizes[0], height, sampling_ratio)
        z = _roi_points(x1, sizes[1], width, sampling_ratio)
        found = _roi_samples(plane, y.reshape(-1), z.reshape(-1))
        blocks = found.reshape(height, y.shape[1], width, z.shape[1], -1)
        bins = blocks.max((1, 3)) if mode == "max" else blocks.mean((1, 3))
        result[number] = np.moveaxis(bins, -1, 0)
    return result.astype(x.dtype if x.dtype.kind == "f" else np.float32)


def _roi_points(begin: float, size: float, bins: int, ratio: int) -> Array:
    count = ratio if ratio > 0 else max(1, int(np.ceil(size / bins)))
    width = size / bins
    starts = begin + np.arange(bins)[:, None] * width
    result: Array = starts + (np.arange(count)[None, :] + 0.5) * width / count
    return result


def _roi_samples(plane: Array, y: Array, x: Array) -> Array:
    rows, columns = plane.shape[:2]
    inside = ((y >= -1) & (y <= rows))[:, None] & ((x >= -1) & (x <= columns))[None, :]
    found = _bilinear_plane(plane, y[:, None], x[None, :])
    return np.where(inside[..., None], found, 0)


def _away(value: float) -> int:
    return int(np.sign(value) * np.floor(abs(value) + 0.5))


def roi_pooling(x: Array, rois: Array, *, pooled: tuple[int, int], spatial_scale: float) -> Array:
    """Return the maxima of bins of regions of interest (Girshick, "Fast R-CNN", 2015).

    Args:
        x: (N, C, H, W).
        rois: (n, 5): sample, then corners (x1, y1, x2, y2), rounded to pixels, inclusive.
        pooled: (height, width) of the results.
        spatial_scale: from region coordinates to pixels.
    """
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ShapeError(f"roi_pooling: rois of shape {rois.shape}, expected (n, 5).")
    index = _check_batch("roi_pooling", rois[:, 0], x.shape[0])
    height, width = pooled
    _, channels, rows, columns = x.shape
    result = np.zeros((rois.shape[0], channels, height, width), x.dtype)
    for number, corners in enumerate(rois[:, 1:].astype(np.float64) * spatial_scale):
        x1, y1, x2, y2 = (_away(each) for each in corners)
        tall, wide = max(y2 - y1 + 1, 1) / height, max(x2 - x1 + 1, 1) / width
        for row in range(height):
            top = min(max(int(np.floor(row * tall)) + y1, 0), rows)
            bottom = min(max(int(np.ceil((row + 1) * tall)) + y1, 0), rows)
            for column in range(width):
                left = min(max(int(np.floor(column * wide)) + x1, 0), columns)
                right = min(max(int(np.ceil((column + 1) * wide)) + x1, 0), columns)
                part = x[index[number], :, top:bottom, left:right]
                if part.size:
                    result[number, :, row, column] = part.max((1, 2))
    return result
