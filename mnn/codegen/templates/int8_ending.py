"""Scales, biases and programs of integer products, folded into as few steps as possible.

A chain of steps that are linear, or bounds, and end in rounding to codes is one multiplication,
one addition, one rounding and one pair of bounds: of numbers that are known before running.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.codegen.bodies import register_body
from mnn.codegen.body import Body
from mnn.codegen.builder import I8, I32, Function, Value, lanes_of, vector
from mnn.codegen.kernel import Epilogue
from mnn.codegen.mathematics.floats import copy_sign, layout
from mnn.codegen.program import CONSTANT, Program, Step
from mnn.records import dataclass, replace

__all__ = ["CODES", "Folded", "clipped", "folded", "whole_numbers"]

Array = np.ndarray[Any, Any]

CODES = "int8_codes"
"""The step clip(round(x), minimum, maximum) as int8; halves are rounded away from 0, NaN is 0."""


def _codes(k: Body, x: Value, *, minimum: int, maximum: int, finite: bool = False) -> Value:
    f = k.function
    inside = k.at_most(k.at_least(x, minimum), maximum)
    half = copy_sign(k, k.const(0.5 - layout(k).unit / 2), inside)
    kind = vector(lanes_of(x.type), I32)
    away = k.add(inside, half)
    number = f.make(f"fptosi {away.type} {away.text} to {kind}", kind)
    if not finite:
        number = f.select(k.compare("eq", x, x), number, f.constant(0, kind))
    small = vector(lanes_of(x.type), I8)
    return f.make(f"trunc {kind} {number.text} to {small}", small)


register_body(CODES, _codes)


def whole_numbers(f: Function, total: Value, factor: Value, offset: Value) -> Value:
    """Return int32 sums times a factor plus an offset as the nearest int32, which must be in range.

    All steps are those of float32 programs, so results are, too.
    """
    kind, k = total.type, Body(f, lanes_of(total.type), np.dtype(np.float32))
    real = f.make(f"sitofp {kind} {total.text} to {k.type}", k.type)
    real = k.add(k.mul(real, factor), offset)
    away = k.add(real, copy_sign(k, k.const(0.5 - layout(k).unit / 2), real))
    return f.make(f"fptosi {away.type} {away.text} to {kind}", kind)


def clipped(f: Function, codes: Value, bounds: tuple[int, int]) -> Value:
    """Return codes within bounds."""
    k = Body(f, lanes_of(codes.type), np.dtype(np.int8))
    if bounds[0] > -128:
        codes = k.maximum(codes, k.const(bounds[0]))
    return k.minimum(codes, k.const(bounds[1])) if bounds[1] < 127 else codes


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
    return Folded(made_scale, made_bias, replace(epilogue, program=_shortened(epilogue, chain)))


def _arrays(found: Folded) -> tuple[Array, Array]:
    return found.scale, found.bias


def _shortened(epilogue: Epilogue, chain: _Chain) -> Program:
    """Return the program without the steps that were folded."""
    program = epilogue.program
    count, last = len(program.inputs), chain.steps[-1]
    bounds = dict(program.steps[last - count].attributes)
    minimum, maximum = bounds["minimum"], bounds["maximum"]
    attributes = (
        ("minimum", min(max(minimum, _nearest(chain.low, minimum)), maximum)),
        ("maximum", max(min(maximum, _nearest(chain.high, maximum)), minimum)),
        ("finite", True),
    )
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


def _nearest(bound: float, otherwise: int) -> int:
    """Return a bound rounded to codes."""
    if math.isinf(bound):
        return otherwise
    return math.trunc(bound + math.copysign(0.5, bound))


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
        change = _linear(program, step, held)
        if change is not None:
            times, plus = change
            factor, offset = factor * times, offset * times + plus
            low, high = low * times + plus, high * times + plus
        else:
            bounds = _bounds(program, step, held)
            if bounds is None:
                return None
            low = min(max(low, bounds[0]), bounds[1])
            high = min(max(high, bounds[0]), bounds[1])
        held = number
    return None


def _other(program: Program, step: Step, held: int) -> float | None:
    """Return the number that a two-operand step has beside a value, None if it is not known."""
    if len(step.arguments) != 2 or step.arguments.count(held) != 1:
        return None
    (other,) = (each for each in step.arguments if each != held)
    if other < len(program.inputs):
        return None
    source = program.steps[other - len(program.inputs)]
    if source.name != CONSTANT:
        return None
    number = float(dict(source.attributes)["value"])
    return number if math.isfinite(number) else None


def _linear(program: Program, step: Step, held: int) -> tuple[float, float] | None:
    """Return (factor > 0, addend) of a step, None when it is something else."""
    number = _other(program, step, held)
    first = step.arguments[0] == held
    if number is None:
        return None
    if step.name == "add":
        return 1.0, number
    if step.name == "subtract" and first:
        return 1.0, -number
    if step.name == "multiply" and number > 0:
        return number, 0.0
    if step.name == "divide" and number > 0 and first:
        return 1.0 / number, 0.0
    return None


def _bounds(program: Program, step: Step, held: int) -> tuple[float, float] | None:
    """Return the bounds that a step sets, None when it is something else."""
    number = _other(program, step, held)
    if step.name == "maximum" and number is not None:
        return number, math.inf
    if step.name == "minimum" and number is not None:
        return -math.inf, number
    attributes = dict(step.attributes)
    if step.name == "relu" and not any(attributes.values()):
        return 0.0, math.inf
    if step.name == "relu6":
        low, high = attributes.get("minimum", 0.0), attributes.get("maximum", 6.0)
        return float(low), float(high)
    return None
