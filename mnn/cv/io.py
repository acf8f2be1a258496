"""Reading and writing pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.cv import codecs
from mnn.cv.constants import IMREAD_COLOR
from mnn.errors import DTypeError
from mnn.expr.enums import data_format
from mnn.expr.modes import should_record
from mnn.expr.var import Var, capture
from mnn.ops.operands import array_of

__all__ = ["haveImageReader", "haveImageWriter", "imdecode", "imencode", "imread", "imwrite"]


def _picture(array: np.ndarray[Any, Any]) -> Var:
    var = Var(array, data_format.NHWC)
    if should_record():
        capture(var)
    return var


def imread(filename: str | os.PathLike[str], flags: int = IMREAD_COLOR) -> Var:
    """Return a picture from a file.

    Args:
        filename: path of a JPEG, PNG, BMP, WebP, TIFF or PPM file.
        flags: `IMREAD_COLOR`: (H, W, 3) BGR uint8; `IMREAD_GRAYSCALE`: (H, W); `IMREAD_UNCHANGED`:
            as stored, with alpha, 16 bits and floats; `IMREAD_ANYDEPTH`: keep 16 bits and floats.
            Colours of 16 bits are kept from PNG only; from other files they are refused then.

    Returns:
        NHWC-tagged Var. PNG and BMP pixels equal OpenCV's; JPEG pixels differ by a few levels,
        because decoders round differently. The EXIF orientation is applied.

    Raises:
        FileNotFoundError: there is no such file.    FormatError: it is no picture, or damaged.
    """
    data = codecs.read_bytes(filename)
    return _picture(codecs.decode(data, int(flags), f"imread({os.fspath(filename)!r})"))


def imdecode(buf: Any, flags: int = IMREAD_COLOR) -> Var:
    """Return a picture from encoded bytes (bytes, an array, a list or a uint8 Var).

    Raises:
        FormatError: no picture, or damaged.
    """
    if isinstance(buf, (bytes, bytearray, memoryview)):
        data = bytes(buf)
    else:
        array = array_of(buf, "imdecode")
        if array.dtype.kind not in "iu" and array.size:
            raise DTypeError(f"imdecode: found {array.dtype}, expected bytes.")
        data = array.astype(np.uint8).tobytes()
    return _picture(codecs.decode(data, int(flags)))


def imwrite(filename: str | os.PathLike[str], img: Any, params: Sequence[int] = ()) -> bool:
    """Write a picture in the format of the file name's extension, and return True.

    Args:
        filename: path; an old file is replaced when the new one is complete.
        img: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; a leading batch of 1 is dropped.
        params: pairs of `IMWRITE_*` key and value, such as `[IMWRITE_JPEG_QUALITY, 90]`.

    Raises:
        FormatError: unknown extension.    ShapeError: not a picture.    OSError: cannot be written.
    """
    codecs.write(filename, _squeezed(img, "imwrite"), list(params or ()))
    return True


def imencode(ext: str, img: Any, params: Sequence[int] = ()) -> tuple[bool, Var]:
    """Return (True, encoded bytes as a 1-D uint8 Var).

    Raises:
        FormatError: unknown extension.    ShapeError: not a picture.
    """
    data = codecs.encode(ext, _squeezed(img, "imencode"), list(params or ()))
    return True, Var(np.frombuffer(data, np.uint8).copy())


def _squeezed(img: Any, what: str) -> np.ndarray[Any, Any]:
    array = array_of(img, what)
    return array[0] if array.ndim == 4 and array.shape[0] == 1 else array


def haveImageReader(filename: str | os.PathLike[str]) -> bool:
    """Return whether the file exists and begins like a known picture format."""
    try:
        with open(os.fspath(filename), "rb") as file:
            return codecs.readable(file.read(32))
    except OSError:
        return False


def haveImageWriter(filename: str | os.PathLike[str]) -> bool:
    """Return whether pictures can be written with the file name's extension."""
    return os.path.splitext(os.fspath(filename))[1].lower() in codecs.EXTENSIONS
