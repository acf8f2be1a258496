"""Writers of elementwise operators that files lack: formulas of operators that they have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.format.encode import NodeCall, data_type, encoder


class _Formula:
    """Operators on the one operand of a node; tensors are indices, numbers become constants."""

    def __init__(self, call: NodeCall) -> None:
        self.call = call
        self.x = call.inputs[0]
        # Integers with a float result were made floats before.
        kinds = call.input_type(0).dtype.kind, call.node.types[0].dtype.kind
        self.floating = "f" in kinds

    def number(self, value: float) -> int:
        """Return a constant in the operand's type."""
        dtype = np.float32 if self.floating else np.int32
        return self.call.encoder.constant(np.array(value, dtype))

    def unary(self, member: str, x: int) -> int:
        """Return the tensor of a `UnaryOp`."""
        return self._emit("UnaryOp", member, [x])

    def binary(self, member: str, x: int, y: int) -> int:
        """Return the tensor of a `BinaryOp`."""
        return self._emit("BinaryOp", member, [x, y])

    def _emit(self, kind: str, member: str, inputs: list[int]) -> int:
        found = self.call.encoder.temporary(kind)
        self.call.encoder.emit(kind, inputs, [found], kind, {"opType": member})
        return found

    def result(self, member: str, *inputs: int) -> None:
        """Write the operator that makes the node's result."""
        kind = "UnaryOp" if len(inputs) == 1 else "BinaryOp"
        self.call.emit(kind, kind, {"opType": member}, inputs=list(inputs))

    def truncated(self) -> int:
        """Return x without its fraction, with its sign."""
        return self.binary(
            "MUL", self.unary("SIGN", self.x), self.unary("FLOOR", self.unary("ABS", self.x))
        )


@encoder("trunc")
def _trunc(call: NodeCall) -> None:
    formula = _Formula(call)
    if not formula.floating:
        call.emit("Identity")
        return
    magnitude = formula.unary("FLOOR", formula.unary("ABS", formula.x))
    formula.result("MUL", formula.unary("SIGN", formula.x), magnitude)


@encoder("rint")
def _rint(call: NodeCall) -> None:
    """Halves to even: twice the rounded half of x where its fraction is a half."""
    formula = _Formula(call)
    if not formula.floating:
        call.emit("Identity")
        return
    half = formula.number(0.5)
    fraction = formula.unary("ABS", formula.binary("SUB", formula.x, formula.truncated()))
    tie = formula.binary("EQUAL", fraction, half)
    rounded_half = formula.unary("ROUND", formula.binary("MUL", formula.x, half))
    even = formula.binary("MUL", rounded_half, formula.number(2.0))
    call.emit("Select", inputs=[tie, even, formula.unary("ROUND", formula.x)])


@encoder("exp2")
def _exp2(call: NodeCall) -> None:
    formula = _Formula(call)
    formula.result("POW", formula.number(2.0), formula.x)


@encoder("log2", "log10")
def _logarithm(call: NodeCall) -> None:
    formula = _Formula(call)
    base = 2.0 if call.node.kind == "log2" else 10.0
    natural = formula.unary("LOG", formula.x)
    formula.result("MUL", natural, formula.number(1 / math.log(base)))


@encoder("cbrt")
def _cbrt(call: NodeCall) -> None:
    formula = _Formula(call)
    root = formula.binary("POW", formula.unary("ABS", formula.x), formula.number(1 / 3))
    formula.result("MUL", formula.unary("SIGN", formula.x), root)


@encoder("isnan", "isinf", "isfinite")
def _classified(call: NodeCall) -> None:
    formula = _as_float(call)
    if call.node.kind == "isnan":
        formula.result("NOTEQUAL", formula.x, formula.x)
        return
    member = "EQUAL" if call.node.kind == "isinf" else "LESS"
    formula.result(member, formula.unary("ABS", formula.x), formula.number(math.inf))


def _as_float(call: NodeCall) -> _Formula:
    """Return a formula on the operand as a float: integers are finite numbers."""
    formula = _Formula(call)
    if not formula.floating:
        real = call.encoder.temporary("Cast")
        main: dict[str, Any] = {"srcT": data_type(call.input_type(0).dtype), "dstT": "DT_FLOAT"}
        call.encoder.emit("Cast", call.inputs, [real], "CastParam", main)
        formula.x, formula.floating = real, True
    return formula


@encoder("bitwise_not")
def _bitwise_not(call: NodeCall) -> None:
    formula = _Formula(call)
    ones = 1 if call.input_type(0).dtype.kind == "b" else -1
    formula.result("BITWISE_XOR", formula.x, formula.number(ones))
