"""Checks of data written into a Var."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.symbols import Symbol, shape_numbers
from mnn.expr.types import TensorType

__all__ = ["matching_array", "written_shape"]

Array = np.ndarray[Any, Any]


def _as_array(data: Any) -> Array:
    try:
        array = np.asarray(data)
    except (ValueError, TypeError) as error:
        raise ShapeError(
            f"write: the data is not rectangular ({error}). Expected rows of equal length."
        ) from error
    if kind_of(array.dtype) not in "biufc":
        raise DTypeError(
            f"write: found elements of type {array.dtype}, expected numbers. Convert them first."
        )
    return array


def matching_array(data: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a fresh array of `shape` and `dtype` holding `data`.

    Raises:
        ShapeError: the number of elements differs.    DTypeError: the elements do not fit `dtype`.
    """
    array = _as_array(data)
    if array.size != math.prod(shape):
        raise ShapeError(
            f"write: found {array.size} elements (shape {array.shape}), expected "
            f"{math.prod(shape)} for shape {shape}. Reshape the data or call resize() first."
        )
    if array.size and not np.can_cast(array.dtype, dtype, "same_kind"):
        is_small_int = array.dtype.kind in "iu" and dtype.kind in "iu"
        if not (is_small_int and _fits(array, dtype)):
            raise DTypeError(
                f"write: found {array.dtype.name} data, expected something that fits {dtype.name}. "
                "Convert it with astype first if that loss is meant."
            )
    return array.reshape(shape).astype(dtype)


def _fits(array: Array, dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)


def written_shape(data: Any, type: TensorType) -> tuple[int, ...]:
    """Return the concrete shape that writing `data` gives to an input of `type`.

    Raises:
        ShapeError: the data's shape contradicts the known sizes, or leaves one undetermined.
    """
    if type.shape is not None and type.is_static:
        return tuple(dim for dim in type.shape if not isinstance(dim, Symbol))
    found: tuple[int, ...] = _as_array(data).shape
    if type.shape is None:
        return found
    wanted = shape_numbers(type.shape)
    if len(found) == len(wanted) and all(
        size in (-1, got) for size, got in zip(wanted, found, strict=True)
    ):
        return found
    known = math.prod(size for size in wanted if size >= 0)
    count = math.prod(found)
    if wanted.count(-1) == 1 and known and count % known == 0:
        return tuple(count // known if size < 0 else size for size in wanted)
    raise ShapeError(
        f"write: found data of shape {found}, expected {wanted} where -1 is any size. "
        "Call resize() with the full shape, or write an array of that rank."
    )
