"""Sine, cosine and tangent of any angle.

An angle is j * pi / 2 + r. Small angles are reduced by Cody and Waite's method: pi / 2 is a sum of
numbers of few bits, so that j times the first ones is exact. Where a vector has a larger angle, the
product with 2 / pi is summed exactly from pieces of 2 / pi, as by M. Payne and R. Hanek.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mnn.codegen.builder import F64, I64, PTR, Value
from mnn.codegen.mathematics.floats import (
    DOUBLE,
    SINGLE,
    add_exact,
    copy_sign,
    exponent,
    layout,
    nearest,
    top_half,
)

if TYPE_CHECKING:
    from mnn.codegen.body import Body

__all__ = ["cos", "sin", "tan"]

_SIN = {
    SINGLE: [2.6061095e-06, -0.0001980978, 0.008333069, -0.1666666],
    DOUBLE: [
        2.721677873027852e-15,
        -7.643043455807163e-13,
        1.605894190321936e-10,
        -2.505210692161293e-08,
        2.755731921174438e-06,
        -0.00019841269841213368,
        0.008333333333333208,
        -0.16666666666666666,
    ],
}
"""(sin(r) - r) / r**3 in r**2, for |r| <= pi / 2"""
_TAN = {
    SINGLE: [0.009389211, 0.0031127026, 0.024435297, 0.05340957, 0.13338825, 0.33333156],
    DOUBLE: [
        2.084982786452679e-05,
        -4.482041162601081e-05,
        8.934761543093036e-05,
        -2.6271211168153093e-05,
        0.00013644303285318185,
        0.00022242049507635388,
        0.0005950506549411685,
        0.0014547614033271962,
        0.003592288495850509,
        0.00886321923118141,
        0.021869489604041392,
        0.05396825392688679,
        0.13333333333414127,
        0.3333333333333278,
    ],
}
"""(tan(r) - r) / r**3 in r**2, for |r| <= pi / 4"""
_HALF_PI_FUSED = {
    SINGLE: (1.5703125, 0.0004838267923332751, 2.563344151594519e-12),
    DOUBLE: (1.5707963267341256, 6.077100506506192e-11, 3.5215598651832e-27),
}
_HALF_PI = {
    SINGLE: (1.5703125, 0.0004837512969970703, 7.549533620476723e-08, 2.563344151594519e-12),
    DOUBLE: (
        1.5707963267341256,
        6.077100506303966e-11,
        2.0222662487111665e-21,
        8.4784276603689e-32,
    ),
}
"""pi / 2 in parts; products of the first (without fused multiply-add: of all but the last) with j
are exact."""
_LARGE = {SINGLE: 1.5 * 2.0**13, DOUBLE: 1.5 * 2.0**20}
"""Angles from which on j has too many bits for that."""

# The first 1200 bits of 2 / pi, and how many of them are multiplied at once.
_TWO_OVER_PI = int(
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    "56033046fc7b",
    16,
)
_PIECE, _PIECES = 24, 50
_SHIFT = 200
"""Pieces are 2**200 too large, which keeps the last of them normal numbers."""
_NEEDED_BITS = {SINGLE: 60, DOUBLE: 119}
"""Bits behind the point of angle * 2 / pi: the closest one comes to an integer (2**-31 and 2**-62),
and the precision."""


class _Turn(NamedTuple):
    """Which multiples j of pi / 2 a function is reduced by: j = step * n + first."""

    step: int
    first: int


_SINE, _COSINE, _TANGENT = _Turn(2, 0), _Turn(2, 1), _Turn(1, 0)


def sin(k: Body, x: Value) -> Value:
    """Return the sine within 3 ulp, for any angle."""
    r, bits = _reduce(k, x, _SINE)
    return _sine(k, r, bits)


def cos(k: Body, x: Value) -> Value:
    """Return the cosine within 3 ulp, for any angle."""
    r, bits = _reduce(k, x, _COSINE)
    # cos(j * pi / 2 + r) = sin(-r) for j = 1.
    return _sine(k, k.neg(r), bits)


def _sine(k: Body, r: Value, bits: Value) -> Value:
    """Return sin(r), negated where the lowest bit is set."""
    form = layout(k)
    square = k.mul(r, r)
    value = k.fma(k.mul(r, square), k.polynomial(square, _SIN[form]), r)
    sign = k.integer_op("shl", bits, form.size - 1)
    sign = k.integer_op("xor", sign, k.integers(r))
    return copy_sign(k, value, k.floats(sign))


def tan(k: Body, x: Value) -> Value:
    """Return the tangent within 4 ulp, for any angle."""
    r, bits = _reduce(k, x, _TANGENT)
    square = k.mul(r, r)
    value = k.fma(k.mul(r, square), k.polynomial(square, _TAN[layout(k)]), r)
    odd = k.compare("ne", k.integer_op("and", bits, 1), k.function.constant(0, bits.type))
    return k.div(k.pick(odd, -1.0, value), k.pick(odd, value, 1.0))


def _reduce(k: Body, x: Value, turn: _Turn) -> tuple[Value, Value]:
    """Return the smallest r, and the bits of n, with x = (step * n + first) * pi / 2 + r."""
    form = layout(k)
    per_turn = 0.6366197723675814 / turn.step
    if turn.first:
        moved = k.fma(x, k.const(per_turn), k.const(-turn.first / turn.step))
        n, bits = nearest(k, moved)
    else:
        n, bits = nearest(k, x, per_turn)
    j = n
    if turn.step != 1:
        j = k.fma(n, k.const(turn.step), k.const(turn.first)) if turn.first else k.add(n, n)
    parts = (_HALF_PI_FUSED if k.function.target.fused else _HALF_PI)[form]
    r = x
    for part in parts:
        r = k.fma(j, k.const(-part), r)
    large = k.compare("ge", k.abs(x), _LARGE[form])
    f = k.function
    # A loop of one turn or none: most vectors have only small angles.
    once = f.make(f"zext i1 {k.any(large).text} to i64", I64)
    with f.loop(0, once, 1, [r, bits]) as loop:
        far, far_bits = _call_large(k, k.pick(large, x, _LARGE[form]), turn)
        loop.next = [
            k.pick(large, far, loop.carried[0]),
            f.select(large, far_bits, loop.carried[1]),
        ]
    return loop.results[0], loop.results[1]


# --- large angles ---------------------------------------------------------------------------------


def _call_large(k: Body, x: Value, turn: _Turn) -> tuple[Value, Value]:
    """Return what `_reduce_large` returns; it is long and runs rarely: a function of its own."""
    f, form = k.function, layout(k)
    size = max(k.lanes * form.size // 8, 64)
    name = f"large_angles_{k.lanes}_{form.size}_{turn.step}_{turn.first}"
    place = f.keep(name, 2 * size)
    second = f.offset(place, size)
    f.store(x, place, align=64)
    made = f.module.find(name)
    if made is None:
        made = f.module.function(name, [("place", PTR)])
        start = made.arguments[0]
        r, bits = _reduce_large(k.inside(made), made.load(k.type, start, align=64), turn)
        made.store(r, start, align=64)
        made.store(bits, made.offset(start, size), align=64)
    f.call(made, [place])
    kind = k.integer_body.type
    return f.load(k.type, place, align=64), f.load(kind, second, align=64)


def _reduce_large(k: Body, x: Value, turn: _Turn) -> tuple[Value, Value]:
    """Return what `_reduce` returns, for |x| of at least 1; NaN for infinite x."""
    f, form = k.function, layout(k)
    largest = exponent(k.alone, k.reduce_max(k.abs(x)))
    if largest.type != I64:
        largest = f.make(f"zext {largest.type} {largest.text} to i64", I64)
    pieces = f.add(f.div(f.add(largest, _NEEDED_BITS[form]), _PIECE), 1)
    wide = k.wide
    angle = wide.mul(k.widen(x), wide.const(2.0**-_SHIFT))
    halves = [angle]
    if form is DOUBLE:
        top = top_half(k, angle)
        halves = [top, k.sub(angle, top)]
    table = _pieces_table(k)
    zero = wide.const(0.0)
    with f.loop(0, pieces, 1, [zero, zero, zero]) as loop:
        place = f.offset(table, f.mul(loop.index, 8))
        piece = f.splat(f.load(F64, place, align=8), k.lanes)
        loop.next = list(loop.carried)
        for half in halves:
            loop.next = _add_product(wide, wide.mul(half, piece), *loop.next)
    whole, fraction, rest = loop.results
    return _finish(k, whole, fraction, rest, turn)


def _add_product(
    k: Body, product: Value, whole: Value, fraction: Value, rest: Value
) -> list[Value]:
    """Return whole + fraction + rest + product, with |fraction| <= 1/2, but for multiples of 4."""
    fours = k.mul(k.round("rint", k.mul(product, k.const(0.25))), k.const(4.0))
    total, lost = add_exact(k, fraction, k.sub(product, fours))
    integer = k.round("rint", total)
    return [k.add(whole, integer), k.sub(total, integer), k.add(rest, lost)]


def _finish(
    k: Body, whole: Value, fraction: Value, rest: Value, turn: _Turn
) -> tuple[Value, Value]:
    """Return r and bits of n for an angle of whole + fraction + rest quarters of a turn."""
    wide = k.wide
    about = wide.add(whole, fraction)
    first, step = wide.const(turn.first), wide.const(1.0 / turn.step)
    n = wide.round("rint", wide.mul(wide.sub(about, first), step))
    j = wide.fma(n, wide.const(turn.step), first)
    quarters = wide.add(wide.add(wide.sub(whole, j), fraction), rest)
    r = wide.fma(
        quarters,
        wide.const(1.5707963267948966),
        wide.mul(quarters, wide.const(6.123233995736766e-17)),
    )
    _, bits = nearest(k, k.narrow(n))
    return k.narrow(r), bits


def _pieces_table(k: Body) -> Value:
    one = k.wide.alone
    pieces: list[str] = []
    for number in range(_PIECES):
        bits = _TWO_OVER_PI >> (1200 - _PIECE * (number + 1)) & ((1 << _PIECE) - 1)
        pieces.append(one.const(float(bits) * 2.0 ** (_SHIFT - _PIECE * (number + 1))).text)
    return k.function.module.table("two_over_pi", F64, pieces)
