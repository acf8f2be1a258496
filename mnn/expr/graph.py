"""Graphs: a set of inputs and outputs over nodes, and the ways to walk, rebuild and bind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.expr.node import Node, Ref, make_node, walk

__all__ = ["Graph", "rebuild"]

Array = np.ndarray[Any, Any]


def rebuild(
    roots: Sequence[Ref], replacements: Mapping[Node, Sequence[Ref]], *, unique: bool = False
) -> list[Ref]:
    """Return `roots` with nodes replaced: a functional edit, the old nodes stay as they are.

    Args:
        roots: results to keep.
        replacements: for a node, the results that stand in its place.
        unique: do not merge the rebuilt nodes with equal ones.
    """
    done: dict[Node, Sequence[Ref]] = dict(replacements)
    for node in walk(roots):
        if node in done:
            continue
        if node.is_leaf or not any(
            ref is not None and done[ref.node][ref.port] is not ref for ref in node.inputs
        ):
            done[node] = _own_refs(node)
            continue
        inputs = [None if ref is None else done[ref.node][ref.port] for ref in node.inputs]
        if all(new is None or new == old for new, old in zip(inputs, node.inputs, strict=True)):
            done[node] = _own_refs(node)
            continue
        operation = node.operation
        if operation is None:  # pragma: no cover - only leaves lack an operation
            raise AssertionError(f"{node!r} has inputs but no operation")
        new = make_node(operation, inputs, node.attributes, unique=unique or bool(node.names))
        if new is not node and node.names:
            new.names.update(node.names)
        done[node] = _own_refs(new)
    return [done[root.node][root.port] for root in roots]


def _own_refs(node: Node) -> list[Ref]:
    return [Ref(node, index) for index in range(len(node.types))]


class Graph:
    """A function from inputs to outputs: a loaded model, or the body of a control-flow operator.

    Attributes:
        inputs: INPUT leaves in call order.
        outputs: results in order.
    """

    __slots__ = ("_plans", "inputs", "outputs")

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Ref]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._plans: dict[str, Any] = {}

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs for `arrays`, one per input, in order."""
        from mnn.expr.evaluate import run_graph

        return run_graph(self, arrays)

    def plan(self, name: str, make: Callable[[Graph], Any]) -> Any:
        """Return what a backend made of this graph, kept under the backend's name."""
        found = self._plans.get(name)
        if found is None:
            found = self._plans.setdefault(name, make(self))
        return found

    def forget(self, name: str) -> None:
        """Drop what a backend made, so that it is made again."""
        self._plans.pop(name, None)

    def bind(self, values: Sequence[Ref], *, unique: bool = False) -> list[Ref]:
        """Return the outputs as nodes over `values` instead of this graph's inputs."""
        replacements = {node: [value] for node, value in zip(self.inputs, values, strict=True)}
        return rebuild(self.outputs, replacements, unique=unique)

    def leaves(self) -> list[Node]:
        """Return every leaf that the outputs depend on, inputs included."""
        return [node for node in walk(self.outputs) if node.is_leaf]
