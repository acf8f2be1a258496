"""The backend in front: graphs that an earlier process met run by stored plans.

All others go to the compiling backend, which is imported when one comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.backends.cpu.runnable import Runnable
from mnn.backends.cpu.steps import RefusedError
from mnn.backends.cpu.stored import read_plan
from mnn.backends.store import plan_store
from mnn.codegen.target import host_target
from mnn.errors import CodegenError
from mnn.expr.graph import DeferredGraph, Graph, Origin
from mnn.expr.node import Node, Ref

if TYPE_CHECKING:
    from mnn.backends.compiled import CompiledBackend

__all__ = ["PlannedBackend"]

Array = np.ndarray[Any, Any]


class PlannedBackend:
    """Evaluates graphs by stored plans where there are any."""

    def __init__(self) -> None:
        self._compiling: CompiledBackend | None = None

    def run(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        known: Mapping[Node, Sequence[Array]],
        *,
        patient: bool = False,
    ) -> list[Array]:
        """Return `outputs`; see `mnn.expr.evaluate.Executor`."""
        return self._compiler().run(nodes, outputs, known, patient=patient)

    def ready(
        self, nodes: Sequence[Node], outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]
    ) -> tuple[Callable[[Sequence[Array], int], list[Array]], list[Node]] | None:
        """Return a plan that computes work like this; see `mnn.expr.evaluate.Executor`."""
        return self._compiler().ready(nodes, outputs, known)

    def run_graph(
        self, graph: Graph, arrays: Sequence[Array], *, threads: int, precision: str
    ) -> list[Array]:
        """Return the outputs of a graph."""
        if isinstance(graph, DeferredGraph):
            plans: _Plans = graph.plan("stored", _Plans)
            low = host_target().shortens(precision)
            results = plans.run(graph, arrays, threads, low=low)
            if results is not None:
                return results
        return self._compiler().run_graph(graph, arrays, threads=threads, precision=precision)

    def _compiler(self) -> CompiledBackend:
        if self._compiling is None:
            from mnn.backends.compiled import CompiledBackend

            self._compiling = CompiledBackend()
        return self._compiling


class _Plans:
    """The stored plans of one graph.

    They hold as long as nobody has changed a constant, which takes nodes.
    """

    def __init__(self, graph: Graph) -> None:
        assert graph.origin is not None
        self._origin: Origin = graph.origin
        self._plans: dict[Any, Runnable | None] = {}
        self._lock = threading.Lock()

    def run(
        self, graph: Graph, arrays: Sequence[Array], threads: int, *, low: bool
    ) -> list[Array] | None:
        """Return the outputs, None when there is no plan for such arrays."""
        if not graph.is_untouched:
            return None
        key = (low, *[(each.shape, each.dtype) for each in arrays])
        if key not in self._plans:
            with self._lock:
                if key not in self._plans:
                    self._plans[key] = self._read(key[1:], threads, low=low)
        plan = self._plans[key]
        if plan is None:
            return None
        try:
            return plan.run(arrays, threads)
        except RefusedError:
            return None

    def _read(self, signature: Any, threads: int, *, low: bool) -> Runnable | None:
        stored = plan_store().get(self._origin, signature, low=low)
        if stored is None:
            return None
        try:
            return read_plan(stored, self._origin.files, threads)
        except CodegenError:
            return None
