"""Scripts in examples/numpy print with our import what they print with NumPy's."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "numpy"
SCRIPTS = sorted(FOLDER.glob("*.py"))
OURS, NUMPYS = "import mnn.numpy as np\n", "import numpy as np\n"


def output(source: str, name: str, arguments: list[str], patch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines that a script prints."""
    printed = io.StringIO()
    patch.setattr(sys, "argv", [name, *arguments])
    with contextlib.redirect_stdout(printed):
        exec(compile(source, name, "exec"), {"__name__": "__main__"})
    return printed.getvalue().splitlines()


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 2


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_prints_what_it_prints_with_numpy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count(OURS) == 1
    found = output(source, path.name, [], monkeypatch)
    wanted = output(source.replace(OURS, NUMPYS), path.name, [], monkeypatch)
    assert len(wanted) >= 15
    assert found == wanted


def test_pictures_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (FOLDER / "image_svd.py").read_text(encoding="utf-8")
    output(source, "image_svd.py", [str(tmp_path)], monkeypatch)
    written = sorted(tmp_path.glob("*.pgm"))
    assert [each.stem for each in written] == ["rank_1", "rank_10", "rank_20", "rank_5"]
    assert written[0].stat().st_size == 96 * 128 + len(b"P5 128 96 255\n")
