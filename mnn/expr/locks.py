"""Arrays that their user has forbidden to write.

Memory that nobody can write, such as literals and mapped files, belongs to this package: a Var that
is assigned to takes memory of its own first. What a user forbids is another matter, and raises.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

__all__ = ["is_locked", "lock", "refuse_locked", "unlock"]

Array = np.ndarray[Any, Any]

# By the id of the array.
_locked: dict[int, weakref.ref[Array]] = {}


def lock(array: Array) -> None:
    """Forbid writing to an array, and to the views that are made of it from now on."""
    key = id(array)
    array.flags.writeable = False
    _locked[key] = weakref.ref(array, lambda _: _locked.pop(key, None))


def unlock(array: Array) -> None:
    """Forget that an array, which is writable again, was locked."""
    _locked.pop(id(array), None)


def is_locked(array: Array) -> bool:
    """Return True for a locked array and for read-only views of its memory."""
    if not _locked or array.flags.writeable:
        return False
    owner = _owner(array)
    others = [held() for held in list(_locked.values())]
    return any(
        other is not None and _owner(other) is owner and np.may_share_memory(other, array)
        for other in others
    )


def _owner(array: Any) -> Any:
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def refuse_locked(array: Array) -> None:
    """Raise NumPy's error for an assignment to a locked array."""
    if is_locked(array):
        raise ValueError(
            "assignment destination is read-only: setflags(write=False) was called, or it is a "
            "diagonal. Copy the array, or make it writable with setflags(write=True)."
        )
