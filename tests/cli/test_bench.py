"""`mnn bench`: figures, kernels, traces and messages."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import mnn
from mnn.cli.main import main
from mnn.expr.enums import data_format

MODEL = str(Path(mnn.__file__).parent / "demo" / "digits.mnn")
QUICK = ["--seconds", "0.01"]


def test_times_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", MODEL, *QUICK, "--backend", "reference"]) == 0
    printed = capsys.readouterr().out
    assert "first run" in printed
    assert "median" in printed
    assert main(["bench", MODEL, *QUICK, "--backend", "reference", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert 0 < figures["run_seconds"]["fastest"] <= figures["run_seconds"]["median"]
    assert figures["threads"] == 1
    assert "steps" not in figures


def test_settings_are_restored(capsys: pytest.CaptureFixture[str]) -> None:
    before = (mnn.config.backend, mnn.config.threads, mnn.config.precision)
    assert main(["bench", MODEL, *QUICK, "--backend", "reference", "--threads", "2"]) == 0
    assert (mnn.config.backend, mnn.config.threads, mnn.config.precision) == before
    assert "2 thread(s)" in capsys.readouterr().out


def test_profile_and_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llvmlite", reason="profiles are of generated code")
    trace = tmp_path / "trace.json"
    arguments = [MODEL, *QUICK, "--backend", "cpu", "--profile", "--trace", str(trace)]
    assert main(["bench", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "GFLOP/s" in printed
    assert "of peak" in printed
    events = [each for each in json.loads(trace.read_text())["traceEvents"] if each["ph"] == "X"]
    assert events
    for before, after in itertools.pairwise(events):
        assert after["ts"] == pytest.approx(before["ts"] + before["dur"])
    assert main(["bench", *arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert len(figures["steps"]) == len(events)
    assert figures["work"] == sum(each["work"] for each in figures["steps"]) > 0
    assert figures["peak"]["gflops"] > 0
    assert figures["memory"]["constant_bytes"] > 0


def test_profile_needs_the_compiling_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", MODEL, *QUICK, "--backend", "reference", "--profile"]) == 1
    assert "no kernels" in capsys.readouterr().err


def test_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "any.mnn")
    with mnn.config.using(lazy=True):
        x = mnn.expr.placeholder([-1, 3], data_format.NHWC, np.float32)
        x.name = "x"
        y = x * 2 + 1
        y.name = "y"
        mnn.expr.save([y], path)
    bench = ["bench", path, *QUICK, "--backend", "reference"]
    assert main(bench) == 1
    assert "--shape" in capsys.readouterr().err
    assert main([*bench, "--shape", "x=5x3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"] == {"x": [5, 3]}
    assert main([*bench, "--shape", "7x3"]) == 0
    assert "7x3" in capsys.readouterr().out
    assert main([*bench, "--shape", "z=7x3"]) == 1
    assert "the inputs are x" in capsys.readouterr().err
    assert main([*bench, "--shape", "x=seven"]) == 1
    assert "1x3x224x224" in capsys.readouterr().err
    assert main([*bench, "--threads", "0"]) == 2
