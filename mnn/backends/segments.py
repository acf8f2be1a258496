"""Segments: parts of a graph with a plan for every signature they meet."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.plan import RefusedError
from mnn.backends.reference import ReferenceBackend
from mnn.backends.sized import sized_results
from mnn.backends.store import plan_store
from mnn.codegen.target import host_target
from mnn.compile.pipeline import Compiled, Signature, compile_nodes
from mnn.errors import CodegenError
from mnn.expr.graph import Origin
from mnn.expr.node import Node, Ref

__all__ = ["Segment", "needed_nodes"]

Array = np.ndarray[Any, Any]

_PLAN_LIMIT = 16
"""Signatures whose plans are kept: a graph that meets new sizes all the time must not grow."""


class Segment:
    """Nodes to compute from given results; holds a plan for every signature it met.

    Args:
        nodes: in execution order, without leaves.
        outputs: what to return.
        arguments: results that callers give.
        constants: leaves whose values never change.
        origin: where nodes and constants come from, when their plans shall be stored.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        arguments: Sequence[Ref],
        constants: Mapping[Node, Array],
        origin: Origin | None = None,
    ) -> None:
        self.nodes = list(nodes)
        self.outputs = list(outputs)
        self.arguments = list(arguments)
        self.constants = dict(constants)
        self.origin = origin
        self.plans: dict[tuple[Signature, bool], tuple[Compiled, Segment | None]] = {}
        self._failures: dict[tuple[Signature, bool], CodegenError] = {}
        self._lock = threading.Lock()

    def compiled(self, arrays: Sequence[Array], *, low: bool) -> tuple[Compiled, Segment | None]:
        """Return the plan for arrays like these, and what runs after it, made if need be."""
        return self.compiled_for(tuple((each.shape, each.dtype) for each in arrays), low=low)

    def compiled_for(self, signature: Signature, *, low: bool) -> tuple[Compiled, Segment | None]:
        """Return the plan for arguments of these types; see `compiled`."""
        found = self.plans.get((signature, low))
        if found is None:
            with self._lock:
                found = self.plans.get((signature, low))
                if found is None:
                    found = self._kept(signature, low=low)
        return found

    @property
    def constant_bytes(self) -> int:
        """Memory of the constants of all plans, of parts that follow as well."""
        return sum(
            made.plan.constant_bytes + (0 if following is None else following.constant_bytes)
            for made, following in list(self.plans.values())
        )

    def release(self, limit_bytes: int) -> None:
        """Forget the oldest plans, but not the last one, while constants take more memory."""
        with self._lock:
            while len(self.plans) > 1 and self.constant_bytes > limit_bytes:
                del self.plans[next(iter(self.plans))]

    def _kept(self, signature: Signature, *, low: bool) -> tuple[Compiled, Segment | None]:
        """Return a new plan, kept for later; what failed once fails again at once."""
        failure = self._failures.get((signature, low))
        if failure is not None:
            raise failure
        try:
            made = self._compile(signature, low=low)
        except CodegenError as problem:
            self._failures[signature, low] = problem
            raise
        while len(self.plans) >= _PLAN_LIMIT:
            del self.plans[next(iter(self.plans))]
        self.plans[signature, low] = made
        return made

    def _compile(self, signature: Signature, *, low: bool) -> tuple[Compiled, Segment | None]:
        made = compile_nodes(
            self.nodes,
            self.outputs,
            self.arguments,
            signature,
            self.constants,
            host_target(),
            low=low,
            files=None if self.origin is None else self.origin.files,
        )
        if self.origin is not None and made.plan.stored is not None:
            plan_store().put(self.origin, signature, made.plan.take_stored(), low=low)
        if made.stopped is None:
            return made, None
        stopped = made.stopped
        known = {ref.node for ref in made.results} | {ref.node for ref in self.arguments}
        done = {stopped, *self.constants}
        order = [node for node in self.nodes if node is not stopped]
        needed = needed_nodes(order, self.outputs, known | done)
        arguments = [
            *self.arguments,
            *made.results,
            *(Ref(stopped, port) for port in range(len(stopped.types))),
        ]
        return made, Segment(needed, self.outputs, arguments, self.constants)

    def run(self, arrays: Sequence[Array], *, threads: int, low: bool) -> list[Array]:
        """Return the outputs for arguments.

        Raises:
            MnnError: what an operator's reference raises for these values.
        """
        made, following = self.compiled(arrays, low=low)
        try:
            results = made.plan.run(arrays, threads)
        except RefusedError:
            return self._by_references(arrays)
        if following is None:
            return results
        given = self.carried(made, arrays, results, threads)
        return following.run(given, threads=threads, low=low)

    def _by_references(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs as NumPy computes them, or raise what it thinks of the arguments."""
        known: dict[Node, list[Array]] = {node: [each] for node, each in self.constants.items()}
        for ref, array in zip(self.arguments, arrays, strict=True):
            ports = known.setdefault(ref.node, [array] * len(ref.node.types))
            ports[ref.port] = array
        return ReferenceBackend().run(self.nodes, self.outputs, known)

    def carried(
        self,
        made: Compiled,
        arrays: Sequence[Array],
        results: Sequence[Array],
        threads: int = 1,
    ) -> list[Array]:
        """Return the arguments of what follows a plan: all known, and the node it stopped at."""
        stopped = made.stopped
        assert stopped is not None
        assert stopped.operation is not None
        values: dict[Ref, Array] = dict(zip(self.arguments, arrays, strict=True))
        values.update(zip(made.results, results, strict=True))
        operands = [None if ref is None else self._operand(ref, values) for ref in stopped.inputs]
        operation, attributes = stopped.operation, stopped.attributes
        computed: Sequence[Array] | None = sized_results(
            operation.name, operands, attributes, threads
        )
        if computed is None:
            with np.errstate(all="ignore"):
                computed = operation.compute(operands, attributes)
        return [*arrays, *results, *computed]

    def _operand(self, ref: Ref, values: Mapping[Ref, Array]) -> Array:
        constant = self.constants.get(ref.node)
        return values[ref] if constant is None else constant


def needed_nodes(nodes: Sequence[Node], outputs: Sequence[Ref], known: set[Node]) -> list[Node]:
    """Return the nodes that outputs need and that are not known, in order."""
    wanted = {ref.node for ref in outputs}
    kept = []
    for node in reversed(nodes):
        if node in wanted and node not in known:
            kept.append(node)
            wanted.update(ref.node for ref in node.inputs if ref is not None)
    return kept[::-1]
