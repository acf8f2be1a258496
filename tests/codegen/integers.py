"""Comparison of int8 kernels with NumPy, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.kernel import CONSTANT, INPUT, Call, Epilogue, Tensor
from mnn.codegen.program import CAST, Program, Step, constant_step
from mnn.codegen.target import TARGETS, Target, host_target
from mnn.codegen.templates import int8_conv
from mnn.codegen.templates.int8_steps import CODES
from mnn.ops.reference import conv as reference
from mnn.ops.reference.rounding import round_half_away
from mnn.records import replace
from tests.codegen.imaging import channels_last, result
from tests.codegen.running import Array, filled, run

__all__ = ["DOTS", "Convolved", "check", "codes_step", "target_of"]

BOUNDS = (("minimum", -127), ("maximum", 120))
DOTS = "neon-dots"
"""NEON with dot products of bytes."""


def target_of(name: str) -> Target:
    """Return a description: of TARGETS, "host", "avx-vnni" or DOTS."""
    if name == "host":
        return host_target()
    if name == "avx-vnni":
        return replace(TARGETS["avx2"], features="+avxvnni", int8=True)
    if name == DOTS:
        return replace(TARGETS["neon"], int8=True, int8_signed=True)
    return TARGETS[name]


def codes_step(value: int) -> Step:
    """Return the step that rounds a value to codes within BOUNDS."""
    return Step(CODES, (value,), "float32", "int8", BOUNDS)


class Convolved:
    """A convolution of random codes, and what NumPy makes of it.

    Attributes:
        x, weight, scale, bias: operands.
        real: float32 sums times scale plus bias, each step rounded.
    """

    def __init__(
        self,
        shape: Sequence[int],
        kernel: Sequence[int],
        outputs: int,
        *,
        zero: int = 3,
        stride: Sequence[int] | None = None,
        dilation: Sequence[int] | None = None,
        pads: Sequence[tuple[int, int]] | None = None,
        groups: int = 1,
    ) -> None:
        rng = np.random.default_rng(0)
        rank = len(shape) - 2
        self.zero = zero
        self.attributes: dict[str, Any] = {
            "stride": tuple(stride or (1,) * rank),
            "dilation": tuple(dilation or (1,) * rank),
            "pads": tuple(pads or ((0, 0),) * rank),
            "groups": groups,
        }
        ends = (outputs, shape[1] // groups)
        self.x = rng.integers(-128, 128, shape).astype(np.int8)
        self.weight = rng.integers(-128, 128, (*ends, *kernel)).astype(np.int8)
        spread = 100 * self.weight[0].size ** 0.5
        self.scale = (rng.uniform(0.5, 1, outputs) / spread).astype(np.float32)
        self.bias = rng.uniform(-5, 5, outputs).astype(np.float32)
        sums = reference.conv(
            self.x.astype(np.float64) - zero, self.weight.astype(np.float64), **self.attributes
        )
        spots = (1, -1) + (1,) * rank
        scaled = sums.astype(np.float32) * self.scale.reshape(spots)
        self.real: Array = scaled + self.bias.reshape(spots)

    def lower(
        self, x: Tensor, out: Tensor, target: Target, epilogue: Epilogue | None
    ) -> list[Call]:
        """Return the calls."""
        weight, scale, bias = (
            filled(each, CONSTANT) for each in (self.weight, self.scale, self.bias)
        )
        return int8_conv.lower(
            x,
            weight,
            out,
            target,
            scale=scale,
            bias=bias,
            zero=self.zero,
            epilogue=epilogue,
            **self.attributes,
        )


def check(
    shape: Sequence[int],
    kernel: Sequence[int],
    outputs: int,
    target: str,
    *,
    last: bool = True,
    chunk: int = 0,
    ending: str = "codes",
    **options: Any,
) -> list[Call]:
    """Run a convolution, compare it with NumPy, and return its calls.

    Args:
        last: the input has neighbouring channels, otherwise neighbouring columns.
        ending: "real" stores float32, "codes" int8, "residual" adds codes of another image.
        options: of `Convolved`.
    """
    case, machine = Convolved(shape, kernel, outputs, **options), target_of(target)
    x = channels_last(case.x) if last else filled(case.x, INPUT)
    given = [(x, case.x)]
    want, epilogue = case.real, None
    if ending == "codes":
        want = _codes(case.real)
        epilogue = Epilogue(Program(("float32",), (codes_step(0),), (1,)))
    elif ending == "residual":
        other = np.random.default_rng(1).integers(-128, 128, want.shape).astype(np.int8)
        tensor = channels_last(other)
        given.append((tensor, other))
        want = _codes(_codes(case.real).astype(np.float32) + other.astype(np.float32))
        epilogue = Epilogue(_residual(), (tensor,))
    out = result(want.shape, want.dtype)
    calls = case.lower(x, out, machine, epilogue)
    (got,) = run(calls, given, [out], target=machine, chunk=chunk)
    np.testing.assert_array_equal(got, want)
    return calls


def _codes(real: Array) -> Array:
    bounds = dict(BOUNDS)
    return np.clip(round_half_away(real), bounds["minimum"], bounds["maximum"]).astype(np.int8)


def _residual() -> Program:
    """Return codes(codes(x) + other)."""
    return Program(
        ("float32", "int8"),
        (
            codes_step(0),
            Step(CAST, (2,), "int8", "float32"),
            Step(CAST, (1,), "int8", "float32"),
            Step("add", (3, 4), "float32", "float32"),
            codes_step(5),
            constant_step(1.0, "float32"),
        ),
        (6,),
    )
