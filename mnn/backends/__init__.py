"""Devices that evaluate graphs. Importing this package makes them known to `mnn.expr`."""

from __future__ import annotations

from mnn.backends.reference import ReferenceBackend
from mnn.expr.evaluate import Executor, register_executor

__all__ = ["ReferenceBackend"]


def _compiled() -> Executor:
    from mnn.backends.compiled import CompiledBackend

    return CompiledBackend()


register_executor("reference", ReferenceBackend)
register_executor("cpu", _compiled)
