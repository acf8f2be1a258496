"""Python's operators on `Var`: each is the operator of the same meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnn.expr.var import Var
from mnn.ops.operands import UnknownOperandError

__all__ = ["attach_binary", "attach_method"]


def attach_method(name: str, function: Callable[..., Any]) -> None:
    """Make `function(var, ...)` the method `name` of Var."""
    setattr(Var, name, function)


def attach_binary(
    name: str, function: Callable[[Any, Any], Any], *, reflected: bool = True
) -> None:
    """Make `function` the Python operator `__name__` of Var, and `__rname__` if `reflected`."""

    def forward(self: Var, other: Any, *unsupported: Any) -> Any:
        if unsupported:  # pow() with three arguments
            return NotImplemented
        try:
            return function(self, other)
        except UnknownOperandError:
            return NotImplemented

    def backward(self: Var, other: Any) -> Any:
        try:
            return function(other, self)
        except UnknownOperandError:
            return NotImplemented

    setattr(Var, f"__{name}__", forward)
    if reflected:
        setattr(Var, f"__r{name}__", backward)
