"""Input rows of a block of a convolution, copied to scratch memory with zeros around them.

Every question about borders, slices and planes ends here, and so does float32 where products are of
something shorter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Function, Index, Value, vector
from mnn.codegen.templates.float16 import block_scale, largest, no_magnitude, store_halves
from mnn.codegen.templates.tile import HALVES, PAIRS
from mnn.records import dataclass

__all__ = ["InputRows"]

_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class InputRows:
    """What is read for a block of outputs.

    Attributes:
        a: arguments of the kernel; `lines` is where the copies go, `scale` where the inverse scale
            of float16 is kept, one for the whole block.
        product: see `Tile`.
        planar: channels are far apart, rows of a channel are copied.
        x: the sample's group.
        place: depth, row and column of the first input, which may be outside.
        count: rows of outputs.
    """

    f: Function
    a: SimpleNamespace
    product: str
    planar: bool
    x: Value
    place: tuple[Index, Index, Index]
    count: Index

    def copy(self) -> None:
        """Build the copy of all rows."""
        f, a = self.f, self.a
        scale = self._scale() if self.product == HALVES else None
        with self._rows() as (line, first, last, source):
            self._clear(line, 0, f.mul(first, a.pixel))
            self._clear(line, f.mul(last, a.pixel), f.mul(a.positions, a.pixel))
            goal = f.offset(line, f.mul(first, a.pixel))
            with self._pieces(f.sub(last, first)) as (piece, length):
                read = f.offset(source, f.mul(piece, a.xw))
                write = f.offset(goal, f.mul(piece, a.pixel))
                if scale is None:
                    self._copy(read, write, length)
                else:
                    store_halves(f, read, f.div(length, 4), write, scale, f.target.lanes)

    def _scale(self) -> Value:
        """Return the scale of everything that is copied; keep its inverse."""
        f, a = self.f, self.a
        none = no_magnitude(f.target.lanes)
        held = f.keep("largest", f.target.vector_bytes)
        f.store(none, held, align=64)
        with self._rows() as (_, first, last, source), self._pieces(f.sub(last, first)) as piece:
            read = f.offset(source, f.mul(piece[0], a.xw))
            found = largest(f, read, f.div(piece[1], 4), f.load(none.type, held, align=64))
            f.store(found, held, align=64)
        scale = block_scale(f, f.load(none.type, held, align=64))
        f.store(scale.inverse, a.scale)
        return scale.factor

    @contextmanager
    def _rows(self) -> Iterator[tuple[Value, Value, Value, Value]]:
        """Build a loop over all rows.

        Yields where the copy goes, which positions first ... last are inside the image, and the
        address of the first one.
        """
        f, a = self.f, self.a
        depth, height, width = self.place
        lo = f.min(f.max(f.sub(0, width), 0), a.positions)
        hi = f.max(f.min(f.sub(a.W, width), a.positions), lo)
        planes: Index = a.planes if self.planar else 1
        lines = f.sub(a.height, f.mul(f.sub(a.rows, self.count), a.fewer))
        with (
            f.loop(0, planes) as plane,
            f.loop(0, a.KD) as deep,
            f.loop(0, a.turns) as turn,
            f.loop(0, lines) as loop,
        ):
            number = f.add(f.mul(plane.index, a.KD), deep.index)
            number = f.add(f.mul(number, a.turns), turn.index)
            line = f.offset(a.lines, f.mul(f.add(f.mul(number, a.height), loop.index), a.line))
            d = f.add(depth, f.mul(deep.index, a.dd))
            h = f.add(height, f.add(f.mul(turn.index, a.turn), f.mul(loop.index, a.step)))
            inside = f.both(f.compare("ult", d, a.D), f.compare("ult", h, a.H))
            first = f.select(inside, f.value(lo), a.positions)
            last = f.select(inside, f.value(hi), a.positions)
            distance = f.add(f.mul(d, a.xd), f.mul(h, a.xh))
            if self.planar:
                distance = f.add(distance, f.mul(plane.index, a.xp))
            distance = f.add(distance, f.mul(f.add(width, first), a.xw))
            yield line, first, last, f.offset(self.x, distance)

    def _clear(self, line: Value, start: Index, end: Index) -> None:
        """Build the filling of bytes start..end with zeros."""
        f = self.f
        lanes, size = f.target.lanes, f.target.vector_bytes
        whole = f.add(start, f.floor_to(f.sub(end, start), size))
        with f.loop(start, whole, size) as loop:
            f.store(Body(f, lanes, _FLOAT).const(0.0), f.offset(line, loop.index))
        with f.loop(whole, end, 4) as loop:
            f.store(Body(f, 1, _FLOAT).const(0.0), f.offset(line, loop.index))

    @contextmanager
    def _pieces(self, pixels: Index) -> Iterator[tuple[Value, Value]]:
        """Build a loop over neighbouring pixels: which one, and how many bytes of float32."""
        f, a = self.f, self.a
        pixel = f.mul(a.pixel, 2 if self.product == PAIRS else 1)
        # Pixels without gaps are one long pixel.
        dense = f.compare("eq", a.xw, pixel)
        turns = f.select(dense, f.constant(1), f.value(pixels))
        length = f.select(dense, f.value(f.mul(pixels, pixel)), f.value(pixel))
        with f.loop(0, turns) as loop:
            yield loop.index, length

    def _copy(self, read: Value, write: Value, length: Value) -> None:
        """Build the copy of `length` bytes, which are rounded to half as many for PAIRS."""
        f, wide = self.f, 2 if self.product == PAIRS else 1
        whole = f.floor_to(length, f.target.vector_bytes)
        for start, end, lanes in ((0, whole, f.target.lanes), (whole, length, 1)):
            with f.loop(start, end, 4 * lanes) as loop:
                value = f.load(vector(lanes, F32), f.offset(read, loop.index))
                if wide > 1:
                    kind = vector(lanes, "bfloat")
                    value = f.make(f"fptrunc {value.type} {value.text} to {kind}", kind)
                f.store(value, f.offset(write, f.div(loop.index, wide)), align=4 // wide)
