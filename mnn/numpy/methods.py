"""Methods and attributes of `Var` as of `numpy.ndarray`."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.dtypes import as_dtype
from mnn.expr.modes import should_record
from mnn.expr.var import Var
from mnn.numpy import (
    choosing,
    creation,
    elementary,
    elementwise,
    manipulation,
    products,
    reductions,
    running,
    searching,
    triangles,
)
from mnn.ops.attach import attach_binary, attach_method
from mnn.ops.convert import cast
from mnn.ops.operands import array_of

__all__: list[str] = []


def _astype(
    self: Var,
    dtype: Any,
    order: str = "K",
    casting: str = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Var:
    """Return the array with another element type.

    Args:
        dtype: element type.
        order: "C", "F": memory row by row or column by column; "A", "K": as it is.
        casting: "no", "equiv", "safe", "same_kind" or "unsafe": which conversions are allowed.
        subok: accepted for compatibility.
        copy: False: the array itself if it is as wanted.

    Raises:
        DTypeError: a conversion that `casting` forbids.
    """
    wanted = as_dtype(dtype)
    if not _np.can_cast(self.dtype, wanted, casting):  # type: ignore[arg-type]
        raise DTypeError(
            f"astype: {self.dtype} does not become {wanted} with casting={casting!r}. "
            "Use casting='unsafe'."
        )
    if self._ref is not None or should_record():
        return cast(self, wanted)
    if self.dtype == wanted and order in ("K", "A") and not copy:
        return self
    if self.dtype == wanted or order in ("C", "F"):
        return creation.array(self, wanted, copy or None, order)
    return cast(self, wanted)


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


def _round_number(self: Var, ndigits: Any = None) -> Any:
    """Return one element rounded, as `round` of Python wants it: an int, or a 0-d array.

    Raises:
        TypeError: the array has dimensions.
    """
    if self.ndim:
        raise TypeError(f"round: found shape {self.shape}, expected one number. Use x.round().")
    return round(self._array().item()) if ndigits is None else elementwise.round(self, ndigits)


def _reshape(self: Var, *shape: Any, order: str = "C", copy: bool | None = None) -> Var:
    """Return the elements in another shape, given as ints or as one sequence."""
    sizes = shape[0] if len(shape) == 1 else shape
    if copy is None:
        return manipulation.reshape(self, sizes, order)
    return manipulation.reshape(self, sizes, order, copy=copy)


def _transpose(self: Var, *axes: Any) -> Var:
    """Return the array with dimensions reversed, or in the order of the axes."""
    if len(axes) == 1 and (axes[0] is None or not isinstance(axes[0], int)):
        return manipulation.transpose(self, axes[0])
    return manipulation.transpose(self, axes or None)


def _fill(self: Var, value: Any) -> None:
    """Set every element to one number."""
    number = array_of(value, "fill", exact=True)
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


def _sort(
    self: Var, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Var:
    """Return a sorted copy, as in the reference package (NumPy sorts in place)."""
    return searching.sort(self, axis, kind, order, stable=stable)


def _copy(self: Var, order: str | None = "C") -> Var:
    """Return a copy with its own memory, in an order as for `array`."""
    return creation.copy(self, order)


def _choose(self: Var, choices: Any, out: Any = None, mode: str = "raise") -> Var:
    """Return at each place the element of the choice whose number is there; see `choose`."""
    return choosing.choose(self, choices, out, mode)


def _compress(self: Var, condition: Any, axis: int | None = None, out: Any = None) -> Var:
    """Return the slices along `axis` at true conditions; see `compress`."""
    return choosing.compress(condition, self, axis, out)


def _put(self: Var, indices: Any, values: Any, mode: str = "raise") -> None:
    """Write values to places of the flat array; see `put`."""
    choosing.put(self, indices, values, mode)


def _no_device(name: str) -> Any:
    def refuse(self: Var, ptr: int, memory_type: int) -> None:
        raise DTypeError(f"{name}: the data lives in CPU memory; there is no device to attach.")

    refuse.__doc__ = "Raise DTypeError: there is no device memory on the CPU."
    return refuse


def _matrix_transpose(self: Var) -> Var:
    return manipulation.swapaxes(self, -1, -2)


def _conjugate(self: Var) -> Var:
    """Return the complex conjugate; real arrays are returned as they are."""
    return elementary.conj(self) if self.dtype.kind == "c" else self


for _name, _method in {
    "astype": _astype,
    "item": _item,
    "reshape": _reshape,
    "transpose": _transpose,
    "fill": _fill,
    "flatten": _flatten,
    "tolist": _tolist,
    "sort": _sort,
    "conj": _conjugate,
    "conjugate": _conjugate,
    "set_device_ptr": _no_device("set_device_ptr"),
    "copy_to_device_ptr": _no_device("copy_to_device_ptr"),
    "copy": _copy,
    "choose": _choose,
    "compress": _compress,
    "put": _put,
    "diagonal": triangles.diagonal,
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
attach_method("__round__", _round_number)
attach_binary("matmul", products.matmul)
attach_method("T", property(manipulation.transpose))  # type: ignore[arg-type]
attach_method("mT", property(_matrix_transpose))  # type: ignore[arg-type]
