"""Kernels in memory: compiled or read from the cache, linked, and found again by their text.

One engine lives as long as the process, and so do the kernels: an address once given stays valid.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from mnn.codegen.cache import KeyMaker, ObjectCache, user_cache
from mnn.codegen.emission import Emitter, emits_in_parallel, llvm_version, process_triple
from mnn.codegen.target import Target, host_target
from mnn.cores import available_cores
from mnn.errors import CodegenError

__all__ = ["Library", "library"]

_logger = logging.getLogger("mnn.codegen")

_PLACEHOLDER = "@KERNEL"
_LEVEL = 2


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A kernel that is not in memory yet."""

    key: bytes
    symbol: str
    text: str


class Library:
    """Kernels of this process. All methods may be called from any thread.

    Args:
        cache: where object code is kept between processes.
    """

    def __init__(self, cache: ObjectCache) -> None:
        self.cache = cache
        self._lock = threading.RLock()
        self._engine: Any = None
        self._linked: dict[bytes, str] = {}
        self._addresses: dict[str, int] = {}

    @property
    def lock(self) -> threading.RLock:
        """The lock held while compiling and linking."""
        return self._lock

    def address(self, text: str, part: str = "", target: Target | None = None) -> int:
        """Return the address of the function `@KERNEL` + part of a module; see `compile_all`."""
        self.compile_all([text], target)
        chosen = target or host_target()
        return self._address(_symbol(_keys(chosen).key(text)) + part)

    def compile_all(self, texts: Sequence[str], target: Target | None = None) -> list[int]:
        """Return the address of the function `@KERNEL` of each module of LLVM text.

        A text that was seen before is neither compiled nor linked again, here or, thanks to the
        cache, in later processes. Texts without `@KERNEL` in a global function name are errors.

        Args:
            texts: modules; `@KERNEL` and names that begin so become unique names.
            target: what the texts were generated for; None means `host_target()`.

        Raises:
            CodegenError: a text is not valid, needs library functions, or is for another machine.
        """
        chosen = target or host_target()
        make = _keys(chosen)
        keys = [make.key(text) for text in texts]
        with self._lock:
            missing = {
                key: _Wanted(key, _symbol(key), text)
                for key, text in zip(keys, texts, strict=True)
                if key not in self._linked
            }
            if missing:
                self._load(list(missing.values()), chosen)
            return [self._address(self._linked[key]) for key in keys]

    def _load(self, wanted: list[_Wanted], target: Target) -> None:
        _require_native(target)
        start = time.perf_counter()
        stored = {each: self.cache.get(each.key) for each in wanted}
        objects = {each: code for each, code in stored.items() if code is not None}
        absent = [each for each in wanted if each not in objects]
        read_seconds = time.perf_counter() - start
        objects.update(_emit_all(absent, target, self.cache))
        for code in objects.values():
            self._add(code)
        self._engine.finalize_object()
        for each in wanted:
            self._linked[each.key] = each.symbol
        if absent:
            _logger.info(
                "compiled %d kernels in %.3f s; %d more came from the cache in %.3f s",
                len(absent),
                time.perf_counter() - start - read_seconds,
                len(wanted) - len(absent),
                read_seconds,
            )

    def _add(self, code: bytes) -> None:
        import llvmlite.binding as llvm

        if self._engine is None:
            empty = llvm.parse_assembly("")
            self._engine = llvm.create_mcjit_compiler(empty, Emitter().machine)
            # Threads of the pool may still run generated code while the interpreter is torn down.
            self._engine._owned = True
        self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))

    def _address(self, symbol: str) -> int:
        with self._lock:
            found = self._addresses.get(symbol)
            if found is None:
                found = int(self._engine.get_function_address(symbol))
                if not found:
                    raise CodegenError(
                        f"kernel library: found no function {symbol!r}, expected one that the "
                        f"module defines as {_PLACEHOLDER}. Check the part asked for."
                    )
                self._addresses[symbol] = found
            return found


@functools.cache
def library() -> Library:
    """Return the library of this process, with the cache of this user."""
    made = Library(user_cache())
    if hasattr(os, "register_at_fork"):
        # A child must not inherit a lock, ours or llvmlite's, that a vanished thread holds.
        os.register_at_fork(
            before=made.lock.acquire,
            after_in_parent=made.lock.release,
            after_in_child=made.lock.release,
        )
    return made


@functools.cache
def _keys(target: Target) -> KeyMaker:
    return KeyMaker(
        [process_triple(), target.cpu, target.features, llvm_version(), f"level {_LEVEL}"]
    )


def _symbol(key: bytes) -> str:
    return "mnn_" + key[:16].hex()


def _require_native(target: Target) -> None:
    wanted = (target.triple or process_triple()).split("-")[0]
    if wanted != process_triple().split("-")[0]:
        raise CodegenError(
            f"kernel library: found kernels for {target.triple} ({target.name}), expected ones "
            f"for {process_triple()}, which is what runs here. Emit them to a file instead."
        )


def _emit_all(wanted: list[_Wanted], target: Target, cache: ObjectCache) -> dict[_Wanted, bytes]:
    """Return the object code of each, compiled and stored by as many threads as pay off."""
    done: dict[_Wanted, bytes] = {}
    if not wanted:
        return done
    waiting: SimpleQueue[_Wanted] = SimpleQueue()
    # The longest first, so that no thread starts the longest one last.
    for each in sorted(wanted, key=lambda each: len(each.text), reverse=True):
        waiting.put(each)
    failures: list[CodegenError] = []

    def work() -> None:
        try:
            emitter = Emitter(cpu=target.cpu, features=target.features, level=_LEVEL)
            while not failures:
                each = waiting.get_nowait()
                done[each] = _emit_one(emitter, each)
                cache.put(each.key, done[each])
        except Empty:
            return
        except CodegenError as failure:
            failures.append(failure)

    threads = min(available_cores(), len(wanted)) if emits_in_parallel() else 1
    helpers = [threading.Thread(target=work, daemon=True) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return done


def _emit_one(emitter: Emitter, wanted: _Wanted) -> bytes:
    code, symbols = emitter.emit(wanted.text.replace(_PLACEHOLDER, "@" + wanted.symbol))
    if not any(name.lstrip("_") == wanted.symbol for name in symbols.defined):
        raise CodegenError(
            f"kernel library: found no global function {_PLACEHOLDER} in a module of "
            f"{len(wanted.text)} characters (it defines {sorted(symbols.defined)}), expected one. "
            "This is a defect of a kernel template."
        )
    return code
