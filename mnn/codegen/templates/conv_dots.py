"""Convolutions with few outputs: dot products along the channels instead of lanes of outputs.

Where a group has fewer outputs than a vector has lanes, most lanes of a register tile would idle.
Here lanes are neighbouring inputs, and each output of each pixel has a vector of sums, which are
added up at the end.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I64, Function, Index, Value, vector
from mnn.codegen.kernel import CONSTANT, Buffer, Call, Kernel, Pointer, contiguous
from mnn.codegen.templates import relayout
from mnn.codegen.templates.conv_rows import RowsItem, RowsKernel, RowsPlan
from mnn.codegen.templates.convolution import Convolution
from mnn.codegen.templates.dots import sums_of_lanes
from mnn.codegen.templates.epilogue import load_columns
from mnn.codegen.templates.packing import Panels
from mnn.codegen.templates.tile import Tile
from mnn.records import dataclass, replace

__all__ = ["DotsKernel", "lower", "suits"]

_FLOAT = np.dtype(np.float32)
_FEWEST_VECTORS = 4
"""Sums of fewer vectors are not worth adding up."""
_MOST_OUTPUTS = 8


def suits(problem: Convolution) -> bool:
    """True for few outputs of many terms, whose runs along k are whole vectors.

    One output of single pixels is a product of a matrix and a vector, which is better still.
    """
    lanes, outputs, taps = problem.target.lanes, problem.outputs, problem.window.taps
    if problem.x.strides[-1] != 1 or outputs > min(_MOST_OUTPUTS, lanes // 2):
        return False
    if not taps or (taps == outputs == 1):
        return False
    plan = _Plan(replace(problem, low=False))
    return plan.steps % lanes == 0 and plan.terms >= _FEWEST_VECTORS * lanes


def lower(problem: Convolution) -> list[Call]:
    """Return the calls of a convolution that `suits`."""
    # Its products are those of float32.
    return _Plan(replace(problem, low=False)).calls()


def _padded(outputs: int) -> int:
    """Return the power of two that `outputs` fit in."""
    return 1 << (outputs - 1).bit_length()


class _Plan(RowsPlan):
    """How such a convolution is cut into blocks."""

    def choose(self) -> tuple[Tile, Panels]:
        """Return the pixels computed at once; all weights are one panel."""
        problem = self.problem
        outputs, registers = problem.outputs, problem.target.registers
        # Sums, an input of each pixel and a weight at a time.
        pixels = max(1, min(8, self.width, (registers - 2) // (outputs + 1)))
        return Tile(pixels, 1, _padded(outputs)), Panels(self.terms, outputs, 1, outputs)

    def kernel(self) -> tuple[Kernel, str]:
        """Return the kernel and what it calls itself."""
        problem = self.problem
        kernel = DotsKernel(self.tile, problem.ending, direct=self.direct, outputs=problem.outputs)
        return kernel, f"dots {self.tile.rows}x{problem.outputs}"

    def weights(self) -> tuple[Pointer, list[Call]]:
        """Return (groups, vectors of terms, outputs, lanes) and the calls that make them."""
        problem, weight, lanes = self.problem, self.problem.weight, self.problem.target.lanes
        groups, outputs = weight.shape[:2]
        ordered = weight.permuted((0, 3, 4, 5, 2, 1))
        size = 4 * weight.size
        shape = (groups, self.terms // lanes, outputs, lanes)
        if weight.is_constant:

            def make() -> np.ndarray:
                terms = ordered.array().reshape(groups, -1, lanes, outputs)
                return np.ascontiguousarray(terms.swapaxes(2, 3)).reshape(shape)

            return Pointer(Buffer(size, CONSTANT, make=make, name="weights")), []
        flat = contiguous(Buffer(size, name="weights"), ordered.shape, _FLOAT)
        calls = relayout.lower(ordered, flat, problem.target)
        made = contiguous(Buffer(size, name="weights"), shape, _FLOAT)
        terms = contiguous(flat.buffer, (groups, shape[1], lanes, outputs), _FLOAT)
        calls += relayout.lower(terms, made.permuted((0, 1, 3, 2)), problem.target)
        return Pointer(made.buffer), calls


@dataclass(frozen=True)
class DotsKernel(RowsKernel):
    """Items are those of `RowsKernel`.

    Attributes:
        tile: neighbouring pixels of a row, lanes for all outputs.
        outputs: of a group.
    """

    outputs: int = 1

    def item(
        self,
        f: Function,
        a: SimpleNamespace,
        place: tuple[Index, Index, Index, Index],
        group: Index,
    ) -> RowsItem:
        """Return what builds an item."""
        return _Item(self, f, a, place, group)


class _Item(RowsItem):
    """One item being built."""

    kernel: DotsKernel

    def compute(self, first: Index) -> None:
        """Build all products."""
        f, a, tile, outputs = self.f, self.a, self.kernel.tile, self.kernel.outputs
        columns = a.N if outputs < tile.lanes else None
        place = f.offset(a.bias, f.mul(self.channel, 4))
        bias = load_columns(f, vector(tile.lanes, F32), place, 4, 0, columns)
        k = Body(f, tile.lanes, _FLOAT)
        weights = f.offset(a.b, f.mul(self.group, a.group_bytes))
        with self.tiles(tile) as (row, across, _):
            found = self._sums(weights, row, across)
            sums = [
                k.add(self._added(found[start : start + outputs]), bias)
                for start in range(0, len(found), outputs)
            ]
            self.store(tile, sums, row, across, 0, [0], columns)

    def _sums(self, weights: Value, row: Index, across: Index) -> list[Value]:
        """Return a vector of sums for each output of each pixel of a tile."""
        f, a, outputs = self.f, self.a, self.kernel.outputs
        lanes, pixels = f.target.lanes, self.kernel.tile.rows
        k, kind = Body(f, lanes, _FLOAT), vector(lanes, F32)
        rows = self.rows_of(row, across)
        start = [k.const(0.0)] * (pixels * outputs)
        with f.turns(0, a.count, carried=start) as taps:
            distance = f.load(I64, f.offset(a.taps, f.mul(taps.index, 8)), align=8)
            at = replace(rows, base=f.offset(rows.base, distance)).ready(f, pixels)
            run = f.offset(weights, f.mul(taps.index, f.mul(a.steps, 4 * outputs)))
            with f.turns(0, a.steps, lanes, taps.carried) as loop:
                inputs = [f.load(kind, each) for each in at(f.mul(loop.index, 4))]
                there = f.offset(run, f.mul(loop.index, 4 * outputs))
                loop.next = list(loop.carried)
                for output in range(outputs):
                    factor = f.load(kind, f.offset(there, 4 * lanes * output), align=4 * lanes)
                    for pixel, value in enumerate(inputs):
                        number = pixel * outputs + output
                        loop.next[number] = k.fma(value, factor, loop.next[number])
            taps.next = loop.results
        return taps.results

    def _added(self, sums: list[Value]) -> Value:
        """Return the sums of all lanes, one lane for each output."""
        lanes = self.f.target.lanes
        zero = Body(self.f, lanes, _FLOAT).const(0.0)
        return sums_of_lanes(self.f, sums + [zero] * (self.kernel.tile.lanes - len(sums)))
