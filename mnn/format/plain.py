"""Operators whose attributes are fields of one table, read and written by declaration alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.expr.var import Var
from mnn.format.schema import schema
from mnn.ops.codec import Codec
from mnn.ops.spec import OpSpec, all_specs

if TYPE_CHECKING:
    from mnn.format.decode import OpCall

__all__ = ["decode_plain", "encode_plain", "enum_number"]


@lru_cache(maxsize=1)
def _by_op_type() -> Mapping[str, list[tuple[OpSpec, Codec]]]:
    table: dict[str, list[tuple[OpSpec, Codec]]] = {}
    for spec in all_specs():
        if spec.codec is not None and not spec.codec.handled:
            table.setdefault(spec.codec.op_type, []).append((spec, spec.codec))
    return table


def enum_number(table: str, field: str, value: Any) -> Any:
    """Return the number of an enum member given by name; other values unchanged."""
    if not isinstance(value, str):
        return value
    for each in schema().tables[table].fields:
        if each.name == field and each.type in schema().enums:
            return schema().enums[each.type].by_name[value]
    return value


def _matches(codec: Codec, main: Any) -> bool:
    if not codec.constants:
        return True
    return main is not None and all(
        getattr(main, name) == enum_number(codec.table, name, value)
        for name, value in codec.constants.items()
    )


def decode_plain(call: OpCall) -> Any:
    """Return the results of an operator read by its declaration, None when none is declared."""
    for spec, codec in _by_op_type().get(call.type, []):
        if _matches(codec, call.main):
            attributes = {
                attribute: _from_field(getattr(call.main, name), spec.attributes[attribute])
                for attribute, name in codec.fields.items()
                if call.main is not None
            }
            inputs = call.inputs[: len(spec.inputs)] if _fixed(spec) else call.inputs
            result: Var | tuple[Var, ...] = OpSpec.__call__(spec, *inputs, **attributes)
            return result
    return None


def _fixed(spec: OpSpec) -> bool:
    return not (spec.inputs and spec.inputs[-1].endswith("*"))


def _from_field(value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        return bool(value)
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    if isinstance(value, list):
        return tuple(value)
    return value


def encode_plain(spec: OpSpec, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of an operator's table entry, None when its declaration does not say."""
    codec = spec.codec
    if codec is None or codec.handled:
        return None
    fields: dict[str, Any] = {"type": codec.op_type}
    if codec.table != "NONE":
        main = dict(codec.constants)
        for attribute, name in codec.fields.items():
            value = attributes[attribute]
            main[name] = list(value) if isinstance(value, tuple) else value
        fields["main_type"] = codec.table
        fields["main"] = main
    return fields
