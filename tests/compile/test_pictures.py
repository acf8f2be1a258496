"""Pictures through the compiler: what becomes one kernel, and that results stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

import mnn
from mnn import cv, expr
from mnn import numpy as namespace
from mnn.backends.compiled import Segment
from mnn.compile.explain import Explanation, explained
from mnn.config import config
from mnn.errors import IndexRangeError
from mnn.expr.node import INPUT, Cell, Ref, leaf, walk
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.ops import image as images

Array = np.ndarray[Any, Any]
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
SCALE = np.array([0.017, 0.0175, 0.0174], np.float32)


def picture(*shape: int, dtype: Any = np.uint8) -> Array:
    """Return random pixels."""
    rng = np.random.default_rng(3)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def planned(function: Callable[..., Any], *arrays: Array) -> tuple[Array, Explanation]:
    """Return what a plan of a recorded function computes, and what it consists of."""
    leaves = [leaf(INPUT, TensorType(each.shape, each.dtype), Cell(None)) for each in arrays]
    with config.using(lazy=True):
        ref = capture(function(*(var_of(Ref(each, 0)) for each in leaves)))
    nodes = [node for node in walk([ref]) if not node.is_leaf]
    constants = {
        node: node.cell.array
        for node in walk([ref])
        if node.cell is not None and node.cell.array is not None
    }
    segment = Segment(nodes, [ref], [Ref(each, 0) for each in leaves], constants)
    (found,) = segment.run(list(arrays), threads=2, low=False)
    return found, explained(segment.compiled(list(arrays), low=False)[0])


def agrees(function: Callable[..., Any], *arrays: Array, kernels: int | None = None) -> Explanation:
    """Assert that a plan gives what eager calls give, with that many kernels."""
    found, explanation = planned(function, *arrays)
    expected = np.asarray(function(*(Var(each.copy()) for each in arrays)))
    assert found.dtype == expected.dtype
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)
    if kernels is not None:
        assert sum(unit.steps for unit in explanation.units) == kernels, explanation
    return explanation


# --- one kernel ----------------------------------------------------------------------------------


def colours_first(image: Any) -> Any:
    """The usual preparation: RGB, normalised, channels first, with a batch."""
    small = cv.cvtColor(cv.resize(image, (24, 20)), cv.COLOR_BGR2RGB)
    scaled = (small.astype(np.float32) - MEAN) * SCALE
    return namespace.expand_dims(namespace.transpose(scaled, (2, 0, 1)), 0)


def colours_last(image: Any) -> Any:
    """The same, moved before it is computed with."""
    small = namespace.transpose(cv.resize(image, (24, 20)), (2, 0, 1))[::-1][None]
    return (small.astype(np.float32) - MEAN.reshape(1, 3, 1, 1)) / SCALE.reshape(1, 3, 1, 1)


def cut_out(image: Any) -> Any:
    """A part of the resized picture, mirrored."""
    return cv.resize(image, (40, 30))[3:27, 35:3:-2].astype(np.float32) * 2


def pixels_kept(image: Any) -> Any:
    """Channels stay last."""
    return cv.resize(image, (24, 20), mean=MEAN.tolist(), norm=SCALE.tolist())


def one_channel(image: Any) -> Any:
    """A single plane."""
    return cv.resize(image[..., 1], (24, 20)).astype(np.float32)[None, None] / 255


PREPARATIONS = [colours_first, colours_last, cut_out, pixels_kept, one_channel]


@pytest.mark.parametrize("function", PREPARATIONS)
def test_preparation_is_one_kernel(function: Callable[[Any], Any]) -> None:
    agrees(function, picture(37, 53, 3), kernels=1)


def test_values_known_later_only() -> None:
    def function(image: Any, mean: Any) -> Any:
        small = cv.resize(image, (24, 20))[..., ::-1].astype(np.float32) - mean
        return namespace.transpose(small, (2, 0, 1))

    agrees(function, picture(37, 53, 3), MEAN, kernels=1)
    # Interleaved results need one mean for each element of a row.
    agrees(lambda x, mean: cv.resize(x, (24, 20)) - mean, picture(37, 53, 3), MEAN)


def test_a_resized_picture_that_is_used_twice_is_stored_once() -> None:
    def function(image: Any) -> Any:
        small = cv.resize(image, (24, 20))
        turned = small[..., ::-1].astype(np.float32)
        return turned + cv.flip(small, 1).astype(np.float32)

    agrees(function, picture(37, 53, 3), kernels=2)


def test_upsampled_images_end_with_sums() -> None:
    def function(x: Any, lateral: Any) -> Any:
        sizes = np.array([12, 18], np.int32)
        return expr.relu(images.interpolate(x, sizes, method="nearest") + lateral)

    x, lateral = (picture(1, 40, *size, dtype=np.float32) for size in ((6, 9), (12, 18)))
    agrees(function, x, lateral, kernels=1)


def test_a_size_of_one_may_move() -> None:
    agrees(lambda x: cv.resize(x, (1, 20))[:, 0].astype(np.float32) + 1, picture(37, 53, 3))
    agrees(lambda x: cv.resize(x, (24, 1))[None].astype(np.float32) + 1, picture(37, 53, 3))


def test_results_that_views_only_change_are_written_in_place() -> None:
    def function(x: Any) -> Any:
        return namespace.transpose(expr.exp(x), (2, 0, 1))[None]

    agrees(function, picture(4, 5, 3, dtype=np.float32), kernels=1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(37, 53, 3), (36, 52, 3), (20, 31)])
@pytest.mark.parametrize("factors", [(0.5, 0.5), (0.5, 0.7), (0.313, 1.61), (2.03, 0.999)])
@pytest.mark.parametrize("way", [cv.INTER_NEAREST, cv.INTER_LINEAR])
def test_factors_say_more_than_sizes(
    dtype: str, shape: tuple[int, ...], factors: tuple[float, float], way: int
) -> None:
    across, down = factors
    image = picture(*shape, dtype=dtype)
    explanation = agrees(lambda x: cv.resize(x, None, across, down, way), image)
    halved = way == cv.INTER_LINEAR and factors == (0.5, 0.5)
    # Blocks that hang over an edge are left to the reference.
    assert ("image_resize" in str(explanation)) == (halved and shape != (36, 52, 3))


# --- the whole way -------------------------------------------------------------------------------


def test_recording_forces_nothing() -> None:
    image = namespace.array(picture(37, 53, 3))
    with config.using(lazy=True):
        bordered = cv.copyMakeBorder(image, 1, 2, 3, 4, cv.BORDER_REFLECT_101)
        turned = cv.rotate(cv.flip(bordered, 0), cv.ROTATE_90_CLOCKWISE)
        grey = cv.cvtColor(cv.resize(turned, None, fx=0.5, fy=0.7), cv.COLOR_BGR2GRAY)
        assert not str(mnn.explain(grey)).count("image_")
    np.testing.assert_array_equal(
        np.asarray(grey),
        np.asarray(
            cv.cvtColor(
                cv.resize(
                    cv.rotate(
                        cv.flip(cv.copyMakeBorder(image, 1, 2, 3, 4, cv.BORDER_REFLECT_101), 0),
                        cv.ROTATE_90_CLOCKWISE,
                    ),
                    None,
                    fx=0.5,
                    fy=0.7,
                ),
                cv.COLOR_BGR2GRAY,
            )
        ),
    )


# --- colour --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", range(12))
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colours(code: int, dtype: str) -> None:
    from mnn.ops.reference.picture import CHANNELS

    channels = CHANNELS[code][0]
    shape = (13, 22) if channels == 1 else (13, 22, channels)
    explanation = agrees(lambda x: cv.cvtColor(x, code), picture(*shape, dtype=dtype))
    assert "image_color" not in str(explanation)


# --- movement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, -1])
def test_flips(code: int) -> None:
    agrees(lambda x: cv.flip(x, code), picture(5, 7, 3), kernels=1)


@pytest.mark.parametrize("code", [0, 1, 2])
@pytest.mark.parametrize("shape", [(5, 7), (6, 3, 3)])
def test_rotations(code: int, shape: tuple[int, ...]) -> None:
    agrees(lambda x: cv.rotate(x, code), picture(*shape), kernels=1)


BORDERS = [cv.BORDER_REPLICATE, cv.BORDER_REFLECT, cv.BORDER_REFLECT_101, cv.BORDER_WRAP]


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("widths", [(1, 2, 3, 0), (0, 0, 0, 0), (7, 9, 11, 6), (0, 1, 0, 40)])
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 6), (3, 1, 2)])
def test_borders(border: int, widths: tuple[int, ...], shape: tuple[int, ...]) -> None:
    top, bottom, left, right = widths
    agrees(lambda x: cv.copyMakeBorder(x, top, bottom, left, right, border), picture(*shape))


@pytest.mark.parametrize("value", [0, 114, (1, 2, 3), (300, -4)])
@pytest.mark.parametrize("shape", [(4, 5, 3), (3, 6)])
def test_borders_of_one_colour(value: Any, shape: tuple[int, ...]) -> None:
    explanation = agrees(
        lambda x: cv.copyMakeBorder(x, 2, 1, 0, 3, cv.BORDER_CONSTANT, value), picture(*shape)
    )
    assert "image_border" not in str(explanation)


# --- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("method", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "tensorflow_half_pixel"])
def test_interpolation_of_any_rank(rank: int, layout: str, method: str, coordinates: str) -> None:
    spatial, sizes = (3, 4, 5)[:rank], (7, 2, 9)[:rank]
    shape = (2, 20, *spatial) if layout == "NCHW" else (2, *spatial, 20)

    def function(x: Any) -> Any:
        wanted = np.array(sizes, np.int32)
        return images.interpolate(x, wanted, method=method, coordinates=coordinates, layout=layout)

    found, explanation = planned(function, picture(*shape, dtype=np.float32))
    expected = np.asarray(function(Var(picture(*shape, dtype=np.float32))))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert all("resize" in unit.label or "copy" in unit.label for unit in explanation.units)


def test_regions_of_no_image_are_explained() -> None:
    def function(x: Any, rois: Any) -> Any:
        return images.roi_align(x, rois, 2, 2, 1.0, 0, True, 1)

    x = picture(1, 20, 9, 9, dtype=np.float32)
    rois = np.array([[0, 1, 1, 5, 6], [0, 2, 2, 4, 4]], np.float32)
    agrees(function, x, rois)
    rois[1, 0] = 3
    with pytest.raises(IndexRangeError, match="sample number 3"):
        planned(function, x, rois)


@pytest.mark.parametrize("channels", [3, 40])
def test_grids_and_crops_are_kernels(channels: int) -> None:
    x = picture(2, channels, 6, 7, dtype=np.float32)
    grid = picture(2, 4, 5, 2, dtype=np.float32)
    sampled = agrees(lambda a, b: images.grid_sample(a, b, mode="bicubic"), x, grid)
    boxes = np.array([[0, 0, 1, 1], [0.9, 0.8, 0.2, -0.1]], np.float32)
    index = np.array([1, 0], np.int32)

    def function(image: Any, corners: Any) -> Any:
        return images.crop_and_resize(image, corners, index, [3, 4])

    cropped = agrees(function, picture(2, 6, 7, channels), boxes)
    assert "grid sample" in str(sampled)
    assert "crop bilinear" in str(cropped)
