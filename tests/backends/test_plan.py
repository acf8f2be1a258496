"""Plans: any list of steps gives what NumPy gives, run after run."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans run generated code")

from mnn.backends.cpu import instance as instance_module
from mnn.backends.cpu.plan import HostCall, LoopCall, Plan
from mnn.codegen.kernel import OUTPUT, Buffer, Tensor, contiguous
from mnn.codegen.target import host_target
from tests.backends.kernels import INT64, constant, given, linear, random_network, result, tensor

RANDOM = np.random.default_rng(0)


def plan(steps, inputs, outputs) -> Plan:
    return Plan(steps, inputs, outputs, host_target())


def numbers(*shape: int) -> np.ndarray:
    return RANDOM.integers(-1000, 1000, shape)


@pytest.mark.parametrize("seed", range(8))
def test_many_steps_give_what_numpy_gives(seed):
    made, expected = random_network(37, 120, seed)
    assert made.peak_bytes < 60 * 320
    for _ in range(3):
        arrays = [numbers(37), numbers(37)]
        kept = [each.copy() for each in arrays]
        for found, wanted in zip(made.run(arrays), expected(arrays), strict=True):
            np.testing.assert_array_equal(found, wanted)
        for array, before in zip(arrays, kept, strict=True):
            np.testing.assert_array_equal(array, before)


def test_inputs_of_any_layout_and_alignment():
    x, y = given((3, 4)), result((3, 4))
    made = plan([linear(x, x, y, 2)], [x], [y])
    whole = numbers(8, 6)
    raw = np.zeros(8 * 12 + 1, np.uint8)
    odd = raw[1:].view(np.int64).reshape(3, 4)
    odd[...] = whole[:3, :4]
    frozen = whole[:3, :4].copy()
    frozen.flags.writeable = False
    for array in (
        whole[:3, :4],
        whole[4::-2, ::-1][:, :4],
        np.asfortranarray(whole[:3, :4]),
        odd,
        frozen,
    ):
        (found,) = made.run([array])
        np.testing.assert_array_equal(found, array * 3)
        assert found.flags.c_contiguous
        assert found.flags.writeable


def test_outputs_that_no_step_writes():
    x, y = given((2, 3)), result((2, 3))
    weights = constant(numbers(2, 3))
    made = plan([linear(x, weights, y)], [x], [x, weights, y, y, x.permuted((1, 0))])
    array = numbers(2, 3)
    results = made.run([array])
    sums = array + weights.array()
    for found, wanted in zip(results, [array, weights.array(), sums, sums, array.T], strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert not np.shares_memory(found, array)
        assert found.flags.c_contiguous
        found[...] = 0
    np.testing.assert_array_equal(made.run([array])[1], weights.array())
    np.testing.assert_array_equal(results[3], 0)


def test_a_plan_without_steps():
    x = given(3)
    made = plan([], [x], [x])
    assert made.peak_bytes == 0
    np.testing.assert_array_equal(made.run([np.arange(3)])[0], np.arange(3))
    assert made.profile([np.arange(3)]) == []


def test_outputs_inside_of_larger_buffers():
    x = given(6)
    buffer = Buffer(8 * 6, OUTPUT)
    whole = contiguous(buffer, (6,), INT64)
    part = Tensor(buffer, (3,), (2,), INT64, 1)
    temporary = tensor(6)
    steps = [linear(x, x, whole), linear(x, x, temporary, 3)]
    array = numbers(6)
    found = plan(steps, [x], [part, temporary]).run([array])
    np.testing.assert_array_equal(found[0], 2 * array[1::2])
    np.testing.assert_array_equal(found[1], 4 * array)


def test_outputs_that_nobody_asks_for():
    x, y, unasked = given(6), result(6), result(6)
    steps = [
        linear(x, x, unasked, 3),
        HostCall(lambda arrays: [arrays[0] + 1], (unasked,), (unasked,)),
        linear(unasked, x, y),
    ]
    array = numbers(6)
    for threads in (1, 2):
        (found,) = plan(steps, [x], [y]).run([array], threads)
        np.testing.assert_array_equal(found, 5 * array + 1)


def test_empty_arrays():
    x, y = given((0, 3)), result((0, 3))
    host = HostCall(lambda arrays: [arrays[0]], (x,), (y,))
    (found,) = plan([host], [x], [y]).run([np.zeros((0, 3), np.int64)])
    assert found.shape == (0, 3)


def test_numpy_works_between_kernels():
    x, a, b, y = given(5), tensor(5), tensor(5), result(5)
    weights = constant(numbers(5))

    def reverse(arrays):
        assert not any(each.flags.writeable for each in arrays)
        return [arrays[0][::-1] + arrays[1]]

    steps = [
        HostCall(lambda arrays: [arrays[0] * 2], (x,), (a,), "double"),
        linear(a, x, a),
        HostCall(reverse, (a, weights), (b,)),
        HostCall(lambda arrays: [arrays[0] + 1], (b,), (b,)),
        linear(b, x, y, number=7),
    ]
    made = plan(steps, [x], [y])
    for _ in range(3):
        array = numbers(5)
        (found,) = made.run([array])
        np.testing.assert_array_equal(found, (array * 3)[::-1] + weights.array() + 1 + array + 7)
    assert len(made.profile([array], repeat=2)) == len(steps)


def test_a_failing_step_of_numpy_leaves_the_plan_usable():
    x, y = given(2), result(2)
    wanted = [ValueError("first run")]

    def fail_once(arrays):
        if wanted:
            raise wanted.pop()
        return arrays

    made = plan([HostCall(fail_once, (x,), (y,))], [x], [y])
    with pytest.raises(ValueError, match="first run"):
        made.run([np.arange(2)])
    np.testing.assert_array_equal(made.run([np.arange(2)])[0], np.arange(2))


def scan(backwards: bool) -> Plan:
    """state = state * 2 + x[t] + 1 for each row of x, and y[t] = state + x[t]."""
    turns, size = 7, 3
    x, y, last = given((turns, size)), result((turns, size)), result(size)
    state = tensor(size)
    zeros = constant(np.zeros(size))
    row = 8 * size
    step, start = (-row, (turns - 1) * size) if backwards else (row, 0)
    first_x = Tensor(x.buffer, (size,), (1,), INT64, start)
    first_y = Tensor(y.buffer, (size,), (1,), INT64, start)
    loop = LoopCall(
        (linear(state, first_x, state, 2, 1), linear(state, first_x, first_y)),
        turns,
        ((0, 1, step), (1, 1, step), (1, 2, step)),
    )
    return plan([linear(zeros, zeros, state), loop, linear(state, zeros, last)], [x], [y, last])


@pytest.mark.parametrize("backwards", [False, True])
def test_loops_run_in_machine_code(backwards):
    made = scan(backwards)
    for _ in range(3):
        array = numbers(7, 3)
        state, wanted = np.zeros(3, np.int64), np.zeros_like(array)
        for turn in reversed(range(7)) if backwards else range(7):
            state = state * 2 + array[turn] + 1
            wanted[turn] = state + array[turn]
        found, last = made.run([array])
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(last, state)
        made.profile([array], repeat=1)


def test_a_loop_without_turns():
    x, y = given(2), result(2)
    loop = LoopCall((linear(x, x, y, 5),), 0)
    found = plan([linear(x, x, y), loop], [x], [y]).run([np.arange(2)])
    np.testing.assert_array_equal(found[0], [0, 2])


def test_numbers_in_argument_blocks():
    x, y = given(1), result(1)
    for number in (2**40, -(2**40), -1):
        (found,) = plan([linear(x, x, y, -3, number)], [x], [y]).run([np.array([5])])
        assert found[0] == -10 + number


def test_constants_are_copied_into_place_once():
    content = RANDOM.integers(0, 9, 1000)
    buffer = Buffer(8000, "constant", make=lambda: content)
    weights = contiguous(buffer, (1000,), INT64)
    x, y = given(1000), result(1000)
    first = plan([linear(x, weights, y)], [x], [y])
    assert first.constant_bytes == 8000
    place = buffer.array.ctypes.data
    assert place % 64 == 0
    second = plan([linear(weights, x, y)], [x], [y])
    assert buffer.array.ctypes.data == place
    for each in (first, second):
        np.testing.assert_array_equal(each.run([content])[0], 2 * content)


def test_threads_of_the_user_share_a_plan():
    made, expected = random_network(50, 60, 3)
    failures = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(100):
            arrays = [random.integers(-9, 9, 50), random.integers(-9, 9, 50)]
            for found, wanted in zip(made.run(arrays), expected(arrays), strict=True):
                if not np.array_equal(found, wanted):
                    failures.append(seed)

    threads = [threading.Thread(target=work, args=(each,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_profiles_give_the_seconds_of_each_step():
    x, a, y = given(200_000), tensor(200_000), result(200_000)
    small = linear(*[Tensor(each.buffer, (1,), (1,), INT64) for each in (x, x, a)])
    steps = [small, linear(x, x, a), linear(a, x, y), HostCall(lambda arrays: arrays, (y,), (y,))]
    array = numbers(200_000)
    made = plan(steps, [x], [y])
    seconds = made.profile([array], repeat=5)
    assert len(seconds) == 4
    assert seconds[0] < seconds[1]
    assert all(each > 1e-6 for each in seconds[1:])


def test_arrays_that_must_be_asked_for_their_address(monkeypatch):
    """Interpreters whose objects lie otherwise in memory."""
    monkeypatch.setattr(instance_module, "data_displacement", lambda: None)
    made, expected = random_network(20, 30, 5)
    for _ in range(3):
        arrays = [numbers(20), numbers(20)]
        for found, wanted in zip(made.run(arrays), expected(arrays), strict=True):
            np.testing.assert_array_equal(found, wanted)
