"""Attributes of `Var` as of `numpy.ndarray`: memory, parts and where the data lives."""

from __future__ import annotations

from types import GenericAlias
from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.locks import is_locked, lock
from mnn.expr.memory import share, writable_array
from mnn.expr.var import Var
from mnn.numpy import elementary
from mnn.numpy.flags import Flags, set_writeable
from mnn.numpy.hosting import at_once
from mnn.numpy.iteration import flatiter
from mnn.ops.attach import attach_method

__all__ = ["shared"]


def shared(var: Var, view: Any) -> Var:
    """Return an array that lies in the memory of a computed Var as a Var of its own."""
    found = Var(view, var.data_format)
    if view.base is not None and var._value is not None:
        share(var, found)
        if is_locked(var._value):
            lock(view)
    return found


def _flat(self: Var) -> flatiter:
    """The elements in row-major order: to iterate, to index, and to assign to."""
    return flatiter(self)


def _set_flat(self: Var, value: Any) -> None:
    flatiter(self)[...] = value


def _strides(self: Var) -> tuple[int, ...]:
    """Bytes from one element to the next along each dimension; computes the Var."""
    found: tuple[int, ...] = self._array().strides
    return found


def _base(self: Var) -> Any:
    """The array whose memory a view shares, on another Var; None for memory of its own.

    Results of a recorded graph own their memory.
    """
    if self._ref is not None:
        return None
    base = self._array().base
    return Var(base) if isinstance(base, _np.ndarray) and kind_of(base.dtype) in "biufc" else base


def _flags(self: Var) -> Flags:
    """How the elements lie in memory, and whether they may be written."""
    return Flags(self)


def _data(self: Var) -> memoryview:
    """The memory as a Python buffer; of a recorded result, that of a copy."""
    return self.read().data


def _ctypes(self: Var) -> Any:
    """Address, shape and strides for foreign functions; keep it while they are used."""
    return self.read().ctypes


def _device(self: Var) -> str:
    """Where the data lives: always "cpu"."""
    return "cpu"


def to_device(self: Var, device: Any, /, *, stream: Any = None) -> Var:
    """Return the array itself: there is one device, "cpu".

    Raises:
        ShapeError: another device, or a stream, which CPU memory does not have.
    """
    if device != "cpu":
        raise ShapeError(f"to_device: device is {device!r}, expected 'cpu'.")
    if stream is not None:
        raise ShapeError(f"to_device: stream is {stream!r}, expected None on the CPU.")
    return self


# --- real and imaginary parts --------------------------------------------------------------------


def _real(self: Var) -> Var:
    """The real part; of a computed array, a view of its memory."""
    return shared(self, self._array().real) if at_once(self) else elementary.real(self)


def _set_real(self: Var, value: Any) -> None:
    _set_part(self, value, "real")


def _imag(self: Var) -> Var:
    """The imaginary part; of a computed complex array, a view of its memory."""
    if at_once(self) and self.dtype.kind == "c":
        return shared(self, self._array().imag)
    return elementary.imag(self)


def _set_imag(self: Var, value: Any) -> None:
    if self.dtype.kind != "c":
        raise TypeError(f"imag: an array of {self.dtype} has no imaginary part to assign to.")
    _set_part(self, value, "imag")


def _set_part(self: Var, value: Any, part: str) -> None:
    if self.dtype.kind != "c":
        self[...] = value
    elif at_once(self, value):
        target = writable_array(self)
        getattr(target, part)[...] = value._array() if isinstance(value, Var) else value
    else:
        other = elementary.imag(self) if part == "real" else elementary.real(self)
        real, imag = (value, other) if part == "real" else (other, value)
        self[...] = real + imag * 1j


def setflags(self: Var, write: Any = None, align: Any = None, uic: Any = None) -> None:
    """Allow or forbid writing to the elements.

    Args:
        write: False: assignments to this Var, and to views made of it from now on, raise. True:
            they work again, unless the memory belongs to somebody who forbids it.
        align, uic: accepted where they change nothing.

    Raises:
        ShapeError: the memory cannot be made writable, or a flag cannot be set.
    """
    if align is not None and bool(align) != bool(self._array().flags.aligned):
        raise ShapeError(f"setflags: align={align!r} does not describe this memory.")
    if uic:
        raise ShapeError("setflags: uic can only be cleared.")
    if write is not None:
        set_writeable(self, bool(write))


def _set_shape(self: Var, shape: Any) -> None:
    """Give the elements another shape; `x.shape = (2, 3)`.

    Raises:
        ShapeError: the shape has another number of elements, the elements do not lie in memory
        accordingly, or a graph holds or computes the array.
    """
    if self._ref is not None:
        raise ShapeError("shape: a graph knows this array by its shape. Use x = x.reshape(shape).")
    view = self._array().view()
    try:
        view.shape = shape
    except (AttributeError, ValueError) as error:
        raise ShapeError(f"shape: {error} Use x = x.reshape(shape).") from error
    self._value = view


def _class_getitem(cls: type, item: Any) -> GenericAlias:
    """Return `ndarray[shape, dtype]` for annotations."""
    return GenericAlias(cls, item)


attach_method("__class_getitem__", classmethod(_class_getitem))  # type: ignore[arg-type]
attach_method("to_device", to_device)
attach_method("setflags", setflags)
for _name, _property in {
    "shape": property(Var.shape.fget, _set_shape),  # type: ignore[attr-defined]
    "flat": property(_flat, _set_flat),
    "strides": property(_strides),
    "base": property(_base),
    "flags": property(_flags),
    "data": property(_data),
    "ctypes": property(_ctypes),
    "device": property(_device),
    "real": property(_real, _set_real),
    "imag": property(_imag, _set_imag),
}.items():
    attach_method(_name, _property)  # type: ignore[arg-type]
