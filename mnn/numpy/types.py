"""NumPy's element types and the questions about them, with the defaults of `mnn.expr.dtypes`."""

from __future__ import annotations

from math import e, inf, nan, pi
from typing import Any

import numpy as _np
from numpy import (
    ScalarType,
    bool_,
    byte,
    cdouble,
    clongdouble,
    complex64,
    complex128,
    complexfloating,
    csingle,
    double,
    dtype,
    errstate,
    euler_gamma,
    float16,
    float32,
    float64,
    floating,
    generic,
    geterr,
    geterrcall,
    half,
    inexact,
    int8,
    int16,
    int32,
    int64,
    int_,
    intc,
    integer,
    intp,
    little_endian,
    longdouble,
    longlong,
    mintypecode,
    newaxis,
    number,
    seterr,
    seterrcall,
    short,
    signedinteger,
    single,
    typecodes,
    typename,
    ubyte,
    uint,
    uint8,
    uint16,
    uint32,
    uint64,
    uintc,
    uintp,
    ulonglong,
    unsignedinteger,
    ushort,
)

from mnn.errors import DTypeError
from mnn.expr.dtypes import (
    as_dtype,
    common_dtype,
    default_float,
    is_bfloat16,
    python_scalar_dtype,
    weak_result,
)
from mnn.expr.dtypes import dtype as _member
from mnn.expr.var import Var
from mnn.numpy.hosting import computed
from mnn.numpy.hosting import floating as floating_array
from mnn.ops.operands import array_of

bool = _np.bool_
long = _np.dtype("l").type
ulong = _np.dtype("L").type
False_ = _np.False_
True_ = _np.True_

__all__ = [
    "False_",
    "ScalarType",
    "True_",
    "bool",
    "bool_",
    "byte",
    "can_cast",
    "cdouble",
    "clongdouble",
    "common_type",
    "complex64",
    "complex128",
    "complexfloating",
    "csingle",
    "double",
    "dtype",
    "e",
    "errstate",
    "euler_gamma",
    "finfo",
    "float16",
    "float32",
    "float64",
    "floating",
    "generic",
    "geterr",
    "geterrcall",
    "half",
    "iinfo",
    "inexact",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "intc",
    "integer",
    "intp",
    "iscomplexobj",
    "isdtype",
    "isfortran",
    "isrealobj",
    "isscalar",
    "issubdtype",
    "iterable",
    "little_endian",
    "long",
    "longdouble",
    "longlong",
    "may_share_memory",
    "min_scalar_type",
    "mintypecode",
    "nan",
    "newaxis",
    "number",
    "pi",
    "promote_types",
    "result_type",
    "seterr",
    "seterrcall",
    "shares_memory",
    "short",
    "signedinteger",
    "single",
    "typecodes",
    "typename",
    "ubyte",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uintc",
    "uintp",
    "ulong",
    "ulonglong",
    "unsignedinteger",
    "ushort",
]


def _type_of(value: Any) -> Any:
    """Return a dtype for a Var or anything that names a type; Python's types mean our defaults."""
    if isinstance(value, Var):
        return value.dtype
    return as_dtype(value)


def can_cast(from_: Any, to: Any, casting: str = "safe") -> _np.bool_ | Any:
    """Return True if data of a type may become another under a casting rule.

    Args:
        from_: type or array.    to: type.
        casting: "no", "equiv", "safe", "same_kind" or "unsafe".

    Raises:
        TypeError: `from_` is a Python number, or one of them is no type.
    """
    if isinstance(from_, (int, float, complex)) and not isinstance(from_, _np.generic):
        raise DTypeError(
            f"can_cast: found the Python number {from_!r}, expected a type or an array. "
            "Use min_scalar_type(number), or numpy.asarray."
        )
    origin = from_.dtype if isinstance(from_, (_np.ndarray, _np.generic)) else _type_of(from_)
    return _np.can_cast(origin, _type_of(to), casting)  # type: ignore[arg-type]


def promote_types(type1: Any, type2: Any) -> _np.dtype[Any]:
    """Return the smallest type to which both can be cast safely."""
    return common_dtype(_type_of(type1), _type_of(type2))


def result_type(*arrays_and_dtypes: Any) -> _np.dtype[Any]:
    """Return the type in which arrays, types and Python numbers meet.

    Raises:
        ValueError: no arguments.    TypeError: the types have nothing in common.
    """
    if not arrays_and_dtypes:
        raise ValueError("result_type: found no arguments, expected at least one.")
    numbers: list[Any] = []
    strong: list[Any] = []
    for each in arrays_and_dtypes:
        if isinstance(each, (int, float, complex)) and not isinstance(each, (_np.generic, _member)):
            numbers.append(each)
        elif isinstance(each, (_np.ndarray, _np.generic)):
            strong.append(each.dtype)
        elif isinstance(each, (list, tuple)):
            strong.append(array_of(each, "result_type").dtype)
        else:
            strong.append(_type_of(each))
    found = common_dtype(*strong) if strong else python_scalar_dtype(numbers[0])
    for each in numbers:
        found = weak_result(found, each)
    return found


def min_scalar_type(a: Any) -> _np.dtype[Any]:
    """Return the smallest type that holds the number `a`; the type of an array is its own."""
    return _np.min_scalar_type(a._array() if isinstance(a, Var) else a)


def common_type(*arrays: Any) -> type[Any]:
    """Return a float type that all arrays fit; float32 for integers, the default.

    Raises:
        TypeError: an array is not of numbers.
    """
    kinds = [array_of(each, "common_type") for each in arrays]
    if any(each.dtype.kind == "b" for each in kinds):
        raise DTypeError("common_type: found bools, expected numbers. Use astype first.")
    floats = (floating_array(each, "common_type") for each in kinds)
    found: type[Any] = _np.common_type(*floats)
    return found


def issubdtype(arg1: Any, arg2: Any) -> Any:
    """Return True if the first type is the second, or one of its kind in NumPy's hierarchy."""
    if isinstance(arg1, _member):
        arg1 = arg1.dtype
    return _np.issubdtype(arg1, arg2.dtype if isinstance(arg2, _member) else arg2)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Return True if a dtype is, or is of, the kind given.

    Args:
        dtype: dtype.
        kind: dtype; "bool", "signed integer", "unsigned integer", "integral", "real floating",
            "complex floating" or "numeric"; or a tuple of those.

    Raises:
        TypeError: not a dtype.    ValueError: an unknown kind.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    kinds = tuple(each.dtype if isinstance(each, _member) else each for each in kinds)
    given = dtype.dtype if isinstance(dtype, _member) else dtype
    if not any(_means_bfloat16(each) for each in (given, *kinds)):
        return _np.isdtype(given, kinds)
    if not _means_bfloat16(given):
        kinds = tuple(each for each in kinds if not _means_bfloat16(each))
        return _np.isdtype(given, kinds)
    named = tuple(each for each in kinds if isinstance(each, str))
    return any(_means_bfloat16(each) for each in kinds) or _np.isdtype(default_float, named)


def _means_bfloat16(value: Any) -> Any:
    """Return True for the type that NumPy's own questions take for no number."""
    found = isinstance(value, _np.dtype) or (isinstance(value, type) and issubclass(value, generic))
    return found and is_bfloat16(_np.dtype(value))


def finfo(dtype: Any) -> Any:
    """Return the limits of a float type, or of the type of an array."""
    limited = _limited(dtype)
    if is_bfloat16(limited):
        from ml_dtypes import finfo as limits_of

        of_bfloat16: Any = limits_of
        return of_bfloat16(limited)
    return _np.finfo(limited)


def iinfo(int_type: Any) -> Any:
    """Return the limits of an integer type, or of the type of an array."""
    return _np.iinfo(_limited(int_type))


def _limited(value: Any) -> _np.dtype[Any]:
    """Return the type meant by a type, or that of an array; classes have a `dtype` of their own."""
    if not isinstance(value, type) and hasattr(value, "dtype"):
        found: _np.dtype[Any] = value.dtype
        return found
    return as_dtype(value)


def iscomplexobj(x: Any) -> Any:
    """Return True if the elements are of a complex type, whatever their values."""
    return x.dtype.kind == "c" if isinstance(x, Var) else _np.iscomplexobj(x)


def isrealobj(x: Any) -> Any:
    """Return True if the elements are not of a complex type."""
    return not iscomplexobj(x)


def isscalar(element: Any) -> Any:
    """Return True for numbers; False for arrays, 0-d ones among them."""
    return not isinstance(element, Var) and _np.isscalar(element)


def iterable(y: Any) -> Any:
    """Return True if `iter(y)` works."""
    return y.ndim > 0 if isinstance(y, Var) else _np.iterable(y)


def isfortran(a: Any) -> Any:
    """Return True if elements lie in memory column by column; recorded results never do."""
    if isinstance(a, Var):
        return a._ref is None and _np.isfortran(a._array())
    return _np.isfortran(array_of(a, "isfortran"))


def shares_memory(a: Any, b: Any, /, max_work: int = -1) -> Any:
    """Return True if arrays have an element's memory in common; see NumPy for `max_work`."""
    return computed(_np.shares_memory, a, b, max_work)


def may_share_memory(a: Any, b: Any, /, max_work: int = 0) -> Any:
    """Return True if the ranges of memory of arrays meet."""
    return computed(_np.may_share_memory, a, b, max_work)
