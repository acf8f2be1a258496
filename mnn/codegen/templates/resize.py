"""Resizing along two axes by tables: nearest, linear and cubic interpolation of images.

The tables say where each output position reads and with which weights, so coordinate rules, edges
and parts of results (crops, mirrored images) are theirs. Rows are resized across first, then
combined: `resize_rows` has the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.kernel import Buffer, Call, Epilogue, Pointer, Slot, Tensor, contiguous
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates import halving, loops
from mnn.codegen.templates.resize_across import Pixels, Row, turn_pixels
from mnn.codegen.templates.resize_rows import ResizeKernel
from mnn.codegen.templates.taps import COPY, FIXED, FLOAT32, FLOAT64, Taps
from mnn.errors import CodegenError
from mnn.records import replace

__all__ = ["lower"]

Array = np.ndarray[Any, Any]

_CHUNK = 20_000
"""Elements that are worth handing to another thread."""
_UNCACHED = 1 << 24
"""Bytes of sources that do not stay in caches."""
_LINE = 64
_FEWEST_ROWS = 8
"""Rows of a chunk: at its start, source rows are resized that another chunk resized, too."""


def lower(
    source: Tensor,
    out: Tensor,
    target: Target,
    *,
    axes: tuple[int, int],
    taps: tuple[Taps, Taps],
    arithmetic: str,
    epilogue: Epilogue | None = None,
    label: str = "",
) -> list[Call]:
    """Return calls that resize two axes of a tensor.

    Args:
        source, out: of one rank; sizes differ along `axes` only. Strides are arbitrary.
        axes: the axis of rows, then the axis of positions in a row.
        taps: for both. Rows have 1, 2 or 4 taps; FIXED has two of each, COPY one of each.
        arithmetic: FIXED (uint8, as OpenCV), COPY (any dtype), FLOAT32 or FLOAT64: the dtype of
            weights and sums; integers are rounded, halves to even, and limited to their range.
        epilogue: applied to the results, which have the source's dtype; operands broadcast to the
            shape of `out`.
        label: for profiles.

    Raises:
        CodegenError: shapes, taps, dtypes or the epilogue do not fit.
    """
    _check(source, out, axes, taps, arithmetic, epilogue)
    if not out.size:
        return []
    turned = list(taps)
    for number, axis in enumerate(axes):
        source, turned[number] = _upright(source, axis, taps[number])
    program, operands = None, []
    if epilogue is not None:
        program = epilogue.program
        operands = [each.broadcast(out.shape) for each in epilogue.operands]
    tensors = _arranged([source, out, *operands], axes)
    if program is None and arithmetic == FIXED:
        first, last = tensors
        if halving.halves(first, last, (turned[0], turned[1])):
            return halving.lower(first, last, target, label or "resize")
    plan = _Plan(tensors, (turned[0], turned[1]), arithmetic, target)
    return plan.calls(program, label)


def _check(
    source: Tensor,
    out: Tensor,
    axes: tuple[int, int],
    taps: tuple[Taps, Taps],
    arithmetic: str,
    epilogue: Epilogue | None,
) -> None:
    kept = [axis for axis in range(len(out.shape)) if axis not in axes]
    fits = (
        len(source.shape) == len(out.shape)
        and axes[0] != axes[1]
        and all(source.shape[axis] == out.shape[axis] for axis in kept)
    )
    if not fits:
        raise CodegenError(
            f"resize: found shapes {source.shape} and {out.shape}, expected sizes that differ "
            f"along {axes} only."
        )
    for axis, each in zip(axes, taps, strict=True):
        size, length = out.shape[axis], source.shape[axis]
        inside = each.places.size == 0 or (each.places.min() >= 0 and each.places.max() < length)
        if each.places.shape != each.weights.shape or len(each.places) != size or not inside:
            raise CodegenError(
                f"resize: taps of shape {each.places.shape} do not say how {length} positions "
                f"become {size}."
            )
    _check_arithmetic(source.dtype, taps, arithmetic)
    found = out.dtype.name if epilogue is None else epilogue.program.inputs[0]
    if found != source.dtype.name:
        raise CodegenError(f"resize: found results of {found} from {source.dtype}, expected equal.")


def _check_arithmetic(dtype: np.dtype[Any], taps: tuple[Taps, Taps], arithmetic: str) -> None:
    down, across = (each.count for each in taps)
    known = {
        COPY: down == across == 1,
        FIXED: down == across == 2 and dtype == np.uint8,
        FLOAT32: dtype.kind in "iuf" and dtype.itemsize <= 4,
        FLOAT64: dtype.kind in "iuf" and dtype.itemsize <= 8,
    }
    if not known.get(arithmetic, False) or down not in (1, 2, 4) or across < 1:
        raise CodegenError(
            f"resize: found {down} and {across} taps of {dtype} in {arithmetic}, which has no "
            "kernel."
        )
    places = taps[0].places
    for one in range(down):
        for two in range(one):
            apart = places[:, one] != places[:, two]
            if (apart & ((places[:, one] - places[:, two]) % down == 0)).any():
                raise CodegenError(
                    f"resize: found rows {down} apart among {down} taps, expected neighbours."
                )


def _upright(source: Tensor, axis: int, taps: Taps) -> tuple[Tensor, Taps]:
    """Return a tensor whose axis runs in the direction of memory, and the taps for it."""
    stride, length = source.strides[axis], source.shape[axis]
    if stride >= 0:
        return source, taps
    strides = list(source.strides)
    strides[axis] = -stride
    offset = source.offset + stride * (length - 1)
    return replace(source, strides=tuple(strides), offset=offset), taps.mirrored(length)


def _arranged(tensors: Sequence[Tensor], axes: tuple[int, int]) -> list[Tensor]:
    """Return tensors with the axes (outer ..., rows, positions, channels).

    Channels are the axis, if there is one, along which elements of the first tensor lie closer
    together than its positions. Outer axes that belong together are one.
    """
    first = tensors[0]
    rest = [axis for axis, size in enumerate(first.shape) if axis not in axes and size != 1]
    rest.sort(key=lambda axis: -abs(first.strides[axis]))
    merged: list[tuple[int, tuple[int, ...]]] = []
    for axis in rest:
        size, steps = first.shape[axis], tuple(each.strides[axis] for each in tensors)
        if merged and merged[-1][1] == tuple(step * size for step in steps):
            merged[-1] = (merged[-1][0] * size, steps)
        else:
            merged.append((size, steps))
    lone = first.shape[axes[1]] == 1
    channel: tuple[int, tuple[int, ...]] = (1, (1,) * len(tensors))
    if merged and (lone or abs(merged[-1][1][0]) < abs(first.strides[axes[1]])):
        channel = merged.pop()
    found = []
    for number, each in enumerate(tensors):
        others = [(size, steps[number]) for size, steps in merged]
        others += [(each.shape[axis], each.strides[axis]) for axis in axes]
        others.append((channel[0], channel[1][number]))
        shape, strides = zip(*others, strict=True)
        found.append(replace(each, shape=shape, strides=strides))
    return found


class _Plan:
    """How a problem is solved by one call of the kernel, and copies before and after it.

    Tensors have the axes of `_arranged`. A line is what lies side by side in the output: positions
    of a channel, positions with all their channels, or the channels of a position.

    Attributes:
        pixels: how positions are read; None: vectors lie along channels.
        spread: each channel of a position is read as a position of its own.
        planar: lines are positions of one channel.
    """

    def __init__(
        self, tensors: Sequence[Tensor], taps: tuple[Taps, Taps], arithmetic: str, target: Target
    ) -> None:
        self.source, self.out, *self.operands = tensors
        self.taps, self.arithmetic, self.target = taps, arithmetic, target
        self.height, self.width, self.channels = self.out.shape[-3:]
        self.lanes = turn_pixels(target, arithmetic, self.source.dtype.itemsize)
        self.planar = self.channels == 1 or (self.out.strides[-2] == 1 and self.width > 1)
        self.spread = False
        self.pixels = self._pixels()

    def _pixels(self) -> Pixels | None:
        count, stride = self.channels, self.source.strides[-1]
        if count >= self.lanes and stride == 1:
            self.planar = False
            return None
        planar = self.planar and count > 1
        if count == 1 or (count <= 4 and abs(stride) == 1):
            read = {1: 1, 2: 2, 3: 4, 4: 4}[count]
            made = Pixels(read, count, turned=count > 1 and stride < 0, planar=planar)
            if self.arithmetic == FIXED and self._near():
                step = self.source.strides[-2]
                window = 1 << (step + count - 1).bit_length()
                read = max(read, window // 2)
                if step >= count and window <= 8 and read <= self.lanes:
                    return replace(made, count=read, window=window, stride=step)
            if read <= self.lanes and (self.arithmetic != FIXED or count == 1):
                return replace(made, paired=self._paired())
        self.spread = True
        return Pixels()

    def _paired(self) -> bool:
        """True when most positions have two taps of single elements that are neighbours."""
        places = self.taps[1].places
        if self.channels > 1 or self.arithmetic not in (FLOAT32, FLOAT64):
            return False
        if places.shape[1] != 2 or self.source.strides[-2] != 1:
            return False
        return int((places[:, 1] - places[:, 0] == 1).sum()) * 2 > len(places)

    def _near(self) -> bool:
        """True when every position reads two neighbours, or one place twice."""
        places = self.taps[1].places
        return self.source.shape[-2] > 1 and bool((abs(places[:, 0] - places[:, 1]) <= 1).all())

    # --- calls -----------------------------------------------------------------------------------

    def calls(self, program: Program | None, label: str) -> list[Call]:
        """Return the calls."""
        before, after = self._prepared(), []
        final = self.out
        if not self._stores_lines():
            buffer = Buffer(final.size * final.dtype.itemsize, name="resize")
            self.out = contiguous(buffer, final.shape, final.dtype, self._order())
            after = _copied(self.out, final, self.target)
        return [*before, self._call(program, label), *after]

    def _order(self) -> tuple[int, ...]:
        """Return the axes of the output in the order in which the kernel makes it."""
        rank = len(self.out.shape)
        inner = (rank - 1, rank - 3, rank - 2) if self.planar else (rank - 3, rank - 2, rank - 1)
        return (*range(rank - 3), *inner)

    def _stores_lines(self) -> bool:
        """True when the output's lines are neighbours in memory."""
        _, step, inner = self.out.strides[-3:]
        if self.planar:
            return step == 1 or self.width == 1
        if self.pixels is None:
            return inner == 1
        return inner == 1 and (step == self.channels or self.width == 1)

    @property
    def _flat(self) -> bool:
        """True when a line is a whole row of positions with all their channels."""
        if self.planar:
            return self.channels == 1
        if self.pixels is not None or self.width == 1:
            return True
        whole = [self.out, *self.operands]
        return all(each.strides[-2] == each.strides[-1] * self.channels for each in whole)

    def _along(self, operand: Tensor) -> int | None:
        """Return the stride of an operand along a line, None when there is not one."""
        step, inner = operand.strides[-2:]
        if self.planar:
            return step if self.width > 1 else 0
        if not self._flat or self.width == 1:
            return inner
        return inner if step == inner * self.channels else None

    def _prepared(self) -> list[Call]:
        """Copy operands whose elements along a line are not neighbours; return the copies."""
        calls = []
        for number, each in enumerate(self.operands):
            if self._along(each) in (0, 1):
                continue
            shape = [
                size if stride or axis >= len(each.shape) - 2 else 1
                for axis, (size, stride) in enumerate(zip(each.shape, each.strides, strict=True))
            ]
            part = replace(each, shape=tuple(shape))
            if each.is_constant:
                moved = np.ascontiguousarray(part.array().transpose(self._order()))
                buffer = Buffer.constant(moved, name="operand")
                made = contiguous(buffer, part.shape, each.dtype, self._order())
            else:
                buffer = Buffer(part.size * each.dtype.itemsize, name="operand")
                made = contiguous(buffer, part.shape, each.dtype, self._order())
                calls += _copied(part, made, self.target)
            self.operands[number] = made.broadcast(each.shape)
        return calls

    def _call(self, program: Program | None, label: str) -> Call:
        outer = self.out.shape[:-3]
        kernel = ResizeKernel(
            Row(
                self.source.dtype.name,
                self.arithmetic,
                self.taps[1].count,
                self.pixels,
                self._ahead(),
            ),
            self.taps[0].count,
            len(outer),
            program,
            tuple(self._along(each) == 1 for each in self.operands),
        )
        if self._flat:
            lines, length = 1, self.width * self.channels
        elif self.planar:
            lines, length = self.channels, self.width
        else:
            lines, length = self.width, self.channels
        held = -(-self.width * self.channels * kernel.row.held_size // 64) * 64
        tables = _Tables(self)
        size = self.source.dtype.itemsize
        slots: list[Slot] = [tables.start, self.source.strides[-3] * size]
        slots += [self.out.pointer, *self._steps(self.out)[-3:-1]]
        slots += [self.height, tables.positions, self.channels, lines, length, held]
        slots += [*tables.down(kernel.row), *tables.across(kernel.row), *tables.safe(kernel.row)]
        for axis, number in enumerate(outer):
            slots += [number, self.source.strides[axis] * size, self._steps(self.out)[axis]]
        for each in self.operands:
            *steps, y, line = self._steps(each)[:-1]
            slots += [each.pointer, y, line, *steps]
        rows = min(self.source.shape[-3], self.height * self.taps[0].count)
        read = rows * self.source.size // max(1, self.source.shape[-3]) * size
        return Call(
            kernel,
            tuple(slots),
            items=math.prod(outer) * self.height,
            grain=max(_FEWEST_ROWS, _CHUNK // max(1, self.width * self.channels)),
            scratch=kernel.taps * held,
            work=self.out.size * (self.taps[0].count + self.taps[1].count),
            traffic=read + self.out.size * self.out.dtype.itemsize,
            label=label or "resize",
        )

    def _ahead(self) -> int:
        """Return how many positions there are for each cache line to be asked for, 0 for none.

        Where the source is larger than caches, the processor's own guesses come too late.
        """
        size = self.source.dtype.itemsize
        if self.pixels is None or self.spread or self.source.size * size < _UNCACHED:
            return 0
        places = self.taps[1].places
        distance = size * self.source.strides[-2] * (np.ptp(places) + 1) / len(places)
        return 0 if distance > _LINE else 1 << (round(_LINE / distance).bit_length() - 1)

    def _steps(self, tensor: Tensor) -> list[int]:
        """Return strides in bytes, that of positions replaced by that of lines."""
        *outer, y, x, channel = tensor.strides
        line = channel if self.planar else x
        return [each * tensor.dtype.itemsize for each in (*outer, y, line, channel)]


def _copied(source: Tensor, goal: Tensor, target: Target) -> list[Call]:
    identity = Program((source.dtype.name,), (), (0,))
    return loops.lower(identity, [source], [goal], target, label="copy")


class _Tables:
    """Offsets and weights as the kernel reads them."""

    def __init__(self, plan: _Plan) -> None:
        self.plan = plan
        source = plan.source
        self.step = source.strides[-2]
        taps = plan.taps[1]
        places, weights = taps.places, taps.weights
        pixels = plan.pixels
        start = source.offset
        if pixels is not None and pixels.turned:
            start -= plan.channels - 1
        if pixels is not None and pixels.window:
            places, weights = _windows(places, weights, source.shape[-2])
        offsets = places * self.step
        if plan.spread:
            channels = np.arange(plan.channels) * source.strides[-1]
            start += min(0, int(channels.min()))
            channels -= min(0, int(channels.min()))
            offsets = offsets[:, None] + channels[:, None]
            weights = np.broadcast_to(weights[:, None], offsets.shape)
            if plan.planar:
                offsets, weights = offsets.swapaxes(0, 1), weights.swapaxes(0, 1)
            offsets = offsets.reshape(-1, offsets.shape[-1])
            weights = weights.reshape(-1, weights.shape[-1])
        self.offsets, self.weights = offsets, weights
        self.start = replace(source, offset=start).pointer

    @property
    def positions(self) -> int:
        """Positions that a row has for the row."""
        return len(self.offsets)

    def down(self, row: Row) -> list[Slot]:
        """Return the tables of rows: their numbers, and their weights."""
        taps = self.plan.taps[0]
        weights = [] if row.arithmetic == COPY else [taps.weights.astype(row.held_dtype)]
        return _constants("rows", [taps.places.astype(np.int32), *weights])

    def across(self, row: Row) -> list[Slot]:
        """Return the tables of positions: their distances from the first, and their weights."""
        size = self.plan.source.dtype.itemsize
        if self.offsets.size and int(self.offsets.max()) * size >= 1 << 31:
            raise CodegenError("resize: a row of 2 GiB or more, expected less. Cut the image.")
        found = [(self.offsets.T * size).astype(np.int32)]
        if row.arithmetic == COPY:
            return _constants("positions", found)
        if row.arithmetic == FIXED:
            numbers = self.weights.astype(np.int32)
            weights = (numbers[:, 0] | (numbers[:, 1] << 16))[None]
        else:
            weights = self.weights.T.astype(row.arithmetic)
        count = 1 if row.pixels is None else row.pixels.count
        return _constants("positions", [*found, np.repeat(weights, count, axis=-1)])

    def safe(self, row: Row) -> list[Slot]:
        """Return the positions, first and last, that may be read several elements at once.

        Those behind the others in memory must not be, lest something beyond the row is read.
        """
        pixels = row.pixels
        if pixels is None:
            return [0, 0]
        reach = pixels.window or pixels.count
        end = (self.plan.source.shape[-2] - 1) * self.step + pixels.channels
        fits = np.ones(self.positions, bool)
        if not self.plan.spread:
            fits = np.asarray((self.offsets + reach <= end).all(axis=1))
        if pixels.paired:
            fits &= self.offsets[:, 1] - self.offsets[:, 0] == 1
        edges = np.flatnonzero(np.diff(np.concatenate([[False], fits, [False]]).astype(np.int8)))
        runs = edges.reshape(-1, 2)
        if len(runs):
            low, high = max(runs.tolist(), key=lambda run: int(run[1] - run[0]))
            if high - low >= self.plan.lanes:
                return [low, high]
        return [0, 0]


def _windows(places: Array, weights: Array, length: int) -> tuple[Array, Array]:
    """Return the left one of two neighbours, and the weights of both, for two places each."""
    first = np.minimum(places.min(axis=1), length - 2)
    made = np.zeros_like(weights)
    rows = np.arange(len(places))
    for tap in range(2):
        made[rows, places[:, tap] - first] += weights[:, tap]
    return first[:, None], made


def _constants(name: str, arrays: Sequence[Array]) -> list[Slot]:
    """Return the addresses of two constants; the second may be missing."""
    slots: list[Slot] = [Pointer(Buffer.constant(each, name=name)) for each in arrays]
    return slots if len(slots) == 2 else [*slots, 0]
