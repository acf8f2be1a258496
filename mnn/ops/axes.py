"""Axes and shapes as users write them: ints, lists, tuples, int Vars, negative numbers."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import AxisError, DTypeError, ShapeError, UnsupportedError
from mnn.expr.modes import should_record
from mnn.expr.node import CONST
from mnn.expr.var import Var

__all__ = ["axis_number", "int_operand", "integers_of", "normalize_axes", "normalize_axis"]


def axis_number(name: str, axis: Any) -> int:
    """Return `axis` as a Python int; DTypeError when it is none."""
    try:
        return operator.index(axis)
    except TypeError as error:
        raise DTypeError(f"{name}: axis is {axis!r}, expected an int.") from error


def normalize_axis(name: str, axis: Any, rank: int) -> int:
    """Return `axis` in [0, rank).

    Raises:
        AxisError: out of range.    DTypeError: not an integer.
    """
    number = axis_number(name, axis)
    if not -rank <= number < rank:
        raise AxisError(
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
        if known is None and _may_change(value):
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


def _may_change(value: Var) -> bool:
    """Return True when the number of a Var is not fixed while the graph is recorded."""
    if value._ref is None:
        return False
    node = value._ref.node
    return not node.is_leaf or (node.kind != CONST and should_record())


def int_operand(name: str, value: Any, what: str) -> Var:
    """Return a shape-like argument as an int32 Var: ints, a sequence, an array or a Var.

    A sequence may hold Vars, which then decide the numbers when the graph runs.

    Raises:
        DTypeError: not integers.
    """
    if isinstance(value, Var):
        if value.dtype.kind not in "iu":
            raise DTypeError(f"{name}: {what} has dtype {value.dtype}, expected integers.")
        return value
    if isinstance(value, (list, tuple)) and any(isinstance(each, Var) for each in value):
        return _stacked(name, value, what)
    return Var(np.array(integers_of(name, value, what), np.int32))


def _stacked(name: str, values: Sequence[Any], what: str) -> Var:
    from mnn.ops.convert import cast
    from mnn.ops.joining import stack
    from mnn.ops.movement import reshape

    numbers = []
    for each in values:
        operand = int_operand(name, each, what)
        if operand.size != 1:
            raise ShapeError(
                f"{name}: {what} holds an array of shape {operand.shape}, expected single numbers."
            )
        numbers.append(cast(reshape(operand, ()), np.int32))
    return stack(numbers)
