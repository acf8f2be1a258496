"""Operands of products of float16, and why those are as good as they are.

Multiply-adds of float16 go twice as fast as those of float32, but round to 11 bits and end at
65504. Therefore `RUN` products at most are summed in float16, then the sum is added to one of
float32: errors grow with the run, not with the depth. And both operands are multiplied by powers of
two, exactly, which leave no way to infinity: a row (or block) of A such that its largest finite
magnitude lies in [64, 128), a column of B such that it lies in [2, 4). Sums are then multiplied by
the inverses.

In memory, every element of A lies twice, in 32 bits: so many are loaded into all lanes at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, I32, Function, Index, Module, Value, lanes_of, vector
from mnn.codegen.kernel import Kernel
from mnn.codegen.target import Target
from mnn.records import dataclass

__all__ = [
    "A_TOP",
    "HALF",
    "ROUNDING",
    "RUN",
    "HalvesKernel",
    "block_scale",
    "largest",
    "no_magnitude",
    "rounded",
    "store_halves",
    "store_powers",
    "store_row",
]

HALF = "half"
"""LLVM's name of the type."""
RUN = 64
"""Products of float16 that are summed in float16. With numbers of random signs the root of the
mean square of the error is then below 2**-9 of that of the sums, which bfloat16 reaches by the
rounding of its operands alone; at most a run is wrong by (RUN + 2) * ROUNDING of its terms."""
ROUNDING = 2.0**-11
"""Largest relative error of one rounding to float16."""
A_TOP, B_TOP = 6, 1
"""Powers of two of the largest magnitudes: RUN products of (at most) 2**7 and 2**2 are 2**15."""

_FLOAT = np.dtype(np.float32)
_INTEGER = np.dtype(np.int32)
_EXPONENT, _BIAS = 23, 127
_NO_SIGN, _INFINITY = 0x7FFFFFFF, 0x7F800000
_SMALLEST = 27
"""Exponent, as float32 has it, below which magnitudes are not told apart: 2**-100."""


class Scale(NamedTuple):
    """What numbers are multiplied by, and its inverse: powers of two, float32."""

    factor: Value
    inverse: Value


# --- scales --------------------------------------------------------------------------------------


def largest(f: Function, source: Value, count: Index, held: Value) -> Value:
    """Return `held`, or the largest magnitudes of `count` neighbouring float32, lane by lane.

    Magnitudes are bits without sign, as int32: they are in order, and found in fewer cycles.
    Infinities and NaN do not count: they stay what they are, whatever they are multiplied by.
    """
    lanes = lanes_of(held.type)
    whole = f.floor_to(count, lanes)
    with f.loop(0, whole, lanes, [held]) as loop:
        value = f.load(held.type, f.offset(source, f.mul(loop.index, 4)))
        loop.next = [larger(f, value, loop.carried[0])]
    (found,) = loop.results
    with f.loop(whole, count, 1, [f.extract(found, 0)]) as loop:
        value = f.load(I32, f.offset(source, f.mul(loop.index, 4)))
        loop.next = [larger(f, value, loop.carried[0])]
    return f.insert(found, loop.results[0], 0)


def no_magnitude(lanes: int) -> Value:
    """Return what every magnitude is larger than."""
    return Value("zeroinitializer", vector(lanes, I32))


def larger(f: Function, value: Value, held: Value) -> Value:
    """Return the magnitude of a finite float32, given as bits, where it is larger than `held`."""
    k = Body(f, lanes_of(held.type), _INTEGER)
    size = k.integer_op("and", value, _NO_SIGN)
    size = k.pick(k.compare("lt", size, _INFINITY), size, 0)
    return k.pick(k.compare("gt", size, held), size, held)


def across(f: Function, values: Value) -> Value:
    """Return the largest lane of integers."""
    while (lanes := lanes_of(values.type) // 2) >= 1:
        k = Body(f, lanes, _INTEGER)
        halves = [
            f.shuffle(values, None, range(start, start + lanes))
            if lanes > 1
            else f.extract(values, start)
            for start in (0, lanes)
        ]
        values = k.pick(k.compare("gt", halves[0], halves[1]), *halves)
    return values


def scale_to(f: Function, top: Value, power: int) -> Scale:
    """Return the scale that brings magnitudes, as bits, to 2**power ... 2 times it.

    Magnitudes below 2**-100 get the scale of 2**-100.
    """
    k = Body(f, lanes_of(top.type), _INTEGER)
    exponent = k.integer_op("lshr", top, _EXPONENT)
    exponent = k.at_least(exponent, _SMALLEST)
    factor = k.integer_op("sub", k.const(2 * _BIAS + power), exponent)
    inverse = k.integer_op("sub", exponent, power)
    shifted = (k.integer_op("shl", each, _EXPONENT) for each in (factor, inverse))
    return Scale(*(k.bitcast(each, F32) for each in shifted))


def block_scale(f: Function, top: Value) -> Scale:
    """Return the scale of elements of A from their largest magnitudes, lane by lane."""
    return scale_to(f, across(f, top), A_TOP)


# --- conversion ----------------------------------------------------------------------------------


def store_halves(
    f: Function, source: Value, count: Index, goal: Value, scale: Value, lanes: int
) -> None:
    """Build the conversion of `count` neighbouring float32 to float16, each of them stored twice.

    Args:
        source: aligned to 4, as is `goal`.
        scale: a float32 that all are multiplied by.
        lanes: elements converted at once.
    """
    whole = f.floor_to(count, lanes)
    for start, end, width in ((0, whole, lanes), (whole, count, 1)):
        k = Body(f, width, _FLOAT)
        factor = f.splat(scale, width)
        with f.loop(start, end, width) as loop:
            distance = f.mul(loop.index, 4)
            value = k.mul(f.load(k.type, f.offset(source, distance)), factor)
            f.store(_twice(f, rounded(f, value)), f.offset(goal, distance), align=4)


def store_row(f: Function, source: Value, count: Index, goal: Value, lanes: int) -> None:
    """Build the conversion of a row by a scale of its own, whose inverse comes behind it."""
    scale = block_scale(f, largest(f, source, count, no_magnitude(lanes)))
    store_halves(f, source, count, goal, scale.factor, lanes)
    f.store(scale.inverse, f.offset(goal, f.mul(count, 4)))


def store_powers(f: Function, values: Value, goal: Value) -> None:
    """Store numbers that are 1 at most, by the scale of 1, as `store_halves` does."""
    k = Body(f, lanes_of(values.type), _FLOAT)
    f.store(_twice(f, rounded(f, k.mul(values, k.const(2.0**A_TOP)))), goal, align=4)


def rounded(f: Function, value: Value) -> Value:
    """Return float32 as float16."""
    kind = vector(lanes_of(value.type), HALF)
    return f.make(f"fptrunc {value.type} {value.text} to {kind}", kind)


def _twice(f: Function, half: Value) -> Value:
    """Return every element twice, side by side."""
    lanes = lanes_of(half.type)
    if lanes == 1:
        return f.splat(half, 2)
    return f.shuffle(half, None, [each // 2 for each in range(2 * lanes)])


@dataclass(frozen=True)
class HalvesKernel(Kernel):
    """Panels of float32 become panels of float16, each with the inverse scales of its columns.

    An item is one vector of columns.

    Attributes:
        vectors, tail: of a panel, of the last panel if that is another.
        lanes: of a vector.
    """

    vectors: int
    tail: int
    lanes: int

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block("*x *y depth count full x_panel x_bytes y_panel y_bytes")
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            number, each = f.div(items.index, a.count), f.rem(items.index, a.count)
            panel, place = f.div(each, self.vectors), f.rem(each, self.vectors)
            vectors: Index = self.vectors
            if self.tail:
                is_full = f.compare("slt", panel, a.full)
                vectors = f.select(is_full, f.constant(self.vectors), f.constant(self.tail))

            def start(base: Value, whole: Index, one: Index, size: int) -> Value:
                distance = f.add(f.mul(number, whole), f.mul(panel, one))
                distance = f.add(distance, f.mul(place, size * self.lanes))
                return f.offset(base, distance)

            self._vector(
                f,
                start(a.x, a.x_bytes, a.x_panel, 4),
                start(a.y, a.y_bytes, a.y_panel, 2),
                f.mul(place, 2 * self.lanes),
                f.mul(vectors, self.lanes),
                a.depth,
            )
        return module

    def _vector(
        self, f: Function, source: Value, goal: Value, more: Index, width: Index, depth: Index
    ) -> None:
        """Build the conversion of a vector of columns.

        Args:
            more: bytes by which scales lie further than elements.
            width: columns of the panel.
        """
        k = Body(f, self.lanes, _FLOAT)
        none = no_magnitude(self.lanes)
        with f.loop(0, depth, 1, [none]) as loop:
            value = f.load(none.type, f.offset(source, f.mul(loop.index, f.mul(width, 4))))
            loop.next = [larger(f, value, loop.carried[0])]
        scale = scale_to(f, loop.results[0], B_TOP)
        align = 2 * self.lanes
        with f.loop(0, depth) as loop:
            value = f.load(k.type, f.offset(source, f.mul(loop.index, f.mul(width, 4))))
            place = f.offset(goal, f.mul(loop.index, f.mul(width, 2)))
            f.store(rounded(f, k.mul(value, scale.factor)), place, align=align)
        place = f.offset(goal, f.add(more, f.mul(depth, f.mul(width, 2))))
        f.store(scale.inverse, place, align=align)
