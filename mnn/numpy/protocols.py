"""NumPy's own functions on Vars: `numpy.exp(x)` is `mnn.numpy.exp(x)`.

Functions that this namespace does not have are computed by NumPy at once; results are Vars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.var import Var
from mnn.numpy.hosting import computed, plain
from mnn.ops.attach import attach_method

__all__: list[str] = []

_PLACES = {"numpy": "", "numpy.linalg": "linalg", "numpy.fft": "fft"}

# Functions that write to their first argument.
_WRITERS = frozenset(("copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"))


def _ours(name: str, module: str = "numpy") -> Any:
    """Return our function of the same name and place, None if there is none."""
    import mnn.numpy as namespace

    if module not in _PLACES:
        return None
    place = getattr(namespace, _PLACES[module]) if _PLACES[module] else namespace
    try:
        return getattr(place, name)
    except AttributeError:
        return None


def _written(target: Any) -> Any:
    """Return a Var on an array of NumPy that a result is to be written to; Vars as they are."""
    if isinstance(target, tuple):
        return tuple(_written(each) for each in target)
    if not isinstance(target, _np.ndarray):
        return target
    if not target.flags.writeable:
        raise ShapeError("out: the array is read-only, expected one that can be written.")
    if kind_of(target.dtype) not in "biufc":
        raise DTypeError(f"out: found an array of {target.dtype}, expected numbers or bools.")
    return Var(target)


def _call(function: Callable[..., Any], out: Any, *inputs: Any, **options: Any) -> Any:
    """Return a result; where it was to be written to an array of NumPy, that array."""
    if out is None:
        return function(*inputs, **options)
    single = isinstance(out, tuple) and len(out) == 1
    target = out[0] if single else out
    written = _written(target)
    found = function(*inputs, out=written, **options)
    if not isinstance(target, tuple):
        return _filled(target, written)
    return tuple(
        result if given is None else _filled(given, var)
        for given, var, result in zip(target, written, found, strict=True)
    )


def _filled(target: Any, var: Var) -> Any:
    """Return what a result was written to; while recording, a Var only knows what to compute."""
    if target is not var and var._value is not target:
        target[...] = var._array()
    return target


def _array_ufunc(self: Var, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    out = options.pop("out", None)
    for each in (*inputs, *(out or ())):
        known = isinstance(each, (Var, _np.ndarray, _np.generic))
        if not known and hasattr(type(each), "__array_ufunc__"):
            return NotImplemented
    function = _ours(ufunc.__name__)
    if method != "__call__":
        function = getattr(function, method, None)
    if method == "at":
        return _at(ufunc, function, *inputs)
    if function is None:
        name = ufunc.__name__ if method == "__call__" else method
        return _call(_hosted(getattr(ufunc, method), name), out, *inputs, **options)
    return _call(function, out, *inputs, **options)


def _at(ufunc: Any, function: Any, target: Any, *rest: Any) -> None:
    """Change elements of a Var, or of an array of NumPy by numbers that are Vars."""
    if function is None or not isinstance(target, Var):
        ufunc.at(target if isinstance(target, _np.ndarray) else target.read(), *map(plain, rest))
    else:
        function(target, *rest)


def _hosted(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return NumPy's function for Vars, with `out` as ours have it."""

    def call(*inputs: Any, out: Any = None, **options: Any) -> Any:
        from mnn.numpy.universal import finish

        found = computed(function, *inputs, **options)
        if out is None:
            return found
        if isinstance(found, tuple):
            return tuple(finish(name, each, to) for each, to in zip(found, out, strict=True))
        return finish(name, found, out)

    return call


def _array_function(
    self: Var, func: Any, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if not all(issubclass(each, (Var, _np.ndarray)) for each in types):
        return NotImplemented
    options = dict(kwargs)
    if func.__name__ in _WRITERS and args and isinstance(args[0], _np.ndarray):
        return func(args[0], *map(plain, args[1:]), **plain(options))
    function = _ours(func.__name__, func.__module__) or _hosted(func, func.__name__)
    return _call(function, options.pop("out", None), *args, **options)


attach_method("__array_ufunc__", _array_ufunc)
attach_method("__array_function__", _array_function)
