"""Axes and shapes as users write them: ints, lists, tuples, int Vars, negative numbers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError, UnsupportedError
from mnn.expr.var import Var

__all__ = ["integers_of", "normalize_axes", "normalize_axis"]


def normalize_axis(name: str, axis: Any, rank: int) -> int:
    """Return `axis` in [0, rank).

    Raises:
        ShapeError: out of range.    DTypeError: not an integer.
    """
    try:
        number = operator.index(axis)
    except TypeError as error:
        raise DTypeError(f"{name}: axis is {axis!r}, expected an int.") from error
    if not -rank <= number < rank:
        raise ShapeError(
            f"{name}: axis {number} is out of range for {rank} dimensions. "
            f"Expected a number in [{-rank}, {rank})."
        )
    return number % rank


def normalize_axes(name: str, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes in [0, rank), in order; repeated axes raise ShapeError."""
    numbers = tuple(normalize_axis(name, axis, rank) for axis in axes)
    if len(set(numbers)) != len(numbers):
        raise ShapeError(f"{name}: axes {list(axes)} name a dimension twice. Name each once.")
    return numbers


def integers_of(name: str, value: Any, what: str = "axes") -> tuple[int, ...]:
    """Return integers given as an int, a sequence, an array or a Var whose value is known.

    Raises:
        DTypeError: not integers.    UnsupportedError: a recorded Var whose value depends on inputs.
    """
    if isinstance(value, Var):
        known = value._type.value
        if known is None and value._ref is not None and not value._ref.node.is_leaf:
            raise UnsupportedError(
                f"{name}: {what} is computed by the graph from inputs. Expected numbers known "
                "while the graph is built."
            )
        value = known if known is not None else value._array()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iu" and value.size:
            raise DTypeError(f"{name}: {what} has dtype {value.dtype}, expected integers.")
        return tuple(int(each) for each in value.reshape(-1))
    try:
        if isinstance(value, (list, tuple, range)):
            return tuple(operator.index(each) for each in value)
        return (operator.index(value),)
    except TypeError as error:
        raise DTypeError(f"{name}: {what} is {value!r}, expected an int or ints.") from error
