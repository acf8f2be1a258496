"""NumPy's own functions on Vars: they stay Vars, or raise a clear TypeError."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError
from mnn.expr.var import Var
from mnn.ops.attach import attach_method

__all__: list[str] = []

_ALIASES = {"concat": "concatenate", "permute_dims": "transpose", "pow": "power"}


def _ours(name: str, module: str = "numpy") -> Any:
    """Return our function of the same name and place, None if there is none."""
    import mnn.numpy as namespace

    spaces = {"numpy": namespace, "numpy.linalg": namespace.linalg}
    return getattr(spaces.get(module), _ALIASES.get(name, name), None)


def _array_ufunc(self: Var, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    function = _ours(ufunc.__name__)
    if method != "__call__" or function is None:
        what = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        raise DTypeError(
            f"numpy.{what}: not available for Vars. Convert with numpy.asarray(x) first, which "
            "leaves the graph."
        )
    out = options.pop("out", None)
    if options:
        raise DTypeError(f"numpy.{ufunc.__name__}: {sorted(options)} are not available for Vars.")
    result = function(*inputs)
    if out is None:
        return result
    target = out[0]
    if isinstance(target, Var):
        target[...] = result
        return target
    _np.copyto(target, result._array(), casting="same_kind")
    return target


def _array_function(
    self: Var, func: Any, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    function = _ours(func.__name__, func.__module__)
    if function is None:
        raise DTypeError(
            f"{func.__module__}.{func.__name__}: not available for Vars. Convert with "
            "numpy.asarray(x) first, which leaves the graph."
        )
    return function(*args, **kwargs)


def _array_namespace(self: Var, *, api_version: str | None = None) -> Any:
    import mnn.numpy as namespace

    return namespace


attach_method("__array_ufunc__", _array_ufunc)
attach_method("__array_function__", _array_function)
attach_method("__array_namespace__", _array_namespace)
