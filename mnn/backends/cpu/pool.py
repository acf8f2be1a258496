"""Threads that run plans together: teams of a calling thread and helpers that wait for work.

A helper is a Python thread inside of one long foreign call, so it holds no lock of Python's. It
waits in a loop for a moment, because the next step usually follows at once, and then sleeps. One
run at a time uses a team; a second run at the same time gets another team while there are cores
for it, and else works alone. Nothing is started for runs with one thread.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import sys
import threading
import time
from typing import Any

from mnn.backends.cpu.fields import LANE, LANES, TEAM, WAKE_COMMAND, WORD, WORK, WORK_COMMAND

__all__ = ["Pool", "Team", "pool", "usable_processors"]

PARTS_PER_THREAD = 2
"""More parts balance better, fewer cost less."""

_PATIENCE = 3000
_FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98}
_MAX_THREADS = 1024
_RECOUNT_SECONDS = 0.05
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Team:
    """A caller and `threads - 1` helpers.

    Args:
        threads: at least 2.
        patience: turns that a thread waits before it sleeps.
        function: address of the executor; 0: it is compiled.

    Raises:
        RuntimeError: the system has no more threads, or the interpreter is being torn down.

    Attributes:
        address: of the TEAM block.
        helpers: the threads.
        sleeps_in_python: helpers need `wake` before a run.
    """

    def __init__(self, threads: int, patience: int = _PATIENCE, function: int = 0) -> None:
        self.threads = threads
        size = LANES + LANE.stride * threads + WORK.stride * threads
        self.address = _keep_forever(size)
        self._words = (ctypes.c_int64 * (size // WORD)).from_address(self.address)
        self._execute = _ENTRY(function or _compiled_executor())
        self._awake = threading.Condition()
        self._rounds = 0
        call, number = _system_call()
        self.sleeps_in_python = not call
        self._words[TEAM["threads"]] = threads
        self._words[TEAM["chunks"]] = threads * PARTS_PER_THREAD
        self._words[TEAM["system_call"]] = call
        self._words[TEAM["futex"]] = number
        self._words[TEAM["give_way"]] = _give_way()
        if call:
            self._words[TEAM["processor"]] = _address_of(ctypes.CDLL(None), "sched_getcpu")
        self.set_patience(patience)
        self.helpers = [
            threading.Thread(target=self._work, args=(each,), name=f"mnn-{each}", daemon=True)
            for each in range(1, threads)
        ]
        self._started = 0
        try:
            for helper in self.helpers:
                helper.start()
                self._started += 1
        except RuntimeError:
            self.stop()
            raise

    def set_patience(self, turns: int) -> None:
        """Set how many turns threads wait before they sleep."""
        self._words[TEAM["patience"]] = self._words[TEAM["caller_patience"]] = turns

    def wake(self) -> None:
        """Wake helpers that sleep in Python; those that sleep by futex wake when there is work."""
        if self.sleeps_in_python and self._words[TEAM["sleepers"]]:
            with self._awake:
                self._rounds += 1
                self._awake.notify_all()

    def stop(self, timeout_seconds: float = 0.0) -> None:
        """Let the helpers end, and wait so long for it. No run may use the team."""
        self._words[TEAM["stop"]] = 1
        with self._awake:
            self._rounds += 1
            self._awake.notify_all()
        self._execute(self._block(0, WAKE_COMMAND))
        for helper in self.helpers[: self._started]:
            helper.join(timeout_seconds)

    def _block(self, number: int, command: int) -> int:
        """Return the address of a WORK block."""
        start = LANES + LANE.stride * self.threads + WORK.stride * number
        place = start // WORD
        self._words[place + WORK["command"]] = command
        self._words[place + WORK["team"]] = self.address
        self._words[place + WORK["number"]] = number
        return self.address + start

    def _work(self, number: int) -> None:
        block = self._block(number, WORK_COMMAND)
        while True:
            rounds = self._rounds
            self._execute(block)
            if self._words[TEAM["stop"]]:
                return
            with self._awake:
                while self._rounds == rounds and not self._words[TEAM["stop"]]:
                    self._awake.wait()


class Pool:
    """The teams of a process.

    Args:
        patience: as for a team.
    """

    def __init__(self, patience: int = _PATIENCE) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._idle: dict[int, list[Team]] = {}
        self._helpers = 0
        self._closed = False
        self._processors = 0
        self._counted = -1.0

    def acquire(self, threads: int, function: int = 0) -> Team | None:
        """Return a team for one run, None when the caller had better work alone.

        Args:
            threads: wanted; no more than the processors that this process may use.
            function: address of an executor, for a team that has to be made.
        """
        if time.monotonic() - self._counted > _RECOUNT_SECONDS:
            self._count()
        wanted = threads if threads <= self._processors else self._processors
        if wanted < 2 or self._closed:
            return None
        try:
            # One step under Python's lock, or, without that, under the list's own.
            return self._idle[wanted].pop()
        except LookupError:
            return self._start(wanted, function)

    def _start(self, wanted: int, function: int) -> Team | None:
        """Return a new team, None when there is no room for it."""
        with self._lock:
            limit = self._processors - 1
            if self._helpers + wanted - 1 > limit:
                self._retire(self._helpers + wanted - 1 - limit)
            if self._helpers + wanted - 1 > limit:
                return None
            try:
                team = Team(wanted, self._patience, function)
            except RuntimeError:  # no more threads, or the interpreter is being torn down
                return None
            self._helpers += wanted - 1
            self._idle.setdefault(wanted, [])
            return team

    def release(self, team: Team) -> None:
        """Take a team back."""
        if self._closed:
            team.stop()
        else:
            self._idle[team.threads].append(team)

    def close(self) -> None:
        """Stop all idle teams, now, and the others when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, {each: [] for each in self._idle}
        for team in [each for teams in idle.values() for each in teams]:
            team.stop(timeout_seconds=1.0)

    def _retire(self, count: int) -> None:
        """Stop idle teams until `count` helpers fewer exist."""
        for teams in self._idle.values():
            while count > 0:
                try:
                    team = teams.pop()
                except LookupError:  # none is left, or another thread was faster
                    break
                team.stop()
                self._helpers -= team.threads - 1
                count -= team.threads - 1

    def _count(self) -> None:
        self._processors = min(usable_processors(), _MAX_THREADS)
        self._counted = time.monotonic()


@functools.cache
def _pools() -> list[Pool]:
    """Return a list with the pool of this process."""
    pools = [Pool()]

    def forget() -> None:
        # A forked child has none of the threads. What they used stays where it is.
        pools[0] = Pool()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)
    atexit.register(lambda: pools[0].close())
    return pools


def pool() -> Pool:
    """Return the pool of this process."""
    return _pools()[0]


def usable_processors() -> int:
    """Return how many logical processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compiled_executor() -> int:
    from mnn.backends.cpu.executor import Executor
    from mnn.codegen.linking import library

    return library().link([Executor()])[0]


def _keep_forever(size: int) -> int:
    """Return the address of zeroed memory, aligned to 128, that is never given back.

    Helpers may read it until the very end of the process, when Python's own objects are gone.
    """
    memory = ctypes.create_string_buffer(size + 128)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))
    address = ctypes.addressof(memory)
    return address + -address % 128


@functools.cache
def _system_call() -> tuple[int, int]:
    """Return the address of `syscall` and the number of futex, zeros where there is none."""
    if not sys.platform.startswith("linux") or sys.maxsize < 1 << 32:
        return 0, 0
    number = _FUTEX_NUMBERS.get(os.uname().machine, 0)
    if not number:
        return 0, 0
    return _address_of(ctypes.CDLL(None), "syscall"), number


@functools.cache
def _give_way() -> int:
    """Return the address of the system's function that lets other threads run, or 0."""
    if os.name == "posix":
        return _address_of(ctypes.CDLL(None), "sched_yield")
    return _address_of(ctypes.WinDLL("kernel32"), "SwitchToThread")  # type: ignore[attr-defined,unused-ignore]


def _address_of(system: Any, name: str) -> int:
    function = getattr(system, name, None)
    return 0 if function is None else ctypes.cast(function, ctypes.c_void_p).value or 0
