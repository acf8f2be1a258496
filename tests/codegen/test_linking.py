"""The library of kernels in memory: right addresses, nothing compiled twice, any thread."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from mnn.errors import CodegenError

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

from mnn.codegen import emission, linking
from mnn.codegen.cache import ObjectCache
from mnn.codegen.linking import Library
from mnn.codegen.target import TARGETS, host_target

ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def emitted(monkeypatch):
    """Texts that were really compiled."""
    seen = []
    original = emission.Emitter.emit

    def emit(self, text):
        seen.append(text)
        return original(self, text)

    monkeypatch.setattr(linking.Emitter, "emit", emit)
    return seen


def result(address: int, lo: int = 0, hi: int = 4) -> list[int]:
    """What the kernel at the address makes of four zeros."""
    data = np.zeros(4, np.int64)
    arguments = np.array([data.ctypes.data], np.int64)
    ENTRY(address)(arguments.ctypes.data, lo, hi)
    return data.tolist()


def test_addresses_come_in_the_order_of_the_texts(folder, kernels):
    library = Library(ObjectCache(folder))
    numbers = [5, 3, 5, 9]
    addresses = library.compile_all([kernels.add(each) for each in numbers])
    assert [result(each)[0] for each in addresses] == numbers
    assert addresses[0] == addresses[2]
    assert result(addresses[1], 1, 3) == [0, 3, 3, 0]


def test_a_text_is_compiled_once_in_a_process(kernels, emitted):
    library = Library(ObjectCache(None))
    first = library.address(kernels.add(1))
    assert library.compile_all([kernels.add(1), kernels.add(2)])[0] == first
    assert library.address(kernels.add(2)) != first
    assert len(emitted) == 2


def test_the_next_process_reads_the_cache(folder, kernels, emitted):
    texts = [kernels.add(each) for each in range(20)]
    Library(ObjectCache(folder)).compile_all(texts)
    assert len(emitted) == 20
    again = Library(ObjectCache(folder)).compile_all(texts)
    assert len(emitted) == 20
    assert [result(each)[0] for each in again] == list(range(20))


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 40])
def test_damaged_entries_are_compiled_again_and_replaced(folder, kernels, emitted, damage):
    Library(ObjectCache(folder)).address(kernels.add(1))
    (path,) = folder.glob("*.kernel")
    whole = path.read_bytes()
    path.write_bytes(damage)
    assert result(Library(ObjectCache(folder)).address(kernels.add(1))) == [1] * 4
    assert len(emitted) == 2
    assert path.read_bytes() == whole


def test_compiling_is_reported(folder, kernels, caplog):
    with caplog.at_level(logging.INFO, "mnn.codegen"):
        Library(ObjectCache(folder)).compile_all([kernels.add(1), kernels.add(2)])
        assert "compiled 2 kernels" in caplog.text
        caplog.clear()
        Library(ObjectCache(folder)).compile_all([kernels.add(1), kernels.add(2)])
        assert not caplog.text


def test_parts_of_a_module_have_their_own_addresses(kernels):
    library = Library(ObjectCache(None))
    text = kernels.add(1) + kernels.add(2).replace("@KERNEL", "@KERNEL_second").replace(
        "attributes #0 = { nounwind }", ""
    )
    assert result(library.address(text)) == [1] * 4
    assert result(library.address(text, "_second")) == [2] * 4
    with pytest.raises(CodegenError, match="_third"):
        library.address(text, "_third")


def test_a_bad_text_fails_alone_and_later_calls_work(folder, kernels):
    library = Library(ObjectCache(folder))
    with pytest.raises(CodegenError, match="LLVM rejects"):
        library.compile_all([kernels.add(1), "define void @KERNEL() { ret i32 1 }"])
    assert result(library.address(kernels.add(1))) == [1] * 4


def test_a_module_without_an_entry_is_refused(kernels):
    with pytest.raises(CodegenError, match="no global function @KERNEL"):
        Library(ObjectCache(None)).address(kernels.add(1).replace("@KERNEL", "@other"))


def test_a_library_call_is_refused():
    text = (
        "declare float @llvm.sin.f32(float)\ndefine void @KERNEL(ptr %x) {\n"
        " %a = load float, ptr %x\n %b = call float @llvm.sin.f32(float %a)\n"
        " store float %b, ptr %x\n ret void\n}"
    )
    with pytest.raises(CodegenError, match="sinf"):
        Library(ObjectCache(None)).address(text)


def test_kernels_for_another_machine_are_refused(kernels):
    foreign = "avx2" if host_target().name == "neon" else "neon"
    with pytest.raises(CodegenError, match=TARGETS[foreign].triple):
        Library(ObjectCache(None)).address(kernels.add(1), target=TARGETS[foreign])


def test_targets_do_not_share_code(kernels, emitted):
    mine = host_target()
    others = [each for each in TARGETS.values() if each.triple == mine.triple]
    library = Library(ObjectCache(None))
    for each in others:
        library.address(kernels.add(1), target=each)
    assert len(emitted) == len(others)


def test_threads_share_a_library(folder, kernels, emitted):
    library = Library(ObjectCache(folder))
    texts = [kernels.add(each) for each in range(12)]
    found: list[list[int]] = []

    def work() -> None:
        found.append([result(each)[0] for each in library.compile_all(texts)])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(12))] * 6
    assert len(emitted) == 12


_SHARED = """
import sys
from pathlib import Path
from mnn.codegen.cache import ObjectCache
from mnn.codegen.linking import Library
text = sys.stdin.read()
library = Library(ObjectCache(Path(sys.argv[1])))
addresses = library.compile_all([text.replace("NUMBER", str(each)) for each in range(30)])
print(len(set(addresses)))
"""


def test_processes_share_a_cache(folder, kernels):
    text = kernels.add(7).replace("7", "NUMBER")
    command = [sys.executable, "-c", _SHARED, str(folder)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for each in running:
        output, _ = each.communicate(text.encode(), timeout=60)
        assert output.split() == [b"30"]
    assert len(list(folder.glob("*.kernel"))) == 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_compiles(kernels):
    library = linking.library()
    before = library.address(kernels.add(41))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            new = library.compile_all([kernels.add(41), kernels.add(43)])
            if new[0] == before and result(new[1]) == [43] * 4:
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
