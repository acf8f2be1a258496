"""How windows lie on images: what convolution and pooling templates have in common.

Templates see every image as (samples, depth, height, width, channels), whatever its rank was, and
every kernel, stride or dilation as a number for each of depth, height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from mnn.codegen.builder import Function, Index
from mnn.codegen.kernel import Epilogue, Tensor
from mnn.codegen.templates.epilogue import Ending, ending_of
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = [
    "Triple",
    "Window",
    "channels_last",
    "image_ending",
    "images",
    "is_channels_last",
    "part_of",
    "split",
    "triple",
    "window_of",
]

Triple: TypeAlias = "tuple[int, int, int]"


@dataclass(frozen=True)
class Window:
    """Window i of an axis reads the positions `i * stride - begin + tap * dilation`.

    All attributes have a number for depth, height and width.
    """

    kernel: Triple
    stride: Triple
    dilation: Triple = (1, 1, 1)
    begin: Triple = (0, 0, 0)

    @property
    def taps(self) -> int:
        """Positions of a window."""
        return math.prod(self.kernel)

    def reach(self, axis: int, count: int = 1) -> int:
        """Return how many neighbouring positions `count` windows touch along an axis."""
        across = (count - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis]
        return across + 1 if count and self.kernel[axis] else 0

    def inside(self, axis: int, length: int, count: int) -> bool:
        """True when no window of an axis reads outside of 0..length."""
        return self.begin[axis] <= 0 and self.reach(axis, count) - self.begin[axis] <= length


def triple(values: Sequence[int], missing: int) -> Triple:
    """Return one number for each of depth, height, width, from those of the last axes.

    Raises:
        CodegenError: there are none, or more than three.
    """
    if not 1 <= len(values) <= 3:
        raise CodegenError(
            f"window: found {len(values)} spatial axes, expected 1 to 3. Reshape the image."
        )
    first, second, third = (*[missing] * (3 - len(values)), *values)
    return first, second, third


def window_of(
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> Window:
    """Return a window from numbers for 1 to 3 spatial axes."""
    begins = [begin for begin, _ in pads]
    return Window(triple(kernel, 1), triple(stride, 1), triple(dilation, 1), triple(begins, 0))


def images(tensor: Tensor) -> Tensor:
    """Return (samples, channels, 1 to 3 spatial axes) as (samples, depth, height, width, channels).

    Raises:
        CodegenError: the tensor has another number of axes.
    """
    if not 3 <= len(tensor.shape) <= 5:
        raise CodegenError(
            f"window: found an image of shape {tensor.shape}, expected samples, channels and 1 to "
            "3 spatial axes. Reshape it."
        )
    samples, channels, *lengths = tensor.shape
    sample_stride, channel_stride, *strides = tensor.strides
    shape = (samples, *triple(lengths, 1), channels)
    steps = (sample_stride, *triple(strides, 0), channel_stride)
    return replace(tensor, shape=shape, strides=steps)


def is_channels_last(image: Tensor) -> bool:
    """True when an image's channels are neighbours in memory."""
    return image.shape[-1] == 1 or image.strides[-1] == 1


def channels_last(image: Tensor) -> Tensor:
    """Return the image itself, saying stride 1 where a single channel makes any stride right."""
    if image.shape[-1] == 1:
        return replace(image, strides=(*image.strides[:-1], 1))
    return image


def part_of(tensor: Tensor, axis: int, start: int, count: int, step: int = 1) -> Tensor:
    """Return the positions start, start + step, ... of an axis; a broadcast axis stays one."""
    shape, strides = list(tensor.shape), list(tensor.strides)
    offset = tensor.offset + start * strides[axis]
    shape[axis] = count
    strides[axis] *= step
    return replace(tensor, shape=tuple(shape), strides=tuple(strides), offset=offset)


def image_ending(epilogue: Epilogue | None, out: Tensor) -> tuple[Ending, tuple[Tensor, ...]]:
    """Return what an epilogue does to tiles of pixels, and its operands in the shape of `out`.

    Rows of a tile are pixels, columns are channels.

    Args:
        epilogue: operands have the axes of `images`, as `out` does, or broadcast to them.

    Raises:
        CodegenError: as `ending_of`.
    """
    ending, operands = ending_of(epilogue, out.shape)
    kinds = tuple(
        replace(kind, by_row=any(step for step in tensor.strides[1:4]))
        for kind, tensor in zip(ending.operands, operands, strict=True)
    )
    return replace(ending, operands=kinds), operands


def split(f: Function, number: Index, counts: Sequence[Index]) -> list[Index]:
    """Return the digits of a number whose places have `counts` values; the last runs fastest."""
    digits: list[Index] = []
    for count in reversed(counts[1:]):
        digits.append(f.rem(number, count))
        number = f.div(number, count)
    digits.append(number)
    return digits[::-1]
