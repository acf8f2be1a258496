"""Reading `.mnn` files: verified first, then lazily, by field name, with schema defaults."""

from __future__ import annotations

import mmap
import os
import struct
from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.format.limits import LIMITS, Limits
from mnn.format.schema import Field, TableSchema, schema
from mnn.format.verify import Buffer, verify_net

__all__ = ["Table", "read_buffer", "read_net"]

_u16 = struct.Struct("<H").unpack_from
_i32 = struct.Struct("<i").unpack_from
_u32 = struct.Struct("<I").unpack_from


class WrongTableError(FormatError, AttributeError):
    """A union holds a table of another type than its operator needs."""


class Table:
    """A table of a verified file. Fields are attributes:

    scalars and enumerations are Python numbers (the schema's default when absent), strings `str` or
    None, vectors of scalars read-only arrays over the file's bytes or None, vectors of strings or
    tables lists (None when absent), tables `Table` or None. A union field `main` gives its table or
    None, and `main_type` the name of its member. An empty vector is as good as an absent one.
    """

    __slots__ = ("_buffer", "_position", "_schema", "_vtable", "_vtable_size")

    def __init__(self, buffer: Buffer, position: int, table: TableSchema) -> None:
        self._buffer = buffer
        self._position = position
        self._schema = table
        self._vtable = position - _i32(buffer, position)[0]
        self._vtable_size = _u16(buffer, self._vtable)[0]

    @property
    def whole_file(self) -> memoryview:
        """All bytes of the file."""
        found: memoryview = self._buffer
        return found

    @property
    def table_name(self) -> str:
        """Name of the table in the schema."""
        return self._schema.name

    def __repr__(self) -> str:
        return f"<{self._schema.name} at byte {self._position}>"

    def _offset(self, slot: int) -> int:
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return 0
        return int(_u16(self._buffer, self._vtable + entry)[0])

    def has(self, name: str) -> bool:
        """Return whether the field is stored."""
        return self._offset(self._schema.by_name[name].slot) != 0

    def fields(self) -> list[str]:
        """Return the names of the stored fields."""
        return [each.name for each in self._schema.fields if self._offset(each.slot)]

    def __getattr__(self, name: str) -> Any:
        field = self._schema.by_name.get(name)
        if field is None:
            if name.endswith("_type"):
                union = self._schema.by_name.get(name[:-5])
                if union is not None and union.kind == "union":
                    return self._member(union)
            raise WrongTableError(
                f"not a valid .mnn file: found a {self._schema.name} table where one with the "
                f"field {name!r} is expected. The file is damaged."
            )
        offset = self._offset(field.slot)
        if not offset:
            return field.default if field.dtype is not None and not field.vector else None
        return self._read(field, self._position + offset)

    def _member(self, field: Field) -> str:
        offset = self._offset(field.slot - 1)
        number = self._buffer[self._position + offset] if offset else 0
        member = schema().unions[field.type].get(number)
        if member is None:
            raise WrongTableError(
                f"not a valid .mnn file: {self._schema.name}.{field.name} is of kind {number}, "
                f"expected one of the {len(schema().unions[field.type])} known. The file is "
                "damaged, or newer than this package."
            )
        return member

    def _read(self, field: Field, place: int) -> Any:
        if field.dtype is not None and not field.vector:
            return np.frombuffer(self._buffer, field.dtype, 1, place)[0].item()
        target = place + _u32(self._buffer, place)[0]
        if field.vector:
            return self._vector(field, target)
        if field.kind == "string":
            return self._string(target)
        if field.kind == "table":
            return Table(self._buffer, target, schema().tables[field.type])
        member = self._member(field)
        return None if member == "NONE" else Table(self._buffer, target, schema().tables[member])

    def _string(self, target: int) -> str:
        length = _u32(self._buffer, target)[0]
        return str(self._buffer[target + 4 : target + 4 + length], "utf-8")

    def _vector(self, field: Field, target: int) -> Any:
        count = _u32(self._buffer, target)[0]
        begin = target + 4
        if field.dtype is not None:
            return np.frombuffer(self._buffer, field.dtype, count, begin)
        places = range(begin, begin + 4 * count, 4)
        targets = [place + _u32(self._buffer, place)[0] for place in places]
        if field.kind == "string":
            return [self._string(each) for each in targets]
        table = schema().tables[field.type]
        return [Table(self._buffer, each, table) for each in targets]


def read_buffer(source: Any, limits: Limits = LIMITS) -> Buffer:
    """Return the bytes of a file (memory-mapped) or of a bytes-like object, read-only.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: as `open` raises them.
        FormatError: empty, or larger than the limits.
    """
    if isinstance(source, memoryview) and isinstance(source.obj, mmap.mmap):
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        if not data:
            raise FormatError("not a valid .mnn file: it is empty.")
        return memoryview(data)
    with open(os.fspath(source), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise FormatError(f"{os.fspath(source)}: not a valid .mnn file: it is empty.")
        if size > limits.file_bytes:
            raise FormatError(
                f"{os.fspath(source)}: {size} bytes, expected at most {limits.file_bytes}."
            )
        # The views made of the map keep it alive; it is closed with the last of them.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def read_net(source: Any, *, limits: Limits = LIMITS) -> Table:
    """Return the root table of a `.mnn` file after verifying its structure.

    Args:
        source: path, or the bytes themselves.
        limits: bounds of the reader.

    Raises:
        OSError: the file cannot be opened.    FormatError: it is no valid `.mnn` file.
    """
    buffer = read_buffer(source, limits)
    try:
        verify_net(buffer, limits)
    except FormatError as error:
        if isinstance(source, (str, os.PathLike)):
            raise FormatError(f"{os.fspath(source)}: {error}") from error
        raise
    return Table(buffer, int(_u32(buffer, 0)[0]), schema().tables["Net"])
