"""Division, shifts and powers of integers, with NumPy's results where C has none.

A quotient by 0 is 0, and so is its remainder; the smallest integer divided by -1 is itself. Bools
are the integers 0 and 1, and results are made bools again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnn.codegen.builder import F32, F64, I1, Value, element, lanes_of, vector
from mnn.errors import CodegenError

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["floordiv", "floormod", "power", "remainder", "shift"]


def _divide(k: Body, x: Value, y: Value) -> tuple[Value, Value]:
    """Return the quotient rounded towards 0 and the remainder of that; 0 and 0 for y = 0."""
    zero = k.const(0)
    none = k.compare("eq", y, zero)
    divisor = k.pick(none, k.const(1), y)
    if k.signed:
        # The quotient of the smallest integer and -1 is no integer: it is found without division.
        minus = k.compare("eq", y, k.const(-1))
        divisor = k.pick(minus, k.const(1), divisor)
    quotient = _quotient(k, x, divisor)
    if k.signed:
        quotient = k.pick(minus, k.neg(quotient), quotient)
    quotient = k.pick(none, zero, quotient)
    return quotient, k.pick(none, zero, k.sub(x, k.mul(quotient, y)))


def _quotient(k: Body, x: Value, y: Value) -> Value:
    """Return x / y rounded towards 0, by floats that hold such integers: they divide in vectors."""
    size = k.dtype.itemsize
    letter = "s" if k.signed else "u"
    if size == 8 or k.lanes == 1:
        return k.function.make(f"{letter}div {x.type} {x.text}, {y.text}", x.type)
    kind = vector(lanes_of(x.type), F64 if size == 4 else F32)
    a, b = (
        k.function.make(f"{letter}itofp {each.type} {each.text} to {kind}", kind) for each in (x, y)
    )
    ratio = k.function.make(f"fdiv {kind} {a.text}, {b.text}", kind)
    return k.function.make(f"fpto{letter}i {kind} {ratio.text} to {x.type}", x.type)


def _different_signs(k: Body, left: Value, right: Value) -> Value:
    return k.compare("lt", k.bits("bitwise_xor", left, right), k.const(0))


def floordiv(k: Body, x: Value, y: Value) -> Value:
    """Return the quotient rounded down, 0 for y = 0."""
    if element(x.type) == I1:
        return k.bits("bitwise_and", x, y)
    quotient, rest = _divide(k, x, y)
    if not k.signed:
        return quotient
    lower = k.logical("logical_and", k.compare("ne", rest, 0), _different_signs(k, x, y))
    return k.sub(quotient, k.pick(lower, k.const(1), k.const(0)))


def floormod(k: Body, x: Value, y: Value) -> Value:
    """Return the remainder with the sign of y, 0 for y = 0."""
    if element(x.type) == I1:
        return _no(k, x)
    _, rest = _divide(k, x, y)
    if not k.signed:
        return rest
    lower = k.logical("logical_and", k.compare("ne", rest, 0), _different_signs(k, rest, y))
    return k.add(rest, k.pick(lower, y, k.const(0)))


def remainder(k: Body, x: Value, y: Value) -> Value:
    """Return the remainder with the sign of x, 0 for y = 0."""
    return _no(k, x) if element(x.type) == I1 else _divide(k, x, y)[1]


def _no(k: Body, x: Value) -> Value:
    return k.const(False) if k.element == I1 else k.compare("ne", x, x)


def shift(k: Body, name: str, x: Value, y: Value) -> Value:
    """Return left_shift or right_shift; negative and too large counts shift everything out."""
    inverse = k.bits("bitwise_not", y)
    if element(x.type) == I1:
        # True << True is 2, which is true.
        return x if name == "left_shift" else k.bits("bitwise_and", x, inverse)
    size = k.dtype.itemsize * 8
    counts = k.unsigned
    fits = counts.compare("lt", y, size)
    if name == "left_shift":
        moved = k.integer_op("shl", x, k.pick(fits, y, k.const(0)))
        return k.pick(fits, moved, k.const(0))
    if not k.signed:
        moved = k.integer_op("lshr", x, k.pick(fits, y, k.const(0)))
        return k.pick(fits, moved, k.const(0))
    return k.integer_op("ashr", x, k.pick(fits, y, k.const(size - 1)))


def power(k: Body, x: Value, y: Value) -> Value:
    """Return x to the y, modulo 2**size.

    Raises:
        CodegenError: y may be negative, which is an error that kernels cannot report.
    """
    if element(x.type) == I1:
        return k.logical("logical_or", x, k.bits("bitwise_not", y))
    known = k.known(y)
    if known is not None and known >= 0:
        return _known_power(k, x, int(known))
    if k.signed:
        raise CodegenError(
            "pow: found integers with exponents that are not known; a negative one is an error, "
            "which kernels cannot report. NumPy computes it."
        )
    f = k.function
    bits = f.constant(k.dtype.itemsize * 8)
    with f.loop(0, bits, 1, [k.const(1), x, y]) as loop:
        result, square, left = loop.carried
        odd = k.compare("ne", k.integer_op("and", left, 1), 0)
        loop.next = [
            k.pick(odd, k.mul(result, square), result),
            k.mul(square, square),
            k.integer_op("lshr", left, 1),
        ]
    return loop.results[0]


def _known_power(k: Body, x: Value, exponent: int) -> Value:
    result: Value | None = None
    while exponent:
        if exponent & 1:
            result = x if result is None else k.mul(result, x)
        exponent >>= 1
        if exponent:
            x = k.mul(x, x)
    return k.const(1) if result is None else result
