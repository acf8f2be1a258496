"""Making arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as _np

from mnn.errors import ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.modes import should_record
from mnn.expr.var import Var, capture
from mnn.ops.axes import integers_of
from mnn.ops.convert import cast
from mnn.ops.operands import array_of, as_var
from mnn.ops.shape import fill

__all__ = [
    "arange",
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "copy",
    "diag",
    "empty",
    "empty_like",
    "eye",
    "frombuffer",
    "fromfunction",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "indices",
    "linspace",
    "logspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tri",
    "tril",
    "triu",
    "zeros",
    "zeros_like",
]


def _fresh(values: _np.ndarray[Any, Any]) -> Var:
    """Return a Var on memory nobody else holds."""
    var = Var(values)
    if should_record():
        capture(var)
    return var


def _dtype(dtype: Any, default: Any = default_float) -> _np.dtype[Any]:
    return _np.dtype(default) if dtype is None else as_dtype(dtype)


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = integers_of(name, shape, "shape")
    if any(size < 0 for size in sizes):
        raise ShapeError(f"{name}: found shape {list(sizes)}, expected sizes >= 0.")
    return sizes


def array(object: Any, dtype: Any = None, *, copy: bool | None = True, ndmin: int = 0) -> Var:
    """Return a new array.

    Args:
        object: number, nested list, array or Var. Python floats give float32 and ints int32
            (int64 when they do not fit); arrays keep their dtype.
        dtype: element type instead.
        copy: True: own memory. None or False: share it where that is possible.
        ndmin: least number of dimensions; missing ones are added in front.

    Raises:
        DTypeError: the data is not made of numbers.    ShapeError: ragged lists.
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(object, Var):
        found = object if wanted is None or wanted == object.dtype else cast(object, wanted)
        if copy and found is object and found._ref is None:
            found = Var(found._array().copy(), found.data_format)
    else:
        values = array_of(object, "array")
        if wanted is not None and values.dtype != wanted:
            found = cast(Var(values), wanted)
        else:
            owned = not isinstance(object, _np.ndarray)
            found = _fresh(values if owned or not copy else values.copy())
    if found.ndim < ndmin:
        from mnn.ops.movement import reshape

        found = reshape(found, (*[1] * (ndmin - found.ndim), *found.shape), copy_zero=False)
    return found


def asarray(a: Any, dtype: Any = None, *, copy: bool | None = None) -> Var:
    """Return `a` as an array, sharing its memory where that is possible."""
    return array(a, dtype, copy=copy)


def asanyarray(a: Any, dtype: Any = None) -> Var:
    """Return `a` as an array; the same as `asarray`."""
    return asarray(a, dtype)


def ascontiguousarray(a: Any, dtype: Any = None) -> Var:
    """Return `a` as an array of at least one dimension in row-major order."""
    found = asarray(a, dtype)
    if found._ref is None and not found._array().flags.c_contiguous:
        found = Var(_np.ascontiguousarray(found._array()), found.data_format)
    return found if found.ndim else array(found, ndmin=1)


def copy(a: Any) -> Var:
    """Return a copy of `a` with its own memory."""
    var = as_var(a, "copy")
    return Var(var._array().copy(), var.data_format) if var._ref is None else var + 0


def _filled(name: str, shape: Any, value: Any, dtype: Any) -> Var:
    wanted = _dtype(dtype)
    sizes = _shape(name, shape)
    if should_record():
        return fill(sizes, Var(_np.array(value, wanted)))
    return Var(_np.full(sizes, value, wanted))


def zeros(shape: Any, dtype: Any = None) -> Var:
    """Return zeros of `shape`, float32 unless `dtype` says otherwise."""
    return _filled("zeros", shape, 0, dtype)


def ones(shape: Any, dtype: Any = None) -> Var:
    """Return ones of `shape`, float32 unless `dtype` says otherwise."""
    return _filled("ones", shape, 1, dtype)


def empty(shape: Any, dtype: Any = None) -> Var:
    """Return zeros of `shape`: never the remains of other data."""
    return _filled("empty", shape, 0, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Var:
    """Return an array of `shape` filled with `fill_value` (which may broadcast to it)."""
    value = as_var(fill_value, "full")
    if dtype is not None:
        value = cast(value, as_dtype(dtype))
    from mnn.ops.repeat import broadcast_to

    spread = broadcast_to(value, _shape("full", shape))
    return spread if spread._ref is not None else Var(spread._array().copy())


def _like(a: Any, value: Any, dtype: Any, shape: Any) -> Var:
    var = as_var(a, "like")
    sizes = var.shape if shape is None else shape
    return _filled("like", tuple(sizes), value, var.dtype if dtype is None else dtype)


def zeros_like(a: Any, dtype: Any = None, shape: Any = None) -> Var:
    """Return zeros of the shape and dtype of `a`."""
    return _like(a, 0, dtype, shape)


def ones_like(a: Any, dtype: Any = None, shape: Any = None) -> Var:
    """Return ones of the shape and dtype of `a`."""
    return _like(a, 1, dtype, shape)


def empty_like(a: Any, dtype: Any = None, shape: Any = None) -> Var:
    """Return zeros of the shape and dtype of `a`: never the remains of other data."""
    return _like(a, 0, dtype, shape)


def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Var:
    """Return an array of the shape and dtype of `a` filled with `fill_value`."""
    var = as_var(a, "full_like")
    return full(
        tuple(var.shape if shape is None else shape),
        fill_value,
        var.dtype if dtype is None else dtype,
    )


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Var:
    """Return start, start + step, ... below stop; int32 for Python ints, float32 for floats.

    Raises:
        ShapeError: step is 0.
    """
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ShapeError("arange: step is 0, expected another number.")
    values = _np.arange(start, stop, step)
    if dtype is not None:
        values = values.astype(as_dtype(dtype))
    elif not any(isinstance(each, _np.generic) for each in (start, stop, step)):
        values = (
            array_of(values.tolist(), "arange")
            if values.size
            else values.astype(default_float if values.dtype.kind == "f" else _np.int32)
        )
    return _fresh(values)


def _spaced(function: Callable[..., Any], dtype: Any, *arguments: Any, **options: Any) -> Var:
    plain = [each._array() if isinstance(each, Var) else each for each in arguments]
    values = _np.asarray(function(*plain, **options))
    return _fresh(values.astype(_dtype(dtype)))


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Var:
    """Return `num` evenly spaced numbers from start to stop; float32 unless told otherwise."""
    return _spaced(_np.linspace, dtype, start, stop, num, endpoint=endpoint, axis=axis)


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: float = 10.0,
    dtype: Any = None,
) -> Var:  # fmt: skip
    """Return `num` numbers evenly spaced on a log scale, base**start to base**stop."""
    return _spaced(_np.logspace, dtype, start, stop, num, endpoint=endpoint, base=base)


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None
) -> Var:
    """Return `num` numbers evenly spaced on a log scale, start to stop."""
    return _spaced(_np.geomspace, dtype, start, stop, num, endpoint=endpoint)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Var:
    """Return ones on diagonal k of an N by M matrix of zeros."""
    return _fresh(_np.eye(N, M, k, dtype=_dtype(dtype)))


def identity(n: int, dtype: Any = None) -> Var:
    """Return the n by n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Var:
    """Return ones at and below diagonal k of an N by M matrix of zeros."""
    return _fresh(_np.tri(N, M, k, dtype=_dtype(dtype)))


def _triangle(m: Any, k: int, function: Callable[..., Any]) -> Var:
    from mnn.ops.comparison import select

    var = as_var(m, "triangle")
    if var.ndim < 2:
        raise ShapeError(f"tril/triu: found shape {var.shape}, expected matrices.")
    mask = function(_np.ones(tuple(var.shape[-2:]), bool), k)
    return select(Var(mask), var, Var(_np.zeros((), var.dtype)))


def tril(m: Any, k: int = 0) -> Var:
    """Return matrices with everything above diagonal k set to 0."""
    return _triangle(m, k, _np.tril)


def triu(m: Any, k: int = 0) -> Var:
    """Return matrices with everything below diagonal k set to 0."""
    return _triangle(m, k, _np.triu)


def diag(v: Any, k: int = 0) -> Var:
    """Return a matrix with v on diagonal k, or diagonal k of a matrix."""
    var = as_var(v, "diag")
    if var.ndim not in (1, 2):
        raise ShapeError(f"diag: found shape {var.shape}, expected one or two dimensions.")
    if var.ndim == 2:
        rows, columns = var.shape
        count = max(0, min(rows + min(k, 0), columns - max(k, 0)))
        first = _np.arange(count)
        return var[first - min(k, 0), first + max(k, 0)]
    size = var.shape[0] + abs(k)
    first = _np.arange(var.shape[0])
    flat = (first - min(k, 0)) * size + first + max(k, 0)
    from mnn.ops.movement import reshape
    from mnn.ops.scatter import scatter_nd

    spread = scatter_nd(flat.astype(_np.int32)[:, None], var, [size * size])
    return reshape(spread, (size, size), copy_zero=False)


def frombuffer(buffer: Any, dtype: Any = None, count: int = -1, offset: int = 0) -> Var:
    """Return the numbers in a bytes-like object, copied; float32 unless told otherwise."""
    return _fresh(_np.frombuffer(buffer, _dtype(dtype), count, offset).copy())


def fromfunction(function: Callable[..., Any], shape: Sequence[int], *, dtype: Any = None) -> Var:
    """Return `function` applied to the coordinate arrays of `shape`."""
    grids = indices(shape, dtype=_dtype(dtype))
    return as_var(function(*(grids[axis] for axis in range(len(shape)))), "fromfunction")


def indices(dimensions: Sequence[int], dtype: Any = None) -> Var:
    """Return the coordinates of every element: `(rank, *dimensions)`, int32."""
    return _fresh(_np.indices(tuple(dimensions)).astype(_dtype(dtype, _np.int32)))


def meshgrid(*xi: Any, indexing: str = "xy") -> list[Var]:
    """Return coordinate matrices of coordinate vectors.

    Raises:
        ShapeError: indexing is neither "xy" nor "ij".
    """
    from mnn.ops.movement import reshape
    from mnn.ops.repeat import broadcast_to

    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: indexing is {indexing!r}, expected 'xy' or 'ij'.")
    vectors = [reshape(as_var(each, "meshgrid"), (-1,)) for each in xi]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    sizes = [vectors[place].shape[0] for place in order]
    grids = []
    for place, vector in enumerate(vectors):
        shape = [1] * len(vectors)
        shape[order.index(place)] = vector.shape[0]
        grids.append(broadcast_to(reshape(vector, shape, copy_zero=False), sizes))
    return grids
