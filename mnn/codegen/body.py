"""Arithmetic on scalars or vectors: what operator bodies and template epilogues are written in.

A `Body` computes on `lanes` elements of one NumPy type. Its methods are the vocabulary of the
`body` of an operator declaration, so one body serves vector loops, scalar tails and epilogues.
Nothing here is fast-math: NaN, infinities and signed zeros go where NumPy sends them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from mnn.codegen import mathematics
from mnn.codegen.builder import (
    F32,
    F64,
    I1,
    I32,
    I64,
    Function,
    Value,
    element,
    lanes_of,
    vector,
)
from mnn.errors import CodegenError

__all__ = ["Body", "element_type", "literal"]

DType = np.dtype[Any]

_ORDERED = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_SIGNED = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
_UNSIGNED = {"eq": "eq", "ne": "ne", "lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge"}


def element_type(dtype: DType) -> str:
    """Return the LLVM type in which elements of a NumPy dtype are computed; bool is i1.

    Raises:
        CodegenError: kernels do not compute in that dtype.
    """
    if dtype.kind == "b":
        return "i1"
    if dtype.kind in "iu":
        return f"i{dtype.itemsize * 8}"
    if dtype.kind == "f" and dtype.itemsize in (4, 8):
        return F32 if dtype.itemsize == 4 else F64
    raise CodegenError(f"kernels do not compute in {dtype}.")


def literal(number: float, kind: str) -> str:
    """Return the exact text of a float constant of type float or double."""
    if kind == F32:
        with np.errstate(over="ignore"):
            number = float(np.float32(number))
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


class Body:
    """Arithmetic on `lanes` elements of `dtype` in a function being built."""

    def __init__(self, function: Function, lanes: int, dtype: DType) -> None:
        self.function = function
        self.lanes = lanes
        self.dtype = dtype
        self.element = element_type(dtype)
        self.type = vector(lanes, self.element)
        self.floating = dtype.kind == "f"
        self.signed = dtype.kind != "u"

    # --- constants and types ---------------------------------------------------------------------

    def const(self, number: float | bool) -> Value:
        """Return a constant in this body's dtype."""
        return self._const(number, self.type)

    def _const(self, number: float | bool, kind: str) -> Value:
        base = element(kind)
        text = literal(float(number), base) if base in (F32, F64) else str(int(number))
        if lanes_of(kind) > 1:
            return Value(f"splat ({base} {text})", kind)
        return Value(text, kind)

    def _like(self, item: Value | float, kind: str | None = None) -> Value:
        return item if isinstance(item, Value) else self._const(item, kind or self.type)

    def _binary(self, operation: str, left: Value | float, right: Value | float) -> Value:
        a, b = self._like(left), self._like(right)
        return self.function.make(f"{operation} {a.type} {a.text}, {b.text}", a.type)

    def _float(self, item: Value) -> bool:
        return element(item.type) in (F32, F64)

    # --- arithmetic ------------------------------------------------------------------------------

    def add(self, left: Value, right: Value) -> Value:
        """Return left + right; bools are joined by or."""
        if element(left.type) == I1:
            return self._binary("or", left, right)
        return self._binary("fadd" if self._float(left) else "add", left, right)

    def sub(self, left: Value, right: Value) -> Value:
        """Return left - right."""
        return self._binary("fsub" if self._float(left) else "sub", left, right)

    def mul(self, left: Value, right: Value) -> Value:
        """Return left * right; bools are joined by and."""
        if element(left.type) == I1:
            return self._binary("and", left, right)
        return self._binary("fmul" if self._float(left) else "mul", left, right)

    def div(self, left: Value, right: Value) -> Value:
        """Return the quotient of floats."""
        self._floats("div")
        return self._binary("fdiv", left, right)

    def neg(self, x: Value) -> Value:
        """Return -x; of floats only the sign bit changes."""
        if self._float(x):
            return self.function.make(f"fneg {x.type} {x.text}", x.type)
        return self._binary("sub", self._const(0, x.type), x)

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """Return left * right + addend, with one rounding where the target has the instruction."""
        if not self.function.target.fused:
            return self.add(self.mul(left, right), addend)
        name = f"llvm.fma.{_suffix(left.type)}"
        return self.function.intrinsic(name, left.type, [left, right, addend])

    def maximum(self, left: Value, right: Value) -> Value:
        """Return the larger one, NaN if one is NaN."""
        return self._extreme("gt", left, right)

    def minimum(self, left: Value, right: Value) -> Value:
        """Return the smaller one, NaN if one is NaN."""
        return self._extreme("lt", left, right)

    def _extreme(self, side: str, left: Value, right: Value) -> Value:
        if element(left.type) == I1:
            return self._binary("or" if side == "gt" else "and", left, right)
        if _is_number(right):
            left, right = right, left
        first = self.compare(side, left, right)
        result = self.pick(first, left, right)
        if self._float(left) and not _is_number(left):
            unordered = self.function.make(
                f"fcmp uno {left.type} {left.text}, {left.text}", first.type
            )
            result = self.pick(unordered, left, result)
        return result

    def at_least(self, x: Value, limit: float) -> Value:
        """Return the larger one of x and a number; NaN stays."""
        return self.pick(self.compare("lt", x, limit), limit, x)

    def at_most(self, x: Value, limit: float) -> Value:
        """Return the smaller one of x and a number; NaN stays."""
        return self.pick(self.compare("gt", x, limit), limit, x)

    def abs(self, x: Value) -> Value:
        """Return the absolute value."""
        if element(x.type) == I1 or not self.signed:
            return x
        if self._float(x):
            return self.function.intrinsic(f"llvm.fabs.{_suffix(x.type)}", x.type, [x])
        return self.pick(self.compare("lt", x, self._const(0, x.type)), self.neg(x), x)

    def sqrt(self, x: Value) -> Value:
        """Return the square root, correctly rounded."""
        self._floats("sqrt")
        return self.function.intrinsic(f"llvm.sqrt.{_suffix(x.type)}", x.type, [x])

    # --- comparison and choice -------------------------------------------------------------------

    def compare(self, name: str, left: Value, right: Value | float) -> Value:
        """Return bools: eq, ne, lt, le, gt or ge."""
        b = self._like(right, left.type)
        kind = vector(lanes_of(left.type), I1)
        if self._float(left):
            return self.function.make(
                f"fcmp {_ORDERED[name]} {left.type} {left.text}, {b.text}", kind
            )
        words = _SIGNED if self.signed and element(left.type) != I1 else _UNSIGNED
        return self.function.make(f"icmp {words[name]} {left.type} {left.text}, {b.text}", kind)

    def truth(self, x: Value) -> Value:
        """Return whether x differs from zero."""
        return x if element(x.type) == I1 else self.compare("ne", x, 0)

    def pick(self, condition: Value, left: Value | float, right: Value | float) -> Value:
        """Return left where the condition holds, else right."""
        return self.function.select(self.truth(condition), self._like(left), self._like(right))

    def logical(self, name: str, left: Value, right: Value) -> Value:
        """Return logical_and, logical_or or logical_xor of truth values."""
        word = {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}[name]
        return self._binary(word, self.truth(left), self.truth(right))

    def bits(self, name: str, left: Value, right: Value | None = None) -> Value:
        """Return bitwise_and, bitwise_or, bitwise_xor, bitwise_not, left_shift or right_shift."""
        if name == "bitwise_not":
            every = 1 if element(left.type) == I1 else -1
            return self._binary("xor", left, self._const(every, left.type))
        if name in ("left_shift", "right_shift") and right is not None:
            return mathematics.shift(self, name, left, right)
        words = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
        if name not in words or right is None:
            raise CodegenError(f"kernels have no {name}.")
        return self._binary(words[name], left, right)

    def is_finite(self, x: Value) -> Value:
        """Return whether x is neither infinite nor NaN."""
        if not self._float(x):
            return self._const(True, vector(lanes_of(x.type), I1))
        return self.compare("lt", self.abs(x), float("inf"))

    def is_infinite(self, x: Value) -> Value:
        """Return whether x is infinite."""
        if not self._float(x):
            return self._const(False, vector(lanes_of(x.type), I1))
        return self.compare("eq", self.abs(x), float("inf"))

    def unordered(self, left: Value, right: Value) -> Value:
        """Return whether one of two floats is NaN."""
        kind = vector(lanes_of(left.type), I1)
        return self.function.make(f"fcmp uno {left.type} {left.text}, {right.text}", kind)

    def negative(self, x: Value) -> Value:
        """Return whether the sign bit of floats is set, be they zero or NaN."""
        bits = self.integers(x)
        return self.compare("lt", bits, self._const(0, bits.type))

    def sign(self, x: Value) -> Value:
        """Return -1, 0, 1, or NaN for NaN."""
        zero, one = self._const(0, x.type), self._const(1, x.type)
        if not self.signed or element(x.type) == I1:
            return self.pick(self.compare("ne", x, zero), one, zero)
        lower = self.pick(self.compare("lt", x, zero), self._const(-1, x.type), zero)
        result = self.pick(self.compare("gt", x, zero), one, lower)
        if self._float(x):
            result = self.pick(self.compare("ne", x, x), x, result)
        return result

    # --- conversion ------------------------------------------------------------------------------

    def convert(self, x: Value, source: DType, target: DType) -> Value:
        """Return x of dtype `source` as dtype `target`, as NumPy's astype on x86-64.

        A float that the integer type cannot hold, or NaN, becomes what the machine's conversion to
        int32 (for uint32: to int64) gives, the smallest number, cut to the type's bits.
        """
        have, want = element(x.type), element_type(target)
        kind = vector(lanes_of(x.type), want)
        if target.kind == "b":
            return Body(self.function, lanes_of(x.type), source).truth(x)
        if have == want:
            return x
        if source.kind == "f" and target.kind in "iu":
            return mathematics.conversion.to_integers(
                Body(self.function, lanes_of(x.type), source), x, target
            )
        word = _conversion(source, target)
        return self.function.make(f"{word} {x.type} {x.text} to {kind}", kind)

    def bitcast(self, x: Value, base: str) -> Value:
        """Return the same bits as elements of another type of equal size."""
        kind = vector(lanes_of(x.type), base)
        return self.function.make(f"bitcast {x.type} {x.text} to {kind}", kind)

    def integers(self, x: Value) -> Value:
        """Return the bits of floats as integers of the same size."""
        return self.bitcast(x, I32 if element(x.type) == F32 else I64)

    def floats(self, x: Value) -> Value:
        """Return the bits in integers as floats of the same size."""
        return self.bitcast(x, F32 if element(x.type) == I32 else F64)

    def to_integers(self, x: Value) -> Value:
        """Return floats, whole and in range, as integers of the same size."""
        base = I32 if element(x.type) == F32 else I64
        kind = vector(lanes_of(x.type), base)
        return self.function.make(f"fptosi {x.type} {x.text} to {kind}", kind)

    def shift_left(self, x: Value, count: int) -> Value:
        """Return integers shifted by a constant."""
        return self._binary("shl", x, self._const(count, x.type))

    def integer_op(self, word: str, left: Value, right: Value | int) -> Value:
        """Return an LLVM integer operation: add, sub, and, or, xor, shl, lshr, ashr, mul."""
        b = right if isinstance(right, Value) else self._const(right, left.type)
        return self.function.make(f"{word} {left.type} {left.text}, {b.text}", left.type)

    def polynomial(self, x: Value, coefficients: list[float]) -> Value:
        """Return the polynomial by Horner's rule; the highest power comes first."""
        result = self.const(coefficients[0])
        for each in coefficients[1:]:
            result = self.fma(result, x, self.const(each))
        return result

    def known(self, x: Value) -> float | None:
        """Return the number that a constant is, None when it is not known before running."""
        text = x.text.removeprefix("splat (").rstrip(")").split()[-1]
        if text.startswith("0x"):
            return float(struct.unpack("<d", struct.pack("<Q", int(text, 16)))[0])
        return int(text) if text.lstrip("-").isdigit() else None

    # --- other bodies ----------------------------------------------------------------------------

    def of(self, dtype: Any) -> Body:
        """Return a body of as many elements of another dtype."""
        return Body(self.function, self.lanes, np.dtype(dtype))

    def inside(self, function: Function) -> Body:
        """Return a body like this one in another function."""
        return Body(function, self.lanes, self.dtype)

    @property
    def wide(self) -> Body:
        """The body of as many float64."""
        return self.of(np.float64)

    @property
    def integer_body(self) -> Body:
        """The body of as many signed integers of the same size."""
        return self.of(np.dtype(f"i{self.dtype.itemsize}"))

    @property
    def unsigned(self) -> Body:
        """The body of as many unsigned integers of the same size."""
        return self.of(np.dtype(f"u{self.dtype.itemsize}"))

    @property
    def alone(self) -> Body:
        """The body of one element of this dtype."""
        return Body(self.function, 1, self.dtype)

    def widen(self, x: Value) -> Value:
        """Return floats as float64."""
        return self.convert(x, self.dtype, np.dtype(np.float64))

    def narrow(self, x: Value) -> Value:
        """Return float64 as this body's floats."""
        return self.convert(x, np.dtype(np.float64), self.dtype)

    # --- all lanes -------------------------------------------------------------------------------

    def any(self, condition: Value) -> Value:
        """Return whether the condition holds in a lane, as one i1."""
        lanes = lanes_of(condition.type)
        if lanes == 1:
            return condition
        f = self.function
        bits = f.make(f"bitcast {condition.type} {condition.text} to i{lanes}", f"i{lanes}")
        return f.make(f"icmp ne i{lanes} {bits.text}, 0", I1)

    def reduce(self, combine: Callable[[Body, Value, Value], Value], x: Value) -> Value:
        """Return all lanes combined, halves first: lane i with lane i + lanes / 2, and so on."""
        lanes = lanes_of(x.type)
        while lanes > 1:
            half = lanes // 2
            if 2 * half != lanes:
                raise AssertionError(f"a vector of {lanes} lanes has no halves")
            if half == 1:
                low, high = self.function.extract(x, 0), self.function.extract(x, 1)
            else:
                low = self.function.shuffle(x, None, range(half))
                high = self.function.shuffle(x, None, range(half, lanes))
            x, lanes = combine(Body(self.function, half, self.dtype), low, high), half
        return x

    def reduce_add(self, x: Value) -> Value:
        """Return the sum of all lanes."""
        return self.reduce(Body.add, x)

    def reduce_mul(self, x: Value) -> Value:
        """Return the product of all lanes."""
        return self.reduce(Body.mul, x)

    def reduce_max(self, x: Value) -> Value:
        """Return the largest lane, NaN if one is NaN."""
        return self.reduce(Body.maximum, x)

    def reduce_min(self, x: Value) -> Value:
        """Return the smallest lane, NaN if one is NaN."""
        return self.reduce(Body.minimum, x)

    # --- functions -------------------------------------------------------------------------------

    def exp(self, x: Value) -> Value:
        """Return e to the x."""
        return mathematics.exp(self, x)

    def round(self, name: str, x: Value) -> Value:
        """Return floor, ceil, trunc, rint (halves to even) or round (halves away from 0)."""
        if not self._float(x):
            return x
        return mathematics.rounded(self, name, x)

    def suffix(self, kind: str) -> str:
        """Return what the names of LLVM intrinsics on that type of floats end with."""
        return _suffix(kind)

    def from_float16(self, bits: Value) -> Value:
        """Return float32 for the bits of float16, in i16; this body is one of float32."""
        return mathematics.conversion.from_float16(self, bits)

    def to_float16(self, x: Value) -> Value:
        """Return the bits (i16) of the float16 nearest to float32."""
        return mathematics.conversion.to_float16(self, x)

    def from_bfloat16(self, bits: Value) -> Value:
        """Return float32 for the bits of bfloat16, in i16; this body is one of float32."""
        return mathematics.conversion.from_bfloat16(self, bits)

    def to_bfloat16(self, x: Value) -> Value:
        """Return the bits (i16) of the bfloat16 nearest to float32."""
        return mathematics.conversion.to_bfloat16(self, x)

    def math(self, name: str, x: Value) -> Value:
        """Return a function by its NumPy name: sin, cos, tanh, arcsin, ..."""
        return mathematics.call(self, name, [x])

    def pow(self, x: Value, y: Value) -> Value:
        """Return x to the y."""
        return mathematics.call(self, "pow", [x, y])

    def atan2(self, y: Value, x: Value) -> Value:
        """Return the angle of the point (x, y)."""
        return mathematics.call(self, "atan2", [y, x])

    def fmod(self, x: Value, y: Value) -> Value:
        """Return the remainder with the sign of x."""
        return mathematics.call(self, "fmod", [x, y])

    def floormod(self, x: Value, y: Value) -> Value:
        """Return the remainder with the sign of y."""
        return mathematics.call(self, "floormod", [x, y])

    def floordiv(self, x: Value, y: Value) -> Value:
        """Return the quotient rounded down."""
        return mathematics.call(self, "floordiv", [x, y])

    def __getattr__(self, name: str) -> Any:
        """Return a one-argument function of `mathematics` as a method."""
        if name.startswith("_") or name not in mathematics.FUNCTIONS:
            raise AttributeError(f"a kernel body has no {name!r}")
        return lambda *values: mathematics.call(self, name, list(values))

    def _floats(self, name: str) -> None:
        if not self.floating:
            raise CodegenError(f"{name}: kernels compute it on float32 and float64 only.")


def _is_number(value: Value) -> bool:
    """True for a float constant other than NaN: one instruction compares with it."""
    text = value.text.removeprefix("splat (").rstrip(")").split()[-1]
    return text.startswith("0x") and not text.startswith(("0x7FF8", "0xFFF8"))


def _conversion(source: DType, target: DType) -> str:
    if source.kind == "f":
        if target.kind == "f":
            return "fpext" if target.itemsize > source.itemsize else "fptrunc"
        return "fptoui" if target.kind == "u" else "fptosi"
    if target.kind == "f":
        return "sitofp" if source.kind == "i" else "uitofp"
    if source.itemsize < target.itemsize or source.kind == "b":
        return "sext" if source.kind == "i" else "zext"
    return "trunc"


def _suffix(kind: str) -> str:
    base = {F32: "f32", F64: "f64"}[element(kind)]
    return base if lanes_of(kind) == 1 else f"v{lanes_of(kind)}{base}"
