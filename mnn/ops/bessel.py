"""The modified Bessel function of the first kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from mnn.expr.var import Var
from mnn.ops.comparison import select
from mnn.ops.convert import cast
from mnn.ops.elementwise import REAL_FLOAT, elementwise
from mnn.ops.samples import text_operand, unary_samples
from mnn.ops.spec import Sample
from mnn.ops.unary import abs as absolute
from mnn.ops.unary import exp, sign, sqrt

__all__ = ["i0"]

Array = np.ndarray[Any, Any]

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


def _reference(x: Array) -> Array:
    return np.asarray(np.i0(x)).astype(x.dtype, copy=False)


def _series(k: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """Return a Chebyshev series by Clenshaw's recurrence; the last coefficient counts half."""
    # What is below half a unit in the last place of float32 adds nothing.
    least = 1e-9 if k.dtype.itemsize == 4 else 0.0
    wanted = [each for each in coefficients if abs(each) > least]
    now, before = k.const(wanted[0]), k.const(0.0)
    last = before
    for each in wanted[1:]:
        now, before, last = k.sub(k.fma(x, now, k.const(each)), before), now, before
    return k.mul(k.sub(now, last), k.const(0.5))


def _body(k: Any, x: Any) -> Any:
    magnitude = k.abs(x)
    near = k.at_most(magnitude, 8.0)
    far = k.pick(k.compare("gt", magnitude, 8.0), magnitude, k.const(8.0))
    small = k.mul(k.exp(near), _series(k, k.sub(k.mul(near, k.const(0.5)), k.const(2.0)), _SMALL))
    large = _series(k, k.sub(k.div(k.const(32.0), far), k.const(2.0)), _LARGE)
    large = k.div(k.mul(k.exp(far), large), k.sqrt(far))
    # NumPy's quotient for infinity is NaN, as exp(inf) / sqrt(inf) is.
    found = k.pick(k.compare("le", magnitude, 8.0), small, large)
    return k.pick(k.compare("ne", x, x), x, found)


@cache
def _slopes(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """Return the coefficients of the derivative of a series."""
    from numpy.polynomial.chebyshev import chebder

    rising = np.array(coefficients[::-1])
    rising[0] /= 2
    found = chebder(rising)
    found[0] *= 2
    return tuple(float(each) for each in found[::-1])


def _chebyshev(x: Var, coefficients: tuple[float, ...]) -> Var:
    now: Any = cast(coefficients[0], x.dtype)
    before: Any = cast(0.0, x.dtype)
    last: Any = before
    for each in coefficients[1:]:
        now, before, last = x * now - before + each, now, before
    half: Var = (now - last) * 0.5
    return half


def _gradient(g: Any, x: Any, y: Any) -> Any:
    """The slope of order 0 is the function of order 1, here by the derivatives of both series."""
    magnitude = absolute(x)
    near = select(magnitude <= 8.0, magnitude, 8.0)
    far = select(magnitude > 8.0, magnitude, 8.0)
    left, right = near * 0.5 - 2.0, 32.0 / far - 2.0
    small = exp(near) * (_chebyshev(left, _SMALL) + _chebyshev(left, _slopes(_SMALL)) * 0.25)
    level, slope = _chebyshev(right, _LARGE), _chebyshev(right, _slopes(_LARGE))
    large = exp(far) / sqrt(far) * (level * (1.0 - 0.5 / far) - slope * 16.0 / (far * far))
    return g * sign(x) * select(magnitude <= 8.0, small, large)


i0 = elementwise(
    "i0",
    "x",
    reference=_reference,
    body=_body,
    rule=REAL_FLOAT,
    grad=_gradient,
    samples=(
        *unary_samples(),
        Sample((np.array([-20.0, 3.0, 7.9, 8.1, 12.0]),)),
    ),
    bad=(text_operand(1),),
    doc="the modified Bessel function of the first kind and order 0",
)
