"""Powers and roots.

x**y = 2**(y * log2 |x|), with the sign that an odd y gives. float32 is computed in float64. In
float64 the logarithm needs twice the precision: it is a sum of two numbers (T. J. Dekker, "A
floating-point technique for extending the available precision", 1971).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mnn.codegen.builder import I64, Value
from mnn.codegen.mathematics.exponential import EXP2
from mnn.codegen.mathematics.floats import (
    DOUBLE,
    SINGLE,
    add_exact,
    copy_sign,
    frexp,
    layout,
    multiply_exact,
    nearest,
    power,
    scale,
)

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["cbrt", "pow"]

_INF = float("inf")
# log2(m) = s * (c0 + c1 * z + ...) with s = (m - 1) / (m + 1), z = s**2. First for float32.
_LOG2_SHORT = [
    0.3407297586696003,
    0.41167273658852377,
    0.5770835846972002,
    0.9617966733430159,
    2.8853900817900855,
]
_EXP2_SHORT = [
    0.0001535336171356867,
    0.0013398874402353912,
    0.00961843735851526,
    0.055503324711712355,
    0.24022647913619855,
    0.6931472028550245,
    1.0,
]
# Then for float64; what follows the first two coefficients is a fit to the rest of the series.
_LOG2_0 = (2.8853900817779268, 4.0710547481862066e-17)
_LOG2_1 = (0.9617966939259756, 5.0577616648125907e-17)
_LOG2_REST = [
    0.17218745857489467,
    0.1685484381056277,
    0.19239539947915414,
    0.22195245628132582,
    0.2623081954482505,
    0.3205988979427573,
    0.4121985831112094,
    0.5770780163555854,
]


_CBRT = {
    SINGLE: [
        -0.0068722717,
        0.073882185,
        -0.3259876,
        0.7713844,
        -1.1008401,
        1.1953338,
        0.39289978,
    ],
    DOUBLE: [-0.019556766, 0.1533565, -0.4739412, 0.89842343, 0.44355354],
}
"""First guesses of the cube root between 0.35 and 2.83: within 2**-11 and 2**-9"""
_CBRT_STEPS = {SINGLE: 1, DOUBLE: 2}


def pow(k: Body, x: Value, y: Value) -> Value:
    """Return x to the y within 2 ulp, special cases as in C99."""
    shortcut = _SHORTCUTS.get(k.known(y))
    if shortcut is not None:
        return shortcut(k, x)
    a = k.abs(x)
    result = _power_single(k, a, y) if layout(k) is SINGLE else _power_double(k, a, y)
    usual = _both(k, k.compare("gt", x, 0.0), k.compare("lt", x, _INF))
    usual = _both(k, usual, k.compare("lt", k.abs(y), _INF))
    f = k.function
    # A loop of one turn or none: most vectors have only finite powers of positive numbers.
    special = k.any(k.bits("bitwise_not", usual))
    with f.loop(0, f.make(f"zext i1 {special.text} to i64", I64), 1, [result]) as loop:
        loop.next = [_with_special_cases(k, x, y, loop.carried[0])]
    return loop.results[0]


def _with_special_cases(k: Body, x: Value, y: Value, result: Value) -> Value:
    """Return x to the y, given that of |x| where it is usual."""
    a = k.abs(x)
    result = _with_limits(k, a, y, result)
    half = k.mul(y, k.const(0.5))
    whole = k.compare("eq", k.round("trunc", y), y)
    odd = _both(k, whole, k.compare("ne", k.round("trunc", half), half))
    result = k.pick(_both(k, k.negative(x), odd), k.neg(result), result)
    finite = _both(k, k.compare("lt", x, 0.0), k.compare("gt", x, -_INF))
    result = k.pick(_both(k, finite, k.bits("bitwise_not", whole)), float("nan"), result)
    result = k.pick(k.unordered(x, y), k.add(x, y), result)
    # One to any power, anything to the power 0, and -1 to an infinite power.
    flat = _both(k, k.compare("eq", a, 1.0), k.compare("eq", k.abs(y), _INF))
    ones = _either(k, k.compare("eq", x, 1.0), k.compare("eq", y, 0.0))
    return k.pick(_either(k, ones, flat), 1.0, result)


def _both(k: Body, left: Value, right: Value) -> Value:
    return k.logical("logical_and", left, right)


def _either(k: Body, left: Value, right: Value) -> Value:
    return k.logical("logical_or", left, right)


def _with_limits(k: Body, a: Value, y: Value, result: Value) -> Value:
    """Return the power of a >= 0, right where a is 0 or infinite, or y is infinite."""
    limit = _either(k, k.compare("eq", a, 0.0), k.compare("eq", a, _INF))
    limit = _either(k, limit, k.compare("eq", k.abs(y), _INF))
    sinks = k.logical("logical_xor", k.compare("gt", a, 1.0), k.compare("gt", y, 0.0))
    return k.pick(limit, k.pick(sinks, k.const(0.0), k.const(_INF)), result)


def _power_single(k: Body, a: Value, y: Value) -> Value:
    """Return a**y for positive finite float32, by way of float64."""
    wide = k.wide
    e, m, _ = frexp(wide, k.widen(a), normal=True)
    one = wide.const(1.0)
    s = wide.div(wide.sub(m, one), wide.add(m, one))
    logarithm = wide.fma(s, wide.polynomial(wide.mul(s, s), _LOG2_SHORT), e)
    total = wide.mul(k.widen(y), logarithm)
    total = wide.at_most(wide.at_least(total, -200.0), 200.0)
    n, bits = nearest(wide, total, shift=DOUBLE.bias)
    value = wide.polynomial(wide.sub(total, n), _EXP2_SHORT)
    return k.narrow(wide.mul(value, power(wide, bits)))


def _power_double(k: Body, a: Value, y: Value) -> Value:
    """Return a**y for positive finite float64."""
    high, low = _long_log2(k, a)
    # Larger exponents give infinity, 0 or 1 just as well.
    y = k.at_most(k.at_least(y, -(2.0**80)), 2.0**80)
    total, lost = multiply_exact(k, y, high)
    lost = k.fma(y, low, lost)
    lost = k.pick(k.compare("lt", k.abs(total), 1100.0), lost, 0.0)
    total = k.at_most(k.at_least(total, -1100.0), 1100.0)
    n, bits = nearest(k, total)
    rest = k.add(k.sub(total, n), lost)
    return scale(k, k.polynomial(rest, EXP2[DOUBLE]), n, bits)


def _long_log2(k: Body, a: Value) -> tuple[Value, Value]:
    """Return log2(a) as a sum of two numbers, about 2**-65 away."""
    e, m, _ = frexp(k, a)
    one = k.const(1.0)
    f = k.sub(m, one)
    g, g_low = add_exact(k, m, one)
    s = k.div(f, g)
    product, lost = multiply_exact(k, s, g)
    left = k.sub(k.sub(f, product), lost)
    s_low = k.div(k.sub(left, k.mul(s, g_low)), g)
    z, z_low = multiply_exact(k, s, s)
    z_low = k.fma(k.add(s, s), s_low, z_low)
    # c1 = _LOG2_1 + z * ..., c0 = _LOG2_0 + z * c1, result = e + s * c0
    rest = k.mul(z, k.polynomial(z, _LOG2_REST))
    c1, c1_low = add_exact(k, k.const(_LOG2_1[0]), rest, ordered=True)
    c1_low = k.add(c1_low, k.const(_LOG2_1[1]))
    w, w_low = multiply_exact(k, z, c1)
    w_low = k.add(w_low, k.fma(z, c1_low, k.mul(z_low, c1)))
    c0, c0_low = add_exact(k, k.const(_LOG2_0[0]), w, ordered=True)
    c0_low = k.add(k.add(c0_low, k.const(_LOG2_0[1])), w_low)
    high, low = multiply_exact(k, s, c0)
    low = k.add(low, k.fma(s, c0_low, k.mul(s_low, c0)))
    total, lost = add_exact(k, e, high, ordered=True)
    return total, k.add(lost, low)


_SHORTCUTS: dict[float | None, Callable[[Body, Value], Value]] = {
    0.0: lambda k, x: k.const(1.0),
    0.5: lambda k, x: k.sqrt(x),
    1.0: lambda k, x: x,
    2.0: lambda k, x: k.mul(x, x),
    3.0: lambda k, x: k.mul(k.mul(x, x), x),
    -1.0: lambda k, x: k.div(k.const(1.0), x),
}
"""Known exponents. NumPy, too, returns the square root for a single exponent of 1/2, which differs
at -0.0 and minus infinity."""


def cbrt(k: Body, x: Value) -> Value:
    """Return the cube root within 1 ulp."""
    form = layout(k)
    a = k.abs(x)
    e, m, _ = frexp(k, a)
    third, bits = nearest(k, e, 1.0 / 3.0, form.bias)
    _, rest = nearest(k, k.fma(third, k.const(-3.0), e), shift=form.bias)
    m = k.mul(m, power(k, rest))
    root = k.polynomial(m, _CBRT[form])
    for _ in range(_CBRT_STEPS[form]):
        # E. Halley's method.
        square = k.mul(root, root)
        cube = k.mul(square, root)
        error = k.sub(m, cube) if not k.function.target.fused else k.fma(k.neg(square), root, m)
        root = k.fma(root, k.div(error, k.fma(cube, k.const(2.0), m)), root)
    root = k.mul(root, power(k, bits))
    plain = _both(k, k.compare("gt", a, 0.0), k.compare("lt", a, _INF))
    return copy_sign(k, k.pick(plain, root, a), x)
