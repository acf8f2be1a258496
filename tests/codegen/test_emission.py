"""Object code: what is accepted, what is refused, and how symbol tables are read."""

from __future__ import annotations

import pytest

from mnn.errors import CodegenError, MnnError

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

from mnn.codegen import emission
from mnn.codegen.emission import Emitter, emit
from mnn.codegen.objects import read_symbols

TRIPLES = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "aarch64-linux-android",
    "armv7-unknown-linux-gnueabihf",
    "riscv64-unknown-linux-gnu",
    "x86_64-pc-windows-msvc",
    "aarch64-pc-windows-msvc",
    "i686-pc-windows-msvc",
    "arm64-apple-macos13",
    "x86_64-apple-macos13",
]
CALLER = "declare void @somewhere()\ndefine void @KERNEL() {\n call void @somewhere()\n ret void\n}"
FLOATS = """
define void @KERNEL(ptr %x) nounwind {
  %a = load float, ptr %x, align 4
  %b = fadd float %a, 1.5
  store float %b, ptr %x, align 4
  ret void
}
"""


@pytest.mark.parametrize("triple", TRIPLES)
def test_every_target_defines_the_kernel_and_needs_nothing(kernels, triple):
    symbols = read_symbols(emit(kernels.add(1), triple=triple))
    assert {name.lstrip("_") for name in symbols.defined} - {"fltused"} == {"KERNEL"}
    assert not symbols.undefined


@pytest.mark.parametrize("triple", TRIPLES)
def test_a_call_to_the_outside_is_refused_on_every_target(triple):
    with pytest.raises(CodegenError, match="somewhere"):
        emit(CALLER, triple=triple)


@pytest.mark.parametrize("triple", [each for each in TRIPLES if "riscv" not in each])
def test_floating_point_needs_no_runtime_library(triple):
    emit(FLOATS, triple=triple)


def test_soft_floating_point_is_refused():
    # Plain RV64 has no floating-point registers, so LLVM calls a library.
    with pytest.raises(CodegenError, match="__addsf3"):
        emit(FLOATS, triple="riscv64-unknown-linux-gnu")


@pytest.mark.parametrize(
    "text",
    [
        "define void @KERNEL( {",
        "define void @KERNEL() { ret i32 0 }",
        "define void @KERNEL() { br label %nowhere }",
        "define void @KERNEL() {\n %a = add i32 %b, 1\n %b = add i32 %a, 1\n ret void\n}",
    ],
)
def test_invalid_text_is_explained(text):
    with pytest.raises(CodegenError, match="LLVM rejects the generated text") as caught:
        emit(text)
    assert isinstance(caught.value, MnnError)
    assert isinstance(caught.value, RuntimeError)


def test_an_unknown_target_is_explained():
    with pytest.raises(CodegenError, match="quark"):
        emit("", triple="quark-unknown-none")


def test_the_result_is_the_same_with_llvmlites_lock(kernels, monkeypatch):
    quick = emit(kernels.add(3))
    monkeypatch.setattr(emission, "_unlocked_emission", lambda: None)
    assert emit(kernels.add(3)) == quick


def test_one_emitter_compiles_many_modules(kernels):
    emitter = Emitter()
    first, again = (emitter.emit(kernels.add(5))[0] for _ in range(2))
    assert first == again != emitter.emit(kernels.add(6))[0]


@pytest.mark.parametrize("triple", TRIPLES)
def test_damaged_objects_are_refused_or_read_without_other_errors(kernels, triple):
    data = emit(kernels.add(1), triple=triple)
    for size in range(0, len(data), 7):
        try:
            read_symbols(data[:size])
        except CodegenError:
            continue


def test_other_files_are_refused():
    with pytest.raises(CodegenError, match="expected ELF, COFF"):
        read_symbols(b"\0asm\1\0\0\0")
