"""Eager results that wait: nobody can tell but by the clock."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.config import config
from mnn.expr import pending
from mnn.expr.var import Var
from mnn.numpy import universal
from mnn.ops import quick

SHAPE = (4, 6)


@pytest.fixture(autouse=True)
def all_arrays_are_large(_default_settings: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, config.using(pending_elements=1):
        patch.setattr(quick, "SMALL", 0)
        patch.setattr(universal, "SMALL", 0)
        yield


def waits(var: Var) -> bool:
    return var._value is None


def fresh(seed: int = 0) -> tuple[np.ndarray, Var]:
    array = np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)
    return array, mnp.array(array.copy())


def test_results_wait_until_they_are_read() -> None:
    array, x = fresh()
    y = mnp.exp(x) * 2 + 1
    assert waits(y)
    assert "not computed" in repr(y)
    assert y.shape == SHAPE
    assert y.dtype == np.float32
    assert waits(y)
    np.testing.assert_allclose(np.asarray(y), np.exp(array) * 2 + 1, rtol=1e-6)
    assert not waits(y)


def test_a_dead_result_is_never_computed() -> None:
    before = pending.pending_count()
    _, x = fresh()
    y = mnp.exp(x)
    assert pending.pending_count() == before + 1
    del y
    assert pending.pending_count() == before


def test_writing_an_operand_does_not_change_the_result() -> None:
    array, x = fresh()
    y = x * 2
    x[...] = 0
    np.testing.assert_array_equal(np.asarray(y), array * 2)


def test_writing_a_view_of_an_operand_does_not_change_the_result() -> None:
    array, x = fresh()
    row = x[1]
    y = x * 2
    row[...] = 0
    np.testing.assert_array_equal(np.asarray(y), array * 2)
    assert float(mnp.abs(x[1]).sum()) == 0


def test_writing_through_an_array_handed_out_does_not_change_the_result() -> None:
    array, x = fresh()
    y = x * 2
    handed = np.asarray(x)
    handed[...] = 0
    np.testing.assert_array_equal(np.asarray(y), array * 2)


def test_memory_of_others_is_read_in_the_call() -> None:
    array, _ = fresh()
    x = mnp.asarray(array)
    y = x * 2
    old = array.copy()
    array[...] = 0
    np.testing.assert_array_equal(np.asarray(y), old * 2)


def test_memory_handed_out_before_is_read_in_the_call() -> None:
    array, x = fresh()
    part = np.asarray(x)[1:3]
    y = x * 2
    part[...] = 0
    np.testing.assert_array_equal(np.asarray(y), array * 2)


def test_memory_given_back_is_ours_again() -> None:
    _, x = fresh()
    part = np.asarray(x)[1:3]
    assert not waits(x * 2)
    del part
    assert waits(x * 2)


def test_a_view_of_a_waiting_result_shares_its_memory() -> None:
    array, x = fresh()
    y = x + 1
    row = y[1]
    row[...] = 7
    wanted = array + 1
    wanted[1] = 7
    np.testing.assert_array_equal(np.asarray(y), wanted)


def test_views_of_a_dead_waiting_result_share_its_memory() -> None:
    array, x = fresh()
    y = x + 1
    upper, lower = y[:3], y[1:]
    del y
    upper[1] = 7
    wanted = array + 1
    wanted[1] = 7
    np.testing.assert_array_equal(np.asarray(lower), wanted[1:])


def test_a_view_of_a_view_shares_memory_with_other_views() -> None:
    array, x = fresh()
    y = x + 1
    part = y[1:]
    inner = part.T[2]
    del part
    outer = y[:3]
    del y
    outer[...] = 7
    wanted = array + 1
    wanted[:3] = 7
    np.testing.assert_array_equal(np.asarray(inner), wanted[1:].T[2])


def test_in_place_operators_write_the_array_that_views_see() -> None:
    array, x = fresh()
    y = x + 1
    flat = y.reshape(-1)
    y += 5
    np.testing.assert_array_equal(np.asarray(flat), (array + 1 + 5).reshape(-1))


def test_a_loop_over_its_own_result_stays_linear() -> None:
    _, x = fresh()
    total = x
    for _ in range(500):
        total = total + x
    assert waits(total)
    assert total._pending.count <= 65
    np.testing.assert_allclose(np.asarray(total), np.asarray(x) * 501, rtol=1e-5)


def test_bytes_bound_what_waits() -> None:
    _, x = fresh()
    with config.using(pending_bytes=0):
        assert not waits(x * 2)
    with config.using(pending_bytes=2 * x.nbytes):
        y = x * 2 + x
        assert waits(y)
        assert not waits(y + x)


def test_what_a_variable_refers_to_is_stored_on_the_way() -> None:
    _, x = fresh()
    middle = x + 1
    last = mnp.exp(middle)
    np.asarray(last)
    assert not waits(middle)


def test_errors_are_raised_by_the_call() -> None:
    _, x = fresh()
    with pytest.raises(ValueError, match="broadcast"):
        x + mnp.ones((5, 5))
    with pytest.raises(ValueError, match="axis"):
        (x + 1).sum(axis=5)


def test_recording_takes_the_value() -> None:
    array, x = fresh()
    y = x + 1
    with config.using(lazy=True):
        z = y * 2
    np.testing.assert_array_equal(np.asarray(z), (array + 1) * 2)


def test_handles_are_exchanged() -> None:
    array, x = fresh()
    y, z = x + 1, x + 2
    y.replace(z)
    np.testing.assert_array_equal(np.asarray(y), array + 2)
    y = x + 1
    y.write(np.zeros(SHAPE, np.float32))
    assert float(y.sum()) == 0
    np.testing.assert_array_equal(np.asarray(z), array + 2)


def test_threads_compute_their_own_results() -> None:
    failures = []

    def work(seed: int) -> None:
        array, x = fresh(seed)
        for number in range(60):
            y = x * 2.0 + float(number)
            z = y[1:]
            y += 1
            if not np.array_equal(np.asarray(z), array[1:] * 2 + number + 1):
                failures.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_process_computes_what_its_parent_left() -> None:
    array, x = fresh()
    y = x + 1
    child = os.fork()
    if not child:
        os._exit(0 if np.array_equal(np.asarray(y), array + 1) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(np.asarray(y), array + 1)


def test_pending_results_are_copied_and_pickled() -> None:
    array, x = fresh()
    for result in (pickle.loads(pickle.dumps(x + 1)), copy.deepcopy(x + 1), copy.copy(x + 1)):
        np.testing.assert_array_equal(np.asarray(result), array + 1)


# --- random programs -----------------------------------------------------------------------------

UNARY = (lambda m, x: m.abs(x), lambda m, x: -x, lambda m, x: m.maximum(x, 0), lambda m, x: x * x)
BINARY = (lambda m, x, y: x + y, lambda m, x, y: x - y, lambda m, x, y: m.minimum(x, y))
VIEWS = (
    lambda x: x[1:],
    lambda x: x[..., ::2],
    lambda x: x[::-1],
    lambda x: x.T,
    lambda x: x.reshape(-1),
    lambda x: x[None],
    lambda x: x[0] if x.ndim > 1 and x.shape[0] else x,
)
REDUCTIONS = (
    lambda m, x: m.sum(x, axis=0, keepdims=True),
    lambda m, x: m.sum(x),
    lambda m, x: m.mean(x, axis=-1, keepdims=True),
)
STEPS = (
    *("new", "unary", "binary", "view", "view", "reduce", "number", "assign", "assign"),
    *("in place", "read", "hand out", "write out", "forget", "forget", "again"),
)


class Program:
    """The same program on NumPy's arrays and on Vars."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.pairs: list[tuple[Any, Any]] = []
        self.handed: list[tuple[Any, Any]] = []
        self.seed = 0
        self.new()

    def pick(self) -> int:
        return int(self.draw(st.integers(0, len(self.pairs) - 1)))

    def new(self) -> None:
        self.seed += 1
        array = np.random.default_rng(self.seed).integers(-4, 5, SHAPE).astype(np.float32)
        self.pairs.append((array, mnp.array(array.copy())))

    def step(self, kind: str) -> None:
        if kind == "new" or not self.pairs:
            self.new()
            return
        array, var = self.pairs[self.pick()]
        if kind == "unary":
            function = self.draw(st.sampled_from(UNARY))
            self.pairs.append((np.asarray(function(np, array)), function(mnp, var)))
        elif kind == "binary":
            other, variable = self.pairs[self.pick()]
            function = self.draw(st.sampled_from(BINARY))
            try:
                wanted = function(np, array, other)
            except ValueError:
                with pytest.raises(ValueError, match="broadcast"):
                    function(mnp, var, variable)
                return
            self.pairs.append((np.asarray(wanted), function(mnp, var, variable)))
        elif kind == "view":
            function = self.draw(st.sampled_from(VIEWS))
            if array.ndim and array.shape[0]:
                self.pairs.append((function(array), function(var)))
        elif kind == "reduce":
            function = self.draw(st.sampled_from(REDUCTIONS))
            if array.ndim and array.size:
                self.pairs.append((np.asarray(function(np, array)), function(mnp, var)))
        elif kind == "number":
            self.pairs.append((np.asarray(array * np.float32(2)), var * 2.0))
        elif kind == "assign":
            if array.flags.writeable:
                array[..., :1] = 3
                var[..., :1] = 3
        elif kind == "in place" and array.ndim:  # what has no dimensions is a scalar to NumPy
            array += 1
            var += 1
        elif kind == "read":
            np.testing.assert_allclose(np.asarray(var), array, rtol=1e-5, atol=1e-4)
        elif kind == "hand out":
            self.handed.append((array, np.asarray(var)))
        elif kind == "write out" and self.handed:
            one, two = self.handed[-1]
            one[...] = 9
            two[...] = 9
        elif kind == "forget":
            self.pairs.pop(self.pick())
            if len(self.handed) > 1:
                self.handed.pop(0)
        elif kind == "again":
            self.pairs.append((array, var))

    def check(self) -> None:
        for array, var in self.pairs:
            np.testing.assert_allclose(np.asarray(var), array, rtol=1e-5, atol=1e-4)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_random_programs_give_what_numpy_gives(data: Any) -> None:
    program = Program(data.draw)
    for kind in data.draw(st.lists(st.sampled_from(STEPS), min_size=4, max_size=24)):
        if any(array.ndim == 0 for array, _ in program.pairs) and kind in ("assign", "view"):
            continue
        program.step(kind)
        largest = max((np.abs(array).max(initial=0) for array, _ in program.pairs), default=0)
        if largest > 1e6:
            break
    program.check()
    del program
    gc.collect()
