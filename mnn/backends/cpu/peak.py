"""This machine's measured peaks, with the kernels that come closest to them."""

from __future__ import annotations

import time

from mnn.backends.cpu.plan import Plan
from mnn.codegen.kernel import Call
from mnn.codegen.target import Target
from mnn.codegen.templates import peak
from mnn.records import dataclass

__all__ = ["Peak", "measure_peak"]

_COPY_BYTES = 64 << 20
"""Larger than usual last-level caches."""
_TRIALS = 7


@dataclass(frozen=True)
class Peak:
    """What some threads of this machine reach at best.

    Attributes:
        multiply_adds: float32 multiply-adds a second.
        bytes: bytes a second, read and written, of a copy in main memory.
    """

    multiply_adds: float
    bytes: float


def measure_peak(target: Target, threads: int = 1) -> Peak:
    """Return the peaks; takes about 0.1 s and twice 64 MiB.

    Raises:
        CodegenError: kernels cannot be compiled for this machine.
    """
    arithmetic, memory = peak.multiply_adds(target), peak.copying(_COPY_BYTES)
    return Peak(
        sum(each.work for each in arithmetic) / _shortest(arithmetic, target, threads),
        sum(each.traffic for each in memory) / _shortest(memory, target, threads),
    )


def _shortest(calls: list[Call], target: Target, threads: int) -> float:
    """Return the seconds of the fastest of some runs."""
    plan = Plan(calls, [], [], target)
    shortest = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        plan.run([], threads)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
