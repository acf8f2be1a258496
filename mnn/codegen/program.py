"""Programs: straight-line computations on elements, fused from operators, as plain data.

A program is what a loop computes for each element, or what a matrix kernel does to a result before
storing it. With reductions it describes a whole row: values are then either *elements* (one for
each position along the reduced axes) or *rows* (one for all of them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.codegen.bodies import body_of
from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Value
from mnn.records import dataclass

__all__ = ["CAST", "CONSTANT", "REDUCTIONS", "Program", "Step", "constant_step"]

CAST = "cast"
CONSTANT = "constant"
REDUCTIONS = frozenset({"sum", "prod", "max", "min", "any", "all", "argmax", "argmin"})
"""Names of steps that turn element values into row values; `sum` is blocked or pairwise."""


@dataclass(frozen=True)
class Step:
    """One operation of a program.

    Attributes:
        name: an operator with a body, CAST, CONSTANT or "reduce.NAME" with a name of REDUCTIONS.
        arguments: numbers of earlier values: the program's inputs come first, then the steps.
        compute: NumPy name of the dtype in which it is computed; operands are converted to it, but
            for the condition of `select`, which is converted to bool.
        result: NumPy name of the result's dtype.
        attributes: (name, value) pairs for the body; of CONSTANT: (("value", number),).
    """

    name: str
    arguments: tuple[int, ...]
    compute: str
    result: str
    attributes: tuple[tuple[str, Any], ...] = ()

    @property
    def reduction(self) -> str:
        """Name of the reduction, "" for other steps."""
        return self.name[7:] if self.name.startswith("reduce.") else ""


@dataclass(frozen=True)
class Program:
    """A straight line of steps.

    Attributes:
        inputs: NumPy names of the input dtypes; inputs are values 0, 1, ...
        steps: in order; step i is value `len(inputs) + i`.
        outputs: numbers of the values that are stored.
    """

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def dtype(self, value: int) -> str:
        """Return the NumPy name of the dtype of a value."""
        if value < len(self.inputs):
            return self.inputs[value]
        return self.steps[value - len(self.inputs)].result

    @property
    def reduces(self) -> bool:
        """True when there is a reduction among the steps."""
        return any(each.reduction for each in self.steps)

    def emit(self, function: Function, lanes: int, values: Sequence[Value]) -> list[Value]:
        """Build the steps on `lanes` elements at once and return the outputs.

        Args:
            function: where to build.
            values: the inputs, each of `lanes` elements; bools are i1.

        Only for programs without reductions.
        """
        held = list(values)
        for number, step in enumerate(self.steps, len(self.inputs)):
            held.append(emit_step(function, lanes, step, held, self))
            assert number == len(held) - 1
        return [held[each] for each in self.outputs]


def emit_step(
    function: Function,
    lanes: int,
    step: Step,
    held: Sequence[Value] | Mapping[int, Value],
    program: Program,
) -> Value:
    """Build one step that is no reduction; `held` has the values of its arguments by number."""
    compute, result = np.dtype(step.compute), np.dtype(step.result)
    k = Body(function, lanes, compute)
    if step.name == CONSTANT:
        return Body(function, lanes, result).const(dict(step.attributes)["value"])
    wanted = [compute] * len(step.arguments)
    if step.name == "select":
        wanted[0] = np.dtype(np.bool_)
    operands = [
        k.convert(held[each], np.dtype(program.dtype(each)), dtype)
        for each, dtype in zip(step.arguments, wanted, strict=True)
    ]
    if step.name == CAST:
        return k.convert(operands[0], compute, result)
    made: Value = body_of(step.name)(k, *operands, **dict(step.attributes))
    return made


def constant_step(number: float | bool, dtype: str) -> Step:
    """Return a step that is a number."""
    return Step(CONSTANT, (), dtype, dtype, (("value", number),))
