"""Memory at boundaries that vector instructions like."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["ALIGNMENT", "Room", "address_of", "aligned_bytes", "round_up"]

Array = np.ndarray[Any, Any]

ALIGNMENT = 64
"""Temporaries and constants begin at multiples of this many bytes."""


def round_up(size: int, step: int = ALIGNMENT) -> int:
    """Return the smallest multiple of `step` that is >= size."""
    return -(-size // step) * step


def address_of(array: Array) -> int:
    """Return the address of an array's first element."""
    address: int = array.__array_interface__["data"][0]
    return address


def aligned_bytes(size: int) -> Array:
    """Return `size` uint8 elements that begin at a 64-byte boundary, with any content."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    return raw[-address_of(raw) % ALIGNMENT :][:size]


class Room:
    """One piece of memory, given away from its start.

    Args:
        size: bytes, the sum of what will be taken, each rounded up to ALIGNMENT.
    """

    def __init__(self, size: int) -> None:
        self._memory = aligned_bytes(size)
        self._used = 0

    def take(self, size: int) -> Array:
        """Return `size` bytes at a 64-byte boundary."""
        start = self._used
        self._used += round_up(size)
        return self._memory[start : start + size]
