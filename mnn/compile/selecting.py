"""Calls for values whose kinds have a template of their own and one result.

Each function takes the value, the tensors of its operands and its result, the machine, and what is
set when an index turns out to be bad (None when all are known to be good).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from mnn.codegen.kernel import Call, Tensor
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates import gather, loops, scatter
from mnn.compile.flow import Value
from mnn.records import replace

__all__ = ["SELECTING"]

_Calls: TypeAlias = Callable[[Value, Sequence[Tensor], Tensor, Target, "Tensor | None"], list[Call]]


def _gather(
    value: Value,
    operands: Sequence[Tensor],
    output: Tensor,
    target: Target,
    status: Tensor | None,
) -> list[Call]:
    data, *indices = operands
    spread = [each.broadcast(value.shape) for each in indices]
    axes = value.attributes["axes"]
    return gather.lower(data, spread, output, target, axes=axes, status=status)


def _scatter(
    value: Value,
    operands: Sequence[Tensor],
    output: Tensor,
    target: Target,
    status: Tensor | None,
) -> list[Call]:
    start, values, *indices = operands
    copy = Program((output.dtype.name,), (), (0,))
    first = start.broadcast(output.shape)
    calls = loops.lower(copy, [first], [output], target, label="scatter start")
    part, axes = _scattered(output, value)
    return calls + scatter.lower(
        part,
        values,
        [each.broadcast(values.shape) for each in indices],
        target,
        axes=axes,
        combination=value.attributes["combination"],
        status=status,
    )


def _scattered(output: Tensor, value: Value) -> tuple[Tensor, list[int]]:
    """Return the part of its result that a scatter changes, and where its axes walk."""
    attributes = value.attributes
    each = list(
        zip(
            attributes["axes"],
            attributes["starts"],
            attributes["steps"],
            attributes["counts"],
            output.strides,
            strict=True,
        )
    )
    part = replace(
        output,
        shape=tuple(count for goes, _, _, count, _ in each if goes is not None),
        strides=tuple(step * stride for goes, _, step, _, stride in each if goes is not None),
        offset=output.offset + sum(start * stride for _, start, _, _, stride in each),
    )
    return part, [goes for goes, *_ in each if goes is not None]


def _grid_sample(
    value: Value,
    operands: Sequence[Tensor],
    output: Tensor,
    target: Target,
    status: Tensor | None,
) -> list[Call]:
    from mnn.codegen.templates import sampling_grid

    x, grid = operands
    return sampling_grid.lower(x, grid, output, target, **value.attributes)


def _regions(
    value: Value,
    operands: Sequence[Tensor],
    output: Tensor,
    target: Target,
    status: Tensor | None,
) -> list[Call]:
    from mnn.codegen.templates import sampling_regions

    assert status is not None
    x, corners, index = operands
    settings = {name: each for name, each in value.attributes.items() if name != "checked"}
    align = value.kind == "roi_align"
    lower = sampling_regions.lower_align if align else sampling_regions.lower_crops
    return lower(x, corners, index, output, target, status=status, **settings)


SELECTING: dict[str, _Calls] = {
    "gather": _gather,
    "scatter": _scatter,
    "grid_sample": _grid_sample,
    "roi_align": _regions,
    "crop_and_resize": _regions,
}
"""By kind of value."""
