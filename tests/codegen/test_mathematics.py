"""Functions of kernels over the whole range of their arguments, against NumPy in more bits."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="functions become machine code")

from mnn.codegen.body import Body
from mnn.codegen.builder import F32, Function, Module, Value, vector
from mnn.codegen.emission import Emitter
from mnn.codegen.mathematics import FUNCTIONS
from mnn.codegen.target import TARGETS
from mnn.ops.reference import special
from tests.codegen.elements import NATIVE, Elements, Method, compute

Array = np.ndarray[Any, Any]


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _silu(x: Array) -> Array:
    return np.where(x == -np.inf, -0.0, x * special.sigmoid(x))


def _mish(x: Array) -> Array:
    return np.where(x == -np.inf, -0.0, x * np.tanh(_softplus(x)))


def _gelu(x: Array) -> Array:
    wide = -x * np.sqrt(np.longdouble(0.5))
    rounded = np.asarray(wide, np.float64)
    # The tail is so steep that rounding its argument shows.
    slope = -2 / np.sqrt(np.longdouble(np.pi)) * np.exp(-wide * wide)
    erfc = special.erfc(rounded) + np.where(np.isfinite(wide), slope * (wide - rounded), 0)
    return np.where(x < -38.6, -0.0, 0.5 * x * erfc)


# Name: meaning, largest errors on float32 and on float64 in units of the last place. Those of erf,
# erfc and erfinv on float64 count those of the reference, which is computed in float64 too.
CASES: dict[str, tuple[Callable[[Array], Array], int, int]] = {
    "acos": (np.arccos, 2, 2),
    "acosh": (np.arccosh, 3, 3),
    "asin": (np.arcsin, 3, 3),
    "asinh": (np.arcsinh, 3, 3),
    "atan": (np.arctan, 2, 2),
    "atanh": (np.arctanh, 3, 3),
    "cbrt": (np.cbrt, 1, 1),
    "cos": (np.cos, 3, 3),
    "cosh": (np.cosh, 2, 2),
    "erf": (special.erf, 6, 4),
    "erfc": (special.erfc, 7, 10),
    "erfinv": (special.erfinv, 6, 8),
    "exp": (np.exp, 2, 2),
    "exp2": (np.exp2, 2, 2),
    "expm1": (np.expm1, 2, 2),
    "log": (np.log, 1, 1),
    "log10": (np.log10, 2, 1),
    "log1p": (np.log1p, 2, 2),
    "log2": (np.log2, 2, 1),
    "mish": (_mish, 4, 4),
    "sigmoid": (special.sigmoid, 3, 3),
    "silu": (_silu, 4, 3),
    "sin": (np.sin, 3, 3),
    "sinh": (np.sinh, 2, 2),
    "softplus": (_softplus, 3, 2),
    "tan": (np.tan, 4, 4),
    "tanh": (np.tanh, 6, 3),
}
FLOATS = {"float32": np.dtype(np.uint32), "float64": np.dtype(np.uint64)}


def _method(name: str, *inputs: str, dtype: str = "", result: str = "", lanes: int = 0) -> Method:
    """Return the kernel of a method; words after colons are its first arguments."""
    kind = dtype or inputs[0]
    method, *words = name.split(":")
    return Method(inputs, result or kind, lanes, method, kind, tuple(words))


def _every_magnitude(dtype: str, count: int) -> Array:
    """Return numbers of every exponent, and many of the sizes that functions change at."""
    random = np.random.default_rng(11)
    whole = FLOATS[dtype]
    bits = random.integers(0, np.iinfo(whole).max, count, whole, endpoint=True).view(dtype)
    usual = random.standard_normal(count) * 10.0 ** random.uniform(-3, 2, count)
    unit = random.uniform(-1.2, 1.2, count)
    info = np.finfo(dtype)
    corners = [0.0, 0.5, 1.0, 2.0, 100.0, np.inf, info.max, info.tiny, info.smallest_subnormal]
    corners += [88.7228, 103.97, 709.78, 709.79, 745.13, math.pi / 2, math.pi, 2.0**23, 2.0**52]
    signed = np.array([*corners, *(-each for each in corners), np.nan])
    return np.concatenate([bits, *(each.astype(dtype) for each in (usual, unit, signed))])


def _errors(got: Array, exact: Array) -> Array:
    """Return errors in units of the last place; 0 where special values are right, else inf."""
    dtype = got.dtype
    with np.errstate(all="ignore"):
        want = exact.astype(dtype)
        size = np.clip(np.abs(want), np.finfo(dtype).tiny, np.finfo(dtype).max / 2)
        lost = np.abs(got.astype(exact.dtype) - exact).astype(np.float64)
    errors = lost / np.spacing(size).astype(np.float64)
    errors[np.isnan(want) | np.isnan(got)] = np.inf
    errors[np.isnan(want) & np.isnan(got)] = 0
    endless = np.isinf(want) | np.isinf(got)
    edge = np.finfo(dtype).max * (1 - 4 * np.finfo(dtype).eps)
    near = (np.abs(want) > edge) & (np.abs(got) > edge) & (np.sign(want) == np.sign(got))
    errors[endless] = np.where(near[endless], 0, np.inf)
    errors[(want == 0) & (got == 0) & (np.signbit(want) != np.signbit(got))] = np.inf
    return errors


def _check(got: Array, exact: Array, limit: float, *arguments: Array) -> None:
    errors = _errors(got, exact)
    worst = int(np.argmax(errors))
    assert errors[worst] <= limit, (
        f"error of {errors[worst]} at {[each[worst] for each in arguments]}: "
        f"{got[worst]!r}, not {exact[worst]!r}"
    )


def _more_bits(x: Array) -> Array:
    with np.errstate(invalid="ignore"):  # NaN that signals
        return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_functions_over_the_whole_range(name: str, dtype: str, target: str) -> None:
    meaning, single, double = CASES[name]
    x = _every_magnitude(dtype, 30000 if dtype == "float32" else 10000)
    with np.errstate(all="ignore"):
        exact = np.asarray(meaning(_more_bits(x)))
    got = compute(_method(name, dtype), [x], target)
    _check(got, exact, single if dtype == "float32" else double, x)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_one_float32_in_a_hundred(name: str) -> None:
    meaning, limit, _ = CASES[name]
    kernel = _method(name, "float32")
    for start in range(0, 2**32, 101 << 20):
        bits = np.arange(start, min(start + (101 << 20), 2**32), 101, np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            exact = np.asarray(meaning(x.astype(np.float64)))
        _check(compute(kernel, [x], "avx512"), exact, limit, x)


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_gelu(dtype: str, target: str) -> None:
    x = _every_magnitude(dtype, 10000)
    with np.errstate(all="ignore"):
        exact = _gelu(_more_bits(x))
    got = compute(_method("gelu", dtype), [x], target)
    if dtype == "float64":
        return _check(got, exact, 10, x)
    right = x > -1
    _check(got[right], exact[right], 5, x[right])
    # The left tail is as precise as the operand.
    finite = np.isfinite(x) & (np.abs(x) > 1e-30)
    wide = _more_bits(x[finite])
    assert (np.abs(got[finite] - exact[finite]) <= 3e-7 * np.abs(wide)).all()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
    assert got[x == -np.inf].tolist() == [0.0]
    return None


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_gelu_by_tanh(dtype: str, target: str) -> None:
    x = _every_magnitude(dtype, 10000)
    wide = _more_bits(x)
    with np.errstate(all="ignore"):
        twice = 2 * np.sqrt(2 / np.longdouble(np.pi)) * (wide + 0.044715 * wide**3)
        exact = np.where(x == -np.inf, -0.0, wide * special.sigmoid(twice).astype(wide.dtype))
    got = compute(_method("gelu_tanh", dtype), [x], target)
    errors = _errors(got, exact)
    # The exponential of a rounded number is the less precise, the larger that is.
    with np.errstate(all="ignore"):
        limit = 4 + 4 * np.minimum(np.abs(twice), 1000) * (x < 0)
    limit[np.isnan(x)] = 0
    assert (errors <= limit).all()


@pytest.mark.parametrize("target", NATIVE)
def test_angles_close_to_multiples_of_half_pi(target: str) -> None:
    """The closest that float32 and float64 come; expected values by 80 digits of pi."""
    single = np.array([7.729178919452902e28, 21999384576.0, 1.5458357838905804e29], np.float32)
    got = compute(_method("cos", "float32"), [single[:2]], target)
    np.testing.assert_allclose(got, [-1.6147697982476211e-09, -2.0126460319185528e-09], 2e-7)
    got = compute(_method("sin", "float32"), [single[2:]], target)
    np.testing.assert_allclose(got, [-3.2295395964952422e-09], 2e-7)
    double = np.array([6381956970095103.0 * 2.0**797, 1e22, 1.7976931348623157e308])
    expected = {
        "sin": [1.0, -0.8522008497671888, 0.004961954789184062],
        "cos": [-4.687165924254628e-19, 0.523214785395139, -0.9999876894265599],
        "tan": [-2.133485385753704e18, -1.6287782256068988, -0.004962015874444895],
    }
    for name, want in expected.items():
        np.testing.assert_allclose(compute(_method(name, "float64"), [double], target), want, 5e-16)


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_functions_of_two_arguments(dtype: str, target: str) -> None:
    random = np.random.default_rng(2)
    x, y = _every_magnitude(dtype, 12000), random.permutation(_every_magnitude(dtype, 12000))
    near_one = (1 + random.standard_normal(9000) * 1e-3).astype(dtype)
    large = (random.standard_normal(9000) * 1e5).astype(dtype)
    whole = random.integers(-20, 21, 9000).astype(dtype)
    powers = random.integers(-30, 31, 9000).astype(dtype)
    x, y = np.concatenate([x, near_one, whole]), np.concatenate([y, large, powers])
    for name, meaning, limit in (("pow", np.power, 2), ("atan2", np.arctan2, 3)):
        with np.errstate(all="ignore"):
            exact = meaning(_more_bits(x), _more_bits(y))
        got = compute(_method(name, dtype, dtype), [x, y], target)
        _check(got, exact, limit, x, y)
    remainders = (("fmod", np.fmod), ("floormod", np.remainder), ("floordiv", np.floor_divide))
    for name, function in remainders:
        with np.errstate(all="ignore"):
            want = function(x, y)
        got = compute(_method(name, dtype, dtype), [x, y], target)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(want[got == 0]))


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_of_any_bits_stays_nan(dtype: str, target: str) -> None:
    whole = FLOATS[dtype]
    bits = np.random.default_rng(8).integers(0, np.iinfo(whole).max, 4000, whole)
    infinite = np.array(np.inf, dtype).view(whole)
    x = (bits | infinite).view(dtype)
    assert np.isnan(x).sum() > 3900
    x = x[np.isnan(x)]
    for name in (*CASES, "gelu", "gelu_tanh"):
        assert np.isnan(compute(_method(name, dtype), [x], target)).all(), name
    for name in ("pow", "atan2", "fmod", "floormod", "floordiv"):
        twos = np.full_like(x, 2)
        assert np.isnan(compute(_method(name, dtype, dtype), [x, twos], target)).all(), name
        assert np.isnan(compute(_method(name, dtype, dtype), [twos, x], target)).all(), name


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_number_of_lanes_changes_nothing(dtype: str, target: str) -> None:
    x = _every_magnitude(dtype, 300)[-640:]
    for name in ("exp", "sin", "pow", "fmod", "tanh", "log1p", "erfc", "cbrt"):
        two = name in ("pow", "fmod")
        arrays = [x, np.roll(x, 7)] if two else [x]
        results = [
            compute(_method(name, *[dtype] * len(arrays), lanes=lanes), arrays, target)
            for lanes in (1, 2, 4, 8, 16, 32)
        ]
        for each in results[1:]:
            np.testing.assert_array_equal(each, results[0])


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "round"])
def test_rounding(name: str, target: str) -> None:
    def half_away(x: Array) -> Array:
        whole = np.floor(np.abs(x))
        return np.copysign(whole + (np.abs(x) - whole >= 0.5), x)

    meaning = half_away if name == "round" else getattr(np, name)
    for dtype in FLOATS:
        halves = np.arange(-9, 9, 0.5)
        below = np.nextafter(halves.astype(dtype), np.array(-np.inf, dtype))
        x = np.concatenate([halves.astype(dtype), below, _every_magnitude(dtype, 3000)])
        with np.errstate(all="ignore"):
            want = meaning(x)
        got = compute(_method(f"round:{name}", dtype), [x], target)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize("target", NATIVE)
def test_float16_in_memory(target: str) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    wide = bits.view(np.float16).astype(np.float32)
    kernel = _method("from_float16", "uint16", dtype="float32")
    np.testing.assert_array_equal(compute(kernel, [bits], target), wide)
    order = np.sort(wide[np.isfinite(wide)])
    between = (order[1:] + order[:-1]) / 2
    x = np.concatenate([wide, between, np.nextafter(between, 0), _every_magnitude("float32", 5000)])
    with np.errstate(all="ignore"):
        want = x.astype(np.float16)
    kernel = _method("to_float16", "float32", dtype="float32", result="uint16")
    got = compute(kernel, [x], target)
    np.testing.assert_array_equal(got.view(np.float16), want)
    zeros = want == 0
    np.testing.assert_array_equal(got[zeros], want[zeros].view(np.uint16))


@pytest.mark.parametrize("target", NATIVE)
def test_bfloat16_in_memory(target: str) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    wide = (bits.astype(np.uint32) << 16).view(np.float32)
    kernel = _method("from_bfloat16", "uint16", dtype="float32")
    np.testing.assert_array_equal(compute(kernel, [bits], target), wide)
    kernel = _method("to_bfloat16", "float32", dtype="float32", result="uint16")
    numbers = ~np.isnan(wide)
    np.testing.assert_array_equal(compute(kernel, [wide], target)[numbers], bits[numbers])
    x = _every_magnitude("float32", 20000)
    halves = (np.arange(0, 0x7F80, 7, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    x = np.concatenate([x, halves])
    got = (compute(kernel, [x], target).astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(x))
    up = (x.view(np.uint32).astype(np.uint64) + 0x8000 >> 16 << 16).astype(np.uint32)
    tie = (x.view(np.uint32) & 0x1FFFF) == 0x8000
    want = np.where(tie, up - (1 << 16), up).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(got[~np.isnan(x)], want[~np.isnan(x)])


@dataclass(frozen=True)
class Reduced(Elements):
    """All lanes combined, in each lane of the result.

    Attributes:
        name: method of the body.
    """

    name: str

    def emit(self, f: Function, lanes: int, values: Sequence[Value]) -> Value:
        """Return the combination of the lanes."""
        k = Body(f, lanes, np.dtype(self.result))
        return f.splat(getattr(k, self.name)(values[0]), lanes)


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "int64"])
def test_lanes_are_reduced_to_one(dtype: str, target: str) -> None:
    x = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 1, 1, 9, 3], dtype)
    for name in ("add", "multiply", "maximum", "minimum"):
        method = {"add": "add", "multiply": "mul", "maximum": "max", "minimum": "min"}[name]
        for lanes in (2, 4, 8, 16):
            with np.errstate(over="ignore"):
                want = getattr(np, name).reduce(x.reshape(-1, lanes), axis=1, dtype=dtype)
            got = compute(Reduced((dtype,), dtype, lanes, f"reduce_{method}"), [x], target)
            np.testing.assert_array_equal(got, np.repeat(want, lanes))
    if dtype.startswith("float"):
        x[5] = np.nan
        for name in ("reduce_max", "reduce_min", "reduce_add"):
            assert np.isnan(compute(Reduced((dtype,), dtype, 16, name), [x], target)).all()


def test_every_function_needs_no_library() -> None:
    """On all targets, for vectors and single numbers, of both precisions."""
    for target in TARGETS.values():
        emitter = Emitter(triple=target.triple, cpu=target.cpu, features=target.features)
        for name in FUNCTIONS:
            for dtype in FLOATS:
                operands = len(inspect.signature(FUNCTIONS[name]).parameters) - 1
                kernel = _method(name, *[dtype] * operands)
                emitter.emit(kernel.build(target).text().replace("@KERNEL", "@kernel"))
        for name, inputs, result in (
            ("from_float16", "uint16", "float32"),
            ("to_float16", "float32", "uint16"),
            ("from_bfloat16", "uint16", "float32"),
            ("to_bfloat16", "float32", "uint16"),
        ):
            kernel = _method(name, inputs, dtype="float32", result=result)
            emitter.emit(kernel.build(target).text().replace("@KERNEL", "@kernel"))


def test_constants_are_known() -> None:
    f = Module(TARGETS["avx2"]).entry()
    for dtype, number in (("float32", 0.5), ("float64", -1e300), ("int16", -7), ("bool", 1)):
        for lanes in (1, 4):
            k = Body(f, lanes, np.dtype(dtype))
            assert k.known(k.const(number)) == number
    k = Body(f, 4, np.dtype(np.float32))
    assert k.known(f.load(vector(4, F32), f.arguments[0])) is None
    assert k.known(f.undefined(vector(4, F32))) is None
