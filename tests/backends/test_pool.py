"""Threads: every item once, the same results for any number, and no way to hang or crash."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans run generated code")

from mnn.backends.cpu import pool as pool_module
from mnn.backends.cpu.plan import HostCall, LoopCall, Plan
from mnn.backends.cpu.pool import Pool, Team, usable_processors
from mnn.codegen.kernel import Tensor
from mnn.codegen.target import host_target
from tests.backends.kernels import INT64, constant, given, linear, result, tensor

RANDOM = np.random.default_rng(0)
SIZES = (1, 2, 3, 7, 64, 1000)

many = pytest.mark.skipif(usable_processors() < 2, reason="one processor")


@pytest.fixture
def crowded(monkeypatch):
    """A pool that believes in 8 processors, whose threads soon sleep."""
    monkeypatch.setattr(pool_module, "usable_processors", lambda: 8)
    made = Pool(patience=100)
    monkeypatch.setattr(pool_module, "_pools", lambda: [made])
    yield made
    made.close()


def counting(sizes=SIZES, grain: int = 1, scratch: bool = True) -> Plan:
    """y = x, then for each size, twice: y += 1 on so many elements in place, then y + y."""
    total = max(sizes)
    x, middle, y = given(total), tensor(total), result(total)
    zeros = constant(np.zeros(total))
    steps = [linear(x, zeros, middle, grain=grain, scratch=scratch)]
    for size in sizes * 2:
        part, nothing = (Tensor(each.buffer, (size,), (1,), INT64) for each in (middle, zeros))
        steps.append(linear(part, nothing, part, number=1, grain=grain, scratch=scratch))
    steps.append(linear(middle, middle, y, grain=grain, scratch=scratch))
    return Plan(steps, [x], [y], host_target())


def counted(array: np.ndarray, sizes=SIZES) -> np.ndarray:
    extra = np.zeros_like(array)
    for size in sizes:
        extra[:size] += 2
    return 2 * (array + extra)


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("grain", [1, 5, 400, 10_000])
def test_every_item_runs_once(crowded, threads, grain):
    plan = counting(grain=grain)
    for _ in range(30):
        array = RANDOM.integers(-99, 99, max(SIZES))
        (found,) = plan.run([array], threads)
        np.testing.assert_array_equal(found, counted(array))


@pytest.mark.parametrize("threads", [2, 4])
def test_helpers_that_sleep_in_python(monkeypatch, threads):
    monkeypatch.setattr(pool_module, "_system_call", lambda: (0, 0))
    monkeypatch.setattr(pool_module, "usable_processors", lambda: 8)
    made = Pool(patience=50)
    monkeypatch.setattr(pool_module, "_pools", lambda: [made])
    plan = counting()
    for turn in range(200):
        array = RANDOM.integers(-99, 99, max(SIZES))
        np.testing.assert_array_equal(plan.run([array], threads)[0], counted(array))
        if turn % 20 == 0:
            time.sleep(0.002)
    team = made.acquire(threads)
    assert team is not None
    assert team.sleeps_in_python
    team.stop(timeout_seconds=10)
    assert not any(each.is_alive() for each in team.helpers)


def test_loops_and_numpy_between_kernels(crowded):
    size, turns = 500, 20
    x, state, other, y = given((turns, size)), tensor(size), tensor(size), result(size)
    zeros = constant(np.zeros(size))
    row = Tensor(x.buffer, (size,), (1,), INT64)
    loop = LoopCall((linear(state, row, state),), turns, ((0, 1, 8 * size),))
    steps = [
        linear(zeros, zeros, state),
        loop,
        HostCall(lambda arrays: [arrays[0][::-1]], (state,), (other,)),
        linear(other, zeros, y, 3),
    ]
    plan = Plan(steps, [x], [y], host_target())
    array = RANDOM.integers(-99, 99, (turns, size))
    for threads in (1, 2, 4):
        (found,) = plan.run([array], threads)
        np.testing.assert_array_equal(found, array.sum(axis=0)[::-1] * 3)
        assert len(plan.profile([array], threads, repeat=2)) == 4


def test_many_threads_of_the_user(crowded):
    plan = counting()
    failures: list[int] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(250):
            array = random.integers(-99, 99, max(SIZES))
            if not np.array_equal(plan.run([array], 1 + seed % 4)[0], counted(array)):
                failures.append(seed)

    users = [threading.Thread(target=work, args=(each,)) for each in range(8)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not failures


def test_a_plan_inside_of_a_plan(crowded):
    inner = counting()
    x, y, z = given(max(SIZES)), tensor(max(SIZES)), result(max(SIZES))
    zeros = constant(np.zeros(max(SIZES)))
    steps = [
        linear(x, zeros, y, 2),
        HostCall(lambda arrays: inner.run(arrays, 4), (y,), (y,)),
        linear(y, zeros, z),
    ]
    outer = Plan(steps, [x], [z], host_target())
    array = RANDOM.integers(-99, 99, max(SIZES))
    np.testing.assert_array_equal(outer.run([array], 4)[0], counted(2 * array))


def test_teams_are_reused_and_limited(monkeypatch):
    monkeypatch.setattr(pool_module, "usable_processors", lambda: 4)
    made = Pool()
    first = made.acquire(3)
    assert first is not None
    assert first.threads == 3
    assert made.acquire(3) is None
    second = made.acquire(2)
    assert second is not None
    assert made.acquire(2) is None
    made.release(first)
    assert made.acquire(3) is first
    made.release(first)
    made.release(second)
    # Idle teams of other sizes make room.
    largest = made.acquire(100)
    assert largest is not None
    assert largest.threads == 4
    assert made.acquire(1) is None
    made.close()
    made.release(largest)
    assert made.acquire(2) is None
    for team in (first, second, largest):
        for helper in team.helpers:
            helper.join(10)
            assert not helper.is_alive()


def test_without_threads_runs_are_serial(crowded, monkeypatch):
    """The second helper cannot be started; the first one ends again."""
    started = []
    original = threading.Thread.start

    def start(self):
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        started.append(self)
        original(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    array = RANDOM.integers(-99, 99, max(SIZES))
    np.testing.assert_array_equal(counting().run([array], 4)[0], counted(array))
    started[0].join(10)
    assert not started[0].is_alive()


def test_one_thread_starts_none():
    before = threading.active_count()
    array = np.zeros(max(SIZES), np.int64)
    counting().run([array], 1)
    # Steps that are not worth dividing start none either.
    counting(grain=1000).run([array], 4)
    assert threading.active_count() == before


def test_a_team_sleeps_and_wakes():
    team = Team(2, patience=10)
    time.sleep(0.05)
    start = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - start < 0.1
    team.stop(timeout_seconds=10)
    assert not team.helpers[0].is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(crowded):
    plan = counting()
    array = RANDOM.integers(-99, 99, max(SIZES))
    plan.run([array], 4)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if np.array_equal(plan.run([array], 2)[0], counted(array)):
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(plan.run([array], 4)[0], counted(array))


@many
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_one_processor_is_no_disaster():
    plan = counting((100_000,), grain=1000, scratch=False)
    array = RANDOM.integers(-99, 99, 100_000)
    plan.run([array], 2)
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(everywhere)})
    try:
        times: dict[int, float] = {}
        for threads in (1, 2):
            start = time.perf_counter()
            for _ in range(200):
                plan.run([array], threads)
            times[threads] = time.perf_counter() - start
        assert times[2] < 3 * times[1] + 0.1
    finally:
        os.sched_setaffinity(0, everywhere)


_SCRIPT = """
import sys, threading, time
import numpy as np
from tests.backends.test_pool import counted, counting
from mnn.backends.cpu import pool as pool_module
pool_module.usable_processors = lambda: 4
plan = counting()
array = np.arange(1000)
assert np.array_equal(plan.run([array], 4)[0], counted(array))
{}
"""

_ENDINGS = {
    "at once": "",
    "asleep": "time.sleep(0.05)",
    "by an error": "raise SystemExit(0)",
    "a daemon runs on": """
def forever():
    while True:
        plan.run([array], 4)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
""",
    "another thread runs on": """
def some():
    for _ in range(300):
        assert np.array_equal(plan.run([array], 4)[0], counted(array))
threading.Thread(target=some).start()
""",
    "runs at exit": """
import atexit
def last():
    assert np.array_equal(plan.run([array], 4)[0], counted(array))
    counting((5, 9)).run([np.arange(9)], 4)
atexit.register(last)
pool_module.pool().close()
""",
    "forked children": """
import multiprocessing
def child(number):
    return np.array_equal(plan.run([array], 4)[0], counted(array))
with multiprocessing.get_context("fork").Pool(2) as workers:
    assert all(workers.map(child, range(8)))
""",
}


@pytest.mark.parametrize("ending", _ENDINGS)
def test_the_interpreter_ends(ending):
    if ending == "forked children" and not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(_ENDINGS[ending])],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr


def test_memory_stays_flat():
    plan = counting((50,))
    array = np.arange(50)
    sizes = []
    for _ in range(3):
        for _ in range(3000):
            plan.run([array], 2)
        sizes.append(_resident_bytes())
    assert sizes[2] - sizes[0] < 200_000


def _resident_bytes() -> int:
    resource = pytest.importorskip("resource", reason="no resource usage on this system")
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024
