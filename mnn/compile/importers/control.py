"""Counted loops whose turns differ in nothing but where they read: they run in machine code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, DynamicShapeError, Importer, imports
from mnn.expr.graph import Graph
from mnn.expr.node import CONST, walk
from mnn.records import dataclass, field

__all__ = ["LoopBody", "loop_results"]

Array = np.ndarray[Any, Any]
_TURN = np.dtype(np.int32)


@dataclass(eq=False)
class LoopBody:
    """One turn of a loop, as a flow of its own.

    Attributes:
        flow: its inputs are what the loop is given, in order; its outputs are the next states,
            then what is stacked.
        count: number of turns.
        states: for each state, the number of the input that holds it.
        moving: slices that start elsewhere in each turn, with the distance, in elements per axis.
    """

    flow: Flow
    count: int
    states: tuple[int, ...]
    moving: dict[Value, tuple[int, ...]] = field(default_factory=dict)


@imports("loop")
def _loop(flow: Flow, node: Application) -> Sequence[Value] | None:
    limit, condition = node.operand(0), node.operand(1)
    body: Graph = node.attributes["body"]
    states = [node.operand(position) for position in range(2, len(node.operands))]
    if limit.array is None or condition.array is None or not _always(body):
        return None
    count = int(limit.array.reshape(-1)[0]) if condition.array.reshape(-1)[0] > 0 else 0
    if count < 1:
        return None
    turns = []
    for turn in dict.fromkeys((0, 1, count - 1)):
        found = _turn(node.importer, body, states, condition, turn)
        if found is None:
            return None
        turns.append((turn, *found))
    _, inner, given, carried = turns[0]
    made = LoopBody(inner, count, carried)
    if any(value.kind in ("host", "loop") for value in _reached(inner)):
        return None
    if not _same_but_for_slices(turns, made):
        return None
    if any(
        inner.outputs[place].shape != inner.inputs[number].shape
        or inner.outputs[place].dtype != inner.inputs[number].dtype
        for place, number in enumerate(carried)
    ):
        return None
    changed = iter(loop_results(flow, made, given))
    ends = [
        next(changed) if _is_carried(body, place) else value for place, value in enumerate(states)
    ]
    return [*ends, *changed]


def _always(body: Graph) -> bool:
    """True when the condition after a turn is a constant that goes on."""
    node = body.outputs[0].node
    if node is body.inputs[1]:
        return True
    array = node.cell.array if node.kind == CONST and node.cell is not None else None
    return array is not None and bool(array.reshape(-1)[0] > 0)


def _is_carried(body: Graph, place: int) -> bool:
    """True when a state changes: others are handed on as they are."""
    return body.outputs[1 + place].node is not body.inputs[2 + place]


def _turn(
    outer: Importer, body: Graph, states: Sequence[Value], condition: Value, turn: int
) -> tuple[Flow, list[Value], tuple[int, ...]] | None:
    """Return the flow of one turn, the outer values of its inputs, and which hold states."""
    inner = Flow()
    importer = Importer(inner, outer.target)
    given: list[Value] = []
    carried: list[int] = []
    importer.results[body.inputs[0]] = [inner.constant(np.array(turn, _TURN))]
    assert condition.array is not None
    importer.results[body.inputs[1]] = [inner.constant(condition.array)]
    for place, value in enumerate(states):
        leaf = body.inputs[2 + place]
        changes = _is_carried(body, place)
        if value.array is not None and not changes:
            importer.results[leaf] = [inner.constant(value.array)]
            continue
        if changes:
            carried.append(len(given))
        given.append(value)
        importer.results[leaf] = [inner.input(value.shape, value.dtype)]
    order = list(walk(body.outputs))
    for each in order:
        if each.cell is not None and each not in importer.results:
            importer.results[each] = [inner.constant(each.cell.value(each.names.get(0, "")))]
    try:
        importer.add(order)
    except DynamicShapeError:
        return None
    changing = [
        ref
        for place, ref in enumerate(body.outputs[1:])
        if place >= len(states) or _is_carried(body, place)
    ]
    inner.outputs = [importer.value(ref) for ref in changing]
    return inner, given, tuple(carried)


def _reached(flow: Flow) -> list[Value]:
    """Return the values that outputs need, in order."""
    needed = set(flow.outputs)
    for value in reversed(flow.values):
        if value in needed:
            needed.update(value.inputs)
    return [value for value in flow.values if value in needed]


def _same_but_for_slices(turns: Sequence[tuple[Any, ...]], body: LoopBody) -> bool:
    """True when all turns are alike but for starts of slices, which are noted in the body."""
    first = _reached(turns[0][1])
    places = {value: place for place, value in enumerate(first)}
    steps: dict[Value, tuple[int, ...]] = {}
    for turn, flow, *_ in turns[1:]:
        other = _reached(flow)
        twins = {value: place for place, value in enumerate(other)}
        if len(other) != len(first) or [places[each] for each in turns[0][1].outputs] != [
            twins[each] for each in flow.outputs
        ]:
            return False
        for one, two in zip(first, other, strict=True):
            operands = [places[each] for each in one.inputs] == [twins[each] for each in two.inputs]
            if not operands or one.kind != two.kind or one.shape != two.shape:
                return False
            if one.kind == "constant" and one.array is not two.array:
                if not np.array_equal(one.array, two.array):  # type: ignore[arg-type]
                    return False
            elif dict(one.attributes) != dict(two.attributes):
                if not _moves(one, two, turn, steps):
                    return False
            elif one in steps:
                return False
    body.moving = steps
    return True


def _moves(one: Value, two: Value, turn: int, steps: dict[Value, tuple[int, ...]]) -> bool:
    """Note how a slice moves; False when that is not by equal distances."""
    if one.kind != "slice" or one.attributes["steps"] != two.attributes["steps"]:
        return False
    starts = zip(one.attributes["starts"], two.attributes["starts"], strict=True)
    moved = [later - now for now, later in starts]
    if any(distance % turn for distance in moved):
        return False
    each = tuple(distance // turn for distance in moved)
    return steps.setdefault(one, each) == each


def loop_results(flow: Flow, body: LoopBody, given: Sequence[Value]) -> list[Value]:
    """Return the final states, then the stacks, of a loop over `given` values."""
    inner = body.flow.outputs
    types = [(each.shape, each.dtype) for each in inner[: len(body.states)]]
    types += [((body.count, *each.shape), each.dtype) for each in inner[len(body.states) :]]
    loop = flow.make("loop", given, (), np.dtype(np.bool_), {"body": body, "types": tuple(types)})
    return [
        flow.make("part", (loop,), shape, dtype, {"port": port})
        for port, (shape, dtype) in enumerate(types)
    ]
