"""Constants of a plan: prepared once, at 64-byte boundaries, without a second copy left behind."""

from __future__ import annotations

from collections.abc import Iterable

from mnn.codegen.kernel import Buffer
from mnn.codegen.prepare import pending, prepare
from mnn.codegen.room import ALIGNMENT, Room, address_of, aligned_bytes, round_up

__all__ = ["place_constants"]


def place_constants(buffers: Iterable[Buffer]) -> tuple[dict[Buffer, int], int]:
    """Return the addresses of constants, and how many bytes they have.

    What kernels compute is computed in its place. Other content that begins at a 64-byte boundary
    stays where it is; the rest moves. The addresses are valid as long as the buffers exist.
    """
    listed = list(dict.fromkeys(buffers))
    wanted = set(listed)
    computed = [each for each in pending(listed) if each in wanted]
    room = Room(sum(round_up(each.size) for each in computed))
    prepare(
        listed, lambda each: room.take(each.size) if each in wanted else aligned_bytes(each.size)
    )
    placed = {each: address_of(each.array) for each in listed}
    moving = [each for each in listed if placed[each] % ALIGNMENT]
    room = Room(sum(round_up(each.array.nbytes) for each in moving))
    for each in moving:
        each.place(room.take(each.array.nbytes))
        placed[each] = address_of(each.array)
    return placed, sum(each.array.nbytes for each in listed)
