"""The three contractions that every convolution, transposed or not, and every gradient consists of.

Arrays are channels-first: (batch, channels, lengths...); weights are (out_channels,
in_channels / groups, kernel...). All three turn windows into columns for matrix products, in pieces
of bounded size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnn.ops.reference.patches import blocks, scatter_taps, window_view
from mnn.ops.reference.precision import Array
from mnn.records import dataclass

__all__ = ["Geometry", "correlate", "correlate_weight", "scatter"]

_FEW_WINDOWS = 128
"""Below this many windows a sample, the samples share one matrix product."""


@dataclass(frozen=True)
class Geometry:
    """How windows lie on the long side (the input of the forward convolution)."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    begins: tuple[int, ...]
    groups: int

    def view(self, x: Array, kernel: Sequence[int], counts: Sequence[int]) -> Array:
        return window_view(
            x,
            kernel,
            stride=self.stride,
            dilation=self.dilation,
            begins=self.begins,
            counts=counts,
        )


def _piece(samples: slice, rank: int, rows: slice) -> tuple[slice, ...]:
    """Return the index of some samples and some rows of (batch, channels, kernel..., counts...)."""
    return (samples, *[slice(None)] * (rank + 1), rows)


def correlate(x: Array, weight: Array, geometry: Geometry, counts: Sequence[int]) -> Array:
    """Return the (batch, out_channels, counts...) products of all windows with the weight."""
    groups, kernel = geometry.groups, weight.shape[2:]
    out_channels, taps = weight.shape[0], math.prod(weight.shape[1:])
    matrix = weight.reshape(groups, out_channels // groups, taps)
    result: Array = np.zeros((x.shape[0], out_channels, *counts), x.dtype)
    if not result.size or not taps:
        return result
    windows = geometry.view(x, kernel, counts)
    row_bytes = groups * taps * math.prod(counts[1:]) * x.itemsize
    for samples, rows in blocks(x.shape[0], counts[0], row_bytes):
        part = windows[_piece(samples, len(kernel), rows)]
        depth, shape = part.shape[0], part.shape[2 + len(kernel) :]
        spots = math.prod(shape)
        if depth > 1 and spots < _FEW_WINDOWS:
            columns = np.moveaxis(part, 0, len(kernel) + 1)
            columns = columns.reshape(groups, taps, depth * spots)
            found = np.matmul(matrix, columns)
            result[samples, :, rows] = found.reshape(out_channels, depth, *shape).swapaxes(0, 1)
        else:
            columns = part.reshape(depth, groups, taps, spots)
            found = np.matmul(matrix, columns)
            result[samples, :, rows] = found.reshape(depth, out_channels, *shape)
    return result


def scatter(y: Array, weight: Array, geometry: Geometry, lengths: Sequence[int]) -> Array:
    """Return the adjoint of `correlate` in its first argument: (batch, in_channels, lengths...)."""
    groups, kernel, counts = geometry.groups, weight.shape[2:], y.shape[2:]
    out_channels, group_channels = weight.shape[:2]
    taps = math.prod(weight.shape[1:])
    matrix = weight.reshape(groups, out_channels // groups, taps).swapaxes(-1, -2)
    result: Array = np.zeros((y.shape[0], group_channels * groups, *lengths), y.dtype)
    if not result.size or not y.size or not taps:
        return result
    row_bytes = groups * taps * math.prod(counts[1:]) * y.itemsize
    for samples, rows in blocks(y.shape[0], counts[0], row_bytes):
        part = y[samples, :, rows]
        shape = part.shape[2:]
        values = part.reshape(part.shape[0], groups, out_channels // groups, math.prod(shape))
        columns = np.matmul(matrix, values)
        result[samples] += scatter_taps(
            columns.reshape(part.shape[0], group_channels * groups, *kernel, *shape),
            lengths,
            stride=geometry.stride,
            dilation=geometry.dilation,
            begins=(geometry.begins[0] - rows.start * geometry.stride[0], *geometry.begins[1:]),
        )
    return result


def correlate_weight(y: Array, x: Array, geometry: Geometry, kernel: Sequence[int]) -> Array:
    """Return the adjoint of `correlate` in the weight: (out_channels, in / groups, kernel...)."""
    groups, counts = geometry.groups, y.shape[2:]
    out_channels, group_channels = y.shape[1], x.shape[1] // groups
    taps = group_channels * math.prod(kernel)
    result: Array = np.zeros((groups, out_channels // groups, taps), y.dtype)
    if result.size and x.size and y.size:
        windows = geometry.view(x, kernel, counts)
        row_bytes = groups * taps * math.prod(counts[1:]) * x.itemsize
        for samples, rows in blocks(y.shape[0], counts[0], row_bytes):
            part = windows[_piece(samples, len(kernel), rows)]
            values = y[samples, :, rows]
            total = values.shape[0] * math.prod(values.shape[2:])
            columns = np.moveaxis(part, 0, len(kernel) + 1).reshape(groups, taps, total)
            values = values.swapaxes(0, 1).reshape(groups, out_channels // groups, total)
            result += np.matmul(values, columns.swapaxes(-1, -2))
    return result.reshape(out_channels, group_channels, *kernel)
