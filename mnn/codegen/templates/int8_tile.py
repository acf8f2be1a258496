"""Products of 8-bit integers, summed exactly in 32 bits: what register tiles do along k.

A step along k multiplies 4 bytes of a row with 4 bytes of each column: as many 8-bit numbers
where the machine has dot products of bytes, else two 16-bit ones. Rows are copied to scratch memory
before, in the form that the products want (see `int8_lines`); columns are constants.

| product | row | column | instruction |
|---|---|---|---|
| BYTES | 4 unsigned: code + 128 | 4 signed | vpdpbusd |
| SIGNED | 4 signed: the code | 4 signed | sdot |
| PAIRS | 2 signed: code - zero | 2 signed | pmaddwd, add |
| WIDENED | 2 signed: code - zero | 2 signed, apart | two multiply-adds of 16 to 32 bits |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import I8, I16, I32, Function, Index, Value, lanes_of, vector
from mnn.codegen.target import Target
from mnn.codegen.templates.tile import Rows, Tile, prefetch_panel
from mnn.errors import CodegenError

__all__ = [
    "BYTES",
    "PAIRS",
    "SIGNED",
    "WIDENED",
    "accumulate",
    "add_products",
    "arranged",
    "depth_of",
    "fits",
    "in_vectors",
    "product_of",
    "starting_sums",
]

BYTES, SIGNED, PAIRS, WIDENED = "bytes", "signed bytes", "pairs", "widened pairs"

Array = np.ndarray[Any, Any]
_INT32 = np.dtype(np.int32)
_LARGEST = 255 * 128
"""No product of (code - zero) and a weight is larger."""


def product_of(target: Target) -> str:
    """Return what multiplies fastest on a target."""
    if target.int8:
        return SIGNED if target.int8_signed else BYTES
    return PAIRS if target.sums_pairs else WIDENED


def depth_of(product: str) -> int:
    """Return the numbers along k of a step."""
    return 4 if product in (BYTES, SIGNED) else 2


def fits(terms: int) -> bool:
    """True when sums of so many products are never beyond 32 bits."""
    return terms * _LARGEST < 1 << 31


def starting_sums(weight: Array, zero: int, product: str) -> Array:
    """Return int32 sums to begin with, so that they become those of (code - zero) * weight.

    Args:
        weight: (outputs, ...) of int8.
        zero: code of the number 0; what rows hold where there is no input.

    Raises:
        CodegenError: sums could leave 32 bits.
    """
    flat = weight.reshape(weight.shape[0], -1).astype(np.int64)
    if not fits(flat.shape[1]):
        raise CodegenError(
            f"int8: sums of {flat.shape[1]} products may not fit in 32 bits. Compute in float32."
        )
    shift = {BYTES: zero + 128, SIGNED: zero}.get(product, 0)
    made: Array = (-shift * flat.sum(axis=1)).astype(np.int32)
    return made


def arranged(steps: Array, product: str) -> Array:
    """Return weights as 4-byte elements, one for each step and column.

    Args:
        steps: (..., steps, `depth_of`, columns) of int8.

    Returns:
        (..., steps, columns) of int32, to be read as bits.
    """
    kind = np.dtype(np.int8 if depth_of(product) == 4 else np.int16)
    moved = np.ascontiguousarray(np.swapaxes(steps, -1, -2).astype(kind))
    made: Array = moved.view(np.int32)[..., 0]
    return made


def in_vectors(elements: Array, product: str, lanes: int) -> Array:
    """Return elements that lie in whole vectors as products want these.

    For WIDENED, the first numbers of all columns of a vector are in front of the second ones.

    Args:
        elements: of `arranged`; the last axis has whole vectors.
    """
    if product != WIDENED:
        return elements
    halves = np.ascontiguousarray(elements).view(np.int16)
    turned = np.swapaxes(halves.reshape(-1, lanes, 2), -1, -2)
    return np.ascontiguousarray(turned).reshape(halves.shape).view(np.int32)


def accumulate(
    f: Function,
    tile: Tile,
    product: str,
    sums: Sequence[Value],
    rows: Rows,
    panel: Value,
    steps: Index,
    *,
    ahead: int = 0,
) -> list[Value]:
    """Return int32 sums plus the products of `steps` steps along k, at least one.

    Args:
        tile: its geometry; a step of a panel has 4 bytes for each column.
        rows: where rows begin; a step is 4 bytes further on.
        panel: columns of the first step, aligned to a vector.
        ahead: how many bytes further on the panel is asked for, 0 for not at all.
    """
    at = rows.ready(f, tile.rows)
    kind, size = vector(tile.lanes, I32), 4 * tile.lanes
    align = 1 if depth_of(product) == 4 else 2
    with f.turns(0, steps, 1, sums) as loop:
        place = f.offset(panel, f.mul(loop.index, tile.panel_step))
        if ahead:
            prefetch_panel(f, tile, place, ahead)
        columns = [
            f.load(kind, f.offset(place, each * size), align=size) for each in range(tile.vectors)
        ]
        loop.next = []
        for row, pointer in enumerate(at(f.mul(loop.index, 4))):
            factor = f.splat(f.load(I32, pointer, align=align), tile.lanes)
            own = loop.carried[row * tile.vectors : (row + 1) * tile.vectors]
            loop.next += [
                add_products(f, product, total, factor, each, equal=True)
                for total, each in zip(own, columns, strict=True)
            ]
    return loop.results


def add_products(
    f: Function, product: str, total: Value, row: Value, column: Value, *, equal: bool = False
) -> Value:
    """Return int32 sums plus, in each lane, the products of its 4 bytes of `row` and of `column`.

    For WIDENED, `column` has the first numbers of all lanes in front.

    Args:
        equal: all lanes of `row` are equal.

    Raises:
        CodegenError: the target does not have such products.
    """
    lanes = lanes_of(total.type)
    if product in (BYTES, SIGNED):
        return _dots(f, product, total, row, column, lanes)
    k = Body(f, lanes, _INT32)
    if product == PAIRS:
        if not f.target.sums_pairs or lanes not in _PAIR_SUMS:
            raise CodegenError(f"int8: sums of pairs on {f.target.name}, which has none.")
        halves = vector(2 * lanes, I16)
        given = [_cast(f, each, halves) for each in (row, column)]
        return k.add(total, f.intrinsic(_PAIR_SUMS[lanes], total.type, given))
    halves = vector(2 * lanes, I16)
    factors, weights = _cast(f, row, halves), _cast(f, column, halves)
    for number in range(2):
        places = [number] * lanes if equal else range(number, 2 * lanes, 2)
        factor = f.shuffle(factors, None, places)
        total = add_widened(f, total, factor, _half(f, weights, number))
    return total


def add_widened(f: Function, total: Value, factor: Value, weight: Value) -> Value:
    """Return int32 sums plus the products of 16-bit lanes."""
    k = Body(f, lanes_of(total.type), _INT32)
    wide = [f.make(f"sext {v.type} {v.text} to {total.type}", total.type) for v in (factor, weight)]
    return k.add(total, k.mul(*wide))


def _half(f: Function, value: Value, number: int) -> Value:
    """Return the first or second half of the lanes."""
    count = lanes_of(value.type) // 2
    return f.shuffle(value, None, range(number * count, (number + 1) * count))


_PAIR_SUMS = {
    4: "llvm.x86.sse2.pmadd.wd",
    8: "llvm.x86.avx2.pmadd.wd",
    16: "llvm.x86.avx512.pmaddw.d.512",
}


def _dots(f: Function, product: str, total: Value, row: Value, column: Value, lanes: int) -> Value:
    signed = product == SIGNED
    if not f.target.int8 or signed != f.target.int8_signed or 4 * lanes > f.target.vector_bytes:
        raise CodegenError(
            f"int8: dot products of {product} in {lanes} lanes on {f.target.name}, which has none."
        )
    kind = vector(4 * lanes, I8)
    given = [_cast(f, each, kind) for each in (row, column)]
    if signed:
        name = f"llvm.aarch64.neon.sdot.v{lanes}i32.v{4 * lanes}i8"
    else:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
    return f.intrinsic(name, total.type, [total, *given])


def _cast(f: Function, value: Value, kind: str) -> Value:
    if value.type == kind:
        return value
    return f.make(f"bitcast {value.type} {value.text} to {kind}", kind)
