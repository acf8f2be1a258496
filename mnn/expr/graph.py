"""Graphs: a set of inputs and outputs over nodes, and the ways to walk, rebuild and bind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.expr.enums import data_format
from mnn.expr.node import CONST, Node, Ref, epoch, make_node, walk
from mnn.expr.replay import Replay
from mnn.records import dataclass

__all__ = ["DeferredGraph", "Graph", "Origin", "rebuild"]

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


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a graph comes from, when other processes can meet the same one.

    Attributes:
        key: tells this graph from all others.
        files: the mapped files that its constants are parts of.
    """

    key: bytes
    files: tuple[memoryview, ...]


class Graph:
    """A function from inputs to outputs: a loaded model, or the body of a control-flow operator.

    Attributes:
        inputs: INPUT leaves in call order.
        outputs: results in order.
        origin: where it comes from, None for graphs that only this process knows.
    """

    __slots__ = ("_epoch", "_plans", "_replay", "inputs", "origin", "outputs")

    inputs: tuple[Node, ...]
    outputs: tuple[Ref, ...]

    def __init__(
        self, inputs: Sequence[Node], outputs: Sequence[Ref], origin: Origin | None = None
    ) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.origin = origin
        self._epoch = epoch()
        self._plans: dict[str, Any] = {}
        self._replay: Replay | None = None

    @property
    def formats(self) -> tuple[data_format, ...]:
        """Meaning of the dimensions of each output."""
        return tuple([ref.node.types[ref.port].format for ref in self.outputs])

    @property
    def trainable(self) -> bool:
        """True when a trainable value has an influence on an output."""
        return any(ref.node.trainable for ref in self.outputs)

    @property
    def is_made(self) -> bool:
        """True when its nodes exist."""
        return True

    @property
    def is_untouched(self) -> bool:
        """True when nothing at all was written since the nodes were made: a quick test."""
        return self._epoch == epoch()

    @property
    def is_original(self) -> bool:
        """True when no constant was written since the nodes were made, nor can be unseen."""
        if self.is_untouched:
            return True
        cells = [node.cell for node in self.leaves() if node.kind == CONST]
        return all(
            each is not None and each.version <= self._epoch and not each.exposed for each in cells
        )

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

    def record(self, values: Sequence[Ref]) -> list[Ref]:
        """Return the outputs as new nodes over `values`, as a call of a module records them.

        It is quicker than `bind`, and the graph's constants become lasting ones: see `Cell`.
        """
        if self._replay is None:
            self._replay = Replay(self.inputs, self.outputs)
        return self._replay.record(values)

    def leaves(self) -> list[Node]:
        """Return every leaf that the outputs depend on, inputs included."""
        return [node for node in walk(self.outputs) if node.is_leaf]


class DeferredGraph(Graph):
    """A graph without trainable values whose nodes are made when they are asked for.

    Args:
        inputs: leaves of the types that the graph's own inputs will have.
        formats: see `Graph`.
        origin: where it comes from.
        make: returns the graph; called at most once, from any thread.
    """

    __slots__ = ("_formats", "_given", "_lock", "_made", "_make")

    def __init__(
        self,
        inputs: Sequence[Node],
        formats: Sequence[data_format],
        origin: Origin,
        make: Callable[[], Graph],
    ) -> None:
        self.origin = origin
        self._plans = {}
        self._given = tuple(inputs)
        self._formats = tuple(formats)
        self._make = make
        self._made: Graph | None = None
        self._lock = threading.Lock()

    def _graph(self) -> Graph:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @property
    def inputs(self) -> tuple[Node, ...]:  # type: ignore[override]
        """The inputs: those of the nodes as soon as there are nodes."""
        return self._given if self._made is None else self._made.inputs

    @property
    def outputs(self) -> tuple[Ref, ...]:  # type: ignore[override]
        """The outputs; makes the nodes."""
        return self._graph().outputs

    @property
    def formats(self) -> tuple[data_format, ...]:
        """Meaning of the dimensions of each output."""
        return self._formats

    @property
    def trainable(self) -> bool:
        """False."""
        return False

    @property
    def is_made(self) -> bool:
        """True when the nodes exist."""
        return self._made is not None

    @property
    def is_untouched(self) -> bool:
        """True when nothing was written since there are nodes."""
        return self._made is None or self._made.is_untouched

    @property
    def is_original(self) -> bool:
        """True when no constant was written since there are nodes."""
        return self._made is None or self._made.is_original

    def bind(self, values: Sequence[Ref], *, unique: bool = False) -> list[Ref]:
        """Return the outputs as nodes over `values` instead of this graph's inputs."""
        return self._graph().bind(values, unique=unique)

    def record(self, values: Sequence[Ref]) -> list[Ref]:
        """Return the outputs as new nodes over `values`; see `Graph.record`."""
        return self._graph().record(values)
