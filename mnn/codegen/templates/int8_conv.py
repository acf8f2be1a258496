"""Convolutions and matrix products of int8 codes: exact sums, then scales, bias and a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.kernel import Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates import int8_blocks, int8_depthwise, int8_rows, relayout
from mnn.codegen.templates.int8_ending import folded, lifted, only_codes
from mnn.codegen.templates.int8_problem import Int8Problem
from mnn.codegen.templates.window import (
    channels_last,
    image_ending,
    images,
    triple,
    window_of,
)
from mnn.errors import CodegenError
from mnn.records import replace

__all__ = ["lower", "suits"]

Array = np.ndarray[Any, Any]


def suits(target: Target, groups: int, outputs: int, inputs: int) -> bool:
    """True when int8 kernels are faster than float32 ones: no group is narrower than a vector.

    Args:
        outputs, inputs: channels of a group.
    """
    return groups == 1 or outputs >= target.lanes or (outputs == inputs == 1 and groups >= 4)


def lower(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    target: Target,
    *,
    scale: Tensor,
    bias: Tensor,
    zero: int,
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int,
    epilogue: Epilogue | None = None,
) -> list[Call]:
    """Return calls that store `epilogue(sum((x - zero) * weight) * scale + bias)` in `out`.

    Sums are exact. What follows is computed in float32 as NumPy does, each step rounded; but steps
    up to the first codes of the epilogue are folded into scale and bias (see `int8_ending`).

    Args:
        x: int8 codes (samples, channels, 1 to 3 spatial axes); strides are arbitrary, neighbouring
            channels are fastest. Outside of the image it is `zero`.
        weight: constant int8 (channels of out, channels of x / groups, kernel...).
        out: (samples, channels, ...); float32, or what the epilogue's program makes. It must not
            overlap any operand.
        scale, bias: constants, float32 or float64, one for each channel of `out`.
        stride, dilation, pads, groups: as for `conv.lower`.
        epilogue: its operands broadcast to the shape of `out`.

    Raises:
        CodegenError: shapes, dtypes or the length of sums do not fit.
    """
    _check(x, weight, out, scale, bias, groups)
    if not out.size:
        return []
    before: list[Call] = []

    def neighbouring(tensor: Tensor, *, repeated: bool = False) -> Tensor:
        made, calls = relayout.neighbouring(tensor, target, repeated=repeated)
        before.extend(calls)
        return made

    after: list[Call] = []
    goal = channels_last(images(out))
    if goal.strides[-1] != 1:
        room = Buffer(goal.size * goal.dtype.itemsize, name="conv")
        made = contiguous(room, goal.shape, goal.dtype)
        after = relayout.lower(made, goal, target)
        goal = made
    if epilogue is not None:
        operands = [
            neighbouring(images(each.broadcast(out.shape)), repeated=True)
            for each in epilogue.operands
        ]
        epilogue = replace(epilogue, operands=tuple(operands))
    left = folded(scale.array().astype(np.float64), bias.array().astype(np.float64), epilogue)
    rest = None if left.epilogue is None else lifted(left.epilogue)
    ending, found = image_ending(rest, goal)
    if ending.dtype != out.dtype:
        raise CodegenError(
            f"int8 conv: the results are {ending.dtype}, the output is {out.dtype}, expected equal "
            "types. Add a cast to the epilogue."
        )
    count, inputs = weight.shape[0] // groups, weight.shape[1]
    image = channels_last(images(x))
    if not int8_rows.reads_planes(image, groups):
        image = neighbouring(image)
    first, second, *steps = weight.strides
    problem = Int8Problem(
        x=image,
        weight=replace(
            weight,
            shape=(groups, count, inputs, *triple(weight.shape[2:], 1)),
            strides=(first * count, first, second, *triple(steps, 0)),
        ),
        out=goal,
        bias=_constant(left.bias),
        window=window_of(weight.shape[2:], stride, dilation, pads),
        target=target,
        ending=ending,
        operands=found,
        zero=zero,
        scale=_constant(left.scale),
        limits=only_codes(left.epilogue),
    )
    return [*before, *_chosen(problem), *after]


def _chosen(problem: Int8Problem) -> list[Call]:
    """Return the calls of the kernel that suits a convolution."""
    if int8_blocks.suits(problem):
        return int8_blocks.lower(problem)
    if int8_depthwise.suits(problem):
        return int8_depthwise.lower(problem)
    return int8_rows.lower(_flat(problem))


def _constant(array: Array) -> Tensor:
    return contiguous(Buffer.constant(array), array.shape, array.dtype)


def _check(
    x: Tensor, weight: Tensor, out: Tensor, scale: Tensor, bias: Tensor, groups: int
) -> None:
    shapes = f"{x.shape} with weight {weight.shape} -> {out.shape}"
    rank = len(x.shape)
    if not (3 <= rank <= 5 and len(weight.shape) == len(out.shape) == rank):
        raise CodegenError(f"int8 conv: found {shapes}, expected 3 to 5 axes each.")
    channels = (weight.shape[0],)
    fits = x.shape[0] == out.shape[0] and out.shape[1] == weight.shape[0]
    fits = fits and x.shape[1] == weight.shape[1] * groups and weight.size > 0
    if not fits or scale.shape != channels or bias.shape != channels:
        raise CodegenError(f"int8 conv: found {shapes}, whose channels do not fit together.")
    found = [str(each.dtype) for each in (x, weight, scale, bias)]
    if found[:2] != ["int8", "int8"] or {*found[2:]} - {"float32", "float64"}:
        raise CodegenError(f"int8 conv: found {found}, expected codes and floating-point numbers.")
    if not all(each.is_constant for each in (weight, scale, bias)):
        raise CodegenError("int8 conv: weight, scale and bias must be constants.")


def _flat(problem: Int8Problem) -> Int8Problem:
    """Return a convolution of single pixels with all of a sample's in one row, where that can be.

    Rows of a register tile then need not end where those of the image do.
    """
    window = problem.window
    single = window.taps == 1 and window.stride == (1, 1, 1) and window.begin == (0, 0, 0)
    if not single or problem.x.shape[1:4] != problem.out.shape[1:4]:
        return problem
    tensors = [_row(each) for each in (problem.x, problem.out, *problem.operands)]
    if any(each is None for each in tensors):
        return problem
    x, out, *operands = (each for each in tensors if each is not None)
    return replace(problem, x=x, out=out, operands=tuple(operands))


def _row(image: Tensor) -> Tensor | None:
    """Return an image as one row of pixels, None when they do not lie at equal distances."""
    lengths, strides = image.shape[1:4], image.strides[1:4]
    step = next((s for n, s in zip(lengths[::-1], strides[::-1], strict=True) if n > 1), 0)
    expected = step
    for length, stride in zip(lengths[::-1], strides[::-1], strict=True):
        if length > 1 and stride != expected:
            return None
        expected *= length
    shape = (image.shape[0], 1, 1, math.prod(lengths), image.shape[-1])
    return replace(image, shape=shape, strides=(image.strides[0], 0, 0, step, image.strides[-1]))
