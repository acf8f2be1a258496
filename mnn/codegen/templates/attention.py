"""Attention: softmax(scores of queries and keys) times values, in one kernel.

See `mnn.codegen.templates.attention_rows` for how it works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.kernel import Call, Epilogue, Slot, Tensor, contiguous
from mnn.codegen.target import Target
from mnn.codegen.templates import relayout
from mnn.codegen.templates.attention_rows import GROUP, AttentionKernel
from mnn.codegen.templates.epilogue import ending_of
from mnn.codegen.templates.packing import Panels, can_pack, pack
from mnn.codegen.templates.pairs import row_bytes
from mnn.codegen.templates.tile import FLOAT32, HALVES, LONG_SUM, PAIRS, short_product
from mnn.codegen.templates.tiled import short_row_bytes
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["lower"]

_FLOAT = np.dtype(np.float32)
_KEY_BLOCK = 1024
"""Keys at once, about, when there are more than twice as many."""
_SCORE_BYTES = 128 * 1024
"""Of the scores of one item, at most, if that is more than one tile of rows."""
_MANY_ROWS = 256
"""From so many queries on, packing values costs little beside the products."""
_CACHE_BYTES = 1024 * 1024
_BYTES_PER_CYCLE = 18
"""Of panels, from a second-level cache."""
_WORK_PER_MICROSECOND = 100_000.0
"""Multiply-adds."""


@dataclass(frozen=True)
class _Parts:
    """Tensors with the same batch axes.

    Attributes:
        q: (batch..., M, D).    k: (batch..., D, N).    v: (batch..., N, E).
        out: (batch..., M, E).    operands: (batch..., M, N).
    """

    q: Tensor
    k: Tensor
    v: Tensor
    out: Tensor
    operands: tuple[Tensor, ...]

    @property
    def batch(self) -> tuple[int, ...]:
        """Sizes of the batch axes."""
        return self.out.shape[:-2]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Queries, keys, elements of a query, elements of a value."""
        return self.q.shape[-2], self.k.shape[-1], self.q.shape[-1], self.v.shape[-1]

    def simplified(self) -> _Parts:
        """Return the same with few batch axes: of one element dropped, others joined."""
        batch, tensors = self.batch, [self.q, self.k, self.v, self.out, *self.operands]
        tensors = [each.broadcast((*batch, *each.shape[-2:])) for each in tensors]
        axes: list[tuple[int, tuple[int, ...]]] = []
        for axis, size in enumerate(batch):
            steps = tuple(each.strides[axis] for each in tensors)
            if size == 1:
                continue
            if axes and all(a == size * b for a, b in zip(axes[-1][1], steps, strict=True)):
                axes[-1] = (axes[-1][0] * size, steps)
            else:
                axes.append((size, steps))
        q, k, v, out, *operands = (
            replace(
                each,
                shape=(*(size for size, _ in axes), *each.shape[-2:]),
                strides=(*(steps[number] for _, steps in axes), *each.strides[-2:]),
            )
            for number, each in enumerate(tensors)
        )
        return _Parts(q, k, v, out, tuple(operands))


def lower(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    target: Target,
    *,
    scores: Epilogue | None = None,
    causal: bool = False,
    zero: bool = False,
    low: bool = False,
) -> list[Call]:
    """Return calls that store `softmax(scores(q @ k)) @ v` in `out`, softmax along the last axis.

    Args:
        q: (batch..., M, D) of float32 with any strides; its batch may broadcast.
        k: (batch..., D, N), v: (batch..., N, E), likewise.
        out: (batch..., M, E) of float32; elements of a row are neighbours. Overlaps nothing.
        scores: what becomes of the products before softmax, float32 again; operands broadcast to
            (batch..., M, N).
        causal: a query sees keys up to its own place only, the last one up to the last key.
        zero: a query that sees nothing, because all its scores are -inf, gets zeros and not NaN.
        low: products of bfloat16 or float16 are exact enough, where the target has them; sums are
            float32 (see `float16`).

    Raises:
        CodegenError: shapes or dtypes do not fit, or there is nothing to sum over.
    """
    _check(q, k, v, out)
    if not out.size:
        return []
    calls: list[Call] = []

    def neighbouring(tensor: Tensor) -> Tensor:
        made, before = relayout.neighbouring(tensor, target)
        calls.extend(before)
        return made

    operands = [neighbouring(each) for each in (scores.operands if scores else ())]
    grid = (*out.shape[:-1], k.shape[-1])
    if scores is not None:
        scores = replace(scores, operands=tuple(operands))
    ending, spread = ending_of(scores, grid)
    if ending.dtype != _FLOAT:
        raise CodegenError(f"attention: scores become {ending.dtype}, expected float32.")
    parts = _Parts(neighbouring(q), k, v, out, spread).simplified()
    m, n, depth, e = parts.sizes
    product = short_product(target) if low else FLOAT32
    if not all(can_pack(each, target, product) for each in (parts.k, parts.v)):
        product = FLOAT32
    share = 2 if product == PAIRS else 1
    rows, key_vectors, value_vectors = _tile(target, m, n, -(-depth // share), e, product)
    keys = Panels(-(-depth // share), n, key_vectors, target.lanes, product)
    values = Panels(-(-n // share), e, value_vectors, target.lanes, product)
    packed = product != FLOAT32 or not _stays(parts, target.lanes)
    parts = replace(parts, k=_packed(parts.k, parts.batch, keys, target, calls))
    if packed:
        parts = replace(parts, v=_packed(parts.v, parts.batch, values, target, calls))
    block = _block_keys(n, key_vectors * target.lanes)
    kernel = AttentionKernel(
        rows,
        key_vectors,
        keys.tail,
        value_vectors,
        values.tail,
        target.lanes,
        product,
        len(parts.batch),
        packed,
        n < target.lanes,
        e < target.lanes,
        product != HALVES and depth > share * 2 * LONG_SUM,
        product != HALVES and min(block, n) > share * 2 * LONG_SUM,
        block < n,
        causal,
        zero,
        ending,
    )
    return [*calls, _call(kernel, parts, keys, values, block, calls)]


def _check(q: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
    shapes = f"softmax({q.shape} @ {k.shape}) @ {v.shape} -> {out.shape}"
    if min(len(each.shape) for each in (q, k, v, out)) < 2:
        raise CodegenError(f"attention: found {shapes}, expected at least 2 axes each.")
    batch = out.shape[:-2]
    fits = (
        q.shape[-1] == k.shape[-2]
        and k.shape[-1] == v.shape[-2]
        and out.shape[-2:] == (q.shape[-2], v.shape[-1])
        and all(
            len(each.shape) <= len(out.shape)
            and all(
                have in (1, want)
                for have, want in zip(reversed(each.shape[:-2]), reversed(batch), strict=False)
            )
            for each in (q, k, v)
        )
    )
    if not fits:
        raise CodegenError(f"attention: found {shapes}, which do not fit together.")
    if not q.shape[-1] or not k.shape[-1]:
        raise CodegenError(f"attention: found {shapes}, expected keys, and elements of them.")
    if any(each.dtype != _FLOAT for each in (q, k, v, out)):
        found = [str(each.dtype) for each in (q, k, v, out)]
        raise CodegenError(f"attention: found {found}, expected float32. Convert first.")
    if out.shape[-1] > 1 and out.strides[-1] != 1:
        raise CodegenError("attention: elements of a result lie apart. Copy it afterwards.")


def _tile(target: Target, m: int, n: int, depth: int, e: int, product: str) -> tuple[int, int, int]:
    """Return the rows of register tiles, and the vectors of a panel of keys and of values."""
    if product == HALVES:
        # A register has the columns of two vectors.
        lanes = target.lanes
        rows, keys, values = _tile(replace(target, lanes=2 * lanes), m, n, depth, e, FLOAT32)
        return rows, min(2 * keys, -(-n // lanes)), min(2 * values, -(-e // lanes))
    share = 2 if product == PAIRS else 1
    limits: dict[int, int] = {}
    for rows, vectors in target.tiles:
        for fewer in range(1, vectors + 1):
            limits[fewer] = max(rows, limits.get(fewer, 0))
    best, chosen = math.inf, (1, 1, 1)
    for rows in range(1, min(m, max(limits.values())) + 1):
        fitting = [vectors for vectors, limit in limits.items() if rows <= limit]
        costs = [
            min((_cost(target, rows, vectors, columns, steps), vectors) for vectors in fitting)
            for columns, steps in ((n, depth), (e, -(-n // share)))
        ]
        cost = -(-m // rows) * sum(each for each, _ in costs)
        if cost < best:
            best, chosen = cost, (rows, costs[0][1], costs[1][1])
    return chosen


def _cost(target: Target, rows: int, vectors: int, columns: int, steps: int) -> float:
    """Return about how many cycles all panels take for one tile of rows."""
    full, tail = divmod(-(-columns // target.lanes), vectors)
    total = 0.0
    for many, each in ((full, vectors), (1 if tail else 0, tail)):
        # A few rows use up panels faster than a second-level cache delivers them.
        delivered = target.vector_bytes * each / _BYTES_PER_CYCLE
        arithmetic = rows * each / (2 if target.fused else 1)
        step = max(arithmetic, (rows + each) / 2, 4, delivered)
        total += many * (steps * step + 1.5 * rows * each + 12)
    return total


def _stays(parts: _Parts, lanes: int) -> bool:
    """True when reading values in place costs less than packing them."""
    v, (m, n, _, e) = parts.v, parts.sizes
    if e < lanes or v.strides[-1] != 1:
        return False
    # Rows at multiples of a large power of two compete for few places of a second-level cache.
    distance = 4 * abs(v.strides[-2])
    return m < _MANY_ROWS or n * (distance & -distance) <= _CACHE_BYTES


def _packed(
    b: Tensor,
    batch: Sequence[int],
    panels: Panels,
    target: Target,
    calls: list[Call],
) -> Tensor:
    """Return a tensor of the shape of b whose batch strides are those of its panels."""
    own = tuple(size if stride else 1 for size, stride in zip(batch, b.strides[:-2], strict=True))
    room, before = pack(replace(b, shape=(*own, *b.shape[-2:])), panels, target)
    calls.extend(before)
    place = contiguous(room, (*own, panels.bytes // 4), _FLOAT)
    place = place.broadcast((*batch, panels.bytes // 4))
    return replace(place, shape=b.shape, strides=(*place.strides[:-1], 0, 1))


def _block_keys(n: int, width: int) -> int:
    """Return how many keys are worked on at once; all panels are whole, the last block has two."""
    panels = -(-n // width)
    if n <= 2 * _KEY_BLOCK:
        return panels * width
    most = max(4, _KEY_BLOCK // width)
    for each in range(most, most // 2, -1):
        if panels % each == 0 or panels % each >= 2:
            return each * width
    return panels * width


def _call(
    kernel: AttentionKernel,
    parts: _Parts,
    keys: Panels,
    values: Panels,
    block: int,
    before: Sequence[Call],
) -> Call:
    m, n, depth, e = parts.sizes
    batch, rows = math.prod(parts.batch), kernel.rows
    group = 2 * kernel.lanes
    score_row = row_bytes(2 * group * -(-min(block, n) // group))
    query_row = short_row_bytes(kernel.product, depth)
    sum_row = 4 * values.count * kernel.lanes if kernel.online else 0
    tiles = -(-m // rows)
    block_tiles = max(1, min(4, tiles, _SCORE_BYTES // (rows * score_row)))
    row_blocks = -(-tiles // block_tiles)
    block_tiles = -(-tiles // row_blocks)
    row_blocks = -(-tiles // block_tiles)
    count = -(-block_tiles * rows // GROUP) * GROUP
    places = [-(-12 * count // 64) * 64]
    for each in (score_row, query_row, sum_row):
        places.append(-(-(places[-1] + each * count) // 64) * 64)
    size = 4
    slots: dict[str, Slot] = {
        "a": parts.q.pointer,
        "b": parts.k.pointer,
        "v": parts.v.pointer,
        "out": parts.out.pointer,
        "a_row": size * parts.q.strides[-2],
        "v_step": size * parts.v.strides[-2],
        "out_row": size * parts.out.strides[-2],
        "depth": depth,
        "m": m,
        "n": n,
        "e": e,
        "tiles": tiles,
        "block_tiles": block_tiles,
        "row_blocks": row_blocks,
        "key_bytes": keys.panel_bytes,
        "full_keys": keys.full,
        "keys": keys.panels,
        "block_keys": block,
        "value_bytes": values.panel_bytes,
        "full_values": values.full,
        "values": values.panels,
        "score_row": score_row,
        "query_row": query_row,
        "sum_row": sum_row,
        "row_room": count,
        "place_scores": places[0],
        "place_queries": places[1],
        "place_sums": places[2],
    }
    slots |= _batch_slots(kernel, parts)
    work = batch * m * n * (depth + e)
    items = batch * row_blocks
    shape = "x".join(str(each) for each in (*parts.batch, f"({m}x{depth}x{n}x{e})"))
    return Call(
        kernel,
        tuple(slots[name.lstrip("*")] for name in kernel.fields().split()),
        items,
        grain=max(1, math.floor(5 * _WORK_PER_MICROSECOND * items / work)),
        scratch=places[3],
        work=work // 2 if kernel.causal else work,
        traffic=size * batch * (m * depth + depth * n + n * e + m * e),
        label=f"attention {shape}",
    )


def _batch_slots(kernel: AttentionKernel, parts: _Parts) -> dict[str, Any]:
    """Return the slots of operands and of batch axes."""
    slots: dict[str, Any] = {}
    operands = list(zip(parts.operands, kernel.ending.operands, strict=True))
    for number, (each, kind) in enumerate(operands):
        slots[f"operand{number}"] = each.pointer
        slots[f"operand{number}_row"] = kind.itemsize * each.strides[-2]
    for axis, count in enumerate(parts.batch):
        slots[f"size{axis}"] = count
        for name, tensor in (("a", parts.q), ("b", parts.k), ("v", parts.v), ("out", parts.out)):
            slots[f"{name}{axis}"] = 4 * tensor.strides[axis]
        for number, (each, kind) in enumerate(operands):
            slots[f"operand{number}_{axis}"] = kind.itemsize * each.strides[axis]
    return slots
