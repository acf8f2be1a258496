"""Computing pending results: what leads to one, in one go; see `mnn.expr.pending`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnn.config import config
from mnn.expr.evaluate import executor
from mnn.expr.memory import on_write
from mnn.expr.node import Node, Ref
from mnn.expr.var import Var
from mnn.expr.waiting import Pending, finish, lock, waiting

__all__ = ["SMALL_PRODUCT", "settle", "settle_all"]

Array = np.ndarray[Any, Any]

_KEPT = 256


class _Work(NamedTuple):
    """What is to be done for one result.

    Attributes:
        order: nodes to compute, in execution order.
        leaves: nodes whose arrays they read, in the order of their first use.
        wanted: nodes whose arrays are kept.
        key: what equal work has in common, with other arrays; None when that is not known.
    """

    order: list[Pending]
    leaves: list[Node]
    wanted: list[Pending]
    key: Hashable | None


# How to do work that was met before: a function of the arrays of some of the leaves, by number.
_ready: OrderedDict[Hashable, tuple[Callable[..., list[Array]], list[int]]] = OrderedDict()


def settle(var: Var) -> Array:
    """Return the array of a pending Var, which it holds from now on."""
    with lock:
        pending = var._pending
        if pending is not None:
            _compute(pending)
        assert var._value is not None
        return var._value


def settle_all() -> None:
    """Compute everything that waits."""
    with lock:
        for held in list(waiting.values()):
            var = held()
            if var is not None and var._value is None:
                settle(var)


def _compute(root: Pending) -> None:
    work = _work(root)
    arrays: list[Any] = [node.cell.array for node in work.leaves]  # type: ignore[union-attr]
    if len(work.order) == 1 and _suits_numpy(root, arrays):
        taken = list(arrays)
        finish(root, _own(_by_numpy(root), taken))
        return
    found = None if work.key is None else _ready.get(work.key)
    if found is not None:
        values = found[0]([arrays[number] for number in found[1]], config.threads)
        for node, value in zip(work.wanted, values, strict=True):
            finish(node, value)
        return
    taken = list(arrays)
    for node, value in zip(work.wanted, _computed(work, arrays), strict=True):
        own = _own(value, taken)
        taken.append(own)
        finish(node, own)


def _computed(work: _Work, arrays: Sequence[Array]) -> list[Array]:
    """Return the wanted values, and remember how they were computed if a plan did it."""
    known = {node: (array,) for node, array in zip(work.leaves, arrays, strict=True)}
    outputs = [Ref(node, 0) for node in work.wanted]
    backend = executor()
    values = backend.run(work.order, outputs, known, patient=True)
    if work.key is not None:
        ready = backend.ready(work.order, outputs, known)
        if ready is not None:
            run, given = ready
            _ready[work.key] = run, [work.leaves.index(node) for node in given]
            if len(_ready) > _KEPT:
                _ready.popitem(last=False)
    return values


# Operators that NumPy alone computes as quickly as a kernel does, or more so.
_NUMPYS = frozenset(("reduce_max", "reduce_min", "argmax", "argmin", "concat", "sort"))
SMALL_PRODUCT = 300**3
"""Multiplications up to which NumPy is as quick as a kernel."""


def _suits_numpy(node: Pending, arrays: Sequence[Array]) -> bool:
    """True when one operator is to be computed that kernels have no advantage for."""
    name = node.kind
    if name in _NUMPYS:
        return True
    if name == "matmul":
        left, right = arrays[0], arrays[-1]
        return left.ndim == 1 or right.ndim == 1 or left.size * right.shape[-1] < SMALL_PRODUCT
    # Kernels read copies of arrays that are not C-contiguous.
    return any(not array.flags.c_contiguous for array in arrays)


def _by_numpy(node: Pending) -> Array:
    operation = node.operation
    assert operation is not None
    given = [None if ref is None else ref.node.cell.array for ref in node.inputs]  # type: ignore[union-attr]
    with np.errstate(all="ignore"):
        found: Array = operation.compute(given, node.attributes)[0]
    return found


def _own(value: Array, taken: Sequence[Array]) -> Array:
    """Return a result as an array whose memory no other array has: NumPy may return operands."""
    if not value.flags.writeable or any(np.may_share_memory(value, each) for each in taken):
        return np.array(value)
    return value


def _work(root: Pending) -> _Work:
    order: list[Any] = []
    leaves: list[Node] = []
    numbers: dict[Node, int] = {}
    parts: list[Any] = []
    _visit(root, numbers, order, leaves, parts)
    wanted = _stored(order, root)
    if len(wanted) > 1 or wanted[0] is not root:
        parts.append(-3)
        parts.extend([numbers[node] for node in wanted])
    stamped = 0 not in [node.stamp for node in order]
    key = (config.backend, config.precision, *parts) if stamped else None
    return _Work(order, leaves, wanted, key)


def _visit(
    node: Any, numbers: dict[Node, int], order: list[Any], leaves: list[Node], parts: list[Any]
) -> int:
    """Number a node after its operands; what waits is never deep enough to overflow the stack."""
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
                found = _visit(ref.node, numbers, order, leaves, parts)
            parts.append(found)
        parts.append(~node.stamp)
        order.append(node)
    number = numbers[node] = len(numbers)
    return number


def _stored(order: Sequence[Pending], root: Pending) -> list[Pending]:
    """Return the nodes whose arrays are kept: what Vars can see, but for views of others."""
    wanted: dict[Pending, None] = {}
    for node in order:
        if node is not root and node.var is None:
            continue
        base = node.base
        if base is not None and (base.var is not None or len(base.live_views()) > 1):
            wanted[base] = None
        else:
            wanted[node] = None
    return list(wanted)


def _settle_readers(changing: list[Node]) -> None:
    """Compute what reads some leaves."""
    with lock:
        for held in list(waiting.values()):
            var = held()
            pending = None if var is None else var._pending
            if var is not None and pending is not None:
                leaves = _work(pending).leaves
                if any(node in leaves for node in changing):
                    settle(var)


on_write(_settle_readers)
