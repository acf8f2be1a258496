"""Running sums and products, and the area under points."""

from __future__ import annotations

from typing import Any

from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.numpy.reductions import _sum_dtype, stored, sum
from mnn.ops import scan as _scan
from mnn.ops.axes import normalize_axis
from mnn.ops.convert import cast
from mnn.ops.create import ones_like as _ones_like
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.joining import concat as _concat
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "trapezoid", "trapz"]


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


def _cumulative(
    function: Any, x: Any, axis: Any, dtype: Any, out: Any, start: Any, include_initial: bool
) -> Var:
    array = as_var(x, "cumulative_sum")
    if not array.ndim:
        array = reshape(array, (1,))
    if axis is None:
        if array.ndim > 1:
            raise ShapeError(
                f"cumulative_sum: found shape {array.shape} without axis. Say along which axis."
            )
        axis = 0
    found: Var = function(array, axis, dtype)
    if include_initial:
        place = normalize_axis("cumulative_sum", axis, array.ndim)
        first = start(sum(found, place, found.dtype, None, True))
        found = _concat([first, found], place)
    return stored(found, out)


def cumulative_sum(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Var:
    """Return the running sum along `axis`, which only vectors can do without.

    Args:
        x: array.
        axis: along which axis.
        dtype: element type of the result.
        out: Var to write the result to.
        include_initial: put the sum of nothing, 0, in front.

    Raises:
        ShapeError: several dimensions and no axis.
    """
    return _cumulative(cumsum, x, axis, dtype, out, _zeros_like, include_initial)


def cumulative_prod(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Var:
    """Return the running product along `axis`; see `cumulative_sum`. It begins with 1."""
    return _cumulative(cumprod, x, axis, dtype, out, _ones_like, include_initial)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Var:
    """Return the area under the points (x, y) along `axis`, joined by straight lines.

    Args:
        y: heights.
        x: places, as many as y has along `axis`, or of its shape; None: `dx` apart.
        dx: distance between places.
        axis: along which axis.
    """
    heights = as_var(y, "trapezoid")
    place = normalize_axis("trapezoid", axis, heights.ndim)
    later, earlier = _neighbours(heights, place)
    if x is None:
        width: Any = dx if isinstance(dx, (int, float, complex)) else as_var(dx, "trapezoid")
    else:
        places = as_var(x, "trapezoid")
        if places.ndim == 1:
            right, left = _neighbours(places, 0)
            width = reshape(right - left, (-1, *[1] * (heights.ndim - place - 1)))
        else:
            right, left = _neighbours(places, normalize_axis("trapezoid", axis, places.ndim))
            width = right - left
    return sum(width * (later + earlier) / 2.0, axis)


trapz = trapezoid


def _neighbours(x: Var, place: int) -> tuple[Var, Var]:
    """Return x without its first, and without its last element along an axis."""
    later: list[Any] = [slice(None)] * x.ndim
    earlier: list[Any] = [slice(None)] * x.ndim
    later[place], earlier[place] = slice(1, None), slice(None, -1)
    return x[tuple(later)], x[tuple(earlier)]
