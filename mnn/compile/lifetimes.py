"""Lifetimes: after which step a value is not needed any more."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.expr.node import Node, Ref

__all__ = ["last_uses"]


def last_uses(nodes: Sequence[Node], outputs: Sequence[Ref]) -> list[list[Node]]:
    """Return, for each step of an execution order, the nodes whose results die after it.

    Results that are outputs never die.
    """
    kept = {ref.node for ref in outputs}
    dying: list[list[Node]] = [[] for _ in nodes]
    seen: set[Node] = set(kept)
    for step in range(len(nodes) - 1, -1, -1):
        node = nodes[step]
        if node not in seen:  # nobody uses it: it dies at once
            seen.add(node)
            dying[step].append(node)
        for ref in node.inputs:
            if ref is not None and ref.node not in seen:
                seen.add(ref.node)
                dying[step].append(ref.node)
    return dying
