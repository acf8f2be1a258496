"""Kernels of AArch64 against NumPy: under qemu-user, or here where this machine is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="code generation needs llvmlite")

import mnn  # noqa: F401  (operators bring their bodies)
from mnn.codegen.builder import Module, Value
from mnn.codegen.kernel import OUTPUT, Buffer, Call, Epilogue, Kernel, Tensor
from mnn.codegen.program import CAST, Program, Step
from mnn.codegen.target import TARGETS, Target
from mnn.codegen.templates import loops, scatter, winograd
from mnn.codegen.templates.convolution import Convolution
from mnn.codegen.templates.tile import HALVES
from mnn.codegen.templates.winograd_matrices import SIZES
from mnn.compile.resizing import PictureScaling
from mnn.ops.spec import all_specs
from mnn.records import dataclass
from tests.codegen import (
    integers,
    test_attention,
    test_bodies,
    test_colour,
    test_float16,
    test_int8,
    test_mathematics,
    test_nms,
    test_pool,
    test_resize,
    test_rows,
    test_sampling,
    test_sort,
)
from tests.codegen.aarch64 import emulator
from tests.codegen.accuracy import TYPICAL, halves_of_neon, typical_error
from tests.codegen.convolving import check, labels
from tests.codegen.programs import evaluate, output, step
from tests.codegen.running import Array, filled, run, runs_here
from tests.codegen.test_gemm import TAILS, Case, judge, placed, plain_case

NEON = TARGETS["neon"]
F32 = "float32"
ONE = ((1, 1), (1, 1))
NONE = ((0, 0), (0, 0))

pytestmark = pytest.mark.skipif(
    not runs_here(NEON) and emulator() is None,
    reason="AArch64 code needs qemu-aarch64 of qemu-user, which is not installed",
)


def normal(*shape: int, seed: int = 0) -> Array:
    """Return float32 random numbers."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


# --- the emulated machine ------------------------------------------------------------------------


@dataclass(frozen=True)
class Beyond(Kernel):
    """Stores a byte at a distance from the first one of a buffer."""

    distance: int

    def build(self, target: Target) -> Module:
        """Return the code; the argument block holds the buffer."""
        module = Module(target)
        f = module.entry()
        block = f.block("*x")
        f.store(Value("7", "i8"), f.offset(block.x, self.distance), align=1)
        return module


def test_memory_beyond_a_buffer_is_not_there() -> None:
    x = Tensor(Buffer(5, OUTPUT), (5,), (1,), np.dtype(np.uint8))
    (got,) = run([Call(Beyond(4), (x.pointer,), 1)], [(x, np.zeros(5, np.uint8))], [x], target=NEON)
    assert got.tolist() == [0, 0, 0, 0, 7]
    if not runs_here(NEON):
        with pytest.raises(AssertionError, match="status"):
            run([Call(Beyond(5), (x.pointer,), 1)], [], [x], target=NEON)


# --- elements and rows ---------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
def test_fused_elements(chunk: int) -> None:
    steps = (step("exp", 0), step("tanh", 1), step("multiply", 2, 3), step("sigmoid", 4))
    program = Program((F32, F32), steps, (4, 5))
    x, y = normal(37, 53), normal(53, seed=1)
    tensors = [filled(x), filled(y)]
    outputs = [output(x.shape, F32), output(x.shape, F32)]
    calls = loops.lower(program, [tensors[0], tensors[1].broadcast(x.shape)], outputs, NEON)
    pairs = list(zip(tensors, [x, y], strict=True))
    got = run(calls, pairs, outputs, target=NEON, chunk=chunk)
    for each, exact in zip(
        got, evaluate(program, [x, np.broadcast_to(y, x.shape)], 0, exact=True), strict=True
    ):
        np.testing.assert_allclose(each, exact, rtol=2e-6)


@pytest.mark.parametrize("dtype", test_mathematics.FLOATS)
@pytest.mark.parametrize("name", test_mathematics.CASES)
def test_functions_over_the_whole_range(name: str, dtype: str) -> None:
    test_mathematics.test_functions_over_the_whole_range(name, dtype, "neon")


def test_rounding_and_short_floats() -> None:
    for name in ("floor", "ceil", "trunc", "rint", "round"):
        test_mathematics.test_rounding(name, "neon")
    test_mathematics.test_float16_in_memory("neon")
    test_mathematics.test_bfloat16_in_memory("neon")


@pytest.mark.parametrize("source", test_bodies.DTYPES)
def test_casts(source: str) -> None:
    test_bodies.test_casts_are_those_of_numpy(source, "neon")


@pytest.mark.parametrize(
    "name", ["left_shift", "right_shift", "sign", "minimum", "divide", "floordiv", "mod", "pow"]
)
def test_bodies_where_machines_differ(name: str) -> None:
    (spec,) = (each for each in all_specs() if each.name == name)
    test_bodies.test_bodies_agree_with_numpy(spec, "neon")


@pytest.mark.parametrize("shape", [(70, 3), (40, 48), (9, 1000)])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_softmax_and_layer_norm(shape: tuple[int, int], order: list[int]) -> None:
    x, scale, shift = normal(*shape), normal(shape[1], seed=1), normal(shape[1], seed=2)
    for program, arrays in (
        (test_rows.SOFTMAX, [x]),
        (test_rows.layer_norm(shape[1]), [x, scale, shift]),
    ):
        (got,) = test_rows.results(program, arrays, 1, "neon", order, chunk=1)
        wide = [np.broadcast_to(each, shape) for each in arrays]
        (truth,) = evaluate(program, wide, 1, exact=True)
        np.testing.assert_allclose(got, truth, rtol=2e-5, atol=4e-6)


@pytest.mark.parametrize("name", ["max", "argmin", "sum", "prod", "any"])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_reductions_of_special_values(name: str, order: list[int]) -> None:
    x = np.random.default_rng(5).integers(-1, 2, (13, 301)).astype(np.float32)
    x[3], x[4], x[5, 7], x[6, 300], x[7, ::9] = -np.inf, np.inf, np.nan, np.inf, -0.0
    result = "bool" if name == "any" else "int64" if name == "argmin" else F32
    program = Program((F32,), (Step(f"reduce.{name}", (0,), F32, result),), (1,))
    (got,) = test_rows.results(program, [x], 1, "neon", order)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got, getattr(np, name)(x, axis=1))


@pytest.mark.parametrize("kind", ["sum", "prod"])
@pytest.mark.parametrize("axis", [0, 1])
def test_scans(kind: str, axis: int) -> None:
    x = np.random.default_rng(1).choice([-1.0, 1.0], (11, 37)).astype(np.float32)
    source, out = filled(x), output(x.shape, F32)
    calls = loops.lower_scan(kind, source, out, NEON, axis=axis, exclusive=False, reverse=False)
    (got,) = run(calls, [(source, x)], [out], target=NEON, chunk=1)
    np.testing.assert_array_equal(got, (np.cumsum if kind == "sum" else np.cumprod)(x, axis))


# --- movement ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 50), (33, 3), (5, 70)])
def test_transposing_copies(dtype: str, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(2).integers(0, 200, shape).astype(dtype)
    source, out = filled(x), output(shape[::-1], dtype)
    calls = loops.lower(Program((dtype,), (), (0,)), [source.permuted((1, 0))], [out], NEON)
    (got,) = run(calls, [(source, x)], [out], target=NEON, chunk=1)
    np.testing.assert_array_equal(got, x.T)


def test_pictures_become_planes_of_normalised_floats() -> None:
    image = np.random.default_rng(3).integers(0, 256, (9, 37, 3)).astype(np.uint8)
    mean, scale = np.random.default_rng(4).random((2, 3), np.float32)
    steps = (Step(CAST, (0,), "uint8", F32), step("subtract", 3, 1), step("multiply", 4, 2))
    arrays = [image, mean, scale]
    tensors = [filled(each) for each in arrays]
    views = [each.broadcast(image.shape).permuted((2, 0, 1)) for each in tensors]
    out = output((3, 9, 37), F32)
    calls = loops.lower(Program(("uint8", F32, F32), steps, (5,)), views, [out], NEON)
    (got,) = run(calls, list(zip(tensors, arrays, strict=True)), [out], target=NEON, chunk=1)
    wanted = (image.astype(np.float32) - mean) * scale
    np.testing.assert_array_equal(got, wanted.transpose(2, 0, 1))


@pytest.mark.parametrize("width", [1, 3, 300])
def test_gathers_and_scatters(width: int) -> None:
    table = normal(50, width)
    indices = np.random.default_rng(0).integers(-50, 50, (4, 9)).astype(np.int32)
    data, picks, out = filled(table), filled(indices), output((4, 9, width), F32)
    calls = loops.lower_gather(data, picks, out, NEON, axis=0)
    pairs = [(data, table), (picks, indices)]
    (got,) = run(calls, pairs, [out], target=NEON, chunk=1)
    np.testing.assert_array_equal(got, table[indices])

    rows = np.repeat(np.arange(-50, 50, 25, dtype=np.int64)[:, None], width, 1)
    added, where, total = normal(4, width, seed=1), filled(rows), output(table.shape, F32)
    source = filled(added)
    calls = scatter.lower(total, source, [where], NEON, axes=(-1, 1), combination="add")
    pairs = [(total, table), (source, added), (where, rows)]
    (got,) = run(calls, pairs, [total], target=NEON)
    wanted = table.copy()
    np.add.at(wanted, rows[:, 0], added)
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


# --- products and windows ------------------------------------------------------------------------


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(
    "size", [(1, 70, 33), (3, 17, 5), (14, 5, 16), (20, 39, 50), (60, 300, 100)], ids=str
)
def test_products(size: tuple[int, int, int], constant: bool) -> None:
    for batch in ((), (2,)):
        case = plain_case(*size, batch=batch, constant=constant)
        judge(case, case.run("neon"))
    case.b = placed(case.b.shape, "input", [0, 2, 1])
    case.values[1] = (case.b, case.values[1][1])
    judge(case, case.run("neon", chunk=1))


@pytest.mark.parametrize("name", list(TAILS))
def test_epilogues_of_products(name: str) -> None:
    plain = plain_case(23, 34, 29)
    tail = TAILS[name]
    values = list(plain.values)
    operands = []
    for number, dtype in enumerate(tail.operands):
        array = normal(*((23, 29) if number == 0 else (29,)), seed=number).astype(dtype)
        operands.append(filled(array))
        values.append((operands[-1], array))
    out = output((23, 29), tail.program.dtype(tail.program.outputs[0]))
    epilogue = Epilogue(tail.program, tuple(operands))
    case = Case(plain.a, plain.b, out, plain.bias, epilogue, values)
    judge(case, case.run("neon", chunk=1))


@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "options", "way"),
    [
        ((1, 40, 9, 11), (3, 3), 66, {"pads": ONE, "stride": (2, 2)}, "rows"),
        ((2, 20, 13, 11), (3, 5), 37, {"pads": ((2, 0), (1, 3)), "dilation": (2, 1)}, "rows"),
        ((1, 3, 21, 20), (7, 7), 32, {"pads": ((3, 3), (3, 3)), "last": False}, ""),
        ((2, 32, 6, 5), (1, 1), 48, {}, ""),
        ((1, 32, 9, 11), (3, 3), 2, {"pads": ONE}, "dots"),
        ((1, 40, 9, 11), (3, 3), 40, {"pads": ONE, "groups": 2}, ""),
        ((2, 33, 9, 11), (3, 3), 33, {"pads": ONE, "groups": 33}, "depthwise"),
        ((1, 24, 9, 11), (5, 5), 24, {"stride": (2, 1), "groups": 24}, "depthwise"),
        ((2, 20, 7, 9), (4, 4), 24, {"stride": (2, 2), "pads": ONE, "transpose": True}, ""),
        ((1, 6, 4, 5, 6), (2, 3, 2), 19, {"stride": (2, 1, 1)}, ""),
    ],
)
def test_convolutions(
    shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any], way: str
) -> None:
    more = {"output_padding": (0, 0)} if "transpose" in options else {}
    for chunk, constant, residual in ((0, True, False), (1, False, True)):
        switches: dict[str, Any] = {
            "chunk": chunk,
            "constant": constant,
            "residual": residual,
            **more,
        }
        calls = check(shape, kernel, outputs, "neon", **options, **switches)
        assert way in labels(calls)


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("size", [(1, 70, 33), (50, 17, 5), (61, 300, 100)], ids=str)
def test_products_of_float16(size: tuple[int, int, int], constant: bool) -> None:
    if constant or size[0] > 1:
        case = plain_case(*size, batch=(2,), constant=constant)
        test_float16.judge(case, test_float16.computed(case, halves_of_neon(), chunk=1))


def test_float16_of_any_magnitude() -> None:
    rows = np.geomspace(1e-25, 1e25, 20, dtype=np.float32)[:, None]
    case = plain_case(20, 150, 37)
    case.bias = None
    a = case.value(case.a) * rows
    a[3, 4], a[5, 6] = np.inf, np.nan
    case.values = [(case.a, a), case.values[1]]
    got, exact = test_float16.computed(case, halves_of_neon()), case.accumulated()[0]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
    np.testing.assert_array_equal(got[3], exact[3])
    kept = np.isfinite(exact)
    assert typical_error((got / rows)[kept], (exact / rows)[kept]) < TYPICAL[HALVES]


@pytest.mark.parametrize(("shape", "kernel", "outputs", "options"), test_float16.CONVOLUTIONS)
def test_convolutions_of_float16(
    shape: tuple[int, ...], kernel: Any, outputs: int, options: dict[str, Any]
) -> None:
    test_float16.test_convolutions(halves_of_neon(), shape, kernel, outputs, options)


@pytest.mark.parametrize("sizes", [(2, 40, 64, 64, 64), (1, 9, 33, 32, 17), (3, 20, 2200, 64, 70)])
def test_attention_of_float16(sizes: tuple[int, ...]) -> None:
    test_float16.test_attention(halves_of_neon(), sizes, causal=True)


@pytest.mark.parametrize("target", ["neon", integers.DOTS])
def test_convolutions_of_int8(target: str) -> None:
    for shape, kernel, outputs, options in test_int8.WINDOWS[:6]:
        integers.check(shape, kernel, outputs, target, **options)
    for shape, kernel, options in test_int8.DEPTHWISE[1:5]:
        options = {**options, "groups": shape[1]}
        for ending in ("codes", "residual"):
            integers.check(shape, kernel, shape[1], target, ending=ending, **options)


@pytest.mark.parametrize("size", SIZES)
def test_convolutions_by_winograd(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def always(problem: Convolution) -> int:
        return size

    monkeypatch.setattr(winograd, "best_size", always)
    for shape, outputs in (((1, 40, 14, 13), 64), ((2, 17, 7, 9), 33)):
        calls = check(shape, (3, 3), outputs, "neon", pads=ONE, residual=True, chunk=1)
        assert f"winograd {size}" in labels(calls)


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "pads"),
    [
        ((2, 19, 9, 11), (3, 3), (2, 2), ONE),
        ((1, 5, 13, 17), (5, 7), (3, 2), ((2, 1), (0, 3))),
        ((3, 70, 7, 7), (7, 7), (1, 1), NONE),
    ],
)
def test_pools(kind: str, shape: tuple[int, ...], kernel: Any, stride: Any, pads: Any) -> None:
    for last in (True, False):
        test_pool.check(
            normal(*shape),
            "neon",
            kind=kind,
            kernel=kernel,
            stride=stride,
            pads=pads,
            chunk=1,
            last=last,
        )


@pytest.mark.parametrize("channels", [1, 3, 4, 33])
@pytest.mark.parametrize("dtype", ["uint8", F32])
@pytest.mark.parametrize("way", ["linear", "nearest"])
def test_resized_pictures(channels: int, dtype: str, way: str) -> None:
    for old, new in (((31, 45), (17, 20)), ((9, 10), (20, 37))):
        x = test_resize.picture(*old, channels, dtype=dtype)
        source, out = filled(x), test_resize.result((*new, channels), dtype)
        rule = PictureScaling(way)
        calls = test_resize.lowered(rule, source, out, "neon")
        (found,) = run(calls, [(source, x)], [out], target=NEON, chunk=1)
        tolerance = 1e-6 if dtype == F32 else 0
        wanted = test_resize.wanted(x, new, way)
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def test_sampled_grids_and_regions() -> None:
    test_sampling.test_grids("neon", "bicubic", "border", True)
    test_sampling.test_regions_of_interest("neon", False, "avg", 2)
    test_sampling.test_boxes("neon", "bilinear", "uint8", (3, 4))


@pytest.mark.parametrize("dtype", ["uint8", F32])
def test_grey_values(dtype: str) -> None:
    test_colour.test_parts_of_pixels("neon", dtype)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_halved_pictures(channels: int) -> None:
    test_resize.test_halved_pictures("neon", channels)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_one_kernel(causal: bool) -> None:
    for m, n, depth, e in ((13, 33, 16, 20), (29, 131, 33, 48), (1, 7, 5, 3)):
        case = test_attention.Case(2, m, n, depth, e)
        scale = 1 / math.sqrt(depth)
        want = test_attention.wanted(*case.views, scale=scale, causal=causal, zero=True)
        scores = Epilogue(test_attention.program(scale))
        case.compare("neon", want, chunk=1, scores=scores, causal=causal, zero=True)


@pytest.mark.parametrize("dtype", [F32, "float64", "uint8"])
@pytest.mark.parametrize("kind", ["few", "extreme"])
def test_sorted_and_selected_rows(dtype: str, kind: str) -> None:
    for length, count in ((70, 70), (300, 300), (900, 9), (700, 500)):
        array = test_sort.elements(dtype, (2, length), kind)
        for descending in (False, True):
            test_sort.compare(filled(array), array, count, "neon", descending=descending, chunk=1)


@pytest.mark.parametrize("dtype", [F32, "float64"])
def test_suppressed_boxes(dtype: str) -> None:
    test_nms.test_kernel("neon", dtype, 150, 0.3)
