"""Writers of recurrent layers and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.format.encode import NodeCall, encoder

Array = np.ndarray[Any, Any]


def _sizes(call: NodeCall, index: int) -> tuple[int, ...]:
    """Return the sizes of an operand, which must be known."""
    kind = call.input_type(index)
    if not kind.is_static:
        raise UnsupportedError(
            f"save: {call.node.kind} with operand {index} of unknown size "
            f"({kind.describe()}) cannot be written. Give it a fixed shape."
        )
    return tuple(size for size in kind.shape or () if isinstance(size, int))


def _reversed(call: NodeCall, source: int) -> int:
    """Write the sequence backwards; files run one direction forwards only."""
    target = call.encoder.temporary("Reverse")
    call.encoder.emit("Reverse", [source, call.encoder.integers([0])], [target])
    return target


def _run(call: NodeCall, emit: Any, x: int) -> None:
    """Emit a layer with `emit(x, outputs)`, reversed in time around it where that is asked."""
    if call.attributes["direction"] != "reverse":
        emit(x, call.outputs)
        return
    every = call.encoder.temporary(call.node.kind)
    emit(_reversed(call, x), [every, *call.outputs[1:]])
    call.emit("Reverse", inputs=[every, call.encoder.integers([0])], outputs=call.outputs[:1])


@encoder("lstm", "rnn")
def _lstm(call: NodeCall) -> None:
    directions, hidden = _sizes(call, 2)[0], _sizes(call, 2)[2]
    op_type, gates = ("LSTM", 4) if call.node.kind == "lstm" else ("RNN", 1)
    inputs = list(call.inputs)
    if len(inputs) < 4 or inputs[3] < 0:
        zeros = call.encoder.constant(np.zeros((directions, gates * hidden), np.float32))
        inputs = [*inputs[:3], zeros, *inputs[4:]]
    if len(inputs) == 5 and op_type == "LSTM":
        raise UnsupportedError("save: an LSTM with a hidden but no cell state cannot be written.")
    _run(
        call,
        lambda x, outputs: call.emit(
            op_type, "LSTM", {"outputCount": hidden}, inputs=[x, *inputs[1:]], outputs=outputs
        ),
        inputs[0],
    )


@encoder("gru")
def _gru(call: NodeCall) -> None:
    directions, _, twice = _sizes(call, 1)
    parts = [_per_direction(call, index, directions) for index in range(1, 6)]
    operands = [part[place] for place in range(directions) for part in parts]
    state = [index for index in call.inputs[6:] if index >= 0]
    main = {
        "numUnits": twice // 2,
        "isBidirectionalRNN": directions == 2,
        "linearBeforeReset": call.attributes["linear_before_reset"],
        "keepAllOutputs": True,
    }
    _run(
        call,
        lambda x, outputs: call.emit(
            "RNNSequenceGRU", "RNNParam", main, inputs=[x, *operands, *state], outputs=outputs
        ),
        call.inputs[0],
    )


def _per_direction(call: NodeCall, index: int, directions: int) -> list[int]:
    """Return the tensors of one operand, one per direction: matrices, and biases as one row."""
    matrix = len(_sizes(call, index)) == 3
    known = call.constant_input(index)
    if known is not None:
        return [
            call.encoder.constant(part if matrix else part[None])
            for part in known.astype(np.float32)
        ]
    found = [call.encoder.temporary("Slice") for _ in range(directions)]
    if matrix:
        call.encoder.emit("Unpack", call.inputs[index : index + 1], found, "Axis", {"axis": 0})
    else:
        main = {"axis": 0, "sourceType": "TENSORFLOW", "slicePoints": [directions]}
        call.encoder.emit("Slice", call.inputs[index : index + 1], found, "Slice", main)
    return found


@encoder("attention")
def _attention(call: NodeCall) -> None:
    scale, causal = call.attributes["scale"], call.attributes["causal"]
    masked = len(call.inputs) > 3
    if causal is not None and causal == masked:
        raise UnsupportedError(
            "save: files hide later keys exactly when there is no mask. Put the causal part into "
            "the mask, or pass a mask of zeros."
        )
    inputs = list(call.inputs)
    if scale is not None:
        # The scale of files is always 1 / sqrt(size): the rest goes into the queries.
        size = _sizes(call, 0)[3]
        factor = call.encoder.constant(np.array(scale * math.sqrt(size), np.float32))
        scaled = call.encoder.temporary("BinaryOp")
        main = {"opType": "MUL"}
        call.encoder.emit("BinaryOp", [inputs[0], factor], [scaled], "BinaryOp", main)
        inputs[0] = scaled
    call.emit("Attention", "AttentionParam", {"kv_cache": False}, inputs=inputs)
