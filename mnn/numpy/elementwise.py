"""Elementwise functions under NumPy's names."""

from __future__ import annotations

from typing import Any

from mnn.expr.var import Var
from mnn.ops import arithmetic as _arithmetic
from mnn.ops import comparison as _comparison
from mnn.ops import trigonometry as _trigonometry
from mnn.ops import unary as _unary
from mnn.ops.arithmetic import add, divide, maximum, minimum, multiply, negative, subtract
from mnn.ops.comparison import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    left_shift,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    right_shift,
)
from mnn.ops.elementwise import unify_operands
from mnn.ops.operands import as_var
from mnn.ops.trigonometry import cos, cosh, sin, sinh, tan, tanh
from mnn.ops.unary import (
    cbrt,
    ceil,
    exp,
    exp2,
    expm1,
    floor,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    log2,
    log10,
    reciprocal,
    rint,
    sign,
    sqrt,
    square,
    trunc,
)

__all__ = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "around",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "float_power",
    "floor",
    "floor_divide",
    "fmod",
    "greater",
    "greater_equal",
    "hypot",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "not_equal",
    "positive",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]

abs = absolute = _unary.abs
arccos, arccosh = _trigonometry.acos, _trigonometry.acosh
arcsin, arcsinh = _trigonometry.asin, _trigonometry.asinh
arctan, arctanh = _trigonometry.atan, _trigonometry.atanh
arctan2 = _arithmetic.atan2
power = _arithmetic.pow
floor_divide = _arithmetic.floordiv
mod = remainder = _arithmetic.mod
fmod = _arithmetic.truncated_remainder
positive = _arithmetic.positive_
true_divide = divide
invert = bitwise_not = _comparison.bitwise_not
fix = trunc


def divmod(x1: Any, x2: Any) -> tuple[Var, Var]:
    """Return `(x1 // x2, x1 % x2)`."""
    return _arithmetic.divmod_(x1, x2)


def fabs(x: Any) -> Var:
    """Return |x| as a float."""
    result: Var = _unary.abs(as_var(x, "fabs") * 1.0)
    return result


def float_power(x1: Any, x2: Any) -> Var:
    """Return x1 ** x2, a float also for integers."""
    result: Var = power(as_var(x1, "float_power") * 1.0, x2)
    return result


def hypot(x1: Any, x2: Any) -> Var:
    """Return sqrt(x1**2 + x2**2), scaled so that squares do not overflow."""
    a, b = unify_operands("hypot", [x1, x2], to_float=True)
    a, b = absolute(a * 1.0), absolute(b * 1.0)
    large = maximum(a, b)
    safe = _comparison.select(large > 0, large, 1.0)
    ratio = minimum(a, b) / safe
    finite: Var = large * sqrt(1.0 + ratio * ratio)
    return _comparison.select(isinf(large), large, finite)


_DEGREE = 0.017453292519943295


def deg2rad(x: Any) -> Var:
    """Return degrees as radians."""
    return as_var(x, "deg2rad") * _DEGREE


def rad2deg(x: Any) -> Var:
    """Return radians as degrees."""
    return as_var(x, "rad2deg") * (1.0 / _DEGREE)


radians = deg2rad
degrees = rad2deg


def round(a: Any, decimals: int = 0) -> Var:
    """Return the nearest number with `decimals` digits after the point, halves to even."""
    x = as_var(a, "round")
    if x.dtype.kind in "biu" and decimals >= 0:
        return x + 0 if x.dtype.kind != "b" else x
    if decimals == 0:
        result: Var = rint(x)
        return result
    factor = float(10 ** builtin_abs(decimals))
    if x.dtype.kind in "iu":
        whole: Var = rint(x / factor) * factor
        from mnn.ops.convert import cast

        return cast(whole, x.dtype)
    scaled: Var = rint(x * factor) / factor if decimals > 0 else rint(x / factor) * factor
    return scaled


def builtin_abs(number: int) -> int:
    """Return |number| of a Python int."""
    return number if number >= 0 else -number


around = round


def clip(a: Any, a_min: Any = None, a_max: Any = None) -> Var:
    """Return elements limited to [a_min, a_max]; a bound of None does not limit."""
    x = as_var(a, "clip")
    if a_min is not None:
        x = maximum(x, a_min)
    if a_max is not None:
        x = minimum(x, a_max)
    return x
