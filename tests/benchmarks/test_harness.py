"""The measuring scripts: processes, rounds, figures, tables; and each script on small work."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that imports a script by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    # Steps change settings of their process, which is this one here.
    with mnn.config.using(**dataclasses.asdict(mnn.config)):
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def step_arguments(candidate: str) -> dict[str, Any]:
    return {"candidate": candidate, "case": "add", "elements": 100, "threads": 1}


def test_workers_answer_in_turn(scripts: Any) -> None:
    harness = scripts("harness")
    with (
        harness.Worker("numpy", sys.executable) as one,
        harness.Worker("mnn:eager", sys.executable) as two,
    ):
        for worker in (one, two):
            arguments = step_arguments(worker.name)
            worker.ask("open", name="s", module="ops", function="step", arguments=arguments)
        np.testing.assert_array_equal(one.results("s")[0], two.results("s")[0])
        found = harness.measure([one, two], "s", rounds=3, seconds=0.001)
        assert one.ask("memory") > 1 << 20
    assert set(found.rounds) == {"numpy", "mnn:eager"}
    assert all(len(each) == 3 for each in found.rounds.values())
    assert found.ratio("numpy", "numpy") == 1.0
    for name in found.rounds:
        assert 0 < found.fastest[name] <= found.median(name)


def test_failures_are_told_and_the_worker_goes_on(scripts: Any) -> None:
    harness = scripts("harness")
    with harness.Worker("broken", sys.executable) as worker:
        with pytest.raises(harness.WorkerError, match="KeyError"):
            worker.ask("time", name="nothing", iterations=1)
        assert worker.ask("memory") > 0
        with pytest.raises(harness.WorkerError, match="process ended"):
            worker.ask("open", name="e", module="os", function="_exit", arguments={"status": 3})


def test_statistics(scripts: Any) -> None:
    harness = scripts("harness")
    found = harness.Measurement({"a": [1.0, 2.0, 30.0], "b": [2.0, 4.0, 6.0]}, {})
    assert found.median("a") == 2.0
    assert found.ratio("b", "a") == 2.0
    assert harness.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert np.isnan(harness.geometric_mean([]))
    assert harness.relative_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])) == 0.5
    assert np.isnan(harness.relative_error(np.zeros(2), np.zeros(3)))


def test_tables(scripts: Any) -> None:
    lines = scripts("harness").markdown(["name", "ms"], [["one", "1.0"]]).splitlines()
    assert lines == ["| name | ms |", "|---|---:|", "| one | 1.0 |"]


def test_every_operation_computes_what_numpy_does(scripts: Any) -> None:
    ops = scripts("ops")
    harness = scripts("harness")
    for name, case in ops.CASES.items():
        if any(isinstance(size, int) and size > 512 for each in case.shapes for size in each):
            continue
        (truth,) = ops.step("numpy", name, 144, 1)()
        for candidate in ("mnn", "mnn:eager"):
            (found,) = ops.step(candidate, name, 144, 1)()
            assert harness.relative_error(found, np.asarray(truth)) < 1e-5, (name, candidate)


def test_operations_script(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    figures = tmp_path / "figures.json"
    quick = ["--rounds", "2", "--seconds", "0.001", "--elements", "100", "--json", str(figures)]
    monkeypatch.setattr(sys, "argv", ["ops.py", "add", "softmax", *quick])
    assert scripts("ops").main() == 0
    printed = capsys.readouterr().out
    assert "| **softmax** |" in printed
    assert "geometric mean" in printed
    found = json.loads(figures.read_text())
    assert found["machine"]["numpy"] == np.__version__
    assert set(found["elements"]["100"]) == {"add", "softmax"}


def test_preparing_pictures_equals_opencv(scripts: Any) -> None:
    pytest.importorskip("cv2", reason="compares with OpenCV")
    pipelines = scripts("pipelines")
    harness = scripts("harness")
    ours, theirs, blob = (
        pipelines.step(candidate, "preprocess", "", 1)()[0]
        for candidate in (pipelines.OURS, pipelines.BASE, pipelines.BLOB)
    )
    assert ours.shape == (1, 3, 224, 224)
    assert harness.relative_error(ours, theirs) < 1e-5
    assert harness.relative_error(blob, theirs) < 1e-5
