"""Segments keep what they made, within bounds, and fail at once where they failed before."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

import mnn
import mnn.expr as F  # noqa: N812
from mnn import nn
from mnn.backends import segments
from mnn.backends.compiled import Prepared
from mnn.config import config
from mnn.errors import CodegenError
from mnn.expr.evaluate import run_graph


def _doubling() -> nn.LoadedModule:
    with config.using(lazy=True):
        x = F.placeholder([-1], F.NCHW)
        return nn.load_module([x], [x * 2.0 + 1.0], False)


def test_plans_of_many_sizes_are_bounded() -> None:
    module = _doubling()
    for size in range(1, 60):
        np.testing.assert_array_equal(module(np.ones(size, np.float32)).read(), np.full(size, 3.0))
    prepared = module._graph.plan("compiled", Prepared)
    assert 0 < len(prepared.segment.plans) <= segments._PLAN_LIMIT


def test_a_failure_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fails(*arguments: object, **options: object) -> None:
        calls.append(arguments)
        raise CodegenError("no kernel, on purpose")

    monkeypatch.setattr(segments, "compile_nodes", fails)
    module = _doubling()
    for _ in range(3):
        result = module(np.ones(4, np.float32)).read()
        np.testing.assert_array_equal(result, np.full(4, 3.0))
    assert len(calls) == 1
    assert mnn.config.backend == "cpu"


def test_other_dtypes_than_recorded_are_followed() -> None:
    with config.using(lazy=True):
        x = F.placeholder([3], F.NCHW)
        graph = nn.load_module([x], [x * 2.0], False)._graph
    given = np.array([1.5, 2.5, -3.5])
    (result,) = run_graph(graph, [given])
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, given * 2)
