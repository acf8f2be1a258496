"""Programs that add codes: weighted sums of codes, rounded to codes again, in few steps.

A residual connection of a quantised network makes numbers of two or more codes, adds them, bounds
the sum and rounds it to codes. All of it but the rounding is one weighted sum, whose weights are
known before running.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mnn.codegen.program import CAST, CONSTANT, Program, Step, constant_step
from mnn.codegen.templates.int8_steps import CODES, bounded, bounds_of, change_of, constant_of
from mnn.records import dataclass, replace

__all__ = ["summed"]


@dataclass(frozen=True)
class _Sum:
    """min(max(sum(weight * codes) + offset, low), high).

    Attributes:
        weights: by number of the value that holds codes.
    """

    weights: tuple[tuple[int, float], ...]
    offset: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    @property
    def plain(self) -> bool:
        """True without bounds."""
        return self.low == -math.inf and self.high == math.inf

    def changed(self, times: float, plus: float) -> _Sum:
        """Return the sum times a positive number plus another one."""
        return _Sum(
            tuple((number, weight * times) for number, weight in self.weights),
            self.offset * times + plus,
            self.low * times + plus,
            self.high * times + plus,
        )

    def plus(self, other: _Sum) -> _Sum:
        """Return the sum of two sums without bounds."""
        weights = dict(self.weights)
        for number, weight in other.weights:
            weights[number] = weights.get(number, 0.0) + weight
        return _Sum(tuple(weights.items()), self.offset + other.offset)


def summed(program: Program) -> Program:
    """Return a program that computes the same with fewer steps; the same one where none does.

    Args:
        program: its result should be codes of a sum of codes, some of which it may make itself.
    """
    count, output = len(program.inputs), program.outputs[0]
    if output < count or program.steps[output - count].name != CODES:
        return program
    last = program.steps[output - count]
    found = _sums(program).get(last.arguments[0])
    if found is None or not 1 < len(found.weights) <= 4:
        return program
    makers = [number for number, _ in found.weights if number >= count]
    steps: list[Step] = []
    held: dict[int, int] = {}
    for number in makers:
        made = program.steps[number - count]
        # What makes these codes must be the sums of the kernel themselves.
        if made.arguments != (0,):
            return program
        steps.append(replace(made, result="float32", attributes=(*made.attributes, ("real", True))))
        held[number] = count + len(steps) - 1
    terms = []
    for number, weight in found.weights:
        if number not in held:
            steps.append(Step(CAST, (number,), program.dtype(number), "float32"))
            held[number] = count + len(steps) - 1
        terms.append(_with(steps, count, "multiply", held[number], weight))
    total = terms[0]
    for term in terms[1:]:
        steps.append(Step("add", (total, term), "float32", "float32"))
        total = count + len(steps) - 1
    if found.offset:
        total = _with(steps, count, "add", total, found.offset)
    attributes = bounded(last, found.low, found.high)
    steps.append(replace(last, arguments=(total,), attributes=attributes))
    return Program(program.inputs, tuple(steps), (count + len(steps) - 1,))


def _with(steps: list[Step], count: int, name: str, value: int, number: float) -> int:
    """Append a step of a value and a number; return the number of its result."""
    steps.append(constant_step(number, "float32"))
    constant = count + len(steps) - 1
    steps.append(Step(name, (value, constant), "float32", "float32"))
    return constant + 1


def _sums(program: Program) -> dict[int, _Sum]:
    """Return the values of a program that are weighted sums of codes."""
    count = len(program.inputs)
    codes = {number for number, dtype in enumerate(program.inputs) if dtype == "int8"}
    found: dict[int, _Sum] = {}
    for number, step in enumerate(program.steps, count):
        if step.name == CODES:
            codes.add(number)
        elif step.name == CAST and step.arguments[0] in codes and step.result == "float32":
            found[number] = _Sum(((step.arguments[0], 1.0),))
        elif step.name != CONSTANT and step.compute == step.result == "float32":
            made = _combined(program, step, found)
            if made is not None and all(map(math.isfinite, _numbers(made))):
                found[number] = made
    return found


def _numbers(made: _Sum) -> Sequence[float]:
    return (made.offset, *(weight for _, weight in made.weights))


def _combined(program: Program, step: Step, found: dict[int, _Sum]) -> _Sum | None:
    """Return the sum that a step makes of sums, None when it makes something else."""
    known = [each for each in step.arguments if each in found]
    if len(known) == 2 and step.name == "add":
        one, two = (found[each] for each in known)
        return one.plus(two) if one.plain and two.plain else None
    if len(known) != 1:
        return None
    (held,) = known
    if len(step.arguments) == 2 and constant_of(program, step, held) is None:
        return None
    change = change_of(program, step, held)
    if change is not None:
        return found[held].changed(*change)
    bounds = bounds_of(program, step, held)
    if bounds is None:
        return None
    low, high = (
        min(max(each, bounds[0]), bounds[1]) for each in (found[held].low, found[held].high)
    )
    return replace(found[held], low=low, high=high)
