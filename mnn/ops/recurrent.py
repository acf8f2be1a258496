"""Recurrent layers and attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import ShapeError
from mnn.expr.types import TensorType
from mnn.ops.codec import Codec
from mnn.ops.convolution import float_dtype
from mnn.ops.reference import attention as attention_maths
from mnn.ops.reference import recurrent as maths
from mnn.ops.samples import normal
from mnn.ops.spec import BadCall, OpSpec, Sample

__all__ = ["attention", "gru", "lstm", "rnn"]

Array = np.ndarray[Any, Any]


def _infer(name: str, states: int, gates: int) -> Any:
    def infer(
        types: Sequence[TensorType | None], attributes: Mapping[str, Any]
    ) -> list[TensorType]:
        x, weight = types[0], types[1]
        assert x is not None
        assert weight is not None
        dtype = float_dtype(name, types)
        if x.shape is None or weight.shape is None:
            return [TensorType(None, dtype, x.format)] * (1 + states)
        if len(x.shape) != 3 or len(weight.shape) != 3:
            raise ShapeError(
                f"{name}: x is {x.describe()} and the weight {weight.describe()}, expected "
                "(time, batch, features) and (directions, gates, features)."
            )
        directions = 2 if attributes["direction"] == "bidirectional" else 1
        hidden = weight.shape[1] // gates if name != "gru" else weight.shape[2] // gates
        time, batch, _ = x.shape
        every = TensorType((time, directions, batch, hidden), dtype, x.format)
        last = TensorType((directions, batch, hidden), dtype, x.format)
        return [every, *[last] * states]

    return infer


_FORWARD: Mapping[str, Any] = {"direction": "forward"}
_BAD = (BadCall("rank", (normal(3, 4), normal(1, 8, 4), normal(1, 8, 2)), ShapeError),)


lstm: OpSpec = OpSpec(
    "lstm",
    ("x", "weight", "recurrence", "bias?", "hidden?", "cell?"),
    _infer("lstm", 2, 4),
    maths.lstm,
    "recurrent",
    attributes=_FORWARD,
    codec=Codec("LSTM", handled=True),
    onnx="LSTM",
    samples=(
        Sample((normal(3, 2, 4), normal(1, 8, 4), normal(1, 8, 2), normal(1, 8)), gradient=False),
        Sample(
            (normal(3, 2, 4), normal(2, 8, 4), normal(2, 8, 2)),
            {"direction": "bidirectional"},
            gradient=False,
        ),
        Sample((normal(0, 2, 4), normal(1, 8, 4), normal(1, 8, 2)), gradient=False),
    ),
    bad=_BAD,
    doc="all outputs, last hidden and last cell states of an LSTM (gates i, o, f, g)",
)

rnn: OpSpec = OpSpec(
    "rnn",
    ("x", "weight", "recurrence", "bias?", "hidden?"),
    _infer("rnn", 1, 1),
    maths.rnn,
    "recurrent",
    attributes=_FORWARD,
    codec=Codec("RNN", handled=True),
    onnx="RNN",
    samples=(
        Sample((normal(3, 2, 4), normal(1, 2, 4), normal(1, 2, 2), normal(1, 2)), gradient=False),
        Sample(
            (normal(3, 2, 4), normal(1, 2, 4), normal(1, 2, 2)),
            {"direction": "reverse"},
            gradient=False,
        ),
        Sample((normal(0, 2, 4), normal(1, 2, 4), normal(1, 2, 2)), gradient=False),
    ),
    bad=_BAD,
    doc="all outputs and last states of h = tanh(W x + R h + b)",
)

gru: OpSpec = OpSpec(
    "gru",
    (
        "x",
        "gate_weight",
        "gate_bias",
        "candidate_weight",
        "candidate_bias",
        "recurrent_bias",
        "hidden?",
    ),
    _infer("gru", 1, 2),
    maths.gru,
    "recurrent",
    attributes={"linear_before_reset": False, "direction": "forward"},
    codec=Codec("RNNSequenceGRU", handled=True),
    onnx="GRU",
    samples=tuple(
        Sample(
            (
                normal(time, 2, 4),
                normal(1, 6, 4),
                normal(1, 4),
                normal(1, 6, 2),
                normal(1, 2),
                normal(1, 6),
            ),
            {"linear_before_reset": linear},
            gradient=False,
        )
        for time, linear in ((3, False), (3, True), (0, False))
    ),
    doc="all outputs and last states of a GRU",
)


def _infer_attention(
    types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> TensorType:
    query, key, value = types[0], types[1], types[2]
    assert query is not None
    assert key is not None
    assert value is not None
    dtype = float_dtype("attention", [query, key, value])
    if query.shape is None or key.shape is None or value.shape is None:
        return TensorType(None, dtype, query.format)
    if query.is_static and key.is_static and value.is_static:
        shape = attention_maths.attention_shape(query.shape, key.shape, value.shape)
        return TensorType(shape, dtype, query.format)
    batch, length, heads, _ = query.shape
    return TensorType((batch, length, heads * value.shape[3]), dtype, query.format)


attention: OpSpec = OpSpec(
    "attention",
    ("query", "key", "value", "mask?"),
    _infer_attention,
    attention_maths.attention,
    "recurrent",
    attributes={"scale": None, "causal": None},
    codec=Codec("Attention", handled=True),
    onnx="Attention",
    samples=(
        Sample((normal(1, 3, 2, 4), normal(1, 3, 2, 4), normal(1, 3, 2, 4)), gradient=False),
        Sample(
            (normal(2, 3, 4, 2), normal(2, 5, 2, 2), normal(2, 5, 2, 3), normal(1, 1, 3, 5)),
            gradient=False,
        ),
        Sample(
            (normal(1, 2, 1, 2), normal(1, 2, 1, 2), normal(1, 2, 1, 2)),
            {"causal": False, "scale": 1.0},
            gradient=False,
        ),
        Sample((normal(0, 2, 1, 2), normal(0, 2, 1, 2), normal(0, 2, 1, 2)), gradient=False),
    ),
    bad=(
        BadCall(
            "head sizes differ",
            (normal(1, 2, 1, 2), normal(1, 2, 1, 3), normal(1, 2, 1, 2)),
            ShapeError,
        ),
    ),
    doc="softmax(query key^T * scale + mask) value, heads side by side",
)
