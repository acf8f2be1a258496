"""Elementwise operators: integer rules, fused activations, formats of operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder, element_type
from mnn.format.handlers.structure import constant
from mnn.format.schema import schema
from mnn.ops import activation, arithmetic, comparison
from mnn.ops.convert import cast, convert

_INT: np.dtype[Any] = np.dtype(np.int32)


def same_format(first: Var, second: Var) -> tuple[Var, Var]:
    """Return operands in one dimension format: that of the one with more dimensions."""
    rank_one, rank_two = first._type.rank, second._type.rank
    if rank_one is None or rank_two is None:
        return first, second
    leading = first if rank_one >= rank_two else second
    last = leading.data_format.channel_last

    def fitted(operand: Var, rank: int) -> Var:
        if rank > 2 and operand.data_format.channel_last != last:
            return convert(operand, leading.data_format)
        return operand

    return fitted(first, rank_one), fitted(second, rank_two)


def _truncated_division(x: Var, y: Var) -> Var:
    result: Var = arithmetic.floordiv(x - arithmetic.truncated_remainder(x, y), y)
    return result


def _divide(x: Var, y: Var) -> Var:
    if x.dtype.kind in "iu" and y.dtype.kind in "iu":
        return _truncated_division(x, y)
    result: Var = arithmetic.divide(x, y)
    return result


def _mod(x: Var, y: Var) -> Var:
    floats = x.dtype.kind == "f"
    result: Var = arithmetic.truncated_remainder(x, y) if floats else arithmetic.mod(x, y)
    return result


def _power(x: Var, y: Var) -> Var:
    if x.dtype.kind in "iu":
        return cast(arithmetic.pow(cast(x, np.float64), cast(y, np.float64)), x.dtype)
    result: Var = arithmetic.pow(x, y)
    return result


def _flag(function: Any) -> Any:
    return lambda x, y: cast(function(x, y), _INT)


_BINARY: dict[str, Any] = {
    "ADD": arithmetic.add,
    "SUB": arithmetic.subtract,
    "MUL": arithmetic.multiply,
    "DIV": _divide,
    "REALDIV": _divide,
    "POW": _power,
    "MAX_TEMP": arithmetic.maximum,
    "MIN_TEMP": arithmetic.minimum,
    "MINIMUM": arithmetic.minimum,
    "MAXIMUM": arithmetic.maximum,
    "GREATER": _flag(comparison.greater),
    "GREATER_EQUAL": _flag(comparison.greater_equal),
    "LESS": _flag(comparison.less),
    "LESS_EQUAL": _flag(comparison.less_equal),
    "EQUAL": _flag(comparison.equal),
    "NOTEQUAL": _flag(comparison.not_equal),
    "FLOORDIV": arithmetic.floordiv,
    "FLOORMOD": arithmetic.mod,
    "MOD": _mod,
    "SquaredDifference": arithmetic.squared_difference,
    "ATAN2": arithmetic.atan2,
    "LOGICALOR": _flag(comparison.logical_or),
    "LOGICALXOR": _flag(comparison.logical_xor),
    "BITWISE_AND": comparison.bitwise_and,
    "BITWISE_OR": comparison.bitwise_or,
    "BITWISE_XOR": comparison.bitwise_xor,
    "LEFTSHIFT": comparison.left_shift,
    "RIGHTSHIFT": comparison.right_shift,
    "MUL_SILU": activation.mul_silu,
}


@decoder("BinaryOp")
def _binary(call: OpCall) -> Var:
    main = call.parameters()
    member = schema().enums["BinaryOpOperation"].by_value.get(main.opType, "")
    function = _BINARY.get(member)
    if function is None:
        raise FormatError(f"{call.name}: unknown binary operation {main.opType}.")
    x, y = same_format(call.input(0), call.input(1))
    result: Var = function(x, y)
    return activation.relu(result) if main.activationType == 1 else result


@decoder("Eltwise")
def _eltwise(call: OpCall) -> Var:
    main = call.parameters()
    member = schema().enums["EltwiseType"].by_value.get(main.type, "")
    coefficients = [] if main.coeff is None else main.coeff.tolist()
    operands = [each for each in call.inputs if each is not None]
    if len(coefficients) == len(operands) and member in ("SUM", "SUB"):
        operands = [each * weight for each, weight in zip(operands, coefficients, strict=True)]
    total = call.input(0) if not operands else operands[0]
    for operand in operands[1:]:
        total, operand = same_format(total, operand)
        if member == "PROD":
            total = total * operand
        elif member == "SUM":
            total = total + operand
        elif member == "SUB":
            total = total - operand
        else:
            total = arithmetic.maximum(total, operand)
    return total


@decoder("Select")
def _select(call: OpCall) -> Var:
    condition, x, y = (call.input(index) for index in range(3))
    x, y = same_format(x, y)
    return comparison.select(condition, x, y)


@decoder("Cast")
def _cast(call: OpCall) -> Var:
    number = int(call.parameters().dstT)
    if schema().enums["DataType"].by_value.get(number) == "DT_BOOL":
        return cast(comparison.not_equal(call.input(0), 0), _INT)
    return cast(call.input(0), element_type(number))


@decoder("CastLike")
def _cast_like(call: OpCall) -> Var:
    return cast(call.input(0), call.input(1).dtype)


@decoder("PReLU")
def _prelu(call: OpCall) -> Var:
    main = call.parameters()
    slopes = main.slope
    if slopes is None or not slopes.size:
        raise FormatError(f"{call.name}: a PReLU without slopes; the file is damaged.")
    x = call.input(0)
    if main.slopeCount == 1:
        slopes = slopes[:1]
    return activation.prelu(x, constant(slopes))
