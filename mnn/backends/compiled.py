"""The compiling backend: plans of machine code, made once for each graph and each input shape."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.reference import ReferenceBackend
from mnn.codegen.target import host_target
from mnn.compile.pipeline import Compiled, Signature, compile_nodes
from mnn.config import config
from mnn.errors import CodegenError
from mnn.expr.graph import Graph
from mnn.expr.node import CONST, INPUT, Cell, Node, Ref, walk

__all__ = ["CompiledBackend", "Prepared", "Segment", "segment_of"]

Array = np.ndarray[Any, Any]

_logger = logging.getLogger("mnn.backends")

_SMALL_ELEMENTS = 1 << 14
_SMALL_USES = 3
_GRAPH_LIMIT = 512


class Segment:
    """Nodes to compute from given results; holds a plan for every signature it met.

    Args:
        nodes: in execution order, without leaves.
        outputs: what to return.
        arguments: results that callers give.
        constants: leaves whose values never change.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        arguments: Sequence[Ref],
        constants: Mapping[Node, Array],
    ) -> None:
        self.nodes = list(nodes)
        self.outputs = list(outputs)
        self.arguments = list(arguments)
        self.constants = dict(constants)
        self.plans: dict[tuple[Signature, bool], tuple[Compiled, Segment | None]] = {}
        self.uses = 0
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
                    found = self.plans[signature, low] = self._compile(signature, low=low)
        return found

    def _compile(self, signature: Signature, *, low: bool) -> tuple[Compiled, Segment | None]:
        made = compile_nodes(
            self.nodes,
            self.outputs,
            self.arguments,
            signature,
            self.constants,
            host_target(),
            low=low,
        )
        if made.stopped is None:
            return made, None
        stopped = made.stopped
        known = {ref.node for ref in made.results} | {ref.node for ref in self.arguments}
        done = {stopped, *self.constants}
        order = [node for node in self.nodes if node is not stopped]
        needed = _needed(order, self.outputs, known | done)
        arguments = [
            *self.arguments,
            *made.results,
            *(Ref(stopped, port) for port in range(len(stopped.types))),
        ]
        return made, Segment(needed, self.outputs, arguments, self.constants)

    def run(self, arrays: Sequence[Array], *, threads: int, low: bool) -> list[Array]:
        """Return the outputs for arguments."""
        made, following = self.compiled(arrays, low=low)
        results = made.plan.run(arrays, threads)
        if following is None:
            return results
        return following.run(self.carried(made, arrays, results), threads=threads, low=low)

    def carried(
        self, made: Compiled, arrays: Sequence[Array], results: Sequence[Array]
    ) -> list[Array]:
        """Return the arguments of what follows a plan: all known, and the node it stopped at."""
        stopped = made.stopped
        assert stopped is not None
        assert stopped.operation is not None
        values: dict[Ref, Array] = dict(zip(self.arguments, arrays, strict=True))
        values.update(zip(made.results, results, strict=True))
        operands = [None if ref is None else self._operand(ref, values) for ref in stopped.inputs]
        with np.errstate(all="ignore"):
            computed = stopped.operation.compute(operands, stopped.attributes)
        return [*arrays, *results, *computed]

    def _operand(self, ref: Ref, values: Mapping[Ref, Array]) -> Array:
        constant = self.constants.get(ref.node)
        return values[ref] if constant is None else constant


def _needed(nodes: Sequence[Node], outputs: Sequence[Ref], known: set[Node]) -> list[Node]:
    """Return the nodes that outputs need and that are not known, in order."""
    wanted = {ref.node for ref in outputs}
    kept = []
    for node in reversed(nodes):
        if node in wanted and node not in known:
            kept.append(node)
            wanted.update(ref.node for ref in node.inputs if ref is not None)
    return kept[::-1]


class CompiledBackend:
    """Evaluates graphs by plans; small ones that are new run on NumPy first."""

    def __init__(self) -> None:
        self.reference = ReferenceBackend()
        self._segments: OrderedDict[Hashable, Segment] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self, nodes: Sequence[Node], outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]
    ) -> list[Array]:
        """Return `outputs`. `nodes` are in execution order; `known` holds given results."""
        if not nodes:
            return [known[ref.node][ref.port] for ref in outputs]
        key, arguments = _structure(nodes, outputs, known)
        segment = self._segment(key, nodes, outputs, arguments, known)
        segment.uses += 1
        if segment.uses < _SMALL_USES and _is_small(nodes, known):
            return self.reference.run(nodes, outputs, known)
        arrays = [known[ref.node][ref.port] for ref in arguments]
        try:
            return segment.run(arrays, threads=config.threads, low=_is_low(config.precision))
        except CodegenError as problem:
            _explain_failure(problem)
            return self.reference.run(nodes, outputs, known)

    def run_graph(
        self, graph: Graph, arrays: Sequence[Array], *, threads: int, precision: str
    ) -> list[Array]:
        """Return the outputs of a graph; its constants are prepared once."""
        prepared: Prepared = graph.plan("compiled", Prepared)
        if prepared.is_stale():
            graph.forget("compiled")
            prepared = graph.plan("compiled", Prepared)
        given = [*arrays, *prepared.leaf_arrays()]
        try:
            return prepared.segment.run(given, threads=threads, low=_is_low(precision))
        except CodegenError as problem:
            _explain_failure(problem)
            return self.reference.run_graph(graph, arrays, threads=threads, precision=precision)

    def _segment(
        self,
        key: Hashable,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        arguments: Sequence[Ref],
        known: Mapping[Node, Sequence[Array]],
    ) -> Segment:
        with self._lock:
            found = self._segments.get(key)
            if found is None:
                found = self._segments[key] = _detached(nodes, outputs, arguments, known)
                if len(self._segments) > _GRAPH_LIMIT:
                    self._segments.popitem(last=False)
            else:
                self._segments.move_to_end(key)
            return found


def _explain_failure(problem: CodegenError) -> None:
    """Say that a graph runs on NumPy: slower, but no reason to fail the user's call."""
    _logger.warning("a graph could not be compiled and runs on NumPy: %s", problem)


def _is_low(precision: str) -> bool:
    return precision.startswith("low")


def _is_small(nodes: Sequence[Node], known: Mapping[Node, Sequence[Array]]) -> bool:
    total = sum(array.size for arrays in known.values() for array in arrays)
    for node in nodes:
        for type in node.types:
            if not type.is_static:
                return False
            size = 1
            for length in type.shape or ():
                size *= int(length)  # type: ignore[arg-type]
            total += size
    return total < _SMALL_ELEMENTS


def _is_fixed(node: Node) -> bool:
    """True for constants that shape rules may look at: they are part of the structure."""
    return node.kind == CONST and node.types[0].value is not None


def _structure(
    nodes: Sequence[Node], outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]
) -> tuple[Hashable, list[Ref]]:
    """Return what two graphs must share to use one segment, and the results to be given."""
    numbers: dict[Node, int] = {}
    arguments: list[Ref] = []
    parts: list[Hashable] = []

    def place(ref: Ref) -> tuple[int, int]:
        node = ref.node
        if node not in numbers:
            numbers[node] = len(numbers)
            if _is_fixed(node):
                value = node.types[0].value
                assert value is not None
                parts.append((value.shape, value.dtype, value.tobytes()))
            else:
                arguments.extend(Ref(node, port) for port in range(len(node.types)))
                parts.append(tuple((each.dtype, each.format) for each in node.types))
        return numbers[node], ref.port

    for node in nodes:
        inputs = tuple(None if ref is None else place(ref) for ref in node.inputs)
        numbers[node] = len(numbers)
        parts.append((id(node.operation), inputs, tuple(node.attributes.items())))
    parts.append(tuple(place(ref) for ref in outputs))
    return tuple(parts), arguments


def _detached(
    nodes: Sequence[Node],
    outputs: Sequence[Ref],
    arguments: Sequence[Ref],
    known: Mapping[Node, Sequence[Array]],
) -> Segment:
    """Return a segment over copies of the nodes, so that no caller's arrays stay alive."""
    copies: dict[Node, Node] = {}
    constants: dict[Node, Array] = {}

    def copy(ref: Ref | None) -> Ref | None:
        if ref is None:
            return None
        node = ref.node
        if node not in copies:
            if _is_fixed(node):
                twin = Node(CONST, None, (), {}, node.types, Cell(None))
                value = node.types[0].value
                assert value is not None
                constants[twin] = value
            else:
                twin = Node(INPUT, None, (), {}, node.types, Cell(None))
            copies[node] = twin
        return Ref(copies[node], ref.port)

    for node in nodes:
        inputs = tuple(copy(ref) for ref in node.inputs)
        copies[node] = Node(node.kind, node.operation, inputs, node.attributes, node.types)
    order = [copies[node] for node in nodes]
    wanted = [copy(ref) for ref in outputs]
    given = [copy(ref) for ref in arguments]
    return Segment(
        order,
        [ref for ref in wanted if ref is not None],
        [ref for ref in given if ref is not None],
        constants,
    )


class Prepared:
    """A graph ready to run: its segment, and the leaves whose values may change."""

    def __init__(self, graph: Graph) -> None:
        leaves = graph.leaves()
        inputs = set(graph.inputs)
        fixed = [
            node
            for node in leaves
            if node not in inputs and node.kind == CONST and not _cell(node).exposed
        ]
        self.variable = [node for node in leaves if node not in inputs and node not in set(fixed)]
        self._versions = [(_cell(node), _cell(node).version) for node in fixed]
        nodes = [node for node in walk(graph.outputs) if not node.is_leaf and node not in inputs]
        arguments = [Ref(node, 0) for node in (*graph.inputs, *self.variable)]
        constants = {node: _cell(node).value(node.names.get(0, "")) for node in fixed}
        self.segment = Segment(
            _needed(nodes, graph.outputs, inputs), graph.outputs, arguments, constants
        )

    def is_stale(self) -> bool:
        """True when a constant was written since."""
        return any(cell.exposed or cell.version != version for cell, version in self._versions)

    def leaf_arrays(self) -> list[Array]:
        """Return the present values of the leaves that may change."""
        return [_cell(node).value(node.names.get(0, "")) for node in self.variable]


def _cell(node: Node) -> Cell:
    assert node.cell is not None
    return node.cell


def segment_of(ref: Ref) -> tuple[Segment, list[Ref]]:
    """Return a segment that computes one result from its leaves, and the leaves to be given."""
    nodes = [node for node in walk([ref]) if not node.is_leaf]
    leaves = [node for node in walk([ref]) if node.is_leaf]
    known: dict[Node, Sequence[Array]] = dict.fromkeys(leaves, ())
    _, arguments = _structure(nodes, [ref], known)
    return _detached(nodes, [ref], arguments, known), arguments
