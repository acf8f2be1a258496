"""Scales, biases and programs of integer products, folded into as few steps as possible.

A chain of steps that are linear, or bounds, and end in rounding to codes is one multiplication,
one addition, one rounding and one pair of bounds: of numbers that are known before running.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.codegen.kernel import Buffer, Epilogue, Tensor
from mnn.codegen.program import CONSTANT, Program, Step
from mnn.codegen.templates.int8_steps import CODES, bounded, bounds_of, change_of
from mnn.codegen.templates.int8_sums import summed
from mnn.records import dataclass, replace

__all__ = ["Folded", "folded", "lifted", "only_codes"]

Array = np.ndarray[Any, Any]
_MOST_OPERANDS = 16


@dataclass(frozen=True)
class Folded:
    """What is left of an epilogue.

    Attributes:
        scale, bias: float32, one for each channel.
        epilogue: what follows, None when nothing does.
    """

    scale: Array
    bias: Array
    epilogue: Epilogue | None


def folded(scale: Array, bias: Array, epilogue: Epilogue | None) -> Folded:
    """Return scale and bias with the steps of an epilogue up to the first codes folded into them.

    Args:
        scale, bias: float64, one for each channel.
    """
    plain = Folded(scale.astype(np.float32), bias.astype(np.float32), epilogue)
    chain = None if epilogue is None else _chain(epilogue.program)
    if epilogue is None or chain is None:
        return plain
    made_scale = (scale * chain.factor).astype(np.float32)
    made_bias = (bias * chain.factor + chain.offset).astype(np.float32)
    if not all(np.isfinite(each).all() for each in (*_arrays(plain), made_scale, made_bias)):
        return plain
    program = summed(_shortened(epilogue, chain))
    return Folded(made_scale, made_bias, replace(epilogue, program=program))


def only_codes(epilogue: Epilogue | None) -> tuple[int, int] | None:
    """Return the bounds of an epilogue that only rounds to codes, None of another one."""
    steps = () if epilogue is None else epilogue.program.steps
    if len(steps) != 1 or steps[0].name != CODES:
        return None
    attributes = dict(steps[0].attributes)
    return attributes["minimum"], attributes["maximum"]


def lifted(epilogue: Epilogue) -> Epilogue:
    """Return an epilogue whose numbers are operands, so that one kernel serves many layers."""
    program = epilogue.program
    old = len(program.inputs)
    numbers: list[float] = []

    def operand(number: float) -> int:
        # Counted from the end until the number of operands is known.
        if number not in numbers:
            numbers.append(number)
        return old + numbers.index(number)

    chosen: dict[int, int] = {}
    bounds: dict[int, tuple[int, int]] = {}
    for number, step in enumerate(program.steps, old):
        attributes = dict(step.attributes)
        if step.name == CONSTANT and step.result == "float32":
            chosen[number] = operand(attributes["value"])
        elif step.name == CODES:
            bounds[number] = operand(attributes["minimum"]), operand(attributes["maximum"])
    if len(epilogue.operands) + len(numbers) > _MOST_OPERANDS:
        return epilogue
    places = {each: each for each in range(old)}
    steps: list[Step] = []
    for number, step in enumerate(program.steps, old):
        if number in chosen:
            places[number] = chosen[number]
            continue
        arguments = tuple(places[each] for each in step.arguments)
        if number in bounds:
            kept = tuple(each for each in step.attributes if each[0] not in ("minimum", "maximum"))
            arguments += bounds[number]
            step = replace(step, attributes=(("minimum", -128), ("maximum", 127), *kept))
        places[number] = old + len(numbers) + len(steps)
        steps.append(replace(step, arguments=arguments))
    inputs = (*program.inputs, *["float32"] * len(numbers))
    made = Program(inputs, tuple(steps), (places[program.outputs[0]],))
    tensors = [_single(each) for each in numbers]
    return Epilogue(made, (*epilogue.operands, *tensors))


def _single(number: float) -> Tensor:
    array = np.array(number, np.float32).reshape(1, 1, 1, 1, 1)
    return Tensor(Buffer.constant(array, "number"), array.shape, (0,) * 5, array.dtype)


def _arrays(found: Folded) -> tuple[Array, Array]:
    return found.scale, found.bias


def _shortened(epilogue: Epilogue, chain: _Chain) -> Program:
    """Return the program without the steps that were folded."""
    program = epilogue.program
    count, last = len(program.inputs), chain.steps[-1]
    attributes = bounded(program.steps[last - count], chain.low, chain.high)
    numbers = {each: each for each in range(count)}
    steps: list[Step] = []
    for number, step in enumerate(program.steps, count):
        if number in chain.steps[:-1]:
            continue
        if number == last:
            step = Step(CODES, (0,), "float32", "int8", attributes)
        else:
            step = replace(step, arguments=tuple(numbers[each] for each in step.arguments))
        numbers[number] = count + len(steps)
        steps.append(step)
    used = {each for step in steps for each in step.arguments} | {numbers[program.outputs[0]]}
    return _without(program, steps, numbers[program.outputs[0]], used)


def _without(program: Program, steps: list[Step], output: int, used: set[int]) -> Program:
    """Return a program of the steps that are used or are no constants."""
    count = len(program.inputs)
    numbers = {each: each for each in range(count)}
    kept: list[Step] = []
    for number, step in enumerate(steps, count):
        if step.name == CONSTANT and number not in used:
            continue
        numbers[number] = count + len(kept)
        kept.append(replace(step, arguments=tuple(numbers[each] for each in step.arguments)))
    return Program(program.inputs, tuple(kept), (numbers[output],))


@dataclass(frozen=True)
class _Chain:
    """Steps from the sums to their first codes, as min(max(factor * x + offset, low), high).

    Attributes:
        steps: their numbers; the last makes the codes.
    """

    factor: float
    offset: float
    low: float
    high: float
    steps: tuple[int, ...]


def _chain(program: Program) -> _Chain | None:
    """Return the chain that a program begins with, None when it has other steps or users."""
    factor, offset, low, high = 1.0, 0.0, -math.inf, math.inf
    held, steps = 0, []
    for number, step in enumerate(program.steps, len(program.inputs)):
        if held not in step.arguments:
            continue
        users = sum(held in each.arguments for each in program.steps)
        if users != 1 or held in program.outputs or step.compute != "float32":
            return None
        steps.append(number)
        if step.name == CODES:
            return _Chain(factor, offset, low, high, tuple(steps))
        if step.result != "float32":
            return None
        change = change_of(program, step, held)
        if change is not None:
            times, plus = change
            factor, offset = factor * times, offset * times + plus
            low, high = low * times + plus, high * times + plus
        else:
            bounds = bounds_of(program, step, held)
            if bounds is None:
                return None
            low = min(max(low, bounds[0]), bounds[1])
            high = min(max(high, bounds[0]), bounds[1])
        held = number
    return None
