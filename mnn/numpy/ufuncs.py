"""The universal functions of the namespace, made of the general functions of the same names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.numpy import elementary as _elementary
from mnn.numpy import elementwise as _elementwise
from mnn.numpy import reductions as _reductions
from mnn.numpy import running as _running
from mnn.numpy.universal import binary, several, unary
from mnn.ops.machine import Method
from mnn.ops.python_operators import METHODS
from mnn.ops.quick import keeps_dtypes

Function = Callable[..., Any]


def _along_first(function: Function) -> Function:
    """Return a reduction or running function with the default axis of universal functions."""

    def call(array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, **options: Any) -> Any:
        if isinstance(out, tuple):
            out = out[0]
        if dtype is not None:
            options["dtype"] = dtype
        return function(array, axis, out=out, **options)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


_METHODS: dict[str, dict[str, Function]] = {
    "add": {
        "reduce": _along_first(_reductions.sum),
        "accumulate": _along_first(_running.cumsum),
    },
    "multiply": {
        "reduce": _along_first(_reductions.prod),
        "accumulate": _along_first(_running.cumprod),
    },
    "maximum": {"reduce": _along_first(_reductions.max)},
    "minimum": {"reduce": _along_first(_reductions.min)},
    "logical_and": {"reduce": _along_first(_reductions.all)},
    "logical_or": {"reduce": _along_first(_reductions.any)},
}


def _make(general: Function, ufunc: Any) -> Any:
    if ufunc.nout > 1:
        return several(general, ufunc)
    methods = _METHODS.get(ufunc.__name__, {})
    return (unary if ufunc.nin == 1 else binary)(general, ufunc, **methods)


def _make_all() -> dict[str, Any]:
    """Return every universal function that there is a general function for, by its names."""
    made: dict[tuple[Any, int], Any] = {}
    found: dict[str, Any] = {}
    for module in (_elementwise, _elementary):
        for name in module.__all__:
            ufunc = getattr(_np, name, None)
            if isinstance(ufunc, _np.ufunc) and ufunc.signature is None:
                general = getattr(module, name)
                key = (ufunc, id(general))
                if key not in made:
                    made[key] = _make(general, ufunc)
                found[name] = made[key]
    return found


def _replacing(name: str) -> Callable[[Any], None]:
    def replace(function: Any) -> None:
        namespace = sys.modules["mnn.numpy"]
        if vars(namespace).get(name) is _made[name]:
            setattr(namespace, name, function)
        _made[name] = globals()[name] = function

    return replace


_made = _make_all()
METHODS.extend(
    Method(
        name,
        "one" if each.nin == 1 else "two",
        each,
        getattr(_np, name),
        keeps_dtypes(getattr(_np, name)),
        _replacing(name),
    )
    for name, each in _made.items()
    if each.nout == 1
)
globals().update(_made)
__all__ = list(_made)
