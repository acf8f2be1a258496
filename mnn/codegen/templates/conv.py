"""Convolutions and transposed convolutions of images: which kernels compute them, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mnn.codegen.kernel import Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates import conv_dots, conv_rows, depthwise, gemm, relayout, winograd
from mnn.codegen.templates.convolution import Convolution
from mnn.codegen.templates.window import (
    Window,
    channels_last,
    image_ending,
    images,
    part_of,
    triple,
    window_of,
)
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["lower"]


def lower(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    target: Target,
    *,
    bias: Tensor | None,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int,
    transposed: bool = False,
    epilogue: Epilogue | None = None,
    low: bool = False,
) -> list[Call]:
    """Return calls that store `epilogue(conv(x, weight) + bias)` in `out`.

    Args:
        x: (samples, channels, 1 to 3 spatial axes) of float32; strides are arbitrary, neighbouring
            channels are fastest.
        weight: (channels of out, channels of x / groups, kernel...), or transposed (channels of x,
            channels of out / groups, kernel...); a constant is packed once.
        out: (samples, channels, ...); float32, or what the epilogue's program makes. It must not
            overlap any operand.
        bias: one float32 for each channel of `out`.
        stride, dilation: a number for each spatial axis.
        pads: (begin, end) for each spatial axis; negative numbers cut off. Transposed: positions
            cut off the front of the full result; the shape of `out` says where it ends.
        transposed: the transposed convolution is meant.
        epilogue: its operands broadcast to the shape of `out`.
        low: products of bfloat16 or float16 are exact enough, where the target has them; sums are
            float32 (see `float16`).

    Raises:
        CodegenError: shapes or dtypes do not fit.
    """
    one, two = weight.shape[:2]
    made, taken = (two * groups, one) if transposed else (one, two * groups)
    _check("conv_transpose" if transposed else "conv", x, weight, out, bias, made, taken)
    if not out.size:
        return []
    window = window_of(weight.shape[2:], stride, dilation, pads)
    job = _Job(x, out, bias, epilogue, target, low)
    first, second, *steps = weight.strides
    distances = (first, second)
    if transposed:
        distances = (second, first)
    grouped = replace(
        weight,
        shape=(groups, made // groups, taken // groups, *window.kernel),
        strides=(first * (one // groups), *distances, *triple(steps, 0)),
    )
    if transposed:
        _add_phases(job, grouped, window)
    else:
        job.add(grouped, window, _Phase())
    return job.calls()


def _add_phases(job: _Job, grouped: Tensor, full: Window) -> None:
    """Add what makes a transposed convolution.

    The outputs that lie `stride` apart are a convolution of their own, with some of the taps.
    """
    for start in np.ndindex(*full.stride):
        phase = _Phase((start[0], start[1], start[2]), full.stride)
        depth, height, width = (_phase_taps(full, axis, each) for axis, each in enumerate(start))
        part = grouped
        for axis, each in enumerate((depth, height, width), 3):
            # The last tap meets the first input, so taps run backwards.
            last = each.first + max(0, each.taps - 1) * each.step
            part = part_of(part, axis, last, each.taps, -each.step)
        window = Window(
            (depth.taps, height.taps, width.taps),
            (1, 1, 1),
            (depth.apart, height.apart, width.apart),
            (depth.begin, height.begin, width.begin),
        )
        if not window.taps:
            window = replace(window, begin=(0, 0, 0))
        job.add(part, window, phase)


class _Taps(NamedTuple):
    """Taps that make the outputs of a phase, along one axis.

    Attributes:
        first, step, taps: which taps.
        apart: distance of the inputs of two neighbouring ones of them.
        begin: how far before input 0 the first input of the first output lies.
    """

    first: int
    step: int
    taps: int
    apart: int
    begin: int


def _phase_taps(window: Window, axis: int, start: int) -> _Taps:
    """Return the taps of the outputs start, start + stride, ... of a transposed convolution.

    Output o gets tap t of input i where o = i * stride - begin + t * dilation.
    """
    stride, dilation = window.stride[axis], window.dilation[axis]
    place = start + window.begin[axis]
    shared = math.gcd(stride, dilation)
    if place % shared:
        return _Taps(0, 1, 0, 1, 0)
    step = stride // shared
    first = next(tap for tap in range(step) if (place - tap * dilation) % stride == 0)
    taps = len(range(first, window.kernel[axis], step))
    earliest = (place - (first + (taps - 1) * step) * dilation) // stride
    return _Taps(first, step, taps, dilation // shared, -earliest)


def _check(
    name: str,
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    bias: Tensor | None,
    outputs: int,
    inputs: int,
) -> None:
    shapes = f"{x.shape} with weight {weight.shape} -> {out.shape}"
    rank = len(x.shape)
    if not (3 <= rank <= 5 and len(weight.shape) == len(out.shape) == rank):
        raise CodegenError(f"{name}: found {shapes}, expected 3 to 5 axes each.")
    fits = x.shape[0] == out.shape[0] and x.shape[1] == inputs and out.shape[1] == outputs
    if not fits or (bias is not None and bias.shape != (outputs,)):
        raise CodegenError(f"{name}: found {shapes}, whose channels do not fit together.")
    found = [each.dtype for each in (x, weight, bias) if each is not None]
    if any(each != np.float32 for each in found):
        raise CodegenError(f"{name}: found {found}, expected float32. Convert first.")


@dataclass(frozen=True)
class _Phase:
    """Every `step`-th output from `start` on, for depth, height and width."""

    start: tuple[int, int, int] = (0, 0, 0)
    step: tuple[int, int, int] = (1, 1, 1)

    def of(self, image: Tensor) -> Tensor:
        """Return those pixels of an image."""
        for axis, (start, step) in enumerate(zip(self.start, self.step, strict=True), 1):
            count = max(0, -(-(image.shape[axis] - start) // step))
            image = part_of(image, axis, start, count, step)
        return image


class _Job:
    """Convolutions of one image into one output, and the copies around them."""

    def __init__(
        self,
        x: Tensor,
        out: Tensor,
        bias: Tensor | None,
        epilogue: Epilogue | None,
        target: Target,
        low: bool,
    ) -> None:
        self.target, self.low = target, low
        self.before: list[Call] = []
        self.after: list[Call] = []
        self.convolutions: list[Call] = []
        self.x = channels_last(images(x))
        self.bias = None
        if bias is not None:
            self.bias = self._neighbouring(bias)
        goal = channels_last(images(out))
        if goal.strides[-1] != 1:
            room = Buffer(goal.size * goal.dtype.itemsize, name="conv")
            made = contiguous(room, goal.shape, goal.dtype)
            self.after = relayout.lower(made, goal, target)
            goal = made
        self.out = goal
        if epilogue is not None:
            operands = [
                self._neighbouring(images(each.broadcast(out.shape)), repeated=True)
                for each in epilogue.operands
            ]
            epilogue = replace(epilogue, operands=tuple(operands))
        self.ending, self.operands = image_ending(epilogue, goal)
        if self.ending.dtype != out.dtype:
            raise CodegenError(
                f"conv: the results are {self.ending.dtype}, the output is {out.dtype}, expected "
                "equal types. Add a cast to the epilogue."
            )

    def _neighbouring(self, tensor: Tensor, *, repeated: bool = False) -> Tensor:
        """Return a tensor whose last axis are neighbours, copied if need be.

        Args:
            repeated: a single element for the whole axis is good, too.
        """
        made, calls = relayout.neighbouring(tensor, self.target, repeated=repeated)
        self.before += calls
        return made

    def add(self, weight: Tensor, window: Window, phase: _Phase) -> None:
        """Add a convolution that makes some of the outputs."""
        out = phase.of(self.out)
        if not out.size:
            return
        problem = Convolution(
            self.x,
            weight,
            out,
            self.bias,
            window,
            self.target,
            self.ending,
            tuple(phase.of(each) for each in self.operands),
            self.low,
        )
        planes = self.x.strides[-1] != 1
        if planes and not conv_rows.reads_planes(self.x, problem.groups):
            self.x = self._neighbouring(self.x)
            problem = replace(problem, x=self.x)
        self.convolutions += _chosen(problem)

    def calls(self) -> list[Call]:
        """Return all calls in order."""
        return [*self.before, *self.convolutions, *self.after]


def _chosen(problem: Convolution) -> list[Call]:
    """Return the calls of the kernel that suits a convolution."""
    if problem.x.strides[-1] == 1:
        if depthwise.suits(problem):
            return depthwise.lower(problem)
        if conv_dots.suits(problem):
            return conv_dots.lower(problem)
        if _is_product(problem):
            return _product(problem)
        if winograd.fits(problem) and (size := winograd.best_size(problem)):
            return winograd.lower(problem, size)
    return conv_rows.lower(problem)


def _is_product(problem: Convolution) -> bool:
    """True for a convolution that is a matrix product of all pixels."""
    window = problem.window
    return (
        problem.groups == 1
        and window.taps == 1
        and window.stride == (1, 1, 1)
        and window.begin == (0, 0, 0)
        and problem.x.shape[1:4] == problem.out.shape[1:4]
    )


def _product(problem: Convolution) -> list[Call]:
    """Return the calls of a matrix product: pixels times channels."""
    weight = problem.weight
    matrix = replace(weight, shape=weight.shape[2:0:-1], strides=weight.strides[2:0:-1])
    epilogue = None
    if problem.ending.program is not None:
        epilogue = Epilogue(problem.ending.program, problem.operands)
    calls = gemm.lower(
        problem.x,
        matrix,
        problem.out,
        problem.target,
        bias=problem.bias,
        epilogue=epilogue,
        low=problem.low,
    )
    label = problem.call(calls[-1].kernel, (), 1, "product").label
    return [replace(each, label=label) if each.work else each for each in calls]
