"""Images read at computed coordinates: grid sampling, regions of interest, boxes.

Coordinates are computed in float64, one position at a time; what is read there is blended over all
channels, in vectors where channels are neighbours. Taps of weight 0 have no influence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import I32, I64, Function, Index, Value, lanes_of, vector
from mnn.codegen.kernel import Buffer, Call, Tensor, contiguous
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates import loops
from mnn.codegen.templates.access import memory_type
from mnn.records import dataclass

__all__ = [
    "Axis",
    "Channels",
    "Tap",
    "bilinear",
    "channels_side_by_side",
    "narrowed",
    "number",
    "whole",
]

_FLOAT, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


@dataclass(frozen=True)
class Tap:
    """A pixel that takes part in a result: its address, and its weight in float32."""

    place: Value
    weight: Value


@dataclass(frozen=True)
class Channels:
    """How the channels of a pixel are walked.

    Attributes:
        dtype: NumPy name of the pixels' elements.
        units: vectors at once; 0 walks single elements.
    """

    dtype: str
    units: int

    @classmethod
    def of(cls, x: Tensor, target: Target) -> Channels:
        """Return the way for images whose last axis are channels."""
        count = x.shape[-1]
        units = 4 if count >= 4 * target.lanes else 1 if count >= target.lanes else 0
        return cls(x.dtype.name, units)

    @contextmanager
    def walk(self, f: Function, count: Index) -> Iterator[tuple[Index, int]]:
        """Build the loop over channels: yields the first one, and how many are taken at once."""
        if not self.units:
            with f.loop(0, count) as loop:
                yield loop.index, 1
            return
        width = self.units * f.target.lanes
        with f.loop(0, count, width) as loop:
            # The last ones overlap those before.
            yield f.min(loop.index, f.sub(count, width)), width

    def pieces(self, f: Function, width: int) -> list[int]:
        """Return where the vectors of `width` channels begin."""
        return list(range(0, width, f.target.lanes))

    def blend(
        self, f: Function, taps: Sequence[Tap], channel: Index, step: Index, width: int
    ) -> list[Value]:
        """Return weighted sums of pixels, one value for each vector of channels.

        Args:
            step: bytes from one channel to the next.
        """
        dtype = np.dtype(self.dtype)
        kind = memory_type(self.dtype)
        lanes = min(width, f.target.lanes)
        k = Body(f, lanes, _FLOAT)
        first = f.mul(channel, step)
        found: list[Value] = []
        spread = [(tap.place, f.splat(tap.weight, lanes), _mask(f, tap, lanes)) for tap in taps]
        for piece in self.pieces(f, width):
            total: Value | None = None
            for place, weight, mask in spread:
                at = f.offset(f.offset(place, first), piece * dtype.itemsize)
                loaded = f.load(vector(lanes, kind), at, dtype.itemsize)
                bits = k.integers(k.convert(loaded, dtype, _FLOAT))
                used = k.floats(k.integer_op("and", bits, mask))
                total = k.mul(used, weight) if total is None else k.fma(used, weight, total)
            assert total is not None
            found.append(total)
        return found

    def store(
        self, f: Function, results: Sequence[Value], place: Value, channel: Index, step: Index
    ) -> None:
        """Store results that begin with a channel."""
        at = f.offset(place, f.mul(channel, step))
        for number, each in enumerate(results):
            f.store(each, f.offset(at, number * 4 * lanes_of(each.type)))


def _mask(f: Function, tap: Tap, lanes: int) -> Value:
    """Return all bits where a tap's weight is not 0."""
    k = Body(f, 1, _FLOAT)
    used = k.compare("ne", tap.weight, 0.0)
    return f.splat(f.make(f"sext i1 {used.text} to i32", I32), lanes)


@dataclass(frozen=True)
class Axis:
    """An axis of an image: its length, the same as float64, and bytes between neighbours."""

    length: Value
    extent: Value
    step: Index

    @classmethod
    def of(cls, f: Function, length: Value, step: Index) -> Axis:
        """Return an axis of that length."""
        return cls(length, f.make(f"sitofp i64 {length.text} to double", "double"), step)

    def last(self, k: Body) -> Value:
        """Return the last coordinate."""
        return k.sub(self.extent, k.const(1.0))

    def inside(self, k: Body, point: Value) -> Value:
        """Return whether a coordinate is at a pixel or between two; False for NaN."""
        f = k.function
        return f.both(k.compare("ge", point, 0.0), k.compare("le", point, self.last(k)))

    def clipped(self, k: Body, point: Value) -> Value:
        """Return the nearest coordinate inside, the first one for NaN."""
        positive = k.pick(k.compare("gt", point, 0.0), point, k.const(0.0))
        last = self.last(k)
        return k.pick(k.compare("lt", positive, last), positive, last)


def bilinear(
    k: Body, image: Value, axes: Sequence[Axis], points: Sequence[Value], used: Value | None = None
) -> list[Tap]:
    """Return the four pixels around a point; beyond the edges the outer ones repeat.

    Args:
        points: coordinates of rows and of columns, in float64.
        used: where this is false all weights are 0.
    """
    f = k.function
    sides = []
    for axis, point in zip(axes, points, strict=True):
        inner = axis.clipped(k, point)
        low = k.round("floor", inner)
        fraction = k.sub(inner, low)
        first = whole(f, low)
        second = f.min(f.add(first, 1), f.sub(axis.length, 1))
        weights = (k.sub(k.const(1.0), fraction), fraction)
        sides.append(
            [(f.mul(first, axis.step), weights[0]), (f.mul(second, axis.step), weights[1])]
        )
    taps = []
    for down, upper in sides[0]:
        for across, left in sides[1]:
            weight = k.mul(upper, left)
            if used is not None:
                weight = k.pick(used, weight, k.const(0.0))
            taps.append(Tap(f.offset(image, f.add(down, across)), narrowed(k, weight)))
    return taps


def narrowed(k: Body, weight: Value) -> Value:
    """Return a float64 as float32."""
    return k.convert(weight, _DOUBLE, _FLOAT)


def whole(f: Function, point: Value) -> Value:
    """Return a whole float64, in range, as an integer."""
    return f.make(f"fptosi double {point.text} to i64", I64)


def number(f: Function, dtype: str, place: Value) -> Value:
    """Return the number at an address as float64."""
    found = f.load(memory_type(dtype), place, np.dtype(dtype).itemsize)
    return Body(f, 1, _DOUBLE).convert(found, np.dtype(dtype), _DOUBLE)


def channels_side_by_side(
    x: Tensor, out: Tensor, target: Target
) -> tuple[Tensor, Tensor, list[Call], list[Call]]:
    """Return images and results whose last axis can be walked, and copies before and after.

    Many channels are walked in vectors, so they must be neighbours.
    """
    before: list[Call] = []
    after: list[Call] = []
    if x.shape[-1] < target.lanes:
        return x, out, before, after
    if x.strides[-1] != 1:
        made = contiguous(Buffer(x.size * x.dtype.itemsize, name="pixels"), x.shape, x.dtype)
        before = _copied(x, made, target)
        x = made
    if out.strides[-1] != 1:
        made = contiguous(Buffer(out.size * 4, name="pixels"), out.shape, out.dtype)
        after = _copied(made, out, target)
        out = made
    return x, out, before, after


def _copied(source: Tensor, goal: Tensor, target: Target) -> list[Call]:
    identity = Program((source.dtype.name,), (), (0,))
    return loops.lower(identity, [source], [goal], target, label="copy")
