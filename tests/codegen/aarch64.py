"""AArch64 kernels on other machines: they run in an executable of our own, under qemu-user.

The executable is static and lies at fixed addresses, so what argument blocks point at is known
when it is written: code, a driver, and each buffer as a segment that ends where an unmapped page
begins. The driver calls the kernels, writes all buffers to standard output and exits.
"""

from __future__ import annotations

import functools
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnn.codegen.emission import Emitter
from mnn.codegen.images import Image, flatten
from mnn.codegen.target import Target

__all__ = ["Emulated", "emulator"]

Array = np.ndarray[Any, Any]

_PAGE = 4096
_START = 0x400000
_LIMIT_SECONDS = 60
_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_EXECUTABLE, _AARCH64, _LOADED = 2, 183, 1
_READ_EXECUTE, _READ_WRITE = 5, 6

# Steps of 4 bytes: table entries are (function, arguments, lo, hi, scratch), the last function is
# 0; then (address, size) of what is written, the last size is 0. Calls leave x19 alone.
_DRIVER = struct.pack(
    "<22I",
    0x100002D3,  # start: adr x19, table
    0xF9400268,  # next: ldr x8, [x19]
    0xB40000C8,  # cbz x8, write
    0xA9408660,  # ldp x0, x1, [x19, 8]
    0xA9418E62,  # ldp x2, x3, [x19, 24]
    0x9100A273,  # add x19, x19, 40
    0xD63F0100,  # blr x8
    0x17FFFFFA,  # b next
    0xA9408A61,  # write: ldp x1, x2, [x19, 8]
    0x91004273,  # add x19, x19, 16
    0xB4000102,  # cbz x2, done
    0xD2800020,  # mov x0, 1
    0xD2800808,  # mov x8, 64 (write)
    0xD4000001,  # svc 0
    0xEB02001F,  # cmp x0, x2
    0x54FFFF20,  # b.eq write
    0xD2800020,  # mov x0, 1
    0x14000002,  # b exit
    0xD2800000,  # done: mov x0, 0
    0xD2800BC8,  # exit: mov x8, 94 (exit_group)
    0xD4000001,  # svc 0
    0,
)


def emulator() -> str | None:
    """Return the program that runs AArch64 executables, None where it is not installed."""
    return shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")


class Held:
    """Bytes of the emulated machine.

    Attributes:
        address: where they begin there.
        bytes: the content: first what the executable has, after a run what it wrote.
    """

    def __init__(self, size: int, end: int) -> None:
        self.address = end - size
        self.bytes: Array = np.full(size, 0xAB, np.uint8)

    def segment(self) -> tuple[int, bytes]:
        """Return the first page and the content from there to the end."""
        before = self.address % _PAGE
        return self.address - before, bytes(before) + self.bytes.tobytes()


class Emulated:
    """An AArch64 machine with some kernels; see `running.Native`, which does the same here."""

    def __init__(self, texts: Sequence[str], target: Target) -> None:
        self._free = _START
        self._held: list[Held] = []
        self._code: list[tuple[int, bytes]] = []
        self._entries: list[int] = []
        for text in texts:
            image = _image(text, target)
            self._entries.append(self._free + image.symbols["KERNEL"])
            self._code.append((self._free, image.code))
            self._free = _next_page(self._free + len(image.code), max(_PAGE, image.alignment))

    def hold(self, size: int, align: int) -> Held:
        """Return memory that ends at an unmapped page (but for rounding up to `align`)."""
        room = -(-max(size, 1) // align) * align
        held = Held(room, _next_page(self._free + _PAGE + room))
        self._free = held.address + room
        self._held.append(held)
        return held

    def run(self, parts: Sequence[tuple[int, int, int, int]], scratch: int) -> None:
        """Call kernels: (number, address of the argument block, lo, hi)."""
        table = b"".join(
            struct.pack("<5q", self._entries[number], block, lo, hi, scratch)
            for number, block, lo, hi in parts
        )
        written = b"".join(struct.pack("<2q", each.address, each.bytes.size) for each in self._held)
        start = _next_page(self._free + _PAGE)
        driver = _DRIVER + table + bytes(8) + written + bytes(16)
        segments = [(_READ_EXECUTE, *each) for each in [*self._code, (start, driver)]]
        segments += [(_READ_WRITE, *each.segment()) for each in self._held]
        output = _execute(_executable(start, segments))
        sizes = [each.bytes.size for each in self._held]
        assert len(output) == sum(sizes)
        pieces = np.split(np.frombuffer(output, np.uint8), np.cumsum(sizes)[:-1])
        for held, piece in zip(self._held, pieces, strict=True):
            held.bytes[...] = piece


def _next_page(address: int, size: int = _PAGE) -> int:
    return -(-address // size) * size


@functools.cache
def _emitter(target: Target) -> Emitter:
    return Emitter(triple=target.triple, cpu=target.cpu, features=target.features)


@functools.lru_cache(512)
def _image(text: str, target: Target) -> Image:
    return flatten(_emitter(target).emit(text)[0])


def _executable(start: int, segments: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return an ELF file that begins at `start`; segments are (flags, address, content)."""
    place = _next_page(_ELF_HEADER.size + _SEGMENT.size * len(segments))
    mark = b"\x7fELF\x02\x01\x01"
    header = _ELF_HEADER.pack(
        mark, _EXECUTABLE, _AARCH64, 1, start, 64, 0, 0, 64, _SEGMENT.size, len(segments), 64, 0, 0
    )
    table, content = b"", b""
    for flags, address, data in sorted(segments, key=lambda each: each[1]):
        size = len(data)
        table += _SEGMENT.pack(
            _LOADED, flags, place + len(content), address, address, size, size, _PAGE
        )
        content += data + bytes(-size % _PAGE)
    return (header + table).ljust(place, b"\0") + content


def _execute(program: bytes) -> bytes:
    """Return what an executable writes."""
    found = emulator()
    assert found is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels"
        path.write_bytes(program)
        path.chmod(0o700)
        done = subprocess.run(
            [found, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout
