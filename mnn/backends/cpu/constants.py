"""Constants of a plan: prepared once, at 64-byte boundaries, without a second copy left behind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mnn.codegen.kernel import Buffer
from mnn.compile.memory import ALIGNMENT, round_up

__all__ = ["address_of", "aligned_bytes", "place_constants"]

Array = np.ndarray[Any, Any]


def address_of(array: Array) -> int:
    """Return the address of an array's first element."""
    address: int = array.__array_interface__["data"][0]
    return address


def aligned_bytes(size: int) -> Array:
    """Return `size` uint8 elements that begin at a 64-byte boundary, with any content."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    return raw[-address_of(raw) % ALIGNMENT :][:size]


def place_constants(buffers: Iterable[Buffer]) -> tuple[dict[Buffer, int], int]:
    """Return the addresses of constants, and how many bytes they have.

    Content that begins at a 64-byte boundary stays where it is; the rest moves into one block. The
    addresses are valid as long as the buffers exist.
    """
    listed = list(dict.fromkeys(buffers))
    placed = {each: address_of(each.array) for each in listed}
    moving = [each for each in listed if placed[each] % ALIGNMENT]
    block = aligned_bytes(sum(round_up(each.array.nbytes) for each in moving))
    start = 0
    for each in moving:
        end = start + round_up(each.array.nbytes)
        each.place(block[start:end])
        placed[each] = address_of(each.array)
        start = end
    return placed, sum(each.array.nbytes for each in listed)
