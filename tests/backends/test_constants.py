"""Constants: computed by kernels once, straight into the place where a plan reads them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="kernels compute constants")

from mnn.backends.cpu.plan import Plan
from mnn.codegen.kernel import CONSTANT, Buffer, contiguous
from mnn.codegen.prepare import pending, prepare
from mnn.codegen.target import host_target
from tests.backends.kernels import INT64, constant, given, linear, result, tensor

SIZE = 100


def computed(source, factor: int):
    """A constant that is source * factor + 1, by way of a temporary."""
    room = Buffer(8 * SIZE, CONSTANT, name="computed")
    made, between, nothing = contiguous(room, (SIZE,), INT64), tensor(SIZE), constant([0] * SIZE)
    steps = [
        linear(source, nothing, between, factor, scratch=True),
        linear(between, nothing, made, number=1),
    ]
    room.compute_by(steps, host_target())
    return made


@pytest.fixture
def numbers():
    return np.random.default_rng(0).integers(-99, 99, SIZE)


def test_content_is_computed_on_first_use(numbers):
    made = computed(computed(constant(numbers), 3), -2)
    assert pending([made.buffer])[-1] is made.buffer
    assert len(pending([made.buffer])) == 2
    np.testing.assert_array_equal(made.array(), (numbers * 3 + 1) * -2 + 1)
    assert made.buffer.array.ctypes.data % 64 == 0
    assert not pending([made.buffer])
    assert made.buffer.array is made.buffer.array


def test_room_is_used(numbers):
    made = computed(constant(numbers), 5)
    memory = np.zeros(8 * SIZE, np.uint8)
    prepare([made.buffer, made.buffer], lambda buffer: memory)
    np.testing.assert_array_equal(memory.view(np.int64), numbers * 5 + 1)
    assert made.buffer.array is memory


def test_plans_share_what_was_computed(numbers):
    source = constant(numbers)
    made = computed(source, 2)
    x, y = given(SIZE), result(SIZE)
    plans = [Plan([linear(x, made, y)], [x], [y], host_target()) for _ in range(2)]
    place = made.buffer.array.ctypes.data
    for plan in plans:
        assert plan.constant_bytes == 8 * SIZE
        np.testing.assert_array_equal(plan.run([numbers])[0], numbers * 3 + 1)
    assert made.buffer.array.ctypes.data == place
    # What it was computed from is not placed: nothing else of it is needed.
    assert source.buffer not in plans[0].constants


def test_placing_leaves_no_second_copy():
    content = np.arange(SIZE)
    made = Buffer(8 * SIZE, CONSTANT, make=lambda: content)
    memory = np.zeros(8 * SIZE + 64, np.uint8)
    made.place(memory)
    assert np.shares_memory(made.array, memory)
    np.testing.assert_array_equal(made.array, content)
