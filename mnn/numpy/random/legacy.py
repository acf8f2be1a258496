"""Functions on one generator for the whole process, as scripts use them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as _np
from numpy import random as _random

from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.var import Var
from mnn.numpy.hosting import plain
from mnn.numpy.random.generators import DISTRIBUTIONS, RandomState

_ON_SHARED = [
    *(name for name in DISTRIBUTIONS if name != "random"),
    "random_integers",
    "random_sample",
]

__all__ = [
    *_ON_SHARED,
    "get_bit_generator",
    "get_state",
    "rand",
    "randint",
    "randn",
    "random",
    "ranf",
    "sample",
    "seed",
    "set_bit_generator",
    "set_state",
    "shuffle",
]

_state: RandomState | None = None


def _shared() -> RandomState:
    global _state
    if _state is None:
        _state = RandomState()
    return _state


def _shared_method(name: str) -> Callable[..., Any]:
    original = getattr(_random, name)

    def function(*arguments: Any, **options: Any) -> Any:
        return getattr(_shared(), name)(*arguments, **options)

    functools.update_wrapper(function, original, assigned=("__name__",))
    function.__qualname__ = name
    function.__doc__ = f"Do what `numpy.random.{name}` does, on this package's own generator."
    return function


for _name in _ON_SHARED:
    globals()[_name] = _shared_method(_name)


def seed(seed: Any = None) -> None:
    """Start the stream anew; equal seeds give NumPy's numbers for that seed."""
    _shared().seed(seed)


def get_state(legacy: bool = True) -> Any:
    """Return where in the stream the generator is, as NumPy does."""
    return _shared().get_state(legacy)


def set_state(state: Any) -> None:
    """Go to the place of a stream that `get_state` gave."""
    _shared().set_state(state)


def get_bit_generator() -> Any:
    """Return the source of the random bits."""
    return _shared()._source._bit_generator


def set_bit_generator(bitgen: Any) -> None:
    """Take random bits from another source from now on."""
    global _state
    _state = RandomState(bitgen)


def shuffle(x: Any) -> None:
    """Reorder a Var, array or list along its first axis in place."""
    _shared().shuffle(x)


def random(size: Any = None, dtype: Any = default_float) -> Var:
    """Return numbers uniform in [0, 1): float32 unless `dtype` says otherwise."""
    found = _shared()._source.random_sample(plain(size))
    return Var(_np.asarray(found, as_dtype(dtype)))


def rand(*args: int, dtype: Any = default_float) -> Var:
    """Return numbers of the shape given, uniform in [0, 1): float32 unless told otherwise."""
    return Var(_np.asarray(_shared()._source.rand(*args), as_dtype(dtype)))


def randn(*args: int, dtype: Any = default_float) -> Var:
    """Return numbers of the shape given, standard-normal: float32 unless told otherwise."""
    return Var(_np.asarray(_shared()._source.randn(*args), as_dtype(dtype)))


ranf = sample = globals()["random_sample"]


def randint(low: Any, high: Any = None, size: Any = None, dtype: Any = int) -> Var:
    """Return whole numbers in [low, high), or [0, low) without high.

    Args:
        low, high: numbers or arrays of them.    size: shape.
        dtype: integer type or bool; `int` means int32 (int64 when a number does not fit).

    Raises:
        ValueError: the range is empty.    TypeError: no integer type.
    """
    source = _shared()._source
    low, high, size = plain(low), plain(high), plain(size)
    if dtype is not int:
        return Var(_np.asarray(source.randint(low, high, size, dtype=as_dtype(dtype))))
    found = _np.asarray(source.randint(low, high, size, dtype=_np.int64))
    limits = _np.iinfo(_np.int32)
    bounds = low if high is None else high
    fits = limits.min <= _np.min(low) and _np.max(bounds) <= limits.max + 1
    return Var(found.astype(_np.int32) if fits else found)
