"""Special functions in plain NumPy: error functions, stable sigmoid and softplus, GELU.

float64 results are within a few ulp; float32 and float16 operands are computed in float64 and
rounded once. Special values follow the mathematics: `erf(inf) = 1`, `erfinv(1) = inf`, NaN stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["erf", "erfc", "erfinv", "gelu", "gelu_tanh", "sigmoid", "softplus"]

Array = np.ndarray[Any, Any]

# W. J. Cody, "Rational Chebyshev approximation for the error function", Math. Comp. 23 (1969).
_ERF_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_ERF_Q = (
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
_ERFC_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_ERFC_Q = (
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)
_TAIL_P = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_TAIL_Q = (
    2.56852019228982242e0,
    1.87295284992346047e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)
_SQRT_PI = float(np.sqrt(np.pi))
_BORDER = 0.46875


def _in_double(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Compute in float64, round to the operand's type; no warnings about special values."""

    def wrapped(x: Array) -> Array:
        with np.errstate(all="ignore"):
            result: Array = np.asarray(function(np.asarray(x, np.float64))).astype(x.dtype)
        return result

    wrapped.__doc__ = function.__doc__
    return wrapped


def _small_erf(x: Array) -> Array:
    """Return erf for |x| <= 0.46875."""
    z = x * x
    top, bottom = _ERF_P[0] * z, z
    for p, q in zip(_ERF_P[1:4], _ERF_Q[:3], strict=True):
        top, bottom = (top + p) * z, (bottom + q) * z
    return x * (top + _ERF_P[4]) / (bottom + _ERF_Q[3])


def _large_erfc(y: Array) -> Array:
    """Return erfc for y >= 0.46875."""
    top, bottom = _ERFC_P[0] * y, y
    for p, q in zip(_ERFC_P[1:8], _ERFC_Q[:7], strict=True):
        top, bottom = (top + p) * y, (bottom + q) * y
    middle = (top + _ERFC_P[8]) / (bottom + _ERFC_Q[7])
    z = 1.0 / (y * y)
    top, bottom = _TAIL_P[0] * z, z
    for p, q in zip(_TAIL_P[1:5], _TAIL_Q[:4], strict=True):
        top, bottom = (top + p) * z, (bottom + q) * z
    tail = z * (top + _TAIL_P[5]) / (bottom + _TAIL_Q[4])
    tail = (1.0 / _SQRT_PI - tail) / y
    # exp(-y*y) in two factors, so that the rounding of y*y does not show.
    coarse = np.trunc(y * 16.0) / 16.0
    rest = (y - coarse) * (y + coarse)
    decay = np.exp(-coarse * coarse) * np.exp(-rest)
    result: Array = np.where(y > 27.3, 0.0, decay * np.where(y <= 4.0, middle, tail))
    return result


@_in_double
def erf(x: Array) -> Array:
    """Return the error function."""
    y = np.abs(x)
    large = np.copysign(1.0 - _large_erfc(np.maximum(y, _BORDER)), x)
    result: Array = np.where(y <= _BORDER, _small_erf(np.where(y <= _BORDER, x, 0.0)), large)
    return np.where(np.isnan(x), x, result)


@_in_double
def erfc(x: Array) -> Array:
    """Return 1 - erf(x) without cancellation."""
    y = np.abs(x)
    large = _large_erfc(np.maximum(y, _BORDER))
    large = np.where(x < 0, 2.0 - large, large)
    result: Array = np.where(y <= _BORDER, 1.0 - _small_erf(np.where(y <= _BORDER, x, 0.0)), large)
    return np.where(np.isnan(x), x, result)


@_in_double
def erfinv(x: Array) -> Array:
    """Return the inverse error function: NaN outside [-1, 1], infinite at its ends.

    The start is S. Winitzki's approximation ("A handy approximation for the error function and its
    inverse", 2008); Halley steps on erfc (which does not cancel near the ends) make it exact.
    """
    a = 0.147
    magnitude = np.abs(x)
    rest = 1.0 - magnitude
    logarithm = np.log(rest * (1.0 + magnitude))
    half = 2.0 / (np.pi * a) + logarithm / 2.0
    y = np.sqrt(np.sqrt(half * half - logarithm / a) - half)
    for _ in range(4):
        error = np.where(
            magnitude < 0.5,
            np.asarray(erf(y)) - magnitude,
            rest - np.asarray(erfc(y)),
        )
        slope = 2.0 / _SQRT_PI * np.exp(-y * y)
        step = error / (slope + y * error)
        y = np.where(np.isfinite(step), y - step, y)
    y = np.where(magnitude < 1e-8, magnitude * (_SQRT_PI / 2.0), y)
    y = np.where(magnitude == 1.0, np.inf, np.where(magnitude > 1.0, np.nan, y))
    result: Array = np.copysign(y, x)
    return np.where(np.isnan(x), x, result)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow."""
    with np.errstate(all="ignore"):
        decay = np.exp(-np.abs(x))
        result: Array = np.where(x >= 0, 1, decay) / (1 + decay)
    return result.astype(x.dtype, copy=False)


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x)) without overflow or cancellation."""
    with np.errstate(all="ignore"):
        result: Array = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result.astype(x.dtype, copy=False)


def gelu(x: Array) -> Array:
    """Return x * Phi(x), the Gaussian error linear unit (Hendrycks and Gimpel, 2016)."""
    wide = np.asarray(x, np.float64)
    with np.errstate(all="ignore"):
        result: Array = 0.5 * wide * np.asarray(erfc(-wide * np.sqrt(0.5)))
        result = np.where(wide == -np.inf, -0.0, result)
    return result.astype(x.dtype)


def gelu_tanh(x: Array) -> Array:
    """Return the tanh approximation of GELU: 0.5x(1 + tanh(sqrt(2/pi)(x + 0.044715x^3)))."""
    with np.errstate(all="ignore"):
        cubic = x + x.dtype.type(0.044715) * x * x * x
        half = x.dtype.type(0.5) * x
        result: Array = half * (1 + np.tanh(x.dtype.type(np.sqrt(2 / np.pi)) * cubic))
        result = np.where(x == -np.inf, x.dtype.type(-0.0), result)
    return result.astype(x.dtype, copy=False)
