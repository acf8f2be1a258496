"""Indices of elements, and elements written along axes."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.var import Var
from mnn.numpy.hosting import computed, plain
from mnn.ops.axes import normalize_axis
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import array_of, as_var
from mnn.ops.repeat import broadcast_to

__all__ = [
    "ix_",
    "packbits",
    "put_along_axis",
    "ravel_multi_index",
    "unpackbits",
    "unravel_index",
]


def ix_(*args: Any) -> tuple[Var, ...]:
    """Return vectors shaped so that `a[ix_(rows, columns)]` is a grid of elements.

    Args:
        args: vectors of indices, or of bools.

    Raises:
        ShapeError: not a vector.
    """
    vectors = [array_of(each, "ix_") for each in args]
    found: tuple[Var, ...] = computed(_np.ix_, *vectors)
    return found


def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """Return the flat indices of the elements at `multi_index` of an array of shape `dims`.

    Args:
        multi_index: one array of indices for each dimension.    dims: shape.
        mode: "raise", "wrap" or "clip" what is out of range; or one of them for each dimension.
        order: "C" or "F": count row by row or column by column.

    Raises:
        ValueError: out of range, or not one array for each dimension.
    """
    indices = multi_index if isinstance(multi_index, tuple) else tuple(array_of(multi_index))
    return computed(
        _np.ravel_multi_index, tuple(plain(each) for each in indices), dims, mode, order
    )


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Var, ...]:
    """Return the indices, one array for each dimension, of flat indices.

    Args:
        indices: flat indices.    shape: of the array.
        order: "C" or "F": count row by row or column by column.

    Raises:
        ValueError: out of range.
    """
    found: tuple[Var, ...] = computed(_np.unravel_index, indices, shape, order)
    return found


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None = -1) -> None:
    """Write values to a Var in place, where `take_along_axis` would take them from.

    Args:
        arr: Var.
        indices: of the dimensions of arr, which broadcast to it but along `axis`.
        values: what broadcasts to the indices.
        axis: along which axis; None: indices are flat.

    Raises:
        IndexError: the indices are no integers, or out of range.    ValueError: shapes.
    """
    if not isinstance(arr, Var):
        raise DTypeError(f"put_along_axis: found {type(arr).__name__}, expected a Var.")
    places = array_of(indices, "put_along_axis")
    if places.dtype.kind not in "iu":
        raise IndexRangeError(f"put_along_axis: indices are {places.dtype}, expected integers.")
    if axis is None:
        if places.ndim != 1:
            raise ShapeError(f"put_along_axis: indices have shape {places.shape}, expected flat.")
        flat = ravel(arr)
        flat[places] = values
        arr[...] = reshape(flat, arr.shape, copy_zero=False)
        return
    if places.ndim != arr.ndim:
        raise ShapeError(
            f"put_along_axis: indices of shape {places.shape} for an array of shape {arr.shape}, "
            "expected as many dimensions."
        )
    place = normalize_axis("put_along_axis", axis, arr.ndim)
    index: list[Any] = [
        _np.arange(size).reshape([-1 if each == other else 1 for other in range(arr.ndim)])
        for each, size in enumerate(arr.shape)
    ]
    index[place] = places
    arr[tuple(index)] = values


def packbits(a: Any, /, axis: int | None = None, bitorder: str = "big") -> Var:
    """Return the bits that elements are (0 or not) as uint8, eight in each along an axis.

    Args:
        a: integers or bools.    axis: None: of the flat array.
        bitorder: "big" or "little": the first bit is the highest or the lowest.
    """
    found: Var = computed(_np.packbits, array_of(a, "packbits"), axis, bitorder)
    return found


def unpackbits(
    a: Any, /, axis: int | None = None, count: int | None = None, bitorder: str = "big"
) -> Var:
    """Return the bits of uint8 numbers along an axis, as uint8; the inverse of `packbits`.

    Args:
        a: uint8.    axis: None: of the flat array.
        count: how many bits to return; None: all; negative: leave out so many.
        bitorder: as in `packbits`.

    Raises:
        TypeError: the numbers are not uint8.
    """
    found: Var = computed(_np.unpackbits, array_of(a, "unpackbits"), axis, count, bitorder)
    return found
