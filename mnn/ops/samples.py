"""Arguments for the every-operator tests: arrays that are valid, special, or wrong."""

from __future__ import annotations

import math
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
    "uniform",
]

Array = np.ndarray[Any, Any]


# One pool of numbers, made once: samples are built whenever the package is imported, so each may
# cost no more than a slice. A sine hash is random enough for that.
_COUNT = 4096
_steps = np.arange(1, 2 * _COUNT + 1)
_uniform = np.abs(np.sin(_steps * 12.9898) * 43758.5453) % 1.0
_radius = np.sqrt(-2.0 * np.log(np.maximum(_uniform[:_COUNT], 1e-6)))
_normal = np.concatenate([_radius * np.cos(2.0 * np.pi * _uniform[_COUNT:])] * 2)
_uniform = np.concatenate([_uniform[:_COUNT]] * 2)


def _slice(pool: Array, shape: tuple[int, ...], seed: int) -> Array:
    count = math.prod(shape)
    first = (seed * 977 + 13) % _COUNT
    found: Array = pool[first : first + count].reshape(shape)
    return found


def uniform(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return values in [0, 1)."""
    return _slice(_uniform, shape, seed).astype(dtype)


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return standard-normal values."""
    return _slice(_normal, shape, seed).astype(dtype)


def positive(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return values in [0.5, 2)."""
    return (_slice(_uniform, shape, seed) * 1.5 + 0.5).astype(dtype)


def integers(
    *shape: int, seed: int = 0, dtype: Any = np.int32, low: int = -5, high: int = 6
) -> Array:
    """Return integers in [low, high)."""
    steps = np.floor(_slice(_uniform, shape, seed) * (high - low))
    found: Array = (low + steps).astype(dtype)
    return found


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
