"""Fused loops: programs over elements and rows of tensors with any strides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnn.codegen.kernel import Call, Tensor
from mnn.codegen.program import Program, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates.gather import lower_gather, lower_gather_elements
from mnn.codegen.templates.reducing import (
    call_of,
    check_rows,
    description,
    lower_rows,
    row_space,
    straight,
)
from mnn.codegen.templates.reduction import neutral
from mnn.codegen.templates.rows import RowKernel, block_size
from mnn.codegen.templates.scan import lower_scan
from mnn.codegen.templates.schedule import check_program, closure, computable
from mnn.codegen.templates.space import Operand, Space, canonical
from mnn.codegen.templates.splitting import subprogram
from mnn.codegen.templates.tiling import lower_tiles
from mnn.errors import CodegenError
from mnn.records import replace

__all__ = ["lower", "lower_gather", "lower_gather_elements", "lower_scan"]


def lower(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    target: Target,
    *,
    reduced: int = 0,
    label: str = "",
) -> list[Call]:
    """Return the calls that run a program over an index space.

    Args:
        program: dtypes bool, integers, float32, float64; float16 for inputs that are cast and
            results of casts that are stored. Without any step elements are of any dtype of 1, 2, 4
            or 8 bytes.
        inputs: views of one shape, the index space; strides are arbitrary, 0 broadcasts.
        outputs: one for each output of the program: element values have the shape of the index
            space, row values that without its last `reduced` axes. An output may be the memory of
            an input with the same strides; otherwise outputs overlap nothing.
        target: machine to run on.
        reduced: number of axes, the last ones, that the program's reductions run over.
        label: for profiles.

    Returns:
        Calls to be run in order; none when there is nothing to store.

    Raises:
        CodegenError: dtypes that kernels do not have, a maximum of nothing, shapes that differ.
    """
    dtypes = [[each.dtype.name for each in tensors] for tensors in (inputs, outputs)]
    check_program(program, *dtypes)
    if program.steps:
        program = computable(program)
    else:
        program, inputs, outputs = _as_bits(program, inputs, outputs)
    return _lower(program, inputs, outputs, target, reduced, label)


def _as_bits(
    program: Program, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[Program, list[Tensor], list[Tensor]]:
    """Return a program that only moves elements as one of unsigned integers."""
    for each in inputs:
        if each.dtype.itemsize not in (1, 2, 4, 8):
            raise CodegenError(
                f"loops: cannot move {each.dtype}, expected dtypes of 1, 2, 4 or 8 bytes."
            )

    def bits(tensor: Tensor) -> Tensor:
        return replace(tensor, dtype=np.dtype(f"u{tensor.dtype.itemsize}"))

    sources, results = [bits(each) for each in inputs], [bits(each) for each in outputs]
    return replace(program, inputs=tuple(each.dtype.name for each in sources)), sources, results


def _lower(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    target: Target,
    reduced: int,
    label: str,
) -> list[Call]:
    """Return the calls; tensors may be float16 where the program has float32."""
    shape = _space_shape(inputs, outputs, reduced)
    rows = [_is_row(each, shape, reduced, number) for number, each in enumerate(outputs)]
    if math.prod(shape[: len(shape) - reduced]) == 0 or not outputs:
        return []
    if program.reduces and not reduced:
        raise CodegenError("loops: the program has reductions, expected reduced >= 1 axes.")
    if math.prod(shape) == 0:
        program = _of_nothing(program)
        outputs, rows = [each for each, row in zip(outputs, rows, strict=True) if row], [True]
    if not inputs and program.reduces:
        raise CodegenError("loops: reductions without inputs, expected one that shows the shape.")
    # One input has to stay: it shows the shape of the rows.
    program, inputs = _without_unused(program, inputs, least=1)
    if not program.reduces:
        return _lower_plain(program, inputs, outputs, shape, target, reduced, label)
    space = row_space(program, inputs, outputs, rows, shape, reduced)
    check_rows(program, space)

    def again(
        part: Program, sources: Sequence[Tensor], results: Sequence[Tensor], axes: int
    ) -> list[Call]:
        return _lower(part, sources, results, target, axes, label)

    return lower_rows(program, space, target, label, again)


def _space_shape(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor], reduced: int
) -> tuple[int, ...]:
    shapes = {each.shape for each in inputs} or {max((each.shape for each in outputs), key=len)}
    if len(shapes) != 1:
        raise CodegenError(
            f"loops: inputs have shapes {sorted(shapes)}, expected one. Broadcast them first."
        )
    shape = next(iter(shapes))
    if not 0 <= reduced <= len(shape):
        raise CodegenError(f"loops: {reduced} reduced axes of shape {shape}.")
    return shape


def _is_row(tensor: Tensor, shape: tuple[int, ...], reduced: int, number: int) -> bool:
    kept = shape[: len(shape) - reduced]
    if tensor.shape not in (shape, kept):
        raise CodegenError(
            f"loops: output {number} has shape {tensor.shape}, expected {shape} or {kept}."
        )
    return reduced > 0 and len(tensor.shape) < len(shape)


def _of_nothing(program: Program) -> Program:
    """Return a program for rows without elements: reductions are constants."""
    steps = []
    for step in program.steps:
        if step.reduction in ("max", "min", "argmax", "argmin"):
            raise CodegenError(f"reduce.{step.reduction} of an empty row, expected elements.")
        if step.reduction:
            step = constant_step(neutral(step.reduction, np.dtype(step.result)), step.result)
        steps.append(step)
    return replace(program, steps=tuple(steps))


def _without_unused(
    program: Program, inputs: Sequence[Tensor], *, least: int = 0
) -> tuple[Program, list[Tensor]]:
    """Return the program without steps and inputs that no output needs, but for `least` inputs."""
    needed, _ = closure(program, program.outputs, lambda value: False)
    used = [value for value in needed if value < len(inputs)] or list(range(len(inputs)))[:least]
    short, _ = subprogram(program, used, program.outputs)
    return short, [inputs[value] for value in used]


def _lower_plain(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    shape: tuple[int, ...],
    target: Target,
    reduced: int,
    label: str,
) -> list[Call]:
    """Return the calls of a program without reductions: elements, then values for whole rows."""
    calls = []
    short = shape[: len(shape) - reduced]
    for kept in (shape, short) if reduced else (shape,):
        numbers = [number for number, each in enumerate(outputs) if each.shape == kept]
        if not numbers or 0 in kept:
            continue
        wanted = replace(program, outputs=tuple(program.outputs[each] for each in numbers))
        part, sources = _without_unused(wanted, inputs)
        if any(any(each.strides[len(kept) :]) for each in sources):
            raise CodegenError("loops: an output has one value for rows whose elements differ.")
        views = [replace(each, shape=kept, strides=each.strides[: len(kept)]) for each in sources]
        stored = [outputs[each] for each in numbers]
        calls += _lower_elements(part, views, stored, kept, target, label)
    return calls


# --- elements ------------------------------------------------------------------------------------


def _lower_elements(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    shape: tuple[int, ...],
    target: Target,
    label: str,
) -> list[Call]:
    space = canonical(inputs, outputs, [False] * len(outputs), shape, 0)
    tiled = lower_tiles(program, space, target, label)
    if tiled is not None:
        return [tiled]
    space = _with_inner(space)
    kernel = RowKernel(cut=True, **description(program, space, inner=True))
    if straight(program, space, target):
        return [call_of(replace(kernel, cut=False, length=space.length), space, label)]
    return [call_of(kernel, space, label, part=block_size(program, target))]


def _with_inner(space: Space) -> Space:
    """Return the space with its last kept axis as the reduced one, or with one of size 1."""
    if not space.kept:
        return replace(
            space,
            reduced=(1,),
            inputs=tuple(replace(each, reduced=(0,)) for each in space.inputs),
            outputs=tuple(replace(each, reduced=(1,), row=False) for each in space.outputs),
            weights=(1,),
        )

    def moved(operand: Operand, output: bool) -> Operand:
        stride = operand.kept[-1]
        return replace(
            operand,
            kept=operand.kept[:-1],
            reduced=(stride,),
            row=stride == 0 and not output,
        )

    return Space(
        space.kept[:-1],
        space.kept[-1:],
        tuple(moved(each, False) for each in space.inputs),
        tuple(moved(each, True) for each in space.outputs),
        (1,),
    )
