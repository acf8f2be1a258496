"""Results that nobody else can see are handed out instead of being copied.

A result stays on its node for later readers, so whoever reads it gets a copy. The result of
`numpy.asarray(x + y)` has no later readers: the Var is a temporary, and nothing else refers to its
node. It is computed without being kept, and the array is the caller's.

How many references an object has tells both. Whether an *array* is shared must be told exactly, and
is: only one that this module alone refers to, which owns its memory, is handed out. Whether a *Var*
is a temporary only decides about speed: a mistake means that a later read computes anew. What the
numbers are for objects that nobody else refers to is found out by trying, so interpreters that
count in other ways, or not at all, copy as ever.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

import numpy as np

from mnn.config import config
from mnn.expr.evaluate import evaluate
from mnn.expr.node import Node, Ref

__all__ = ["Counts", "compute_owned", "counts", "is_read_once"]

Array = np.ndarray[Any, Any]


class Counts(NamedTuple):
    """References to a temporary, as `sys.getrefcount(self)` counts them in its methods.

    Attributes:
        asked: in `__array__`, called by NumPy.    read: in `read`.
        ref, node: of a result that one Var refers to, in `_holders`.
        array: of an array that one local variable refers to.

    A zero means that temporaries cannot be told from other objects.
    """

    asked: int
    read: int
    ref: int
    node: int
    array: int


class _Probe:
    """Has the methods of a Var that are asked for its value."""

    def __init__(self, seen: list[int]) -> None:
        self._seen = seen
        self._ref = Ref(Node("Probe", None, (), {}, ()), 0)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        self._seen.append(sys.getrefcount(self))
        return np.empty(0)

    def read(self) -> None:
        self._seen.append(sys.getrefcount(self))


@functools.cache
def counts() -> Counts:
    """Return what this interpreter counts."""
    counts_all = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not counts_all:
        return Counts(0, 0, 0, 0, 0)
    seen: list[int] = []
    named = _Probe(seen)
    np.asarray(_Probe(seen))
    np.asarray(named)
    _Probe(seen).read()
    named.read()
    asked, asked_named, read, read_named = seen
    ref, node = _holders(named)
    return Counts(
        asked if asked < asked_named else 0,
        read if read < read_named else 0,
        ref,
        node,
        _lone_array(),
    )


def _holders(holder: Any) -> tuple[int, int]:
    return sys.getrefcount(holder._ref), sys.getrefcount(holder._ref.node)


def _lone_array() -> int:
    # As in `compute_owned`: one local variable.
    value: Array = np.empty(0)
    return sys.getrefcount(value)


def is_read_once(var: Any) -> bool:
    """True when nobody can read the result of a recorded Var once that Var is gone.

    Values that a backward pass uses, and those that later writes shall not change, are kept.
    """
    known = counts()
    if var._value is not None or config.lazy_mode >= 2 or _holders(var) != (known.ref, known.node):
        return False
    node = var._ref.node
    return node.cell is None and node.cache is None and not node.trainable


def compute_owned(ref: Ref) -> Array:
    """Return a result that nobody will read again, as an array that the caller may keep."""
    value = evaluate([ref], keep=False)[0]
    whole = value.base is None and value.flags.owndata and value.flags.writeable
    if whole and sys.getrefcount(value) == counts().array:
        return value
    own: Array = value.copy()
    return own
