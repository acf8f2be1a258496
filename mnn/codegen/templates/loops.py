"""Fused loops: programs over elements and rows of tensors with any strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mnn.codegen.kernel import Call, Slot, Tensor
from mnn.codegen.program import Program, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates.access import ROW, SIDE, stride_class
from mnn.codegen.templates.reduction import neutral
from mnn.codegen.templates.rows import IN_SCRATCH, RowKernel, block_size
from mnn.codegen.templates.schedule import (
    Schedule,
    check_program,
    closure,
    make_schedule,
    program_cost,
)
from mnn.codegen.templates.space import Operand, Space, canonical
from mnn.errors import CodegenError

__all__ = ["lower"]

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
    space = _with_inner(space)
    length = space.reduced[0]
    block = block_size(program, target)
    parts = -(-length // block)
    kernel = RowKernel(
        program,
        tuple(_kind(each) for each in space.inputs),
        tuple(_kind(each) for each in space.outputs),
        len(space.kept),
        1,
        cut=True,
    )
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


def _kind(operand: Operand) -> str:
    """Return how neighbours of an operand lie."""
    return ROW if operand.row else stride_class(operand.reduced[-1])


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
        space = replace(
            space,
            reduced=(1,),
            inputs=tuple(replace(each, reduced=(0,), row=True) for each in space.inputs),
            outputs=tuple(
                replace(each, reduced=(0 if row else 1,), row=row)
                for each, row in zip(space.outputs, rows, strict=True)
            ),
            weights=(1,),
        )
    else:
        pairs = zip(space.outputs, rows, strict=True)
        space = replace(space, outputs=tuple(replace(each, row=row) for each, row in pairs))
    inner = tuple(_kind(each) for each in space.inputs)
    outer = tuple(_kind(each) for each in space.outputs)
    save = space.length * 8 <= _SCRATCH_LIMIT
    schedule = make_schedule(
        program, [each == ROW for each in inner], [each != ROW for each in outer], save=save
    )
    places = _places(program, schedule, inner, outer) if save else None
    kernel = RowKernel(
        program,
        inner,
        outer,
        len(space.kept),
        len(space.reduced),
        places=places or None,
        wide=space.length >= 1 << 31,
    )
    return [_call(kernel, space, target, label)]


def _places(
    program: Program, schedule: Schedule, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[int, ...]:
    """Return where saved values stay: in outputs of their dtype, as long as no input is read.

    An output may be the memory of an input, so nothing is stored there before the last use of
    any input's elements.
    """
    free = [
        number
        for number, kind in enumerate(outputs)
        if kind == SIDE and not _reads_later(program, schedule, inputs)
    ]
    places = []
    for value in schedule.saves:
        fitting = [
            each for each in free if program.dtype(program.outputs[each]) == program.dtype(value)
        ]
        places.append(fitting[0] if fitting else IN_SCRATCH)
        free = [each for each in free if each != places[-1]]
    return tuple(places)


def _reads_later(program: Program, schedule: Schedule, inputs: Sequence[str]) -> bool:
    """True when a pass after the first save reads elements of inputs."""
    first = min((schedule.depth[each] for each in schedule.saves), default=0)
    for number in range(first + 1, schedule.passes):
        wanted = [
            each
            for value in schedule.reductions[number]
            for each in program.steps[value - len(program.inputs)].arguments
        ]
        if number == schedule.passes - 1:
            wanted += program.outputs
        old = {each for each in schedule.saves if schedule.depth[each] < number}
        found, _ = closure(program, wanted, lambda value, old=old: value in old)  # type: ignore[misc]
        if any(each < len(inputs) and inputs[each] != ROW for each in found):
            return True
    return False


# --- calls ---------------------------------------------------------------------------------------


def _call(kernel: RowKernel, space: Space, target: Target, label: str, *, parts: int = 1) -> Call:
    """Return the call of a kernel on a space."""
    values: dict[str, Slot] = {"parts": parts}
    for name, operands in (("x", space.inputs), ("y", space.outputs)):
        for number, operand in enumerate(operands):
            values[f"{name}{number}"] = operand.pointer
            for axis, stride in enumerate(operand.kept):
                values[f"{name}{number}k{axis}"] = stride * operand.itemsize
            for axis, stride in enumerate(operand.reduced):
                values[f"{name}{number}r{axis}"] = stride * operand.itemsize
    for axis, size in enumerate(space.kept):
        values[f"k{axis}"] = size
    for axis, size in enumerate(space.reduced):
        values[f"r{axis}"] = size
        values[f"w{axis}"] = space.weights[axis]
    scratch = 0
    if kernel.places:
        for number, value in enumerate(kernel.schedule.saves):
            values[f"s{number}"] = scratch
            if kernel.places[number] == IN_SCRATCH:
                size = space.length * np.dtype(kernel.program.dtype(value)).itemsize
                scratch += -(-size // 64) * 64
    items = space.rows * parts
    elements = space.rows * space.length
    work = program_cost(kernel.program)
    each = max(1, elements // items) * max(1, work // 8)
    return Call(
        kernel,
        tuple(values[each.lstrip("*#")] for each in kernel.fields().split()),
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
