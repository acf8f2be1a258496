"""Making arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.modes import should_record
from mnn.expr.var import Var, capture
from mnn.numpy.sizes import at_least_zero, sizes_of, smaller, steps
from mnn.ops.axes import integers_of
from mnn.ops.comparison import greater_equal, less_equal
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.index import gather
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import array_of, as_var, check_range, literal
from mnn.ops.scatter import scatter_nd
from mnn.ops.shape import fill

__all__ = [
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "copy",
    "diag",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "frombuffer",
    "full",
    "full_like",
    "identity",
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


def _check_order(name: str, order: Any) -> None:
    """Accept NumPy's memory orders; elements are always stored row by row."""
    if order not in (None, "C", "F", "A", "K"):
        raise ShapeError(f"{name}: order is {order!r}, expected 'C', 'F', 'A' or 'K'.")


def array(
    object: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
) -> Var:
    """Return a new array.

    Args:
        object: number, nested list, array or Var. Python floats give float32 and ints int32
            (int64 when they do not fit); arrays keep their dtype.
        dtype: element type instead.
        copy: True: own memory. None or False: share it where that is possible.
        order, subok, like: accepted for compatibility.
        ndmin: least number of dimensions; missing ones are added in front.

    Raises:
        DTypeError: the data is not made of numbers.    ShapeError: ragged lists.
    """
    _check_order("array", order)
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(object, Var):
        found = object if wanted is None or wanted == object.dtype else cast(object, wanted)
        if copy and found is object and found._ref is None:
            found = Var(found._array().copy(), found.data_format)
    else:
        values = array_of(object, "array")
        if wanted is not None and values.dtype != wanted:
            if not isinstance(object, (_np.ndarray, _np.generic)):
                check_range(values, wanted)
            found = cast(Var(values), wanted)
        else:
            owned = not isinstance(object, _np.ndarray)
            found = _fresh(values if owned or not copy else values.copy())
    if found.ndim < ndmin:
        found = reshape(found, (*[1] * (ndmin - found.ndim), *found.shape), copy_zero=False)
    return found


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
    like: Any = None,
) -> Var:
    """Return `a` as an array, sharing its memory where that is possible.

    Raises:
        DTypeError: a device other than the CPU.
    """
    _check_device("asarray", device)
    return array(a, dtype, copy, order or "K")


def _check_device(name: str, device: Any) -> None:
    if device not in (None, "cpu"):
        raise DTypeError(f"{name}: device is {device!r}, expected 'cpu' or None.")


def asanyarray(a: Any, dtype: Any = None, order: str | None = None, *, like: Any = None) -> Var:
    """Return `a` as an array; the same as `asarray`."""
    return asarray(a, dtype, order)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Var:
    """Return an array on the memory of an object with `__dlpack__`, such as a torch tensor.

    Raises:
        DTypeError: no such object, or its memory is on another device.
    """
    _check_device("from_dlpack", device)
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: found {type(x).__name__}, expected a DLPack producer.")
    try:
        values = _np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError) as error:
        raise DTypeError(f"from_dlpack: {error}. Copy the data to CPU memory first.") from error
    return _fresh(array_of(values.copy() if copy else values, "from_dlpack"))


def ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Var:
    """Return `a` as an array of at least one dimension in row-major order."""
    found = asarray(a, dtype)
    if found._ref is None and not found._array().flags.c_contiguous:
        found = Var(_np.ascontiguousarray(found._array()), found.data_format)
    return found if found.ndim else array(found, ndmin=1)


def copy(a: Any, order: str = "K", subok: bool = False) -> Var:
    """Return a copy of `a` with its own memory."""
    _check_order("copy", order)
    var = as_var(a, "copy")
    return Var(var._array().copy(), var.data_format) if var._ref is None else var + 0


def _filled(name: str, shape: Any, value: Any, dtype: Any) -> Var:
    wanted = _dtype(dtype)
    sizes = _shape(name, shape)
    if should_record():
        return fill(sizes, Var(_np.array(value, wanted)))
    return Var(_np.full(sizes, value, wanted))


def zeros(shape: Any, dtype: Any = None, order: str = "C", *, like: Any = None) -> Var:
    """Return zeros of `shape`, float32 unless `dtype` says otherwise."""
    _check_order("zeros", order)
    return _filled("zeros", shape, 0, dtype)


def ones(shape: Any, dtype: Any = None, order: str = "C", *, like: Any = None) -> Var:
    """Return ones of `shape`, float32 unless `dtype` says otherwise."""
    _check_order("ones", order)
    return _filled("ones", shape, 1, dtype)


def empty(shape: Any, dtype: Any = None, order: str = "C", *, like: Any = None) -> Var:
    """Return zeros of `shape`: never the remains of other data."""
    _check_order("empty", order)
    return _filled("empty", shape, 0, dtype)


def full(
    shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", *, like: Any = None
) -> Var:
    """Return an array of `shape` filled with `fill_value` (which may broadcast to it).

    Raises:
        NumberRangeError: an int that the dtype cannot hold.
    """
    _check_order("full", order)
    wanted = None if dtype is None else as_dtype(dtype)
    if type(fill_value) is int and wanted is not None:
        value = literal(fill_value, wanted)
    else:
        value = as_var(fill_value, "full")
        value = value if wanted is None else cast(value, wanted)
    from mnn.ops.repeat import broadcast_to

    spread = broadcast_to(value, _shape("full", shape))
    return spread if spread._ref is not None else Var(spread._array().copy())


def _like(a: Any, value: Any, dtype: Any, shape: Any) -> Var:
    var = as_var(a, "like")
    if shape is None and -1 in var.shape:
        wanted = var.dtype if dtype is None else as_dtype(dtype)
        zero = cast(_zeros_like(var), wanted)
        return zero if value == 0 else zero + literal(value, wanted)
    sizes = var.shape if shape is None else shape
    return _filled("like", sizes, value, var.dtype if dtype is None else dtype)


def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> Var:
    """Return zeros of the shape and dtype of `a`."""
    _check_order("zeros_like", order)
    return _like(a, 0, dtype, shape)


def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> Var:
    """Return ones of the shape and dtype of `a`."""
    _check_order("ones_like", order)
    return _like(a, 1, dtype, shape)


def empty_like(
    prototype: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None
) -> Var:
    """Return zeros of the shape and dtype of `prototype`: never the remains of other data."""
    _check_order("empty_like", order)
    return _like(prototype, 0, dtype, shape)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
) -> Var:
    """Return an array of the shape and dtype of `a` filled with `fill_value`."""
    var = as_var(a, "full_like")
    wanted = var.dtype if dtype is None else dtype
    if shape is None and -1 in var.shape:
        return zeros_like(var, wanted) + full((), fill_value, wanted)
    return full(var.shape if shape is None else shape, fill_value, wanted, order)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, order: str = "C") -> Var:
    """Return ones on diagonal k of an N by M matrix of zeros."""
    _check_order("eye", order)
    return _fresh(_np.eye(N, M, k, dtype=_dtype(dtype)))


def identity(n: int, dtype: Any = None) -> Var:
    """Return the n by n identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Var:
    """Return ones at and below diagonal k of an N by M matrix of zeros."""
    return _fresh(_np.tri(N, M, k, dtype=_dtype(dtype)))


def _triangle(m: Any, k: int, kept: Callable[..., Any]) -> Var:
    from mnn.ops.comparison import select

    var = as_var(m, "triangle")
    if var.ndim < 1:
        raise ShapeError(f"tril/triu: found shape {var.shape}, expected matrices.")
    if var.ndim == 1:
        from mnn.ops.repeat import broadcast_to

        var = broadcast_to(var, sizes_of(var) * 2)
    rows, columns = (steps(size) for size in sizes_of(var)[-2:])
    ahead = columns - reshape(rows, (-1, 1))
    return select(kept(ahead, k), var, Var(_np.zeros((), var.dtype)))


def tril(m: Any, k: int = 0) -> Var:
    """Return matrices with everything above diagonal k set to 0."""
    return _triangle(m, k, less_equal)


def triu(m: Any, k: int = 0) -> Var:
    """Return matrices with everything below diagonal k set to 0."""
    return _triangle(m, k, greater_equal)


def diag(v: Any, k: int = 0) -> Var:
    """Return a matrix with v on diagonal k, or diagonal k of a matrix."""
    var = as_var(v, "diag")
    if var.ndim not in (1, 2):
        raise ShapeError(f"diag: found shape {var.shape}, expected one or two dimensions.")
    if var.ndim == 2:
        rows, columns = sizes_of(var)
        first = steps(at_least_zero(smaller(rows + min(k, 0), columns - max(k, 0))))
        flat = (first - min(k, 0)) * columns + (first + max(k, 0))
        return gather(ravel(var), flat)
    (length,) = sizes_of(var)
    size, first = length + abs(k), steps(length)
    flat = (first - min(k, 0)) * size + (first + max(k, 0))
    spread = scatter_nd(reshape(flat, (-1, 1)), var, [size * size])
    return reshape(spread, [size, size], copy_zero=False)


def frombuffer(buffer: Any, dtype: Any = None, count: int = -1, offset: int = 0) -> Var:
    """Return the numbers in a bytes-like object, copied; float32 unless told otherwise.

    Raises:
        ShapeError: there are not so many whole numbers in the buffer.
    """
    try:
        values = _np.frombuffer(buffer, _dtype(dtype), count, offset)
    except ValueError as error:
        raise ShapeError(f"frombuffer: {error}.") from error
    return _fresh(values.copy())
