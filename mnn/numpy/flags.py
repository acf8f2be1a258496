"""The flags of an array: how its elements lie in memory, and whether they may be written."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.locks import is_locked, lock, unlock
from mnn.expr.var import Var

__all__ = ["Flags", "set_writeable"]

_SHORT = {
    "C": "c_contiguous",
    "CONTIGUOUS": "c_contiguous",
    "F": "f_contiguous",
    "FORTRAN": "f_contiguous",
    "O": "owndata",
    "W": "writeable",
    "A": "aligned",
    "X": "writebackifcopy",
    "B": "behaved",
    "CA": "carray",
    "FA": "farray",
}


class Flags:
    """The flags of a Var by NumPy's names: `x.flags.c_contiguous`, `x.flags["C"]`.

    Only `writeable` can be set. Memory that nobody can write, such as a mapped file, counts as
    writeable: an assignment gives the Var memory of its own first.

    Args:
        var: whose flags; a recorded one is computed.
    """

    __slots__ = ("_var",)

    def __init__(self, var: Var) -> None:
        object.__setattr__(self, "_var", var)

    @property
    def writeable(self) -> bool:
        """False for arrays that `setflags` has locked, and for NumPy's read-only views."""
        return not is_locked(self._var._array())

    @writeable.setter
    def writeable(self, value: bool) -> None:
        set_writeable(self._var, bool(value))

    @property
    def behaved(self) -> bool:
        """Aligned and writeable."""
        return bool(self.aligned) and self.writeable

    @property
    def carray(self) -> bool:
        """Behaved and row by row."""
        return self.behaved and bool(self.c_contiguous)

    @property
    def farray(self) -> bool:
        """Behaved and column by column, not row by row."""
        return self.behaved and bool(self.f_contiguous) and not self.c_contiguous

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._var._array().flags, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "writeable":
            raise AttributeError(f"flags: {name!r} cannot be set, only 'writeable' can.")
        set_writeable(self._var, bool(value))

    def __getitem__(self, key: str) -> Any:
        name = _SHORT.get(key, key.lower())
        if not isinstance(key, str) or not (key in _SHORT or hasattr(_np.zeros(0).flags, name)):
            raise KeyError(f"flags: no flag is called {key!r}.")
        return getattr(self, name)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self, _SHORT.get(key, key.lower()), value)

    def __eq__(self, other: object) -> bool:
        return repr(self) == repr(other) if isinstance(other, Flags) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        names = ("c_contiguous", "f_contiguous", "owndata", "writeable", "aligned")
        lines = [f"  {name.upper()} : {bool(getattr(self, name))}" for name in names]
        return "\n".join([*lines, "  WRITEBACKIFCOPY : False"]) + "\n"


def set_writeable(var: Var, value: bool) -> None:
    """Forbid or allow writing to the array of a computed Var.

    Raises:
        ShapeError: the array is a view of memory that must not be written; or the Var is recorded.
    """
    if var._ref is not None:
        raise ShapeError("writeable: what a graph holds or computes has no flags to set.")
    array = var._array()
    if not value:
        lock(array)
    elif not array.flags.writeable:
        try:
            array.flags.writeable = True
        except ValueError as error:
            raise ShapeError(
                "writeable: the array is a view of memory that must not be written. Copy it."
            ) from error
        unlock(array)
