"""Counts of elements by value; values are read at once."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.var import Var
from mnn.numpy.defaults import narrowed
from mnn.ops import search as _search
from mnn.ops.operands import array_of, as_vars

__all__ = [
    "bincount",
    "digitize",
    "histogram",
    "histogram2d",
    "histogram_bin_edges",
    "histogramdd",
]


def _optional(value: Any, name: str) -> Any:
    return value if value is None or isinstance(value, str) else array_of(value, name)


def _bins(bins: Any, name: str, x: Any) -> Any:
    """Return a number of bins as it is, and edges as an array."""
    if isinstance(bins, (int, str)):
        return bins
    array = array_of(bins, name, exact=x.dtype == _np.float64)
    return array if array.ndim else array[()]


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Var, Var]:
    """Return the counts of elements in bins, as int32, and the edges of the bins.

    Args:
        a: array.
        bins: how many of equal width, their edges, or the name of a rule such as "auto".
        range: the outer edges; None: smallest and largest element.
        density: return the density, whose area is 1.
        weights: what each element counts.

    Raises:
        ValueError, TypeError: as NumPy's function does.
    """
    x = array_of(a, "histogram")
    made: tuple[Var, Var] = narrowed(
        _np.histogram, x, _bins(bins, "histogram", x), range, density, _optional(weights, "weights")
    )
    return made


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Var:
    """Return the edges of the bins that `histogram` would use."""
    x = array_of(a, "histogram_bin_edges")
    made: Var = narrowed(
        _np.histogram_bin_edges,
        x,
        _bins(bins, "histogram_bin_edges", x),
        range,
        _optional(weights, "weights"),
    )
    return made


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Var, Var, Var]:
    """Return the counts of points (x, y) in bins, and the edges along x and along y.

    Args:
        x, y: vectors.
        bins: a number, edges, or a pair of either.
        range: pairs of outer edges.
        density: return the density, whose volume is 1.
        weights: what each point counts.
    """
    one, two = array_of(x, "histogram2d"), array_of(y, "histogram2d")
    made: tuple[Var, Var, Var] = narrowed(
        _np.histogram2d, one, two, bins, range, density, _optional(weights, "weights")
    )
    return made


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    density: bool | None = None,
    weights: Any = None,
) -> tuple[Var, list[Var]]:
    """Return the counts of points in bins of any number of dimensions, and the edges of each.

    Args:
        sample: `(points, dimensions)`, or a list of one vector for each dimension.
        bins: a number, or one for each dimension, or edges for each.
        range: pairs of outer edges.
        density: return the density.
        weights: what each point counts.
    """
    if isinstance(sample, (list, tuple)):
        points: Any = [array_of(each, "histogramdd") for each in sample]
    else:
        points = array_of(sample, "histogramdd")
    counts, edges = narrowed(
        _np.histogramdd, points, bins, range, density, _optional(weights, "weights")
    )
    return counts, list(edges)


def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Var:
    """Return how often each of 0, 1, 2, ... occurs, or the sum of its weights.

    Args:
        x: vector of integers >= 0.
        weights: what each element counts.
        minlength: least length of the result.
    """
    values = array_of(x, "bincount")
    if isinstance(x, (list, tuple)):
        values = values.astype(_np.int32 if values.dtype.itemsize < 8 else _np.int64)
    counts: Var = narrowed(_np.bincount, values, _optional(weights, "weights"), minlength)
    return counts


def digitize(x: Any, bins: Any, right: bool = False) -> Var:
    """Return the int32 number of the bin of each element: 0 before the first edge.

    Args:
        x: array of real numbers.
        bins: edges, ascending or descending, read at once.
        right: bins end with their edge instead of beginning with it.

    Raises:
        ShapeError: the edges are in no order.    DTypeError: complex numbers.
    """
    values, borders = as_vars((x, bins), "digitize")
    edges = borders._array()
    if "c" in (values.dtype.kind, edges.dtype.kind):
        raise DTypeError("digitize: found complex numbers, expected real ones.")
    if edges.ndim != 1:
        raise ShapeError(f"digitize: found edges of shape {edges.shape}, expected a vector.")
    falling = edges.size > 1 and bool((edges[1:] <= edges[:-1]).all())
    rising = bool((edges[1:] >= edges[:-1]).all())
    if not rising and not falling:
        raise ShapeError("digitize: found edges in no order, expected ascending or descending.")
    if falling and not rising:
        place: Var = _search.searchsorted(Var(edges[::-1].copy()), values, right=not right)
        return edges.size - place
    found: Var = _search.searchsorted(Var(edges), values, right=not right)
    return found
