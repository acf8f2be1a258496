"""Python's in-place operators: they write the array of a computed Var, and its views see it."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.config import config
from mnn.errors import DTypeError, ShapeError
from mnn.expr.locks import refuse_locked
from mnn.expr.memory import about_to_write, has_views
from mnn.expr.modes import recorders, should_record
from mnn.expr.pending import adopt
from mnn.expr.var import Var
from mnn.numpy import elementwise, products
from mnn.ops.attach import attach_method
from mnn.ops.convert import cast
from mnn.ops.quick import SMALL, keeps_dtypes

__all__: list[str] = []


def _inplace(name: str, function: Any, ufunc: _np.ufunc) -> Any:
    dtypes = keeps_dtypes(ufunc)

    def apply(self: Any, other: Any) -> Var:
        left = self._value
        if left is not None and not config.lazy and not recorders.count and self._ref is None:
            right = other._value if type(other) is Var and other._ref is None else None
            if (
                right is not None
                and left.dtype is right.dtype
                and left.dtype in dtypes
                and left.size <= SMALL
                and right.size <= left.size
                and left.ndim
                and left.flags.writeable
            ):
                about_to_write(left)
                try:
                    ufunc(left, right, left)
                except (TypeError, ValueError):
                    pass  # the general way says why
                else:
                    return self  # type: ignore[no-any-return]
            right = None
        left = None
        return _apply(self, other)

    def _apply(self: Var, other: Any) -> Var:
        scalar = not self.ndim and not should_record() and self._ref is None and _is_scalar(self)
        result: Var = function(self, other)
        if scalar or should_record() or self._ref is not None:
            return result
        if result.shape != self.shape:
            raise ShapeError(f"{name}: a result of shape {result.shape} does not fit {self.shape}.")
        if not _np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise DTypeError(
                f"{name}: a {result.dtype} result does not fit a {self.dtype} array. "
                "Write x = x + y for a new array."
            )
        if result.dtype != self.dtype:
            result = cast(result, self.dtype)
        if result._value is None and result._ref is None and adopt(self, result):
            return self
        if not self._array().flags.writeable:
            refuse_locked(self._array())
            return result
        self._writable()[...] = result._array()
        return self

    return apply


def _is_scalar(x: Var) -> bool:
    """True for what NumPy has scalars for: `t = x.sum(); t += 1` leaves other names of it alone.

    Memory that is part of an array, such as that of `x[0, ...]`, is written.
    """
    return x._value is None or not has_views(x)


for _name, _function, _ufunc in (
    ("add", elementwise.add, _np.add),
    ("sub", elementwise.subtract, _np.subtract),
    ("mul", elementwise.multiply, _np.multiply),
    ("truediv", elementwise.divide, _np.true_divide),
    ("floordiv", elementwise.floor_divide, _np.floor_divide),
    ("mod", elementwise.mod, _np.remainder),
    ("pow", elementwise.power, _np.power),
    ("and", elementwise.bitwise_and, _np.bitwise_and),
    ("or", elementwise.bitwise_or, _np.bitwise_or),
    ("xor", elementwise.bitwise_xor, _np.bitwise_xor),
    ("matmul", products.matmul, _np.matmul),
    ("lshift", elementwise.left_shift, _np.left_shift),
    ("rshift", elementwise.right_shift, _np.right_shift),
):
    attach_method(f"__i{_name}__", _inplace(f"{_name}=", _function, _ufunc))
