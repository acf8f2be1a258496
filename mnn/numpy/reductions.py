"""Reductions with NumPy's arguments."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.var import Var
from mnn.ops import reduce as _reduce
from mnn.ops import scan as _scan
from mnn.ops.axes import integers_of, normalize_axis
from mnn.ops.convert import cast
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import sqrt, square

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "max",
    "mean",
    "median",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]


def _axes(axis: Any) -> Any:
    """Return axes for the operators: None for all, else ints; () reduces nothing."""
    return None if axis is None else integers_of("reduction", axis)


def _stored(result: Var, out: Any) -> Var:
    if out is None:
        return result
    if not isinstance(out, Var):
        raise DTypeError(f"out: found {type(out).__name__}, expected a Var.")
    if tuple(out.shape) != tuple(result.shape):
        raise ShapeError(f"out: found shape {out.shape}, expected {result.shape}.")
    out[...] = result
    return out


def _apply(function: Any, a: Any, axis: Any, keepdims: bool, out: Any, **extra: Any) -> Var:
    x = as_var(a, "reduction")
    axes = _axes(axis)
    if axes == ():
        # An empty tuple reduces over no axis at all.
        x, axes = reshape(x, (*x.shape, 1), copy_zero=False), (-1,)
        return _stored(function(x, axes, False, **extra), out)
    return _stored(function(x, axes, bool(keepdims), **extra), out)


def _sum_dtype(x: Var, dtype: Any) -> Any:
    if dtype is not None:
        return as_dtype(dtype)
    if x.dtype.kind in "bi" and x.dtype.itemsize < 8:
        return _np.dtype(_np.int64)
    if x.dtype.kind == "u" and x.dtype.itemsize < 8:
        return _np.dtype(_np.uint64)
    return None


def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Var:
    """Return the sum over `axis`; small integers are summed in 64 bits, as in NumPy."""
    x = as_var(a, "sum")
    wanted = _sum_dtype(x, dtype)
    return _apply(_reduce.reduce_sum, x, axis, keepdims, out, dtype=wanted)


def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Var:
    """Return the product over `axis`; small integers are multiplied in 64 bits, as in NumPy."""
    x = as_var(a, "prod")
    wanted = _sum_dtype(x, dtype)
    return _apply(_reduce.reduce_prod, x, axis, keepdims, out, dtype=wanted)


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Var:
    """Return the mean over `axis`; float32 for integers."""
    x = as_var(a, "mean")
    wanted = None if dtype is None else as_dtype(dtype)
    return _apply(_reduce.reduce_mean, x, axis, keepdims, out, dtype=wanted)


def max(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return the largest element over `axis`; NaN if one is NaN."""
    return _apply(_reduce.reduce_max, a, axis, keepdims, out)


def min(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return the smallest element over `axis`; NaN if one is NaN."""
    return _apply(_reduce.reduce_min, a, axis, keepdims, out)


amax = max
amin = min


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return whether any element over `axis` is nonzero."""
    return _apply(_reduce.reduce_any, a, axis, keepdims, out)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return whether all elements over `axis` are nonzero."""
    return _apply(_reduce.reduce_all, a, axis, keepdims, out)


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return the largest minus the smallest element over `axis`."""
    return _stored(max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims), out)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Var:
    """Return the variance over `axis`: squares from the mean, divided by count - ddof."""
    x = as_var(a, "var")
    if dtype is not None:
        x = cast(x, as_dtype(dtype))
    elif x.dtype.kind in "biu":
        x = cast(x, default_float)
    centred = x - mean(x, axis, keepdims=True)
    squares = square(_absolute(centred)) if x.dtype.kind == "c" else square(centred)
    total = sum(squares, axis, keepdims=keepdims)
    count = _count(x, axis)
    return _stored(total / _np.maximum(count - ddof, 0).item(), out)


def _count(x: Var, axis: Any) -> Any:
    shape = x.shape
    axes = range(len(shape)) if axis is None else integers_of("var", axis)
    count = 1
    for each in axes:
        count *= shape[normalize_axis("var", each, len(shape))]
    return _np.float64(count)


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
) -> Var:
    """Return the standard deviation over `axis`: the root of `var`."""
    root: Var = sqrt(var(a, axis, dtype, None, ddof, keepdims))
    return _stored(root, out)


def average(a: Any, axis: Any = None, weights: Any = None) -> Var:
    """Return the mean over `axis`, weighted if weights (of the shape of a) are given.

    Raises:
        ShapeError: weights fit neither the array nor the axis.
    """
    x = as_var(a, "average")
    if weights is None:
        return mean(x, axis)
    w = as_var(weights, "average")
    if w.shape != x.shape:
        if axis is None or w.ndim != 1 or w.shape[0] != x.shape[axis]:
            raise ShapeError(f"average: weights {w.shape} do not fit an array {x.shape}.")
        shape = [1] * x.ndim
        shape[axis] = w.shape[0]
        w = reshape(w, shape, copy_zero=False)
    return sum(x * w, axis) / sum(w + x * 0, axis)


def median(a: Any, axis: Any = None, keepdims: bool = False) -> Var:
    """Return the middle element over `axis`, or the mean of the two middle ones."""
    from mnn.ops.sorting import sort

    x = as_var(a, "median")
    rank = x.ndim
    flat = axis is None
    ordered = sort(ravel(x) if flat else x, 0 if flat else axis)
    place = 0 if flat else normalize_axis("median", axis, rank)
    size = ordered.shape[place]
    if size == 0:
        raise ShapeError("median: the axis is empty, expected at least one element.")
    index: list[Any] = [slice(None)] * ordered.ndim
    index[place] = slice((size - 1) // 2, size // 2 + 1)
    found = mean(ordered[tuple(index)], place)
    if x.dtype.kind == "f":
        # NaN sorts to the end: where the last is NaN, so is the median.
        index[place] = -1
        last = ordered[tuple(index)]
        found = found + (last - last) * 0 if _np.isnan(last._array()).any() else found
    if keepdims:
        shape = [1] * rank if flat else [1 if k == place else s for k, s in enumerate(x.shape)]
        return reshape(found, shape, copy_zero=False)
    return found


def _position(function: Any, a: Any, axis: Any, keepdims: bool) -> Var:
    x = as_var(a, "argmax")
    if axis is None:
        found: Var = function(ravel(x), 0)
        return reshape(found, [1] * x.ndim) if keepdims else found
    found = function(x, axis)
    if not keepdims:
        return found
    place = normalize_axis("argmax", axis, x.ndim)
    return reshape(found, [1 if k == place else s for k, s in enumerate(x.shape)], copy_zero=False)


def argmax(a: Any, axis: Any = None, keepdims: bool = False) -> Var:
    """Return the int32 index of the first largest element, of the flat array if axis is None."""
    return _position(_scan.argmax, a, axis, keepdims)


def argmin(a: Any, axis: Any = None, keepdims: bool = False) -> Var:
    """Return the int32 index of the first smallest element, of the flat array if axis is None."""
    return _position(_scan.argmin, a, axis, keepdims)


def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Var:
    """Return how many elements over `axis` are nonzero."""
    return sum(as_var(a, "count_nonzero") != 0, axis, keepdims=keepdims)


def _running(function: Any, a: Any, axis: Any, dtype: Any) -> Var:
    x = as_var(a, "cumsum")
    wanted = _sum_dtype(x, dtype)
    if wanted is not None and wanted != x.dtype:
        x = cast(x, wanted)
    found: Var = function(ravel(x), 0) if axis is None else function(x, axis)
    return found


def cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Var:
    """Return the running sum along `axis`, of the flat array if it is None."""
    return _running(_scan.cumsum, a, axis, dtype)


def cumprod(a: Any, axis: Any = None, dtype: Any = None) -> Var:
    """Return the running product along `axis`, of the flat array if it is None."""
    return _running(_scan.cumprod, a, axis, dtype)
