"""Vars that are alive and refer to a graph: rewiring a graph has to find them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnn.expr.var import Var

__all__ = ["live_vars", "register"]

# Vars that refer to a graph node, by id; entries of dead ones are replaced or wait for a sweep.
_live: dict[int, weakref.ref[Var]] = {}
_sweep_size = 64


def live_vars() -> list[Var]:
    """Return every Var that currently refers to a graph node."""
    found = [held() for held in list(_live.values())]
    return [var for var in found if var is not None and var._ref is not None]


def register(var: Var) -> None:
    """Remember a Var that refers to a graph node, so that rewiring can move it."""
    global _sweep_size
    _live[id(var)] = weakref.ref(var)
    if len(_live) > _sweep_size:
        for key, held in list(_live.items()):
            if held() is None:
                _live.pop(key, None)
        _sweep_size = max(64, 2 * len(_live))
