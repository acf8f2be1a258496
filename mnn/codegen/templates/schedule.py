"""Order of work in programs with reductions: passes over a row, and what is kept between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from mnn.codegen.builder import Function, Value
from mnn.codegen.program import CAST, CONSTANT, Program, Step, emit_step
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = [
    "Schedule",
    "check_program",
    "closure",
    "computable",
    "cost",
    "is_constant",
    "make_schedule",
    "program_cost",
    "step_arguments",
    "used_dtypes",
    "values_of",
]

_CHEAP = frozenset(
    [
        "add",
        "subtract",
        "multiply",
        "negative",
        "positive",
        "abs",
        "sign",
        "maximum",
        "minimum",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "bitwise_not",
        "left_shift",
        "right_shift",
        "select",
        "square",
        "squared_difference",
        "relu",
        "relu6",
        "prelu",
        "threshold",
        "isfinite",
        "isinf",
        "isnan",
        "cast",
        "constant",
    ]
)
_MIDDLE = frozenset(
    [
        "divide",
        "sqrt",
        "rsqrt",
        "reciprocal",
        "floor",
        "ceil",
        "round",
        "rint",
        "trunc",
        "hardswish",
        "softsign",
    ]
)
_WORTH_KEEPING = 6


def cost(step: Step) -> int:
    """Return roughly how many instructions a step takes."""
    if step.name in _CHEAP or step.reduction:
        return 1
    return 4 if step.name in _MIDDLE else 16


def program_cost(program: Program) -> int:
    """Return roughly how many instructions one element takes, loads and stores included."""
    return sum(cost(each) for each in program.steps) + len(program.inputs) + len(program.outputs)


def step_arguments(program: Program, value: int) -> tuple[int, ...]:
    """Return the numbers of the values that a value is computed from."""
    if value < len(program.inputs):
        return ()
    return program.steps[value - len(program.inputs)].arguments


@dataclass(frozen=True)
class Schedule:
    """Passes over the elements of a row, one after another.

    Attributes:
        rows: whether a value is one for the whole row (constants are too).
        depth: number of the pass in which a value first exists; row values that are computed
            from reductions exist before the pass of that number begins.
        passes: how many.
        reductions: for each pass the reductions that end with it.
        saves: element values kept in memory when they are first computed, for later passes.
    """

    rows: tuple[bool, ...]
    depth: tuple[int, ...]
    passes: int
    reductions: tuple[tuple[int, ...], ...]
    saves: tuple[int, ...]


def check_program(program: Program, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Raise CodegenError when dtypes of operands differ from those of the program."""
    wanted = tuple(program.dtype(each) for each in program.outputs)
    if tuple(inputs) != program.inputs or tuple(outputs) != wanted:
        raise CodegenError(
            f"loops: found inputs of {tuple(inputs)} and outputs of {tuple(outputs)}, expected "
            f"the program's {program.inputs} and {wanted}."
        )


def make_schedule(
    program: Program,
    row_inputs: Sequence[bool],
    full_outputs: Sequence[bool],
    *,
    save: bool,
    copies: bool = False,
) -> Schedule:
    """Return the passes of a program.

    Args:
        row_inputs: for each input, whether it is one value for the row.
        full_outputs: for each output, whether it has an element for each position.
        save: whether values may be kept in memory between passes.
        copies: elements of inputs are kept too, because they lie too far apart for the cache.
    """
    rows, depth = list(row_inputs), [0] * len(program.inputs)
    ended: dict[int, list[int]] = {0: []}
    for number, step in enumerate(program.steps, len(program.inputs)):
        deepest = max((depth[each] for each in step.arguments), default=0)
        if step.reduction:
            ended.setdefault(deepest, []).append(number)
            rows.append(True)
            depth.append(deepest + 1)
        else:
            rows.append(all(rows[each] for each in step.arguments))
            depth.append(deepest)
    stores = [depth[each] for each, full in zip(program.outputs, full_outputs, strict=True) if full]
    passes = max([*stores, *(each for each, found in ended.items() if found)], default=-1) + 1
    reductions = tuple(tuple(ended.get(number, ())) for number in range(passes))
    saves: tuple[int, ...] = ()
    if save:
        saves = _saved(program, rows, depth, reductions, full_outputs, copies)
    return Schedule(tuple(rows), tuple(depth), passes, reductions, saves)


def _saved(
    program: Program,
    rows: Sequence[bool],
    depth: Sequence[int],
    reductions: Sequence[Sequence[int]],
    full_outputs: Sequence[bool],
    copies: bool,
) -> tuple[int, ...]:
    """Return the values that later passes would have to compute again at some cost."""
    saved: set[int] = set()
    for number, ended in enumerate(reductions):
        roots = [step_arguments(program, each)[0] for each in ended]
        if number == len(reductions) - 1:
            pairs = zip(program.outputs, full_outputs, strict=True)
            roots += [each for each, full in pairs if full]
        open_values, seen = list(roots), set(roots)
        while open_values:
            value = open_values.pop()
            if rows[value] or value in saved:
                continue
            if depth[value] < number:
                again = _again(program, value, rows, saved)
                if again >= _WORTH_KEEPING or (copies and value < len(program.inputs)):
                    saved.add(value)
                    continue
            fresh = [each for each in step_arguments(program, value) if each not in seen]
            seen.update(fresh)
            open_values += fresh
    return tuple(sorted(saved))


def _again(program: Program, value: int, rows: Sequence[bool], saved: Collection[int]) -> int:
    """Return the cost of computing an element value again."""
    first = len(program.inputs)
    found, _ = closure(program, [value], lambda each: rows[each] or each in saved or each < first)
    return sum(cost(program.steps[each - first]) for each in found)


def closure(
    program: Program, wanted: Iterable[int], known: Callable[[int], bool]
) -> tuple[list[int], list[int]]:
    """Return the values to compute for `wanted`, in order, and the known ones they end at."""
    found: set[int] = set()
    ends: set[int] = set()
    open_values = list(wanted)
    while open_values:
        value = open_values.pop()
        if value in found or value in ends:
            continue
        if known(value):
            ends.add(value)
            continue
        found.add(value)
        open_values += step_arguments(program, value)
    return sorted(found), sorted(ends)


def values_of(
    function: Function,
    lanes: int,
    program: Program,
    wanted: Iterable[int],
    held: dict[int, Value],
    leaf: Callable[[int], Value | None],
) -> dict[int, Value]:
    """Build the values `wanted` and return `held` with them; it has those made before.

    Args:
        leaf: returns a value that need not be computed, or None.
    """

    def known(value: int) -> bool:
        if value not in held:
            found = leaf(value)
            if found is not None:
                held[value] = found
        return value in held

    first = len(program.inputs)
    for value in closure(program, wanted, known)[0]:
        held[value] = emit_step(function, lanes, program.steps[value - first], held, program)
    return held


def is_constant(program: Program, value: int) -> bool:
    """True when a value is a number of the program."""
    return value >= len(program.inputs) and (
        program.steps[value - len(program.inputs)].name == CONSTANT
    )


def used_dtypes(program: Program) -> list[str]:
    """Return the dtypes of elements in memory and in computation, for the choice of lanes.

    Values that follow from reductions alone are not among them: there are few of these.
    """
    found = list(program.inputs)
    few = [False] * len(program.inputs)
    for step in program.steps:
        alone = all(few[each] for each in step.arguments)
        few.append(alone or bool(step.reduction))
        if not alone:
            found.append(step.compute)
            if not step.reduction.startswith("arg"):
                found.append(step.result)
    found += [program.dtype(each) for each in program.outputs if not few[each]]
    return [each for each in found if np.dtype(each).kind != "b"] or ["bool"]


def computable(program: Program) -> Program:
    """Return the program with float32 in place of float16, which exists in memory only.

    Raises:
        CodegenError: the program computes in float16.
    """
    if "float16" not in {each.result for each in program.steps} | set(program.inputs):
        return program
    steps = []
    for number, step in enumerate(program.steps, len(program.inputs)):
        halves = [each for each in step.arguments if program.dtype(each) == "float16"]
        rounded = [each for each in halves if each >= len(program.inputs)]
        if rounded or (step.name != CAST and "float16" in (step.compute, step.result)):
            raise CodegenError(
                f"loops: value {number}, {step.name}, is computed in float16, expected float16 "
                "in memory only. Cast to float32 before computing."
            )
        changed = {"float16": "float32"}
        steps.append(
            replace(
                step,
                compute=changed.get(step.compute, step.compute),
                result=changed.get(step.result, step.result),
            )
        )
    inputs = tuple("float32" if each == "float16" else each for each in program.inputs)
    return Program(inputs, tuple(steps), program.outputs)
