"""Universal functions: NumPy's calling convention around elementwise functions.

`unary(general, ufunc)` and its likes return functions with the arguments and attributes of
`numpy.ufunc`: `out`, `where`, `dtype`, `reduce`, `outer`, `at` and so on. They are functions, not
objects with a `__call__`, because small arrays feel the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as _np

from mnn.config import config
from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype
from mnn.expr.enums import data_format
from mnn.expr.memory import writable_array
from mnn.expr.modes import recorders
from mnn.expr.var import Var
from mnn.numpy.hosting import computed
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast as _cast
from mnn.ops.operands import as_var, as_vars
from mnn.ops.quick import SMALL, keeps_dtypes, may_wait, waiting_or_recorded
from mnn.ops.repeat import broadcast_to

__all__ = ["binary", "finish", "several", "unary"]

Function = Callable[..., Any]

_NCHW = data_format.NCHW
_CASTINGS = frozenset(("no", "equiv", "safe", "same_kind", "unsafe"))
_FLOAT: _np.dtype[Any] = _np.dtype(_np.float32)
_new = object.__new__
_ndarray = _np.ndarray
_asarray = _np.asarray


def unary(general: Any, ufunc: Any, **methods: Function) -> Any:
    """Return the universal function of one operand.

    Args:
        general: the function for operands of any kind.
        ufunc: NumPy's of the same meaning.
        methods: what `reduce` and `accumulate` are, where the graph has them.
    """
    dtypes = keeps_dtypes(ufunc)
    waits = may_wait(general)

    def call(
        x: Any,
        /,
        out: Any = None,
        *,
        where: Any = True,
        casting: str = "same_kind",
        order: str = "K",
        dtype: Any = None,
        subok: bool = True,
        signature: Any = None,
    ) -> Any:
        if out is None and where is True and dtype is None and signature is None:
            if type(x) is Var:
                operand = x._value
                if (
                    operand is not None
                    and not config.lazy
                    and not recorders.count
                    and (operand.dtype is _FLOAT or operand.dtype in dtypes)
                    and operand.size <= SMALL
                    and x._ref is None
                    and x._format is _NCHW
                ):
                    found = ufunc(operand)
                    result = _new(Var)
                    result._value = found if type(found) is _ndarray else _asarray(found)
                    result._ref = None
                    result._format = _NCHW
                    result._name = ""
                    return result
                operand = None  # what waits must be the only one that knows the array
                if waits:
                    found = waiting_or_recorded(general, x)
                    if found is not None:
                        return found
            return general(x)
        return _complete(general, ufunc, (x,), out, where, casting, dtype, signature)

    return _described(call, general, ufunc, methods)


def binary(general: Any, ufunc: Any, **methods: Function) -> Any:
    """Return the universal function of two operands; see `unary`."""
    dtypes = keeps_dtypes(ufunc)
    waits = may_wait(general)

    def call(
        x1: Any,
        x2: Any,
        /,
        out: Any = None,
        *,
        where: Any = True,
        casting: str = "same_kind",
        order: str = "K",
        dtype: Any = None,
        subok: bool = True,
        signature: Any = None,
    ) -> Any:
        if out is None and where is True and dtype is None and signature is None:
            if type(x1) is Var and type(x2) is Var:
                left, right = x1._value, x2._value
                if (
                    left is not None
                    and right is not None
                    and not config.lazy
                    and not recorders.count
                    and left.dtype is right.dtype
                    and (left.dtype is _FLOAT or left.dtype in dtypes)
                    and left.size <= SMALL
                    and right.size <= SMALL
                    and x1._ref is None
                    and x2._ref is None
                    and x1._format is _NCHW is x2._format
                ):
                    try:
                        found = ufunc(left, right)
                    except ValueError:
                        return general(x1, x2)
                    result = _new(Var)
                    result._value = found if type(found) is _ndarray else _asarray(found)
                    result._ref = None
                    result._format = _NCHW
                    result._name = ""
                    return result
                left = right = None  # what waits must be the only one that knows the arrays
            if waits:
                found = waiting_or_recorded(general, x1, x2)
                if found is not None:
                    return found
            return general(x1, x2)
        return _complete(general, ufunc, (x1, x2), out, where, casting, dtype, signature)

    return _described(call, general, ufunc, methods)


def several(general: Function, ufunc: Any) -> Any:
    """Return the universal function with more than one result."""

    def call(
        *operands: Any,
        out: Any = None,
        where: Any = True,
        casting: str = "same_kind",
        order: str = "K",
        dtype: Any = None,
        subok: bool = True,
        signature: Any = None,
    ) -> Any:
        inputs, given = operands[: ufunc.nin], operands[ufunc.nin :]
        if len(inputs) < ufunc.nin or len(given) > ufunc.nout or (given and out is not None):
            raise TypeError(
                f"{ufunc.__name__}: found {len(operands)} operands, expected {ufunc.nin} and "
                f"up to {ufunc.nout} arrays for the results."
            )
        if given:
            out = (*given, *([None] * (ufunc.nout - len(given))))
        if out is None and where is True and dtype is None and signature is None:
            return general(*inputs)
        return _complete(general, ufunc, inputs, out, where, casting, dtype, signature)

    return _described(call, general, ufunc, {})


def _described(call: Any, general: Function, ufunc: Any, methods: dict[str, Function]) -> Any:
    call.__name__ = call.__qualname__ = ufunc.__name__
    call.__module__ = "mnn.numpy"
    call.__doc__ = general.__doc__
    for name in ("nin", "nout", "nargs", "ntypes", "types", "identity", "signature"):
        setattr(call, name, getattr(ufunc, name))
    call.resolve_dtypes = ufunc.resolve_dtypes
    if ufunc.nin == 2 and ufunc.nout == 1:
        call.reduce = methods.get("reduce", _hosted(ufunc.reduce))
        call.accumulate = methods.get("accumulate", _hosted(ufunc.accumulate))
        call.reduceat = _hosted(ufunc.reduceat)
        call.outer = _outer(call)
    call.at = _at(ufunc)
    return call


# --- out, where, dtype ---------------------------------------------------------------------------


def _complete(
    general: Function,
    ufunc: Any,
    inputs: tuple[Any, ...],
    out: Any,
    where: Any,
    casting: str,
    dtype: Any,
    signature: Any,
) -> Any:
    """Return the results of a call with any of NumPy's options."""
    if casting not in _CASTINGS:
        raise ValueError(
            f"{ufunc.__name__}: casting is {casting!r}, expected 'no', 'equiv', 'safe', "
            "'same_kind' or 'unsafe'."
        )
    met = as_vars(inputs, ufunc.__name__)
    operands = [
        each if _is_number(each) else variable for each, variable in zip(inputs, met, strict=True)
    ]
    if dtype is not None or signature is not None:
        operands = _converted(ufunc, operands, casting, dtype, signature)
    found = general(*operands)
    results = found if isinstance(found, tuple) else (found,)
    targets = out if isinstance(out, tuple) else (out,) + (None,) * (len(results) - 1)
    if len(targets) != len(results):
        raise ValueError(
            f"{ufunc.__name__}: out has {len(targets)} entries, expected {len(results)}."
        )
    finished = tuple(
        finish(ufunc.__name__, result, target, where, casting)
        for result, target in zip(results, targets, strict=True)
    )
    return finished if isinstance(found, tuple) else finished[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, complex)) and not isinstance(value, _np.generic)


def _converted(
    ufunc: Any, operands: list[Any], casting: str, dtype: Any, signature: Any
) -> list[Any]:
    if dtype is not None and signature is not None:
        raise TypeError(f"{ufunc.__name__}: dtype and signature exclude each other.")
    if signature is None:
        wanted = as_dtype(dtype, what=f"{ufunc.__name__}: dtype")
        signature = (None,) * ufunc.nin + (wanted,) * ufunc.nout
    kinds: list[Any] = [type(each) if _is_number(each) else each.dtype for each in operands]
    kinds = [_np.dtype(bool) if each is bool else each for each in kinds]
    found = ufunc.resolve_dtypes(
        (*kinds, *([None] * ufunc.nout)), signature=signature, casting=casting
    )
    return [
        _cast(as_var(each, ufunc.__name__), kind)
        for each, kind in zip(operands, found, strict=False)
    ]


def finish(name: str, result: Any, out: Any, where: Any = True, casting: str = "same_kind") -> Any:
    """Return a result as a universal function gives it.

    Args:
        name: of the function, for messages.
        result: what was computed.
        out: Var to write it to, or None.
        where: mask that broadcasts; other elements of `out` stay as they are, and are 0 in a new
            array (in NumPy: not initialised).
        casting: how free the conversion to the dtype of `out` may be.

    Raises:
        ShapeError: the result does not broadcast to `out`.    DTypeError: `out` is no Var, or of a
        dtype that the result may not be converted to.
    """
    if where is not True:
        mask = as_var(where, name)
        if mask.dtype.kind != "b":
            raise DTypeError(f"{name}: where is {mask.dtype}, expected a mask of bools.")
        if out is None:
            return _select(mask, result, _np.zeros((), result.dtype))
        result = _select(mask, result, _cast(out, result.dtype))
    if out is None:
        return result
    if not isinstance(out, Var):
        raise DTypeError(f"{name}: out is {type(out).__name__}, expected a Var.")
    if not _np.can_cast(result.dtype, out.dtype, casting):  # type: ignore[arg-type]
        raise DTypeError(
            f"{name}: a {result.dtype} result does not fit out, an array of {out.dtype}, under "
            f"casting={casting!r}."
        )
    if tuple(result.shape) != tuple(out.shape):
        try:
            result = broadcast_to(result, tuple(out.shape))
        except ValueError as error:
            raise ShapeError(
                f"{name}: a result of shape {result.shape} does not fit out of shape {out.shape}."
            ) from error
    out[...] = result
    return out


# --- methods -------------------------------------------------------------------------------------


def _hosted(method: Function) -> Function:
    def call(*arguments: Any, out: Any = None, **options: Any) -> Any:
        """Compute by NumPy; see `numpy.ufunc`."""
        target = out[0] if isinstance(out, tuple) else out
        return finish(method.__name__, computed(method, *arguments, **options), target)

    call.__name__ = method.__name__
    return call


def _outer(function: Function) -> Function:
    def outer(A: Any, B: Any, /, **options: Any) -> Any:
        """Return the function of every pair of elements, in shape `A.shape + B.shape`."""
        left, right = as_var(A, "outer"), as_var(B, "outer")
        index = (Ellipsis,) + (None,) * right.ndim
        return function(left[index], right, **options)

    return outer


def _at(ufunc: Any) -> Function:
    def at(a: Any, indices: Any, b: Any = None, /) -> None:
        """Change elements of a Var in place; a place that is named twice is changed twice."""
        if not isinstance(a, Var):
            raise DTypeError(f"{ufunc.__name__}.at: found {type(a).__name__}, expected a Var.")
        operands = (b,) if ufunc.nin == 2 else ()
        computed(lambda *rest: ufunc.at(writable_array(a), *rest), indices, *operands)

    return at
