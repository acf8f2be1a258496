"""Arguments for the every-operator tests: arrays that are valid, special, or wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.ops.spec import BadCall, Sample

__all__ = [
    "binary_samples",
    "incompatible_shapes",
    "integers",
    "normal",
    "positive",
    "special_values",
    "text_operand",
    "unary_samples",
]

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return standard-normal values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def positive(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return values in [0.5, 2)."""
    return np.random.default_rng(seed).uniform(0.5, 2.0, shape).astype(dtype)


def integers(
    *shape: int, seed: int = 0, dtype: Any = np.int32, low: int = -5, high: int = 6
) -> Array:
    """Return integers in [low, high)."""
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def special_values(dtype: Any = np.float32) -> Array:
    """Return zeros of both signs, infinities, NaN, the extremes and some ordinary values."""
    info = np.finfo(dtype)
    return np.array(
        [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.inf, -np.inf, np.nan, info.max, info.min, info.tiny],
        dtype,
    )


def unary_samples(
    make: Callable[..., Array] = normal, *, special: bool = True, gradient: bool = True
) -> tuple[Sample, ...]:
    """Return samples of a float function: vector, 0-d, empty, 3-D, float64, special values."""
    samples = [
        Sample((make(7),), gradient=gradient),
        Sample((make(),), gradient=gradient),
        Sample((make(0, 3),), gradient=False),
        Sample((make(2, 3, 4, seed=1),), gradient=False),
        Sample((make(5, dtype=np.float64),), gradient=False),
    ]
    if special:
        samples.append(Sample((special_values(),), gradient=False))
    return tuple(samples)


def binary_samples(
    first: Callable[..., Array] = normal,
    second: Callable[..., Array] = normal,
    *,
    special: bool = True,
    gradient: bool = True,
) -> tuple[Sample, ...]:
    """Return samples of a two-operand float function with and without broadcasting."""
    samples = [
        Sample((first(3, 4), second(3, 4, seed=1)), gradient=gradient),
        Sample((first(2, 1, 4), second(3, 1, seed=1)), gradient=gradient),
        Sample((first(3), 2.0), gradient=gradient),
        Sample((1.5, second(2, 2, seed=1)), gradient=gradient),
        Sample((first(0, 3), second(3)), gradient=False),
        Sample((first(), second(seed=1)), gradient=gradient),
        Sample((first(4), second(4, dtype=np.float64)), gradient=False),
    ]
    if special:
        values = special_values()
        samples.append(Sample((values[:, None], values[None, :]), gradient=False))
    return tuple(samples)


def incompatible_shapes(operands: int) -> BadCall:
    """Return a call whose operands do not broadcast."""
    shapes = [(2, 3), (4,)] + [(1,)] * (operands - 2)
    return BadCall(
        "shapes do not broadcast", tuple(np.zeros(s, np.int32) for s in shapes), ShapeError
    )


def text_operand(operands: int) -> BadCall:
    """Return a call with a string operand."""
    return BadCall("text operand", ("a", *([1.0] * (operands - 1))), DTypeError)
