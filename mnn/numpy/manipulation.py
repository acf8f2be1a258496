"""Shapes, orders, joining and splitting with NumPy's arguments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once
from mnn.numpy.reductions import stored
from mnn.numpy.sizes import at_least_zero, known_shape, sizes_of, steps
from mnn.numpy.small import left_to_numpy
from mnn.ops import joining as _joining
from mnn.ops import movement as _movement
from mnn.ops import repeat as _repeat
from mnn.ops import reversal as _reversal
from mnn.ops import slicing as _slicing
from mnn.ops import transpose as _transpose
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.broadcast import broadcast_like, reshape_like
from mnn.ops.convert import cast as _cast
from mnn.ops.create import zeros_like
from mnn.ops.index import gather
from mnn.ops.operands import as_var, as_vars

__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_to",
    "column_stack",
    "concatenate",
    "dsplit",
    "dstack",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "hstack",
    "moveaxis",
    "ndim",
    "ravel",
    "repeat",
    "reshape",
    "roll",
    "rot90",
    "shape",
    "size",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
    "vsplit",
    "vstack",
]


def shape(a: Any) -> tuple[int, ...]:
    """Return the sizes as a tuple."""
    return tuple(as_var(a, "shape").shape)


def size(a: Any, axis: Any = None) -> int:
    """Return the number of elements, the size of an axis, or the product of those of several."""
    var = as_var(a, "size")
    if axis is None:
        return var.size
    places = normalize_axes("size", integers_of("size", axis), var.ndim)
    return math.prod(int(var.shape[place]) for place in places)


def ndim(a: Any) -> int:
    """Return the number of dimensions."""
    return as_var(a, "ndim").ndim


def reshape(a: Any, /, shape: Any, order: str = "C", *, copy: bool | None = None) -> Var:
    """Return the elements in another shape; one size may be -1.

    Args:
        a: array.    shape: int or ints.
        order: "C"; "F" for column-major reading and writing; "A": "F" if they lie so in memory.
        copy: True: on memory of its own. None: on that of `a` where that is possible. False: on
            that of `a`, or fail.

    Raises:
        ShapeError: the element counts differ, or `copy=False` and a copy is needed.
    """
    if order == "A":
        order = "F" if _is_fortran(as_var(a, "reshape")) else "C"
    found = _reshaped(a, shape, order)
    if copy is None or not isinstance(a, Var):
        return found
    if not at_once(a):
        return found
    shares = _np.may_share_memory(a._array(), found._array())
    if copy:
        return Var(found._array().copy(), found.data_format) if shares else found
    if not shares and found.size:
        raise ShapeError(f"reshape: shape {list(found.shape)} needs a copy. Pass copy=None.")
    return found


def _is_fortran(var: Var) -> bool:
    return at_once(var) and bool(_np.isfortran(var._array()))


def _reshaped(a: Any, shape: Any, order: str) -> Var:
    sizes = integers_of("reshape", shape, "shape")
    if 0 in sizes and -1 in sizes:
        raise ShapeError(f"reshape: {list(sizes)} leaves -1 undecided: any size has 0 elements.")
    if order == "F":
        var = as_var(a, "reshape")
        return _transpose.transpose(
            _movement.reshape(_transpose.transpose(var), tuple(reversed(sizes)), copy_zero=False)
        )
    if order != "C":
        raise ShapeError(f"reshape: order is {order!r}, expected 'C', 'F' or 'A'.")
    return _movement.reshape(a, sizes, copy_zero=False)


@left_to_numpy(_np.ravel)
def ravel(a: Any, order: str = "C") -> Var:
    """Return the elements as one dimension, in an order as for `reshape`, or as in memory: "K"."""
    if order == "K":
        var = as_var(a, "ravel")
        if at_once(var) and not var._array().flags.c_contiguous:
            return Var(var._array().ravel("K"), var.data_format)
        order = "C"
    return reshape(a, (-1,), order)


def transpose(a: Any, axes: Any = None) -> Var:
    """Return the array with its dimensions reversed, or in the order `axes`."""
    return _transpose.transpose(a, axes)


@left_to_numpy(_np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Var:
    """Return the array with two dimensions exchanged."""
    return _transpose.swapaxes(a, axis1, axis2)


@left_to_numpy(_np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Var:
    """Return the array with dimensions moved to new positions."""
    return _transpose.moveaxis(a, source, destination)


@left_to_numpy(_np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Var:
    """Return the array with dimensions of size 1 inserted at `axis`."""
    return _movement.unsqueeze(a, axis)


@left_to_numpy(_np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Var:
    """Return the array without dimensions of size 1: all, or those in `axis`."""
    if axis is not None:
        places = integers_of("squeeze", axis)
        if not places or (places in ((0,), (-1,)) and not as_var(a, "squeeze").ndim):
            return as_var(a, "squeeze")
    return _movement.squeeze(a, axis)


@left_to_numpy(_np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Var:
    """Return the array broadcast to `shape`."""
    return _repeat.broadcast_to(array, shape)


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Var, ...]:
    """Return the arrays broadcast to their common shape."""
    operands = [as_var(each, "broadcast_arrays") for each in args]
    if any(-1 in each.shape for each in operands):
        pattern = _cast(zeros_like(operands[0]), _np.int8)
        for each in operands[1:]:
            pattern = pattern + _cast(zeros_like(each), _np.int8)
        return tuple(broadcast_like(each, pattern) for each in operands)
    try:
        common = _np.broadcast_shapes(*(tuple(each.shape) for each in operands))
    except ValueError as error:
        raise ShapeError(f"broadcast_arrays: {error}") from error
    return tuple(_repeat.broadcast_to(each, common) for each in operands)


def _cast_all(name: str, operands: list[Var], dtype: Any, casting: str) -> list[Var]:
    """Return arrays in one element type, None: the one they promote to."""
    if dtype is None:
        return operands
    wanted = as_dtype(dtype)
    for each in operands:
        if not _np.can_cast(each.dtype, wanted, casting=casting):  # type: ignore[arg-type]
            raise DTypeError(
                f"{name}: {each.dtype} does not become {wanted} with casting={casting!r}. "
                "Use casting='unsafe' or astype."
            )
    return [_cast(each, wanted) for each in operands]


def concatenate(
    arrays: Sequence[Any],
    /,
    axis: int | None = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Var:
    """Return arrays joined along `axis`; flattened first if it is None.

    Args:
        arrays: arrays of equal sizes but for `axis`.
        axis: which axis.
        out: Var to write the result to.
        dtype: element type of the result.
        casting: which conversions to it are allowed, as in NumPy.
    """
    operands = as_vars(arrays, "concatenate")
    if axis is not None and not all(each.ndim for each in operands):
        raise ShapeError("concatenate: found an array without dimensions. Use stack, or axis=None.")
    operands = _cast_all("concatenate", operands, dtype, casting)
    if axis is None:
        operands, axis = [_movement.ravel(each) for each in operands], 0
    return stored(_joining.concat(operands, axis), out)


@left_to_numpy(_np.stack)
def stack(
    arrays: Sequence[Any],
    axis: int = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Var:
    """Return arrays joined along a new axis; see `concatenate` for the other arguments."""
    operands = as_vars(arrays, "stack")
    return stored(_joining.stack(_cast_all("stack", operands, dtype, casting), axis), out)


@left_to_numpy(_np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """Return the arrays with at least one dimension."""
    return _each([_at_least(as_var(each, "atleast_1d"), 1) for each in arys])


@left_to_numpy(_np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """Return the arrays with at least two dimensions, new ones in front."""
    return _each([_at_least(as_var(each, "atleast_2d"), 2) for each in arys])


@left_to_numpy(_np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """Return the arrays with at least three dimensions: (1, n, 1) and (m, n, 1)."""
    found = []
    for each in arys:
        var = _at_least(as_var(each, "atleast_3d"), 1)
        if var.ndim == 1:
            var = _movement.unsqueeze(var, (0, 2))
        elif var.ndim == 2:
            var = _movement.unsqueeze(var, (2,))
        found.append(var)
    return _each(found)


def _each(found: list[Var]) -> Any:
    return found[0] if len(found) == 1 else tuple(found)


def _at_least(var: Var, count: int) -> Var:
    missing = count - var.ndim
    return _movement.unsqueeze(var, tuple(range(missing))) if missing > 0 else var


@left_to_numpy(_np.vstack)
def vstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Var:
    """Return arrays stacked row by row."""
    rows = [_at_least(each, 2) for each in as_vars(tup, "vstack")]
    return concatenate(rows, 0, dtype=dtype, casting=casting)


@left_to_numpy(_np.hstack)
def hstack(tup: Sequence[Any], *, dtype: Any = None, casting: str = "same_kind") -> Var:
    """Return arrays stacked column by column."""
    parts = [_at_least(each, 1) for each in as_vars(tup, "hstack")]
    axis = 0 if parts and parts[0].ndim == 1 else 1
    return concatenate(parts, axis, dtype=dtype, casting=casting)


@left_to_numpy(_np.dstack)
def dstack(tup: Sequence[Any]) -> Var:
    """Return arrays stacked along the third axis."""
    return _joining.concat([atleast_3d(each) for each in tup], 2)


@left_to_numpy(_np.column_stack)
def column_stack(tup: Sequence[Any]) -> Var:
    """Return 1-D arrays as columns of a matrix."""
    operands = as_vars(tup, "column_stack")
    columns = [
        each if each.ndim > 1 else _movement.unsqueeze(_at_least(each, 1), (1,))
        for each in operands
    ]
    return _joining.concat(columns, 1)


def append(arr: Any, values: Any, axis: int | None = None) -> Var:
    """Return `values` joined to the end of `arr`."""
    return concatenate([arr, values], axis)


@left_to_numpy(_np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Var]:
    """Return parts along `axis`: equal ones, or cut at the given places.

    Raises:
        ShapeError: the axis has no such equal parts.
    """
    if isinstance(indices_or_sections, (int, _np.integer)):
        return _slicing.split(ary, int(indices_or_sections), axis)
    return array_split(ary, indices_or_sections, axis)


@left_to_numpy(_np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Var]:
    """Return parts along `axis`; equal parts may differ by one element."""
    var = as_var(ary, "array_split")
    place = normalize_axis("array_split", axis, var.ndim)
    if isinstance(indices_or_sections, (int, _np.integer)):
        count = int(indices_or_sections)
        if count < 1:
            raise ShapeError(f"array_split: found {count} parts, expected at least 1.")
        each, extra = divmod(known_shape("array_split", var)[place], count)
        sizes = [each + 1] * extra + [each] * (count - extra)
        return _slicing.split(var, sizes, place)
    cuts = [0, *integers_of("split", indices_or_sections, "indices"), None]
    parts = []
    for low, high in itertools.pairwise(cuts):
        index: list[Any] = [slice(None)] * var.ndim
        index[place] = slice(low, high)
        parts.append(var[tuple(index)])
    return parts


@left_to_numpy(_np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Var]:
    """Return parts along the second axis (the first of a vector)."""
    var = _of_rank("hsplit", ary, 1)
    return split(var, indices_or_sections, 0 if var.ndim == 1 else 1)


@left_to_numpy(_np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Var]:
    """Return parts along the first axis of an array with at least two."""
    return split(_of_rank("vsplit", ary, 2), indices_or_sections, 0)


@left_to_numpy(_np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> list[Var]:
    """Return parts along the third axis of an array with at least three."""
    return split(_of_rank("dsplit", ary, 3), indices_or_sections, 2)


def _of_rank(name: str, ary: Any, least: int) -> Var:
    var = as_var(ary, name)
    if var.ndim < least:
        raise ShapeError(f"{name}: found shape {var.shape}, expected at least {least} dimensions.")
    return var


@left_to_numpy(_np.tile)
def tile(A: Any, reps: Any) -> Var:
    """Return the array repeated `reps[i]` times along dimension i."""
    var = as_var(A, "tile")
    counts = list(integers_of("tile", reps, "reps"))
    counts = [1] * (var.ndim - len(counts)) + counts
    return _repeat.tile(_at_least(var, len(counts)), counts)


@left_to_numpy(_np.repeat, large=True)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Var:
    """Return each element repeated, along `axis` or in the flat array.

    Args:
        a: array.    repeats: one count, or one per element of the axis.
    """
    var = as_var(a, "repeat")
    if axis is None:
        var, axis = _movement.ravel(var), 0
    place = normalize_axis("repeat", axis, var.ndim)
    counts = integers_of("repeat", repeats, "repeats")
    if any(each < 0 for each in counts) or (
        len(counts) != 1 and var.shape[place] not in (-1, len(counts))
    ):
        raise ShapeError(
            f"repeat: found counts {list(counts)} for an axis of {var.shape[place]}. Expected one "
            "count >= 0, or one per element."
        )
    if len(counts) == 1:
        total = sizes_of(var)[place] * counts[0]
        index = steps(total) // max(counts[0], 1)
    else:
        index = Var(_np.repeat(_np.arange(len(counts)), counts).astype(_np.int32))
    return gather(var, index, place)


@left_to_numpy(_np.flip, large=True)
def flip(m: Any, axis: Any = None) -> Var:
    """Return the array with elements along `axis` (None: all axes) in reverse order."""
    var = as_var(m, "flip")
    return _reversal.reverse(var, range(var.ndim) if axis is None else axis)


@left_to_numpy(_np.flipud, large=True)
def flipud(m: Any) -> Var:
    """Return the array with its rows in reverse order."""
    return flip(m, 0)


@left_to_numpy(_np.fliplr, large=True)
def fliplr(m: Any) -> Var:
    """Return the array with its columns in reverse order."""
    return flip(m, 1)


@left_to_numpy(_np.roll, large=True)
def roll(a: Any, shift: Any, axis: Any = None) -> Var:
    """Return the array with elements moved on by `shift`, the last ones to the front."""
    var = as_var(a, "roll")
    if axis is None:
        flat = roll(_movement.ravel(var), shift, 0)
        restored: Var = reshape_like(flat, var)
        return restored
    shifts, axes = integers_of("roll", shift, "shift"), integers_of("roll", axis)
    try:
        pairs = _np.broadcast(_np.asarray(shifts), _np.asarray(axes))
    except ValueError as error:
        raise ShapeError(f"roll: {len(shifts)} shifts for {len(axes)} axes.") from error
    for count, each in pairs:
        place = normalize_axis("roll", each, var.ndim)
        length = sizes_of(var)[place]
        # An empty axis has nothing to move, and no remainder.
        order = (steps(length) - int(count)) % (at_least_zero(length - 1) + 1)
        var = gather(var, order, place)
    return var


@left_to_numpy(_np.rot90, large=True)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Var:
    """Return the array turned by 90 degrees k times, from the first towards the second axis."""
    var = as_var(m, "rot90")
    first, second = normalize_axes("rot90", axes, var.ndim)
    turns = k % 4
    if turns == 0:
        return var
    if turns == 2:
        return flip(var, (first, second))
    if turns == 1:
        return _transpose.swapaxes(flip(var, second), first, second)
    return flip(_transpose.swapaxes(var, first, second), second)
