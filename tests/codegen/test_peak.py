"""Kernels that measure the machine do the work they claim, inside their memory."""

from __future__ import annotations

import numpy as np
import pytest

from mnn.backends.cpu.peak import measure_peak
from mnn.codegen.kernel import Pointer, contiguous
from mnn.codegen.target import TARGETS, host_target
from mnn.codegen.templates import peak
from tests.codegen.imaging import RUNNABLE, emit_all
from tests.codegen.running import Runner


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("chunk", [0, 7])
def test_multiply_adds_converge(name: str, chunk: int) -> None:
    target = TARGETS[name]
    calls = peak.multiply_adds(target)
    runner = Runner(calls, target)
    runner.run(chunk)
    (call,) = calls
    place = call.slots[0]
    assert isinstance(place, Pointer)
    sums = contiguous(place.buffer, (call.items, target.lanes), peak.FLOAT32)
    chains = call.work // (call.items * target.lanes * int(call.slots[1]))
    np.testing.assert_allclose(runner.view(sums), 0.5 * chains, rtol=1e-6)


@pytest.mark.parametrize("name", RUNNABLE)
@pytest.mark.parametrize("chunk", [0, 2])
def test_copies_are_equal(name: str, chunk: int) -> None:
    calls = peak.copying(5 * peak.CHUNK_BYTES + 100)
    runner = Runner(calls, TARGETS[name])
    source, goal = (runner.memory(slot.buffer).bytes for slot in calls[0].slots)
    source[...] = np.random.default_rng(1).integers(0, 256, source.size)
    runner.run(chunk)
    np.testing.assert_array_equal(goal, source)
    assert sum(each.traffic for each in calls) == 4 * 5 * peak.CHUNK_BYTES


def test_emission_for_other_machines() -> None:
    calls = [*peak.multiply_adds(TARGETS["neon"]), *peak.copying(1 << 20)]
    assert emit_all(calls, "neon") > 0


def test_measured_peak_is_plausible() -> None:
    found = measure_peak(host_target())
    assert 1e8 < found.multiply_adds < 1e12
    assert 1e8 < found.bytes < 1e12
