"""Elementwise functions under NumPy's names."""

from __future__ import annotations

import operator as _operator
from math import inf as _inf
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.var import Var
from mnn.numpy.hosting import computed
from mnn.numpy.reductions import stored
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
from mnn.ops.convert import cast as _cast
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
true_divide = divide
invert = bitwise_not = _comparison.bitwise_not


def fix(x: Any, out: Any = None) -> Var:
    """Return x without its fraction: the nearest whole number towards 0."""
    return stored(trunc(x), out)


def _as_float(x: Any, name: str) -> Var:
    """Return x with integers and bools as float32."""
    var = as_var(x, name)
    return _cast(var, default_float) if var.dtype.kind in "biu" else var


def positive(x: Any, deepCopy: bool = False) -> Var:
    """Return +x; `deepCopy` is accepted for compatibility, the result has its own memory."""
    result: Var = _arithmetic.positive_(x)
    return result


def rint(x: Any) -> Var:
    """Return the nearest whole number, halves to even, as a float."""
    result: Var = _unary.rint(_as_float(x, "rint"))
    return result


def reciprocal(x: Any) -> Var:
    """Return 1 / x; for integers truncated to an integer, which is 0 but for 1 and -1."""
    var = as_var(x, "reciprocal")
    if var.dtype.kind == "b":
        var = _cast(var, _np.int8)
    if var.dtype.kind in "iu":
        return _comparison.select(absolute(var) == 1, var, 0)
    result: Var = _unary.reciprocal(var)
    return result


def divmod(x1: Any, x2: Any) -> tuple[Var, Var]:
    """Return `(x1 // x2, x1 % x2)`."""
    return _arithmetic.divmod_(x1, x2)


def fabs(x: Any) -> Var:
    """Return |x| as a float."""
    result: Var = _unary.abs(_as_float(x, "fabs"))
    return result


def float_power(x1: Any, x2: Any) -> Var:
    """Return x1 ** x2 in float64 or complex128, whatever the operands."""
    base, exponent = as_var(x1, "float_power"), as_var(x2, "float_power")
    several = "c" in (base.dtype.kind, exponent.dtype.kind)
    wide = _np.complex128 if several else _np.float64
    result: Var = power(_cast(base, wide), _cast(exponent, wide))
    return result


def hypot(x1: Any, x2: Any) -> Var:
    """Return sqrt(x1**2 + x2**2), scaled so that squares do not overflow."""
    a, b = unify_operands("hypot", [x1, x2], to_float=True)
    a, b = absolute(_as_float(a, "hypot")), absolute(_as_float(b, "hypot"))
    large = maximum(a, b)
    safe = _comparison.select(large > 0, large, 1.0)
    ratio = minimum(a, b) / safe
    finite: Var = large * sqrt(1.0 + ratio * ratio)
    # An infinite side decides, even beside NaN.
    return _comparison.select(isinf(a) | isinf(b), _inf, finite)


_DEGREE = 0.017453292519943295


def deg2rad(x: Any) -> Var:
    """Return degrees as radians."""
    return as_var(x, "deg2rad") * _DEGREE


def rad2deg(x: Any) -> Var:
    """Return radians as degrees."""
    return as_var(x, "rad2deg") * (1.0 / _DEGREE)


radians = deg2rad
degrees = rad2deg


def sign(x: Any) -> Var:
    """Return -1, 0 or 1 by the sign of x; for complex numbers x / |x|, computed by NumPy."""
    var = as_var(x, "sign")
    found: Var = computed(_np.sign, var) if var.dtype.kind == "c" else _unary.sign(var)
    return found


def round(a: Any, decimals: int = 0, out: Any = None) -> Var:
    """Return the nearest number with `decimals` digits after the point, halves to even.

    The parts of complex numbers are rounded by NumPy.
    """
    var = as_var(a, "round")
    if var.dtype.kind == "c":
        return stored(computed(_np.round, var, _operator.index(decimals)), out)
    return stored(_rounded(var, _operator.index(decimals)), out)


def _rounded(x: Var, decimals: int) -> Var:
    if x.dtype.kind == "b":
        x = _as_float(x, "round")
    if x.dtype.kind in "iu" and decimals >= 0:
        return x + 0
    if decimals == 0:
        result: Var = rint(x)
        return result
    factor = float(10 ** builtin_abs(decimals))
    if x.dtype.kind in "iu":
        whole: Var = rint(_cast(x, _np.float64) / factor) * factor
        return _cast(whole, x.dtype)
    scaled: Var = rint(x * factor) / factor if decimals > 0 else rint(x / factor) * factor
    return scaled


def builtin_abs(number: int) -> int:
    """Return |number| of a Python int."""
    return number if number >= 0 else -number


around = round


def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    where: Any = True,
    casting: str = "same_kind",
    order: str = "K",
    dtype: Any = None,
    subok: bool = True,
) -> Var:
    """Return elements limited to [a_min, a_max]; a bound of None does not limit.

    Args:
        a: array.
        a_min, a_max: bounds that broadcast to it.
        out: Var to write the result to.
        min, max: the same bounds under NumPy 2's names.
        where, casting, dtype: as for universal functions.
        order, subok: accepted for compatibility.

    Raises:
        ShapeError: a bound is given under both names, or does not broadcast.
    """
    x = as_var(a, "clip")
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ShapeError("clip: found a bound under two names. Give a_min or min, a_max or max.")
    a_min, a_max = (min if a_min is None else a_min), (max if a_max is None else a_max)
    if dtype is not None:
        x = _as_wanted("clip", x, dtype, casting)
    if a_min is not None and not _beyond(x, a_min, below=True):
        x = maximum(x, a_min)
    if a_max is not None and not _beyond(x, a_max, below=False):
        x = minimum(x, a_max)
    if dtype is not None:
        x = _as_wanted("clip", x, dtype, casting)
    if where is True:
        return stored(x, out)
    from mnn.numpy.universal import finish

    found: Var = finish("clip", x, out, where, casting)
    return found


def _as_wanted(name: str, x: Var, dtype: Any, casting: str) -> Var:
    """Return x in the type that the caller asks for, if the casting rule allows it."""
    wanted = as_dtype(dtype, what=f"{name}: dtype")
    if not _np.can_cast(x.dtype, wanted, casting):  # type: ignore[arg-type]
        raise DTypeError(
            f"{name}: {x.dtype} does not become {wanted} with casting={casting!r}. "
            "Use casting='unsafe' or astype."
        )
    return _cast(x, wanted)


def _beyond(x: Var, bound: Any, *, below: bool) -> bool:
    """Return True for a Python int that no element of an integer array can pass."""
    if type(bound) is not int or x.dtype.kind not in "iu":
        return False
    limits = _np.iinfo(x.dtype)
    return bound <= limits.min if below else bound >= limits.max
