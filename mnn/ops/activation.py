"""Activations with parameters, clipping and softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.dtypes import float_result
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import axis_number, normalize_axis
from mnn.ops.codec import Codec, binary_codec
from mnn.ops.comparison import select
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import FLOAT, NUMERIC, REAL_FLOAT, elementwise
from mnn.ops.operands import array_of, as_var
from mnn.ops.reference import special
from mnn.ops.samples import binary_samples, incompatible_shapes, normal, text_operand, unary_samples
from mnn.ops.spec import REAL, BadCall, GradCall, OpSpec, Sample
from mnn.ops.trigonometry import tanh
from mnn.ops.unary import exp, sigmoid, softplus, square

__all__ = [
    "elu",
    "log_softmax",
    "mish",
    "mul_silu",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "softmax",
    "threshold",
]

Array = np.ndarray[Any, Any]


def _samples(*attributes: Mapping[str, Any]) -> tuple[Sample, ...]:
    plain = unary_samples()
    return (*plain, *(Sample((normal(3, 3, seed=4),), each) for each in attributes))


_relu = elementwise(
    "relu",
    "x",
    reference=lambda x, *, slope: (
        np.where(x > 0, x, x * x.dtype.type(slope)) if slope else np.maximum(x, 0)
    ),
    rule=NUMERIC,
    attributes={"slope": 0.0},
    body=lambda k, x, slope: (
        k.pick(k.compare("gt", x, k.const(0.0)), x, k.mul(x, k.const(slope)))
        if slope
        else k.maximum(x, k.const(0.0))
    ),
    grad=lambda g, x, y, *, slope: select(x > 0, g, g * slope),
    codec=Codec("ReLU", "Relu", fields={"slope": "slope"}),
    onnx="Relu",
    samples=_samples({"slope": 0.1}),
    bad=(text_operand(1),),
    doc="x where x > 0, slope * x elsewhere",
)


def relu(x: Any, slope: float = 0.0) -> Var:
    """Return x where it is positive and `slope * x` elsewhere."""
    result: Var = _relu(as_var(x, "relu"), slope=float(slope))
    return result


_relu6 = elementwise(
    "relu6",
    "x",
    reference=lambda x, *, minimum, maximum: np.clip(
        x, x.dtype.type(minimum), x.dtype.type(maximum)
    ),
    rule=REAL_FLOAT,
    attributes={"minimum": 0.0, "maximum": 6.0},
    body=lambda k, x, minimum, maximum: k.minimum(k.maximum(x, k.const(minimum)), k.const(maximum)),
    grad=lambda g, x, y, *, minimum, maximum: select(
        (x > minimum) * (x < maximum), g, zeros_like(g)
    ),
    codec=Codec("ReLU6", "Relu6", fields={"minimum": "minValue", "maximum": "maxValue"}),
    onnx="Clip",
    samples=_samples({"minimum": -0.5, "maximum": 0.5}),
    bad=(text_operand(1),),
    doc="x clamped to [minimum, maximum]",
)


def relu6(x: Any, min: float = 0.0, max: float = 6.0) -> Var:
    """Return x clamped to [min, max]; NaN stays NaN."""
    result: Var = _relu6(as_var(x, "relu6"), minimum=float(min), maximum=float(max))
    return result


def _elu_reference(x: Array, *, alpha: float) -> Array:
    return np.where(x > 0, x, x.dtype.type(alpha) * np.expm1(np.minimum(x, 0)))


_elu = elementwise(
    "elu",
    "x",
    reference=_elu_reference,
    rule=REAL_FLOAT,
    attributes={"alpha": 1.0},
    body=lambda k, x, alpha: k.pick(
        k.compare("gt", x, k.const(0.0)), x, k.mul(k.const(alpha), k.expm1(x))
    ),
    grad=lambda g, x, y, *, alpha: select(x > 0, g, g * (y + alpha)),
    codec=Codec("ELU", "ELU", fields={"alpha": "alpha"}),
    onnx="Elu",
    samples=_samples({"alpha": 0.5}),
    bad=(text_operand(1),),
    doc="x where x > 0, alpha * (exp(x) - 1) elsewhere",
)


def elu(x: Any, alpha: float) -> Var:
    """Return x where it is positive and `alpha * (exp(x) - 1)` elsewhere."""
    result: Var = _elu(as_var(x, "elu"), alpha=float(alpha))
    return result


_selu = elementwise(
    "selu",
    "x",
    reference=lambda x, *, scale, alpha: x.dtype.type(scale) * _elu_reference(x, alpha=alpha),
    rule=REAL_FLOAT,
    attributes={"scale": 1.0507009873554805, "alpha": 1.6732632423543772},
    body=lambda k, x, scale, alpha: k.mul(
        k.const(scale),
        k.pick(k.compare("gt", x, k.const(0.0)), x, k.mul(k.const(alpha), k.expm1(x))),
    ),
    grad=lambda g, x, y, *, scale, alpha: select(x > 0, g * scale, g * (y + scale * alpha)),
    codec=Codec("Selu", "Selu", fields={"scale": "scale", "alpha": "alpha"}),
    onnx="Selu",
    samples=_samples({"scale": 2.0, "alpha": 0.5}),
    bad=(text_operand(1),),
    doc="scale * elu(x, alpha)",
)


def selu(x: Any, scale: float, alpha: float) -> Var:
    """Return `scale * (x if x > 0 else alpha * (exp(x) - 1))`."""
    result: Var = _selu(as_var(x, "selu"), scale=float(scale), alpha=float(alpha))
    return result


threshold = elementwise(
    "threshold",
    "x",
    reference=lambda x, *, alpha: (x > alpha).astype(x.dtype),
    rule=FLOAT,
    attributes={"alpha": 0.0},
    body=lambda k, x, alpha: k.pick(k.compare("gt", x, k.const(alpha)), k.const(1.0), k.const(0.0)),
    grad=lambda g, x, y, *, alpha: None,
    codec=Codec("Threshold", "ELU", fields={"alpha": "alpha"}),
    samples=unary_samples(gradient=False),
    bad=(text_operand(1),),
    doc="1 where x > alpha, else 0",
)


def _mish_reference(x: Array) -> Array:
    finite = np.maximum(x, x.dtype.type(-1000.0))  # -inf times 0 is 0 here: the limit
    result: Array = finite * np.tanh(special.softplus(x))
    return result


def _mish_gradient(g: Var, x: Var, y: Var) -> Var:
    slope = tanh(softplus(x))
    result: Var = g * (slope + x * (1 - square(slope)) * sigmoid(x))
    return result


mish = elementwise(
    "mish",
    "x",
    body=lambda k, x: k.mish(x),
    reference=_mish_reference,
    rule=REAL_FLOAT,
    grad=_mish_gradient,
    onnx="Mish",
    samples=(
        *unary_samples(),
        Sample(
            (np.array([-20.0, -1.0, 0.0, 1.0, 30.0], np.float32),),
            oracle=lambda x: (x * np.tanh(np.log1p(np.exp(x.astype(np.float64))))).astype("f4"),
        ),
    ),
    bad=(text_operand(1),),
    doc="x * tanh(softplus(x))",
)


def _mul_silu(x: Array, y: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = x * y * special.sigmoid(y)
    return result


mul_silu = elementwise(
    "mul_silu",
    "x y",
    reference=_mul_silu,
    rule=REAL_FLOAT,
    body=lambda k, x, y: k.mul(k.mul(x, y), k.sigmoid(y)),
    grad=lambda g, x, y, z: (
        g * y * sigmoid(y),
        g * x * sigmoid(y) * (1 + y * (1 - sigmoid(y))),
    ),
    codec=binary_codec("MUL_SILU"),
    samples=binary_samples(),
    bad=(incompatible_shapes(2), text_operand(2)),
    doc="x * y * sigmoid(y)",
)


# --- per-channel slopes --------------------------------------------------------------------------


def _per_channel(slopes: Array, x: Array, layout: str) -> Array:
    if slopes.size == 1:
        return slopes.reshape(())
    if layout == "NHWC" or x.ndim < 2:
        return slopes
    return slopes.reshape((-1,) + (1,) * (x.ndim - 2))


def _prelu_reference(x: Array, slopes: Array, *, layout: str) -> Array:
    x = x.astype(float_result(x.dtype), copy=False)
    result: Array = np.where(x > 0, x, x * _per_channel(slopes.astype(x.dtype), x, layout))
    return result


def _infer_prelu(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, slopes = types
    count = (slopes.shape or (1,))[0] if slopes.rank else 1
    if x.shape is not None:
        axis = len(x.shape) - 1 if attributes["layout"] == "NHWC" else min(1, len(x.shape) - 1)
        channels = x.shape[axis] if x.shape else 1
        if isinstance(count, int) and isinstance(channels, int) and count not in (1, channels):
            raise ShapeError(
                f"prelu: found {count} slopes for {channels} channels ({x.describe()}, "
                f"{attributes['layout']}). Expected one slope per channel, or one."
            )
    return TensorType(x.shape, float_result(x.dtype), x.format)


def _grad_prelu(call: GradCall) -> list[Var | None]:
    from mnn.ops.broadcast import reshape_like, sum_like

    x, slopes, g = call.input(0), call.input(1), call.grad
    layout = call.attributes["layout"]
    by_x = _prelu(x * 0 + 1, slopes, layout=layout)
    grad_x = select(x > 0, g, g * _prelu(by_x * 0 - 1, slopes, layout=layout) * -1)
    negative_part = select(x > 0, zeros_like(g), g * x)
    rank = x.ndim
    if slopes.size == 1:
        shape: list[int] = [1] * rank
    elif layout == "NHWC" or rank < 2:
        shape = [1] * (rank - 1) + [slopes.size]
    else:
        shape = [1, slopes.size] + [1] * (rank - 2)
    like = Var(np.zeros(shape, slopes.dtype))
    return [grad_x, reshape_like(sum_like(negative_part, like), slopes)]


_prelu = OpSpec(
    "prelu",
    ("x", "slopes"),
    _infer_prelu,
    _prelu_reference,
    "activation",
    attributes={"layout": "NCHW"},
    grad=_grad_prelu,
    body=lambda k, x, slope: k.pick(k.compare("gt", x, k.const(0.0)), x, k.mul(x, slope)),
    codec=Codec("PReLU", handled=True),
    onnx="PRelu",
    kinds={"x": REAL, "slopes": REAL},
    strict=True,
    samples=(
        Sample((normal(2, 3, 2, 2), np.array([0.1, 0.2, 0.3], np.float32))),
        Sample((normal(2, 2, 3), np.array([0.1, 0.2, 0.3], np.float32)), {"layout": "NHWC"}),
        Sample((normal(2, 3), np.array([0.25], np.float32))),
        Sample((normal(0, 3), np.array([0.1, 0.2, 0.3], np.float32)), gradient=False),
    ),
    bad=(BadCall("slope count", (normal(1, 3, 2, 2), normal(2)), ShapeError),),
    doc="x where x > 0, x times the slope of its channel elsewhere",
)


def prelu(x: Any, slopes: Any) -> Var:
    """Return x where it is positive, and x times its channel's slope elsewhere.

    Args:
        x: any rank; channels on axis 1, or on the last axis when x is NHWC.
        slopes: one number per channel, or one for all.

    Raises:
        ShapeError: the number of slopes is neither 1 nor the number of channels.
    """
    operand = as_var(x, "prelu")
    array = slopes if isinstance(slopes, Var) else Var(array_of(slopes, "prelu").reshape(-1))
    result: Var = _prelu(operand, array, layout=operand.data_format.layout)
    return result


# --- softmax -------------------------------------------------------------------------------------


def _shifted(x: Array, axis: int) -> Array:
    if x.size == 0:
        return x
    top = np.max(x, axis=axis, keepdims=True)
    # Infinite rows would give inf - inf: leave them to produce NaN only where NumPy's formula does.
    return x - np.where(np.isfinite(top), top, 0)


def _softmax_reference(x: Array, *, axis: int) -> Array:
    normalize_axis("softmax", axis, x.ndim)
    x = x.astype(float_result(x.dtype), copy=False)
    with np.errstate(all="ignore"):
        powers = np.exp(_shifted(x, axis))
        result: Array = powers / np.sum(powers, axis=axis, keepdims=True)
    return result


def _log_softmax_reference(x: Array, *, axis: int) -> Array:
    normalize_axis("log_softmax", axis, x.ndim)
    x = x.astype(float_result(x.dtype), copy=False)
    with np.errstate(all="ignore"):
        shifted = _shifted(x, axis)
        result: Array = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    return result


def _infer_softmax(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.rank is not None:
        normalize_axis("softmax", attributes["axis"], x.rank)
    return TensorType(x.shape, float_result(x.dtype), x.format)


def _grad_softmax(call: GradCall) -> list[Var | None]:
    from mnn.ops.reduce import reduce_sum

    y, axis = call.outputs[0], call.attributes["axis"]
    weighted = call.grad * y
    return [weighted - y * reduce_sum(weighted, [axis], True)]


def _grad_log_softmax(call: GradCall) -> list[Var | None]:
    from mnn.ops.reduce import reduce_sum

    y, axis = call.outputs[0], call.attributes["axis"]
    return [call.grad - exp(y) * reduce_sum(call.grad, [axis], True)]


_SOFTMAX_SAMPLES = (
    Sample((normal(3, 4),), {"axis": -1}),
    Sample((normal(2, 3, 2),), {"axis": 1}),
    Sample((normal(3, 4) * 100,), {"axis": 0}, gradient=False),
    Sample((normal(0, 4),), {"axis": 1}, gradient=False),
    Sample((np.array([-np.inf, 0.0, 1.0], np.float32),), {"axis": 0}, gradient=False),
)
_SOFTMAX_BAD = (
    BadCall("axis out of range", (normal(3, 4),), ShapeError, {"axis": 2}),
    text_operand(1),
)

_softmax = OpSpec(
    "softmax",
    ("x",),
    _infer_softmax,
    _softmax_reference,
    "activation",
    attributes={"axis": -1},
    grad=_grad_softmax,
    codec=Codec("Softmax", "Axis", fields={"axis": "axis"}),
    onnx="Softmax",
    samples=_SOFTMAX_SAMPLES,
    bad=_SOFTMAX_BAD,
    doc="exp(x) along an axis, divided by its sum",
)

_log_softmax = OpSpec(
    "log_softmax",
    ("x",),
    _infer_softmax,
    _log_softmax_reference,
    "activation",
    attributes={"axis": -1},
    grad=_grad_log_softmax,
    codec=Codec("Softmax", handled=True),
    onnx="LogSoftmax",
    samples=_SOFTMAX_SAMPLES,
    bad=_SOFTMAX_BAD,
    doc="logarithm of softmax, without overflow",
)


def softmax(x: Any, axis: int = -1) -> Var:
    """Return exp(x) along `axis`, divided by its sum.

    Raises:
        ShapeError: axis is out of range.
    """
    result: Var = _softmax(as_var(x, "softmax"), axis=axis_number("softmax", axis))
    return result


def log_softmax(x: Any, axis: int = -1) -> Var:
    """Return log(softmax(x, axis)), computed without overflow."""
    result: Var = _log_softmax(as_var(x, "log_softmax"), axis=axis_number("log_softmax", axis))
    return result
