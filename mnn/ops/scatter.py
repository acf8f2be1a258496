"""Scattering: values put at indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import GradientError, ShapeError
from mnn.expr.symbols import Dim, fresh, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import int_operand, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.comparison import equal, select
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import broadcast_shapes, fit_gradient, promote
from mnn.ops.index import check_indices, gather_elements, gather_nd
from mnn.ops.movement import expand_dims
from mnn.ops.operands import as_var
from mnn.ops.reference import indexing as maths
from mnn.ops.samples import integers, normal
from mnn.ops.spec import INTEGERS, BadCall, GradCall, OpSpec, Sample

__all__ = ["scatter_elements", "scatter_nd"]

Array = np.ndarray[Any, Any]
_BOOL: np.dtype[Any] = np.dtype(np.bool_)
_REDUCTIONS = ("none", "add", "mul", "max", "min")


def _ints(*values: Any) -> Array:
    return np.array(values, np.int32)


def _check_reduction(name: str, reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ShapeError(
            f"{name}: found reduction {reduction!r}, expected one of {', '.join(_REDUCTIONS)}."
        )


# --- the gradient of both -------------------------------------------------------------------------

Gather = Callable[[Var], Var]
Scatter = Callable[[Var, Var, str], Var]


def _gradients(
    name: str,
    call: GradCall,
    updates: Var,
    start: Var,
    *,
    gather: Gather,
    scatter: Scatter,
    last: Callable[[], Var],
) -> tuple[Var | None, Var | None]:
    """Return the gradients of the start value and of the updates.

    Args:
        name: operator, for messages.    call: the recorded call.
        updates, start: its operands.
        gather: takes elements from where the updates went.
        scatter: `(start, updates, reduction)` puts them there.
        last: True for the updates that no later one overwrites.
    """
    g, reduction = call.grad, call.attributes["reduction"]
    taken = gather(g)
    if reduction == "add":
        return fit_gradient(g, start), fit_gradient(taken, updates)
    if reduction == "none":
        nothing: Var = zeros_like(taken)
        kept = select(last(), taken, nothing)
        return fit_gradient(scatter(g, nothing, "none"), start), fit_gradient(kept, updates)
    if reduction == "mul":
        raise GradientError(
            f"{name}: reduction='mul' has no gradient rule. Expected none, add, max or min. "
            "Multiply before scattering."
        )
    # Equal elements share the gradient, as for reduce_max.
    result = call.outputs[0]
    hit = cast(equal(gather(result), updates), g.dtype)
    held = cast(equal(result, start), g.dtype)
    share = g / scatter(held, hit, "add")
    return fit_gradient(share * held, start), fit_gradient(gather(share) * hit, updates)


# --- scatter_nd ----------------------------------------------------------------------------------


def _infer_scatter_nd(
    types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> TensorType:
    indices, updates, shape = types[0], types[1], types[2]
    assert indices is not None
    assert updates is not None
    assert shape is not None
    data = types[3] if len(types) > 3 else None
    check_indices("scatter_nd", indices)
    _check_reduction("scatter_nd", attributes["reduction"])
    if data is not None:
        updates = updates.with_dtype(promote("scatter_nd", [updates.dtype, data.dtype]))
    if shape.value is None:
        count = shape.shape[0] if shape.shape else None
        sizes: tuple[Dim, ...] | None = (
            tuple(fresh("scattered") for _ in range(count)) if isinstance(count, int) else None
        )
        return updates.with_shape(sizes)
    numbers = tuple(int(size) for size in shape.value.reshape(-1))
    _check_updates(indices, updates, numbers)
    if data is not None:
        joined = broadcast_shapes("scatter_nd", [data.shape, numbers])
        if joined is not None and is_known(*joined) and joined != numbers:
            raise ShapeError(
                f"scatter_nd: data is {data.describe()}, expected shape {list(numbers)} or one "
                "that broadcasts to it."
            )
    return updates.with_shape(numbers)


def _check_updates(indices: TensorType, updates: TensorType, numbers: tuple[int, ...]) -> None:
    if not indices.shape or updates.shape is None or not isinstance(indices.shape[-1], int):
        return
    wanted = (*indices.shape[:-1], *numbers[indices.shape[-1] :])
    if len(wanted) != len(updates.shape) or any(
        is_known(one, two) and one != two for one, two in zip(wanted, updates.shape, strict=True)
    ):
        raise ShapeError(
            f"scatter_nd: updates have shape {shape_numbers(updates.shape)}, expected "
            f"{shape_numbers(wanted)} for indices {indices.describe()} into {list(numbers)}."
        )


def _infer_last_nd(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    sizes = types[0].shape
    return TensorType(None if sizes is None else sizes[:-1], _BOOL, types[0].format)


_last_scattered = OpSpec(
    "last_scattered",
    ("indices", "shape"),
    _infer_last_nd,
    maths.last_scattered,
    "index",
    grad=lambda call: [None, None],
    kinds={"indices": INTEGERS, "shape": INTEGERS},
    samples=(
        Sample((_ints([1], [0], [1]), _ints(3)), gradient=False),
        Sample((_ints([[0, 1], [0, 1]], [[0, 0], [0, 1]]), _ints(1, 2, 5)), gradient=False),
        Sample((np.zeros((0, 1), np.int32), _ints(3)), gradient=False),
    ),
    doc="True for each coordinate that no later one repeats",
)


def _grad_scatter_nd(call: GradCall) -> list[Var | None]:
    indices, updates, shape = call.input(0), call.input(1), call.input(2)
    given = call.inputs[3]
    start = zeros_like(call.outputs[0]) if given is None else given

    def last() -> Var:
        mask: Var = _last_scattered(indices, shape)
        extra = updates.ndim - mask.ndim
        return expand_dims(mask, range(mask.ndim, updates.ndim)) if extra else mask

    to_start, to_updates = _gradients(
        "scatter_nd",
        call,
        updates,
        start,
        gather=lambda x: gather_nd(x, indices),
        scatter=lambda x, y, how: scatter_nd(indices, y, shape, x, how),
        last=last,
    )
    return [None, to_updates, None, None if given is None else to_start]


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
    kinds={"shape": INTEGERS},
    strict=True,
    samples=(
        Sample((_ints([0], [0]), np.array([5, 6], np.float32), _ints(4))),
        Sample((_ints([1], [1]), normal(2, 3), _ints(2, 3)), {"reduction": "add"}),
        Sample((_ints([0, 1]), normal(1), _ints(2, 2), normal(2, 2))),
        Sample((_ints([1], [0], [1]), normal(3, 2), _ints(2, 2), normal(2, 2))),
        Sample((_ints([1], [1]), normal(2), _ints(3), normal()), {"reduction": "add"}),
        Sample((_ints([1], [1]), normal(2), _ints(3), normal(3)), {"reduction": "max"}),
        Sample((_ints([1], [0]), normal(2), _ints(3), normal(3)), {"reduction": "min"}),
        Sample((_ints([1], [1]), normal(2), _ints(3)), {"reduction": "mul"}, gradient=False),
        Sample((np.zeros((0, 1), np.int32), normal(0, 2), _ints(3, 2)), gradient=False),
        Sample((_ints([1]), integers(1), _ints(2), normal(2)), gradient=False),
    ),
    bad=(
        BadCall("update shape", (_ints([0]), normal(2), _ints(4)), ShapeError),
        BadCall("data shape", (_ints([0]), normal(1), _ints(4), normal(3)), ShapeError),
        BadCall("reduction", (_ints([0]), normal(1), _ints(4)), ShapeError, {"reduction": "mean"}),
    ),
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
        data: start value instead of zeros; broadcast to `shape`.
        reduction: `"none"` (later updates win), `"add"`, `"mul"`, `"max"` or `"min"`.

    Raises:
        IndexRangeError: a coordinate is out of range.
        ShapeError: shapes do not fit, or no such reduction.
    """
    result: Var = _scatter_nd(
        as_var(indices, "scatter_nd"),
        as_var(updates, "scatter_nd"),
        int_operand("scatter_nd", shape, "shape"),
        None if data is None else as_var(data, "scatter_nd"),
        reduction=reduction,
    )
    return result


# --- scatter_elements ----------------------------------------------------------------------------


def _infer_scatter_elements(
    types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> TensorType:
    data, indices, updates = types
    check_indices("scatter_elements", indices)
    _check_reduction("scatter_elements", attributes["reduction"])
    if data.rank is not None:
        normalize_axis("scatter_elements", attributes["axis"], data.rank)
        if indices.rank not in (None, data.rank) or updates.rank not in (None, data.rank):
            raise ShapeError(
                f"scatter_elements: data {data.describe()}, indices {indices.describe()} and "
                f"updates {updates.describe()} differ in rank."
            )
    for one, two in zip(indices.shape or (), updates.shape or (), strict=False):
        if is_known(one, two) and one != two:
            raise ShapeError(
                f"scatter_elements: indices are {indices.describe()} and updates "
                f"{updates.describe()}. Expected equal shapes."
            )
    return data.with_shape(data.shape)


_last_elements = OpSpec(
    "last_scattered_elements",
    ("data", "indices"),
    lambda types, attributes: TensorType(types[1].shape, _BOOL, types[0].format),
    maths.last_scattered_elements,
    "index",
    attributes={"axis": 0},
    grad=lambda call: [None, None],
    kinds={"indices": INTEGERS},
    samples=(
        Sample((normal(3, 2), _ints([0, 2], [0, 1], [0, 2])), gradient=False),
        Sample((normal(2, 3), _ints([1, 1], [2, 0])), {"axis": 1}, gradient=False),
        Sample((normal(2, 3), np.zeros((0, 3), np.int32)), gradient=False),
    ),
    doc="True for each index along an axis that no later one repeats",
)


def _grad_scatter_elements(call: GradCall) -> list[Var | None]:
    data, indices, updates = call.input(0), call.input(1), call.input(2)
    axis = call.attributes["axis"]

    def last() -> Var:
        mask: Var = _last_elements(data, indices, axis=axis)
        return mask

    to_data, to_updates = _gradients(
        "scatter_elements",
        call,
        updates,
        data,
        gather=lambda x: gather_elements(x, indices, axis=axis),
        scatter=lambda x, y, how: scatter_elements(x, indices, y, axis=axis, reduction=how),
        last=last,
    )
    return [to_data, None, to_updates]


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
    strict=True,
    samples=(
        Sample((normal(3, 2), _ints([0, 2]), normal(1, 2))),
        Sample((normal(2, 3), _ints([1, 1], [2, 0]), normal(2, 2)), {"axis": 1}),
        Sample(
            (normal(2, 3), _ints([0, 0], [2, 1]), normal(2, 2)), {"axis": 1, "reduction": "add"}
        ),
        Sample((normal(3), _ints(1, 1), normal(2)), {"reduction": "max"}),
        Sample((normal(3), _ints(1, 0), normal(2)), {"reduction": "min"}),
        Sample((normal(2, 3), np.zeros((0, 3), np.int32), normal(0, 3)), gradient=False),
    ),
    bad=(
        BadCall("ranks differ", (normal(2, 3), _ints(0), normal(1)), ShapeError),
        BadCall("shapes differ", (normal(3), _ints(0, 1), normal(1)), ShapeError),
        BadCall("reduction", (normal(3), _ints(0), normal(1)), ShapeError, {"reduction": "sum"}),
    ),
    doc="data with updates put at one index per element along an axis",
)
