"""Code images: an ELF object with its sections put together, ready to be copied into memory.

Generated objects import nothing and hold no absolute addresses, so once their sections have fixed
distances, all relocations can be done for good: an image runs wherever it lies. Only the handful
of relocation kinds that such objects have are known; anything else is refused, and the caller
links that object in another way. Kinds and formulas: System V ABI, AMD64 supplement, table 4.9;
ELF for the Arm 64-bit Architecture, section 5.7.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["Image", "flatten"]

_MAGIC = b"MNNIMAGE"
# Magic, alignment, number of symbols, bytes of code.
_HEADER = struct.Struct("<8sIIQ")
# Offset, bytes of the name that follows.
_SYMBOL = struct.Struct("<QI")

_X86_64, _AARCH64 = 62, 183
_SYMBOL_TABLE, _WITH_ADDENDS, _WITHOUT_ADDENDS, _ZEROES = 2, 4, 9, 8
_WRITE, _ALLOCATE = 1, 2
_RESERVED_SECTIONS = 0xFF00
_UNWINDING = b".eh_frame"
_LIMIT = 64 << 20
_PAGE = 4096


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


@dataclass(frozen=True)
class Image:
    """Code and its read-only data, the same at every address that is a multiple of `alignment`.

    Attributes:
        code: the bytes.
        alignment: a power of two.
        symbols: offsets of global functions, by name.
    """

    code: bytes
    alignment: int
    symbols: dict[str, int]

    def pack(self) -> bytes:
        """Return the image as bytes."""
        parts = [_HEADER.pack(_MAGIC, self.alignment, len(self.symbols), len(self.code))]
        for name, offset in self.symbols.items():
            spelled = name.encode()
            parts += [_SYMBOL.pack(offset, len(spelled)), spelled]
        return b"".join([*parts, self.code])

    @staticmethod
    def unpack(data: bytes) -> Image | None:
        """Return the image in the bytes, None when there is none."""
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            return None
        _, alignment, count, size = _HEADER.unpack_from(data)
        place = _HEADER.size
        symbols: dict[str, int] = {}
        for _ in range(min(count, len(data))):
            if place + _SYMBOL.size > len(data):
                return None
            offset, length = _SYMBOL.unpack_from(data, place)
            place += _SYMBOL.size
            spelled = data[place : place + length]
            if len(spelled) != length or offset >= size or not spelled.isascii():
                return None
            symbols[spelled.decode()] = offset
            place += length
        power_of_two = 0 < alignment <= _LIMIT and alignment & (alignment - 1) == 0
        if len(data) - place != size or not symbols or not power_of_two:
            return None
        return Image(data[place:], alignment, symbols)


def flatten(data: bytes) -> Image:
    """Return the image of a 64-bit ELF object for x86-64 or AArch64.

    Raises:
        CodegenError: it is none, is damaged, or has parts that an image cannot have.
    """
    try:
        return _Linker(data).image()
    except (struct.error, IndexError, ValueError, OverflowError) as problem:
        raise CodegenError(
            f"code image: the object of {len(data)} bytes has no image ({problem}). Expected "
            "self-contained code for x86-64 or AArch64 without writable data, as kernels have."
        ) from problem


class _Linker:
    """Puts the sections of one object together. Whatever is odd is a ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not 64-bit little-endian ELF")
        (self._machine,) = struct.unpack_from("<H", data, 18)
        if self._machine not in (_X86_64, _AARCH64):
            raise ValueError(f"machine {self._machine}")
        (table,) = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        if size != 64:
            raise ValueError(f"section headers of {size} bytes")
        self._sections = [
            _Section._make(struct.unpack_from("<IIQQQQIIQQ", data, table + size * each))
            for each in range(count)
        ]
        self._names = self._sections[names].offset
        self._places: dict[int, int] = {}
        # AArch64 code addresses 4 KiB pages relative to its own page.
        self._alignment = _PAGE if self._machine == _AARCH64 else 1

    def image(self) -> Image:
        code = self._put_together()
        symbols = self._symbol_table()
        for section in self._sections:
            if section.kind not in (_WITH_ADDENDS, _WITHOUT_ADDENDS):
                continue
            if section.info not in self._places:
                continue
            if section.kind == _WITHOUT_ADDENDS:
                raise ValueError("relocations without addends")
            start = self._places[section.info]
            room = self._sections[section.info].size
            for where in range(section.offset, section.offset + section.size, 24):
                offset, info, addend = struct.unpack_from("<QQq", self._data, where)
                if offset >= room:
                    raise ValueError("a relocation outside of its section")
                target = self._address(symbols[info >> 32]) + addend
                _relocate(self._machine, info & 0xFFFFFFFF, code, start + offset, target)
        exported = {
            self._text(entry[0]).decode(): self._address(entry)
            for entry in symbols
            if entry[1] >> 4 == 1 and entry[3] in self._places
        }
        return Image(bytes(code), self._alignment, exported)

    def _put_together(self) -> bytearray:
        code = bytearray()
        for number, section in enumerate(self._sections):
            if not section.flags & _ALLOCATE or not section.size:
                continue
            if self._string(self._names + section.name) == _UNWINDING:
                continue
            if section.flags & _WRITE:
                raise ValueError("writable data")
            alignment = max(1, section.alignment)
            if section.size > _LIMIT or alignment > _LIMIT or alignment & (alignment - 1):
                raise ValueError("a section of odd size")
            self._alignment = max(self._alignment, alignment)
            code += bytes(-len(code) % alignment)
            self._places[number] = len(code)
            content = self._data[section.offset : section.offset + section.size]
            if section.kind == _ZEROES:
                content = bytes(section.size)
            if len(content) != section.size:
                raise ValueError("a section beyond the end")
            code += content
        return code

    def _symbol_table(self) -> list[tuple[int, int, int, int, int, int]]:
        (table,) = (each for each in self._sections if each.kind == _SYMBOL_TABLE)
        self._strings = self._sections[table.link].offset
        return [
            struct.unpack_from("<IBBHQQ", self._data, table.offset + 24 * each)
            for each in range(table.size // 24)
        ]

    def _address(self, symbol: tuple[int, int, int, int, int, int]) -> int:
        _, _, _, section, value, _ = symbol
        if section not in self._places or section >= _RESERVED_SECTIONS:
            raise ValueError(f"a symbol in section {section}")
        if value > self._sections[section].size:
            raise ValueError("a symbol outside of its section")
        return self._places[section] + value

    def _string(self, start: int) -> bytes:
        return self._data[start : self._data.index(b"\0", start)]

    def _text(self, name: int) -> bytes:
        return self._string(self._strings + name)


_LOW_BITS = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}
"""AArch64: ADD and loads and stores of 1, 2, 4, 8 and 16 bytes, by the scale of their offset."""


def _relocate(machine: int, kind: int, code: bytearray, place: int, target: int) -> None:
    """Write the distance from `place` to `target` as a relocation of this kind wants it."""
    distance = target - place
    if machine == _X86_64:
        if kind in (2, 4):  # PC32, PLT32
            struct.pack_into("<i", code, place, distance)
        elif kind == 24:  # PC64
            struct.pack_into("<q", code, place, distance)
        else:
            raise ValueError(f"relocation {kind}")
        return
    if kind in (260, 261):  # PREL64, PREL32
        struct.pack_into("<q" if kind == 260 else "<i", code, place, distance)
        return
    (word,) = struct.unpack_from("<I", code, place)
    if kind in (282, 283):  # JUMP26, CALL26
        word |= _field(distance >> 2, 26)
    elif kind == 275:  # ADR_PREL_PG_HI21
        pages = _field((target >> 12) - (place >> 12), 21)
        word |= (pages & 3) << 29 | (pages >> 2) << 5
    elif kind in _LOW_BITS:
        low, scale = target & (_PAGE - 1), _LOW_BITS[kind]
        if low & ((1 << scale) - 1):
            raise ValueError("a load from an odd address")
        word |= (low >> scale) << 10
    else:
        raise ValueError(f"relocation {kind}")
    struct.pack_into("<I", code, place, word)


def _field(number: int, bits: int) -> int:
    if not -(1 << bits - 1) <= number < 1 << bits - 1:
        raise ValueError(f"a distance of more than {bits} bits")
    return number & ((1 << bits) - 1)
