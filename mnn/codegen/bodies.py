"""Scalar meanings of operators, by name: what generated code knows of the operators above it.

Operator declarations put their `body` here; kernels refer to it by name, so that a description of
a kernel is plain data that can be compared, hashed and stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mnn.errors import CodegenError

__all__ = ["body_of", "foreign_bodies", "has_body", "register_body"]

_bodies: dict[str, Callable[..., Any]] = {}


def register_body(name: str, body: Callable[..., Any]) -> None:
    """Make `body(k, *scalars, **attributes)` known as `name`; `k` is a `mnn.codegen.body.Body`."""
    _bodies[name] = body


def foreign_bodies() -> list[str]:
    """Return the names of the operators whose bodies are defined outside of this package."""
    return [
        name
        for name, body in _bodies.items()
        if not str(getattr(body, "__module__", "")).startswith("mnn.")
    ]


def has_body(name: str) -> bool:
    """True when kernels know the operator `name`."""
    return name in _bodies


def body_of(name: str) -> Callable[..., Any]:
    """Return the scalar meaning of the operator `name`.

    Raises:
        CodegenError: there is none.
    """
    if name not in _bodies:
        raise CodegenError(f"kernels do not know the operator {name!r}.")
    return _bodies[name]
