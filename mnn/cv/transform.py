"""Scaling, colour, mirroring, turning and borders. uint8 results equal OpenCV's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.cv import constants as c
from mnn.errors import ShapeError, UnsupportedError
from mnn.expr.enums import data_format
from mnn.expr.var import Var
from mnn.ops import picture
from mnn.ops.convert import cast
from mnn.ops.movement import squeeze
from mnn.ops.operands import as_var
from mnn.ops.reference.picture import CHANNELS

__all__ = ["copyMakeBorder", "cvtColor", "flip", "resize", "rotate"]

_INTERPOLATIONS = {c.INTER_NEAREST: "nearest", c.INTER_LINEAR: "linear"}


def _image(src: Any, name: str) -> Var:
    """Return a picture (H, W) or (H, W, C); a leading batch of 1 is dropped.

    Raises:
        ShapeError: another shape, or an empty picture.
    """
    var = src if isinstance(src, Var) else Var(as_var(src, name)._array(), data_format.NHWC)
    if var.ndim == 4 and var.shape[0] == 1:
        var = squeeze(var, (0,))
    if var.ndim not in (2, 3):
        raise ShapeError(
            f"{name}: found shape {var.shape}, expected a picture (H, W) or (H, W, C)."
        )
    return var


def _size(name: str, value: Sequence[int]) -> tuple[int, int]:
    numbers = tuple(int(each) for each in value)
    if len(numbers) != 2:
        raise ShapeError(f"{name}: size is {value!r}, expected (width, height).")
    return numbers[0], numbers[1]


def resize(
    src: Any,
    dsize: Sequence[int] | None = None,
    fx: float | None = None,
    fy: float | None = None,
    interpolation: int = c.INTER_LINEAR,
    code: int | None = None,
    mean: Sequence[float] = (),
    norm: Sequence[float] = (),
) -> Var:
    """Return a picture scaled to `dsize`, on request recoloured and normalised.

    Args:
        src: (H, W) or (H, W, C); uint8, uint16, int16, float32 or float64.
        dsize: target (width, height); None or (0, 0): the size times (fx, fy), rounded.
        fx, fy: factors of width and height.
        interpolation: INTER_NEAREST or INTER_LINEAR.
        code: a colour conversion, done before scaling.
        mean, norm: given either, the result is float32 `(x - mean) * norm` per channel.

    Returns:
        Var of shape `(height, width[, C])`. uint8 results equal OpenCV's; float ones within 1e-5 of
        the range.

    Raises:
        ShapeError: no picture, or a side below 1.    DTypeError: an unsupported dtype.
        UnsupportedError: another interpolation.
    """
    if interpolation not in _INTERPOLATIONS:
        raise UnsupportedError(
            f"resize: interpolation {interpolation} is not available yet. Use INTER_NEAREST or "
            "INTER_LINEAR."
        )
    image = _image(src, "resize")
    if code is not None:
        image = cvtColor(image, code)
    size = (0, 0) if dsize is None else _size("resize", dsize)
    factors = None
    if size == (0, 0):
        if not fx or not fy or fx <= 0 or fy <= 0:
            raise ShapeError(f"resize: found no size and factors {fx}, {fy}. Give one of them.")
        height, width = image.shape[:2]
        size = (_rounded(width * fx), _rounded(height * fy))
        if size != (width * fx, height * fy):
            factors = (float(fx), float(fy))
    scaled: Var = picture.image_resize(
        image, size=size, interpolation=_INTERPOLATIONS[interpolation], factors=factors
    )
    return _normalised(scaled, mean, norm)


def _rounded(value: float) -> int:
    return int(np.rint(value))


def _normalised(image: Var, mean: Sequence[float], norm: Sequence[float]) -> Var:
    if not len(mean) and not len(norm):
        return image
    result = cast(image, np.float32)
    for values, apply in ((mean, "subtract"), (norm, "multiply")):
        if not len(values):
            continue
        numbers = np.asarray(values, np.float32)
        channels = image.shape[2] if image.ndim == 3 else 1
        if numbers.size not in (1, channels):
            numbers = numbers[:channels] if numbers.size > channels else numbers
            if numbers.size != channels:
                raise ShapeError(
                    f"resize: {len(values)} numbers to {apply} for {channels} channels."
                )
        result = result - numbers if apply == "subtract" else result * numbers
    return result


def cvtColor(src: Any, code: int, dstCn: int = 0) -> Var:
    """Return a picture in another order of colours.

    Args:
        src: (H, W, C), or (H, W) for grey; uint8, uint16 or float32.
        code: a `COLOR_*` constant for a conversion among BGR, RGB, BGRA, RGBA and GRAY.
        dstCn: accepted for compatibility; the code decides the channels.

    Returns:
        Var; grey results have shape (H, W). uint8 results equal OpenCV's.

    Raises:
        ShapeError: another number of channels.    DTypeError: an unsupported dtype.
        UnsupportedError: another conversion.
    """
    if code not in CHANNELS:
        raise UnsupportedError(
            f"cvtColor: conversion {code} is not available yet. Available are those among BGR, "
            "RGB, BGRA, RGBA and GRAY."
        )
    result: Var = picture.image_color(_image(src, "cvtColor"), code=int(code))
    return result


def flip(src: Any, flipCode: int) -> Var:
    """Return a picture mirrored: 0 top to bottom, > 0 left to right, < 0 both."""
    sign = int(np.sign(flipCode))
    result: Var = picture.image_flip(_image(src, "flip"), code=sign)
    return result


def rotate(src: Any, rotateMode: int) -> Var:
    """Return a picture turned by 90 degrees: `ROTATE_90_CLOCKWISE` and relatives.

    Raises:
        ShapeError: an unknown mode.
    """
    if rotateMode not in (0, 1, 2):
        raise ShapeError(f"rotate: mode {rotateMode}, expected one of the ROTATE_* constants.")
    result: Var = picture.image_rotate(_image(src, "rotate"), code=int(rotateMode))
    return result


_BORDERS = {
    c.BORDER_CONSTANT: "constant",
    c.BORDER_REPLICATE: "edge",
    c.BORDER_REFLECT: "symmetric",
    c.BORDER_WRAP: "wrap",
    c.BORDER_REFLECT_101: "reflect",
}


def copyMakeBorder(
    src: Any,
    top: int,
    bottom: int,
    left: int,
    right: int,
    borderType: int,
    value: Any = 0,
) -> Var:
    """Return a picture with a border.

    Args:
        src: (H, W) or (H, W, C).
        top, bottom, left, right: widths in pixels.
        borderType: BORDER_CONSTANT, BORDER_REPLICATE, BORDER_REFLECT, BORDER_REFLECT_101 or
            BORDER_WRAP.
        value: colour of a constant border: a number (first channel) or one per channel.

    Raises:
        ShapeError: a negative width, no picture, or an unknown border.
    """
    if borderType not in _BORDERS:
        raise ShapeError(f"copyMakeBorder: border {borderType}, expected a BORDER_* constant.")
    colour = (value,) if isinstance(value, (int, float)) else tuple(value)
    result: Var = picture.image_border(
        _image(src, "copyMakeBorder"),
        top=int(top),
        bottom=int(bottom),
        left=int(left),
        right=int(right),
        mode=_BORDERS[borderType],
        value=tuple(float(each) for each in colour),
    )
    return result
