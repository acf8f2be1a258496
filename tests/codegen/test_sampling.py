"""Sampling kernels against the NumPy references, on every target this machine runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mnn.codegen.kernel import OUTPUT, Buffer, Call, Tensor, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import sampling_grid, sampling_regions
from mnn.errors import CodegenError, IndexRangeError, ShapeError
from mnn.ops.reference.regions import crop_and_resize, roi_align
from mnn.ops.reference.sampling import grid_sample
from tests.codegen.imaging import RUNNABLE, emit_all
from tests.codegen.running import Array, Runner, filled, run

CHANNELS = (1, 3, 4, 7, 16, 19, 70, 130)
ORDERS = {"pixels": None, "planes": (0, 3, 1, 2)}
SPECIAL = [-1.0, 1.0, 0.0, -1.01, 1.3, 2.0, 7.5, -30.0, 1e20, -1e20, np.nan, np.inf, -np.inf]


def normal(*shape: int, seed: int = 0) -> Array:
    """Return random float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def result(shape: Sequence[int], order: Sequence[int] | None = None) -> Tensor:
    """Return a tensor to be filled."""
    return contiguous(Buffer(4 * int(np.prod(shape)), OUTPUT), shape, np.dtype(np.float32), order)


def compare(found: Array, expected: Array) -> None:
    """Assert equality up to float32 rounding."""
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


# --- grids ---------------------------------------------------------------------------------------


def sampled(x: Array, grid: Array, **settings: Any) -> Array:
    """Return the reference's result for float64 pixels."""
    made = grid_sample(x.astype(np.float64), grid, layout="NHWC", **settings)
    return np.asarray(made)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grids(target: str, mode: str, padding: str, align_corners: bool) -> None:
    settings: dict[str, Any] = {"mode": mode, "padding": padding, "align_corners": align_corners}
    grid = np.random.default_rng(4).uniform(-1.6, 1.6, (2, 5, 6, 2)).astype(np.float32)
    grid[0, 0, :, 0], grid[1, 1, :, 1] = SPECIAL[:6], SPECIAL[6:12]
    grid[1, 2, 0] = SPECIAL[12]
    for channels in CHANNELS:
        for order in ORDERS.values():
            x = normal(2, 4, 7, channels)
            source, places = filled(x, order=order), filled(grid)
            out = result((2, 5, 6, channels), order)
            calls = sampling_grid.lower(source, places, out, TARGETS[target], **settings)
            given = [(source, x), (places, grid)]
            (found,) = run(calls, given, [out], target=TARGETS[target], chunk=3)
            compare(found, sampled(x, grid, **settings))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 1)])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_narrow_images(
    target: str, shape: tuple[int, int], padding: str, align_corners: bool
) -> None:
    settings: dict[str, Any] = {"padding": padding, "align_corners": align_corners}
    x = normal(1, *shape, 5)
    grid = np.random.default_rng(1).uniform(-3, 3, (1, 4, 9, 2))
    for mode in ("nearest", "bilinear", "bicubic"):
        source, places, out = filled(x), filled(grid), result((1, 4, 9, 5))
        calls = sampling_grid.lower(source, places, out, TARGETS[target], mode=mode, **settings)
        (found,) = run(calls, [(source, x), (places, grid)], [out], target=TARGETS[target])
        compare(found, sampled(x, grid, mode=mode, **settings))


@pytest.mark.parametrize("target", RUNNABLE)
def test_pixels_of_weight_zero_have_no_influence(target: str) -> None:
    x = normal(1, 5, 5, 20)
    x[0, 2, 2], x[0, 0, 4] = np.inf, np.nan
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 2), -1)[None].astype(np.float32)
    for mode in ("nearest", "bilinear", "bicubic"):
        settings: dict[str, Any] = {"mode": mode, "padding": "zeros", "align_corners": True}
        source, places, out = filled(x), filled(grid), result((1, 5, 5, 20))
        calls = sampling_grid.lower(source, places, out, TARGETS[target], **settings)
        (found,) = run(calls, [(source, x), (places, grid)], [out], target=TARGETS[target])
        compare(found, sampled(x, grid, **settings))


# --- regions -------------------------------------------------------------------------------------


def status() -> Tensor:
    """Return a status word."""
    return contiguous(Buffer(8), (1,), np.dtype(np.int64))


def finished(
    calls: Sequence[Call],
    inputs: Sequence[tuple[Tensor, Array]],
    out: Tensor,
    word: Tensor,
    target: str,
    chunk: int = 0,
) -> tuple[Array, int]:
    """Return what calls store, and the status."""
    runner = Runner(calls, TARGETS[target])
    for tensor, array in [*inputs, (word, np.zeros(1, np.int64))]:
        runner.write(tensor, array)
    runner.run(chunk)
    return runner.view(out).copy(), int(runner.view(word)[0])


ROIS = np.array(
    [
        [0, 0, 3, 3],
        [1.2, 0.5, 6.5, 4.1],
        [-3, -2, 2, 9],
        [5, 5, 5, 5],
        [4, 3, 1, 1],
        [20, 20, 30, 30],
    ],
    np.float32,
)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("ratio", [0, 1, 2, -1])
def test_regions_of_interest(target: str, aligned: bool, mode: str, ratio: int) -> None:
    settings: dict[str, Any] = {"aligned": aligned, "mode": mode, "sampling_ratio": ratio}
    settings["spatial_scale"] = 0.7
    index = np.array([0, 1, 1, 0, 1, 0])
    for channels in CHANNELS:
        for order in ORDERS.values():
            x = normal(2, 5, 8, channels)
            tensors = [filled(x, order=order), filled(ROIS), filled(index)]
            out, word = result((6, 3, 2, channels), order), status()
            calls = sampling_regions.lower_align(
                *tensors, out, TARGETS[target], status=word, **settings
            )
            pairs = list(zip(tensors, (x, ROIS, index), strict=True))
            found, refused = finished(calls, pairs, out, word, target, chunk=4)
            exact = x.astype(np.float64)
            compare(found, roi_align(exact, ROIS, index, pooled=(3, 2), layout="NHWC", **settings))
            assert not refused


BOXES = np.array(
    [
        [0, 0, 1, 1],
        [0.2, 0.8, 0.9, -0.1],
        [-0.5, -0.5, 1.5, 1.5],
        [0.3, 0.3, 0.3, 0.3],
        [np.nan, 0, 1, 1],
        [0, 0, np.inf, 1],
    ],
    np.float32,
)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("size", [(3, 4), (1, 5), (6, 1)])
def test_boxes(target: str, method: str, dtype: str, size: tuple[int, int]) -> None:
    index = np.array([0, 1, 1, 0, 1, 0], np.int32)
    for channels in CHANNELS:
        x = (normal(2, 5, 8, channels) * 50 + 120).astype(dtype)
        tensors = [filled(x), filled(BOXES), filled(index)]
        out, word = result((6, *size, channels)), status()
        calls = sampling_regions.lower_crops(
            *tensors, out, TARGETS[target], status=word, method=method, outside=-2.5
        )
        pairs = list(zip(tensors, (x, BOXES, index), strict=True))
        found, refused = finished(calls, pairs, out, word, target, chunk=1)
        exact = x.astype(np.float64)
        expected = crop_and_resize(exact, BOXES, index, np.array(size), method=method, outside=-2.5)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)
        assert not refused


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(
    ("corner", "sample"),
    [(np.nan, 0), (np.inf, 0), (1e9, 0), (3.0, 2), (3.0, -1), (3.0, 0.5), (3.0, np.nan)],
)
def test_what_the_reference_refuses_sets_the_status(
    target: str, corner: float, sample: float
) -> None:
    x, index = normal(2, 5, 8, 20), np.array([0.0, sample])
    rois = np.array([[0, 0, 3, 3], [0, 0, 3, corner]])
    tensors = [filled(x), filled(rois), filled(index)]
    pairs = list(zip(tensors, (x, rois, index), strict=True))
    settings: dict[str, Any] = {"aligned": False, "mode": "avg", "sampling_ratio": 0}
    out, word = result((2, 2, 2, 20)), status()
    calls = sampling_regions.lower_align(
        *tensors, out, TARGETS[target], status=word, spatial_scale=1.0, **settings
    )
    assert finished(calls, pairs, out, word, target)[1] == 1
    if sample == 0:
        return
    with pytest.raises((IndexRangeError, ShapeError)):
        roi_align(x, rois, index, pooled=(2, 2), spatial_scale=1.0, layout="NHWC", **settings)
    word = status()
    calls = sampling_regions.lower_crops(
        *tensors, out, TARGETS[target], status=word, method="nearest", outside=0.0
    )
    assert finished(calls, pairs, out, word, target)[1] == 1


# --- the rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 64])
def test_code_for_arm(channels: int) -> None:
    x, target = filled(normal(1, 5, 8, channels)), TARGETS["neon"]
    corners, index, word = filled(ROIS[:2]), filled(np.zeros(2, np.int32)), status()
    grid, out = filled(normal(1, 3, 4, 2)), result((2, 3, 4, channels))
    settings: dict[str, Any] = {"spatial_scale": 1.0, "sampling_ratio": 0, "aligned": True}
    calls = sampling_regions.lower_align(
        x, corners, index, out, target, status=word, mode="max", **settings
    )
    calls += sampling_regions.lower_crops(
        x, corners, index, out, target, status=word, method="bilinear", outside=0.0
    )
    for mode in ("nearest", "bilinear", "bicubic"):
        calls += sampling_grid.lower(
            x,
            grid,
            result((1, 3, 4, channels)),
            target,
            mode=mode,
            padding="reflection",
            align_corners=False,
        )
    assert emit_all(calls, "neon") > 0


def test_refusals() -> None:
    target = TARGETS["avx512"]
    x, out = filled(normal(1, 5, 8, 3)), result((2, 3, 4, 3))
    settings: dict[str, Any] = {"mode": "nearest", "padding": "zeros", "align_corners": True}
    with pytest.raises(CodegenError, match="a grid of"):
        sampling_grid.lower(x, filled(normal(1, 3, 4, 3)), out, target, **settings)
    index, boxes = filled(np.zeros(2, np.int32)), filled(normal(2, 5))
    with pytest.raises(CodegenError, match=r"regions of \(2, 5\)"):
        sampling_regions.lower_crops(
            x, boxes, index, out, target, status=status(), method="nearest", outside=0.0
        )
