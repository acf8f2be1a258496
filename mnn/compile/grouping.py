"""Convolutions of neighbouring channels, joined again: one grouped convolution.

The reference package's converter writes a grouped convolution as a split, a convolution for each
group, and a concat. Dozens of narrow kernels are slow; one that knows all groups is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnn.compile.flow import Flow, Value

__all__ = ["grouped"]


@dataclass(frozen=True)
class _Branch:
    """A convolution and the one-operand steps behind it, the nearest to it first."""

    conv: Value
    steps: tuple[Value, ...]


def grouped(flow: Flow, values: Sequence[Value], axis: int) -> Value | None:
    """Return a concat of convolutions as one convolution, None when it is something else.

    Args:
        values: operands of the concat.    axis: along which they are joined.
    """
    if axis != 1 or len(values) < 2:
        return None
    branches = [_branch(each) for each in values]
    found = [each for each in branches if each is not None]
    if len(found) != len(branches) or not _alike(found):
        return None
    source = _source([each.conv.inputs[0] for each in found])
    if source is None:
        return None
    made = _joined(flow, source, [each.conv for each in found])
    for step in found[0].steps:
        attributes = step.attributes
        made = flow.map(
            attributes["step"],
            [made],
            compute=attributes["compute"],
            result=step.dtype,
            parameters=dict(attributes["parameters"]),
        )
    return made


def _branch(value: Value) -> _Branch | None:
    steps: list[Value] = []
    while value.kind == "map" and len(value.inputs) == 1:
        steps.insert(0, value)
        value = value.inputs[0]
    known = value.kind == "conv" and all(each.array is not None for each in value.inputs[1:])
    return _Branch(value, tuple(steps)) if known else None


def _alike(branches: Sequence[_Branch]) -> bool:
    """True when the branches differ in their numbers only."""
    kinds = {
        (
            tuple(each.conv.attributes.items()),
            tuple((operand.shape, operand.dtype) for operand in each.conv.inputs),
            each.conv.shape,
            tuple((tuple(step.attributes.items()), step.dtype) for step in each.steps),
        )
        for each in branches
    }
    return len(kinds) == 1


def _source(parts: Sequence[Value]) -> Value | None:
    """Return the value whose channels the parts are, in order and without a rest."""
    source = parts[0].inputs[0] if parts[0].kind == "slice" else None
    if source is None or source.shape[1] != sum(each.shape[1] for each in parts):
        return None
    start = 0
    for each in parts:
        wanted = (0, start, *(0,) * (len(each.shape) - 2))
        whole = each.kind == "slice" and each.inputs[0] is source
        if not whole or each.attributes["starts"] != wanted or set(each.attributes["steps"]) != {1}:
            return None
        if (each.shape[0], *each.shape[2:]) != (source.shape[0], *source.shape[2:]):
            return None
        start += each.shape[1]
    return source


def _joined(flow: Flow, source: Value, convs: Sequence[Value]) -> Value:
    first = convs[0]
    operands = [source]
    for position in range(1, len(first.inputs)):
        arrays = [each.inputs[position].array for each in convs]
        operands.append(
            flow.constant(np.concatenate([each for each in arrays if each is not None]))
        )
    window = {**first.attributes, "groups": first.attributes["groups"] * len(convs)}
    shape = (first.shape[0], first.shape[1] * len(convs), *first.shape[2:])
    return flow.make("conv", operands, shape, first.dtype, window)
