"""Memory that several threads work on: atomic loads, stores and exchanges of 8-byte words.

Only the code that distributes work over threads needs this; kernels never do.
"""

from __future__ import annotations

from mnn.codegen.builder import I1, I64, Function, Index, Value

__all__ = [
    "ACQUIRE",
    "ORDERED",
    "RELAXED",
    "RELEASE",
    "add_atomic",
    "exchange_if",
    "fence",
    "load_atomic",
    "pause",
    "store_atomic",
]

RELAXED, ACQUIRE, RELEASE, ORDERED = "monotonic", "acquire", "release", "seq_cst"
"""LLVM's names of memory orders; ORDERED is one order that all threads agree on."""


def load_atomic(f: Function, pointer: Value, order: str = ACQUIRE, kind: str = I64) -> Value:
    """Return the word at the pointer."""
    return f.make(f"load atomic {kind}, ptr {pointer.text} {order}, align 8", kind)


def store_atomic(f: Function, value: Index, pointer: Value, order: str = RELEASE) -> None:
    """Write a word."""
    word = f.value(value)
    f.emit(f"store atomic {word.type} {word.text}, ptr {pointer.text} {order}, align 8")


def add_atomic(f: Function, pointer: Value, number: Index) -> Value:
    """Add a number to the word at the pointer and return what was there before."""
    added = f.value(number)
    return f.make(f"atomicrmw add ptr {pointer.text}, i64 {added.text} seq_cst, align 8", I64)


def exchange_if(f: Function, pointer: Value, expected: Value, new: Value) -> Value:
    """Write `new` if the word at the pointer is as expected; return whether it was."""
    pair = f.make(
        f"cmpxchg ptr {pointer.text}, i64 {expected.text}, i64 {new.text} acq_rel acquire, align 8",
        "{ i64, i1 }",
    )
    return f.make(f"extractvalue {pair.type} {pair.text}, 1", I1)


def fence(f: Function) -> None:
    """Let no later load overtake an earlier store."""
    f.emit("fence seq_cst")


def pause(f: Function) -> None:
    """Tell the processor that this is a waiting loop."""
    machine = f.target.triple.split("-")[0]
    if machine in ("x86_64", "amd64"):
        f.module.declare("void @llvm.x86.sse2.pause()")
        f.emit("call void @llvm.x86.sse2.pause()")
    elif machine in ("aarch64", "arm64"):
        # The hint numbered 1 is `yield`.
        f.module.declare("void @llvm.aarch64.hint(i32)")
        f.emit("call void @llvm.aarch64.hint(i32 1)")
