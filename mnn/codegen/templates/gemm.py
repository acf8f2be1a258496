"""Matrix products of any shape, with what comes after them.

Products run in register tiles over panels of B; few rows times columns that lie along k are dot
products. Operands that lie otherwise are copied first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mnn.codegen.kernel import (
    CONSTANT,
    Buffer,
    Call,
    Epilogue,
    Kernel,
    Slot,
    Tensor,
    contiguous,
)
from mnn.codegen.target import Target
from mnn.codegen.templates import relayout
from mnn.codegen.templates.dots import MOST_ROWS, DotProducts, columns_at_once
from mnn.codegen.templates.epilogue import Ending, ending_of
from mnn.codegen.templates.packing import Panels, can_pack, pack
from mnn.codegen.templates.product import BIAS_EACH, BIAS_ONE, NO_BIAS, Product
from mnn.codegen.templates.tile import FLOAT32, LONG_SUM, PAIRS, Tile, short_product
from mnn.codegen.templates.tiled import TiledProduct, blocks_of, short_row_bytes, tile_of
from mnn.errors import CodegenError
from mnn.records import replace

__all__ = ["lower"]

_CONFLICT_BYTES = 4096
"""Rows at multiples of this distance compete for the same few places of a first-level cache."""
_ROWS_FOR_SHORT = 48
"""From so many rows of A on, rounding a B that has to be packed for it pays."""
_MANY_ROWS = 256
"""From so many rows of A on, packing B costs little beside the product."""
_CACHE_BYTES = 1024 * 1024
"""Of a second-level cache."""
_BYTES_PER_ITEM, _BYTES_PER_GRAIN = 50_000, 300_000
"""Of B, read for dot products: in one piece; and worth handing to another thread."""


def lower(
    a: Tensor,
    b: Tensor,
    out: Tensor,
    target: Target,
    *,
    bias: Tensor | None = None,
    epilogue: Epilogue | None = None,
    low: bool = False,
) -> list[Call]:
    """Return calls that store `epilogue(a @ b + bias)` in `out`.

    Args:
        a: (batch..., M, K) of float32 with any strides; its batch may broadcast.
        b: (batch..., K, N) of float32, likewise; a constant is packed once.
        out: (batch..., M, N) of float32, or of what the epilogue makes. Its memory must not be
            that of an operand.
        bias: (N,) of float32.
        epilogue: its operands broadcast to the shape of `out`.
        low: products of bfloat16 or float16 are exact enough, where the target has them; sums are
            float32 (see `float16`).

    Raises:
        CodegenError: shapes or dtypes do not fit, or a tensor whose columns are not neighbours has
            a dtype or more axes than can be copied.
    """
    _check(a, b, out, bias)
    if not out.size:
        return []
    if not a.shape[-1]:
        # Kernels have at least one term.
        zero = contiguous(Buffer.constant(np.zeros(1, np.float32)), (1, 1), a.dtype)
        a, b = zero.broadcast((out.shape[-2], 1)), zero.broadcast((1, out.shape[-1]))
    operands = epilogue.operands if epilogue else ()
    product = Product(a, b, out, bias, operands).simplified()
    if product.n == 1 and product.m > 1:
        product = product.turned().simplified()
    before: list[Call] = []

    def neighbouring(tensor: Tensor) -> Tensor:
        moved, calls = _with_neighbours(tensor, target)
        before.extend(calls)
        return moved

    product = replace(
        product,
        a=neighbouring(product.a),
        bias=neighbouring(product.bias) if product.bias else None,
        operands=tuple(neighbouring(each) for each in product.operands),
    )
    goal, after = product.out, list[Call]()
    if product.n > 1 and goal.strides[-1] != 1:
        room = Buffer(goal.size * goal.dtype.itemsize, name="columns")
        product = replace(product, out=contiguous(room, goal.shape, goal.dtype))
        after = relayout.lower(product.out, goal, target)
    if epilogue:
        epilogue = replace(epilogue, operands=product.operands)
    ending, _ = ending_of(epilogue, product.out.shape)
    if ending.dtype != out.dtype:
        raise CodegenError(
            f"matrix product: the results are {ending.dtype}, the output is {out.dtype}, expected "
            "equal types. Add a cast to the epilogue."
        )
    if _suits_dots(product, target):
        return [*before, _dots(product, ending, target), *after]
    return [*before, *_tiled(product, ending, target, low), *after]


def _check(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None) -> None:
    shapes = f"{a.shape} @ {b.shape} -> {out.shape}"
    if min(len(a.shape), len(b.shape), len(out.shape)) < 2:
        raise CodegenError(f"matrix product: found {shapes}, expected at least 2 axes each.")
    if (
        a.shape[-1] != b.shape[-2]
        or out.shape[-2:] != (a.shape[-2], b.shape[-1])
        or not all(_broadcasts(each.shape[:-2], out.shape[:-2]) for each in (a, b))
    ):
        raise CodegenError(f"matrix product: found {shapes}, which do not fit together.")
    if bias is not None and bias.shape != out.shape[-1:]:
        raise CodegenError(
            f"matrix product: found a bias of shape {bias.shape}, expected {out.shape[-1:]}."
        )
    found = [each.dtype for each in (a, b, bias) if each is not None]
    if any(each != np.float32 for each in found):
        raise CodegenError(f"matrix product: found {found}, expected float32. Convert first.")


def _broadcasts(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    own = (1,) * (len(wanted) - len(shape)) + shape
    return len(own) == len(wanted) and all(
        have in (1, want) for have, want in zip(own, wanted, strict=True)
    )


def _with_neighbours(tensor: Tensor, target: Target) -> tuple[Tensor, list[Call]]:
    """Return the tensor with neighbours or repetitions on its last axis, and calls that copy."""
    if tensor.shape[-1] == 1 or tensor.strides[-1] in (0, 1):
        return tensor, []
    # What is repeated is copied once.
    shape = tuple(
        size if stride else 1 for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    single = replace(tensor, shape=shape)
    if tensor.is_constant:
        size = single.size * tensor.dtype.itemsize
        room = Buffer(size, CONSTANT, make=lambda: np.ascontiguousarray(single.array()))
        return contiguous(room, shape, tensor.dtype).broadcast(tensor.shape), []
    made, calls = relayout.neighbouring(single, target)
    return made.broadcast(tensor.shape), calls


def _suits_dots(product: Product, target: Target) -> bool:
    """True for few rows and columns along k that are not known beforehand."""
    b = product.b
    return (
        product.m <= MOST_ROWS
        and product.k >= target.lanes
        and not b.is_constant
        and b.strides[-2] == 1
        and product.a.strides[-1] == 1
        and (b.strides[-1] != 1 or product.n == 1)
    )


def _dots(product: Product, ending: Ending, target: Target) -> Call:
    """Return the call that computes dot products."""
    m, n, k = product.m, product.n, product.k
    columns = columns_at_once(target, m, n)
    groups = -(-n // columns)
    block = max(1, min(groups, _BYTES_PER_ITEM // (4 * k * columns)))
    blocks = -(-groups // block)
    bias, slots = _slots(product, ending)
    slots |= {
        "steps": k,
        "n": n,
        "b_column": 4 * product.b.strides[-1],
        "groups": groups,
        "block_groups": block,
        "blocks": blocks,
    }
    kernel = DotProducts(m, columns, bias, len(product.batch), ending)
    grain = _BYTES_PER_GRAIN // (4 * k * columns * block)
    return _call(kernel, kernel.fields(), slots, product, blocks, grain)


def _tiled(product: Product, ending: Ending, target: Target, low: bool) -> list[Call]:
    """Return the calls of a product in register tiles."""
    m, n, k, b = product.m, product.n, product.k, product.b
    lanes = target.lanes
    kind = short_product(target) if low else FLOAT32
    if not (b.is_constant or m >= _ROWS_FOR_SHORT) or not can_pack(b, target, kind):
        kind = FLOAT32
    steps = -(-k // 2) if kind == PAIRS else k
    few_rows = k * 4 >= _CONFLICT_BYTES and product.a.strides[-2] * 4 % _CONFLICT_BYTES == 0
    packed = kind != FLOAT32 or not _stays(product, lanes)
    rows, vectors = tile_of(
        target,
        m,
        n,
        steps,
        product=kind,
        few_rows=few_rows and kind == FLOAT32,
        in_place=not packed,
    )
    panels = Panels(steps, n, vectors, lanes, kind)
    calls: list[Call] = []
    if packed:
        product, calls = _packed(product, panels, target)
    tiles = -(-m // rows)
    tile = Tile(rows, vectors, lanes, kind)
    blocks = blocks_of(tile, math.prod(product.batch), m, n, steps, tiles, panels.panels)
    bias, slots = _slots(product, ending)
    slots |= {
        "b_step": 4 * b.strides[-2],
        "steps": steps,
        "k": k,
        "short_row": short_row_bytes(kind, k),
        "m": m,
        "n": n,
        "panel_bytes": panels.panel_bytes,
        "full": panels.full,
        "panels": panels.panels,
        "tiles": tiles,
        "block_panels": blocks.panels,
        "block_tiles": blocks.tiles,
        "column_blocks": blocks.column_blocks,
        "row_blocks": blocks.row_blocks,
    }
    kernel = TiledProduct(
        rows,
        vectors,
        panels.tail,
        lanes,
        kind,
        bias,
        len(product.batch),
        packed,
        n < lanes,
        kind == FLOAT32 and k > 2 * LONG_SUM,
        ending,
    )
    count = blocks.row_blocks * blocks.column_blocks
    scratch = blocks.tiles * rows * short_row_bytes(kind, k)
    return [*calls, _call(kernel, kernel.fields(), slots, product, count, blocks.grain, scratch)]


def _packed(product: Product, panels: Panels, target: Target) -> tuple[Product, list[Call]]:
    """Return the product with b in panels, its batch strides being theirs, and calls for that."""
    b = product.b
    shape = tuple(
        size if stride else 1 for size, stride in zip(product.batch, b.strides[:-2], strict=True)
    )
    room, calls = pack(replace(b, shape=(*shape, *b.shape[-2:])), panels, target)
    place = contiguous(room, (*shape, panels.bytes // 4), b.dtype)
    place = place.broadcast((*product.batch, panels.bytes // 4))
    strides = (*place.strides[:-1], 0, 1)
    return replace(product, b=replace(place, shape=b.shape, strides=strides)), calls


def _stays(product: Product, lanes: int) -> bool:
    """True when reading b in place costs less than packing it."""
    b = product.b
    if b.is_constant or product.n < lanes or b.strides[-1] != 1:
        return False
    # Rows at multiples of a large power of two compete for few places of a second-level cache.
    distance = 4 * abs(b.strides[-2])
    places = distance & -distance
    return product.m < _MANY_ROWS or product.k * places <= _CACHE_BYTES


def _slots(product: Product, ending: Ending) -> tuple[str, dict[str, Slot]]:
    """Return the kind of bias, and the argument slots that all product kernels share."""
    bias, place = NO_BIAS, product.out.pointer
    if product.bias is not None:
        bias = BIAS_EACH if product.bias.strides[0] else BIAS_ONE
        place = product.bias.pointer
    size = product.out.dtype.itemsize
    slots: dict[str, Slot] = {
        "a": product.a.pointer,
        "b": product.b.pointer,
        "out": product.out.pointer,
        "bias": place,
        "a_row": 4 * product.a.strides[-2],
        "out_row": size * product.out.strides[-2],
    }
    for number, (each, kind) in enumerate(zip(product.operands, ending.operands, strict=True)):
        slots[f"operand{number}"] = each.pointer
        slots[f"operand{number}_row"] = kind.itemsize * each.strides[-2]
    for axis, count in enumerate(product.batch):
        slots[f"size{axis}"] = count
        slots[f"a{axis}"] = 4 * product.a.strides[axis]
        slots[f"b{axis}"] = 4 * product.b.strides[axis]
        slots[f"out{axis}"] = size * product.out.strides[axis]
        for number, (each, kind) in enumerate(zip(product.operands, ending.operands, strict=True)):
            slots[f"operand{number}_{axis}"] = kind.itemsize * each.strides[axis]
    return bias, slots


def _call(
    kernel: Kernel,
    fields: str,
    slots: Mapping[str, Slot],
    product: Product,
    blocks: int,
    grain: int,
    scratch: int = 0,
) -> Call:
    batch, m, n, k = math.prod(product.batch), product.m, product.n, product.k
    shape = "x".join(str(each) for each in (*product.batch, f"({m}x{k}x{n})"))
    return Call(
        kernel,
        tuple(slots[name.lstrip("*")] for name in fields.split()),
        items=batch * blocks,
        grain=max(1, grain),
        scratch=scratch,
        work=batch * m * n * k,
        traffic=4 * batch * (m * k + k * n + m * n),
        label=f"product {shape}",
    )
