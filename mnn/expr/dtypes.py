"""Element types: NumPy's own, the reference package's names for them, and the promotion rules.

Rules (DESIGN section 3), in this order:

1. Data made from Python numbers: float -> float32, int -> int32 (int64 when a value does not fit),
   bool -> bool, complex -> complex64. Arrays keep their dtype.
2. Arrays among themselves promote as in NumPy 2.
3. Python scalars are weak: they take the dtype of the array they meet. A float that meets an
   integer or bool array makes float32, an int that meets a bool array makes int32, because those
   are the defaults of rule 1. An int too large for an integer array is an error, but for the float
   functions of rule 4, which compute with both as float32.
4. Where NumPy would invent a float type for integer data (`exp`, true division, `mean`), the result
   is float32, again the default.
5. bfloat16 is the type of `ml_dtypes`, where that is installed. It promotes as there; with a type
   that it has no common one with there, as float32 does. `mnn.ops.bfloat16` says how it computes.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from mnn.errors import DTypeError

__all__ = [
    "as_dtype",
    "bfloat16_type",
    "common_dtype",
    "default_float",
    "default_int",
    "dtype",
    "float_result",
    "is_bfloat16",
    "is_half",
    "kind_of",
    "python_scalar_dtype",
    "weak_result",
]

default_float: np.dtype[Any] = np.dtype(np.float32)
default_int: np.dtype[Any] = np.dtype(np.int32)
_BOOL: np.dtype[Any] = np.dtype(np.bool_)
_COMPLEX64: np.dtype[Any] = np.dtype(np.complex64)
_INT64: np.dtype[Any] = np.dtype(np.int64)
_UINT64: np.dtype[Any] = np.dtype(np.uint64)
_FOREIGN = 256  # numbers from here on are those of types that other packages give to NumPy

_NUMPY_OF = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 4: np.uint8, 6: np.int8}


class dtype(enum.Enum):  # noqa: N801 - the reference package's name
    """The reference package's element type names; each equals the NumPy dtype it stands for."""

    float = 1
    double = 2
    int = 3
    uint8 = 4
    int8 = 6
    int64 = 9

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype; its presence makes members acceptable wherever NumPy wants a dtype."""
        return np.dtype(_NUMPY_OF[self.value])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, dtype):
            return self is other
        if isinstance(other, np.dtype):
            return bool(self.dtype == other)
        if isinstance(other, type) and issubclass(other, np.generic):
            return self.dtype.type is other
        return NotImplemented

    def __hash__(self) -> Any:
        return hash(self.dtype)


def as_dtype(value: Any, *, what: str = "dtype") -> np.dtype[Any]:
    """Return the NumPy dtype meant by `value`.

    Accepts members of `expr.dtype`, NumPy dtypes and scalar types, strings, and the Python types
    `bool`, `int`, `float`, `complex`, which mean our defaults.

    Raises:
        DTypeError: `value` names no type, or a type that is no number (object, string, date).
    """
    if isinstance(value, np.dtype):
        result: np.dtype[Any] = value
    elif isinstance(value, dtype):
        return value.dtype
    elif value is float:
        return default_float
    elif value is int:
        return default_int
    elif value is complex:
        return _COMPLEX64
    else:
        if isinstance(value, str) and value == "bfloat16":
            value = bfloat16_type(what)
        try:
            result = np.dtype(value)
        except TypeError as error:
            raise DTypeError(
                f"{what}: {value!r} is no element type. Expected a dtype such as numpy.float32, a "
                "string such as 'float32', or a member of expr.dtype. Check the argument order."
            ) from error
    if value is None or kind_of(result) not in "biufc":
        raise DTypeError(
            f"{what}: found {value!r}, expected a number or bool type. Convert the data to numbers."
        )
    return result if result.isnative else result.newbyteorder("=")


def bfloat16_type(what: str = "dtype") -> type[Any]:
    """Return the scalar type bfloat16, loading the package that has it.

    Raises:
        DTypeError: `ml_dtypes` is not installed.
    """
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise DTypeError(
            f"{what}: bfloat16 is an element type only where ml_dtypes is installed, as NumPy has "
            "none of its own. Install the extra: pip install 'mnn-jit[bfloat16]'."
        ) from error
    found: type[Any] = bfloat16
    return found


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Return True for the dtype bfloat16 of `ml_dtypes`."""
    return dtype.kind == "V" and dtype.type.__name__ == "bfloat16"


def is_half(dtype: np.dtype[Any]) -> bool:
    """Return True for the floats of 16 bits, whose sums are made in float32."""
    return dtype == np.float16 or is_bfloat16(dtype)


def kind_of(dtype: np.dtype[Any]) -> str:
    """Return NumPy's kind of a dtype, but "f" for bfloat16, and "V" for other packages' types."""
    if dtype.num < _FOREIGN:
        return dtype.kind
    return "f" if is_bfloat16(dtype) else "V"


def common_dtype(*dtypes: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to which `dtypes` promote (rules 2 and 5).

    Raises:
        TypeError: they have none in common.
    """
    try:
        return np.result_type(*dtypes)
    except TypeError:
        if not any(is_bfloat16(each) for each in dtypes):
            raise
        return np.result_type(*(default_float if is_bfloat16(each) else each for each in dtypes))


def python_scalar_dtype(value: bool | int | float | complex) -> np.dtype[Any]:
    """Return the dtype of an array made from one Python number (rule 1)."""
    if isinstance(value, bool):
        return _BOOL
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return default_int
        if -(2**63) <= value < 2**63:
            return _INT64
        if 0 <= value < 2**64:
            return _UINT64
        raise DTypeError(
            f"integer {value} does not fit 64 bits. Expected a value in [-2**63, 2**64). "
            "Use a float if an approximation is enough."
        )
    return default_float if isinstance(value, float) else _COMPLEX64


def weak_result(array_dtype: np.dtype[Any], scalar: bool | int | float | complex) -> np.dtype[Any]:
    """Return the dtype of `array op scalar` for a Python scalar (rule 3)."""
    kind = array_dtype.kind
    if isinstance(scalar, bool):
        return array_dtype
    if isinstance(scalar, int):
        return python_scalar_dtype(scalar) if kind == "b" else array_dtype
    if isinstance(scalar, float):
        return default_float if kind in "biu" else array_dtype
    if kind == "c":
        return array_dtype
    return np.dtype(np.complex128) if array_dtype == np.float64 else _COMPLEX64


def float_result(result: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which a float function computes data of dtype `result` (rule 4)."""
    return default_float if result.kind in "biu" else result
