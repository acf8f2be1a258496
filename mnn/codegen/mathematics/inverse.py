"""Inverse trigonometric functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnn.codegen.builder import Value
from mnn.codegen.mathematics.floats import DOUBLE, SINGLE, copy_sign, layout

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["acos", "asin", "atan", "atan2"]

_ASIN = {
    SINGLE: [0.042157013, 0.024185503, 0.04546902, 0.0749531, 0.16666752],
    DOUBLE: [
        0.032626111621001534,
        -0.020994858688312492,
        0.02170432539855077,
        0.0037077635877637383,
        0.010779871855751749,
        0.011398984892606564,
        0.01398081097122327,
        0.017351612884612542,
        0.022372214933962135,
        0.030381942709939627,
        0.04464285717455937,
        0.07499999999970867,
        0.1666666666666676,
    ],
}
"""(asin(s) - s) / s**3 in s**2, for |s| <= 1/2"""
_ATAN = {
    SINGLE: [-0.060908936, 0.10599487, -0.1424443, 0.1999853, -0.33333316],
    DOUBLE: [
        -0.01790878342618103,
        0.03806583360922302,
        -0.05039348496787332,
        0.05847897710337759,
        -0.06663105046707299,
        0.07692060292843655,
        -0.09090897762034506,
        0.11111110783640755,
        -0.14285714280202147,
        0.1999999999995369,
        -0.333333333333332,
    ],
}
"""(atan(t) - t) / t**3 in t**2, for |t| <= tan(pi / 8)"""
_TAN_EIGHTH = 0.41421356237309503
_PI = {
    SINGLE: (3.1415927410125732, -8.742278000372485e-08),
    DOUBLE: (3.141592653589793, 1.2246467991473532e-16),
}
"""pi rounded, and the rest"""


def _arcsine(k: Body, magnitude: Value) -> tuple[Value, Value]:
    """Return asin(|x|) where |x| <= 1/2, else half of acos(|x|); and which it is."""
    large = k.compare("gt", magnitude, 0.5)
    rest = k.mul(k.sub(k.const(1.0), magnitude), k.const(0.5))
    square = k.pick(large, rest, k.mul(magnitude, magnitude))
    s = k.pick(large, k.sqrt(rest), magnitude)
    return k.fma(k.mul(s, square), k.polynomial(square, _ASIN[layout(k)]), s), large


def asin(k: Body, x: Value) -> Value:
    """Return the angle whose sine is x within 3 ulp; NaN beyond 1."""
    high, low = _PI[layout(k)]
    value, large = _arcsine(k, k.abs(x))
    far = k.sub(k.const(high / 2), k.sub(k.add(value, value), k.const(low / 2)))
    return copy_sign(k, k.pick(large, far, value), x)


def acos(k: Body, x: Value) -> Value:
    """Return the angle whose cosine is x within 2 ulp; NaN beyond 1."""
    high, low = _PI[layout(k)]
    value, large = _arcsine(k, k.abs(x))
    negative = k.compare("lt", x, 0.0)
    twice = k.add(value, value)
    far = k.pick(negative, k.sub(k.const(high), k.sub(twice, k.const(low))), twice)
    near = k.sub(k.const(high / 2), k.sub(copy_sign(k, value, x), k.const(low / 2)))
    return k.pick(large, far, near)


def atan(k: Body, x: Value) -> Value:
    """Return the angle whose tangent is x within 2 ulp."""
    high, low = _PI[layout(k)]
    a = k.abs(x)
    one = k.const(1.0)
    steep = k.compare("gt", a, 1.0 / _TAN_EIGHTH)
    middle = k.compare("gt", a, _TAN_EIGHTH)
    # atan(a) = pi / 2 + atan(-1 / a) = pi / 4 + atan((a - 1) / (a + 1))
    top = k.pick(steep, k.const(-1.0), k.pick(middle, k.sub(a, one), a))
    bottom = k.pick(steep, a, k.pick(middle, k.add(a, one), one))
    t = k.div(top, bottom)
    start = k.pick(steep, k.const(high / 2), k.pick(middle, k.const(high / 4), k.const(0.0)))
    rest = k.pick(steep, k.const(low / 2), k.pick(middle, k.const(low / 4), k.const(0.0)))
    return copy_sign(k, k.add(start, _small_angle(k, t, rest)), x)


def _small_angle(k: Body, t: Value, rest: Value | None = None) -> Value:
    """Return atan(t) + rest for |t| <= tan(pi / 8)."""
    square = k.mul(t, t)
    cubic = k.mul(k.mul(t, square), k.polynomial(square, _ATAN[layout(k)]))
    return k.add(t, cubic if rest is None else k.add(cubic, rest))


def atan2(k: Body, y: Value, x: Value) -> Value:
    """Return the angle of the point (x, y) within 3 ulp, signed zeros and infinities as in C99."""
    high, low = _PI[layout(k)]
    a, b = k.abs(x), k.abs(y)
    steep = k.compare("gt", b, a)
    small, large = k.pick(steep, a, b), k.pick(steep, b, a)
    # Two zeros make an angle of 0, two infinities one of pi / 4.
    same = k.compare("eq", small, large)
    ratio = k.pick(
        same, k.pick(k.compare("eq", large, 0.0), k.const(0.0), k.const(1.0)), k.div(small, large)
    )
    middle = k.compare("gt", ratio, _TAN_EIGHTH)
    one = k.const(1.0)
    t = k.pick(middle, k.div(k.sub(ratio, one), k.add(ratio, one)), ratio)
    rest = k.pick(middle, k.const(low / 4), k.const(0.0))
    angle = _small_angle(k, t, rest)
    angle = k.pick(middle, k.add(k.const(high / 4), angle), angle)
    angle = k.pick(steep, k.sub(k.const(high / 2), k.sub(angle, k.const(low / 2))), angle)
    backward = k.compare("lt", k.integers(x), k.function.constant(0, k.integers(x).type))
    angle = k.pick(backward, k.sub(k.const(high), k.sub(angle, k.const(low))), angle)
    angle = k.pick(k.compare("eq", x, x), angle, x)
    return copy_sign(k, k.pick(k.compare("eq", y, y), angle, y), y)
