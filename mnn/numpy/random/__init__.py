"""Random numbers: NumPy's generators and streams, with Vars for arrays.

Equal seeds give NumPy's numbers. Types are NumPy's too, but for `rand`, `randn` and `random`, which
give float32 unless told otherwise, and `randint`, which gives int32.
"""

from __future__ import annotations

from numpy.random import (
    MT19937,
    PCG64,
    PCG64DXSM,
    SFC64,
    BitGenerator,
    Philox,
    SeedSequence,
)

from mnn.numpy.random.generators import Generator, RandomState, default_rng
from mnn.numpy.random.legacy import *
from mnn.numpy.random.legacy import __all__ as _legacy

__all__ = [
    "MT19937",
    "PCG64",
    "PCG64DXSM",
    "SFC64",
    "BitGenerator",
    "Generator",
    "Philox",
    "RandomState",
    "SeedSequence",
    "default_rng",
    *_legacy,
]
