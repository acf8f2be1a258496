"""Resized images in a flow: the rules of their tables, and how they look through views.

A `resize` value has the attributes `axes`, the axis of rows and that of positions, and `rule`,
which knows the tables. Views of its results are views of its source and parts of its tables, so
what moves results (channels turned, axes in another order, parts cut out) costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mnn.codegen.kernel import Call, Epilogue, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates.taps import COPY, FIXED, FLOAT32, FLOAT64, Taps
from mnn.compile.flow import Flow, Value
from mnn.compile.strides import memory_order, reshaped
from mnn.ops.reference.picture import fixed_weights, linear_taps, nearest_places
from mnn.ops.reference.resize import axis_table
from mnn.records import dataclass, replace

__all__ = ["Interpolation", "PictureScaling", "Resized", "Rule", "make_resize"]

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]


class Rule(Protocol):
    """How an axis of one length becomes an axis of another; hashable."""

    def taps(self, length: int, count: int, dtype: DType, row: bool) -> Taps:
        """Return the table of an axis; `row` is True for the axis of rows."""

    def arithmetic(self, dtype: DType) -> str:
        """Return how elements of a dtype are computed."""


@dataclass(frozen=True)
class Interpolation:
    """The rule of `interpolate`.

    Attributes:
        method, coordinates: as `axis_table` has them.
        steps: source distance of two outputs of rows and of positions, or None for the quotient.
        resized: whether rows and positions are resized at all.
    """

    method: str
    coordinates: str
    steps: tuple[float | None, float | None] = (None, None)
    resized: tuple[bool, bool] = (True, True)

    def taps(self, length: int, count: int, dtype: DType, row: bool) -> Taps:
        """Return the table of an axis; a place of weight 0 is never read."""
        if not self.resized[0 if row else 1]:
            return Taps(np.arange(length)[:, None], np.ones((length, 1)))
        table = axis_table(
            length,
            count,
            method=self.method,
            coordinates=self.coordinates,
            step=self.steps[0 if row else 1],
        )
        if table.places.shape[1] == 1:
            return Taps(table.places, table.weights)
        return _without_zeros(table.places, table.weights)

    def arithmetic(self, dtype: DType) -> str:
        """Return how elements of a dtype are computed."""
        if self.method.startswith("nearest"):
            return COPY
        return FLOAT64 if dtype == np.float64 else FLOAT32


def _without_zeros(places: Array, weights: Array) -> Taps:
    """Return taps in which those of weight 0 share place and weight of the heaviest one.

    An infinite neighbour of weight 0 has no influence then. Where all positions have one tap, it
    is the only one that is left.
    """
    if (np.count_nonzero(weights, axis=1) == 1).all() and (weights.max(axis=1) == 1).all():
        return Taps(
            np.take_along_axis(places, weights.argmax(axis=1)[:, None], 1),
            np.ones((len(places), 1)),
        )
    zero = weights == 0
    heaviest = abs(weights).argmax(axis=1)[:, None]
    shared = np.take_along_axis(weights, heaviest, 1) / (1 + zero.sum(axis=1, keepdims=True))
    changed = zero | (np.arange(weights.shape[1]) == heaviest)
    return Taps(
        np.where(zero, np.take_along_axis(places, heaviest, 1), places),
        np.where(changed, shared, weights),
    )


@dataclass(frozen=True)
class PictureScaling:
    """The rule of OpenCV's resize.

    Attributes:
        interpolation: nearest or linear.
        factors: by how much rows and positions are scaled, None for the quotients of sizes.
    """

    interpolation: str
    factors: tuple[float, float] | None = None

    def taps(self, length: int, count: int, dtype: DType, row: bool) -> Taps:
        """Return the table of an axis."""
        factor = None if self.factors is None else self.factors[0 if row else 1]
        if self.interpolation == "nearest":
            places = nearest_places(length, count, factor)[:, None]
            return Taps(places, np.ones(places.shape))
        fixed = dtype == np.uint8
        low, weight = linear_taps(length, count, factor, clamp=not (fixed and row))
        places = np.clip(np.stack([low, low + 1], -1), 0, length - 1)
        if fixed:
            return Taps(places, np.stack(fixed_weights(weight), -1))
        work = np.float64 if dtype == np.float64 else np.float32
        upper = weight.astype(work)
        return Taps(places, np.stack([1 - upper, upper], -1))

    def arithmetic(self, dtype: DType) -> str:
        """Return how elements of a dtype are computed."""
        if self.interpolation == "nearest":
            return COPY
        return {"uint8": FIXED, "float64": FLOAT64}.get(dtype.name, FLOAT32)


def make_resize(
    flow: Flow, x: Value, axes: tuple[int, int], sizes: tuple[int, int], rule: Rule
) -> Value:
    """Return x with two axes resized."""
    shape = list(x.shape)
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] = size
    return flow.make("resize", (x,), shape, x.dtype, {"axes": axes, "rule": rule})


@dataclass(frozen=True)
class Resized:
    """A resize, perhaps seen through views.

    Attributes:
        source: what is resized.
        axes: the axis of rows and the axis of positions.
        taps: for both.
        arithmetic: as the template has it.
        label: for profiles.
    """

    source: Tensor
    axes: tuple[int, int]
    taps: tuple[Taps, Taps]
    arithmetic: str
    label: str

    @classmethod
    def of(cls, value: Value, source: Tensor) -> Resized:
        """Return a `resize` value as it is."""
        axes, rule = value.attributes["axes"], value.attributes["rule"]
        lengths = [source.shape[axis] for axis in axes]
        sizes = [value.shape[axis] for axis in axes]
        down, across = (
            rule.taps(length, size, value.dtype, row)
            for length, size, row in zip(lengths, sizes, (True, False), strict=True)
        )
        arithmetic = rule.arithmetic(value.dtype)
        if down.count == across.count == 1 and arithmetic in (FLOAT32, FLOAT64):
            arithmetic = COPY
        label = f"resize {'x'.join(map(str, lengths))} -> {'x'.join(map(str, sizes))}"
        return cls(source, axes, (down, across), arithmetic, label)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the results."""
        shape = list(self.source.shape)
        for axis, taps in zip(self.axes, self.taps, strict=True):
            shape[axis] = len(taps.places)
        return tuple(shape)

    def seen(self, view: Value) -> Resized | None:
        """Return what is seen through a permute, a slice, or a reshape that only moves ones.

        None where an axis that is resized to size 1 would be moved.
        """
        if view.kind == "permute":
            order = view.attributes["axes"]
            axes = (order.index(self.axes[0]), order.index(self.axes[1]))
            return replace(self, source=self.source.permuted(order), axes=axes)
        if view.kind == "slice":
            return self._cut(view.attributes["starts"], view.attributes["steps"], view.shape)
        return self._with_ones(view.shape)

    def _cut(self, starts: Sequence[int], steps: Sequence[int], shape: Sequence[int]) -> Resized:
        source, taps = self.source, list(self.taps)
        strides, sizes, offset = list(source.strides), list(source.shape), source.offset
        for axis, (start, step, size) in enumerate(zip(starts, steps, shape, strict=True)):
            if axis in self.axes:
                number = self.axes.index(axis)
                taps[number] = taps[number].part(start, step, size)
            else:
                offset += start * strides[axis]
                strides[axis] *= step
                sizes[axis] = size
        moved = replace(source, shape=tuple(sizes), strides=tuple(strides), offset=offset)
        return replace(self, source=moved, taps=(taps[0], taps[1]))

    def _with_ones(self, shape: Sequence[int]) -> Resized | None:
        """Return the same with axes of size 1 elsewhere, None if a resized one is such an axis."""
        moving = [axis for axis, size in enumerate(self.shape) if size != 1]
        if not set(self.axes) <= set(moving):
            return None
        places = [axis for axis, size in enumerate(shape) if size != 1]
        sizes, strides = [1] * len(shape), [0] * len(shape)
        for old, new in zip(moving, places, strict=True):
            sizes[new], strides[new] = self.source.shape[old], self.source.strides[old]
        source = replace(self.source, shape=tuple(sizes), strides=tuple(strides))
        axes = (places[moving.index(self.axes[0])], places[moving.index(self.axes[1])])
        return replace(self, source=source, axes=axes)

    def order(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the memory order of the source, for results whose shape differs in ones."""
        plain = memory_order(self.source)
        made = contiguous(self.source.buffer, self.shape, self.source.dtype, plain)
        found = reshaped(made, shape)
        assert found is not None
        return memory_order(found)

    def calls(self, output: Tensor, target: Target, epilogue: Epilogue | None) -> list[Call]:
        """Return the calls that store the results."""
        from mnn.codegen.templates import resize

        names = () if epilogue is None else (each.name for each in epilogue.program.steps)
        return resize.lower(
            self.source,
            output,
            target,
            axes=self.axes,
            taps=self.taps,
            arithmetic=self.arithmetic,
            epilogue=epilogue,
            label=" ".join([self.label, *names]),
        )
