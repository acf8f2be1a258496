"""Pictures equal OpenCV's: uint8 to the bit, floats to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2 as opencv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mnn.cv as cv2
from mnn.errors import FormatError, MnnError, ShapeError

SIDES = st.integers(1, 60)
PICTURES = st.tuples(SIDES, SIDES, st.sampled_from([0, 1, 3, 4]), st.integers(0, 2**32 - 1))


def picture(spec: tuple[int, int, int, int], dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """Return a random picture (H, W) or (H, W, C)."""
    height, width, channels, seed = spec
    shape = (height, width, channels) if channels else (height, width)
    values = np.random.default_rng(seed).integers(0, 256, shape)
    return values.astype(np.uint8) if dtype == np.uint8 else (values / 255).astype(dtype)


@settings(max_examples=150, deadline=None)
@given(PICTURES, SIDES, SIDES, st.booleans())
def test_resize(spec: tuple[int, int, int, int], width: int, height: int, halve: bool) -> None:
    image = picture(spec)
    if halve and min(image.shape[:2]) > 1:
        width, height = image.shape[1] // 2, image.shape[0] // 2
    for mode in (cv2.INTER_NEAREST, cv2.INTER_LINEAR):
        wanted = opencv.resize(image, (width, height), interpolation=mode)
        found = cv2.resize(image, (width, height), interpolation=mode).read()
        np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


@settings(max_examples=60, deadline=None)
@given(PICTURES, SIDES, SIDES)
def test_resize_of_floats(spec: tuple[int, int, int, int], width: int, height: int) -> None:
    image = picture(spec, np.float32)
    wanted = opencv.resize(image, (width, height))
    found = cv2.resize(image, (width, height)).read()
    # Positions up to 60 round to float32 in steps of 4e-6, and weights inherit that.
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=4e-6)


@pytest.mark.parametrize(
    "code",
    [
        "BGR2RGB",
        "RGB2BGR",
        "BGR2GRAY",
        "RGB2GRAY",
        "BGR2BGRA",
        "BGRA2BGR",
        "RGBA2BGR",
        "GRAY2BGR",
        "GRAY2BGRA",
        "BGRA2GRAY",
    ],
)
def test_colours(code: str) -> None:
    source = code.split("2")[0]
    channels = {"GRAY": 0}.get(source, len(source))
    image = picture((256, 64, channels, 5))
    number = getattr(opencv, f"COLOR_{code}")
    assert getattr(cv2, f"COLOR_{code}") == number
    found = cv2.cvtColor(image, number).read()
    np.testing.assert_array_equal(found, opencv.cvtColor(image, number))


@settings(max_examples=60, deadline=None)
@given(PICTURES, st.integers(-1, 1), st.integers(0, 2))
def test_flip_and_rotate(spec: tuple[int, int, int, int], axis: int, turn: int) -> None:
    image = picture(spec)
    wanted = opencv.flip(image, axis)
    np.testing.assert_array_equal(cv2.flip(image, axis).read().reshape(wanted.shape), wanted)
    wanted = opencv.rotate(image, turn)
    np.testing.assert_array_equal(cv2.rotate(image, turn).read().reshape(wanted.shape), wanted)


@settings(max_examples=80, deadline=None)
@given(PICTURES, st.tuples(*[st.integers(0, 9)] * 4), st.sampled_from([0, 1, 2, 3, 4]))
def test_borders(
    spec: tuple[int, int, int, int], sides: tuple[int, int, int, int], kind: int
) -> None:
    image = picture(spec)
    wanted = opencv.copyMakeBorder(image, *sides, kind, value=(1, 2, 3, 4))
    found = cv2.copyMakeBorder(image, *sides, kind, value=(1, 2, 3, 4)).read()
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".webp"])
@pytest.mark.parametrize("flags", [opencv.IMREAD_COLOR, opencv.IMREAD_GRAYSCALE])
def test_reading_what_opencv_wrote(tmp_path: Path, extension: str, flags: int) -> None:
    image = picture((17, 23, 3, 1))
    path = tmp_path / f"picture{extension}"
    quality = [opencv.IMWRITE_WEBP_QUALITY, 101] if extension == ".webp" else []
    assert opencv.imwrite(str(path), image, quality)
    found = cv2.imread(path, flags).read()
    wanted = opencv.imread(str(path), flags)
    # OpenCV's decoders make grey their own way: one step of rounding apart.
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= (flags == opencv.IMREAD_GRAYSCALE)
    assert cv2.haveImageReader(path)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff"])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_opencv_reads_what_is_written(tmp_path: Path, extension: str, channels: int) -> None:
    if extension != ".png" and channels == 4:
        channels = 3  # only PNG keeps four channels to the bit in OpenCV
    image = picture((9, 31, channels, 2))
    path = tmp_path / f"picture{extension}"
    assert cv2.imwrite(path, image)
    np.testing.assert_array_equal(opencv.imread(str(path), opencv.IMREAD_UNCHANGED), image)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_jpeg_and_memory(tmp_path: Path) -> None:
    image = np.full((32, 48, 3), (30, 120, 220), np.uint8)
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    assert np.abs(cv2.imdecode(data).read().astype(int) - image).max() <= 3
    assert np.abs(opencv.imdecode(data.read(), 1).astype(int) - image).max() <= 3


def test_broken_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cv2.imread(tmp_path / "absent.png")
    for data in (b"", b"text", b"\x89PNG\r\n\x1a\n" + b"\0" * 40):
        path = tmp_path / "broken.png"
        path.write_bytes(data)
        with pytest.raises(FormatError):
            cv2.imread(path)
    with pytest.raises(FormatError):
        cv2.imwrite(tmp_path / "picture.xyz", np.zeros((2, 2), np.uint8))
    assert not cv2.haveImageWriter("picture.xyz")


def test_bad_calls() -> None:
    with pytest.raises(ShapeError, match="expected a picture"):
        cv2.resize(np.zeros((2, 3, 4, 5), np.uint8), (4, 4))
    with pytest.raises(ShapeError):
        cv2.resize(np.zeros((0, 3), np.uint8), (4, 4))
    with pytest.raises(MnnError):
        cv2.cvtColor(np.zeros((2, 3), np.uint8), cv2.COLOR_BGR2GRAY)
    with pytest.raises(ShapeError, match="ROTATE"):
        cv2.rotate(np.zeros((2, 3), np.uint8), 7)
    with pytest.raises(AttributeError, match=r"mnn\.cv has no"):
        cv2.Canny  # noqa: B018
