"""Functions built from arithmetic alone: no library is called from a kernel.

Every function takes the `Body` it is built in and values, and covers the whole range of its
argument: overflow, underflow, infinities and NaN end as NumPy's functions end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mnn.codegen.builder import F32, Value, element, lanes_of
from mnn.errors import CodegenError

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["FUNCTIONS", "call", "exp", "rounded"]

_INF = float("inf")


def _single(k: Body, name: str) -> None:
    if k.element != F32:
        raise CodegenError(f"{name}: kernels compute it on float32 only.")


def rounded(k: Body, name: str, x: Value) -> Value:
    """Return floor, ceil, trunc or round (half to even)."""
    suffix = (
        ("f32" if element(x.type) == F32 else "f64")
        if lanes_of(x.type) == 1
        else (f"v{lanes_of(x.type)}{'f32' if element(x.type) == F32 else 'f64'}")
    )
    words = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "rint", "rint": "rint"}
    if name not in words:
        raise CodegenError(f"kernels have no rounding called {name}.")
    if k.function.target.name == "sse2":
        raise CodegenError(f"{name}: this machine has no rounding instruction.")
    return k.function.intrinsic(f"llvm.{words[name]}.{suffix}", x.type, [x])


def nearest(k: Body, x: Value) -> tuple[Value, Value]:
    """Return x of |x| < 2**22 rounded to nearest, as float32 and as int32."""
    magic = k.const(12582912.0)
    shifted = k.add(x, magic)
    whole = k.sub(shifted, magic)
    number = k.integer_op("sub", k.integers(shifted), 0x4B400000)
    return whole, number


def exp(k: Body, x: Value) -> Value:
    """Return e to the x within 1 ulp: 2**n times a polynomial of the rest.

    Coefficients: S. Moshier, Cephes expf.
    """
    _single(k, "exp")
    clipped = k.pick(k.compare("lt", x, 88.72284), x, k.const(88.72284))
    clipped = k.pick(k.compare("gt", clipped, -87.3365), clipped, k.const(-87.3365))
    n, number = nearest(k, k.mul(clipped, k.const(1.44269504088896341)))
    r = k.fma(n, k.const(-0.693359375), clipped)
    r = k.fma(n, k.const(2.12194440e-4), r)
    p = k.polynomial(
        r,
        [
            1.9875691500e-4,
            1.3981999507e-3,
            8.3334519073e-3,
            4.1665795894e-2,
            1.6666665459e-1,
            5.0000001201e-1,
        ],
    )
    p = k.fma(k.mul(r, r), p, k.add(r, k.const(1.0)))
    return k.bitcast(k.integer_op("add", k.integers(p), k.shift_left(number, 23)), F32)


def sigmoid(k: Body, x: Value) -> Value:
    """Return 1 / (1 + exp(-x))."""
    return k.div(k.const(1.0), k.add(k.const(1.0), exp(k, k.neg(x))))


FUNCTIONS: dict[str, Callable[..., Value]] = {"exp": exp, "sigmoid": sigmoid}
"""By the names that operator bodies use."""


def call(k: Body, name: str, values: list[Any]) -> Value:
    """Return the function `name` of values.

    Raises:
        CodegenError: kernels have no such function, or not for this element type.
    """
    if name not in FUNCTIONS:
        raise CodegenError(f"kernels have no function {name}.")
    return FUNCTIONS[name](k, *values)
