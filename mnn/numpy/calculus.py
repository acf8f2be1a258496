"""Differences, slopes, lines between points, and angles without jumps."""

from __future__ import annotations

import operator
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import common_dtype, default_float, float_result
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.reductions import NOTHING
from mnn.numpy.running import cumsum
from mnn.numpy.sizes import sizes_of
from mnn.ops import search as _search
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.arithmetic import mod as _mod
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.index import gather as _gather
from mnn.ops.joining import concat as _concat
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var, as_vars
from mnn.ops.repeat import broadcast_to
from mnn.ops.sorting import sort as _sort
from mnn.ops.unary import abs as _absolute
from mnn.ops.unary import isnan as _isnan

__all__ = ["diff", "ediff1d", "gradient", "interp", "unwrap"]


def _part(x: Var, place: int, start: int | None, stop: int | None) -> Var:
    """Return x from `start` to `stop` along an axis."""
    index: list[Any] = [slice(None)] * x.ndim
    index[place] = slice(start, stop)
    return x[tuple(index)]


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = NOTHING, append: Any = NOTHING) -> Var:
    """Return the n-th differences of neighbours along `axis`.

    Args:
        a: array.    n: how often.    axis: along which axis.
        prepend, append: values to put before and after the array first; numbers are repeated.

    Raises:
        ShapeError: n is negative, or the values do not fit.
    """
    x = as_var(a, "diff")
    if n == 0:
        return x
    if n < 0:
        raise ShapeError(f"diff: n is {n}, expected >= 0.")
    place = normalize_axis("diff", axis, x.ndim)
    before, after = (_ends(x, place, each) for each in (prepend, append))
    if before or after:
        x = _concat([*before, x, *after], place)
    for _ in range(n):
        one, two = _part(x, place, 1, None), _part(x, place, None, -1)
        x = one != two if x.dtype.kind == "b" else one - two
    return x


def _ends(x: Var, place: int, value: Any) -> list[Var]:
    if value is NOTHING or value is None:
        return []
    part = as_var(value, "diff")
    if not part.ndim:
        sizes = sizes_of(x)
        part = broadcast_to(part, [*sizes[:place], 1, *sizes[place + 1 :]])
    return [part]


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Var:
    """Return the differences of neighbours of the flat array.

    Args:
        ary: array.
        to_end, to_begin: numbers to put after and before them, in a type that the array's holds.

    Raises:
        DTypeError: such numbers are of another kind.
    """
    x = ravel(as_var(ary, "ediff1d"))
    made = x[1:] - x[:-1]
    parts = [made]
    for value, place in ((to_begin, 0), (to_end, 2)):
        if value is None:
            continue
        more = as_var(value, "ediff1d")
        if not _np.can_cast(more.dtype, x.dtype, "same_kind"):
            raise DTypeError(
                f"ediff1d: found ends of {more.dtype} for an array of {x.dtype}. Use one kind."
            )
        parts.insert(min(place, len(parts)), ravel(cast(more, x.dtype)))
    return _concat(parts, 0) if len(parts) > 1 else made


# --- slopes --------------------------------------------------------------------------------------


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return the slopes along each axis, from both neighbours inside and from one at the ends.

    Args:
        f: array.
        varargs: nothing: neighbours are 1 apart; one number: so far apart; or for each axis a
            number or the places along it.
        axis: axis or axes; None: all.
        edge_order: 1 or 2: how many differences the ends take into account.

    Returns:
        One array for one axis, else a tuple of them. Integers give float32.

    Raises:
        ShapeError: too few elements, places that do not fit, or another edge_order.
        DTypeError: neither one nor as many distances as axes.
    """
    x = as_var(f, "gradient")
    if axis is None:
        places = tuple(range(x.ndim))
    else:
        places = normalize_axes("gradient", integers_of("gradient", axis), x.ndim)
    steps = _steps(x, varargs, places)
    if edge_order not in (1, 2):
        raise ShapeError(f"gradient: edge_order is {edge_order!r}, expected 1 or 2.")
    if x.dtype.kind in "biu":
        x = cast(x, default_float if x.dtype.itemsize < 4 else _np.float64)
    found = []
    for place, step in zip(places, steps, strict=True):
        if 0 <= x.shape[place] < edge_order + 1:
            raise ShapeError(
                f"gradient: found {x.shape[place]} elements along axis {place}, expected at least "
                f"{edge_order + 1}."
            )
        found.append(_slope(x, place, step, edge_order))
    made = as_var(f, "gradient")
    if made.dtype.kind in "biu":
        found = [cast(each, default_float) for each in found]
    return found[0] if len(found) == 1 else tuple(found)


def _steps(x: Var, given: tuple[Any, ...], places: tuple[int, ...]) -> list[Any]:
    """Return for each axis one distance, or a vector of those of neighbours."""
    if not given:
        return [1.0] * len(places)
    if len(given) == 1 and not as_var(given[0], "gradient").ndim:
        given = given * len(places)
    if len(given) != len(places):
        raise DTypeError(
            f"gradient: found {len(given)} distances for {len(places)} axes, expected none, one, "
            "or one for each."
        )
    return [_step(x, each, place) for each, place in zip(given, places, strict=True)]


def _step(x: Var, given: Any, place: int) -> Any:
    if isinstance(given, (int, float)):
        return float(given)
    distances = as_var(given, "gradient")
    if not distances.ndim:
        return distances
    if distances.ndim != 1:
        raise ShapeError("gradient: found distances of several dimensions, expected a vector.")
    if -1 not in (distances.shape[0], x.shape[place]) and distances.shape[0] != x.shape[place]:
        raise ShapeError(
            f"gradient: found {distances.shape[0]} places along axis {place} of {x.shape}."
        )
    if distances.dtype.kind in "biu":
        distances = cast(distances, _np.float64)
    steps = distances[1:] - distances[:-1]
    if steps._ref is None and steps.size and bool((steps._array() == steps._array()[0]).all()):
        return steps[0]
    return steps


def _slope(x: Var, place: int, step: Any, edge_order: int) -> Var:
    uneven = isinstance(step, Var) and step.ndim == 1
    before, here, after = (_part(x, place, *ends) for ends in ((0, -2), (1, -1), (2, None)))
    if uneven:
        along = (-1, *[1] * (x.ndim - place - 1))
        left, right = reshape(step[:-1], along), reshape(step[1:], along)
        inside = (
            before * (-right / (left * (left + right)))
            + here * ((right - left) / (left * right))
            + after * (left / (right * (left + right)))
        )
    else:
        inside = (after - before) / (2.0 * step)
    first = _end(x, place, step, edge_order, last=False)
    last = _end(x, place, step, edge_order, last=True)
    result: Var = cast(_concat([first, inside, last], place), x.dtype)
    return result


def _end(x: Var, place: int, step: Any, edge_order: int, *, last: bool) -> Var:
    """Return the slope at the first or last element."""
    uneven = isinstance(step, Var) and step.ndim == 1
    if edge_order == 1:
        ends = ((-2, -1), (-1, None)) if last else ((0, 1), (1, 2))
        low, high = (_part(x, place, *each) for each in ends)
        found: Var = (high - low) / ((step[-1] if last else step[0]) if uneven else step)
        return found
    ends3 = ((-3, -2), (-2, -1), (-1, None)) if last else ((0, 1), (1, 2), (2, 3))
    one, two, three = (_part(x, place, *each) for each in ends3)
    left, right = ((step[-2], step[-1]) if last else (step[0], step[1])) if uneven else (step, step)
    both = left + right
    if last:
        found = (
            one * (right / (left * both))
            - two * (both / (left * right))
            + three * ((2.0 * right + left) / (right * both))
        )
    else:
        found = (
            two * (both / (left * right))
            - one * ((2.0 * left + right) / (left * both))
            - three * (left / (right * both))
        )
    return found


# --- lines and angles ----------------------------------------------------------------------------


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Var:
    """Return the heights at x of the lines that join points.

    Args:
        x: places, any shape.
        xp: places of the points, ascending unless there is a period.
        fp: heights of the points, real or complex.
        left, right: heights before the first and after the last point; None: theirs.
        period: after which everything begins anew; left and right are ignored.

    Raises:
        ShapeError: no points, not as many heights, or a period of 0.
    """
    places, points, heights = as_vars((x, xp, fp), "interp")
    if "c" in (places.dtype.kind, points.dtype.kind):
        raise DTypeError("interp: found complex places, expected real numbers.")
    if points.ndim != 1 or heights.ndim != 1:
        raise ShapeError(f"interp: found points {points.shape}, {heights.shape}, expected vectors.")
    if 0 in points.shape or (
        points.shape != heights.shape and -1 not in (*points.shape, *heights.shape)
    ):
        raise ShapeError(
            f"interp: found {points.shape[0]} places and {heights.shape[0]} heights of points, "
            "expected as many, and some."
        )
    if period is not None and period == 0:
        raise ShapeError("interp: the period is 0, expected another number.")
    dtype = float_result(common_dtype(places.dtype, points.dtype, heights.dtype))
    if at_once(places, points, heights):
        return cast(computed(_np.interp, places, points, heights, left, right, period), dtype)
    wide = _np.complex128 if dtype.kind == "c" else _np.float64
    places, points = cast(places, _np.float64), cast(points, _np.float64)
    heights = cast(heights, wide)
    if period is not None:
        places, points, heights = _periodic(places, points, heights, abs(float(period)))
        left = right = None
    return cast(_on_lines(places, points, heights, left, right), dtype)


def _periodic(x: Var, points: Var, heights: Var, period: float) -> tuple[Var, Var, Var]:
    """Return places in one period, and the points in it in order with one more on both sides."""
    x, points = _mod(x, period), _mod(points, period)
    order = _sort(points, 0, True)
    points, heights = _gather(points, order), _gather(heights, order)
    points = _concat([points[-1:] - period, points, points[:1] + period], 0)
    return x, points, _concat([heights[-1:], heights, heights[:1]], 0)


def _on_lines(x: Var, points: Var, heights: Var, left: Any, right: Any) -> Var:
    (size,) = sizes_of(points)
    place = _search.searchsorted(points, x, right=True) - 1
    low = _maximum(_minimum(place, size - 2), 0)
    high = _minimum(low + 1, size - 1)
    x0, x1, y0, y1 = (
        _gather(of, at)
        for of, at in ((points, low), (points, high), (heights, low), (heights, high))
    )
    width = x1 - x0
    slope = (y1 - y0) / _select(width == 0, 1.0, width)
    found = slope * (x - x0) + y0
    # Infinite heights: from the other side, or on a level line.
    found = _select(found != found, slope * (x - x1) + y1, found)
    found = _select((found != found) & (y0 == y1), y0, found)
    found = _select(x == x0, y0, found)
    ends = heights[0], heights[-1]
    found = _select(x >= points[-1], ends[1], found)
    first = ends[0] if left is None else cast(as_var(left, "interp"), heights.dtype)
    final = ends[1] if right is None else cast(as_var(right, "interp"), heights.dtype)
    found = _select(x < points[0], first, found)
    found = _select(x > points[-1], final, found)
    return _select(_isnan(x), cast(x, heights.dtype), found)


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * _np.pi) -> Var:
    """Return angles along `axis` without jumps, by adding periods.

    Args:
        p: angles.
        discont: least difference that is a jump; None, or less than half a period: that half.
        axis: along which axis.
        period: an int for integers keeps them integers.
    """
    x = as_var(p, "unwrap")
    place = normalize_axis("unwrap", axis, x.ndim)
    steps = diff(x, axis=place)
    whole = isinstance(period, (int, _np.integer)) and steps.dtype.kind in "iu"
    if whole:
        high, rest = divmod(operator.index(period), 2)
        ambiguous = rest == 0
    else:
        high, ambiguous = period / 2, True
        if steps.dtype.kind in "iu":
            x = cast(x, default_float)
            steps = diff(x, axis=place)
    low = -high
    inside = _mod(steps - low, period) + low
    if ambiguous:
        inside = _select((inside == low) & (steps > 0), high, inside)
    added = inside - steps
    least = period / 2 if discont is None else discont
    added = _select(_absolute(steps) < least, cast(0, added.dtype), added)
    turned = _part(x, place, 1, None) + cumsum(added, place)
    start = _part(x, place, 0, 1)
    return cast(_concat([cast(start, turned.dtype), turned], place), added.dtype)
