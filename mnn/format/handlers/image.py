"""Resizing, sampling, detection and spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError, ShapeError
from mnn.expr.enums import data_format
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder
from mnn.format.handlers.structure import integers
from mnn.format.schema import schema
from mnn.ops import detection, linalg
from mnn.ops import image as ops
from mnn.ops.axes import integers_of
from mnn.ops.convert import cast, convert
from mnn.ops.index import gather
from mnn.ops.reference.layout import spatial_axes
from mnn.ops.shape import _shape

_METHODS = {1: "nearest", 2: "linear", 3: "cubic", 4: "nearest_round"}
_COORDINATES = {
    "AlignCorners": "align_corners",
    "HalfPixels": "half_pixel",
    "PytorchHalfPixels": "pytorch_half_pixel",
    "Asymmetric": "asymmetric",
    "TensorflowHalfPixels": "tensorflow_half_pixel",
}


def _coordinates(call: OpCall, method: str) -> str:
    main = call.parameters()
    name = schema().enums["CoordinateTransformationMode"].by_value.get(main.ctm, "NotSet")
    if name == "NotSet":
        if main.halfPixelCenters and method != "nearest":
            return "half_pixel"
        return "align_corners" if main.alignCorners else "asymmetric"
    if name not in _COORDINATES:
        raise FormatError(f"{call.name}: coordinate mode {name} is not supported.")
    return _COORDINATES[name]


@decoder("Interp")
def _interp(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    method = _METHODS.get(int(main.resizeType))
    if method is None:
        raise FormatError(f"{call.name}: unknown resize type {main.resizeType}.")
    if x._type.rank is None:
        raise ShapeError(f"{call.name}: an image of unknown rank cannot be resized.")
    axes = spatial_axes(x.data_format.layout, x._type.rank)
    sizes, steps = _sizes(call, x, axes)
    result: Var = ops.interpolate(
        x,
        sizes,
        method=method,
        coordinates=_coordinates(call, method),
        steps=steps,
        layout=x.data_format.layout,
    )
    return result


def _sizes(call: OpCall, x: Var, axes: tuple[int, ...]) -> tuple[Var, tuple[float, ...] | None]:
    """Return the sizes after resizing, and source steps if they are given as scales."""
    main, given = call.parameters(), call.optional(1)
    if given is not None:
        if given.dtype.kind == "f":
            return _scaled(call, x, axes, given)
        full = given.size == x._type.rank and given.size != len(axes)
        return (gather(given, integers(*axes)) if full else given), None
    stored = (int(main.outputDepth), int(main.outputHeight), int(main.outputWidth))[-len(axes) :]
    if all(stored):
        return integers(*stored), None
    scales = (main.depthScale, main.heightScale, main.widthScale)[-len(axes) :]
    return _times(x, axes, tuple(float(each) for each in scales)), None


def _scaled(
    call: OpCall, x: Var, axes: tuple[int, ...], given: Var
) -> tuple[Var, tuple[float, ...]]:
    if given._ref is not None and not given._ref.node.is_leaf:
        raise ShapeError(f"{call.name}: scales that the graph computes are not supported.")
    values = [float(each) for each in given._array().reshape(-1)]
    scales = tuple(values[axis] for axis in axes) if len(values) > len(axes) else tuple(values)
    if len(scales) != len(axes) or min(scales) <= 0:
        raise FormatError(f"{call.name}: scales {values} do not fit {len(axes)} spatial axes.")
    return _times(x, axes, scales), tuple(1.0 / each for each in scales)


def _times(x: Var, axes: tuple[int, ...], scales: tuple[float, ...]) -> Var:
    """Return the spatial sizes times scales, rounded down, computed in float32 as in files."""
    sizes: Var = _shape(x)
    chosen = cast(gather(sizes, integers(*axes)), np.float32)
    return cast(chosen * Var(np.array(scales, np.float32)), np.int32)


@decoder("Resize")
def _resize(call: OpCall) -> Var:
    main = call.parameters()
    return ops.resize(call.input(0), float(main.xScale), float(main.yScale))


@decoder("CropAndResize")
def _crop_and_resize(call: OpCall) -> Var:
    main = call.parameters()
    method = schema().enums["CropAndResizeMethod"].by_value.get(main.method, "BILINEAR")
    image = call.input(0)
    if image.data_format is data_format.NC4HW4:
        image = convert(image, data_format.NHWC)
    result: Var = ops._crop_and_resize(
        image,
        call.input(1),
        call.input(2),
        call.input(3),
        method=method.lower(),
        outside=float(main.extrapolationValue),
    )
    return result


@decoder("GridSample")
def _grid_sample(call: OpCall) -> Var:
    main = call.parameters()
    mode = schema().enums["SampleMode"].by_value.get(main.mode, "BILINEAR").lower()
    border = schema().enums["BorderMode"].by_value.get(main.paddingMode, "ZEROS")
    names = {"ZEROS": "zeros", "CLAMP": "border", "REFLECTION": "reflection"}
    if border not in names or main.backward:
        raise FormatError(f"{call.name}: border mode {border} is not supported.")
    x = call.input(0)
    if x.data_format.channel_last:
        x = convert(x, data_format.NCHW)
    result: Var = ops.grid_sample(
        x,
        call.input(1),
        mode=mode,
        padding=names[border],
        align_corners=bool(main.alignCorners),
    )
    return result


@decoder("ROIAlign")
def _roi_align(call: OpCall) -> Var:
    main, rois = call.parameters(), call.input(1)
    given = call.optional(2)
    if given is None:
        given, rois = rois[:, 0], rois[:, 1:5]
    maximum = schema().enums["PoolType"].by_value.get(main.poolType) == "MAXPOOL"
    result: Var = ops._roi_align(
        call.input(0),
        rois,
        given,
        pooled=(int(main.pooledHeight), int(main.pooledWidth)),
        spatial_scale=float(main.spatialScale),
        sampling_ratio=int(main.samplingRatio),
        aligned=bool(main.aligned),
        mode="max" if maximum else "avg",
    )
    return result


@decoder("ROIPooling")
def _roi_pooling(call: OpCall) -> Var:
    main = call.parameters()
    result: Var = ops._roi_pooling(
        call.input(0),
        call.input(1),
        pooled=(int(main.pooledHeight), int(main.pooledWidth)),
        spatial_scale=float(main.spatialScale),
    )
    return result


@decoder("NonMaxSuppressionV2")
def _nms(call: OpCall) -> Var:
    limit = integers_of(call.name, call.input(2), "maximum")[0]
    settings: dict[str, Any] = {
        "limit": limit,
        "iou_threshold": _number(call, 3, 0.0),
        "score_threshold": _number(call, 4, float("-inf")),
    }
    boxes, scores = call.input(0), call.input(1)
    function = detection.nms_classes if scores.ndim == 3 else detection._nms
    result: Var = function(boxes, scores, **settings)
    return result


def _number(call: OpCall, index: int, default: float) -> float:
    given = call.optional(index)
    if given is None:
        return default
    if given._ref is not None and given._ref.node.cell is None:
        raise ShapeError(f"{call.name}: a threshold that the graph computes is not supported.")
    array = given._array()
    return float(array.reshape(-1)[0]) if array.size else default


@decoder("DetectionPostProcess")
def _detection(call: OpCall) -> Sequence[Var]:
    main = call.parameters()
    scales = [] if main.centerSizeEncoding is None else main.centerSizeEncoding.tolist()
    return detection.detection_post_process(
        call.input(0),
        call.input(1),
        call.input(2),
        main.numClasses,
        main.maxDetections,
        max(1, int(main.maxClassesPerDetection)),
        max(1, int(main.detectionsPerClass)),
        main.nmsScoreThreshold,
        main.iouThreshold,
        main.useRegularNMS,
        scales if len(scales) == 4 else (10.0, 10.0, 5.0, 5.0),
    )


@decoder("Stft")
def _stft(call: OpCall) -> Var:
    hop = integers_of(call.name, call.input(1), "hop")[0]
    one_sided = True if call.main is None else bool(call.main.abs)
    result: Var = linalg.stft(call.input(0), call.input(2), hop=hop, onesided=one_sided)
    return result
