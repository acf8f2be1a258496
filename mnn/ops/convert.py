"""Conversions of element type and of dimension format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, default_float, dtype, is_bfloat16, kind_of
from mnn.expr.enums import data_format
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.attach import attach_method
from mnn.ops.bfloat16 import rounded_once
from mnn.ops.codec import Codec
from mnn.ops.elementwise import known_value
from mnn.ops.operands import as_var
from mnn.ops.samples import integers, normal, special_values
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = ["cast", "convert", "relabel"]

Array = np.ndarray[Any, Any]


def _cast_reference(x: Array, *, dtype: np.dtype[Any]) -> Array:
    if x.dtype == dtype:
        return x
    if is_bfloat16(x.dtype):
        x = x.astype(default_float)
    with np.errstate(invalid="ignore"):
        if is_bfloat16(dtype):
            return rounded_once(x.real)
        if x.dtype.kind == "f" and dtype.kind in "iu" and dtype.itemsize < 8:
            # Through int64, so that values beyond a small type wrap the same way on every machine.
            return x.astype(np.int64).astype(dtype)
        if x.dtype.kind == "c" and dtype.kind != "c":
            x = x.real
        return x.astype(dtype)


def _infer_cast(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    result = types[0].with_dtype(attributes["dtype"])
    return known_value(_cast_reference, types, attributes, result)


def _grad_cast(call: GradCall) -> list[Var | None]:
    x = call.input(0)
    if kind_of(call.outputs[0].dtype) not in "fc" or kind_of(x.dtype) not in "fc":
        return [None]
    return [cast(call.grad, x.dtype)]


_cast = OpSpec(
    "cast",
    ("x",),
    _infer_cast,
    _cast_reference,
    "convert",
    attributes={"dtype": REQUIRED},
    grad=_grad_cast,
    codec=Codec("Cast", "CastParam", handled=True),
    onnx="Cast",
    samples=(
        Sample((normal(3, 4),), {"dtype": np.dtype(np.float64)}),
        Sample((normal(5) * 300,), {"dtype": np.dtype(np.uint8)}, gradient=False),
        Sample((integers(2, 3),), {"dtype": np.dtype(np.float32)}, gradient=False),
        Sample((special_values(),), {"dtype": np.dtype(np.bool_)}, gradient=False),
        Sample((normal(0),), {"dtype": np.dtype(np.int64)}, gradient=False),
    ),
    bad=(BadCall("text operand", ("a",), DTypeError, {"dtype": np.dtype(np.int32)}),),
    doc="x converted to another dtype; floats are truncated toward zero, small integers wrap",
)


def cast(x: Any, dtype: Any = dtype.float) -> Var:
    """Return x with another element type.

    Args:
        x: any array.
        dtype: NumPy dtype, string, or member of `expr.dtype`. Floats become integers by truncation
            toward zero; values beyond an integer type wrap.
    """
    wanted = as_dtype(dtype, what="cast: dtype")
    operand = as_var(x, "cast")
    if operand.dtype == wanted and operand._ref is not None:
        return operand
    result: Var = _cast(operand, dtype=wanted)
    return result


def _permutation(rank: int, source: data_format, target: data_format) -> tuple[int, ...] | None:
    """Return the axes order that turns `source` into `target`; None when nothing moves."""
    if rank < 3 or source.channel_last == target.channel_last:
        return None
    if target.channel_last:
        return (0, *range(2, rank), 1)
    return (0, rank - 1, *range(1, rank - 1))


def _convert_reference(x: Array, *, source: data_format, target: data_format) -> Array:
    axes = _permutation(x.ndim, source, target)
    return x if axes is None else x.transpose(axes)


def _infer_convert(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, source, target = types[0], attributes["source"], attributes["target"]
    if x.shape is None:
        return x.with_format(target)
    axes = _permutation(len(x.shape), source, target)
    shape = x.shape if axes is None else tuple(x.shape[axis] for axis in axes)
    return TensorType(shape, x.dtype, target, x.value if axes is None else None)


def _grad_convert(call: GradCall) -> list[Var | None]:
    source, target = call.attributes["source"], call.attributes["target"]
    return [_convert(call.grad, source=target, target=source)]


_NCHW, _NHWC, _NC4HW4 = data_format.NCHW, data_format.NHWC, data_format.NC4HW4

_convert = OpSpec(
    "convert",
    ("x",),
    _infer_convert,
    _convert_reference,
    "convert",
    attributes={"source": REQUIRED, "target": REQUIRED},
    grad=_grad_convert,
    codec=Codec("ConvertTensor", "TensorConvertInfo", handled=True),
    samples=(
        Sample((normal(2, 3, 4, 5),), {"source": _NCHW, "target": _NHWC}),
        Sample((normal(2, 3, 4, 5),), {"source": _NHWC, "target": _NC4HW4}),
        Sample((normal(2, 3, 4),), {"source": _NHWC, "target": _NCHW}),
        Sample((normal(2, 3),), {"source": _NHWC, "target": _NCHW}),
        Sample((normal(1, 0, 4, 5),), {"source": _NC4HW4, "target": _NHWC}, gradient=False),
    ),
    sets_format=True,
    doc="x with its dimensions in the order of another format",
)


def convert(x: Any, format: data_format) -> Var:
    """Return x in another dimension format.

    Args:
        x: any array; its `data_format` says what its dimensions mean.
        format: NCHW, NHWC or NC4HW4. Arrays with fewer than three dimensions only change their tag.

    Raises:
        ShapeError: format is no member of `data_format`.
    """
    try:
        target = data_format(format)
    except ValueError as error:
        raise ShapeError(
            f"convert: found format {format!r}, expected expr.NCHW, expr.NHWC or expr.NC4HW4."
        ) from error
    operand = as_var(x, "convert")
    if operand._format == target:
        return operand
    result: Var = _convert(operand, source=operand.data_format, target=target)
    return result


_relabel: OpSpec = OpSpec(
    "relabel",
    ("x",),
    lambda types, attributes: types[0].with_format(attributes["format"]),
    lambda x, *, format: x,
    "convert",
    attributes={"format": REQUIRED},
    grad=lambda call: [_relabel(call.grad, format=call.input(0).data_format)],
    samples=(
        Sample((normal(2, 3, 1, 2),), {"format": _NHWC}),
        Sample((integers(4),), {"format": _NC4HW4}, gradient=False),
        Sample((normal(0),), {"format": _NHWC}, gradient=False),
    ),
    sets_format=True,
    doc="x with another name for the order of its dimensions; nothing moves",
)


def relabel(x: Any, format: data_format) -> Var:
    """Return x with its dimensions taken to be in another format; no data moves."""
    operand = as_var(x, "relabel")
    result: Var = _relabel(operand, format=data_format(format))
    return result


attach_method("_relabelled", relabel)
