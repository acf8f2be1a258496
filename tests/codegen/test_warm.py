"""Warm starts: kernels of earlier processes run without llvmlite and without any generated text."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

from mnn.backends.cpu.executor import Executor
from mnn.codegen import bodies, emission, linking
from mnn.codegen.builder import Module
from mnn.codegen.cache import ObjectCache
from mnn.codegen.kernel import Kernel
from mnn.codegen.linking import Library
from mnn.codegen.mapping import can_map_code
from mnn.codegen.sources import Snapshot
from mnn.codegen.target import TARGETS, Target, host_target
from mnn.records import dataclass
from tests.backends.kernels import Linear

mapped = pytest.mark.skipif(not can_map_code(), reason="code is linked by llvmlite here")


@dataclass(frozen=True)
class Named(Kernel):
    """A kernel that looks as if it belonged to the package; `built` counts."""

    number: float
    body: str = ""

    built = 0

    def build(self, target: Target) -> Module:
        Named.built += 1
        module = Module(target)
        module.entry()
        return module


Named.__module__ = "mnn.codegen.templates.named"


@pytest.fixture
def counts(monkeypatch):
    """Numbers of kernels that were built and emitted; the sources count as known and old."""
    Named.built = 0
    emitted = []
    original = emission.Emitter.emit

    def emit(self, text):
        emitted.append(text)
        return original(self, text)

    monkeypatch.setattr(linking.Emitter, "emit", emit)
    snapshots: list[Snapshot] = [(("a.py", 1, 1, 1, 1),)]
    monkeypatch.setattr(linking, "take_snapshot", lambda: snapshots[-1])
    monkeypatch.setattr(linking, "generator_digest", lambda cache, found: repr(found).encode())
    return lambda: (Named.built, len(emitted)), snapshots


def test_what_is_cached_is_neither_built_nor_emitted(tmp_path, counts):
    seen, _ = counts
    kernels = [Named(each) for each in range(5)]
    first = Library(ObjectCache(tmp_path)).link(kernels + kernels)
    assert first[:5] == first[5:]
    assert len(set(first)) == 5
    assert seen() == (5, 5)
    library = Library(ObjectCache(tmp_path))
    addresses = library.link(kernels)
    assert library.link(kernels[::-1]) == addresses[::-1]
    assert seen() == (5, 5)


def test_other_sources_targets_and_descriptions_are_other_kernels(tmp_path, counts):
    seen, snapshots = counts
    Library(ObjectCache(tmp_path)).link([Named(0.0)])
    # Equal numbers that are different all the same.
    Library(ObjectCache(tmp_path)).link([Named(-0.0), Named(0)])
    assert seen() == (3, 3)
    lesser = next(
        each
        for each in TARGETS.values()
        if each.triple.split("-")[0] == host_target().triple.split("-")[0]
    )
    Library(ObjectCache(tmp_path)).link([Named(0.0)], lesser)
    assert seen() == (4, 4)
    snapshots.append((("a.py", 1, 2, 1, 1),))
    Library(ObjectCache(tmp_path)).link([Named(0.0)])
    assert seen() == (5, 5)


def test_sources_that_change_later_leave_nothing_behind(tmp_path, counts):
    seen, snapshots = counts
    library = Library(ObjectCache(tmp_path))
    library.link([Named(1)])
    old = snapshots[-1]
    snapshots.append((("a.py", 9, 9, 9, 9),))
    library.link([Named(2)])
    snapshots.append(old)
    Library(ObjectCache(tmp_path)).link([Named(1), Named(2)])
    assert seen() == (3, 3)


def test_kernels_and_bodies_of_others_are_found_by_their_text(tmp_path, counts, monkeypatch):
    seen, _ = counts
    Library(ObjectCache(tmp_path)).link([Linear()])
    Library(ObjectCache(tmp_path)).link([Linear()])
    assert seen() == (0, 1)
    monkeypatch.setitem(bodies._bodies, "foreign", lambda k, x: x)
    assert "foreign" in bodies.foreign_bodies()
    for _ in range(2):
        Library(ObjectCache(tmp_path)).link([Named(1, "foreign"), Named(1, "foreigner")])
    # The one with the foreign body is built again; its text is the same as before.
    assert seen() == (3, 3)


def test_unknown_sources_are_found_by_their_text(tmp_path, counts, monkeypatch):
    seen, _ = counts
    monkeypatch.setattr(linking, "generator_digest", lambda cache, found: None)
    for _ in range(2):
        Library(ObjectCache(tmp_path)).link([Named(1)])
    assert seen() == (2, 1)


@pytest.mark.parametrize("damage", [b"", b"MNNIMAGE" + bytes(200), b"\x7fELF" + bytes(100)])
def test_damaged_entries_are_made_again(tmp_path, counts, damage):
    seen, _ = counts
    Library(ObjectCache(tmp_path)).link([Named(1)])
    (path,) = tmp_path.glob("*.kernel")
    path.write_bytes(damage)
    Library(ObjectCache(tmp_path)).link([Named(1)])
    assert seen() == (2, 2)


@mapped
def test_images_that_are_none_are_made_again(tmp_path, counts):
    """Entries with a right digest, written by something else."""
    seen, _ = counts
    cache = ObjectCache(tmp_path)
    Library(cache).link([Named(1)])
    (path,) = tmp_path.glob("*.kernel")
    key = bytes.fromhex(path.stem)
    code = cache.get(key)
    for content in (code[:-1], code[:8] + bytes(16) + code[24:], b"MNNIMAGE" + bytes(40)):
        cache.put(key, content)
        Library(cache).link([Named(1)])
    assert seen()[1] == 4


def test_a_failing_kernel_leaves_the_others_stored(tmp_path, counts, monkeypatch):
    seen, _ = counts

    def fail(self, target):
        raise ValueError("cannot be built")

    bad = type("Bad", (Named,), {"build": fail, "__module__": Named.__module__})
    with pytest.raises(ValueError, match="cannot be built"):
        Library(ObjectCache(tmp_path)).link([Named(1), bad(2)])
    Library(ObjectCache(tmp_path)).link([Named(1)])
    assert seen()[1] <= 2


def test_systems_that_forbid_mapping_use_llvmlite(tmp_path, counts, monkeypatch):
    seen, _ = counts
    linking._keys.cache_clear()
    monkeypatch.setattr(linking, "can_map_code", lambda: False)
    try:
        for _ in range(2):
            library = Library(ObjectCache(tmp_path))
            assert len(set(library.link([Named(1), Executor()]))) == 2
        assert seen()[0] == 1
    finally:
        linking._keys.cache_clear()


_SCRIPT = """
import sys
import numpy as np
from mnn.codegen import linking
# The sources may change while tests run, which is not the subject here.
linking.take_snapshot = lambda: (("a.py", 1, 1, 1, 1),)
linking.generator_digest = lambda cache, snapshot: b"known"
from tests.backends.kernels import random_network
plan, expected = random_network(30, 40, 1)
arrays = [np.arange(30), np.arange(30)[::-1] * 3]
for found, wanted in zip(plan.run(arrays, int(sys.argv[1])), expected(arrays)):
    assert np.array_equal(found, wanted)
assert plan.profile(arrays, 1, 2)
print("llvmlite" in sys.modules)
"""


def start(folder: Path | str, *arguments: str, **environment: str) -> str:
    """Output of a process that runs a plan with its cache in a folder."""
    settings = {**os.environ, "MNN_CACHE_DIR": str(folder), **environment}
    settings.pop("MNN_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *(arguments or ("1",))],
        env=settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@mapped
@pytest.mark.parametrize("target", ["", "avx2", "sse2"])
def test_a_warm_process_does_not_import_llvmlite(tmp_path, target):
    if target and TARGETS[target].triple.split("-")[0] != host_target().triple.split("-")[0]:
        pytest.skip("a description of another machine")
    assert start(tmp_path / "cache", MNN_TARGET=target) == "True"
    assert start(tmp_path / "cache", MNN_TARGET=target) == "False"
    assert start(tmp_path / "cache", "2", MNN_TARGET=target) == "False"


@mapped
def test_a_read_only_folder_serves(tmp_path):
    folder = tmp_path / "cache"
    start(folder)
    before = sorted(each.name for each in folder.iterdir())
    folder.chmod(0o500)
    try:
        assert start(folder) == "False"
        assert sorted(each.name for each in folder.iterdir()) == before
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="file owners and modes are POSIX")
def test_folders_that_cannot_be_used_only_cost_time(tmp_path):
    (tmp_path / "file").write_text("")
    assert start(tmp_path / "file" / "cache") == "True"
    unsafe = tmp_path / "unsafe"
    unsafe.mkdir()
    unsafe.chmod(0o777)
    assert start(unsafe) == "True"
    assert not list(unsafe.iterdir())
    assert stat.S_IMODE(unsafe.stat().st_mode) == 0o777
