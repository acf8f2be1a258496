"""Small computed arrays go to NumPy straight: the way of every operator there costs more than it.

The functions made here are Python's operators and the universal functions of `mnn.numpy`. They give
what the operator record gives; all that it would find out about small computed operands of one
type, in the common format, is that NumPy is to be called with them. Everything else takes the
general way, which is also the one that explains errors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.config import config
from mnn.expr.enums import data_format
from mnn.expr.modes import recorders, should_record
from mnn.expr.node import CONST, Cell, Ref, leaf, make_node
from mnn.expr.pending import defer_pair
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.ops.operands import UnknownOperandError

__all__ = [
    "SMALL",
    "binary_operators",
    "keeps_dtypes",
    "may_wait",
    "unary_operator",
    "waiting_or_recorded",
]

SMALL = 1024
"""Elements up to which operands broadcast to results that NumPy computes."""

Function = Callable[..., Any]

_NCHW = data_format.NCHW
_FLOAT: np.dtype[Any] = np.dtype(np.float32)
_FLOATS = frozenset((_FLOAT, np.dtype(np.float64)))
_CODES = "?bBhHiIlLqQefd"
_NO_ATTRIBUTES: dict[str, Any] = {}
_new = object.__new__
_ndarray = np.ndarray
_asarray = np.asarray


@functools.cache
def keeps_dtypes(function: np.ufunc) -> frozenset[np.dtype[Any]]:
    """Return the types for which NumPy's result has the type that our rules say.

    They are those in which it computes, and the result is of, or a bool. For others NumPy chooses
    another type, which may differ from ours where it makes floats of integers.
    """
    found = set()
    for each in function.types:
        operands, _, result = each.partition("->")
        if len(set(operands)) == 1 and result in (operands[0], "?") and operands[0] in _CODES:
            found.add(np.dtype(operands[0]))
    return frozenset(found)


def binary_operators(
    general: Any, function: np.ufunc, dtypes: frozenset[np.dtype[Any]]
) -> tuple[Function, Function]:
    """Return Python's operator and its reflection.

    Args:
        general: the operator for all operands.
        function: NumPy's.
        dtypes: for which it gives what `general` gives.
    """

    waits = may_wait(general)

    def forward(self: Any, other: Any) -> Any:
        left = self._value
        if left is not None and not config.lazy and not recorders.count and self._ref is None:
            dtype = left.dtype
            try:
                if type(other) is Var:
                    right = other._value
                    if (
                        right is not None
                        and dtype is right.dtype
                        and (dtype is _FLOAT or dtype in dtypes)
                        and left.size <= SMALL
                        and right.size <= SMALL
                        and other._ref is None
                        and self._format is _NCHW is other._format
                    ):
                        found = function(left, right)
                        result = _new(Var)
                        result._value = found if type(found) is _ndarray else _asarray(found)
                        result._ref = None
                        result._format = _NCHW
                        result._name = ""
                        return result
                    right = None
                elif (
                    (type(other) is float or type(other) is int)
                    and left.size <= SMALL
                    and (dtype in _FLOATS or (type(other) is int and dtype in dtypes))
                    and self._format is _NCHW
                ):
                    found = function(left, other)
                    return Var(found if type(found) is _ndarray else _asarray(found))
            except (ArithmeticError, TypeError, ValueError):
                pass
        left = right = None  # what waits must be the only one that knows the arrays
        if waits:
            found = waiting_or_recorded(general, self, other)
            if found is not None:
                return found
        try:
            return general(self, other)
        except UnknownOperandError:
            return NotImplemented

    def backward(self: Any, other: Any) -> Any:
        right = self._value
        if (
            right is not None
            and not config.lazy
            and not recorders.count
            and self._ref is None
            and (type(other) is float or type(other) is int)
            and right.size <= SMALL
            and (right.dtype in _FLOATS or (type(other) is int and right.dtype in dtypes))
            and self._format is _NCHW
        ):
            try:
                found = function(other, right)
            except (ArithmeticError, TypeError, ValueError):
                pass
            else:
                return Var(found if type(found) is _ndarray else _asarray(found))
        right = None
        if waits:
            found = waiting_or_recorded(general, other, self)
            if found is not None:
                return found
        try:
            return general(other, self)
        except UnknownOperandError:
            return NotImplemented

    return forward, backward


def waiting_or_recorded(general: Any, *operands: Any) -> Var | None:
    """Return the result of a frequent call that waits or is recorded, None for other calls."""
    if not config.lazy and not recorders.count:
        return defer_pair(general, *operands)
    return record_pair(general, *operands) if should_record() else None


def record_pair(operation: Any, *operands: Any) -> Var | None:
    """Return a recorded result of the most frequent calls, quicker than the general way.

    They are elementwise operators without attributes on arrays of one float type, and numbers.
    """
    dtype = None
    for each in operands:
        if type(each) is Var:
            kind = each.dtype
            if dtype is None and kind in _FLOATS:
                dtype = kind
            elif kind is not dtype:
                return None
        elif type(each) is not float and type(each) is not int:
            return None
    if dtype is None:
        return None
    refs = [capture(each) if type(each) is Var else _literal(each, dtype) for each in operands]
    return var_of(Ref(make_node(operation, refs, _NO_ATTRIBUTES), 0))


def _literal(number: float, dtype: np.dtype[Any]) -> Ref:
    array = np.asarray(number, dtype)
    array.flags.writeable = False
    return Ref(leaf(CONST, TensorType((), dtype), Cell(array)), 0)


def may_wait(general: Any) -> bool:
    """True for operator records that `defer_pair` takes: all operands are of one type."""
    one_type = getattr(general, "rule", None) is not None
    return one_type and bool(general.waits) and not general.attributes


def unary_operator(general: Function, function: np.ufunc) -> Function:
    """Return Python's operator; see `binary_operators`."""
    dtypes = keeps_dtypes(function)

    def forward(self: Any) -> Any:
        operand = self._value
        if (
            operand is not None
            and not config.lazy
            and not recorders.count
            and (operand.dtype is _FLOAT or operand.dtype in dtypes)
            and operand.size <= SMALL
            and self._ref is None
            and self._format is _NCHW
        ):
            found = function(operand)
            return Var(found if type(found) is _ndarray else _asarray(found))
        operand = None
        return general(self)

    return forward
