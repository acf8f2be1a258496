"""Grey-scale dilation by a structuring function."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.layout import channels_first, in_layout, split_shape
from mnn.ops.reference.patches import window_view
from mnn.ops.reference.precision import Array, float_types
from mnn.ops.reference.window_shapes import Pads, conv_padding, conv_shape

__all__ = ["dilation2d"]


def dilation2d(
    x: Array,
    weight: Array,
    *,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Pads,
    mode: str = "SAME",
    layout: str = "NCHW",
) -> Array:
    """Return the maximum over each window of input plus weight; positions outside do not count.

    Args:
        x: (batch, channels, lengths...) in the order of `layout`.
        weight: (channels, kernel...), whatever the layout.
        stride, dilation, pads, mode: as for `conv`.

    Returns:
        Shape of the depthwise convolution with these attributes. A window without input position
        gives -inf.

    Raises:
        ShapeError: shapes do not fit.    DTypeError: not floating-point.
    """
    result, work = float_types("dilation2d", x, weight)
    if weight.ndim != x.ndim - 1:
        raise ShapeError(
            f"dilation2d: weight {weight.shape} has {weight.ndim} axes for input {x.shape}, "
            f"expected {x.ndim - 1}: (channels, kernel...)."
        )
    shape = conv_shape(
        x.shape,
        (weight.shape[0], 1, *weight.shape[1:]),
        stride=stride,
        dilation=dilation,
        pads=pads,
        mode=mode,
        groups=max(1, weight.shape[0]),
        layout=layout,
        name="dilation2d",
    )
    source = channels_first(x.astype(work, copy=False), layout)
    kernel = weight.shape[1:]
    begins = [
        conv_padding(length, size, stride=step, dilation=gap, pads=pad, mode=mode)[0]
        for length, size, step, gap, pad in zip(
            source.shape[2:], kernel, stride, dilation, pads, strict=True
        )
    ]
    windows = window_view(
        source,
        kernel,
        stride=stride,
        dilation=dilation,
        begins=begins,
        counts=split_shape(shape, layout)[2],
        value=-np.inf,
    )
    found = np.full((*source.shape[:2], *windows.shape[2 + len(kernel) :]), -np.inf, work)
    column = (-1, *[1] * len(kernel))
    for tap in itertools.product(*map(range, kernel)):
        part: tuple[int | slice, ...] = (slice(None), slice(None), *tap)
        height = weight[part[1:]].astype(work).reshape(column)
        np.maximum(found, windows[part] + height, out=found)
    return in_layout(found, layout).astype(result, copy=False)
