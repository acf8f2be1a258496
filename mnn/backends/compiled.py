"""The compiling backend: plans of machine code, made once for each graph and each input shape."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.reference import ReferenceBackend
from mnn.backends.segments import Segment, needed_nodes
from mnn.backends.structures import Recorded, Structure, Structures
from mnn.codegen.target import host_target
from mnn.compile.pipeline import Signature
from mnn.config import config
from mnn.errors import CodegenError
from mnn.expr.graph import Graph
from mnn.expr.node import CONST, Cell, Node, Ref, epoch, walk

__all__ = ["CompiledBackend", "Prepared", "segment_of"]

Array = np.ndarray[Any, Any]

_logger = logging.getLogger("mnn.backends")

_SMALL_ELEMENTS = 1 << 14
_SMALL_USES = 3

# What making a plan costs, in seconds, and what NumPy takes for one element of one operator.
_PATIENCE = 0.03
_NUMPY_ELEMENT = 5e-10
_SORT_WEIGHT = 100


class CompiledBackend:
    """Evaluates graphs by plans; small ones that are new run on NumPy first."""

    def __init__(self) -> None:
        self.reference = ReferenceBackend()
        self._structures = Structures()

    def run(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        known: Mapping[Node, Sequence[Array]],
        *,
        patient: bool = False,
    ) -> list[Array]:
        """Return `outputs`; see `mnn.expr.evaluate.Executor`."""
        drawn = _draw(nodes, known)
        if drawn is None:
            return self.reference.run(nodes, outputs, known)
        if drawn:
            known = {**known, **drawn}
            nodes = [node for node in nodes if node not in drawn]
        if not nodes:
            return [known[ref.node][ref.port] for ref in outputs]
        graph = Recorded(nodes, outputs)
        structure = self._structures.find(graph)
        if patient:
            structure.waited += _numpy_seconds(nodes)
            if structure.waited < _PATIENCE:
                return self.reference.run(nodes, outputs, known)
        elif structure.uses < _SMALL_USES and _is_small(graph, known):
            return self.reference.run(nodes, outputs, known)
        try:
            low = host_target().shortens(config.precision)
            segment, arrays = structure.segment(graph, known, low=low)
            if segment.constants:
                self._structures.bound(structure, segment)
            return segment.run(arrays, threads=config.threads, low=low)
        except CodegenError as problem:
            _explain_failure(problem)
            return self.reference.run(nodes, outputs, known)

    def ready(
        self, nodes: Sequence[Node], outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]
    ) -> tuple[Callable[[Sequence[Array], int], list[Array]], list[Node]] | None:
        """Return the plan that computed work like this last; see `mnn.expr.evaluate.Executor`."""
        graph = Recorded(nodes, outputs)
        if graph.lasting:
            return None
        structure = self._structures.known(graph)
        if structure is None:
            return None
        return structure.ready(graph, known, low=host_target().shortens(config.precision))

    @property
    def constant_bytes(self) -> int:
        """Memory of constants that plans of recorded graphs hold."""
        return self._structures.constant_bytes

    def run_graph(
        self, graph: Graph, arrays: Sequence[Array], *, threads: int, precision: str
    ) -> list[Array]:
        """Return the outputs of a graph; its constants are prepared once."""
        prepared: Prepared = graph.plan("compiled", Prepared)
        written = prepared.written()
        if written:
            graph.forget("compiled")
            prepared = graph.plan("compiled", lambda _: Prepared(graph, written))
        given = [*arrays, *prepared.leaf_arrays()]
        try:
            low = host_target().shortens(precision)
            return prepared.segment.run(given, threads=threads, low=low)
        except CodegenError as problem:
            _explain_failure(problem)
            return self.reference.run_graph(graph, arrays, threads=threads, precision=precision)


def _numpy_seconds(nodes: Sequence[Node]) -> float:
    """Return about how long NumPy takes for nodes of known sizes."""
    total = 0
    for node in nodes:
        weight = _SORT_WEIGHT if getattr(node.operation, "family", "") == "sort" else 1
        total += weight * math.prod(node.types[0].sizes)
        for ref in node.inputs:
            if ref is not None:
                total += math.prod(ref.node.types[ref.port].sizes)
    return total * _NUMPY_ELEMENT


def _draw(
    nodes: Sequence[Node], known: Mapping[Node, Sequence[Array]]
) -> dict[Node, Sequence[Array]] | None:
    """Return the results of random operators, None when one depends on what is to be computed.

    Their seeds are attributes, another one for each use: as part of a structure they would make
    every graph a new one.
    """
    drawn: dict[Node, Sequence[Array]] = {}
    for node in nodes:
        operation = node.operation
        if operation is None or getattr(operation, "family", "") != "random":
            continue
        operands: list[Array | None] = []
        for ref in node.inputs:
            if ref is None:
                operands.append(None)
            elif ref.node in known:
                operands.append(known[ref.node][ref.port])
            elif ref.type.value is not None:
                operands.append(ref.type.value)
            else:
                return None
        drawn[node] = operation.compute(operands, node.attributes)
    return drawn


def _explain_failure(problem: CodegenError) -> None:
    """Say that a graph runs on NumPy: slower, but no reason to fail the user's call."""
    _logger.warning("a graph could not be compiled and runs on NumPy: %s", problem)


def _is_small(graph: Recorded, known: Mapping[Node, Sequence[Array]]) -> bool:
    total = sum(array.size for node in graph.given for array in known[node])
    for node in graph.nodes:
        for type in node.types:
            if not type.is_static:
                return False
            total += math.prod(type.sizes)
    return total < _SMALL_ELEMENTS


class Prepared:
    """A graph ready to run: its segment, and the leaves whose values may change.

    Args:
        graph: the graph.
        written: constants that change nevertheless, such as the state of an optimizer.
    """

    def __init__(self, graph: Graph, written: frozenset[Node] = frozenset()) -> None:
        leaves = graph.leaves()
        inputs = set(graph.inputs)
        fixed = {
            node: _cell(node)
            for node in leaves
            if node.kind == CONST
            and node not in inputs
            and node not in written
            and not _cell(node).exposed
        }
        self.variable = [node for node in leaves if node not in inputs and node not in fixed]
        self._written = written
        self._versions = [(node, cell, cell.version) for node, cell in fixed.items()]
        self._epoch = epoch()
        nodes = [node for node in walk(graph.outputs) if not node.is_leaf and node not in inputs]
        arguments = [Ref(node, 0) for node in (*graph.inputs, *self.variable)]
        constants = {node: cell.value(node.names.get(0, "")) for node, cell in fixed.items()}
        self.segment = Segment(
            needed_nodes(nodes, graph.outputs, inputs),
            graph.outputs,
            arguments,
            constants,
            graph.origin if graph.is_original and not self.variable else None,
        )

    def written(self) -> frozenset[Node]:
        """Return the constants that were written, now or before: they are no constants then.

        Empty when nothing changed since the last call.
        """
        now = epoch()
        if now == self._epoch:
            return frozenset()
        self._epoch = now
        found = [
            node
            for node, cell, version in self._versions
            if cell.exposed or cell.version != version
        ]
        return self._written | frozenset(found) if found else frozenset()

    def leaf_arrays(self) -> list[Array]:
        """Return the present values of the leaves that may change."""
        return [_cell(node).value(node.names.get(0, "")) for node in self.variable]


def _cell(node: Node) -> Cell:
    assert node.cell is not None
    return node.cell


def segment_of(ref: Ref, types: Mapping[Node, Signature]) -> tuple[Segment, Signature]:
    """Return a segment that computes one result from its leaves, and its signature.

    Args:
        types: shapes and dtypes of the leaves' results.
    """
    nodes = [node for node in walk([ref]) if not node.is_leaf]
    graph = Recorded(nodes, [ref])
    return Structure().of_types(graph, [types[node] for node in graph.given])
