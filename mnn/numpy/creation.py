"""Making arrays."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.modes import should_record
from mnn.expr.var import Var, capture
from mnn.numpy.hosting import at_once
from mnn.ops.axes import integers_of
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.movement import reshape
from mnn.ops.operands import array_of, as_var, check_range, literal
from mnn.ops.repeat import broadcast_to
from mnn.ops.shape import fill

__all__ = [
    "array",
    "asanyarray",
    "asarray",
    "ascontiguousarray",
    "asfortranarray",
    "astype",
    "copy",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "identity",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]

_NUMBERS = frozenset(_np.dtype(code) for code in "?bBhHiIlLqQefdFD")
_LAYOUTS = frozenset(("C", "F", "A", "K", "c", "f", "a", "k"))


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


def _check_order(name: str, order: Any) -> str:
    """Return a memory order: "C" row by row, "F" column by column, "A" or "K" as it was."""
    if order == "C" or order == "K":
        return str(order)
    if order is None:
        return "K"
    if order not in _LAYOUTS:
        raise ShapeError(f"{name}: order is {order!r}, expected 'C', 'F', 'A' or 'K'.")
    return str(order).upper()


def _check_device(name: str, device: Any) -> None:
    if device not in (None, "cpu"):
        raise ShapeError(f"{name}: device is {device!r}, expected 'cpu' or None.")


def _check_like(name: str, like: Any) -> None:
    """Accept arrays of any kind: results are Vars whatever is asked for."""
    if like is not None and not hasattr(type(like), "__array_function__"):
        raise DTypeError(f"{name}: like is {type(like).__name__}, expected an array.")


def array(
    object: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str | None = "K",
    subok: bool = False,
    ndmin: int = 0,
    ndmax: int = 0,
    like: Any = None,
) -> Var:
    """Return a new array.

    Args:
        object: number, nested list, array or Var. Python floats give float32 and ints int32
            (int64 when they do not fit); arrays keep their dtype.
        dtype: element type instead.
        copy: True: own memory. None: share it where that is possible. False: share it, or fail.
        order: "C" or "F": memory row by row or column by column; "K", "A": as it was. A graph
            that is recorded knows no memory, and so no order.
        subok, like: accepted for compatibility.
        ndmin: least number of dimensions; missing ones are added in front.
        ndmax: greatest number of dimensions of nested lists, 0 for any.

    Raises:
        DTypeError: the data is not made of numbers.    ShapeError: ragged lists, or `copy=False`
        where a copy is needed.
    """
    simple = copy is True and dtype is None and order == "K" and not ndmin and not ndmax
    if simple and like is None and not should_record():
        kind = type(object)
        if kind is _np.ndarray and object.dtype in _NUMBERS:
            return Var(object.copy("K"))
        if kind is list and {*map(type, object)} == {float}:
            return Var(_np.array(object, default_float))
    layout = _check_order("array", order)
    _check_like("array", like)
    wanted = None if dtype is None else as_dtype(dtype)
    found = _taken(object, wanted, copy)
    if ndmax and isinstance(object, (list, tuple)) and found.ndim > ndmax:
        raise ShapeError(f"array: found {found.ndim} dimensions, expected at most ndmax={ndmax}.")
    if copy:
        found = _own(found, object, layout)
    elif layout in "CF":
        found = _laid_out(found, layout, may_copy=copy is None)
    if found.ndim < ndmin:
        found = reshape(found, (*[1] * (ndmin - found.ndim), *found.shape), copy_zero=False)
    return found


def _taken(object: Any, wanted: Any, copy: bool | None) -> Var:
    """Return data as a Var, on its own memory if possible; fail if it must be but cannot."""
    if isinstance(object, Var):
        if wanted is None or wanted == object.dtype:
            return object
        if copy is False:
            raise ShapeError("array: a change of dtype needs a copy. Pass copy=None.")
        return cast(object, wanted)
    values = array_of(object, "array", exact=wanted is not None)
    if wanted == _np.uint64 and values.dtype == _np.float64 and isinstance(object, (list, tuple)):
        values = _np.array(object, wanted)  # NumPy makes floats of large and small integers
    fits = wanted is None or values.dtype == wanted
    if copy is False and not (fits and _has_memory(object)):
        raise ShapeError("array: this data cannot be shared, it needs a copy. Pass copy=None.")
    if fits:
        return _fresh(values)
    if not isinstance(object, (_np.ndarray, _np.generic)):
        check_range(values, wanted)
    return cast(Var(values), wanted)


def _has_memory(object: Any) -> bool:
    if isinstance(object, (_np.ndarray, memoryview, bytes, bytearray)):
        return True
    return hasattr(object, "__array_interface__") and not isinstance(object, _np.generic)


def _own(found: Var, object: Any, layout: str) -> Var:
    """Return an array that shares no memory with the data it was made of."""
    if found._ref is not None:
        return found
    values = found._array()
    source = object._array() if isinstance(object, Var) else object
    if isinstance(source, _np.ndarray) and _np.may_share_memory(values, source):
        return Var(values.copy(order=layout), found.data_format)  # type: ignore[arg-type]
    if isinstance(source, (list, tuple, int, float, complex)) and layout != "F":
        return found
    own = values.copy(order=layout)  # type: ignore[arg-type]
    return Var(own, found.data_format)


def _laid_out(found: Var, layout: str, *, may_copy: bool = True) -> Var:
    """Return an array whose elements lie in memory in order "C" or "F"."""
    if not at_once(found):
        return found
    values = found._array()
    if values.flags.c_contiguous if layout == "C" else values.flags.f_contiguous:
        return found
    if not may_copy:
        raise ShapeError(f"array: order {layout!r} needs a copy. Pass copy=None.")
    return Var(values.copy(order=layout), found.data_format)  # type: ignore[arg-type]


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: Any = None,
) -> Var:
    """Return `a` as an array, sharing its memory where that is possible; see `array`.

    Raises:
        ShapeError: a device other than "cpu".
    """
    _check_device("asarray", device)
    return array(a, dtype, copy, order, like=like)


def asanyarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    device: Any = None,
    copy: bool | None = None,
    like: Any = None,
) -> Var:
    """Return `a` as an array; the same as `asarray`."""
    _check_device("asanyarray", device)
    return array(a, dtype, copy, order, like=like)


def ascontiguousarray(a: Any, dtype: Any = None, *, like: Any = None) -> Var:
    """Return `a` as an array of at least one dimension, in memory row by row."""
    return array(a, dtype, None, "C", ndmin=1, like=like)


def asfortranarray(a: Any, dtype: Any = None, *, like: Any = None) -> Var:
    """Return `a` as an array of at least one dimension, in memory column by column."""
    return array(a, dtype, None, "F", ndmin=1, like=like)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Var:
    """Return an array with another element type.

    Args:
        x: Var or ndarray.    dtype: element type.
        copy: False: return `x` itself where it has that type.
        device: "cpu" or None.

    Raises:
        TypeError: x is no array.
    """
    _check_device("astype", device)
    if not isinstance(x, (Var, _np.ndarray)):
        raise DTypeError(f"astype: found {type(x).__name__}, expected an array. Use asarray.")
    found = cast(x, as_dtype(dtype))
    shares = copy and at_once(found) and isinstance(x, Var) and found._value is x._value
    return Var(found._array().copy(order="K")) if shares else found


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


def copy(a: Any, order: str | None = "K", subok: bool = False) -> Var:
    """Return a copy of `a` with its own memory, in an order as for `array`."""
    layout = _check_order("copy", order)
    var = as_var(a, "copy")
    if var._ref is not None:
        return var + 0
    return Var(var._array().copy(order=layout), var.data_format)  # type: ignore[arg-type]


def _filled(name: str, shape: Any, value: Any, dtype: Any, order: Any = "C") -> Var:
    layout = _check_order(name, order)
    wanted = default_float if dtype is None else as_dtype(dtype)
    sizes = (shape,) if type(shape) is int and shape >= 0 else _shape(name, shape)
    if should_record():
        return fill(sizes, Var(_np.array(value, wanted)))
    place: Any = "F" if layout == "F" else "C"
    if value == 0:  # memory that the system has cleared already
        return Var(_np.zeros(sizes, wanted, place))
    return Var(_np.full(sizes, value, wanted, place))


def zeros(
    shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None
) -> Var:
    """Return zeros of `shape`, float32 unless `dtype` says otherwise.

    Args:
        shape: int or ints.    dtype: element type.
        order: "C" or "F": memory row by row or column by column.
        device: "cpu" or None.    like: accepted for compatibility.
    """
    simple = dtype is None and order == "C" and device is None and like is None
    if simple and (type(shape) is tuple or type(shape) is int) and not should_record():
        try:
            return Var(_np.zeros(shape, default_float))
        except (TypeError, ValueError):
            pass  # the general way explains it
    _check_device("zeros", device)
    _check_like("zeros", like)
    return _filled("zeros", shape, 0, dtype, order)


def ones(
    shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None
) -> Var:
    """Return ones of `shape`, float32 unless `dtype` says otherwise; arguments as in `zeros`."""
    _check_device("ones", device)
    _check_like("ones", like)
    return _filled("ones", shape, 1, dtype, order)


def empty(
    shape: Any, dtype: Any = None, order: str = "C", *, device: Any = None, like: Any = None
) -> Var:
    """Return zeros of `shape`: never the remains of other data."""
    _check_device("empty", device)
    _check_like("empty", like)
    return _filled("empty", shape, 0, dtype, order)


def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> Var:
    """Return an array of `shape` filled with `fill_value` (which may broadcast to it).

    Raises:
        NumberRangeError: an int that the dtype cannot hold.
    """
    _check_device("full", device)
    _check_like("full", like)
    layout = _check_order("full", order)
    wanted = None if dtype is None else as_dtype(dtype)
    if type(fill_value) is int and wanted is not None:
        value = literal(fill_value, wanted)
    else:
        value = _exact(fill_value, "full") if wanted is not None else as_var(fill_value, "full")
        value = value if wanted is None else cast(value, wanted)
    sizes = _shape("full", shape)
    if at_once(value) and not value.ndim:
        make: Any = _np.full
        return Var(make(sizes, value._array(), value.dtype, "F" if layout == "F" else "C"))
    spread = broadcast_to(value, sizes)
    if spread._ref is not None:
        return spread
    return Var(spread._array().copy(order="F" if layout == "F" else "C"))


def _exact(value: Any, name: str) -> Var:
    """Return a value that will be converted, with all digits of Python's numbers."""
    return as_var(value, name) if isinstance(value, Var) else Var(array_of(value, name, exact=True))


def _like(name: str, a: Any, value: Any, dtype: Any, order: Any, shape: Any, device: Any) -> Var:
    """Return an array filled with 0 or 1 of the shape, dtype and memory order of another."""
    _check_device(name, device)
    layout = _check_order(name, order)
    var = as_var(a, name)
    wanted = var.dtype if dtype is None else as_dtype(dtype)
    if shape is None and -1 in var.shape:
        zero = cast(_zeros_like(var), wanted)
        return zero if value == 0 else zero + literal(value, wanted)
    sizes = tuple(var.shape) if shape is None else _shape(name, shape)
    if not at_once(var):
        return _filled(name, sizes, value, wanted)
    make: Any = _np.full_like
    return Var(make(var._array(), value, wanted, layout, shape=sizes))


def zeros_like(
    a: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Var:
    """Return zeros of the shape, dtype and memory order of `a`, unless told otherwise."""
    return _like("zeros_like", a, 0, dtype, order, shape, device)


def ones_like(
    a: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Var:
    """Return ones of the shape, dtype and memory order of `a`, unless told otherwise."""
    return _like("ones_like", a, 1, dtype, order, shape, device)


def empty_like(
    prototype: Any,
    /,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Var:
    """Return zeros like `prototype`: never the remains of other data."""
    return _like("empty_like", prototype, 0, dtype, order, shape, device)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Var:
    """Return an array like `a` filled with `fill_value`, which may broadcast to its shape."""
    _check_device("full_like", device)
    layout = _check_order("full_like", order)
    var = as_var(a, "full_like")
    wanted = var.dtype if dtype is None else as_dtype(dtype)
    if shape is None and -1 in var.shape:
        return zeros_like(var, wanted) + full((), fill_value, wanted)
    found = full(var.shape if shape is None else shape, fill_value, wanted)
    if not at_once(var, found) or layout == "C":
        return found
    make: Any = _np.empty_like
    placed = make(var._array(), wanted, layout, shape=tuple(found.shape))
    placed[...] = found._array()
    return Var(placed)


def eye(
    N: int,
    M: int | None = None,
    k: int = 0,
    dtype: Any = None,
    order: str = "C",
    *,
    device: Any = None,
    like: Any = None,
) -> Var:
    """Return ones on diagonal k of an N by M (or N) matrix of zeros, float32 by default."""
    _check_device("eye", device)
    _check_like("eye", like)
    layout = "F" if _check_order("eye", order) == "F" else "C"
    make: Any = _np.eye
    return _fresh(make(N, M, k, _dtype(dtype), layout))


def identity(n: int, dtype: Any = None, *, like: Any = None) -> Var:
    """Return the n by n identity matrix."""
    return eye(n, dtype=dtype, like=like)
