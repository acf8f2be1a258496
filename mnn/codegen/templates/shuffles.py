"""Lanes in another order: transposition in registers, interleaved channels apart and together."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.codegen.builder import Function, Value, element, lanes_of

__all__ = ["apart", "joined", "parts", "together", "transposed"]

_BITS = {"float": 32, "double": 64, "i1": 8, "i8": 8, "i16": 16, "i32": 32, "i64": 64}


def transposed(function: Function, vectors: Sequence[Value]) -> list[Value]:
    """Return square blocks transposed.

    `n` vectors (a power of two) of `m * n` lanes are m blocks of n x n elements beside each other;
    lane `b * n + i` of result j is lane `b * n + j` of vector i. Shuffles stay within groups of
    128 bits as long as possible: these are the cheap ones.
    """
    size, lanes = len(vectors), lanes_of(vectors[0].type)
    group = min(size, 128 // _BITS[element(vectors[0].type)])
    found = list(vectors)
    for start in range(0, size, group):
        found[start : start + group] = _within_groups(
            function, found[start : start + group], group, lanes
        )
    if group == size:
        return found
    result: list[Value] = [found[0]] * size
    for inside in range(group):
        column = _of_groups(function, found[inside::group], group, lanes)
        result[inside::group] = column
    return result


def _within_groups(function: Function, vectors: list[Value], group: int, lanes: int) -> list[Value]:
    """Transpose blocks of group x group by zipping halves of groups."""
    half = group // 2
    low = [
        place
        for start in range(0, lanes, group)
        for lane in range(half)
        for place in (start + lane, lanes + start + lane)
    ]
    high = [place + half for place in low]
    count = len(vectors)
    for _ in range(count.bit_length() - 1):
        zipped = []
        for a, b in zip(vectors[: count // 2], vectors[count // 2 :], strict=True):
            zipped += [function.shuffle(a, b, low), function.shuffle(a, b, high)]
        vectors = zipped
    return vectors


def _of_groups(function: Function, vectors: list[Value], group: int, lanes: int) -> list[Value]:
    """Transpose square blocks whose elements are groups of lanes: pairs exchange off-diagonals."""
    count = len(vectors)
    found = list(vectors)
    if count == 4 and lanes == 4 * group:
        return _four_by_four(function, found, group)
    stride = 1
    while stride < count:
        for i in range(count):
            if i & stride:
                continue
            a, b = found[i], found[i + stride]
            low, high = [], []
            for lane in range(lanes):
                away = lane // group % count & stride
                low.append(lanes + lane - stride * group if away else lane)
                high.append(lanes + lane if away else lane + stride * group)
            found[i] = function.shuffle(a, b, low)
            found[i + stride] = function.shuffle(a, b, high)
        stride *= 2
    return found


def _four_by_four(function: Function, vectors: list[Value], group: int) -> list[Value]:
    """Transpose 4 x 4 groups: each result has two groups of one vector, then two of another."""

    def pick(a: Value, b: Value, first: int, second: int) -> Value:
        inside = range(group)
        places = [group * each + lane for each in (first, second) for lane in inside]
        return function.shuffle(a, b, places + [4 * group + each for each in places])

    a, b, c, d = vectors
    low, high = (pick(a, b, 0, 1), pick(c, d, 0, 1)), (pick(a, b, 2, 3), pick(c, d, 2, 3))
    return [pick(*pair, odd, odd + 2) for pair in (low, high) for odd in (0, 1)]


def joined(function: Function, vectors: Sequence[Value]) -> Value:
    """Return the lanes of a power of two of vectors behind each other."""
    found = list(vectors)
    while len(found) > 1:
        places = list(range(2 * lanes_of(found[0].type)))
        found = [
            function.shuffle(a, b, places) for a, b in zip(found[::2], found[1::2], strict=True)
        ]
    return found[0]


def parts(function: Function, value: Value, lanes: int) -> list[Value]:
    """Return a vector cut into pieces of `lanes` lanes."""
    count = lanes_of(value.type)
    if count == lanes:
        return [value]
    return [
        function.shuffle(value, None, list(range(start, start + lanes)))
        for start in range(0, count, lanes)
    ]


def apart(function: Function, vectors: Sequence[Value], *, mirrored: bool = False) -> list[Value]:
    """Return the n channels of n vectors in which elements of n channels take turns.

    Args:
        mirrored: the last element of a channel comes first.
    """
    count, lanes = len(vectors), lanes_of(vectors[0].type)
    order = range(lanes - 1, -1, -1) if mirrored else range(lanes)
    wanted = [[lane * count + channel for lane in order] for channel in range(count)]
    return [_gathered(function, vectors, places) for places in wanted]


def together(
    function: Function, channels: Sequence[Value], *, mirrored: bool = False
) -> list[Value]:
    """Return n vectors in which elements of n channels take turns; the reverse of `apart`."""
    count, lanes = len(channels), lanes_of(channels[0].type)

    def source(place: int) -> int:
        lane, channel = divmod(place, count)
        return channel * lanes + (lanes - 1 - lane if mirrored else lane)

    starts = range(0, count * lanes, lanes)
    wanted = [[source(start + lane) for lane in range(lanes)] for start in starts]
    return [_gathered(function, channels, places) for places in wanted]


def _gathered(function: Function, vectors: Sequence[Value], places: Sequence[int]) -> Value:
    """Return lanes of several vectors, numbered through, by merging the vectors in turn."""
    lanes = lanes_of(vectors[0].type)
    if len(vectors) == 1:
        return function.shuffle(vectors[0], None, places)
    found: Value | None = None
    for number, each in enumerate(vectors[1:], 1):
        first = vectors[0] if found is None else found
        merged = []
        for lane, place in enumerate(places):
            source, inside = divmod(place, lanes)
            if source == number:
                merged.append(lanes + inside)
            elif source > number:
                merged.append(-1)
            else:
                merged.append(lane if found is not None else inside)
        found = function.shuffle(first, each, merged)
    assert found is not None
    return found
