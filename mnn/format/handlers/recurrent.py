"""Recurrent layers and attention."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.errors import FormatError
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder
from mnn.ops import recurrent as ops
from mnn.ops.joining import stack
from mnn.ops.movement import reshape


def _direction(weight: Var) -> str:
    return "bidirectional" if weight.shape[0] == 2 else "forward"


@decoder("LSTM")
def _lstm(call: OpCall) -> Sequence[Var]:
    if len(call.inputs) < 3:
        raise FormatError(
            f"{call.name}: an LSTM that holds its weights itself (Caffe's form) is not supported."
        )
    weight = call.input(1)
    every, hidden, cell = ops.lstm(
        call.input(0),
        weight,
        call.input(2),
        call.optional(3),
        call.optional(4),
        call.optional(5),
        direction=_direction(weight),
    )
    return [every, hidden, cell]


@decoder("RNN")
def _rnn(call: OpCall) -> Sequence[Var]:
    weight = call.input(1)
    every, hidden = ops.rnn(
        call.input(0),
        weight,
        call.input(2),
        call.optional(3),
        call.optional(4),
        direction=_direction(weight),
    )
    return [every, hidden]


@decoder("RNNSequenceGRU")
def _gru(call: OpCall) -> Sequence[Var]:
    main = call.parameters()
    directions = 2 if main.isBidirectionalRNN else 1
    needed = 1 + 5 * directions
    if len(call.inputs) < needed:
        raise FormatError(f"{call.name}: {len(call.inputs)} operands, expected {needed}.")
    stacked = []
    for kind in range(5):
        parts = [call.input(1 + 5 * each + kind) for each in range(directions)]
        if kind in (1, 3, 4):  # biases come as one row
            parts = [reshape(part, (-1,)) for part in parts]
        stacked.append(stack(parts))
    every, last = ops.gru(
        call.input(0),
        *stacked,
        call.optional(needed),
        linear_before_reset=bool(main.linearBeforeReset),
        direction="bidirectional" if directions == 2 else "forward",
    )
    return [every, last] if main.keepAllOutputs else [last]


@decoder("Attention")
def _attention(call: OpCall) -> Var:
    main = call.main
    if main is not None and main.output_c4:
        raise FormatError(f"{call.name}: packed attention output is not supported.")
    query, key, value = (call.input(index) for index in range(3))
    result: Var = ops.attention(query, key, value, call.optional(3))
    return result
