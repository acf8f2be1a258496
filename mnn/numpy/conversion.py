"""Arrays from other data, and data written into arrays."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float, kind_of
from mnn.expr.var import Var
from mnn.numpy.arranging import block
from mnn.numpy.creation import (
    _check_like,
    _check_order,
    _dtype,
    _fresh,
    _laid_out,
    array,
    asarray,
    zeros_like,
)
from mnn.numpy.hosting import plain
from mnn.ops.axes import integers_of
from mnn.ops.comparison import select
from mnn.ops.convert import cast
from mnn.ops.index import gather
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import array_of, as_var
from mnn.ops.repeat import broadcast_to

__all__ = [
    "asarray_chkfinite",
    "asfarray",
    "asmatrix",
    "asscalar",
    "bmat",
    "copyto",
    "fill",
    "frombuffer",
    "fromiter",
    "fromstring",
    "mat",
    "matrix",
    "require",
    "resize",
]


def asarray_chkfinite(a: Any, dtype: Any = None, order: str | None = None) -> Var:
    """Return `a` as an array of finite numbers.

    Raises:
        ValueError: there is a NaN or an infinity.
    """
    found = asarray(a, dtype, order)
    if kind_of(found.dtype) in "fc" and not _np.isfinite(found._array()).all():
        raise ShapeError("asarray_chkfinite: found NaN or infinity, expected finite numbers.")
    return found


def asfarray(a: Any, dtype: Any = default_float) -> Var:
    """Return `a` as an array of floats; other types in place of a float type mean float32."""
    wanted = as_dtype(dtype)
    return asarray(a, wanted if kind_of(wanted) in "fc" else default_float)


def asmatrix(data: Any, dtype: Any = None) -> Var:
    """Return data as a 2-D array: there is no class of matrices, which NumPy advises against.

    Args:
        data: numbers, of up to two dimensions, or text such as `"1 2; 3 4"`.
        dtype: element type.

    Raises:
        ShapeError: more than two dimensions, or text that is no matrix.
    """
    found = asarray(_rows(data) if isinstance(data, str) else data, dtype)
    if found.ndim > 2:
        raise ShapeError(f"asmatrix: found shape {found.shape}, expected at most 2 dimensions.")
    return found if found.ndim == 2 else reshape(found, (1, found.size))


mat = asmatrix


def matrix(data: Any, dtype: Any = None, copy: bool = True) -> Var:
    """Return data as a 2-D array of its own; see `asmatrix`."""
    found = asmatrix(data, dtype)
    return array(found) if copy else found


def _rows(text: str) -> list[list[Any]]:
    try:
        return [
            [ast.literal_eval(each) for each in row.replace(",", " ").split()]
            for row in text.strip("[] ").split(";")
        ]
    except (SyntaxError, ValueError) as error:
        raise ShapeError(f"asmatrix: {text!r} is no matrix such as '1 2; 3 4'.") from error


def bmat(obj: Any, ldict: Any = None, gdict: Any = None) -> Var:
    """Return a 2-D array made of blocks.

    Args:
        obj: array, nested list of arrays, or text such as `"A, B; C, D"`.
        ldict, gdict: the arrays that names in text stand for.

    Raises:
        DTypeError: a name stands for nothing. The caller's variables are not looked at.
    """
    if isinstance(obj, str):
        known = {**(gdict or {}), **(ldict or {})}
        names = [row.replace(",", " ").split() for row in obj.split(";")]
        unknown = sorted({each for row in names for each in row} - set(known))
        if unknown:
            raise DTypeError(
                f"bmat: found the names {unknown}. Pass ldict={{name: array}}, or nested lists."
            )
        obj = [[known[each] for each in row] for row in names]
    if isinstance(obj, (list, tuple)):
        return asmatrix(block([list(each) if isinstance(each, tuple) else each for each in obj]))
    return asmatrix(obj)


def asscalar(a: Any) -> Any:
    """Return the one element of an array as a Python number.

    Raises:
        ValueError: not exactly one element.
    """
    values = array_of(a, "asscalar")
    if values.size != 1:
        raise ShapeError(f"asscalar: found shape {values.shape}, expected one element.")
    return values.item()


def require(a: Any, dtype: Any = None, requirements: Any = None, *, like: Any = None) -> Var:
    """Return an array that has what is required.

    Args:
        a: array.    dtype: its element type.
        requirements: some of "C" or "F" (memory row by row, column by column), "A" (aligned), "W"
            (writable), "O" (its own memory), "E" (no subclass), or NumPy's long names for them.
        like: accepted for compatibility.

    Raises:
        ValueError: both "C" and "F".    KeyError: an unknown requirement.
    """
    _check_like("require", like)
    found = asarray(a, dtype)
    if found._ref is not None:
        return found
    values = found._array()
    kept = _np.require(values, requirements=requirements)
    return found if kept is values else Var(kept)


def resize(a: Any, new_shape: Any) -> Var:
    """Return an array of `new_shape`, filled with the elements of `a` as often as needed.

    Raises:
        ShapeError: a negative size.
    """
    var = as_var(a, "resize")
    sizes = integers_of("resize", new_shape, "new_shape")
    if any(size < 0 for size in sizes):
        raise ShapeError(f"resize: found shape {list(sizes)}, expected sizes >= 0.")
    total = int(_np.prod(sizes, dtype=_np.int64))
    if not total or not var.size:
        return zeros_like(var, shape=sizes)
    places = _np.arange(total, dtype=_np.int32) % _np.int32(var.size)
    return reshape(gather(ravel(var), places), sizes, copy_zero=False)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """Write `src` into a Var or ndarray in place.

    Args:
        dst: what to write.    src: what broadcasts to it.
        casting: which conversions are allowed.
        where: mask that broadcasts to `dst`: which elements to write.

    Raises:
        TypeError: `dst` is no array, or the conversion is not allowed.    ValueError: shapes.
    """
    if isinstance(dst, _np.ndarray):
        _np.copyto(dst, plain(src), casting, plain(where))  # type: ignore[arg-type]
        return
    if not isinstance(dst, Var):
        raise DTypeError(f"copyto: found {type(dst).__name__}, expected a Var.")
    # NumPy knows which Python numbers may become which types.
    probe = src if isinstance(src, (int, float, complex)) else _np.empty((), as_var(src).dtype)
    _np.copyto(_np.empty((), dst.dtype), probe, casting)  # type: ignore[arg-type]
    with _np.errstate(all="ignore"):
        given = src if isinstance(src, Var) else Var(array_of(src, "copyto", exact=True))
        value = cast(given, dst.dtype)
    if where is True:
        dst[...] = broadcast_to(_fitting(value, dst), dst.shape)
        return
    mask = as_var(where, "copyto")
    if mask.dtype.kind != "b":
        raise DTypeError(f"copyto: where is {mask.dtype}, expected bools.")
    dst[...] = select(
        broadcast_to(mask, dst.shape), broadcast_to(_fitting(value, dst), dst.shape), dst
    )


def _fitting(value: Var, dst: Var) -> Var:
    """Return a value without the leading dimensions of size 1 that `dst` has not."""
    extra = value.ndim - dst.ndim
    if extra > 0 and all(size == 1 for size in value.shape[:extra]):
        return reshape(value, value.shape[extra:], copy_zero=False)
    return value


def fill(a: Any, value: Any) -> None:
    """Write one number to every element of a Var in place.

    Raises:
        DTypeError: `a` is no Var.    ShapeError: `value` is not one number.
    """
    number = array_of(value, "fill", exact=True)
    if not isinstance(a, Var):
        raise DTypeError(f"fill: found {type(a).__name__}, expected a Var.")
    if number.size != 1:
        raise ShapeError(f"fill: found shape {number.shape}, expected one number.")
    a[...] = number.reshape(())


# --- foreign data --------------------------------------------------------------------------------


def frombuffer(
    buffer: Any, dtype: Any = None, count: int = -1, offset: int = 0, *, like: Any = None
) -> Var:
    """Return the numbers in a bytes-like object, copied; float32 unless told otherwise.

    Args:
        buffer: bytes-like.    dtype: element type.
        count: how many numbers, -1 for all.    offset: in bytes.
        like: accepted for compatibility.

    Raises:
        ShapeError: there are not so many whole numbers in the buffer.
    """
    _check_like("frombuffer", like)
    try:
        values = _np.frombuffer(buffer, _dtype(dtype), count, offset)
    except ValueError as error:
        raise ShapeError(f"frombuffer: {error}.") from error
    return _fresh(values.copy())


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1, *, like: Any = None) -> Var:
    """Return the numbers that an iterable gives.

    Args:
        iter: gives numbers.    dtype: element type.
        count: how many to take, -1 for all.
        like: accepted for compatibility.

    Raises:
        ValueError: fewer than `count` numbers.    TypeError: no numbers.
    """
    _check_like("fromiter", like)
    numbers = (each._array()[()] if isinstance(each, Var) else each for each in iter)
    return _fresh(_np.fromiter(numbers, as_dtype(dtype), count))


def fromstring(
    string: str, dtype: Any = float, count: int = -1, *, sep: str = "", like: Any = None
) -> Var:
    """Return the numbers in a text; float32 unless told otherwise.

    Args:
        string: numbers with separators.    dtype: element type.
        count: how many numbers, -1 for all.
        sep: separator; spaces match any space. For bytes use `frombuffer`.
        like: accepted for compatibility.

    Raises:
        ValueError: no separator, too few numbers, or text that is no number.
    """
    _check_like("fromstring", like)
    if not sep:
        raise ShapeError("fromstring: found no separator. Use sep=' ', or frombuffer for bytes.")
    return _fresh(text_numbers(string, as_dtype(dtype), count, sep))


def text_numbers(text: str, wanted: _np.dtype[Any], count: int, sep: str) -> Any:
    """Return the numbers in a text as an array.

    Raises:
        ShapeError: there is something else, or too few numbers.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return _np.fromstring(text, wanted, count, sep=sep)
        except (DeprecationWarning, ValueError) as error:
            raise ShapeError(f"fromstring: the text has other than numbers: {error}.") from error
