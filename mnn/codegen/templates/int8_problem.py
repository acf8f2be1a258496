"""A convolution of 8-bit integers in canonical form, as its kernels take it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.templates.convolution import Convolution
from mnn.records import dataclass, replace

__all__ = ["Int8Problem"]

_FAR = 1 << 30
_CHUNK_WORK = 2_400_000
"""Multiply-adds that take some microseconds."""


@dataclass(frozen=True)
class Int8Problem(Convolution):
    """A convolution of int8 codes x with a constant int8 weight.

    Attributes:
        bias: what is added to products of sums and `scale`; never None.
        zero: code of 0, also of what lies outside of the image.
        scale: one float32 for each channel of `out`, neighbours: what sums of
            (code - zero) * weight are multiplied with.
        limits: bounds of the results where `ending` does nothing but round to codes.
    """

    zero: int = 0
    scale: Tensor | None = None
    limits: tuple[int, int] | None = None

    @property
    def traffic(self) -> int:
        """Bytes read and written at least."""
        tensors = (self.x, self.weight, self.out, *self.operands)
        return sum(each.size * each.dtype.itemsize for each in tensors)

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Bounds of the results where these are nothing but codes of sums far from 2^31, or None.

        Rounded sums may then be narrowed with saturation before they are clipped.
        """
        if self.limits is None:
            return None
        assert self.scale is not None
        assert self.bias is not None
        weights = np.abs(self.weight.array().astype(np.float64))
        sums = 255 * weights.reshape(self.out.shape[-1], -1).sum(axis=1)
        largest = sums * np.abs(self.scale.array()) + np.abs(self.bias.array())
        if largest.max() >= _FAR:
            return None
        return self.limits

    def channel_slots(self) -> list[Slot]:
        """Return the addresses of scale and bias."""
        assert self.scale is not None
        return [self.scale.pointer, self.bias_pointer]

    def call(
        self, kernel: Kernel, slots: Sequence[Slot], items: int, what: str, scratch: int = 0
    ) -> Call:
        """Return a call that does all of the work in `items` equal pieces."""
        made = super().call(kernel, slots, items, what, scratch)
        grain = max(1, min(items, _CHUNK_WORK * items // max(1, self.work)))
        return replace(made, grain=grain)
