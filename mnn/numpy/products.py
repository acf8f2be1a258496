"""Products of arrays and sums of diagonals."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.dtypes import as_dtype
from mnn.expr.var import Var
from mnn.numpy.reductions import stored, sum
from mnn.numpy.sizes import product, sizes_of
from mnn.numpy.small import FLOATS, left_to_numpy
from mnn.numpy.universal import finish
from mnn.ops.axes import normalize_axes, normalize_axis
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.joining import concat as _concat
from mnn.ops.matmul import matmul as _matmul
from mnn.ops.movement import expand_dims, ravel, reshape
from mnn.ops.operands import as_var, as_vars
from mnn.ops.repeat import broadcast_to
from mnn.ops.shape import range as _range
from mnn.ops.shape import shape as _shape
from mnn.ops.transpose import moveaxis, swapaxes, transpose

__all__ = [
    "cross",
    "dot",
    "inner",
    "kron",
    "matmul",
    "matrix_transpose",
    "matvec",
    "outer",
    "tensordot",
    "trace",
    "vdot",
    "vecdot",
    "vecmat",
]


def _conjugate(x: Var) -> Var:
    return x.conj() if x.dtype.kind == "c" else x


# --- products over the last axes, with the arguments of NumPy's generalised ufuncs ----------------


def _over_axes(
    name: str,
    function: Callable[[Var, Var], Var],
    core: tuple[int, int, int],
    operands: tuple[Any, Any],
    out: Any,
    casting: str,
    dtype: Any,
    axes: Any,
) -> Var:
    """Return a product with its operands' and result's core axes where `axes` says.

    Args:
        name: for messages.
        function: the product over the last axes.
        core: how many core axes each operand and the result have.
        operands, out, casting, dtype, axes: from the call.
    """
    x, y = as_vars(operands, name)
    if dtype is not None:
        x, y = (_converted(name, each, as_dtype(dtype), casting) for each in (x, y))
    if axes is None:
        return _finished(name, function(x, y), out, casting)
    places = [(each,) if _is_int(each) else tuple(each) for each in axes]
    if len(places) == 2 and not core[2]:
        places.append(())
    if len(places) != 3 or [len(each) for each in places] != list(core):
        raise ShapeError(f"{name}: axes is {axes!r}, expected {core} places.")
    x, y = (
        moveaxis(each, place, tuple(range(-len(place), 0)))
        for each, place in zip((x, y), places, strict=False)
    )
    found = function(x, y)
    if places[2]:
        found = moveaxis(found, tuple(range(-len(places[2]), 0)), places[2])
    return _finished(name, found, out, casting)


def _check_core(name: str, axis: Any, keepdims: Any) -> None:
    if axis is not None or keepdims:
        raise DTypeError(
            f"{name}: axis and keepdims are for products with one axis each. Use axes=."
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, _np.integer))


def _finished(name: str, found: Var, out: Any, casting: str) -> Var:
    target = out[0] if isinstance(out, tuple) else out
    result: Var = finish(name, found, target, True, casting)
    return result


def _converted(name: str, x: Var, wanted: _np.dtype[Any], casting: str) -> Var:
    if not _np.can_cast(x.dtype, wanted, casting):  # type: ignore[arg-type]
        raise DTypeError(
            f"{name}: {x.dtype} does not become {wanted} with casting={casting!r}. "
            "Use casting='unsafe' or astype."
        )
    return cast(x, wanted)


def matmul(
    x1: Any,
    x2: Any,
    /,
    out: Any = None,
    *,
    casting: str = "same_kind",
    order: str = "K",
    dtype: Any = None,
    subok: bool = True,
    signature: Any = None,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Var:
    """Return the matrix product over the last two dimensions; leading ones broadcast.

    Args:
        x1, x2: `(..., rows, n)` and `(..., n, columns)`; vectors are a row and a column.
        out: Var to write the result to.
        casting: which conversions to `dtype` and `out` are allowed.
        dtype: element type to compute in.
        axes: where the matrices lie in x1, x2 and the result, as in `[(-2, -1)] * 3`.
        order, subok, signature: accepted for compatibility.

    Raises:
        ShapeError: inner sizes differ, or an operand has no dimensions.
        DTypeError: axis or keepdims, which only `vecdot` can take.
    """
    _check_core("matmul", axis, keepdims)
    if axes is None and out is None and dtype is None:
        return _matmul(x1, x2)
    x, y = as_vars((x1, x2), "matmul")
    core = (min(x.ndim, 2), min(y.ndim, 2), min(x.ndim, 2) + min(y.ndim, 2) - 2)
    return _over_axes("matmul", _matmul, core, (x, y), out, casting, dtype, axes)


def vecdot(
    x1: Any,
    x2: Any,
    /,
    out: Any = None,
    *,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
    casting: str = "same_kind",
    order: str = "K",
    dtype: Any = None,
    subok: bool = True,
    signature: Any = None,
) -> Var:
    """Return the product-sums of vectors (of the conjugate of x1) along an axis, the last one.

    Args:
        x1, x2: arrays of vectors, which broadcast.
        axis: along which axis of both.    axes: or of each, as in `[0, -1]`.
        keepdims: leave the axis with size 1.
        out, casting, order, dtype, subok, signature: as in `matmul`.
    """
    if axes is not None and axis is not None:
        raise DTypeError("vecdot: found axes and axis, expected one of them.")
    places = axes if axis is None else [(operator.index(axis),)] * 2
    if keepdims:
        if places is not None and len(places) == 3:
            places = places[:2]
        found = _over_axes("vecdot", _vecdot, (1, 1, 0), (x1, x2), None, casting, dtype, places)
        place = places[0] if places is not None else -1
        kept = expand_dims(found, place[0] if isinstance(place, tuple) else place)
        return _finished("vecdot", kept, out, casting)
    return _over_axes("vecdot", _vecdot, (1, 1, 0), (x1, x2), out, casting, dtype, places)


def _need_axes(name: str, x: Var, y: Var, first: int, second: int) -> None:
    if x.ndim < first or y.ndim < second:
        raise ShapeError(
            f"{name}: found shapes {x.shape} and {y.shape}, expected at least {first} and "
            f"{second} dimensions."
        )


def _vecdot(x: Var, y: Var) -> Var:
    _need_axes("vecdot", x, y, 1, 1)
    found = _matmul(expand_dims(_conjugate(x), -2), expand_dims(y, -1))
    return found[..., 0, 0]


def _matvec(x: Var, y: Var) -> Var:
    _need_axes("matvec", x, y, 2, 1)
    return _matmul(x, expand_dims(y, -1))[..., 0]


def _vecmat(x: Var, y: Var) -> Var:
    _need_axes("vecmat", x, y, 1, 2)
    return _matmul(expand_dims(_conjugate(x), -2), y)[..., 0, :]


def matvec(
    x1: Any,
    x2: Any,
    /,
    out: Any = None,
    *,
    casting: str = "same_kind",
    order: str = "K",
    dtype: Any = None,
    subok: bool = True,
    signature: Any = None,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Var:
    """Return the products of matrices x1 `(..., rows, n)` and vectors x2 `(..., n)`.

    Other arguments are those of `matmul`.
    """
    _check_core("matvec", axis, keepdims)
    return _over_axes("matvec", _matvec, (2, 1, 1), (x1, x2), out, casting, dtype, axes)


def vecmat(
    x1: Any,
    x2: Any,
    /,
    out: Any = None,
    *,
    casting: str = "same_kind",
    order: str = "K",
    dtype: Any = None,
    subok: bool = True,
    signature: Any = None,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Var:
    """Return the products of vectors x1 `(..., n)`, conjugated, and matrices x2 `(..., n, m)`.

    Other arguments are those of `matmul`.
    """
    _check_core("vecmat", axis, keepdims)
    return _over_axes("vecmat", _vecmat, (1, 2, 1), (x1, x2), out, casting, dtype, axes)


# --- other products ------------------------------------------------------------------------------


@left_to_numpy(_np.dot, arrays=2)
def dot(a: Any, b: Any, out: Any = None) -> Var:
    """Return the product-sum over the last axis of a and the second to last of b."""
    x, y = as_vars((a, b), "dot")
    if not x.ndim or not y.ndim:
        return stored(x * y, out)
    if y.ndim <= 2 and x.ndim <= 2:
        return stored(_matmul(x, y), out)
    return stored(tensordot(x, y, ([x.ndim - 1], [max(y.ndim - 2, 0)])), out)


@left_to_numpy(_np.vdot, arrays=2)
def vdot(a: Any, b: Any, /) -> Var:
    """Return the product-sum of all elements (of the conjugate of a)."""
    x, y = map(ravel, as_vars((a, b), "vdot"))
    return _matmul(_conjugate(x), y)


@left_to_numpy(_np.inner, arrays=2)
def inner(a: Any, b: Any, /) -> Var:
    """Return the product-sum over the last axes."""
    x, y = as_vars((a, b), "inner")
    if not x.ndim or not y.ndim:
        return x * y
    return tensordot(x, y, ([x.ndim - 1], [y.ndim - 1]))


@left_to_numpy(_np.outer, arrays=2)
def outer(a: Any, b: Any, out: Any = None) -> Var:
    """Return all products of an element of a with one of b."""
    x, y = map(ravel, as_vars((a, b), "outer"))
    return stored(reshape(x, (-1, 1)) * y, out)


@left_to_numpy(_np.tensordot, arrays=2)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Var:
    """Return the product-sum over pairs of axes.

    Args:
        a, b: arrays.
        axes: a number of axes (last of a, first of b), or two lists of axes.

    Raises:
        ShapeError: the summed axes differ in size.    IndexRangeError: there are no such axes.
    """
    x, y = as_vars((a, b), "tensordot")
    left: Sequence[int]
    right: Sequence[int]
    if _is_int(axes):
        if axes > min(x.ndim, y.ndim):
            raise IndexRangeError(f"tensordot: {axes} axes of shapes {x.shape} and {y.shape}.")
        left, right = list(range(x.ndim - axes, x.ndim)), list(range(axes))
    else:
        left, right = ([each] if _is_int(each) else list(each) for each in axes)
    try:
        left = [normalize_axis("tensordot", each, x.ndim) for each in left]
        right = [normalize_axis("tensordot", each, y.ndim) for each in right]
    except ShapeError as error:
        raise IndexRangeError(str(error)) from error
    pairs = [(x.shape[one], y.shape[two]) for one, two in zip(left, right, strict=False)]
    if len(left) != len(right) or any(-1 not in pair and pair[0] != pair[1] for pair in pairs):
        raise ShapeError(
            f"tensordot: axes {left} of {x.shape} and {right} of {y.shape} differ in size."
        )
    rest_x = [each for each in range(x.ndim) if each not in left]
    rest_y = [each for each in range(y.ndim) if each not in right]
    of_x, of_y = sizes_of(x), sizes_of(y)
    inner_size = product([of_x[each] for each in left])
    sizes_x, sizes_y = [of_x[each] for each in rest_x], [of_y[each] for each in rest_y]
    if len(left) == len(rest_x) == len(rest_y) == 1:
        rows_x = x if left == [1] else transpose(x)
        return _matmul(rows_x, y if right == [0] else transpose(y))
    rows, columns = product(sizes_x), product(sizes_y)
    matrix_x = reshape(transpose(x, rest_x + left), [rows, inner_size], copy_zero=False)
    matrix_y = reshape(transpose(y, right + rest_y), [inner_size, columns], copy_zero=False)
    return reshape(_matmul(matrix_x, matrix_y), sizes_x + sizes_y, copy_zero=False)


@left_to_numpy(_np.kron, arrays=2)
def kron(a: Any, b: Any) -> Var:
    """Return the Kronecker product: b scaled by every element of a, laid out like a.

    Args:
        a, b: arrays; the one with fewer dimensions gets some of size 1 in front.
    """
    x, y = as_vars((a, b), "kron")
    if not x.ndim or not y.ndim:
        return x * y
    rank = max(x.ndim, y.ndim)
    of_x = [1] * (rank - x.ndim) + sizes_of(x)
    of_y = [1] * (rank - y.ndim) + sizes_of(y)
    spread_x = reshape(x, [size for each in of_x for size in (each, 1)], copy_zero=False)
    spread_y = reshape(y, [size for each in of_y for size in (1, each)], copy_zero=False)
    sizes = [one * two for one, two in zip(of_x, of_y, strict=True)]
    return reshape(spread_x * spread_y, sizes, copy_zero=False)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Var:
    """Return the cross products of vectors of three (or, in the plane, two) elements.

    Args:
        a, b: arrays of vectors, which broadcast.
        axisa, axisb: where the elements of the vectors lie.
        axisc: where they lie in the result; products of vectors in the plane are numbers.
        axis: all three of them.

    Raises:
        ShapeError: vectors with other than two or three elements.
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = as_vars((a, b), "cross")
    x = moveaxis(x, normalize_axis("cross", axisa, x.ndim), -1)
    y = moveaxis(y, normalize_axis("cross", axisb, y.ndim), -1)
    counts = (x.shape[-1], y.shape[-1])
    if not set(counts) <= {2, 3}:
        raise ShapeError(
            f"cross: found vectors of {counts[0]} and {counts[1]} elements, expected 2 or 3."
        )
    xs, ys = ([each[..., place] for place in range(each.shape[-1])] for each in (x, y))
    last = xs[0] * ys[1] - xs[1] * ys[0]
    if counts == (2, 2):
        return last
    if counts[0] == 2:
        parts = [xs[1] * ys[2], -(xs[0] * ys[2]), last]
    elif counts[1] == 2:
        parts = [-(xs[2] * ys[1]), xs[2] * ys[0], last]
    else:
        parts = [xs[1] * ys[2] - xs[2] * ys[1], xs[2] * ys[0] - xs[0] * ys[2], last]
    found = _concat([expand_dims(each, -1) for each in parts], -1)
    return moveaxis(found, -1, normalize_axis("cross", axisc, found.ndim))


def matrix_transpose(x: Any, /) -> Var:
    """Return the array with its last two axes exchanged.

    Raises:
        ShapeError: fewer than two dimensions.
    """
    var = as_var(x, "matrix_transpose")
    if var.ndim < 2:
        raise ShapeError(f"matrix_transpose: found shape {var.shape}, expected matrices.")
    return swapaxes(var, -1, -2)


@left_to_numpy(_np.trace, FLOATS)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Var:
    """Return the sum of diagonal `offset` of the matrices along `axis1` and `axis2`.

    Raises:
        ShapeError: fewer than two dimensions, or equal axes.
    """
    x = as_var(a, "trace")
    if x.ndim < 2:
        raise ShapeError(f"trace: found shape {x.shape}, expected at least two dimensions.")
    first, second = normalize_axes("trace", (axis1, axis2), x.ndim)
    rest = [each for each in range(x.ndim) if each not in (first, second)]
    matrices = transpose(x, [first, second, *rest])
    rows, columns = matrices.shape[:2]
    if -1 in (rows, columns):
        sizes = _shape(matrices)
        row, column = (_range(0, sizes[place], 1) for place in (0, 1))
        on_diagonal = reshape(row, (-1, 1)) + offset == column
        mask = reshape(on_diagonal, (0, 0, *[1] * len(rest)))
        kept = _select(mask, matrices, cast(0, x.dtype))
        return sum(kept, (0, 1), dtype, out)
    count = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    steps = _np.arange(count)
    return sum(matrices[steps - min(offset, 0), steps + max(offset, 0)], 0, dtype, out)
