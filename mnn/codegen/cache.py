"""Compiled kernels on disk, shared by the processes of one user.

An entry is a file named after its key, which is a digest of everything that shapes the code. What
is read is executed, so the folder and every file must belong to this user alone. Whatever is wrong
with the cache - damaged, foreign or truncated entries, a full or read-only disk, no folder at all -
only costs the time of compiling again.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mnn.codegen.digest import digest_of, new_digest

if TYPE_CHECKING:
    import logging

__all__ = ["KeyMaker", "ObjectCache", "user_cache"]

FORMAT_VERSION = 2
LIMIT_BYTES = 256 << 20
_MAGIC = b"MNNKERN\x01"
# Magic, key, digest of the code, bytes of code.
_HEADER = struct.Struct("<8s32s32sQ")
_SUFFIX = ".kernel"
_DAY_SECONDS = 86400.0
_WRITES_BETWEEN_CLEANUPS = 256
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class KeyMaker:
    """Makes the keys of kernels that share everything but their text.

    Args:
        parts: all that shapes the code besides the text: processor, versions, settings.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        self._start = new_digest(_MAGIC + bytes([FORMAT_VERSION]))
        for part in parts:
            self._start.update(digest_of(part.encode()))

    def key(self, text: str) -> bytes:
        """Return the 32-byte key of the kernel with this text."""
        digest = self._start.copy()
        digest.update(text.encode())
        return digest.digest()


def user_cache() -> ObjectCache:
    """Return the cache of this user, or one that stores nothing where there is no safe folder.

    MNN_CACHE=0 switches it off. MNN_CACHE_DIR names the folder; otherwise it is `mnn` inside
    XDG_CACHE_HOME, LOCALAPPDATA (Windows), `~/Library/Caches` (macOS) or `~/.cache`.
    """
    if os.environ.get("MNN_CACHE", "") == "0":
        return ObjectCache(None)
    return ObjectCache(_user_directory())


def _user_directory() -> str | None:
    chosen = os.environ.get("MNN_CACHE_DIR", "")
    if chosen:
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.environ.get("LOCALAPPDATA", "") if os.name == "nt" else ""
    if base:
        return os.path.join(base, "mnn")
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        return None
    caches = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
    return os.path.join(home, *caches, "mnn")


class ObjectCache:
    """A folder of object code under keys. No method raises for what is wrong with the disk.

    Args:
        directory: made with mode 0700 when missing; None stores nothing.
        limit_bytes: entries unused for longest are removed when all together exceed this.
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self.directory = None if directory is None else os.fspath(directory)
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._usable: bool | None = None if directory else False
        self._writes = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the code stored under the key, or None; damaged and foreign entries are none."""
        if not self._is_usable(make=False):
            return None
        try:
            return _read(self._path(key), key)
        except (OSError, ValueError) as problem:
            if not isinstance(problem, FileNotFoundError):
                _logger().debug("kernel cache: entry ignored: %s", problem)
            return None

    def put(self, key: bytes, code: bytes) -> bool:
        """Store code under the key, in one step for other processes; True when it is stored."""
        if not self._is_usable(make=True):
            return False
        with self._lock:
            cleanup = self._writes % _WRITES_BETWEEN_CLEANUPS == 0
            self._writes += 1
        path = self._path(key)
        temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.part"
        try:
            if cleanup:
                self._remove_oldest()
            _write(temporary, key, code)
            os.replace(temporary, path)
        except OSError as problem:
            _logger().debug("kernel cache: nothing stored: %s", problem)
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return False
        return True

    def _path(self, key: bytes) -> str:
        return f"{self.directory}{os.sep}{key.hex()}{_SUFFIX}"

    def _is_usable(self, *, make: bool) -> bool:
        """True when the folder exists and is safe; a missing one may appear later."""
        if self._usable is None and self.directory is not None:
            try:
                if make:
                    os.makedirs(os.path.dirname(self.directory) or ".", exist_ok=True)
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(self.directory, 0o700)
                problem = _why_unsafe(os.stat(self.directory), stat.S_ISDIR)
            except FileNotFoundError:
                return False
            except OSError as error:
                problem = str(error)
            self._usable = not problem
            if problem:
                _logger().warning("kernel cache: %s is not used: %s", self.directory, problem)
        return bool(self._usable)

    def _remove_oldest(self) -> None:
        """Bring the folder below its limit, and remove what interrupted writers left behind."""
        if self.directory is None:
            return
        now = time.time()
        entries: list[tuple[float, int, str]] = []
        with os.scandir(self.directory) as found:
            for each in found:
                with contextlib.suppress(OSError):
                    state = each.stat(follow_symlinks=False)
                    if each.name.endswith(_SUFFIX):
                        entries.append((state.st_mtime, state.st_size, each.path))
                    elif each.name.endswith(".part") and now - state.st_mtime > _DAY_SECONDS:
                        os.unlink(each.path)
        total = sum(size for _, size, _ in entries)
        if total <= self.limit_bytes:
            return
        # Leaves room, so that the next writes need no cleanup at once.
        goal = self.limit_bytes * 3 // 4
        for _, size, path in sorted(entries):
            if total <= goal:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                total -= size


def _logger() -> logging.Logger:
    # Importing it takes 3 ms, and there is hardly ever something to say.
    import logging

    return logging.getLogger("mnn.codegen")


def _why_unsafe(state: os.stat_result, is_kind: Callable[[int], bool]) -> str:
    """Return why executing code from this file or folder would be unsafe, or an empty text."""
    if not is_kind(state.st_mode):
        return "it is not what its name says"
    if not hasattr(os, "geteuid"):
        return ""
    if state.st_uid != os.geteuid():
        return f"it belongs to user {state.st_uid}, expected {os.geteuid()}"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it (mode {stat.S_IMODE(state.st_mode):o}); run chmod go-w"
    return ""


def _read(path: str, key: bytes) -> bytes:
    """Return the code in an entry; ValueError says what is wrong with it."""
    # Plain descriptors: a start reads dozens of entries, and file objects would double the time.
    descriptor = os.open(path, os.O_RDONLY | _BINARY | _NO_LINKS)
    try:
        state = os.fstat(descriptor)
        problem = _why_unsafe(state, stat.S_ISREG)
        if problem:
            raise ValueError(f"{path}: {problem}")
        content = os.read(descriptor, min(state.st_size, LIMIT_BYTES))
    finally:
        os.close(descriptor)
    if len(content) < _HEADER.size:
        raise ValueError(f"{path}: {len(content)} bytes are too few")
    magic, stored_key, digest, size = _HEADER.unpack_from(content)
    code = content[_HEADER.size :]
    if magic != _MAGIC or stored_key != key:
        raise ValueError(f"{path}: not an entry of this key")
    if size != len(code) or digest_of(code) != digest:
        raise ValueError(f"{path}: damaged")
    if time.time() - state.st_mtime > _DAY_SECONDS:
        with contextlib.suppress(OSError):
            os.utime(path)
    return code


def _write(path: str, key: bytes, code: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_LINKS
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(_HEADER.pack(_MAGIC, key, digest_of(code), len(code)))
        file.write(code)
