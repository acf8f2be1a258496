"""Resizing and sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.enums import Interp_Method
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand
from mnn.ops.codec import Codec
from mnn.ops.operands import as_var
from mnn.ops.reference import resize as maths
from mnn.ops.reference import sampling
from mnn.ops.reference.layout import spatial_axes
from mnn.ops.samples import normal, positive
from mnn.ops.spec import INTEGERS, REAL, REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = [
    "crop_and_resize",
    "grid_sample",
    "interpolate",
    "resize",
    "roi_align",
    "roi_pooling",
]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)
_FLOAT: np.dtype[Any] = np.dtype(np.float32)


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


# --- interpolation -------------------------------------------------------------------------------


def _infer_interpolate(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, sizes = types
    if x.shape is None:
        return x.with_shape(None)
    axes = spatial_axes(attributes["layout"], len(x.shape))
    shape: list[Dim] = list(x.shape)
    values = None if sizes.value is None else [int(each) for each in sizes.value.reshape(-1)]
    if values is not None and len(values) != len(axes):
        raise ShapeError(
            f"resize: found {len(values)} sizes for {len(axes)} spatial axes of {x.describe()}."
        )
    for number, axis in enumerate(axes):
        size: Dim = fresh("resized") if values is None else values[number]
        if isinstance(size, int) and (size < 0 or (size and shape[axis] == 0)):
            raise ShapeError(f"resize: axis {axis} of {x.describe()} cannot become {size}.")
        shape[axis] = size
    return x.with_shape(shape)


def _interpolate_reference(x: Array, sizes: Array, *, layout: str, **settings: Any) -> Array:
    numbers = [int(each) for each in sizes.reshape(-1)]
    axes = spatial_axes(layout, x.ndim)
    if len(numbers) != len(axes):
        raise ShapeError(f"resize: found {len(numbers)} sizes for {len(axes)} spatial axes.")
    return maths.interpolate(x, numbers, axes=axes, **settings)


def _interpolate_adjoint(g: Array, x: Array, *, layout: str, **settings: Any) -> Array:
    return maths.interpolate_grad(g, x.shape, axes=spatial_axes(layout, x.ndim), **settings)


def _grad_interpolate(call: GradCall) -> list[Var | None]:
    return [interpolate_grad(call.grad, call.input(0), **call.attributes), None]


_SETTINGS: Mapping[str, Any] = {
    "method": "linear",
    "coordinates": "asymmetric",
    "steps": None,
    "layout": "NCHW",
}

interpolate: OpSpec = OpSpec(
    "interpolate",
    ("x", "sizes"),
    _infer_interpolate,
    _interpolate_reference,
    "image",
    attributes=_SETTINGS,
    grad=_grad_interpolate,
    codec=Codec("Interp", handled=True),
    onnx="Resize",
    kinds={"sizes": INTEGERS},
    samples=(
        Sample((normal(1, 2, 3, 2), _ints(5, 3)), {"coordinates": "half_pixel"}),
        Sample((normal(1, 2, 2, 1), _ints(3, 4)), {"layout": "NHWC", "method": "nearest"}),
        Sample((normal(1, 1, 4, 3), _ints(2, 5)), {"method": "cubic", "coordinates": "half_pixel"}),
        Sample((normal(1, 1, 3, 3), _ints(4, 5)), {"coordinates": "align_corners"}),
        Sample((normal(1, 1, 2, 2, 2), _ints(3, 2, 4))),
        Sample((normal(0, 1, 3, 3), _ints(4, 5)), gradient=False),
        Sample((normal(1, 1, 3), _ints(6)), {"method": "nearest_round", "steps": (0.5,)}),
    ),
    bad=(
        BadCall("size count", (normal(1, 1, 3, 3), _ints(4)), ShapeError),
        BadCall("negative size", (normal(1, 1, 3, 3), _ints(4, -1)), ShapeError),
        BadCall("empty image", (normal(1, 1, 0, 3), _ints(4, 4)), ShapeError),
    ),
    doc="x with its spatial axes resized by interpolation",
)

interpolate_grad: OpSpec = OpSpec(
    "interpolate_grad",
    ("g", "x"),
    lambda types, attributes: TensorType(types[1].shape, types[0].dtype, types[1].format),
    _interpolate_adjoint,
    "image",
    attributes=_SETTINGS,
    kinds={"g": REAL},
    samples=(
        Sample((normal(1, 2, 5, 3), normal(1, 2, 3, 2)), gradient=False),
        Sample((normal(1, 3, 4, 1), normal(1, 2, 2, 1)), {"layout": "NHWC"}, gradient=False),
        Sample((normal(0, 1, 4, 5), normal(0, 1, 3, 3)), gradient=False),
    ),
    doc="gradient of interpolate: shared by the pixels that were read",
)


def resize(x: Any, x_scale: float, y_scale: float) -> Var:
    """Return an image scaled bilinearly; source coordinate = output coordinate / scale.

    Args:
        x: `(N, C, H, W)`, or `(N, H, W, C)` when it is NHWC.
        x_scale, y_scale: factors of width and height; sizes are rounded down.

    Raises:
        ShapeError: not four dimensions, or a size below 1.
    """
    operand = as_var(x, "resize")
    if operand.ndim != 4 or not x_scale > 0 or not y_scale > 0:
        raise ShapeError(
            f"resize: found shape {operand.shape} and scales ({x_scale}, {y_scale}), expected four "
            "dimensions and scales > 0."
        )
    axes = spatial_axes(operand.data_format.layout, 4)
    sizes = [int(operand.shape[axes[0]] * y_scale), int(operand.shape[axes[1]] * x_scale)]
    result: Var = interpolate(
        operand, int_operand("resize", sizes, "sizes"), layout=operand.data_format.layout
    )
    return result


# --- sampling ------------------------------------------------------------------------------------


def _infer_grid(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, grid = types
    dtype = x.dtype if x.dtype.kind == "f" else _FLOAT
    if x.shape is None or grid.shape is None:
        return TensorType(None, dtype, x.format)
    last = grid.shape[-1] if grid.shape else 0
    if len(x.shape) != len(grid.shape) or (isinstance(last, int) and last != len(x.shape) - 2):
        raise ShapeError(
            f"grid_sample: grid {grid.describe()} for an image {x.describe()}. Expected "
            "(batch, outputs..., spatial rank)."
        )
    return TensorType((x.shape[0], x.shape[1], *grid.shape[1:-1]), dtype, x.format)


grid_sample: OpSpec = OpSpec(
    "grid_sample",
    ("x", "grid"),
    _infer_grid,
    sampling.grid_sample,
    "image",
    attributes={"mode": "bilinear", "padding": "zeros", "align_corners": False},
    codec=Codec("GridSample", handled=True),
    onnx="GridSample",
    kinds={"x": REAL, "grid": REAL},
    samples=(
        *(
            Sample(
                (normal(1, 2, 4, 3), normal(1, 2, 5, 2)),
                {"mode": mode, "padding": padding, "align_corners": corners},
                gradient=False,
            )
            for mode, padding, corners in (
                ("bilinear", "zeros", False),
                ("nearest", "border", True),
                ("bicubic", "reflection", False),
                ("bilinear", "reflection", True),
            )
        ),
        Sample((normal(1, 1, 2, 3, 2), normal(1, 2, 2, 2, 3)), gradient=False),
    ),
    bad=(BadCall("grid rank", (normal(1, 2, 4, 3), normal(1, 5, 2)), ShapeError),),
    doc="x read at normalised coordinates",
)


def _infer_crops(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    image, boxes, _, size = types
    dtype = image.dtype if image.dtype.kind == "f" else _FLOAT
    if image.shape is None or boxes.shape is None:
        return TensorType(None, dtype, image.format)
    if len(image.shape) != 4 or len(boxes.shape) != 2:
        raise ShapeError(
            f"crop_and_resize: {image.describe()} and boxes {boxes.describe()}, expected "
            "(N, H, W, C) and (n, 4)."
        )
    lengths: tuple[Dim, ...] = (fresh("height"), fresh("width"))
    if size.value is not None:
        lengths = tuple(int(each) for each in size.value.reshape(-1))
    return TensorType((boxes.shape[0], *lengths, image.shape[3]), dtype, image.format)


_crop_and_resize: OpSpec = OpSpec(
    "crop_and_resize",
    ("image", "boxes", "box_index", "size"),
    _infer_crops,
    sampling.crop_and_resize,
    "image",
    attributes={"method": "bilinear", "outside": 0.0},
    codec=Codec("CropAndResize", handled=True),
    kinds={"image": REAL, "boxes": REAL, "size": INTEGERS},
    samples=(
        Sample(
            (
                positive(1, 4, 5, 2),
                np.array([[0, 0, 1, 1], [0.2, 0.8, 0.9, -0.1]], np.float32),
                _ints(0, 0),
                _ints(3, 2),
            ),
            gradient=False,
        ),
        Sample(
            (positive(2, 4, 5, 1), np.array([[0.1, 0, 2, 1]], np.float32), _ints(1), _ints(1, 4)),
            {"method": "nearest", "outside": 7.0},
            gradient=False,
        ),
        Sample(
            (
                positive(1, 4, 5, 1),
                np.zeros((0, 4), np.float32),
                np.zeros(0, np.int32),
                _ints(2, 2),
            ),
            gradient=False,
        ),
    ),
    bad=(
        BadCall(
            "image rank",
            (normal(4, 5, 2), normal(1, 4), _ints(0), _ints(2, 2)),
            ShapeError,
        ),
    ),
    doc="boxes of NHWC images resized to one size",
)


def crop_and_resize(
    x: Any,
    boxes: Any,
    box_ind: Any,
    crop_size: Any,
    method: Interp_Method = Interp_Method.BILINEAR,
    extrapolation_value: float = 0.0,
) -> Var:
    """Return boxes of images, resized to one size (TensorFlow's rule).

    Args:
        x: `(N, H, W, C)`.
        boxes: `(n, 4)` normalised y1, x1, y2, x2.
        box_ind: `(n,)` image of each box.
        crop_size: (height, width) of the results.
        method: BILINEAR or NEAREST.
        extrapolation_value: value outside the image.
    """
    result: Var = _crop_and_resize(
        as_var(x, "crop_and_resize"),
        as_var(boxes, "crop_and_resize"),
        as_var(box_ind, "crop_and_resize"),
        int_operand("crop_and_resize", crop_size, "crop_size"),
        method=Interp_Method(method).name.lower(),
        outside=float(extrapolation_value),
    )
    return result


def _infer_rois(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, rois = types[0], types[1]
    dtype = x.dtype if x.dtype.kind == "f" else _FLOAT
    if x.shape is None or rois.shape is None:
        return TensorType(None, dtype, x.format)
    if len(x.shape) != 4 or len(rois.shape) != 2:
        raise ShapeError(
            f"roi: found {x.describe()} and regions {rois.describe()}, expected (N, C, H, W) and "
            "(n, 4 or 5)."
        )
    return TensorType((rois.shape[0], x.shape[1], *attributes["pooled"]), dtype, x.format)


_ROIS = np.array([[0.0, 0.0, 3.0, 3.0], [1.0, 0.5, 2.5, 4.0]], np.float32)

_roi_align: OpSpec = OpSpec(
    "roi_align",
    ("x", "rois", "batch_index"),
    _infer_rois,
    sampling.roi_align,
    "image",
    attributes={
        "pooled": REQUIRED,
        "spatial_scale": 1.0,
        "sampling_ratio": 0,
        "aligned": False,
        "mode": "avg",
    },
    codec=Codec("ROIAlign", handled=True),
    onnx="RoiAlign",
    kinds={"x": REAL, "rois": REAL},
    samples=(
        Sample((normal(1, 2, 4, 4), _ROIS, _ints(0, 0)), {"pooled": (2, 2)}, gradient=False),
        Sample(
            (normal(1, 2, 4, 4), _ROIS, _ints(0, 0)),
            {"pooled": (2, 3), "aligned": True, "mode": "max", "sampling_ratio": 2},
            gradient=False,
        ),
        Sample(
            (normal(1, 2, 4, 4), np.zeros((0, 4), np.float32), np.zeros(0, np.int32)),
            {"pooled": (2, 2)},
            gradient=False,
        ),
    ),
    doc="regions of interest sampled on a regular grid",
)

_roi_pooling: OpSpec = OpSpec(
    "roi_pooling",
    ("x", "rois"),
    _infer_rois,
    lambda x, rois, **attributes: sampling.roi_pooling(
        x.astype(x.dtype if x.dtype.kind == "f" else _FLOAT, copy=False), rois, **attributes
    ),
    "image",
    attributes={"pooled": REQUIRED, "spatial_scale": 1.0},
    codec=Codec("ROIPooling", handled=True),
    onnx="MaxRoiPool",
    kinds={"x": REAL, "rois": REAL},
    samples=(
        Sample(
            (normal(1, 2, 4, 4), np.array([[0, 0, 0, 3, 3]], np.float32)),
            {"pooled": (2, 2)},
            gradient=False,
        ),
        Sample(
            (normal(2, 1, 4, 4), np.array([[1, 0, 1, 2, 3]], np.float32)),
            {"pooled": (3, 2), "spatial_scale": 0.5},
            gradient=False,
        ),
        Sample(
            (normal(1, 1, 4, 4), np.zeros((0, 5), np.float32)), {"pooled": (1, 1)}, gradient=False
        ),
    ),
    bad=(BadCall("region rank", (normal(1, 1, 4, 4), normal(5)), ShapeError, {"pooled": (1, 1)}),),
    doc="largest elements of the bins of regions of interest",
)


def _no_training(name: str, output_grad: bool) -> None:
    if output_grad:
        raise DTypeError(f"{name}: output_grad=True has no meaning here; use optim to train.")


def roi_align(
    input: Any,
    roi: Any,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    pooling_mode: Any,
    output_grad: bool = False,
    backward_diff: Any = None,
) -> Var:
    """Return regions of interest sampled on a regular grid.

    Args:
        input: `(N, C, H, W)`.
        roi: `(n, 5)` rows of sample index, x1, y1, x2, y2.
        pooled_height, pooled_width: size of each result.
        spatial_scale: from region coordinates to pixels.
        sampling_ratio: samples per bin and axis; 0: as many as the bin has pixels.
        aligned: shift by half a pixel.
        pooling_mode: MAXPOOL or AVEPOOL over the samples of a bin.
        output_grad, backward_diff: must be left out; gradients come from `optim`.
    """
    _no_training("roi_align", output_grad)
    rows = as_var(roi, "roi_align")
    result: Var = _roi_align(
        as_var(input, "roi_align"),
        rows[:, 1:5],
        rows[:, 0],
        pooled=(int(pooled_height), int(pooled_width)),
        spatial_scale=float(spatial_scale),
        sampling_ratio=int(sampling_ratio),
        aligned=bool(aligned),
        mode="max" if int(pooling_mode) == 0 else "avg",
    )
    return result


def roi_pooling(
    input: Any,
    roi: Any,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    output_grad: bool = False,
    backward_diff: Any = None,
) -> Var:
    """Return the largest elements of the bins of regions; arguments as for `roi_align`."""
    _no_training("roi_pooling", output_grad)
    result: Var = _roi_pooling(
        as_var(input, "roi_pooling"),
        as_var(roi, "roi_pooling"),
        pooled=(int(pooled_height), int(pooled_width)),
        spatial_scale=float(spatial_scale),
    )
    return result
