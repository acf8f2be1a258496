"""Target descriptions: what a machine has, and the tile sizes that suit it.

Templates ask the description, never the name of a machine. LLVM aborts the process on an intrinsic
that the target cannot select, so the builder guards each of them by a property here.
"""

from __future__ import annotations

import functools
import os

from mnn.errors import CodegenError
from mnn.records import dataclass, field, replace

__all__ = ["TARGETS", "Target", "host_target"]


@dataclass(frozen=True)
class Target:
    """A machine that kernels are generated for.

    Attributes:
        name: key in TARGETS.
        triple: LLVM target triple; empty means this machine's.
        cpu, features: as LLVM names them.
        lanes: float32 elements of one vector register.
        registers: number of vector registers.
        masks: loads and stores of part of a vector are instructions.
        fused: multiply-add with one rounding is an instruction.
        tiles: GEMM register tiles, (rows, vectors of columns), best first; more rows of that many
            vectors do not fit into the registers.
        lane_multiply: multiplying by one lane of a register is free (NEON), so rows of A are read
            four at a time.
        bfloat16: dot products of bfloat16 pairs.
        int8: dot products of 4 bytes, added to 32 bits; of the first factor's bytes as unsigned
            numbers, or as signed ones where `int8_signed`.
        scales: x * 2**n over the whole range is an instruction.
        float16: conversions between float16 and float32 are instructions.
        float16_products: matrix kernels may multiply float16, which is faster than float32.
        float16_arithmetic: multiply-adds of float16 are instructions. Products are correct without
            them, through float32, only not faster: that is for tests on other machines.
        rounds: rounding floats to integers is an instruction.
        sums_pairs: products of neighbouring int16, added in pairs, are an instruction.
        packs: narrowing two vectors of integers to one, with saturation, is an instruction that
            works within 16-byte parts.
    """

    name: str
    triple: str
    cpu: str
    features: str
    lanes: int
    registers: int
    masks: bool
    fused: bool
    tiles: tuple[tuple[int, int], ...]
    lane_multiply: bool = False
    bfloat16: bool = False
    int8: bool = False
    int8_signed: bool = False
    scales: bool = False
    float16: bool = False
    float16_products: bool = False
    float16_arithmetic: bool = False
    rounds: bool = True
    sums_pairs: bool = False
    packs: bool = False
    attributes: tuple[str, ...] = field(
        default=("nounwind", '"no-trapping-math"="true"', '"no-builtins"')
    )

    @property
    def vector_bytes(self) -> int:
        """Bytes of one vector of float32."""
        return self.lanes * 4

    def shortens(self, precision: str) -> bool:
        """Return whether matrix kernels may multiply something shorter than float32.

        Args:
            precision: as in `mnn.config`: `"low"` allows what the target has, bfloat16 before
                float16, `"low_bf16"` bfloat16 only.
        """
        return precision == "low" or (precision == "low_bf16" and self.bfloat16)

    def attribute_group(self) -> str:
        """Return the text of attribute group 0, which every generated function carries."""
        parts = [*self.attributes, f'"prefer-vector-width"="{self.lanes * 32}"']
        if self.cpu:
            parts.append(f'"target-cpu"="{self.cpu}"')
        if self.features:
            parts.append(f'"target-features"="{self.features}"')
        return f"attributes #0 = {{ {' '.join(parts)} }}\n"


_X86 = "x86_64-unknown-linux-gnu"
_ARM = "aarch64-unknown-linux-gnu"

TARGETS: dict[str, Target] = {
    each.name: each
    for each in (
        Target(
            "avx512",
            _X86,
            "x86-64-v4",
            "",
            lanes=16,
            registers=32,
            masks=True,
            fused=True,
            tiles=((14, 2), (9, 3), (8, 3), (6, 4), (14, 1)),
            scales=True,
            float16=True,
            sums_pairs=True,
            packs=True,
        ),
        Target(
            "avx2",
            _X86,
            "x86-64-v3",
            "",
            lanes=8,
            registers=16,
            masks=True,
            fused=True,
            tiles=((6, 2), (4, 3), (2, 4), (12, 1)),
            float16=True,
            sums_pairs=True,
            packs=True,
        ),
        Target(
            "sse2",
            _X86,
            "x86-64",
            "",
            lanes=4,
            registers=16,
            masks=False,
            fused=False,
            tiles=((4, 2), (3, 3), (2, 4), (6, 1)),
            rounds=False,
            sums_pairs=True,
            packs=True,
        ),
        Target(
            "neon",
            _ARM,
            "cortex-a76",
            "",
            lanes=4,
            registers=32,
            masks=False,
            fused=True,
            tiles=((7, 3), (9, 2), (5, 4), (14, 1)),
            lane_multiply=True,
            float16=True,
        ),
    )
}
"""Portable descriptions; `host_target` narrows one of them to this machine's CPU."""


@functools.cache
def host_target() -> Target:
    """Return the description of this machine, or of the one that MNN_TARGET names.

    Raises:
        CodegenError: MNN_TARGET names no description, or this machine has none.
    """
    chosen = os.environ.get("MNN_TARGET", "")
    if chosen:
        if chosen not in TARGETS:
            raise CodegenError(
                f"MNN_TARGET: found {chosen!r}, expected one of {sorted(TARGETS)}. "
                "Unset it to use what this machine has."
            )
        return TARGETS[chosen]
    return _detected()


def _detected() -> Target:
    from mnn.codegen.host import host

    cpu, features, triple, _ = host()
    present = {each[1:] for each in features.split(",") if each.startswith("+")}
    machine = triple.split("-")[0]
    if machine in ("x86_64", "amd64"):
        name = "sse2"
        if {"avx2", "fma"} <= present:
            name = "avx2"
        if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= present:
            name = "avx512"
        return replace(
            TARGETS[name],
            triple=triple,
            cpu=cpu,
            features=features,
            bfloat16=name == "avx512" and "avx512bf16" in present,
            int8={"avx512": "avx512vnni", "avx2": "avxvnni"}.get(name, "none") in present,
            float16="f16c" in present,
            float16_products=name == "avx512" and "avx512fp16" in present,
            float16_arithmetic=name == "avx512" and "avx512fp16" in present,
        )
    if machine in ("aarch64", "arm64"):
        dots, halves = "dotprod" in present, "fullfp16" in present
        return replace(
            TARGETS["neon"],
            triple=triple,
            cpu=cpu,
            features=features,
            int8=dots,
            int8_signed=dots,
            float16_products=halves,
            float16_arithmetic=halves,
        )
    raise CodegenError(
        f"host_target: this machine is {triple}, expected x86-64 or AArch64. Kernels cannot be "
        "compiled for it; everything runs on NumPy instead."
    )
