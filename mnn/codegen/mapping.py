"""Memory that code runs in: written first, then executable and read-only, never both.

One mapping holds the images of many kernels. It is never given back: threads may run in it until
the very end of the process, while the interpreter is being torn down.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from collections.abc import Sequence
from typing import Any

from mnn.codegen.images import Image
from mnn.errors import CodegenError

__all__ = ["can_map_code", "map_images"]


def map_images(images: Sequence[Image]) -> list[int]:
    """Return the addresses at which the images now lie, ready to run.

    Raises:
        CodegenError: the system does not allow it.
    """
    offsets: list[int] = []
    size = 0
    for image in images:
        # Pages are the coarsest boundary that a mapping begins at.
        if image.alignment > mmap.PAGESIZE:
            raise CodegenError(f"code image: alignment of {image.alignment} bytes is too much.")
        offsets.append(-(-size // image.alignment) * image.alignment)
        size = offsets[-1] + len(image.code)
    if not size:
        return []
    size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    system = _system()
    start = system.mmap(
        None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    if start in (None, ctypes.c_void_p(-1).value):
        raise CodegenError(f"code image: no memory of {size} bytes for code.")
    for image, offset in zip(images, offsets, strict=True):
        ctypes.memmove(start + offset, image.code, len(image.code))
    # Linux brings instruction caches up to date when pages become executable.
    if system.mprotect(start, size, mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        system.munmap(start, size)
        raise CodegenError(f"code image: memory cannot be made executable (error {number}).")
    return [start + offset for offset in offsets]


@functools.cache
def can_map_code() -> bool:
    """True when this process may map images: on Linux, unless a policy forbids it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        map_images([Image(b"\0", 1, {"": 0})])
    except (CodegenError, AttributeError, OSError):
        return False
    return True


@functools.cache
def _system() -> Any:
    found = ctypes.CDLL(None, use_errno=True)
    found.mmap.restype = ctypes.c_void_p
    found.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    for function in (found.mprotect, found.munmap):
        function.restype = ctypes.c_int
    found.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    found.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return found
