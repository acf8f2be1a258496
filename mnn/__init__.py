"""Arrays, vision, training and `.mnn` models on one expression graph."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# The order matters once: the graph first, then the operators that attach themselves to it.
from mnn import expr, ops, backends  # isort: skip
from mnn import numpy
from mnn._version import __version__
from mnn.config import config
from mnn.expr.var import Var
from mnn.ops.machine import install_on_use
from mnn.ops.python_operators import METHODS

install_on_use(METHODS)

if TYPE_CHECKING:
    from mnn import cv, data, nn, optim
    from mnn.backends.explain import explain

# Imported at their first use, so that `import mnn` stays quick.
_ON_USE = ("cv", "data", "nn", "optim")

__all__ = [
    "Var",
    "__version__",
    "backends",
    "config",
    "cv",
    "data",
    "explain",
    "expr",
    "nn",
    "numpy",
    "ops",
    "optim",
    "version",
]


def version() -> str:
    """Return the version of this package."""
    return __version__


def __getattr__(name: str) -> Any:
    if name == "explain":
        from mnn.backends.explain import explain

        return explain
    if name in _ON_USE:
        return importlib.import_module(f"mnn.{name}")
    raise AttributeError(f"module 'mnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_USE, "explain"})
