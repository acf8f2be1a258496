"""Functions of one array: powers, exponentials, logarithms, rounding, sigmoid and friends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.ops.codec import Codec, unary_codec
from mnn.ops.comparison import select
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import (
    FLOAT,
    ORDERED,
    POWER,
    REAL_FLOAT,
    DTypeRule,
    Elementwise,
    elementwise,
)
from mnn.ops.reference import special
from mnn.ops.samples import integers, normal, positive, text_operand, unary_samples, uniform
from mnn.ops.spec import Sample

__all__ = [
    "abs",
    "absolute",
    "cbrt",
    "ceil",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "gelu",
    "gelu_standard",
    "hardswish",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "log2",
    "log10",
    "reciprocal",
    "rint",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "silu",
    "softplus",
    "softsign",
    "sqrt",
    "square",
    "trunc",
]

Array = np.ndarray[Any, Any]
_TWO_OVER_SQRT_PI = float(2.0 / np.sqrt(np.pi))
_BOOL: np.dtype[Any] = np.dtype(np.bool_)


def _unary(
    name: str,
    reference: Callable[..., Any],
    body: Callable[..., Any],
    grad: Callable[..., Any] | None,
    doc: str,
    *,
    rule: DTypeRule = FLOAT,
    member: str = "",
    codec: Codec | None = None,
    onnx: str | None = None,
    make: Callable[..., Array] = normal,
    gradient: bool = True,
    oracle: Callable[..., Any] | None = None,
) -> Elementwise:
    samples = unary_samples(make, gradient=gradient)
    if oracle is not None:
        samples = (*samples, Sample((make(3, 3, seed=5),), gradient=False, oracle=oracle))
    return elementwise(
        name,
        "x",
        reference=reference,
        rule=rule,
        body=body,
        grad=grad,
        codec=unary_codec(member) if member else codec,
        onnx=onnx,
        samples=samples,
        bad=(text_operand(1),),
        doc=doc,
    )


def _zero_gradient(g: Any, x: Any, y: Any) -> None:
    return None


abs = _unary(
    "abs",
    np.abs,
    lambda k, x: k.abs(x),
    lambda g, x, y: g * sign(x),
    "|x|",
    rule=DTypeRule("biufc", "numbers", real=True),
    member="ABS",
    onnx="Abs",
)
absolute = abs

sign: Elementwise = _unary(
    "sign",
    np.sign,
    lambda k, x: k.sign(x),
    _zero_gradient,
    "-1, 0 or 1 by the sign of x",
    rule=DTypeRule("iuf", "real numbers (not bool)"),
    member="SIGN",
    onnx="Sign",
    gradient=False,
)

square = _unary(
    "square",
    np.square,
    lambda k, x: k.mul(x, x),
    lambda g, x, y: g * 2 * x,
    "x * x",
    rule=POWER,
    member="SQUARE",
)


def _keep_integers(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def rounded(x: Array) -> Array:
        return x.copy() if x.dtype.kind in "biu" else function(x)

    return rounded


def _half_away(x: Array) -> Array:
    # trunc(x + 0.5) alone is wrong for 0.49999997 and for odd numbers beyond 2**23.
    floor_part = np.floor(np.abs(x))
    up = np.abs(x) - floor_part >= 0.5
    result: Array = np.copysign(floor_part + up, x).astype(x.dtype)
    return result


def _rounding(
    name: str, function: Callable[[Array], Array], member: str, onnx: str | None, doc: str
) -> Elementwise:
    return elementwise(
        name,
        "x",
        reference=_keep_integers(function),
        rule=ORDERED,
        body=lambda k, x: k.round(name, x),
        grad=_zero_gradient,
        codec=unary_codec(member) if member else None,
        onnx=onnx,
        samples=(
            *unary_samples(gradient=False),
            Sample(
                (np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 8388609.0], np.float32),),
                gradient=False,
            ),
            Sample((integers(4),), gradient=False),
        ),
        bad=(text_operand(1),),
        doc=doc,
    )


floor = _rounding("floor", np.floor, "FLOOR", "Floor", "largest integer not above x")
ceil = _rounding("ceil", np.ceil, "CEIL", "Ceil", "smallest integer not below x")
trunc = _rounding("trunc", np.trunc, "", None, "x without its fraction")
round = _rounding("round", _half_away, "ROUND", None, "nearest integer, halves away from zero")
rint = _rounding("rint", np.rint, "", "Round", "nearest integer, halves to even")

sqrt = _unary(
    "sqrt",
    np.sqrt,
    lambda k, x: k.sqrt(x),
    lambda g, x, y: g * 0.5 / y,
    "square root",
    member="SQRT",
    onnx="Sqrt",
    make=positive,
)
rsqrt = _unary(
    "rsqrt",
    lambda x: 1 / np.sqrt(x),
    lambda k, x: k.div(k.const(1.0), k.sqrt(x)),
    lambda g, x, y: g * -0.5 * y / x,
    "1 / sqrt(x)",
    member="RSQRT",
    make=positive,
)
cbrt = _unary(
    "cbrt",
    np.cbrt,
    lambda k, x: k.cbrt(x),
    lambda g, x, y: g / (3 * y * y),
    "cube root",
    rule=REAL_FLOAT,
    make=positive,
)
reciprocal = _unary(
    "reciprocal",
    np.reciprocal,
    lambda k, x: k.div(k.const(1.0), x),
    lambda g, x, y: -g * y * y,
    "1 / x",
    member="RECIPROCAL",
    onnx="Reciprocal",
    make=positive,
)
exp = _unary(
    "exp",
    np.exp,
    lambda k, x: k.exp(x),
    lambda g, x, y: g * y,
    "e ** x",
    member="EXP",
    onnx="Exp",
)
exp2 = _unary(
    "exp2",
    np.exp2,
    lambda k, x: k.exp2(x),
    lambda g, x, y: g * y * float(np.log(2.0)),
    "2 ** x",
)
expm1 = _unary(
    "expm1",
    np.expm1,
    lambda k, x: k.expm1(x),
    lambda g, x, y: g * (y + 1),
    "e ** x - 1, exact near zero",
    member="EXPM1",
)
log = _unary(
    "log",
    np.log,
    lambda k, x: k.log(x),
    lambda g, x, y: g / x,
    "natural logarithm",
    member="LOG",
    onnx="Log",
    make=positive,
)
log1p = _unary(
    "log1p",
    np.log1p,
    lambda k, x: k.log1p(x),
    lambda g, x, y: g / (1 + x),
    "log(1 + x), exact near zero",
    member="LOG1P",
    make=positive,
)
log2 = _unary(
    "log2",
    np.log2,
    lambda k, x: k.log2(x),
    lambda g, x, y: g / (x * float(np.log(2.0))),
    "logarithm to base 2",
    make=positive,
)
log10 = _unary(
    "log10",
    np.log10,
    lambda k, x: k.log10(x),
    lambda g, x, y: g / (x * float(np.log(10.0))),
    "logarithm to base 10",
    make=positive,
)

erf = _unary(
    "erf",
    special.erf,
    lambda k, x: k.erf(x),
    lambda g, x, y: g * _TWO_OVER_SQRT_PI * exp(-x * x),
    "error function",
    rule=REAL_FLOAT,
    member="ERF",
    onnx="Erf",
)
erfc = _unary(
    "erfc",
    special.erfc,
    lambda k, x: k.erfc(x),
    lambda g, x, y: -g * _TWO_OVER_SQRT_PI * exp(-x * x),
    "1 - erf(x)",
    rule=REAL_FLOAT,
    member="ERFC",
)


def _fraction(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    return (uniform(*shape, seed=seed) * 1.8 - 0.9).astype(dtype)


erfinv = _unary(
    "erfinv",
    special.erfinv,
    lambda k, x: k.erfinv(x),
    lambda g, x, y: g / _TWO_OVER_SQRT_PI * exp(y * y),
    "inverse of erf",
    rule=REAL_FLOAT,
    member="ERFINV",
    make=_fraction,
)
sigmoid = _unary(
    "sigmoid",
    special.sigmoid,
    lambda k, x: k.sigmoid(x),
    lambda g, x, y: g * y * (1 - y),
    "1 / (1 + exp(-x))",
    rule=REAL_FLOAT,
    member="SIGMOID",
    onnx="Sigmoid",
)
softplus = _unary(
    "softplus",
    special.softplus,
    lambda k, x: k.softplus(x),
    lambda g, x, y: g * sigmoid(x),
    "log(1 + exp(x))",
    rule=REAL_FLOAT,
    member="BNLL",
    onnx="Softplus",
)
softsign = _unary(
    "softsign",
    lambda x: x / (1 + np.abs(x)),
    lambda k, x: k.div(x, k.add(k.const(1.0), k.abs(x))),
    lambda g, x, y: g / square(1 + absolute(x)),
    "x / (1 + |x|)",
    rule=REAL_FLOAT,
    onnx="Softsign",
)


def _silu(x: Array) -> Array:
    with np.errstate(all="ignore"):
        result: Array = x * special.sigmoid(x)
    return np.where(x == -np.inf, x.dtype.type(-0.0), result)


silu = _unary(
    "silu",
    _silu,
    lambda k, x: k.silu(x),
    lambda g, x, y: g * sigmoid(x) * (1 + x * (1 - sigmoid(x))),
    "x * sigmoid(x)",
    rule=REAL_FLOAT,
    member="SILU",
)
hardswish = _unary(
    "hardswish",
    lambda x: x * np.clip(x + 3, 0, 6) / 6,
    lambda k, x: k.div(
        k.mul(x, k.minimum(k.maximum(k.add(x, k.const(3.0)), k.const(0.0)), k.const(6.0))),
        k.const(6.0),
    ),
    lambda g, x, y: (
        g * select(x > 3, zeros_like(x) + 1, select(x < -3, zeros_like(x), x / 3 + 0.5))
    ),
    "x * clip(x + 3, 0, 6) / 6",
    rule=REAL_FLOAT,
    member="HARDSWISH",
    onnx="HardSwish",
)
gelu_standard = _unary(
    "gelu_standard",
    special.gelu,
    lambda k, x: k.gelu(x),
    lambda g, x, y: (
        g
        * (
            0.5 * erfc(x * -0.7071067811865476)
            + x * exp(x * x * -0.5) * float(1 / np.sqrt(2 * np.pi))
        )
    ),
    "x * Phi(x), the Gaussian error linear unit",
    rule=REAL_FLOAT,
    member="GELU_STANDARD",
    onnx="Gelu",
)


def _gelu_gradient(g: Any, x: Any, y: Any) -> Any:
    from mnn.ops.trigonometry import tanh

    scale = float(np.sqrt(2 / np.pi))
    t = tanh(scale * (x + 0.044715 * x * x * x))
    inner = scale * (1 + 3 * 0.044715 * x * x)
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)


gelu = _unary(
    "gelu",
    special.gelu_tanh,
    lambda k, x: k.gelu_tanh(x),
    _gelu_gradient,
    "tanh approximation of the Gaussian error linear unit",
    rule=REAL_FLOAT,
    member="GELU",
)

_TEST = DTypeRule("biufc", "numbers", result=_BOOL)

isnan = _unary(
    "isnan", np.isnan, lambda k, x: k.compare("ne", x, x), None, "true where x is NaN",
    rule=_TEST, onnx="IsNaN", gradient=False, oracle=np.isnan,
)  # fmt: skip
isinf = _unary(
    "isinf", np.isinf, lambda k, x: k.is_infinite(x), None, "true where x is infinite",
    rule=_TEST, onnx="IsInf", gradient=False, oracle=np.isinf,
)  # fmt: skip
isfinite = _unary(
    "isfinite", np.isfinite, lambda k, x: k.is_finite(x), None,
    "true where x is neither infinite nor NaN",
    rule=_TEST, gradient=False, oracle=np.isfinite,
)  # fmt: skip
