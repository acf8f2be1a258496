"""Running sums and products along one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Index, Module, Value
from mnn.codegen.kernel import Call, Kernel, Slot, Tensor
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    FAR,
    REVERSED,
    SIDE,
    Stream,
    cut_rows,
    masks_tails,
    odometer,
    stride_class,
    tail_mask,
    vector_lanes,
)
from mnn.codegen.templates.space import Operand, Space, canonical
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = ["ScanKernel", "lower_scan"]


@dataclass(frozen=True)
class ScanKernel(Kernel):
    """A running total along one axis.

    Attributes:
        kind: "sum" or "prod".
        source, result: dtypes; totals are computed in that of the result.
        kinds: how neighbours lie along the axis of the lanes, for input and output.
        along: lanes lie along the scanned axis; else along the last of the kept ones.
        exclusive: an element is the total of those before it.
        kept: number of axes besides the scanned one.

    Arguments: for input and output the pointer, the strides in bytes along the kept axes and along
    the scanned one; sizes of the kept axes; length of the scanned one; parts of the last kept axis.
    """

    kind: str
    source: str
    result: str
    kinds: tuple[str, str]
    along: bool
    exclusive: bool
    kept: int

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for each in "xy":
            names += [f"*{each}", *[f"{each}k{axis}" for axis in range(self.kept)], f"{each}r"]
        return " ".join([*names, *[f"k{axis}" for axis in range(self.kept)], "length", "parts"])

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        _Scan(self, module, target).build()
        return module


class _Scan:
    """Builds the code of a ScanKernel."""

    def __init__(self, kernel: ScanKernel, module: Module, target: Target) -> None:
        self.kernel, self.function = kernel, module.entry()
        dtypes = [kernel.source, kernel.result]
        self.lanes = vector_lanes(target, dtypes)
        self.masks = masks_tails(target, dtypes, kernel.kinds)
        self.widest = max(np.dtype(each).itemsize for each in dtypes)
        self.block = self.function.block(kernel.fields())
        self.result = np.dtype(kernel.result)

    def build(self) -> None:
        """Build the walk over rows, or over blocks of columns."""
        f, kernel, block = self.function, self.kernel, self.block
        _, lo, hi, _ = f.arguments
        outer = kernel.kept if kernel.along else kernel.kept - 1
        sizes = [getattr(block, f"k{axis}") for axis in range(outer)]
        strides = [[getattr(block, f"{each}k{axis}") for axis in range(outer)] for each in "xy"]
        pointers = [block.x, block.y]
        if kernel.along:
            with odometer(f, lo, hi, sizes, pointers, strides) as (_, places):
                self._row(places)
            return
        length = getattr(block, f"k{outer}")
        cut = cut_rows(f, sizes, pointers, strides, length, self.lanes, block.parts)
        with cut as (places, start, end):
            single = f.add(start, f.floor_to(f.sub(end, start), self.lanes))
            if self.masks:
                self._columns(places, start, single, self.lanes)
                self._columns(places, single, end, self.lanes, masked=True)
            else:
                self._columns(places, start, single, self.lanes)
                if self.lanes > 1:
                    self._columns(places, single, end, 1)

    def _body(self, lanes: int) -> Body:
        return Body(self.function, lanes, self.result)

    def _neutral(self, lanes: int) -> Value:
        return self._body(lanes).const(self.kernel.kind == "prod")

    def _joined(self, lanes: int, left: Value, right: Value) -> Value:
        k = self._body(lanes)
        return k.mul(left, right) if self.kernel.kind == "prod" else k.add(left, right)

    def _load(
        self, stream: Stream, lanes: int, index: Index, later: int, mask: Value | None
    ) -> Value:
        k = self._body(lanes)
        found = stream.load(self.function, lanes, index, later, mask)
        found = k.convert(found, np.dtype(self.kernel.source), self.result)
        return found if mask is None else k.pick(mask, found, self._neutral(lanes))

    # --- lanes along a kept axis -----------------------------------------------------------------

    def _columns(
        self,
        pointers: Sequence[Value],
        start: Index,
        end: Index,
        lanes: int,
        *,
        masked: bool = False,
    ) -> None:
        f, block, kernel = self.function, self.block, self.kernel
        steps = [getattr(block, f"{each}k{kernel.kept - 1}") for each in "xy"]
        with f.loop(start, end, lanes) as columns:
            mask = None
            if masked:
                mask = tail_mask(f, f.sub(end, columns.index), lanes, self.widest)
            with f.loop(0, block.length, carried=[self._neutral(lanes)]) as loop:
                places = [
                    f.offset(place, f.mul(loop.index, stride))
                    for place, stride in zip(pointers, (block.xr, block.yr), strict=True)
                ]
                source = Stream(kernel.source, kernel.kinds[0], places[0], steps[0])
                result = Stream(kernel.result, kernel.kinds[1], places[1], steps[1])
                found = self._load(source, lanes, columns.index, 0, mask)
                total = self._joined(lanes, loop.carried[0], found)
                stored = loop.carried[0] if kernel.exclusive else total
                result.store(f, stored, lanes, columns.index, 0, mask)
                loop.next = [total]

    # --- lanes along the scanned axis ------------------------------------------------------------

    def _row(self, pointers: Sequence[Value]) -> None:
        f, block, lanes = self.function, self.block, self.lanes
        carry = [self._neutral(lanes)]
        many = f.floor_to(block.length, lanes)
        carry = self._stretch(pointers, 0, many, lanes, carry)
        if self.masks:
            self._stretch(pointers, many, block.length, lanes, carry, masked=True)
        elif lanes > 1:
            single = [f.extract(carry[0], 0)]
            self._stretch(pointers, many, block.length, 1, single)

    def _stretch(
        self,
        pointers: Sequence[Value],
        start: Index,
        end: Index,
        lanes: int,
        carry: list[Value],
        *,
        masked: bool = False,
    ) -> list[Value]:
        """Build the loop over vectors; the total so far is in every lane of the carried value."""
        f, block, kernel = self.function, self.block, self.kernel
        source = Stream(kernel.source, kernel.kinds[0], pointers[0], block.xr)
        result = Stream(kernel.result, kernel.kinds[1], pointers[1], block.yr)
        with f.loop(start, end, lanes, carry) as loop:
            mask = None
            if masked:
                mask = tail_mask(f, f.sub(end, loop.index), lanes, self.widest)
            found = self._load(source, lanes, loop.index, 0, mask)
            before = loop.carried[0]
            inside = self._prefixes(lanes, found)
            mine = self._shifted(lanes, inside, 1) if kernel.exclusive else inside
            result.store(f, self._joined(lanes, before, mine), lanes, loop.index, 0, mask)
            total = inside if lanes == 1 else f.shuffle(inside, None, [lanes - 1] * lanes)
            loop.next = [self._joined(lanes, before, total)]
        return loop.results

    def _prefixes(self, lanes: int, value: Value) -> Value:
        """Return in each lane the total of the lanes up to it.

        First within groups of 128 bits, where moving lanes is cheap, then across groups.
        """
        group = min(lanes, max(1, 16 // self.result.itemsize))
        distance = 1
        while distance < group:
            value = self._joined(lanes, value, self._shifted(lanes, value, distance, group))
            distance *= 2
        if group == lanes:
            return value
        last = [lane // group * group + group - 1 for lane in range(lanes)]
        totals = self.function.shuffle(value, None, last)
        before = totals = self._shifted(lanes, totals, group)
        distance = group
        while distance < lanes - group:
            shifted = self._shifted(lanes, totals, distance)
            before = self._joined(lanes, before, shifted)
            distance += group
        return self._joined(lanes, value, before)

    def _shifted(self, lanes: int, value: Value, distance: int, group: int = 0) -> Value:
        """Return the lanes of each group moved up, neutral elements below."""
        neutral = self._neutral(lanes)
        if lanes == 1:
            return neutral
        places = [
            lane - distance if lane % (group or lanes) >= distance else lanes + lane
            for lane in range(lanes)
        ]
        return self.function.shuffle(value, neutral, places)


def lower_scan(
    kind: str,
    x: Tensor,
    out: Tensor,
    target: Target,
    *,
    axis: int,
    exclusive: bool = False,
    reverse: bool = False,
    label: str = "",
) -> list[Call]:
    """Return the calls that store the running sum or product of `x` along an axis in `out`.

    Args:
        kind: "sum" or "prod".
        x: any strides; converted to the dtype of `out`, in which totals wrap or round.
        out: same shape; may be the memory of `x` with the same strides.
        axis: the scanned one, >= 0.
        exclusive: an element is the total of those before it, not including itself.
        reverse: from the last element to the first.

    Raises:
        CodegenError: unknown kind, shapes that differ, dtypes that kernels do not have.
    """
    if kind not in ("sum", "prod") or x.shape != out.shape or not 0 <= axis < len(x.shape):
        raise CodegenError(
            f"scan: found {kind} of {x.shape} into {out.shape} along axis {axis}, expected sum or "
            "prod of equal shapes along an axis of them."
        )
    if 0 in x.shape:
        return []
    order = [each for each in range(len(x.shape)) if each != axis] + [axis]
    tensors = [_turned(each.permuted(order), reverse) for each in (x, out)]
    shape = tensors[0].shape
    space = canonical(tensors[:1], tensors[1:], [False], shape, 1, ordered=True)
    operands = [space.inputs[0], space.outputs[0]]
    # An axis of size 1 has any stride.
    scanned = [each.reduced[-1] if each.reduced else 1 for each in operands]
    along = not space.kept or _along(space, operands, scanned)
    strides = scanned if along else [each.kept[-1] for each in operands]
    kernel = ScanKernel(
        kind,
        x.dtype.name,
        out.dtype.name,
        (stride_class(strides[0]), stride_class(strides[1])),
        along,
        exclusive,
        len(space.kept),
    )
    lanes = vector_lanes(target, [x.dtype.name, out.dtype.name])
    parts = 1 if along else -(-space.kept[-1] // lanes)
    items = space.rows if along else space.rows // space.kept[-1] * parts
    return [
        Call(
            kernel,
            _slots(kernel, operands, scanned, space, parts),
            items,
            grain=max(1, 16384 // (math.prod(shape) // items)),
            work=math.prod(shape),
            traffic=x.size * x.dtype.itemsize + out.size * out.dtype.itemsize,
            label=label or f"scan {kind}",
        )
    ]


def _turned(tensor: Tensor, reverse: bool) -> Tensor:
    """Return the tensor with its last axis walked from the end."""
    if not reverse:
        return tensor
    stride = tensor.strides[-1]
    return replace(
        tensor,
        strides=(*tensor.strides[:-1], -stride),
        offset=tensor.offset + stride * (tensor.shape[-1] - 1),
    )


def _along(space: Space, operands: Sequence[Operand], scanned: Sequence[int]) -> bool:
    """True when lanes should lie along the scanned axis."""
    neighbours = {SIDE, REVERSED}
    if {stride_class(each.kept[-1]) for each in operands} <= neighbours:
        return False
    if {stride_class(each) for each in scanned} <= neighbours:
        return True
    kinds = [stride_class(each.kept[-1]) for each in operands]
    return kinds.count(FAR) == len(kinds) or space.kept[-1] < 8


def _slots(
    kernel: ScanKernel,
    operands: Sequence[Operand],
    scanned: Sequence[int],
    space: Space,
    parts: int,
) -> tuple[Slot, ...]:
    values: dict[str, Any] = {"length": space.length, "parts": parts}
    for name, operand, stride in zip("xy", operands, scanned, strict=True):
        values[name] = operand.pointer
        values[f"{name}r"] = stride * operand.itemsize
        for number, step in enumerate(operand.kept):
            values[f"{name}k{number}"] = step * operand.itemsize
    for number, size in enumerate(space.kept):
        values[f"k{number}"] = size
    return tuple(values[each.lstrip("*")] for each in kernel.fields().split())
