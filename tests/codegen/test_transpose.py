"""Tiles that are transposed in registers against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.body import element_type
from mnn.codegen.builder import Value, vector
from mnn.codegen.kernel import OUTPUT, Buffer, Tensor, contiguous
from mnn.codegen.program import CAST, Program, Step
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import loops, shuffles
from mnn.codegen.templates.access import CROSS, TAKING_TURNS
from mnn.codegen.templates.transpose import TileKernel
from tests.codegen.imaging import emit_all
from tests.codegen.programs import evaluate, small_numbers, step
from tests.codegen.running import filled, run

X86 = ("avx512", "avx2", "sse2")
COPY = Program(("float32",), (), (0,))
NORMALISE = Program(
    ("uint8", "float32", "float32"),
    (Step(CAST, (0,), "uint8", "float32"), step("subtract", 3, 1), step("multiply", 4, 2)),
    (5,),
)


def ordered(shape: tuple[int, ...], order: tuple[int, ...], dtype: str, kind: str) -> Tensor:
    """Return a tensor whose axes lie in memory as `order` says, outermost first."""
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    return contiguous(Buffer(size, kind), shape, np.dtype(dtype), order)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float32", "float64"])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_copies_in_any_order(target: str, dtype: str, data: Any) -> None:
    sizes = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 64, 70])
    shape = tuple(data.draw(st.lists(sizes, min_size=2, max_size=4)))
    while np.prod(shape) > 40000:
        shape = shape[1:]
    axes = list(range(len(shape)))
    orders = [tuple(data.draw(st.permutations(axes))) for _ in range(3)]
    x = ordered(shape, orders[0], dtype, "input")
    y = ordered(shape, orders[1], dtype, "input")
    out = ordered(shape, orders[2], dtype, OUTPUT)
    for axis in data.draw(st.lists(st.sampled_from(axes), unique=True, max_size=2)):
        x = backwards(x, axis)
    name = "logical_or" if dtype == "bool" else "maximum"
    program = Program((dtype, dtype), (step(name, 0, 1, dtype=dtype),), (2,))
    arrays = [small_numbers(1, x), small_numbers(2, y)]
    calls = loops.lower(program, [x, y], [out], TARGETS[target])
    chunk = data.draw(st.sampled_from([0, 1]))
    (got,) = run(
        calls, [(x, arrays[0]), (y, arrays[1])], [out], target=TARGETS[target], chunk=chunk
    )
    np.testing.assert_array_equal(got, evaluate(program, arrays, 0)[0])


def backwards(tensor: Tensor, axis: int) -> Tensor:
    """Return the tensor with one axis walked from its end."""
    strides = list(tensor.strides)
    offset = tensor.offset + strides[axis] * (tensor.shape[axis] - 1)
    strides[axis] = -strides[axis]
    return Tensor(tensor.buffer, tensor.shape, tuple(strides), tensor.dtype, offset)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
def test_pictures_are_normalised_in_one_pass(
    target: str, order: tuple[int, ...], channels: int
) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (9, 37, channels)).astype(np.uint8)
    mean, scale = rng.random((2, channels), np.float32)
    shape = tuple(image.shape[each] for each in order)
    tensors = [filled(image), filled(mean), filled(scale)]
    views = [each.broadcast(image.shape).permuted(order) for each in tensors]
    out = ordered(shape, (0, 1, 2), "float32", OUTPUT)
    calls = loops.lower(NORMALISE, views, [out], TARGETS[target])
    assert len(calls) == 1
    pairs = list(zip(tensors, [image, mean, scale], strict=True))
    (got,) = run(calls, pairs, [out], target=TARGETS[target], chunk=1)
    wanted = (image.astype(np.float32) - mean) * scale
    np.testing.assert_array_equal(got, wanted.transpose(order))


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("planes", [False, True])
def test_pictures_are_flipped(target: str, flips: tuple[int, ...], planes: bool) -> None:
    image = np.random.default_rng(3).integers(0, 256, (9, 37, 3)).astype(np.uint8)
    source = view = filled(image)
    for axis in flips:
        view = backwards(view, axis)
    out = ordered(image.shape, (2, 0, 1) if planes else (0, 1, 2), "uint8", OUTPUT)
    program = Program(("uint8",), (), (0,))
    calls = loops.lower(program, [view], [out], TARGETS[target])
    (got,) = run(calls, [(source, image)], [out], target=TARGETS[target], chunk=1)
    np.testing.assert_array_equal(got, np.flip(image, flips))


def test_tiles_are_chosen_where_they_pay() -> None:
    def kernel(shape: tuple[int, ...], x: tuple[int, ...], y: tuple[int, ...]) -> Any:
        source, out = ordered(shape, x, "float32", "input"), ordered(shape, y, "float32", OUTPUT)
        (call,) = loops.lower(COPY, [source], [out], TARGETS["avx512"])
        return call.kernel

    assert CROSS in kernel((100, 100), (0, 1), (1, 0)).inputs
    assert CROSS in kernel((56, 56, 64), (2, 0, 1), (0, 1, 2)).inputs
    assert TAKING_TURNS in kernel((224, 224, 3), (2, 0, 1), (0, 1, 2)).outputs
    assert TAKING_TURNS in kernel((224, 224, 3), (0, 1, 2), (2, 0, 1)).inputs
    assert CROSS in kernel((1000, 5), (1, 0), (0, 1)).outputs
    assert not isinstance(kernel((128, 4, 64), (0, 1, 2), (1, 0, 2)), TileKernel)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize(("size", "lanes"), [(2, 2), (4, 4), (2, 8), (8, 16), (16, 16)])
def test_every_lane_of_transposed_blocks_is_at_its_place(dtype: str, size: int, lanes: int) -> None:
    """The shuffles are interpreted here, on names of lanes."""
    kind = element_type(np.dtype(dtype))
    held = {f"%v{n}": [(n, lane) for lane in range(lanes)] for n in range(size)}

    class Recorder:
        """Interprets shuffles."""

        def shuffle(self, left: Value, right: Value | None, places: list[int]) -> Value:
            both = held[left.text] + (held[right.text] if right else [])
            name = f"%s{len(held)}"
            held[name] = [both[each] for each in places]
            return Value(name, vector(len(places), kind))

    vectors = [Value(f"%v{n}", vector(lanes, kind)) for n in range(size)]
    made = shuffles.transposed(Recorder(), vectors)  # type: ignore[arg-type]
    for number, each in enumerate(made):
        wanted = [(i, start + number) for start in range(0, lanes, size) for i in range(size)]
        assert held[each.text] == wanted


def test_emits_for_neon() -> None:
    source = ordered((40, 50), (0, 1), "float32", "input")
    out = ordered((40, 50), (1, 0), "float32", OUTPUT)
    assert emit_all(loops.lower(COPY, [source], [out], TARGETS["neon"]), "neon") > 0
