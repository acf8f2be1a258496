"""Eager and lazy building, and the executor settings of the reference package."""

from __future__ import annotations

import contextlib
import gc as _gc
import threading
from collections.abc import Iterator

from mnn.config import config, mode
from mnn.expr.enums import Backend, PrecisionMode

__all__ = [
    "gc",
    "lazy_eval",
    "recorders",
    "recording",
    "set_global_executor_config",
    "set_lazy_mode",
    "set_thread_number",
    "should_record",
]


class _Recording(threading.local):
    depth = 0


class _Recorders:
    """Counts the threads that record for themselves.

    Attributes:
        count: 0 means that a look at `config.lazy` tells everything: quicker than thread storage.
    """

    __slots__ = ("_lock", "count")

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def change(self, number: int) -> None:
        with self._lock:
            self.count += number
            mode.set(mode.RECORDING, self.count > 0)


_recording = _Recording()
recorders = _Recorders()


def should_record() -> bool:
    """Return True when operations must build graph nodes in this thread."""
    return config.lazy or (recorders.count > 0 and _recording.depth > 0)


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """Record operations of this thread in a graph, whatever the mode (gradients, file reading)."""
    _recording.depth += 1
    recorders.change(1)
    try:
        yield
    finally:
        _recording.depth -= 1
        recorders.change(-1)


def lazy_eval(flag: bool) -> None:
    """Record operations in a graph (True) or compute each at once (False).

    Args:
        flag: the new mode, for the whole process.
    """
    config.lazy = bool(flag)


def set_lazy_mode(mode: int) -> None:
    """Choose what a recorded Var does when an input changes after its first read.

    Args:
        mode: 0 full, 1 content on demand: both compute again. 2 compute once, 3 both bits: the
            first
            computed value is kept.

    Raises:
        ValueError: mode is not 0..3.
    """
    if mode not in (0, 1, 2, 3):
        raise ValueError(f"set_lazy_mode: found {mode!r}, expected 0, 1, 2 or 3.")
    config.lazy_mode = int(mode)


def set_thread_number(n: int) -> None:
    """Set the threads used by evaluation, clamped to 1..8.

    Raises:
        TypeError: n is no integer.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"set_thread_number: found {n!r}, expected an int in 1..8.")
    config.threads = max(1, min(8, n))


def set_global_executor_config(backend: int, precision: int, threads: int) -> None:
    """Set device, precision and threads of evaluation.

    Args:
        backend: member or number of `Backend`; devices that are not available mean the CPU.
        precision: member or number of `PrecisionMode`.
        threads: threads, clamped to 1..8.

    Raises:
        ValueError: a number is not in its enumeration.
    """
    Backend(backend)
    config.precision = PrecisionMode(precision).name.lower()
    set_thread_number(threads)


def gc(full: int = 0) -> None:
    """Free what nothing uses any more: all of it (1) or what is cheap to find (0)."""
    if full:
        _gc.collect()
