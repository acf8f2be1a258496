"""Pictures equal OpenCV's: uint8 to the bit, floats to rounding."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2 as opencv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mnn.cv as cv2
from mnn.errors import DTypeError, FormatError, MnnError, ShapeError

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


@settings(max_examples=200, deadline=None)
@given(
    PICTURES,
    st.sampled_from([0.25, 0.3, 1 / 3, 0.5, 0.75, 1.0, 1.5, 2.0, 2.7]),
    st.sampled_from([0.3, 0.5, 1.0, 1.7]),
    st.booleans(),
    st.sampled_from(["u1", "u2", "f4"]),
)
def test_resize_by_factors(
    spec: tuple[int, int, int, int], fx: float, fy: float, same: bool, dtype: str
) -> None:
    image = picture(spec).astype(dtype)
    fy = fx if same else fy
    if min(round(image.shape[0] * fy), round(image.shape[1] * fx)) < 1:
        return
    for mode in (cv2.INTER_NEAREST, cv2.INTER_LINEAR):
        wanted = opencv.resize(image, None, fx=fx, fy=fy, interpolation=mode)
        found = cv2.resize(image, None, fx, fy, mode).read().reshape(wanted.shape)
        limit = {"u1": 0, "u2": 1, "f4": 3e-3}[dtype]  # floats of 0 to 255
        assert np.abs(found.astype(np.float64) - wanted).max() <= limit


FLAGS = [-1, 0, 1, 2, 3, 4, 5, 6, 16, 17, 32, 33, 64, 65, 128, 129, 256]


def pillow_files(folder: Path) -> list[Path]:
    """Write pictures of every kind: grey, colours, alpha, palettes, bits, orientations."""
    smooth = opencv.resize(picture((6, 8, 3, 3)), (40, 30))
    colours = Image.fromarray(smooth[..., ::-1].copy())
    grey, palette = colours.convert("L"), colours.convert("P")
    translucent = colours.copy()
    translucent.putalpha(Image.fromarray(picture((30, 40, 0, 4))))
    images: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "colours.png": (colours, {}),
        "colours.bmp": (colours, {}),
        "colours.tif": (colours, {}),
        "colours.ppm": (colours, {}),
        "colours.jpg": (colours, {"quality": 95}),
        "progressive.jpg": (colours, {"quality": 90, "progressive": True}),
        "lossless.webp": (colours, {"lossless": True}),
        "grey.png": (grey, {}),
        "grey.jpg": (grey, {}),
        "grey.pgm": (grey, {}),
        "alpha.png": (translucent, {}),
        "grey_alpha.png": (translucent.convert("LA"), {}),
        "palette.png": (palette, {}),
        "palette.bmp": (palette, {}),
        "transparent.png": (palette, {"transparency": 3}),
        "bits.png": (colours.convert("1"), {}),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        images[f"turned{orientation}.jpg"] = (colours, {"exif": exif.tobytes(), "quality": 95})
        images[f"turned{orientation}.png"] = (colours, {"exif": exif.tobytes()})
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
    for channels in (0, 3, 4):
        deep = picture((30, 40, channels, 5)).astype(np.uint16) * 257 - 100
        opencv.imwrite(str(folder / f"deep{channels}.png"), deep)
    return sorted(folder.iterdir())


def test_every_flag_on_every_kind_of_file(tmp_path: Path) -> None:
    for path in pillow_files(tmp_path):
        for flags in FLAGS:
            wanted, found = opencv.imread(str(path), flags), cv2.imread(path, flags).read()
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype), (path.name, flags)
            # JPEG decoders round in their own ways, as do weights of grey and of reduced sizes.
            limit = 4 if path.suffix == ".jpg" else 4 if found.dtype == np.uint16 else 1
            exact = flags in (-1, 1, 129) and path.suffix != ".jpg"
            difference = np.abs(found.astype(np.int64) - wanted).max()
            assert difference <= (0 if exact else limit), (path.name, flags, difference)


def test_colours_of_sixteen_bits(tmp_path: Path) -> None:
    for channels in (3, 4):
        deep = np.random.default_rng(channels).integers(0, 65536, (23, 17, channels), np.uint16)
        path = tmp_path / f"deep{channels}.png"
        assert cv2.imwrite(path, deep, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        np.testing.assert_array_equal(opencv.imread(str(path), opencv.IMREAD_UNCHANGED), deep)
        np.testing.assert_array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED).read(), deep)
        data = path.read_bytes()
        for size in range(26, len(data) - 12, 97):
            with pytest.raises(FormatError):
                cv2.imdecode(data[:size], cv2.IMREAD_UNCHANGED)
    for name in ("deep.tif", "deep.ppm"):
        with pytest.raises(DTypeError, match="Convert with astype"):
            cv2.imwrite(tmp_path / name, deep[..., :3])
        opencv.imwrite(str(tmp_path / name), deep[..., :3].copy())
        with pytest.raises(FormatError, match="IMREAD_COLOR"):
            cv2.imread(tmp_path / name, cv2.IMREAD_UNCHANGED)
        assert cv2.imread(tmp_path / name).shape == [23, 17, 3]


def test_filters_and_passes_of_deep_files() -> None:
    """Every filter of PNG, and interlacing, undo what a plain encoder did by definition."""
    random = np.random.default_rng(6)
    pixels = random.integers(0, 65536, (11, 13, 3), np.uint16)
    for interlaced in (0, 1):
        data = encoded_by_hand(pixels, interlaced, random)
        np.testing.assert_array_equal(cv2.imdecode(data, -1).read(), pixels[..., ::-1])
        np.testing.assert_array_equal(
            opencv.imdecode(np.frombuffer(data, np.uint8), -1), pixels[..., ::-1]
        )


def encoded_by_hand(pixels: Any, interlaced: int, random: Any) -> bytes:
    """Return a 16-bit PNG with a random filter in every row."""
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes = [*starts, (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for row, column, down, across in passes:
        part = pixels[row::down, column::across]
        if not part.size:
            continue
        lines = part.astype(">u2").view(np.uint8).reshape(part.shape[0], -1).astype(int)
        above = np.zeros(lines.shape[1], int)
        for line in lines:
            kind = int(random.integers(0, 5))
            left = np.concatenate([np.zeros(6, int), line[:-6]])
            corner = np.concatenate([np.zeros(6, int), above[:-6]])
            paeth = [
                min((abs(a + b - c - each), place, each) for place, each in enumerate((a, b, c)))[2]
                for a, b, c in zip(left, above, corner, strict=True)
            ]
            guess = [0 * left, left, above, (left + above) // 2, np.array(paeth)][kind]
            raw += bytes([kind]) + ((line - guess) % 256).astype(np.uint8).tobytes()
            above = line
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, interlaced)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(each)) + name + each + struct.pack(">I", zlib.crc32(name + each))
        for name, each in chunks
    )


def test_floats_in_files(tmp_path: Path) -> None:
    path, values = tmp_path / "floats.tif", picture((5, 7, 0, 7), np.float32)
    assert cv2.imwrite(path, values)
    for flags in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_ANYDEPTH):
        np.testing.assert_array_equal(cv2.imread(path, flags).read(), values)
    np.testing.assert_array_equal(opencv.imread(str(path), -1), values)
    with pytest.raises(FormatError, match="floats"):
        cv2.imread(path)


def test_bad_parameters() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ShapeError, match="pairs"):
        cv2.imencode(".jpg", image, [1])
    for params in (["a", 1], [1, 2.5]):
        with pytest.raises(DTypeError, match="whole numbers"):
            cv2.imencode(".jpg", image, params)
    with pytest.raises(DTypeError, match="expected bytes"):
        cv2.imdecode([1.5, 2.5])
