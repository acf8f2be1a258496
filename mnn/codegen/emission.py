"""Object code from LLVM text, by llvmlite, without any optimisation passes of the middle end.

Hand-tiled loops lose by such passes (they unroll and spill), so text goes straight to code
generation. An emitted object never refers to symbols outside itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from typing import Any

from mnn.codegen.objects import Symbols, read_symbols
from mnn.errors import CodegenError

__all__ = ["Emitter", "binding", "emit", "emits_in_parallel", "llvm_version", "process_triple"]

# Windows objects that use floating point refer to this symbol of the C runtime, only to say so.
_FLOAT_MARKER = "\n$_fltused = comdat any\n@_fltused = weak_odr global i32 1, comdat\n"


class Emitter:
    """Compiles texts for one machine; used by one thread at a time.

    Args:
        triple: LLVM target triple; None means this process's.
        cpu, features: as LLVM names them; both may be empty.
        level: effort of code generation, 0..3.
        code_model, relocation: as LLVM names them. They are `"small"` and `"pic"`, for code whose
            parts stay close together, but without a triple on systems whose objects are not ELF:
            there `"jitdefault"` and `"default"`, whose parts may lie anywhere in this process.

    Raises:
        CodegenError: llvmlite is missing, or does not know the target.
    """

    def __init__(
        self,
        *,
        triple: str | None = None,
        cpu: str = "",
        features: str = "",
        level: int = 2,
        code_model: str = "",
        relocation: str = "",
    ) -> None:
        self._llvm = llvm = binding()
        self.triple = triple or process_triple()
        close = bool(triple) or sys.platform not in ("win32", "darwin", "cygwin")
        code_model = code_model or ("small" if close else "jitdefault")
        relocation = relocation or ("pic" if close else "default")
        if self.triple.split("-")[0] != process_triple().split("-")[0]:
            _prepare_every_target()
        try:
            target = llvm.Target.from_triple(self.triple)
            self.machine = target.create_target_machine(
                cpu=cpu,
                features=features,
                opt=level,
                reloc=relocation,
                codemodel=code_model,
                jit=code_model == "jitdefault",
            )
        except RuntimeError as problem:
            raise CodegenError(
                f"code generation for {self.triple!r}: this llvmlite ({llvm_version()}) says: "
                f"{problem}. Expected a target it was built with. Check the triple, or use the "
                "reference backend."
            ) from problem
        self._layout = str(self.machine.target_data)
        chosen = self.machine.triple
        coff = "windows" in chosen and not chosen.endswith("-elf")
        self._suffix = _FLOAT_MARKER if coff else ""

    def emit(self, text: str) -> tuple[bytes, Symbols]:
        """Return the object code of a module, and its global symbols.

        Raises:
            CodegenError: the text is not valid, or the object would need symbols from elsewhere.
        """
        llvm = self._llvm
        try:
            with (
                llvm.create_context() as context,
                llvm.parse_assembly(text + self._suffix, context) as module,
            ):
                module.triple = self.machine.triple
                module.data_layout = self._layout
                module.verify()
                data = _emit_object(self.machine, module)
        except RuntimeError as problem:
            raise CodegenError(
                f"code generation for {self.triple}: LLVM rejects the generated text: "
                f"{str(problem).strip()}. This is a defect of a kernel template; "
                "mnn.config.backend = 'reference' computes without generated code."
            ) from problem
        symbols = read_symbols(data)
        if symbols.undefined:
            raise CodegenError(
                f"code generation for {self.triple}: the object needs "
                f"{sorted(symbols.undefined)} from outside, expected nothing. Some operation has "
                "no instruction on this target and became a library call; write it with others."
            )
        return data, symbols


def emit(
    ir: str,
    *,
    triple: str | None = None,
    cpu: str = "",
    features: str = "",
    level: int = 2,
    code_model: str = "",
    relocation: str = "",
) -> bytes:
    """Return the object code of one module of LLVM text; arguments as for `Emitter`.

    Raises:
        CodegenError: the text is not valid, the target is unknown, or the object would need
            symbols from elsewhere.
    """
    emitter = Emitter(
        triple=triple,
        cpu=cpu,
        features=features,
        level=level,
        code_model=code_model,
        relocation=relocation,
    )
    return emitter.emit(ir)[0]


def process_triple() -> str:
    """Return the LLVM triple of the code that this process runs."""
    found: str = binding().get_process_triple()
    return found


@functools.cache
def llvm_version() -> str:
    """Return the version of LLVM inside llvmlite, such as `"22.1.0"`."""
    return ".".join(str(each) for each in binding().llvm_version_info)


@functools.cache
def binding() -> Any:
    """Return `llvmlite.binding`, ready for this machine.

    Raises:
        CodegenError: llvmlite is not installed.
    """
    try:
        import llvmlite.binding as llvm
    except ImportError as problem:
        raise CodegenError(
            f"code generation: llvmlite cannot be imported ({problem}), expected version 0.44 or "
            "later. Install llvmlite, or use mnn.config.backend = 'reference'."
        ) from problem
    # Newer versions initialise themselves and refuse to be asked for it.
    with contextlib.suppress(AttributeError, RuntimeError):
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def _prepare_every_target() -> None:
    llvm = binding()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@functools.cache
def _unlocked_emission() -> Any:
    """Return LLVM's emission function without llvmlite's global lock, or None.

    LLVM may run in several threads when each has its own context and target machine, which is how
    `Emitter` is used; llvmlite allows one call at a time all the same. Its wrapper is set aside
    only where it looks exactly as expected.
    """
    from llvmlite.binding import ffi

    wrapped = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    plain = getattr(wrapped, "_cfn", None)
    expected = [
        ffi.LLVMTargetMachineRef,
        ffi.LLVMModuleRef,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_char_p),
    ]
    if plain is None or list(plain.argtypes or ()) != expected:
        return None
    return plain


def emits_in_parallel() -> bool:
    """True when several threads with an `Emitter` each do compile at the same time."""
    return binding() is not None and _unlocked_emission() is not None


def _emit_object(machine: Any, module: Any) -> bytes:
    plain = _unlocked_emission()
    if plain is None:
        locked: bytes = machine.emit_object(module)
        return locked
    from llvmlite.binding import ffi

    with ffi.OutputString() as message:
        buffer = plain(machine, module, 1, message)
        if not buffer:
            raise RuntimeError(str(message))
    try:
        start = ffi.lib.LLVMPY_GetBufferStart(buffer)
        return ctypes.string_at(start, ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)
