"""What this machine is, as LLVM sees it, without loading LLVM when that was asked before.

Importing llvmlite takes 25 ms and 45 MB. Processes that find all their kernels in the cache need
none of it, so its answers about the machine are kept there too.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from typing import NamedTuple

from mnn.codegen.cache import KeyMaker, ObjectCache, user_cache

__all__ = ["Host", "compiler_identity", "host"]

_LIBRARIES = ("libllvmlite.so", "libllvmlite.dylib", "llvmlite.dll")
_PROCESSOR_FIELDS = frozenset(
    {
        *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
        *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"),
        "Features",
    }
)
_CPUINFO = "/proc/cpuinfo"
_ARM_FEATURES = {"asimdhp": "fullfp16", "asimddp": "dotprod"}
"""What LLVM does not report on AArch64: names that Linux has for it, and LLVM's."""
_APPLE = "apple-m"
"""Processors by that name have all of those."""
_SEPARATOR = "\n"


class Host(NamedTuple):
    """This machine in LLVM's words.

    Attributes:
        cpu: name of the processor.
        features: all its features, as a comma-separated list of +name and -name.
        triple: of code for this machine.
        process_triple: of the code that this process runs.
    """

    cpu: str
    features: str
    triple: str
    process_triple: str


@functools.cache
def host() -> Host:
    """Return what LLVM says about this machine, from the cache when it was asked before.

    Raises:
        CodegenError: llvmlite is missing, or cannot be imported when it is needed.
    """
    return ask_host(user_cache())


def ask_host(cache: ObjectCache) -> Host:
    """Return what LLVM says about this machine; `cache` is where its answers are kept."""
    processor = _processor()
    identity = compiler_identity()
    if not processor:
        return _detect()
    key = KeyMaker(["host", identity, processor, " ".join(os.uname())]).key("")
    stored = cache.get(key)
    if stored is not None:
        parts = stored.decode(errors="replace").split(_SEPARATOR)
        if len(parts) == len(Host._fields):
            return Host(*parts)
    found = _detect()
    cache.put(key, _SEPARATOR.join(found).encode())
    return found


def _detect() -> Host:
    from mnn.codegen.emission import binding

    llvm = binding()
    cpu, triple = llvm.get_host_cpu_name(), llvm.get_process_triple()
    features = llvm.get_host_cpu_features().flatten()
    if triple.split("-")[0] in ("aarch64", "arm64"):
        features = ",".join(filter(None, [features, *_arm_features(cpu, _processor())]))
    return Host(cpu, features, llvm.get_default_triple(), triple)


def _arm_features(cpu: str, processor: str) -> list[str]:
    """Return what an AArch64 processor has besides, as LLVM wants to be told."""
    if cpu.startswith(_APPLE):
        return [f"+{each}" for each in _ARM_FEATURES.values()]
    words = set(processor.split())
    return [f"+{feature}" for word, feature in _ARM_FEATURES.items() if word in words]


def _processor() -> str:
    """Return what tells this processor from others, "" where the system does not tell."""
    lines: list[str] = []
    try:
        # Text of later processors is made by the kernel only when it is read.
        with open(_CPUINFO, encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.strip():
                    break
                if line.partition(":")[0].strip() in _PROCESSOR_FIELDS:
                    lines.append(line)
    except OSError:
        return ""
    return "".join(lines)


@functools.cache
def compiler_identity() -> str:
    """Return what tells this compiler from others: another one may make other code.

    Raises:
        CodegenError: there is no llvmlite.
    """
    # The files are looked at, not imported.
    found = importlib.util.find_spec("llvmlite")
    if found is not None and found.origin:
        folder = os.path.dirname(found.origin)
        for name in _LIBRARIES:
            try:
                state = os.stat(os.path.join(folder, "binding", name))
                with open(os.path.join(folder, "_version.py"), encoding="utf-8") as file:
                    version = file.read()
            except OSError:
                continue
            return f"{version}\n{state.st_size} {state.st_mtime_ns}"
    from mnn.codegen.emission import llvm_version

    return f"LLVM {llvm_version()} {sys.version}"
