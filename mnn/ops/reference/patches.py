"""Sliding windows: padded views, and columns for matrix products (im2col) and back (col2im).

Arrays are channels-first here: (batch, channels, lengths...). A window starts at
`position * stride - begin` and its taps are `dilation` apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.layout import channels_first
from mnn.ops.reference.precision import Array
from mnn.ops.reference.window_shapes import (
    Pads,
    conv_output_length,
    conv_padding,
    effective_kernel,
)

__all__ = ["blocks", "col2im", "im2col", "pad_lengths", "scatter_taps", "window_view"]

_BLOCK_BYTES = 64 << 20


def pad_lengths(x: Array, pads: Pads, value: Any = 0) -> Array:
    """Return `x` with every spatial axis padded by (begin, end); negative numbers cut off."""
    if not any(begin or end for begin, end in pads):
        return x
    shape = list(x.shape)
    source, target = [slice(None)] * x.ndim, [slice(None)] * x.ndim
    for axis, (begin, end) in enumerate(pads, start=2):
        length = shape[axis]
        shape[axis] = max(0, length + begin + end)
        first, last = max(0, -begin), min(length, length + end)
        source[axis] = slice(first, max(first, last))
        start = first + begin
        target[axis] = slice(start, start + max(0, last - first))
    result: Array = np.full(shape, value, x.dtype)
    if result.size and all(part.stop > part.start for part in source[2:]):
        result[tuple(target)] = x[tuple(source)]
    return result


def window_view(
    x: Array,
    kernel: Sequence[int],
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    begins: Sequence[int],
    counts: Sequence[int],
    value: Any = 0,
) -> Array:
    """Return a read-only (batch, channels, kernel..., counts...) array of all windows.

    Args:
        x: (batch, channels, lengths...).
        begins: the position of the first window is `-begin` on each axis.
        counts: number of windows on each axis.
        value: what is read outside of `x`.
    """
    rank = len(kernel)
    if 0 in counts:
        return np.empty((*x.shape[:2], *kernel, *counts), x.dtype)
    pads = [
        (begin, (count - 1) * step + effective_kernel(size, gap) - begin - length)
        for begin, count, step, size, gap, length in zip(
            begins, counts, stride, kernel, dilation, x.shape[2:], strict=True
        )
    ]
    padded = pad_lengths(x, pads, value)
    steps = padded.strides[2:]
    return np.lib.stride_tricks.as_strided(
        padded,
        (*x.shape[:2], *kernel, *counts),
        (
            *padded.strides[:2],
            *(steps[axis] * dilation[axis] for axis in range(rank)),
            *(steps[axis] * stride[axis] for axis in range(rank)),
        ),
        writeable=False,
    )


def scatter_taps(
    windows: Array,
    lengths: Sequence[int],
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    begins: Sequence[int],
) -> Array:
    """Return the sum of all windows laid at their places: the adjoint of `window_view`.

    Args:
        windows: (batch, channels, kernel..., counts...).
        lengths: spatial lengths of the result; what falls outside is dropped.
    """
    rank = len(lengths)
    kernel, counts = windows.shape[2 : 2 + rank], windows.shape[2 + rank :]
    extents = [
        max(0, (count - 1) * step + effective_kernel(size, gap)) if count else 0
        for count, step, size, gap in zip(counts, stride, kernel, dilation, strict=True)
    ]
    full: Array = np.zeros((*windows.shape[:2], *extents), windows.dtype)
    if full.size:
        whole = slice(None)
        for tap in itertools.product(*map(range, kernel)):
            place = tuple(
                slice(at * gap, at * gap + (count - 1) * step + 1, step)
                for at, gap, count, step in zip(tap, dilation, counts, stride, strict=True)
            )
            target: tuple[slice, ...] = (whole, whole, *place)
            source: tuple[Any, ...] = (whole, whole, *tap)
            full[target] += windows[source]
    ends = [
        length + begin - extent
        for length, begin, extent in zip(lengths, begins, extents, strict=True)
    ]
    return pad_lengths(full, [(-begin, end) for begin, end in zip(begins, ends, strict=True)])


def blocks(batch: int, rows: int, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Yield (batch slice, row slice) pairs that cover everything in pieces of bounded size.

    Args:
        batch: number of samples.
        rows: length of the first spatial axis of the windows.
        row_bytes: size of one sample's columns for one such row.
    """
    if row_bytes * rows > _BLOCK_BYTES:
        height = max(1, _BLOCK_BYTES // max(1, row_bytes))
        for sample in range(batch):
            for row in range(0, rows, height):
                yield slice(sample, sample + 1), slice(row, min(rows, row + height))
        return
    depth = max(1, _BLOCK_BYTES // max(1, row_bytes * rows))
    for sample in range(0, batch, depth):
        yield slice(sample, min(batch, sample + depth)), slice(0, rows)


def im2col(
    x: Array,
    *,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "CAFFE",
    layout: str = "NCHW",
) -> Array:
    """Return the windows of `x` as columns: (channels * taps, batch * windows), zero padded.

    Row `(c * kernel_height + y) * kernel_width + x` holds tap (y, x) of channel c.

    Raises:
        ShapeError: the kernel is longer than the padded input.
    """
    x = channels_first(x, layout)
    rules = list(zip(x.shape[2:], kernel, stride, dilation, pads, strict=True))
    counts = [
        conv_output_length(
            length, size, stride=step, dilation=gap, pads=pad, mode=mode, name="im2col"
        )
        for length, size, step, gap, pad in rules
    ]
    begins = [
        conv_padding(length, size, stride=step, dilation=gap, pads=pad, mode=mode)[0]
        for length, size, step, gap, pad in rules
    ]
    windows = window_view(x, kernel, stride=stride, dilation=dilation, begins=begins, counts=counts)
    taps = x.shape[1] * math.prod(kernel)
    return np.moveaxis(windows, 0, len(kernel) + 1).reshape(taps, x.shape[0] * math.prod(counts))


def col2im(
    columns: Array,
    *,
    lengths: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    layout: str = "NCHW",
) -> Array:
    """Return the sum of columns laid back at their windows: the adjoint of `im2col`.

    Args:
        columns: (batch, channels * taps, windows), or without the batch axis for one sample.
        lengths: spatial lengths of the result.

    Returns:
        (batch, channels, lengths...) in the order of `layout`.

    Raises:
        ShapeError: the columns do not fit the sizes.
    """
    taps = math.prod(kernel)
    counts = [
        conv_output_length(length, size, stride=step, dilation=gap, pads=pad, name="col2im")
        for length, size, step, gap, pad in zip(
            lengths, kernel, stride, dilation, pads, strict=True
        )
    ]
    columns = columns[None] if columns.ndim == 2 else columns
    if columns.ndim != 3 or columns.shape[1] % taps or columns.shape[2] != math.prod(counts):
        raise ShapeError(
            f"col2im: columns have shape {columns.shape}, expected (batch, channels * {taps}, "
            f"{math.prod(counts)}) for a result of {tuple(lengths)}. Check kernel, stride and pads."
        )
    batch, rows, _ = columns.shape
    windows = columns.reshape(batch, rows // taps, *kernel, *counts)
    found = scatter_taps(
        windows, lengths, stride=stride, dilation=dilation, begins=[pad[0] for pad in pads]
    )
    return np.ascontiguousarray(found if layout != "NHWC" else np.moveaxis(found, 1, -1))
