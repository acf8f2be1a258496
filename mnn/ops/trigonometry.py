"""Trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.ops.codec import unary_codec
from mnn.ops.elementwise import FLOAT, Elementwise, elementwise
from mnn.ops.samples import normal, text_operand, unary_samples, uniform
from mnn.ops.unary import rsqrt, square

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "sin",
    "sinh",
    "tan",
    "tanh",
]

Array = np.ndarray[Any, Any]


def _fraction(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    return (uniform(*shape, seed=seed) * 1.8 - 0.9).astype(dtype)


def _above_one(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    return (uniform(*shape, seed=seed) * 2.5 + 1.5).astype(dtype)


def _function(
    name: str,
    reference: Callable[..., Any],
    grad: Callable[..., Any],
    doc: str,
    make: Callable[..., Array] = normal,
) -> Elementwise:
    return elementwise(
        name,
        "x",
        reference=reference,
        rule=FLOAT,
        body=lambda k, x: k.math(name, x),
        grad=grad,
        codec=unary_codec(name.upper()),
        onnx=name.capitalize(),
        samples=unary_samples(make),
        bad=(text_operand(1),),
        doc=doc,
    )


sin = _function("sin", np.sin, lambda g, x, y: g * cos(x), "sine of x in radians")
cos: Elementwise = _function("cos", np.cos, lambda g, x, y: -g * sin(x), "cosine of x in radians")
tan = _function("tan", np.tan, lambda g, x, y: g * (1 + square(y)), "tangent of x", _fraction)
asin = _function(
    "asin", np.arcsin, lambda g, x, y: g * rsqrt(1 - square(x)), "angle whose sine is x", _fraction
)
acos = _function(
    "acos",
    np.arccos,
    lambda g, x, y: -g * rsqrt(1 - square(x)),
    "angle whose cosine is x",
    _fraction,
)
atan = _function("atan", np.arctan, lambda g, x, y: g / (1 + square(x)), "angle whose tangent is x")
sinh = _function("sinh", np.sinh, lambda g, x, y: g * cosh(x), "hyperbolic sine")
cosh: Elementwise = _function("cosh", np.cosh, lambda g, x, y: g * sinh(x), "hyperbolic cosine")
tanh = _function("tanh", np.tanh, lambda g, x, y: g * (1 - square(y)), "hyperbolic tangent")
asinh = _function(
    "asinh", np.arcsinh, lambda g, x, y: g * rsqrt(1 + square(x)), "inverse hyperbolic sine"
)
acosh = _function(
    "acosh",
    np.arccosh,
    lambda g, x, y: g * rsqrt(square(x) - 1),
    "inverse hyperbolic cosine",
    _above_one,
)
atanh = _function(
    "atanh",
    np.arctanh,
    lambda g, x, y: g / (1 - square(x)),
    "inverse hyperbolic tangent",
    _fraction,
)
