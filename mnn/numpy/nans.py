"""Reductions of the elements that are no NaN."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, kind_of
from mnn.expr.var import Var
from mnn.numpy import reductions as _reductions
from mnn.numpy import running as _running
from mnn.numpy.hosting import at_once
from mnn.numpy.reductions import NOTHING, rows_of, stored, with_axes
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.index import gather_elements as _gather_elements
from mnn.ops.operands import as_var
from mnn.ops.sorting import sort as _sort
from mnn.ops.unary import isnan as _isnan
from mnn.ops.unary import sqrt

__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def _has_nan(x: Var) -> bool:
    """Return whether elements of the type of x can be NaN."""
    return kind_of(x.dtype) in "fc"


def _filled(a: Any, name: str, value: float) -> Var:
    """Return the array with `value` for every NaN."""
    x = as_var(a, name)
    return _select(_isnan(x), value, x) if _has_nan(x) else x


def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the sum over `axis` with 0 for NaN; the arguments are those of `sum`."""
    x = _filled(a, "nansum", 0.0)
    return _reductions.sum(x, axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the product over `axis` with 1 for NaN; the arguments are those of `prod`."""
    x = _filled(a, "nanprod", 1.0)
    return _reductions.prod(x, axis, dtype, out, keepdims, initial, where)


def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Var:
    """Return the running sum along `axis` (None: of the flat array) with 0 for NaN."""
    return _running.cumsum(_filled(a, "nancumsum", 0.0), axis, dtype, out)


def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Var:
    """Return the running product along `axis` (None: of the flat array) with 1 for NaN."""
    return _running.cumprod(_filled(a, "nancumprod", 1.0), axis, dtype, out)


# --- extremes ------------------------------------------------------------------------------------


def nanmax(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the largest element over `axis` that is no NaN, NaN if none is; see `max`."""
    return _extreme(a, axis, out, keepdims, initial, where, largest=True)


def nanmin(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    initial: Any = NOTHING,
    where: Any = NOTHING,
) -> Var:
    """Return the smallest element over `axis` that is no NaN, NaN if none is; see `max`."""
    return _extreme(a, axis, out, keepdims, initial, where, largest=False)


def _extreme(
    a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any, *, largest: bool
) -> Var:
    x = as_var(a, "nanmax")
    function = _reductions.max if largest else _reductions.min
    if not _has_nan(x):
        return function(x, axis, out, keepdims, initial, where)
    if initial is not NOTHING and initial is not None:
        start = cast(as_var(initial, "initial"), x.dtype)
        return function(_select(_isnan(x), start, x), axis, out, keepdims, initial, where)
    if x.dtype.kind == "c":
        return stored(_complex_extreme(x, axis, keepdims, where, largest=largest), out)
    worst = -_np.inf if largest else _np.inf
    found = function(_select(_isnan(x), worst, x), axis, None, keepdims, initial, where)
    none = _reductions.all(_isnan(x), axis, None, keepdims)
    return stored(_select(none, _np.nan, found), out)


def _complex_extreme(x: Var, axis: Any, keepdims: Any, where: Any, *, largest: bool) -> Var:
    if where is not NOTHING and where is not True:
        raise ShapeError("nanmax/nanmin: found where without initial. Say what no element gives.")
    axes = _reductions._axes(x, axis)
    ordered = _sort(rows_of(x, axes), -1)  # NaN is sorted to the end
    if ordered.shape[-1] == 0:
        raise ShapeError("nanmax/nanmin: found no elements, and no value for that. Give initial.")
    count = _reductions.sum(cast(~_isnan(ordered), _np.int32), -1, _np.int32, None, True)
    place = _maximum(count - 1, 0) if largest else count * 0
    found: Var = _gather_elements(ordered, place, axis=-1)[..., 0]
    return with_axes(x, found, axes) if keepdims and keepdims is not NOTHING else found


def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NOTHING) -> Var:
    """Return the int32 index of the first largest element along `axis` that is no NaN.

    Raises:
        ShapeError: there are only NaN; a recorded graph gives 0 there.
    """
    x = _filled(a, "nanargmax", -_np.inf)
    _check_numbers("nanargmax", as_var(a, "nanargmax"), axis)
    return _reductions.argmax(x, axis, out, keepdims=keepdims)


def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NOTHING) -> Var:
    """Return the int32 index of the first smallest element along `axis` that is no NaN.

    Raises:
        ShapeError: there are only NaN; a recorded graph gives 0 there.
    """
    x = _filled(a, "nanargmin", _np.inf)
    _check_numbers("nanargmin", as_var(a, "nanargmin"), axis)
    return _reductions.argmin(x, axis, out, keepdims=keepdims)


def _check_numbers(name: str, x: Var, axis: Any) -> None:
    """Raise ShapeError when a row holds nothing but NaN, if the values are known by now."""
    if not _has_nan(x) or not at_once(x) or 0 in x.shape:
        return
    if bool(_reductions.all(_isnan(x), axis)._array().any()):
        raise ShapeError(f"{name}: found nothing but NaN. Expected a number along the axis.")


# --- moments -------------------------------------------------------------------------------------


def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
) -> Var:
    """Return the mean over `axis` of the elements that are no NaN; the arguments are those of
    `sum`. NaN where no element is left.
    """
    x = as_var(a, "nanmean")
    if not _has_nan(x):
        return _reductions.mean(x, axis, dtype, out, keepdims, where=where)
    _check_float("nanmean", dtype)
    present = _present(x, where)
    return _reductions.mean(x, axis, dtype, out, keepdims, where=present)


def _present(x: Var, where: Any) -> Var:
    """Return where x has elements that count."""
    present: Var = ~_isnan(x)
    if where is NOTHING or where is True:
        return present
    return present & _reductions._mask_of(x, where)


def _check_float(name: str, dtype: Any) -> None:
    if dtype is not None and kind_of(as_dtype(dtype)) not in "fc":
        raise DTypeError(f"{name}: dtype is {dtype}, expected a float type, as the array has.")


def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
    correction: Any = NOTHING,
) -> Var:
    """Return the variance over `axis` of the elements that are no NaN; see `var`.

    NaN where no more than ddof elements are left.
    """
    x = as_var(a, "nanvar")
    options = {"mean": mean, "correction": correction}
    if not _has_nan(x):
        return _reductions.var(x, axis, dtype, out, ddof, keepdims, where=where, **options)
    _check_float("nanvar", dtype)
    present = _present(x, where)
    found = _reductions.var(x, axis, dtype, None, ddof, keepdims, where=present, **options)
    count = _reductions.sum(present, axis, None, None, keepdims)
    lost = count <= _reductions._degrees(ddof, correction)
    return stored(_select(lost, _np.nan, found), out)


def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: Any = NOTHING,
    *,
    where: Any = NOTHING,
    mean: Any = NOTHING,
    correction: Any = NOTHING,
) -> Var:
    """Return the standard deviation over `axis` of the elements that are no NaN; see `nanvar`."""
    options = {"where": where, "mean": mean, "correction": correction}
    spread = nanvar(a, axis, dtype, None, ddof, keepdims, **options)
    return stored(cast(sqrt(spread), spread.dtype), out)
