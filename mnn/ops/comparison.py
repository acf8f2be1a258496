"""Comparisons, logic, bits and selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.codec import Codec, binary_codec
from mnn.ops.elementwise import (
    BITWISE,
    COMPARISON,
    LOGICAL,
    SHIFT,
    Elementwise,
    broadcast_shapes,
    elementwise,
    fit_gradient,
    known_value,
    promote,
    unify_operands,
)
from mnn.ops.operands import as_var
from mnn.ops.samples import (
    binary_samples,
    incompatible_shapes,
    integers,
    normal,
    text_operand,
    unary_samples,
)
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample

__all__ = [
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
    "select",
]

Array = np.ndarray[Any, Any]
_BAD = (incompatible_shapes(2), text_operand(2))


def _comparison(
    name: str, member: str, function: Callable[..., Any], compare: str, onnx: str | None, doc: str
) -> Elementwise:
    return elementwise(
        name,
        "x y",
        body=lambda k, x, y: k.compare(compare, x, y),
        reference=function,
        rule=COMPARISON,
        codec=binary_codec(member),
        onnx=onnx,
        samples=(
            *binary_samples(gradient=False),
            Sample((integers(5), integers(5, seed=1)), gradient=False, oracle=function),
        ),
        bad=_BAD,
        doc=doc,
    )


equal = _comparison("equal", "EQUAL", np.equal, "eq", "Equal", "x == y as bool")
not_equal = _comparison("not_equal", "NOTEQUAL", np.not_equal, "ne", None, "x != y as bool")
less = _comparison("less", "LESS", np.less, "lt", "Less", "x < y as bool")
less_equal = _comparison(
    "less_equal", "LESS_EQUAL", np.less_equal, "le", "LessOrEqual", "x <= y as bool"
)
greater = _comparison("greater", "GREATER", np.greater, "gt", "Greater", "x > y as bool")
greater_equal = _comparison(
    "greater_equal", "GREATER_EQUAL", np.greater_equal, "ge", "GreaterOrEqual", "x >= y as bool"
)


def _logical(name: str, function: Callable[..., Any], codec: Codec | None, doc: str) -> Elementwise:
    return elementwise(
        name,
        "x y",
        body=lambda k, x, y: k.logical(name, x, y),
        reference=function,
        rule=LOGICAL,
        codec=codec,
        samples=(
            Sample(
                (integers(6, low=0, high=2), integers(6, seed=1, low=0, high=2)), oracle=function
            ),
            Sample((normal(2, 1) > 0, normal(3) > 0), oracle=function),
            Sample((np.zeros((0, 2), bool), True)),
        ),
        bad=_BAD,
        doc=doc,
    )


logical_and = _logical("logical_and", np.logical_and, None, "true where both are nonzero")
logical_or = _logical(
    "logical_or", np.logical_or, binary_codec("LOGICALOR"), "true where either is nonzero"
)
logical_xor = _logical(
    "logical_xor", np.logical_xor, binary_codec("LOGICALXOR"), "true where exactly one is nonzero"
)

logical_not = elementwise(
    "logical_not",
    "x",
    body=lambda k, x: k.compare("eq", x, 0),
    reference=np.logical_not,
    rule=LOGICAL,
    onnx="Not",
    samples=unary_samples(gradient=False),
    bad=(text_operand(1),),
    doc="true where x is zero",
)


def _bits(name: str, member: str, function: Callable[..., Any], doc: str) -> Elementwise:
    return elementwise(
        name,
        "x y",
        body=lambda k, x, y: k.bits(name, x, y),
        reference=function,
        rule=BITWISE,
        codec=binary_codec(member),
        samples=(
            Sample((integers(2, 3), integers(3, seed=1)), oracle=function),
            Sample((integers(4, dtype=np.uint8, low=0), integers(4, dtype=np.uint8, low=0))),
            Sample((integers(0), integers(0))),
            Sample((integers(4, dtype=np.int64), 3)),
        ),
        bad=(*_BAD, BadCall("float operands", (normal(3), normal(3)), DTypeError)),
        doc=doc,
    )


bitwise_and = _bits("bitwise_and", "BITWISE_AND", np.bitwise_and, "bits set in both")
bitwise_or = _bits("bitwise_or", "BITWISE_OR", np.bitwise_or, "bits set in either")
bitwise_xor = _bits("bitwise_xor", "BITWISE_XOR", np.bitwise_xor, "bits set in exactly one")


def _shift(name: str, member: str, function: Callable[..., Any], doc: str) -> Elementwise:
    return elementwise(
        name,
        "x y",
        body=lambda k, x, y: k.bits(name, x, y),
        reference=function,
        rule=SHIFT,
        codec=binary_codec(member),
        samples=(
            Sample((integers(2, 3), integers(3, low=0)), oracle=function),
            Sample((integers(4, dtype=np.uint8, low=0), 1)),
            Sample((integers(0), integers(0))),
        ),
        bad=(*_BAD, BadCall("float operands", (normal(3), normal(3)), DTypeError)),
        doc=doc,
    )


left_shift = _shift("left_shift", "LEFTSHIFT", np.left_shift, "x with its bits moved up by y")
right_shift = _shift(
    "right_shift", "RIGHTSHIFT", np.right_shift, "x with its bits moved down by y, keeping the sign"
)

bitwise_not = elementwise(
    "bitwise_not",
    "x",
    body=lambda k, x: k.bits("bitwise_not", x),
    reference=np.invert,
    rule=BITWISE,
    samples=(
        Sample((integers(2, 3),), oracle=np.invert),
        Sample((normal(4) > 0,), oracle=np.invert),
        Sample((integers(0, dtype=np.uint8, low=0),)),
    ),
    bad=(BadCall("float operand", (normal(3),), DTypeError),),
    doc="x with every bit (or truth value) flipped",
)


def _select_types(types: Sequence[TensorType]) -> TensorType:
    shape = broadcast_shapes("select", [each.shape for each in types])
    leading = max(types, key=lambda each: -1 if each.rank is None else each.rank)
    return TensorType(shape, promote("select", [each.dtype for each in types[1:]]), leading.format)


def _select_reference(cond: Array, x: Array, y: Array) -> Array:
    dtype = promote("select", [x.dtype, y.dtype])
    x, y = x.astype(dtype, copy=False), y.astype(dtype, copy=False)
    return np.where(cond if cond.dtype == np.bool_ else cond != 0, x, y)


def _infer_select(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    return known_value(_select_reference, types, attributes, _select_types(types))


def _grad_select(call: GradCall) -> list[Var | None]:
    from mnn.ops.create import zeros_like

    cond, x, y = (call.input(index) for index in range(3))
    zero = zeros_like(call.grad)
    return [
        None,
        fit_gradient(select(cond, call.grad, zero), x),
        fit_gradient(select(cond, zero, call.grad), y),
    ]


_select = OpSpec(
    "select",
    ("cond", "x", "y"),
    _infer_select,
    _select_reference,
    "elementwise",
    grad=_grad_select,
    body=lambda k, cond, x, y: k.pick(cond, x, y),
    codec=Codec("Select"),
    onnx="Where",
    samples=(
        Sample((normal(2, 3) > 0, normal(2, 3), normal(2, 3, seed=1)), oracle=np.where),
        Sample((np.array([1, 0, 1], np.int32), normal(2, 1), normal(3, seed=1)), oracle=np.where),
        Sample((normal(0) > 0, normal(), normal(seed=1)), gradient=False),
        Sample((normal(3) > 0, integers(3), normal(3, dtype=np.float64)), gradient=False),
    ),
    bad=(
        incompatible_shapes(3),
        text_operand(3),
    ),
    doc="x where cond is true (nonzero), y elsewhere",
)


def select(cond: Any, x: Any, y: Any) -> Var:
    """Return x where cond is true, y elsewhere; all three broadcast.

    Args:
        cond: bools or numbers (nonzero is true).
        x, y: values; Python numbers take the dtype of the other.
    """
    x, y = unify_operands("select", [x, y])
    result: Var = _select(as_var(cond, "select"), x, y)
    return result
