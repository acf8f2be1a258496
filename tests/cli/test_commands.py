"""The commands: exit codes, messages, and what they print and write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mnn
import mnn.cv as cv2
from mnn.cli.main import main

FOLDER = Path(mnn.__file__).parent / "demo"


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "results.png"
    assert main(["demo", "--output", str(picture)]) == 0
    assert "10 of 10 right" in capsys.readouterr().out
    assert cv2.imread(picture).shape[2] == 3


def test_run_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    pictures = sorted(str(path) for path in FOLDER.glob("digit_*.png"))
    model = str(FOLDER / "digits.mnn")
    arguments = ["--scale", "0.00392156862745098", "--color", "GRAY", "--top", "2", "--json"]
    assert main(["run", model, *pictures, *arguments]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len(results) == len(pictures)


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(FOLDER / "digits.mnn")]) == 0
    printed = capsys.readouterr().out
    assert "Convolution" in printed


def test_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mnn {mnn.__version__}\n"
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["info"], ["run"]])
def test_bad_files_give_one_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mnn"
    broken.write_bytes(b"not a model")
    picture = tmp_path / "picture.png"
    cv2.imwrite(picture, np.zeros((8, 8), np.uint8))
    for path in (broken, tmp_path / "absent.mnn"):
        extra = [str(picture)] if command == ["run"] else []
        assert main([*command, str(path), *extra]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.count("\n") == 1
