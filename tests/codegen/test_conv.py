"""Convolution kernels of every kind against the NumPy reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import CONSTANT, OUTPUT, Buffer, Epilogue, Tensor
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS, host_target
from mnn.codegen.templates import conv
from mnn.errors import CodegenError
from mnn.ops.reference import conv as reference
from tests.codegen.convolving import add_scale_clip, check, labels, windows
from tests.codegen.imaging import RUNNABLE, channels_last, emit_all, result
from tests.codegen.running import filled, run

ONE = ((1, 1), (1, 1))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "options"),
    [
        ((1, 64, 14, 14), (3, 3), 64, {"pads": ONE, "stride": (2, 2)}),
        ((1, 20, 13, 11), (3, 5), 37, {"pads": ((2, 0), (1, 3)), "stride": (1, 2)}),
        ((2, 20, 13, 11), (3, 3), 5, {"pads": ONE, "dilation": (2, 2)}),
        ((1, 130, 40, 40), (3, 3), 18, {"pads": ((6, 6), (6, 6)), "dilation": (6, 6)}),
        ((1, 400, 7, 7), (5, 5), 40, {"pads": ((2, 2), (2, 2))}),
        ((1, 8, 3, 200), (1, 31), 24, {"pads": ((0, 0), (15, 15))}),
        ((2, 12, 100), (5,), 20, {"pads": ((2, 2),), "stride": (2,)}),
        ((1, 6, 4, 5, 6), (2, 3, 2), 19, {"pads": ((1, 0), (1, 1), (0, 1)), "stride": (2, 1, 1)}),
        ((1, 10, 9, 1), (3, 1), 20, {"pads": ((1, 1), (0, 0))}),
        ((1, 24, 8, 8), (2, 2), 16, {"stride": (3, 3)}),
        ((1, 40, 9, 9), (3, 3), 66, {"pads": ((-1, 0), (0, -2))}),
        ((2, 32, 6, 5), (1, 1), 48, {}),
        ((1, 32, 9, 9), (1, 1), 48, {"stride": (2, 2)}),
        ((1, 32, 4, 4), (1, 1), 20, {"pads": ONE}),
    ],
)
def test_windows(
    target: str, shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any]
) -> None:
    for chunk, constant, residual in ((0, True, False), (1, False, True)):
        check(
            shape,
            kernel,
            outputs,
            target,
            chunk=chunk,
            constant=constant,
            residual=residual,
            **options,
        )


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 17])
def test_images_in_planes(target: str, channels: int) -> None:
    options: dict[str, Any] = {"pads": ONE, "stride": (2, 2), "last": False}
    calls = check((2, channels, 33, 35), (3, 3), 20, target, **options)
    assert ("relayout" in labels(calls)) == (channels > 4)
    check((1, channels, 20, 21), (7, 7), 32, target, pads=((3, 3), (3, 3)), last=False, chunk=1)
    check((1, channels, 12), (4,), 8, target, stride=(4,), last=False)
    check((1, channels, 9, 9), (3, 3), 17, target, dilation=(1, 2), last=False, constant=False)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(2, 20, 20), (3, 5, 17), (4, 8, 3)])
def test_groups(target: str, groups: int, inputs: int, outputs: int) -> None:
    for kernel, pads in (((3, 3), ONE), ((1, 1), ((0, 0), (0, 0)))):
        for constant, residual in ((True, False), (False, True)):
            check(
                (1, groups * inputs, 9, 11),
                kernel,
                groups * outputs,
                target,
                groups=groups,
                pads=pads,
                constant=constant,
                residual=residual,
                chunk=1,
            )


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("outputs", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((1, 32, 9, 11), (3, 3), {"pads": ONE}),
        ((2, 16, 9, 11), (3, 5), {"pads": ((2, 0), (1, 3)), "stride": (1, 2)}),
        ((1, 48, 13, 10), (3, 3), {"dilation": (2, 2), "pads": ((2, 2), (2, 2))}),
        ((1, 128, 5, 3), (1, 1), {}),
        ((2, 32, 40), (5,), {"pads": ((2, 2),)}),
        ((1, 64, 8, 8), (2, 2), {"stride": (2, 2), "groups": 2}),
    ],
)
def test_few_outputs(
    target: str, outputs: int, shape: tuple[int, ...], kernel: Any, options: dict[str, Any]
) -> None:
    groups = options.get("groups", 1)
    for chunk, constant, residual in ((0, True, False), (1, False, True)):
        calls = check(
            shape,
            kernel,
            outputs * groups,
            target,
            chunk=chunk,
            constant=constant,
            residual=residual,
            **options,
        )
        if groups == 1 and 1 < outputs <= TARGETS[target].lanes // 2:
            assert "dots" in labels(calls)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "options"),
    [
        ((1, 20, 7, 9), (3, 3), 24, {}),
        ((1, 20, 7, 9), (2, 2), 24, {"stride": (2, 2)}),
        ((2, 20, 7, 9), (4, 4), 24, {"stride": (2, 2), "pads": ONE}),
        ((1, 8, 5, 5), (3, 3), 6, {"stride": (2, 2), "pads": ONE, "output_padding": (1, 1)}),
        ((1, 20, 7, 9), (3, 3), 24, {"stride": (4, 3), "dilation": (2, 3)}),
        ((1, 20, 4, 4), (1, 1), 24, {"stride": (3, 3)}),
        ((1, 32, 7, 9), (3, 3), 32, {"stride": (2, 2), "groups": 32}),
        ((1, 32, 7, 9), (4, 4), 24, {"stride": (2, 2), "groups": 8, "pads": ONE}),
        ((2, 8, 11), (4,), 6, {"stride": (3,), "pads": ((2, 1),)}),
        ((1, 8, 3, 4, 5), (2, 3, 2), 6, {"stride": (2, 1, 2), "pads": ((0, 1),) * 3}),
        ((1, 8, 5, 5), (3, 3), 6, {"stride": (2, 2), "pads": ONE, "output_lengths": (13, 14)}),
    ],
)
def test_transposed(
    target: str, shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any]
) -> None:
    more = {"output_padding": (0,) * len(kernel), **options}
    for constant, residual in ((True, False), (False, True)):
        check(
            shape,
            kernel,
            outputs,
            target,
            transpose=True,
            constant=constant,
            residual=residual,
            **more,
        )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_shapes(data: st.DataObject) -> None:
    draw = data.draw
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    transpose = draw(st.booleans())
    kernel, lengths, options = draw(windows(0 if transpose else 3))
    check(
        (draw(st.integers(0, 2)), groups * draw(st.integers(1, 20)), *lengths),
        kernel,
        groups * draw(st.integers(1, 40)),
        groups=groups,
        transpose=transpose,
        **options,
        **({"output_padding": (0,) * len(kernel)} if transpose else {}),
    )


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(("kernel", "pads"), [((3, 3), ONE), ((1, 1), ((0, 0), (0, 0)))])
def test_slices_and_planes_of_outputs(target: str, kernel: Any, pads: Any) -> None:
    """Input and output are slices of wider buffers, and another output lies in planes."""
    rng = np.random.default_rng(7)
    wide = rng.standard_normal((1, 48, 8, 8)).astype(np.float32)
    weight = rng.standard_normal((24, 20, *kernel)).astype(np.float32)
    whole = channels_last(wide)
    part = Tensor(whole.buffer, (1, 20, 8, 8), whole.strides, whole.dtype, offset=11)
    attributes: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "pads": pads, "groups": 1}
    expected = reference.conv(wide[:, 11:31].astype(np.float64), weight, **attributes)
    room = result((1, 40, 8, 8))
    inside = Tensor(room.buffer, (1, 24, 8, 8), room.strides, room.dtype, offset=9)
    planes = result((1, 24, 8, 8), last=False)
    for out in (inside, planes):
        constant = filled(weight, CONSTANT)
        calls = conv.lower(part, constant, out, TARGETS[target], bias=None, **attributes)
        (found,) = run(calls, [(whole, wide)], [out], target=TARGETS[target])
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif(not host_target().bfloat16, reason="this machine has no bfloat16 products")
@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "options"),
    [
        ((1, 64, 14, 14), (3, 3), 64, {"pads": ONE, "stride": (2, 2)}),
        ((2, 18, 9, 11), (3, 5), 37, {"pads": ((2, 0), (1, 3)), "dilation": (2, 2)}),
        ((1, 512, 7, 7), (3, 3), 48, {"pads": ONE}),
        ((1, 32, 9, 9), (1, 1), 48, {"stride": (2, 2)}),
        ((1, 40, 9, 9), (3, 3), 40, {"groups": 2}),
        ((1, 15, 9, 9), (3, 3), 20, {"pads": ONE}),
        ((1, 3, 20, 20), (3, 3), 20, {"last": False}),
    ],
)
def test_low_precision(
    shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any]
) -> None:
    check(shape, kernel, outputs, "host", low=True, tolerance=1e-2, chunk=1, **options)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "kernel"),
    [
        (32, 32, 32, 3),
        (32, 32, 32, 5),
        (20, 37, 1, 3),
        (32, 48, 1, 1),
        (20, 5, 1, 5),
        (8, 24, 2, 3),
    ],
)
def test_long_epilogues_and_other_types(
    target: str, dtype: str, channels: int, outputs: int, groups: int, kernel: int
) -> None:
    """100 * sigmoid(conv(x)) with as many steps as need memory for the sums, and a cast."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, channels, 8, 9)).astype(np.float32)
    weight = rng.standard_normal((outputs, channels // groups, kernel, kernel)).astype(np.float32)
    pads = ((kernel // 2, kernel // 2),) * 2
    attributes: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "pads": pads}
    attributes["groups"] = groups
    program = Program(
        ("float32",),
        (
            Step("sigmoid", (0,), "float32", "float32"),
            constant_step(100.0, "float32"),
            Step("multiply", (1, 2), "float32", "float32"),
            Step("cast", (3,), "float32", dtype),
        ),
        (4,),
    )
    sums = reference.conv(x.astype(np.float64), weight, **attributes)
    source, out = channels_last(x), result(sums.shape, dtype)
    calls = conv.lower(
        source,
        filled(weight, CONSTANT),
        out,
        TARGETS[target],
        bias=None,
        epilogue=Epilogue(program),
        **attributes,
    )
    (found,) = run(calls, [(source, x)], [out], target=TARGETS[target])
    expected = 100 / (1 + np.exp(-sums))
    np.testing.assert_allclose(found, expected, atol=1.001 if dtype == "uint8" else 1e-2)


@pytest.mark.parametrize("channels", [3, 16])
def test_repeated_and_scattered_operands(channels: int) -> None:
    """One number is the bias of all channels; input and residual repeat, or lie in planes."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 1, 6, 7)).astype(np.float32)
    weight = rng.standard_normal((20, channels, 3, 3)).astype(np.float32)
    bias = np.array([0.5], np.float32)
    added = rng.standard_normal((2, 20, 1, 7)).astype(np.float32)
    scale = rng.standard_normal((1, 20, 6, 7)).astype(np.float32)
    attributes: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "pads": ONE, "groups": 1}
    wide = np.broadcast_to(x.astype(np.float64), (2, channels, 6, 7))
    sums = reference.conv(wide, weight, np.full(20, 0.5), **attributes)
    source, summand, residual = filled(x), filled(bias), filled(added)
    factor, out = filled(scale, CONSTANT), result(sums.shape)
    calls = conv.lower(
        source.broadcast(wide.shape),
        filled(weight, CONSTANT),
        out,
        TARGETS["avx2"],
        bias=summand.broadcast((20,)),
        epilogue=add_scale_clip(residual, factor),
        **attributes,
    )
    inputs = [(source, x), (summand, bias), (residual, added)]
    (found,) = run(calls, inputs, [out], target=TARGETS["avx2"])
    expected = np.minimum((sums + added) * scale, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_what_is_refused() -> None:
    x = channels_last(np.zeros((1, 4, 5, 5), np.float32))
    weight = filled(np.zeros((6, 3, 3, 3), np.float32), CONSTANT)
    out = result((1, 6, 5, 5))
    attributes: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "pads": ONE, "groups": 1}
    with pytest.raises(CodegenError, match="channels do not fit"):
        conv.lower(x, weight, out, TARGETS["avx2"], bias=None, **attributes)
    flat = Tensor(Buffer(16, OUTPUT), (2, 2), (2, 1), np.dtype(np.float32))
    with pytest.raises(CodegenError, match="3 to 5 axes"):
        conv.lower(flat, flat, flat, TARGETS["avx2"], bias=None, **attributes)
    double = channels_last(np.zeros((1, 3, 5, 5), np.float64))
    with pytest.raises(CodegenError, match="expected float32"):
        conv.lower(double, weight, out, TARGETS["avx2"], bias=None, **attributes)


@pytest.mark.parametrize("planes", [True, False])
def test_emits_for_neon(planes: bool) -> None:
    array = np.zeros((1, 3, 20, 20), np.float32)
    x = filled(array) if planes else channels_last(array)
    weight = filled(np.zeros((32, 3, 3, 3), np.float32), CONSTANT)
    calls = conv.lower(
        x,
        weight,
        result((1, 32, 10, 10)),
        TARGETS["neon"],
        bias=None,
        stride=(2, 2),
        dilation=(1, 1),
        pads=ONE,
        groups=1,
    )
    assert emit_all(calls, "neon") > 0
