"""Searching: where, which, how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand
from mnn.ops.codec import Codec
from mnn.ops.index import check_indices
from mnn.ops.operands import as_var
from mnn.ops.reference import indexing as maths
from mnn.ops.samples import integers, normal
from mnn.ops.spec import INTEGERS, REQUIRED, BadCall, OpSpec, Sample

__all__ = ["histogram", "searchsorted", "setdiff1d", "unique", "unravel_index", "where"]

Array = np.ndarray[Any, Any]
_INT: np.dtype[Any] = np.dtype(np.int32)


def _ints(*values: Any) -> Array:
    return np.array(values, np.int32)


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
    check_indices("unravel_index", indices)
    if shape.rank not in (None, 1):
        raise ShapeError(
            f"unravel_index: the shape is {shape.describe()}, expected one list of sizes."
        )
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
    kinds={"shape": INTEGERS},
    strict=True,
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
    kinds={"x": "iuf"},
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


def _infer_searchsorted(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    ordered, values = types
    if ordered.rank not in (None, 1):
        raise ShapeError(
            f"searchsorted: the sorted array is {ordered.describe()}, expected one dimension."
        )
    return TensorType(values.shape, _INT, values.format)


searchsorted: OpSpec = OpSpec(
    "searchsorted",
    ("ordered", "values"),
    _infer_searchsorted,
    lambda ordered, values, *, right: np.asarray(
        np.searchsorted(ordered, values, "right" if right else "left")
    ).astype(_INT),
    "index",
    attributes={"right": False},
    grad=lambda call: [None, None],
    strict=True,
    samples=(
        Sample((np.sort(integers(9)), integers(2, 4, seed=1)), gradient=False),
        Sample((np.sort(normal(9)), normal(5, seed=1)), {"right": True}, gradient=False),
        Sample((np.sort(integers(5)), normal(3)), gradient=False),
        Sample((np.sort(normal(4)), np.array(np.nan, np.float32)), gradient=False),
        Sample((normal(0), normal(3)), gradient=False),
    ),
    bad=(BadCall("several dimensions", (normal(2, 2), normal(3)), ShapeError),),
    doc="int32 places in a sorted vector before which values keep it sorted",
)
