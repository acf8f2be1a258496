"""Regions of images brought to one size: RoIAlign, and TensorFlow's crops.

Which image a region is of, and its corners, are known when running only: values that the operators
refuse set the status of the plan, and something in memory is read instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Index, Module, Value
from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.sampling import (
    Axis,
    Channels,
    Tap,
    bilinear,
    channels_side_by_side,
    narrowed,
    number,
    whole,
)
from mnn.codegen.templates.window import split
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["AlignKernel", "CropKernel", "lower_align", "lower_crops"]

_FLOAT, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_MOST_SAMPLES = 4096
"""Samples of a bin along an axis; regions that want more are left to the operator's reference."""


def lower_align(
    x: Tensor,
    rois: Tensor,
    index: Tensor,
    out: Tensor,
    target: Target,
    *,
    status: Tensor,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    mode: str,
) -> list[Call]:
    """Return calls that sample regions on regular grids (He et al., "Mask R-CNN", 2017).

    Args:
        x: (samples, rows, columns, channels) float32, not empty.
        rois: (regions, 4) corners x1, y1, x2, y2, any real numbers.
        index: (regions,) sample of each region, any real numbers.
        out: (regions, rows out, columns out, channels) float32.
        status: one int64, made 1 by a region that is not finite, wants too many samples, or belongs
            to no sample.
        spatial_scale, sampling_ratio, aligned, mode: as the operator's reference has them.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    _check("roi_align", x, rois, index, out)
    if not out.size:
        return []
    x, out, before, after = channels_side_by_side(x, out, target)
    kernel = AlignKernel(
        Channels.of(x, target),
        rois.dtype.name,
        index.dtype.name,
        max(0, sampling_ratio),
        aligned,
        mode,
    )
    samples = max(1, sampling_ratio) ** 2
    call = Call(
        kernel,
        (*_slots(x, rois, index, out, status), _bits(spatial_scale)),
        items=math.prod(out.shape[:2]),
        grain=max(1, 5000 // (out.shape[2] * samples * (8 + out.shape[3] // 2))),
        work=4 * samples * out.size,
        traffic=4 * (x.size + out.size),
        label=f"roi align {'x'.join(map(str, out.shape))}",
    )
    return [*before, call, *after]


def lower_crops(
    x: Tensor,
    boxes: Tensor,
    index: Tensor,
    out: Tensor,
    target: Target,
    *,
    status: Tensor,
    method: str,
    outside: float,
) -> list[Call]:
    """Return calls that resize boxes of images, by TensorFlow's rule.

    Args:
        x: (samples, rows, columns, channels) uint8 or float32, not empty.
        boxes: (boxes, 4) normalised y1, x1, y2, x2.
        index: (boxes,) image of each box.
        out: (boxes, rows out, columns out, channels) float32.
        status: one int64, made 1 by a box that belongs to no image.
        method, outside: as the operator's reference has them.

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    _check("crop_and_resize", x, boxes, index, out)
    if not out.size:
        return []
    x, out, before, after = channels_side_by_side(x, out, target)
    kernel = CropKernel(Channels.of(x, target), boxes.dtype.name, index.dtype.name, method)
    call = Call(
        kernel,
        (*_slots(x, boxes, index, out, status), float(np.float32(outside))),
        items=math.prod(out.shape[:2]),
        grain=max(1, 5000 // (out.shape[2] * (8 + out.shape[3] // 2))),
        work=4 * out.size,
        traffic=x.size * x.dtype.itemsize + 4 * out.size,
        label=f"crop {method} {'x'.join(map(str, out.shape))}",
    )
    return [*before, call, *after]


def _check(name: str, x: Tensor, regions: Tensor, index: Tensor, out: Tensor) -> None:
    count = regions.shape[0]
    fits = (
        len(x.shape) == len(out.shape) == 4
        and x.shape[3] == out.shape[3]
        and regions.shape == (count, 4)
        and index.shape == (out.shape[0],) == (count,)
        and x.size
        and x.dtype in (np.uint8, np.float32)
        and out.dtype == np.float32
    )
    if not fits:
        raise CodegenError(
            f"{name}: found {x.dtype} images of {x.shape}, regions of {regions.shape} and an index "
            f"of {index.shape} for a {out.dtype} result of {out.shape}, expected axes (samples, "
            "rows, columns, channels), (regions, 4) and (regions,)."
        )


_FIELDS = "*x xn xh xw xc *r rn rc *i in *out on oh ow oc N H W C OH OW *status"


def _slots(x: Tensor, regions: Tensor, index: Tensor, out: Tensor, status: Tensor) -> list[Slot]:
    slots: list[Slot] = []
    for each in (x, regions, index, out):
        slots += [each.pointer, *(step * each.dtype.itemsize for step in each.strides)]
    return [*slots, *x.shape, *out.shape[1:3], status.pointer]


def _bits(value: float) -> int:
    """Return the bits of a float64, for a slot."""
    return int(np.float64(value).view(np.int64))


class _Region:
    """One row of results of a region being built."""

    def __init__(
        self, f: Function, a: SimpleNamespace, regions: str, index: str, item: Index
    ) -> None:
        self.f, self.a = f, a
        self.k = Body(f, 1, _DOUBLE)
        self.region, self.row = split(f, item, [0, a.OH])
        start = f.offset(a.r, f.mul(self.region, a.rn))
        self.corners = [number(f, regions, f.offset(start, f.mul(each, a.rc))) for each in range(4)]
        sample = number(f, index, f.offset(a.i, f.mul(self.region, getattr(a, "in"))))
        self.image = f.offset(a.x, f.mul(self._sample(sample), a.xn))
        self.axes = [Axis.of(f, a.H, a.xh), Axis.of(f, a.W, a.xw)]

    def refuse(self, good: Value) -> None:
        """Set the status where a condition does not hold."""
        f = self.f
        bad = f.make(f"xor i1 {good.text}, true", "i1")
        with f.when(bad):
            f.store(f.constant(1), self.a.status, 8)

    def _sample(self, sample: Value) -> Value:
        """Return the number of the image, 0 when there is no such one."""
        f, k = self.f, self.k
        count = f.make(f"sitofp i64 {self.a.N.text} to double", "double")
        good = f.both(k.compare("ge", sample, 0.0), k.compare("lt", sample, count))
        good = f.both(good, k.compare("eq", sample, k.round("floor", sample)))
        self.refuse(good)
        return whole(f, k.pick(good, sample, k.const(0.0)))

    def result(self, column: Index) -> Value:
        """Return the address of a pixel of the result."""
        f, a = self.f, self.a
        row = f.add(f.mul(self.region, a.on), f.mul(self.row, a.oh))
        return f.offset(a.out, f.add(row, f.mul(column, a.ow)))

    def float_of(self, index: Index) -> Value:
        """Return an index as float64."""
        return self.f.make(f"sitofp i64 {self.f.value(index).text} to double", "double")


# --- RoIAlign ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlignKernel(Kernel):
    """RoIAlign; an item is a row of bins.

    Attributes:
        channels: how channels are walked.
        rois, index: NumPy names of the dtypes of corners and sample numbers.
        ratio: samples of a bin along an axis; 0: as many as it has pixels.
        aligned, mode: as the reference has them.
    """

    channels: Channels
    rois: str
    index: str
    ratio: int
    aligned: bool
    mode: str

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(_FIELDS + " scale")
        a.scale = f.make(f"bitcast i64 {a.scale.text} to double", "double")
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            region = _Region(f, a, self.rois, self.index, items.index)
            down = self._samples(region, 1, a.OH)
            across = self._samples(region, 0, a.OW)
            with f.loop(0, a.OW) as loop:
                self._bin(region, down, across, loop.index)
        return module

    def _samples(self, region: _Region, first: int, bins: Value) -> _Samples:
        """Return the samples of an axis whose corners are numbers `first` and `first` + 2."""
        k, f = region.k, region.f
        low, high = (
            k.sub(k.mul(each, region.a.scale), k.const(0.5 if self.aligned else 0.0))
            for each in (region.corners[first], region.corners[first + 2])
        )
        good = f.both(k.is_finite(low), k.is_finite(high))
        extent = k.sub(high, low)
        if not self.aligned:
            extent = k.maximum(extent, k.const(1.0))
        width = k.div(extent, region.float_of(bins))
        wanted = k.const(float(self.ratio))
        if not self.ratio:
            wanted = k.maximum(k.round("ceil", width), k.const(0.0))
        good = f.both(good, k.compare("le", wanted, float(_MOST_SAMPLES)))
        region.refuse(good)
        wanted = k.pick(good, wanted, k.const(0.0))
        return _Samples(low, width, wanted, whole(f, wanted))

    def _bin(self, region: _Region, down: _Samples, across: _Samples, column: Index) -> None:
        f, a, k = region.f, region.a, region.k
        out = region.result(column)
        starts = [
            down.start(k, region.float_of(region.row)),
            across.start(k, region.float_of(column)),
        ]
        total = k.mul(down.wanted, across.wanted)
        none = k.compare("eq", total, 0.0)
        scale = k.div(k.const(1.0), k.maximum(total, k.const(1.0)))
        with self.channels.walk(f, a.C) as (channel, width):
            lanes = min(width, f.target.lanes)
            body = Body(f, lanes, _FLOAT)
            fresh = body.const(-math.inf if self.mode == "max" else 0.0)
            state = [fresh] * len(self.channels.pieces(f, width))
            with f.loop(0, down.count, carried=state) as rows:
                y = down.point(k, starts[0], region.float_of(rows.index))
                with f.loop(0, across.count, carried=rows.carried) as columns:
                    x = across.point(k, starts[1], region.float_of(columns.index))
                    found = self._sample(region, y, x, channel, width)
                    joined = body.maximum if self.mode == "max" else body.add
                    columns.next = list(map(joined, columns.carried, found))
                rows.next = columns.results
            results = rows.results
            if self.mode == "max":
                empty = f.splat(none, lanes)
                results = [body.pick(empty, body.const(0.0), each) for each in results]
            else:
                factor = f.splat(narrowed(k, scale), lanes)
                results = [body.mul(each, factor) for each in results]
            self.channels.store(f, results, out, channel, a.oc)

    def _sample(
        self, region: _Region, y: Value, x: Value, channel: Index, width: int
    ) -> list[Value]:
        """Return the pixels at a point; those more than one outside the image are 0."""
        f, k = region.f, region.k
        used: Value | None = None
        for axis, point in zip(region.axes, (y, x), strict=True):
            near = f.both(k.compare("ge", point, -1.0), k.compare("le", point, axis.extent))
            used = near if used is None else f.both(used, near)
        taps = bilinear(k, region.image, region.axes, (y, x), used)
        return self.channels.blend(f, taps, channel, region.a.xc, width)


@dataclass(frozen=True)
class _Samples:
    """Sample points of an axis: bins of `width` from `low` on, with `count` samples each."""

    low: Value
    width: Value
    wanted: Value
    count: Value

    def start(self, k: Body, place: Value) -> Value:
        """Return where a bin begins."""
        return k.add(self.low, k.mul(place, self.width))

    def point(self, k: Body, start: Value, sample: Value) -> Value:
        """Return the coordinate of a sample of the bin that begins at `start`."""
        inner = k.mul(k.add(sample, k.const(0.5)), self.width)
        return k.add(start, k.div(inner, k.maximum(self.wanted, k.const(1.0))))


# --- boxes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CropKernel(Kernel):
    """Boxes resized; an item is a row of a result.

    Attributes:
        channels: how channels are walked.
        boxes, index: NumPy names of the dtypes of corners and image numbers.
        method: bilinear or nearest.
    """

    channels: Channels
    boxes: str
    index: str
    method: str

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        f = module.entry()
        a = f.block(_FIELDS + " #outside")
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            region = _Region(f, a, self.boxes, self.index, items.index)
            y = self._point(region, 0, a.OH, region.row)
            with f.loop(0, a.OW) as loop:
                x = self._point(region, 1, a.OW, loop.index)
                self._pixel(region, (y, x), loop.index)
        return module

    def _point(self, region: _Region, axis: int, count: Value, place: Index) -> Value:
        """Return the coordinate of a position of the result."""
        k, f = region.k, region.f
        low, high = region.corners[axis], region.corners[axis + 2]
        last = region.axes[axis].last(k)
        parts = k.maximum(k.sub(region.float_of(count), k.const(1.0)), k.const(1.0))
        step = k.div(k.mul(k.sub(high, low), last), parts)
        regular = k.add(k.mul(low, last), k.mul(region.float_of(place), step))
        middle = k.mul(k.mul(k.add(low, high), last), k.const(0.5))
        return f.select(f.compare("eq", count, 1), middle, regular)

    def _pixel(self, region: _Region, points: Sequence[Value], column: Index) -> None:
        f, a, k = region.f, region.a, region.k
        inside = f.both(
            *(axis.inside(k, point) for axis, point in zip(region.axes, points, strict=True))
        )
        if self.method == "nearest":
            taps = [self._nearest(region, points)]
        else:
            taps = bilinear(k, region.image, region.axes, points)
        out = region.result(column)
        with self.channels.walk(f, a.C) as (channel, width):
            lanes = min(width, f.target.lanes)
            other = f.splat(a.outside, lanes)
            found = [
                f.select(inside, each, other)
                for each in self.channels.blend(f, taps, channel, a.xc, width)
            ]
            self.channels.store(f, found, out, channel, a.oc)

    def _nearest(self, region: _Region, points: Sequence[Value]) -> Tap:
        f, k = region.f, region.k
        place = region.image
        for axis, point in zip(region.axes, points, strict=True):
            rounded = k.round("round", axis.clipped(k, point))
            place = f.offset(place, f.mul(whole(f, rounded), axis.step))
        return Tap(place, Body(f, 1, _FLOAT).const(1.0))
