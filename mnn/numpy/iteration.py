"""Walking over elements, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as _np
from numpy import ndindex

from mnn.errors import DTypeError
from mnn.expr.var import Var
from mnn.numpy.hosting import plain, wrapped
from mnn.ops.operands import array_of, as_var

__all__ = ["broadcast", "flatiter", "ndenumerate", "ndindex", "nditer", "nested_iters"]


class broadcast:  # noqa: N801 - NumPy's name
    """Arrays broadcast together: their common shape, and their elements side by side.

    Args:
        arrays: arrays or numbers.

    Raises:
        ValueError: shapes that do not broadcast.
    """

    def __init__(self, *arrays: Any) -> None:
        self._source = _np.broadcast(*(array_of(each, "broadcast") for each in arrays))

    @property
    def shape(self) -> tuple[int, ...]:
        """The common shape."""
        return self._source.shape

    @property
    def size(self) -> int:
        """The number of elements of the common shape."""
        return self._source.size

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._source.ndim

    nd = ndim

    @property
    def numiter(self) -> int:
        """The number of arrays."""
        return self._source.numiter

    @property
    def index(self) -> int:
        """How many tuples of elements have been given."""
        return self._source.index

    @property
    def iters(self) -> tuple[flatiter, ...]:
        """One iterator for each array, broadcast."""
        shape = self.shape
        bases = (each.base for each in self._source.iters)
        return tuple(flatiter(Var(_np.broadcast_to(each, shape))) for each in bases)

    def reset(self) -> None:
        """Begin again."""
        self._source.reset()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        found: tuple[Any, ...] = wrapped(tuple(next(self._source)))
        return found


class flatiter:  # noqa: N801 - NumPy's name
    """The elements of a Var in row-major order: `for each in x.flat`, `x.flat[3] = 1`.

    Args:
        base: Var.
    """

    def __init__(self, base: Any) -> None:
        self.base = as_var(base, "flatiter")
        self.index = 0

    @property
    def coords(self) -> tuple[int, ...]:
        """The index of the next element."""
        shape = tuple(self.base.shape)
        return tuple(int(each) for each in _np.unravel_index(self.index, shape)) if shape else ()

    def copy(self) -> Var:
        """Return the elements as a 1-D array of its own."""
        return Var(self.base._array().flatten())

    def __len__(self) -> int:
        return self.base.size

    def __iter__(self) -> flatiter:
        return self

    def __next__(self) -> Var:
        if self.index >= self.base.size:
            raise StopIteration
        found = Var(_np.asarray(self.base._array().flat[self.index]))
        self.index += 1
        return found

    def __getitem__(self, index: Any) -> Var:
        return Var(_np.asarray(self.base._array().flat[_flat_index(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        array = self.base._array().copy()
        array.flat[_flat_index(index)] = plain(value)
        self.base[...] = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.base._array().flatten().astype(dtype or self.base.dtype, copy=False)

    def __eq__(self, other: object) -> Any:
        return self.copy() == (other.copy() if isinstance(other, flatiter) else other)

    __hash__ = None  # type: ignore[assignment]


def _flat_index(index: Any) -> Any:
    found = plain(index)
    return tuple(found) if isinstance(index, tuple) else found


class ndenumerate:  # noqa: N801 - NumPy's name
    """Pairs of an element's index and the element, in row-major order.

    Args:
        arr: array.
    """

    def __init__(self, arr: Any) -> None:
        self._source = _np.ndenumerate(array_of(arr, "ndenumerate"))

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], Any]]:
        return self

    def __next__(self) -> tuple[tuple[int, ...], Any]:
        place, value = next(self._source)
        return place, wrapped(value)


class nditer:  # noqa: N801 - NumPy's name
    """NumPy's general iterator over several arrays at once.

    What it gives are NumPy arrays on the elements, so that `x[...] = 1` writes them in any mode.
    Elements of Vars with the flags "readwrite" or "writeonly" are written in place: of a computed
    Var at once, of a recorded one when the iterator is closed.

    Args:
        op: array or arrays; None for one to be made.
        flags, op_flags, op_dtypes, order, casting, op_axes, itershape, buffersize: see NumPy.
    """

    def __init__(
        self,
        op: Any,
        flags: Any = None,
        op_flags: Any = None,
        op_dtypes: Any = None,
        order: str = "K",
        casting: str = "safe",
        op_axes: Any = None,
        itershape: Any = None,
        buffersize: int = 0,
    ) -> None:
        several = isinstance(op, (list, tuple))
        given = list(op) if several else [op]
        writes = _written(op_flags, len(given))
        self._recorded: list[tuple[Var, Any]] = []
        arrays = [self._operand(each, write) for each, write in zip(given, writes, strict=True)]
        options = {
            "flags": flags,
            "op_flags": op_flags,
            "op_dtypes": op_dtypes,
            "op_axes": op_axes,
            "itershape": itershape,
        }
        named = {key: value for key, value in options.items() if value is not None}
        make: Any = _np.nditer
        self._source = make(
            arrays if several else arrays[0],
            order=order,
            casting=casting,
            buffersize=buffersize,
            **named,
        )

    def _operand(self, value: Any, write: bool) -> Any:
        if value is None:
            return None
        if not write:
            return array_of(value, "nditer")
        if not isinstance(value, Var):
            if isinstance(value, _np.ndarray):
                return value
            raise DTypeError(f"nditer: found {type(value).__name__} to write, expected a Var.")
        if value._ref is None or value._ref.node.is_leaf:
            return value.read()
        array = value._array().copy()
        self._recorded.append((value, array))
        return array

    @classmethod
    def _around(cls, source: Any) -> nditer:
        """Return an iterator that gives what one of NumPy's gives."""
        found = object.__new__(cls)
        found._source = source
        found._recorded = []
        return found

    def close(self) -> None:
        """Write back what is still in buffers."""
        self._source.close()
        for var, array in self._recorded:
            var[...] = array
        self._recorded = []

    def copy(self) -> nditer:
        """Return another iterator at the same place."""
        return nditer._around(self._source.copy())

    @property
    def operands(self) -> tuple[Any, ...]:
        """The arrays, the ones made by the iterator among them."""
        return tuple(wrapped(each) for each in self._source.operands)

    @property
    def itviews(self) -> tuple[Any, ...]:
        """The arrays in the order in which they are walked."""
        found: tuple[Any, ...] = self._source.itviews
        return found

    @property
    def value(self) -> Any:
        """The elements that the iterator is at."""
        return self._source.value

    @property
    def multi_index(self) -> tuple[int, ...]:
        """The index of the elements, with the flag "multi_index"."""
        found: tuple[int, ...] = self._source.multi_index
        return found

    @multi_index.setter
    def multi_index(self, index: Any) -> None:
        self._source.multi_index = index

    @property
    def index(self) -> int:
        """The flat index of the elements, with the flags "c_index" or "f_index"."""
        found: int = self._source.index
        return found

    @index.setter
    def index(self, index: int) -> None:
        self._source.index = index

    @property
    def iterindex(self) -> int:
        """How many steps the iterator has made."""
        found: int = self._source.iterindex
        return found

    @iterindex.setter
    def iterindex(self, index: int) -> None:
        self._source.iterindex = index

    def __iter__(self) -> nditer:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._source)
        except StopIteration:
            for var, array in self._recorded:
                var[...] = array
            raise

    def __enter__(self) -> nditer:
        self._source.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, place: Any) -> Any:
        return self._source[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        self._source[place] = plain(value)

    def __getattr__(self, name: str) -> Any:
        # Everything else is about the walk, not the arrays: NumPy's answer is the answer.
        return getattr(self._source, name)


def _written(op_flags: Any, count: int) -> list[bool]:
    """Return which operands the iterator may write."""
    writing = {"readwrite", "writeonly"}
    if not op_flags:
        return [False] * count
    if all(isinstance(each, str) for each in op_flags):
        return [bool(writing & set(op_flags))] * count
    found = [bool(writing & set(each)) for each in op_flags]
    return [*found, *([False] * (count - len(found)))][:count]


def nested_iters(
    op: Any,
    axes: Sequence[Sequence[int]],
    flags: Any = None,
    op_flags: Any = None,
    op_dtypes: Any = None,
    order: str = "K",
    casting: str = "safe",
    buffersize: int = 0,
) -> tuple[nditer, ...]:
    """Return iterators for nested loops: each walks over its axes at the place of the outer ones.

    Args:
        op: array or arrays.    axes: one list of axes for each loop.
        flags, op_flags, op_dtypes, order, casting, buffersize: as for `nditer`.
    """
    outer = nditer.__new__(nditer)
    outer._recorded = []
    several = isinstance(op, (list, tuple))
    given = list(op) if several else [op]
    writes = _written(op_flags, len(given))
    arrays = [outer._operand(each, write) for each, write in zip(given, writes, strict=True)]
    if outer._recorded:
        raise DTypeError("nested_iters: recorded Vars cannot be written. Use close() or copy().")
    options = {"flags": flags, "op_flags": op_flags, "op_dtypes": op_dtypes}
    named = {key: value for key, value in options.items() if value is not None}
    make: Any = _np.nested_iters
    found = make(
        arrays if several else arrays[0],
        axes,
        order=order,
        casting=casting,
        buffersize=buffersize,
        **named,
    )
    return tuple(nditer._around(each) for each in found)
