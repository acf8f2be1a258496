"""Numbers in steps, and the coordinates of grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float
from mnn.expr.var import Var
from mnn.numpy.creation import _check_device, _check_like, _dtype, _fresh, _shape
from mnn.numpy.creation import copy as _copied
from mnn.numpy.hosting import at_once, plain
from mnn.numpy.sizes import sizes_of
from mnn.numpy.small import left_to_numpy
from mnn.ops.operands import array_of, as_var

__all__ = [
    "arange",
    "fromfunction",
    "geomspace",
    "indices",
    "linspace",
    "logspace",
    "meshgrid",
]


def arange(
    start: Any,
    stop: Any = None,
    step: Any = 1,
    dtype: Any = None,
    *,
    device: Any = None,
    like: Any = None,
) -> Var:
    """Return start, start + step, ... below stop; int32 for Python ints, float32 for floats.

    Raises:
        ShapeError: the numbers cannot be counted.    ZeroDivisionError: step is 0.
        DTypeError: not real numbers.
    """
    _check_device("arange", device)
    _check_like("arange", like)
    if step is None:
        step = 1
    if stop is None:
        start, stop = 0, start
    start, stop, step = (_real_number("arange", each) for each in (start, stop, step))
    if step == 0:
        raise ZeroDivisionError("arange: step is 0, expected another number.")
    try:
        values = _np.arange(start, stop, step)
    except ValueError as error:
        raise ShapeError(f"arange: from {start} to {stop} in steps of {step}: {error}.") from error
    if dtype is not None:
        wanted = as_dtype(dtype)
        if wanted.kind in "iu" and values.dtype.kind == "f":
            values = _np.arange(start, stop, step, dtype=wanted)  # in whole steps, as NumPy warns
        values = values.astype(wanted)
    elif not any(isinstance(each, _np.generic) for each in (start, stop, step)):
        if values.dtype.kind == "f":
            values = values.astype(default_float)
        elif not values.size or min(values[0], values[-1]) >= -(2**31):
            fits = not values.size or max(values[0], values[-1]) < 2**31
            values = values.astype(_np.int32) if fits else values
    return _fresh(values)


def _real_number(name: str, value: Any) -> Any:
    """Return a real number as NumPy or Python has it; 0-d Vars give theirs."""
    number = value._array()[()] if isinstance(value, Var) and not value.ndim else value
    if not isinstance(number, (int, float, _np.generic)) or _np.iscomplexobj(number):
        raise DTypeError(f"{name}: found {value!r}, expected a real number.")
    return number


def _spaced(
    function: Callable[..., Any], start: Any, stop: Any, num: Any, dtype: Any, **options: Any
) -> Any:
    """Return what NumPy's function gives, in our default type or `dtype`."""
    wanted = _dtype(dtype)
    low, high = (array_of(each, function.__name__, exact=True) for each in (start, stop))
    try:
        # Endpoints in our default type would cost precision, and bools do not subtract.
        found = function(low.astype(_np.result_type(low, _np.float64)), high, num, **options)
    except TypeError as error:
        raise DTypeError(f"{function.__name__}: {error}.") from error
    except ValueError as error:
        raise ShapeError(f"{function.__name__}: {error}.") from error
    several = isinstance(found, tuple)
    values = _np.asarray(found[0] if several else found)
    if wanted.kind in "iu":
        values = _np.floor(values)
    var = _fresh(values.astype(wanted))
    return (var, _fresh(_np.asarray(found[1], default_float))) if several else var


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """Return `num` evenly spaced numbers from start to stop; float32 unless told otherwise.

    Args:
        start, stop: numbers, or arrays of starts and stops.
        num: how many numbers.
        endpoint: stop is the last one.
        retstep: also return the distance, as in `(numbers, distance)`.
        dtype: element type; integers are rounded down.
        axis: where the numbers lie in the result.
        device: "cpu" or None.

    Raises:
        ShapeError: num is negative, or the arguments do not fit together.
    """
    _check_device("linspace", device)
    options = {"endpoint": endpoint, "retstep": retstep, "axis": axis}
    return _spaced(_np.linspace, start, stop, num, dtype, **options)


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Var:
    """Return `num` numbers evenly spaced on a log scale, base**start to base**stop."""
    options = {"endpoint": endpoint, "base": plain(base), "axis": axis}
    found: Var = _spaced(_np.logspace, start, stop, num, dtype, **options)
    return found


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Var:
    """Return `num` numbers evenly spaced on a log scale, start to stop."""
    found: Var = _spaced(_np.geomspace, start, stop, num, dtype, endpoint=endpoint, axis=axis)
    return found


def fromfunction(
    function: Callable[..., Any],
    shape: Sequence[int],
    *,
    dtype: Any = None,
    like: Any = None,
    **kwargs: Any,
) -> Any:
    """Return what `function` makes of the coordinate arrays of `shape`, float32 by default.

    Args:
        function: gets one array for each dimension, and `kwargs`.
        shape: of the coordinate arrays.    dtype: their element type.
        like: accepted for compatibility.
    """
    _check_like("fromfunction", like)
    grids = indices(shape, dtype=_dtype(dtype))
    places = (grids[axis] for axis in range(len(shape)))
    return function(*places, **kwargs)


def indices(dimensions: Sequence[int], dtype: Any = None, sparse: bool = False) -> Any:
    """Return the coordinates of every element: `(rank, *dimensions)`, int32.

    With `sparse`, a tuple of arrays that broadcast to them.
    """
    wanted = _dtype(dtype, _np.int32)
    sizes = _shape("indices", dimensions)
    if sparse:
        return tuple(_fresh(each.astype(wanted)) for each in _np.indices(sizes, sparse=True))
    return _fresh(_np.indices(sizes).astype(wanted))


@left_to_numpy(_np.meshgrid)
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Var, ...]:
    """Return coordinate matrices of coordinate vectors.

    Args:
        xi: vectors.
        copy: False: views of the vectors where nothing is recorded.
        sparse: leave sizes of 1, which broadcast, instead of repeating.
        indexing: "xy": the first vector runs along columns; "ij": along rows.

    Raises:
        ShapeError: indexing is neither "xy" nor "ij".
    """
    from mnn.ops.movement import reshape
    from mnn.ops.repeat import broadcast_to

    if indexing not in ("xy", "ij"):
        raise ShapeError(f"meshgrid: indexing is {indexing!r}, expected 'xy' or 'ij'.")
    vectors = [reshape(as_var(each, "meshgrid"), (-1,)) for each in xi]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    sizes = [sizes_of(vectors[place])[0] for place in order]
    grids = []
    for place, vector in enumerate(vectors):
        shape = [1] * len(vectors)
        shape[order.index(place)] = -1
        grid = reshape(vector, shape)
        grid = grid if sparse else broadcast_to(grid, sizes)
        grids.append(_copied(grid) if copy and at_once(grid) else grid)
    return tuple(grids)
