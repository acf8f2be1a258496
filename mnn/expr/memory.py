"""Who may write the memory of computed Vars, and what has to happen before somebody does.

A pending result (see `mnn.expr.pending`) reads the arrays of its operands later than the call that
made it. That is right as long as nobody changes them in between, so

* only arrays are borrowed that nothing outside of our Vars refers to: the number of references to
  an array, and to those that its views share memory with, tells;
* whoever is about to write an array, or to hand it out to somebody who might, calls
  `about_to_write`, which computes the results that still have to read the old values.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mnn.expr.node import INPUT, Cell, Node
from mnn.expr.types import TensorType

if TYPE_CHECKING:
    from mnn.expr.var import Var

__all__ = [
    "about_to_write",
    "borrowed",
    "has_views",
    "is_unchanging",
    "on_write",
    "remember",
    "share",
    "writable_array",
]

Array = np.ndarray[Any, Any]

# Leaves that stand for arrays of Vars, by the id of the array, for as long as something reads them.
_leaves: dict[int, weakref.ref[Node]] = {}

_settle_readers: Callable[[list[Node]], None]


def on_write(settle: Callable[[list[Node]], None]) -> None:
    """Have `settle` compute everything that reads some leaves before these are written."""
    global _settle_readers
    _settle_readers = settle


def is_unchanging(array: Array) -> bool:
    """Return True when no array can write the memory: a read-only file, bytes, or our literal."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None or (isinstance(base, (bytes, memoryview)) and memoryview(base).readonly)


# --- before a write ------------------------------------------------------------------------------


def about_to_write(array: Array) -> None:
    """Compute all pending results that read memory of `array`, which may change from now on."""
    if _leaves:
        _settle_before_write(array)


def writable_array(var: Var) -> Array:
    """Return the array of a computed Var, to be written in place by the caller at once."""
    return var._writable()


def _settle_before_write(array: Array) -> None:
    owner = _owner(array)
    found: list[Node] = []
    for key, held in list(_leaves.items()):
        node = held()
        if node is None or node.cell is None or node.cell.array is None:
            continue
        if _owner(node.cell.array) is owner:
            found.append(node)
            _leaves.pop(key, None)
    if found:
        _settle_readers(found)


def _owner(array: Array) -> Any:
    """Return the object whose memory it is."""
    found: Any = array
    while isinstance(found, np.ndarray) and found.base is not None:
        found = found.base
    return found


# --- leaves --------------------------------------------------------------------------------------


def remember(node: Node, array: Array) -> None:
    """Note that a node stands for an array of a Var, until nothing needs the node."""
    key = id(array)

    def forget(dead: weakref.ref[Node]) -> None:
        if _leaves.get(key) is dead:
            del _leaves[key]

    _leaves[key] = weakref.ref(node, forget)


def borrowed(var: Any) -> Node | None:
    """Return a leaf that stands for the array of a computed Var; None when others may write it."""
    held = _leaves.get(id(var._value))
    if held is not None:
        node = held()
        if node is not None and node.cell is not None and node.cell.array is var._value:
            return node
    if not is_unchanging(var._value) and not _is_ours_alone(var):
        return None
    value = var._value
    type = TensorType(value.shape, value.dtype, var._format)
    node = Node(INPUT, None, (), {}, (type,), Cell(value))
    remember(node, value)
    return node


# --- views ---------------------------------------------------------------------------------------


class _Family:
    """An array with memory of its own, and the Vars that hold it or views of it.

    Attributes:
        owner: the array.
        holder: the Var that holds the array itself, None when that is not known.
        views: the Vars that were given views.
    """

    __slots__ = ("holder", "owner", "views")

    def __init__(self, owner: Array) -> None:
        key = id(owner)
        self.owner = weakref.ref(owner, lambda _: _families.pop(key, None))
        self.holder: weakref.ref[Var] | None = None
        self.views: list[weakref.ref[Var]] = []

    def holders(self) -> int:
        """Return how many Vars and leaves refer to the owner itself."""
        var = None if self.holder is None else self.holder()
        if var is None or var._value is not self.owner():
            return 0
        return 1 + _read(var._value)

    def known_views(self) -> int:
        """Return how many views Vars hold; -1 when somebody else refers to one of them."""
        count = 0
        owner = self.owner()
        for held in self.views:
            var = held()
            if var is None or var._value is None or var._value.base is not owner:
                continue
            count += 1
            if sys.getrefcount(var._value) != _counts().held + _read(var._value):
                return -1
        return count


# By the id of the owner.
_families: dict[int, _Family] = {}


def share(var: Var, view: Var) -> None:
    """Note that a computed Var holds a view of the memory of the array of another."""
    array = view._value
    assert array is not None
    owner = array.base
    if type(owner) is not np.ndarray:
        return
    family = _families.get(id(owner))
    if family is None:
        family = _families[id(owner)] = _Family(owner)
    if var._value is owner:
        family.holder = weakref.ref(var)
    family.views.append(weakref.ref(view, family.views.remove))


def has_views(var: Any) -> bool:
    """Return True when other Vars, or anybody, may hold memory of the array of `var`.

    No variable here may refer to the array while it is counted.
    """
    if var._value.base is not None:
        return True
    family = _families.get(id(var._value))
    if family is not None and family.views:
        return True
    return sys.getrefcount(var._value) != _counts().held + _read(var._value)


# --- counting references -------------------------------------------------------------------------


class _Counts(NamedTuple):
    """What `sys.getrefcount` says of an array that one Var holds; 0: it does not tell.

    Attributes:
        held: asked for it through the Var.    named: when a local variable has it, too.
    """

    held: int
    named: int


@functools.cache
def _counts() -> _Counts:
    counts_all = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not counts_all:
        return _Counts(0, 0)
    probe = Cell(np.empty(1))
    held = sys.getrefcount(probe.array)
    local = probe.array
    return _Counts(held, sys.getrefcount(local))


def _read(array: Any) -> int:
    """Return 1 for an array that a leaf stands for, which refers to it."""
    held = _leaves.get(id(array))
    node = None if held is None else held()
    return 0 if node is None or node.cell is None or node.cell.array is not array else 1


def _is_ours_alone(var: Var) -> bool:
    """True when the memory of the array of `var` is only reached through Vars known here.

    No variable here may refer to the array while it is counted.
    """
    counts = _counts()
    value: Any = var
    if not counts.held:
        return False
    if value._value.base is None:
        family = _families.get(id(value._value))
        views = 0 if family is None else family.known_views()
        return (
            value._value.flags.owndata
            and views >= 0
            and sys.getrefcount(value._value) == counts.held + views
        )
    owner = value._value.base
    family = _families.get(id(owner))
    if type(owner) is not np.ndarray or not owner.flags.owndata or family is None:
        return False
    views = family.known_views()
    # One of the views is this Var's own: `named` counts it already.
    return views > 0 and sys.getrefcount(owner) == counts.named - 1 + views + family.holders()
