"""Python's operators on Var."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnn.expr.var import Var
from mnn.ops import arithmetic, comparison
from mnn.ops.attach import attach_binary, attach_method

__all__: list[str] = []

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "mul": arithmetic.multiply,
    "truediv": arithmetic.divide,
    "floordiv": arithmetic.floordiv,
    "mod": arithmetic.mod,
    "divmod": arithmetic.divmod_,
    "pow": arithmetic.pow,
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

for _name, _function in _ARITHMETIC.items():
    attach_binary(_name, _function)
for _name, _function in _COMPARISONS.items():
    attach_binary(_name, _function, reflected=False)


def _invert(self: Var) -> Any:
    return comparison.bitwise_not(self)


def _negative(self: Var) -> Any:
    return arithmetic.negative(self)


def _positive(self: Var) -> Any:
    return arithmetic.positive_(self)


attach_method("__neg__", _negative)
attach_method("__pos__", _positive)
attach_method("__invert__", _invert)
