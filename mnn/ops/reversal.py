"""Elements in reverse order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.symbols import is_known
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of, normalize_axes, normalize_axis
from mnn.ops.codec import Codec
from mnn.ops.elementwise import known_value
from mnn.ops.operands import as_var
from mnn.ops.reference import indexing as maths
from mnn.ops.samples import normal
from mnn.ops.spec import REQUIRED, BadCall, OpSpec, Sample

__all__ = ["reverse", "reverse_sequence"]

Array = np.ndarray[Any, Any]


def _ints(*values: int) -> Array:
    return np.array(values, np.int32)


def _infer_reverse(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is not None:
        normalize_axes("reverse", attributes["axes"], len(x.shape))
    return known_value(_reverse_reference, types, attributes, x.with_shape(x.shape))


def _reverse_reference(x: Array, *, axes: tuple[int, ...]) -> Array:
    return np.flip(x, normalize_axes("reverse", axes, x.ndim))


_reverse: OpSpec = OpSpec(
    "reverse",
    ("x",),
    _infer_reverse,
    _reverse_reference,
    "movement",
    attributes={"axes": REQUIRED},
    grad=lambda call: [_reverse(call.grad, axes=call.attributes["axes"])],
    codec=Codec("Reverse", handled=True),
    samples=(
        Sample((normal(3, 4),), {"axes": (1,)}),
        Sample((normal(3, 2),), {"axes": (0, -1)}),
        Sample((normal(0, 2),), {"axes": (0,)}, gradient=False),
    ),
    bad=(BadCall("axis out of range", (normal(3),), ShapeError, {"axes": (1,)}),),
    doc="x with some axes in reverse order",
)


def reverse(x: Any, axis: Any) -> Var:
    """Return x with the elements along `axis` (int, ints or int Var) in reverse order."""
    result: Var = _reverse(as_var(x, "reverse"), axes=integers_of("reverse", axis))
    return result


def _infer_reverse_sequence(
    types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> TensorType:
    x, lengths = types
    if lengths.dtype.kind not in "iu":
        raise DTypeError(f"reverse_sequence: lengths are {lengths.dtype}, expected integers.")
    if x.shape is None:
        return x.with_shape(None)
    batch = normalize_axis("reverse_sequence", attributes["batch_axis"], len(x.shape))
    time = normalize_axis("reverse_sequence", attributes["time_axis"], len(x.shape))
    wrong = lengths.shape is not None and (
        len(lengths.shape) != 1
        or (is_known(lengths.shape[0], x.shape[batch]) and lengths.shape[0] != x.shape[batch])
    )
    if batch == time or wrong:
        raise ShapeError(
            f"reverse_sequence: found lengths {lengths.describe()} for {x.describe()}, batch axis "
            f"{batch} and time axis {time}. Expected one length per batch entry and two axes."
        )
    return x.with_shape(x.shape)


_reverse_sequence: OpSpec = OpSpec(
    "reverse_sequence",
    ("x", "lengths"),
    _infer_reverse_sequence,
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
    bad=(
        BadCall("lengths", (normal(2, 4), _ints(3)), ShapeError, {"batch_axis": 0, "time_axis": 1}),
        BadCall(
            "one axis", (normal(2, 4), _ints(1, 1)), ShapeError, {"batch_axis": 0, "time_axis": 0}
        ),
        BadCall(
            "float lengths",
            (normal(2, 4), normal(2)),
            DTypeError,
            {"batch_axis": 0, "time_axis": 1},
        ),
    ),
    doc="x with the first steps of each batch entry in reverse order",
)


def reverse_sequence(x: Any, y: Any, batch_dim: int, seq_dim: int) -> Var:
    """Return x with the first `y[i]` steps along `seq_dim` of batch entry i reversed.

    Raises:
        ShapeError: not one length per entry.    IndexRangeError: a length beyond the axis.
    """
    result: Var = _reverse_sequence(
        as_var(x, "reverse_sequence"),
        as_var(y, "reverse_sequence"),
        batch_axis=int(batch_dim),
        time_axis=int(seq_dim),
    )
    return result
