"""Python's operators on Var."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.expr.var import Var
from mnn.ops import arithmetic, comparison, unary
from mnn.ops.attach import attach_binary, attach_method
from mnn.ops.quick import binary_operators, keeps_dtypes, unary_operator

__all__: list[str] = []


def _power(x: Any, y: Any) -> Any:
    """Return `x ** y`; as in NumPy, some exponents of floats mean simpler functions."""
    if type(y) in (int, float) and isinstance(x, Var) and x.dtype.kind == "f":
        if y == 2:
            return unary.square(x)
        if y == 0.5:
            return unary.sqrt(x)
    return arithmetic.pow(x, y)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "truediv": arithmetic.divide,
    "floordiv": arithmetic.floordiv,
    "mod": arithmetic.mod,
    "divmod": arithmetic.divmod_,
    "pow": _power,
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
    "lshift": comparison.left_shift,
    "rshift": comparison.right_shift,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": comparison.equal,
    "ne": comparison.not_equal,
    "lt": comparison.less,
    "le": comparison.less_equal,
    "gt": comparison.greater,
    "ge": comparison.greater_equal,
}

# What small arrays leave to NumPy.
_QUICK: dict[str, np.ufunc] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.true_divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


def _attach(name: str, function: Callable[[Any, Any], Any], *, reflected: bool) -> None:
    if name not in _QUICK:
        attach_binary(name, function, reflected=reflected)
        return
    ufunc = _QUICK[name]
    forward, backward = binary_operators(function, ufunc, keeps_dtypes(ufunc))
    attach_method(f"__{name}__", forward)
    if reflected:
        attach_method(f"__r{name}__", backward)


for _name, _function in _ARITHMETIC.items():
    _attach(_name, _function, reflected=True)
for _name, _function in _COMPARISONS.items():
    _attach(_name, _function, reflected=False)

attach_method("__neg__", unary_operator(arithmetic.negative, np.negative))
attach_method("__pos__", unary_operator(arithmetic.positive_, np.positive))
attach_method("__invert__", unary_operator(comparison.bitwise_not, np.invert))
