"""Functions built from arithmetic alone: no library is called from a kernel.

Every function takes the `Body` it is built in and values, on float32 or float64, and covers the
whole range of its argument: overflow, underflow, infinities and NaN end as NumPy's functions end.
A docstring that says "within 2 ulp" means: on every target, from the exact result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mnn.codegen.builder import Value
from mnn.codegen.mathematics import (
    conversion,
    error,
    exponential,
    floats,
    integer,
    inverse,
    logarithm,
    power,
    remainder,
    rounding,
    trigonometry,
)
from mnn.errors import CodegenError

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["FUNCTIONS", "call", "conversion", "exp", "rounded", "shift"]

exp, rounded, shift = exponential.exp, rounding.rounded, integer.shift


def _pow(k: Body, x: Value, y: Value) -> Value:
    return power.pow(k, x, y) if k.floating else integer.power(k, x, y)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "acos": inverse.acos,
    "acosh": logarithm.acosh,
    "arccos": inverse.acos,
    "arccosh": logarithm.acosh,
    "arcsin": inverse.asin,
    "arcsinh": logarithm.asinh,
    "arctan": inverse.atan,
    "arctanh": logarithm.atanh,
    "asin": inverse.asin,
    "asinh": logarithm.asinh,
    "atan": inverse.atan,
    "atan2": inverse.atan2,
    "atanh": logarithm.atanh,
    "cbrt": power.cbrt,
    "copysign": floats.copy_sign,
    "cos": trigonometry.cos,
    "cosh": exponential.cosh,
    "erf": error.erf,
    "erfc": error.erfc,
    "erfinv": error.erfinv,
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "floordiv": remainder.floordiv,
    "floormod": remainder.floormod,
    "fmod": remainder.fmod,
    "gelu": error.gelu,
    "gelu_tanh": exponential.gelu_tanh,
    "log": logarithm.log,
    "log10": logarithm.log10,
    "log1p": logarithm.log1p,
    "log2": logarithm.log2,
    "mish": exponential.mish,
    "pow": _pow,
    "sigmoid": exponential.sigmoid,
    "silu": exponential.silu,
    "sin": trigonometry.sin,
    "sinh": exponential.sinh,
    "softplus": exponential.softplus,
    "tan": trigonometry.tan,
    "tanh": exponential.tanh,
}
"""By the names that operator bodies use."""


def call(k: Body, name: str, values: Sequence[Any]) -> Value:
    """Return the function `name` of values.

    Raises:
        CodegenError: kernels have no such function, or not for this element type.
    """
    if name not in FUNCTIONS:
        raise CodegenError(f"kernels have no function {name}.")
    return FUNCTIONS[name](k, *values)
