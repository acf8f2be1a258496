"""Exponentials, hyperbolic functions and the activations made of them.

exp(x) = 2**n * exp(r) with n the integer nearest to x / log 2 and |r| <= log(2) / 2. Polynomials
here and in the other modules are minimax fits with coefficients of the right format (fpminimax of
S. Chevillard, M. Joldes and C. Lauter, "Sollya", 2010), some with the series' first coefficients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnn.codegen.builder import Value
from mnn.codegen.mathematics.floats import (
    DOUBLE,
    LOG_2,
    SINGLE,
    copy_sign,
    layout,
    nearest,
    power,
    scale,
    top_half,
)
from mnn.codegen.mathematics.logarithm import log1p_of_fraction

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = [
    "DECAY_SHIFT",
    "EXP2",
    "cosh",
    "decay",
    "decay_of_square",
    "exp",
    "exp2",
    "expm1",
    "gelu_tanh",
    "mish",
    "sigmoid",
    "silu",
    "sinh",
    "softplus",
    "tanh",
]

_LOG2_E = 1.4426950408889634
_EXP = {
    SINGLE: [0.0013782458, 0.008368669, 0.041668963, 0.16666521, 0.4999999, 1.0, 1.0],
    DOUBLE: [
        2.5004469510469975e-08,
        2.763043895943975e-07,
        2.7557572329116758e-06,
        2.480149249563142e-05,
        0.00019841269522449082,
        0.0013888888944304327,
        0.008333333333487052,
        0.04166666666652707,
        0.16666666666666424,
        0.5000000000000011,
        1.0,
        1.0,
    ],
}
"""exp(r)"""
_EXPM1 = {
    SINGLE: [0.0013864518, 0.008366532, 0.041667502, 0.16666543, 0.49999997],
    DOUBLE: [
        2.088943371899195e-09,
        2.510911846721679e-08,
        2.7557352991752844e-07,
        2.7557243934186863e-06,
        2.480158723751226e-05,
        0.00019841269886454766,
        0.0013888888888923792,
        0.00833333333332147,
        0.04166666666666661,
        0.16666666666666677,
        0.5,
    ],
}
"""(exp(r) - 1 - r) / r**2"""
EXP2 = {
    SINGLE: [0.00015241285, 0.0013391302, 0.009618834, 0.05550359, 0.24022645, 0.6931472, 1.0],
    DOUBLE: [
        4.451517988099611e-10,
        7.0738941805687345e-09,
        1.0178076598318694e-07,
        1.3215434563166104e-06,
        1.5252733828893382e-05,
        0.00015403530458754544,
        0.0013333558146358634,
        0.009618129107592587,
        0.05550410866482233,
        0.24022650695910136,
        0.6931471805599453,
        1.0,
    ],
}
"""2**r for |r| <= 1/2"""
_SINH = {
    SINGLE: [0.00020372833, 0.008330274, 0.16666716],
    DOUBLE: [
        7.76592274474038e-13,
        1.605699978759092e-10,
        2.5052126863862455e-08,
        2.7557319130344088e-06,
        0.0001984126984153126,
        0.00833333333333297,
        0.16666666666666669,
    ],
}
"""(sinh(x) - x) / x**3 in x**2, for |x| <= 1"""
# tanh(x) / x = P / Q in x**2 for |x| <= 9.02, where tanh is 1 in float32.
_TANH_LIMIT = 9.02
_TANH_P = [-1.2267512e-11, 3.0672204e-08, 2.80458e-05, 0.0038703096, 0.13681515, 1.0]
_TANH_Q = [1.28996715e-06, 0.00039420673, 0.027253153, 0.47014847, 1.0]

# Arguments beyond which exp is surely 0, infinite, or (expm1) -1.
_LOWEST = {SINGLE: -104.0, DOUBLE: -746.0}
_HIGHEST = {SINGLE: 89.0, DOUBLE: 710.0}
_NEGLIGIBLE = {SINGLE: -20.0, DOUBLE: -40.0}
_DEEPEST = {SINGLE: -120.0, DOUBLE: -780.0}
DECAY_SHIFT = {SINGLE: 64, DOUBLE: 128}
"""Powers of two by which `decay` is too large, so that it is never denormal."""


def _split(k: Body, x: Value, shift: int = 0) -> tuple[Value, Value, Value]:
    """Return (r, n as float, bits of n + shift) with x = n * log(2) + r."""
    high, low = LOG_2[layout(k)]
    whole, bits = nearest(k, x, _LOG2_E, shift)
    r = k.fma(whole, k.const(-low), k.fma(whole, k.const(-high), x))
    return r, whole, bits


def exp(k: Body, x: Value) -> Value:
    """Return e to the x within 2 ulp."""
    form = layout(k)
    x = k.at_most(k.at_least(x, _LOWEST[form]), _HIGHEST[form])
    r, whole, bits = _split(k, x)
    return scale(k, k.polynomial(r, _EXP[form]), whole, bits)


def exp2(k: Body, x: Value) -> Value:
    """Return 2 to the x within 2 ulp; exact for integers."""
    form = layout(k)
    limit = form.bias + form.mantissa + 4.0
    x = k.at_most(k.at_least(x, -limit), form.bias + 2.0)
    whole, bits = nearest(k, x)
    return scale(k, k.polynomial(k.sub(x, whole), EXP2[form]), whole, bits)


def expm1(k: Body, x: Value) -> Value:
    """Return exp(x) - 1 within 2 ulp, without cancellation near 0."""
    form = layout(k)
    clipped = k.at_most(k.at_least(x, _NEGLIGIBLE[form]), _HIGHEST[form])
    # Half of 2**n, because 2**n may be beyond the largest number.
    r, _, bits = _split(k, clipped, form.bias - 1)
    half = power(k, bits)
    rest = k.fma(k.mul(r, r), k.polynomial(r, _EXPM1[form]), r)
    result = k.fma(half, rest, k.sub(half, k.const(0.5)))
    tiny = k.compare("lt", k.abs(x), form.unit)
    return k.pick(tiny, x, k.add(result, result))


def decay(k: Body, x: Value) -> tuple[Value, Value]:
    """Return exp(-|x|) * 2**DECAY_SHIFT within 2 ulp, and -|x|, but not below some -120 (-780).

    The factor makes products with numbers up to the latter precise, whatever underflows in the end.
    """
    form = layout(k)
    x = k.at_least(k.neg(k.abs(x)), _DEEPEST[form])
    r, _, bits = _split(k, x, form.bias + DECAY_SHIFT[form])
    return k.mul(k.polynomial(r, _EXP[form]), power(k, bits)), x


def decay_of_square(k: Body, x: Value, factor: float) -> Value:
    """Return exp(-factor * x**2) * 2**DECAY_SHIFT for a power of two `factor`.

    The exponent must be >= -120 (float64: -780). NaN gives any number.
    """
    form = layout(k)
    scaled = k.mul(x, k.const(-factor))
    square = k.mul(scaled, x)
    high, low = LOG_2[form]
    whole, bits = nearest(k, square, _LOG2_E, DECAY_SHIFT[form])
    if k.function.target.fused:
        r = k.fma(scaled, x, k.mul(whole, k.const(-high)))
    else:
        # The square of a number is known exactly as the product of halves and a small rest.
        top = top_half(k, x)
        rest = k.mul(k.mul(k.sub(x, top), k.add(x, top)), k.const(-factor))
        r = k.add(
            k.add(k.mul(whole, k.const(-high)), k.mul(k.mul(top, top), k.const(-factor))), rest
        )
    r = k.fma(whole, k.const(-low), r)
    value = k.integers(k.polynomial(r, _EXP[form]))
    return k.floats(k.integer_op("add", value, k.integer_op("shl", bits, form.mantissa)))


# --- activations ----------------------------------------------------------------------------------


def sigmoid(k: Body, x: Value) -> Value:
    """Return 1 / (1 + exp(-x)) within 3 ulp, with exact tails."""
    one = k.const(1.0)
    large, _ = decay(k, x)
    small = k.mul(large, k.const(2.0 ** -DECAY_SHIFT[layout(k)]))
    top = k.pick(k.compare("lt", x, 0.0), small, one)
    return k.div(top, k.add(small, one))


def silu(k: Body, x: Value) -> Value:
    """Return x * sigmoid(x) within 4 ulp; -0.0 at minus infinity."""
    large, clipped = decay(k, x)
    back = k.const(2.0 ** -DECAY_SHIFT[layout(k)])
    low = k.mul(k.mul(clipped, large), back)
    top = k.pick(k.compare("lt", x, 0.0), low, x)
    return k.div(top, k.fma(large, back, k.const(1.0)))


def mish(k: Body, x: Value) -> Value:
    """Return x * tanh(softplus(x)) within 4 ulp; -0.0 at minus infinity.

    With n = exp(x), tanh(softplus(x)) = n (n + 2) / (n (n + 2) + 2).
    """
    large, clipped = decay(k, x)
    back = k.const(2.0 ** -DECAY_SHIFT[layout(k)])
    small = k.mul(large, back)
    square = k.mul(small, small)
    one, two = k.const(1.0), k.const(2.0)
    negative = k.compare("lt", x, 0.0)
    low = k.mul(k.mul(k.mul(clipped, large), k.add(small, two)), back)
    top = k.pick(negative, low, k.mul(x, k.fma(two, small, one)))
    twice = k.add(small, small)
    bottom = k.add(k.pick(negative, k.add(square, twice), k.fma(two, square, twice)), one)
    return k.div(top, k.pick(negative, k.add(bottom, one), bottom))


def gelu_tanh(k: Body, x: Value) -> Value:
    """Return x * sigmoid(2u), u = sqrt(2 / pi) * (x + 0.044715 * x**3): 0.5 * x * (1 + tanh(u)).

    Within 3 ulp for x > -1; to the left the relative error grows with |u|, as that of exp(2u).
    """
    twice = 2.0 * 0.7978845608028654
    square = k.mul(x, x)
    u = k.mul(x, k.fma(square, k.const(0.044715 * twice), k.const(twice)))
    form = layout(k)
    large, _ = decay(k, u)
    back = k.const(2.0 ** -DECAY_SHIFT[form])
    # Where the product would be infinite times 0, any argument gives 0.
    clipped = k.at_least(x, -64.0)
    low = k.mul(k.mul(clipped, large), back)
    top = k.pick(k.compare("lt", x, 0.0), low, x)
    return k.div(top, k.fma(large, back, k.const(1.0)))


def softplus(k: Body, x: Value) -> Value:
    """Return log(1 + exp(x)) within 3 ulp."""
    large, _ = decay(k, x)
    small = k.mul(large, k.const(2.0 ** -DECAY_SHIFT[layout(k)]))
    return k.add(k.at_least(x, 0.0), log1p_of_fraction(k, small))


# --- hyperbolic functions -------------------------------------------------------------------------


def _half_exp(k: Body, x: Value) -> tuple[Value, Value]:
    """Return exp(|x|) / 2 and a quarter of its inverse: cosh is the sum, sinh the difference."""
    form = layout(k)
    x = k.at_most(k.abs(x), _HIGHEST[form] + 1.0)
    r, _, bits = _split(k, x, form.bias - 3)
    half = k.mul(k.mul(k.polynomial(r, _EXP[form]), power(k, bits)), k.const(4.0))
    return half, k.div(k.const(0.25), half)


def cosh(k: Body, x: Value) -> Value:
    """Return the hyperbolic cosine within 2 ulp."""
    return k.add(*_half_exp(k, x))


def sinh(k: Body, x: Value) -> Value:
    """Return the hyperbolic sine within 2 ulp."""
    large = copy_sign(k, k.sub(*_half_exp(k, x)), x)
    square = k.mul(x, x)
    small = k.fma(k.mul(x, square), k.polynomial(square, _SINH[layout(k)]), x)
    return k.pick(k.compare("lt", k.abs(x), 1.0), small, large)


def tanh(k: Body, x: Value) -> Value:
    """Return the hyperbolic tangent within 6 ulp (float64: 3); never beyond 1."""
    if layout(k) is SINGLE:
        x = k.at_most(k.at_least(x, -_TANH_LIMIT), _TANH_LIMIT)
        square = k.mul(x, x)
        top = k.mul(x, k.polynomial(square, _TANH_P))
        return k.div(top, k.polynomial(square, _TANH_Q))
    magnitude = k.at_most(k.abs(x), 20.0)
    grown = expm1(k, k.add(magnitude, magnitude))
    return copy_sign(k, k.div(grown, k.add(grown, k.const(2.0))), x)
