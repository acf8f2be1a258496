"""Constants, identities and legacy spellings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.expr.enums import data_format
from mnn.expr.var import Var, capture
from mnn.format.decode import _FORMATS, OpCall, decoder
from mnn.format.weights import decode_blob
from mnn.ops.convert import relabel
from mnn.ops.trigonometry import tanh
from mnn.ops.unary import abs, exp, log, sigmoid, softplus

__all__ = ["constant", "integers"]

Array = np.ndarray[Any, Any]


def constant(array: Array, format: data_format = data_format.NCHW) -> Var:
    """Return an array of a file as a constant of the graph."""
    var = Var(array, format)
    capture(var)
    return var


def integers(*values: int) -> Var:
    """Return small integers as a constant of the graph."""
    return constant(np.array(values, np.int32))


@decoder("Const", "TrainableParam")
def _const(call: OpCall) -> Var:
    blob = call.parameters()
    array = decode_blob(blob, call.decoder.external, call.name)
    return constant(array, _FORMATS.get(int(blob.dataFormat), data_format.NCHW))


@decoder("Input")
def _input(call: OpCall) -> Var:
    raise FormatError(f"{call.name}: an input without a result; the file is damaged.")


@decoder("Identity", "Copy", "Dropout")
def _identity(call: OpCall) -> Sequence[Var]:
    # A result needs a node of its own to carry a name of its own.
    operands = [each for each in call.inputs if each is not None]
    return [relabel(each, each.data_format) for each in operands[: max(1, call.output_count)]]


@decoder("Sigmoid")
def _sigmoid(call: OpCall) -> Var:
    result: Var = sigmoid(call.input(0))
    return result


@decoder("TanH")
def _tanh(call: OpCall) -> Var:
    result: Var = tanh(call.input(0))
    return result


@decoder("AbsVal")
def _abs(call: OpCall) -> Var:
    result: Var = abs(call.input(0))
    return result


@decoder("Bnll")
def _bnll(call: OpCall) -> Var:
    result: Var = softplus(call.input(0))
    return result


@decoder("Exp")
def _exp(call: OpCall) -> Var:
    result: Var = exp(call.input(0))
    return result


@decoder("Log")
def _log(call: OpCall) -> Var:
    result: Var = log(call.input(0))
    return result
