"""Rounding as quantised networks mean it."""

from __future__ import annotations

import numpy as np

from mnn.ops.reference.precision import Array

__all__ = ["round_half_away"]


def round_half_away(x: Array) -> Array:
    """Return `x` rounded to the nearest integer, halves away from zero, in the same dtype.

    Exact for every value, also just below a half, where adding 0.5 first would go wrong.
    """
    whole = np.trunc(x)
    with np.errstate(invalid="ignore"):
        result: Array = whole + np.copysign(np.abs(x - whole) >= 0.5, x).astype(whole.dtype)
    return result
