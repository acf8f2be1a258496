"""Rows of 8-bit images in scratch memory, in the form that products of integers want.

Codes become what `int8_tile` multiplies: unsigned or signed bytes, or 16-bit differences from the
code of 0. What lies outside of the image stands for 0. A line has its pixels side by side, whatever
lies between them in the image, and may be read some bytes beyond its end. Images whose few channels
are far apart are read plane by plane: a line has one channel then.
"""

from __future__ import annotations

from types import SimpleNamespace

from mnn.codegen.builder import I8, I16, Function, Index, Value, vector
from mnn.codegen.kernel import Slot
from mnn.codegen.templates.int8_tile import BYTES, SIGNED, depth_of
from mnn.codegen.templates.window import Window
from mnn.records import dataclass

__all__ = ["FIELDS", "Lines", "copy_lines"]

_BEYOND = 64
"""Bytes behind a line that may be read; they are multiplied by weights of 0."""

FIELDS = "D H W planes xp depths dd turns turn height fewer step positions line fill zero "
"""Names of the slots that `Lines.slots` gives."""


@dataclass(frozen=True)
class Lines:
    """Which rows of an image some output rows need, and how they lie in scratch memory.

    Attributes:
        window: of the operator.
        image: depth, height and width of the input.
        channels: of a pixel in a line, as many as are copied.
        rows, columns: outputs made from the lines.
        product: what they are for.
        zero: code of the number 0.
        planes: channels that have lines of their own, 1 where pixels are together.
        apart: bytes from a channel to the next, for planes.
    """

    window: Window
    image: tuple[int, int, int]
    channels: int
    rows: int
    columns: int
    product: str
    zero: int
    planes: int = 1
    apart: int = 0

    @property
    def size(self) -> int:
        """Bytes of an element of a line."""
        return 4 // depth_of(self.product)

    @property
    def shared(self) -> bool:
        """True when neighbouring output rows use the same lines; else each tap has its own."""
        return self.window.dilation[1] == 1 and self.window.stride[1] <= self.window.kernel[1]

    @property
    def height(self) -> int:
        """Lines of one depth, or of one tap where lines are not shared."""
        return self.window.reach(1, self.rows) if self.shared else self.rows

    @property
    def turns(self) -> int:
        """Groups of `height` lines at each depth."""
        return 1 if self.shared else self.window.kernel[1]

    @property
    def count(self) -> int:
        """All lines."""
        return self.planes * self.window.kernel[0] * self.turns * self.height

    @property
    def positions(self) -> int:
        """Pixels of a line."""
        return self.window.reach(2, self.columns)

    @property
    def line(self) -> int:
        """Bytes from a line to the next."""
        return -(-(self.positions * self.channels * self.size + _BEYOND) // 64) * 64

    @property
    def bytes(self) -> int:
        """Bytes of all lines."""
        return self.count * self.line

    @property
    def down(self) -> int:
        """Lines from those of an output row to those of the next."""
        return self.window.stride[1] if self.shared else 1

    def tap(self, deep: int, down: int, plane: int = 0) -> int:
        """Return which line the first output row reads for a row of the window."""
        deep += plane * self.window.kernel[0]
        if self.shared:
            return deep * self.height + down
        return (deep * self.turns + down) * self.height

    def slots(self) -> list[Slot]:
        """Return what FIELDS names."""
        window = self.window
        fill = {BYTES: (self.zero + 128) & 255, SIGNED: self.zero}.get(self.product, 0)
        return [
            *self.image,
            self.planes,
            self.apart,
            window.kernel[0],
            window.dilation[0],
            self.turns,
            window.dilation[1],
            self.height,
            window.stride[1] if self.shared else 1,
            1 if self.shared else window.stride[1],
            self.positions,
            self.line,
            fill,
            self.zero,
        ]


def copy_lines(
    f: Function,
    product: str,
    a: SimpleNamespace,
    source: Value,
    first: tuple[Index, Index, Index],
    missing: Index,
    channels: Index,
    lines: Value,
) -> None:
    """Build the copy of all lines.

    Args:
        a: has FIELDS, and the strides xd, xh, xw of the image in bytes.
        source: address of the channels of pixel 0.
        first: depth, row and column of the first input; they may be outside of the image.
        missing: output rows that are not made after all.
        channels: bytes of a pixel that are copied.
        lines: where to.
    """
    d0, h0, w0 = first
    size = 4 // depth_of(product)
    pixel = f.mul(channels, size)
    lo = f.min(f.max(f.sub(0, w0), 0), a.positions)
    hi = f.max(f.min(f.sub(a.W, w0), a.positions), lo)
    height = f.sub(a.height, f.mul(missing, a.fewer))
    make = _Copy(f, product, a)
    with (
        f.loop(0, a.planes) as plane,
        f.loop(0, a.depths) as deep,
        f.loop(0, a.turns) as turn,
        f.loop(0, height) as loop,
    ):
        number = f.add(f.mul(plane.index, a.depths), deep.index)
        number = f.add(f.mul(number, a.turns), turn.index)
        number = f.add(f.mul(number, a.height), loop.index)
        line = f.offset(lines, f.mul(number, a.line))
        d = f.add(d0, f.mul(deep.index, a.dd))
        h = f.add(h0, f.add(f.mul(turn.index, a.turn), f.mul(loop.index, a.step)))
        inside = f.both(f.compare("ult", d, a.D), f.compare("ult", h, a.H))
        start = f.select(inside, f.value(lo), f.value(a.positions))
        end = f.select(inside, f.value(hi), f.value(a.positions))
        make.clear(line, 0, f.mul(start, pixel))
        make.clear(line, f.mul(end, pixel), f.mul(a.positions, pixel))
        distance = f.add(f.mul(d, a.xd), f.add(f.mul(h, a.xh), f.mul(f.add(w0, start), a.xw)))
        distance = f.add(distance, f.mul(plane.index, a.xp))
        make.pixels(
            f.offset(source, distance),
            f.offset(line, f.mul(start, pixel)),
            f.sub(end, start),
            channels,
        )


class _Copy:
    """Copies of runs of bytes, in long steps first."""

    def __init__(self, f: Function, product: str, a: SimpleNamespace) -> None:
        self.f, self.product = f, product
        self.stride = a.xw
        self.wide = 4 // depth_of(product)
        most = f.target.vector_bytes // self.wide
        self.lengths = [each for each in dict.fromkeys((most, 16, 4, 1)) if each <= most]
        kind = I8 if self.wide == 1 else I16
        self.fill = f.make(f"trunc i64 {f.value(a.fill).text} to i8", I8)
        zero = f.make(f"trunc i64 {f.value(a.zero).text} to {kind}", kind)
        self.zeros = {each: f.splat(zero, each) for each in self.lengths} if self.wide > 1 else {}
        self.fills = {each: f.splat(self.fill, each) for each in self.lengths}

    def clear(self, line: Value, start: Index, end: Index) -> None:
        """Build the filling of bytes start..end of a line."""
        f = self.f
        for length in self.lengths:
            whole = f.add(start, f.floor_to(f.sub(end, start), length))
            with f.loop(start, whole, length) as loop:
                f.store(self.fills[length], f.offset(line, loop.index), align=1)
            start = whole

    def pixels(self, source: Value, goal: Value, count: Index, channels: Index) -> None:
        """Build the copy of neighbouring pixels; without gaps they are one long pixel."""
        f = self.f
        dense = f.compare("eq", self.stride, channels)
        turns = f.select(dense, f.constant(1), f.value(count))
        length = f.select(dense, f.value(f.mul(count, channels)), f.value(channels))
        with f.loop(0, turns) as loop:
            read = f.offset(source, f.mul(loop.index, self.stride))
            write = f.offset(goal, f.mul(loop.index, f.mul(channels, self.wide)))
            self._run(read, write, length)

    def _run(self, read: Value, write: Value, count: Index) -> None:
        f = self.f
        start: Index = 0
        for length in self.lengths:
            whole = f.add(start, f.floor_to(f.sub(count, start), length))
            with f.loop(start, whole, length) as loop:
                value = f.load(vector(length, I8), f.offset(read, loop.index), align=1)
                place = f.offset(write, f.mul(loop.index, self.wide))
                f.store(self._made(value, length), place, align=self.wide)
            start = whole

    def _made(self, value: Value, length: int) -> Value:
        """Return codes as elements of a line."""
        f = self.f
        if self.product == BYTES:
            return f.make(f"xor {value.type} {value.text}, {_each(-128, value.type)}", value.type)
        if self.product == SIGNED:
            return value
        kind = vector(length, I16)
        wide = f.make(f"sext {value.type} {value.text} to {kind}", kind)
        return f.make(f"sub {kind} {wide.text}, {self.zeros[length].text}", kind)


def _each(number: int, kind: str) -> str:
    return f"splat (i8 {number})" if kind.startswith("<") else str(number)
