"""Tables of resizing: where the positions of an axis read, and with which weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.records import dataclass

__all__ = ["COPY", "FIXED", "FLOAT32", "FLOAT64", "Taps"]

Array = np.ndarray[Any, Any]

FIXED, COPY, FLOAT32, FLOAT64 = "fixed", "copy", "float32", "float64"
"""Arithmetics: OpenCV's for bytes, with weights of 11 bits; none; that of floats."""


@dataclass(frozen=True, eq=False)
class Taps:
    """Where the positions of an axis read.

    Attributes:
        places: (positions, taps) source positions, inside the axis.
        weights: the same shape; whole numbers in 11 bits for FIXED, of no meaning for COPY.
    """

    places: Array
    weights: Array

    def part(self, start: int, step: int, count: int) -> Taps:
        """Return the taps of the positions start, start + step, ..."""
        chosen = start + step * np.arange(count)
        return Taps(self.places[chosen], self.weights[chosen])

    def mirrored(self, length: int) -> Taps:
        """Return the taps for a source axis of that length in reverse order."""
        return Taps(length - 1 - self.places, self.weights)

    @property
    def count(self) -> int:
        """Taps of a position."""
        return int(self.places.shape[1])
