"""What the generator of code is: a digest of the source files that shape kernels.

With it, kernels are found in the cache by their description, before any text is generated. Code
that other sources generated must never be found, so a process that may have loaded other sources
than those on the disk has no digest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from mnn.codegen import IMPORTED_AT
from mnn.codegen.cache import KeyMaker, ObjectCache
from mnn.codegen.digest import SIZE, new_digest

__all__ = ["COVERED", "Snapshot", "generator_digest", "take_snapshot"]

COVERED = ("codegen", "ops", "expr", "compile", "backends", "format")
"""Packages inside of `mnn` whose files shape kernels and plans."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Other covered packages may have been imported a moment before this one.
_STARTED = IMPORTED_AT - 2.0

Snapshot = tuple[tuple[str, int, int, int, int], ...]
"""(path, size, time of modification, time of change, file number) of each source file."""


def take_snapshot(package: str = _PACKAGE) -> Snapshot:
    """Return the state of the files; empty when there are none, as inside of an archive."""
    try:
        found = [each for name in COVERED for each in _files(os.path.join(package, name))]
    except OSError:
        return ()
    return tuple(sorted(found))


def generator_digest(
    cache: ObjectCache, snapshot: Snapshot, started: float = _STARTED
) -> bytes | None:
    """Return the digest of the files' content, None when this process may have loaded other files.

    Args:
        cache: remembers the digest of a snapshot, which saves reading the files.
        snapshot: the files.
        started: when this process began to import them, in seconds.
    """
    if not snapshot or max(max(each[2:4]) for each in snapshot) / 1e9 >= started:
        return None
    key = KeyMaker(["sources", repr(snapshot)]).key("")
    stored = cache.get(key)
    if stored is not None and len(stored) == SIZE:
        return stored
    digest = new_digest()
    try:
        for path, *_ in snapshot:
            name = os.path.relpath(path, _PACKAGE)
            with open(path, "rb") as file:
                content = file.read()
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
    except (OSError, ValueError):
        return None
    if take_snapshot() != snapshot:
        return None
    cache.put(key, digest.digest())
    return digest.digest()


def _files(folder: str) -> Iterator[tuple[str, int, int, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                state = entry.stat()
                yield (
                    entry.path,
                    state.st_size,
                    state.st_mtime_ns,
                    state.st_ctime_ns,
                    state.st_ino,
                )
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _files(entry.path)
