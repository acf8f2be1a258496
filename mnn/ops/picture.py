"""Operators on pictures: (H, W) or (H, W, C) arrays with OpenCV's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.enums import data_format
from mnn.expr.symbols import Dim
from mnn.expr.types import TensorType
from mnn.ops.reference import picture as maths
from mnn.ops.samples import integers, uniform
from mnn.ops.spec import REQUIRED, BadCall, OpSpec, Sample

__all__ = ["image_border", "image_color", "image_flip", "image_resize", "image_rotate"]

Array = np.ndarray[Any, Any]


def _bytes(*shape: int, seed: int = 0) -> Array:
    return integers(*shape, dtype=np.uint8, low=0, high=256, seed=seed)


def _sizes(name: str, x: TensorType) -> tuple[Dim, ...] | None:
    if x.shape is not None and (len(x.shape) not in (2, 3) or 0 in x.shape):
        raise ShapeError(
            f"{name}: found {x.describe()}, expected a picture (H, W) or (H, W, C) that is not "
            "empty."
        )
    return x.shape


def _result(x: TensorType, shape: Sequence[Dim] | None) -> TensorType:
    return TensorType(None if shape is None else tuple(shape), x.dtype, data_format.NHWC)


def _infer_resize(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    shape = _sizes("resize", x)
    width, height = attributes["size"]
    if width < 1 or height < 1:
        raise ShapeError(f"resize: target size {attributes['size']}, expected sides of at least 1.")
    names = ("uint8", "uint16", "int16", "float32", "float64")
    if attributes["interpolation"] == "linear" and x.dtype.name not in names:
        raise DTypeError(f"resize: found {x.dtype}, expected one of {', '.join(names)}.")
    return _result(x, None if shape is None else (height, width, *shape[2:]))


image_resize: OpSpec = OpSpec(
    "image_resize",
    ("image",),
    _infer_resize,
    maths.resize_image,
    "picture",
    attributes={"size": REQUIRED, "interpolation": "linear", "factors": None},
    samples=(
        Sample((_bytes(5, 7, 3),), {"size": (4, 9)}, gradient=False),
        Sample((_bytes(6, 4),), {"size": (2, 3)}, gradient=False),
        Sample((uniform(3, 5, 2),), {"size": (7, 2)}, gradient=False),
        Sample((_bytes(4, 4, 1),), {"size": (3, 3), "interpolation": "nearest"}, gradient=False),
        Sample((_bytes(5, 7, 3),), {"size": (4, 2), "factors": (0.5, 0.5)}, gradient=False),
        Sample((uniform(4, 7),), {"size": (4, 6), "factors": (0.5, 1.5)}, gradient=False),
    ),
    bad=(
        BadCall("empty picture", (_bytes(0, 4, 3),), ShapeError, {"size": (2, 2)}),
        BadCall("zero side", (_bytes(4, 4, 3),), ShapeError, {"size": (0, 2)}),
        BadCall("rank", (_bytes(1, 4, 4, 3),), ShapeError, {"size": (2, 2)}),
        BadCall("int32", (integers(4, 4),), DTypeError, {"size": (2, 2)}),
    ),
    sets_format=True,
    doc="the picture scaled to a (width, height)",
)


def _infer_color(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    shape = _sizes("cvtColor", x)
    before, after = maths.CHANNELS[attributes["code"]]
    if x.dtype not in (np.uint8, np.uint16, np.float32):
        raise DTypeError(f"cvtColor: found {x.dtype}, expected uint8, uint16 or float32.")
    if shape is None:
        return _result(x, None)
    count = 1 if len(shape) == 2 else shape[2]
    if isinstance(count, int) and count != before:
        raise ShapeError(
            f"cvtColor: the picture has {count} channels, the conversion needs {before}. "
            "Check the conversion code."
        )
    return _result(x, shape[:2] if after == 1 else (*shape[:2], after))


image_color: OpSpec = OpSpec(
    "image_color",
    ("image",),
    _infer_color,
    maths.convert_color,
    "picture",
    attributes={"code": REQUIRED},
    samples=(
        Sample((_bytes(3, 4, 3),), {"code": 4}, gradient=False),
        Sample((_bytes(3, 4, 4),), {"code": 10}, gradient=False),
        Sample((_bytes(3, 4),), {"code": 9}, gradient=False),
        Sample((uniform(3, 4, 3),), {"code": 6}, gradient=False),
    ),
    bad=(
        BadCall("channels", (_bytes(3, 4, 4),), ShapeError, {"code": 4}),
        BadCall("dtype", (integers(3, 4, 3),), DTypeError, {"code": 4}),
    ),
    sets_format=True,
    doc="the picture in another order of colours",
)


def _infer_same(name: str) -> Any:
    def infer(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
        return _result(types[0], _sizes(name, types[0]))

    return infer


image_flip: OpSpec = OpSpec(
    "image_flip",
    ("image",),
    _infer_same("flip"),
    maths.flip,
    "picture",
    attributes={"code": REQUIRED},
    samples=tuple(
        Sample((_bytes(3, 4, 3),), {"code": code}, gradient=False) for code in (0, 1, -1)
    ),
    bad=(BadCall("empty picture", (_bytes(0, 4),), ShapeError, {"code": 0}),),
    sets_format=True,
    doc="the picture mirrored",
)


def _infer_rotate(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    shape = _sizes("rotate", x)
    if shape is None or attributes["code"] == 1:
        return _result(x, shape)
    return _result(x, (shape[1], shape[0], *shape[2:]))


image_rotate: OpSpec = OpSpec(
    "image_rotate",
    ("image",),
    _infer_rotate,
    maths.rotate,
    "picture",
    attributes={"code": REQUIRED},
    samples=tuple(Sample((_bytes(3, 4, 3),), {"code": code}, gradient=False) for code in (0, 1, 2)),
    bad=(BadCall("empty picture", (_bytes(0, 4),), ShapeError, {"code": 0}),),
    sets_format=True,
    doc="the picture turned by multiples of 90 degrees",
)


def _infer_border(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    shape = _sizes("copyMakeBorder", x)
    widths = [attributes[side] for side in ("top", "bottom", "left", "right")]
    if min(widths) < 0:
        raise ShapeError(f"copyMakeBorder: widths {widths}, expected numbers >= 0.")
    if shape is None:
        return _result(x, None)
    rows, columns = shape[0] + (widths[0] + widths[1]), shape[1] + (widths[2] + widths[3])
    return _result(x, (rows, columns, *shape[2:]))


_SIDES: Mapping[str, Any] = {"top": 1, "bottom": 0, "left": 2, "right": 3}

image_border: OpSpec = OpSpec(
    "image_border",
    ("image",),
    _infer_border,
    maths.copy_make_border,
    "picture",
    attributes={
        "top": REQUIRED,
        "bottom": REQUIRED,
        "left": REQUIRED,
        "right": REQUIRED,
        "mode": "constant",
        "value": (0.0, 0.0, 0.0, 0.0),
    },
    samples=tuple(
        Sample((_bytes(3, 4, 3),), {**_SIDES, "mode": mode}, gradient=False)
        for mode in ("constant", "edge", "symmetric", "reflect", "wrap")
    ),
    bad=(
        BadCall("negative width", (_bytes(3, 4),), ShapeError, {**_SIDES, "top": -1}),
        BadCall("empty picture", (_bytes(0, 4),), ShapeError, _SIDES),
    ),
    sets_format=True,
    doc="the picture with a border",
)
