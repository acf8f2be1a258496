"""Resized and sampled images, and pictures: what moves pixels is movement, the rest are kernels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports
from mnn.compile.resizing import Interpolation, PictureScaling, make_resize
from mnn.compile.support import kernel_dtype
from mnn.ops.reference import picture
from mnn.ops.reference.layout import spatial_axes

__all__: list[str] = []

_RUNS = 24
"""Most pieces that a border is put together from."""


@imports("interpolate")
def _interpolate(flow: Flow, node: Application) -> Value | None:
    x, attributes = node.operand(0), node.attributes
    method, nearest = attributes["method"], attributes["method"].startswith("nearest")
    if 0 in node.shape or not kernel_dtype(x.dtype) or not (nearest or x.dtype.kind == "f"):
        return None
    axes = spatial_axes(attributes["layout"], len(x.shape))
    sizes = [node.shape[axis] for axis in axes]
    steps = list(attributes["steps"] or [None] * len(axes))
    rule = partial(Interpolation, method, attributes["coordinates"])
    if len(axes) == 1:
        # A row of its own.
        x = flow.reshape(x, (*x.shape[: axes[0]], 1, *x.shape[axes[0] :]))
        pair, single = (axes[0], axes[0] + 1), rule((None, steps[0]), (False, True))
        return flow.reshape(make_resize(flow, x, pair, (1, sizes[0]), single), node.shape)
    *others, down, across = axes
    x = make_resize(flow, x, (down, across), (sizes[-2], sizes[-1]), rule((steps[-2], steps[-1])))
    for axis, size, step in zip(others, sizes, steps, strict=False):
        only = rule((step, None), (True, False))
        x = make_resize(flow, x, (axis, down), (size, sizes[-2]), only)
    return x


@imports("image_resize")
def _image_resize(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    if not kernel_dtype(x.dtype):
        return None
    width, height = node.attributes["size"]
    if (height, width) == x.shape[:2]:
        return x
    way, factors = node.attributes["interpolation"], node.attributes["factors"]
    if way == "linear" and factors == (0.5, 0.5):
        # Means of four: blocks that hang over an edge, and halves of integers, are special.
        whole = (2 * height, 2 * width) == x.shape[:2]
        if not whole or x.dtype not in (np.uint8, np.float32, np.float64):
            return None
    rule = PictureScaling(way, None if factors is None else (factors[1], factors[0]))
    return make_resize(flow, x, (0, 1), (height, width), rule)


# --- sampling ------------------------------------------------------------------------------------

_LAST, _FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@imports("grid_sample")
def _grid_sample(flow: Flow, node: Application) -> Value | None:
    x, grid = node.operand(0), node.operand(1)
    if len(x.shape) != 4 or 0 in (*x.shape, *node.shape) or x.shape[0] != grid.shape[0]:
        return None
    if x.dtype != np.float32 or grid.dtype not in (np.float32, np.float64):
        return None
    pixels = flow.permute(x, _LAST)
    shape = [node.shape[axis] for axis in _LAST]
    attributes = dict(node.attributes)
    made = flow.make("grid_sample", (pixels, grid), shape, node.dtype, attributes)
    return flow.permute(made, _FIRST)


@imports("roi_align")
def _roi_align(flow: Flow, node: Application) -> Value | None:
    x, attributes = node.operand(0), node.attributes
    regions = _regions(flow, node, x.shape)
    if regions is None or x.dtype != np.float32 or attributes["mode"] not in ("avg", "max"):
        return None
    pixels = flow.permute(x, _LAST)
    shape = [node.shape[axis] for axis in _LAST]
    names = ("spatial_scale", "sampling_ratio", "aligned", "mode")
    chosen = {"checked": True, **{name: attributes[name] for name in names}}
    made = flow.make("roi_align", (pixels, *regions), shape, node.dtype, chosen)
    return flow.permute(made, _FIRST)


@imports("crop_and_resize")
def _crop_and_resize(flow: Flow, node: Application) -> Value | None:
    image, attributes = node.operand(0), node.attributes
    regions = _regions(flow, node, image.shape)
    if regions is None or image.dtype not in (np.uint8, np.float32):
        return None
    if attributes["method"] not in ("bilinear", "nearest"):
        return None
    chosen = {"checked": True, **attributes}
    return flow.make("crop_and_resize", (image, *regions), node.shape, node.dtype, chosen)


def _regions(flow: Flow, node: Application, image: Sequence[int]) -> tuple[Value, Value] | None:
    """Return corners and image numbers of regions, None when they do not fit."""
    corners, index = node.operand(1), node.operand(2)
    count = corners.shape[0]
    if len(image) != 4 or 0 in (*image, *node.shape) or corners.shape != (count, 4):
        return None
    if index.size != count or not (kernel_dtype(corners.dtype) and kernel_dtype(index.dtype)):
        return None
    return corners, flow.reshape(index, (count,))


# --- colour --------------------------------------------------------------------------------------


@imports("image_color")
def _image_color(flow: Flow, node: Application) -> Value | None:
    x = node.operand(0)
    source, target = picture.CONVERSIONS[node.attributes["code"]]
    if target == "GRAY":
        return flow.reshape(_grey(flow, x, source), node.shape)
    opaque = flow.number(picture.opaque(x.dtype), x.dtype)
    alpha = flow.broadcast(opaque, (*x.shape[:2], 1))
    if source == "GRAY":
        colours = flow.broadcast(flow.reshape(x, (*x.shape[:2], 1)), (*x.shape[:2], 3))
        return flow.concat([colours, alpha], 2) if "A" in target else colours
    turned = source[:3] != target[:3]
    colours = _channels(flow, x, 2 if turned else 0, -1 if turned else 1, 3)
    if "A" not in target:
        return colours
    if "A" in source:
        alpha = _channels(flow, x, 3, 1, 1)
    return flow.concat([colours, alpha], 2)


def _channels(flow: Flow, x: Value, start: int, step: int, count: int) -> Value:
    return flow.slice(x, (0, 0, start), (1, 1, step), (*x.shape[:2], count))


def _grey(flow: Flow, x: Value, source: str) -> Value:
    """Return (H, W): the weighted sum of the colours, in OpenCV's arithmetic."""
    weights = picture.GRAY_FLOATS if x.dtype.kind == "f" else picture.GRAY_WEIGHTS
    colours = _channels(flow, x, 0, 1, 3)
    attributes = {"weights": tuple(weights[each] for each in source[:3])}
    return flow.make("grey", (colours,), x.shape[:2], x.dtype, attributes)


# --- movement ------------------------------------------------------------------------------------


def _turned(flow: Flow, x: Value, axes: Sequence[int]) -> Value:
    """Return x with axes in reverse order."""
    starts = [size - 1 if axis in axes else 0 for axis, size in enumerate(x.shape)]
    steps = [-1 if axis in axes else 1 for axis in range(len(x.shape))]
    return flow.slice(x, starts, steps, x.shape)


@imports("image_flip")
def _image_flip(flow: Flow, node: Application) -> Value:
    code = node.attributes["code"]
    return _turned(flow, node.operand(0), (0,) if code == 0 else (1,) if code > 0 else (0, 1))


@imports("image_rotate")
def _image_rotate(flow: Flow, node: Application) -> Value:
    x, code = node.operand(0), node.attributes["code"]
    if code == 1:
        return _turned(flow, x, (0, 1))
    across = flow.permute(x, (1, 0, *range(2, len(x.shape))))
    return _turned(flow, across, (1,) if code == 0 else (0,))


@imports("image_border")
def _image_border(flow: Flow, node: Application) -> Value | None:
    x, attributes = node.operand(0), node.attributes
    if x.dtype.kind not in "biuf" or x.dtype.itemsize > 8:
        return None
    sides = [(attributes["top"], attributes["bottom"]), (attributes["left"], attributes["right"])]
    if attributes["mode"] == "constant":
        channels = x.shape[2] if len(x.shape) == 3 else 1
        colour = picture.border_colour(attributes["value"], channels, x.dtype)
        return _framed(flow, x, sides, colour)
    found: Value | None = x
    for axis, (before, after) in enumerate(sides):
        places = picture.border_places(x.shape[axis], before, after, attributes["mode"])
        found = None if found is None else _picked(flow, found, axis, places.tolist())
    return found


def _framed(flow: Flow, x: Value, sides: Sequence[tuple[int, int]], colour: np.ndarray) -> Value:
    """Return x with a border of one colour: pieces around it, so that it is stored in place."""
    pixel = (
        flow.number(colour[0], x.dtype) if (colour == colour[0]).all() else flow.constant(colour)
    )
    for axis, widths in enumerate(sides):
        pieces = []
        for width in widths:
            shape = list(x.shape)
            shape[axis] = width
            pieces.append(flow.broadcast(pixel, shape))
        x = flow.concat([pieces[0], x, pieces[1]], axis)
    return x


def _picked(flow: Flow, x: Value, axis: int, places: Sequence[int]) -> Value | None:
    """Return x at places of an axis, put together from slices; None when they are too many."""
    parts, start = [], 0
    while start < len(places):
        step = places[start + 1] - places[start] if start + 1 < len(places) else 1
        step = step if step in (-1, 0, 1) else 1
        end = start + 1
        while end < len(places) and places[end] - places[end - 1] == step:
            end += 1
        shape, starts, steps = list(x.shape), [0] * len(x.shape), [1] * len(x.shape)
        shape[axis], starts[axis], steps[axis] = end - start, places[start], step or 1
        if step == 0:
            single = [1 if number == axis else size for number, size in enumerate(shape)]
            parts.append(flow.broadcast(flow.slice(x, starts, steps, single), shape))
        else:
            parts.append(flow.slice(x, starts, steps, shape))
        start = end
        if len(parts) > _RUNS:
            return None
    return flow.concat(parts, axis)
