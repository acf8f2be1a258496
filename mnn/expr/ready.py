"""Work that was met before: found by the stamps of its operators, without looking at it again.

Recorded graphs and pending results are numbered alike: nodes after their operands, leaves in the
order of their first use. Stamps and numbers make a key; equal keys mean equal work on other arrays
(see `mnn.expr.node.stamped_types`). When a plan did such work, it does it again at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.config import config
from mnn.expr.node import Node, Ref

if TYPE_CHECKING:
    from mnn.expr.evaluate import Executor

__all__ = ["key_of", "number_node", "remember_plan", "run_ready"]

Array = np.ndarray[Any, Any]

_KEPT = 512

# A function of the arrays of some of the leaves, by their numbers.
_ready: OrderedDict[Hashable, tuple[Callable[..., list[Array]], list[int]]] = OrderedDict()
# How often work without a plan was done.
_asked: dict[Hashable, int] = {}


def number_node(
    node: Any, numbers: dict[Node, int], order: list[Any], leaves: list[Node], parts: list[Any]
) -> int:
    """Number a node after its operands, and add it to what is to be computed.

    Args:
        node: what waits is never deep enough to overflow the stack.
        numbers: of the nodes met so far.    order: nodes to compute.    leaves: nodes with arrays.
        parts: of the key.
    """
    if node.cell is not None:
        leaves.append(node)
        parts.append(-1)
    else:
        for ref in node.inputs:
            if ref is None:
                parts.append(-2)
                continue
            found = numbers.get(ref.node)
            if found is None:
                found = number_node(ref.node, numbers, order, leaves, parts)
            parts.append(found)
            if ref.port:
                parts.append(-4 - ref.port)
        parts.append(~node.stamp)
        order.append(node)
    number = numbers[node] = len(numbers)
    return number


def key_of(order: Sequence[Any], parts: Sequence[int]) -> Hashable | None:
    """Return the key of numbered work, None when some operator tells nothing of itself."""
    if 0 in [node.stamp for node in order]:
        return None
    return config.backend, config.precision, *parts


def run_ready(key: Hashable | None, arrays: Sequence[Array]) -> list[Array] | None:
    """Return the results of work that was done before, for the arrays of its leaves; else None."""
    found = None if key is None else _ready.get(key)
    if found is None:
        return None
    return found[0]([arrays[number] for number in found[1]], config.threads)


def remember_plan(
    key: Hashable,
    backend: Executor,
    order: Sequence[Node],
    outputs: Sequence[Ref],
    known: Mapping[Node, Sequence[Array]],
    leaves: Sequence[Node],
) -> None:
    """Keep how the backend did some work, if it has a plan for it.

    Work that has none yet, or never will, is asked about ever more rarely: asking takes a look at
    all nodes.
    """
    times = _asked[key] = _asked.get(key, 0) + 1
    if times & (times - 1):
        return
    if len(_asked) > _KEPT:
        _asked.clear()
    found = backend.ready(order, outputs, known)
    if found is None:
        return
    run, given = found
    _ready[key] = run, [leaves.index(node) for node in given]
    if len(_ready) > _KEPT:
        _ready.popitem(last=False)
