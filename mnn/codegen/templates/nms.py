"""Non-maximum suppression: the best boxes of which none overlaps a better one too much.

For each class the scores above a limit are sorted; then every box is compared with those kept so
far, several at once. Quotients are only computed where a product says that it may be close.
"""

from __future__ import annotations

import math
import struct
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F64, I1, I32, I64, Function, Index, Module, Value, vector
from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.access import memory_type
from mnn.codegen.templates.ordering import key_bits, ordered_key
from mnn.codegen.templates.sort import RadixSort, scratch_bytes
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["NmsKernel", "lower"]

_DOUBLE = np.dtype(np.float64)
_BLOCK = 16
"""Vectors of kept boxes that are compared before the search may end."""
_PARTS = 5
"""Numbers of a kept box: two lower and two upper corners, and the area."""


@dataclass(frozen=True)
class NmsKernel(Kernel):
    """The positions of kept boxes for each batch entry and class, best first, and how many.

    Attributes:
        boxes, scores: dtypes, float32 or float64. All is computed in float64.
    """

    boxes: str
    scores: str

    def fields(self) -> str:
        """Return the names of the argument block: strides are in bytes.

        `threshold`, `nearly` and `least` are the bits of float64: the largest overlap that is
        allowed, a little less, and what a score must exceed. Scratch begins with that of the sort.
        """
        names = "*boxes *scores *kept *counts box_batch box_row box_step score_batch score_class "
        names += "score_step kept_row classes length limit threshold nearly least sort_bytes room"
        return names

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Nms(self, module.entry(), target).build()
        return module


class _Nms:
    """Builds the code of an NmsKernel."""

    def __init__(self, kernel: NmsKernel, f: Function, target: Target) -> None:
        self.kernel, self.f = kernel, f
        self.lanes = target.vector_bytes // 8
        self.k = Body(f, self.lanes, _DOUBLE)
        self.block: SimpleNamespace = f.block(kernel.fields())
        scratch = f.arguments[3]
        self.pairs = RadixSort(f, key_bits(kernel.scores), scratch, self.block.length)
        self.parts = f.offset(scratch, self.block.sort_bytes)
        self.rank, self.kept = f.keep("rank", 8), f.keep("kept", 8)
        self.hit = f.keep("hit", 8)

    def _number(self, bits: Value) -> Value:
        """Return the float64 of these bits."""
        return self.f.make(f"bitcast i64 {bits.text} to double", F64)

    def build(self) -> None:
        """Build the work on all classes of all batch entries."""
        f, block = self.f, self.block
        with f.loop(f.arguments[1], f.arguments[2]) as items:
            batch = f.div(items.index, block.classes)
            label = f.rem(items.index, block.classes)
            boxes = f.offset(block.boxes, f.mul(batch, block.box_batch))
            scores = f.offset(block.scores, f.mul(batch, block.score_batch))
            scores = f.offset(scores, f.mul(label, block.score_class))
            kept = f.offset(block.kept, f.mul(items.index, block.kept_row))
            count = self._candidates(scores)
            f.store(f.constant(0), self.kept, 8)
            with f.when(f.compare("sgt", count, 0)):
                self.pairs.sort(count)
                self._choose(boxes, kept, count)
            found = f.make(f"trunc i64 {f.load(I64, self.kept, 8).text} to i32", I32)
            f.store(found, f.offset(block.counts, f.mul(items.index, 4)))

    def _candidates(self, scores: Value) -> Value:
        """Build the list of scores that are large enough and return their number."""
        f, kernel, block = self.f, self.kernel, self.block
        one = Body(f, 1, np.dtype(kernel.scores))
        least, size = self._number(block.least), np.dtype(kernel.scores).itemsize
        f.store(f.constant(0), self.rank, 8)
        self.pairs.clear()
        with f.loop(0, block.length) as loop:
            place = f.offset(scores, f.mul(loop.index, block.score_step))
            score = f.load(memory_type(kernel.scores), place, size)
            wide = one.convert(score, np.dtype(kernel.scores), _DOUBLE)
            with f.when(self.k.compare("gt", wide, least)):
                key = ordered_key(f, kernel.scores, score, descending=True)
                position = loop.index
                if key.type == I32:
                    position = f.make(f"trunc i64 {position.text} to i32", I32)
                number = f.load(I64, self.rank, 8)
                self.pairs.put(number, key, position)
                f.store(f.value(f.add(number, 1)), self.rank, 8)
        return f.load(I64, self.rank, 8)

    def _choose(self, boxes: Value, kept: Value, count: Value) -> None:
        """Build the walk over candidates, until there are enough boxes."""
        f, block = self.f, self.block
        f.store(f.constant(0), self.rank, 8)
        with f.repeat() as leave:
            rank, number = f.load(I64, self.rank, 8), f.load(I64, self.kept, 8)
            leave(f.compare("sge", rank, count))
            leave(f.compare("sge", number, block.limit))
            position = self.pairs.position(rank)
            wide, narrow = position, position
            if position.type == I32:
                wide = f.make(f"zext i32 {position.text} to i64", I64)
            else:
                narrow = f.make(f"trunc i64 {position.text} to i32", I32)
            box = self._box(f.offset(boxes, f.mul(wide, block.box_row)))
            self._compare(box, number)
            with f.when(f.compare("eq", f.load(I64, self.hit, 8), 0)):
                self._keep(box, number)
                f.store(narrow, f.offset(kept, f.mul(number, 4)))
                f.store(f.value(f.add(number, 1)), self.kept, 8)
            f.store(f.value(f.add(rank, 1)), self.rank, 8)

    def _box(self, place: Value) -> list[Value]:
        """Return the lower and upper corners of a box, and its area."""
        f, dtype = self.f, np.dtype(self.kernel.boxes)
        one, alone = Body(f, 1, dtype), self.k.alone
        found = [
            one.convert(
                f.load(
                    memory_type(dtype.name),
                    f.offset(place, f.mul(self.block.box_step, each)),
                    dtype.itemsize,
                ),
                dtype,
                _DOUBLE,
            )
            for each in range(4)
        ]
        low = [alone.minimum(found[axis], found[axis + 2]) for axis in (0, 1)]
        high = [alone.maximum(found[axis], found[axis + 2]) for axis in (0, 1)]
        area = alone.mul(alone.sub(high[0], low[0]), alone.sub(high[1], low[1]))
        return [*low, *high, area]

    def _part(self, part: int, number: Index) -> Value:
        """Return where a number of a kept box is."""
        f = self.f
        return f.offset(self.parts, f.mul(f.add(f.mul(self.block.room, part), number), 8))

    def _keep(self, box: list[Value], number: Value) -> None:
        """Build the storing of a kept box; those behind it have no area."""
        f, k = self.f, self.k
        with f.when(f.compare("eq", f.rem(number, self.lanes), 0)):
            for part in range(_PARTS):
                f.store(k.const(0.0), self._part(part, number), 8)
        for part, value in enumerate(box):
            f.store(value, self._part(part, number), 8)

    def _compare(self, box: list[Value], count: Value) -> None:
        """Build the search for a kept box that overlaps too much; `hit` is 1 when there is one."""
        f, k = self.f, self.k
        spread = [f.splat(each, self.lanes) for each in box]
        nearly = f.splat(self._number(self.block.nearly), self.lanes)
        limit = f.splat(self._number(self.block.threshold), self.lanes)
        none = Value("zeroinitializer" if self.lanes > 1 else "false", vector(self.lanes, I1))
        f.store(f.constant(0), self.hit, 8)
        step = _BLOCK * self.lanes
        with f.loop(0, count, step) as blocks, f.when(f.compare("eq", f.load(I64, self.hit, 8), 0)):
            end = f.min(f.add(blocks.index, step), count)
            with f.loop(blocks.index, end, self.lanes, [none]) as loop:
                shared, union, _ = self._overlap(spread, loop.index)
                far = k.compare("le", shared, k.mul(nearly, union))
                near = k.bits("bitwise_not", far)
                loop.next = [k.logical("logical_or", loop.carried[0], near)]
            with f.when(k.any(loop.results[0])):
                with f.loop(blocks.index, end, self.lanes, [none]) as exact:
                    shared, union, valid = self._overlap(spread, exact.index)
                    within = k.compare("le", k.div(shared, union), limit)
                    beyond = f.both(valid, k.bits("bitwise_not", within))
                    exact.next = [k.logical("logical_or", exact.carried[0], beyond)]
                found = k.any(exact.results[0])
                f.store(f.make(f"zext i1 {found.text} to i64", I64), self.hit, 8)

    def _overlap(self, box: list[Value], index: Index) -> tuple[Value, Value, Value]:
        """Return the areas that are shared with kept boxes, and joined, and where both count."""
        f, k = self.f, self.k
        other = [f.load(k.type, self._part(part, index), 8) for part in range(_PARTS)]
        zero = k.const(0.0)
        sides = []
        for axis in (0, 1):
            low = _larger(k, box[axis], other[axis])
            high = _smaller(k, box[axis + 2], other[axis + 2])
            sides.append(_larger(k, k.sub(high, low), zero))
        shared = k.mul(*sides)
        union = k.sub(k.add(other[4], box[4]), shared)
        valid = f.both(k.compare("gt", other[4], 0.0), k.compare("gt", box[4], 0.0))
        return shared, union, f.both(valid, k.compare("gt", union, 0.0))


def _larger(k: Body, left: Value, right: Value) -> Value:
    """Return the larger one; boxes with NaN have no area that counts."""
    return k.pick(k.compare("gt", left, right), left, right)


def _smaller(k: Body, left: Value, right: Value) -> Value:
    return k.pick(k.compare("lt", left, right), left, right)


def _bits(number: float) -> int:
    found: int = struct.unpack("<q", struct.pack("<d", number))[0]
    return found


def lower(
    boxes: Tensor,
    scores: Tensor,
    kept: Tensor,
    counts: Tensor,
    target: Target,
    *,
    iou_threshold: float,
    score_threshold: float,
) -> list[Call]:
    """Return the calls that find the boxes to be kept.

    Args:
        boxes: (batch, n, 4) of float32 or float64, two opposite corners each, any strides.
        scores: (batch, classes, n) of float32 or float64, any strides.
        kept: (batch, classes, limit) of int32, contiguous: positions of boxes, best first. Those
            beyond the count are left as they are.
        counts: (batch, classes) of int32, contiguous.
        iou_threshold: a box is dropped if it overlaps a kept one by more; >= 0.
        score_threshold: a score must exceed this, as a number of the dtype of the scores.

    Raises:
        CodegenError: dtypes or shapes do not fit, or a negative threshold.
    """
    shapes = f"boxes {boxes.shape}, scores {scores.shape}, kept {kept.shape}, {counts.shape}"
    fits = (
        len(boxes.shape) == len(scores.shape) == len(kept.shape) == 3
        and boxes.shape == (scores.shape[0], scores.shape[2], 4)
        and kept.shape[:2] == counts.shape == scores.shape[:2]
    )
    if not fits or scores.shape[2] >= 2**31:
        raise CodegenError(f"nms: found {shapes}, which do not fit together.")
    floats = (np.dtype(np.float32), _DOUBLE)
    if boxes.dtype not in floats or scores.dtype not in floats or not iou_threshold >= 0:
        raise CodegenError(
            f"nms: found boxes of {boxes.dtype}, scores of {scores.dtype} and an overlap of "
            f"{iou_threshold}, expected floats and a number >= 0."
        )
    batch, classes, limit = kept.shape
    length = scores.shape[2]
    if not batch * classes:
        return []
    kernel = NmsKernel(boxes.dtype.name, scores.dtype.name)
    least = float(scores.dtype.type(score_threshold))
    lanes = target.vector_bytes // 8
    limit = min(limit, length)
    room = -(-limit // lanes) * lanes
    sort_bytes = -(-scratch_bytes(key_bits(scores.dtype.name), length) // 64) * 64
    size, wide = boxes.dtype.itemsize, scores.dtype.itemsize
    slots: tuple[Slot, ...] = (
        boxes.pointer,
        scores.pointer,
        kept.pointer,
        counts.pointer,
        *(each * size for each in boxes.strides),
        *(each * wide for each in scores.strides),
        4 * kept.shape[2],
        classes,
        length,
        limit,
        _bits(iou_threshold),
        _bits(iou_threshold * (1 - 1e-12)),
        _bits(least),
        sort_bytes,
        room,
    )
    return [
        Call(
            kernel,
            slots,
            items=batch * classes,
            grain=max(1, 2048 // max(length, 1)),
            scratch=sort_bytes + _PARTS * 8 * room,
            traffic=math.prod(boxes.shape) * size + math.prod(scores.shape) * wide,
            label=f"nms {batch}x{classes}x{length}",
        )
    ]
