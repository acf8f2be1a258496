"""Logarithms and the inverse hyperbolic functions, which are logarithms.

x = m * 2**e with sqrt(1/2) <= m < sqrt(2), and log(m) = f - f**2 / 2 + rest for f = m - 1. In
float64 the rest comes from log(m) = 2 atanh(s), s = f / (2 + f), and other bases take the parts of
log(m) times a factor of two parts, after FreeBSD's k_log.h and e_log2.c (Sun Microsystems).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mnn.codegen.builder import Value
from mnn.codegen.mathematics.floats import (
    DOUBLE,
    LOG_2,
    SINGLE,
    copy_sign,
    frexp,
    layout,
    top_half,
)

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["acosh", "asinh", "atanh", "log", "log1p", "log1p_of_fraction", "log2", "log10"]

_INF = float("inf")
# Constants as a number of few bits, whose products with exponents or short numbers are exact, and
# the rest.
_LOG10_2 = {
    SINGLE: (0.301025390625, 4.605038981195214e-06),
    DOUBLE: (0.3010299955494702, 1.1451100898021838e-10),
}
_LOG10_E = (0.4342944771051407, 4.798111141615973e-09)
_LOG2_E = (1.4426950216293335, 1.9259629911266175e-08)
_LOG2_1P = [
    0.1262114,
    -0.20706753,
    0.2154533,
    -0.23896283,
    0.28795174,
    -0.3607037,
    0.48090908,
    -0.72134733,
    1.442695,
]
"""log2(1 + f) / f"""
_LOG10_1P = [
    0.03781421,
    -0.06255199,
    0.06504608,
    -0.07191018,
    0.08665514,
    -0.108583204,
    0.14476927,
    -0.21714719,
    0.43429446,
]
"""log10(1 + f) / f"""
_LOG1P_OF_FRACTION = [
    -0.0033124348,
    0.020176446,
    -0.057609394,
    0.10674694,
    -0.15351717,
    0.19694024,
    -0.24958293,
    0.3333048,
    -0.4999993,
]
"""(log(1 + x) - x) / x**2 for 0 <= x <= 1"""
_REST = {
    SINGLE: [
        -0.072358996,
        0.12537841,
        -0.13219914,
        0.14244244,
        -0.16620891,
        0.19998668,
        -0.25000843,
        0.3333338,
    ],
    DOUBLE: [
        0.14795443494759591,
        0.1531410388735061,
        0.18183562120223187,
        0.22222198618341307,
        0.28571428741915456,
        0.3999999999941699,
        0.6666666666666734,
    ],
}
"""float32: (log(1 + f) - f + f**2 / 2) / f**3; float64: (2 atanh(s) - 2 s) / s**3 in s**2"""


class _Parts(NamedTuple):
    """log(m) = f - half + rest."""

    f: Value
    half: Value
    rest: Value


def _parts(k: Body, f: Value) -> _Parts:
    form = layout(k)
    square = k.mul(f, f)
    half = k.mul(square, k.const(0.5))
    if form is SINGLE:
        return _Parts(f, half, k.mul(k.mul(f, square), k.polynomial(f, _REST[form])))
    s = k.div(f, k.add(f, k.const(2.0)))
    z = k.mul(s, s)
    series = k.mul(z, k.polynomial(z, _REST[form]))
    return _Parts(f, half, k.mul(s, k.add(half, series)))


def _natural(k: Body, e: Value, parts: _Parts) -> Value:
    """Return e * log(2) + log(m)."""
    high, low = LOG_2[layout(k)]
    small = k.sub(k.fma(e, k.const(low), parts.rest), parts.half)
    return k.fma(e, k.const(high), k.add(parts.f, small))


def _scaled(
    k: Body, e: Value, parts: _Parts, factor: tuple[float, float], two: tuple[float, float]
) -> Value:
    """Return e * two + log(m) * factor, both factors as (few bits, rest), on float64."""
    high = top_half(k, k.sub(parts.f, parts.half))
    low = k.add(k.sub(k.sub(parts.f, high), parts.half), parts.rest)
    rest = k.mul(k.add(high, low), k.const(factor[1]))
    rest = k.fma(low, k.const(factor[0]), k.fma(e, k.const(two[1]), rest))
    whole = k.mul(e, k.const(two[0]))
    large = k.mul(high, k.const(factor[0]))
    total = k.add(whole, large)
    return k.add(total, k.add(rest, k.add(k.sub(whole, total), large)))


def _with_limits(k: Body, x: Value, result: Value) -> Value:
    """Return the result for positive finite x, else what logarithms give: inf, NaN, -inf at 0."""
    result = k.pick(k.compare("lt", x, _INF), result, x)
    below = k.pick(k.compare("eq", x, 0.0), k.const(-_INF), k.const(float("nan")))
    return k.pick(k.compare("gt", x, 0.0), result, below)


def log(k: Body, x: Value) -> Value:
    """Return the natural logarithm within 1 ulp."""
    e, m, _ = frexp(k, x)
    return _with_limits(k, x, _natural(k, e, _parts(k, k.sub(m, k.const(1.0)))))


def log2(k: Body, x: Value) -> Value:
    """Return the logarithm to base 2 within 2 ulp; exact for powers of two."""
    e, m, _ = frexp(k, x)
    f = k.sub(m, k.const(1.0))
    if layout(k) is SINGLE:
        result = k.fma(f, k.polynomial(f, _LOG2_1P), e)
    else:
        result = _scaled(k, e, _parts(k, f), _LOG2_E, (1.0, 0.0))
    return _with_limits(k, x, result)


def log10(k: Body, x: Value) -> Value:
    """Return the logarithm to base 10 within 2 ulp."""
    e, m, _ = frexp(k, x)
    f = k.sub(m, k.const(1.0))
    two = _LOG10_2[layout(k)]
    if layout(k) is SINGLE:
        small = k.fma(e, k.const(two[1]), k.mul(f, k.polynomial(f, _LOG10_1P)))
        result = k.fma(e, k.const(two[0]), small)
    else:
        result = _scaled(k, e, _parts(k, f), _LOG10_E, two)
    return _with_limits(k, x, result)


def log1p_of_fraction(k: Body, x: Value) -> Value:
    """Return log(1 + x) within 2 ulp for 0 <= x <= 1."""
    if layout(k) is DOUBLE:
        return log1p(k, x)
    return k.fma(k.mul(x, x), k.polynomial(x, _LOG1P_OF_FRACTION), x)


def log1p(k: Body, x: Value) -> Value:
    """Return log(1 + x) within 2 ulp, without cancellation near 0."""
    form = layout(k)
    one = k.const(1.0)
    total = k.add(x, one)
    e, m, inverse = frexp(k, total)
    # What rounding took from 1 + x is put back, in the scale of m, unless it does not matter.
    part = k.sub(total, one)
    lost = k.add(k.sub(one, k.sub(total, part)), k.sub(x, part))
    lost = k.pick(k.compare("lt", x, 2.0 ** (form.mantissa + 2)), k.mul(lost, inverse), 0.0)
    result = _natural(k, e, _parts(k, k.add(k.sub(m, one), lost)))
    result = k.pick(k.compare("lt", x, _INF), result, x)
    below = k.pick(k.compare("eq", x, -1.0), k.const(-_INF), k.const(float("nan")))
    result = k.pick(k.compare("gt", x, -1.0), result, below)
    return copy_sign(k, result, x)


# --- inverse hyperbolic functions -----------------------------------------------------------------


def asinh(k: Body, x: Value) -> Value:
    """Return the inverse hyperbolic sine within 3 ulp."""
    a = k.abs(x)
    square = k.mul(a, a)
    root = k.sqrt(k.add(square, k.const(1.0)))
    small = k.add(a, k.div(square, k.add(root, k.const(1.0))))
    return copy_sign(k, _log1p_or_double(k, a, small), x)


def acosh(k: Body, x: Value) -> Value:
    """Return the inverse hyperbolic cosine within 3 ulp; NaN below 1."""
    t = k.sub(x, k.const(1.0))
    small = k.add(t, k.sqrt(k.fma(t, t, k.add(t, t))))
    result = _log1p_or_double(k, x, small)
    return k.pick(k.compare("ge", x, 1.0), result, k.const(float("nan")))


def _log1p_or_double(k: Body, x: Value, small: Value) -> Value:
    """Return log1p(small), or log(2 x) where x is so large that its square does not matter."""
    form = layout(k)
    large = k.compare("gt", x, 2.0 ** (form.mantissa + 2))
    result = log1p(k, k.pick(large, x, small))
    return k.add(result, k.pick(large, k.const(0.6931471805599453), k.const(0.0)))


def atanh(k: Body, x: Value) -> Value:
    """Return the inverse hyperbolic tangent within 3 ulp; infinite at 1, NaN beyond."""
    a = k.abs(x)
    ratio = k.div(k.add(a, a), k.sub(k.const(1.0), a))
    return copy_sign(k, k.mul(log1p(k, ratio), k.const(0.5)), x)
