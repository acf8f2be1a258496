"""Caffe's elementwise layer: products, weighted sums and differences, maxima of equal shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.ops.arithmetic import maximum
from mnn.ops.operands import as_var

__all__ = ["eltwise_max", "eltwise_prod", "eltwise_sub", "eltwise_sum"]


def _weighted(name: str, x: Any, y: Any, coeff: Sequence[float]) -> tuple[Var, Var]:
    first, second = as_var(x, name), as_var(y, name)
    if not len(coeff):
        return first, second
    if len(coeff) != 2:
        raise ShapeError(f"{name}: found {len(coeff)} coefficients, expected none or one for each.")
    return first * float(coeff[0]), second * float(coeff[1])


def eltwise_sum(x: Any, y: Any, coeff: Sequence[float] = ()) -> Var:
    """Return `coeff[0] * x + coeff[1] * y`, without coefficients the plain sum."""
    first, second = _weighted("eltwise_sum", x, y, coeff)
    return first + second


def eltwise_sub(x: Any, y: Any, coeff: Sequence[float] = ()) -> Var:
    """Return `coeff[0] * x - coeff[1] * y`, without coefficients the plain difference."""
    first, second = _weighted("eltwise_sub", x, y, coeff)
    return first - second


def eltwise_prod(x: Any, y: Any, coeff: Sequence[float] = ()) -> Var:
    """Return `x * y`; coefficients have no meaning for products."""
    return as_var(x, "eltwise_prod") * as_var(y, "eltwise_prod")


def eltwise_max(x: Any, y: Any, coeff: Sequence[float] = ()) -> Var:
    """Return the larger of x and y; coefficients have no meaning for maxima."""
    result: Var = maximum(as_var(x, "eltwise_max"), as_var(y, "eltwise_max"))
    return result
