"""Images sampled at the normalised coordinates of a grid."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Module, Value
from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.sampling import (
    Axis,
    Channels,
    Tap,
    channels_side_by_side,
    narrowed,
    number,
    whole,
)
from mnn.codegen.templates.window import split
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["GridKernel", "lower"]

_DOUBLE = np.dtype(np.float64)
_TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}
_CUBIC = -0.75


def lower(
    x: Tensor,
    grid: Tensor,
    out: Tensor,
    target: Target,
    *,
    mode: str,
    padding: str,
    align_corners: bool,
) -> list[Call]:
    """Return calls that sample images.

    Args:
        x: (samples, rows, columns, channels) float32; strides are arbitrary, side by side channels
            are fastest.
        grid: (samples, rows out, columns out, 2) float32 or float64: x, then y, in -1..1.
        out: (samples, rows out, columns out, channels) float32.
        mode: nearest, bilinear or bicubic.
        padding: what lies outside: zeros, border or reflection.
        align_corners: -1 and 1 mean the centres of the outer pixels, else their outer edges.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    shape = (*out.shape[:3], 2)
    fits = len(x.shape) == len(out.shape) == 4 and grid.shape == shape and x.dtype == np.float32
    if not fits or x.shape[0] != out.shape[0] or x.shape[3] != out.shape[3]:
        raise CodegenError(
            f"grid_sample: found {x.dtype} images of {x.shape} and a grid of {grid.shape} for a "
            f"result of {out.shape}, expected float32 and axes (samples, rows, columns, channels)."
        )
    if not out.size:
        return []
    x, out, before, after = channels_side_by_side(x, out, target)
    kernel = GridKernel(Channels.of(x, target), grid.dtype.name, mode, padding, align_corners)
    slots: list[Slot] = []
    for each in (x, grid, out):
        slots += [each.pointer, *(step * each.dtype.itemsize for step in each.strides)]
    slots += [*x.shape[1:], *out.shape[1:3]]
    taps = _TAPS[mode] ** 2
    call = Call(
        kernel,
        tuple(slots),
        items=math.prod(out.shape[:2]),
        grain=max(1, 5000 // (out.shape[2] * (16 + taps * out.shape[3] // 8))),
        work=out.size * taps,
        traffic=4 * (x.size + out.size) + grid.size * grid.dtype.itemsize,
        label=f"grid sample {mode} {'x'.join(map(str, out.shape))}",
    )
    return [*before, call, *after]


@dataclass(frozen=True)
class GridKernel(Kernel):
    """Grid sampling; an item is a row of positions.

    Attributes:
        channels: how channels are walked.
        grid: NumPy name of the coordinates' dtype.
        mode, padding, align_corners: as for `lower`.
    """

    channels: Channels
    grid: str
    mode: str
    padding: str
    align_corners: bool

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        fields = "*x xn xh xw xc *g gn gh gw gc *out on oh ow oc H W C OH OW"
        a = f.block(fields)
        axes = [Axis.of(f, a.H, a.xh), Axis.of(f, a.W, a.xw)]
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            n, row = split(f, items.index, [0, a.OH])
            image = f.offset(a.x, f.mul(n, a.xn))
            grid = f.offset(a.g, f.add(f.mul(n, a.gn), f.mul(row, a.gh)))
            out = f.offset(a.out, f.add(f.mul(n, a.on), f.mul(row, a.oh)))
            with f.loop(0, a.OW) as loop:
                place = f.offset(grid, f.mul(loop.index, a.gw))
                across = number(f, self.grid, place)
                down = number(f, self.grid, f.offset(place, a.gc))
                taps = self._taps(f, image, axes, (down, across))
                self._blend(f, a, taps, f.offset(out, f.mul(loop.index, a.ow)))
        return module

    def _blend(self, f: Function, a: SimpleNamespace, taps: Sequence[Tap], out: Value) -> None:
        with self.channels.walk(f, a.C) as (channel, width):
            results = self.channels.blend(f, taps, channel, a.xc, width)
            self.channels.store(f, results, out, channel, a.oc)

    def _taps(
        self, f: Function, image: Value, axes: Sequence[Axis], coordinates: Sequence[Value]
    ) -> list[Tap]:
        """Return the pixels that take part at one position."""
        k = Body(f, 1, _DOUBLE)
        sides = [
            self._side(k, axis, self._point(k, axis, each))
            for axis, each in zip(axes, coordinates, strict=True)
        ]
        return [
            Tap(f.offset(image, f.add(down, across)), narrowed(k, k.mul(upper, left)))
            for (down, upper), (across, left) in itertools.product(*sides)
        ]

    def _side(self, k: Body, axis: Axis, point: Value) -> list[tuple[Value, Value]]:
        """Return (distance in bytes, weight) of an axis's taps."""
        if self.mode == "nearest":
            half = k.round("floor", k.add(self._moved(k, axis, point), k.const(0.5)))
            return [self._tap(k, axis, half, k.const(1.0))]
        if self.mode == "bilinear":
            point = self._moved(k, axis, point)
            low = k.round("floor", point)
            fraction = k.sub(point, low)
            upper = self._tap(k, axis, k.add(low, k.const(1.0)), fraction)
            return [self._tap(k, axis, low, k.sub(k.const(1.0), fraction)), upper]
        low = k.round("floor", point)
        weights = _cubic_weights(k, k.sub(point, low))
        places = [
            k.round("rint", self._moved(k, axis, k.add(low, k.const(float(each)))))
            for each in (-1, 0, 1, 2)
        ]
        return [self._tap(k, axis, *pair) for pair in zip(places, weights, strict=True)]

    def _tap(self, k: Body, axis: Axis, place: Value, weight: Value) -> tuple[Value, Value]:
        f = k.function
        if self.padding == "zeros":
            weight = k.pick(axis.inside(k, place), weight, k.const(0.0))
        # A neighbour of weight 0 may lie behind the last pixel.
        pixel = whole(f, axis.clipped(k, place))
        return f.value(f.mul(pixel, axis.step)), weight

    def _point(self, k: Body, axis: Axis, coordinate: Value) -> Value:
        """Return a pixel coordinate, finite: those far outside all mean the same."""
        known = k.compare("eq", coordinate, coordinate)
        if self.padding == "reflection":
            known = k.is_finite(coordinate)
        point = k.pick(known, coordinate, k.const(-1.0))
        point = k.minimum(k.maximum(point, k.const(-1e15)), k.const(1e15))
        point = k.add(point, k.const(1.0))
        if self.align_corners:
            point = k.mul(k.mul(point, axis.last(k)), k.const(0.5))
        else:
            point = k.mul(k.sub(k.mul(point, axis.extent), k.const(1.0)), k.const(0.5))
        if self.padding == "reflection":
            return point
        # No tap of a point four pixels outside is inside.
        most = k.add(axis.extent, k.const(3.0))
        return k.minimum(k.maximum(point, k.const(-4.0)), most)

    def _moved(self, k: Body, axis: Axis, point: Value) -> Value:
        """Return a coordinate moved into the image, unless what is outside is zero."""
        if self.padding == "zeros":
            return point
        if self.padding == "reflection":
            point = self._reflected(k, axis, point)
        return axis.clipped(k, point)

    def _reflected(self, k: Body, axis: Axis, point: Value) -> Value:
        low = k.const(0.0 if self.align_corners else -0.5)
        span = axis.last(k) if self.align_corners else axis.extent
        twice = k.add(span, span)
        folded = k.fmod(k.abs(k.sub(point, low)), twice)
        turned = k.add(k.minimum(folded, k.sub(twice, folded)), low)
        # A single pixel between corners has no width.
        return k.pick(k.compare("gt", span, 0.0), turned, k.const(0.0))


def _cubic_weights(k: Body, t: Value) -> list[Value]:
    """Return the weights of the neighbours at distances 1 + t, t, 1 - t, 2 - t (Keys, 1981)."""
    a = _CUBIC

    def polynomial(d: Value, *coefficients: float) -> Value:
        total = k.const(coefficients[0])
        for each in coefficients[1:]:
            total = k.add(k.mul(total, d), k.const(each))
        return total

    def near(d: Value) -> Value:
        return polynomial(d, a + 2, -(a + 3), 0.0, 1.0)

    def far(d: Value) -> Value:
        return polynomial(d, a, -5 * a, 8 * a, -4 * a)

    one, two = k.const(1.0), k.const(2.0)
    return [far(k.add(one, t)), near(t), near(k.sub(one, t)), far(k.sub(two, t))]
