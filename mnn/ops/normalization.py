"""Normalisation over channels, rows and windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of, normalize_axes
from mnn.ops.broadcast import reshape_like
from mnn.ops.codec import Codec
from mnn.ops.convolution import bias_gradient, float_dtype
from mnn.ops.operands import array_of, as_var
from mnn.ops.reference import channel_norm, norm
from mnn.ops.reference.layout import channel_axis
from mnn.ops.samples import normal, positive
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = [
    "batch_norm_inference",
    "layer_norm",
    "lrn",
    "moments",
    "normalize",
    "scale",
    "scale_channels",
]

Array = np.ndarray[Any, Any]


def _same(name: str) -> Any:
    def infer(types: Sequence[TensorType | None], attributes: Mapping[str, Any]) -> TensorType:
        x = types[0]
        assert x is not None
        dtype = float_dtype(name, types)
        if x.shape is not None and "layout" in attributes:
            count = x.shape[channel_axis(attributes["layout"], len(x.shape))]
            for each in types[1:]:
                _check_count(name, each, count)
        return TensorType(x.shape, dtype, x.format)

    return infer


def _check_count(name: str, parameter: TensorType | None, count: Any) -> None:
    if parameter is None or not parameter.is_static or not isinstance(count, int):
        return
    found = int(np.prod([int(size) for size in parameter.shape or ()]))  # type: ignore[arg-type]
    if found not in (1, count):
        raise ShapeError(
            f"{name}: a parameter has {found} numbers for {count} channels. "
            "Expected one per channel. Check the layout."
        )


# --- layer norm ----------------------------------------------------------------------------------


def _infer_layer_norm(
    types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> TensorType:
    x = types[0]
    assert x is not None
    dtype = float_dtype("layer_norm", types)
    if x.shape is not None and attributes["group"] <= 1:
        axes = normalize_axes("layer_norm", attributes["axes"], len(x.shape))
        sizes = [x.shape[axis] for axis in axes]
        if all(isinstance(size, int) for size in sizes):
            wanted = int(np.prod([int(size) for size in sizes]))  # type: ignore[arg-type]
            for each in types[1:]:
                if each is not None and each.is_static:
                    found = int(np.prod([int(size) for size in each.shape or ()]))  # type: ignore[arg-type]
                    if found != wanted:
                        raise ShapeError(
                            f"layer_norm: a parameter has {found} numbers, expected {wanted} for "
                            f"axes {list(axes)} of {x.describe()}."
                        )
    return TensorType(x.shape, dtype, x.format)


def _grad_layer_norm(call: GradCall) -> list[Var | None]:
    x, gamma = call.input(0), call.inputs[1] if len(call.inputs) > 1 else None
    by_x, by_gamma, by_beta = layer_norm_grad(call.grad, x, gamma, **call.attributes)
    gradients: list[Var | None] = [by_x]
    for operand, gradient in zip(call.inputs[1:], (by_gamma, by_beta), strict=False):
        gradients.append(None if operand is None else reshape_like(gradient, operand))
    return gradients


_LAYER: Mapping[str, Any] = {"axes": (-1,), "epsilon": 1e-5, "group": 1, "rms": False}

layer_norm: OpSpec = OpSpec(
    "layer_norm",
    ("x", "gamma?", "beta?"),
    _infer_layer_norm,
    norm.layer_norm,
    "normalization",
    attributes=_LAYER,
    grad=_grad_layer_norm,
    codec=Codec("LayerNorm", handled=True),
    onnx="LayerNormalization",
    samples=(
        Sample((normal(2, 4), normal(4), normal(4))),
        Sample((normal(2, 2, 3), normal(6), normal(6)), {"axes": (1, 2)}),
        Sample((normal(2, 4), normal(4)), {"rms": True}),
        Sample((normal(3, 4),), {"axes": (0,)}),
        Sample((normal(2, 4, 2),), {"group": 2}),
        Sample((normal(0, 4), normal(4), normal(4)), gradient=False),
    ),
    bad=(
        BadCall("parameter size", (normal(2, 4), normal(3), normal(3)), ShapeError),
        BadCall("axis out of range", (normal(2, 4),), ShapeError, {"axes": (2,)}),
    ),
    doc="x with mean 0 and variance 1 over axes, times gamma plus beta",
)


def _infer_layer_grad(
    types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> list[TensorType]:
    g, x = types[0], types[1]
    assert g is not None
    assert x is not None
    dtype = float_dtype("layer_norm_grad", types)
    parameter = TensorType(None, dtype)
    if x.is_static and attributes["group"] <= 1:
        shape = tuple(int(size) for size in x.shape or ())  # type: ignore[arg-type]
        axes = normalize_axes("layer_norm", attributes["axes"], len(shape))
        parameter = TensorType((int(np.prod([shape[axis] for axis in axes])),), dtype)
    return [TensorType(x.shape, dtype, x.format), parameter, parameter]


layer_norm_grad: OpSpec = OpSpec(
    "layer_norm_grad",
    ("g", "x", "gamma?"),
    _infer_layer_grad,
    norm.layer_norm_grad,
    "normalization",
    attributes=_LAYER,
    samples=(
        Sample((normal(2, 4), normal(2, 4, seed=1), normal(4)), gradient=False),
        Sample((normal(2, 4), normal(2, 4, seed=1)), {"rms": True}, gradient=False),
        Sample((normal(0, 4), normal(0, 4), normal(4)), gradient=False),
    ),
    doc="gradients of layer_norm with respect to x, gamma and beta",
)


# --- per channel ---------------------------------------------------------------------------------


def _grad_scale(call: GradCall) -> list[Var | None]:
    x, factor, layout = call.input(0), call.input(1), call.attributes["layout"]
    gradients: list[Var | None] = [
        scale_channels(call.grad, factor, layout=layout),
        _sum_to(call.grad * x, factor, layout),
    ]
    if len(call.inputs) > 2:
        bias = call.inputs[2]
        gradients.append(None if bias is None else _sum_to(call.grad, bias, layout))
    return gradients


def _sum_to(gradient: Var, parameter: Var, layout: str) -> Var:
    from mnn.ops.reduce import reduce_sum

    if parameter.size == 1:
        total = reduce_sum(gradient)
    else:
        total = bias_gradient(gradient, layout)
    result: Var = reshape_like(total, parameter)
    return result


scale_channels: OpSpec = OpSpec(
    "scale",
    ("x", "factor", "bias?"),
    _same("scale"),
    channel_norm.scale,
    "normalization",
    attributes={"layout": "NCHW"},
    grad=_grad_scale,
    codec=Codec("Scale", handled=True),
    samples=(
        Sample((normal(2, 3, 2, 1), normal(3), normal(3))),
        Sample((normal(2, 2, 3), normal(3)), {"layout": "NHWC"}),
        Sample((normal(2, 3), normal(1), normal(1))),
        Sample((normal(0, 3), normal(3), normal(3)), gradient=False),
    ),
    bad=(BadCall("parameter size", (normal(1, 3, 2, 2), normal(2)), ShapeError),),
    doc="x times a factor plus a bias per channel",
)


def scale(x: Any, channels: int, scale: Any, bias: Any) -> Var:
    """Return x times a factor plus a bias per channel.

    Args:
        x: array with channels on axis 1 (the last for NHWC).
        channels: their number.
        scale, bias: lists of that many numbers.

    Raises:
        ShapeError: the counts differ.
    """
    operand = as_var(x, "scale")
    factor = Var(np.asarray(array_of(scale, "scale"), operand.dtype).reshape(-1))
    offset = Var(np.asarray(array_of(bias, "scale"), operand.dtype).reshape(-1))
    if factor.size != channels or offset.size != channels:
        raise ShapeError(
            f"scale: found {factor.size} factors and {offset.size} offsets for {channels} channels."
        )
    result: Var = scale_channels(operand, factor, offset, layout=operand.data_format.layout)
    return result


def _grad_batch_norm(call: GradCall) -> list[Var | None]:
    """Return the gradients; mean and variance are statistics, not parameters: theirs is zero."""
    from mnn.ops.unary import rsqrt

    variance, layout = call.input(2), call.attributes["layout"]
    inverse = rsqrt(variance + call.attributes["epsilon"])
    factor = call.inputs[3] if len(call.inputs) > 3 else None
    gradient = scale_channels(
        call.grad, inverse if factor is None else inverse * factor, layout=layout
    )
    gradients: list[Var | None] = [gradient, None, None]
    if len(call.inputs) > 3:
        x, mean = call.input(0), call.input(1)
        centred = scale_channels(x, inverse, -mean * inverse, layout=layout)
        gradients.append(None if factor is None else _sum_to(call.grad * centred, factor, layout))
    if len(call.inputs) > 4:
        bias = call.inputs[4]
        gradients.append(None if bias is None else _sum_to(call.grad, bias, layout))
    return gradients


batch_norm_inference: OpSpec = OpSpec(
    "batch_norm_inference",
    ("x", "mean", "variance", "factor?", "bias?"),
    _same("batch_norm"),
    norm.batch_norm,
    "normalization",
    attributes={"epsilon": 1e-5, "layout": "NCHW"},
    grad=_grad_batch_norm,
    codec=Codec("BatchNorm", handled=True),
    onnx="BatchNormalization",
    samples=(
        Sample((normal(2, 3, 2), normal(3), positive(3), normal(3), normal(3)), gradient=(0, 3, 4)),
        Sample((normal(2, 2, 3), normal(3), positive(3)), {"layout": "NHWC"}, gradient=(0,)),
        Sample((normal(0, 3), normal(3), positive(3)), gradient=False),
    ),
    bad=(BadCall("parameter size", (normal(1, 3, 2), normal(2), positive(2)), ShapeError),),
    doc="(x - mean) / sqrt(variance + epsilon) times a factor plus a bias, per channel",
)

lrn: OpSpec = OpSpec(
    "lrn",
    ("x",),
    _same("lrn"),
    channel_norm.lrn,
    "normalization",
    attributes={
        "size": 5,
        "alpha": 1e-4,
        "beta": 0.75,
        "bias": 1.0,
        "within_channel": False,
        "layout": "NCHW",
    },
    codec=Codec("LRN", handled=True),
    onnx="LRN",
    samples=(
        Sample((normal(1, 6, 2, 2),), {"size": 3, "alpha": 0.5}, gradient=False),
        Sample((normal(1, 2, 4, 4),), {"size": 3, "within_channel": True}, gradient=False),
        Sample((normal(0, 3, 2, 2),), gradient=False),
    ),
    doc="x over a power of the sum of squares of neighbouring channels or positions",
)

_normalize: OpSpec = OpSpec(
    "normalize",
    ("x", "weight?"),
    _same("normalize"),
    channel_norm.normalize,
    "normalization",
    attributes={"epsilon": 0.0, "across_spatial": False, "layout": "NCHW"},
    codec=Codec("Normalize", handled=True),
    samples=(
        Sample((normal(1, 3, 2, 2), normal(3)), gradient=False),
        Sample((normal(1, 3, 2, 2),), {"across_spatial": True, "epsilon": 1e-3}, gradient=False),
        Sample((normal(0, 3, 2, 2), normal(3)), gradient=False),
    ),
    doc="x divided by its root sum of squares over channels, times a weight per channel",
)


def normalize(x: Any, acrossSpatial: int, channelShared: int, eps: float, scale: Any) -> Var:
    """Return x divided by its L2 norm over the channels of each pixel, times a weight.

    Args:
        x: array with channels on axis 1 (the last for NHWC).
        acrossSpatial: 1: the norm is over all channels and pixels of a sample.
        channelShared: 1: one weight for all channels.
        eps: added to the sum of squares.
        scale: weights, one per channel.
    """
    operand = as_var(x, "normalize")
    weight = np.asarray(array_of(scale, "normalize"), operand.dtype).reshape(-1)
    result: Var = _normalize(
        operand,
        Var(weight[:1] if channelShared else weight),
        epsilon=float(eps),
        across_spatial=bool(acrossSpatial),
        layout=operand.data_format.layout,
    )
    return result


def moments(
    x: Any, axes: Any = (2, 3), shift: Any = None, keep_dims: bool = True
) -> tuple[Var, Var]:
    """Return the mean and the population variance over `axes`.

    Args:
        x: float array.    axes: which dimensions.
        shift: accepted for compatibility; the result does not depend on it.
        keep_dims: leave reduced axes with size 1.
    """
    from mnn.ops.reduce import reduce_mean
    from mnn.ops.unary import square

    operand = as_var(x, "moments")
    chosen = integers_of("moments", axes)
    mean = reduce_mean(operand, chosen, True)
    variance = reduce_mean(square(operand - mean), chosen, keep_dims)
    return (mean if keep_dims else reduce_mean(operand, chosen, False)), variance
