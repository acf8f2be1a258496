"""Copies of Vars, and the form in which they are pickled."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.expr.enums import data_format
from mnn.expr.node import INPUT, Cell, Ref, leaf
from mnn.expr.symbols import fresh, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var, leaf_type, var_of

__all__ = ["copied", "reduced"]

Array = np.ndarray[Any, Any]


def copied(var: Var) -> Var:
    """Return a Var of the same kind with its own memory; computed ones become constants."""
    if _unwritten(var):
        return _restore_input(*_declared(var))
    array, *rest = _state(var)
    return _restore(array.copy(), *rest)


def reduced(var: Var) -> tuple[Any, ...]:
    """Return how to make the Var again, as `pickle` wants it."""
    if _unwritten(var):
        return _restore_input, _declared(var)
    return _restore, _state(var)


def _state(var: Var) -> tuple[Any, ...]:
    kind = var._ref.node.kind if var._ref is not None and var._ref.node.is_leaf else ""
    return var._array(), int(var._format), kind, var.name


def _restore(array: Array, format: int, kind: str, name: str) -> Var:
    layout = data_format(format)
    if kind:
        var = var_of(Ref(leaf(kind, leaf_type(array, layout, kind), Cell(array)), 0))
    else:
        var = Var(array, layout)
    if name:
        var.name = name
    return var


def _unwritten(var: Var) -> bool:
    cell = var._ref.node.cell if var._ref is not None else None
    return cell is not None and cell.array is None


def _declared(var: Var) -> tuple[list[int] | None, str, int, str]:
    """Return shape, dtype, format and name of an input without a value."""
    type = var._type
    shape = None if type.shape is None else list(shape_numbers(type.shape))
    return shape, type.dtype.str, int(var._format), var.name


def _restore_input(shape: list[int] | None, dtype: str, format: int, name: str) -> Var:
    sizes = None if shape is None else tuple(fresh("size") if s < 0 else s for s in shape)
    kind = TensorType(sizes, np.dtype(dtype), data_format(format))
    var = var_of(Ref(leaf(INPUT, kind, Cell(None)), 0))
    if name:
        var.name = name
    return var
