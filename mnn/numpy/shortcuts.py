"""Functions and methods that small computed arrays leave to NumPy; see `mnn.ops.quick`.

Each names what NumPy does with an array and the arguments that have a meaning here. Arguments that
it does not take, and calls that NumPy refuses, go the general way, which explains errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.config import config
from mnn.expr.enums import data_format
from mnn.expr.modes import recorders
from mnn.expr.pending import defer
from mnn.expr.settling import SMALL_PRODUCT
from mnn.expr.var import Var
from mnn.numpy import manipulation, products, reductions, running, searching
from mnn.ops.attach import attach_binary, attach_method
from mnn.ops.quick import SMALL
from mnn.ops.spec import OpSpec, find_spec

Function = Callable[..., Any]

_NCHW = data_format.NCHW
_FLOATS = frozenset((_np.dtype(_np.float32), _np.dtype(_np.float64)))
_WIDE = _FLOATS | {_np.dtype(_np.int64), _np.dtype(_np.uint64)}
_REALS: frozenset[_np.dtype[Any]] = frozenset(_np.dtype(code) for code in "?bBhHiIlLqQfd")
_INT32 = _np.int32
_asarray = _np.asarray
_sum, _prod = _np.add.reduce, _np.multiply.reduce
_largest, _least = _np.maximum.reduce, _np.minimum.reduce


def _quick(
    general: Function,
    small: Function,
    dtypes: frozenset[Any],
    *,
    large: bool = False,
    always: bool = False,
    reduction: str = "",
) -> Any:
    """Return `general`, but for arrays of some dtypes what `small` makes of the array.

    Args:
        general: the function for everything.
        small: what NumPy does, with the arguments that have a meaning here.
        dtypes: for which that has the right type.
        large: a large array, given alone, is left to NumPy as well: kernels are not quicker.
        always: so is one with other arguments.
        reduction: the operator that reduces large arrays of floats.
    """
    spec = find_spec(reduction) if reduction else None

    def call(*operands: Any, **options: Any) -> Any:
        if operands and type(operands[0]) is Var:
            value = operands[0]._value
            if (
                value is not None
                and not config.lazy
                and not recorders.count
                and (
                    value.size <= SMALL or always or (large and len(operands) == 1 and not options)
                )
                and value.dtype in dtypes
                and operands[0]._ref is None
                and operands[0]._format is _NCHW
            ):
                try:
                    return Var(_asarray(small(value, *operands[1:], **options)))
                except (TypeError, ValueError, IndexError):
                    pass
            value = None  # what waits must be the only one that knows the array
            if spec is not None and len(operands) == 1:
                pending = _reduction(spec, operands[0], **options)
                if pending is not None:
                    return pending
        return general(*operands, **options)

    return _described(call, general)


def _reduction(
    spec: OpSpec, x: Any, axis: Any = None, keepdims: Any = False, **rest: Any
) -> Var | None:
    """Return a pending or recorded reduction of the most frequent kind, or None."""
    if rest or x.dtype not in _FLOATS or not (axis is None or type(axis) is int):
        return None
    options = {"axes": None if axis is None else (axis,), "keepdims": bool(keepdims), "dtype": None}
    if config.lazy or recorders.count:
        if axis is not None and not x._type.rank:
            return None
        return spec.apply([x], options)  # type: ignore[no-any-return]
    if x._ref is not None or x._format is not _NCHW or not config.pending_bytes:
        return None
    if x._value is not None and x._value.size < config.pending_elements:
        return None
    return defer(spec, [x], options)


def _described(call: Any, general: Function) -> Any:
    call.__name__ = call.__qualname__ = general.__name__
    call.__doc__ = general.__doc__
    call.__module__ = general.__module__
    call.__wrapped__ = general
    return call


def _reduce(function: Any) -> Function:
    return lambda x, axis=None, keepdims=False: function(x, axis, None, None, keepdims)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if type(condition) is Var and type(x) is Var and type(y) is Var:
        mask, left, right = condition._value, x._value, y._value
        if (
            mask is not None
            and left is not None
            and right is not None
            and not config.lazy
            and not recorders.count
            and left.dtype is right.dtype
            and mask.size <= SMALL
            and left.size <= SMALL
            and right.size <= SMALL
            and condition._ref is x._ref is y._ref is None
            and condition._format is x._format is y._format is _NCHW
        ):
            try:
                return Var(_np.where(mask, left, right))
            except ValueError:
                pass
        mask = left = right = None
    return searching.where(condition, x, y)


def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Var:
    if (
        out is None
        and dtype is None
        and not config.lazy
        and not recorders.count
        and (type(arrays) is tuple or type(arrays) is list)
    ):
        values = []
        kind = None
        for each in arrays:
            if type(each) is not Var or each._ref is not None or each._format is not _NCHW:
                break
            value = each._value
            if value is None or (kind is not None and value.dtype is not kind):
                break
            kind = value.dtype
            values.append(value)
        else:
            try:
                return Var(_np.concatenate(values, axis))
            except (TypeError, ValueError, IndexError):
                pass
        values = value = None  # type: ignore[assignment]
    return manipulation.concatenate(arrays, axis, out, dtype=dtype, casting=casting)


def matmul(x1: Any, x2: Any, /, *arguments: Any, **options: Any) -> Any:
    if type(x1) is Var and type(x2) is Var and not arguments and not options:
        left, right = x1._value, x2._value
        if (
            left is not None
            and right is not None
            and not config.lazy
            and not recorders.count
            and left.dtype is right.dtype
            and left.dtype in _FLOATS
            and (right.ndim < 2 or left.ndim < 2 or left.size * right.shape[-1] < SMALL_PRODUCT)
            and x1._ref is x2._ref is None
            and x1._format is x2._format is _NCHW
        ):
            try:
                return Var(_asarray(_np.matmul(left, right)))
            except ValueError:
                pass
        left = right = None
    return products.matmul(x1, x2, *arguments, **options)


def _is_computed(x: Any) -> bool:
    """True for a Var that holds its array, in eager mode and the common format."""
    return (
        type(x) is Var
        and x._value is not None
        and not config.lazy
        and not recorders.count
        and x._ref is None
        and x._format is _NCHW
        and x._value.dtype in _REALS
    )


def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Var:
    if out is None and mode == "raise" and _is_computed(a):
        places = indices._array() if _is_computed(indices) else indices
        if type(places) is not Var and _asarray(places).dtype.kind in "iu":
            try:
                return Var(_asarray(a._value.take(places, axis)))
            except (IndexError, ValueError):
                pass
    return searching.take(a, indices, axis, out, mode)


def nonzero(a: Any) -> tuple[Var, ...]:
    if type(a) is Var and a._value is None and a._ref is None:
        a._array()
    if _is_computed(a) and a._value.ndim:
        return tuple([Var(each.astype(_INT32)) for each in a._value.nonzero()])
    return searching.nonzero(a)


sum = _quick(reductions.sum, _reduce(_sum), _WIDE, reduction="reduce_sum")
prod = _quick(reductions.prod, _reduce(_prod), _WIDE)
max = amax = _quick(reductions.max, _reduce(_largest), _REALS, large=True, reduction="reduce_max")
min = amin = _quick(reductions.min, _reduce(_least), _REALS, large=True, reduction="reduce_min")
mean = _quick(reductions.mean, lambda x, axis=None: x.mean(axis), _FLOATS, reduction="reduce_mean")
any = _quick(reductions.any, lambda x, axis=None: x.any(axis), _REALS, large=True)
all = _quick(reductions.all, lambda x, axis=None: x.all(axis), _REALS, large=True)
argmax = _quick(reductions.argmax, lambda x, axis=None: _INT32(x.argmax(axis)), _REALS, large=True)
argmin = _quick(reductions.argmin, lambda x, axis=None: _INT32(x.argmin(axis)), _REALS, large=True)
cumsum = _quick(running.cumsum, lambda x, axis=None: x.cumsum(axis), _WIDE)
reshape = _quick(manipulation.reshape, lambda x, shape: x.reshape(shape), _REALS)
transpose = _quick(manipulation.transpose, lambda x, axes=None: x.transpose(axes), _REALS)
sort = _quick(searching.sort, lambda x, axis=-1: _np.sort(x, axis), _REALS, always=True)
concat = concatenate
for _short, _general in (
    (where, searching.where),
    (concatenate, manipulation.concatenate),
    (matmul, products.matmul),
    (take, searching.take),
    (nonzero, searching.nonzero),
):
    _described(_short, _general)


__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "concat",
    "concatenate",
    "cumsum",
    "matmul",
    "max",
    "mean",
    "min",
    "nonzero",
    "prod",
    "reshape",
    "sort",
    "sum",
    "take",
    "transpose",
    "where",
]


def _method(name: str) -> Any:
    return getattr(Var, name)


def _reshaped(general: Any) -> Any:
    return _quick(general, lambda x, *shape: x.reshape(*shape), _REALS)


for _name in ("sum", "prod", "max", "min", "mean", "any", "all", "argmax", "argmin", "cumsum"):
    attach_method(_name, globals()[_name])
attach_method("take", take)
attach_method("nonzero", nonzero)
attach_method("reshape", _reshaped(_method("reshape")))
attach_method(
    "transpose", _quick(_method("transpose"), lambda x, *axes: x.transpose(*axes), _REALS)
)
attach_method("T", property(transpose))  # type: ignore[arg-type]
attach_binary("matmul", matmul)
