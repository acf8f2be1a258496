"""Encoded pictures to arrays and back. Pillow does the decoding and is imported on first use."""

from __future__ import annotations

import io
import operator
import os
import struct
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.cv import constants as c
from mnn.cv import png
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
_BITS_PER_SAMPLE, _ORIENTATION = 258, 274  # TIFF tags, which EXIF uses too


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
                size = image.size
                if image.width * image.height > MAX_PIXELS:
                    raise FormatError(
                        f"{what}: {image.width} x {image.height} pixels, expected at most "
                        f"{MAX_PIXELS}."
                    )
                array = _pixels(image, flags, data, what)
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
    return _reduced(array, size, flags)


def _pixels(image: PillowImage.Image, flags: int, data: bytes, what: str) -> Array:
    unchanged = flags == c.IMREAD_UNCHANGED
    deep = unchanged or bool(flags & c.IMREAD_ANYDEPTH)
    if image.mode == "F" or (deep and _loses_bits(image, data)):
        return _deep_pixels(image, flags, data, what)
    orientation = image.getexif().get(_ORIENTATION, 1)
    if not unchanged and (factor := _reduction(flags)) > 1:
        # JPEG decoders scale on their own; other formats are scaled afterwards.
        image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))
    if not unchanged and not flags & c.IMREAD_IGNORE_ORIENTATION and orientation != 1:
        from PIL import ImageOps

        turned = ImageOps.exif_transpose(image)
        image = image if turned is None else turned
    if unchanged:
        return _as_stored(image)
    if flags & (c.IMREAD_COLOR | c.IMREAD_COLOR_RGB):
        return _colour(image, deep, rgb=bool(flags & c.IMREAD_COLOR_RGB))
    if flags & c.IMREAD_ANYCOLOR and not _is_grey(image):
        return _colour(image, deep)
    return _grey(image, deep)


def _is_grey(image: PillowImage.Image) -> bool:
    return image.mode in ("1", "L", *_SIXTEEN)


def _loses_bits(image: PillowImage.Image, data: bytes) -> bool:
    """Return whether Pillow reduces the colours of this picture to 8 bits."""
    if image.format == "PNG":
        return png.is_deep(data)
    if image.format == "TIFF" and image.mode in ("RGB", "RGBA"):
        tags: Any = getattr(image, "tag_v2", {})
        return bool(max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8)
    return image.format == "PPM" and image.mode == "RGB" and _ppm_maximum(data) > 255


def _ppm_maximum(data: bytes) -> int:
    words = b" ".join(line.split(b"#")[0] for line in data[:1024].splitlines()[:8]).split()
    return int(words[3]) if len(words) > 3 and words[3].isdigit() else 255


def _deep_pixels(image: PillowImage.Image, flags: int, data: bytes, what: str) -> Array:
    """Return floats, or colours of 16 bits, as they are stored or as `flags` ask.

    Raises:
        FormatError: flags ask for 8 bits of floats, or no decoder keeps the bits.
    """
    from mnn.ops.reference.picture import convert_color

    if image.mode == "F":
        if flags != c.IMREAD_UNCHANGED and not flags & c.IMREAD_ANYDEPTH:
            raise FormatError(f"{what}: the pixels are floats. Read them with IMREAD_UNCHANGED.")
        return np.array(image, np.float32)
    if image.format != "PNG":
        raise FormatError(
            f"{what}: colours of 16 bits are kept from PNG only, found {image.format}. Read 8 bits "
            "of them with IMREAD_COLOR."
        )
    samples = png.decode_deep(data)
    if samples.shape[2] == 2:
        samples = samples[..., [0, 0, 0, 1]]
    colours = _swapped(samples)
    if flags == c.IMREAD_UNCHANGED:
        return colours
    opaque = np.ascontiguousarray(colours[..., :3])
    if flags & (c.IMREAD_COLOR | c.IMREAD_ANYCOLOR):
        return opaque
    if flags & c.IMREAD_COLOR_RGB:
        return _swapped(opaque)
    return convert_color(opaque, code=c.COLOR_BGR2GRAY)


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


def _reduction(flags: int) -> int:
    """Return by how much `flags` reduce the sides of a picture."""
    if flags < 0:
        return 1
    return next((factor for factor, bit in ((2, 16), (4, 32), (8, 64)) if flags & bit), 1)


def _reduced(array: Array, size: tuple[int, int], flags: int) -> Array:
    """Return the picture of a file of `size` (width, height) reduced as `flags` ask.

    Whole pixels of the result count, but for JPEG, whose decoder rounds up and was here before.
    """
    factor = _reduction(flags)
    if factor == 1 or array.shape[:2] not in (size, size[::-1]):
        return array
    from mnn.ops.reference.picture import resize_image

    height, width = (max(1, side // factor) for side in array.shape[:2])
    return resize_image(array, size=(width, height), interpolation="linear")


# --- encoding ------------------------------------------------------------------------------------


def _settings(name: str, params: Sequence[int]) -> dict[str, Any]:
    try:
        values = [operator.index(each) for each in params]
    except TypeError as error:
        raise DTypeError(f"imencode: found params {params!r}, expected whole numbers.") from error
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
        array: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA; uint8; uint16 for PNG; uint16 or
            float32 grey for TIFF. Other types are rounded and limited to 0..255, as OpenCV does.
        params: pairs of `IMWRITE_*` key and value.

    Raises:
        FormatError: an unknown extension.    ShapeError: not a picture.
        DTypeError: numbers that TIFF or PPM could keep, but that are not written.
    """
    name = EXTENSIONS.get(extension.lower())
    if name is None:
        raise FormatError(
            f"imencode: unknown extension {extension!r}. Expected one of {sorted(EXTENSIONS)}."
        )
    from PIL import Image

    pixels, settings = _prepared(name, array), _settings(name, params)
    if pixels.ndim == 3 and pixels.dtype == np.uint16:
        return png.encode_deep(_swapped(pixels), settings["compress_level"])
    if pixels.ndim == 2:
        image = Image.fromarray(pixels)
    else:
        image = Image.fromarray(_swapped(pixels))
        if pixels.shape[2] == 4 and name in ("JPEG", "PPM"):
            image = image.convert("RGB")
    stream = io.BytesIO()
    try:
        image.save(stream, format=name, **settings)
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
    if array.dtype == np.uint16 and (name == "PNG" or (name == "TIFF" and array.ndim == 2)):
        return np.ascontiguousarray(array)
    if name == "TIFF" and array.dtype == np.float32 and array.ndim == 2:
        return np.ascontiguousarray(array)
    keeps = {"TIFF": "biuf", "PPM": "u"}.get(name, "")
    if array.dtype.kind in keeps and array.dtype not in (np.uint8, np.bool_):
        raise DTypeError(
            f"imencode: found {array.dtype} of shape {array.shape}, expected uint8, or for TIFF "
            "grey of uint16 or float32. Convert with astype."
        )
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
