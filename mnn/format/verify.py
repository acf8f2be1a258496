"""Structural verification of a `.mnn` flatbuffer, driven by the schema, before any field is read.

Flatbuffers layout: a table begins with a signed offset back to its vtable; the vtable holds its own
size, the table's size, and one 16-bit offset per field (0: absent). Strings, vectors and tables are
referred to by unsigned 32-bit offsets that point forward, so there are no cycles.
"""

from __future__ import annotations

import struct
from typing import Any

from mnn.errors import FormatError
from mnn.format.limits import LIMITS, Limits
from mnn.format.schema import Field, Schema, TableSchema, schema

__all__ = ["Buffer", "verify_net"]

Buffer = Any
"""bytes or a read-only memoryview over a memory map."""

_u16 = struct.Struct("<H").unpack_from
_i32 = struct.Struct("<i").unpack_from
_u32 = struct.Struct("<I").unpack_from


class _Verifier:
    def __init__(self, buffer: Buffer, limits: Limits) -> None:
        self.buffer = buffer
        self.size = len(buffer)
        self.limits = limits
        self.schema: Schema = schema()
        self.seen: set[tuple[int, str]] = set()
        self.pending: list[tuple[int, TableSchema, int]] = []

    def fail(self, where: str, problem: str) -> FormatError:
        return FormatError(
            f"not a valid .mnn file: {where}: {problem} (file of {self.size} bytes). "
            "The file is damaged, truncated, or of another format."
        )

    def run(self) -> None:
        if self.size < 8:
            raise self.fail("header", "too short for a root table")
        if self.size > self.limits.file_bytes:
            raise self.fail("header", f"larger than {self.limits.file_bytes} bytes")
        self.push(_u32(self.buffer, 0)[0], "Net", 0, "root")
        while self.pending:
            self.table(*self.pending.pop())

    def push(self, position: int, name: str, depth: int, where: str) -> None:
        key = (position, name)
        if key in self.seen:
            return
        if len(self.seen) >= self.limits.tables:
            raise self.fail(where, f"more than {self.limits.tables} tables")
        if depth > self.limits.depth:
            raise self.fail(where, f"tables nested deeper than {self.limits.depth}")
        self.seen.add(key)
        self.pending.append((position, self.schema.tables[name], depth))

    def table(self, position: int, table: TableSchema, depth: int) -> None:
        if position % 4 or position < 4 or position + 4 > self.size:
            raise self.fail(table.name, f"table at byte {position} is outside the file")
        vtable = position - _i32(self.buffer, position)[0]
        if vtable % 2 or vtable < 0 or vtable + 4 > self.size:
            raise self.fail(table.name, f"vtable at byte {vtable} is outside the file")
        vtable_size, table_size = _u16(self.buffer, vtable)[0], _u16(self.buffer, vtable + 2)[0]
        if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > self.size:
            raise self.fail(table.name, f"vtable of {vtable_size} bytes leaves the file")
        if table_size < 4 or position + table_size > self.size:
            raise self.fail(table.name, f"table of {table_size} bytes leaves the file")
        for field in table.fields:
            entry = 4 + 2 * field.slot
            if entry + 2 > vtable_size:
                continue
            offset = _u16(self.buffer, vtable + entry)[0]
            if offset:
                self.field(position, offset, table_size, table, field, vtable, depth)
        if table.name == "Net":
            self.required(table, vtable, vtable_size)

    def required(self, table: TableSchema, vtable: int, vtable_size: int) -> None:
        for name in ("oplists", "tensorName"):
            entry = 4 + 2 * table.by_name[name].slot
            if entry + 2 > vtable_size or not _u16(self.buffer, vtable + entry)[0]:
                raise self.fail("Net", f"{name} is missing")

    def field(
        self,
        position: int,
        offset: int,
        table_size: int,
        table: TableSchema,
        field: Field,
        vtable: int,
        depth: int,
    ) -> None:
        where = f"{table.name}.{field.name}"
        if offset < 4 or offset + field.inline_size > table_size:
            raise self.fail(where, f"field at {offset} leaves its table of {table_size} bytes")
        if field.dtype is not None and not field.vector:
            return
        place = position + offset
        target = place + _u32(self.buffer, place)[0]
        if target <= place or target + 4 > self.size:
            raise self.fail(where, f"refers to byte {target}, outside the file")
        if field.vector:
            self.vector(target, field, depth, where)
        elif field.kind == "string":
            self.string(target, where)
        elif field.kind == "table":
            self.push(target, field.type, depth + 1, where)
        else:
            self.union(position, target, table_size, field, vtable, depth, where)

    def union(
        self,
        position: int,
        target: int,
        table_size: int,
        field: Field,
        vtable: int,
        depth: int,
        where: str,
    ) -> None:
        type_offset = _u16(self.buffer, vtable + 4 + 2 * (field.slot - 1))[0]
        if type_offset and (type_offset < 4 or type_offset >= table_size):
            raise self.fail(where, "its type byte is outside the table")
        number = self.buffer[position + type_offset] if type_offset else 0
        member = self.schema.unions[field.type].get(number)
        if member is None:
            raise self.fail(where, f"unknown parameter table {number}")
        if number:
            self.push(target, member, depth + 1, where)

    def string(self, target: int, where: str) -> None:
        length = _u32(self.buffer, target)[0]
        if length > self.limits.string_bytes or target + 4 + length > self.size:
            raise self.fail(where, f"string of {length} bytes leaves the file")
        try:
            str(self.buffer[target + 4 : target + 4 + length], "utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(where, "string is not UTF-8") from error

    def vector(self, target: int, field: Field, depth: int, where: str) -> None:
        count = _u32(self.buffer, target)[0]
        width = field.dtype.itemsize if field.dtype is not None else 4
        begin = target + 4
        if begin + count * width > self.size:
            raise self.fail(where, f"vector of {count} elements leaves the file")
        if begin % width and count:
            raise self.fail(where, f"vector at byte {begin} is not aligned to {width}")
        if field.dtype is not None:
            return
        for place in range(begin, begin + 4 * count, 4):
            element = place + _u32(self.buffer, place)[0]
            if element <= place or element + 4 > self.size:
                raise self.fail(where, f"element refers to byte {element}, outside the file")
            if field.kind == "string":
                self.string(element, where)
            else:
                self.push(element, field.type, depth + 1, where)


def verify_net(buffer: Buffer, limits: Limits = LIMITS) -> None:
    """Check that `buffer` is a structurally valid `Net`.

    Raises:
        FormatError: it is not; the message names the first table and field that is wrong.
    """
    _Verifier(buffer, limits).run()


def verify_table(buffer: Buffer, name: str, limits: Limits = LIMITS) -> int:
    """Check that `buffer` holds a table `name` as its root and return the table's position.

    Raises:
        FormatError: it does not.
    """
    verifier = _Verifier(buffer, limits)
    if verifier.size < 8:
        raise verifier.fail(name, "too short for a root table")
    position = int(_u32(buffer, 0)[0])
    verifier.push(position, name, 0, name)
    while verifier.pending:
        verifier.table(*verifier.pending.pop())
    return position
