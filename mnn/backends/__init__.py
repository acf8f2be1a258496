"""Devices that evaluate graphs. Importing this package makes them known to `mnn.expr`."""

from __future__ import annotations

from mnn.backends.reference import ReferenceBackend
from mnn.errors import CodegenError
from mnn.expr.evaluate import Executor, register_executor

__all__ = ["ReferenceBackend"]


def _compiled() -> Executor:
    """Return the compiling backend, or NumPy's where no kernels can be compiled."""
    from mnn.codegen.target import host_target

    try:
        host_target()
    except CodegenError as problem:
        import logging

        logging.getLogger("mnn.backends").info("everything runs on NumPy: %s", problem)
        return ReferenceBackend()
    from mnn.backends.planned import PlannedBackend

    return PlannedBackend()


register_executor("reference", ReferenceBackend)
register_executor("cpu", _compiled)
