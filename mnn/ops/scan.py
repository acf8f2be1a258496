"""Positions of extremes, and running sums and products along one axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal, positive, text_operand
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["argmax", "argmin", "cumprod", "cumsum"]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)


# --- positions -----------------------------------------------------------------------------------


def _position(name: str, function: Callable[..., Any], onnx: str, doc: str) -> OpSpec:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        x, keepdims = types[0], attributes["keepdims"]
        if x.shape is None:
            return TensorType(None, _INT, x.format)
        if not x.shape:
            raise ShapeError(f"{name}: found a 0-d array, expected at least one dimension.")
        axis = normalize_axis(name, attributes["axis"], len(x.shape))
        if x.shape[axis] == 0:
            raise ShapeError(
                f"{name}: axis {axis} of {x.describe()} is empty. Expected at least one element."
            )
        rest = (1,) if keepdims else ()
        return TensorType((*x.shape[:axis], *rest, *x.shape[axis + 1 :]), _INT, x.format)

    def compute(x: Array, *, axis: int, keepdims: bool) -> Array:
        normalize_axis(name, axis, x.ndim)
        result: Array = np.asarray(function(x, axis=axis, keepdims=keepdims)).astype(_INT)
        return result

    return OpSpec(
        name,
        ("x",),
        infer,
        compute,
        "reduce",
        attributes={"axis": 0, "keepdims": False},
        grad=lambda call: [None],
        codec=Codec(name.replace("arg", "Arg").replace("m", "M"), handled=True),
        onnx=onnx,
        samples=(
            Sample((normal(3, 4),), {"axis": 1}, gradient=False),
            Sample((integers(6),), {"axis": -1}, gradient=False),
            Sample((np.array([1.0, np.nan, 3.0, 3.0], np.float32),), gradient=False),
            Sample((normal(2, 3, 2),), {"axis": 1, "keepdims": True}, gradient=False),
            Sample((normal(3, 0),), {"axis": 0}, gradient=False),
        ),
        bad=(
            BadCall("axis out of range", (normal(3),), ShapeError, {"axis": 1}),
            BadCall("empty axis", (normal(0, 3),), ShapeError, {"axis": 0}),
            text_operand(1),
        ),
        doc=doc,
    )


_argmax = _position("argmax", np.argmax, "ArgMax", "index of the first largest element of an axis")
_argmin = _position("argmin", np.argmin, "ArgMin", "index of the first smallest element of an axis")


def argmax(x: Any, axis: int = 0) -> Var:
    """Return the int32 index of the first largest element along `axis`; a NaN counts as largest.

    Raises:
        ShapeError: axis out of range or empty.
    """
    result: Var = _argmax(as_var(x, "argmax"), axis=axis_number("argmax", axis))
    return result


def argmin(x: Any, axis: int = 0) -> Var:
    """Return the int32 index of the first smallest element along `axis`; a NaN counts as smallest.

    Raises:
        ShapeError: axis out of range or empty.
    """
    result: Var = _argmin(as_var(x, "argmin"), axis=axis_number("argmin", axis))
    return result


# --- running sums and products -------------------------------------------------------------------


def _running(
    function: Callable[..., Any], x: Array, *, axis: int, exclusive: bool, reverse: bool
) -> Array:
    if not x.ndim:
        raise ShapeError("cumulative sum: found a 0-d array, expected at least one dimension.")
    neutral = 0 if function is np.cumsum else 1
    dtype = _INT if x.dtype == np.bool_ else x.dtype
    if reverse:
        x = np.flip(x, axis)
    if exclusive and x.shape[axis]:
        first = np.full_like(np.take(x, [0], axis), neutral)
        rest = np.take(x, range(x.shape[axis] - 1), axis)
        x = np.concatenate([first, rest], axis)
    result: Array = function(x, axis=axis, dtype=dtype)
    return np.flip(result, axis) if reverse else result


def _infer_running(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is not None:
        if not x.shape:
            raise ShapeError("cumulative sum: found a 0-d array, expected at least one dimension.")
        normalize_axis("cumulative sum", attributes["axis"], len(x.shape))
    return TensorType(x.shape, _INT if x.dtype == np.bool_ else x.dtype, x.format)


def _grad_cumsum(call: GradCall) -> list[Var | None]:
    attributes = call.attributes
    return [
        _cumsum(
            call.grad,
            axis=attributes["axis"],
            exclusive=attributes["exclusive"],
            reverse=not attributes["reverse"],
        )
    ]


def _grad_cumprod(call: GradCall) -> list[Var | None]:
    # d y_j / d x_i = y_j / x_i for j >= i; factors of exactly 0 are outside this rule.
    x, y, axis = call.input(0), call.outputs[0], call.attributes["axis"]
    return [_cumsum(call.grad * y, axis=axis, reverse=True) / x]


_BAD = (
    BadCall("axis out of range", (normal(3),), ShapeError, {"axis": 1}),
    BadCall("no dimensions", (normal(),), ShapeError),
    text_operand(1),
)

_cumsum = OpSpec(
    "cumsum",
    ("x",),
    _infer_running,
    lambda x, **attributes: _running(np.cumsum, x, **attributes),
    "scan",
    attributes={"axis": 0, "exclusive": False, "reverse": False},
    grad=_grad_cumsum,
    codec=Codec("CumSum", handled=True),
    onnx="CumSum",
    samples=(
        Sample((normal(3, 4),), {"axis": 1}),
        Sample((normal(4),), {"exclusive": True}),
        Sample((normal(2, 3),), {"axis": -1, "reverse": True}),
        Sample((normal(2, 3),), {"axis": 0, "reverse": True, "exclusive": True}),
        Sample((integers(5, dtype=np.uint8, low=0),), gradient=False),
        Sample((normal(0, 3),), gradient=False),
    ),
    bad=_BAD,
    doc="running sum along an axis",
)

_cumprod = OpSpec(
    "cumprod",
    ("x",),
    _infer_running,
    lambda x, *, axis: _running(np.cumprod, x, axis=axis, exclusive=False, reverse=False),
    "scan",
    attributes={"axis": 0},
    grad=_grad_cumprod,
    codec=Codec("CumProd", "Axis", fields={"axis": "axis"}),
    samples=(
        Sample((positive(3, 4),), {"axis": 1}),
        Sample((positive(4),)),
        Sample((normal(0, 3),), gradient=False),
    ),
    bad=_BAD,
    doc="running product along an axis",
)


def cumsum(x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Var:
    """Return the running sum along `axis`.

    Args:
        x: at least one dimension.
        axis: which one.
        exclusive: leave the element itself out.
        reverse: run from the end.

    Raises:
        ShapeError: axis out of range.
    """
    result: Var = _cumsum(
        as_var(x, "cumsum"),
        axis=axis_number("cumsum", axis),
        exclusive=bool(exclusive),
        reverse=bool(reverse),
    )
    return result


def cumprod(x: Any, axis: int = 0) -> Var:
    """Return the running product along `axis`."""
    result: Var = _cumprod(as_var(x, "cumprod"), axis=axis_number("cumprod", axis))
    return result
