"""Methods and functions of Python whose code lies at an address; see `mnn.ops.machine`."""

from __future__ import annotations

import ctypes
import functools
import inspect
from typing import Any

from mnn.expr.var import Var
from mnn.ops.machine_code import Method

__all__ = ["function_at", "method_at"]

# What machine code refers to must never be freed.
_kept: list[Any] = []

# --- methods -------------------------------------------------------------------------------------


class _Definition(ctypes.Structure):
    """`PyMethodDef`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


_NO_ARGUMENTS, _ONE_ARGUMENT = 0x4, 0x8


def method_at(method: Method, address: int) -> Any:
    """Return a method of Var whose code lies at an address."""
    first, *others = inspect.signature(method.general).parameters
    arguments = ", ".join([f"${first}", *others, "/"])
    text = f"{method.name}({arguments})\n--\n\n{method.general.__doc__ or ''}"
    flags = _NO_ARGUMENTS if method.kind == "unary" else _ONE_ARGUMENT
    definition = _Definition(method.name.encode(), address, flags, text.encode())
    _kept.append(definition)
    make = ctypes.pythonapi.PyDescr_NewMethod
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.py_object, ctypes.c_void_p]
    return make(Var, ctypes.addressof(definition))


# --- functions -----------------------------------------------------------------------------------


class _Member(ctypes.Structure):
    """`PyMemberDef`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


class _Slot(ctypes.Structure):
    """`PyType_Slot`."""

    _fields_ = (("slot", ctypes.c_int), ("content", ctypes.c_void_p))


class _Specification(ctypes.Structure):
    """`PyType_Spec`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("item_size", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.c_void_p),
    )


_SIZE_MEMBER, _READ_ONLY = 19, 1
_CALL_SLOT, _MEMBERS_SLOT = 50, 72
_DEFAULT_FLAGS, _VECTORCALL_FLAG = 1 << 18, 1 << 11
_AT_CALL, _AT_DICT, _INSTANCE_SIZE = 16, 24, 32


@functools.cache
def _function_type() -> Any:
    """Return the type of functions in machine code: called directly, and with attributes."""
    api = ctypes.pythonapi
    members = (_Member * 3)(
        _Member(b"__vectorcalloffset__", _SIZE_MEMBER, _AT_CALL, _READ_ONLY, None),
        _Member(b"__dictoffset__", _SIZE_MEMBER, _AT_DICT, _READ_ONLY, None),
        _Member(None, 0, 0, 0, None),
    )
    call = ctypes.cast(api.PyVectorcall_Call, ctypes.c_void_p).value
    slots = (_Slot * 3)(
        _Slot(_CALL_SLOT, call),
        _Slot(_MEMBERS_SLOT, ctypes.addressof(members)),
        _Slot(0, None),
    )
    flags = _DEFAULT_FLAGS | _VECTORCALL_FLAG
    specification = _Specification(
        b"mnn.numpy.ufunc", _INSTANCE_SIZE, 0, flags, ctypes.addressof(slots)
    )
    _kept.extend([members, slots, specification])
    make = api.PyType_FromSpec
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p]
    made = make(ctypes.addressof(specification))
    made.__repr__ = lambda self: f"<ufunc {self.__name__!r}>"
    return made


def function_at(method: Method, address: int) -> Any:
    """Return a function whose code lies at an address, with the attributes of the Python one."""
    allocate = ctypes.pythonapi.PyType_GenericAlloc
    allocate.restype = ctypes.py_object
    allocate.argtypes = [ctypes.py_object, ctypes.c_ssize_t]
    made = allocate(_function_type(), 0)
    ctypes.c_int64.from_address(id(made) + _AT_CALL).value = address
    _kept.append(made)
    for name, value in vars(method.general).items():
        setattr(made, name, value)
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(made, name, getattr(method.general, name))
    made.__wrapped__ = method.general
    made.__signature__ = inspect.signature(method.general)
    made.__reduce_ex__ = lambda protocol: method.name
    return made
