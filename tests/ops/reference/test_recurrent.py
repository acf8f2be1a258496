"""Recurrent layers against scalar loops; time reversal; states; empty sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.errors import DTypeError, ShapeError
from mnn.ops.reference import recurrent

Array = np.ndarray[Any, Any]


def _noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, len(shape)]).standard_normal(shape)


def _sigma(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _dot(row: Array, vector: Any) -> float:
    return sum(float(a) * float(b) for a, b in zip(row, vector, strict=True))


sizes = st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=25, deadline=None)
@given(sizes)
def test_lstm_against_scalars(size: tuple[int, int, int, int]) -> None:
    time, batch, features, hidden = size
    x, w = _noise(time, batch, features), _noise(1, 4 * hidden, features, seed=1)
    r, b = _noise(1, 4 * hidden, hidden, seed=2), _noise(1, 4 * hidden, seed=3)
    h0, c0 = _noise(1, batch, hidden, seed=4), _noise(1, batch, hidden, seed=5)
    y, last_h, last_c = recurrent.lstm(x, w, r, b, h0, c0)
    assert y.shape == (time, 1, batch, hidden)
    for n in range(batch):
        h, c = list(h0[0, n]), list(c0[0, n])
        for t in range(time):
            gates = [_dot(w[0, k], x[t, n]) + _dot(r[0, k], h) + b[0, k] for k in range(4 * hidden)]
            for k in range(hidden):
                i, o, f = (_sigma(gates[k + part * hidden]) for part in range(3))
                c[k] = f * c[k] + i * math.tanh(gates[k + 3 * hidden])
                h[k] = o * math.tanh(c[k])
            np.testing.assert_allclose(y[t, 0, n], h, rtol=1e-10)
        np.testing.assert_allclose(last_h[0, n], h, rtol=1e-10)
        np.testing.assert_allclose(last_c[0, n], c, rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(sizes, st.booleans())
def test_gru_against_scalars(size: tuple[int, int, int, int], linear: bool) -> None:
    time, batch, features, hidden = size
    x, h0 = _noise(time, batch, features), _noise(1, batch, hidden, seed=6)
    gate = _noise(1, features + hidden, 2 * hidden, seed=1)
    gate_bias = _noise(1, 2 * hidden, seed=2)
    candidate = _noise(1, features + hidden, hidden, seed=3)
    candidate_bias, bias = _noise(1, hidden, seed=4), _noise(1, 3 * hidden, seed=5)
    y, last = recurrent.gru(
        x, gate, gate_bias, candidate, candidate_bias, bias, h0, linear_before_reset=linear
    )
    assert y.shape == (time, 1, batch, hidden)
    for n in range(batch):
        h = list(h0[0, n])
        for t in range(time):
            both = [*x[t, n], *h]
            z, r = (
                [
                    _sigma(
                        _dot(gate[0, :, k + part * hidden], both)
                        + gate_bias[0, k + part * hidden]
                        + bias[0, k + part * hidden]
                    )
                    for k in range(hidden)
                ]
                for part in range(2)
            )
            reset = [a * b for a, b in zip(r, h, strict=True)]
            new = []
            for k in range(hidden):
                drive = _dot(candidate[0, :features, k], x[t, n]) + candidate_bias[0, k]
                weights, shift = candidate[0, features:, k], bias[0, 2 * hidden + k]
                if linear:
                    drive += r[k] * (_dot(weights, h) + shift)
                else:
                    drive += _dot(weights, reset) + shift
                new.append(z[k] * h[k] + (1 - z[k]) * math.tanh(drive))
            h = new
            np.testing.assert_allclose(y[t, 0, n], h, rtol=1e-10)
        np.testing.assert_allclose(last[0, n], h, rtol=1e-10)


def _weights(directions: int, gates: int) -> list[Array]:
    return [
        _noise(directions, gates * 4, 3, seed=1),
        _noise(directions, gates * 4, 4, seed=2),
        _noise(directions, gates * 4, seed=3),
    ]


@pytest.mark.parametrize(("layer", "gates"), [(recurrent.lstm, 4), (recurrent.rnn, 1)])
def test_backwards_is_forwards_in_reversed_time(layer: Any, gates: int) -> None:
    x, weights = _noise(5, 2, 3), _weights(2, gates)
    both = layer(x, *weights, direction="bidirectional")
    there = layer(x, *(each[:1] for each in weights))
    back = layer(x, *(each[1:] for each in weights), direction="reverse")
    turned = layer(x[::-1], *(each[1:] for each in weights))
    np.testing.assert_allclose(both[0], np.concatenate([there[0], back[0]], axis=1))
    np.testing.assert_allclose(back[0], turned[0][::-1])
    for joined, first, second in zip(both[1:], there[1:], back[1:], strict=True):
        np.testing.assert_allclose(joined, np.concatenate([first, second]))


def test_a_sequence_can_be_run_in_two_halves() -> None:
    x, weights = _noise(6, 2, 3), _weights(1, 4)
    y, h, c = recurrent.lstm(x, *weights)
    first, h0, c0 = recurrent.lstm(x[:3], *weights)
    second, h1, c1 = recurrent.lstm(x[3:], *weights, h0, c0)
    np.testing.assert_allclose(np.concatenate([first, second]), y)
    np.testing.assert_allclose((h1, c1), (h, c))


def test_no_moments_return_the_initial_state() -> None:
    weights, h0 = _weights(1, 1), _noise(1, 2, 4)
    y, last = recurrent.rnn(np.zeros((0, 2, 3)), *weights, h0)
    assert y.shape == (0, 1, 2, 4)
    np.testing.assert_array_equal(last, h0)


def test_dtypes() -> None:
    weights = [each.astype(np.float16) for each in _weights(1, 4)]
    half = recurrent.lstm(_noise(3, 2, 3).astype(np.float16), *weights)
    assert [each.dtype for each in half] == [np.float16] * 3
    with pytest.raises(DTypeError, match="int64"):
        recurrent.lstm(np.zeros((3, 2, 3), np.int64), *weights)


def test_logistic_is_accurate_at_both_ends() -> None:
    x = np.array([-1000.0, -700.0, -50.0, 0.0, 50.0, 1000.0, np.inf, -np.inf])
    found = recurrent.logistic(x)
    expected = [0.0, math.exp(-700), math.exp(-50), 0.5, 1.0, 1.0, 1.0, 0.0]
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert np.isnan(recurrent.logistic(np.array([np.nan]))).all()


def test_bad_operands() -> None:
    x, weights = _noise(3, 2, 3), _weights(1, 4)
    with pytest.raises(ShapeError, match=r"expected \(time, batch, features\)"):
        recurrent.lstm(x[0], *weights)
    with pytest.raises(ShapeError, match="weight has shape"):
        recurrent.lstm(x[..., :2], *weights)
    with pytest.raises(ShapeError, match="direction 'bidirectional' with weights for 1"):
        recurrent.lstm(x, *weights, direction="bidirectional")
    with pytest.raises(ShapeError, match="direction 'sideways'"):
        recurrent.lstm(x, *weights, direction="sideways")
    with pytest.raises(ShapeError, match="hidden has shape"):
        recurrent.lstm(x, *weights, np.zeros((1, 3, 4)))
