"""Devices that evaluate graphs. Importing this package makes them known to `mnn.expr`."""

from __future__ import annotations

from mnn.backends.reference import ReferenceBackend
from mnn.expr.evaluate import register_executor

__all__ = ["ReferenceBackend"]

register_executor("reference", ReferenceBackend)
