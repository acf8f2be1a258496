"""Pictures in plain NumPy, with OpenCV's arithmetic.

uint8 results equal OpenCV's bit for bit: bilinear resizing works with 11-bit coefficients, grey
values with 15-bit weights, as OpenCV does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError

__all__ = [
    "CHANNELS",
    "CONVERSIONS",
    "GRAY_FLOATS",
    "GRAY_WEIGHTS",
    "border_colour",
    "border_places",
    "convert_color",
    "copy_make_border",
    "fixed_weights",
    "flip",
    "linear_taps",
    "nearest_places",
    "opaque",
    "resize_image",
    "rotate",
]

Array = np.ndarray[Any, Any]

_SCALE = 2048  # 11 bits, OpenCV's INTER_RESIZE_COEF_SCALE


def _check_image(name: str, image: Array) -> None:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ShapeError(
            f"{name}: found shape {image.shape}, expected a picture (H, W) or (H, W, C) that is "
            "not empty."
        )


# --- resize --------------------------------------------------------------------------------------


def resize_image(
    image: Array,
    *,
    size: tuple[int, int],
    interpolation: str,
    factors: tuple[float, float] | None = None,
) -> Array:
    """Return the picture scaled to `size` (width, height).

    Args:
        image: (H, W) or (H, W, C); uint8, uint16, int16, float32 or float64.
        size: target (width, height).
        interpolation: `nearest` or `linear`, with half-pixel centres for linear.
        factors: by how much positions are scaled, where the rounded size says it less exactly.

    Raises:
        ShapeError: an empty picture, or a side below 1.    DTypeError: another element type.
    """
    _check_image("resize", image)
    width, height = size
    if width < 1 or height < 1:
        raise ShapeError(f"resize: target size {size}, expected a width and height of at least 1.")
    rows, columns = image.shape[:2]
    across, down = factors or (width / columns, height / rows)
    if (rows, columns) == (height, width):
        across = down = 1.0
    if interpolation == "nearest":
        y, x = nearest_places(rows, height, down), nearest_places(columns, width, across)
        result: Array = image[y[:, None], x[None, :]]
        return result
    if image.dtype not in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
        raise DTypeError(
            f"resize: found {image.dtype}, expected uint8, uint16, int16, float32 or float64."
        )
    if (rows, columns) == (height, width):
        return np.array(image)
    if across == down == 0.5 and (factors or image.dtype == np.uint8):
        return _halved(image, width, height)
    bytes_ = image.dtype == np.uint8
    taps = (
        linear_taps(columns, width, across, clamp=True),
        linear_taps(rows, height, down, clamp=not bytes_),
    )
    return _linear_bytes(image, *taps) if bytes_ else _linear_floats(image, *taps)


def _halved(image: Array, width: int, height: int) -> Array:
    """Return the mean of blocks of two by two, which is what OpenCV does for a factor of two.

    A last row or column of blocks that hang over the edge averages the pixels there are; pixels
    beyond the last block are left out.
    """
    image = image[: 2 * height, : 2 * width]
    rows, columns = image.shape[:2]
    whole = np.int64 if image.dtype.kind in "iu" else image.dtype
    hanging = [(0, 2 * height - rows), (0, 2 * width - columns)]
    padded = np.pad(image.astype(whole), hanging + [(0, 0)] * (image.ndim - 2))
    total = padded[0::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 0::2] + padded[1::2, 1::2]
    if image.dtype.kind not in "iu":
        counts = np.pad(np.ones((rows, columns), whole), hanging)
        present = counts[0::2, 0::2] + counts[0::2, 1::2] + counts[1::2, 0::2] + counts[1::2, 1::2]
        shares: Array = total / present.reshape(height, width, *[1] * (image.ndim - 2))
        return shares.astype(image.dtype)
    result = (total + 2) >> 2
    if 2 * width > columns:
        inside = np.minimum(rows - 2 * np.arange(height), 2)
        result[:, -1] = np.rint(total[:, -1] / inside.reshape(-1, *[1] * (image.ndim - 2)))
    if 2 * height > rows:
        inside = np.minimum(columns - 2 * np.arange(width), 2)
        result[-1] = np.rint(total[-1] / inside.reshape(-1, *[1] * (image.ndim - 2)))
    averages: Array = result.astype(image.dtype)
    return averages


def nearest_places(length: int, count: int, factor: float | None = None) -> Array:
    """Return the source position that each of `count` output positions copies."""
    # The reciprocal of a ratio, not the ratio: its rounding decides some pixels.
    scale = 1.0 / (count / length if factor is None else factor)
    places = np.floor(np.arange(count) * scale).astype(np.int64)
    result: Array = np.minimum(places, length - 1)
    return result


def linear_taps(
    length: int, count: int, factor: float | None = None, *, clamp: bool
) -> tuple[Array, Array]:
    """Return the lower source position and the float32 weight of the upper one.

    Horizontally OpenCV replaces positions outside by the edge with weight 0; vertically it clamps
    the rows and keeps the weights.
    """
    # The reciprocal of the ratio, as OpenCV rounds it.
    scale = 1.0 / (count / length if factor is None else factor)
    source = ((np.arange(count) + 0.5) * scale - 0.5).astype(np.float32)
    low = np.floor(source).astype(np.int64)
    weight = source - low.astype(np.float32)
    if clamp:
        weight = np.where(low < 0, np.float32(0), weight)
        low = np.maximum(low, 0)
        weight = np.where(low >= length - 1, np.float32(0), weight)
        low = np.minimum(low, length - 1)
    return low, weight


def fixed_weights(weight: Array) -> tuple[Array, Array]:
    """Return 11-bit integer weights of the lower and upper position."""
    upper = np.rint(weight * np.float32(_SCALE)).astype(np.int64)
    lower = np.rint((np.float32(1) - weight) * np.float32(_SCALE)).astype(np.int64)
    return lower, upper


def _linear_bytes(image: Array, across_taps: Any, down_taps: Any) -> Array:
    rows, columns = image.shape[:2]
    (x, wx), (y, wy) = across_taps, down_taps
    left, right = fixed_weights(wx)
    top, bottom = fixed_weights(wy)
    tail = (1,) * (image.ndim - 2)
    wide = image.astype(np.int64)
    across = wide[:, x] * left.reshape(1, -1, *tail)
    across += wide[:, np.minimum(x + 1, columns - 1)] * right.reshape(1, -1, *tail)
    upper = across[np.clip(y, 0, rows - 1)] >> 4
    lower = across[np.clip(y + 1, 0, rows - 1)] >> 4
    column = (-1, 1, *tail)
    total = ((top.reshape(column) * upper) >> 16) + ((bottom.reshape(column) * lower) >> 16)
    result: Array = ((total + 2) >> 2).astype(np.uint8)
    return result


def _linear_floats(image: Array, across_taps: Any, down_taps: Any) -> Array:
    rows, columns = image.shape[:2]
    (x, wx), (y, wy) = across_taps, down_taps
    tail = (1,) * (image.ndim - 2)
    work = np.float64 if image.dtype == np.float64 else np.float32
    wide = image.astype(work)
    wx = wx.astype(work).reshape(1, -1, *tail)
    wy = wy.astype(work).reshape(-1, 1, *tail)
    across = wide[:, x] * (1 - wx) + wide[:, np.minimum(x + 1, columns - 1)] * wx
    down = across[y] * (1 - wy) + across[np.minimum(y + 1, rows - 1)] * wy
    if image.dtype.kind in "iu":
        limits = np.iinfo(image.dtype)
        down = np.clip(np.rint(down), limits.min, limits.max)
    result: Array = down.astype(image.dtype)
    return result


# --- colour --------------------------------------------------------------------------------------

CONVERSIONS: dict[int, tuple[str, str]] = {
    0: ("BGR", "BGRA"),
    1: ("BGRA", "BGR"),
    2: ("BGR", "RGBA"),
    3: ("RGBA", "BGR"),
    4: ("BGR", "RGB"),
    5: ("BGRA", "RGBA"),
    6: ("BGR", "GRAY"),
    7: ("RGB", "GRAY"),
    8: ("GRAY", "BGR"),
    9: ("GRAY", "BGRA"),
    10: ("BGRA", "GRAY"),
    11: ("RGBA", "GRAY"),
}
"""Source order and target order by OpenCV's number of the conversion."""

CHANNELS = {code: (len(one) if one != "GRAY" else 1, len(two) if two != "GRAY" else 1)
            for code, (one, two) in CONVERSIONS.items()}  # fmt: skip
"""Channels before and after each known conversion."""

GRAY_FLOATS = {"R": 0.299, "G": 0.587, "B": 0.114}
GRAY_WEIGHTS = {"R": 9798, "G": 19235, "B": 3735}
"""Parts of colours in grey, as floats, and for integers in 15 bits."""


def convert_color(image: Array, *, code: int) -> Array:
    """Return the picture in another colour order.

    Args:
        image: (H, W, C) uint8, uint16 or float32; (H, W) for grey.
        code: OpenCV's number of a conversion among BGR, RGB, BGRA, RGBA and GRAY.

    Raises:
        ShapeError: another number of channels.    DTypeError: another element type.
    """
    _check_image("cvtColor", image)
    source, target = CONVERSIONS[code]
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise DTypeError(f"cvtColor: found {image.dtype}, expected uint8, uint16 or float32.")
    count = 1 if source == "GRAY" else len(source)
    found = 1 if image.ndim == 2 else image.shape[2]
    if found != count:
        raise ShapeError(
            f"cvtColor: the picture has {found} channels, {source} needs {count}. "
            "Check the conversion code."
        )
    if target == "GRAY":
        return _gray(image, source)
    if source == "GRAY":
        plane = image if image.ndim == 2 else image[..., 0]
        planes = [plane, plane, plane]
    else:
        planes = [image[..., source.index(each)] for each in target if each in source]
    if "A" in target and len(planes) == 3:
        planes.append(np.full(image.shape[:2], opaque(image.dtype), image.dtype))
    return np.stack(planes, axis=-1)


def opaque(dtype: np.dtype[Any]) -> Any:
    """Return the alpha of pixels that hide what is behind them."""
    return 1.0 if dtype.kind == "f" else np.iinfo(dtype).max


def _gray(image: Array, source: str) -> Array:
    if image.dtype.kind == "f":
        planes = [image[..., source.index(each)] * np.float32(w) for each, w in GRAY_FLOATS.items()]
        total: Array = planes[0] + planes[1] + planes[2]
        return total.astype(image.dtype)
    wide = image.astype(np.int64)
    summed = sum(wide[..., source.index(each)] * weight for each, weight in GRAY_WEIGHTS.items())
    result: Array = (np.asarray(summed) + (1 << 14)) >> 15
    return result.astype(image.dtype)


# --- movement ------------------------------------------------------------------------------------


def flip(image: Array, *, code: int) -> Array:
    """Return the picture mirrored: 0 top to bottom, > 0 left to right, < 0 both."""
    _check_image("flip", image)
    if code == 0:
        return image[::-1]
    return image[:, ::-1] if code > 0 else image[::-1, ::-1]


def rotate(image: Array, *, code: int) -> Array:
    """Return the picture turned: 0 by 90 degrees clockwise, 1 by 180, 2 by 90 counterclockwise."""
    _check_image("rotate", image)
    return np.rot90(image, {0: -1, 1: 2, 2: 1}[code])


def copy_make_border(
    image: Array,
    *,
    top: int,
    bottom: int,
    left: int,
    right: int,
    mode: str,
    value: tuple[float, ...],
) -> Array:
    """Return the picture with a border.

    Args:
        image: (H, W) or (H, W, C).
        top, bottom, left, right: widths in pixels.
        mode: `constant`, `edge`, `symmetric`, `reflect` or `wrap`.
        value: colour of a constant border, one number per channel (missing ones are 0).

    Raises:
        ShapeError: an empty picture, or a negative width.
    """
    _check_image("copyMakeBorder", image)
    if min(top, bottom, left, right) < 0:
        raise ShapeError(
            f"copyMakeBorder: widths {(top, bottom, left, right)}, expected numbers >= 0."
        )
    rows, columns = image.shape[:2]
    if mode == "constant":
        result = np.zeros(
            (rows + top + bottom, columns + left + right, *image.shape[2:]), image.dtype
        )
        colour = border_colour(value, 1 if image.ndim == 2 else image.shape[2], image.dtype)
        result[...] = colour if image.ndim == 3 else colour[0]
        result[top : top + rows, left : left + columns] = image
        return result
    y = border_places(rows, top, bottom, mode)
    x = border_places(columns, left, right, mode)
    found: Array = image[y[:, None], x[None, :]]
    return found


def border_colour(value: tuple[float, ...], channels: int, dtype: np.dtype[Any]) -> Array:
    """Return a colour as pixels of `channels` hold it: missing numbers are 0, others limited."""
    colour = np.zeros(channels)
    given = np.asarray(value, np.float64)[:channels]
    colour[: given.size] = given
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        colour = np.clip(np.rint(colour), limits.min, limits.max)
    return colour.astype(dtype)


def border_places(length: int, before: int, after: int, mode: str) -> Array:
    """Return the source position of every pixel along one axis, however wide the border is."""
    places = np.arange(-before, length + after)
    if mode == "edge":
        return np.clip(places, 0, length - 1)
    if mode == "wrap":
        return places % length
    if length == 1:
        return np.zeros_like(places)
    period = 2 * length if mode == "symmetric" else 2 * (length - 1)
    folded = places % period
    top = period - 1 if mode == "symmetric" else period
    return np.where(folded < length, folded, top - folded)
