"""Kernels in memory: compiled or read from the cache, linked, and found again.

Code once linked stays for as long as the process lives: an address once given stays valid. Where
the system allows it, code images are mapped by ourselves, which needs no llvmlite; elsewhere the
engine of llvmlite links objects.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from mnn.codegen.bodies import foreign_bodies
from mnn.codegen.cache import KeyMaker, ObjectCache, user_cache
from mnn.codegen.emission import Emitter, emits_in_parallel
from mnn.codegen.host import compiler_identity, host
from mnn.codegen.images import Image, flatten
from mnn.codegen.kernel import Kernel
from mnn.codegen.mapping import can_map_code, map_images
from mnn.codegen.objects import read_symbols
from mnn.codegen.sources import COVERED, Snapshot, generator_digest, take_snapshot
from mnn.codegen.target import Target, host_target
from mnn.cores import available_cores
from mnn.errors import CodegenError
from mnn.records import dataclass

__all__ = ["Library", "before_compiling", "library"]

_logger = logging.getLogger("mnn.codegen")

_PLACEHOLDER = "@KERNEL"
_LEVEL = 2


@dataclass(frozen=True, eq=False)
class _Wanted:
    """A kernel that is not in memory yet.

    Attributes:
        key: of its object code.
        text: makes its LLVM text.
        described: the key is made of the description, not of the text.
        kind: what the log calls it.
    """

    key: bytes
    text: Callable[[], str]
    described: bool = False
    kind: str = "text"

    @property
    def symbol(self) -> str:
        """Name of the entry; other functions of the module have names that begin so."""
        return "mnn_" + self.key[:16].hex()


_Code = Image | bytes
"""What is linked: an image, or an object for llvmlite's engine."""


_observers: list[Callable[[], object]] = []


def before_compiling(call: Callable[[], object]) -> None:
    """Have a function called once, when something has to be compiled for the first time."""
    _observers.append(call)


def _call_observers() -> None:
    while _observers:
        _observers.pop()()


class Library:
    """Kernels of this process. All methods may be called from any thread.

    Args:
        cache: where object code is kept between processes.
    """

    def __init__(self, cache: ObjectCache) -> None:
        self.cache = cache
        self._lock = threading.RLock()
        self._engine: Any = None
        self._linked: set[bytes] = set()
        self._addresses: dict[str, int] = {}
        self._described: dict[tuple[Target, str], int] = {}
        self._mapped: dict[int, tuple[int, int, int]] = {}
        self._snapshot: Snapshot | None = None
        self._digest: bytes | None = None

    @property
    def lock(self) -> threading.RLock:
        """The lock held while compiling and linking."""
        return self._lock

    def link(self, kernels: Sequence[Kernel], target: Target | None = None) -> list[int]:
        """Return the address of each kernel's entry.

        Neither llvmlite nor any LLVM text is needed for kernels that are in the cache.

        Args:
            kernels: descriptions; those with the same `repr` are the same.
            target: what they are compiled for; None means `host_target()`.

        Raises:
            CodegenError: a kernel cannot be compiled, or not for this machine.
        """
        chosen = target or host_target()
        names = [_describe(each) for each in kernels]
        with self._lock:
            missing = {
                name: kernel
                for name, kernel in zip(names, kernels, strict=True)
                if (chosen, name) not in self._described
            }
            if missing:
                self._link_new(missing, chosen)
            return [self._described[chosen, name] for name in names]

    def address(self, text: str, part: str = "", target: Target | None = None) -> int:
        """Return the address of the function `@KERNEL` + part of a module; see `compile_all`."""
        chosen = target or host_target()
        self.compile_all([text], chosen)
        return self._address(_Wanted(_keys(chosen).key(text), str).symbol + part)

    def has(self, text: str, target: Target | None = None) -> bool:
        """Return whether a module of LLVM text is in memory or in the cache."""
        wanted = _from_text(_keys(target or host_target()), text)
        return wanted.key in self._linked or _read(self.cache, wanted) is not None

    def image_at(self, address: int) -> Image | None:
        """Return a copy of the code whose entry is at an address, None when it is no image."""
        found = self._mapped.get(address)
        if found is None:
            return None
        start, size, alignment = found
        return Image(ctypes.string_at(start, size), alignment, {"": address - start})

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
        with self._lock:
            return self._load([_from_text(make, text) for text in texts], chosen)

    def _link_new(self, kernels: dict[str, Kernel], target: Target) -> None:
        digest = self._generator()
        texts = _keys(target)
        descriptions = (
            KeyMaker([*_key_parts(target), repr(target), digest.hex()]) if digest else None
        )
        foreign = [repr(each) for each in foreign_bodies()]
        wanted = []
        for name, kernel in kernels.items():
            build = functools.partial(_build, kernel, target)
            if descriptions and _is_ours(kernel) and not any(each in name for each in foreign):
                wanted.append(_Wanted(descriptions.key(name), build, True, type(kernel).__name__))
            else:
                wanted.append(_from_text(texts, build(), type(kernel).__name__))
        addresses = self._load(wanted, target)
        for name, address in zip(kernels, addresses, strict=True):
            self._described[target, name] = address

    def _generator(self) -> bytes | None:
        """Return the digest of the sources that made this process's kernels, None if unknown."""
        if self._snapshot is None:
            self._snapshot = take_snapshot()
            self._digest = generator_digest(self.cache, self._snapshot)
        return self._digest

    def _load(self, wanted: list[_Wanted], target: Target) -> list[int]:
        """Return the addresses of entries, after linking those that are not in memory."""
        missing = list({each.key: each for each in wanted if each.key not in self._linked}.values())
        if missing:
            self._link(missing, target)
        return [self._address(each.symbol) for each in wanted]

    def _link(self, missing: list[_Wanted], target: Target) -> None:
        _require_native(target)
        start = time.perf_counter()
        found = {each: _read(self.cache, each) for each in missing}
        codes = {each: code for each, code in found.items() if code is not None}
        read_seconds = time.perf_counter() - start
        absent = [each for each in missing if each not in codes]
        if absent:
            _call_observers()
            try:
                _emit_all(absent, target, codes)
            finally:
                self._store({each: codes[each] for each in absent if each in codes})
        self._add({each.symbol: codes[each] for each in missing})
        self._linked.update(each.key for each in missing)
        if absent:
            _logger.info(
                "compiled %d kernels (%s) in %.3f s; %d more came from the cache in %.3f s",
                len(absent),
                _listed(absent),
                time.perf_counter() - start - read_seconds,
                len(missing) - len(absent),
                read_seconds,
            )

    def _store(self, codes: dict[_Wanted, _Code]) -> None:
        # A description must not lead to code of sources that have changed since.
        changed = any(each.described for each in codes) and take_snapshot() != self._snapshot
        for each, code in codes.items():
            if not (each.described and changed):
                self.cache.put(each.key, code.pack() if isinstance(code, Image) else code)

    def _add(self, codes: dict[str, _Code]) -> None:
        """Link code under the names of entries."""
        images = {name: code for name, code in codes.items() if isinstance(code, Image)}
        starts = map_images(list(images.values()))
        for (name, image), start in zip(images.items(), starts, strict=True):
            for part, offset in image.symbols.items():
                self._addresses[name + part] = start + offset
            self._mapped[start + image.symbols[""]] = (start, len(image.code), image.alignment)
        objects = [code for code in codes.values() if isinstance(code, bytes)]
        if objects:
            self._add_objects(objects)

    def _add_objects(self, objects: Iterable[bytes]) -> None:
        import llvmlite.binding as llvm

        if self._engine is None:
            empty = llvm.parse_assembly("")
            self._engine = llvm.create_mcjit_compiler(empty, _far_emitter(None).machine)
            # Threads of the pool may still run generated code while the interpreter is torn down.
            self._engine._owned = True
        for code in objects:
            self._engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
        self._engine.finalize_object()

    def _address(self, symbol: str) -> int:
        with self._lock:
            found = self._addresses.get(symbol)
            if found is None and self._engine is not None:
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


def _describe(kernel: Kernel) -> str:
    """Return what tells a kernel from all others, as long as the sources stay the same."""
    kind = type(kernel)
    return f"{kind.__module__}.{kind.__qualname__}\n{kernel!r}"


def _is_ours(kernel: Kernel) -> bool:
    """True when the digest of the generator covers the code of the kernel's class."""
    return type(kernel).__module__.startswith(tuple(f"mnn.{each}." for each in COVERED))


def _build(kernel: Kernel, target: Target) -> str:
    return kernel.build(target).text()


def _from_text(make: KeyMaker, text: str, kind: str = "text") -> _Wanted:
    return _Wanted(make.key(text), lambda: text, kind=kind)


def _listed(wanted: Iterable[_Wanted]) -> str:
    """Return the kinds of kernels and how many there are of each, most frequent first."""
    counts = Counter(each.kind for each in wanted)
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common())


def _key_parts(target: Target) -> list[str]:
    form = "image" if can_map_code() else "object"
    return [
        host().process_triple,
        target.cpu,
        target.features,
        compiler_identity(),
        f"level {_LEVEL} {form}",
    ]


@functools.cache
def _keys(target: Target) -> KeyMaker:
    return KeyMaker(_key_parts(target))


def _require_native(target: Target) -> None:
    mine = host().process_triple
    if (target.triple or mine).split("-")[0] != mine.split("-")[0]:
        raise CodegenError(
            f"kernel library: found kernels for {target.triple} ({target.name}), expected ones "
            f"for {mine}, which is what runs here. Emit them to a file instead."
        )


def _read(cache: ObjectCache, wanted: _Wanted) -> _Code | None:
    """Return the code that the cache has, None when it has none that can be linked here."""
    stored = cache.get(wanted.key)
    if stored is None:
        return None
    image = Image.unpack(stored)
    if image is not None:
        return image if can_map_code() and "" in image.symbols else None
    try:
        known = read_symbols(stored).defined
    except CodegenError:
        return None
    return stored if _defines(known, wanted.symbol) else None


def _emit_all(wanted: list[_Wanted], target: Target, done: dict[_Wanted, _Code]) -> None:
    """Put the code of each into `done`, compiled by as many threads as pay off."""
    waiting: SimpleQueue[_Wanted] = SimpleQueue()
    for each in wanted:
        waiting.put(each)
    failures: list[Exception] = []

    def work() -> None:
        try:
            emitter = Emitter(cpu=target.cpu, features=target.features, level=_LEVEL)
            while not failures:
                each = waiting.get_nowait()
                done[each] = _emit_one(emitter, each, target)
        except Empty:
            return
        except Exception as failure:  # noqa: BLE001 - raised below, in the caller's thread
            failures.append(failure)

    threads = min(available_cores(), len(wanted)) if emits_in_parallel() else 1
    helpers = [threading.Thread(target=work, daemon=True) for _ in range(threads - 1)]
    started: list[threading.Thread] = []
    # No thread can be started while the interpreter is being torn down.
    with contextlib.suppress(RuntimeError):
        for helper in helpers:
            helper.start()
            started.append(helper)
    work()
    for helper in started:
        helper.join()
    if failures:
        raise failures[0]


def _emit_one(emitter: Emitter, wanted: _Wanted, target: Target) -> _Code:
    text = wanted.text()
    named = text.replace(_PLACEHOLDER, "@" + wanted.symbol)
    code, symbols = emitter.emit(named)
    if not _defines(symbols.defined, wanted.symbol):
        raise CodegenError(
            f"kernel library: found no global function {_PLACEHOLDER} in a module of "
            f"{len(text)} characters (it defines {sorted(symbols.defined)}), expected one. "
            "This is a defect of a kernel template."
        )
    if can_map_code():
        try:
            return _shorten(flatten(code), wanted.symbol)
        except CodegenError as problem:
            _logger.debug("kernel library: linked by llvmlite: %s", problem)
    return _far_emitter(target).emit(named)[0]


def _defines(names: Iterable[str], symbol: str) -> bool:
    # Some formats put an underscore before each name.
    return any(name.lstrip("_") == symbol for name in names)


def _far_emitter(target: Target | None) -> Emitter:
    """Return an emitter of objects whose sections may lie far apart, as llvmlite may put them."""
    cpu, features = (target.cpu, target.features) if target else ("", "")
    return Emitter(
        cpu=cpu, features=features, level=_LEVEL, code_model="jitdefault", relocation="default"
    )


def _shorten(image: Image, symbol: str) -> Image:
    """Return the image with only the parts of names that follow the entry's."""
    length = len(symbol)
    symbols = {
        name[length:]: offset for name, offset in image.symbols.items() if name.startswith(symbol)
    }
    return Image(image.code, image.alignment, symbols)
