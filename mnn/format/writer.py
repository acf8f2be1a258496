"""Writing `.mnn` files: nested plain data to a flatbuffer, and bytes to disk in one step.

Tables are written front to back: each table after the one that refers to it, so every offset points
forward as the format demands. Big vectors are copied as blocks and aligned to 16 bytes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.format.schema import Field, TableSchema, schema

__all__ = ["build_net", "write_file"]

Array = np.ndarray[Any, Any]


class _Builder:
    def __init__(self) -> None:
        self.out = bytearray(4)
        self.pending: deque[tuple[int, TableSchema, Mapping[str, Any]]] = deque()

    def align(self, width: int, ahead: int = 0) -> None:
        """Pad so that the position `ahead` bytes later is a multiple of `width`."""
        self.out.extend(b"\0" * (-(len(self.out) + ahead) % width))

    def refer(self, place: int) -> None:
        """Let the offset at `place` point to the current end."""
        struct.pack_into("<I", self.out, place, len(self.out) - place)

    def run(self, net: Mapping[str, Any]) -> bytes:
        self.table(0, schema().tables["Net"], net)
        while self.pending:
            self.table(*self.pending.popleft())
        return bytes(self.out)

    def table(self, place: int, table: TableSchema, values: Mapping[str, Any]) -> None:
        present = self.present(table, values)
        slots = 1 + max((field.slot for field, _ in present), default=-1)
        offsets: dict[int, int] = {}
        size = 4
        for field, _ in sorted(present, key=lambda each: -each[0].inline_size):
            offsets[field.slot] = size
            size += field.inline_size
            if field.kind == "union":
                slots = max(slots, field.slot + 1)
        for field, _ in present:
            if field.kind == "union":
                offsets[field.slot - 1] = size
                size += 1
        vtable_size = 4 + 2 * slots
        self.align(4, vtable_size)
        vtable = len(self.out)
        entries = [offsets.get(slot, 0) for slot in range(slots)]
        self.out += struct.pack(f"<{2 + slots}H", vtable_size, size, *entries)
        self.refer(place)
        begin = len(self.out)
        self.out += struct.pack("<i", begin - vtable)
        self.out.extend(b"\0" * (size - 4))
        for field, value in present:
            self.field(begin, offsets, table, field, value, values)

    def present(self, table: TableSchema, values: Mapping[str, Any]) -> list[tuple[Field, Any]]:
        unions = {f"{each.name}_type" for each in table.fields if each.kind == "union"}
        unknown = sorted(set(values) - set(table.by_name) - unions)
        if unknown:
            raise FormatError(f"{table.name} has no fields {unknown}.")
        found = []
        for field in table.fields:
            value = values.get(field.name)
            if value is None:
                continue
            if field.kind == "union" and values.get(f"{field.name}_type", "NONE") == "NONE":
                continue
            found.append((field, value))
        return found

    def field(
        self,
        begin: int,
        offsets: Mapping[int, int],
        table: TableSchema,
        field: Field,
        value: Any,
        values: Mapping[str, Any],
    ) -> None:
        place = begin + offsets[field.slot]
        where = f"{table.name}.{field.name}"
        if field.vector:
            self.vector(place, field, value, where)
        elif field.dtype is not None:
            number = np.array(self.number(field, value, where), field.dtype)
            if number.ndim:
                raise FormatError(f"{where}: found {number.size} values, expected one number.")
            self.out[place : place + field.dtype.itemsize] = number.tobytes()
        elif field.kind == "string":
            self.string(place, value)
        elif field.kind == "table":
            self.pending.append((place, schema().tables[field.type], value))
        else:
            member = values[f"{field.name}_type"]
            numbers = {name: number for number, name in schema().unions[field.type].items()}
            if member not in numbers:
                raise FormatError(f"{where}: unknown member {member!r}.")
            self.out[begin + offsets[field.slot - 1]] = numbers[member]
            self.pending.append((place, schema().tables[member], value))

    def number(self, field: Field, value: Any, where: str) -> Any:
        if field.kind == "enum" and isinstance(value, str):
            members = schema().enums[field.type].by_name
            if value not in members:
                raise FormatError(f"{where}: unknown member {value!r}.")
            return members[value]
        return value

    def string(self, place: int, value: str) -> None:
        data = value.encode("utf-8")
        self.align(4)
        self.refer(place)
        self.out += struct.pack("<I", len(data))
        self.out += data
        self.out += b"\0"

    def vector(self, place: int, field: Field, value: Any, where: str) -> None:
        if field.dtype is not None:
            if field.kind == "enum":
                value = [self.number(field, each, where) for each in value]
            array = np.ascontiguousarray(value, field.dtype).reshape(-1)
            self.align(16 if array.nbytes >= 64 else max(4, field.dtype.itemsize), 4)
            self.refer(place)
            self.out += struct.pack("<I", array.size)
            self.out += array.view(np.uint8).data if array.size else b""
            return
        items: Sequence[Any] = list(value)
        self.align(4)
        self.refer(place)
        self.out += struct.pack("<I", len(items))
        first = len(self.out)
        self.out.extend(b"\0" * (4 * len(items)))
        for index, item in enumerate(items):
            if field.kind == "string":
                self.string(first + 4 * index, item)
            else:
                self.pending.append((first + 4 * index, schema().tables[field.type], item))


def build_net(net: Mapping[str, Any]) -> bytes:
    """Return a `Net` as bytes.

    Args:
        net: field values by name: numbers, enumeration members by name or number, `str`, lists or
            arrays, nested mappings for tables; a union as `{"main_type": name, "main": {...}}`.
            Fields that are absent or None are not written.

    Raises:
        FormatError: an unknown field or member, or a list for one number.
    """
    return _Builder().run(net)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` in one step: readers see the old file or the whole new one.

    Links are followed, and devices and pipes written to, never replaced.

    Raises:
        OSError: the folder is missing or not writable; nothing is left behind.
    """
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as file:
            file.write(data)
        return
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".mnn-", dir=os.path.dirname(target))
    except OSError as error:
        # Named after what the caller asked for, not after our temporary file.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        mode = 0o666 & ~_umask()
        if os.path.exists(target):
            mode = os.stat(target).st_mode & 0o777
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
