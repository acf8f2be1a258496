"""Code images: objects put together for good run as llvmlite runs them; anything odd is refused."""

from __future__ import annotations

import ctypes
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

import llvmlite.binding as llvm

from mnn.codegen.emission import Emitter, emit
from mnn.codegen.images import Image, flatten
from mnn.codegen.mapping import can_map_code, map_images
from mnn.codegen.target import TARGETS, host_target
from mnn.errors import CodegenError

mapped = pytest.mark.skipif(not can_map_code(), reason="code is linked by llvmlite here")
x86 = pytest.mark.skipif(host_target().name == "neon", reason="x86-64 code")

CONSTANTS = """
define void @KERNEL(ptr %x, ptr %y) {
  %1 = load <8 x float>, ptr %x, align 4
  %2 = fmul <8 x float> %1, <float 1.0, float 2.0, float 3.0, float 4.0,
                             float 5.0, float 6.0, float 7.0, float 8.0>
  %3 = load double, ptr %y, align 8
  %4 = fadd double %3, 1.1
  store <8 x float> %2, ptr %x, align 4
  store double %4, ptr %y, align 8
  call void @inner(ptr %x)
  ret void
}
define internal void @inner(ptr %x) noinline {
  %1 = load float, ptr %x, align 4
  %2 = fadd float %1, 0.375
  store float %2, ptr %x, align 4
  ret void
}
define void @KERNEL_switch(ptr %x, ptr %y) {
  %n = load i64, ptr %y, align 8
  switch i64 %n, label %other [
    i64 0, label %a
    i64 1, label %b
    i64 2, label %c
    i64 3, label %d
    i64 4, label %e
  ]
a:
  store float 7.5, ptr %x, align 4
  ret void
b:
  store float 9.25, ptr %x, align 4
  ret void
c:
  store i32 77, ptr %x, align 4
  ret void
d:
  store i32 5, ptr %y, align 4
  ret void
e:
  store float 3.0, ptr %y, align 4
  ret void
other:
  ret void
}
"""
ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def by_engine(text: str, names: list[str]) -> tuple[object, list[int]]:
    """Addresses of functions that llvmlite's engine links."""
    code = Emitter(code_model="jitdefault", relocation="default").emit(text)[0]
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), Emitter().machine)
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine, [engine.get_function_address(each) for each in names]


def run(address: int, number: int) -> bytes:
    x, y = np.arange(1, 9, dtype=np.float32), np.array([number, 5], np.int64)
    ENTRY(address)(x.ctypes.data, y.ctypes.data)
    return x.tobytes() + y.tobytes()


@mapped
def test_images_do_what_linked_objects_do():
    names = ["KERNEL", "KERNEL_switch"]
    image = flatten(Emitter().emit(CONSTANTS)[0])
    assert sorted(image.symbols) == names
    engine, addresses = by_engine(CONSTANTS, names)
    for start in map_images([image, image, image]):
        assert start % image.alignment == 0
        for name, address in zip(names, addresses, strict=True):
            for number in range(7):
                assert run(start + image.symbols[name], number) == run(address, number)
    del engine


@mapped
def test_code_is_never_writable_and_executable():
    (start,) = map_images([flatten(Emitter().emit(CONSTANTS)[0])])
    with open("/proc/self/maps", encoding="ascii") as file:
        for line in file:
            place, mode = line.split()[:2]
            first, last = (int(each, 16) for each in place.split("-"))
            if first <= start < last:
                assert mode == "r-xp"
                return
    raise AssertionError("the image lies nowhere")


def test_bytes_of_an_image_are_the_image():
    image = Image(b"code", 64, {"": 0, "_part": 3})
    assert Image.unpack(image.pack()) == image


@settings(max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 255))
@example(b"", 16, 3)
def test_damaged_bytes_are_no_image(junk, place, value):
    assert Image.unpack(junk) is None
    packed = bytearray(Image(b"c" * 50, 16, {"": 0, "_second": 49}).pack())
    packed[place % len(packed)] = value
    found = Image.unpack(bytes(packed))
    if found is not None:
        assert len(found.code) == 50
        assert all(0 <= each < 50 for each in found.symbols.values())
    assert Image.unpack(bytes(packed[: place % len(packed)])) is None
    assert Image.unpack(bytes(packed) + junk + b"!") is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_objects_are_refused_or_stay_inside(changes):
    data = bytearray(OBJECT)
    for place, value in changes:
        data[place % len(data)] = value
    try:
        image = flatten(bytes(data))
    except CodegenError:
        return
    assert all(0 <= each <= len(image.code) for each in image.symbols.values())


OBJECT = emit(CONSTANTS, triple=TARGETS["avx2"].triple)


@pytest.mark.parametrize("end", [0, 10, 63, 64, 200, -1])
def test_truncated_objects_are_refused(end):
    with pytest.raises(CodegenError, match="no image"):
        flatten(OBJECT[:end])


def test_other_formats_and_writable_data_are_refused():
    for triple in ("x86_64-pc-windows-msvc", "x86_64-apple-macos13"):
        with pytest.raises(CodegenError, match="not 64-bit"):
            flatten(emit(CONSTANTS, triple=triple))
    data = "@state = internal global i64 1\n" + (
        "define void @KERNEL(ptr %x) {\n store i64 5, ptr @state\n %1 = load volatile i64, "
        "ptr @state\n store i64 %1, ptr %x\n ret void\n}"
    )
    with pytest.raises(CodegenError, match="writable data"):
        flatten(emit(data, triple=TARGETS["avx2"].triple))
    absolute = "@table = constant ptr @KERNEL\ndefine void @KERNEL(ptr %x) {\n ret void\n}"
    with pytest.raises(CodegenError):
        flatten(emit(absolute, triple=TARGETS["avx2"].triple, relocation="static"))


def test_images_that_cannot_be_mapped_are_refused():
    with pytest.raises(CodegenError, match="alignment"):
        map_images([Image(b"x", 1 << 20, {"": 0})])
    assert map_images([]) == []


def test_aarch64_pages_and_calls():
    """Decodes the instructions that relocations have written: they reach what they name."""
    image = flatten(emit(CONSTANTS, triple=TARGETS["neon"].triple, cpu="cortex-a76"))
    assert image.alignment == 4096
    words = struct.unpack(f"<{len(image.code) // 4}I", image.code[: len(image.code) // 4 * 4])
    start = image.symbols["KERNEL"] // 4
    pages: dict[int, int] = {}
    loads, calls = [], []
    for place in range(start, start + 40):
        word = words[place]
        if word & 0x9F000000 == 0x90000000:  # adrp
            high = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            high -= (high & 1 << 20) << 1
            pages[word & 31] = (place * 4 & ~4095) + (high << 12)
        elif word & 0x3FC00000 == 0x3DC00000:  # ldr of 16 bytes
            base = word >> 5 & 31
            if base in pages:
                loads.append(pages[base] + (word >> 10 & 0xFFF) * 16)
        elif word >> 26 in (0x25, 0x05):  # bl, b
            distance = word & 0x3FFFFFF
            distance -= (distance & 1 << 25) << 1
            calls.append(place + distance)
    found = {struct.unpack_from("<4f", image.code, each) for each in loads}
    assert {(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)} <= found
    assert calls
    assert all(0 <= each < len(words) for each in calls)
