"""Conversions: floats to integers, and float16 and bfloat16 in memory to float32 in registers.

The bits of the latter two are integers of 16 bits. Where a conversion is no instruction it is
written out, because LLVM would call a library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.codegen.builder import F32, I16, I32, I64, Value, element, lanes_of, vector

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["from_bfloat16", "from_float16", "to_bfloat16", "to_float16", "to_integers"]

_HALF = "half"


def to_integers(k: Body, x: Value, target: np.dtype[Any]) -> Value:
    """Return floats rounded towards 0 as integers of dtype `target`.

    What does not fit the integers of the conversion instruction gives the smallest of them: int64
    for targets of 64 bits and uint32, else int32. Of their bits as many are kept as fit.
    """
    f, lanes = k.function, lanes_of(x.type)
    base = I64 if target.itemsize == 8 or target == np.uint32 else I32
    kind = vector(lanes, base)
    bits = int(base[1:])
    limit = 2.0 ** (bits - 1)
    far = None
    if target == np.uint64:
        far = k.compare("ge", x, limit)
        x = k.pick(far, k.sub(x, k.const(limit)), x)
    number = f.make(f"fptosi {x.type} {x.text} to {kind}", kind)
    smallest = f.constant(-(1 << (bits - 1)), kind)
    number = f.select(k.compare("lt", k.abs(x), limit), number, smallest)
    if far is not None:
        number = f.select(far, k.integer_op("xor", number, smallest), number)
    wanted = f"i{target.itemsize * 8}"
    if wanted == element(kind):
        return number
    return f.make(f"trunc {kind} {number.text} to {vector(lanes, wanted)}", vector(lanes, wanted))


def from_bfloat16(k: Body, x: Value) -> Value:
    """Return float32 for the bits of bfloat16."""
    return k.bitcast(k.integer_op("shl", _extended(k, x), 16), F32)


def to_bfloat16(k: Body, x: Value) -> Value:
    """Return the bits of the nearest bfloat16 (halves to even) for float32; NaN stays NaN."""
    bits = k.bitcast(x, I32)
    last = k.integer_op("and", k.integer_op("lshr", bits, 16), 1)
    rounded = k.integer_op("add", k.integer_op("add", bits, 0x7FFF), last)
    quiet = k.integer_op("or", bits, 0x400000)
    chosen = k.function.select(k.compare("eq", x, x), rounded, quiet)
    return _truncated(k, k.integer_op("lshr", chosen, 16))


def from_float16(k: Body, x: Value) -> Value:
    """Return float32 for the bits of float16."""
    f = k.function
    lanes = lanes_of(x.type)
    if f.target.float16:
        half = k.bitcast(x, _HALF)
        kind = vector(lanes, F32)
        return f.make(f"fpext {half.type} {half.text} to {kind}", kind)
    bits = _extended(k, x)
    sign = k.integer_op("shl", k.integer_op("and", bits, 0x8000), 16)
    magnitude = k.integer_op("and", bits, 0x7FFF)
    # The exponent of the shifted bits is 112 too small, whether they are denormal or not.
    shifted = k.bitcast(k.integer_op("shl", magnitude, 13), F32)
    value = k.bitcast(k.mul(shifted, k.const(2.0**112)), I32)
    special = k.integer_body.compare("ge", magnitude, 0x7C00)
    infinite = k.integer_op("or", value, 0x7F800000)
    value = f.select(special, infinite, value)
    return k.bitcast(k.integer_op("or", value, sign), F32)


def to_float16(k: Body, x: Value) -> Value:
    """Return the bits of the nearest float16 (halves to even) for float32; NaN stays NaN."""
    f = k.function
    lanes = lanes_of(x.type)
    if f.target.float16:
        kind = vector(lanes, _HALF)
        return k.bitcast(f.make(f"fptrunc {x.type} {x.text} to {kind}", kind), I16)
    bits = k.bitcast(x, I32)
    sign = k.integer_op("and", k.integer_op("lshr", bits, 16), 0x8000)
    magnitude = k.integer_op("and", bits, 0x7FFFFFFF)
    whole = k.integer_body
    # Normal numbers: less 112 in the exponent, rounded in the 13 bits that are dropped.
    last = k.integer_op("and", k.integer_op("lshr", magnitude, 13), 1)
    normal = k.integer_op("add", magnitude, 0xFFF - (112 << 23))
    normal = k.integer_op("lshr", k.integer_op("add", normal, last), 13)
    # Denormal numbers: the last bit of 1/2 is the smallest float16.
    lifted = k.add(k.bitcast(magnitude, F32), k.const(0.5))
    denormal = k.integer_op("sub", k.bitcast(lifted, I32), 0x3F000000)
    result = f.select(whole.compare("lt", magnitude, 0x38800000), denormal, normal)
    limit = f.constant(0x7C00, magnitude.type)
    result = f.select(whole.compare("ge", magnitude, 0x47800000), limit, result)
    nan = f.constant(0x7E00, magnitude.type)
    result = f.select(whole.compare("gt", magnitude, 0x7F800000), nan, result)
    return _truncated(k, k.integer_op("or", result, sign))


def _extended(k: Body, x: Value) -> Value:
    kind = vector(lanes_of(x.type), I32)
    return k.function.make(f"zext {x.type} {x.text} to {kind}", kind)


def _truncated(k: Body, x: Value) -> Value:
    kind = vector(lanes_of(x.type), I16)
    return k.function.make(f"trunc {x.type} {x.text} to {kind}", kind)
