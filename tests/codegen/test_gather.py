"""Picking by index, and putting there, against NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Tensor, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import gather, loops, scatter
from mnn.errors import CodegenError
from tests.codegen.imaging import emit_all
from tests.codegen.programs import output, shapes, small_numbers, views
from tests.codegen.running import filled, run

Array = np.ndarray[Any, Any]
X86 = ("avx512", "avx2", "sse2")


@pytest.mark.parametrize("target", X86)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_take(target: str, data: Any) -> None:
    shape = data.draw(shapes(limit=3, sizes=(1, 2, 3, 5, 17, 40)).filter(len))
    axis = data.draw(st.integers(0, len(shape) - 1))
    picked = data.draw(shapes(limit=2, sizes=(0, 1, 3, 9)))
    dtype = data.draw(st.sampled_from(["bool", "uint8", "int16", "float32", "float64"]))
    kind = data.draw(st.sampled_from(["int32", "int64", "uint8", "int8"]))
    x = data.draw(views(shape, dtype))
    result = (*shape[:axis], *picked, *shape[axis + 1 :])
    out = data.draw(views(result, dtype, OUTPUT))
    i = data.draw(views(picked, kind))
    array = small_numbers(1, x)
    most = min(shape[axis], np.iinfo(kind).max)
    least = -most if kind.startswith("i") else 0
    rng = np.random.default_rng(5)
    own = tuple(n if s else 1 for n, s in zip(picked, i.strides, strict=True))
    indices = np.broadcast_to(rng.integers(least, most, own).astype(kind), picked)
    calls = loops.lower_gather(x, i, out, TARGETS[target], axis=axis)
    if not calls:
        assert out.size == 0
        return
    chunk = data.draw(st.sampled_from([0, 1]))
    (got,) = run(calls, [(x, array), (i, indices)], [out], target=TARGETS[target], chunk=chunk)
    np.testing.assert_array_equal(got, np.take(array, indices.astype(np.int64), axis))


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take_along_axis(target: str, axis: int) -> None:
    rng = np.random.default_rng(axis)
    x = rng.standard_normal((5, 6, 7), np.float32)
    indices = rng.integers(-x.shape[axis], x.shape[axis], (5, 6, 7))
    data, picks, out = filled(x), filled(indices), output(x.shape, "float32")
    calls = loops.lower_gather_elements(data, picks, out, TARGETS[target], axis=axis)
    (got,) = run(calls, [(data, x), (picks, indices)], [out], target=TARGETS[target], chunk=1)
    np.testing.assert_array_equal(got, np.take_along_axis(x, indices, axis))


def test_embeddings_copy_rows() -> None:
    rng = np.random.default_rng(0)
    for width in (1, 3, 16, 33, 300, 3000):
        table = rng.standard_normal((50, width), np.float32)
        indices = rng.integers(0, 50, (4, 9)).astype(np.int32)
        data, picks, out = filled(table), filled(indices), output((4, 9, width), "float32")
        calls = loops.lower_gather(data, picks, out, TARGETS["avx2"], axis=0)
        assert calls[0].kernel.runs == (width > 1)  # type: ignore[attr-defined]
        pairs = [(data, table), (picks, indices)]
        (got,) = run(calls, pairs, [out], target=TARGETS["avx2"], chunk=1)
        np.testing.assert_array_equal(got, table[indices])


def test_what_gathers_do_not_take() -> None:
    x = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.float32))
    i = contiguous(Buffer(16, INPUT), (4,), np.dtype(np.int32))
    with pytest.raises(CodegenError, match="integers"):
        loops.lower_gather(x, x, x, TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="same"):
        loops.lower_gather(x, i, i, TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="shape"):
        loops.lower_gather(x, i, output((5,), "float32"), TARGETS["avx2"], axis=0)
    with pytest.raises(CodegenError, match="equal shapes"):
        loops.lower_gather_elements(x, i, output((5,), "float32"), TARGETS["avx2"], axis=0)


# --- any axes, any number of indices -------------------------------------------------------------


def _numbers(rng: np.random.Generator, picks: Tensor, size: int, *, bad: bool = False) -> Array:
    """Return indices for an axis, the negative ones among them; `bad` ones leave it."""
    info = np.iinfo(picks.dtype)
    least = max(-size, int(info.min))
    most = min(size - 1, int(info.max))
    own = tuple(n if stride else 1 for n, stride in zip(picks.shape, picks.strides, strict=True))
    found = rng.integers(least, most, own, endpoint=True).astype(picks.dtype)
    if bad and found.size:
        flat = found.reshape(-1)
        flat[rng.integers(0, flat.size)] = rng.choice([info.max, info.min, size, -size - 1])
    return np.broadcast_to(found, picks.shape)


@st.composite
def _mappings(draw: Any) -> Any:
    """Return a space, the shape of a picked tensor, and its axes."""
    space = draw(shapes(limit=3, sizes=(1, 2, 3, 5, 17, 40)))
    walks = [axis for axis in range(len(space)) if draw(st.booleans())]
    indices = draw(st.integers(0 if walks else 1, 2))
    axes = draw(st.permutations([*walks, *[-1 - number for number in range(indices)]]))
    shape = tuple(
        space[goes] + draw(st.integers(0, 1)) if goes >= 0 else draw(st.sampled_from([1, 2, 7]))
        for goes in axes
    )
    return space, shape, tuple(axes)


def _numpy_index(
    space: tuple[int, ...], shape: tuple[int, ...], axes: tuple[int, ...], indices: list[Array]
) -> tuple[Array, ...]:
    grid = np.indices(space)
    return tuple(
        grid[goes] if goes >= 0 else np.where(indices[-1 - goes] < 0, size, 0) + indices[-1 - goes]
        for goes, size in zip(axes, shape, strict=True)
    )


@pytest.mark.parametrize("target", X86)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_axes(target: str, data: Any) -> None:
    space, shape, axes = data.draw(_mappings())
    dtype = data.draw(st.sampled_from(["bool", "int16", "float32", "int64"]))
    kinds = [data.draw(st.sampled_from(["int32", "int64", "uint8"])) for goes in axes if goes < 0]
    x = data.draw(views(shape, dtype))
    picks = [data.draw(views(space, kind)) for kind in kinds]
    out = data.draw(views(space, dtype, OUTPUT))
    status = output((1,), "int64")
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    array = small_numbers(1, x)
    sizes = {-1 - goes: size for goes, size in zip(axes, shape, strict=True) if goes < 0}
    bad = data.draw(st.integers(-1, len(picks) - 1))
    numbers = [
        _numbers(rng, each, sizes[number], bad=number == bad) for number, each in enumerate(picks)
    ]
    inside = [(-sizes[n] <= each) & (each < sizes[n]) for n, each in enumerate(numbers)]
    calls = gather.lower(x, picks, out, TARGETS[target], axes=axes, status=status)
    pairs = [(x, array), *zip(picks, numbers, strict=True), (status, np.zeros(1, np.int64))]
    chunk = data.draw(st.sampled_from([0, 1]))
    got, flag = run(calls, pairs, [out, status], target=TARGETS[target], chunk=chunk)
    good = all(bool(each.all()) for each in inside)
    assert flag[0] == (not good)
    if good:
        wide = [each.astype(np.int64) for each in numbers]
        np.testing.assert_array_equal(got, array[_numpy_index(space, shape, axes, wide)])


@pytest.mark.parametrize("target", X86)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_scatter(target: str, data: Any) -> None:
    space, shape, axes = data.draw(_mappings())
    dtype = data.draw(st.sampled_from(["bool", "int16", "float32", "float64", "uint32"]))
    name = data.draw(st.sampled_from(scatter.COMBINATIONS))
    kinds = [data.draw(st.sampled_from(["int32", "int64", "uint8"])) for goes in axes if goes < 0]
    x = data.draw(views(shape, dtype, OUTPUT))
    y = data.draw(views(space, dtype))
    picks = [data.draw(views(space, kind)) for kind in kinds]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    start, values = small_numbers(1, x), small_numbers(2, y)
    sizes = {-1 - goes: size for goes, size in zip(axes, shape, strict=True) if goes < 0}
    numbers = [_numbers(rng, each, sizes[number]) for number, each in enumerate(picks)]
    calls = scatter.lower(x, y, picks, TARGETS[target], axes=axes, combination=name)
    pairs = [(x, start), (y, values), *zip(picks, numbers, strict=True)]
    chunk = data.draw(st.sampled_from([0, 1]))
    (got,) = run(calls, pairs, [x], target=TARGETS[target], chunk=chunk)
    wide = [each.astype(np.int64) for each in numbers]
    places = _numpy_index(space, shape, axes, wide)
    want = start.copy()
    combine = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
    for position in np.ndindex(*space):
        place = tuple(int(each[position]) for each in places)
        new = values[position]
        with np.errstate(over="ignore", invalid="ignore"):
            want[place] = new if name == "none" else combine[name](want[place], new)
    np.testing.assert_array_equal(got, want)


def test_bad_indices_change_nothing_foreign() -> None:
    x, y = output((3, 40), "float32"), filled(np.ones((4, 40), np.float32))
    picks, status = filled(np.array([0, 3, -4, 2**62])), output((1,), "int64")
    spread = replace(picks, shape=(4, 40), strides=(1, 0))
    calls = scatter.lower(
        x, y, [spread], TARGETS["avx2"], axes=(-1, 1), combination="add", status=status
    )
    pairs = [
        (x, np.zeros((3, 40), np.float32)),
        (y, np.ones((4, 40), np.float32)),
        (picks, np.array([0, 3, -4, 2**62])),
        (status, np.zeros(1, np.int64)),
    ]
    got, flag = run(calls, pairs, [x, status], target=TARGETS["avx2"])
    assert flag[0] == 1
    assert not got[1:].any()


def test_what_scatters_do_not_take() -> None:
    x, y = output((4,), "float32"), output((4,), "int32")
    with pytest.raises(CodegenError, match="equal dtypes"):
        scatter.lower(x, y, [y], TARGETS["avx2"], axes=(-1,))
    with pytest.raises(CodegenError, match="combination"):
        scatter.lower(x, x, [y], TARGETS["avx2"], axes=(-1,), combination="mean")
    with pytest.raises(CodegenError, match="integers"):
        scatter.lower(x, x, [x], TARGETS["avx2"], axes=(-1,))
    with pytest.raises(CodegenError, match="do not fit"):
        scatter.lower(x, x, [y], TARGETS["avx2"], axes=(0,))


def test_emits_for_neon() -> None:
    x, i = output((4, 20), "float32"), output((4, 20), "int32")
    status = output((1,), "int64")
    calls = loops.lower_gather_elements(x, i, x, TARGETS["neon"], axis=0, status=status)
    rows = replace(i, strides=(1, 0))
    calls += scatter.lower(x, x, [rows], TARGETS["neon"], axes=(-1, 1), combination="max")
    calls += scatter.lower(x, x, [i], TARGETS["neon"], axes=(0, -1), status=status)
    assert emit_all(calls, "neon") > 0
