"""Methods of `Var` that see its bytes: other element types on the same memory, fields, files.

They act on computed arrays. What a graph holds or computes is read at once, and copied first.
"""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError
from mnn.expr.dtypes import as_dtype
from mnn.expr.memory import writable_array
from mnn.expr.var import Var
from mnn.numpy.attributes import shared
from mnn.numpy.hosting import at_once, plain
from mnn.ops.attach import attach_method

__all__: list[str] = []


def _memory(var: Var) -> _np.ndarray[Any, Any]:
    """Return the array, or a copy of it where a graph has it."""
    return var._array() if at_once(var) else var._array().copy()


def view(self: Var, dtype: Any = None, type: Any = None) -> Var:
    """Return another array on the same memory.

    Args:
        dtype: element type in which the bytes are read; None: the same. If its size differs, the
            last dimension must be contiguous, and changes.
        type: `ndarray`, or None.

    Raises:
        ValueError: the sizes do not fit.    DTypeError: another type of arrays.
    """
    if dtype is Var:
        dtype, type = None, dtype
    if type is not None and type is not Var:
        raise DTypeError(
            f"view: type is {type!r}, expected mnn.numpy.ndarray. Use numpy.asarray(x) for an "
            "array of NumPy."
        )
    memory = _memory(self)
    return shared(self, memory.view() if dtype is None else memory.view(as_dtype(dtype)))


def byteswap(self: Var, inplace: bool = False) -> Var:
    """Return the array with the bytes of each element reversed; itself if `inplace`."""
    if not inplace:
        return Var(self._array().byteswap(), self.data_format)
    if at_once(self):
        writable_array(self).byteswap(inplace=True)
    else:
        self[...] = self._array().byteswap()
    return self


def getfield(self: Var, dtype: Any, offset: int = 0) -> Var:
    """Return a part of the bytes of each element, as elements of another type.

    Args:
        dtype: their type.    offset: of the part, in bytes.

    Raises:
        ValueError: the part does not lie in the element.
    """
    return shared(self, _memory(self).getfield(as_dtype(dtype), offset))


def setfield(self: Var, val: Any, dtype: Any, offset: int = 0) -> None:
    """Write a part of the bytes of each element; see `getfield`."""
    if at_once(self):
        writable_array(self).setfield(plain(val), as_dtype(dtype), offset)
        return
    array = self._array().copy()
    array.setfield(plain(val), as_dtype(dtype), offset)
    self[...] = array


def partition(
    self: Var, kth: Any, axis: int = -1, kind: str = "introselect", order: Any = None
) -> None:
    """Reorder the elements along an axis so that those at `kth` are where sorting puts them.

    Args:
        kth: int or ints.    axis: along which axis.
        kind, order: as in NumPy.

    Raises:
        ValueError: a position is out of range.
    """
    # The reference package has no such method: unlike `sort`, it does what NumPy's does.
    from mnn.numpy.searching import partition as partitioned

    self[...] = partitioned(self, kth, axis, kind, order)


def tobytes(self: Var, order: str | None = "C") -> bytes:
    """Return the elements as bytes: row by row ("C"), column by column ("F"), or as they lie."""
    return self._array().tobytes(order)  # type: ignore[arg-type]


def tofile(self: Var, fid: Any, sep: str = "", format: str = "%s") -> None:
    """Write the elements to a file, in row-major order.

    Args:
        fid: path or open file.    sep: text between elements; "": bytes instead of text.
        format: of one element as text.
    """
    from mnn.numpy import files

    files.tofile(self, fid, sep, format)


def dump(self: Var, file: Any) -> None:
    """Raise DTypeError: files of pickled objects run code when they are read."""
    raise DTypeError(
        f"dump: writes a pickle to {file!r}, and reading one runs the code in it. "
        "Use mnn.numpy.save(file, x)."
    )


def dumps(self: Var) -> bytes:
    """Raise DTypeError: reading pickled bytes runs the code in them."""
    raise DTypeError(
        "dumps: makes a pickle, and reading one runs the code in it. Use tobytes(), or "
        "mnn.numpy.save with an io.BytesIO."
    )


for _method in (
    view,
    byteswap,
    getfield,
    setfield,
    partition,
    tobytes,
    tofile,
    dump,
    dumps,
):
    attach_method(_method.__name__, _method)
