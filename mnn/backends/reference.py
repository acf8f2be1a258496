"""The NumPy backend: runs every operator's own reference, one after the other. It is the judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.compile.lifetimes import last_uses
from mnn.expr.evaluate import live_nodes
from mnn.expr.graph import Graph
from mnn.expr.node import Node, Ref

__all__ = ["ReferenceBackend"]

Array = np.ndarray[Any, Any]


class ReferenceBackend:
    """Evaluates nodes with NumPy and frees each result after its last use."""

    def run(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        known: Mapping[Node, Sequence[Array]],
        *,
        patient: bool = False,
    ) -> list[Array]:
        """Return `outputs`; see `mnn.expr.evaluate.Executor`."""
        values: dict[Node, Sequence[Array]] = dict(known)
        dying = last_uses(nodes, outputs)
        with np.errstate(all="ignore"):
            for node, dead in zip(nodes, dying, strict=True):
                operation = node.operation
                if operation is None:
                    raise AssertionError(f"leaf {node!r} was scheduled")
                arrays = [
                    None if ref is None else values[ref.node][ref.port] for ref in node.inputs
                ]
                values[node] = operation.compute(arrays, node.attributes)
                for each in dead:
                    values.pop(each, None)
        return [values[ref.node][ref.port] for ref in outputs]

    def ready(
        self, nodes: Sequence[Node], outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]
    ) -> None:
        """Return None: the nodes are always looked at."""

    def run_graph(
        self, graph: Graph, arrays: Sequence[Array], *, threads: int, precision: str
    ) -> list[Array]:
        """Return the outputs of a graph; the order of its nodes is found once."""
        order, constants = graph.plan("reference", _order)
        known: dict[Node, Sequence[Array]] = {
            node: (array,) for node, array in zip(graph.inputs, arrays, strict=True)
        }
        for node in constants:
            if node not in known:
                known[node] = (node.cell.value(node.names.get(0, "")),)
        return self.run(order, graph.outputs, known)


def _order(graph: Graph) -> tuple[list[Node], list[Node]]:
    leaves = graph.leaves()
    placeholders: dict[Node, Sequence[Array]] = {node: (np.empty(0),) for node in leaves}
    return live_nodes(graph.outputs, placeholders), leaves
