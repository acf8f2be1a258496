"""Recurrent layers: one product for all moments, then a loop over time in machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importers.control import LoopBody, loop_results
from mnn.compile.importing import Application, imports

__all__: list[str] = []

_SINGLE = np.dtype(np.float32)
_Step = Callable[[Flow, Value, Sequence[Value], Sequence[Value]], list[Value]]
"""(flow, driving input, states, fixed values) -> new states, all (batch, ...)."""


def _takes(node: Application) -> bool:
    """True for float32 layers over at least one moment."""
    present = [each for each in node.operands if each is not None]
    if any(each.dtype != _SINGLE or each.size == 0 for each in present):
        return False
    return all(node.computes(step, _SINGLE) for step in ("sigmoid", "tanh"))


def _backwards(node: Application, directions: int) -> list[bool]:
    if directions == 2:
        return [False, True]
    return [node.attributes["direction"] == "reverse"]


def _direction(flow: Flow, value: Value, number: int) -> Value:
    """Return what an operand with a leading direction axis holds for one direction."""
    shape = (1, *value.shape[1:])
    part = flow.slice(value, (number, *(0,) * (len(shape) - 1)), (1,) * len(shape), shape)
    return flow.reshape(part, value.shape[1:])


def _state(flow: Flow, value: Value | None, number: int, batch: int, size: int) -> Value:
    if value is None:
        return flow.constant(np.zeros((batch, size), np.float32))
    return _direction(flow, value, number)


def _transposed(flow: Flow, value: Value) -> Value:
    return flow.permute(value, (1, 0))


def _product(flow: Flow, a: Value, b: Value) -> Value:
    return flow.make("matmul", (a, b), (a.shape[0], b.shape[1]), _SINGLE)


def _driven(flow: Flow, x: Value, weight: Value, shift: Value) -> Value:
    """Return x times a (features, gates) matrix plus an offset, for all moments at once."""
    time, batch, features = x.shape
    rows = _product(flow, flow.reshape(x, (time * batch, features)), weight)
    shifted = flow.map("add", [rows, flow.reshape(shift, (1, shift.size))])
    return flow.reshape(shifted, (time, batch, weight.shape[1]))


def _over_time(
    flow: Flow,
    drive: Value,
    states: Sequence[Value],
    fixed: Sequence[Value],
    step: _Step,
    *,
    backwards: bool,
) -> tuple[Value, list[Value]]:
    """Return the first state of every moment, in order of time, and the last states."""
    time, batch, width = drive.shape
    inner = Flow()
    inside = [inner.input(each.shape, each.dtype) for each in states]
    source = inner.input(drive.shape, drive.dtype)
    given = [*states, drive]
    held = []
    for each in fixed:
        if each.array is not None:
            held.append(inner.constant(each.array))
        else:
            held.append(inner.input(each.shape, each.dtype))
            given.append(each)
    first = (time - 1 if backwards else 0, 0, 0)
    moment = inner.slice(source, first, (1, 1, 1), (1, batch, width))
    body = LoopBody(inner, time, tuple(range(len(states))))
    if moment.kind == "slice":
        body.moving[moment] = (-1 if backwards else 1, 0, 0)
    found = step(inner, inner.reshape(moment, (batch, width)), inside, held)
    inner.outputs = [*found, found[0]]
    *last, stack = loop_results(flow, body, given)
    if backwards:
        stack = flow.slice(stack, (time - 1, 0, 0), (-1, 1, 1), stack.shape)
    return stack, last


def _gate(flow: Flow, x: Value, number: int, size: int) -> Value:
    return flow.slice(x, (0, number * size), (1, 1), (x.shape[0], size))


def _assembled(
    flow: Flow, stacks: Sequence[Value], finals: Sequence[Sequence[Value]]
) -> list[Value]:
    """Return (time, directions, batch, size) outputs and (directions, batch, size) states."""
    time, batch, size = stacks[0].shape
    every = flow.concat([flow.reshape(each, (time, 1, batch, size)) for each in stacks], 1)
    states = [
        flow.concat([flow.reshape(each, (1, batch, size)) for each in found], 0)
        for found in zip(*finals, strict=True)
    ]
    return [every, *states]


@imports("lstm")
def _lstm(flow: Flow, node: Application) -> list[Value] | None:
    x, weight, recurrence = (node.operand(position) for position in range(3))
    bias, hidden, cell = (node.optional(position) for position in range(3, 6))
    if not _takes(node):
        return None
    directions, _, size = recurrence.shape
    batch = x.shape[1]

    def step(
        inner: Flow, drive: Value, states: Sequence[Value], fixed: Sequence[Value]
    ) -> list[Value]:
        h, c = states
        gates = inner.map("add", [drive, _product(inner, h, fixed[0])])
        i, o, f = (inner.map("sigmoid", [_gate(inner, gates, each, size)]) for each in range(3))
        g = inner.map("tanh", [_gate(inner, gates, 3, size)])
        kept = inner.map("multiply", [f, c])
        new = inner.map("add", [kept, inner.map("multiply", [i, g])])
        return [inner.map("multiply", [o, inner.map("tanh", [new])]), new]

    stacks, finals = [], []
    for number, backwards in enumerate(_backwards(node, directions)):
        matrix = _transposed(flow, _direction(flow, recurrence, number))
        entry = _transposed(flow, _direction(flow, weight, number))
        shift = (
            flow.constant(np.zeros(4 * size, np.float32))
            if bias is None
            else _direction(flow, bias, number)
        )
        drive = _driven(flow, x, entry, shift)
        states = [_state(flow, each, number, batch, size) for each in (hidden, cell)]
        stack, last = _over_time(flow, drive, states, [matrix], step, backwards=backwards)
        stacks.append(stack)
        finals.append(last)
    return _assembled(flow, stacks, finals)


@imports("rnn")
def _rnn(flow: Flow, node: Application) -> list[Value] | None:
    x, weight, recurrence = (node.operand(position) for position in range(3))
    bias, hidden = node.optional(3), node.optional(4)
    if not _takes(node):
        return None
    directions, size, _ = recurrence.shape

    def step(
        inner: Flow, drive: Value, states: Sequence[Value], fixed: Sequence[Value]
    ) -> list[Value]:
        total = inner.map("add", [drive, _product(inner, states[0], fixed[0])])
        return [inner.map("tanh", [total])]

    stacks, finals = [], []
    for number, backwards in enumerate(_backwards(node, directions)):
        matrix = _transposed(flow, _direction(flow, recurrence, number))
        entry = _transposed(flow, _direction(flow, weight, number))
        shift = (
            flow.constant(np.zeros(size, np.float32))
            if bias is None
            else _direction(flow, bias, number)
        )
        drive = _driven(flow, x, entry, shift)
        states = [_state(flow, hidden, number, x.shape[1], size)]
        stack, last = _over_time(flow, drive, states, [matrix], step, backwards=backwards)
        stacks.append(stack)
        finals.append(last)
    return _assembled(flow, stacks, finals)


@imports("gru")
def _gru(flow: Flow, node: Application) -> list[Value] | None:
    x, gate_weight, gate_bias, weight, bias, recurrent = (
        node.operand(position) for position in range(6)
    )
    hidden = node.optional(6)
    if not _takes(node):
        return None
    linear = node.attributes["linear_before_reset"]
    directions, size = weight.shape[0], weight.shape[2]
    features = x.shape[2]

    def rows(matrix: Value, low: int, high: int) -> Value:
        return flow.slice(matrix, (low, 0), (1, 1), (high - low, matrix.shape[1]))

    def step(
        inner: Flow, drive: Value, states: Sequence[Value], fixed: Sequence[Value]
    ) -> list[Value]:
        h = states[0]
        gate, candidate, shift = fixed
        both = inner.slice(drive, (0, 0), (1, 1), (drive.shape[0], 2 * size))
        gates = inner.map("sigmoid", [inner.map("add", [both, _product(inner, h, gate)])])
        z, r = _gate(inner, gates, 0, size), _gate(inner, gates, 1, size)
        offset = inner.reshape(shift, (1, size))
        if linear:
            inside = inner.map("add", [_product(inner, h, candidate), offset])
            again = inner.map("multiply", [r, inside])
        else:
            reset = inner.map("multiply", [r, h])
            again = inner.map("add", [_product(inner, reset, candidate), offset])
        n = inner.map("tanh", [inner.map("add", [_gate(inner, drive, 2, size), again])])
        kept = inner.map("multiply", [z, inner.map("subtract", [h, n])])
        return [inner.map("add", [kept, n])]

    stacks, finals = [], []
    for number, backwards in enumerate(_backwards(node, directions)):
        gates, candidates, shifts = (
            _direction(flow, each, number) for each in (gate_weight, weight, recurrent)
        )
        first = flow.slice(shifts, (0,), (1,), (2 * size,))
        start = flow.map("add", [_direction(flow, gate_bias, number), first])
        drive = flow.concat(
            [
                _driven(flow, x, rows(gates, 0, features), start),
                _driven(flow, x, rows(candidates, 0, features), _direction(flow, bias, number)),
            ],
            2,
        )
        fixed = [
            rows(gates, features, features + size),
            rows(candidates, features, features + size),
            flow.slice(shifts, (2 * size,), (1,), (size,)),
        ]
        states = [_state(flow, hidden, number, x.shape[1], size)]
        stack, last = _over_time(flow, drive, states, fixed, step, backwards=backwards)
        stacks.append(stack)
        finals.append(last)
    return _assembled(flow, stacks, finals)
