"""Signs, neighbours, parts, whole numbers and complex numbers, element by element."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError
from mnn.expr.dtypes import default_float
from mnn.expr.memory import share
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.reductions import stored
from mnn.ops import elementary as _elementary
from mnn.ops.arithmetic import atan2 as _atan2
from mnn.ops.bessel import i0 as _i0
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
from mnn.ops.unary import isinf as _isinf
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


def _view(var: Var, array: Any) -> Var:
    """Return a view of the memory of a computed Var, which is told of it."""
    found = Var(array, var.data_format)
    share(var, found)
    return found


def real(val: Any) -> Var:
    """Return the real part; of a computed array, a view of its memory."""
    if isinstance(val, Var) and at_once(val):
        return _view(val, val._array().real)
    result: Var = _elementary.real_part(val)
    return result


def imag(val: Any) -> Var:
    """Return the imaginary part; of a computed array, a view of its memory; 0 for real numbers."""
    if isinstance(val, Var) and val.dtype.kind == "c" and at_once(val):
        return _view(val, val._array().imag)
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


def i0(x: Any) -> Var:
    """Return the modified Bessel function of the first kind and order 0; float32 for integers."""
    result: Var = _i0(as_var(x, "i0"))
    return result
