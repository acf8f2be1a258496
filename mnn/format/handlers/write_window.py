"""Writers of convolutions, poolings and normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.format.encode import NodeCall, encoder

Array = np.ndarray[Any, Any]


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32).reshape(-1)


def _two(name: str, values: Any) -> tuple[int, int]:
    if len(values) != 2:
        raise UnsupportedError(
            f"save: {name} with {len(values)} spatial axes cannot be written. Use two."
        )
    return int(values[0]), int(values[1])


def _common(call: NodeCall, kernel: tuple[int, int]) -> dict[str, Any]:
    attributes = call.attributes
    stride, dilation = (
        _two(call.node.kind, attributes["stride"]),
        _two(call.node.kind, attributes["dilation"]),
    )
    (top, bottom), (left, right) = attributes["pads"]
    common = {
        "kernelY": kernel[0],
        "kernelX": kernel[1],
        "strideY": stride[0],
        "strideX": stride[1],
        "dilateY": dilation[0],
        "dilateX": dilation[1],
        "padMode": attributes["mode"],
        "padY": top,
        "padX": left,
        "group": attributes["groups"],
    }
    if (top, left) != (bottom, right):
        common["pads"] = [top, left, bottom, right]
    return common


def _convolution(
    call: NodeCall, op_type: str, common: dict[str, Any], weight: Array | None, outputs: int
) -> None:
    bias = call.constant_input(2) if len(call.inputs) > 2 else None
    has_bias = len(call.inputs) > 2 and call.inputs[2] >= 0
    if weight is None or (has_bias and bias is None):
        call.emit(op_type, "Convolution2D", {"common": common})
        return
    main = {
        "common": common,
        "weight": _flat(weight),
        "bias": np.zeros(outputs, np.float32) if bias is None else _flat(bias),
    }
    call.emit(op_type, "Convolution2D", main, inputs=call.inputs[:1])


def _weight_shape(call: NodeCall) -> tuple[int, ...]:
    kind = call.input_type(1)
    if not kind.is_static or kind.rank != 4:
        raise UnsupportedError(
            f"save: {call.node.kind} with a weight {kind.describe()} cannot be written. "
            "Expected two spatial axes of known sizes."
        )
    return tuple(size for size in kind.shape or () if isinstance(size, int))


@encoder("conv")
def _conv(call: NodeCall) -> None:
    outputs, per_group, *kernel = _weight_shape(call)
    groups = call.attributes["groups"]
    common = _common(call, (kernel[0], kernel[1]))
    common["outputCount"], common["inputCount"] = outputs, per_group * groups
    depthwise = groups > 1 and per_group == 1 and outputs == groups
    op_type = "ConvolutionDepthwise" if depthwise else "Convolution"
    _convolution(call, op_type, common, call.constant_input(1), outputs)


@encoder("conv_transpose")
def _conv_transpose(call: NodeCall) -> None:
    channels, per_group, *kernel = _weight_shape(call)
    attributes = call.attributes
    groups = attributes["groups"]
    if attributes["output_lengths"] is not None:
        raise UnsupportedError("save: a transposed convolution with forced sizes.")
    common = _common(call, (kernel[0], kernel[1]))
    common["outputCount"], common["inputCount"] = per_group * groups, channels
    if any(attributes["output_padding"]):
        common["outPads"] = list(attributes["output_padding"])
    depthwise = groups > 1 and per_group == 1 and channels == groups
    op_type = "DeconvolutionDepthwise" if depthwise else "Deconvolution"
    _convolution(call, op_type, common, call.constant_input(1), per_group * groups)


@encoder("max_pool", "avg_pool")
def _pool(call: NodeCall) -> None:
    attributes = call.attributes
    kernel, stride = (
        _two(call.node.kind, attributes["kernel"]),
        _two(call.node.kind, attributes["stride"]),
    )
    (top, bottom), (left, right) = attributes["pads"]
    main: dict[str, Any] = {
        "kernelY": kernel[0],
        "kernelX": kernel[1],
        "strideY": stride[0],
        "strideX": stride[1],
        "padY": top,
        "padX": left,
        "padType": attributes["mode"],
        "ceilModel": attributes["ceil_mode"],
        "type": "MAXPOOL" if call.node.kind == "max_pool" else "AVEPOOL",
    }
    if (top, left) != (bottom, right):
        main["pads"] = [top, left, bottom, right]
    if call.node.kind == "avg_pool":
        main["countType"] = f"{attributes['count'].upper()}_PADDING"
    call.emit("Pooling", "Pool", main)


@encoder("global_max_pool", "global_avg_pool")
def _global_pool(call: NodeCall) -> None:
    kind = "MAXPOOL" if call.node.kind == "global_max_pool" else "AVEPOOL"
    if call.input_type(0).rank != 4:
        raise UnsupportedError("save: global pooling of other than four dimensions.")
    call.emit("Pooling", "Pool", {"isGlobal": True, "type": kind})


@encoder("prelu")
def _prelu(call: NodeCall) -> None:
    slopes = _required(call, 1)
    main = {"slopeCount": int(slopes.size), "slope": _flat(slopes)}
    call.emit_packed("PReLU", "PRelu", main, call.inputs[:1])


def _required(call: NodeCall, index: int) -> Array:
    array = call.constant_input(index)
    if array is None:
        raise UnsupportedError(
            f"save: {call.node.kind} needs operand {index} as a constant to be written. "
            "Fix it with fix_as_const()."
        )
    return array


@encoder("scale")
def _scale(call: NodeCall) -> None:
    factor, bias = call.constant_input(1), None
    if len(call.inputs) > 2:
        bias = call.constant_input(2)
    if factor is None or (len(call.inputs) > 2 and bias is None):
        _scale_by_arithmetic(call, call.inputs[1:])
        return
    kind = call.input_type(0)
    channels = None if kind.shape is None else kind.shape[kind.channel_axis]
    if factor.size == 1 and isinstance(channels, int):
        factor = np.repeat(factor.reshape(-1), channels)
    values = _flat(factor)
    offset = np.zeros(values.size, np.float32) if bias is None else _flat(bias)
    if offset.size == 1:
        offset = np.repeat(offset, values.size)
    _emit_scale(call, values, offset)


def _emit_scale(call: NodeCall, values: Array, offset: Array) -> None:
    """Write `x * values + offset` per channel."""
    if call.input_type(0).rank != 4:
        # Images only: readers exist that cannot convert the format of other arrays.
        factors = [call.encoder.constant(values), call.encoder.constant(offset)]
        _scale_by_arithmetic(call, factors)
        return
    main = {"channels": int(values.size), "scaleData": values, "biasData": offset}
    call.emit_packed("Scale", "Scale", main, call.inputs[:1])


def _scale_by_arithmetic(call: NodeCall, factors: list[int]) -> None:
    """Write a product and a sum over a broadcast axis."""
    kind = call.input_type(0)
    rank = kind.rank
    if rank is None:
        raise UnsupportedError("save: a scale of unknown rank cannot be written.")
    shape = [-1]
    if call.attributes["layout"] != "NHWC" and rank > 1:
        shape = [1, -1, *[1] * (rank - 2)]
    operands = []
    for index in factors:
        shaped = call.encoder.temporary("Reshape")
        main = {"dims": shape, "dimType": "NCHW"}
        call.encoder.emit("Reshape", [index], [shaped], "Reshape", main)
        operands.append(shaped)
    source = call.inputs[0]
    product = call.outputs[0] if len(operands) == 1 else call.encoder.temporary("BinaryOp")
    call.encoder.emit("BinaryOp", [source, operands[0]], [product], "BinaryOp", {"opType": "MUL"})
    if len(operands) > 1:
        call.emit("BinaryOp", "BinaryOp", {"opType": "ADD"}, inputs=[product, operands[1]])


@encoder("batch_norm_inference")
def _batch_norm(call: NodeCall) -> None:
    mean, variance = _required(call, 1), _required(call, 2)
    inputs = [*call.inputs, -1, -1]
    factor = np.ones_like(mean) if inputs[3] < 0 else _required(call, 3)
    bias = np.zeros_like(mean) if inputs[4] < 0 else _required(call, 4)
    scale = factor / np.sqrt(variance + call.attributes["epsilon"])
    _emit_scale(call, _flat(scale), _flat(bias - mean * scale))


@encoder("layer_norm")
def _layer_norm(call: NodeCall) -> None:
    attributes = call.attributes
    main: dict[str, Any] = {
        "axis": list(attributes["axes"]),
        "epsilon": attributes["epsilon"],
        "group": attributes["group"],
        "useRMSNorm": attributes["rms"],
    }
    inputs = [*call.inputs, -1, -1]
    if inputs[1] >= 0 or inputs[2] >= 0:
        # Files apply gamma and beta only together.
        gamma = None if inputs[1] < 0 else _required(call, 1)
        beta = None if inputs[2] < 0 else _required(call, 2)
        given = gamma if gamma is not None else beta
        count = 0 if given is None else given.size
        main["gamma"] = np.ones(count, np.float32) if gamma is None else _flat(gamma)
        main["beta"] = np.zeros(count, np.float32) if beta is None else _flat(beta)
    call.emit("LayerNorm", "LayerNorm", main, inputs=call.inputs[:1])


@encoder("lrn")
def _lrn(call: NodeCall) -> None:
    attributes = call.attributes
    main = {
        "regionType": int(attributes["within_channel"]),
        "localSize": attributes["size"],
        "alpha": attributes["alpha"],
        "beta": attributes["beta"],
        "bias": attributes["bias"],
    }
    call.emit("LRN", "LRN", main)
