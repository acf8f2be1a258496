"""Signs, neighbours, parts, whole numbers and complex numbers, element by element."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError
from mnn.expr.dtypes import default_float
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.reductions import stored
from mnn.ops import elementary as _elementary
from mnn.ops.arithmetic import atan2 as _atan2
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.elementary import (
    bitwise_count,
    copysign,
    fmax,
    fmin,
    frexp,
    gcd,
    heaviside,
    lcm,
    ldexp,
    logaddexp,
    logaddexp2,
    nextafter,
    signbit,
    spacing,
)
from mnn.ops.operands import as_var
from mnn.ops.trigonometry import sin as _sin
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import exp as _exp
from mnn.ops.unary import isinf as _isinf
from mnn.ops.unary import sqrt as _sqrt
from mnn.ops.unary import trunc as _trunc

__all__ = [
    "angle",
    "bitwise_count",
    "conj",
    "conjugate",
    "copysign",
    "fmax",
    "fmin",
    "frexp",
    "gcd",
    "heaviside",
    "i0",
    "imag",
    "iscomplex",
    "iscomplexobj",
    "isneginf",
    "isposinf",
    "isreal",
    "isrealobj",
    "lcm",
    "ldexp",
    "logaddexp",
    "logaddexp2",
    "modf",
    "nan_to_num",
    "nextafter",
    "real",
    "real_if_close",
    "signbit",
    "sinc",
    "spacing",
]

conjugate = conj = _elementary.conjugate


def _real_float(x: Any, name: str) -> Var:
    """Return x with integers and bools as float32; complex numbers are refused."""
    var = as_var(x, name)
    if var.dtype.kind == "c":
        raise DTypeError(f"{name}: found {var.dtype}, expected real numbers.")
    return cast(var, default_float) if var.dtype.kind in "biu" else var


def modf(x: Any) -> tuple[Var, Var]:
    """Return the fraction and the whole part of x, both with the sign of x."""
    var = _real_float(x, "modf")
    whole: Var = _trunc(var)
    rest = _select(_isinf(var), cast(0.0, var.dtype), var - whole)
    return copysign(rest, var), whole


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Var:
    """Return x with numbers for NaN and the infinities.

    Args:
        x: array; integers are returned as they are.
        copy: False: x itself is changed if it is a Var.
        nan: for NaN.
        posinf, neginf: for the infinities; None: the largest and smallest number of the type.
    """
    var = as_var(x, "nan_to_num")
    found: Var = _elementary.nan_to_num(
        var,
        nan=float(nan),
        positive=None if posinf is None else float(posinf),
        negative=None if neginf is None else float(neginf),
    )
    if copy or not isinstance(x, Var):
        return found
    return stored(found, x)


def isposinf(x: Any, out: Any = None) -> Var:
    """Return where x is positive infinity; complex numbers are refused."""
    var = _infinite_operand(x, "isposinf")
    return stored(_isinf(var) & (var > 0), out)


def isneginf(x: Any, out: Any = None) -> Var:
    """Return where x is negative infinity; complex numbers are refused."""
    var = _infinite_operand(x, "isneginf")
    return stored(_isinf(var) & (var < 0), out)


def _infinite_operand(x: Any, name: str) -> Var:
    var = as_var(x, name)
    if var.dtype.kind == "c":
        raise DTypeError(f"{name}: found {var.dtype}, expected real numbers.")
    return var


# --- complex numbers -----------------------------------------------------------------------------


def real(val: Any) -> Var:
    """Return the real part; of a computed array, a view of its memory."""
    if isinstance(val, Var) and at_once(val):
        return Var(val._array().real, val.data_format)
    result: Var = _elementary.real_part(val)
    return result


def imag(val: Any) -> Var:
    """Return the imaginary part; of a computed array, a view of its memory; 0 for real numbers."""
    if isinstance(val, Var) and val.dtype.kind == "c" and at_once(val):
        return Var(val._array().imag, val.data_format)
    result: Var = _elementary.imaginary(val)
    return result


def angle(z: Any, deg: bool = False) -> Var:
    """Return the angle of complex numbers in the plane, in (-pi, pi], or in degrees."""
    var = as_var(z, "angle")
    found: Var = _atan2(imag(var), real(var))
    return found * (180 / _np.pi) if deg else found


def iscomplex(x: Any) -> Var:
    """Return where x has an imaginary part that is not 0."""
    var = as_var(x, "iscomplex")
    return imag(var) != 0 if var.dtype.kind == "c" else cast(_zeros_like(var), _np.bool_)


def isreal(x: Any) -> Var:
    """Return where x has no imaginary part but 0."""
    return imag(as_var(x, "isreal")) == 0


def iscomplexobj(x: Any) -> bool:
    """Return whether x is of a complex type."""
    return as_var(x, "iscomplexobj").dtype.kind == "c"


def isrealobj(x: Any) -> bool:
    """Return whether x is of a real type."""
    return not iscomplexobj(x)


def real_if_close(a: Any, tol: float = 100) -> Var:
    """Return the real part if all imaginary parts are nearly 0; values are read at once.

    Args:
        a: array.
        tol: how many machine epsilons are nearly 0; up to 1, it is that number itself.
    """
    result: Var = computed(_np.real_if_close, as_var(a, "real_if_close"), tol=tol)
    return result


# --- special functions ---------------------------------------------------------------------------


def sinc(x: Any) -> Var:
    """Return sin(pi x) / (pi x), which is 1 for 0."""
    var = as_var(x, "sinc")
    if var.dtype.kind in "biu":
        var = cast(var, default_float)
    turned = var * _np.pi
    nought = turned == 0
    # The sine of a number that small is the number.
    safe = _select(nought, cast(1e-20 if var.dtype != _np.float16 else 1e-6, var.dtype), turned)
    result: Var = _sin(safe) / safe
    return result


# Chebyshev coefficients of exp(-x) I0(x) in [0, 8], and of exp(-x) sqrt(x) I0(x) in [8, inf]
# (Cephes Mathematical Library, i0.c).
_SMALL = (
    -4.41534164647933937950e-18,
    3.33079451882223809783e-17,
    -2.43127984654795469359e-16,
    1.71539128555513303061e-15,
    -1.16853328779934516808e-14,
    7.67618549860493561688e-14,
    -4.85644678311192946090e-13,
    2.95505266312963983461e-12,
    -1.72682629144155570723e-11,
    9.67580903537323691224e-11,
    -5.18979560163526290666e-10,
    2.65982372468238665035e-9,
    -1.30002500998624804212e-8,
    6.04699502254191894932e-8,
    -2.67079385394061173391e-7,
    1.11738753912010371815e-6,
    -4.41673835845875056359e-6,
    1.64484480707288970893e-5,
    -5.75419501008210370398e-5,
    1.88502885095841655729e-4,
    -5.76375574538582365885e-4,
    1.63947561694133579842e-3,
    -4.32430999505057594430e-3,
    1.05464603945949983183e-2,
    -2.37374148058994688156e-2,
    4.93052842396707084878e-2,
    -9.49010970480476444210e-2,
    1.71620901522208775349e-1,
    -3.04682672343198398683e-1,
    6.76795274409476084995e-1,
)
_LARGE = (
    -7.23318048787475395456e-18,
    -4.83050448594418207126e-18,
    4.46562142029675999901e-17,
    3.46122286769746109310e-17,
    -2.82762398051658348494e-16,
    -3.42548561967721913462e-16,
    1.77256013305652638360e-15,
    3.81168066935262242075e-15,
    -9.55484669882830764870e-15,
    -4.15056934728722208663e-14,
    1.54008621752140982691e-14,
    3.85277838274214270114e-13,
    7.18012445138366623367e-13,
    -1.79417853150680611778e-12,
    -1.32158118404477131188e-11,
    -3.14991652796324136454e-11,
    1.18891471078464383424e-11,
    4.94060238822496958910e-10,
    3.39623202570838634515e-9,
    2.26666899049817806459e-8,
    2.04891858946906374183e-7,
    2.89137052083475648297e-6,
    6.88975834691682398426e-5,
    3.36911647825569408990e-3,
    8.04490411014108831608e-1,
)


def _chebyshev(x: Var, coefficients: tuple[float, ...]) -> Var:
    """Return a Chebyshev series by Clenshaw's recurrence; the last coefficient counts half."""
    now: Any = cast(coefficients[0], x.dtype)
    before: Any = cast(0.0, x.dtype)
    last: Any = before
    for each in coefficients[1:]:
        now, before, last = x * now - before + each, now, before
    half: Var = (now - last) * 0.5
    return half


def i0(x: Any) -> Var:
    """Return the modified Bessel function of the first kind and order 0; float32 for integers."""
    magnitude: Var = _absolute(_real_float(x, "i0"))
    near = _select(magnitude <= 8.0, magnitude, 8.0)
    far = _select(magnitude > 8.0, magnitude, 8.0)
    small = _exp(near) * _chebyshev(near / 2.0 - 2.0, _SMALL)
    large = _exp(far) * _chebyshev(32.0 / far - 2.0, _LARGE) / _sqrt(far)
    return _select(magnitude <= 8.0, small, large)
