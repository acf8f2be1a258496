"""Reductions with NumPy's arguments."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float, float_result, is_half, kind_of
from mnn.expr.var import Var
from mnn.ops import reduce as _reduce
from mnn.ops import scan as _scan
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.broadcast import broadcast_like as _broadcast_like
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.create import ones_like as _ones_like
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.movement import expand_dims as _expand_dims
from mnn.ops.movement import flatten as _flatten
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var, literal
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
    "count_nonzero",
    "max",
    "mean",
    "min",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

NOTHING: Any = _np._NoValue
"""Default of arguments whose None means something; NumPy's own, so that its callers may pass it."""


def _axes(x: Var, axis: Any) -> Any:
    """Return axes for the operators: None for all, else ints; () reduces nothing."""
    if axis is None:
        return None
    axes = integers_of("reduction", axis)
    # NumPy lets 0-d arrays have an axis 0, if it is given as a number.
    lone = not x.ndim and not isinstance(axis, (tuple, list)) and axes in ((0,), (-1,))
    return None if lone else axes


def check_axes(name: str, x: Var, axis: Any) -> None:
    """Raise ShapeError for an axis that x does not have; 0-d arrays have none."""
    if axis is not None and not x.ndim:
        normalize_axes(name, integers_of(name, axis), 0)


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


def masked(x: Var, where: Any, fill: Any) -> Var:
    """Return x with `fill` wherever `where` is false; True and NOTHING change nothing.

    Raises:
        ShapeError: `where` does not broadcast to x.
    """
    if where is True or where is NOTHING:
        return x
    mask = _mask_of(x, where)
    return _select(mask, x, fill if isinstance(fill, Var) else literal(fill, x.dtype))


def _mask_of(x: Var, where: Any) -> Var:
    mask = as_var(where, "where")
    fits = mask.ndim <= x.ndim
    for have, want in zip(reversed(mask.shape), reversed(x.shape), strict=False):
        fits = fits and (have in (1, -1, want) or want == -1)
    if not fits:
        raise ShapeError(
            f"where: found shape {mask.shape}, expected one that broadcasts to {x.shape}."
        )
    return mask if mask.dtype.kind == "b" else mask != 0


def _started(found: Var, initial: Any, combine: Any) -> Var:
    """Return a reduction combined with the value it starts from."""
    if initial is NOTHING or initial is None:
        return found
    result: Var = combine(found, _initial(initial, found.dtype))
    return result


def _initial(initial: Any, dtype: _np.dtype[Any]) -> Var:
    value = initial if isinstance(initial, Var) else None
    if value is None:
        if _np.ndim(initial):
            raise DTypeError(f"initial: found {initial!r}, expected a single number.")
        return literal(initial, dtype)
    if value.ndim:
        raise DTypeError(f"initial: found shape {value.shape}, expected a single number.")
    return cast(value, dtype)


def _reduced(function: Any, x: Var, axis: Any, keepdims: Any, **extra: Any) -> Var:
    axes = _axes(x, axis)
    if axes == ():
        # An empty tuple reduces over no axis at all.
        found: Var = function(_expand_dims(x, -1), (-1,), False, **extra)
    else:
        found = function(x, axes, keepdims is not NOTHING and bool(keepdims), **extra)
    return found


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
    if wanted is not None and kind_of(wanted) in "biu" and kind_of(x.dtype) in "fc":
        x = cast(x, wanted)  # each element is rounded, not the sum
    return x, wanted


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the sum over `axis`; small integers are summed in 64 bits, as in NumPy.

    Args:
        a: array.
        axis: axis, axes or None for all; () sums nothing.
        dtype: element type of the result, in which the sum is computed.
        out: Var to write the result to.
        keepdims: leave reduced axes with size 1.
        initial: number to start from.
        where: bools that broadcast to a: which elements count.
    """
    x, wanted = _summands(a, dtype)
    found = _reduced(_reduce.reduce_sum, masked(x, where, 0), axis, keepdims, dtype=wanted)
    return stored(_started(found, initial, _added), out)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the product over `axis`; small integers are multiplied in 64 bits, as in NumPy.

    Arguments are those of `sum`.
    """
    x, wanted = _summands(a, dtype)
    found = _reduced(_reduce.reduce_prod, masked(x, where, 1), axis, keepdims, dtype=wanted)
    return stored(_started(found, initial, _multiplied), out)


def _added(found: Var, start: Var) -> Any:
    return found | start if found.dtype.kind == "b" else found + start


def _multiplied(found: Var, start: Var) -> Any:
    return found & start if found.dtype.kind == "b" else found * start


def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = NOTHING,
) -> Var:
    """Return the mean over `axis`; float32 for integers. Arguments are those of `sum`."""
    x = as_var(a, "mean")
    wanted = None if dtype is None else as_dtype(dtype)
    if where is not True and where is not NOTHING:
        return stored(_mean_where(x, axis, wanted, keepdims, where), out)
    check_axes("mean", x, axis)
    if wanted is not None and wanted.kind in "biu":
        total = sum(x, axis, wanted, None, keepdims)
        return stored(cast(total / _count(x, axis, keepdims, _np.float64), wanted), out)
    return stored(_reduced(_reduce.reduce_mean, x, axis, keepdims, dtype=wanted), out)


def _mean_where(x: Var, axis: Any, dtype: Any, keepdims: Any, where: Any) -> Var:
    result = float_result(x.dtype) if dtype is None else dtype
    wide = _np.dtype(_np.float32) if is_half(result) and dtype is None else result
    total = sum(x, axis, wide, None, keepdims, where=where)
    many = _count(x, axis, keepdims, _np.float64, where)
    return cast(total / (many if wide.kind in "biu" else cast(many, wide)), result)


def _count(x: Var, axis: Any, keepdims: Any, dtype: Any, where: Any = NOTHING) -> Any:
    """Return how many elements are reduced: a number, or a Var where that depends on values."""
    if where is NOTHING or where is True:
        if -1 not in x.shape:
            axes = _axes(x, axis)
            count = 1
            for each in range(x.ndim) if axes is None else axes:
                count *= x.shape[normalize_axis("mean", each, x.ndim)]
            return float(count)
        return sum(cast(_ones_like(x), dtype), axis, None, None, keepdims)
    chosen = _broadcast_like(_mask_of(x, where), x)
    return sum(cast(chosen, _np.int64), axis, None, None, keepdims)


def max(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the largest element over `axis`; NaN if one is NaN.

    Args:
        a: array; complex numbers are ordered by real, then by imaginary part.
        axis: axis, axes or None for all.
        out: Var to write the result to.
        keepdims: leave reduced axes with size 1.
        initial: the least result; necessary for no elements.
        where: bools that broadcast to a: which elements count; needs `initial`.

    Raises:
        ShapeError: there are no elements and no `initial`.
    """
    return _extreme(a, axis, out, keepdims, initial, where, largest=True)


def min(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the smallest element over `axis`; NaN if one is NaN. Arguments are those of `max`."""
    return _extreme(a, axis, out, keepdims, initial, where, largest=False)


amax = max
amin = min


def _extreme(
    a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any, *, largest: bool
) -> Var:
    x = as_var(a, "max" if largest else "min")
    bounded = initial is not NOTHING and initial is not None
    if where is not True and where is not NOTHING:
        if not bounded:
            raise ShapeError("max/min: found where without initial. Say what no element gives.")
        x = masked(x, where, _initial(initial, x.dtype))
    if x.dtype.kind == "c":
        found = _complex_extreme(x, axis, keepdims, initial if bounded else None, largest=largest)
        return stored(found, out)
    if bounded and 0 in x.shape:
        # What is left has the sizes of a sum, and no element decides it.
        empty = sum(x, axis, x.dtype, None, keepdims)
        start = _initial(initial, x.dtype)
        return stored(_broadcast_like(start, empty), out)
    function = _reduce.reduce_max if largest else _reduce.reduce_min
    found = _reduced(function, x, axis, keepdims)
    return stored(_started(found, initial, _maximum if largest else _minimum), out)


def _complex_extreme(x: Var, axis: Any, keepdims: Any, initial: Any, *, largest: bool) -> Var:
    axes = _axes(x, axis)
    rows = rows_of(x, axes)
    if initial is not None:
        from mnn.ops.joining import concat

        first = _zeros_like(sum(rows, -1, keepdims=True)) + _initial(initial, x.dtype)
        rows = concat([first, rows], -1)
    if rows.shape[-1] == 0:
        raise ShapeError("max/min: found no elements, and no value for that. Give initial.")
    ordered = _sort(rows, -1)
    last = ordered[..., -1]  # NaN is sorted to the end
    found = last if largest else _select(_isnan(last), last, ordered[..., 0])
    return with_axes(x, found, axes) if keepdims and keepdims is not NOTHING else found


def any(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = NOTHING,
) -> Var:
    """Return whether any element over `axis` is nonzero; elements outside `where` do not count."""
    x = masked(as_var(a, "any"), where, 0)
    return stored(_reduced(_reduce.reduce_any, x, axis, keepdims), out)


def all(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = NOTHING,
) -> Var:
    """Return whether all elements over `axis` are nonzero; those outside `where` do not count."""
    x = masked(as_var(a, "all"), where, 1)
    return stored(_reduced(_reduce.reduce_all, x, axis, keepdims), out)


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Var:
    """Return the largest minus the smallest element over `axis`."""
    x = as_var(a, "ptp")
    return stored(max(x, axis, None, keepdims) - min(x, axis, None, keepdims), out)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = False,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
    correction: Any = NOTHING,
) -> Var:
    """Return the variance over `axis`: squares from the mean, divided by count - ddof.

    Args:
        a: array.
        axis: axis, axes or None for all.
        dtype: element type in which it is computed.
        out: Var to write the result to.
        ddof: what the count is lessened by.    correction: the same under its standard name.
        keepdims: leave reduced axes with size 1.
        where: bools that broadcast to a: which elements count.
        mean: the mean, computed with keepdims, if it is known.

    Raises:
        ShapeError: both ddof and correction are given.
    """
    x = as_var(a, "var")
    ddof = _degrees(ddof, correction)
    if dtype is not None:
        result = as_dtype(dtype)
    else:
        result = float_result(x.dtype)
        if result.kind == "c":
            result = _np.dtype(_np.float32 if result == _np.complex64 else _np.float64)
    spread = _spread(_widened(x, dtype), axis, keepdims, where, mean)
    many = _count(x, axis, keepdims, spread.dtype, where)
    if isinstance(many, float):
        divisor: Any = float(_np.maximum(many - ddof, 0))
    else:
        divisor = _maximum(cast(many, spread.dtype) - ddof, 0.0)
    return stored(cast(spread / divisor, result), out)


def _degrees(ddof: float, correction: Any) -> float:
    if correction is NOTHING:
        return ddof
    if ddof != 0:
        raise ShapeError("var: found both ddof and correction, which mean the same. Give one.")
    number: float = correction
    return number


def _widened(x: Var, dtype: Any) -> Var:
    """Return x in the type in which squares are summed: wide enough for differences of integers."""
    if dtype is not None:
        wanted = as_dtype(dtype)
        return cast(x, wanted) if kind_of(wanted) in "fc" else cast(x, _np.float64)
    if x.dtype.kind in "iu" and x.dtype.itemsize >= 4:
        return cast(x, _np.float64)
    if x.dtype.kind in "biu" or is_half(x.dtype):
        return cast(x, default_float)
    return x


def _spread(x: Var, axis: Any, keepdims: Any, where: Any, given: Any) -> Var:
    """Return the sum of squared distances from the mean."""
    middle = mean(x, axis, None, None, True, where=where) if given is NOTHING else given
    # Squares of what does not count would give NaN for gradients, where that is NaN.
    centred = masked(x - middle, where, 0)
    squares = square(_absolute(centred)) if x.dtype.kind == "c" else square(centred)
    return sum(squares, axis, None, None, keepdims)


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = False,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
    correction: Any = NOTHING,
) -> Var:
    """Return the standard deviation over `axis`: the root of `var`, whose arguments it takes."""
    options = {"where": where, "mean": mean, "correction": correction}
    spread = var(a, axis, dtype, None, ddof, keepdims, **options)
    return stored(cast(sqrt(spread), spread.dtype), out)


def rows_of(x: Var, axes: Any) -> Var:
    """Return x with `axes` (None: all) merged into one last axis."""
    if axes is None:
        return ravel(x)
    if not axes:
        return _expand_dims(x, -1)
    places = normalize_axes("reduction", axes, x.ndim)
    rest = [each for each in range(x.ndim) if each not in places]
    return _flatten(_transpose(x, [*rest, *places]), len(rest), -1)


def with_axes(x: Var, found: Var, axes: Any) -> Var:
    """Return a reduction of x with its `axes` (None: all) back with size 1."""
    return _expand_dims(found, axes) if axes is not None else reshape(found, [1] * x.ndim)


def _position(function: Any, a: Any, axis: Any, out: Any, keepdims: Any) -> Var:
    x = as_var(a, "argmax")
    keep = keepdims is not NOTHING and keepdims
    if axis is None or (not x.ndim and axis in (0, -1)):
        found: Var = function(ravel(x), 0)
        return stored(reshape(found, [1] * x.ndim) if keep else found, out)
    found = function(x, axis)
    return stored(_expand_dims(found, axis) if keep else found, out)


def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Var:
    """Return the int32 index of the first largest element, of the flat array if axis is None."""
    return _position(_scan.argmax, a, axis, out, keepdims)


def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Var:
    """Return the int32 index of the first smallest element, of the flat array if axis is None."""
    return _position(_scan.argmin, a, axis, out, keepdims)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Var:
    """Return how many elements over `axis` are nonzero."""
    return sum(as_var(a, "count_nonzero") != 0, axis, None, None, keepdims)
