"""The digest of the generator: it changes with any source file, and is unknown after changes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from mnn.codegen import sources
from mnn.codegen.cache import ObjectCache
from mnn.codegen.sources import COVERED, generator_digest, take_snapshot

LATER = time.time() + 1e6


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's covered folders that may be changed."""
    copy = tmp_path / "package"
    for name in COVERED:
        (copy / name / "inner").mkdir(parents=True)
        (copy / name / "one.py").write_text(f"one of {name}")
        (copy / name / "inner" / "two.py").write_text(f"two of {name}")
        (copy / name / "notes.txt").write_text("no source")
    monkeypatch.setattr(sources, "_PACKAGE", str(copy))
    monkeypatch.setattr(sources, "take_snapshot", lambda: take_snapshot(str(copy)))
    return copy


def digest(package: Path, cache: ObjectCache | None = None, started: float = LATER):
    return generator_digest(cache or ObjectCache(None), take_snapshot(str(package)), started)


def test_any_change_of_a_source_changes_the_digest(package, tmp_path):
    cache = ObjectCache(tmp_path / "cache")
    seen = {digest(package, cache)}
    file = package / "ops" / "inner" / "two.py"
    changes = [
        lambda: file.write_text("two of ops!"),
        # Same size, same time of modification.
        lambda: (
            (state := file.stat()),
            file.write_text("two of ops?"),
            os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns)),
        ),
        lambda: file.rename(file.with_name("three.py")),
        lambda: (package / "codegen" / "new.py").write_text(""),
        lambda: (package / "codegen" / "one.py").unlink(),
    ]
    for change in changes:
        change()
        found = digest(package, cache)
        assert found is not None
        assert found not in seen
        seen.add(found)


def test_other_files_and_another_place_do_not_matter(package, tmp_path, monkeypatch):
    first = digest(package)
    (package / "ops" / "notes.txt").write_text("changed")
    (package / "ops" / "__pycache__").mkdir()
    (package / "ops" / "__pycache__" / "one.py").write_text("compiled")
    assert digest(package) == first
    moved = tmp_path / "elsewhere"
    shutil.copytree(package, moved)
    monkeypatch.setattr(sources, "_PACKAGE", str(moved))
    monkeypatch.setattr(sources, "take_snapshot", lambda: take_snapshot(str(moved)))
    assert digest(moved) == first


def test_sources_newer_than_the_process_have_no_digest(package):
    assert digest(package, started=time.time() - 3600) is None
    assert digest(package, started=time.time() + 3600) is not None


def test_sources_that_change_while_they_are_read_have_no_digest(package, monkeypatch):
    before = take_snapshot(str(package))
    monkeypatch.setattr(sources, "take_snapshot", lambda: ())
    assert generator_digest(ObjectCache(None), before, LATER) is None


def test_without_files_there_is_no_digest(tmp_path):
    assert take_snapshot(str(tmp_path)) == ()
    assert generator_digest(ObjectCache(None), ()) is None


def test_a_known_snapshot_is_not_read_again(package, tmp_path, monkeypatch):
    cache = ObjectCache(tmp_path / "cache")
    snapshot = take_snapshot(str(package))
    first = generator_digest(cache, snapshot, LATER)
    shutil.rmtree(package)
    assert generator_digest(cache, snapshot, LATER) == first
    assert generator_digest(ObjectCache(None), snapshot, LATER) is None


def test_the_package_itself_has_a_snapshot():
    names = [each[0] for each in take_snapshot()]
    for each in ("codegen/builder.py", "ops/activation.py", "backends/cpu/executor.py"):
        assert any(name.endswith(each.replace("/", os.sep)) for name in names)
