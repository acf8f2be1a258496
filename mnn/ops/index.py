"""Gathering, scattering and searching by index arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.symbols import Dim, fresh, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import known_value
from mnn.ops.movement import int_operand
from mnn.ops.operands import as_var
from mnn.ops.reference import indexing as maths
from mnn.ops.samples import integers, normal
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = [
    "band_part",
    "gather",
    "gather_along",
    "gather_elements",
    "gather_nd",
    "histogram",
    "raster",
    "reverse_sequence",
    "scatter_elements",
    "scatter_nd",
    "setdiff1d",
    "unique",
    "unravel_index",
    "where",
]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)


def _ints(*values: Any) -> Array:
    return np.array(values, np.int32)


def _check_indices(name: str, indices: TensorType) -> None:
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{name}: indices are {indices.dtype}, expected integers.")


# --- gather --------------------------------------------------------------------------------------


def _infer_gather(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    data, indices = types
    _check_indices("gather", indices)
    if data.shape is None or indices.shape is None:
        return data.with_shape(None)
    axis = normalize_axis("gather", attributes["axis"], len(data.shape))
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    if data.value is not None and indices.value is not None:
        return known_value(maths.gather, types, attributes, data.with_shape(shape))
    return data.with_shape(shape)


def _gather_reference(data: Array, indices: Array, *, axis: int) -> Array:
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"gather: indices are {indices.dtype}, expected integers.")
    return maths.gather(data, indices, axis=normalize_axis("gather", axis, data.ndim))


def _grad_gather(call: GradCall) -> list[Var | None]:
    from mnn.ops.getitem import put_like

    data, indices = call.input(0), call.input(1)
    axis = call.attributes["axis"] % data.ndim
    return [put_like(call.grad, data, (*[slice(None)] * axis, indices)), None]


gather_along: OpSpec = OpSpec(
    "gather",
    ("data", "indices"),
    _infer_gather,
    _gather_reference,
    "index",
    attributes={"axis": 0},
    grad=_grad_gather,
    codec=Codec("GatherV2", handled=True),
    onnx="Gather",
    samples=(
        Sample((normal(4, 3), _ints(2, 0, 2))),
        Sample((normal(2, 4), _ints([0, 3], [1, 1])), {"axis": 1}),
        Sample((normal(3), np.array(1, np.int32))),
        Sample((integers(3), _ints(-1)), gradient=False),
        Sample((normal(3, 2), np.zeros(0, np.int32)), gradient=False),
    ),
    bad=(
        BadCall("float indices", (normal(3), normal(2)), DTypeError),
        BadCall("axis out of range", (normal(3), _ints(0)), ShapeError, {"axis": 1}),
    ),
    doc="slices of data along an axis, chosen by integers",
)


def gather(x: Any, index: Any, axis: int = 0) -> Var:
    """Return the slices of x along `axis` that the integers `index` name.

    Raises:
        IndexRangeError: an index is out of range.    DTypeError: index holds no integers.
    """
    result: Var = gather_along(as_var(x, "gather"), as_var(index, "gather"), axis=int(axis))
    return result


def _infer_gather_nd(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    data, indices = types
    _check_indices("gather_nd", indices)
    if data.shape is None or not indices.shape or not isinstance(indices.shape[-1], int):
        return data.with_shape(None)
    batch, depth = attributes["batch_dims"], indices.shape[-1]
    if batch + depth > len(data.shape):
        raise ShapeError(
            f"gather_nd: {depth} coordinates after {batch} batch axes for {data.describe()}. "
            "Expected no more than it has dimensions."
        )
    return data.with_shape((*indices.shape[:-1], *data.shape[batch + depth :]))


def _grad_gather_nd(call: GradCall) -> list[Var | None]:
    from mnn.ops.shape import shape

    data, indices = call.input(0), call.input(1)
    if call.attributes["batch_dims"]:
        from mnn.errors import GradientError

        raise GradientError("gather_nd: no gradient rule for batch_dims > 0. Use gather_elements.")
    return [
        _scatter_nd(indices, call.grad, shape(data), None, reduction="add"),
        None,
    ]


_gather_nd: OpSpec = OpSpec(
    "gather_nd",
    ("data", "indices"),
    _infer_gather_nd,
    maths.gather_nd,
    "index",
    attributes={"batch_dims": 0},
    grad=_grad_gather_nd,
    codec=Codec("GatherND", "Axis", fields={"batch_dims": "axis"}),
    onnx="GatherND",
    samples=(
        Sample((normal(3, 4), _ints([0, 1], [2, 3], [0, 1]))),
        Sample((normal(3, 4), _ints([2], [0]))),
        Sample((normal(2, 3, 2), _ints([[1]], [[2]])), {"batch_dims": 1}, gradient=False),
        Sample((normal(3, 2), np.zeros((0, 1), np.int32)), gradient=False),
    ),
    bad=(BadCall("too deep", (normal(3), _ints([0, 0])), ShapeError),),
    doc="elements or slices of data at coordinates",
)


def gather_nd(x: Any, indices: Any, batch_dims: int = 0) -> Var:
    """Return the elements or slices of x at the coordinates in the last axis of `indices`."""
    result: Var = _gather_nd(
        as_var(x, "gather_nd"), as_var(indices, "gather_nd"), batch_dims=int(batch_dims)
    )
    return result


def _infer_elements(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    data, indices = types
    _check_indices("gather_elements", indices)
    if data.rank is not None and indices.rank is not None:
        normalize_axis("gather_elements", attributes["axis"], data.rank)
        if data.rank != indices.rank:
            raise ShapeError(
                f"gather_elements: data is {data.describe()} and indices {indices.describe()}. "
                "Expected equal ranks."
            )
    return data.with_shape(indices.shape)


gather_elements: OpSpec = OpSpec(
    "gather_elements",
    ("data", "indices"),
    _infer_elements,
    maths.gather_elements,
    "index",
    attributes={"axis": 0},
    grad=lambda call: [
        scatter_elements(
            zeros_like(call.input(0)),
            call.input(1),
            call.grad,
            axis=call.attributes["axis"],
            reduction="add",
        ),
        None,
    ],
    codec=Codec("GatherElements", handled=True),
    onnx="GatherElements",
    samples=(
        Sample((normal(3, 2), _ints([0, 2], [1, 1])), {"axis": 0}),
        Sample((normal(2, 3), _ints([2], [-1])), {"axis": 1}),
        Sample((normal(2, 3), np.zeros((0, 3), np.int32)), gradient=False),
    ),
    bad=(BadCall("ranks differ", (normal(2, 3), _ints(0)), ShapeError),),
    doc="one element of data per index along an axis",
)


# --- scatter -------------------------------------------------------------------------------------


def _infer_scatter_nd(
    types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> TensorType:
    indices, updates, shape = types[0], types[1], types[2]
    assert indices is not None
    assert updates is not None
    assert shape is not None
    _check_indices("scatter_nd", indices)
    if shape.value is None:
        count = shape.shape[0] if shape.shape else None
        sizes: tuple[Dim, ...] | None = (
            tuple(fresh("scattered") for _ in range(count)) if isinstance(count, int) else None
        )
        return updates.with_shape(sizes)
    numbers = tuple(int(size) for size in shape.value.reshape(-1))
    if indices.shape and updates.shape is not None and isinstance(indices.shape[-1], int):
        wanted = (*indices.shape[:-1], *numbers[indices.shape[-1] :])
        if len(wanted) != len(updates.shape) or any(
            is_known(one, two) and one != two
            for one, two in zip(wanted, updates.shape, strict=True)
        ):
            raise ShapeError(
                f"scatter_nd: updates have shape {shape_numbers(updates.shape)}, expected "
                f"{shape_numbers(wanted)} for indices {indices.describe()} into {list(numbers)}."
            )
    return updates.with_shape(numbers)


def _grad_scatter_nd(call: GradCall) -> list[Var | None]:
    from mnn.errors import GradientError

    if call.attributes["reduction"] != "add":
        raise GradientError(
            "scatter_nd: only reduction='add' has a gradient rule, because repeated indices "
            "overwrite each other otherwise."
        )
    gradients: list[Var | None] = [None, gather_nd(call.grad, call.input(0)), None]
    if len(call.inputs) > 3:
        gradients.append(None if call.inputs[3] is None else call.grad)
    return gradients


_scatter_nd: OpSpec = OpSpec(
    "scatter_nd",
    ("indices", "updates", "shape", "data?"),
    _infer_scatter_nd,
    maths.scatter_nd,
    "index",
    attributes={"reduction": "none"},
    grad=_grad_scatter_nd,
    codec=Codec("ScatterNd", handled=True),
    onnx="ScatterND",
    samples=(
        Sample((_ints([0], [0]), np.array([5, 6], np.float32), _ints(4)), gradient=False),
        Sample((_ints([1], [1]), normal(2, 3), _ints(2, 3)), {"reduction": "add"}),
        Sample((_ints([0, 1]), normal(1), _ints(2, 2), normal(2, 2)), gradient=False),
        Sample((np.zeros((0, 1), np.int32), normal(0, 2), _ints(3, 2)), gradient=False),
    ),
    bad=(BadCall("update shape", (_ints([0]), normal(2), _ints(4)), ShapeError),),
    doc="zeros (or data) of a shape with updates put at coordinates, in order",
)


def scatter_nd(
    indices: Any, updates: Any, shape: Any, data: Any = None, reduction: str = "none"
) -> Var:
    """Return zeros of `shape` (or `data`) with `updates` put at coordinates.

    Args:
        indices: integers; the last axis holds coordinates.
        updates: one element or slice per coordinate.
        shape: of the result.
        data: start value instead of zeros.
        reduction: `"none"` (later updates win), `"add"`, `"mul"`, `"max"` or `"min"`.

    Raises:
        IndexRangeError: a coordinate is out of range.    ShapeError: shapes do not fit.
    """
    if reduction not in ("none", "add", "mul", "max", "min"):
        raise ShapeError(f"scatter_nd: unknown reduction {reduction!r}.")
    result: Var = _scatter_nd(
        as_var(indices, "scatter_nd"),
        as_var(updates, "scatter_nd"),
        int_operand("scatter_nd", shape, "shape"),
        None if data is None else as_var(data, "scatter_nd"),
        reduction=reduction,
    )
    return result


def _infer_scatter_elements(
    types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> TensorType:
    data, indices, updates = types
    _check_indices("scatter_elements", indices)
    if data.rank is not None:
        normalize_axis("scatter_elements", attributes["axis"], data.rank)
        if indices.rank not in (None, data.rank) or updates.rank not in (None, data.rank):
            raise ShapeError(
                f"scatter_elements: data {data.describe()}, indices {indices.describe()} and "
                f"updates {updates.describe()} differ in rank."
            )
    return data.with_shape(data.shape)


def _grad_scatter_elements(call: GradCall) -> list[Var | None]:
    from mnn.errors import GradientError

    if call.attributes["reduction"] != "add":
        raise GradientError("scatter_elements: only reduction='add' has a gradient rule.")
    taken = gather_elements(call.grad, call.input(1), axis=call.attributes["axis"])
    return [call.grad, None, taken]


scatter_elements: OpSpec = OpSpec(
    "scatter_elements",
    ("data", "indices", "updates"),
    _infer_scatter_elements,
    maths.scatter_elements,
    "index",
    attributes={"axis": 0, "reduction": "none"},
    grad=_grad_scatter_elements,
    codec=Codec("ScatterElements", handled=True),
    onnx="ScatterElements",
    samples=(
        Sample((normal(3, 2), _ints([0, 2]), normal(1, 2)), gradient=False),
        Sample(
            (normal(2, 3), _ints([0, 0], [2, 1]), normal(2, 2)), {"axis": 1, "reduction": "add"}
        ),
        Sample((normal(2, 3), np.zeros((0, 3), np.int32), normal(0, 3)), gradient=False),
    ),
    bad=(BadCall("ranks differ", (normal(2, 3), _ints(0), normal(1)), ShapeError),),
    doc="data with updates put at one index per element along an axis",
)


# --- searching -----------------------------------------------------------------------------------


def _where_reference(x: Array, *, positive: bool) -> Array:
    result: Array = np.argwhere(x > 0 if positive else x != 0).astype(np.int32)
    return result


_where: OpSpec = OpSpec(
    "where",
    ("x",),
    lambda types, attributes: TensorType(
        None if types[0].rank is None else (fresh("nonzero"), types[0].rank), _INT, types[0].format
    ),
    _where_reference,
    "index",
    attributes={"positive": False},
    grad=lambda call: [None],
    codec=Codec("Where", handled=True),
    onnx="NonZero",
    samples=(
        Sample((integers(3, 3),), gradient=False),
        Sample((normal(4),), {"positive": True}, gradient=False),
        Sample((normal(0, 2),), gradient=False),
        Sample((normal(2, 2) > 0,), gradient=False),
    ),
    doc="int32 coordinates of the nonzero (or positive) elements, in order",
)


def where(x: Any) -> Var:
    """Return the coordinates of the nonzero elements: `(count, rank)` int32, in order."""
    result: Var = _where(as_var(x, "where"))
    return result


def _unique_reference(x: Array) -> tuple[Array, ...]:
    values, first, inverse, counts = np.unique(
        x.reshape(-1), return_index=True, return_inverse=True, return_counts=True
    )
    return (
        values,
        first.astype(np.int32),
        inverse.reshape(-1).astype(np.int32),
        counts.astype(np.int32),
    )


def _infer_unique(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    x = types[0]
    count = fresh("unique")
    total: Dim = 1
    for size in x.shape or ():
        total = size * total
    elements = fresh("elements") if x.shape is None else total
    return [
        TensorType((count,), x.dtype),
        TensorType((count,), _INT),
        TensorType((elements,), _INT),
        TensorType((count,), _INT),
    ]


unique: OpSpec = OpSpec(
    "unique",
    ("x",),
    _infer_unique,
    _unique_reference,
    "index",
    grad=lambda call: [None],
    codec=Codec("Unique", handled=True),
    onnx="Unique",
    samples=(
        Sample((_ints(3, 1, 3, 2, 1),), gradient=False),
        Sample((integers(2, 3),), gradient=False),
        Sample((normal(0),), gradient=False),
    ),
    doc="sorted distinct values, index of the first of each, position of every element, counts",
)


def _setdiff_reference(x: Array, y: Array) -> Array:
    result: Array = x[~np.isin(x, y)]
    return result


_setdiff1d: OpSpec = OpSpec(
    "setdiff1d",
    ("x", "y"),
    lambda types, attributes: TensorType((fresh("difference"),), types[0].dtype, types[0].format),
    _setdiff_reference,
    "index",
    grad=lambda call: [None, None],
    codec=Codec("SetDiff1D"),
    samples=(
        Sample((_ints(1, 2, 3, 2), _ints(2)), gradient=False),
        Sample((_ints(1, 2), np.zeros(0, np.int32)), gradient=False),
        Sample((normal(4), normal(2)), gradient=False),
    ),
    doc="elements of x that are not in y, in order",
)


def setdiff1d(x: Any, y: Any) -> Var:
    """Return the elements of the 1-D x that are not in y, in order."""
    result: Var = _setdiff1d(as_var(x, "setdiff1d"), as_var(y, "setdiff1d"))
    return result


def _infer_unravel(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    indices, shape = types
    _check_indices("unravel_index", indices)
    count = shape.shape[0] if shape.shape else fresh("rank")
    rest = indices.shape
    return TensorType(None if rest is None else (count, *rest), _INT, indices.format)


_unravel_index: OpSpec = OpSpec(
    "unravel_index",
    ("indices", "shape"),
    _infer_unravel,
    maths.unravel_index,
    "index",
    grad=lambda call: [None, None],
    codec=Codec("UnravelIndex"),
    samples=(
        Sample((_ints(5, 0, 3), _ints(2, 3)), gradient=False),
        Sample((np.array(4, np.int32), _ints(2, 3)), gradient=False),
        Sample((np.zeros(0, np.int32), _ints(2, 3)), gradient=False),
    ),
    doc="coordinates of flat indices",
)


def unravel_index(indices: Any, shape: Any) -> Var:
    """Return the coordinates of flat indices into an array of `shape`: `(rank, ...)` int32."""
    result: Var = _unravel_index(
        as_var(indices, "unravel_index"), int_operand("unravel_index", shape, "shape")
    )
    return result


# --- others --------------------------------------------------------------------------------------

_histogram: OpSpec = OpSpec(
    "histogram",
    ("x",),
    lambda types, attributes: TensorType(
        (attributes["bins"],),
        types[0].dtype if types[0].dtype.kind == "f" else _INT,
        types[0].format,
    ),
    maths.histogram,
    "index",
    attributes={"bins": REQUIRED, "low": REQUIRED, "high": REQUIRED},
    grad=lambda call: [None],
    codec=Codec("Histogram", handled=True),
    samples=(
        Sample((normal(20),), {"bins": 4, "low": -1.0, "high": 1.0}, gradient=False),
        Sample((integers(10),), {"bins": 3, "low": 0, "high": 3}, gradient=False),
        Sample((normal(0),), {"bins": 2, "low": 0.0, "high": 1.0}, gradient=False),
    ),
    doc="counts of elements in equal parts of [low, high]",
)


def histogram(x: Any, binNum: int, minVal: float, maxVal: float) -> Var:
    """Return the counts of x in `binNum` equal bins over [minVal, maxVal], right edge included."""
    result: Var = _histogram(
        as_var(x, "histogram"), bins=int(binNum), low=float(minVal), high=float(maxVal)
    )
    return result


def _infer_raster(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    first = types[0] if types else TensorType((), np.dtype(np.float32))
    return TensorType(attributes["shape"], first.dtype, attributes["format"] or first.format)


_raster: OpSpec = OpSpec(
    "raster",
    ("values*",),
    _infer_raster,
    lambda *arrays, regions, shape, format: maths.raster(*arrays, regions=regions, shape=shape),
    "movement",
    attributes={"regions": REQUIRED, "shape": REQUIRED, "format": None},
    grad=lambda call: (
        [
            _raster(
                call.grad,
                regions=tuple(
                    (*region[4:8], *region[0:4], *region[8:11])
                    for region in call.attributes["regions"]
                ),
                shape=call.input(0).shape,
            )
        ]
        if len(call.inputs) == 1
        else [None] * len(call.inputs)
    ),
    codec=Codec("Raster", handled=True),
    samples=(
        Sample(
            (normal(2, 3),),
            {"regions": ((0, 3, 1, 1, 0, 1, 2, 1, 2, 3, 1),), "shape": (3, 2)},
        ),
        Sample(
            (normal(2), normal(2)),
            {
                "regions": ((0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 2), (0, 0, 0, 1, 2, 0, 0, 1, 1, 1, 2)),
                "shape": (5,),
            },
            gradient=False,
        ),
        Sample((normal(0),), {"regions": (), "shape": (0,)}, gradient=False),
    ),
    bad=(),
    sets_format=True,
    doc="zeros with boxes of other arrays copied in",
)


def raster(vars: Sequence[Any], region: Sequence[int], shape: Sequence[int]) -> Var:
    """Return zeros of `shape` with boxes of `vars` copied in.

    Args:
        vars: sources: one for all regions, or one per region.
        region: 11 ints per region: source offset and 3 strides, target offset and 3 strides,
            3 sizes, all in elements.
        shape: of the result.

    Raises:
        ShapeError: not 11 ints per region.    IndexRangeError: a region leaves an array.
    """
    numbers = integers_of("raster", list(region), "region")
    if len(numbers) % 11:
        raise ShapeError(f"raster: found {len(numbers)} region ints, expected 11 per region.")
    operands = [as_var(each, "raster") for each in vars]
    if not operands:
        raise ShapeError("raster: found no sources, expected at least one.")
    sizes = integers_of("raster", list(shape), "shape")
    for number in range(0, len(numbers), 11):
        if min(numbers[number + 8 : number + 11]) < 0:
            raise IndexRangeError("raster: a region has a negative size.")
    result: Var = _raster(
        *operands,
        regions=tuple(numbers[each : each + 11] for each in range(0, len(numbers), 11)),
        shape=sizes,
    )
    return result


_reverse_sequence: OpSpec = OpSpec(
    "reverse_sequence",
    ("x", "lengths"),
    lambda types, attributes: types[0].with_shape(types[0].shape),
    maths.reverse_sequence,
    "movement",
    attributes={"batch_axis": REQUIRED, "time_axis": REQUIRED},
    grad=lambda call: [
        _reverse_sequence(call.grad, call.input(1), **call.attributes),
        None,
    ],
    codec=Codec(
        "ReverseSequence",
        "ReverseSequenceParam",
        fields={"batch_axis": "batchDim", "time_axis": "seqDim"},
    ),
    onnx="ReverseSequence",
    samples=(
        Sample((normal(2, 4), _ints(3, 1)), {"batch_axis": 0, "time_axis": 1}),
        Sample((normal(3, 2, 2), _ints(0, 3)), {"batch_axis": 1, "time_axis": 0}),
        Sample(
            (normal(0, 3), np.zeros(0, np.int32)), {"batch_axis": 0, "time_axis": 1}, gradient=False
        ),
    ),
    doc="x with the first steps of each batch entry in reverse order",
)


def reverse_sequence(x: Any, y: Any, batch_dim: int, seq_dim: int) -> Var:
    """Return x with the first `y[i]` steps along `seq_dim` of batch entry i reversed.

    Raises:
        ShapeError: not one length per entry.    IndexRangeError: a length beyond the axis.
    """
    operand = as_var(x, "reverse_sequence")
    result: Var = _reverse_sequence(
        operand,
        as_var(y, "reverse_sequence"),
        batch_axis=normalize_axis("reverse_sequence", batch_dim, operand.ndim),
        time_axis=normalize_axis("reverse_sequence", seq_dim, operand.ndim),
    )
    return result


band_part: OpSpec = OpSpec(
    "matrix_band_part",
    ("x", "lower", "upper"),
    lambda types, attributes: types[0].with_shape(types[0].shape),
    maths.band_part,
    "index",
    grad=lambda call: [band_part(call.grad, call.input(1), call.input(2)), None, None],
    codec=Codec("MatrixBandPart"),
    samples=(
        Sample((normal(3, 4), 1, 0)),
        Sample((normal(2, 3, 3), -1, 0)),
        Sample((normal(0, 3), 0, 0), gradient=False),
    ),
    doc="matrices with everything but a band around the diagonal set to 0",
)
