"""Kernels of int8 codes against NumPy: sums are exact, and so is what follows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mnn  # noqa: F401  (operators bring their bodies)
from mnn.codegen.builder import I32, Module, vector
from mnn.codegen.emission import Emitter
from mnn.codegen.host import host
from mnn.codegen.kernel import CONSTANT, INPUT, Epilogue
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import int8_conv, int8_tile
from mnn.codegen.templates.int8_ending import folded
from mnn.codegen.templates.int8_steps import CODES
from mnn.codegen.templates.int8_sums import summed
from mnn.errors import CodegenError
from mnn.ops.reference.rounding import round_half_away
from tests.codegen.imaging import RUNNABLE, channels_last, result
from tests.codegen.integers import DOTS, Convolved, check, codes_step, target_of
from tests.codegen.running import filled, run

ONE = ((1, 1), (1, 1))
HERE = (
    *RUNNABLE,
    "host",
    pytest.param(
        "avx-vnni",
        marks=pytest.mark.skipif(
            "+avxvnni" not in host().features.split(","), reason="this machine has no AVX-VNNI"
        ),
    ),
)

WINDOWS: list[tuple[tuple[int, ...], Any, int, dict[str, Any]]] = [
    ((1, 64, 14, 14), (1, 1), 64, {}),
    ((1, 64, 14, 14), (3, 3), 64, {"pads": ONE}),
    ((2, 20, 13, 11), (3, 5), 37, {"pads": ((2, 0), (1, 3)), "stride": (1, 2)}),
    ((2, 20, 13, 11), (3, 3), 5, {"pads": ONE, "dilation": (2, 2)}),
    ((1, 130, 20, 20), (3, 3), 18, {"pads": ((6, 6), (6, 6)), "dilation": (6, 6)}),
    ((1, 3, 30, 30), (7, 7), 64, {"pads": ((3, 3), (3, 3)), "stride": (2, 2)}),
    ((1, 24, 8, 8), (2, 2), 16, {"stride": (3, 3)}),
    ((1, 40, 9, 9), (3, 3), 66, {"pads": ((-1, 0), (0, -2))}),
    ((1, 40, 9, 9), (3, 3), 64, {"groups": 2, "pads": ONE}),
    ((1, 6, 4, 5, 6), (2, 3, 2), 19, {"pads": ((1, 0), (1, 1), (0, 1)), "stride": (2, 1, 1)}),
    ((2, 12, 100), (5,), 20, {"pads": ((2, 2),), "stride": (2,)}),
    ((1, 100, 1, 1), (1, 1), 1000, {}),
    ((1, 32, 9, 9), (1, 1), 48, {"stride": (2, 2)}),
    ((1, 32, 4, 4), (1, 1), 20, {"pads": ONE}),
]

DEPTHWISE: list[tuple[tuple[int, ...], Any, dict[str, Any]]] = [
    ((2, 4, 14, 9), (3, 3), {"pads": ONE}),
    ((1, 5, 14, 9), (3, 3), {"pads": ONE}),
    ((1, 24, 9, 1), (3, 3), {"pads": ONE}),
    ((2, 72, 14, 9), (3, 3), {"pads": ONE}),
    ((1, 100, 14, 9), (3, 3), {"pads": ONE, "zero": 127}),
    ((1, 40, 14, 9), (5, 5), {"pads": ((2, 2), (2, 2)), "stride": (2, 2)}),
    ((1, 40, 14, 9), (7, 7), {"pads": ((3, 3), (3, 3))}),
    ((1, 40, 14, 9), (3, 3), {"pads": ((2, 2), (2, 2)), "dilation": (2, 2)}),
    ((1, 40, 14, 9), (3, 3), {"stride": (2, 2), "zero": -128}),
    ((1, 40, 4, 14, 9), (3, 3, 3), {"pads": ((1, 1),) * 3, "stride": (2, 2, 2)}),
    ((1, 200, 30, 30), (3, 3), {"pads": ONE}),
    ((1, 32, 5, 28), (3, 3), {"pads": ONE}),
    ((2, 16, 7, 24), (3, 5), {"pads": ((1, 1), (2, 2)), "dilation": (2, 1)}),
    ((1, 32, 5, 28), (5, 3), {"pads": ((4, 4), (2, 2)), "dilation": (1, 2)}),
]


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize(("shape", "kernel", "outputs", "options"), WINDOWS)
def test_windows(
    target: str, shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any]
) -> None:
    for chunk, ending in ((0, "codes"), (1, "real"), (1, "residual")):
        check(shape, kernel, outputs, target, chunk=chunk, ending=ending, **options)


@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize(("shape", "kernel", "options"), DEPTHWISE)
def test_depthwise(
    target: str, shape: tuple[int, ...], kernel: Any, options: dict[str, Any]
) -> None:
    options = {**options, "groups": shape[1]}
    for chunk, ending in ((0, "codes"), (1, "real"), (1, "residual")):
        calls = check(shape, kernel, shape[1], target, chunk=chunk, ending=ending, **options)
        assert "depthwise" in calls[-1].label


@pytest.mark.parametrize("target", HERE)
def test_images_in_planes(target: str) -> None:
    for channels in (1, 2, 3, 4, 5):
        options: dict[str, Any] = {"pads": ONE, "stride": (2, 2), "last": False}
        calls = check((2, channels, 20, 21), (3, 3), 20, target, **options)
        assert ("relayout" in calls[0].label) == (channels > 4)
    check((1, 3, 20, 21), (7, 7), 32, target, pads=((3, 3), (3, 3)), last=False, chunk=1)
    check((1, 3, 9, 9), (3, 3), 17, target, dilation=(1, 2), last=False)
    check((1, 17, 9, 9), (3, 3), 17, target, groups=17, last=False)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(RUNNABLE),
    st.tuples(*(st.integers(1, 40) for _ in range(2))),
    st.tuples(*(st.integers(1, 9) for _ in range(2))),
    st.tuples(*(st.integers(1, 4) for _ in range(2))),
    st.integers(-128, 127),
    st.integers(0, 2),
)
def test_any_shape(
    target: str,
    channels: tuple[int, int],
    lengths: tuple[int, int],
    kernel: tuple[int, int],
    zero: int,
    pad: int,
) -> None:
    inputs, outputs = channels
    longest = [max(one, two - 2 * pad) for one, two in zip(lengths, kernel, strict=True)]
    pads = ((pad, pad), (pad, pad))
    check((1, inputs, *longest), kernel, outputs, target, zero=zero, pads=pads)
    if inputs >= 4:
        shape = (1, inputs, *longest)
        check(shape, kernel, inputs, target, zero=zero, pads=pads, groups=inputs)


def test_largest_sums_fit() -> None:
    case = Convolved((1, 4096, 1, 2), (1, 1), 32, zero=-128)
    case.x[...], case.weight[...] = 127, -128
    x, out = channels_last(case.x), result(case.real.shape)
    for name in RUNNABLE:
        calls = case.lower(x, out, TARGETS[name], None)
        (got,) = run(calls, [(x, case.x)], [out], target=TARGETS[name])
        sums = np.float32(255 * -128 * 4096)
        spots = (1, -1, 1, 1)
        want = sums * case.scale.reshape(spots) + case.bias.reshape(spots)
        np.testing.assert_array_equal(got, np.broadcast_to(want, got.shape))
    with pytest.raises(CodegenError, match="32 bits"):
        int8_tile.starting_sums(np.ones((1, 70_000), np.int8), 0, int8_tile.PAIRS)


@pytest.mark.parametrize("target", ["neon", DOTS, "sse2"])
def test_emission(target: str) -> None:
    for shape, groups in (((1, 16, 9, 9), 1), ((1, 16, 9, 9), 16)):
        case = Convolved(shape, (3, 3), 16, groups=groups, pads=ONE)
        epilogue = Epilogue(Program(("float32",), (codes_step(0),), (1,)))
        out = result(case.real.shape, np.int8)
        machine = target_of(target)
        emitter = Emitter(triple=machine.triple, cpu=machine.cpu, features=machine.features)
        (call,) = case.lower(channels_last(case.x), out, machine, epilogue)
        assert emitter.emit(call.kernel.build(machine).text())[0]


# --- what follows the sums ------------------------------------------------------------------------


def _program(*steps: Step) -> Epilogue:
    return Epilogue(Program(("float32",), steps, (len(steps),)))


def test_linear_steps_and_bounds_are_folded() -> None:
    epilogue = _program(
        Step("relu6", (0,), "float32", "float32", (("minimum", 0.0), ("maximum", 6.0))),
        constant_step(20.0, "float32"),
        Step("multiply", (1, 2), "float32", "float32"),
        constant_step(5.0, "float32"),
        Step("add", (3, 4), "float32", "float32"),
        codes_step(5),
    )
    found = folded(np.array([0.5, 1.0]), np.array([1.0, -1.0]), epilogue)
    np.testing.assert_array_equal(found.scale, np.float32([10, 20]))
    np.testing.assert_array_equal(found.bias, np.float32([25, -15]))
    assert found.epilogue is not None
    (step,) = found.epilogue.program.steps
    attributes = (("minimum", 5), ("maximum", 120), ("finite", True))
    assert step == Step(CODES, (0,), "float32", "int8", attributes)


@pytest.mark.parametrize("seed", range(4))
def test_folded_programs_make_the_same_codes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scale, bias = rng.uniform(0.01, 0.1, 1), rng.uniform(-1, 1, 1)
    sums = rng.integers(-4000, 4000, 10_000).astype(np.float32)
    bound, inverse, zero = rng.uniform(1, 9), rng.uniform(5, 20), float(rng.integers(-20, 20))
    epilogue = _program(
        constant_step(bound, "float32"),
        Step("minimum", (0, 1), "float32", "float32"),
        Step("relu", (2,), "float32", "float32", (("slope", 0.0),)),
        constant_step(inverse, "float32"),
        Step("multiply", (3, 4), "float32", "float32"),
        constant_step(zero, "float32"),
        Step("add", (5, 6), "float32", "float32"),
        codes_step(7),
    )
    exact = np.maximum(np.minimum(sums.astype(np.float64) * scale + bias, bound), 0)
    exact = exact * inverse + zero
    found = folded(scale, bias, epilogue)
    assert found.epilogue is not None
    bounds = dict(found.epilogue.program.steps[0].attributes)
    got = round_half_away(sums * found.scale + found.bias)
    got = np.clip(got, bounds["minimum"], bounds["maximum"])
    want = np.clip(round_half_away(exact), -127, 120)
    near = np.abs(np.abs(exact - np.trunc(exact)) - 0.5) < 1e-3
    np.testing.assert_array_equal(got[~near], want[~near])
    assert near.mean() < 0.01


def test_residuals_become_weighted_sums() -> None:
    one, two = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    program = Program(
        ("float32", "int8"),
        (
            codes_step(0),
            Step("cast", (2,), "int8", "float32"),
            constant_step(0.25, "float32"),
            Step("multiply", (3, 4), "float32", "float32"),
            Step("cast", (1,), "int8", "float32"),
            constant_step(3.0, "float32"),
            Step("subtract", (6, 7), "float32", "float32"),
            constant_step(0.5, "float32"),
            Step("multiply", (8, 9), "float32", "float32"),
            Step("add", (5, 10), "float32", "float32"),
            Step("relu", (11,), "float32", "float32", (("slope", 0.0),)),
            constant_step(4.0, "float32"),
            Step("divide", (12, 13), "float32", "float32"),
            codes_step(14),
        ),
        (15,),
    )
    short = summed(program)
    assert len(short.steps) < len(program.steps) - 3
    found = [
        evaluate(each, [one.astype(np.float32), two.astype(np.int8)]) for each in (program, short)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    bounds = dict(short.steps[-1].attributes)
    assert (bounds["minimum"], bounds["maximum"]) == (0, 120)
    other = Program(program.inputs, program.steps[:4], (5,))
    assert summed(other) is other


def evaluate(program: Program, inputs: list[Any]) -> Any:
    """Return what NumPy makes of a program with CODES steps."""
    held = list(inputs)
    for step in program.steps:
        operands = [held[each].astype(step.compute) for each in step.arguments]
        attributes = dict(step.attributes)
        if step.name == CODES:
            whole = round_half_away(operands[0])
            made = np.clip(whole, attributes["minimum"], attributes["maximum"])
        elif step.name == "constant":
            made = np.float32(attributes["value"])
        elif step.name in ("cast", "relu"):
            made = np.maximum(operands[0], 0) if step.name == "relu" else operands[0]
        else:
            made = getattr(np, step.name)(*operands)
        held.append(made.astype(step.result))
    return held[program.outputs[0]]


def test_other_programs_are_kept() -> None:
    scale, bias = np.ones(1), np.zeros(1)
    for epilogue in (
        _program(Step("sigmoid", (0,), "float32", "float32"), codes_step(1)),
        _program(
            constant_step(-2.0, "float32"),
            Step("multiply", (0, 1), "float32", "float32"),
            codes_step(2),
        ),
        _program(Step("add", (0, 0), "float32", "float32"), codes_step(1)),
        _program(Step("relu", (0,), "float32", "float32", (("slope", 0.5),)), codes_step(1)),
    ):
        assert folded(scale, bias, epilogue).epilogue == epilogue


def test_what_is_not_taken() -> None:
    case = Convolved((1, 8, 4, 4), (3, 3), 8)
    x, out = channels_last(case.x), result(case.real.shape)
    weight = filled(case.weight, CONSTANT)
    scale, bias = filled(case.scale, CONSTANT), filled(case.bias, CONSTANT)
    window = case.attributes

    def refused(match: str, **changes: Any) -> None:
        operands = {"x": x, "weight": weight, "out": out, "scale": scale, "bias": bias, **changes}
        with pytest.raises(CodegenError, match=match):
            int8_conv.lower(**operands, target=TARGETS["avx2"], zero=0, **window)

    refused("expected codes", x=channels_last(case.x.astype(np.float32)))
    refused("must be constants", weight=filled(case.weight, INPUT))
    refused("do not fit", scale=filled(case.scale[:4], CONSTANT))
    refused("expected equal types", out=result(case.real.shape, np.int8))
    f = Module(TARGETS["avx2"]).entry()
    lanes = f.constant(0, vector(8, I32))
    for product in (int8_tile.BYTES, int8_tile.SIGNED):
        with pytest.raises(CodegenError, match="which has none"):
            int8_tile.add_products(f, product, lanes, lanes, lanes)
