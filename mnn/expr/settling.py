"""Computing pending results: what leads to one, in one go; see `mnn.expr.pending`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mnn.expr.evaluate import executor
from mnn.expr.memory import on_write
from mnn.expr.node import Node, Ref
from mnn.expr.ready import key_of, number_node, remember_plan, run_ready
from mnn.expr.var import Var
from mnn.expr.waiting import Pending, finish, lock, waiting

__all__ = ["SMALL_PRODUCT", "settle"]

Array = np.ndarray[Any, Any]


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


def settle(var: Var) -> Array:
    """Return the array of a pending Var, which it holds from now on."""
    with lock:
        pending = var._pending
        if pending is not None:
            _compute(pending)
        assert var._value is not None
        return var._value


def _compute(root: Pending) -> None:
    work = _work(root)
    arrays: list[Any] = [node.cell.array for node in work.leaves]  # type: ignore[union-attr]
    if len(work.order) == 1 and _suits_numpy(root, arrays):
        finish(root, _own(_by_numpy(root), arrays))
        return
    values = run_ready(work.key, arrays)
    if values is not None:
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
        remember_plan(work.key, backend, work.order, outputs, known, work.leaves)
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
    number_node(root, numbers, order, leaves, parts)
    wanted = _stored(order, root)
    if len(wanted) > 1 or wanted[0] is not root:
        parts.append(-3)
        parts.extend([numbers[node] for node in wanted])
    return _Work(order, leaves, wanted, key_of(order, parts))


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
