"""Stored plans: written by one process, run by another one, with the same results."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans run generated code")

from mnn.backends.cpu import recording
from mnn.backends.cpu.plan import HostCall, LoopCall, Plan
from mnn.backends.cpu.stored import pack, read_plan
from mnn.codegen.kernel import CONSTANT, Buffer, Tensor, contiguous
from mnn.codegen.mapping import can_map_code
from mnn.codegen.target import host_target
from tests.backends.kernels import INT64, constant, given, linear, result, tensor

pytestmark = pytest.mark.skipif(not can_map_code(), reason="code cannot be mapped here")

SIZE = 100


@pytest.fixture
def file(tmp_path):
    """A mapped file: 1000 numbers, after a gap that leaves some of them at odd places."""
    path = tmp_path / "weights"
    path.write_bytes(b"......." + np.arange(1001, dtype=np.int64).tobytes())
    with open(path, "rb") as opened:
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def from_file(file: memoryview, offset: int) -> Tensor:
    return constant(np.frombuffer(file, np.int64, SIZE, offset))


def computed(source: Tensor, factor: int, other: Tensor) -> Tensor:
    """A constant that is source * factor + other, by way of a temporary."""
    room = Buffer(8 * SIZE, CONSTANT, name="computed")
    made, between = contiguous(room, (SIZE,), INT64), tensor(SIZE)
    steps = [
        linear(source, other, between, factor, scratch=True),
        linear(between, constant([0] * SIZE), made, 1),
    ]
    room.compute_by(steps, host_target())
    return made


def stored(steps, inputs, outputs, files=()) -> bytes:
    made = Plan(steps, inputs, outputs, host_target(), files=list(files))
    assert made.stored is not None
    return pack(made.stored)


@pytest.mark.parametrize("threads", [1, 2])
def test_constants_from_files_arrays_and_kernels(file, threads):
    plain, even = from_file(file, 7), from_file(file, 64)
    listed = constant(np.arange(SIZE)[::-1])
    twice = computed(computed(plain, 3, listed), -2, even)
    x, y, z = given(SIZE), tensor(SIZE), result(SIZE)
    u, v = result(SIZE), tensor(SIZE)
    steps = [
        linear(x, plain, y, 2),
        linear(y, even, v, 1),
        linear(v, twice, z, 1, scratch=True),
        linear(z, listed, u, 5, 1),
    ]
    made = Plan(steps, [x], [z, u], host_target(), files=[file])
    array = np.random.default_rng(0).integers(-99, 99, SIZE)
    wanted = made.run([array])
    data = pack(made.stored)
    later = read_plan(data, [file], threads)
    for _ in range(2):
        for one, two in zip(later.run([array], threads), wanted, strict=True):
            np.testing.assert_array_equal(one, two)
    # Numbers in the file are not repeated: what is at a boundary is used where it lies.
    assert file[7 : 7 + 8 * SIZE].tobytes() not in data
    assert listed.array().tobytes() in data
    first = np.frombuffer(file, np.int64, SIZE, 7)
    second = np.frombuffer(file, np.int64, SIZE, 64)
    reverse = np.arange(SIZE)[::-1]
    packed = (first * 3 + reverse) * -2 + second
    np.testing.assert_array_equal(wanted[0], array * 2 + first + second + packed)


def test_loops_and_several_instances():
    x, y = given((3, SIZE)), result((3, SIZE))
    row = Tensor(x.buffer, (SIZE,), (1,), INT64)
    made = Tensor(y.buffer, (SIZE,), (1,), INT64)
    call = linear(row, constant(np.arange(SIZE)), made, 2)
    places = [place for place, slot in enumerate(call.slots) if not isinstance(slot, int)]
    moving = [(0, place, 8 * SIZE) for place in (places[0], places[2])]
    data = stored([LoopCall((call,), 3, tuple(moving))], [x], [y])
    later = read_plan(data, [])
    array = np.arange(3 * SIZE).reshape(3, SIZE)
    first, second = later.run([array]), later.run([array + 1])
    np.testing.assert_array_equal(first[0], array * 2 + np.arange(SIZE))
    np.testing.assert_array_equal(second[0], array * 2 + 2 + np.arange(SIZE))


def test_a_plan_without_steps_or_constants():
    later = read_plan(stored([], [], []), [])
    assert later.run([]) == []


def test_work_for_numpy_is_not_stored():
    x, y = given(SIZE), result(SIZE)
    step = HostCall(lambda arrays: [arrays[0] + 1], (x,), (y,))
    assert Plan([step], [x], [y], host_target(), files=[]).stored is None


def test_results_that_are_copies_are_not_stored():
    x = given(SIZE)
    assert Plan([], [x], [x], host_target(), files=[]).stored is None


def test_large_constants_are_not_stored(monkeypatch):
    monkeypatch.setattr(recording, "INLINE_LIMIT", 8 * SIZE - 1)
    x, y = given(SIZE), result(SIZE)
    steps = [linear(x, constant(np.arange(SIZE)), y, 2)]
    assert Plan(steps, [x], [y], host_target(), files=[]).stored is None
    assert Plan(steps, [x], [y], host_target()).stored is None
