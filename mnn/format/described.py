"""One operator described as JSON, read as if it stood in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mnn.errors import DTypeError, FormatError, MnnError, UnsupportedError
from mnn.expr.var import Var
from mnn.format.decode import Decoder, OpCall, interpret
from mnn.format.limits import LIMITS
from mnn.format.reader import Table, read_net
from mnn.format.schema import schema
from mnn.format.writer import build_net
from mnn.ops.operands import as_var

__all__ = ["apply_described"]


def apply_described(inputs: Sequence[Any], describe: str, output_number: int) -> list[Var]:
    """Return the results of an operator for operands; see `mnn.expr.jsonop`."""
    import mnn.format.handlers  # noqa: F401 - registers the readers

    if not isinstance(inputs, (list, tuple)):
        raise DTypeError(f"jsonop: found {type(inputs).__name__}, expected a list of operands.")
    operands: list[Var | None] = [as_var(each, "jsonop") for each in inputs]
    net = _net(_parsed(describe), len(operands), int(output_number))
    op = net.oplists[0]
    kind = schema().enums["OpType"].by_value.get(op.type, f"number {op.type}")
    call = OpCall(op, kind, op.main, operands, Decoder(net))
    try:
        found = interpret(call)
    except MnnError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"jsonop: {kind}: {error}") from error
    if found is None:
        raise UnsupportedError(
            f"jsonop: operator {kind} is not supported. See docs/operators.md for what is."
        )
    results = [found] if isinstance(found, Var) else list(found)
    if not 1 <= output_number <= len(results):
        raise FormatError(
            f"jsonop: {output_number} results are asked for, operator {kind} has {len(results)}."
        )
    return results[:output_number]


def _parsed(describe: str) -> dict[str, Any]:
    if not isinstance(describe, (str, bytes)):
        raise DTypeError(f"jsonop: found {type(describe).__name__}, expected text.")
    if len(describe) > LIMITS.string_bytes:
        raise FormatError(f"jsonop: a text of {len(describe)} characters is too long.")
    try:
        fields = json.loads(describe)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"jsonop: the description is no JSON: {error}.") from error
    if not isinstance(fields, dict) or "type" not in fields:
        raise FormatError(
            'jsonop: expected an object with a "type", such as '
            '{"type": "UnaryOp", "main_type": "UnaryOp", "main": {"opType": "ABS"}}.'
        )
    return fields


def _net(fields: dict[str, Any], inputs: int, outputs: int) -> Table:
    """Return a file's tables with the one operator."""
    count = max(1, min(outputs, 1024))
    op = {
        **fields,
        "inputIndexes": list(range(inputs)),
        "outputIndexes": list(range(inputs, inputs + count)),
    }
    names = [str(number) for number in range(inputs + count)]
    try:
        data = build_net({"oplists": [op], "tensorName": names})
    except FormatError as error:
        raise FormatError(f"jsonop: {error}") from error
    except (TypeError, ValueError, AttributeError, OverflowError, KeyError) as error:
        raise FormatError(f"jsonop: a field has a value of the wrong kind: {error}.") from error
    return read_net(data)
