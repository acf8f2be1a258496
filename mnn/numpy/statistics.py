"""Covariance, correlation and convolution."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, common_dtype, float_result, is_half
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.reductions import any as _any
from mnn.numpy.reductions import sum
from mnn.numpy.sizes import known_shape, sizes_of, steps
from mnn.numpy.weights import average
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.elementary import conjugate as _conjugate
from mnn.ops.elementary import imaginary as _imaginary
from mnn.ops.elementary import real_part as _real_part
from mnn.ops.index import gather as _gather
from mnn.ops.joining import concat as _concat
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.movement import reshape, squeeze
from mnn.ops.operands import as_var, as_vars
from mnn.ops.transpose import transpose as _transpose
from mnn.ops.unary import sqrt

__all__ = ["convolve", "corrcoef", "correlate", "cov"]


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Var:
    """Return the covariance matrix, computed in float64.

    Args:
        m: one variable, or a matrix with one variable in each row.
        y: more variables of the same kind.
        rowvar: False: variables are columns.
        bias: divide by the number of observations, not by one less.
        ddof: what to lessen that number by, in place of 0 and 1.
        fweights: how often each observation was made, integers.
        aweights: how much each observation counts.
        dtype: element type of the result.

    Raises:
        ShapeError: more than two dimensions, a ddof that is no integer, weights that do not fit.
    """
    variables = as_vars([each for each in (m, y) if each is not None], "cov")
    weights = [None if each is None else as_var(each, "cov") for each in (fweights, aweights)]
    if at_once(*variables, *weights):
        other = variables[1] if len(variables) > 1 else None
        found = computed(_np.cov, variables[0], other, rowvar, bias, ddof, *weights)
        return cast(found, _result_dtype(variables, dtype))
    return squeeze(_matrix(m, y, rowvar, bias, ddof, (fweights, aweights), dtype))


def _matrix(
    m: Any, y: Any, rowvar: bool, bias: bool, ddof: Any, weights: tuple[Any, Any], dtype: Any
) -> Var:
    """Return what `cov` returns, with two dimensions in any case."""
    if ddof is not None and ddof != int(ddof):
        raise ShapeError(f"cov: ddof is {ddof!r}, expected an integer.")
    variables = as_vars([m] if y is None else [m, y], "cov")
    if max(each.ndim for each in variables) > 2:
        raise ShapeError("cov: found more than two dimensions, expected a matrix of variables.")
    result = _result_dtype(variables, dtype)
    wide = _np.complex128 if any(each.dtype.kind == "c" for each in variables) else _np.float64
    rows = _rows(variables, wide, by_rows=rowvar)
    if rows.shape[0] == 0:
        return Var(_np.zeros((0, 0), result))
    return cast(_covariance(rows, bias, ddof, _weights(rows, *weights)), result)


def _result_dtype(variables: list[Var], dtype: Any) -> _np.dtype[Any]:
    if dtype is not None:
        return as_dtype(dtype)
    result = float_result(common_dtype(*(each.dtype for each in variables)))
    return _np.dtype(_np.float32) if is_half(result) else result


def _rows(variables: list[Var], dtype: Any, *, by_rows: bool) -> Var:
    """Return the variables as the rows of one matrix."""
    made = []
    for number, each in enumerate(variables):
        rows = cast(each, dtype)
        if rows.ndim < 2:
            rows = reshape(rows, (1, -1)) if rows.ndim else reshape(rows, (1, 1))
            turned = False
        else:
            turned = not by_rows and (number == 0 or rows.shape[0] != 1)
        made.append(_transpose(rows, (1, 0)) if turned else rows)
    return _concat(made, 0) if len(made) > 1 else made[0]


def _weights(rows: Var, frequencies: Any, importances: Any) -> tuple[Var | None, Var | None]:
    """Return the product of both weights, and the second ones."""
    combined: Var | None = None
    for given, whole in ((frequencies, True), (importances, False)):
        if given is None:
            continue
        w = as_var(given, "cov")
        if w.ndim != 1 or (w.shape[0] != rows.shape[1] and -1 not in (*w.shape, *rows.shape)):
            raise ShapeError(f"cov: weights {w.shape} do not fit {rows.shape[1]} observations.")
        if w._ref is None:
            values = w._array()
            if whole and not bool((values == _np.around(values)).all()):
                raise DTypeError("cov: fweights hold fractions, expected integers.")
            if bool((values < 0).any()):
                raise ShapeError("cov: found negative weights, expected numbers >= 0.")
        w = cast(w, _np.float64)
        combined = w if combined is None else combined * w
    held = None if importances is None else cast(as_var(importances, "cov"), _np.float64)
    return combined, held


def _covariance(
    rows: Var, bias: bool, ddof: int | None, weights: tuple[Var | None, Var | None]
) -> Var:
    combined, importances = weights
    lessened = ddof if ddof is not None else (0 if bias else 1)
    middle, total = average(rows, axis=1, weights=combined, returned=True)
    if combined is None:
        divisor: Any = _real_part(total)[0] - lessened
    else:
        many = _real_part(total)[0]
        if lessened == 0:
            divisor = many
        elif importances is None:
            divisor = many - lessened
        else:
            divisor = many - lessened * sum(combined * importances) / many
    divisor = _select(divisor <= 0, 0.0, divisor)
    centred = rows - reshape(middle, (-1, 1))
    other = centred if combined is None else centred * combined
    product = _matmul(centred, _conjugate(_transpose(other, (1, 0))))
    scaled: Var = product * (1.0 / divisor)
    return scaled


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Var:
    """Return the correlation coefficients of variables; the arguments are those of `cov`."""
    variables = as_vars([each for each in (x, y) if each is not None], "corrcoef")
    wanted = _result_dtype(variables, dtype)
    if at_once(*variables):
        return cast(computed(_np.corrcoef, *variables, rowvar=rowvar), wanted)
    wide = _np.complex128 if wanted.kind == "c" else _np.float64
    found = _matrix(x, y, rowvar, False, None, (None, None), wide)
    size = sizes_of(found)[0]
    spread = sqrt(_real_part(_gather(reshape(found, (-1,)), steps(size) * (size + 1))))
    found = found / reshape(spread, (-1, 1)) / reshape(spread, (1, -1))
    if wide is _np.complex128:
        found = _limited(_real_part(found)) + _limited(_imaginary(found)) * 1j
    else:
        found = _limited(found)
    return squeeze(cast(found, wanted))


def _limited(x: Var) -> Var:
    limited: Var = _minimum(_maximum(x, -1.0), 1.0)
    return limited


# --- convolution ---------------------------------------------------------------------------------

_MODES = ("valid", "same", "full")


def _vectors(name: str, a: Any, v: Any, mode: Any) -> tuple[Var, Var, str]:
    if mode not in _MODES:
        raise ShapeError(f"{name}: mode is {mode!r}, expected one of {_MODES}.")
    one, two = as_vars((a, v), name)
    if name == "convolve":
        one, two = (reshape(each, (1,)) if not each.ndim else each for each in (one, two))
    if one.ndim != 1 or two.ndim != 1:
        raise ShapeError(f"{name}: found shapes {one.shape} and {two.shape}, expected vectors.")
    if 0 in (one.shape[0], two.shape[0]):
        raise ShapeError(f"{name}: found no elements in {one.shape} or {two.shape}.")
    return one, two, mode


def convolve(a: Any, v: Any, mode: str = "full") -> Var:
    """Return the convolution of two vectors: sums of a[n] v[k - n] for each k.

    Args:
        a, v: vectors.
        mode: "full": every k; "same": as many as the longer has; "valid": where they overlap fully.

    Raises:
        ShapeError: no vectors, no elements, or an unknown mode.
    """
    one, two, mode = _vectors("convolve", a, v, mode)
    if at_once(one, two):
        found: Var = computed(_np.convolve, one, two, mode)
        return found
    if known_shape("convolve", two)[0] > known_shape("convolve", one)[0]:
        one, two = two, one
    return _slid(one, two[::-1], mode)


def correlate(a: Any, v: Any, mode: str = "valid") -> Var:
    """Return the correlation of two vectors: sums of a[n + k] conj(v[n]) for each k.

    The arguments are those of `convolve`.
    """
    one, two, mode = _vectors("correlate", a, v, mode)
    if at_once(one, two):
        found: Var = computed(_np.correlate, one, two, mode)
        return found
    two = _conjugate(two) if two.dtype.kind == "c" else two
    if known_shape("correlate", two)[0] > known_shape("correlate", one)[0]:
        return _slid(two, one, mode)[::-1]
    return _slid(one, two, mode)


def _slid(x: Var, window: Var, mode: str) -> Var:
    """Return the sums of products of a window with as many elements of x, from each place."""
    length, width = x.shape[0], window.shape[0]
    first, count = {
        "full": (1 - width, length + width - 1),
        "same": ((width - 1) // 2 - (width - 1), length),
        "valid": (0, length - width + 1),
    }[mode]
    places = _np.arange(first, first + count)[:, None] + _np.arange(width)
    inside = (places >= 0) & (places < length)
    dtype = common_dtype(x.dtype, window.dtype)
    parts = _gather(cast(x, dtype), Var(_np.clip(places, 0, length - 1).astype(_np.int32)))
    parts = _select(Var(inside), parts, cast(0, dtype))
    if dtype.kind == "b":
        return _any(parts & window, -1)
    return sum(parts * cast(window, dtype), -1, dtype)
