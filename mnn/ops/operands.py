"""From what users pass to Vars: numbers, nested lists, arrays, foreign arrays."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from mnn.errors import DTypeError, NumberRangeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float, default_int, kind_of, python_scalar_dtype
from mnn.expr.var import Var

__all__ = [
    "UnknownOperandError",
    "array_of",
    "as_var",
    "as_vars",
    "check_range",
    "is_operand",
    "literal",
]

Array = np.ndarray[Any, Any]

# Types that hold more digits than those that Python's numbers become by default.
_WIDE = frozenset((np.dtype(np.float64), np.dtype(np.complex128)))
_UNTYPED = frozenset((list, tuple, float, complex))


class UnknownOperandError(DTypeError):
    """A value that no operation accepts; Python's operators turn it into NotImplemented."""


def is_operand(value: Any) -> bool:
    """Return True for values that `as_var` accepts without looking inside."""
    return isinstance(value, (Var, np.ndarray, np.generic, numbers.Number, list, tuple))


def as_var(value: Any, what: str = "operand") -> Var:
    """Return `value` as a Var; see `array_of` for what is accepted."""
    if type(value) is Var:
        return value
    return Var(array_of(value, what))


def as_vars(values: Any, what: str = "operand") -> list[Var]:
    """Return values that meet in one operation as Vars.

    Python's floats, and lists of them, that meet a double array keep all their digits.
    """
    given = list(values)
    if any(type(each) in _UNTYPED for each in given) and any(
        isinstance(each, (Var, np.ndarray, np.generic)) and each.dtype in _WIDE for each in given
    ):
        given = [_digits(each, what) if type(each) in _UNTYPED else each for each in given]
    return [as_var(each, what) for each in given]


def _digits(value: Any, what: str) -> Any:
    array = array_of(value, what, exact=True)
    return array if array.dtype in _WIDE else value


def array_of(value: Any, what: str = "array", *, exact: bool = False) -> Array:
    """Return the array meant by a number, nested list, array or array-like object.

    Python floats become float32 and ints int32 (int64 when they do not fit); arrays keep their
    dtype. `exact` keeps all digits of Python's numbers, for a caller that knows the final type.

    Raises:
        UnknownOperandError: not array-like, or not made of numbers.    ShapeError: ragged lists.
    """
    if isinstance(value, Var):
        return value._array()
    if isinstance(value, np.ndarray):
        return _checked(value, what)
    if isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic):
        keeps = exact and isinstance(value, (float, complex))
        return np.asarray(value, None if keeps else python_scalar_dtype(value))
    if isinstance(value, np.generic):
        return _checked(np.asarray(value), what)
    if isinstance(value, (list, tuple, range)):
        return _from_sequence(value, what, exact=exact)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _checked(np.asarray(memoryview(value)), what)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return _checked(np.asarray(value), what)
    if hasattr(value, "__dlpack__"):
        return _checked(np.from_dlpack(value), what)
    if isinstance(value, numbers.Number) and hasattr(value, "__float__"):
        return np.asarray(float(value), default_float)
    raise UnknownOperandError(
        f"{what}: found {type(value).__name__}, expected a Var, array, number or nested list of "
        "numbers. Convert it to one of these."
    )


def _checked(array: Array, what: str) -> Array:
    if kind_of(array.dtype) not in "biufc":
        raise UnknownOperandError(
            f"{what}: found elements of type {array.dtype}, expected numbers. Convert them first."
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array.view(np.ndarray) if type(array) is not np.ndarray else array


def _from_sequence(value: Any, what: str, *, exact: bool = False) -> Array:
    if any(isinstance(each, Var) for each in value):
        value = [each._array() if isinstance(each, Var) else each for each in value]
    try:
        array = np.array(value)
    except (ValueError, TypeError) as error:
        raise ShapeError(
            f"{what}: the nested list is not rectangular ({error}). Expected rows of equal length."
        ) from error
    _checked(array, what)
    if exact:
        return array
    if not array.size and array.dtype == np.float64:
        return array.astype(default_float)
    if _holds_python_numbers(value):
        # The defaults are ours; NumPy's would be float64 and int64.
        if array.dtype == np.float64:
            return array.astype(default_float)
        if array.dtype == np.int64 and _fits_default_int(array):
            return array.astype(default_int)
        if array.dtype == np.complex128:
            return array.astype(as_dtype(complex))
    return array


def _fits_default_int(array: Array) -> bool:
    if not array.size:
        return True
    limits = np.iinfo(default_int)
    return bool(limits.min <= int(array.min()) and int(array.max()) <= limits.max)


def _holds_python_numbers(value: Any) -> bool:
    """Return True when no leaf of the nested sequence carries a dtype of its own."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, (list, tuple)):
            stack.extend(each)
        elif isinstance(each, (np.ndarray, np.generic)):
            return False
    return True


def check_range(values: Array, wanted: np.dtype[Any]) -> None:
    """Raise NumberRangeError when Python ints do not fit the integer type asked for."""
    if values.size and values.dtype.kind in "iu" and wanted.kind in "iu":
        for extreme in (values.min(), values.max()):
            literal(int(extreme), wanted)


def literal(value: Any, dtype: np.dtype[Any]) -> Var:
    """Return a 0-d constant for a number written in an expression; its memory is read-only.

    Raises:
        NumberRangeError: an integer that the dtype cannot hold.
    """
    try:
        array = np.asarray(value, dtype)
    except OverflowError as error:
        limits = np.iinfo(dtype)
        raise NumberRangeError(
            f"the number {value} does not fit an array of {dtype}, which holds {limits.min} to "
            f"{limits.max}. Convert the array with astype."
        ) from error
    array.flags.writeable = False
    return Var(array)
