"""Times matrix products next to NumPy (OpenBLAS), with their share of this machine's peak.

`python benchmarks/kernels_gemm.py [CASE ...] [--target avx2] [--threads 2] [--low] [--json FILE]`.
A case is `MxKxN`, with a batch in front (`4x128x64x128`) and letters behind: `r` for a B that is
only known when running, `t` for one that lies transposed; then `+relu`, `+residual`, `+silu` or
`+gelu` for what follows. Times are medians of interleaved rounds on warm memory; all cases have a
bias.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import medians
from kernels import add_kernel_arguments, chosen_target, compile_milliseconds, report

import mnn  # noqa: F401  (operators register their bodies)
from mnn.backends.cpu.peak import measure_peak
from mnn.backends.cpu.plan import Plan
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.program import Program, Step
from mnn.codegen.target import Target
from mnn.codegen.templates import gemm

Array = np.ndarray[Any, Any]
FLOAT = np.dtype(np.float32)

CASES = """
512x512x512 1024x1024x1024 2048x2048x2048
12544x32x16 12544x16x96 3136x24x144 784x32x192 196x384x64 49x160x960 3136x256x64 128x256x1024
12544x32x16+relu 12544x16x96+relu 3136x24x144+relu 784x32x192+relu 196x64x384+residual
128x256x1024+silu 197x768x3072+silu 197x768x768 49x4608x512 196x2304x256 784x1152x128
1x1280x1000 1x2048x1000 1x4096x4096 1x512x128 1x128x512 2x512x512 4x512x512 8x512x512 16x1024x1024
4x128x64x128r 4x128x64x128rt 4x128x128x64r 12x197x64x197rt 12x197x197x64r 512x512x512r 1024x64x8
512x512x512rt 1x1024x1024r 1x1024x1024rt 1000x256x1 1000x256x10 33x65x17 100x100x100
""".split()  # noqa: SIM905


@dataclass
class Case:
    """A product and its data."""

    name: str
    a: Array
    b: Array
    bias: Array
    residual: Array
    runtime: bool
    transposed: bool
    tail: str

    @classmethod
    def parse(cls, name: str) -> Case:
        """Return the case of a name such as `4x128x64x128rt+relu`."""
        found = re.fullmatch(r"((?:\d+x)+\d+)([rt]*)(?:\+(relu|residual|silu|gelu))?", name)
        if found is None:
            raise SystemExit(f"kernels_gemm: found {name!r}, expected such as 4x128x64x128rt+relu")
        *batch, m, k, n = (int(each) for each in found[1].split("x"))
        rng = np.random.default_rng(0)

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape, np.float32)

        b = normal(*batch, k, n)
        if "t" in found[2]:
            b = np.swapaxes(np.swapaxes(b, -1, -2).copy(), -1, -2)
        residual = normal(*batch, m, n)
        return cls(
            name,
            normal(*batch, m, k),
            b,
            normal(n),
            residual,
            "r" in found[2],
            "t" in found[2],
            found[3] or "",
        )

    @property
    def work(self) -> int:
        """Multiply-adds."""
        return self.a.size * self.b.shape[-1]

    @property
    def traffic(self) -> int:
        """Bytes that have to be read or written at least."""
        return self.a.nbytes + self.b.nbytes + self.residual.nbytes

    def expected(self) -> Array:
        """Return the result in float64."""
        sums = self.a.astype(np.float64) @ self.b.astype(np.float64) + self.bias
        if self.tail == "relu":
            return np.maximum(sums, 0)
        if self.tail == "residual":
            return sums + self.residual
        if self.tail == "silu":
            return np.asarray(sums / (1 + np.exp(-sums)))
        if self.tail == "gelu":
            return np.asarray(sums * 0.5 * (1 + np.vectorize(math.erf)(sums / math.sqrt(2))))
        return np.asarray(sums)

    def numpy(self) -> Callable[[], object]:
        """Return NumPy's product, bias and tail (but silu and gelu), as few calls as it needs."""
        out = np.empty_like(self.residual)

        def run() -> None:
            np.matmul(self.a, self.b, out=out)
            np.add(out, self.bias, out=out)
            if self.tail == "relu":
                np.maximum(out, 0, out=out)
            if self.tail == "residual":
                np.add(out, self.residual, out=out)

        return run

    def calls(self, target: Target, kind: str, low: bool) -> tuple[list[Call], list[Tensor]]:
        """Return calls with an output of that kind, and the tensors: a, bias, residual, out, b."""
        a, bias, residual = (_tensor(each) for each in (self.a, self.bias, self.residual))
        out = contiguous(Buffer(self.residual.nbytes, kind), self.residual.shape, FLOAT)
        if self.runtime:
            b = _tensor(np.swapaxes(self.b, -1, -2) if self.transposed else self.b)
            if self.transposed:
                axes = range(len(b.shape))
                b = b.permuted([*axes[:-2], axes[-1], axes[-2]])
        else:
            b = contiguous(Buffer.constant(self.b), self.b.shape, FLOAT)
        epilogue = None
        if self.tail:
            relu = Step("relu", (0,), "float32", "float32", (("slope", 0.0),))
            steps = {
                "relu": relu,
                "residual": Step("add", (0, 1), "float32", "float32"),
                "silu": Step("silu", (0,), "float32", "float32"),
                "gelu": Step("gelu_standard", (0,), "float32", "float32"),
            }
            operands = (residual,) if self.tail == "residual" else ()
            inputs = ("float32",) * (1 + len(operands))
            program = Program(inputs, (steps[self.tail],), (len(inputs),))
            epilogue = Epilogue(program, operands)
        calls = gemm.lower(a, b, out, target, bias=bias, epilogue=epilogue, low=low)
        return calls, [a, bias, residual, out, b]

    def prepared(
        self, target: Target, kind: str, low: bool, threads: int
    ) -> tuple[Callable[[], list[Array]], list[Call]]:
        """Return a function that runs the product, and its calls."""
        calls, (a, bias, residual, out, b) = self.calls(target, kind, low)
        b_array = np.swapaxes(self.b, -1, -2) if self.transposed else self.b
        given = [(a, self.a), (bias, self.bias), (residual, self.residual)]
        if self.runtime:
            given.append((_flat(b, b_array), np.ascontiguousarray(b_array)))
        outputs = [out] if kind == OUTPUT else []
        plan = Plan(calls, [tensor for tensor, _ in given], outputs, target)
        arrays = [array for _, array in given]
        return lambda: plan.run(arrays, threads), calls


def _tensor(array: Array) -> Tensor:
    return contiguous(Buffer(array.nbytes, INPUT), array.shape, FLOAT)


def _flat(tensor: Tensor, array: Array) -> Tensor:
    """Return the tensor of the same buffer with the array's shape."""
    return contiguous(tensor.buffer, array.shape, FLOAT)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES, help="such as 512x512x512+relu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--low", action="store_true", help="bfloat16 products")
    add_kernel_arguments(parser, rounds=9)
    options = parser.parse_args()
    target = chosen_target(options)
    peak = measure_peak(target, options.threads).multiply_adds
    rows: list[list[str]] = []
    found: dict[str, Any] = {}
    for name in options.cases:
        case = Case.parse(name)
        check, _ = case.prepared(target, OUTPUT, options.low, options.threads)
        run, calls = case.prepared(target, "temporary", options.low, options.threads)
        expected = case.expected()
        error = float(np.abs(check()[0] - expected).max() / np.abs(expected).max())
        ours, numpy = medians([run, case.numpy()], options.rounds)
        spent = compile_milliseconds(calls, target)
        kernel = str(calls[-1].kernel)
        shape = "x".join(re.findall(r"(?:rows|vectors|columns)=(\d+)", kernel)[:2])
        found[name] = {
            "seconds": ours,
            "numpy": numpy,
            "gflops": 2 * case.work / ours / 1e9,
            "share": case.work / ours / peak,
            "error": error,
            "compile_ms": spent,
        }
        rows.append(
            [
                name,
                shape,
                f"{ours * 1e6:.1f}",
                f"{2 * case.work / ours / 1e9:.0f}",
                f"{case.work / ours / peak:.0%}",
                f"{case.traffic / ours / 1e9:.0f}",
                f"{numpy / ours:.2f}",
                f"{error:.0e}",
                f"{spent:.0f}",
            ]
        )
    head = ["case", "tile", "us", "GF/s", "of peak", "GB/s", "NumPy / ours", "error", "compile ms"]
    report(options, target, head, rows, found, gflops_peak=2 * peak / 1e9)
    return 0


if __name__ == "__main__":
    sys.exit(main())
