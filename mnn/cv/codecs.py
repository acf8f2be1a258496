"""Encoded pictures to arrays and back. Pillow does the decoding and is imported on first use."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.cv import constants as c
from mnn.errors import DTypeError, FormatError, ShapeError
from mnn.format.writer import write_file

if TYPE_CHECKING:
    from PIL import Image as PillowImage

__all__ = ["EXTENSIONS", "MAX_PIXELS", "decode", "encode", "read_bytes", "readable", "write"]

Array = np.ndarray[Any, Any]

MAX_PIXELS = 1 << 30
"""Most pixels of a picture that is read or written, OpenCV's default."""

EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
}
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF", "DIB")
# What Pillow's decoders raise on damaged data.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ArithmeticError,
    NotImplementedError,
    AttributeError,
    struct.error,
)
_SIXTEEN = ("I;16", "I;16B", "I;16L", "I")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file's content.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: as `open` raises them.
    """
    with open(os.fspath(path), "rb") as file:
        return file.read()


def readable(data: bytes) -> bool:
    """Return whether the beginning of a file is that of a known picture format."""
    heads = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"GIF8")
    if data.startswith(heads) or data[:2] in (b"P5", b"P6", b"P4"):
        return True
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def decode(data: bytes, flags: int, what: str = "imdecode") -> Array:
    """Return a picture as an array: BGR, grey or as stored.

    Args:
        data: encoded bytes.
        flags: `IMREAD_*`: colour (default) gives (H, W, 3) BGR uint8; grey (H, W) uint8; unchanged
            keeps alpha (as BGRA) and 16 bits; any-depth keeps 16 bits; reduced flags halve the size
            once to three times. The EXIF orientation is applied unless flags say otherwise.
        what: name for messages.

    Raises:
        FormatError: not a picture, damaged, truncated, or larger than MAX_PIXELS.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise FormatError(f"{what}: the data is empty. Expected an encoded picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise FormatError(
                        f"{what}: {image.width} x {image.height} pixels, expected at most "
                        f"{MAX_PIXELS}."
                    )
                array = _pixels(image, flags)
    except FormatError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError(
            f"{what}: the data is no picture in a known format. Expected "
            f"{', '.join(sorted(set(EXTENSIONS.values())))}."
        ) from error
    except Image.DecompressionBombError as error:
        raise FormatError(f"{what}: the picture is too large ({error}).") from error
    except _DAMAGE as error:
        raise FormatError(f"{what}: the picture is damaged or truncated ({error}).") from error
    return _reduced(array, flags)


def _pixels(image: PillowImage.Image, flags: int) -> Array:
    unchanged = flags == c.IMREAD_UNCHANGED
    if not unchanged and not flags & c.IMREAD_IGNORE_ORIENTATION:
        from PIL import ImageOps

        turned = ImageOps.exif_transpose(image)
        image = image if turned is None else turned
    if unchanged:
        return _as_stored(image)
    deep = bool(flags & c.IMREAD_ANYDEPTH)
    if flags & c.IMREAD_ANYCOLOR and _is_grey(image):
        return _grey(image, deep)
    if flags & (c.IMREAD_COLOR | c.IMREAD_ANYCOLOR | c.IMREAD_COLOR_RGB):
        return _colour(image, deep, rgb=bool(flags & c.IMREAD_COLOR_RGB))
    return _grey(image, deep)


def _is_grey(image: PillowImage.Image) -> bool:
    return image.mode in ("1", "L", "LA", *_SIXTEEN)


def _sixteen(image: PillowImage.Image) -> Array:
    found: Array = np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
    return found


def _as_stored(image: PillowImage.Image) -> Array:
    if image.mode in _SIXTEEN:
        return _sixteen(image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        return _swapped(np.asarray(image.convert("RGBA")))
    return _swapped(np.asarray(image.convert("RGB")))


def _swapped(array: Array) -> Array:
    order = [2, 1, 0] if array.shape[2] == 3 else [2, 1, 0, 3]
    return np.ascontiguousarray(array[..., order])


def _without_alpha(image: PillowImage.Image) -> PillowImage.Image:
    # Alpha is dropped, not blended: colours under transparent pixels stay.
    if image.mode == "LA":
        return image.getchannel("L")
    if image.mode in ("RGBA", "PA") or (image.mode == "P" and "transparency" in image.info):
        return image.convert("RGBA").convert("RGB")
    return image


def _colour(image: PillowImage.Image, deep: bool, *, rgb: bool = False) -> Array:
    if image.mode in _SIXTEEN:
        plane = _sixteen(image)
        plane = plane if deep else (plane >> 8).astype(np.uint8)
        return np.repeat(plane[..., None], 3, axis=2)
    array = np.asarray(_without_alpha(image).convert("RGB"))
    return array.copy() if rgb else _swapped(array)


def _grey(image: PillowImage.Image, deep: bool) -> Array:
    from mnn.ops.reference.picture import convert_color

    if image.mode in _SIXTEEN:
        plane = _sixteen(image)
        return plane if deep else (plane >> 8).astype(np.uint8)
    image = _without_alpha(image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return convert_color(_swapped(np.asarray(image.convert("RGB"))), code=c.COLOR_BGR2GRAY)


def _reduced(array: Array, flags: int) -> Array:
    if flags < 0 or not flags & (16 | 32 | 64):
        return array
    factor = 2 if flags & 16 else 4 if flags & 32 else 8
    from mnn.ops.reference.picture import resize_image

    height, width = (max(1, -(-size // factor)) for size in array.shape[:2])
    return resize_image(array, size=(width, height), interpolation="linear")


# --- encoding ------------------------------------------------------------------------------------


def _settings(name: str, params: Sequence[int]) -> dict[str, Any]:
    values = [int(each) for each in params]
    if len(values) % 2:
        raise ShapeError(f"imencode: found params {values}, expected pairs of key and value.")
    given = dict(zip(values[::2], values[1::2], strict=True))
    if name == "JPEG":
        quality = given.get(c.IMWRITE_JPEG_QUALITY, 95)
        return {"quality": max(1, min(100, quality)), "subsampling": 2}
    if name == "PNG":
        return {"compress_level": max(0, min(9, given.get(c.IMWRITE_PNG_COMPRESSION, 1)))}
    if name == "WEBP":
        quality = given.get(c.IMWRITE_WEBP_QUALITY, 101)
        return {"lossless": quality > 100, "quality": max(1, min(100, quality))}
    return {}


def encode(extension: str, array: Array, params: Sequence[int] = ()) -> bytes:
    """Return an array as an encoded picture.

    Args:
        extension: `.jpg`, `.png`, `.bmp`, `.webp`, `.tif`, `.ppm` or a relative.
        array: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA; uint8, or uint16 grey for PNG and
            TIFF. Other types are rounded and limited to 0..255, as OpenCV does.
        params: pairs of `IMWRITE_*` key and value.

    Raises:
        FormatError: an unknown extension.    ShapeError: not a picture.
    """
    name = EXTENSIONS.get(extension.lower())
    if name is None:
        raise FormatError(
            f"imencode: unknown extension {extension!r}. Expected one of {sorted(EXTENSIONS)}."
        )
    from PIL import Image

    pixels = _prepared(name, array)
    if pixels.ndim == 2:
        image = Image.fromarray(pixels)
    else:
        image = Image.fromarray(_swapped(pixels))
        if pixels.shape[2] == 4 and name in ("JPEG", "BMP", "PPM"):
            image = image.convert("RGB")
    stream = io.BytesIO()
    try:
        image.save(stream, format=name, **_settings(name, params))
    except (OSError, ValueError) as error:
        raise ShapeError(
            f"imencode: {pixels.shape} cannot be stored as {name}: {error}."
        ) from error
    return stream.getvalue()


def _prepared(name: str, array: Array) -> Array:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if (
        array.ndim not in (2, 3)
        or 0 in array.shape
        or (array.ndim == 3 and array.shape[2] not in (3, 4))
    ):
        raise ShapeError(
            f"imencode: found shape {array.shape}, expected (H, W), (H, W, 3) or (H, W, 4) that is "
            "not empty."
        )
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"imencode: found {array.dtype}, expected real numbers.")
    if array.dtype == np.uint16 and array.ndim == 2 and name in ("PNG", "TIFF"):
        return np.ascontiguousarray(array)
    if array.dtype != np.uint8:
        if array.dtype.kind == "f":
            array = np.rint(np.nan_to_num(array))
        array = np.clip(array, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def write(path: str | os.PathLike[str], array: Array, params: Sequence[int] = ()) -> None:
    """Write a picture in the format of the path's extension, in one step.

    Raises:
        FormatError: unknown extension.    ShapeError: not a picture.    OSError: cannot be written.
    """
    target = os.fspath(path)
    write_file(target, encode(os.path.splitext(target)[1], array, params))
