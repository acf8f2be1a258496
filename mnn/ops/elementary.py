"""Elementwise functions of signs, neighbours and parts of numbers, and of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.expr.dtypes import float_result
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.comparison import select
from mnn.ops.elementwise import (
    NUMERIC,
    POWER,
    REAL_FLOAT,
    DTypeRule,
    Elementwise,
    broadcast_shapes,
    elementwise,
    fit_gradient,
)
from mnn.ops.samples import (
    binary_samples,
    incompatible_shapes,
    integers,
    normal,
    special_values,
    text_operand,
    unary_samples,
)
from mnn.ops.spec import BadCall, GradCall, OpSpec, Sample
from mnn.ops.unary import exp, exp2

__all__ = [
    "bitwise_count",
    "conjugate",
    "copysign",
    "fmax",
    "fmin",
    "frexp",
    "gcd",
    "heaviside",
    "imaginary",
    "lcm",
    "ldexp",
    "logaddexp",
    "logaddexp2",
    "nan_to_num",
    "nextafter",
    "real_part",
    "signbit",
    "spacing",
]

Array = np.ndarray[Any, Any]
_BOOL: np.dtype[Any] = np.dtype(np.bool_)
_INT: np.dtype[Any] = np.dtype(np.int32)
_BAD = (incompatible_shapes(2), text_operand(2))
_REAL_PART = DTypeRule("biufc", "numbers", real=True)
_WHOLE = DTypeRule("iu", "integers")


def _no_gradients(g: Any, x: Any, y: Any, z: Any) -> tuple[None, None]:
    return None, None


# --- signs ---------------------------------------------------------------------------------------

copysign = elementwise(
    "copysign",
    "x y",
    body=lambda k, x, y: k.copysign(x, y),
    reference=np.copysign,
    rule=REAL_FLOAT,
    grad=lambda g, x, y, z: (select(signbit(x) == signbit(y), g, -g), None),
    samples=(
        Sample((normal(3, 4), normal(3, 4, seed=1)), gradient=(0,)),
        *binary_samples(gradient=False),
    ),
    bad=_BAD,
    doc="x with the sign of y",
)


def _signbit_body(k: Any, x: Any) -> Any:
    return k.negative(x) if k.floating else k.compare("lt", x, 0)


signbit: Elementwise = elementwise(
    "signbit",
    "x",
    body=_signbit_body,
    reference=np.signbit,
    rule=DTypeRule("biuf", "real numbers", result=_BOOL),
    samples=(
        *unary_samples(gradient=False),
        Sample((integers(6),), gradient=False, oracle=np.signbit),
        Sample((normal(4) > 0,), gradient=False),
    ),
    bad=(text_operand(1),),
    doc="true where the sign of x is negative, also of -0.0",
)


def _heaviside_body(k: Any, x: Any, y: Any) -> Any:
    step = k.pick(k.compare("lt", x, 0.0), k.const(0.0), k.const(1.0))
    step = k.pick(k.compare("eq", x, 0.0), y, step)
    return k.pick(k.compare("ne", x, x), x, step)


heaviside = elementwise(
    "heaviside",
    "x y",
    body=_heaviside_body,
    reference=np.heaviside,
    rule=REAL_FLOAT,
    grad=lambda g, x, y, z: (None, select(x == 0, g, 0.0)),
    samples=(
        Sample((np.array([1.0, 0.0, -2.0, 0.0], np.float32), normal(4)), gradient=(1,)),
        *binary_samples(gradient=False),
    ),
    bad=_BAD,
    doc="0 where x is negative, y where it is 0, 1 where it is positive",
)

# --- extremes without NaN ------------------------------------------------------------------------


def _pick_gradient(g: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """Route the gradient to the operand that was picked; halve it on ties."""
    first, second = (x == z) * 1.0, (y == z) * 1.0
    share = g / (first + second)
    return share * first, share * second


def _present(name: str) -> Callable[..., Any]:
    """Return the body of an extreme that is the other number where one is NaN."""

    def body(k: Any, x: Any, y: Any) -> Any:
        extreme = k.maximum(x, y) if name == "fmax" else k.minimum(x, y)
        if not k.floating:
            return extreme
        found = k.pick(k.compare("ne", y, y), x, extreme)
        return k.pick(k.compare("ne", x, x), y, found)

    return body


fmax = elementwise(
    "fmax",
    "x y",
    body=_present("fmax"),
    reference=np.fmax,
    rule=NUMERIC,
    grad=_pick_gradient,
    samples=(*binary_samples(), Sample((integers(4), integers(4, seed=1)), gradient=False)),
    bad=_BAD,
    doc="the larger of x and y; where one is NaN, the other",
)

fmin = elementwise(
    "fmin",
    "x y",
    body=_present("fmin"),
    reference=np.fmin,
    rule=NUMERIC,
    grad=_pick_gradient,
    samples=(*binary_samples(), Sample((integers(4), integers(4, seed=1)), gradient=False)),
    bad=_BAD,
    doc="the smaller of x and y; where one is NaN, the other",
)

# --- sums of logarithms --------------------------------------------------------------------------


def _logaddexp_body(k: Any, x: Any, y: Any) -> Any:
    top = k.maximum(x, y)
    rest = k.log1p(k.exp(k.neg(k.abs(k.sub(x, y)))))
    # Equal infinities have no difference.
    same = k.compare("eq", x, y)
    return k.add(top, k.pick(same, k.const(float(np.log(2.0))), rest))


logaddexp = elementwise(
    "logaddexp",
    "x y",
    body=_logaddexp_body,
    reference=np.logaddexp,
    rule=REAL_FLOAT,
    grad=lambda g, x, y, z: (g * exp(x - z), g * exp(y - z)),
    samples=binary_samples(),
    bad=_BAD,
    doc="log(exp(x) + exp(y)), without overflow",
)


def _logaddexp2_body(k: Any, x: Any, y: Any) -> Any:
    top = k.maximum(x, y)
    rest = k.log1p(k.exp2(k.neg(k.abs(k.sub(x, y)))))
    rest = k.mul(rest, k.const(float(1.0 / np.log(2.0))))
    same = k.compare("eq", x, y)
    return k.add(top, k.pick(same, k.const(1.0), rest))


logaddexp2 = elementwise(
    "logaddexp2",
    "x y",
    body=_logaddexp2_body,
    reference=np.logaddexp2,
    rule=REAL_FLOAT,
    grad=lambda g, x, y, z: (g * exp2(x - z), g * exp2(y - z)),
    samples=binary_samples(),
    bad=_BAD,
    doc="log2(2**x + 2**y), without overflow",
)

# --- neighbours ----------------------------------------------------------------------------------


def _nextafter_body(k: Any, x: Any, y: Any) -> Any:
    bits = k.integers(x)
    # The bits of floats count up away from zero.
    away = k.compare("lt", x, y)
    grows = k.logical("logical_xor", away, k.compare("lt", x, 0.0))
    up, down = k.integer_op("add", bits, 1), k.integer_op("add", bits, -1)
    stepped = k.floats(k.function.select(grows, up, down))
    one = k.integer_op("or", k.integer_op("and", bits, 0), 1)
    least = k.copysign(k.floats(one), y)
    found = k.pick(k.compare("eq", x, 0.0), least, stepped)
    found = k.pick(k.compare("eq", x, y), y, found)
    return k.pick(k.unordered(x, y), k.add(x, y), found)


nextafter = elementwise(
    "nextafter",
    "x y",
    body=_nextafter_body,
    reference=np.nextafter,
    rule=REAL_FLOAT,
    grad=lambda g, x, y, z: (g, None),
    samples=(
        Sample((normal(3, 4), normal(3, 4, seed=1)), gradient=(0,)),
        *binary_samples(gradient=False),
    ),
    bad=_BAD,
    doc="the float next to x in the direction of y",
)


def _spacing_body(k: Any, x: Any) -> Any:
    magnitude = k.abs(x)
    following = k.floats(k.integer_op("add", k.integers(magnitude), 1))
    step = k.sub(following, magnitude)
    found = k.pick(k.compare("lt", x, 0.0), k.neg(step), step)
    return k.pick(k.is_finite(x), found, k.const(float("nan")))


spacing = elementwise(
    "spacing",
    "x",
    body=_spacing_body,
    reference=np.spacing,
    rule=REAL_FLOAT,
    grad=lambda g, x, y: None,
    samples=unary_samples(gradient=False),
    bad=(text_operand(1),),
    doc="distance from x to the next float away from zero, with the sign of x",
)

# --- parts ---------------------------------------------------------------------------------------


def _infer_ldexp(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    shape = broadcast_shapes("ldexp", [each.shape for each in types])
    return TensorType(shape, float_result(types[0].dtype), types[0].format)


def _ldexp(x: Array, exponent: Array) -> Array:
    wide = float_result(x.dtype)
    # Exponents beyond C's int are beyond every float's.
    limited = np.clip(exponent.astype(np.int64, copy=False), -(2**30), 2**30).astype(np.int32)
    return np.asarray(np.ldexp(x.astype(wide, copy=False), limited)).astype(wide, copy=False)


def _grad_ldexp(call: GradCall) -> list[Var | None]:
    return [fit_gradient(ldexp(call.grad, call.input(1)), call.input(0)), None]


ldexp: OpSpec = OpSpec(
    "ldexp",
    ("x", "exponent"),
    _infer_ldexp,
    _ldexp,
    "elementwise",
    grad=_grad_ldexp,
    kinds={"x": "biuf", "exponent": "biu"},
    samples=(
        Sample((normal(2, 3), integers(3)), gradient=(0,)),
        Sample((special_values(), np.array(200, np.int64)), gradient=False),
        Sample((integers(4), integers(4, seed=1)), gradient=False),
        Sample((normal(0), 2), gradient=False),
        Sample((normal(3, dtype=np.float64), np.array(-3, np.int8)), gradient=False),
    ),
    bad=(*_BAD, BadCall("float exponent", (normal(3), normal(3)), TypeError)),
    doc="x * 2**exponent, rounded once",
)


def _infer_frexp(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> list[TensorType]:
    (x,) = types
    return [
        TensorType(x.shape, float_result(x.dtype), x.format),
        TensorType(x.shape, _INT, x.format),
    ]


def _frexp(x: Array) -> tuple[Array, Array]:
    mantissa, exponent = np.frexp(x.astype(float_result(x.dtype), copy=False))
    return np.asarray(mantissa), np.asarray(exponent).astype(_INT, copy=False)


def _grad_frexp(call: GradCall) -> list[Var | None]:
    gradient = call.grads[0]
    if gradient is None:
        return [None]
    return [fit_gradient(ldexp(gradient, -call.outputs[1]), call.input(0))]


frexp: OpSpec = OpSpec(
    "frexp",
    ("x",),
    _infer_frexp,
    _frexp,
    "elementwise",
    grad=_grad_frexp,
    kinds={"x": "biuf"},
    samples=(
        Sample((normal(2, 3),)),
        Sample((special_values(),), gradient=False),
        Sample((integers(4),), gradient=False),
        Sample((normal(0, dtype=np.float64),), gradient=False),
    ),
    bad=(text_operand(1),),
    doc="m and int32 e with x = m * 2**e and 0.5 <= |m| < 1",
)


def _complex_samples() -> tuple[Sample, ...]:
    values = (normal(2, 3) + 1j * normal(2, 3, seed=1)).astype(np.complex64)
    return (
        Sample((values,), gradient=False),
        Sample((values.astype(np.complex128),), gradient=False),
        Sample((normal(4),), gradient=False),
        Sample((integers(3),), gradient=False),
        Sample((normal(0, 2),), gradient=False),
    )


real_part = elementwise(
    "real",
    "x",
    body=lambda k, x: x,
    reference=lambda x: np.real(x).copy(),
    rule=_REAL_PART,
    grad=lambda g, x, y: g,
    samples=(*_complex_samples(), Sample((normal(3),))),
    bad=(text_operand(1),),
    doc="the real part of x",
)

imaginary = elementwise(
    "imag",
    "x",
    body=lambda k, x: k.const(0),
    reference=lambda x: np.imag(x).copy(),
    rule=_REAL_PART,
    grad=lambda g, x, y: None,
    samples=_complex_samples(),
    bad=(text_operand(1),),
    doc="the imaginary part of x; 0 for real numbers",
)

conjugate: Elementwise = elementwise(
    "conjugate",
    "x",
    body=lambda k, x: x,
    reference=np.conjugate,
    rule=POWER,
    grad=lambda g, x, y: conjugate(g),
    samples=(*_complex_samples(), Sample((normal(3),))),
    bad=(text_operand(1),),
    doc="the complex conjugate of x",
)


def _nan_to_num_body(
    k: Any, x: Any, nan: float, positive: float | None, negative: float | None
) -> Any:
    if not k.floating:
        return x
    limits = np.finfo(k.dtype)
    high = float(limits.max) if positive is None else positive
    low = float(limits.min) if negative is None else negative
    found = k.pick(k.compare("eq", x, float("inf")), k.const(high), x)
    found = k.pick(k.compare("eq", x, float("-inf")), k.const(low), found)
    return k.pick(k.compare("ne", x, x), k.const(nan), found)


def _nan_to_num_gradient(g: Any, x: Any, y: Any, **attributes: Any) -> Any:
    from mnn.ops.unary import isfinite

    return select(isfinite(x), g, 0.0)


nan_to_num = elementwise(
    "nan_to_num",
    "x",
    body=_nan_to_num_body,
    reference=lambda x, *, nan, positive, negative: np.asarray(
        np.nan_to_num(x, nan=nan, posinf=positive, neginf=negative)
    ),
    rule=NUMERIC,
    attributes={"nan": 0.0, "positive": None, "negative": None},
    grad=_nan_to_num_gradient,
    samples=(
        *unary_samples(),
        Sample(
            (special_values(),), {"nan": 2.0, "positive": 5.0, "negative": -6.0}, gradient=False
        ),
        Sample((integers(4),), gradient=False),
    ),
    bad=(text_operand(1),),
    doc="x with numbers for NaN and the infinities",
)

# --- whole numbers -------------------------------------------------------------------------------


def _divisors(name: str, function: Callable[..., Any], doc: str) -> Elementwise:
    return elementwise(
        name,
        "x y",
        reference=function,
        rule=_WHOLE,
        grad=_no_gradients,
        samples=(
            Sample((integers(3, 4, low=-30, high=31), integers(4, low=-9)), gradient=False),
            Sample((integers(4, dtype=np.uint8, low=0), 6), gradient=False),
            Sample((integers(0), integers(0)), gradient=False),
        ),
        bad=(
            *_BAD,
            BadCall("float operands", (normal(3), normal(3)), TypeError),
            BadCall("bool operands", (np.array([True]), np.array([True])), TypeError),
        ),
        doc=doc,
    )


gcd = _divisors("gcd", np.gcd, "the greatest common divisor of |x| and |y|")
lcm = _divisors("lcm", np.lcm, "the least common multiple of |x| and |y|")


def _count_body(k: Any, x: Any) -> Any:
    magnitude = k.abs(x)
    kind = k.element if k.lanes == 1 else f"v{k.lanes}{k.element}"
    ones = k.function.intrinsic(f"llvm.ctpop.{kind}", magnitude.type, [magnitude])
    return k.convert(ones, k.dtype, np.dtype(np.uint8))


bitwise_count = elementwise(
    "bitwise_count",
    "x",
    body=_count_body,
    reference=np.bitwise_count,
    rule=DTypeRule("biu", "integers or bools", result=np.dtype(np.uint8), bools=np.dtype(np.int8)),
    grad=lambda g, x, y: None,
    samples=(
        Sample((integers(3, 4, low=-300, high=301),), gradient=False),
        Sample((integers(4, dtype=np.uint8, low=0),), gradient=False),
        Sample((integers(4, dtype=np.int64),), gradient=False),
        Sample((integers(0),), gradient=False),
        Sample((normal(3) > 0,), gradient=False),
    ),
    bad=(BadCall("float operand", (normal(3),), TypeError),),
    doc="how many bits of |x| are set, as uint8",
)
