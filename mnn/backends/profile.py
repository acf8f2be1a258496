"""Times of single steps: which kernels of a graph take how long."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.backends.compiled import Prepared
from mnn.backends.cpu.steps import HostCall, LoopCall, Step, calls_of
from mnn.codegen.target import host_target
from mnn.expr.graph import Graph
from mnn.records import dataclass

__all__ = ["Profile", "StepTime", "profile_graph"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class StepTime:
    """One step of a plan.

    Attributes:
        label: what it computes.
        kind: "kernel", "loop" of kernels, or "numpy".
        seconds: median of its runs.
        work: multiply-adds.    traffic: bytes read and written.
    """

    label: str
    kind: str
    seconds: float
    work: int
    traffic: int


@dataclass(frozen=True)
class Profile:
    """All steps of one run.

    Attributes:
        steps: in the order in which they run.
        arena_bytes: memory of everything between inputs and outputs.
        constant_bytes: prepared weights.
    """

    steps: tuple[StepTime, ...]
    arena_bytes: int
    constant_bytes: int


def profile_graph(
    graph: Graph,
    arrays: Sequence[Array],
    *,
    threads: int = 1,
    precision: str = "normal",
    repeat: int = 10,
) -> Profile:
    """Return the time of every step that computes a graph.

    Args:
        graph: a function of as many arrays as are given.
        threads, precision: as in `mnn.config`.
        repeat: runs, of which medians are taken.

    Raises:
        CodegenError: the graph cannot be compiled for this machine.
    """
    prepared: Prepared = graph.plan("compiled", Prepared)
    segment = prepared.segment
    given = [*arrays, *prepared.leaf_arrays()]
    steps: list[StepTime] = []
    arena = constants = 0
    while True:
        made, following = segment.compiled(given, low=host_target().shortens(precision))
        seconds = made.plan.profile(given, threads, repeat)
        steps += [_timed(step, time) for step, time in zip(made.plan.steps, seconds, strict=True)]
        arena = max(arena, made.plan.peak_bytes)
        constants += made.plan.constant_bytes
        if following is None:
            return Profile(tuple(steps), arena, constants)
        results = made.plan.run(given, threads)
        start = time.perf_counter()
        given = segment.carried(made, given, results)
        assert made.stopped is not None
        steps.append(StepTime(made.stopped.kind, "numpy", time.perf_counter() - start, 0, 0))
        segment = following


def _timed(step: Step, seconds: float) -> StepTime:
    if isinstance(step, HostCall):
        tensors = (*step.inputs, *step.outputs)
        moved = sum(each.size * each.dtype.itemsize for each in tensors)
        return StepTime(step.label, "numpy", seconds, 0, moved)
    turns = step.count if isinstance(step, LoopCall) else 1
    calls = list(calls_of([step]))
    return StepTime(
        step.label,
        "loop" if isinstance(step, LoopCall) else "kernel",
        seconds,
        turns * sum(each.work for each in calls),
        turns * sum(each.traffic for each in calls),
    )
