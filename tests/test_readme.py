"""The README's code runs as printed, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROMISE = re.compile(r"# -> (.*)$", re.MULTILINE)


def blocks() -> list[str]:
    """Return the code blocks, in order."""
    return BLOCK.findall(README.read_text(encoding="utf-8"))


def squeezed(text: str) -> str:
    """Return the text on one line: an array of several lines is promised in one comment."""
    return " ".join(text.split())


def test_there_are_blocks_and_each_promises_something_somewhere() -> None:
    found = blocks()
    assert len(found) >= 4
    assert len(PROMISE.findall("\n".join(found))) >= 8


def test_blocks_run_and_print_what_they_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks(), start=1):
        exec(compile(block, f"README block {number}", "exec"), namespace)
        printed = capsys.readouterr()
        assert squeezed(printed.out) == squeezed(" ".join(PROMISE.findall(block)))
        assert printed.err == ""


def test_readme_starts_with_the_two_commands() -> None:
    commands = re.findall(r"^    (pip install .*)$", README.read_text(encoding="utf-8"), re.M)
    assert commands == ["pip install . && mnn demo", "pip install '.[test]' && python -m pytest"]
