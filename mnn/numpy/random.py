"""Random numbers from NumPy's generator."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.expr.dtypes import as_dtype
from mnn.expr.var import Var

__all__ = ["rand", "randint", "randn", "random", "seed"]

_generator: _np.random.RandomState | None = None


def _state() -> _np.random.RandomState:
    global _generator
    if _generator is None:
        _generator = _np.random.RandomState()
    return _generator


def seed(seed: int | None = None) -> None:
    """Start the stream anew; equal seeds give NumPy's numbers for that seed."""
    global _generator
    _generator = _np.random.RandomState(seed)


def random(size: Any = None) -> Var:
    """Return float32 numbers, uniform in [0, 1)."""
    return Var(_np.asarray(_state().random_sample(size), _np.float32))


def rand(*shape: int) -> Var:
    """Return float32 numbers of `shape`, uniform in [0, 1)."""
    return random(shape)


def randn(*shape: int) -> Var:
    """Return float32 numbers of `shape`, standard-normal."""
    return Var(_np.asarray(_state().standard_normal(shape), _np.float32))


def randint(low: int, high: int | None = None, size: Any = None, dtype: Any = None) -> Var:
    """Return int32 numbers in [low, high), or [0, low) without high.

    Raises:
        ValueError: the range is empty.
    """
    wanted = _np.dtype(_np.int32) if dtype is None else as_dtype(dtype)
    return Var(_np.asarray(_state().randint(low, high, size, dtype=_np.int64)).astype(wanted))
