"""Convolutions of any spatial rank, their transposes, and the gradients of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.enums import Padding_Mode
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of
from mnn.ops.codec import Codec
from mnn.ops.elementwise import promote
from mnn.ops.operands import as_var
from mnn.ops.reference import conv as maths
from mnn.ops.reference.layout import channel_axis
from mnn.ops.reference.window_shapes import conv_shape, conv_transpose_shape
from mnn.ops.samples import normal
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = ["bias_gradient", "conv", "conv2d", "conv2d_transpose", "conv_transpose", "float_dtype"]

Array = np.ndarray[Any, Any]

_WINDOW: Mapping[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pads": ((0, 0), (0, 0)),
    "mode": "CAFFE",
    "groups": 1,
    "layout": "NCHW",
}


def float_dtype(name: str, types: Sequence[TensorType | None]) -> np.dtype[Any]:
    """Return the common dtype of float operands, or raise DTypeError."""
    dtypes = [each.dtype for each in types if each is not None]
    for dtype in dtypes:
        if dtype.kind != "f":
            raise DTypeError(
                f"{name}: found an operand of dtype {dtype}, expected a floating-point type. "
                "Convert it with astype(float32) first."
            )
    return promote(name, dtypes)


def _check_bias(name: str, bias: TensorType | None, count: Any) -> None:
    if bias is None or bias.shape is None:
        return
    size = bias.shape[0] if len(bias.shape) == 1 else None
    if size is None or (isinstance(size, int) and isinstance(count, int) and size != count):
        raise ShapeError(
            f"{name}: the bias is {bias.describe()}, expected one number for each of {count} "
            "output channels. Reshape it to one dimension."
        )


def _infer_conv(types: Sequence[TensorType | None], attributes: Mapping[str, Any]) -> TensorType:
    x, weight = types[0], types[1]
    assert x is not None
    assert weight is not None
    dtype = float_dtype("conv", types)
    if x.shape is None or weight.shape is None:
        return TensorType(None, dtype, x.format)
    shape = conv_shape(x.shape, weight.shape, **attributes)
    _check_bias("conv", types[2] if len(types) > 2 else None, weight.shape[0])
    return TensorType(shape, dtype, x.format)


def bias_gradient(gradient: Var, layout: str) -> Var:
    """Return a gradient summed over everything but the channels."""
    from mnn.ops.reduce import reduce_sum

    axis = channel_axis(layout, gradient.ndim)
    return reduce_sum(gradient, [each for each in range(gradient.ndim) if each != axis])


def _grad_conv(call: GradCall) -> list[Var | None]:
    x, weight, g, attributes = call.input(0), call.input(1), call.grad, call.attributes
    gradients: list[Var | None] = [
        conv_input_grad(g, weight, x, **attributes),
        conv_weight_grad(g, x, weight, **attributes),
    ]
    if len(call.inputs) > 2:
        present = call.inputs[2] is not None
        gradients.append(bias_gradient(g, attributes["layout"]) if present else None)
    return gradients


_PADDED: Mapping[str, Any] = {"pads": ((1, 0), (2, 1)), "stride": (2, 1)}
_ONE: Mapping[str, Any] = {"stride": (1,), "dilation": (1,), "pads": ((1, 1),)}

conv: OpSpec = OpSpec(
    "conv",
    ("x", "weight", "bias?"),
    _infer_conv,
    maths.conv,
    "window",
    attributes=_WINDOW,
    grad=_grad_conv,
    codec=Codec("Convolution", handled=True),
    onnx="Conv",
    strict=True,
    samples=(
        Sample((normal(1, 2, 4, 3), normal(2, 2, 2, 2), normal(2))),
        Sample((normal(2, 2, 3, 3), normal(2, 1, 2, 2)), {"groups": 2, **_PADDED}),
        Sample((normal(1, 4, 4, 1), normal(2, 1, 2, 2)), {"layout": "NHWC", "mode": "SAME"}),
        Sample((normal(1, 2, 5), normal(2, 2, 3)), _ONE),
        Sample((normal(1, 1, 5, 5), normal(1, 1, 2, 2)), {"dilation": (2, 3)}),
        Sample((normal(0, 2, 4, 4), normal(3, 2, 3, 3)), gradient=False),
        Sample((normal(1, 1, 3, 3, dtype=np.float64), normal(1, 1, 1, 1)), gradient=False),
        Sample(
            (normal(1, 1, 2, 2, 3), normal(1, 1, 1, 2, 2)),
            {"stride": (1, 1, 1), "dilation": (1, 1, 1), "pads": ((0, 0),) * 3},
        ),
    ),
    bad=(
        BadCall("channels differ", (normal(1, 4, 8, 8), normal(16, 3, 3, 3)), ShapeError),
        BadCall("kernel too large", (normal(1, 1, 2, 2), normal(1, 1, 3, 3)), ShapeError),
        BadCall("weight rank", (normal(1, 1, 4, 4), normal(1, 1, 3)), ShapeError),
        BadCall("bias size", (normal(1, 1, 4, 4), normal(2, 1, 3, 3), normal(3)), ShapeError),
        BadCall("integers", (np.zeros((1, 1, 4, 4), np.int32), normal(1, 1, 3, 3)), DTypeError),
    ),
    doc="convolution: sliding products of x with weight, plus bias",
)


def _infer_input_grad(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    g, weight, like = types
    return TensorType(like.shape, float_dtype("conv_input_grad", [g, weight]), like.format)


conv_input_grad: OpSpec = OpSpec(
    "conv_input_grad",
    ("g", "weight", "like"),
    _infer_input_grad,
    lambda g, weight, like, **attributes: maths.conv_input_grad(
        g, weight, input_shape=like.shape, **attributes
    ),
    "window",
    attributes=_WINDOW,
    grad=lambda call: [
        conv(call.grad, call.input(1), **call.attributes),
        conv_weight_grad(call.input(0), call.grad, call.input(1), **call.attributes),
        None,
    ],
    samples=(
        Sample((normal(1, 2, 3, 2), normal(2, 2, 2, 2), normal(1, 2, 4, 3))),
        Sample((normal(0, 2, 3, 2), normal(2, 2, 2, 2), normal(0, 2, 4, 3)), gradient=False),
        Sample(
            (normal(2, 2, 2, 5), normal(2, 1, 2, 2), normal(2, 2, 3, 3)),
            {"groups": 2, **_PADDED},
            gradient=False,
        ),
    ),
    doc="gradient of a convolution with respect to x",
)


def _infer_weight_grad(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    g, x, like = types
    return TensorType(like.shape, float_dtype("conv_weight_grad", [g, x]), like.format)


conv_weight_grad: OpSpec = OpSpec(
    "conv_weight_grad",
    ("g", "x", "like"),
    _infer_weight_grad,
    lambda g, x, like, **attributes: maths.conv_weight_grad(
        g, x, kernel=like.shape[2:], **attributes
    ),
    "window",
    attributes=_WINDOW,
    grad=lambda call: [
        conv(call.input(1), call.grad, **call.attributes),
        conv_input_grad(call.input(0), call.grad, call.input(1), **call.attributes),
        None,
    ],
    samples=(
        Sample((normal(1, 2, 3, 2), normal(1, 2, 4, 3), normal(2, 2, 2, 2))),
        Sample((normal(0, 2, 3, 2), normal(0, 2, 4, 3), normal(2, 2, 2, 2)), gradient=False),
        Sample(
            (normal(2, 2, 2, 5), normal(2, 2, 3, 3), normal(2, 1, 2, 2)),
            {"groups": 2, **_PADDED},
            gradient=False,
        ),
    ),
    doc="gradient of a convolution with respect to its weight",
)


# --- transposed ----------------------------------------------------------------------------------

_TRANSPOSED: Mapping[str, Any] = {**_WINDOW, "output_padding": (0, 0), "output_lengths": None}


def _infer_transposed(
    types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> TensorType:
    x, weight = types[0], types[1]
    assert x is not None
    assert weight is not None
    dtype = float_dtype("conv_transpose", types)
    if x.shape is None or weight.shape is None:
        return TensorType(None, dtype, x.format)
    if len(weight.shape) < 2:
        raise ShapeError(
            f"conv_transpose: the weight is {weight.describe()}, expected (channels, out_channels, "
            "lengths...)."
        )
    count = weight.shape[1] * attributes["groups"]
    _check_bias("conv_transpose", types[2] if len(types) > 2 else None, count)
    return TensorType(conv_transpose_shape(x.shape, weight.shape, **attributes), dtype, x.format)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: attributes[name] for name in _WINDOW}


def _grad_transposed(call: GradCall) -> list[Var | None]:
    x, weight, g, attributes = call.input(0), call.input(1), call.grad, _plain(call.attributes)
    gradients: list[Var | None] = [
        conv_transpose_input_grad(g, weight, x, **attributes),
        conv_transpose_weight_grad(g, x, weight, **attributes),
    ]
    if len(call.inputs) > 2:
        present = call.inputs[2] is not None
        gradients.append(bias_gradient(g, attributes["layout"]) if present else None)
    return gradients


conv_transpose = OpSpec(
    "conv_transpose",
    ("x", "weight", "bias?"),
    _infer_transposed,
    maths.conv_transpose,
    "window",
    attributes=_TRANSPOSED,
    grad=_grad_transposed,
    codec=Codec("Deconvolution", handled=True),
    onnx="ConvTranspose",
    strict=True,
    samples=(
        Sample((normal(1, 2, 2, 3), normal(2, 1, 2, 2), normal(1)), {"stride": (2, 1)}),
        Sample((normal(1, 2, 2, 2), normal(2, 1, 3, 3)), {"groups": 2, "pads": ((1, 0), (0, 1))}),
        Sample(
            (normal(1, 2, 2, 1), normal(1, 2, 2, 2)),
            {"layout": "NHWC", "mode": "SAME", "stride": (2, 2)},
        ),
        Sample(
            (normal(1, 1, 2, 2), normal(1, 1, 2, 2)), {"stride": (2, 2), "output_padding": (1, 0)}
        ),
        Sample((normal(0, 2, 4, 4), normal(2, 3, 3, 3)), gradient=False),
    ),
    bad=(
        BadCall("channels differ", (normal(1, 4, 8, 8), normal(3, 2, 3, 3)), ShapeError),
        BadCall(
            "cut too much",
            (normal(1, 1, 1, 1), normal(1, 1, 1, 1)),
            ShapeError,
            {"pads": ((1, 1), (1, 1))},
        ),
    ),
    doc="transposed convolution: every element of x spreads weight over the result, plus bias",
)

conv_transpose_input_grad: OpSpec = OpSpec(
    "conv_transpose_input_grad",
    ("g", "weight", "like"),
    _infer_input_grad,
    lambda g, weight, like, **attributes: maths.conv_transpose_input_grad(
        g, weight, input_shape=like.shape, **attributes
    ),
    "window",
    attributes=_WINDOW,
    samples=(
        Sample((normal(1, 1, 4, 4), normal(2, 1, 2, 2), normal(1, 2, 3, 3)), gradient=False),
        Sample((normal(0, 1, 4, 4), normal(2, 1, 2, 2), normal(0, 2, 3, 3)), gradient=False),
        Sample(
            (normal(1, 1, 5, 5, dtype=np.float64), normal(1, 1, 2, 2), normal(1, 1, 4, 4)),
            gradient=False,
        ),
    ),
    doc="gradient of a transposed convolution with respect to x",
)

conv_transpose_weight_grad: OpSpec = OpSpec(
    "conv_transpose_weight_grad",
    ("g", "x", "like"),
    _infer_weight_grad,
    lambda g, x, like, **attributes: maths.conv_transpose_weight_grad(
        g, x, kernel=like.shape[2:], **attributes
    ),
    "window",
    attributes=_WINDOW,
    samples=(
        Sample((normal(1, 1, 4, 4), normal(1, 2, 3, 3), normal(2, 1, 2, 2)), gradient=False),
        Sample((normal(0, 1, 4, 4), normal(0, 2, 3, 3), normal(2, 1, 2, 2)), gradient=False),
        Sample(
            (normal(1, 1, 5, 5, dtype=np.float64), normal(1, 1, 4, 4), normal(1, 1, 2, 2)),
            gradient=False,
        ),
    ),
    doc="gradient of a transposed convolution with respect to its weight",
)


# --- public functions ----------------------------------------------------------------------------


def pair(name: str, value: Any, what: str) -> tuple[int, int]:
    """Return an (x, y) argument in axis order, (height, width)."""
    numbers = integers_of(name, value, what)
    if len(numbers) == 1:
        numbers *= 2
    if len(numbers) != 2:
        raise ShapeError(f"{name}: {what} is {value!r}, expected an (x, y) pair.")
    return numbers[1], numbers[0]


def both_sides(sides: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return equal padding on both ends of each axis."""
    return ((sides[0], sides[0]), (sides[1], sides[1]))


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilate: Any = (1, 1),
    group: int = 1,
    padding_mode: Padding_Mode = Padding_Mode.VALID,
) -> Var:
    """Return the 2-D convolution of input with weight, plus bias.

    Args:
        input: `(N, C, H, W)`, or `(N, H, W, C)` when it is NHWC.
        weight: `(out, C / group, kernel height, kernel width)`.
        bias: `(out,)`, or None.
        stride, padding, dilate: (x, y) pairs, that is (width, height).
        group: number of groups of channels.
        padding_mode: CAFFE uses `padding` on both sides; VALID none; SAME as much as keeps
            `ceil(size / stride)`.

    Raises:
        ShapeError: channels, ranks or sizes do not fit.    DTypeError: integers.
    """
    x = as_var(input, "conv2d")
    result: Var = conv(
        x,
        as_var(weight, "conv2d"),
        None if bias is None else as_var(bias, "conv2d"),
        stride=pair("conv2d", stride, "stride"),
        dilation=pair("conv2d", dilate, "dilate"),
        pads=both_sides(pair("conv2d", padding, "padding")),
        mode=Padding_Mode(padding_mode).name,
        groups=int(group),
        layout=x.data_format.layout,
    )
    return result


def conv2d_transpose(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilate: Any = (1, 1),
    group: int = 1,
    padding_mode: Padding_Mode = Padding_Mode.VALID,
) -> Var:
    """Return the transposed 2-D convolution of input with weight, plus bias.

    Args:
        input: `(N, C, H, W)`, or `(N, H, W, C)` when it is NHWC.
        weight: `(C, out / group, kernel height, kernel width)`.
        bias: `(out,)`, or None.
        stride, padding, dilate: (x, y) pairs; CAFFE cuts `padding` off the full result.
        group: number of groups of channels.
        padding_mode: CAFFE, VALID (nothing is cut off) or SAME (result is size * stride).

    Raises:
        ShapeError: channels, ranks or sizes do not fit.    DTypeError: integers.
    """
    x = as_var(input, "conv2d_transpose")
    mode = Padding_Mode(padding_mode)
    sides = pair("conv2d_transpose", padding, "padding")
    result: Var = conv_transpose(
        x,
        as_var(weight, "conv2d_transpose"),
        None if bias is None else as_var(bias, "conv2d_transpose"),
        stride=pair("conv2d_transpose", stride, "stride"),
        dilation=pair("conv2d_transpose", dilate, "dilate"),
        pads=both_sides(sides if mode is Padding_Mode.CAFFE else (0, 0)),
        mode="SAME" if mode is Padding_Mode.SAME else "CAFFE",
        groups=int(group),
        layout=x.data_format.layout,
    )
    return result
