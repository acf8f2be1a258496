"""Generated documents are up to date, and links in all documents lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import coverage_table, numpy_table, operator_table

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_table_of_operators() -> None:
    written = operator_table.TARGET.read_text(encoding="utf-8")
    assert written == operator_table.table(), "run `python -m scripts.operator_table`"


def test_coverage() -> None:
    written = coverage_table.TARGET.read_text(encoding="utf-8")
    assert written == coverage_table.document(), "run `python -m scripts.coverage_table`"


def test_table_of_numpys_names() -> None:
    written = numpy_table.TARGET.read_text(encoding="utf-8")
    assert written == numpy_table.document(), "run `python -m scripts.numpy_table`"


def test_names_that_raise_are_there() -> None:
    for name in coverage_table.RAISE:
        module = next(
            each for each in ("MNN.nn.compress", "MNN.expr") if name.startswith(f"{each}.")
        )
        assert coverage_table.present(module, name.removeprefix(f"{module}."))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
