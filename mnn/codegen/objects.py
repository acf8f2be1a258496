"""Symbol tables of object files: which names an object defines, and which it wants from elsewhere.

Generated code must be self-contained: LLVM silently turns some operations into calls of library
functions (`fmaf`, `memset`), which would resolve to something else on another machine or not at
all. Layouts: ELF as in the System V ABI (gABI chapter 4), COFF as in the PE/COFF specification,
Mach-O as in the `nlist_64` tables of `<mach-o/nlist.h>`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from mnn.errors import CodegenError

__all__ = ["Symbols", "read_symbols"]

_ELF_SYMBOL_TABLE = 2
_MACHO_SYMBOL_TABLE = 2
_COFF_EXTERNAL = 2
_COFF_MACHINES = (0x8664, 0xAA64, 0x014C, 0x01C4)


class Symbols(NamedTuple):
    """Names of an object's symbol table, as the assembler spells them.

    Attributes:
        defined: global names that the object provides.
        undefined: names that it expects somebody else to provide.
    """

    defined: frozenset[str]
    undefined: frozenset[str]


def read_symbols(data: bytes) -> Symbols:
    """Return the global symbols of an ELF, COFF or Mach-O object.

    Raises:
        CodegenError: the bytes are none of these, or are damaged.
    """
    try:
        entries = list(_entries(data))
    except (struct.error, IndexError, ValueError) as problem:
        raise CodegenError(
            f"object file: its symbol table cannot be read ({problem}; {len(data)} bytes). "
            "Expected a whole object as LLVM writes it. Compile the kernel again."
        ) from problem
    return Symbols(
        frozenset(name for name, defined in entries if defined),
        frozenset(name for name, defined in entries if not defined),
    )


def _entries(data: bytes) -> Iterator[tuple[str, bool]]:
    """Yield every global symbol as (name, is it defined here)."""
    if data[:4] == b"\x7fELF":
        return _elf(data, wide=data[4] == 2)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return _macho(data)
    if len(data) >= 20 and struct.unpack_from("<H", data)[0] in _COFF_MACHINES:
        return _coff(data)
    raise CodegenError(
        f"object file: found leading bytes {data[:4]!r}, expected ELF, COFF or 64-bit Mach-O. "
        "Kernels are emitted for such targets only."
    )


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _elf(data: bytes, *, wide: bool) -> Iterator[tuple[str, bool]]:
    (table,) = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)
    size, count = struct.unpack_from("<HH", data, 58 if wide else 46)
    # name, type, flags, address, offset, size, link, info, alignment, entry size
    layout = "<IIQQQQIIQQ" if wide else "<10I"
    sections = [struct.unpack_from(layout, data, table + size * each) for each in range(count)]
    for section in sections:
        if section[1] != _ELF_SYMBOL_TABLE:
            continue
        names = sections[section[6]][4]
        for place in range(section[4], section[4] + section[5], 24 if wide else 16):
            if wide:
                name, info, _, index = struct.unpack_from("<IBBH", data, place)
            else:
                name, _, _, info, _, index = struct.unpack_from("<IIIBBH", data, place)
            binding = info >> 4
            if name and (binding != 0 or index == 0):
                yield _text(data, names + name), index != 0


def _coff(data: bytes) -> Iterator[tuple[str, bool]]:
    table, count = struct.unpack_from("<II", data, 8)
    names = table + 18 * count
    each = 0
    while each < count:
        raw, value, section, _, storage, auxiliary = struct.unpack_from(
            "<8sIhHBB", data, table + 18 * each
        )
        each += 1 + auxiliary
        if storage != _COFF_EXTERNAL:
            continue
        if raw[:4] == b"\0\0\0\0":
            name = _text(data, names + struct.unpack("<I", raw[4:])[0])
        else:
            name = raw.rstrip(b"\0").decode()
        yield name, section != 0 or value != 0


def _macho(data: bytes) -> Iterator[tuple[str, bool]]:
    (commands,) = struct.unpack_from("<I", data, 16)
    place = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, place)
        if command == _MACHO_SYMBOL_TABLE:
            symbols, count, names, _ = struct.unpack_from("<4I", data, place + 8)
            for each in range(count):
                name, kind, _, _, value = struct.unpack_from("<IBBHQ", data, symbols + 16 * each)
                debugging, external, category = kind & 0xE0, kind & 1, kind & 0x0E
                if external and not debugging:
                    yield _text(data, names + name), category != 0 or value != 0
        place += size
