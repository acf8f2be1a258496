"""Comparison of convolution kernels with the NumPy reference in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mnn.codegen.kernel import CONSTANT, INPUT, Call, Epilogue, Tensor
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS, Target, host_target
from mnn.codegen.templates import conv
from mnn.ops.reference import conv as reference
from tests.codegen.imaging import RUNNABLE, channels_last, result
from tests.codegen.running import Array, filled, run


def add_scale_clip(residual: Tensor, scale: Tensor) -> Epilogue:
    """Return the epilogue minimum((x + residual) * scale, 1)."""
    program = Program(
        ("float32",) * 3,
        (
            Step("add", (0, 1), "float32", "float32"),
            Step("multiply", (3, 2), "float32", "float32"),
            constant_step(1.0, "float32"),
            Step("minimum", (4, 5), "float32", "float32"),
        ),
        (6,),
    )
    return Epilogue(program, (residual, scale))


def check(
    shape: Sequence[int],
    kernel: Sequence[int],
    outputs: int,
    target: str | Target = "avx512",
    *,
    stride: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
    pads: Sequence[tuple[int, int]] | None = None,
    groups: int = 1,
    bias: bool = True,
    constant: bool = True,
    last: bool = True,
    residual: bool = False,
    transpose: bool = False,
    chunk: int = 0,
    low: bool = False,
    tolerance: float = 1e-5,
    size: float = 1.0,
    **more: Any,
) -> list[Call]:
    """Run a convolution, compare it with the reference, and return its calls.

    Args:
        shape: of the input, channels first.
        target: a description, or the name of one; "host" is what this machine has.
        constant: weight and bias are known beforehand.
        last: the input has neighbouring channels, otherwise neighbouring columns.
        residual: a tensor is added, scaled by channel and clipped.
        transpose: a transposed convolution is meant.
        tolerance: of the largest output.
        size: the input is multiplied by it, the weight by its inverse.
    """
    rng = np.random.default_rng(0)
    rank = len(shape) - 2
    attributes: dict[str, Any] = {
        "stride": tuple(stride or (1,) * rank),
        "dilation": tuple(dilation or (1,) * rank),
        "pads": tuple(pads or ((0, 0),) * rank),
        "groups": groups,
    }

    def random(*sizes: int) -> Array:
        return rng.standard_normal(sizes).astype(np.float32)

    x = random(*shape) * np.float32(size)
    ends = (shape[1], outputs // groups) if transpose else (outputs, shape[1] // groups)
    weight = random(*ends, *kernel) / np.float32(size)
    offset = random(outputs) if bias else None
    compute = reference.conv_transpose if transpose else reference.conv
    exact = [None if each is None else each.astype(np.float64) for each in (x, weight, offset)]
    expected = compute(*exact, **attributes, **more)

    kind = CONSTANT if constant else INPUT
    source = channels_last(x) if last else filled(x)
    factor = filled(weight, kind)
    summand = None if offset is None else filled(offset, kind)
    inputs = [(source, x)]
    if not constant:
        inputs.append((factor, weight))
        if offset is not None and summand is not None:
            inputs.append((summand, offset))
    epilogue = None
    if residual:
        added, scale = random(*expected.shape), random(1, outputs, *[1] * rank)
        expected = np.minimum((expected + added) * scale, 1)
        held = channels_last(added)
        inputs.append((held, added))
        epilogue = add_scale_clip(held, filled(scale, CONSTANT))
    out = result(expected.shape)
    chosen = target if isinstance(target, Target) else _named(target)
    calls = conv.lower(
        source,
        factor,
        out,
        chosen,
        bias=summand,
        transposed=transpose,
        epilogue=epilogue,
        low=low,
        **attributes,
    )
    (found,) = run(calls, inputs, [out], target=chosen, chunk=chunk)
    if expected.size:
        error = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-6)
        assert error < tolerance, f"{[each.label for each in calls]}: error {error}"
    return calls


@st.composite
def windows(draw: Any, most: int = 3) -> Any:
    """Return a kernel, sizes of spatial axes that it fits in, and other arguments of `check`.

    Args:
        most: the largest padding.
    """
    rank = draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    dilation = draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    reach = [(size - 1) * gap + 1 for size, gap in zip(kernel, dilation, strict=True)]
    pads = [(draw(st.integers(0, most)), draw(st.integers(0, most))) for _ in kernel]
    lengths = [
        draw(st.integers(max(1, size - sum(pad)), size + 9))
        for size, pad in zip(reach, pads, strict=True)
    ]
    options = {
        "target": draw(st.sampled_from(RUNNABLE)),
        "stride": draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank)),
        "dilation": dilation,
        "pads": pads,
        "chunk": draw(st.sampled_from([0, 1])),
        **{name: draw(st.booleans()) for name in ("bias", "constant", "last", "residual")},
    }
    return kernel, lengths, options


def _named(target: str) -> Target:
    return host_target() if target == "host" else TARGETS[target]


def labels(calls: Sequence[Call]) -> str:
    """Return what the calls say of themselves."""
    return "; ".join(each.label for each in calls)
