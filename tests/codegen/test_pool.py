"""Pooling kernels against the NumPy reference, on every target this machine runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import Epilogue, Tensor
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import pool
from mnn.errors import CodegenError
from mnn.ops.reference import pool as reference
from mnn.ops.reference.window_shapes import pool_shape
from tests.codegen.imaging import RUNNABLE, channels_last, emit_all, result
from tests.codegen.running import Array, filled, run


def check(
    x: Array,
    target: str,
    *,
    kind: str = "max",
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    count: str = "exclude",
    ceil_mode: bool = False,
    clip: bool = True,
    chunk: int = 0,
    last: bool = True,
) -> None:
    """Compare a pooling with the reference in float64."""
    attributes: dict[str, Any] = {"kernel": kernel, "stride": stride, "pads": pads}
    attributes |= {"ceil_mode": ceil_mode, "clip": clip}
    shape = pool_shape(x.shape, **attributes)
    source = channels_last(x) if last else filled(x)
    out = result(shape, x.dtype, last=last)
    calls = pool.lower(
        source,
        out,
        TARGETS[target],
        kind=kind,
        kernel=kernel,
        stride=stride,
        pads=pads,
        count=count,
    )
    (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=chunk)
    exact = x.astype(np.float64) if x.dtype.kind == "f" else x
    if kind == "max":
        np.testing.assert_array_equal(found, reference.max_pool(exact, **attributes))
    else:
        expected = reference.avg_pool(exact, count=count, **attributes)
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "pads"),
    [
        ((1, 32, 14, 14), (3, 3), (2, 2), ((1, 1), (1, 1))),
        ((2, 19, 9, 11), (2, 2), (2, 2), ((0, 0), (0, 0))),
        ((1, 16, 6, 7), (3, 3), (1, 1), ((1, 1), (1, 1))),
        ((1, 5, 13, 17), (5, 7), (3, 2), ((2, 1), (0, 3))),
        ((2, 33, 40), (4,), (3,), ((1, 2),)),
        ((1, 17, 5, 6, 7), (2, 3, 2), (1, 2, 2), ((0, 1), (1, 1), (1, 0))),
        ((3, 70, 7, 7), (7, 7), (1, 1), ((0, 0), (0, 0))),
        ((1, 130, 3, 9), (3, 9), (1, 1), ((0, 0), (0, 0))),
    ],
)
def test_windows(
    target: str, kind: str, shape: tuple[int, ...], kernel: Any, stride: Any, pads: Any
) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for chunk in (0, 1):
        for count in ("include", "exclude"):
            check(
                x,
                target,
                kind=kind,
                kernel=kernel,
                stride=stride,
                pads=pads,
                count=count,
                chunk=chunk,
            )


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("count", ["include", "exclude"])
def test_windows_behind_the_input(target: str, kind: str, count: str) -> None:
    x = np.random.default_rng(1).standard_normal((1, 3, 3, 9, 8)).astype(np.float32)
    check(
        x,
        target,
        kind=kind,
        kernel=(1, 7, 7),
        stride=(3, 2, 1),
        pads=((0, 0), (5, 0), (1, 4)),
        count=count,
        ceil_mode=True,
        clip=False,
    )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_shapes(data: st.DataObject) -> None:
    draw = data.draw
    rank = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank))
    channels = draw(st.sampled_from([1, 2, 3, 8, 15, 16, 20, 33]))
    batch = draw(st.sampled_from([0, 1, 2]))
    kernel = tuple(draw(st.integers(1, each + 1)) for each in lengths)
    stride = tuple(draw(st.integers(1, 3)) for _ in lengths)
    pads = tuple(
        (draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))) for size in kernel
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64, np.int32]))
    x = (rng.standard_normal((batch, channels, *lengths)) * 9).astype(dtype)
    check(
        x,
        draw(st.sampled_from(RUNNABLE)),
        kind="max" if x.dtype.kind == "i" else draw(st.sampled_from(["max", "average"])),
        kernel=kernel,
        stride=stride,
        pads=pads,
        count=draw(st.sampled_from(["include", "exclude"])),
        ceil_mode=draw(st.booleans()),
        clip=draw(st.booleans()),
        chunk=draw(st.sampled_from([0, 1])),
        last=x.dtype.itemsize != 4 or draw(st.booleans()),
    )


@pytest.mark.parametrize("target", RUNNABLE)
def test_special_values(target: str) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 20, 9, 9)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    x[rng.random(x.shape) < 0.05] = -np.inf
    x[0, 3] = -np.inf
    window: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "pads": ((1, 1), (1, 1))}
    with np.errstate(invalid="ignore"):
        check(x, target, kind="max", **window)
        check(x, target, kind="average", **window)
        check(x, target, kind="max", kernel=(9, 9), stride=(1, 1), pads=((0, 0), (0, 0)))
        x[0, 5, 0, 0], x[0, 5, 8, 8] = np.inf, 1
        check(x, target, kind="average", kernel=(9, 9), stride=(1, 1), pads=((0, 0), (0, 0)))


def test_long_planes_are_summed_exactly_enough() -> None:
    x = np.random.default_rng(0).random((1, 16, 100_000)).astype(np.float32)
    check(x, "avx512", kind="average", kernel=(100_000,), stride=(1,), pads=((0, 0),))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("window", [(3, 3), (8, 6)])
def test_epilogue(target: str, window: tuple[int, int]) -> None:
    """max_pool(x) + residual, scaled by channel, below 1."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 21, 8, 6)).astype(np.float32)
    pads = ((0, 0), (0, 0))
    expected = reference.max_pool(x, kernel=window, stride=(1, 1), pads=pads)
    residual = rng.standard_normal(expected.shape).astype(np.float32)
    scale = rng.standard_normal((1, 21, 1, 1)).astype(np.float32)
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
    source, more, factor = channels_last(x), channels_last(residual), filled(scale, "constant")
    out = result(expected.shape)
    calls = pool.lower(
        source,
        out,
        TARGETS[target],
        kind="max",
        kernel=window,
        stride=(1, 1),
        pads=pads,
        epilogue=Epilogue(program, (more, factor)),
    )
    (found,) = run(calls, [(source, x), (more, residual)], [out], target=TARGETS[target])
    np.testing.assert_allclose(found, np.minimum((expected + residual) * scale, 1), rtol=1e-6)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("window", [(3, 3), (8, 6)])
@pytest.mark.parametrize("dtype", ["uint8", "float64", "bool"])
def test_results_of_another_type(target: str, window: tuple[int, int], dtype: str) -> None:
    x = np.random.default_rng(5).integers(0, 99, (1, 37, 8, 6)).astype(np.float32)
    pads = ((0, 0), (0, 0))
    expected = reference.max_pool(x, kernel=window, stride=(1, 1), pads=pads).astype(dtype)
    program = Program(("float32",), (Step("cast", (0,), "float32", dtype),), (1,))
    source, out = channels_last(x), result(expected.shape, dtype)
    calls = pool.lower(
        source,
        out,
        TARGETS[target],
        kind="max",
        kernel=window,
        stride=(1, 1),
        pads=pads,
        epilogue=Epilogue(program),
    )
    (found,) = run(calls, [(source, x)], [out], target=TARGETS[target])
    np.testing.assert_array_equal(found, expected)


def test_slices_of_wider_buffers() -> None:
    rng = np.random.default_rng(7)
    wide = rng.standard_normal((1, 48, 6, 6)).astype(np.float32)
    whole = channels_last(wide)
    part = Tensor(whole.buffer, (1, 16, 6, 6), whole.strides, whole.dtype, offset=16)
    out = result((1, 16, 3, 3))
    calls = pool.lower(
        part,
        out,
        TARGETS["avx2"],
        kind="max",
        kernel=(2, 2),
        stride=(2, 2),
        pads=((0, 0), (0, 0)),
    )
    (found,) = run(calls, [(whole, wide)], [out], target=TARGETS["avx2"])
    expected = reference.max_pool(
        wide[:, 16:32], kernel=(2, 2), stride=(2, 2), pads=((0, 0), (0, 0))
    )
    np.testing.assert_array_equal(found, expected)


def test_repeated_channels() -> None:
    x = np.random.default_rng(7).standard_normal((1, 1, 6, 6)).astype(np.float32)
    window: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "pads": ((0, 0), (0, 0))}
    source, out = filled(x), result((1, 20, 3, 3))
    wide = source.broadcast((1, 20, 6, 6))
    calls = pool.lower(wide, out, TARGETS["avx2"], kind="max", **window)
    (found,) = run(calls, [(source, x)], [out], target=TARGETS["avx2"])
    expected = np.broadcast_to(reference.max_pool(x, **window), found.shape)
    np.testing.assert_array_equal(found, expected)


def test_what_is_refused() -> None:
    half = channels_last(np.zeros((1, 2, 4, 4), np.float16))
    window: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "pads": ((0, 0), (0, 0))}
    with pytest.raises(CodegenError, match="4 or 8 bytes"):
        pool.lower(half, half, TARGETS["avx2"], kind="max", **window)
    whole = channels_last(np.zeros((1, 2, 4, 4), np.int32))
    with pytest.raises(CodegenError, match="floats for a mean"):
        pool.lower(whole, whole, TARGETS["avx2"], kind="average", **window)
    with pytest.raises(CodegenError, match="kind 'least'"):
        pool.lower(whole, whole, TARGETS["avx2"], kind="least", **window)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("kernel", [(3, 3), (9, 9)])
def test_emits_for_neon(kind: str, kernel: tuple[int, int]) -> None:
    x = channels_last(np.zeros((1, 20, 9, 9), np.float32))
    out = result((1, 20, 10 - kernel[0], 10 - kernel[1]))
    pads = ((0, 0), (0, 0))
    calls = pool.lower(x, out, TARGETS["neon"], kind=kind, kernel=kernel, stride=(1, 1), pads=pads)
    assert emit_all(calls, "neon") > 0
