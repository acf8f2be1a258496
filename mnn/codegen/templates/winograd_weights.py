"""Weights of Winograd convolutions, transformed by a kernel when a network is loaded.

The transform makes four times as much of the weights, so it is bound by memory. It computes in
float64 and rounds once, as the errors of the weights would add to those of the convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Function, Index, Module, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.packing import Panels, pack
from mnn.codegen.templates.winograd_matrices import transformed_weight, weight_rows
from mnn.records import dataclass

__all__ = ["WinogradWeightsKernel", "lower"]

Array = np.ndarray
_TAPS = 9
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def lower(weight: Tensor, panels: Panels, size: int, target: Target) -> Buffer:
    """Return the transformed weights in panels: a row for each position and input channel.

    Args:
        weight: (1, outputs, inputs, 1, 3, 3), a constant.
        panels: of (positions * inputs, outputs).
        size: outputs in a row of a tile of the image.
    """
    outputs, inputs = weight.shape[1:3]
    made = Buffer(panels.bytes, CONSTANT, name="winograd weights")
    if weight.strides[2:] != (_TAPS, _TAPS, 3, 1) and weight.strides[2:] != (_TAPS, 0, 3, 1):
        return _by_numpy(weight, panels, size)
    # The taps of all inputs of an output lie together: rows of this matrix.
    matrix = Tensor(
        weight.buffer,
        (inputs * _TAPS, outputs),
        (1, weight.strides[1]),
        weight.dtype,
        weight.offset,
    )
    given = Panels(inputs * _TAPS, outputs, panels.vectors, panels.lanes)
    packed, _ = pack(matrix, given, target)
    kernel = WinogradWeightsKernel(size, panels.vectors, panels.tail, panels.lanes)
    slots = (Pointer(packed), Pointer(made), inputs, given.panel_bytes, panels.panel_bytes)
    traffic = given.bytes + panels.bytes
    call = Call(
        kernel,
        (*slots, panels.full),
        items=panels.count,
        grain=max(1, 100_000 * panels.count // traffic),
        traffic=traffic,
        label=f"winograd weights {inputs}->{outputs}",
    )
    made.compute_by([call], target)
    return made


def _by_numpy(weight: Tensor, panels: Panels, size: int) -> Buffer:
    """Return the same for weights that lie otherwise in memory."""
    outputs, inputs = weight.shape[1:3]

    def make() -> Array:
        found = transformed_weight(weight.array().reshape(outputs, inputs, 3, 3), size)
        made = np.empty(panels.bytes // 4, np.float32)
        panels.fill(made, found.reshape(-1, outputs))
        return made

    return Buffer(panels.bytes, CONSTANT, make=make, name="winograd weights")


@dataclass(frozen=True)
class WinogradWeightsKernel(Kernel):
    """An item is a vector of output channels: G g G^T for all input channels.

    Attributes:
        size: outputs in a row of a tile of the image.
        vectors, tail: of a panel, of the last panel if that is another.
        lanes: of a vector.
    """

    size: int
    vectors: int
    tail: int
    lanes: int

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block("*given *made inputs given_bytes made_bytes full")
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            panel, place = f.div(items.index, self.vectors), f.rem(items.index, self.vectors)
            step: Index = 4 * self.lanes * self.vectors
            if self.tail:
                is_full = f.compare("slt", panel, a.full)
                step = f.select(is_full, f.value(step), f.value(4 * self.lanes * self.tail))
            first = f.mul(place, 4 * self.lanes)
            source = f.offset(f.offset(a.given, f.mul(panel, a.given_bytes)), first)
            goal = f.offset(f.offset(a.made, f.mul(panel, a.made_bytes)), first)
            far = f.mul(a.inputs, step)
            with f.loop(0, a.inputs) as turn:
                taps = f.offset(source, f.mul(turn.index, f.mul(step, _TAPS)))
                row = f.offset(goal, f.mul(turn.index, step))
                # Halves: a float64 vector has half as many lanes.
                for half in range(0, self.lanes, self.lanes // 2):
                    self._transform(f, f.offset(taps, 4 * half), step, f.offset(row, 4 * half), far)
        return module

    def _transform(self, f: Function, taps: Value, step: Index, goal: Value, far: Index) -> None:
        """Build the transformation of half a vector of output channels."""
        lanes = self.lanes // 2
        align = 4 * lanes
        k = Body(f, lanes, _FLOAT64)
        image: list[Sequence[Value]] = []
        for column in range(3):
            values = []
            for row in range(3):
                place = f.offset(taps, f.mul(step, 3 * row + column))
                tap = f.load(vector(lanes, F32), place, align=align)
                values.append(k.convert(tap, _FLOAT32, _FLOAT64))
            image.append(weight_rows(k, self.size, values))
        number = 0
        for row in range(self.size + 2):
            for value in weight_rows(k, self.size, [column[row] for column in image]):
                rounded = k.convert(value, _FLOAT64, _FLOAT32)
                f.store(rounded, f.offset(goal, f.mul(far, number)), align=align)
                number += 1
