"""The nodes of pending results, and the Vars that wait for them; see `mnn.expr.pending`."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from mnn.expr.enums import data_format
from mnn.expr.memory import remember
from mnn.expr.node import INPUT, Cell, Node, Operation, Ref
from mnn.expr.types import TensorType
from mnn.expr.var import Var

__all__ = ["Pending", "finish", "lock", "make_waiting", "wait", "waiting"]

Array = np.ndarray[Any, Any]

_NCHW = data_format.NCHW

lock = threading.RLock()
"""Held while pending results are computed or exchanged."""

if hasattr(os, "register_at_fork"):
    # A child must not inherit a lock that a vanished thread holds.
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )

waiting: dict[int, weakref.ref[Var]] = {}
"""All Vars that wait, by their id."""


class Pending(Node):
    """A node whose Var was promised its array.

    Attributes:
        bytes: of the large arrays that are read, each as often as it is.
        count: of operations.
        holder: the Var.
        base: for a view of a pending result, the node whose memory it will share.
        views: the Vars of pending views of this node.
    """

    __slots__ = ("base", "bytes", "count", "holder", "views")

    holder: weakref.ref[Var]
    base: Pending | None
    views: list[weakref.ref[Var]]
    bytes: int
    count: int

    @property
    def var(self) -> Var | None:
        """The Var, if somebody still has it and it waits for this node."""
        found = self.holder()
        return found if found is not None and found._pending is self else None

    def live_views(self) -> list[Var]:
        """Return the Vars of pending views."""
        found = [held() for held in self.views]
        return [each for each in found if each is not None and each._pending is not None]


def make_waiting(
    operation: Operation,
    inputs: tuple[Ref | None, ...],
    attributes: Mapping[str, Any],
    types: tuple[TensorType, ...],
    stamp: int,
    bytes: int,
    count: int,
) -> Var:
    """Return a Var that waits for the result of an application; see `Pending`."""
    node = Pending(operation.name, operation, inputs, attributes, types)
    node.bytes = bytes
    node.count = count
    node.stamp = stamp
    node.views = []
    node.base = None
    var: Var = object.__new__(Var)
    var._value = var._ref = None
    var._pending = node
    var._format = _NCHW
    var._name = ""
    node.holder = wait(var)
    return var


class _Waiting(weakref.ref):  # type: ignore[type-arg]
    """Refers to a Var that waits, and knows its id after its death."""

    __slots__ = ("key",)
    key: int


def _forget(dead: Any) -> None:
    key = dead.key
    if waiting.get(key) is dead:
        del waiting[key]


def wait(var: Var) -> weakref.ref[Var]:
    """Note that a Var waits."""
    held = _Waiting(var, _forget)
    key = id(var)
    held.key = key
    waiting[key] = held
    return held


def finish(node: Pending, value: Array) -> None:
    """Give a value to the Var of a node, and views of it to those that wait for one."""
    views = node.live_views() if node.views else []
    derived = [(var, _derived(var._pending, node, value)) for var in views]
    var = node.var
    _become_leaf(node, value)
    if var is not None:
        _hold(var, value)
        remember(node, value)
    for each, view in derived:
        pending: Pending = each._pending
        _become_leaf(pending, view)
        _hold(each, view)
        remember(pending, view)


def _derived(view: Pending | None, base: Pending, value: Array) -> Array:
    """Return a view of a base's value, by the operations that lead from one to the other."""
    steps: list[Node] = []
    node: Any = view
    while node is not base:
        steps.append(node)
        node = node.inputs[0].node
    found: Any = value
    for each in reversed(steps):
        assert each.operation is not None
        rest = [None if ref is None else ref.node.cell.array for ref in each.inputs[1:]]  # type: ignore[union-attr]
        found = each.operation.compute([found, *rest], each.attributes)[0]
    return np.asarray(found)


def _become_leaf(node: Pending, value: Array) -> None:
    node.cell = Cell(value)
    node.inputs = ()
    node.operation = None
    node.kind = INPUT
    node.views = []
    node.base = None


def _hold(var: Var, value: Array) -> None:
    var._value = value
    var._pending = None
    waiting.pop(id(var), None)
