"""Reductions, positions of extremes, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, float_result
from mnn.expr.symbols import Dim
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of, normalize_axes
from mnn.ops.broadcast import broadcast_like, reshape_like
from mnn.ops.codec import Codec
from mnn.ops.comparison import select
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import known_value
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal, positive, text_operand
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample
from mnn.ops.unary import exp, log

__all__ = [
    "count_of",
    "logsumexp",
    "reduce_all",
    "reduce_any",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "reduction",
]

Array = np.ndarray[Any, Any]
_BOOL: np.dtype[Any] = np.dtype(np.bool_)


def reduced_shape(
    name: str, shape: tuple[Dim, ...] | None, axes: tuple[int, ...] | None, *, keepdims: bool
) -> tuple[Dim, ...] | None:
    """Return the shape after reducing `axes` (None: all)."""
    if shape is None:
        return () if axes is None and not keepdims else None
    chosen = range(len(shape)) if axes is None else normalize_axes(name, axes, len(shape))
    return tuple(
        1 if axis in chosen else size
        for axis, size in enumerate(shape)
        if keepdims or axis not in chosen
    )


def reduction(
    name: str,
    function: Callable[..., Any],
    doc: str,
    *,
    operation: str,
    result: Callable[[np.dtype[Any]], np.dtype[Any]],
    grad: Callable[[GradCall], list[Var | None]] | None,
    kinds: str = "biufc",
    needs_elements: bool = False,
    make: Callable[..., Array] = normal,
    gradient: bool = True,
    onnx: str | None = None,
) -> OpSpec:
    """Declare a reduction over axes.

    Args:
        name: public name.
        function: `(array, axis=, keepdims=) -> array` in NumPy.
        doc: what it returns.
        operation: member of the file format's `ReductionType`.
        result: result dtype by operand dtype.
        grad: gradient rule.
        kinds: accepted NumPy kinds.
        needs_elements: an empty set has no result (max, min).
        make: values of the samples.
        gradient: check gradients of the samples.
        onnx: operator of the same meaning.
    """

    def wanted(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> np.dtype[Any]:
        if dtype.kind not in kinds:
            raise DTypeError(f"{name}: found {dtype}, expected kinds {kinds}. Use astype first.")
        explicit: np.dtype[Any] | None = attributes.get("dtype")
        return result(dtype) if explicit is None else explicit

    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        x = types[0]
        axes, keepdims = attributes["axes"], attributes["keepdims"]
        shape = reduced_shape(name, x.shape, axes, keepdims=keepdims)
        if needs_elements and x.shape is not None:
            chosen = (
                range(len(x.shape)) if axes is None else normalize_axes(name, axes, len(x.shape))
            )
            if any(x.shape[axis] == 0 for axis in chosen) and 0 not in (shape or ()):
                raise ShapeError(
                    f"{name}: found {x.describe()} reduced over axes {list(chosen)}: no elements, "
                    "and no value for that. Check the size first."
                )
        kind = TensorType(shape, wanted(x.dtype, attributes), x.format)
        return known_value(compute, types, attributes, kind)

    def compute(x: Array, **attributes: Any) -> Array:
        dtype = wanted(x.dtype, attributes)
        if dtype.kind in "fc" and x.dtype != dtype:
            x = x.astype(dtype)
        value = np.asarray(function(x, axis=attributes["axes"], keepdims=attributes["keepdims"]))
        return value if value.dtype == dtype else value.astype(dtype)

    return OpSpec(
        name,
        ("x",),
        infer,
        compute,
        "reduce",
        attributes={"axes": None, "keepdims": False, "dtype": None},
        grad=grad,
        codec=Codec("Reduction", handled=True, name=operation),
        onnx=onnx,
        samples=(
            Sample((make(2, 3, 4),), {"axes": (1,)}, gradient=gradient),
            Sample((make(2, 3),), {"axes": (0, -1), "keepdims": True}, gradient=gradient),
            Sample((make(5),), gradient=gradient),
            Sample((make(),), gradient=gradient),
            Sample((make(0, 3),), {"axes": (1,)}, gradient=False),
            Sample((integers(2, 3),), {"axes": (1,)}, gradient=False),
            Sample((make(3, 2, dtype=np.float64),), {"axes": (-2,)}, gradient=False),
        ),
        bad=(
            BadCall("axis out of range", (make(2, 3),), ShapeError, {"axes": (2,)}),
            BadCall("axis twice", (make(2, 3),), ShapeError, {"axes": (1, -1)}),
            text_operand(1),
        ),
        doc=doc,
    )


def _expanded(value: Var, call: GradCall) -> Var:
    """Return a reduced value with its axes back as 1, ready to broadcast to the operand."""
    x = call.input(0)
    axes = call.attributes["axes"]
    if call.attributes["keepdims"]:
        return value
    if axes is None:
        return value
    shaped: Var = reshape_like(value, _keepdims_zeros(x, axes))
    return shaped


def _keepdims_zeros(x: Var, axes: tuple[int, ...]) -> Var:
    """Return zeros of the shape that keepdims would give, also for unknown sizes."""
    result: Var = _reduce_sum(zeros_like(x), axes=axes, keepdims=True)
    return result


def count_of(x: Var, axes: tuple[int, ...] | None) -> Var | float:
    """Return how many elements are reduced: a number, or a Var when a size is unknown."""
    shape = x.shape
    if -1 not in shape:
        count = 1
        for axis, size in enumerate(shape):
            if axes is None or axis in normalize_axes("reduce", axes, len(shape)):
                count *= size
        return float(count)
    result: Var = _reduce_sum(zeros_like(x) + 1, axes=axes, keepdims=True)
    return result


def _grad_sum(call: GradCall) -> list[Var | None]:
    return [broadcast_like(_expanded(call.grad, call), call.input(0))]


def _grad_mean(call: GradCall) -> list[Var | None]:
    x = call.input(0)
    count = count_of(x, call.attributes["axes"])
    return [broadcast_like(_expanded(call.grad, call), x) / count]


def _grad_extreme(call: GradCall) -> list[Var | None]:
    x = call.input(0)
    hit = x == broadcast_like(_expanded(call.outputs[0], call), x)
    weight = select(hit, zeros_like(x) + 1, zeros_like(x))
    ties = _reduce_sum(weight, axes=call.attributes["axes"], keepdims=True)
    return [broadcast_like(_expanded(call.grad, call), x) * weight / ties]


def _grad_prod(call: GradCall) -> list[Var | None]:
    """Product of the others: exact where one factor is zero, zero where two are."""
    x, axes = call.input(0), call.attributes["axes"]
    zero = x == 0
    ones, zeros = zeros_like(x) + 1, zeros_like(x)
    filled = select(zero, ones, x)
    total = _reduce_prod(filled, axes=axes, keepdims=True)
    count = _reduce_sum(select(zero, ones, zeros), axes=axes, keepdims=True)
    none, one = count == 0, count == 1
    others = total / filled
    alone = select(zero, ones, zeros) * total
    slope = select(none, others, select(one, alone, zeros))
    return [broadcast_like(_expanded(call.grad, call), x) * slope]


def _same(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.int32) if dtype == _BOOL else dtype


def _accurate_sum(x: Array, *, axis: Any, keepdims: bool) -> Any:
    # NumPy adds pairwise only along the fastest axis; other axes accumulate one by one.
    if x.dtype in (np.float32, np.float16) and axis is not None and x.size > 4096:
        return np.sum(x, axis=axis, keepdims=keepdims, dtype=np.float64)
    return np.sum(x, axis=axis, keepdims=keepdims)


def _mean(x: Array, *, axis: Any, keepdims: bool) -> Any:
    with np.errstate(all="ignore"):
        if x.size == 0:
            return np.sum(x, axis=axis, keepdims=keepdims) / np.zeros((), x.dtype)
        wide = np.float64 if x.dtype in (np.float32, np.float16) else None
        return np.mean(x, axis=axis, keepdims=keepdims, dtype=wide)


_reduce_sum = reduction(
    "reduce_sum",
    _accurate_sum,
    "sum over axes",
    operation="SUM",
    result=_same,
    grad=_grad_sum,
    onnx="ReduceSum",
)
_reduce_mean = reduction(
    "reduce_mean",
    _mean,
    "mean over axes, a float for integers too",
    operation="MEAN",
    result=float_result,
    grad=_grad_mean,
    onnx="ReduceMean",
)
_reduce_max = reduction(
    "reduce_max",
    np.max,
    "largest element over axes; NaN if one is NaN",
    operation="MAXIMUM",
    result=lambda dtype: dtype,
    grad=_grad_extreme,
    kinds="biuf",
    needs_elements=True,
    onnx="ReduceMax",
)
_reduce_min = reduction(
    "reduce_min",
    np.min,
    "smallest element over axes; NaN if one is NaN",
    operation="MINIMUM",
    result=lambda dtype: dtype,
    grad=_grad_extreme,
    kinds="biuf",
    needs_elements=True,
    onnx="ReduceMin",
)
_reduce_prod = reduction(
    "reduce_prod",
    np.prod,
    "product over axes",
    operation="PROD",
    result=_same,
    grad=_grad_prod,
    make=positive,
    onnx="ReduceProd",
)
_reduce_any = reduction(
    "reduce_any",
    np.any,
    "true where any element over axes is nonzero",
    operation="ANY",
    result=lambda dtype: _BOOL,
    grad=lambda call: [None],
    gradient=False,
)
_reduce_all = reduction(
    "reduce_all",
    np.all,
    "true where all elements over axes are nonzero",
    operation="ALL",
    result=lambda dtype: _BOOL,
    grad=lambda call: [None],
    gradient=False,
)


def _axes(name: str, axis: Any) -> tuple[int, ...] | None:
    if axis is None:
        return None
    return integers_of(name, axis) or None


def _apply(spec: OpSpec, x: Any, axis: Any, keepdims: Any, dtype: Any = None) -> Var:
    result: Var = spec(
        as_var(x, spec.name),
        axes=_axes(spec.name, axis),
        keepdims=bool(keepdims),
        dtype=None if dtype is None else as_dtype(dtype),
    )
    return result


def reduce_sum(x: Any, axis: Any = (), keepdims: bool = False, dtype: Any = None) -> Var:
    """Return the sum over `axis` (none: all axes).

    Args:
        x: any array; bools are summed as int32, other types keep theirs.
        axis: int, ints or int Var.
        keepdims: leave reduced axes with size 1.
        dtype: result type instead.

    Raises:
        ShapeError: an axis is out of range or named twice.
    """
    return _apply(_reduce_sum, x, axis, keepdims, dtype)


def reduce_mean(x: Any, axis: Any = (), keepdims: bool = False, dtype: Any = None) -> Var:
    """Return the mean over `axis` (none: all axes); integers give float32. Empty sets give NaN."""
    return _apply(_reduce_mean, x, axis, keepdims, dtype)


def reduce_max(x: Any, axis: Any = (), keepdims: bool = False) -> Var:
    """Return the largest element over `axis` (none: all axes); an empty set raises ShapeError."""
    return _apply(_reduce_max, x, axis, keepdims)


def reduce_min(x: Any, axis: Any = (), keepdims: bool = False) -> Var:
    """Return the smallest element over `axis` (none: all axes); an empty set raises ShapeError."""
    return _apply(_reduce_min, x, axis, keepdims)


def reduce_prod(x: Any, axis: Any = (), keepdims: bool = False, dtype: Any = None) -> Var:
    """Return the product over `axis` (none: all axes)."""
    return _apply(_reduce_prod, x, axis, keepdims, dtype)


def reduce_any(x: Any, axis: Any = (), keepdims: bool = False) -> Var:
    """Return whether any element over `axis` (none: all axes) is nonzero, as bool."""
    return _apply(_reduce_any, x, axis, keepdims)


def reduce_all(x: Any, axis: Any = (), keepdims: bool = False) -> Var:
    """Return whether all elements over `axis` (none: all axes) are nonzero, as bool."""
    return _apply(_reduce_all, x, axis, keepdims)


def logsumexp(x: Any, axis: Any = (), keepdims: bool = False) -> Var:
    """Return log(sum(exp(x))) over `axis`, without overflow."""
    operand = as_var(x, "logsumexp")
    top = reduce_max(operand, axis, True)
    total = log(reduce_sum(exp(operand - top), axis, True)) + top
    return total if keepdims else reduce_sum(total, axis, False)
