"""Steps of programs that concern codes: rounding to them, and what can be folded into weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.codegen.bodies import register_body
from mnn.codegen.body import Body
from mnn.codegen.builder import I8, I32, Function, Value, lanes_of, vector
from mnn.codegen.mathematics.floats import copy_sign, layout
from mnn.codegen.program import CONSTANT, Program, Step

__all__ = [
    "CODES",
    "bounded",
    "bounds_of",
    "change_of",
    "clipped",
    "constant_of",
    "whole_numbers",
]

CODES = "int8_codes"
"""The step clip(round(x), minimum, maximum) as int8; halves are rounded away from 0, NaN is 0.

With two more operands these are the bounds, numbers within minimum and maximum.
With `finite` the number is known to be no NaN; with `real` as well the codes are float32.
"""


def _codes(
    k: Body,
    x: Value,
    *limits: Value,
    minimum: int,
    maximum: int,
    finite: bool = False,
    real: bool = False,
) -> Value:
    f = k.function
    if limits:
        low, high = limits
        inside = k.pick(k.compare("lt", x, low), low, x)
        inside = k.pick(k.compare("gt", inside, high), high, inside)
    else:
        inside = k.at_most(k.at_least(x, minimum), maximum)
    half = copy_sign(k, k.const(0.5 - layout(k).unit / 2), inside)
    kind = vector(lanes_of(x.type), I32)
    away = k.add(inside, half)
    if real and f.target.rounds:
        return k.round("trunc", away)
    number = f.make(f"fptosi {away.type} {away.text} to {kind}", kind)
    if not finite:
        number = f.select(k.compare("eq", x, x), number, f.constant(0, kind))
    if real:
        return f.make(f"sitofp {kind} {number.text} to {away.type}", away.type)
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


def clipped(f: Function, codes: Value, low: Value, high: Value) -> Value:
    """Return codes within bounds, given in the low bytes of 64-bit integers."""
    lanes = lanes_of(codes.type)
    k = Body(f, lanes, np.dtype(np.int8))
    limits = [f.splat(f.make(f"trunc i64 {v.text} to i8", I8), lanes) for v in (low, high)]
    return k.minimum(k.maximum(codes, limits[0]), limits[1])


def bounded(step: Step, low: float, high: float) -> tuple[tuple[str, Any], ...]:
    """Return the attributes of a CODES step of numbers that are bounded before, and never NaN."""
    known = dict(step.attributes)
    minimum, maximum = known["minimum"], known["maximum"]
    return (
        ("minimum", min(max(minimum, _nearest(low, minimum)), maximum)),
        ("maximum", max(min(maximum, _nearest(high, maximum)), minimum)),
        ("finite", True),
    )


def _nearest(bound: float, otherwise: int) -> int:
    """Return a bound rounded to codes."""
    if math.isinf(bound):
        return otherwise
    return math.trunc(bound + math.copysign(0.5, bound))


def constant_of(program: Program, step: Step, held: int) -> float | None:
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


def change_of(program: Program, step: Step, held: int) -> tuple[float, float] | None:
    """Return (factor > 0, addend) of a step, None when it is something else."""
    number = constant_of(program, step, held)
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


def bounds_of(program: Program, step: Step, held: int) -> tuple[float, float] | None:
    """Return the bounds that a step sets, None when it is something else."""
    number = constant_of(program, step, held)
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
