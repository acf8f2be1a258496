"""From a unit to the program of its kernel, and the tensors that the program reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from mnn.codegen.kernel import Tensor
from mnn.codegen.program import Program, Step, constant_step
from mnn.compile.flow import VIEWS, Value
from mnn.compile.fusion import Unit
from mnn.compile.strides import apply_view

__all__ = ["build_program"]

_Chain: TypeAlias = "tuple[Value | tuple[int, ...], ...]"
"""Views (or shapes to broadcast to) between a value and its use, the nearest to the value first."""


class _Builder:
    def __init__(self, unit: Unit, tensor_of: Callable[[Value], Tensor], anchored: bool) -> None:
        self.unit = unit
        self.tensor_of = tensor_of
        self.anchor = unit.anchor if anchored else None
        self.tensors: list[Tensor] = []
        self.dtypes: list[str] = []
        self.steps: list[Step] = []
        # Numbers below zero stand for inputs until their count is known.
        self.done: dict[Any, int] = {}
        if self.anchor is not None:
            self.dtypes.append(self.anchor.dtype.name)

    def add(self, value: Value, chain: _Chain) -> int:
        """Return the number of a value as seen through a chain of views."""
        member = value in self.unit.members
        if member and value.kind in VIEWS:
            return self.add(value.inputs[0], (value, *chain))
        if member and self.unit.axes:
            chain = ()  # rows are spread over elements by themselves
        if value is self.anchor:
            return -1
        key = (value, chain)
        if key not in self.done:
            self.done[key] = self._step(value, chain) if member else self._load(value, chain)
        return self.done[key]

    def _step(self, value: Value, chain: _Chain) -> int:
        numbers = tuple(
            self.add(each, chain if each.shape == value.shape else (value.shape, *chain))
            if value.kind == "map"
            else self.add(each, chain)
            for each in value.inputs
        )
        attributes = value.attributes
        if value.kind == "map":
            step = Step(
                attributes["step"],
                numbers,
                attributes["compute"].name,
                value.dtype.name,
                attributes["parameters"],
            )
        else:
            operand = value.inputs[0].dtype.name
            step = Step(f"reduce.{attributes['name']}", numbers, operand, value.dtype.name)
        self.steps.append(step)
        return len(self.steps) - 1

    def _load(self, value: Value, chain: _Chain) -> int:
        if value.array is not None and value.size == 1:
            self.steps.append(constant_step(value.array.reshape(()).item(), value.dtype.name))
            return len(self.steps) - 1
        tensor = self.tensor_of(value)
        for view in chain:
            if isinstance(view, Value):
                found = apply_view(view, tensor)
                assert found is not None, f"{view} within a kernel"
                tensor = found
            else:
                tensor = tensor.broadcast(view)
        self.tensors.append(tensor)
        self.dtypes.append(tensor.dtype.name)
        return -len(self.dtypes)

    def program(self, output: int) -> Program:
        """Return the program that stores one value."""
        count = len(self.dtypes)

        def final(number: int) -> int:
            return -number - 1 if number < 0 else number + count

        steps = tuple(
            Step(
                each.name,
                tuple(final(number) for number in each.arguments),
                each.compute,
                each.result,
                each.attributes,
            )
            for each in self.steps
        )
        return Program(tuple(self.dtypes), steps, (final(output),))


def build_program(
    unit: Unit, tensor_of: Callable[[Value], Tensor], *, anchored: bool
) -> tuple[Program, Sequence[Tensor]]:
    """Return the program of a loop unit, and its inputs.

    Args:
        unit: the unit.
        tensor_of: where stored values are.
        anchored: the anchor's result is input 0 and has no tensor.

    Returns:
        The program, and one tensor per input (but the anchor): of the unit's index space, or of
        its row shape.
    """
    builder = _Builder(unit, tensor_of, anchored)
    output = builder.add(unit.root, ())
    return builder.program(output), builder.tensors
