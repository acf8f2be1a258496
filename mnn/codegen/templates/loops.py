"""Fused loops: programs over elements and rows of tensors with any strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from mnn.codegen.kernel import Call, Tensor
from mnn.codegen.program import Program, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates.access import ONE, SIDE, stride_class, vector_lanes
from mnn.codegen.templates.columns import ColumnKernel
from mnn.codegen.templates.gather import lower_gather, lower_gather_elements
from mnn.codegen.templates.reduction import neutral
from mnn.codegen.templates.rows import RowKernel, block_size
from mnn.codegen.templates.scan import lower_scan
from mnn.codegen.templates.schedule import check_program, closure, program_cost, used_dtypes
from mnn.codegen.templates.space import Operand, Space, canonical
from mnn.codegen.templates.tiling import lower_tiles
from mnn.codegen.templates.walk import IN_SCRATCH, WalkKernel, arguments, reads_elements_again
from mnn.errors import CodegenError

__all__ = ["lower", "lower_gather", "lower_gather_elements", "lower_scan"]

_CHUNK = 16384
"""Elements of cheap work that are worth handing to another thread."""
_SCRATCH_LIMIT = 1 << 18
"""Most bytes of a row that are saved between passes; longer rows are computed again."""


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
        program: dtypes bool, integers, float32, float64.
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
    check_program(program, [each.dtype.name for each in inputs])
    shape = _space_shape(inputs, outputs, reduced)
    rows = [_is_row(each, shape, reduced, number) for number, each in enumerate(outputs)]
    if math.prod(shape[: len(shape) - reduced]) == 0 or not outputs:
        return []
    if math.prod(shape) == 0:
        return _lower_empty(program, inputs, outputs, rows, target, reduced, label)
    if not reduced:
        if program.reduces:
            raise CodegenError("loops: the program has reductions, expected reduced >= 1 axes.")
        return _lower_elements(program, inputs, outputs, shape, target, label)
    return _lower_rows(program, inputs, outputs, rows, shape, target, reduced, label)


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


def _lower_empty(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    rows: Sequence[bool],
    target: Target,
    reduced: int,
    label: str,
) -> list[Call]:
    """Return the calls for rows without elements: reductions are constants."""
    first = len(program.inputs)
    steps = []
    for step in program.steps:
        if step.reduction in ("max", "min", "argmax", "argmin"):
            raise CodegenError(f"reduce.{step.reduction} of an empty row, expected elements.")
        if step.reduction:
            number = neutral(step.reduction, np.dtype(step.result))
            step = constant_step(number, step.result)
        steps.append(step)
    wanted = [each for each, row in zip(program.outputs, rows, strict=True) if row]
    rest = Program(program.inputs, tuple(steps), tuple(wanted))
    found, _ = closure(rest, wanted, lambda value: False)
    if any(value < first and not _constant_along(inputs[value], reduced) for value in found):
        raise CodegenError("loops: row values of an empty row depend on its elements.")
    places = {value: n for n, value in enumerate(v for v in found if v < first)}
    used = [inputs[value] for value in places]
    for value in found:
        if value >= first:
            places[value] = len(places)
    short = Program(
        tuple(each.dtype.name for each in used),
        tuple(
            replace(
                rest.steps[value - first],
                arguments=tuple(places[each] for each in rest.steps[value - first].arguments),
            )
            for value in found
            if value >= first
        ),
        tuple(places[each] for each in wanted),
    )
    kept = [
        replace(each, shape=each.shape[:-reduced], strides=each.strides[:-reduced]) for each in used
    ]
    stored = [each for each, row in zip(outputs, rows, strict=True) if row]
    return lower(short, kept, stored, target, label=label)


def _constant_along(tensor: Tensor, reduced: int) -> bool:
    return not any(tensor.strides[len(tensor.shape) - reduced :])


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
    length = space.reduced[0]
    parts = -(-length // block_size(program, target))
    kernel = RowKernel(cut=True, **_description(program, space, inner=True))
    return [_call(kernel, space, target, label, parts=parts)]


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


def _description(program: Program, space: Space, *, inner: bool) -> dict[str, Any]:
    """Return what kernels have in common; `inner` puts lanes along the last reduced axis."""

    def kind(operand: Operand) -> str:
        return stride_class((operand.reduced if inner else operand.kept)[-1])

    return {
        "program": program,
        "inputs": tuple(ONE if each.row and inner else kind(each) for each in space.inputs),
        "outputs": tuple(ONE if each.row and inner else kind(each) for each in space.outputs),
        "rows": tuple(each.row for each in (*space.inputs, *space.outputs)),
        "kept": len(space.kept),
        "reduced": len(space.reduced),
        "wide": space.length >= 1 << 31,
    }


# --- rows ----------------------------------------------------------------------------------------


def _lower_rows(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    rows: Sequence[bool],
    shape: tuple[int, ...],
    target: Target,
    reduced: int,
    label: str,
) -> list[Call]:
    ordered = any(each.reduction.startswith("arg") for each in program.steps)
    space = canonical(inputs, outputs, rows, shape, reduced, ordered=ordered)
    if not space.reduced:
        space = _with_single(space, rows)
    pairs = zip(space.outputs, rows, strict=True)
    space = replace(space, outputs=tuple(replace(each, row=row) for each, row in pairs))
    if _prefers_columns(program, space, target):
        return [_lower_columns(program, space, target, label)]
    description = _description(program, space, inner=True)
    kernel = _with_places(RowKernel(**description), space, 1)
    return [_call(kernel, space, target, label)]


def _with_single(space: Space, rows: Sequence[bool]) -> Space:
    """Return a space without reduced axes with one of size 1."""
    return replace(
        space,
        reduced=(1,),
        inputs=tuple(replace(each, reduced=(0,), row=True) for each in space.inputs),
        outputs=tuple(
            replace(each, reduced=(0 if row else 1,))
            for each, row in zip(space.outputs, rows, strict=True)
        ),
        weights=(1,),
    )


def _prefers_columns(program: Program, space: Space, target: Target) -> bool:
    """True when lanes should lie along the last kept axis."""
    if not space.kept:
        return False
    lanes = vector_lanes(target, used_dtypes(program))
    if space.length <= 2 * lanes and space.kept[-1] >= lanes:
        return True
    operands = [each for each in (*space.outputs, *space.inputs) if not each.row]
    along_row = sum(each.itemsize for each in operands if abs(each.reduced[-1]) <= 1)
    along_kept = sum(each.itemsize for each in operands if abs(each.kept[-1]) <= 1)
    if along_kept == along_row:
        return space.kept[-1] > 4 * space.reduced[-1]
    return along_kept > along_row


def _lower_columns(program: Program, space: Space, target: Target, label: str) -> Call:
    lanes = vector_lanes(target, used_dtypes(program))
    units = max(1, min(4, space.kept[-1] // lanes))
    units = 1 if units == 3 else units
    if program_cost(program) > 64:
        units = 1
    kernel = ColumnKernel(units=units, **_description(program, space, inner=False))
    kernel = _with_places(kernel, space, units * lanes)
    parts = -(-space.kept[-1] // (units * lanes))
    return _call(kernel, space, target, label, parts=parts, width=units * lanes)


# --- calls ---------------------------------------------------------------------------------------

_Kernel = TypeVar("_Kernel", bound=WalkKernel)


def _with_places(kernel: _Kernel, space: Space, width: int) -> _Kernel:
    """Return the kernel with places for values that are worth keeping between passes.

    They stay in outputs of their dtype as long as no input is read later: an output may be the
    memory of an input. The others stay in scratch, where `width` rows are worked on at once.
    """
    saving = replace(kernel, places=())
    schedule, program = saving.schedule, kernel.program
    again = reads_elements_again(program, schedule)
    free = [
        number
        for number, kind in enumerate(kernel.outputs)
        if kind == SIDE and not kernel.rows[len(kernel.inputs) + number] and not again
    ]
    places, scratch = [], 0
    for value in schedule.saves:
        dtype = program.dtype(value)
        fitting = [each for each in free if program.dtype(program.outputs[each]) == dtype]
        places.append(fitting[0] if fitting else IN_SCRATCH)
        free = [each for each in free if each != places[-1]]
        if not fitting:
            scratch += space.length * width * np.dtype(dtype).itemsize
    return replace(kernel, places=tuple(places)) if places and scratch <= _SCRATCH_LIMIT else kernel


def _call(
    kernel: WalkKernel,
    space: Space,
    target: Target,
    label: str,
    *,
    parts: int = 1,
    width: int = 1,
) -> Call:
    """Return the call of a kernel on a space; `width` rows are worked on at once."""
    starts, scratch = [], 0
    if kernel.places:
        for value, place in zip(kernel.schedule.saves, kernel.places, strict=True):
            starts.append(scratch)
            if place == IN_SCRATCH:
                size = space.length * width * np.dtype(kernel.program.dtype(value)).itemsize
                scratch += -(-size // 64) * 64
    elements = space.rows * space.length
    items = space.rows * parts
    if isinstance(kernel, ColumnKernel):
        items //= space.kept[-1]
    each = max(1, elements // items) * max(1, program_cost(kernel.program) // 8)
    return Call(
        kernel,
        arguments(kernel, space, parts, starts),
        items,
        grain=max(1, -(-_CHUNK // each)),
        scratch=scratch,
        work=elements * len(kernel.program.steps),
        traffic=_traffic(space),
        label=label or "loop",
    )


def _traffic(space: Space) -> int:
    """Return the bytes that are read and written, broadcast elements once."""
    total = 0
    for operand in (*space.inputs, *space.outputs):
        sizes = (*space.kept, *space.reduced)
        strides = (*operand.kept, *operand.reduced)
        moved = [size for size, stride in zip(sizes, strides, strict=True) if stride]
        total += math.prod(moved) * operand.itemsize
    return total
