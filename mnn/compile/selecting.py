"""Calls for values whose kinds have a template of their own and one result.

Each function takes the value, the tensors of its operands and its result, and a `Setting`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from mnn.codegen.kernel import Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.program import Program, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates import attention, gather, loops, scatter
from mnn.compile.flow import Flow, Value
from mnn.compile.strides import reshaped
from mnn.records import dataclass, replace

__all__ = ["SELECTING", "Setting", "result_order", "sorted_rows", "suppressed"]


@dataclass(frozen=True)
class Setting:
    """What lowering knows besides the value.

    Attributes:
        target: the machine.
        status: what is set when an index turns out to be bad, None when all are known to be good.
        low: matrix kernels may use bfloat16.
    """

    target: Target
    status: Tensor | None
    low: bool


_Calls: TypeAlias = Callable[[Value, Sequence[Tensor], Tensor, Setting], list[Call]]


def _copy(tensor: Tensor) -> Program:
    return Program((tensor.dtype.name,), (), (0,))


# --- indices -------------------------------------------------------------------------------------


def _gather(
    value: Value, operands: Sequence[Tensor], output: Tensor, setting: Setting
) -> list[Call]:
    data, *indices = operands
    return gather.lower(
        data,
        [each.broadcast(value.shape) for each in indices],
        output,
        setting.target,
        axes=value.attributes["axes"],
        status=setting.status,
    )


def _scatter(
    value: Value, operands: Sequence[Tensor], output: Tensor, setting: Setting
) -> list[Call]:
    start, values, *indices = operands
    first = start.broadcast(output.shape)
    calls = loops.lower(_copy(output), [first], [output], setting.target, label="scatter start")
    part, axes = _scattered(output, value)
    return calls + scatter.lower(
        part,
        values,
        [each.broadcast(values.shape) for each in indices],
        setting.target,
        axes=axes,
        combination=value.attributes["combination"],
        status=setting.status,
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


# --- attention -----------------------------------------------------------------------------------


def _attention(
    value: Value, operands: Sequence[Tensor], output: Tensor, setting: Setting
) -> list[Call]:
    q, k, v, *others = operands
    attributes, calls = value.attributes, list[Call]()
    batch = attributes["batch"]
    if batch != output.shape[:-2]:
        # The product with values has another batch than that with keys: of as many entries.
        v, calls = _with_batch(v, batch, setting.target)
        moved = reshaped(output, (*batch, *output.shape[-2:]))
        assert moved is not None, "a new result lies in order"
        output = moved
    same_for_all = [math.prod(each.shape[:-2]) == 1 for each in others]
    others = [
        replace(each, shape=each.shape[-2:], strides=each.strides[-2:]) if same else each
        for each, same in zip(others, same_for_all, strict=True)
    ]
    return calls + attention.lower(
        q,
        k,
        v,
        output,
        setting.target,
        scores=Epilogue(attributes["program"], tuple(others)),
        causal=attributes["causal"],
        zero=attributes["zero"],
        low=setting.low,
    )


def _with_batch(tensor: Tensor, batch: Sequence[int], target: Target) -> tuple[Tensor, list[Call]]:
    """Return matrices with other batch axes, and the calls that copy them if that is needed."""
    shape = (*batch, *tensor.shape[-2:])
    found = reshaped(tensor, shape)
    if found is not None:
        return found, []
    room = contiguous(Buffer(4 * tensor.size, name="copy"), tensor.shape, tensor.dtype)
    calls = loops.lower(_copy(tensor), [tensor], [room], target, label="copy")
    found = reshaped(room, shape)
    assert found is not None
    return found, calls


def result_order(value: Value, operands: Sequence[Tensor]) -> Sequence[int]:
    """Return the axes of a result from outermost to innermost in memory."""
    axes = range(len(value.shape))
    if value.kind != "attention" or value.attributes["batch"] != value.shape[:-2]:
        return axes
    # Heads lie in the result as they do in the queries.
    strides = operands[0].strides
    outer = [axis for axis in axes[:-1] if value.shape[axis] != 1]
    still = [axis for axis in axes[:-1] if value.shape[axis] == 1]
    return [*still, *sorted(outer, key=lambda axis: -abs(strides[axis])), axes[-1]]


# --- pictures ------------------------------------------------------------------------------------


def _grid_sample(
    value: Value, operands: Sequence[Tensor], output: Tensor, setting: Setting
) -> list[Call]:
    from mnn.codegen.templates import sampling_grid

    x, grid = operands
    return sampling_grid.lower(x, grid, output, setting.target, **value.attributes)


def _regions(
    value: Value, operands: Sequence[Tensor], output: Tensor, setting: Setting
) -> list[Call]:
    from mnn.codegen.templates import sampling_regions

    assert setting.status is not None
    x, corners, index = operands
    settings = {name: each for name, each in value.attributes.items() if name != "checked"}
    align = value.kind == "roi_align"
    lower = sampling_regions.lower_align if align else sampling_regions.lower_crops
    return lower(x, corners, index, output, setting.target, status=setting.status, **settings)


def _grey(value: Value, operands: Sequence[Tensor], output: Tensor, setting: Setting) -> list[Call]:
    from mnn.codegen.templates import colour

    weights = value.attributes["weights"]
    return colour.lower_grey(operands[0], output, setting.target, weights=weights)


# --- sorting -------------------------------------------------------------------------------------


def sorted_rows(
    flow: Flow, value: Value, source: Tensor, results: Sequence[Tensor], target: Target
) -> list[Call]:
    """Return the calls that order rows; results of which no part is used are left out."""
    from mnn.codegen.templates import sort

    everything = [*flow.outputs, *(each for user in flow.values for each in user.inputs)]
    used = {
        each.attributes["port"]
        for each in everything
        if each.kind == "part" and each.inputs[0] is value
    }
    wanted = [each if port in used else None for port, each in enumerate(results)]
    attributes = value.attributes
    return sort.lower(
        source,
        wanted[0],
        wanted[1],
        target,
        count=attributes["count"],
        descending=attributes["descending"],
    )


def suppressed(
    value: Value, operands: Sequence[Tensor], results: Sequence[Tensor], target: Target
) -> list[Call]:
    """Return the calls that find the boxes to be kept; places of no box are 0."""
    from mnn.codegen.templates import nms

    (boxes, scores), (kept, counts) = operands, results
    nothing = Program((), (constant_step(0, kept.dtype.name),), (0,))
    calls = loops.lower(nothing, [], [kept], target, label="no boxes")
    settings = {name: each for name, each in value.attributes.items() if name != "types"}
    return calls + nms.lower(boxes, scores, kept, counts, target, **settings)


SELECTING: dict[str, _Calls] = {
    "attention": _attention,
    "gather": _gather,
    "scatter": _scatter,
    "grid_sample": _grid_sample,
    "roi_align": _regions,
    "crop_and_resize": _regions,
    "grey": _grey,
}
"""By kind of value."""
