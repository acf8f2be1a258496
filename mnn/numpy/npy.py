"""Reading one array in NumPy's `.npy` format, with its size checked before memory is taken.

The format is described in `numpy.lib.format`.
"""

from __future__ import annotations

import contextlib
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as _np
from numpy.lib import format as _format

from mnn.errors import FormatError
from mnn.expr.dtypes import bfloat16_type, kind_of

__all__ = ["damage_of", "read_array", "read_header"]

# The format has no name for bfloat16: NumPy writes such arrays as two bytes without meaning.
_BYTE_PAIRS = _np.dtype("V2")

_DAMAGE = (
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    SyntaxError,
    OverflowError,
    RecursionError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@contextlib.contextmanager
def damage_of(name: str) -> Iterator[None]:
    """Raise FormatError for whatever goes wrong with a file that is not as it should be."""
    try:
        yield
    except _DAMAGE as error:
        raise FormatError(
            f"load: {name} is no file of arrays of numbers, or is damaged ({error}). "
            "Write it anew with save()."
        ) from error


def read_header(
    stream: Any, size: int, max_header_size: int
) -> tuple[tuple[int, ...], bool, _np.dtype[Any]]:
    """Return shape, column-major order and element type of the array that begins here.

    Args:
        stream: binary file.    size: bytes that it has from here.
        max_header_size: greatest size of the header.

    Raises:
        FormatError: another type of elements, or fewer bytes than elements need.
        Any of the errors that `damage_of` turns into FormatError.
    """
    version = _format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = _format.read_array_header_1_0(stream, max_header_size)
    elif version == (2, 0):
        shape, fortran, dtype = _format.read_array_header_2_0(stream, max_header_size)
    else:
        raise FormatError(f"version {version} of the format is not one of arrays of numbers")
    if dtype == _BYTE_PAIRS:
        dtype = _np.dtype(bfloat16_type("load"))
    if kind_of(dtype) not in "biufc":
        raise FormatError(f"elements are of type {dtype}, expected numbers")
    if any(type(each) is not int or each < 0 for each in shape):
        raise FormatError(f"shape {shape} is none")
    if math.prod(shape) * dtype.itemsize > size:
        raise FormatError(f"shape {shape} of {dtype} needs more than the {size} bytes there are")
    return shape, fortran, dtype


def read_array(stream: Any, size: int, max_header_size: int) -> _np.ndarray[Any, Any]:
    """Return the array that begins here; arguments and errors are those of `read_header`."""
    shape, fortran, dtype = read_header(stream, size, max_header_size)
    length = math.prod(shape) * dtype.itemsize
    content = bytearray(length)
    filled, view = 0, memoryview(content)
    while filled < length:
        count = stream.readinto(view[filled:])
        if not count:
            raise FormatError(f"the file ends after {filled} of {length} bytes")
        filled += count
    if hasattr(stream, "_update_crc"):
        stream.read(1)  # the last read of a packed file checks its sum
    flat = _np.frombuffer(content, dtype)
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))
