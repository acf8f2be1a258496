"""Evaluation: from nodes to arrays, through whichever backend is configured."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mnn.config import config
from mnn.expr.node import Node, Ref, epoch, walk
from mnn.expr.ready import key_of, remember_plan, run_ready

if TYPE_CHECKING:
    from mnn.expr.graph import Graph

__all__ = [
    "Executor",
    "evaluate",
    "executor",
    "live_nodes",
    "register_executor",
    "run_graph",
]

Array = np.ndarray[Any, Any]
_NEVER = float("inf")


class Executor(Protocol):
    """What evaluation needs of a backend."""

    def run(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Ref],
        known: Mapping[Node, Sequence[Array]],
        *,
        patient: bool = False,
    ) -> list[Array]:
        """Return `outputs`.

        Args:
            nodes: in execution order.
            outputs: results of nodes.
            known: given results.
            patient: nobody asked for compiling: do it when it pays.
        """

    def ready(
        self, nodes: Sequence[Node], outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]
    ) -> tuple[Callable[[Sequence[Array], int], list[Array]], list[Node]] | None:
        """Return how work like this is done without looking at the nodes, if it can be.

        That is a function of arrays and a number of threads, and which nodes' arrays it takes.
        """

    def run_graph(
        self, graph: Graph, arrays: Sequence[Array], *, threads: int, precision: str
    ) -> list[Array]:
        """Return the outputs of a graph for its inputs."""


_factories: dict[str, Callable[[], Executor]] = {}
_executors: dict[str, Executor] = {}


def register_executor(name: str, factory: Callable[[], Executor]) -> None:
    """Make a backend available under `name`; `factory` runs on first use."""
    _factories[name] = factory


def executor() -> Executor:
    """Return the configured backend."""
    name = config.backend
    found = _executors.get(name)
    if found is None:
        if name not in _factories:
            raise ValueError(
                f"config.backend: found {name!r}, expected one of {sorted(_factories)}."
            )
        found = _executors.setdefault(name, _factories[name]())
    return found


def evaluate(outputs: Sequence[Ref], *, keep: bool = True) -> list[Array]:
    """Return the values of `outputs`, computing what is not cached.

    Args:
        outputs: results of nodes.
        keep: remember the values on their nodes until a leaf below them is written.

    Returns:
        Arrays that must not be modified: they may be cached, or be the storage of a leaf.
    """
    now = epoch()
    quick = [_cached(ref, now) for ref in outputs]
    if all(value is not None for value in quick):
        return [value for value in quick if value is not None]
    work = _needed(outputs, now)
    if work is None:
        return _evaluate_after_writes(outputs, now, keep=keep)
    order, leaves, known, key = work
    values = run_ready(key, [known[node][0] for node in leaves])
    if values is None:
        backend = executor()
        values = backend.run(order, outputs, known)
        if key is not None:
            remember_plan(key, backend, order, outputs, known, leaves)
    if keep:
        _remember(outputs, values, {ref.node: now for ref in outputs}, now)
    return values


def _needed(
    outputs: Sequence[Ref], now: int
) -> tuple[list[Node], list[Node], dict[Node, Sequence[Array]], Hashable | None] | None:
    """Return the nodes to compute, in order, those that are known, their values, and a key.

    None when something was written since a result was cached, or may be written unseen: then it
    takes a look at all leaves to tell what still holds. The key is that of `mnn.expr.ready`; None
    where it would say too little.
    """
    order: list[Node] = []
    leaves: list[Node] = []
    known: dict[Node, Sequence[Array]] = {}
    numbers: dict[Node, int] = {}
    parts: list[Any] = []
    telling = True
    stack: list[Node | None] = [ref.node for ref in reversed(outputs)]
    waiting: list[Node] = []
    met: set[Node] = set()
    while stack:
        node = stack.pop()
        if node is None:
            node = waiting.pop()
            for ref in node.inputs:
                if ref is None:
                    parts.append(-2)
                else:
                    parts.append(numbers[ref.node])
                    if ref.port:
                        parts.append(-4 - ref.port)
            parts.append(~node.stamp)
            order.append(node)
            numbers[node] = len(numbers)
            continue
        if node in met:
            continue
        met.add(node)
        cell, cache = node.cell, node.cache
        if cell is not None or cache is not None:
            if cell is not None:
                if cell.exposed:
                    return None
                value = cell.value(node.names.get(0, ""))
                known[node] = (value,)
                type = node.types[0]
                # A constant may be built into a plan, which is then no other constant's.
                telling = (
                    telling
                    and not cell.lasting
                    and value.dtype == type.dtype
                    and value.shape == type.shape
                )
            elif cache is not None:
                if cache[0] != now:
                    return None
                known[node] = cache[1]
                telling = telling and len(cache[1]) == 1
            leaves.append(node)
            parts.append(-1)
            numbers[node] = len(numbers)
            continue
        waiting.append(node)
        stack.append(None)
        stack.extend(
            [ref.node for ref in reversed(node.inputs) if ref is not None and ref.node not in met]
        )
    for ref in outputs:
        parts += (-3, numbers[ref.node], ref.port)
    return order, leaves, known, key_of(order, parts) if telling and order else None


def _evaluate_after_writes(outputs: Sequence[Ref], now: int, *, keep: bool) -> list[Array]:
    """Evaluate after looking at all leaves, which tell which cached results still hold."""
    nodes = list(walk(outputs))
    newest = _newest_writes(nodes)
    known: dict[Node, Sequence[Array]] = {
        node: node.cache[1]
        for node in nodes
        if node.cache is not None and newest[node] <= node.cache[0]
    }
    for node in nodes:
        # An unwritten input only matters when something that is not cached reads it: see
        # `live_nodes`.
        if node.cell is not None and node.cell.array is not None:
            known[node] = (node.cell.array,)
    values = executor().run(live_nodes(outputs, known), outputs, known)
    if keep:
        _remember(outputs, values, newest, now)
    return values


def _cached(ref: Ref, now: int) -> Array | None:
    node = ref.node
    if node.cell is not None:
        return node.cell.value(node.names.get(0, ""))
    cache = node.cache
    return cache[1][ref.port] if cache is not None and cache[0] == now else None


def _newest_writes(nodes: Sequence[Node]) -> dict[Node, float]:
    newest: dict[Node, float] = {}
    for node in nodes:
        if node.cell is not None:
            newest[node] = _NEVER if node.cell.exposed else node.cell.version
        else:
            newest[node] = max(
                (newest[ref.node] for ref in node.inputs if ref is not None), default=0
            )
    return newest


def live_nodes(outputs: Sequence[Ref], known: Mapping[Node, Sequence[Array]]) -> list[Node]:
    """Return the nodes to compute, in order: those that outputs need and `known` lacks."""
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(ref.node, False) for ref in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in done:
            done.add(node)
            if node.cell is not None:
                if node not in known:
                    node.cell.value(node.names.get(0, ""))
            elif node not in known:
                stack.append((node, True))
                stack.extend(
                    (ref.node, False)
                    for ref in reversed(node.inputs)
                    if ref is not None and ref.node not in done
                )
    return order


def _remember(
    outputs: Sequence[Ref], values: Sequence[Array], newest: Mapping[Node, float], now: int
) -> None:
    wanted: dict[Node, dict[int, Array]] = {}
    for ref, value in zip(outputs, values, strict=True):
        if not ref.node.is_leaf and newest[ref.node] <= now:
            wanted.setdefault(ref.node, {})[ref.port] = value
    for node, results in wanted.items():
        if len(results) == len(node.types):
            node.cache = (now, tuple(results[index] for index in range(len(node.types))))


def run_graph(
    graph: Graph,
    arrays: Sequence[Array],
    *,
    threads: int | None = None,
    precision: str | None = None,
) -> list[Array]:
    """Return the outputs of `graph` for `arrays`; what is made for it is kept for the next call.

    Args:
        threads, precision: settings of this run; None: those of `mnn.config`.
    """
    return executor().run_graph(
        graph,
        arrays,
        threads=config.threads if threads is None else threads,
        precision=config.precision if precision is None else precision,
    )
