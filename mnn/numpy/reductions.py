"""Reductions with NumPy's arguments."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.var import Var
from mnn.ops import reduce as _reduce
from mnn.ops import scan as _scan
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.create import ones_like as _ones_like
from mnn.ops.index import gather as _gather
from mnn.ops.joining import stack as _stack
from mnn.ops.movement import expand_dims as _expand_dims
from mnn.ops.movement import flatten as _flatten
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var
from mnn.ops.shape import shape as _shape
from mnn.ops.sorting import sort as _sort
from mnn.ops.transpose import transpose as _transpose
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import isnan as _isnan
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


def _axes(x: Var, axis: Any) -> Any:
    """Return axes for the operators: None for all, else ints; () reduces nothing."""
    if axis is None:
        return None
    axes = integers_of("reduction", axis)
    # NumPy lets 0-d arrays have an axis 0.
    return None if axes in ((0,), (-1,)) and not x.ndim else axes


def stored(result: Var, out: Any) -> Var:
    """Return a result, written to `out` if one is given."""
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
    axes = _axes(x, axis)
    if axes == ():
        # An empty tuple reduces over no axis at all.
        x, axes = _expand_dims(x, -1), (-1,)
        return stored(function(x, axes, False, **extra), out)
    return stored(function(x, axes, bool(keepdims), **extra), out)


def _sum_dtype(x: Var, dtype: Any) -> Any:
    if dtype is not None:
        return as_dtype(dtype)
    if x.dtype.kind in "bi" and x.dtype.itemsize < 8:
        return _np.dtype(_np.int64)
    if x.dtype.kind == "u" and x.dtype.itemsize < 8:
        return _np.dtype(_np.uint64)
    return None


def _summands(a: Any, dtype: Any) -> tuple[Var, Any]:
    """Return what is summed or multiplied, and the dtype of the result."""
    x = as_var(a, "reduction")
    wanted = _sum_dtype(x, dtype)
    if wanted is not None and wanted.kind in "biu" and x.dtype.kind in "fc":
        x = cast(x, wanted)  # each element is rounded, not the sum
    return x, wanted


def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Var:
    """Return the sum over `axis`; small integers are summed in 64 bits, as in NumPy."""
    x, wanted = _summands(a, dtype)
    return _apply(_reduce.reduce_sum, x, axis, keepdims, out, dtype=wanted)


def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> Var:
    """Return the product over `axis`; small integers are multiplied in 64 bits, as in NumPy."""
    x, wanted = _summands(a, dtype)
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
    return stored(max(a, axis, keepdims=keepdims) - min(a, axis, keepdims=keepdims), out)


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
    return stored(total / _freedom(x, squares.dtype, axis, ddof, keepdims), out)


def _freedom(x: Var, dtype: Any, axis: Any, ddof: float, keepdims: bool) -> Any:
    """Return how many elements are averaged less `ddof`, at least 0; a Var if sizes are unknown."""
    if -1 not in x.shape:
        axes = _axes(x, axis)
        places = range(x.ndim) if axes is None else axes
        count = 1
        for each in places:
            count *= x.shape[normalize_axis("var", each, x.ndim)]
        return float(_np.maximum(count - ddof, 0))
    ones = cast(_ones_like(x), dtype)
    return _maximum(sum(ones, axis, keepdims=keepdims) - ddof, 0.0)


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
    return stored(root, out)


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Return the mean over `axis`, weighted if weights are given.

    Args:
        a: array.
        axis: axis or axes; None: all.
        weights: of the shape of a, or one number per element of the single axis.
        returned: also return the sum of the weights, as in `(average, sum)`.
        keepdims: leave reduced axes with size 1.

    Raises:
        ShapeError: weights fit neither the array nor the axis.
        ZeroDivisionError: the weights add up to 0.
    """
    x = as_var(a, "average")
    if weights is None:
        found = mean(x, axis, keepdims=keepdims)
        total = found * 0 + _freedom(x, found.dtype, axis, 0, keepdims) if returned else found
        return (found, total) if returned else found
    w = _fitting_weights(x, as_var(weights, "average"), axis)
    total = sum(w + x * 0, axis, keepdims=keepdims)
    if total._ref is None and not total._array().all():
        raise ZeroDivisionError("average: the weights add up to 0. Expected a sum that is not 0.")
    found = sum(x * w, axis, keepdims=keepdims) / total
    return (found, cast(total, found.dtype)) if returned else found


def _fitting_weights(x: Var, w: Var, axis: Any) -> Var:
    """Return weights in the shape of x, or in one that broadcasts to it."""
    if w.shape == x.shape:
        return w
    axes = None if axis is None else integers_of("average", axis)
    if axes is None or len(axes) != 1 or w.ndim != 1:
        raise ShapeError(f"average: weights {w.shape} do not fit an array {x.shape}.")
    place = normalize_axis("average", axes[0], x.ndim)
    if -1 not in (w.shape[0], x.shape[place]) and w.shape[0] != x.shape[place]:
        raise ShapeError(f"average: weights {w.shape} do not fit axis {place} of {x.shape}.")
    return reshape(w, (-1, *[1] * (x.ndim - place - 1)))


def median(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Var:
    """Return the middle element over `axis`, or the mean of the two middle ones; NaN if one is.

    Args:
        a: array.
        axis: axis or axes; None: all.
        out: Var to write the result to.
        overwrite_input: accepted for compatibility; the input is never changed.
        keepdims: leave reduced axes with size 1.
    """
    x = as_var(a, "median")
    axes = _axes(x, axis)
    rows = _rows(x, axes)
    if rows.shape[-1] == 0:
        return stored(mean(x, axis, keepdims=keepdims), out)
    ordered = _sort(rows, -1)
    size: Any = rows.shape[-1] if rows.shape[-1] > 0 else _shape(rows)[-1]
    middle = _stack([(size - 1) // 2, size // 2])
    found = mean(_gather(ordered, middle, -1), -1)
    if x.dtype.kind == "f":
        # NaN sorts to the end: where the last is NaN, so is the median.
        last = ordered[..., -1]
        found = _select(_isnan(last), last, found)
    if keepdims:
        found = _expand_dims(found, axes) if axes is not None else reshape(found, [1] * x.ndim)
    return stored(found, out)


def _rows(x: Var, axes: Any) -> Var:
    """Return x with `axes` (None: all) merged into one last axis."""
    if axes is None:
        return ravel(x)
    if not axes:
        return _expand_dims(x, -1)
    places = normalize_axes("median", axes, x.ndim)
    rest = [each for each in range(x.ndim) if each not in places]
    return _flatten(_transpose(x, [*rest, *places]), len(rest), -1)


def _position(function: Any, a: Any, axis: Any, out: Any, keepdims: bool) -> Var:
    x = as_var(a, "argmax")
    if axis is None or (not x.ndim and axis in (0, -1)):
        found: Var = function(ravel(x), 0)
        return stored(reshape(found, [1] * x.ndim) if keepdims else found, out)
    found = function(x, axis)
    return stored(_expand_dims(found, axis) if keepdims else found, out)


def argmax(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return the int32 index of the first largest element, of the flat array if axis is None."""
    return _position(_scan.argmax, a, axis, out, keepdims)


def argmin(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Var:
    """Return the int32 index of the first smallest element, of the flat array if axis is None."""
    return _position(_scan.argmin, a, axis, out, keepdims)


def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Var:
    """Return how many elements over `axis` are nonzero."""
    return sum(as_var(a, "count_nonzero") != 0, axis, keepdims=keepdims)


def _running(function: Any, a: Any, axis: Any, dtype: Any, out: Any) -> Var:
    x = as_var(a, "cumsum")
    wanted = _sum_dtype(x, dtype)
    if wanted is not None and wanted != x.dtype:
        x = cast(x, wanted)
    flat = axis is None or (not x.ndim and axis in (0, -1))
    found: Var = function(ravel(x), 0) if flat else function(x, axis)
    return stored(found if wanted is None else cast(found, wanted), out)


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Var:
    """Return the running sum along `axis`, of the flat array if it is None."""
    return _running(_scan.cumsum, a, axis, dtype, out)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Var:
    """Return the running product along `axis`, of the flat array if it is None."""
    return _running(_scan.cumprod, a, axis, dtype, out)
