"""Arithmetic on pairs of arrays: `+ - * / // % **` and relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import DTypeError, ShapeError
from mnn.ops.codec import binary_codec, unary_codec
from mnn.ops.elementwise import (
    ARITHMETIC,
    DIVISION,
    FLOAT,
    NUMERIC,
    POWER,
    REAL_FLOAT,
    elementwise,
)
from mnn.ops.samples import (
    binary_samples,
    incompatible_shapes,
    integers,
    normal,
    positive,
    text_operand,
    unary_samples,
)
from mnn.ops.spec import BadCall, Sample

__all__ = [
    "add",
    "atan2",
    "divide",
    "divmod_",
    "floordiv",
    "floormod",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "positive_",
    "pow",
    "squared_difference",
    "subtract",
    "truncated_remainder",
]

Array = np.ndarray[Any, Any]

_BAD = (incompatible_shapes(2), text_operand(2))

add = elementwise(
    "add",
    "x y",
    body=lambda k, x, y: k.add(x, y),
    reference=np.add,
    rule=NUMERIC,
    grad=lambda g, x, y, z: (g, g),
    codec=binary_codec("ADD"),
    onnx="Add",
    samples=binary_samples(),
    bad=_BAD,
    doc="x + y",
)

subtract = elementwise(
    "subtract",
    "x y",
    body=lambda k, x, y: k.sub(x, y),
    reference=np.subtract,
    rule=ARITHMETIC,
    grad=lambda g, x, y, z: (g, -g),
    codec=binary_codec("SUB"),
    onnx="Sub",
    samples=binary_samples(),
    bad=_BAD,
    doc="x - y",
)

multiply = elementwise(
    "multiply",
    "x y",
    body=lambda k, x, y: k.mul(x, y),
    reference=np.multiply,
    rule=NUMERIC,
    grad=lambda g, x, y, z: (g * y, g * x),
    codec=binary_codec("MUL"),
    onnx="Mul",
    samples=binary_samples(),
    bad=_BAD,
    doc="x * y",
)

divide = elementwise(
    "divide",
    "x y",
    body=lambda k, x, y: k.div(x, y),
    reference=np.true_divide,
    rule=FLOAT,
    grad=lambda g, x, y, z: (g / y, -g * z / y),
    codec=binary_codec("REALDIV"),
    onnx="Div",
    samples=binary_samples(second=positive),
    bad=_BAD,
    doc="x / y, a float result for integers too",
)


def _pick_gradient(g: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """Route the gradient to the operand that was picked; halve it on ties, like the subgradient."""
    first, second = (x == z) * 1.0, (y == z) * 1.0
    share = g / (first + second)
    return share * first, share * second


maximum = elementwise(
    "maximum",
    "x y",
    body=lambda k, x, y: k.maximum(x, y),
    reference=np.maximum,
    rule=NUMERIC,
    grad=_pick_gradient,
    codec=binary_codec("MAXIMUM"),
    onnx="Max",
    samples=binary_samples(),
    bad=_BAD,
    doc="the larger of x and y; NaN if either is NaN",
)

minimum = elementwise(
    "minimum",
    "x y",
    body=lambda k, x, y: k.minimum(x, y),
    reference=np.minimum,
    rule=NUMERIC,
    grad=_pick_gradient,
    codec=binary_codec("MINIMUM"),
    onnx="Min",
    samples=binary_samples(),
    bad=_BAD,
    doc="the smaller of x and y; NaN if either is NaN",
)


negative = elementwise(
    "negative",
    "x",
    body=lambda k, x: k.neg(x),
    reference=np.negative,
    rule=ARITHMETIC,
    grad=lambda g, x, y: -g,
    codec=unary_codec("NEG"),
    onnx="Neg",
    samples=unary_samples(),
    bad=(BadCall("bool operand", (np.array([True]),), DTypeError), text_operand(1)),
    doc="-x",
)

positive_ = elementwise(
    "positive",
    "x",
    body=lambda k, x: x,
    reference=np.positive,
    rule=ARITHMETIC,
    grad=lambda g, x, y: g,
    samples=unary_samples(),
    bad=(BadCall("bool operand", (np.array([True]),), DTypeError),),
    doc="+x",
)


def _pow_gradient(g: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """d(x**y): y*x**(y-1) and x**y*log(x); the latter is 0 where x is 0, its limit for y > 0."""
    from mnn.ops.comparison import select
    from mnn.ops.create import zeros_like
    from mnn.ops.unary import log

    nonzero = x != 0
    logarithm = log(select(nonzero, x, 1.0))
    slope = y * pow(x, y - 1)
    return g * select(y != 0, slope, zeros_like(slope)), g * z * logarithm


def _power(x: Array, y: Array) -> Array:
    if x.dtype.kind in "iu" and y.size and bool((y < 0).any()):
        raise ShapeError(
            "pow: found an integer base with a negative integer exponent, whose result is no "
            "integer. Convert the base to float first."
        )
    result: Array = np.power(x, y)
    return result


pow = elementwise(
    "pow",
    "x y",
    body=lambda k, x, y: k.pow(x, y),
    reference=_power,
    rule=POWER,
    grad=_pow_gradient,
    codec=binary_codec("POW"),
    onnx="Pow",
    samples=(
        *binary_samples(first=positive),
        Sample((integers(3, 3, low=0), 2), gradient=False),
        Sample((normal(4), 2.0)),
    ),
    bad=(*_BAD, BadCall("negative integer power", (integers(3), -1), ShapeError)),
    doc="x ** y",
)


def _floor_divide(x: Array, y: Array) -> Array:
    result: Array = np.floor_divide(x, y)
    return result


floordiv = elementwise(
    "floordiv",
    "x y",
    body=lambda k, x, y: k.floordiv(x, y),
    reference=_floor_divide,
    rule=DIVISION,
    grad=lambda g, x, y, z: (None, None),
    codec=binary_codec("FLOORDIV"),
    samples=(
        *binary_samples(second=positive, gradient=False),
        Sample((integers(3, 4), integers(4, low=1)), gradient=False),
    ),
    bad=_BAD,
    doc="floor(x / y)",
)

mod = elementwise(
    "mod",
    "x y",
    body=lambda k, x, y: k.floormod(x, y),
    reference=np.remainder,
    rule=DIVISION,
    grad=lambda g, x, y, z: (g, -g * floordiv(x, y)),
    codec=binary_codec("FLOORMOD"),
    samples=(
        *binary_samples(second=positive),
        Sample((integers(3, 4), integers(4, low=1)), gradient=False),
    ),
    bad=_BAD,
    doc="remainder of floor division, with the sign of y",
)


def floormod(x: Any, y: Any) -> Any:
    """Return the remainder of floor division, with the sign of `y`; the same as `mod`."""
    return mod(x, y)


truncated_remainder = elementwise(
    "truncated_remainder",
    "x y",
    body=lambda k, x, y: k.fmod(x, y),
    reference=np.fmod,
    rule=DIVISION,
    grad=lambda g, x, y, z: (g, -(g * (x - z) / y)),
    codec=binary_codec("MOD"),
    samples=(
        *binary_samples(second=positive),
        Sample((integers(3, 4), integers(4, low=1)), gradient=False),
    ),
    bad=_BAD,
    doc="remainder of truncated division, with the sign of x (C's fmod)",
)

squared_difference = elementwise(
    "squared_difference",
    "x y",
    body=lambda k, x, y: k.mul(k.sub(x, y), k.sub(x, y)),
    reference=lambda x, y: np.square(x - y),
    rule=ARITHMETIC,
    grad=lambda g, x, y, z: (g * 2 * (x - y), g * 2 * (y - x)),
    codec=binary_codec("SquaredDifference"),
    samples=binary_samples(),
    bad=_BAD,
    doc="(x - y) ** 2",
)

atan2 = elementwise(
    "atan2",
    "x y",
    body=lambda k, x, y: k.atan2(x, y),
    reference=np.arctan2,
    rule=REAL_FLOAT,
    grad=lambda g, x, y, z: (g * y / (x * x + y * y), -g * x / (x * x + y * y)),
    codec=binary_codec("ATAN2"),
    samples=binary_samples(second=positive),
    bad=_BAD,
    doc="angle of the point (y, x), in radians in [-pi, pi]",
)


def divmod_(x: Any, y: Any) -> tuple[Any, Any]:
    """Return `(x // y, x % y)`."""
    return floordiv(x, y), mod(x, y)
