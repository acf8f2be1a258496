"""NumPy's series of polynomials of several kinds: `polynomial`, `chebyshev`, `legendre`, ...

Their functions take and return arrays of this package; NumPy computes them, so that values are read
at once. The classes `Polynomial`, `Chebyshev`, ... are NumPy's.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from mnn.numpy.defaults import narrowed
from mnn.ops.operands import array_of

_FAMILIES = ("chebyshev", "hermite", "hermite_e", "laguerre", "legendre", "polynomial")
_CLASSES = ("Chebyshev", "Hermite", "HermiteE", "Laguerre", "Legendre", "Polynomial")

__all__ = [*_CLASSES, *_FAMILIES, "set_default_printstyle"]  # noqa: F822 - loaded on first use


def _array(value: Any) -> Any:
    """Return lists of Python numbers as arrays of our default types; all else as it is."""
    plain = isinstance(value, list) and all(isinstance(each, (int, float)) for each in value)
    return array_of(value, "polynomial") if plain and value else value


def _hosted(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def hosted(*arguments: Any, **options: Any) -> Any:
        named = {name: _array(each) for name, each in options.items()}
        return narrowed(function, *(_array(each) for each in arguments), **named)

    return hosted


@functools.cache
def _family(name: str) -> SimpleNamespace:
    """Return the functions of one kind of series, loaded on first use."""
    module = importlib.import_module(f"numpy.polynomial.{name}")
    members = {}
    for each in module.__all__:
        found = getattr(module, each)
        members[each] = found if isinstance(found, type) or not callable(found) else _hosted(found)
    return SimpleNamespace(**members)


def __getattr__(name: str) -> Any:
    """Return a kind of series, or a class of NumPy's.

    Raises:
        AttributeError: there is no such name.
    """
    if name in _FAMILIES:
        return _family(name)
    if name in __all__:
        return getattr(importlib.import_module("numpy.polynomial"), name)
    raise AttributeError(f"mnn.numpy.polynomial has no {name!r}")
