"""Recurrent layers: LSTM, plain RNN and GRU over whole sequences, in one or both directions.

Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997); Cho et al., "Learning Phrase
Representations using RNN Encoder-Decoder" (2014); gate forms as in ONNX LSTM, RNN and GRU.
Sequences are (time, batch, features); weights and states have the direction first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mnn.errors import ShapeError
from mnn.ops.reference.precision import Array, DType, float_types

__all__ = ["gru", "logistic", "lstm", "lstm_shape", "rnn"]

_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}

_Step = Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]


def logistic(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) without overflow, accurate relative to its size at both ends."""
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(x))
        result: Array = np.where(x >= 0, 1, small) / (1 + small)
    return result


def lstm_shape(
    x_shape: tuple[int, ...], hidden: int, *, directions: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of (all outputs, a final state) of `lstm`, `rnn` and `gru`.

    Raises:
        ShapeError: `x_shape` is not (time, batch, features).
    """
    if len(x_shape) != 3:
        raise ShapeError(
            f"recurrent layer: found input of shape {x_shape}, expected (time, batch, features). "
            "Add the missing axis or transpose."
        )
    time, batch, _ = x_shape
    return (time, directions, batch, hidden), (directions, batch, hidden)


def _expect(name: str, what: str, found: Array, shape: tuple[int, ...]) -> None:
    if found.shape != shape:
        raise ShapeError(
            f"{name}: {what} has shape {found.shape}, expected {shape}. "
            "Directions come first; check hidden size and gate count."
        )


def _passes(name: str, direction: str, count: int) -> tuple[bool, ...]:
    """Return for each direction whether it runs backwards in time."""
    passes = _DIRECTIONS.get(direction)
    if passes is None or len(passes) != count:
        raise ShapeError(
            f"{name}: direction {direction!r} with weights for {count} directions. Expected "
            "'forward' or 'reverse' with one, 'bidirectional' with two."
        )
    return passes


def _state(name: str, what: str, given: Array | None, shape: tuple[int, ...], work: DType) -> Array:
    if given is None:
        return np.zeros(shape, work)
    _expect(name, what, given, shape)
    return given.astype(work, copy=False)


def _scan(
    step: _Step, inputs: Array, state: tuple[Array, ...], outputs: Array, backwards: bool
) -> tuple[Array, ...]:
    """Run `step` over time, storing the first state of each moment; return the last states."""
    times = range(inputs.shape[0])
    for time in reversed(times) if backwards else times:
        state = step(inputs[time], state)
        outputs[time] = state[0]
    return state


def lstm(
    x: Array,
    weight: Array,
    recurrence: Array,
    bias: Array | None = None,
    hidden: Array | None = None,
    cell: Array | None = None,
    *,
    direction: str = "forward",
) -> tuple[Array, Array, Array]:
    """Return (all outputs, last hidden states, last cell states) of an LSTM.

    c = f * c + i * tanh(g); h = o * tanh(c), with logistic gates i, o, f.

    Args:
        x: (time, batch, features).
        weight: (directions, 4 * size, features); gate rows in the order i, o, f, g.
        recurrence: (directions, 4 * size, size).
        bias: (directions, 4 * size), input and recurrent bias added up.
        hidden, cell: initial states, (directions, batch, size); zeros by default.
        direction: forward, reverse or bidirectional; the second direction runs backwards. Outputs
            of a backward pass stand at the time of the input they have just read.

    Returns:
        (time, directions, batch, size) and twice (directions, batch, size).

    Raises:
        ShapeError: shapes do not fit.    DTypeError: not floating-point.
    """
    result, work = float_types("lstm", x, weight, recurrence, bias, hidden, cell)
    directions, size = recurrence.shape[0], recurrence.shape[-1]
    passes = _passes("lstm", direction, directions)
    shape, last = lstm_shape(x.shape, size, directions=directions)
    _expect("lstm", "weight", weight, (directions, 4 * size, x.shape[2]))
    _expect("lstm", "recurrence", recurrence, (directions, 4 * size, size))
    h0 = _state("lstm", "hidden", hidden, last, work)
    c0 = _state("lstm", "cell", cell, last, work)
    shift = _state("lstm", "bias", bias, (directions, 4 * size), work)
    outputs, finals = np.zeros(shape, work), np.zeros((2, *last), work)

    for number, backwards in enumerate(passes):
        matrix = recurrence[number].T.astype(work)

        def step(
            drive: Array, state: tuple[Array, ...], matrix: Array = matrix
        ) -> tuple[Array, ...]:
            h, c = state
            gates = drive + h @ matrix
            i, o, f = np.split(logistic(gates[:, : 3 * size]), 3, axis=1)
            c = f * c + i * np.tanh(gates[:, 3 * size :])
            return o * np.tanh(c), c

        drive = x.astype(work, copy=False) @ weight[number].T.astype(work) + shift[number]
        start = (h0[number], c0[number])
        finals[:, number] = _scan(step, drive, start, outputs[:, number], backwards)
    outputs, finals = outputs.astype(result, copy=False), finals.astype(result, copy=False)
    return outputs, finals[0], finals[1]


def rnn(
    x: Array,
    weight: Array,
    recurrence: Array,
    bias: Array | None = None,
    hidden: Array | None = None,
    *,
    direction: str = "forward",
) -> tuple[Array, Array]:
    """Return (all outputs, last hidden states) of h = tanh(W x + R h + b).

    Args:
        weight: (directions, size, features).
        recurrence: (directions, size, size).
        bias: (directions, size), input and recurrent bias added up.
        x, hidden, direction: as for `lstm`.
    """
    result, work = float_types("rnn", x, weight, recurrence, bias, hidden)
    directions, size = recurrence.shape[0], recurrence.shape[-1]
    passes = _passes("rnn", direction, directions)
    shape, last = lstm_shape(x.shape, size, directions=directions)
    _expect("rnn", "weight", weight, (directions, size, x.shape[2]))
    _expect("rnn", "recurrence", recurrence, (directions, size, size))
    h0 = _state("rnn", "hidden", hidden, last, work)
    shift = _state("rnn", "bias", bias, (directions, size), work)
    outputs, finals = np.zeros(shape, work), np.zeros(last, work)

    for number, backwards in enumerate(passes):
        matrix = recurrence[number].T.astype(work)

        def step(
            drive: Array, state: tuple[Array, ...], matrix: Array = matrix
        ) -> tuple[Array, ...]:
            return (np.tanh(drive + state[0] @ matrix),)

        drive = x.astype(work, copy=False) @ weight[number].T.astype(work) + shift[number]
        (finals[number],) = _scan(step, drive, (h0[number],), outputs[:, number], backwards)
    return outputs.astype(result, copy=False), finals.astype(result, copy=False)


def gru(
    x: Array,
    gate_weight: Array,
    gate_bias: Array,
    candidate_weight: Array,
    candidate_bias: Array,
    recurrent_bias: Array,
    hidden: Array | None = None,
    *,
    linear_before_reset: bool,
    direction: str = "forward",
) -> tuple[Array, Array]:
    """Return (all outputs, last hidden states) of a GRU.

    h = z * h + (1 - z) * n with z, r = logistic([x, h] Wg + bg + rb). The candidate n is
    tanh(x Wx + bc + r * (h Wh + rbh)) with `linear_before_reset`, else
    tanh(x Wx + (r * h) Wh + bc + rbh).

    Args:
        x: (time, batch, features).
        gate_weight: (directions, features + size, 2 * size); columns z then r, rows x then h.
        gate_bias: (directions, 2 * size).
        candidate_weight: (directions, features + size, size); rows x then h.
        candidate_bias: (directions, size).
        recurrent_bias: (directions, 3 * size) for z, r, n.
        hidden, direction: as for `lstm`.
    """
    result, work = float_types(
        "gru", x, gate_weight, gate_bias, candidate_weight, candidate_bias, recurrent_bias, hidden
    )
    directions, size = candidate_weight.shape[0], candidate_weight.shape[-1]
    passes = _passes("gru", direction, directions)
    shape, last = lstm_shape(x.shape, size, directions=directions)
    features = x.shape[2]
    _expect("gru", "gate weight", gate_weight, (directions, features + size, 2 * size))
    _expect("gru", "candidate weight", candidate_weight, (directions, features + size, size))
    _expect("gru", "recurrent bias", recurrent_bias, (directions, 3 * size))
    _expect("gru", "gate bias", gate_bias, (directions, 2 * size))
    _expect("gru", "candidate bias", candidate_bias, (directions, size))
    h0 = _state("gru", "hidden", hidden, last, work)
    outputs, finals = np.zeros(shape, work), np.zeros(last, work)
    source = x.astype(work, copy=False)

    for number, backwards in enumerate(passes):
        step = _gru_step(
            gate_weight[number, features:].astype(work),
            candidate_weight[number, features:].astype(work),
            recurrent_bias[number, 2 * size :].astype(work),
            linear_before_reset,
        )
        shift = gate_bias[number].astype(work) + recurrent_bias[number, : 2 * size]
        gates = source @ gate_weight[number, :features].astype(work) + shift
        candidate = source @ candidate_weight[number, :features].astype(work)
        candidate += candidate_bias[number]
        drive = np.concatenate([gates, candidate], axis=2)
        (finals[number],) = _scan(step, drive, (h0[number],), outputs[:, number], backwards)
    return outputs.astype(result, copy=False), finals.astype(result, copy=False)


def _gru_step(gate: Array, candidate: Array, bias: Array, linear_before_reset: bool) -> _Step:
    """Return one moment of a GRU; the driving input holds z, r and n side by side."""
    size = candidate.shape[0]

    def step(drive: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        z, r = np.split(logistic(drive[:, : 2 * size] + h @ gate), 2, axis=1)
        if linear_before_reset:
            recurrent = r * (h @ candidate + bias)
        else:
            recurrent = (r * h) @ candidate + bias
        n = np.tanh(drive[:, 2 * size :] + recurrent)
        return (z * (h - n) + n,)

    return step
