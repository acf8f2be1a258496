"""Resizing kernels against the NumPy references, on every target this machine runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import CONSTANT, INPUT, OUTPUT, Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.program import CAST, Program, Step
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import resize
from mnn.codegen.templates.halving import HalvingKernel
from mnn.codegen.templates.taps import Taps
from mnn.compile.resizing import Interpolation, PictureScaling, Rule
from mnn.errors import CodegenError
from mnn.ops.reference.picture import resize_image
from mnn.ops.reference.resize import interpolate
from tests.codegen.imaging import RUNNABLE, emit_all
from tests.codegen.running import Array, filled, run

# (rows, columns) before and after: up, down, both, halves, single rows and columns.
SIZES = [
    ((5, 7), (9, 4)),
    ((31, 45), (17, 20)),
    ((9, 10), (40, 70)),
    ((20, 40), (10, 20)),
    ((1, 9), (3, 5)),
    ((6, 1), (4, 5)),
    ((1, 1), (2, 3)),
    ((3, 50), (1, 1)),
]
CHANNELS = (1, 2, 3, 4, 7, 16, 33, 70)


def tables(rule: Rule, before: Sequence[int], after: Sequence[int], dtype: Any) -> Any:
    """Return the taps of rows and of positions."""
    kind = np.dtype(dtype)
    return tuple(
        rule.taps(length, size, kind, row)
        for length, size, row in zip(before, after, (True, False), strict=True)
    )


def lowered(
    rule: Rule,
    source: Tensor,
    out: Tensor,
    target: str,
    axes: tuple[int, int] = (0, 1),
    epilogue: Epilogue | None = None,
) -> list[Call]:
    """Return the calls that resize by a rule."""
    before, after = ([each.shape[axis] for axis in axes] for each in (source, out))
    taps = tables(rule, before, after, source.dtype)
    arithmetic = rule.arithmetic(source.dtype)
    return resize.lower(
        source,
        out,
        TARGETS[target],
        axes=axes,
        taps=taps,
        arithmetic=arithmetic,
        epilogue=epilogue,
    )


def result(shape: Sequence[int], dtype: Any, order: Sequence[int] | None = None) -> Tensor:
    """Return a tensor to be filled, in a memory order."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return contiguous(Buffer(size, OUTPUT), shape, np.dtype(dtype), order)


def picture(*shape: int, dtype: Any = np.uint8, seed: int = 0) -> Array:
    """Return random pixels."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(0, min(256, np.iinfo(dtype).max), shape).astype(dtype)


def wanted(x: Array, size: Sequence[int], interpolation: str = "linear") -> Array:
    """Return the reference's picture of `size` (rows, columns)."""
    return resize_image(x, size=(size[1], size[0]), interpolation=interpolation)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_halved_pictures(target: str, channels: int) -> None:
    for new in [(1, 1), (2, 7), (3, 16), (2, 31), (5, 64), (1, 200)]:
        x = picture(2 * new[0], 2 * new[1], channels)
        source, out = filled(x), result((*new, channels), np.uint8)
        calls = lowered(PictureScaling("linear"), source, out, target)
        assert isinstance(calls[0].kernel, HalvingKernel) == (channels < 5)
        for chunk in (0, 1):
            (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=chunk)
            np.testing.assert_array_equal(found, wanted(x, new))


ORDERS = {"pixels": (None, None), "to planes": (None, (2, 0, 1)), "planes": ((2, 0, 1),) * 2}
ORDERS |= {"from planes": ((2, 0, 1), None), "columns": ((1, 0, 2), (1, 0, 2))}


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("layout", list(ORDERS))
def test_bytes_equal_opencv(target: str, channels: int, layout: str) -> None:
    before, after = ORDERS[layout]
    for old, new in SIZES:
        x = picture(*old, channels)
        source, out = filled(x, order=before), result((*new, channels), np.uint8, after)
        calls = lowered(PictureScaling("linear"), source, out, target)
        for chunk in (0, 1):
            (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=chunk)
            np.testing.assert_array_equal(found, wanted(x, new))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int32", "float32", "int64"])
@pytest.mark.parametrize("layout", list(ORDERS))
def test_nearest_copies_any_elements(target: str, dtype: str, layout: str) -> None:
    before, after = ORDERS[layout]
    for channels in (1, 3, 5, 64):
        for old, new in SIZES:
            x = picture(*old, channels, dtype=np.int8).astype(dtype)
            source, out = filled(x, order=before), result((*new, channels), dtype, after)
            calls = lowered(PictureScaling("nearest"), source, out, target)
            (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=1)
            np.testing.assert_array_equal(found, wanted(x, new, "nearest"))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "int16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9, 40])
def test_pictures_of_other_elements(target: str, dtype: str, channels: int) -> None:
    for old, new in SIZES:
        x = picture(*old, channels, dtype=dtype)
        source, out = filled(x), result((*new, channels), dtype)
        calls = lowered(PictureScaling("linear"), source, out, target)
        (found,) = run(calls, [(source, x)], [out], target=TARGETS[target])
        tolerance = {"float32": 1e-6, "float64": 1e-14}.get(dtype, 0)
        np.testing.assert_allclose(found, wanted(x, new), rtol=tolerance, atol=tolerance)


RULES = [
    Interpolation("linear", "half_pixel"),
    Interpolation("linear", "align_corners"),
    Interpolation("linear", "asymmetric", (0.4, 1.7)),
    Interpolation("cubic", "half_pixel"),
    Interpolation("cubic", "align_corners"),
    Interpolation("nearest", "asymmetric"),
    Interpolation("nearest_round", "half_pixel"),
]


def interpolated(x: Array, size: Sequence[int], axes: tuple[int, int], rule: Any) -> Array:
    """Return the reference's result in float64."""
    steps = None if rule.steps == (None, None) else rule.steps
    exact = x.astype(np.float64) if x.dtype.kind == "f" else x
    return interpolate(
        exact, size, axes=axes, method=rule.method, coordinates=rule.coordinates, steps=steps
    )


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method}-{rule.coordinates}")
@pytest.mark.parametrize("order", [None, (0, 2, 3, 1)], ids=["planes", "pixels"])
def test_images_of_networks(target: str, rule: Any, order: Any) -> None:
    for channels in (1, 3, 16, 37):
        for old, new in SIZES:
            x = picture(2, channels, *old, dtype=np.float32)
            source, out = filled(x, order=order), result((2, channels, *new), np.float32, order)
            calls = lowered(rule, source, out, target, axes=(2, 3))
            (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=3)
            expected = interpolated(x, new, (2, 3), rule)
            np.testing.assert_allclose(found, expected, rtol=2e-6, atol=4e-6)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("order", [None, (0, 2, 3, 1)], ids=["planes", "pixels"])
def test_neighbours_of_weight_zero_have_no_influence(target: str, method: str, order: Any) -> None:
    rule = Interpolation(method, "align_corners")
    x = picture(1, 20, 4, 5, dtype=np.float32)
    x[0, :, 1, 2], x[0, :, 3, 4] = np.inf, np.nan
    source, out = filled(x, order=order), result((1, 20, 7, 13), np.float32, order)
    calls = lowered(rule, source, out, target, axes=(2, 3))
    (found,) = run(calls, [(source, x)], [out], target=TARGETS[target])
    expected = interpolated(x, (7, 13), (2, 3), rule)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=4e-6)


# --- views of the source -------------------------------------------------------------------------


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("turned", [(), (0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 40])
def test_turned_sources(target: str, turned: tuple[int, ...], channels: int) -> None:
    x = picture(11, 29, channels)
    plain = filled(x)
    strides = tuple(-n if axis in turned else n for axis, n in enumerate(plain.strides))
    start = sum((x.shape[axis] - 1) * plain.strides[axis] for axis in turned)
    source = replace(plain, strides=strides, offset=start)
    seen = np.flip(x, turned)
    for order in (None, (2, 0, 1)):
        out = result((7, 40, channels), np.uint8, order)
        calls = lowered(PictureScaling("linear"), source, out, target)
        (found,) = run(calls, [(plain, x)], [out], target=TARGETS[target])
        np.testing.assert_array_equal(found, wanted(seen, (7, 40)))


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_some_channels_of_pixels(target: str, first: int, channels: int, dtype: str) -> None:
    x = picture(13, 30, 4, dtype=dtype)
    plain = filled(x)
    source = replace(plain, shape=(13, 30, channels), offset=first)
    out = result((21, 19, channels), dtype)
    calls = lowered(PictureScaling("linear"), source, out, target)
    (found,) = run(calls, [(plain, x)], [out], target=TARGETS[target])
    expected = wanted(x[..., first : first + channels], (21, 19))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0 if dtype == "uint8" else 1e-6)


def test_parts_of_tables_are_parts_of_results() -> None:
    x = picture(30, 40, 3)
    source = filled(x)
    taps = tables(PictureScaling("linear"), (30, 40), (50, 60), np.uint8)
    parts = (taps[0].part(44, -2, 15), taps[1].part(3, 3, 19))
    out = result((15, 19, 3), np.uint8)
    for target in RUNNABLE:
        calls = resize.lower(
            source, out, TARGETS[target], axes=(0, 1), taps=parts, arithmetic="fixed"
        )
        (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=1)
        np.testing.assert_array_equal(found, wanted(x, (50, 60))[44:15:-2, 3:60:3])


# --- epilogues -----------------------------------------------------------------------------------

NORMALISED = Program(
    ("uint8", "float32", "float32"),
    (
        Step(CAST, (0,), "uint8", "float32"),
        Step("subtract", (3, 1), "float32", "float32"),
        Step("multiply", (4, 2), "float32", "float32"),
    ),
    (5,),
)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("channels", [1, 3, 4, 5, 40])
@pytest.mark.parametrize("kind", [CONSTANT, INPUT])
@pytest.mark.parametrize("order", [None, (2, 0, 1)], ids=["pixels", "planes"])
def test_normalised_pictures(target: str, channels: int, kind: str, order: Any) -> None:
    x = picture(37, 52, channels)
    means, factors = (picture(channels, dtype=np.float32, seed=seed) for seed in (1, 2))
    source, out = filled(x), result((24, 31, channels), np.float32, order)
    held = [filled(each, kind) for each in (means, factors)]
    epilogue = Epilogue(NORMALISED, tuple(held))
    calls = lowered(PictureScaling("linear"), source, out, target, epilogue=epilogue)
    inputs = [(source, x), *([] if kind == CONSTANT else zip(held, (means, factors), strict=True))]
    (found,) = run(calls, inputs, [out], target=TARGETS[target], chunk=5)
    expected = (wanted(x, (24, 31)).astype(np.float32) - means) * factors
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("order", [None, (0, 2, 3, 1)], ids=["planes", "pixels"])
@pytest.mark.parametrize("other", [None, (0, 2, 3, 1)], ids=["planes", "pixels"])
@pytest.mark.parametrize("channels", [1, 3, 48])
def test_sums_with_other_images(target: str, order: Any, other: Any, channels: int) -> None:
    x = picture(2, channels, 6, 9, dtype=np.float32)
    lateral = picture(2, channels, 12, 18, dtype=np.float32, seed=3)
    source, added = filled(x, order=order), filled(lateral, order=other)
    out = result(lateral.shape, np.float32, order)
    program = Program(("float32", "float32"), (Step("add", (0, 1), "float32", "float32"),), (2,))
    for rule in (Interpolation("nearest", "asymmetric"), Interpolation("linear", "half_pixel")):
        epilogue = Epilogue(program, (added,))
        calls = lowered(rule, source, out, target, axes=(2, 3), epilogue=epilogue)
        (found,) = run(calls, [(source, x), (added, lateral)], [out], target=TARGETS[target])
        expected = interpolated(x, (12, 18), (2, 3), rule) + lateral
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_bools_come_out_of_epilogues() -> None:
    program = Program(("uint8", "uint8"), (Step("greater", (0, 1), "uint8", "bool"),), (2,))
    x, limit = picture(9, 14, 3), picture(3, seed=1)
    source, held, out = filled(x), filled(limit), result((5, 22, 3), np.bool_)
    for target in RUNNABLE:
        calls = lowered(
            PictureScaling("nearest"), source, out, target, epilogue=Epilogue(program, (held,))
        )
        (found,) = run(calls, [(source, x), (held, limit)], [out], target=TARGETS[target])
        np.testing.assert_array_equal(found, wanted(x, (5, 22), "nearest") > limit)


# --- anything ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", RUNNABLE)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_sizes(target: str, data: Any) -> None:
    length = st.integers(1, 60)
    old, new = (data.draw(st.tuples(length, length)) for _ in range(2))
    channels = data.draw(st.sampled_from(CHANNELS))
    orders = st.permutations([0, 1, 2])
    x = picture(*old, channels)
    source = filled(x, order=data.draw(orders))
    out = result((*new, channels), np.uint8, data.draw(orders))
    calls = lowered(PictureScaling("linear"), source, out, target)
    chunk = data.draw(st.sampled_from([0, 1, 4]))
    (found,) = run(calls, [(source, x)], [out], target=TARGETS[target], chunk=chunk)
    np.testing.assert_array_equal(found, wanted(x, new))


def test_nothing_to_do() -> None:
    source, out = filled(picture(4, 5, 0)), result((8, 9, 0), np.uint8)
    assert not lowered(PictureScaling("linear"), source, out, "avx512")


@pytest.mark.parametrize("channels", [1, 3, 4, 32])
@pytest.mark.parametrize("rule", [PictureScaling("linear"), PictureScaling("nearest")])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_code_for_arm(channels: int, rule: Rule, dtype: str) -> None:
    source = filled(picture(30, 40, channels, dtype=dtype))
    out = result((60, 50, channels), dtype)
    assert emit_all(lowered(rule, source, out, "neon"), "neon") > 0


# --- what is refused -----------------------------------------------------------------------------


def _refused(message: str, *, shape: Any = (8, 9, 3), **changes: Any) -> None:
    source = filled(picture(4, 5, 3))
    given: dict[str, Any] = {
        "axes": (0, 1),
        "taps": tables(PictureScaling("linear"), (4, 5), (8, 9), np.uint8),
        "arithmetic": "fixed",
    }
    out = result(shape, changes.pop("dtype", np.uint8))
    with pytest.raises(CodegenError, match=message):
        resize.lower(source, out, TARGETS["avx512"], **(given | changes))


def test_refusals() -> None:
    _refused("expected sizes that differ", shape=(8, 9, 4))
    _refused("do not say how 4 positions", shape=(7, 9, 3))
    _refused("no kernel", arithmetic="copy")
    _refused("no kernel", arithmetic="thinking")
    _refused("expected equal", dtype=np.float32)
    rows, positions = tables(PictureScaling("linear"), (4, 5), (8, 9), np.uint8)
    apart = Taps(np.where(rows.places == 0, 2, rows.places), rows.weights)
    _refused(
        "expected neighbours", taps=(Taps(apart.places[:8] * 0 + [0, 2], rows.weights), positions)
    )
