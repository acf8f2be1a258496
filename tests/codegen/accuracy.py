"""How exact matrix products are, by what they multiply: the table of docs/design/kernels.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.codegen.target import TARGETS, Target
from mnn.codegen.templates.float16 import ROUNDING, RUN
from mnn.codegen.templates.tile import FLOAT32, HALVES, PAIRS
from mnn.records import replace

__all__ = ["TYPICAL", "WORST", "emulated_halves", "halves_of_neon", "typical_error"]

Array = np.ndarray[Any, Any]

WORST = {FLOAT32: 2e-6, PAIRS: 2.0**-8 + 2e-6, HALVES: (RUN + 2) * ROUNDING}
"""Largest error of a sum, divided by the sum of the magnitudes of its terms."""
TYPICAL = {FLOAT32: 1e-6, PAIRS: 2.0**-8, HALVES: 2.0**-9}
"""Root of the mean square of errors, divided by that of sums whose terms have random signs."""


def typical_error(got: Array, exact: Array) -> float:
    """Return what TYPICAL bounds."""
    return float(np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2)))


def emulated_halves(name: str) -> Target:
    """Return a description of x86 whose products are of float16, though by way of float32."""
    return replace(TARGETS[name], float16_products=True)


def halves_of_neon() -> Target:
    """Return the description of AArch64 with arithmetic of float16."""
    return replace(
        TARGETS["neon"], features="+fullfp16", float16_products=True, float16_arithmetic=True
    )
