"""Weighted means, and weights that fit an array."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import common_dtype, float_result
from mnn.expr.var import Var
from mnn.numpy.reductions import NOTHING, _count, check_axes, mean, sum
from mnn.ops.axes import integers_of, normalize_axes
from mnn.ops.broadcast import broadcast_like as _broadcast_like
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.movement import reshape
from mnn.ops.operands import as_var, as_vars
from mnn.ops.transpose import transpose as _transpose

__all__ = ["average"]


def fitting_weights(name: str, x: Var, w: Var, axis: Any) -> Var:
    """Return weights in the shape of x, or in one that broadcasts to it.

    Args:
        name: of the caller.
        x: array.
        w: weights of x's shape, or with one axis for each of `axis`, in that order.
        axis: axis or axes.

    Raises:
        ShapeError: the weights do not fit.    DTypeError: no axis says where they belong.
    """
    if w.shape == x.shape:
        return w
    if axis is None:
        raise DTypeError(
            f"{name}: weights {w.shape} for an array {x.shape} and no axis. Say which axis."
        )
    places = normalize_axes(name, integers_of(name, axis), x.ndim)
    sizes = [x.shape[each] for each in places]
    if len(sizes) != w.ndim or not all(
        -1 in (have, want) or have == want for have, want in zip(w.shape, sizes, strict=True)
    ):
        raise ShapeError(f"{name}: weights {w.shape} do not fit axes {list(places)} of {x.shape}.")
    ordered = sorted(range(len(places)), key=lambda each: places[each])
    if ordered != list(range(len(places))):
        w = _transpose(w, ordered)
    if len(places) == 1:
        return reshape(w, (-1, *[1] * (x.ndim - places[0] - 1)))
    shape = [x.shape[each] if each in places else 1 for each in range(x.ndim)]
    return reshape(w, shape, copy_zero=False)


def average(
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = NOTHING,
) -> Any:
    """Return the mean over `axis`, weighted if weights are given.

    Args:
        a: array.
        axis: axis or axes; None: all.
        weights: of the shape of a, or of its sizes along `axis`.
        returned: also return the sum of the weights, as in `(average, sum)`.
        keepdims: leave reduced axes with size 1.

    Raises:
        ShapeError: weights do not fit the axes.    DTypeError: there is no axis they belong to.
        ZeroDivisionError: the weights add up to 0.
    """
    x = as_var(a, "average")
    if weights is None:
        found = mean(x, axis, None, None, keepdims)
        if not returned:
            return found
        return found, _zeros_like(found) + _count(x, axis, keepdims, found.dtype)
    check_axes("average", x, axis)
    w = fitting_weights("average", x, as_vars((x, weights), "average")[1], axis)
    common = common_dtype(x.dtype, w.dtype)
    dtype = float_result(common)
    if x.dtype.kind in "biu" and dtype == _np.float16:
        dtype = _np.dtype(_np.float32)
    spread = cast(_broadcast_like(w, x), dtype) if w.shape != x.shape else cast(w, dtype)
    total = sum(spread, axis, None, None, keepdims)
    if total._ref is None and not total._array().all():
        raise ZeroDivisionError("average: the weights add up to 0. Expected a sum that is not 0.")
    found = sum(cast(x, dtype) * cast(w, dtype), axis, None, None, keepdims) / total
    return (found, total) if returned else found
