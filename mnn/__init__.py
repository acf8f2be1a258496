"""Arrays, vision, training and `.mnn` models on one expression graph."""

from __future__ import annotations

# The order matters once: the graph first, then the operators that attach themselves to it.
from mnn import expr, ops, backends  # isort: skip
from mnn import cv, data, nn, numpy, optim
from mnn._version import __version__
from mnn.config import config
from mnn.expr.var import Var

__all__ = [
    "Var",
    "__version__",
    "backends",
    "config",
    "cv",
    "data",
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
