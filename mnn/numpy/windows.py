"""Window functions of M points."""

from __future__ import annotations

from typing import Any

import numpy as _np

from mnn.expr.var import Var
from mnn.numpy.defaults import narrowed

__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]


def bartlett(M: Any) -> Var:
    """Return the triangle of M points that is 0 at both ends."""
    window: Var = narrowed(_np.bartlett, M)
    return window


def blackman(M: Any) -> Var:
    """Return the Blackman window of M points, a sum of three cosines."""
    window: Var = narrowed(_np.blackman, M)
    return window


def hamming(M: Any) -> Var:
    """Return the Hamming window of M points, a raised cosine that ends at 0.08."""
    window: Var = narrowed(_np.hamming, M)
    return window


def hanning(M: Any) -> Var:
    """Return the Hann window of M points, a raised cosine that is 0 at both ends."""
    window: Var = narrowed(_np.hanning, M)
    return window


def kaiser(M: Any, beta: Any) -> Var:
    """Return the Kaiser window of M points; the larger beta, the narrower."""
    window: Var = narrowed(_np.kaiser, M, beta)
    return window
