"""Steps of a plan: calls of kernels, work for NumPy between them, and loops over calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from mnn.codegen.kernel import Buffer, Call, Pointer, Tensor
from mnn.records import dataclass

__all__ = ["HostCall", "LoopCall", "RefusedError", "Step", "buffers_of", "calls_of"]

Array = np.ndarray[Any, Any]


class RefusedError(Exception):
    """A kernel met a value that it cannot work with, such as an index beyond an axis.

    The operators' references say what is wrong with it.
    """


@dataclass(frozen=True)
class HostCall:
    """A step that NumPy computes between kernels.

    Attributes:
        function: maps the inputs, as read-only arrays, to as many arrays as there are outputs,
            which are copied. It must not keep the inputs: their memory serves others later.
        inputs, outputs: tensors.
        label: for profiles.
    """

    function: Callable[[Sequence[Array]], Sequence[Array]]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    label: str = ""


@dataclass(frozen=True)
class LoopCall:
    """Calls that run `count` times, in machine code: recurrent layers, scans.

    Attributes:
        steps: the calls of one turn. Buffers keep their content from turn to turn.
        count: number of turns, at least 0.
        moving: (number of the call in `steps`, number of its slot, step): after each turn the slot
            grows by `step`, in bytes when it is a Pointer. Negative steps walk backwards.
        label: for profiles.
    """

    steps: tuple[Call, ...]
    count: int
    moving: tuple[tuple[int, int, int], ...] = ()
    label: str = ""


Step: TypeAlias = Call | HostCall | LoopCall


def calls_of(steps: Iterable[Step]) -> Iterator[Call]:
    """Yield all calls of kernels, those inside of loops too."""
    for step in steps:
        if isinstance(step, LoopCall):
            yield from step.steps
        elif isinstance(step, Call):
            yield step


def buffers_of(step: Step) -> Iterator[Buffer]:
    """Yield the buffers that a step names, some of them more than once."""
    if isinstance(step, HostCall):
        for tensor in (*step.inputs, *step.outputs):
            yield tensor.buffer
        return
    for call in calls_of([step]):
        for slot in call.slots:
            if isinstance(slot, Pointer):
                yield slot.buffer
