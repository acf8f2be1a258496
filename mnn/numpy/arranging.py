"""Parts of arrays put in, taken out and put together in other ways."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import kind_of
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed, plain
from mnn.numpy.manipulation import atleast_2d, concatenate, tile, transpose, vstack
from mnn.numpy.sizes import known_shape
from mnn.numpy.small import left_to_numpy
from mnn.ops.axes import normalize_axis
from mnn.ops.convert import cast
from mnn.ops.index import gather
from mnn.ops.movement import expand_dims, ravel, reshape
from mnn.ops.operands import array_of, as_var
from mnn.ops.repeat import broadcast_to
from mnn.ops.transpose import moveaxis

__all__ = [
    "block",
    "broadcast_shapes",
    "concat",
    "delete",
    "insert",
    "permute_dims",
    "repmat",
    "rollaxis",
    "row_stack",
    "unstack",
]

concat = concatenate
permute_dims = transpose
row_stack = vstack


def _along(name: str, arr: Any, axis: int | None) -> tuple[Var, int]:
    """Return the array and an axis of it; flat for axis None."""
    var = as_var(arr, name)
    if axis is None:
        return (var if var.ndim == 1 else ravel(var)), 0
    return var, normalize_axis(name, axis, var.ndim)


def delete(arr: Any, obj: Any, axis: int | None = None) -> Var:
    """Return the array without the elements at `obj` along `axis` (None: of the flat array).

    Args:
        arr: array.    obj: int, slice, ints or bools.    axis: along which axis.

    Raises:
        IndexError: out of range.    ValueError: bools of another length.
    """
    var, place = _along("delete", arr, axis)
    chosen = _indices(obj)
    if at_once(var):
        found: Var = computed(_np.delete, var, chosen, place)
        return found
    kept = _np.delete(_np.arange(known_shape("delete", var)[place], dtype=_np.int32), chosen)
    return gather(var, kept, place)


def _indices(obj: Any) -> Any:
    if isinstance(obj, (list, tuple)) and obj and isinstance(obj[0], (bool, _np.bool_)):
        return _np.asarray(obj)
    return obj if isinstance(obj, (slice, int, list)) else plain(obj)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Var:
    """Return the array with values put in before the elements at `obj`.

    Args:
        arr: array.
        obj: int, slice, ints or bools: places in `arr`.
        values: what broadcasts to the new elements; converted to the dtype of `arr`.
        axis: along which axis; None: of the flat array.

    Raises:
        IndexError: out of range.    ValueError: values that do not fit.
    """
    var, place = _along("insert", arr, axis)
    chosen = _indices(obj)
    if at_once(var, values):
        found: Var = computed(_np.insert, var, chosen, values, place)
        return found
    length = known_shape("insert", var)[place]
    added = cast(as_var(values, "insert"), var.dtype)
    if added.ndim < var.ndim:
        added = expand_dims(added, tuple(range(var.ndim - added.ndim)))
    # NumPy says where the new elements go: they are the negative ones.
    if isinstance(chosen, slice):
        chosen = _np.arange(*chosen.indices(length))
    one = _np.asarray(chosen)
    if one.dtype.kind != "b" and one.size == 1:
        if one.ndim == 0:
            added = moveaxis(added, 0, place)
        count = known_shape("insert", added)[place]
        new = -1 - _np.arange(count)
    else:
        count = len(_np.flatnonzero(one)) if one.dtype.kind == "b" else one.size
        new = -1 - _np.arange(count)
    if kind_of(one.dtype) == "f" and not one.size:
        one = one.astype(_np.int64)
    order = _np.insert(_np.arange(length), one if one.size != 1 else one.reshape(-1), new)
    order = _np.where(order < 0, length - 1 - order, order).astype(_np.int32)
    sizes = [count if each == place else size for each, size in enumerate(var.shape)]
    return gather(concatenate([var, broadcast_to(added, sizes)], place), order, place)


@left_to_numpy(_np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Var:
    """Return the array with one axis moved to before the axis that is at `start` now.

    Raises:
        IndexError, ValueError: there is no such axis or place.
    """
    var = as_var(a, "rollaxis")
    place = normalize_axis("rollaxis", axis, var.ndim)
    target = operator.index(start)
    if target < 0:
        target += var.ndim
    if not 0 <= target <= var.ndim:
        raise ShapeError(
            f"rollaxis: start is {start}, expected {-var.ndim} to {var.ndim} for shape {var.shape}."
        )
    return moveaxis(var, place, target - 1 if place < target else target)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Var, ...]:
    """Return the parts of an array along an axis, without that axis.

    Raises:
        ShapeError: no dimensions, or no such axis.
    """
    var = as_var(x, "unstack")
    if not var.ndim:
        raise ShapeError("unstack: found an array without dimensions, expected at least one.")
    first = moveaxis(var, normalize_axis("unstack", axis, var.ndim), 0)
    return tuple(first[place] for place in range(known_shape("unstack", first)[0]))


def repmat(a: Any, m: int, n: int) -> Var:
    """Return a matrix of m by n copies of a matrix or vector."""
    var = as_var(a, "repmat")
    if var.ndim > 2:
        raise ShapeError(f"repmat: found shape {var.shape}, expected at most two dimensions.")
    return tile(atleast_2d(var), (m, n))


def broadcast_shapes(*args: Any) -> tuple[int, ...]:
    """Return the shape to which shapes broadcast.

    Args:
        args: shapes: tuples of ints, or ints.

    Raises:
        ValueError: they do not broadcast.
    """
    return _np.broadcast_shapes(*args)


# --- blocks --------------------------------------------------------------------------------------


def block(arrays: Any) -> Var:
    """Return an array made of blocks in nested lists.

    Args:
        arrays: array, or lists of lists of arrays; innermost lists are joined along the last
            axis, the ones around them along the axis before it, and so on.

    Raises:
        TypeError: a tuple.    ValueError: an empty list, lists of different depths, or sizes that
            do not fit.
    """
    depths = set(_depths(arrays, 0))
    if len(depths) != 1:
        raise ShapeError(f"block: lists are nested to depths {sorted(depths)}, expected one depth.")
    (depth,) = depths
    leaves = _leaves(arrays)
    rank = max([depth, *(each.ndim for each in leaves)])
    return _joined(arrays, depth, rank, iter(leaves))


def _depths(arrays: Any, depth: int) -> Iterator[int]:
    if isinstance(arrays, tuple):
        raise DTypeError("block: found a tuple, expected lists of arrays.")
    if not isinstance(arrays, list):
        yield depth
        return
    if not arrays:
        raise ShapeError("block: found an empty list, expected arrays.")
    for each in arrays:
        yield from _depths(each, depth + 1)


def _leaves(arrays: Any) -> list[Var]:
    """Return the arrays, with Python numbers in the types that they have by default."""
    if isinstance(arrays, list):
        return [leaf for each in arrays for leaf in _leaves(each)]
    return [Var(array_of(arrays, "block")) if not isinstance(arrays, Var) else arrays]


def _joined(arrays: Any, depth: int, rank: int, leaves: Iterator[Var]) -> Var:
    if not isinstance(arrays, list):
        leaf = next(leaves)
        missing = rank - leaf.ndim
        return reshape(leaf, [*[1] * missing, *leaf.shape], copy_zero=False) if missing else leaf
    parts = [_joined(each, depth - 1, rank, leaves) for each in arrays]
    return concatenate(parts, rank - depth)
