"""Pooling: maxima and means of windows, and of whole planes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.enums import Padding_Mode
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.codec import Codec
from mnn.ops.convolution import both_sides, pair
from mnn.ops.operands import as_var
from mnn.ops.reference import pool as maths
from mnn.ops.reference.layout import spatial_axes
from mnn.ops.reference.window_shapes import pool_shape
from mnn.ops.samples import integers, normal
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = [
    "avg_pool",
    "avg_pool_window",
    "global_avg_pool",
    "global_max_pool",
    "max_pool",
    "max_pool_window",
]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)

_WINDOW: Mapping[str, Any] = {
    "kernel": REQUIRED,
    "stride": REQUIRED,
    "pads": ((0, 0), (0, 0)),
    "mode": "CAFFE",
    "ceil_mode": False,
    "clip": True,
    "layout": "NCHW",
}


def _check_real(name: str, x: TensorType) -> None:
    if x.dtype.kind not in "biuf":
        raise DTypeError(f"{name}: found {x.dtype}, expected real numbers. Use astype first.")


def _window_shape(name: str, x: TensorType, attributes: Mapping[str, Any]) -> Any:
    _check_real(name, x)
    if x.shape is None:
        return None
    known = {key: attributes[key] for key in _WINDOW}
    return pool_shape(x.shape, name=name, **known)


def _infer(name: str) -> Any:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        x = types[0]
        return TensorType(_window_shape(name, x, attributes), x.dtype, x.format)

    return infer


def _distinct(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    """Return values far enough apart that no window has a tie."""
    count = int(np.prod(shape))
    # A step that shares no factor with the count visits every number once.
    step = next(each for each in (7, 11, 13) if math.gcd(each, max(count, 1)) == 1)
    order = np.arange(count) * step % max(count, 1)
    return (order.reshape(shape) / 4).astype(dtype)


_SAMPLES = (
    Sample((_distinct(1, 2, 4, 4),), {"kernel": (2, 2), "stride": (2, 2)}),
    Sample(
        (_distinct(1, 1, 3, 5),),
        {"kernel": (3, 2), "stride": (1, 2), "pads": ((1, 1), (0, 1)), "ceil_mode": True},
    ),
    Sample(
        (_distinct(1, 3, 4, 2),),
        {"kernel": (2, 2), "stride": (2, 2), "mode": "SAME", "layout": "NHWC"},
    ),
    Sample((_distinct(2, 1, 5),), {"kernel": (2,), "stride": (2,), "pads": ((1, 0),)}),
    Sample((normal(0, 2, 4, 4),), {"kernel": (2, 2), "stride": (2, 2)}, gradient=False),
    Sample((integers(1, 1, 4, 4),), {"kernel": (2, 2), "stride": (1, 1)}, gradient=False),
)
_BAD = (
    BadCall("no spatial axis", (normal(2, 3),), ShapeError, {"kernel": (2,), "stride": (1,)}),
    BadCall("zero kernel", (normal(1, 1, 4, 4),), ShapeError, {"kernel": (0, 2), "stride": (1, 1)}),
    BadCall("zero stride", (normal(1, 1, 4, 4),), ShapeError, {"kernel": (2, 2), "stride": (0, 1)}),
)

max_pool_window: OpSpec = OpSpec(
    "max_pool",
    ("x",),
    _infer("max_pool"),
    maths.max_pool,
    "window",
    attributes=_WINDOW,
    grad=lambda call: [max_pool_grad(call.grad, call.input(0), **call.attributes)],
    codec=Codec("Pooling", handled=True),
    onnx="MaxPool",
    samples=_SAMPLES,
    bad=_BAD,
    doc="largest element of each window",
)


def _infer_grad(name: str) -> Any:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        g, x = types
        return TensorType(x.shape, g.dtype, x.format)

    return infer


_GRAD_SAMPLES = (
    Sample((normal(1, 2, 2, 2), _distinct(1, 2, 4, 4)), {"kernel": (2, 2), "stride": (2, 2)}),
    Sample(
        (normal(1, 2, 1, 2), _distinct(1, 4, 2, 2)),
        {"kernel": (2, 2), "stride": (2, 2), "mode": "SAME", "layout": "NHWC"},
        gradient=False,
    ),
    Sample(
        (normal(0, 2, 2, 2), normal(0, 2, 4, 4)),
        {"kernel": (2, 2), "stride": (2, 2)},
        gradient=False,
    ),
)

max_pool_grad: OpSpec = OpSpec(
    "max_pool_grad",
    ("g", "x"),
    _infer_grad("max_pool_grad"),
    maths.max_pool_grad,
    "window",
    attributes=_WINDOW,
    samples=tuple(Sample(each.inputs, each.attributes, gradient=False) for each in _GRAD_SAMPLES),
    doc="gradient of max_pool: each goes to the first largest element of its window",
)

max_pool_indices: OpSpec = OpSpec(
    "max_pool_indices",
    ("x",),
    lambda types, attributes: TensorType(
        _window_shape("max_pool_indices", types[0], attributes), _INT, types[0].format
    ),
    maths.max_pool_indices,
    "window",
    attributes=_WINDOW,
    grad=lambda call: [None],
    samples=tuple(Sample(each.inputs, each.attributes, gradient=False) for each in _SAMPLES),
    bad=_BAD,
    doc="position y * width + x of the largest element of each window",
)

_AVERAGE: Mapping[str, Any] = {**_WINDOW, "count": "exclude"}

avg_pool_window: OpSpec = OpSpec(
    "avg_pool",
    ("x",),
    _infer("avg_pool"),
    maths.avg_pool,
    "window",
    attributes=_AVERAGE,
    grad=lambda call: [avg_pool_grad(call.grad, call.input(0), **call.attributes)],
    codec=Codec("Pooling", handled=True),
    onnx="AveragePool",
    samples=(
        *_SAMPLES,
        Sample(
            (normal(1, 1, 3, 3),),
            {"kernel": (2, 2), "stride": (1, 1), "pads": ((1, 0), (1, 1)), "count": "include"},
        ),
    ),
    bad=_BAD,
    doc="mean of each window",
)


def _average_adjoint(g: Array, x: Array, **attributes: Any) -> Array:
    return maths.avg_pool_grad(g, input_shape=x.shape, **attributes)


avg_pool_grad: OpSpec = OpSpec(
    "avg_pool_grad",
    ("g", "x"),
    _infer_grad("avg_pool_grad"),
    _average_adjoint,
    "window",
    attributes=_AVERAGE,
    grad=lambda call: [avg_pool_window(call.grad, **call.attributes), None],
    samples=_GRAD_SAMPLES,
    doc="gradient of avg_pool: shared by the elements of the window",
)


# --- whole planes --------------------------------------------------------------------------------


def _infer_global(name: str) -> Any:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        x = types[0]
        _check_real(name, x)
        if x.shape is None:
            return x.with_shape(None)
        axes = spatial_axes(attributes["layout"], len(x.shape))
        if any(x.shape[axis] == 0 for axis in axes) and x.shape[0] != 0:
            raise ShapeError(f"{name}: {x.describe()} has no position to pool over.")
        return x.with_shape(1 if axis in axes else size for axis, size in enumerate(x.shape))

    return infer


def _grad_global_average(call: GradCall) -> list[Var | None]:
    from mnn.ops.broadcast import broadcast_like
    from mnn.ops.reduce import count_of

    x = call.input(0)
    axes = spatial_axes(call.attributes["layout"], x.ndim)
    return [broadcast_like(call.grad, x) / count_of(x, axes)]


def _grad_global_maximum(call: GradCall) -> list[Var | None]:
    from mnn.ops.broadcast import broadcast_like
    from mnn.ops.comparison import select
    from mnn.ops.create import zeros_like
    from mnn.ops.reduce import reduce_sum

    x = call.input(0)
    axes = spatial_axes(call.attributes["layout"], x.ndim)
    ones, zeros = zeros_like(x) + 1, zeros_like(x)
    hit = select(x == broadcast_like(call.outputs[0], x), ones, zeros)
    return [broadcast_like(call.grad / reduce_sum(hit, axes, True), x) * hit]


_GLOBAL_SAMPLES = (
    Sample((normal(1, 2, 3, 2),)),
    Sample((normal(2, 3, 2, 1),), {"layout": "NHWC"}),
    Sample((normal(1, 2, 4),)),
    Sample((normal(0, 2, 3, 3),), gradient=False),
)
_GLOBAL_BAD = (BadCall("empty plane", (normal(1, 2, 0, 3),), ShapeError),)

global_max_pool: OpSpec = OpSpec(
    "global_max_pool",
    ("x",),
    _infer_global("global_max_pool"),
    maths.global_max_pool,
    "window",
    attributes={"layout": "NCHW"},
    grad=_grad_global_maximum,
    codec=Codec("Pooling", handled=True),
    onnx="GlobalMaxPool",
    samples=_GLOBAL_SAMPLES,
    bad=_GLOBAL_BAD,
    doc="largest element of each plane",
)

global_avg_pool: OpSpec = OpSpec(
    "global_avg_pool",
    ("x",),
    _infer_global("global_avg_pool"),
    maths.global_avg_pool,
    "window",
    attributes={"layout": "NCHW"},
    grad=_grad_global_average,
    codec=Codec("Pooling", handled=True),
    onnx="GlobalAveragePool",
    samples=_GLOBAL_SAMPLES,
    bad=_GLOBAL_BAD,
    doc="mean of each plane",
)


# --- public functions ----------------------------------------------------------------------------


def _settings(
    name: str, x: Var, kernel: Any, stride: Any, padding_mode: Any, pads: Any
) -> dict[str, Any]:
    mode = Padding_Mode(padding_mode)
    sides = pair(name, pads, "pads") if mode is Padding_Mode.CAFFE else (0, 0)
    return {
        "kernel": pair(name, kernel, "kernel"),
        "stride": pair(name, stride, "stride"),
        "pads": both_sides(sides),
        "mode": mode.name,
        "ceil_mode": mode is Padding_Mode.CAFFE,
        "clip": False,
        "layout": x.data_format.layout,
    }


def max_pool(
    x: Any,
    kernel: Any,
    stride: Any,
    padding_mode: Padding_Mode = Padding_Mode.VALID,
    pads: Any = (0, 0),
) -> Var:
    """Return the largest element of each window.

    Args:
        x: `(N, C, H, W)`, or `(N, H, W, C)` when it is NHWC.
        kernel, stride, pads: (x, y) pairs, that is (width, height).
        padding_mode: CAFFE uses `pads` and rounds sizes up; VALID pads nothing; SAME gives
            `ceil(size / stride)`.

    Raises:
        ShapeError: wrong rank, or a kernel or stride below 1.
    """
    operand = as_var(x, "max_pool")
    settings = _settings("max_pool", operand, kernel, stride, padding_mode, pads)
    result: Var = max_pool_window(operand, **settings)
    return result


def avg_pool(
    x: Any,
    kernel: Any,
    stride: Any,
    padding_mode: Padding_Mode = Padding_Mode.VALID,
    pads: Any = (0, 0),
) -> Var:
    """Return the mean of each window.

    CAFFE padding counts as zeros in the mean; SAME padding does not count. Arguments as for
    `max_pool`.
    """
    operand = as_var(x, "avg_pool")
    settings = _settings("avg_pool", operand, kernel, stride, padding_mode, pads)
    count = "include" if settings["mode"] == "CAFFE" else "exclude"
    result: Var = avg_pool_window(operand, count=count, **settings)
    return result
