"""Order statistics: medians and quantiles, also of what is left without NaN."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.dtypes import common_dtype, default_float, float_result, kind_of
from mnn.expr.var import Var
from mnn.numpy.reductions import (
    NOTHING,
    _axes,
    check_axes,
    mean,
    rows_of,
    stored,
    sum,
    with_axes,
)
from mnn.numpy.sizes import sizes_of
from mnn.numpy.weights import fitting_weights
from mnn.ops import scan as _scan
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.broadcast import broadcast_like as _broadcast_like
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.index import gather as _gather
from mnn.ops.index import gather_elements as _gather_elements
from mnn.ops.movement import expand_dims as _expand_dims
from mnn.ops.movement import reshape
from mnn.ops.operands import array_of, as_var
from mnn.ops.sorting import sort as _sort
from mnn.ops.transpose import transpose as _transpose
from mnn.ops.unary import ceil, floor, rint
from mnn.ops.unary import isnan as _isnan

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]


def _keeps(keepdims: Any) -> bool:
    return keepdims is not NOTHING and bool(keepdims)


def _first(rows: Var) -> Var:
    """Return rows with their last axis in front."""
    return _transpose(rows, [rows.ndim - 1, *range(rows.ndim - 1)]) if rows.ndim > 1 else rows


def _middle(low: Var, high: Var) -> Var:
    """Return the mean of two elements, which may be the same and as large as numbers get."""
    if low.dtype.kind in "biu":
        low, high = (cast(each, _np.float64) for each in (low, high))
    half: Var = _select(low == high, low, low / 2 + high / 2)
    return half


def median(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = False,
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
    check_axes("median", x, axis)
    axes = _axes(x, axis)
    rows = rows_of(x, axes)
    if rows.shape[-1] == 0:
        return stored(mean(x, axis, None, None, keepdims), out)
    ordered = _first(_sort(rows, -1))
    size = sizes_of(ordered)[0]
    found = _middle(_gather(ordered, (size - 1) // 2), _gather(ordered, size // 2))
    if kind_of(x.dtype) in "fc":
        # NaN sorts to the end: where the last is NaN, so is the median.
        last = ordered[-1]
        found = _select(_isnan(last), last, found)
    found = cast(found, float_result(x.dtype))
    return stored(with_axes(x, found, axes) if _keeps(keepdims) else found, out)


def nanmedian(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = NOTHING,
) -> Var:
    """Return the median over `axis` of the elements that are no NaN; see `median`."""
    x = as_var(a, "nanmedian")
    if kind_of(x.dtype) not in "fc" or 0 in x.shape:
        return median(x, axis, out, overwrite_input, _keeps(keepdims))
    check_axes("nanmedian", x, axis)
    axes = _axes(x, axis)
    ordered = _first(_sort(rows_of(x, axes), -1))
    count = sum(cast(~_isnan(ordered), _np.int32), 0, _np.int32, None, True)
    low = _gather_elements(ordered, _maximum((count - 1) // 2, 0), axis=0)
    high = _gather_elements(ordered, _minimum(count // 2, _maximum(count - 1, 0)), axis=0)
    found = _middle(low, high)[0]
    return stored(with_axes(x, found, axes) if _keeps(keepdims) else found, out)


# --- quantiles -----------------------------------------------------------------------------------

_HOST = SimpleNamespace(floor=_np.floor, ceil=_np.ceil, rint=_np.rint, where=_np.where)
_GRAPH = SimpleNamespace(floor=floor, ceil=ceil, rint=rint, where=_select)

# Plotting positions alpha and beta of the methods that Hyndman and Fan (1996) number 4 to 9.
_POSITIONS = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3.0, 1 / 3.0),
    "normal_unbiased": (3 / 8.0, 3 / 8.0),
}
_DISCRETE = ("inverted_cdf", "closest_observation", "lower", "higher", "nearest")
_OTHERS = ("linear", "averaged_inverted_cdf", "midpoint")


def _discrete_place(method: str, count: Any, q: Any, numbers: Any) -> Any:
    """Return which of `count` ordered elements is quantile q; may lie outside."""
    spread = (count - 1) * q
    if method == "lower":
        return numbers.floor(spread)
    if method == "higher":
        return numbers.ceil(spread)
    if method == "nearest":
        return numbers.rint(spread)
    place = count * q - (1 if method == "inverted_cdf" else 1.5)
    below = numbers.floor(place)
    exact = place == below
    if method == "closest_observation":
        exact = exact & (below % 2 == 1)
    return numbers.where(exact, below, below + 1)


def _place(method: str, count: Any, q: Any, numbers: Any) -> tuple[Any, Any]:
    """Return where quantile q lies among `count` ordered elements, and the share of the next."""
    if method in _POSITIONS:
        alpha, beta = _POSITIONS[method]
        place = count * q + (alpha + q * (1 - alpha - beta)) - 1
    elif method == "averaged_inverted_cdf":
        place = count * q - 1
    elif method == "midpoint":
        spread = (count - 1) * q
        place = (numbers.floor(spread) + numbers.ceil(spread)) * 0.5
    else:
        place = (count - 1) * q
    share = place - numbers.floor(place)
    if method == "averaged_inverted_cdf":
        share = numbers.where(share == 0, 0.5, 1.0)
    return place, share


def _interpolated(low: Var, high: Var, share: Var) -> Var:
    """Return a point between two elements, computed from the nearer one."""
    distance = high - low
    near: Var = _select(share >= 0.5, high - distance * (1 - share), low + distance * share)
    return near


class _Quantiles:
    """What a call asks for: q in [0, 1], how to read it, and the type of the result."""

    def __init__(self, name: str, q: Any, divisor: int, method: str) -> None:
        if method not in (*_DISCRETE, *_OTHERS, *_POSITIONS):
            raise ShapeError(
                f"{name}: method is {method!r}, expected one of "
                f"{sorted((*_DISCRETE, *_OTHERS, *_POSITIONS))}."
            )
        self.name, self.method = name, method
        made = array_of(q, name)
        own = isinstance(q, (Var, _np.ndarray, _np.generic))
        self.weak = type(q) in (int, float)
        values = made if own else _np.asarray(q)
        self.values = values / divisor if divisor != 1 else values
        kept = own and kind_of(self.values.dtype) == "f"
        self.dtype = self.values.dtype if kept else default_float
        if self.values.ndim > 2:
            raise ShapeError(f"{name}: q has shape {made.shape}, expected a number or a vector.")
        if not bool(((self.values >= 0) & (self.values <= 1)).all()):
            raise ShapeError(f"{name}: q is {q!r}, expected numbers in [0, {divisor}].")

    @property
    def takes_elements(self) -> bool:
        """True when the result is an element, not a number between two."""
        return self.method in _DISCRETE or (
            self.method == "linear" and self.values.dtype.kind in "iu"
        )

    def result_dtype(self, dtype: _np.dtype[Any]) -> _np.dtype[Any]:
        """Return the type of quantiles of elements of `dtype`."""
        if self.takes_elements:
            return dtype
        if dtype.kind in "biu":
            return self.dtype if not self.weak else default_float
        return dtype if self.weak else common_dtype(dtype, self.dtype)

    def column(self, rank: int) -> Any:
        """Return q along a first axis, before `rank` others."""
        return self.values.reshape(-1, *[1] * rank)

    def shaped(self, found: Var) -> Var:
        """Return results with the one axis of q as q's axes."""
        if self.values.ndim == 1:
            return found
        if not self.values.ndim:
            return found[0]
        return reshape(found, (*self.values.shape, *found.shape[1:]), copy_zero=False)


def _read(ordered: Var, wanted: _Quantiles, count: Any, numbers: Any) -> Var:
    """Return quantiles, q first, of columns in order.

    Args:
        ordered: `(n, ...)`.
        wanted: which.
        count: how many of each column's first elements matter: an int or float64 `(1, ...)`.
        numbers: functions for counts of that kind.
    """
    q = wanted.column(0 if numbers is _HOST else ordered.ndim - 1)
    many = sizes_of(ordered)[0]
    if numbers is _GRAPH:
        q = Var(q.astype(_np.float64))
    if wanted.takes_elements and wanted.method not in _DISCRETE:
        return _elements(ordered, (count - 1) * q, many)
    if wanted.takes_elements:
        return _elements(ordered, _discrete_place(wanted.method, count, q, numbers), many, count)
    place, share = _place(wanted.method, count, q, numbers)
    below, dtype = numbers.floor(place), wanted.result_dtype(ordered.dtype)
    inside = (place >= 0) & (place < count - 1)
    low = _elements(ordered, below, many, count)
    high = _elements(ordered, numbers.where(inside, below + 1, below), many, count)
    wide = _np.dtype(_np.float64) if ordered.dtype.kind in "iu" else dtype
    if ordered.dtype.kind == "b":
        raise DTypeError(f"{wanted.name}: found bools, between which there is nothing.")
    part = as_var(share).astype(wide)
    if numbers is _HOST:
        part = reshape(part, (-1, *[1] * (ordered.ndim - 1)))
    return cast(_interpolated(cast(low, wide), cast(high, wide), part), dtype)


def _elements(ordered: Var, place: Any, many: Any, count: Any = None) -> Var:
    """Return elements of columns at places, which are limited to the first `count` ones."""
    top = (many if count is None else count) - 1
    if isinstance(place, Var):
        chosen = cast(_maximum(_minimum(place, top), 0), _np.int32)
        if chosen.ndim == ordered.ndim:
            found: Var = _gather_elements(ordered, chosen, axis=0)
            return found
        return _gather(ordered, chosen)
    return _gather(ordered, Var(_np.clip(place, 0, top).astype(_np.int32)))


def _quantile(
    a: Any,
    wanted: _Quantiles,
    axis: Any,
    out: Any,
    keepdims: Any,
    weights: Any,
    *,
    skip: bool,
) -> Var:
    x = as_var(a, wanted.name)
    if x.dtype.kind == "c":
        raise DTypeError(f"{wanted.name}: found {x.dtype}, expected real numbers.")
    check_axes(wanted.name, x, axis)
    axes = _axes(x, axis)
    if skip and 0 in x.shape:
        return stored(mean(x, axis, None, None, keepdims), out)
    if weights is not None:
        w = _checked_weights(x, weights, wanted, axis)
        found = _weighted(rows_of(x, axes), rows_of(w, axes), wanted, skip=skip)
    else:
        found = _plain(rows_of(x, axes), wanted, skip=skip)
    found = wanted.shaped(found)
    if _keeps(keepdims):
        rank = wanted.values.ndim
        places = range(x.ndim) if axes is None else [each % x.ndim for each in axes]
        found = _expand_dims(found, tuple(each + rank for each in places)) if places else found
    return stored(found, out)


def _plain(rows: Var, wanted: _Quantiles, *, skip: bool) -> Var:
    if rows.shape[-1] == 0:
        raise IndexRangeError(f"{wanted.name}: found no elements. Expected at least one.")
    ordered = _first(_sort(rows, -1))
    nans = kind_of(rows.dtype) == "f"
    if skip and nans:
        valid = sum(cast(~_isnan(ordered), _np.int32), 0, _np.int64, None, True)
        return _read(ordered, wanted, cast(valid, _np.float64), _GRAPH)
    size: Any = ordered.shape[0]
    if size < 0:
        many = sum(cast(_isnan(ordered) | True, _np.int32), 0, _np.int64, None, True)
        found = _read(ordered, wanted, cast(many, _np.float64), _GRAPH)
    else:
        found = _read(ordered, wanted, size, _HOST)
    if nans:
        last = cast(ordered[-1], found.dtype)
        found = _select(_isnan(last), last, found)
    return found


def _checked_weights(x: Var, weights: Any, wanted: _Quantiles, axis: Any) -> Var:
    if wanted.method != "inverted_cdf":
        raise ShapeError(
            f"{wanted.name}: found weights with method {wanted.method!r}, expected 'inverted_cdf'."
        )
    w = fitting_weights(wanted.name, x, as_var(weights, wanted.name), axis)
    if w._ref is None and bool((w._array() < 0).any()):
        raise ShapeError(f"{wanted.name}: found negative weights, expected numbers >= 0.")
    fitting: Var = _broadcast_like(w, x) if w.shape != x.shape else w
    return fitting


def _weighted(rows: Var, weights: Var, wanted: _Quantiles, *, skip: bool) -> Var:
    """Return the first elements at which the running share of weights reaches q."""
    order = _sort(rows, -1, True)
    ordered = _first(_gather_elements(rows, order, axis=-1))
    heavy = cast(_first(_gather_elements(weights, order, axis=-1)), _np.float64)
    nans = kind_of(rows.dtype) == "f"
    if skip and nans:
        heavy = _select(_isnan(ordered), 0.0, heavy)
    running = _scan.cumsum(heavy, 0)
    share = running / running[-1:]
    if share._ref is None and not skip and bool(_np.isnan(share._array()[-1]).any()):
        raise ShapeError(f"{wanted.name}: found weights that are NaN, infinite or all 0.")
    share = _select(share == 0, -1.0, share)
    reached = _expand_dims(share, 0) < Var(wanted.column(rows.ndim).astype(_np.float64))
    place = sum(reached, 1, _np.int64)
    found = _elements(ordered, place, sizes_of(ordered)[0])
    if nans and not skip:
        last = ordered[-1]
        found = _select(_isnan(last), last, found)
    return found


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Var:
    """Return the numbers below which a share q of the elements over `axis` lies; NaN if one is.

    Args:
        a: array of real numbers.
        q: number or numbers in [0, 1], read at once; its axes come first in the result.
        axis: axis or axes; None: all.
        out: Var to write the result to.
        overwrite_input: accepted for compatibility; the input is never changed.
        method: which of NumPy's thirteen definitions.
        keepdims: leave reduced axes with size 1.
        weights: weight of each element, of a's shape or of the axes'; method "inverted_cdf" only.

    Raises:
        ShapeError: q out of range, unknown method, weights that do not fit.
        IndexRangeError: there are no elements.
    """
    wanted = _Quantiles("quantile", q, 1, method)
    return _quantile(a, wanted, axis, out, keepdims, weights, skip=False)


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Var:
    """Return the numbers below which q percent of the elements over `axis` lie; see `quantile`."""
    wanted = _Quantiles("percentile", q, 100, method)
    return _quantile(a, wanted, axis, out, keepdims, weights, skip=False)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = NOTHING,
    *,
    weights: Any = None,
) -> Var:
    """Return quantiles of the elements that are no NaN; see `quantile`. NaN where none is left."""
    wanted = _Quantiles("nanquantile", q, 1, method)
    return _quantile(a, wanted, axis, out, keepdims, weights, skip=True)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = NOTHING,
    *,
    weights: Any = None,
) -> Var:
    """Return percentiles of the elements that are no NaN; see `quantile`."""
    wanted = _Quantiles("nanpercentile", q, 100, method)
    return _quantile(a, wanted, axis, out, keepdims, weights, skip=True)
