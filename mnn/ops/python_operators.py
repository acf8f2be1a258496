"""Python's operators on Var."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.expr.dtypes import kind_of
from mnn.expr.var import Var
from mnn.ops import arithmetic, comparison, unary
from mnn.ops.attach import attach_binary, attach_method
from mnn.ops.getitem import getitem
from mnn.ops.machine import Method
from mnn.ops.quick import binary_operators, keeps_dtypes, unary_operator

__all__ = ["METHODS"]


METHODS = [Method("__getitem__", "item", getitem, None, frozenset())]
"""Methods of Var that there is machine code for; see `mnn.ops.machine`."""


def _power(x: Any, y: Any) -> Any:
    """Return `x ** y`; as in NumPy, some exponents of floats mean simpler functions."""
    if type(y) in (int, float) and isinstance(x, Var) and kind_of(x.dtype) == "f":
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
    dtypes = keeps_dtypes(ufunc)
    forward, backward = binary_operators(function, ufunc, dtypes)
    _attach_quick(f"__{name}__", "binary", forward, ufunc, dtypes)
    if reflected:
        _attach_quick(f"__r{name}__", "reflected", backward, ufunc, dtypes)


def _attach_quick(
    name: str, kind: str, function: Any, ufunc: np.ufunc, dtypes: frozenset[np.dtype[Any]]
) -> None:
    attach_method(name, function)
    METHODS.append(Method(name, kind, function, ufunc, dtypes))


def _attach_unary(name: str, general: Any, ufunc: np.ufunc) -> None:
    _attach_quick(name, "unary", unary_operator(general, ufunc), ufunc, keeps_dtypes(ufunc))


for _name, _function in _ARITHMETIC.items():
    _attach(_name, _function, reflected=True)
for _name, _function in _COMPARISONS.items():
    _attach(_name, _function, reflected=False)

_attach_unary("__neg__", arithmetic.negative, np.negative)
_attach_unary("__pos__", arithmetic.positive_, np.positive)
_attach_unary("__invert__", comparison.bitwise_not, np.invert)
