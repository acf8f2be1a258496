"""Plans: from lists of steps to what runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from mnn.backends.cpu.constants import place_constants
from mnn.backends.cpu.executor import Executor
from mnn.backends.cpu.instance import Recipe
from mnn.backends.cpu.recording import record_constants, record_plan
from mnn.backends.cpu.runnable import Runnable
from mnn.backends.cpu.steps import (
    HostCall,
    LoopCall,
    RefusedError,
    Step,
    buffers_of,
    calls_of,
)
from mnn.backends.cpu.stored import StoredPlan, release
from mnn.backends.cpu.tables import Places, TableBuilder
from mnn.codegen.kernel import CONSTANT, INPUT, OUTPUT, Buffer, Kernel, Tensor, contiguous
from mnn.codegen.linking import library
from mnn.codegen.prepare import pending
from mnn.codegen.target import Target
from mnn.compile.memory import lifetimes, place
from mnn.config import config

__all__ = ["HostCall", "LoopCall", "Plan", "RefusedError", "Step"]


class Plan(Runnable):
    """Steps with their memory.

    Args:
        steps: in the order in which they run.
        inputs: the tensor of each array that a run is given: C-contiguous, in INPUT buffers.
        outputs: what a run returns. Arrays that fill an OUTPUT buffer in C order are written by
            the steps; whatever else an output is, a copy of it is returned.
        target: what kernels are compiled for.
        status: one int64 in memory of its own, which steps set when they meet a value that they
            cannot work with.
        files: mapped files that hold constants, when the plan shall be stored.

    Attributes:
        steps: as given.
        stored: what later processes can run the plan by; None when it was not asked for, or when
            the plan is more than data and code.
        constants: their buffers, which own their memory.
        constant_bytes: memory of constants, which all runs share.

    Raises:
        CodegenError: a kernel cannot be compiled, or not for this machine.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        target: Target,
        status: Tensor | None = None,
        files: Sequence[memoryview] | None = None,
    ) -> None:
        self.steps = tuple(steps)
        uses = [list(buffers_of(each)) for each in self.steps]
        uses.append([each.buffer for each in outputs])
        if status is not None:
            uses[0].append(status.buffer)
            uses[-1].append(status.buffer)
        every = dict.fromkeys(buffer for step in uses for buffer in step)
        self.constants = [each for each in every if each.kind == CONSTANT]
        functions, kernels = _link(self.steps, self.constants, target)
        record = None if files is None else record_constants(self.constants, kernels, files)
        addresses, self.constant_bytes = place_constants(self.constants)
        if files is not None:
            release(files)
        foreign, fresh, results = _foreign(inputs, outputs)
        # Outputs that nobody asks for are written all the same.
        unasked = {each for each in every if each.kind == OUTPUT and each not in foreign}
        lives = lifetimes(uses, unasked)
        offsets, arena_bytes = place(list(lives.values()))
        if config.verify:
            from mnn.compile.verify_plan import verify_places

            verify_places(list(lives.values()), offsets, arena_bytes)
        temporaries = dict(zip(lives, offsets, strict=True))
        numbers = {each: number for number, each in enumerate(self.constants)}
        builder = TableBuilder(Places(numbers, temporaries, foreign, kernels), len(foreign))
        actions: list[int | HostCall] = []
        for host, group in groupby(self.steps, lambda each: isinstance(each, HostCall)):
            part = list(group)
            actions += [each for each in part if isinstance(each, HostCall)]
            if not host:
                actions.append(
                    builder.add_run([each for each in part if not isinstance(each, HostCall)])
                )
        recipe = Recipe(
            builder.finish(),
            0,
            temporaries,
            arena_bytes,
            max((each.scratch for each in calls_of(self.steps)), default=0),
            foreign,
            fresh,
            tuple(actions),
            results,
            any(each.items > each.grain for each in calls_of(self.steps)),
            None if status is None else temporaries[status.buffer],
        )
        self.stored = None if record is None else record_plan(recipe, record, functions)
        super().__init__(recipe.bound([addresses[each] for each in self.constants], functions))

    def take_stored(self) -> StoredPlan:
        """Return what is to be stored, and forget it."""
        taken, self.stored = self.stored, None
        assert taken is not None
        return taken


def _link(
    steps: Sequence[Step], constants: Sequence[Buffer], target: Target
) -> tuple[list[int], dict[int, int]]:
    """Return addresses, that of the executor first, and a kernel's number among them by its `id`.

    Descriptions that are equal may still differ: in the sign of a zero.
    """
    calls = list(calls_of(steps))
    # What computes constants is linked here too, so that all is compiled at the same time.
    calls += [call for each in pending(constants) if each.target == target for call in each.calls]
    kernels: list[Kernel] = list({id(each.kernel): each.kernel for each in calls}.values())
    executor, *addresses = library().link([Executor(), *kernels], target)
    unique = list(dict.fromkeys([executor, *addresses]))
    numbers = {address: number for number, address in enumerate(unique)}
    pairs = zip(kernels, addresses, strict=True)
    return unique, {id(each): numbers[address] for each, address in pairs}


def _foreign(
    inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[
    Mapping[Buffer, int],
    tuple[tuple[tuple[int, ...], np.dtype[Any]], ...],
    tuple[int | Tensor, ...],
]:
    """Return the numbers of buffers among a run's arrays, the arrays it makes, its results."""
    assert all(each.buffer.kind == INPUT for each in inputs), inputs
    numbers = {each.buffer: number for number, each in enumerate(inputs)}
    assert len(numbers) == len(inputs), "two inputs share a buffer"
    fresh: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
    results: list[int | Tensor] = list(outputs)
    for place_, each in enumerate(outputs):
        if each.buffer not in numbers and _fills(each):
            numbers[each.buffer] = results[place_] = len(numbers)
            fresh.append((each.shape, each.dtype))
    for each in outputs:
        if each.buffer.kind == OUTPUT and each.buffer not in numbers:
            numbers[each.buffer] = len(numbers)
            fresh.append(((each.buffer.size,), np.dtype(np.uint8)))
    return numbers, tuple(fresh), tuple(results)


def _fills(tensor: Tensor) -> bool:
    """True when a tensor fills its OUTPUT buffer in C order."""
    if tensor.buffer.kind != OUTPUT or tensor.offset:
        return False
    whole = contiguous(tensor.buffer, tensor.shape, tensor.dtype)
    return tensor.size * tensor.dtype.itemsize == tensor.buffer.size and all(
        size == 1 or mine == other
        for size, mine, other in zip(tensor.shape, tensor.strides, whole.strides, strict=True)
    )
