"""Python functions applied to the elements, lines and axes of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.dtypes import as_dtype, default_float, default_int
from mnn.expr.var import Var
from mnn.numpy.hosting import plain, wrapped
from mnn.ops.movement import expand_dims
from mnn.ops.operands import array_of, as_var

__all__ = ["apply_along_axis", "apply_over_axes", "frompyfunc", "vectorize"]


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Var:
    """Return what a function makes of every line along an axis, in place of that line.

    Args:
        func1d: gets a vector, `args` and `kwargs`; returns a number or an array.
        axis: along which axis.    arr: array.

    Raises:
        ValueError: a result of the function is of another shape, or there are no lines.
    """

    def on_line(line: Any) -> Any:
        return array_of(func1d(Var(line), *args, **kwargs), "apply_along_axis")

    found: Var = wrapped(_np.apply_along_axis(on_line, axis, array_of(arr, "apply_along_axis")))
    return found


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Var:
    """Return what a function makes of an array along one axis after the other.

    Args:
        func: `func(array, axis)`, which removes the axis, or leaves it with size 1.
        a: array.    axes: axes.

    Raises:
        ShapeError: the function returned an array of another rank.
    """
    found = as_var(a, "apply_over_axes")
    rank = found.ndim
    places = [int(each) for each in _np.atleast_1d(plain(axes))]
    for axis in places:
        place = axis + rank if axis < 0 else axis
        result = as_var(func(found, place), "apply_over_axes")
        if result.ndim != found.ndim:
            result = expand_dims(result, place)
        if result.ndim != found.ndim:
            raise ShapeError(
                f"apply_over_axes: the function made shape {result.shape} of {found.shape}."
            )
        found = result
    return found


class _Watched:
    """A function that remembers whether it gives Python numbers, which have our default types."""

    def __init__(self, function: Callable[..., Any], on_arrays: bool) -> None:
        self.function = function
        self.on_arrays = on_arrays
        self.gives: list[type] = []

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.on_arrays:
            arguments = tuple(wrapped(each) for each in arguments)
        found = self.function(*arguments, **options)
        self.gives = [type(each) for each in (found if isinstance(found, tuple) else (found,))]
        return plain(found)

    def default(self, values: Any, place: int) -> Any:
        """Return results in the type that the first of them says."""
        if not isinstance(values, _np.ndarray) or place >= len(self.gives):
            return values
        if self.gives[place] is float and values.dtype == _np.float64:
            return values.astype(default_float)
        if self.gives[place] is complex and values.dtype == _np.complex128:
            return values.astype(_np.complex64)
        if self.gives[place] is int and values.dtype == _np.int64:
            limits = _np.iinfo(default_int)
            if not values.size or (limits.min <= values.min() and values.max() <= limits.max):
                return values.astype(default_int)
        return values


class vectorize:  # noqa: N801 - NumPy's name
    """A Python function made one of arrays: it is called for every element, without any speed.

    Args:
        pyfunc: the function; without it, the object is a decorator.
        otypes: types of the results, as text of type characters or a list; otherwise that of the
            first result.
        doc: documentation.
        excluded: positions and names of arguments to pass as they are.
        cache: do not call the function twice for the first element.
        signature: such as "(n),(n)->()": call it for whole vectors instead.
    """

    def __init__(
        self,
        pyfunc: Any = _np._NoValue,
        otypes: Any = None,
        doc: str | None = None,
        excluded: Any = None,
        cache: bool = False,
        signature: str | None = None,
    ) -> None:
        if otypes is not None and not isinstance(otypes, str):
            otypes = "".join(as_dtype(each).char for each in otypes)
        self._options = {
            "otypes": otypes,
            "doc": doc,
            "excluded": excluded,
            "cache": cache,
            "signature": signature,
        }
        self.otypes = otypes
        self.excluded = set(excluded or ())
        self.cache = cache
        self.signature = signature
        self.pyfunc = pyfunc
        self._source: Any = None
        if pyfunc is not _np._NoValue:
            self._watched = _Watched(pyfunc, signature is not None)
            make: Any = _np.vectorize
            self._source = make(self._watched, **self._options)
            self.__doc__ = pyfunc.__doc__ if doc is None else doc
            self.__name__ = getattr(pyfunc, "__name__", "vectorize")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the results for all elements of the arguments, broadcast together."""
        if self._source is None:
            return vectorize(args[0], **self._options)
        given = [self._argument(place, each) for place, each in enumerate(args)]
        named = {name: self._argument(name, each) for name, each in kwargs.items()}
        found = self._source(*given, **named)
        if self.otypes is not None:
            return wrapped(found)
        if isinstance(found, tuple):
            return tuple(
                wrapped(self._watched.default(each, place)) for place, each in enumerate(found)
            )
        return wrapped(self._watched.default(found, 0))

    def _argument(self, key: Any, value: Any) -> Any:
        if key in self.excluded:
            return value
        return array_of(value, "vectorize")


def frompyfunc(
    func: Callable[..., Any], /, nin: int, nout: int, *, identity: Any = None
) -> Callable[..., Any]:
    """Return a function of arrays that calls a Python function for every element.

    Args:
        func: the function.    nin: how many arguments it takes.    nout: how many results it gives.
        identity: accepted for compatibility.

    Returns:
        A function whose results are Vars of numbers (NumPy's are arrays of Python objects).
    """
    source = _np.frompyfunc(func, nin, nout)

    def call(*arguments: Any) -> Any:
        if len(arguments) != nin:
            raise TypeError(f"{call.__name__}: found {len(arguments)} arguments, expected {nin}.")
        # Elements as Python numbers, as NumPy passes them.
        found = source(*(array_of(each, "frompyfunc").astype(object) for each in arguments))
        if isinstance(found, tuple):
            return tuple(_numbers(each) for each in found)
        return _numbers(found)

    call.__name__ = getattr(func, "__name__", "frompyfunc")
    call.__doc__ = func.__doc__
    return call


def _numbers(found: Any) -> Var:
    """Return Python numbers, in an array of objects or alone, as a Var."""
    if isinstance(found, _np.ndarray):
        flat: Sequence[Any] = found.ravel().tolist()
        return Var(array_of(flat, "frompyfunc").reshape(found.shape))
    return Var(array_of(found, "frompyfunc"))
