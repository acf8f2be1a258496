"""How an operator is written in `.mnn` files, as plain data; `mnn.format` interprets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mnn.records import dataclass, field

__all__ = ["Codec", "binary_codec", "plain_codec", "unary_codec"]


@dataclass(frozen=True)
class Codec:
    """The `.mnn` form of an operator whose attributes map one to one.

    Attributes:
        op_type: member of the file format's `OpType`.
        table: parameter table, `"NONE"` for none.
        constants: fields with a fixed value that identifies the operator, such as `{"opType":
            "EXP"}`;
            enum values by member name.
        fields: parameter field by attribute name.
        handled: True when a handler in `mnn.format.handlers` reads and writes it instead (weights,
            layouts, inputs that become attributes); the other fields but `op_type` are then unused.
        op_name: the name the reference package reports for it.
    """

    op_type: str
    table: str = "NONE"
    constants: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    handled: bool = False
    name: str = ""

    @property
    def op_name(self) -> str:
        """Name reported by `Var.op_type`."""
        return self.name or self.op_type


def unary_codec(member: str) -> Codec:
    """Return the codec of a member of `UnaryOpOperation`."""
    return Codec("UnaryOp", "UnaryOp", constants={"opType": member}, name=member)


def binary_codec(member: str) -> Codec:
    """Return the codec of a member of `BinaryOpOperation`."""
    return Codec("BinaryOp", "BinaryOp", constants={"opType": member}, name=member)


def plain_codec(op_type: str, table: str = "NONE", **fields: str) -> Codec:
    """Return the codec of an operator whose attributes are fields of one table."""
    return Codec(op_type, table, fields=fields)
