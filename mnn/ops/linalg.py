"""Linear algebra, similarity, spectra and the remaining window operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.convolution import float_dtype
from mnn.ops.elementwise import broadcast_shapes
from mnn.ops.operands import as_var
from mnn.ops.reference import linalg as maths
from mnn.ops.reference import morphology, patches, spectral
from mnn.ops.reference.window_shapes import conv_shape
from mnn.ops.samples import normal
from mnn.ops.spec import REQUIRED, BadCall, OpSpec, Sample

__all__ = [
    "col2im",
    "cosine_similarity",
    "det",
    "dilation2d",
    "im2col",
    "segment_mean",
    "stft",
    "svd",
]

Array = np.ndarray[Any, Any]


def _infer_det(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    dtype = float_dtype("det", [x])
    if x.shape is None:
        return TensorType(None, dtype, x.format)
    if len(x.shape) < 2 or (x.is_static and x.shape[-1] != x.shape[-2]):
        raise ShapeError(f"det: found {x.describe()}, expected square matrices.")
    return TensorType(x.shape[:-2], dtype, x.format)


det: OpSpec = OpSpec(
    "det",
    ("x",),
    _infer_det,
    maths.det,
    "linear algebra",
    codec=Codec("Det"),
    onnx="Det",
    samples=(
        Sample((normal(3, 3),), gradient=False),
        Sample((normal(2, 2, 2),), gradient=False),
        Sample((normal(0, 2, 2),), gradient=False),
    ),
    bad=(BadCall("not square", (normal(2, 3),), ShapeError),),
    doc="determinants of square matrices",
)


def _infer_svd(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    x = types[0]
    dtype = float_dtype("svd", [x])
    if x.shape is None or not x.is_static:
        return [TensorType(None, dtype, x.format)] * 3
    if len(x.shape) < 2:
        raise ShapeError(f"svd: found {x.describe()}, expected matrices.")
    return [TensorType(shape, dtype, x.format) for shape in maths.svd_shape(x.shape)]  # type: ignore[arg-type]


_svd: OpSpec = OpSpec(
    "svd",
    ("x",),
    _infer_svd,
    maths.svd,
    "linear algebra",
    codec=Codec("Svd"),
    samples=(
        Sample((normal(4, 3),), gradient=False),
        Sample((normal(2, 2, 3),), gradient=False),
        Sample((normal(0, 2, 2),), gradient=False),
    ),
    bad=(BadCall("vector", (normal(3),), ShapeError),),
    doc="singular values (descending), left and right vectors: x = u @ diag(w) @ vt",
)


def svd(x: Any) -> list[Var]:
    """Return `[w, u, vt]` with `x = u @ diag(w) @ vt`, w descending.

    Raises:
        ShapeError: not a matrix.    DTypeError: integers.
    """
    return list(_svd(as_var(x, "svd")))


def _infer_cosine(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    a, b = types
    dtype = float_dtype("cosine_similarity", types)
    shape = broadcast_shapes("cosine_similarity", [a.shape, b.shape])
    if shape is None:
        return TensorType(None, dtype, a.format)
    axis = normalize_axis("cosine_similarity", attributes["axis"], len(shape))
    return TensorType(tuple(s for i, s in enumerate(shape) if i != axis), dtype, a.format)


cosine_similarity: OpSpec = OpSpec(
    "cosine_similarity",
    ("a", "b"),
    _infer_cosine,
    maths.cosine_similarity,
    "linear algebra",
    attributes={"axis": 1},
    codec=Codec("CosineSimilarity", handled=True),
    samples=(
        Sample((normal(2, 3), normal(2, 3, seed=1)), gradient=False),
        Sample((normal(3, 2), normal(3, 1)), {"axis": 0}, gradient=False),
        Sample((normal(0, 3), normal(0, 3)), gradient=False),
    ),
    bad=(BadCall("axis out of range", (normal(3), normal(3)), ShapeError),),
    doc="cosine of the angle between a and b along an axis",
)

segment_mean: OpSpec = OpSpec(
    "segment_mean",
    ("data", "ids"),
    lambda types, attributes: types[0].with_shape(
        None if types[0].shape is None else (fresh("segments"), *types[0].shape[1:])
    ),
    maths.segment_mean,
    "linear algebra",
    codec=Codec("Segment"),
    samples=(
        Sample((normal(4, 2), np.array([0, 0, 1, 2], np.int32)), gradient=False),
        Sample((normal(3), np.array([1, 1, 1], np.int32)), gradient=False),
        Sample((normal(0, 2), np.zeros(0, np.int32)), gradient=False),
    ),
    doc="mean of the rows of each id",
)


def _infer_stft(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, window = types
    dtype = float_dtype("stft", types)
    if x.shape is None or not window.is_static:
        return TensorType(None, dtype, x.format)
    length = (window.shape or (0,))[0]
    shape = spectral.stft_shape(x.shape, int(length), **attributes)  # type: ignore[arg-type]
    return TensorType(shape, dtype, x.format)


stft: OpSpec = OpSpec(
    "stft",
    ("x", "window"),
    _infer_stft,
    spectral.stft,
    "linear algebra",
    attributes={"hop": REQUIRED, "onesided": True},
    codec=Codec("Stft", handled=True),
    onnx="STFT",
    samples=(
        Sample((normal(1, 16), normal(8)), {"hop": 4}, gradient=False),
        Sample((normal(10), normal(4)), {"hop": 3, "onesided": False}, gradient=False),
        Sample((normal(0, 16), normal(8)), {"hop": 4}, gradient=False),
    ),
    bad=(BadCall("hop below 1", (normal(1, 16), normal(8)), ShapeError, {"hop": 0}),),
    doc="spectra of overlapping frames; the last axis holds real and imaginary parts",
)


# --- windows -------------------------------------------------------------------------------------

_WINDOW: Mapping[str, Any] = {
    "stride": (1, 1),
    "dilation": (1, 1),
    "pads": ((0, 0), (0, 0)),
    "mode": "SAME",
    "layout": "NCHW",
}


def _infer_dilation(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, weight = types
    dtype = float_dtype("dilation2d", types)
    if x.shape is None or weight.shape is None:
        return TensorType(None, dtype, x.format)
    groups = weight.shape[0] if weight.shape else 1
    if not isinstance(groups, int):
        return TensorType(None, dtype, x.format)
    shape = conv_shape(
        x.shape, (groups, 1, *weight.shape[1:]), groups=groups, name="dilation2d", **attributes
    )
    return TensorType(shape, dtype, x.format)


dilation2d: OpSpec = OpSpec(
    "dilation2d",
    ("x", "weight"),
    _infer_dilation,
    morphology.dilation2d,
    "window",
    attributes=_WINDOW,
    codec=Codec("Dilation2D", handled=True),
    samples=(
        Sample((normal(1, 2, 4, 4), normal(2, 3, 3)), gradient=False),
        Sample(
            (normal(1, 4, 4, 2), normal(2, 2, 2)),
            {"layout": "NHWC", "mode": "VALID"},
            gradient=False,
        ),
        Sample((normal(0, 2, 4, 4), normal(2, 3, 3)), gradient=False),
    ),
    bad=(BadCall("channels differ", (normal(1, 3, 4, 4), normal(2, 3, 3)), ShapeError),),
    doc="largest sum of input and weight in each window",
)

_COLUMNS: Mapping[str, Any] = {
    "kernel": REQUIRED,
    "stride": (1, 1),
    "dilation": (1, 1),
    "pads": ((0, 0), (0, 0)),
}


def _infer_im2col(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is None or len(x.shape) != 4:
        if x.shape is not None:
            raise ShapeError(f"im2col: found {x.describe()}, expected four dimensions.")
        return x.with_shape(None)
    kernel = attributes["kernel"]
    batch, channels, *_ = x.shape
    found = conv_shape(
        (batch, 1, *x.shape[2:]),
        (1, 1, *kernel),
        stride=attributes["stride"],
        dilation=attributes["dilation"],
        pads=attributes["pads"],
        name="im2col",
    )
    windows: Dim = batch
    for length in found[2:]:
        windows = windows * length
    return x.with_shape((channels * int(np.prod(kernel)), windows))


im2col: OpSpec = OpSpec(
    "im2col",
    ("x",),
    _infer_im2col,
    patches.im2col,
    "window",
    attributes=_COLUMNS,
    codec=Codec("Im2Col", handled=True),
    samples=(
        Sample((normal(1, 2, 3, 3),), {"kernel": (2, 2)}, gradient=False),
        Sample((normal(2, 1, 3, 4),), {"kernel": (2, 1), "pads": ((1, 0), (0, 1))}, gradient=False),
        Sample((normal(0, 2, 3, 3),), {"kernel": (2, 2)}, gradient=False),
    ),
    bad=(BadCall("rank", (normal(2, 3),), ShapeError, {"kernel": (2, 2)}),),
    doc="windows of x as columns",
)


def _infer_col2im(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    columns, size = types
    if size.dtype.kind not in "iu":
        raise DTypeError(f"col2im: the size is {size.dtype}, expected integers.")
    lengths: tuple[Dim, ...] = (fresh("height"), fresh("width"))
    if size.value is not None:
        lengths = tuple(int(each) for each in size.value.reshape(-1))
    if columns.shape is None:
        return columns.with_shape(None)
    if len(columns.shape) not in (2, 3):
        raise ShapeError(
            f"col2im: found columns {columns.describe()}, expected (rows, places) or "
            "(N, rows, places)."
        )
    batch = columns.shape[0] if len(columns.shape) == 3 else 1
    channels = columns.shape[-2] // int(np.prod(attributes["kernel"]))
    return columns.with_shape((batch, channels, *lengths))


col2im: OpSpec = OpSpec(
    "col2im",
    ("columns", "size"),
    _infer_col2im,
    lambda columns, size, **attributes: patches.col2im(
        columns, lengths=[int(each) for each in size.reshape(-1)], **attributes
    ),
    "window",
    attributes=_COLUMNS,
    codec=Codec("Col2Im", handled=True),
    onnx="Col2Im",
    strict=True,
    samples=(
        Sample((normal(8, 4), np.array([3, 3], np.int32)), {"kernel": (2, 2)}, gradient=False),
        Sample((normal(2, 4, 9), np.array([4, 4], np.int32)), {"kernel": (2, 2)}, gradient=False),
        Sample((normal(0, 4, 9), np.array([4, 4], np.int32)), {"kernel": (2, 2)}, gradient=False),
    ),
    doc="columns laid back at their windows and added up",
)
