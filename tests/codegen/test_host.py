"""What LLVM says about this machine is asked once, and remembered."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("llvmlite", reason="llvmlite knows the machine")

from mnn.codegen import host as module
from mnn.codegen.cache import ObjectCache
from mnn.codegen.host import ask_host, compiler_identity

linux = pytest.mark.skipif(
    not os.path.exists(module._CPUINFO), reason="answers are kept where /proc/cpuinfo exists"
)


@pytest.fixture
def asked(monkeypatch):
    """How often LLVM was asked."""
    times = []
    original = module._detect

    def detect():
        times.append(1)
        return original()

    monkeypatch.setattr(module, "_detect", detect)
    return times


@linux
def test_the_answer_is_kept(tmp_path, asked):
    first = ask_host(ObjectCache(tmp_path / "cache"))
    assert first.cpu
    assert first.process_triple.count("-") >= 2
    assert ask_host(ObjectCache(tmp_path / "cache")) == first
    assert len(asked) == 1


@linux
def test_another_processor_or_compiler_is_asked_anew(tmp_path, asked, monkeypatch):
    cache = ObjectCache(tmp_path / "cache")
    ask_host(cache)
    original = module._processor()
    monkeypatch.setattr(module, "_processor", lambda: original + "flags: other\n")
    ask_host(cache)
    assert len(asked) == 2
    monkeypatch.setattr(module, "compiler_identity", lambda: "another")
    ask_host(cache)
    assert len(asked) == 3


@linux
def test_damaged_answers_are_asked_anew(tmp_path, asked):
    folder = tmp_path / "cache"
    first = ask_host(ObjectCache(folder))
    (path,) = folder.glob("*.kernel")
    path.write_bytes(path.read_bytes()[:-3])
    assert ask_host(ObjectCache(folder)) == first
    assert len(asked) == 2


def test_without_a_cache_or_a_description_it_is_asked_each_time(asked, monkeypatch):
    ask_host(ObjectCache(None))
    ask_host(ObjectCache(None))
    monkeypatch.setattr(module, "_CPUINFO", "/nowhere/cpuinfo")
    assert module._processor() == ""
    ask_host(ObjectCache(None))
    assert len(asked) == 3


@linux
def test_only_what_tells_processors_apart_counts(tmp_path, monkeypatch):
    lines = "processor: 0\nvendor_id: A\ncpu MHz: {}\nflags: sse avx\n\nprocessor: 1\nflags: none\n"
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(module, "_CPUINFO", str(path))
    path.write_text(lines.format(1000))
    first = module._processor()
    path.write_text(lines.format(3000))
    assert module._processor() == first == "vendor_id: A\nflags: sse avx\n"


def test_the_compiler_is_identified_without_being_imported(tmp_path, monkeypatch):
    compiler_identity.cache_clear()
    assert "version" in compiler_identity()
    # A folder that only looks like the package.
    package = tmp_path / "llvmlite"
    (package / "binding").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('imported')")
    (package / "_version.py").write_text("first")
    library = package / "binding" / "libllvmlite.so"
    library.write_bytes(b"code")
    spec = type("Spec", (), {"origin": str(package / "__init__.py")})
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: spec)
    found = set()
    for content in (b"code", b"more code"):
        for version in ("first", "second"):
            library.write_bytes(content)
            os.utime(library, ns=(10**18, 10**18))
            (package / "_version.py").write_text(version)
            compiler_identity.cache_clear()
            found.add(compiler_identity())
    assert len(found) == 4
    compiler_identity.cache_clear()
    library.unlink()
    assert compiler_identity().startswith("LLVM ")
    compiler_identity.cache_clear()
