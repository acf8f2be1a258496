"""Writers of resizing, sampling, detection and the rarer window operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.expr.enums import data_format
from mnn.expr.node import Ref
from mnn.format.encode import NodeCall, encoder
from mnn.format.handlers.write_window import _flat, _required, _two
from mnn.ops.reference.layout import spatial_axes

Array = np.ndarray[Any, Any]

_METHODS = {"nearest": 1, "linear": 2, "cubic": 3, "nearest_round": 4}
_COORDINATES = {
    "align_corners": "AlignCorners",
    "half_pixel": "HalfPixels",
    "pytorch_half_pixel": "PytorchHalfPixels",
    "asymmetric": "Asymmetric",
    "tensorflow_half_pixel": "TensorflowHalfPixels",
}


@encoder("interpolate")
def _interpolate(call: NodeCall) -> None:
    attributes = call.attributes
    main: dict[str, Any] = {
        "resizeType": _METHODS[attributes["method"]],
        "ctm": _COORDINATES[attributes["coordinates"]],
    }
    if attributes["steps"] is not None:
        scales = _scales(call, attributes["steps"])
        call.emit("Interp", "Interp", main, inputs=[call.inputs[0], call.encoder.constant(scales)])
        return
    sizes = call.constant_input(1)
    if sizes is not None and sizes.size == 2:
        main["outputHeight"], main["outputWidth"] = (int(each) for each in sizes.reshape(-1))
        call.emit("Interp", "Interp", main, inputs=call.inputs[:1])
        return
    call.emit("Interp", "Interp", main)


def _scales(call: NodeCall, steps: tuple[float, ...]) -> Array:
    """Return one scale per axis; files compute the sizes from them, so they must agree."""
    kind = call.input_type(0)
    rank = kind.rank
    if rank is None:
        raise UnsupportedError("save: resizing an image of unknown rank cannot be written.")
    axes = spatial_axes(call.attributes["layout"], rank)
    scales = np.ones(rank, np.float32)
    scales[list(axes)] = 1.0 / np.asarray(steps)
    sizes = call.constant_input(1)
    agrees = False
    if sizes is not None and kind.is_static:
        lengths = [kind.shape[axis] for axis in axes] if kind.shape is not None else []
        found = (np.asarray(lengths, np.float32) * scales[list(axes)]).astype(np.int32)
        agrees = found.tolist() == sizes.reshape(-1).tolist()
    elif sizes is None:
        agrees = _computed_from(call.node.inputs[1], call.node.inputs[0], scales[list(axes)])
    if not agrees:
        raise UnsupportedError(
            "save: resizing by explicit steps to other sizes than size / step cannot be written. "
            "Leave out the steps, or the sizes."
        )
    return scales


def _computed_from(sizes: Ref | None, image: Ref | None, scales: Array) -> bool:
    """Return whether sizes are the image's own times the scales, rounded down."""
    product = _operand(_operand(sizes, "cast"), "multiply", whole=True)
    if product is None:
        return False
    left, right = product.node.inputs
    factors = None if right is None or right.node.cell is None else right.node.cell.array
    lengths = _operand(_operand(_operand(left, "cast"), "gather"), "shape")
    return (
        factors is not None
        and np.array_equal(factors.reshape(-1), scales)
        and lengths is not None
        and lengths == image
    )


def _operand(ref: Ref | None, kind: str, *, whole: bool = False) -> Ref | None:
    """Return the first operand of a node of `kind`, or the node itself; None for another one."""
    if ref is None or ref.node.kind != kind:
        return None
    return ref if whole else ref.node.inputs[0]


@encoder("grid_sample")
def _grid_sample(call: NodeCall) -> None:
    attributes = call.attributes
    borders: Mapping[str, str] = {"zeros": "ZEROS", "border": "CLAMP", "reflection": "REFLECTION"}
    if attributes["mode"] == "bicubic":
        raise UnsupportedError("save: bicubic grid sampling cannot be written.")
    main = {
        "mode": attributes["mode"].upper(),
        "paddingMode": borders[attributes["padding"]],
        "alignCorners": attributes["align_corners"],
    }
    call.emit_packed("GridSample", "GridSample", main)


@encoder("crop_and_resize")
def _crop_and_resize(call: NodeCall) -> None:
    main = {
        "method": call.attributes["method"].upper(),
        "extrapolationValue": call.attributes["outside"],
    }
    call.emit("CropAndResize", "CropAndResize", main)


def _regions(call: NodeCall) -> dict[str, Any]:
    height, width = call.attributes["pooled"]
    return {
        "pooledHeight": height,
        "pooledWidth": width,
        "spatialScale": call.attributes["spatial_scale"],
    }


@encoder("roi_align")
def _roi_align(call: NodeCall) -> None:
    attributes = call.attributes
    main = {
        **_regions(call),
        "samplingRatio": attributes["sampling_ratio"],
        "aligned": attributes["aligned"],
        "poolType": "MAXPOOL" if attributes["mode"] == "max" else "AVEPOOL",
    }
    call.emit_packed("ROIAlign", "RoiParameters", main)


@encoder("roi_pooling")
def _roi_pooling(call: NodeCall) -> None:
    call.emit_packed("ROIPooling", "RoiParameters", _regions(call))


@encoder("nms", "nms_classes")
def _nms(call: NodeCall) -> None:
    attributes = call.attributes
    limit = call.encoder.constant(np.array(attributes["limit"], np.int32))
    overlap, score = (
        call.encoder.constant(np.array(attributes[name], np.float32))
        for name in ("iou_threshold", "score_threshold")
    )
    call.emit("NonMaxSuppressionV2", inputs=[*call.inputs, limit, overlap, score])


@encoder("detection_post_process")
def _detection(call: NodeCall) -> None:
    attributes = call.attributes
    main = {
        "numClasses": attributes["num_classes"],
        "maxDetections": attributes["max_detections"],
        "maxClassesPerDetection": attributes["max_classes_per_detection"],
        "detectionsPerClass": attributes["detections_per_class"],
        "nmsScoreThreshold": attributes["score_threshold"],
        "iouThreshold": attributes["iou_threshold"],
        "useRegularNMS": attributes["regular"],
        "centerSizeEncoding": list(attributes["scales"]),
    }
    call.emit("DetectionPostProcess", "DetectionPostProcessParam", main)


@encoder("stft")
def _stft(call: NodeCall) -> None:
    hop = call.encoder.constant(np.array(call.attributes["hop"], np.int32))
    main = {"abs": call.attributes["onesided"]}
    rank = call.input_type(0).rank
    if rank not in (1, 2):
        raise UnsupportedError("save: stft of other than one or two dimensions.")
    if rank == 2:
        call.emit("Stft", "StftParam", main, inputs=[call.inputs[0], hop, call.inputs[1]])
        return
    # Readers exist that take only (batch, time).
    rows, spectra = (call.encoder.temporary(name) for name in ("Unsqueeze", "Stft"))
    axes = {"squeezeDims": [0]}
    call.emit("Unsqueeze", "SqueezeParam", axes, inputs=call.inputs[:1], outputs=[rows])
    call.emit("Stft", "StftParam", main, inputs=[rows, hop, call.inputs[1]], outputs=[spectra])
    call.emit("Squeeze", "SqueezeParam", axes, inputs=[spectra])


@encoder("cosine_similarity")
def _cosine(call: NodeCall) -> None:
    axis = call.encoder.constant(np.array(call.attributes["axis"], np.int32))
    shapes = [call.input_type(place).shape for place in (0, 1)]
    inputs = list(call.inputs)
    if shapes[0] != shapes[1] and None not in shapes:
        for place in (0, 1):
            shape, target = (call.encoder.temporary("Shape") for _ in range(2))
            other = call.inputs[1 - place : 2 - place]
            call.encoder.emit("Shape", other, [shape], format=data_format.NCHW)
            call.encoder.emit("BroadcastTo", [call.inputs[place], shape], [target])
            inputs[place] = target
    call.emit("CosineSimilarity", inputs=[*inputs, axis])


@encoder("normalize")
def _normalize(call: NodeCall) -> None:
    main: dict[str, Any] = {
        "eps": call.attributes["epsilon"],
        "acrossSpatial": int(call.attributes["across_spatial"]),
    }
    if len(call.inputs) > 1:
        main["scale"] = _flat(_required(call, 1))
    else:
        kind = call.input_type(0)
        channels = None if kind.shape is None else kind.shape[kind.channel_axis]
        main["scale"] = np.ones(channels if isinstance(channels, int) else 1, np.float32)
    call.emit("Normalize", "Normalize", main, inputs=call.inputs[:1])


def _window(call: NodeCall, kernel: tuple[int, int]) -> dict[str, Any]:
    """Return the geometry of an operator without channels of its own."""
    attributes = call.attributes
    (stride_y, stride_x), (dilate_y, dilate_x) = (
        _two(call.node.kind, attributes[name]) for name in ("stride", "dilation")
    )
    (top, bottom), (left, right) = attributes["pads"]
    common = {
        "kernelY": kernel[0],
        "kernelX": kernel[1],
        "strideY": stride_y,
        "strideX": stride_x,
        "dilateY": dilate_y,
        "dilateX": dilate_x,
        "padMode": attributes.get("mode", "CAFFE"),
        "padY": top,
        "padX": left,
    }
    if (top, left) != (bottom, right):
        common["pads"] = [top, left, bottom, right]
    return common


@encoder("dilation2d")
def _dilation(call: NodeCall) -> None:
    weight = _required(call, 1)
    common = _window(call, (weight.shape[1], weight.shape[2]))
    common["outputCount"] = weight.shape[0]
    main = {"common": common, "weight": _flat(weight)}
    call.emit_packed("Dilation2D", "Convolution2D", main, call.inputs[:1])


@encoder("im2col", "col2im")
def _columns(call: NodeCall) -> None:
    common = _window(call, _two(call.node.kind, call.attributes["kernel"]))
    name = "Im2Col" if call.node.kind == "im2col" else "Col2Im"
    call.emit(name, "Convolution2D", {"common": common})
