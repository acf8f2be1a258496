"""The commands: exit codes, messages, and what they print and write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mnn
import mnn.cv as cv2
from mnn.cli import convert, quant
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


MODEL = str(FOLDER / "digits.mnn")
DIGITS = [str(path) for path in sorted(FOLDER.glob("digit_*.png"))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "nonsense"], "expected WIDTHxHEIGHT"),
        (["--size", "0x8"], "expected sides from 1"),
        (["--size", "8x100000"], "expected sides from 1"),
        (["--mean", "a"], "expected numbers"),
        (["--scale", "nan"], "expected finite numbers"),
        (["--top", "0"], "expected at least 1"),
        (["--top", "x"], "expected a number"),
        (["--layout", "CHWN"], "invalid choice"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_exit_with_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", MODEL, DIGITS[0], *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert "usage" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mean", "1,2"], "2 numbers"),
        (["--color", "RGB"], "expected [1, 1, 8, 8]"),
        (["--labels", MODEL], "UTF-8"),
        (["--labels", "absent"], "no such file"),
    ],
)
def test_arguments_that_do_not_fit_the_model_exit_with_one(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", MODEL, DIGITS[0], *arguments]) == 1
    assert message in capsys.readouterr().err


def test_one_bad_picture_does_not_cost_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture", encoding="utf-8")
    pictures = [DIGITS[0], str(text), str(tmp_path / "absent.png"), DIGITS[1]]
    assert main(["run", MODEL, *pictures, "--json"]) == 1
    printed = capsys.readouterr()
    assert [each["image"] for each in json.loads(printed.out)] == [DIGITS[0], DIGITS[1]]
    assert [line.startswith("error: ") for line in printed.err.splitlines()] == [True, True]


def test_messages_name_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", DIGITS[0]]) == 1
    assert Path(DIGITS[0]).name in capsys.readouterr().err
    picture = tmp_path / "absent" / "results.png"
    assert main(["demo", "--output", str(picture)]) == 1
    assert str(picture) in capsys.readouterr().err
    assert main(["demo", "--output", str(tmp_path / "results.xyz")]) == 1
    assert "unknown extension" in capsys.readouterr().err


def test_convert_shows_information_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert.main(["-f", "MNN", "--modelFile", MODEL, "--info"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Model default dimensionFormat is NCHW\nModel Inputs:\n[ image ]: ")
    assert printed.splitlines()[-1].startswith("Model Version: ")
    assert convert.main(["-f", "ONNX", "--modelFile", "a.onnx", "--MNNModel", "a.mnn"]) == 1
    assert "not available yet" in capsys.readouterr().err
    for arguments in ([], ["-f", "MNN", "--info"]):
        assert convert.main(arguments) == 2
        assert "usage" in capsys.readouterr().err


def test_quantising_is_not_available_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert quant.main(["a.mnn", "b.mnn", "c.json"]) == 1
    assert "not available yet" in capsys.readouterr().err
    assert quant.main([]) == 2
    assert "usage" in capsys.readouterr().err
