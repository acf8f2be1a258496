"""Remainders and rounded quotients of floats, exact as in C, with NumPy's signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnn.codegen.builder import I64, Value
from mnn.codegen.mathematics import integer
from mnn.codegen.mathematics.floats import (
    DOUBLE,
    SINGLE,
    copy_sign,
    exponent,
    layout,
    multiply_exact,
    power,
)

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["floordiv", "floormod", "fmod"]

_STEP = {(SINGLE, True): 21, (SINGLE, False): 10, (DOUBLE, True): 50, (DOUBLE, False): 23}
"""Bits of the quotient found at once, by (format, fused multiply-add): so many that the product of
such a quotient and the divisor is still known exactly."""


def fmod(k: Body, x: Value, y: Value) -> Value:
    """Return the remainder with the sign of x, exactly; NaN for infinite x or y = 0.

    Of integers and bools, the remainder of an integer and 0 is 0.
    """
    if not k.floating:
        return integer.remainder(k, x, y)
    a, b = k.abs(x), k.abs(y)
    r = _remainder(k, a, b)
    # Infinite and absent divisors are left to this line, infinite dividends and NaN to the next.
    r = k.pick(k.compare("lt", a, b), a, k.pick(k.compare("gt", b, 0.0), r, float("nan")))
    r = k.pick(k.compare("lt", a, float("inf")), r, float("nan"))
    return k.pick(k.unordered(x, y), k.add(x, y), copy_sign(k, r, x))


def _remainder(k: Body, a: Value, b: Value) -> Value:
    """Return a modulo b for finite a >= b > 0 by long division, `_STEP` bits at a time."""
    f, form = k.function, layout(k)
    step = _STEP[form, f.target.fused]
    apart = k.integer_op("sub", exponent(k, a), exponent(k, b))
    # Only where a >= b, for both may be anything elsewhere.
    valid = k.logical("logical_and", k.compare("ge", a, b), k.compare("gt", b, 0.0))
    valid = k.logical("logical_and", valid, k.compare("lt", a, float("inf")))
    apart = f.select(valid, apart, f.constant(0, apart.type))
    most = k.integer_body.reduce_max(apart)
    if most.type != I64:
        most = f.make(f"sext {most.type} {most.text} to i64", I64)
    turns = f.add(f.div(most, step), 1)
    with f.loop(0, turns, 1, [a]) as loop:
        distance = f.mul(f.sub(f.sub(turns, loop.index), 1), step)
        loop.next = [_divide(k, loop.carried[0], b, apart, f.value(distance))]
    return loop.results[0]


def _divide(k: Body, r: Value, b: Value, apart: Value, distance: Value) -> Value:
    """Return r modulo b * 2**min(apart, distance)."""
    f, form = k.function, layout(k)
    whole = k.integer_body
    moved = distance
    if form is SINGLE:
        moved = f.make(f"trunc i64 {moved.text} to i32", "i32")
    shift = whole.minimum(apart, f.splat(moved, k.lanes))
    # In four factors, because the power alone may be too large a number.
    quarter = k.integer_op("lshr", shift, 2)
    rest = k.integer_op("sub", shift, k.integer_op("mul", quarter, 3))
    for each, times in ((quarter, 3), (rest, 1)):
        factor = power(k, k.integer_op("add", each, form.bias))
        for _ in range(times):
            b = k.mul(b, factor)
    quotient = k.round("trunc", k.div(r, b))
    product, lost = multiply_exact(k, quotient, b)
    r = k.sub(k.sub(r, product), lost)
    # The quotient may have been rounded up to an integer.
    return k.pick(k.compare("lt", r, 0.0), k.add(r, b), r)


def _divmod(k: Body, x: Value, y: Value) -> tuple[Value, Value]:
    """Return the quotient rounded down and the remainder with the sign of y (npy_divmod)."""
    zero = k.const(0.0)
    r = fmod(k, x, y)
    quotient = k.div(k.sub(x, r), y)
    nonzero = k.compare("ne", r, 0.0)
    apart = k.logical("logical_xor", k.compare("lt", y, 0.0), k.compare("lt", r, 0.0))
    apart = k.logical("logical_and", apart, nonzero)
    quotient = k.sub(quotient, k.pick(apart, k.const(1.0), zero))
    remainder = k.add(r, k.pick(apart, y, zero))
    remainder = k.pick(nonzero, remainder, copy_sign(k, zero, y))
    down = k.round("floor", quotient)
    far = k.compare("gt", k.sub(quotient, down), 0.5)
    down = k.add(down, k.pick(far, k.const(1.0), zero))
    down = k.pick(k.compare("ne", quotient, 0.0), down, copy_sign(k, zero, k.div(x, y)))
    return down, remainder


def floordiv(k: Body, x: Value, y: Value) -> Value:
    """Return the quotient rounded down; x / 0 as floats divide, 0 for integers."""
    if not k.floating:
        return integer.floordiv(k, x, y)
    down, _ = _divmod(k, x, y)
    return k.pick(k.compare("eq", y, 0.0), k.div(x, y), down)


def floormod(k: Body, x: Value, y: Value) -> Value:
    """Return the remainder with the sign of y; NaN for y = 0, 0 for integers."""
    if not k.floating:
        return integer.floormod(k, x, y)
    return k.pick(k.compare("eq", y, 0.0), float("nan"), _divmod(k, x, y)[1])
