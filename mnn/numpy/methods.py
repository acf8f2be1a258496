"""Methods and attributes of `Var` as of `numpy.ndarray`."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.modes import should_record
from mnn.expr.var import Var
from mnn.numpy import (
    creation,
    elementwise,
    manipulation,
    products,
    reductions,
    running,
    searching,
)
from mnn.ops.attach import attach_binary, attach_method
from mnn.ops.convert import cast
from mnn.ops.operands import array_of

__all__: list[str] = []


def _astype(self: Var, dtype: Any, copy: bool = True) -> Var:
    """Return the array with another element type."""
    return cast(self, dtype)


def _item(self: Var, *index: Any) -> Any:
    """Return one element as a Python number, by flat or by full index.

    Raises:
        IndexRangeError: out of range.    ShapeError: no index, and not exactly one element.
    """
    array = self._array()
    if not index and array.size != 1:
        raise ShapeError(f"item: the array has shape {self.shape}. Pass an index.")
    place = index[0] if len(index) == 1 and isinstance(index[0], tuple) else index
    try:
        return array.item(*place)
    except IndexError as error:
        raise IndexRangeError(f"item: {error} (shape {self.shape}).") from error


def _reshape(self: Var, *shape: Any, order: str = "C") -> Var:
    """Return the elements in another shape, given as ints or as one sequence."""
    sizes = shape[0] if len(shape) == 1 else shape
    return manipulation.reshape(self, sizes, order)


def _transpose(self: Var, *axes: Any) -> Var:
    """Return the array with dimensions reversed, or in the order of the axes."""
    if len(axes) == 1 and (axes[0] is None or not isinstance(axes[0], int)):
        return manipulation.transpose(self, axes[0])
    return manipulation.transpose(self, axes or None)


def _fill(self: Var, value: Any) -> None:
    """Set every element to one number."""
    number = array_of(value, "fill")
    if number.size != 1:
        raise ShapeError(f"fill: found shape {number.shape}, expected one number.")
    self[...] = number.reshape(())


def _flatten(self: Var, order: str = "C") -> Var:
    """Return a 1-D copy."""
    flat = manipulation.ravel(self, order)
    return creation.copy(flat) if flat._ref is None else flat


def _tolist(self: Var) -> Any:
    """Return nested lists of Python numbers."""
    return self._array().tolist()


def _tobytes(self: Var) -> bytes:
    """Return the elements as bytes in row-major order."""
    return self._array().tobytes()


def _sort(self: Var, axis: int = -1) -> Var:
    """Return a sorted copy, as in the reference package (NumPy sorts in place)."""
    return searching.sort(self, axis)


def _no_device(name: str) -> Any:
    def refuse(self: Var, ptr: int, memory_type: int) -> None:
        raise DTypeError(f"{name}: the data lives in CPU memory; there is no device to attach.")

    refuse.__doc__ = "Raise DTypeError: there is no device memory on the CPU."
    return refuse


def _matrix_transpose(self: Var) -> Var:
    return manipulation.swapaxes(self, -1, -2)


def _conjugate(self: Var) -> Var:
    """Return the complex conjugate; real arrays are returned as they are."""
    return Var(self._array().conj()) if self.dtype.kind == "c" else self


def _inplace(name: str, function: Any) -> Any:
    def apply(self: Var, other: Any) -> Var:
        if should_record() or self._ref is not None:
            result: Var = function(self, other)
            return result
        array = self._array()
        value = function(self, other)._array()
        if value.shape != array.shape or not array.flags.writeable:
            if value.shape != array.shape:
                raise ShapeError(
                    f"{name}: a result of shape {value.shape} does not fit {self.shape}."
                )
            return Var(value.astype(array.dtype))
        if not _np.can_cast(value.dtype, array.dtype, "same_kind"):
            raise DTypeError(
                f"{name}: a {value.dtype} result does not fit a {array.dtype} array. "
                "Write x = x + y for a new array."
            )
        array[...] = value
        return self

    return apply


for _name, _method in {
    "astype": _astype,
    "item": _item,
    "reshape": _reshape,
    "transpose": _transpose,
    "fill": _fill,
    "flatten": _flatten,
    "tolist": _tolist,
    "tobytes": _tobytes,
    "sort": _sort,
    "conj": _conjugate,
    "conjugate": _conjugate,
    "set_device_ptr": _no_device("set_device_ptr"),
    "copy_to_device_ptr": _no_device("copy_to_device_ptr"),
    "copy": creation.copy,
    "ravel": manipulation.ravel,
    "squeeze": manipulation.squeeze,
    "swapaxes": manipulation.swapaxes,
    "repeat": manipulation.repeat,
    "clip": elementwise.clip,
    "round": elementwise.round,
    "dot": products.dot,
    "nonzero": searching.nonzero,
    "argsort": searching.argsort,
    "argpartition": searching.argpartition,
    "searchsorted": searching.searchsorted,
    "take": searching.take,
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "max": reductions.max,
    "min": reductions.min,
    "mean": reductions.mean,
    "sum": reductions.sum,
    "prod": reductions.prod,
    "std": reductions.std,
    "var": reductions.var,
    "ptp": reductions.ptp,
    "cumsum": running.cumsum,
    "cumprod": running.cumprod,
    "trace": products.trace,
}.items():
    attach_method(_name, _method)


def _absolute(self: Var) -> Any:
    return elementwise.absolute(self)


attach_method("__abs__", _absolute)
attach_binary("matmul", products.matmul)
attach_method("T", property(manipulation.transpose))  # type: ignore[arg-type]
attach_method("mT", property(_matrix_transpose))  # type: ignore[arg-type]

for _name, _function in {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.mod,
    "pow": elementwise.power,
    "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or,
    "xor": elementwise.bitwise_xor,
    "lshift": elementwise.left_shift,
    "rshift": elementwise.right_shift,
}.items():
    attach_method(f"__i{_name}__", _inplace(f"{_name}=", _function))
