"""Floating-point numbers as bits: powers of two, exponents, signs, exact sums and products.

All functions of this package are built from these and from polynomials. They take a `Body` of
float32 or float64 and hold over the whole range, denormal numbers included, unless they say not.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mnn.codegen.builder import F32, Value, lanes_of, vector
from mnn.errors import CodegenError
from mnn.records import dataclass

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = [
    "DOUBLE",
    "LOG_2",
    "SINGLE",
    "Layout",
    "add_exact",
    "as_float",
    "copy_sign",
    "exponent",
    "frexp",
    "layout",
    "multiply_exact",
    "nearest",
    "power",
    "scale",
    "top_half",
]


@dataclass(frozen=True)
class Layout:
    """A binary interchange format of IEEE 754.

    Attributes:
        size: bits of a number.
        mantissa: bits of the fraction that are stored.
    """

    size: int
    mantissa: int

    @property
    def bias(self) -> int:
        """What is added to an exponent when it is stored."""
        return (1 << (self.size - self.mantissa - 2)) - 1

    @property
    def one(self) -> int:
        """The bits of 1.0."""
        return self.bias << self.mantissa

    @property
    def smallest(self) -> float:
        """The smallest number that is not denormal."""
        return 2.0 ** (1 - self.bias)

    @property
    def unit(self) -> float:
        """Half the distance from 1 to the next number: the largest relative rounding error."""
        return 2.0 ** -(self.mantissa + 1)

    @property
    def magic(self) -> float:
        """A number so large that what is added to it is rounded to an integer."""
        return 1.5 * 2.0**self.mantissa


SINGLE, DOUBLE = Layout(32, 23), Layout(64, 52)

LOG_2 = {
    SINGLE: (0.693145751953125, 1.4286068203094173e-06),
    DOUBLE: (0.6931471803691238, 1.9082149292705877e-10),
}
"""log 2 as a number of few bits, whose products with exponents are exact, and the rest."""


def layout(k: Body) -> Layout:
    """Return the format of the body's numbers.

    Raises:
        CodegenError: they are no floats.
    """
    if not k.floating:
        raise CodegenError(f"kernels compute this function on floats only, not on {k.dtype}.")
    return SINGLE if k.element == F32 else DOUBLE


# --- powers of two --------------------------------------------------------------------------------


def nearest(k: Body, x: Value, factor: float = 1.0, shift: int = 0) -> tuple[Value, Value]:
    """Return the integer n nearest to factor * x, as a float and as bits for `power`.

    For |factor * x| < 2**22 (float32), 2**51 (float64); halves may go either way. NaN stays NaN,
    with any bits.

    Args:
        shift: the bits stand for n + shift.
    """
    magic = k.const(layout(k).magic + shift)
    shifted = k.add(x, magic) if factor == 1.0 else k.fma(x, k.const(factor), magic)
    return k.sub(shifted, magic), k.integers(shifted)


def power(k: Body, bits: Value) -> Value:
    """Return 2**(n - bias) for integers n, 0 < n < 2 * bias, or such bits of `nearest`."""
    return k.floats(k.integer_op("shl", bits, layout(k).mantissa))


def scale(k: Body, x: Value, whole: Value, bits: Value) -> Value:
    """Return x * 2**n, rounded once, for 1/2 <= |x| < 4 and n as `nearest` returns it.

    n may be so small that the result is 0, or so large that it is infinite, by a few hundred.
    """
    if k.function.target.scales:
        scaled = _scale_by_instruction(k, x, whole)
        if scaled is not None:
            return scaled
    form = layout(k)
    moved = k.integer_op("shl", bits, form.mantissa)
    keep = -1 << form.mantissa
    half = k.integer_op("and", k.integer_op("ashr", moved, 1), keep)
    first = k.floats(k.integer_op("add", half, form.one))
    rest = k.integer_op("add", k.integer_op("sub", moved, half), form.one)
    return k.mul(k.mul(x, first), k.floats(rest))


def _scale_by_instruction(k: Body, x: Value, whole: Value) -> Value | None:
    """Return x * 2**whole by AVX-512, None when the vector is no whole number of registers."""
    native = k.function.target.vector_bytes * 8 // layout(k).size
    lanes = lanes_of(x.type)
    if lanes % native:
        return None
    letters = "ps" if k.element == F32 else "pd"
    name = f"llvm.x86.avx512.mask.scalef.{letters}.{native * layout(k).size}"
    kind = vector(native, k.element)
    every = Value("-1", f"i{native}")
    current_rounding = Value("4", "i32")
    pieces = []
    for start in range(0, lanes, native):
        parts = [x, whole]
        if lanes > native:
            places = range(start, start + native)
            parts = [k.function.shuffle(each, None, places) for each in parts]
        arguments = [parts[0], parts[1], parts[0], every, current_rounding]
        pieces.append(k.function.intrinsic(name, kind, arguments))
    while len(pieces) > 1:
        pieces = [
            k.function.shuffle(left, right, range(2 * lanes_of(left.type)))
            for left, right in zip(pieces[::2], pieces[1::2], strict=True)
        ]
    return pieces[0]


# --- exponents and signs --------------------------------------------------------------------------


def _normal(k: Body, x: Value) -> tuple[Value, Value]:
    """Return x > 0 without denormals, and whether it was one: then x times 2**mantissa."""
    form = layout(k)
    small = k.compare("lt", x, form.smallest)
    return k.pick(small, k.mul(x, k.const(2.0**form.mantissa)), x), small


def frexp(k: Body, x: Value, *, normal: bool = False) -> tuple[Value, Value, Value]:
    """Return (e, m, m / x) with x = m * 2**e and sqrt(1/2) <= m < sqrt(2), for finite x > 0.

    The last is a power of two; it is meaningless when e > bias or x is denormal. Other x give
    garbage, but no trap.

    Args:
        normal: x is known not to be denormal.
    """
    form = layout(k)
    root = {SINGLE: 0x3F3504F3, DOUBLE: 0x3FE6A09E667F3BCD}[form]
    scaled, small = (x, None) if normal else _normal(k, x)
    bits = k.integers(scaled)
    moved = k.integer_op("add", bits, form.one - root)
    number = k.integer_op("lshr", moved, form.mantissa)
    fraction = k.integer_op("and", moved, (1 << form.mantissa) - 1)
    fraction = k.integer_op("add", fraction, root)
    inverse = k.integer_op("add", k.integer_op("sub", fraction, bits), form.one)
    bias = k.const(form.bias)
    if small is not None:
        bias = k.pick(small, k.const(form.bias + form.mantissa), bias)
    return k.sub(as_float(k, number), bias), k.floats(fraction), k.floats(inverse)


def as_float(k: Body, number: Value) -> Value:
    """Return integers of the size of the body's floats and 0 <= n < 2**(mantissa - 1) as floats."""
    form = layout(k)
    if form is SINGLE:
        return k.function.make(f"sitofp {number.type} {number.text} to {k.type}", k.type)
    # Few machines have that conversion of 64 bits.
    magic = struct.unpack("<q", struct.pack("<d", form.magic))[0]
    return k.sub(k.floats(k.integer_op("add", number, magic)), k.const(form.magic))


def exponent(k: Body, x: Value) -> Value:
    """Return e with 2**e <= x < 2**(e + 1) as an integer of the same size, for finite x > 0."""
    form = layout(k)
    normal, small = _normal(k, x)
    number = k.integer_op("lshr", k.integers(normal), form.mantissa)
    wide = number.type
    bias = k.function.select(
        small,
        k.function.constant(form.bias + form.mantissa, wide),
        k.function.constant(form.bias, wide),
    )
    return k.integer_op("sub", number, bias)


def copy_sign(k: Body, x: Value, sign: Value) -> Value:
    """Return x with the sign of another number."""
    return k.function.intrinsic(f"llvm.copysign.{k.suffix(x.type)}", x.type, [x, sign])


# --- exact arithmetic -----------------------------------------------------------------------------


def top_half(k: Body, x: Value) -> Value:
    """Return x with so few bits left that products of such numbers are exact."""
    form = layout(k)
    kept = -1 << (form.mantissa // 2 + 1)
    return k.floats(k.integer_op("and", k.integers(x), kept))


def add_exact(k: Body, left: Value, right: Value, *, ordered: bool = False) -> tuple[Value, Value]:
    """Return the rounded sum and what rounding took (Knuth; Dekker when |left| >= |right|)."""
    total = k.add(left, right)
    if ordered:
        return total, k.sub(right, k.sub(total, left))
    part = k.sub(total, left)
    lost = k.add(k.sub(left, k.sub(total, part)), k.sub(right, part))
    return total, lost


def multiply_exact(k: Body, left: Value, right: Value) -> tuple[Value, Value]:
    """Return the rounded product and what rounding took (Dekker, without a fused multiply-add)."""
    product = k.mul(left, right)
    if k.function.target.fused:
        return product, k.fma(left, right, k.neg(product))
    a, b = top_half(k, left), top_half(k, right)
    c, d = k.sub(left, a), k.sub(right, b)
    lost = k.sub(k.mul(a, b), product)
    lost = k.add(k.add(lost, k.mul(a, d)), k.mul(c, b))
    return product, k.add(lost, k.mul(c, d))
