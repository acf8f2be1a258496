"""The machine code that runs plans: emitted for every target, complete in itself."""

from __future__ import annotations

import pytest

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

from mnn.backends.cpu.executor import Executor
from mnn.codegen.emission import emit
from mnn.codegen.images import flatten
from mnn.codegen.objects import read_symbols
from mnn.codegen.target import TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_has_code(target):
    text = Executor().build(target).text()
    code = emit(text, triple=target.triple, cpu=target.cpu, features=target.features)
    assert read_symbols(code).defined == {"KERNEL"}
    assert not read_symbols(code).undefined
    image = flatten(code)
    assert image.symbols["KERNEL"] < len(image.code) < 4096


@pytest.mark.parametrize("name", ["avx2", "neon"])
def test_waiting_threads_tell_the_processor(name):
    text = Executor().build(TARGETS[name]).text()
    assert text.count("x86.sse2.pause" if name == "avx2" else "aarch64.hint") > 2
    assert "fence seq_cst" in text
