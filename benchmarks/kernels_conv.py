"""Times convolution and pooling kernels, with their share of this machine's peak.

`python benchmarks/kernels_conv.py [CASE ...] [--target avx2] [--threads 2] [--low] [--json FILE]`.
A case is `HEIGHTxWIDTHxCHANNELS>OUTPUTS/KERNEL`, with letters behind: `s2` stride, `d2` dilation,
`g32` groups, `v` for no padding, `p` for an input in planes (NCHW), `t` for a transposed
convolution; then `+relu`, `+residual` or `+silu` for what follows. Pooling is `112x112x64/max3x3s2`
or `average`. Times are medians on warm memory; all convolutions have a bias. Work is that of the
definition, also where fewer products are computed.
"""

from __future__ import annotations

import argparse
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
from mnn.codegen.kernel import INPUT, OUTPUT, TEMPORARY, Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.program import Program, Step
from mnn.codegen.target import Target
from mnn.codegen.templates import conv, pool
from mnn.ops.reference import conv as reference
from mnn.ops.reference import pool as pool_reference

Array = np.ndarray[Any, Any]
FLOAT = np.dtype(np.float32)
LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)

CASES = """
224x224x3>32/3x3s2p 224x224x3>64/7x7s2p 224x224x3>64/3x3p 224x224x3>768/16x16s16vp
56x56x64>64/3x3 28x28x128>128/3x3 14x14x256>256/3x3 7x7x512>512/3x3 112x112x64>64/3x3
56x56x64>64/3x3+residual 28x28x256>256/3x3+relu 35x35x64>96/3x3 13x13x64>256/3x3
56x56x64>128/3x3s2 28x28x128>256/3x3s2 14x14x256>512/3x3s2 56x56x64>128/1x1s2 56x56x64>256/1x1
17x17x128>192/1x7 17x17x128>192/7x1 35x35x48>64/5x5 33x33x256>256/3x3d6
112x112x32>32/3x3g32 112x112x96>96/3x3s2g96 56x56x144>144/3x3g144 28x28x192>192/3x3g192
14x14x384>384/3x3g384 7x7x960>960/3x3g960 56x56x96>96/7x7g96 28x28x240>240/5x5s2g240
56x56x128>128/3x3g32 28x28x256>256/3x3g32 14x14x512>512/3x3g32
28x28x64>32/2x2s2t 16x16x128>64/4x4s2t
112x112x64/max3x3s2 56x56x64/max2x2s2 28x28x192/max3x3s1 28x28x192/average3x3s1
7x7x1280/average7x7s1v
""".split()  # noqa: SIM905

_CONVOLUTION = re.compile(
    r"(\d+)x(\d+)x(\d+)>(\d+)/(\d+)x(\d+)((?:s\d+|d\d+|g\d+|[vpt])*)(?:\+(relu|residual|silu))?"
)
_POOLING = re.compile(r"(\d+)x(\d+)x(\d+)/(max|average)(\d+)x(\d+)((?:s\d+|v)*)")


@dataclass
class Case:
    """A convolution or pooling, its data and what it should give."""

    name: str
    x: Array
    planes: bool
    expected: Array
    lower: Callable[[Tensor, Tensor, Target, bool], list[Call]]

    @classmethod
    def parse(cls, name: str) -> Case:
        """Return the case of a name."""
        found = _CONVOLUTION.fullmatch(name)
        if found:
            return _convolution(name, found)
        found = _POOLING.fullmatch(name)
        if found:
            return _pooling(name, found)
        raise SystemExit(f"kernels_conv: found {name!r}, expected such as 56x56x64>64/3x3s2+relu")

    def prepared(
        self, target: Target, kind: str, low: bool, threads: int
    ) -> tuple[Callable[[], list[Array]], list[Call]]:
        """Return a function that runs the case into memory of a kind, and its calls."""
        given = self.x if self.planes else np.ascontiguousarray(self.x.transpose(LAST))
        inputs = contiguous(Buffer(4 * self.x.size, INPUT), given.shape, FLOAT)
        x = inputs if self.planes else inputs.permuted(FIRST)
        outputs = contiguous(
            Buffer(4 * self.expected.size, kind),
            [self.expected.shape[each] for each in LAST],
            FLOAT,
        )
        calls = self.lower(x, outputs.permuted(FIRST), target, low)
        plan = Plan(calls, [inputs], [outputs] if kind == OUTPUT else [], target)
        return lambda: plan.run([given], threads), calls


def _constant(array: Array) -> Tensor:
    return contiguous(Buffer.constant(array), array.shape, FLOAT)


def _number(letters: str, letter: str, missing: int) -> int:
    found = re.search(letter + r"(\d+)", letters)
    return int(found[1]) if found else missing


def _convolution(name: str, found: re.Match[str]) -> Case:
    height, width, channels, outputs, down, right = (int(found[each]) for each in range(1, 7))
    letters = found[7]
    stride, dilation, groups = (_number(letters, letter, 1) for letter in "sdg")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, height, width), np.float32)
    ends = (outputs, channels // groups)
    compute, transposed = reference.conv, "t" in letters
    more: dict[str, Any] = {}
    if transposed:
        ends = (channels, outputs // groups)
        compute = reference.conv_transpose
        more = {"output_padding": (0, 0)}
    weight = rng.standard_normal((*ends, down, right), np.float32)
    bias = rng.standard_normal(outputs, np.float32)
    pads = ((0, 0), (0, 0))
    if "v" not in letters and "t" not in letters:
        pads = tuple((dilation * (each - 1) // 2,) * 2 for each in (down, right))
    attributes: dict[str, Any] = {
        "stride": (stride, stride),
        "dilation": (dilation, dilation),
        "pads": pads,
        "groups": groups,
    }
    exact = [each.astype(np.float64) for each in (x, weight, bias)]
    sums = compute(*exact, **attributes, **more)
    residual = rng.standard_normal(sums.shape, np.float32)
    program, expected = _tail(found[8], sums, residual)

    def lowered(source: Tensor, out: Tensor, target: Target, low: bool) -> list[Call]:
        epilogue = None
        if program is not None:
            operands = ()
            if len(program.inputs) > 1:
                held = np.ascontiguousarray(residual.transpose(LAST))
                operands = (_constant(held).permuted(FIRST),)
            epilogue = Epilogue(program, operands)
        return conv.lower(
            source,
            _constant(weight),
            out,
            target,
            bias=_constant(bias),
            transposed=transposed,
            epilogue=epilogue,
            low=low,
            **attributes,
        )

    return Case(name, x, "p" in letters, expected, lowered)


def _tail(tail: str | None, sums: Array, residual: Array) -> tuple[Program | None, Array]:
    """Return the program of what follows, and the results."""
    if tail == "relu":
        step = Step("relu", (0,), "float32", "float32", (("slope", 0.0),))
        return Program(("float32",), (step,), (1,)), np.maximum(sums, 0)
    if tail == "silu":
        step = Step("silu", (0,), "float32", "float32")
        return Program(("float32",), (step,), (1,)), np.asarray(sums / (1 + np.exp(-sums)))
    if tail == "residual":
        step = Step("add", (0, 1), "float32", "float32")
        return Program(("float32",) * 2, (step,), (2,)), sums + residual
    return None, sums


def _pooling(name: str, found: re.Match[str]) -> Case:
    height, width, channels = (int(found[each]) for each in range(1, 4))
    kernel, step = (int(found[5]), int(found[6])), _number(found[7], "s", 1)
    pads = ((0, 0), (0, 0)) if "v" in found[7] else tuple(((each - 1) // 2,) * 2 for each in kernel)
    x = np.random.default_rng(0).standard_normal((1, channels, height, width), np.float32)
    window: dict[str, Any] = {"kernel": kernel, "stride": (step, step), "pads": pads}
    compute = pool_reference.max_pool if found[4] == "max" else pool_reference.avg_pool

    def lowered(source: Tensor, out: Tensor, target: Target, low: bool) -> list[Call]:
        return pool.lower(source, out, target, kind=found[4], **window)

    return Case(name, x, False, compute(x.astype(np.float64), **window), lowered)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=CASES, help="such as 56x56x64>64/3x3s2+relu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--low", action="store_true", help="bfloat16 products")
    add_kernel_arguments(parser, rounds=15)
    options = parser.parse_args()
    target = chosen_target(options)
    peak = measure_peak(target, options.threads)
    rows: list[list[str]] = []
    found: dict[str, Any] = {}
    for name in options.cases:
        case = Case.parse(name)
        check, calls = case.prepared(target, OUTPUT, options.low, options.threads)
        difference = check()[0].transpose(FIRST) - case.expected
        error = float(np.abs(difference).max() / np.abs(case.expected).max())
        run, calls = case.prepared(target, TEMPORARY, options.low, options.threads)
        (seconds,), spent = medians([run], options.rounds), compile_milliseconds(calls, target)
        main_call = max(calls, key=lambda each: (each.work, each.traffic))
        work, traffic = sum(each.work for each in calls), main_call.traffic
        found[name] = {
            "kernel": main_call.label,
            "seconds": seconds,
            "gflops": 2 * work / seconds / 1e9,
            "share": work / seconds / peak.multiply_adds,
            "gigabytes": traffic / seconds / 1e9,
            "items": main_call.items,
            "error": error,
            "compile_ms": spent,
        }
        rows.append(
            [
                name,
                " ".join(main_call.label.split()[4:]) or main_call.label.split()[0],
                f"{seconds * 1e6:.1f}",
                f"{2 * work / seconds / 1e9:.0f}",
                f"{work / seconds / peak.multiply_adds:.0%}",
                f"{traffic / seconds / 1e9:.0f}",
                str(main_call.items),
                f"{error:.0e}",
                f"{spent:.0f}",
            ]
        )
    head = ["case", "kernel", "us", "GF/s", "of peak", "GB/s", "items", "error", "compile ms"]
    report(options, target, head, rows, found, gflops_peak=2 * peak.multiply_adds / 1e9)
    return 0


if __name__ == "__main__":
    sys.exit(main())
