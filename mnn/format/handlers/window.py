"""Convolutions and poolings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError, ShapeError
from mnn.expr.symbols import Symbol
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder
from mnn.format.handlers.structure import constant
from mnn.format.schema import schema
from mnn.format.weights import decode_bias, decode_weight
from mnn.ops import convolution, linalg, pooling
from mnn.ops.activation import relu, relu6
from mnn.ops.axes import integers_of
from mnn.ops.convert import convert
from mnn.ops.movement import reshape, squeeze, unsqueeze
from mnn.ops.reference.layout import channel_axis

Array = np.ndarray[Any, Any]
Pads = tuple[tuple[int, int], ...]


def _mode(number: int) -> str:
    return schema().enums["PadMode"].by_value.get(number, "CAFFE")


def window_pads(common: Any) -> Pads:
    """Return (begin, end) per spatial axis from `pads` or `padY`, `padX`."""
    pads = common.pads
    if pads is not None and pads.size >= 4:
        top, left, bottom, right = (int(each) for each in pads[:4])
        return ((top, bottom), (left, right))
    if pads is not None and pads.size == 2:
        return ((int(pads[0]), int(pads[0])), (int(pads[1]), int(pads[1])))
    return ((int(common.padY),) * 2, (int(common.padX),) * 2)


def activated(common: Any, result: Var) -> Var:
    """Return a result after the clamp that the operator fuses."""
    if common.relu6:
        return relu6(result)
    return relu(result) if common.relu else result


def _image(x: Var) -> tuple[Var, int]:
    """Return x with at least two spatial axes, and how many were added at the end."""
    rank = x._type.rank
    missing = 0 if rank is None else max(0, 4 - rank)
    if not missing:
        return x, 0
    if x.data_format.channel_last and rank == 3:
        return unsqueeze(x, (2,)), 1
    axes = tuple(range(rank or 0, 4))
    if x.data_format.channel_last and rank == 2:
        return unsqueeze(x, (1, 2)), 2
    return unsqueeze(x, axes), missing


def _restored(result: Var, x: Var, added: int) -> Var:
    if not added:
        return result
    if x.data_format.channel_last:
        return squeeze(result, (1, 2) if added == 2 else (2,))
    return squeeze(result, tuple(range(4 - added, 4)))


def _channels(call: OpCall, x: Var, fallback: int) -> int:
    kind = x._type
    if kind.shape is not None:
        size = kind.shape[channel_axis(x.data_format.layout, len(kind.shape))]
        if not isinstance(size, Symbol):
            return int(size)
    if fallback < 1:
        raise ShapeError(f"{call.name}: the number of input channels is unknown.")
    return fallback


def _stored_weight(call: OpCall) -> Array | None:
    main = call.parameters()
    if main.common is None:
        raise FormatError(f"{call.name}: a convolution without geometry; the file is damaged.")
    return decode_weight(main, call.decoder.external, call.name)


def _bias(call: OpCall, count: int) -> Var | None:
    given = call.optional(2)
    if given is not None:
        return reshape(given, (-1,))
    bias = decode_bias(call.parameters(), call.decoder.external, call.name)
    if bias is None:
        return None
    if bias.size < count:
        raise FormatError(f"{call.name}: {bias.size} bias numbers for {count} channels.")
    return constant(bias[:count])


def _geometry(common: Any) -> dict[str, Any]:
    return {
        "stride": (int(common.strideY), int(common.strideX)),
        "dilation": (int(common.dilateY), int(common.dilateX)),
        "pads": window_pads(common),
    }


def _divided(call: OpCall, total: int, by: int) -> int:
    if by < 1 or total % by:
        raise FormatError(
            f"{call.name}: {total} weights do not divide into kernels of {by}. Damaged file."
        )
    return total // by


@decoder("Convolution", "ConvolutionDepthwise", "ConvInt8", "DepthwiseConvInt8")
def _convolution(call: OpCall) -> Var:
    x, added = _image(call.input(0))
    stored = _stored_weight(call)
    common = call.parameters().common
    mode = _mode(common.padMode)
    settings = _geometry(common)
    if mode == "VALID":
        settings["pads"] = ((0, 0), (0, 0))
    depthwise = call.type in ("ConvolutionDepthwise", "DepthwiseConvInt8")
    if stored is None:
        weight = call.input(1)
        groups = _operand_groups(call, x, weight, depthwise)
    else:
        kernel = int(common.kernelY) * int(common.kernelX)
        outputs = int(common.outputCount)
        channels = _channels(call, x, int(common.inputCount))
        if depthwise:
            outputs = outputs or channels
            per_group = _divided(call, stored.size, outputs * kernel)
            groups = outputs
        else:
            per_group = _divided(call, stored.size, outputs * kernel)
            groups = _divided(call, channels, per_group) if channels else int(common.group)
        shape = (outputs, per_group, int(common.kernelY), int(common.kernelX))
        weight = constant(stored.reshape(shape))
    count = weight.shape[0]
    result: Var = convolution.conv(
        x,
        weight,
        _bias(call, count),
        mode=mode,
        groups=groups,
        layout=x.data_format.layout,
        **settings,
    )
    return _restored(activated(common, result), call.input(0), added)


def _operand_groups(call: OpCall, x: Var, weight: Var, depthwise: bool) -> int:
    if depthwise:
        return int(weight.shape[0])
    channels = _channels(call, x, int(call.parameters().common.inputCount))
    return max(1, _divided(call, channels, int(weight.shape[1])))


@decoder("Deconvolution", "DeconvolutionDepthwise")
def _deconvolution(call: OpCall) -> Var:
    x, added = _image(call.input(0))
    stored = _stored_weight(call)
    common = call.parameters().common
    settings = _geometry(common)
    mode = _mode(common.padMode)
    channels = _channels(call, x, int(common.inputCount))
    depthwise = call.type == "DeconvolutionDepthwise"
    if stored is None:
        weight = call.input(1)
    else:
        kernel = int(common.kernelY) * int(common.kernelX)
        per_group = _divided(call, stored.size, channels * kernel)
        weight = constant(
            stored.reshape(channels, per_group, int(common.kernelY), int(common.kernelX))
        )
    outputs = int(common.outputCount)
    groups = channels if depthwise else max(1, _divided(call, outputs, int(weight.shape[1])))
    lengths = None
    has_shape = bool(common.hasOutputShape)
    if has_shape and call.inputs[-1] is not None:
        wanted = integers_of(call.name, call.inputs[-1], "output shape")
        lengths = (wanted[1], wanted[2])
    outer = common.outPads
    result: Var = convolution.conv_transpose(
        x,
        weight,
        None if has_shape and len(call.inputs) == 3 else _bias(call, weight.shape[1] * groups),
        mode="SAME" if mode == "SAME" else "CAFFE",
        groups=groups,
        layout=x.data_format.layout,
        output_padding=(0, 0)
        if outer is None or outer.size < 2 or mode == "SAME"
        else (int(outer[0]), int(outer[1])),
        output_lengths=lengths,
        **settings,
    )
    return _restored(activated(common, result), call.input(0), added)


@decoder("InnerProduct")
def _inner_product(call: OpCall) -> Var:
    from mnn.ops.matmul import matmul
    from mnn.ops.movement import flatten

    main, x = call.parameters(), call.input(0)
    count = int(main.outputCount)
    stored = decode_dense(call, main)
    axis = int(main.axis) or 1
    rows = flatten(x, axis, -1) if x.ndim > axis + 1 else x
    size = _divided(call, stored.size, count)
    weight = stored.reshape((size, count) if main.transpose else (count, size))
    product = matmul(rows, constant(weight), False, not main.transpose)
    bias = main.bias
    return product if bias is None or not bias.size else product + constant(bias)


def decode_dense(call: OpCall, main: Any) -> Array:
    """Return the weights of an InnerProduct as flat float32."""
    if main.quanParameter is not None:
        from mnn.format.weights import quantised_weight

        quant = main.quanParameter
        buffer = np.zeros(0, np.uint8) if quant.buffer is None else quant.buffer.view(np.uint8)
        alpha = np.zeros(0, np.float32) if quant.alpha is None else quant.alpha
        return quantised_weight(quant, buffer, alpha, call.name).decode()
    if main.weight is None:
        raise FormatError(f"{call.name}: an InnerProduct without weights; the file is damaged.")
    found: Array = main.weight
    return found


@decoder("Convolution3D", "ConvTranspose3D")
def _convolution_3d(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    common = main.common
    if common is None or main.weight is None or common.kernels is None:
        raise FormatError(f"{call.name}: a 3-D convolution without weights; the file is damaged.")
    kernel = tuple(common.kernels.tolist())
    channels = _channels(call, x, int(common.inputCount))
    outputs = int(common.outputCount)
    transposed = call.type == "ConvTranspose3D"
    settings = {
        "stride": _three(common.strides, 1),
        "dilation": _three(common.dilates, 1),
        "pads": _pads_3d(common.pads),
        "layout": x.data_format.layout,
    }
    volume = int(np.prod(kernel))
    first = channels if transposed else outputs
    per_group = _divided(call, main.weight.size, first * volume)
    weight = constant(main.weight.reshape(first, per_group, *kernel))
    bias = None if main.bias is None or not main.bias.size else constant(main.bias)
    mode = _mode(common.padMode)
    if transposed:
        result: Var = convolution.conv_transpose(
            x,
            weight,
            bias,
            mode="SAME" if mode == "SAME" else "CAFFE",
            groups=max(1, _divided(call, outputs, per_group)),
            output_padding=_three(common.outPads, 0),
            **settings,
        )
    else:
        result = convolution.conv(
            x, weight, bias, mode=mode, groups=_divided(call, channels, per_group), **settings
        )
    return activated(common, result)


def _three(vector: Any, fill: int) -> tuple[int, ...]:
    return (fill,) * 3 if vector is None or vector.size < 3 else tuple(vector.tolist()[:3])


def _pads_3d(vector: Any) -> Pads:
    values = [] if vector is None else vector.tolist()
    if len(values) >= 6:
        return tuple((values[axis], values[axis + 3]) for axis in range(3))
    if len(values) >= 3:
        return tuple((values[axis], values[axis]) for axis in range(3))
    return ((0, 0),) * 3


# --- pooling -------------------------------------------------------------------------------------


@decoder("Pooling")
def _pooling(call: OpCall) -> Var | Sequence[Var]:
    main, x = call.parameters(), call.input(0)
    maximum = schema().enums["PoolType"].by_value.get(main.type) == "MAXPOOL"
    layout = x.data_format.layout
    if main.isGlobal:
        function = pooling.global_max_pool if maximum else pooling.global_avg_pool
        result: Var = function(x, layout=layout)
        return result
    settings = _pool_settings(main, x)
    if not maximum:
        averaged: Var = pooling.avg_pool_window(x, count=_count(main, settings), **settings)
        return averaged
    pooled: Var = pooling.max_pool_window(x, **settings)
    if call.output_count < 2:
        return pooled
    return [pooled, pooling.max_pool_indices(x, **settings)]


def _pool_settings(main: Any, x: Var) -> dict[str, Any]:
    mode = schema().enums["PoolPadType"].by_value.get(main.padType, "CAFFE")
    pads: Pads = window_pads(main)
    kernel: tuple[int, ...] = (int(main.kernelY), int(main.kernelX))
    stride: tuple[int, ...] = (int(main.strideY) or 1, int(main.strideX) or 1)
    if x._type.rank == 3:
        one = main.pads
        pads = ((int(one[0]), int(one[1])),) if one is not None and one.size == 2 else (pads[0],)
        kernel, stride = kernel[:1], stride[:1]
    return {
        "kernel": kernel,
        "stride": stride,
        "pads": pads,
        "mode": mode,
        "ceil_mode": bool(main.ceilModel) and mode == "CAFFE",
        "clip": False,
        "layout": x.data_format.layout,
    }


def _count(main: Any, settings: dict[str, Any]) -> str:
    declared = schema().enums["AvgPoolCountType"].by_value.get(main.countType, "DEFAULT")
    if declared == "DEFAULT":
        explicit = main.pads is not None and main.pads.size == 4
        return "exclude" if settings["mode"] != "CAFFE" or explicit else "include"
    return "exclude" if declared == "EXCLUDE_PADDING" else "include"


@decoder("Pooling3D")
def _pooling_3d(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    maximum = schema().enums["PoolType"].by_value.get(main.type) == "MAXPOOL"
    layout = x.data_format.layout
    if main.isGlobal:
        function = pooling.global_max_pool if maximum else pooling.global_avg_pool
        result: Var = function(x, layout=layout)
        return result
    if main.kernels is None or main.strides is None:
        raise FormatError(f"{call.name}: a pooling without kernel; the file is damaged.")
    kernel = tuple(main.kernels.tolist())
    pads = [] if main.pads is None else main.pads.tolist()
    settings: dict[str, Any] = {
        "kernel": kernel,
        "stride": tuple(main.strides.tolist()),
        "pads": tuple(
            (pads[axis],) * 2 if len(pads) > axis else (0, 0) for axis in range(len(kernel))
        ),
        "mode": schema().enums["PoolPadType"].by_value.get(main.padType, "CAFFE"),
        "clip": False,
        "layout": layout,
    }
    pooled: Var = (
        pooling.max_pool_window(x, **settings)
        if maximum
        else pooling.avg_pool_window(x, count="exclude", **settings)
    )
    return pooled


@decoder("Dilation2D")
def _dilation(call: OpCall) -> Var:
    x = call.input(0)
    stored = _stored_weight(call)
    common = call.parameters().common
    if stored is None:
        raise FormatError(f"{call.name}: a dilation without weights; the file is damaged.")
    kernel = (int(common.kernelY), int(common.kernelX))
    channels = _divided(call, stored.size, kernel[0] * kernel[1])
    result: Var = linalg.dilation2d(
        x,
        constant(stored.reshape(channels, *kernel)),
        mode=_mode(common.padMode),
        layout=x.data_format.layout,
        **_geometry(common),
    )
    return result


@decoder("Im2Col")
def _im2col(call: OpCall) -> Var:
    common = call.parameters().common
    x = call.input(0)
    if x.data_format.channel_last:
        from mnn.expr.enums import data_format

        x = convert(x, data_format.NCHW)
    result: Var = linalg.im2col(
        x, kernel=(int(common.kernelY), int(common.kernelX)), **_geometry(common)
    )
    return result


@decoder("Col2Im")
def _col2im(call: OpCall) -> Var:
    common = call.parameters().common
    result: Var = linalg.col2im(
        call.input(0),
        call.input(1),
        kernel=(int(common.kernelY), int(common.kernelX)),
        **_geometry(common),
    )
    return result
