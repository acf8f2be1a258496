"""The tables, enumerations and unions of the `.mnn` format, as data loaded on first use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from mnn.records import dataclass

__all__ = ["Enumeration", "Field", "Schema", "TableSchema", "schema"]

_SCALARS: dict[str, str] = {
    "bool": "?",
    "int8": "<i1",
    "uint8": "<u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "float32": "<f4",
    "float64": "<f8",
}


@dataclass(frozen=True)
class Field:
    """One field of a table.

    Attributes:
        name: field name.
        slot: index in the table's vtable; a union's type byte stands in the slot before.
        kind: `scalar`, `enum`, `string`, `table` or `union`.
        type: scalar, enumeration, table or union name.
        vector: True for a vector of `type`.
        default: value of an absent scalar or enumeration.
        dtype: element type of scalars and enumerations, else None.
    """

    name: str
    slot: int
    kind: str
    type: str
    vector: bool
    default: Any
    dtype: np.dtype[Any] | None

    @property
    def inline_size(self) -> int:
        """Bytes inside the table: the scalar itself, or an offset."""
        if self.dtype is not None and not self.vector:
            return self.dtype.itemsize
        return 4


@dataclass(frozen=True)
class Enumeration:
    """An enumeration of the format."""

    name: str
    dtype: np.dtype[Any]
    by_name: Mapping[str, int]
    by_value: Mapping[int, str]


@dataclass(frozen=True)
class TableSchema:
    """A table of the format."""

    name: str
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field]


@dataclass(frozen=True)
class Schema:
    """The whole format. `unions` maps a union's member numbers to table names."""

    enums: Mapping[str, Enumeration]
    unions: Mapping[str, Mapping[int, str]]
    tables: Mapping[str, TableSchema]


def _field(entry: list[Any], enums: Mapping[str, Enumeration]) -> Field:
    name, slot, kind, type_name, vector, default = entry
    dtype = None
    if kind == "scalar":
        dtype = np.dtype(_SCALARS[type_name])
    elif kind == "enum":
        dtype = enums[type_name].dtype
    return Field(name, int(slot), kind, type_name, bool(vector), default, dtype)


def _enumeration(name: str, entry: Mapping[str, Any]) -> Enumeration:
    members: Mapping[str, int] = entry["members"]
    by_value: dict[int, str] = {}
    for member, number in members.items():
        by_value.setdefault(number, member)
    return Enumeration(name, np.dtype(_SCALARS[entry["type"]]), members, by_value)


@lru_cache(maxsize=1)
def schema() -> Schema:
    """Return the format's schema."""
    text = resources.files("mnn.format").joinpath("schema.json").read_text(encoding="utf-8")
    data = json.loads(text)
    enums = {name: _enumeration(name, entry) for name, entry in data["enums"].items()}
    tables = {}
    for name, entries in data["tables"].items():
        fields = tuple(_field(entry, enums) for entry in entries)
        tables[name] = TableSchema(name, fields, {each.name: each for each in fields})
    unions = {
        name: {number: member for member, number in members.items()}
        for name, members in data["unions"].items()
    }
    return Schema(enums, unions, tables)
