"""Arithmetic on pairs of arrays: `+ - * / // % **` and relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.ops.codec import binary_codec
from mnn.ops.elementwise import ARITHMETIC, FLOAT, NUMERIC, ORDERED, elementwise
from mnn.ops.samples import binary_samples, incompatible_shapes, positive, text_operand

__all__ = ["add", "divide", "maximum", "minimum", "multiply", "subtract"]

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
    rule=ORDERED,
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
    rule=ORDERED,
    grad=_pick_gradient,
    codec=binary_codec("MINIMUM"),
    onnx="Min",
    samples=binary_samples(),
    bad=_BAD,
    doc="the smaller of x and y; NaN if either is NaN",
)
