"""Which element type a result has, and in which one it is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import DTypeError

__all__ = ["Array", "DType", "accurate", "float_types"]

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]


def accurate(dtype: DType) -> DType:
    """Return the type in which sums of `dtype` are formed: float32 for float16, else itself."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def float_types(name: str, *arrays: Array | None) -> tuple[DType, DType]:
    """Return (type of the result, type to compute in) of a function of float arrays.

    Args:
        name: the function, for the message.
        arrays: its operands; None stands for one that was not given.

    Raises:
        DTypeError: an operand is not of a real floating-point type.
    """
    given = [array.dtype for array in arrays if array is not None]
    for dtype in given:
        if not np.issubdtype(dtype, np.floating):
            raise DTypeError(
                f"{name}: found an operand of dtype {dtype}, expected a floating-point type. "
                "Convert it with astype(float32) first."
            )
    result = np.result_type(*given)
    return result, accurate(result)
