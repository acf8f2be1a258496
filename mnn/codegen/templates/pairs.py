"""float32 rounded to bfloat16, in the pairs that the dot product instructions of x86 take."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.codegen.builder import F32, I32, Function, Index, Value, vector

__all__ = ["neighbours", "pairs_along_rows", "row_bytes", "side_by_side", "store_pairs"]

Array = np.ndarray[Any, Any]

_STEP = 32
"""Elements converted at once."""
_BLOCK = 32 * 1024
"""Pairs of constants rounded at once."""


def pairs_along_rows(matrix: Array) -> Array:
    """Return (ceil(depth / 2), columns) of uint32: rows 2 i and 2 i + 1 of float32, side by side.

    Rounds to nearest even; NaN stays NaN. A missing last row is 0.
    """
    depth, columns = matrix.shape
    if matrix.strides[0] == matrix.itemsize:
        # Columns lie together, and so do their pairs.
        halves = np.zeros((columns, depth + depth % 2), np.uint16)
        block = max(1, 2 * _BLOCK // depth)
        for start in range(0, columns, block):
            part = np.array(matrix.T[start : start + block], np.float32, order="C")
            halves[start : start + block, :depth] = _rounded(part)
        made: Array = halves.view(np.uint32).T
        return made
    made = np.empty((-(-depth // 2), columns), np.uint32)
    # Blocks that stay in a cache while several passes go over them.
    block = 2 * max(1, _BLOCK // max(1, columns))
    for start in range(0, depth, block):
        rounded = _rounded(np.array(matrix[start : start + block], np.float32, order="C"))
        goal = made[start // 2 : start // 2 + -(-len(rounded) // 2)]
        goal[...] = rounded[::2]
        goal[: len(rounded) // 2] |= rounded[1::2] << np.uint32(16)
    return made


def _rounded(values: Array) -> Array:
    """Return the bits of the nearest bfloat16 as uint32; the memory of `values` is used."""
    bits: Array = values.view(np.uint32)
    with np.errstate(all="ignore"):
        special = np.isnan(values) if np.isnan(values.sum()) else None
    quiet = None if special is None else (bits[special] >> 16) | 0x40
    odd = bits >> 16
    odd &= 1
    odd += 0x7FFF
    bits += odd
    bits >>= 16
    if special is not None:
        bits[special] = quiet
    return bits


def row_bytes(count: int) -> int:
    """Return the distance of rows of `count` elements that `store_pairs` writes."""
    # An odd number of cache lines: rows never lie at multiples of a large power of two.
    lines = -(-count // _STEP)
    return 64 * (lines | 1)


def store_pairs(f: Function, source: Value, count: Index, goal: Value) -> None:
    """Build the conversion of `count` neighbouring float32 to bfloat16.

    Args:
        goal: memory aligned to 64, written in whole multiples of 64 bytes; zeros follow the last
            element. The target must have `bfloat16`.
    """
    whole = f.floor_to(count, _STEP)
    kind = vector(16, F32)
    with f.loop(0, whole, _STEP) as loop:
        place = f.offset(source, f.mul(loop.index, 4))
        halves = [f.load(kind, place), f.load(kind, f.offset(place, 64))]
        _store(f, halves, f.offset(goal, f.mul(loop.index, 2)))
    with f.loop(whole, count, _STEP) as loop:
        place = f.offset(source, f.mul(loop.index, 4))
        rest = f.sub(count, loop.index)
        halves = [
            f.load_masked(kind, f.offset(place, 4 * start), f.first_lanes(rest, 16, start))
            for start in (0, 16)
        ]
        _store(f, halves, f.offset(goal, f.mul(loop.index, 2)))


def side_by_side(f: Function, low: Value, high: Value) -> Value:
    """Return the pairs of two vectors of 16 float32: <16 x i32>, `low` in the lower halves."""
    order = [lane // 2 + 16 * (lane % 2) for lane in range(_STEP)]
    return _integers(f, f.shuffle(_joined(f, low, high), None, order))


def neighbours(f: Function, low: Value, high: Value) -> Value:
    """Return the pairs of 32 neighbouring float32 in two vectors: <16 x i32>."""
    return _integers(f, _joined(f, low, high))


def _store(f: Function, halves: list[Value], goal: Value) -> None:
    f.store(_joined(f, *halves), goal, align=64)


def _joined(f: Function, low: Value, high: Value) -> Value:
    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    return f.intrinsic(name, vector(_STEP, "bfloat"), [high, low])


def _integers(f: Function, value: Value) -> Value:
    kind = vector(_STEP // 2, I32)
    return f.make(f"bitcast {value.type} {value.text} to {kind}", kind)
