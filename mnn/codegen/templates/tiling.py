"""Choice between a plain loop and tiles: which axis lanes lie along."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mnn.codegen.kernel import Call, Slot
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    CROSS,
    ONE,
    REVERSED,
    SIDE,
    TAKING_TURNS,
    layout,
    masks_tails,
    stride_class,
)
from mnn.codegen.templates.schedule import program_cost
from mnn.codegen.templates.space import Operand, Space
from mnn.codegen.templates.transpose import (
    BLOCK_TILES,
    TileKernel,
    tile_lanes,
)
from mnn.codegen.templates.turning import tile_rows
from mnn.records import dataclass, replace

__all__ = ["lower_tiles"]

_ROW = 8
"""Instructions of a plain loop to get from one row to the next."""


@dataclass(frozen=True)
class _Plan:
    """Lanes along axis `long`, transposition with axis `cross` (-1: none), instructions each."""

    long: int
    cross: int
    cost: float


def lower_tiles(program: Program, space: Space, target: Target, label: str) -> Call | None:
    """Return the call that runs a program tile by tile, None if a plain loop is better.

    Args:
        space: without reduced axes.
    """
    axes = len(space.kept)
    if axes < 2:
        return None
    best = _plain(program, space, target)
    for long in reversed(range(axes)):
        for cross in range(axes):
            if cross != long:
                plan = _tiled(program, space, target, long, cross)
                if plan is not None and plan.cost < best.cost:
                    best = plan
    if best.cross < 0:
        return None
    order = [axis for axis in range(axes) if axis not in (best.long, best.cross)]
    return _call(program, space, [*order, best.cross, best.long], target, label)


def _plain(program: Program, space: Space, target: Target) -> _Plan:
    axis, lanes = len(space.kept) - 1, tile_lanes(program, target)
    kinds = [stride_class(each.kept[axis]) for each in _operands(space)]
    length = space.kept[axis]
    each = sum(_COSTS.get(kind, lanes) for kind in kinds) + _steps(program)
    turns = _turns(length, lanes, _masked(target, space, kinds))
    return _Plan(axis, -1, (turns * each + _ROW) / length)


def _tiled(program: Program, space: Space, target: Target, long: int, cross: int) -> _Plan | None:
    lanes = tile_lanes(program, target)
    rows = _small(space.kept[cross], lanes)
    size = tile_rows(lanes, rows)
    kinds = [layout(each.kept[cross], each.kept[long], rows) for each in _operands(space)]
    if CROSS not in kinds and TAKING_TURNS not in kinds:
        return None
    used = rows or size
    # Columns that do not fill a vector are accessed under masks, which costs more.
    column = lanes / used * (1 if used == size else 3)
    costs = {CROSS: 1 + math.log2(size) * size / used + column, TAKING_TURNS: used}
    each = sum(costs.get(kind, _COSTS.get(kind, lanes)) for kind in kinds) + _steps(program)
    masked = _masked(target, space, kinds)
    turns = _turns(space.kept[long], lanes, masked)
    tiles = 1.0
    if not rows:
        left = space.kept[cross] % size
        tiles += (size - left if masked else left * lanes) / space.kept[cross] if left else 0
    return _Plan(long, cross, turns * each * tiles / space.kept[long])


_COSTS = {SIDE: 1.0, ONE: 0.2, REVERSED: 2.0}


def _operands(space: Space) -> list[Operand]:
    return [*space.inputs, *space.outputs]


def _steps(program: Program) -> int:
    return program_cost(program) - len(program.inputs) - len(program.outputs)


def _small(size: int, lanes: int) -> int:
    """Return the size of a cross axis that a kernel is made for, 0 when it takes any."""
    return size if size <= lanes else 0


def _masked(target: Target, space: Space, kinds: Sequence[str]) -> bool:
    return masks_tails(target, [each.dtype for each in _operands(space)], kinds)


def _turns(length: int, lanes: int, masked: bool) -> float:
    """Return how many vectors, or single elements, a length takes."""
    return -(-length // lanes) if masked else length // lanes + length % lanes


def _call(program: Program, space: Space, order: Sequence[int], target: Target, label: str) -> Call:
    operands = [
        replace(each, kept=tuple(each.kept[axis] for axis in order)) for each in _operands(space)
    ]
    sizes = [space.kept[axis] for axis in order]
    count, lanes = len(space.inputs), tile_lanes(program, target)
    rows = _small(sizes[-2], lanes)
    kinds = tuple(layout(each.kept[-2], each.kept[-1], rows) for each in operands)
    kernel = TileKernel(
        program,
        tuple(each.dtype for each in operands),
        kinds[:count],
        kinds[count:],
        tuple(not any(each.kept[-2:]) for each in operands[:count]),
        tuple((each.kept[-2] < 0, each.kept[-1] < 0) for each in operands),
        len(sizes) - 2,
        rows,
        _may_overlap(operands[:count], operands[count:], sizes, lanes, rows),
    )
    slots, items = _arguments(kernel, operands, sizes, lanes)
    elements = math.prod(sizes)
    each = max(1, elements // items) * max(1, program_cost(program) // 8)
    return Call(
        kernel,
        slots,
        items,
        grain=max(1, -(-16384 // each)),
        work=elements * len(program.steps),
        traffic=sum(
            operand.itemsize
            * math.prod(n for n, stride in zip(sizes, operand.kept, strict=True) if stride)
            for operand in operands
        ),
        label=label or "transpose",
    )


def _may_overlap(
    inputs: Sequence[Operand],
    outputs: Sequence[Operand],
    sizes: Sequence[int],
    lanes: int,
    rows: int,
) -> bool:
    """True when elements may be computed twice and every tile can be whole."""
    long_enough = sizes[-1] % (lanes * BLOCK_TILES) >= lanes or sizes[-1] % lanes == 0
    wide_enough = rows > 0 or sizes[-2] >= lanes
    alike = {(each.itemsize, each.kept) for each in inputs}
    return (
        long_enough
        and wide_enough
        and not any((each.itemsize, each.kept) in alike for each in outputs)
    )


def _arguments(
    kernel: TileKernel, operands: Sequence[Operand], sizes: Sequence[int], lanes: int
) -> tuple[tuple[Slot, ...], int]:
    """Return the argument block and the number of items."""
    size, width = tile_rows(lanes, kernel.rows), lanes * BLOCK_TILES
    cross, long = sizes[-2:]
    values: dict[str, Slot] = {"cross": cross, "long": long}
    for name, operand in zip(kernel.operands, operands, strict=True):
        *further, across, along = [each * operand.itemsize for each in operand.kept]
        values[name] = operand.pointer
        for axis, stride in enumerate([*further, across * size, along * width]):
            values[f"{name}k{axis}"] = stride
        values[f"{name}cross"], values[f"{name}long"] = across, along
    walked = [*sizes[:-2], 1 if kernel.rows else -(-cross // size), -(-long // width)]
    for axis, number in enumerate(walked):
        values[f"k{axis}"] = number
    slots = tuple(values[each.lstrip("*")] for each in kernel.fields().split())
    return slots, math.prod(walked)
