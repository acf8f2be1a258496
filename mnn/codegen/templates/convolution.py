"""A convolution in canonical form, as its kernels take it, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.builder import Function, Index, Value
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.epilogue import Ending
from mnn.codegen.templates.tile import FLOAT32, PAIRS, Rows, short_product
from mnn.codegen.templates.window import Window
from mnn.records import dataclass

__all__ = ["Convolution", "PatchRows", "largest_power", "operand_fields", "operand_rows"]

_CHUNK_WORK = 600_000
"""Multiply-adds that take some microseconds."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of images (samples, depth, height, width, channels).

    Attributes:
        x: strides are arbitrary.
        weight: (groups, outputs of a group, inputs of a group, kernel depth, height, width).
        out: neighbouring channels.
        bias: (channels of `out`), neighbours, or None.
        window: how windows lie on `x`; a kernel length of 0 means that only the bias is left.
        operands: of `ending`, in the shape of `out`.
        low: products of bfloat16 or float16 are good enough.
    """

    x: Tensor
    weight: Tensor
    out: Tensor
    bias: Tensor | None
    window: Window
    target: Target
    ending: Ending
    operands: tuple[Tensor, ...]
    low: bool = False

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.weight.shape[0]

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.weight.shape[1]

    @property
    def inputs(self) -> int:
        """Input channels of a group."""
        return self.weight.shape[2]

    @property
    def product(self) -> str:
        """What register tiles multiply: something short where that is wanted and possible."""
        if not (self.low and self.weight.is_constant and self.weight.size):
            return FLOAT32
        found = short_product(self.target)
        # Channels go in pairs.
        paired = self.inputs % 2 == 0 and self.x.strides[-1] == 1
        return FLOAT32 if found == PAIRS and not paired else found

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.out.size * self.inputs * self.window.taps

    @property
    def traffic(self) -> int:
        """Bytes read and written at least."""
        other = sum(each.size for each in self.operands)
        return 4 * (self.x.size + self.weight.size + self.out.size + other)

    @property
    def bias_pointer(self) -> Pointer:
        """Address of the bias, of zeros if there is none."""
        if self.bias is not None:
            return self.bias.pointer
        size = self.out.shape[-1]
        return Pointer(
            Buffer(4 * size, CONSTANT, make=lambda: np.zeros(size, np.float32), name="zeros")
        )

    def strides(self, tensor: Tensor) -> list[int]:
        """Return the strides of samples, depth, height and width in bytes."""
        return [each * tensor.dtype.itemsize for each in tensor.strides[:4]]

    def operand_slots(self) -> list[Slot]:
        """Return what `operand_fields` names."""
        slots: list[Slot] = []
        for each in self.operands:
            slots += [each.pointer, *self.strides(each)]
        return slots

    def call(
        self, kernel: Kernel, slots: Sequence[Slot], items: int, what: str, scratch: int = 0
    ) -> Call:
        """Return a call that does all of the work in `items` equal pieces."""
        lengths = [
            "x".join(map(str, each))
            for each in (self.window.kernel, self.x.shape[1:4], self.out.shape[1:4])
        ]
        size, before, after = (each.removeprefix("1x") for each in lengths)
        channels = f"{self.x.shape[-1]}->{self.out.shape[-1]}"
        spots = after if before == after else f"{before}->{after}"
        return Call(
            kernel,
            tuple(slots),
            items=items,
            grain=max(1, min(items, _CHUNK_WORK * items // max(1, self.work))),
            scratch=scratch,
            work=self.work,
            traffic=self.traffic,
            label=f"conv {size} {channels} {spots} {what}",
        )


def largest_power(limit: int) -> int:
    """Return the largest power of two that is not above `limit`, at least 1."""
    return 1 << max(0, limit.bit_length() - 1)


def operand_fields(ending: Ending) -> str:
    """Return the names of the operands' slots: address and strides of all axes but channels."""
    names = ("*o", "on", "od", "oh", "ow")
    return "".join(f" {name}{i}" for i in range(len(ending.operands)) for name in names)


def operand_rows(
    f: Function,
    ending: Ending,
    block: SimpleNamespace,
    place: tuple[Index, Index, Index, Index],
    channel: Index,
    across: int = 0,
) -> list[Rows]:
    """Return where the operands of a tile of pixels lie.

    Args:
        block: has `operand_fields`.
        place: sample, depth, row and column of the first pixel.
        channel: the first one.
        across: pixels of the tile that lie in one row, 0 for all of them.
    """
    found: list[Rows] = []
    for number, kind in enumerate(ending.operands):
        names = ("n", "d", "h", "w")
        steps = [getattr(block, f"o{each}{number}") for each in names]
        distance = f.mul(channel, kind.itemsize) if kind.by_column else 0
        for index, step in zip(place, steps, strict=True):
            distance = f.add(distance, f.mul(index, step))
        start = f.offset(getattr(block, f"o{number}"), distance)
        found.append(PatchRows(start, steps[2], steps[3], across))
    return found


@dataclass(frozen=True)
class PatchRows(Rows):
    """The pixels of a patch of an image, row after row.

    Attributes:
        base: address of the first pixel.
        down, right: bytes to the pixel below, to the right.
        across: pixels in a row of the patch, 0 for all of them.
    """

    base: Value
    down: Index
    right: Index
    across: int

    def pointer(self, f: Function, row: Index) -> Value:
        """Return the address of a pixel."""
        if not self.across:
            return f.offset(self.base, f.mul(row, self.right))
        distance = f.mul(f.div(row, self.across), self.down)
        return f.offset(self.base, f.add(distance, f.mul(f.rem(row, self.across), self.right)))
