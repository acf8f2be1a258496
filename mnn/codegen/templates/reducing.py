"""Choice of a kernel for programs over rows: lanes along rows or columns, memory or registers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from mnn.codegen.kernel import Buffer, Call, Tensor, contiguous
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    ONE,
    SIDE,
    layout,
    stride_class,
    vector_lanes,
)
from mnn.codegen.templates.columns import ColumnKernel
from mnn.codegen.templates.rows import RowKernel
from mnn.codegen.templates.schedule import cost, make_schedule, program_cost, used_dtypes
from mnn.codegen.templates.space import Operand, Space, canonical, tensors_of
from mnn.codegen.templates.splitting import Cut, Lower, lower_cut
from mnn.codegen.templates.walk import IN_SCRATCH, WalkKernel, arguments, reads_elements_again
from mnn.errors import CodegenError
from mnn.records import replace

__all__ = ["call_of", "check_rows", "description", "lower_rows", "row_space", "straight"]

_CHUNK = 16384
"""Elements of cheap work that are worth handing to another thread."""
_SCRATCH_LIMIT = 1 << 18
"""Most bytes of rows that are saved between passes; longer ones are computed again."""
_FEW = 8
"""Items that a call should have at least, when it has enough to do."""
_CHUNK_OF_PASSES = 4
"""Rows per pass that are worth handing to another thread, where passes are staggered."""
_LONG = 16
"""Instructions of a step that keeps the processor busy."""
_STAYING = 12 << 20
"""Bytes of operands that the last cache is likely to have."""
_STRAIGHT = 768
"""Most instructions of a kernel that holds whole rows in registers."""


def row_space(
    program: Program,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    rows: Sequence[bool],
    shape: Sequence[int],
    reduced: int,
) -> Space:
    """Return the space of a program with reductions; it has at least one reduced axis."""
    ordered = any(each.reduction.startswith("arg") for each in program.steps)
    space = canonical(inputs, outputs, rows, shape, reduced, ordered=ordered)
    if not space.reduced:
        space = _with_single(space, rows)
    pairs = zip(space.outputs, rows, strict=True)
    return replace(space, outputs=tuple(replace(each, row=row) for each, row in pairs))


def straight(program: Program, space: Space, target: Target) -> bool:
    """True when a kernel made for the length of rows pays, with a row in registers."""
    lanes = vector_lanes(target, used_dtypes(program))
    vectors = space.length // lanes + (1 if target.masks else space.length % lanes)
    return (
        len(space.reduced) == 1
        and space.rows > 1
        and vectors <= 16
        and vectors * program_cost(program) <= _STRAIGHT
        and space.rows * space.length >= _CHUNK
    )


def check_rows(program: Program, space: Space) -> None:
    """Raise CodegenError when an output is to hold one value for a row that has many."""
    inputs = [each.row for each in space.inputs]
    outputs = [not each.row for each in space.outputs]
    schedule = make_schedule(program, inputs, outputs, save=False)
    for number, (value, full) in enumerate(zip(program.outputs, outputs, strict=True)):
        if not full and not schedule.rows[value]:
            raise CodegenError(
                f"loops: output {number} has one value for rows whose elements differ."
            )


def lower_rows(
    program: Program, space: Space, target: Target, label: str, lower: Lower
) -> list[Call]:
    """Return the calls of a program with reductions; `lower` is for parts of it."""
    columns = _prefers_columns(program, space, target)
    cut = _cut(program, space, target, columns)
    if cut is not None:
        return lower_cut(program, space, tensors_of(space), cut, lower)
    if not columns or space.length * program_cost(program) > _STRAIGHT:
        before, space, after = _laid_out(space, columns, lower)
        if before or after:
            return [*before, *lower_rows(program, space, target, label, lower), *after]
    if columns:
        return [_lower_columns(program, space, target, label)]
    args = any(each.reduction.startswith("arg") for each in program.steps)
    common = description(program, space, inner=True)
    kernel = RowKernel(**common, waits=args and space.length >= 4096)
    if straight(program, space, target):
        return [call_of(replace(kernel, length=space.length), space, label)]
    kernel = _with_places(kernel, space, 1)
    return [call_of(replace(kernel, staggered=_staggers(kernel, space)), space, label)]


def _staggers(kernel: RowKernel, space: Space) -> bool:
    """True when passes run side by side on neighbouring rows.

    That pays where a pass computes for long; others wait for memory, and wait no less with more
    streams. Where values are saved, rows are written twice; then a memory that is too slow for the
    loop is slower still, so everything should stay in a cache. The nearest caches have to hold a
    few rows of every operand. Each call of the kernel does as many turns more as there are passes
    but one.
    """
    schedule, program = kernel.schedule, kernel.program
    passes = schedule.passes
    steps = zip(program.steps, schedule.rows[len(program.inputs) :], strict=True)
    operands = [each for each in (*space.inputs, *space.outputs) if not each.row]
    size = space.length * sum(each.itemsize for each in operands)
    return (
        passes > 1
        and any(cost(step) >= _LONG and not row for step, row in steps)
        and len(space.reduced) == 1
        and IN_SCRATCH not in (kernel.places or ())
        and space.rows >= _FEW * _CHUNK_OF_PASSES * passes
        and size * passes <= _SCRATCH_LIMIT
        and (not kernel.places or _traffic(space) <= _STAYING)
    )


def _laid_out(space: Space, columns: bool, lower: Lower) -> tuple[list[Call], Space, list[Call]]:
    """Return copies, the space with operands laid out for the lanes, and copies to outputs.

    Turning a tensor once, tile by tile, costs less than collecting every vector in every pass.
    """
    before: list[Call] = []
    after: list[Call] = []
    lanes_axis = len(space.kept) - 1 if columns else len(space.kept) + len(space.reduced) - 1

    def scattered(operand: Operand) -> bool:
        steps = [abs(each) for each in (*operand.kept, *operand.reduced)]
        return not operand.row and steps[lanes_axis] > 1 and 1 in steps

    def copied(operand: Operand, number: int, output: bool) -> Operand:
        if not scattered(operand) or space.rows * space.length < 4096:
            return operand
        shape = (*space.kept, *space.reduced)
        order = [each for each in range(len(shape)) if each != lanes_axis] + [lanes_axis]
        dtype = np.dtype(operand.dtype)
        moved = [n for n, step in enumerate((*operand.kept, *operand.reduced)) if step]
        sizes = [size if n in moved else 1 for n, size in enumerate(shape)]
        buffer = Buffer(math.prod(sizes) * dtype.itemsize, name="turned")
        temporary = contiguous(buffer, sizes, dtype, order).broadcast(shape)
        original = tensors_of(space)[1 if output else 0][number]
        narrow = [replace(each, shape=tuple(sizes)) for each in (original, temporary)]
        copy = Program((operand.dtype,), (), (0,))
        if output:
            after.extend(lower(copy, [narrow[1]], [narrow[0]], 0))
        else:
            before.extend(lower(copy, [narrow[0]], [narrow[1]], 0))
        kept = len(space.kept)
        return replace(
            operand,
            pointer=temporary.pointer,
            kept=temporary.strides[:kept],
            reduced=temporary.strides[kept:],
        )

    inputs = tuple(copied(each, n, False) for n, each in enumerate(space.inputs))
    outputs = tuple(copied(each, n, True) for n, each in enumerate(space.outputs))
    return before, replace(space, inputs=inputs, outputs=outputs), after


def _cut(program: Program, space: Space, target: Target, columns: bool) -> Cut | None:
    """Return how rows should be cut: when they are few and long, or many narrow columns deep."""
    lanes = vector_lanes(target, used_dtypes(program))
    args = any(each.reduction.startswith("arg") for each in program.steps)
    if any(each.reduction and len(each.arguments) > 1 for each in program.steps):
        return None  # These combine the results of pieces.
    axis = 0 if args else max(range(len(space.reduced)), key=space.reduced.__getitem__)
    size, elements = space.reduced[axis], space.rows * space.length
    if columns and not args:
        width = space.kept[-1]
        count = -(-4 * lanes // width) * 4
        neighbours = any(
            each.kept[-1] == 1 and each.reduced[axis] == width for each in space.inputs
        )
        if neighbours and width < 2 * lanes and width % lanes and size >= 32 * count:
            return Cut(axis, count, dealt=True, columns=True)
    items = space.rows
    if columns:
        items = space.rows // space.kept[-1] * -(-space.kept[-1] // (4 * lanes))
    if items >= _FEW or elements < _FEW * _CHUNK or size < 2 * _FEW:
        return None
    pieces = min(64, elements // (items * _CHUNK), size // 2)
    each = -(-size // pieces)
    each = -(-each // 64) * 64 if each > 64 else each
    return Cut(axis, size // each, columns=columns) if size // each > 1 else None


def description(program: Program, space: Space, *, inner: bool) -> dict[str, Any]:
    """Return what kernels have in common; `inner` puts lanes along the last reduced axis."""

    def kind(operand: Operand) -> str:
        return stride_class((operand.reduced if inner else operand.kept)[-1])

    return {
        "program": program,
        "memory": tuple(each.dtype for each in (*space.inputs, *space.outputs)),
        "inputs": tuple(ONE if each.row and inner else kind(each) for each in space.inputs),
        "outputs": tuple(ONE if each.row and inner else kind(each) for each in space.outputs),
        "rows": tuple(each.row for each in (*space.inputs, *space.outputs)),
        "kept": len(space.kept),
        "reduced": len(space.reduced),
        "wide": space.length >= 1 << 31,
    }


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
    common = description(program, space, inner=False)
    cost = program_cost(program)
    if len(space.reduced) == 1 and space.length * cost <= _STRAIGHT:
        kinds = [_across(each, space.length, lanes) for each in (*space.inputs, *space.outputs)]
        count = len(space.inputs)
        common |= {"inputs": tuple(kinds[:count]), "outputs": tuple(kinds[count:])}
        kernel = ColumnKernel(**common, length=space.length)
        return call_of(kernel, space, label, width=lanes)
    units = max(1, min(4, space.kept[-1] // lanes)) if cost <= 64 else 1
    units = 2 if units == 3 else units
    kernel = ColumnKernel(**common, units=units, copies=_far_apart(space))
    return call_of(_with_places(kernel, space, units * lanes), space, label, width=units * lanes)


def _across(operand: Operand, length: int, lanes: int) -> str:
    """Return how an operand lies for rows in registers, which are turned if need be."""
    kind = stride_class(operand.kept[-1])
    if operand.row or not 1 < length <= lanes or operand.reduced[-1] != 1:
        return kind
    return layout(1, operand.kept[-1], length) if operand.kept[-1] > 0 else kind


def _far_apart(space: Space) -> bool:
    """True when elements of a column compete for few places of the cache."""
    operands = [each for each in (*space.inputs, *space.outputs) if not each.row]
    steps = [abs(each.reduced[-1] * each.itemsize) for each in operands]
    return space.reduced[-1] > 8 and any(step and step % 2048 == 0 for step in steps)


# --- calls ---------------------------------------------------------------------------------------

_Kernel = TypeVar("_Kernel", bound=WalkKernel)


def _with_places(kernel: _Kernel, space: Space, width: int) -> _Kernel:
    """Return the kernel with places for values that are worth keeping between passes.

    They stay in outputs of their dtype as long as no input is read later: an output may be the
    memory of an input. The others stay in scratch, where `width` rows are worked on at once.
    """
    saving = replace(kernel, places=())
    schedule, program = saving.schedule, kernel.program
    again = kernel.copies or reads_elements_again(program, schedule)
    free = [
        number
        for number, kind in enumerate(kernel.outputs)
        if kind == SIDE and not kernel.rows[len(kernel.inputs) + number] and not again
    ]
    places, scratch = [], 0
    for value in schedule.saves:
        dtype = program.dtype(value)
        fitting = [each for each in free if kernel.memory[len(kernel.inputs) + each] == dtype]
        places.append(fitting[0] if fitting else IN_SCRATCH)
        free = [each for each in free if each != places[-1]]
        if not fitting:
            scratch += space.length * width * np.dtype(dtype).itemsize
    if not places or scratch > _SCRATCH_LIMIT:
        return replace(kernel, copies=False)
    return replace(kernel, places=tuple(places))


def call_of(kernel: WalkKernel, space: Space, label: str, *, part: int = 0, width: int = 1) -> Call:
    """Return the call of a kernel on a space.

    Args:
        part: elements of the axis of the lanes that are one item, 0: all.
        width: rows that are worked on at once; an item of a kernel of columns.
    """
    starts, scratch = [], 0
    if kernel.places:
        for value, place in zip(kernel.schedule.saves, kernel.places, strict=True):
            starts.append(scratch)
            if place == IN_SCRATCH:
                size = space.length * width * np.dtype(kernel.program.dtype(value)).itemsize
                scratch += -(-size // 64) * 64
    elements = space.rows * space.length
    parts, items = 1, space.rows
    if isinstance(kernel, ColumnKernel):
        parts = -(-space.kept[-1] // width)
        items = space.rows // space.kept[-1] * parts
    elif part:
        parts = -(-space.length // part)
        items = space.rows * parts
    each = max(1, elements // items) * max(1, program_cost(kernel.program) // 8)
    grain = max(1, -(-_CHUNK // each))
    if isinstance(kernel, RowKernel) and kernel.staggered:
        grain = max(grain, _CHUNK_OF_PASSES * kernel.schedule.passes)
        scratch = max(space.length * each.itemsize for each in space.outputs)
    return Call(
        kernel,
        arguments(kernel, space, parts, starts),
        items,
        grain=grain,
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
