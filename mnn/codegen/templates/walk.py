"""What kernels over kept and reduced axes have in common: description, arguments, passes."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from mnn.codegen.builder import Function, Index, Value
from mnn.codegen.kernel import Kernel, Slot
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates.access import (
    CROSS,
    FAR,
    SIDE,
    TAKING_TURNS,
    Stream,
    masks_tails,
    vector_lanes,
)
from mnn.codegen.templates.reduction import Reduction, State
from mnn.codegen.templates.schedule import (
    Schedule,
    closure,
    is_constant,
    make_schedule,
    step_arguments,
    used_dtypes,
)
from mnn.codegen.templates.space import Space
from mnn.records import dataclass

__all__ = ["IN_SCRATCH", "Pass", "Walk", "WalkKernel", "arguments", "grouped"]

IN_SCRATCH = -1
"""Place of a saved value that is not an output."""


@dataclass(frozen=True)
class WalkKernel(Kernel):
    """A program over rows: what lies along the reduced axes, for each position along the kept ones.

    Attributes:
        memory: dtypes in memory of inputs, then outputs; float16 is computed as float32.
        inputs, outputs: for each how neighbours along the axis of the lanes lie.
        rows: for inputs, then outputs, whether there is one element for a row.
        kept, reduced: numbers of axes; reduced >= 1.
        places: for each saved value (in the order of the schedule) the number of the output that
            holds it meanwhile, or IN_SCRATCH; None saves nothing.
        copies: elements of inputs that later passes need are saved too.
        length: positions along the reduced axis, when they are to be held in registers; 0: any.
        wide: positions need 64 bits.

    Arguments: for each operand its pointer and strides in bytes along the kept axes and along the
    reduced axes; sizes of kept axes; sizes of reduced axes; their weights in positions; parts that
    the lanes' axis is cut into; bytes in scratch before each saved value.
    """

    program: Program
    memory: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: tuple[bool, ...]
    kept: int
    reduced: int
    places: tuple[int, ...] | None = None
    copies: bool = False
    length: int = 0
    wide: bool = False

    @property
    def schedule(self) -> Schedule:
        """Passes of the program."""
        count = len(self.inputs)
        return make_schedule(
            self.program,
            self.rows[:count],
            [not each for each in self.rows[count:]],
            save=self.places is not None,
            copies=self.copies,
        )

    @property
    def operands(self) -> list[str]:
        """Names of the operands in the argument block: inputs, then outputs."""
        names = [f"x{number}" for number in range(len(self.inputs))]
        return names + [f"y{number}" for number in range(len(self.outputs))]

    def fields(self) -> str:
        """Return the names of the argument block."""
        names = []
        for operand in self.operands:
            names.append(f"*{operand}")
            names += [f"{operand}k{axis}" for axis in range(self.kept)]
            names += [f"{operand}r{axis}" for axis in range(self.reduced)]
        names += [f"k{axis}" for axis in range(self.kept)]
        names += [f"r{axis}" for axis in range(self.reduced)]
        names += [f"w{axis}" for axis in range(self.reduced)]
        names.append("parts")
        names += [f"s{number}" for number in range(len(self.places or ()))]
        return " ".join(names)


def arguments(
    kernel: WalkKernel, space: Space, parts: int, scratch_starts: Sequence[int]
) -> tuple[Slot, ...]:
    """Return the argument block of a kernel on a space."""
    values: dict[str, Slot] = {"parts": parts}
    operands = [*space.inputs, *space.outputs]
    for name, operand in zip(kernel.operands, operands, strict=True):
        values[name] = operand.pointer
        for axis, stride in enumerate(operand.kept):
            values[f"{name}k{axis}"] = stride * operand.itemsize
        for axis, stride in enumerate(operand.reduced):
            values[f"{name}r{axis}"] = stride * operand.itemsize
    for axis, size in enumerate(space.kept):
        values[f"k{axis}"] = size
    for axis, size in enumerate(space.reduced):
        values[f"r{axis}"] = size
        values[f"w{axis}"] = space.weights[axis]
    for number, start in enumerate(scratch_starts):
        values[f"s{number}"] = start
    return tuple(values[each.lstrip("*")] for each in kernel.fields().split())


class Walk:
    """What is known while the code of a kernel is being built."""

    def __init__(self, kernel: WalkKernel, function: Function, target: Target) -> None:
        self.kernel, self.function, self.target = kernel, function, target
        self.program, self.schedule = kernel.program, kernel.schedule
        used = used_dtypes(self.program)
        self.lanes = vector_lanes(target, used)
        self.dtypes = kernel.memory
        self.kinds = kernel.inputs + kernel.outputs
        self.masks = masks_tails(target, self.dtypes, self.kinds)
        self.widest = max(np.dtype(each).itemsize for each in used)
        self.count = len(kernel.inputs)
        self._block: SimpleNamespace = function.block(kernel.fields())

    def argument(self, name: str) -> Value:
        """Return a field of the argument block."""
        found: Value = getattr(self._block, name)
        return found

    def listed(self, pattern: str, count: int) -> list[Index]:
        """Return the fields `pattern` + 0, 1, ..."""
        return [self.argument(f"{pattern}{number}") for number in range(count)]

    def stream(self, number: int, pointer: Value, axis: str) -> Stream:
        """Return operand `number` along an axis; it begins at the pointer."""
        kind = self.kinds[number]
        if kind in (CROSS, TAKING_TURNS):
            kind = FAR
        stride = self.argument(self.kernel.operands[number] + axis)
        return Stream(self.dtypes[number], kind, pointer, stride)

    def saved_stream(
        self, number: int, pointers: Sequence[Value], saved: Value, axis: str
    ) -> Stream:
        """Return where saved value `number` lies, given pointers of operands and in scratch."""
        assert self.kernel.places is not None
        output = self.kernel.places[number]
        if output == IN_SCRATCH:
            return Stream(self.program.dtype(self.schedule.saves[number]), SIDE, saved)
        return self.stream(self.count + output, pointers[self.count + output], axis)

    def scratch(self) -> list[Value]:
        """Return where saved values begin in scratch."""
        f = self.function
        count = len(self.kernel.places or ())
        return [f.offset(f.arguments[3], self.argument(f"s{n}")) for n in range(count)]


class Pass:
    """What one pass over the elements of a row does.

    Attributes:
        reductions: that end with it.
        saves: places in the schedule's list of values that are stored for later passes.
        old: the same of values that earlier passes stored.
        stores: outputs that are stored.
        wanted: values that are needed.
        row_values: values for the whole row that the wanted ones are computed from.
    """

    def __init__(self, walk: Walk, number: int) -> None:
        schedule, program, kernel = walk.schedule, walk.program, walk.kernel
        self.reductions: list[Reduction] = []
        self._results: list[tuple[int, int, bool]] = []
        self._add_reductions(walk, schedule.reductions[number])
        saves = list(enumerate(schedule.saves)) if not kernel.length else []
        self.saves = {each: n for n, each in saves if schedule.depth[each] == number}
        self.old = {each: n for n, each in saves if schedule.depth[each] < number}
        self.stores = [
            n
            for n in range(len(kernel.outputs))
            if not kernel.rows[walk.count + n] and number == schedule.passes - 1
        ]
        self.wanted = [each.argument for each in self.reductions] + list(self.saves)
        self.wanted += [each.indices for each in self.reductions if each.indices is not None]
        self.wanted += [program.outputs[each] for each in self.stores]

        def known(value: int) -> bool:
            whole = schedule.rows[value] and not is_constant(program, value)
            return whole or value in self.old

        found = closure(program, self.wanted, known)[1]
        self.row_values = [each for each in found if each not in self.old]

    def _add_reductions(self, walk: Walk, values: Sequence[int]) -> None:
        """Add the reductions; an extreme is a by-product of its position."""
        position = "int64" if walk.kernel.wide else "int32"
        every = [Reduction(walk.function, walk.program, value, position) for value in values]
        positions = {
            (each.name[3:], each.argument, each.compute): each for each in every if each.is_arg
        }
        for value, each in zip(values, every, strict=True):
            twin = None
            if each.result == each.compute:
                twin = positions.get((each.name, each.argument, each.compute))
            used = twin or each
            if used not in self.reductions:
                self.reductions.append(used)
            place = self.reductions.index(used)
            self._results.append((value, place, twin is not None))

    def results(self, states: Sequence[State]) -> dict[int, Value]:
        """Return the values of all reductions, given the final states of `reductions`."""
        found = {}
        for value, place, extreme in self._results:
            reduction, state = self.reductions[place], states[place]
            found[value] = reduction.extreme(state) if extreme else reduction.end(state)
        return found


def reads_elements_again(program: Program, schedule: Schedule) -> bool:
    """True when a pass after the first save reads elements of inputs."""
    first = min((schedule.depth[each] for each in schedule.saves), default=0)
    for number in range(first + 1, schedule.passes):
        wanted = [
            each for value in schedule.reductions[number] for each in step_arguments(program, value)
        ]
        if number == schedule.passes - 1:
            wanted += program.outputs
        old = {each for each in schedule.saves if schedule.depth[each] < number}
        found, _ = closure(program, wanted, old.__contains__)
        if any(each < len(program.inputs) and not schedule.rows[each] for each in found):
            return True
    return False


def grouped(flat: Sequence[Value], like: Sequence[State]) -> list[State]:
    """Return values in groups of the lengths of those in `like`."""
    groups, start = [], 0
    for each in like:
        groups.append(list(flat[start : start + len(each)]))
        start += len(each)
    return groups


def flattened(groups: Sequence[State]) -> list[Value]:
    """Return the values of all groups."""
    return [each for group in groups for each in group]
