"""PNG with 16-bit colours, which Pillow reduces to 8 bits.

Portable Network Graphics (W3C Recommendation, third edition, 2025): chunks in section 5, filters in
section 9, interlacing in section 8.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

from mnn.errors import FormatError

__all__ = ["decode_deep", "encode_deep", "is_deep"]

Array = np.ndarray[Any, Any]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {2: 3, 4: 2, 6: 4}
# First row, first column, distance of rows and of columns of each pass.
_PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def is_deep(data: bytes) -> bool:
    """Return whether the data begins like a PNG of 16-bit colours."""
    return (
        data.startswith(_SIGNATURE)
        and data[12:16] == b"IHDR"
        and data[24:25] == b"\x10"
        and data[25] in _SAMPLES
    )


def decode_deep(data: bytes) -> Array:
    """Return the samples of a PNG for which `is_deep`: `(H, W, 2, 3 or 4)` uint16, RGB order.

    Raises:
        FormatError: damaged or truncated.
    """
    width, height, _, kind, compression, filters, interlaced = struct.unpack(
        ">IIBBBBB", data[16:29]
    )
    if compression or filters or interlaced > 1 or not width or not height:
        raise FormatError("PNG: the header is damaged.")
    samples = _SAMPLES[kind]
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    places = [
        (slice(row, None, down), slice(column, None, across))
        for row, column, down, across in passes
        if row < height and column < width
    ]
    result = np.zeros((height, width, samples), np.uint16)
    shapes = [result[place].shape for place in places]
    sizes = [rows * (1 + 2 * samples * columns) for rows, columns, _ in shapes]
    raw = _inflated(data, sum(sizes))
    start = 0
    for place, (rows, columns, _), size in zip(places, shapes, sizes, strict=True):
        lines = np.frombuffer(raw, np.uint8, size, start).reshape(rows, -1)
        plain = _unfiltered(lines[:, 0], lines[:, 1:].reshape(rows, columns, 2 * samples))
        result[place] = plain.view(">u2")
        start += size
    return result


def _inflated(data: bytes, size: int) -> bytes:
    """Return exactly `size` bytes of pixels; never more are held, whatever the file claims."""
    unpacker = zlib.decompressobj()
    parts: list[bytes] = []
    missing = size
    for content in _contents(data):
        try:
            parts.append(unpacker.decompress(content, missing))
        except zlib.error as error:
            raise FormatError(f"PNG: the pixels are damaged ({error}).") from error
        missing -= len(parts[-1])
        if missing <= 0:
            return b"".join(parts)
    raise FormatError(f"PNG: {missing} of {size} bytes of pixels are missing.")


def _contents(data: bytes) -> list[bytes]:
    """Return the content of the IDAT chunks."""
    found = []
    start = len(_SIGNATURE)
    while start + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, start)
        name, end = data[start + 4 : start + 8], start + 8 + length
        if end + 4 > len(data) or name == b"IEND":
            break
        if name == b"IDAT":
            found.append(data[start + 8 : end])
        start = end + 4
    return found


def _unfiltered(filters: Array, coded: Array) -> Array:
    """Return the bytes of `(rows, columns, bytes per pixel)` behind the filters of each row.

    A pixel needs its left, upper and upper left neighbour, so that all pixels of one diagonal can
    be computed together.
    """
    if filters.max(initial=0) > 4:
        raise FormatError(f"PNG: found filter {filters.max()}, expected 0 to 4.")
    rows, columns, depth = coded.shape
    # One more row and column of zeros stand for the neighbours outside.
    plain = np.zeros((rows + 1, columns + 1, depth), np.int16)
    kinds = filters.astype(np.int16)[:, None]
    for diagonal in range(rows + columns - 1):
        row = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        column = diagonal - row
        left, up, corner = plain[row + 1, column], plain[row, column + 1], plain[row, column]
        kind = kinds[row]
        guess = np.where(kind == 1, left, 0)
        guess = np.where(kind == 2, up, guess)
        guess = np.where(kind == 3, (left + up) >> 1, guess)
        guess = np.where(kind == 4, _nearest(left, up, corner), guess)
        plain[row + 1, column + 1] = (coded[row, column] + guess) & 255
    return np.ascontiguousarray(plain[1:, 1:].astype(np.uint8))


def _nearest(left: Array, up: Array, corner: Array) -> Array:
    """Return the neighbour nearest to left + up - corner (A. W. Paeth)."""
    by_left, by_up = np.abs(up - corner), np.abs(left - corner)
    by_corner = np.abs(left + up - 2 * corner)
    first = (by_left <= by_up) & (by_left <= by_corner)
    return np.where(first, left, np.where(by_up <= by_corner, up, corner))


def encode_deep(pixels: Array, level: int) -> bytes:
    """Return `(H, W, 3 or 4)` uint16 pixels in RGB order as a PNG.

    Args:
        pixels: the samples.
        level: of compression, 0 to 9.
    """
    height, width, samples = pixels.shape
    coded = np.ascontiguousarray(pixels.astype(">u2")).view(np.uint8).reshape(height, width, -1)
    lines = np.ones((height, 1 + coded[0].size), np.uint8)  # filter 1: the difference to the left
    differences = coded.copy()
    differences[:, 1:] -= coded[:, :-1]
    lines[:, 1:] = differences.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if samples == 3 else 6, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), level)), (b"IEND", b"")
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )
