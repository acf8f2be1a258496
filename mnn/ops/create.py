"""Making Vars: constants, inputs, and arrays shaped like others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.expr.dtypes import as_dtype, dtype, python_scalar_dtype
from mnn.expr.enums import data_format
from mnn.expr.modes import should_record
from mnn.expr.node import INPUT, Cell, Ref, leaf
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.ops.codec import Codec
from mnn.ops.operands import array_of, check_range
from mnn.ops.samples import integers, normal
from mnn.ops.spec import GradCall, OpSpec, Sample

__all__ = ["clone", "const", "ones_like", "placeholder", "scalar", "zeros_like"]

Array = np.ndarray[Any, Any]


def _same_type(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    return TensorType(types[0].shape, types[0].dtype, types[0].format)


def _no_gradient(call: GradCall) -> list[None]:
    return [None] * len(call.inputs)


_LIKE_SAMPLES = (
    Sample((normal(2, 3),), gradient=False),
    Sample((normal(),), gradient=False),
    Sample((integers(0, 4),), gradient=False),
)

zeros_like = OpSpec(
    "zeros_like",
    ("x",),
    _same_type,
    lambda x: np.zeros(x.shape, x.dtype),
    "create",
    grad=_no_gradient,
    codec=Codec("ZerosLike"),
    samples=_LIKE_SAMPLES,
    doc="zeros of the shape and dtype of x",
)

ones_like = OpSpec(
    "ones_like",
    ("x",),
    _same_type,
    lambda x: np.ones(x.shape, x.dtype),
    "create",
    grad=_no_gradient,
    samples=_LIKE_SAMPLES,
    doc="ones of the shape and dtype of x",
)


def const(
    value_list: Any,
    shape: Sequence[int] | None = None,
    data_format: data_format = data_format.NCHW,
    dtype: Any = dtype.float,
) -> Var:
    """Return a constant Var holding a copy of the data.

    Args:
        value_list: number, nested list, bytes or array.
        shape: sizes; the element count must match. None: the shape of the data.
        data_format: meaning of the dimensions; the data is in logical order for each of them.
        dtype: element type.

    Raises:
        ShapeError: wrong element count.    DTypeError: the data is not made of numbers.
        NumberRangeError: an int that the element type cannot hold.

    Example:
        >>> const([1, 2, 3, 4], [2, 2]).read().tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    wanted = as_dtype(dtype, what="const: dtype")
    if isinstance(value_list, (bytes, bytearray, memoryview)):
        array = np.frombuffer(value_list, wanted)
    else:
        array = array_of(value_list, "const")
        if not isinstance(value_list, (Var, np.ndarray, np.generic)):
            check_range(array, wanted)
    sizes = array.shape if shape is None else _sizes("const", shape)
    if array.size != math.prod(sizes):
        if array.size == 1:
            array = np.broadcast_to(array.reshape(()), sizes)
        else:
            raise ShapeError(
                f"const: found {array.size} elements, expected {math.prod(sizes)} for shape "
                f"{list(sizes)}. Check the shape or the data."
            )
    return _fresh(array.astype(wanted).reshape(sizes), data_format)


def scalar(value: bool | int | float, dtype: Any = None) -> Var:
    """Return a constant without dimensions.

    Args:
        value: a number; int gives int32 (int64 when needed), float float32, bool bool.
        dtype: element type instead of the default.
    """
    if isinstance(value, np.generic):
        wanted = value.dtype if dtype is None else as_dtype(dtype)
    elif isinstance(value, (bool, int, float, complex)):
        wanted = python_scalar_dtype(value) if dtype is None else as_dtype(dtype)
    else:
        raise DTypeError(f"scalar: found {type(value).__name__}, expected one number.")
    return _fresh(np.array(value, wanted), data_format.NCHW)


def placeholder(
    shape: Sequence[int] = (),
    format: data_format = data_format.NCHW,
    dtype: Any = dtype.float,
) -> Var:
    """Return an input whose data is supplied later with `write`.

    Args:
        shape: sizes; -1 where any size is allowed.
        format: meaning of the dimensions.
        dtype: element type.

    Raises:
        ShapeError: a size is below -1.
    """
    wanted = as_dtype(dtype, what="placeholder: dtype")
    sizes: list[Dim] = []
    for size in shape or ():
        if size < -1:
            raise ShapeError(f"placeholder: found {list(shape or ())}, expected sizes >= -1.")
        sizes.append(fresh("input") if size == -1 else int(size))
    type = TensorType(tuple(sizes), wanted, data_format(format))
    return var_of(Ref(leaf(INPUT, type, Cell(None)), 0))


def clone(x: Any, deepCopy: bool = False) -> Var:
    """Return another handle on the same value, or (`deepCopy`) a constant with its own data."""
    from mnn.ops.operands import as_var

    x = as_var(x, "clone")
    if deepCopy:
        return Var(x._array().copy(), x.data_format)
    if x._ref is None:
        return Var(x._array(), x.data_format)
    return var_of(x._ref, x._value)


def _sizes(what: str, shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if isinstance(shape, int) else tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes):
        raise ShapeError(f"{what}: found shape {list(sizes)}, expected sizes >= 0.")
    return sizes


def _fresh(array: Array, format: data_format) -> Var:
    """Return a Var on memory nobody else holds, as a leaf while recording."""
    var = Var(array, data_format(format))
    if should_record():
        capture(var)
    return var
