"""Every operator that has a body: kernels of it agree with its NumPy reference, on every target.

All values that matter for a dtype meet each other: zeros of both signs, extremes, infinities, NaN,
denormals, and ordinary numbers. Floats are judged by a reference of higher precision.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="bodies become machine code")

import mnn  # noqa: F401  (operators register their bodies)
from mnn.codegen.builder import Module
from mnn.codegen.emission import Emitter
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import TARGETS
from mnn.errors import CodegenError, DTypeError
from mnn.expr.dtypes import float_result
from mnn.ops.elementwise import Elementwise
from mnn.ops.spec import OpSpec, all_specs
from tests.codegen.elements import NATIVE, compute, programmed

Array = np.ndarray[Any, Any]

DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
)
LANES = 8
"""More than the vectors of some targets have, fewer than those of others."""

# Largest errors in units of the last place. Operators that are not listed are exact.
ULPS = {
    "acos": 2,
    "acosh": 3,
    "asin": 3,
    "asinh": 3,
    "atan": 3,
    "atan2": 3,
    "atanh": 3,
    "cbrt": 2,
    "cos": 3,
    "cosh": 3,
    "elu": 4,
    "erf": 6,
    "erfc": 6,
    "erfinv": 8,
    "exp": 2,
    "exp2": 2,
    "expm1": 3,
    "gelu": 6,
    "gelu_standard": 6,
    "hardswish": 3,
    "i0": 6,
    "log": 2,
    "log10": 3,
    "log1p": 3,
    "log2": 3,
    "logaddexp": 4,
    "logaddexp2": 4,
    "mish": 5,
    "mul_silu": 5,
    "pow": 3,
    "rsqrt": 2,
    "selu": 5,
    "sigmoid": 4,
    "silu": 4,
    "sin": 4,
    "sinh": 3,
    "softplus": 4,
    "softsign": 2,
    "tan": 4,
    "tanh": 6,
}
# Sizes, besides that of the result, which errors are relative to.
SCALES: dict[str, Callable[..., Array]] = {
    # The tail is the difference of nearly equal numbers, or a power of a rounded exponent.
    "gelu": lambda x: np.abs(x),
    "gelu_standard": lambda x: np.abs(x),
    # Near zero the result is the difference of two numbers of about that size.
    "logaddexp": lambda x, y: np.minimum(np.maximum(np.abs(x), np.abs(y)), 1),
    "logaddexp2": lambda x, y: np.minimum(np.maximum(np.abs(x), np.abs(y)), 1),
    # sigmoid(y) may be denormal.
    "mul_silu": lambda x, y: np.abs(x * y) * np.finfo(x.dtype).tiny,
}
# Which of two zeros these return is not said by IEEE 754, nor by NumPy.
EITHER_ZERO = {"elu", "fmax", "fmin", "maximum", "minimum", "relu", "relu6", "selu"}
# Operators on signed integers that kernels leave to NumPy, with the reason's words.
LEFT_TO_NUMPY = {"pow": "negative one is an error"}


def _values(dtype: np.dtype[Any], count: int) -> Array:
    """Return values of a dtype that matter, then `count` ordinary ones."""
    random = np.random.default_rng(5)
    if dtype.kind == "b":
        return np.array([False, True, True, False] * (count // 4 + 1))
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        special = {0, 1, 2, 3, 5, 7, 31, info.max, info.max - 1, info.min, info.min + 1}
        if dtype.kind == "i":
            special |= {-1, -2, -3, -7}
        ordinary = random.integers(info.min, info.max, count, dtype, endpoint=True)
        small = random.integers(0, 12, count, dtype)
        return np.concatenate([np.array(sorted(special), dtype), ordinary, small])
    limits = np.finfo(dtype)
    listed = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 6.0, 1e-3, 20.0, 88.0, 710.0, 12345.678, 1e9]
    listed += [float(limits.max), float(limits.tiny), float(limits.smallest_subnormal) * 3, np.inf]
    both = np.array([*listed, *(-each for each in listed), np.nan], dtype)
    spread = random.standard_normal(count) * 10.0 ** random.uniform(-4, 3, count)
    return np.concatenate([both, spread.astype(dtype), random.uniform(-1, 1, count).astype(dtype)])


def _operands(spec: OpSpec, dtype: str) -> list[Array]:
    """Return as many equally long arrays as the operator has operands."""
    kind = np.dtype(dtype)
    if len(spec.inputs) == 1:
        return [_values(kind, 400)]
    values = _values(kind, 24)
    pairs = itertools.product(values, values)
    first, second = (np.array(each, kind) for each in zip(*pairs, strict=True))
    if len(spec.inputs) == 2:
        return [first, second]
    return [np.arange(len(first)) % 3 == 0, first, second]


def _with_bodies() -> list[OpSpec]:
    return [each for each in all_specs() if each.body is not None]


def _dtypes(spec: OpSpec, dtype: str) -> tuple[str, str]:
    """Return the names of the dtypes in which the operator computes, and of its result.

    Raises:
        DTypeError: it does not take operands of that dtype.
    """
    given = np.dtype(dtype)
    if isinstance(spec, Elementwise):
        compute = spec.rule.compute_dtype(spec.name, [given] * len(spec.inputs))
        return compute.name, (spec.rule.result or compute).name
    compute = given if spec.name == "select" else float_result(given)
    return compute.name, compute.name


def _program(spec: OpSpec, dtype: str) -> Program:
    """Return a program of that operator alone."""
    compute, result = _dtypes(spec, dtype)
    inputs = (dtype,) * len(spec.inputs)
    if spec.name == "select":
        inputs = ("bool", dtype, dtype)
    attributes = tuple((name, value) for name, value in spec.attributes.items() if name != "layout")
    step = Step(spec.name, tuple(range(len(inputs))), compute, result, attributes)
    return Program(inputs, (step,), (len(inputs),))


def _cases() -> Iterator[tuple[OpSpec, str]]:
    for spec in _with_bodies():
        for dtype in DTYPES:
            try:
                _dtypes(spec, dtype)
            except DTypeError:
                continue
            yield spec, dtype


def _left_to_numpy(spec: OpSpec, dtype: str) -> bool:
    return spec.name in LEFT_TO_NUMPY and np.dtype(_dtypes(spec, dtype)[0]).kind == "i"


def _reference(spec: OpSpec, arrays: list[Array]) -> Array:
    attributes = dict(spec.attributes)
    if spec.name == "prelu":
        x, slopes = (each.astype(float_result(each.dtype)) for each in arrays)
        with np.errstate(all="ignore"):
            return np.where(x > 0, x, x * slopes)
    with np.errstate(all="ignore"):
        return np.asarray(spec.reference(*arrays, **attributes))


def _check_floats(spec: OpSpec, got: Array, arrays: list[Array]) -> None:
    """Compare with the reference in a type of more bits."""
    dtype = got.dtype
    more = np.float64 if dtype == np.float32 else np.longdouble
    arrays = [each.astype(dtype) for each in arrays]
    exact = _reference(spec, [each.astype(more) for each in arrays])
    with np.errstate(all="ignore"):
        want = exact.astype(dtype)
        usual = _reference(spec, arrays)
    scale = np.abs(want)
    ulps = ULPS[spec.name]
    if spec.name in SCALES:
        with np.errstate(all="ignore"):
            scale = np.maximum(scale, SCALES[spec.name](*arrays))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(usual))
    near = np.isfinite(got) & np.isfinite(usual)
    # An error of the last place may make the largest number infinite, and the other way round.
    edge = np.finfo(dtype).max * (1 - np.finfo(dtype).eps * ulps)
    same = (got == usual) | np.isnan(got) | near
    assert (same | ((np.abs(got) >= edge) & (np.abs(want) >= edge))).all()
    scale = np.clip(scale[near], np.finfo(dtype).tiny, np.finfo(dtype).max / 2)
    unit = np.spacing(scale).astype(more)
    errors = np.abs(got[near].astype(more) - exact[near]) / unit
    worst = int(np.argmax(errors)) if errors.size else 0
    assert not errors.size or errors[worst] <= ulps, (
        f"{spec.name}: error of {errors[worst]} units at "
        f"{[each[near][worst] for each in arrays]}: {got[near][worst]}, not {exact[near][worst]}"
    )
    if spec.name not in EITHER_ZERO:
        zeros = (got == 0) & (want == 0)
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))


def _check(spec: OpSpec, got: Array, arrays: list[Array]) -> None:
    if got.dtype.kind == "f" and spec.name in ULPS:
        return _check_floats(spec, got, arrays)
    want = _reference(spec, arrays)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if got.dtype.kind == "f" and spec.name not in EITHER_ZERO:
        zeros = got == 0
        np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))
    return None


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("spec", _with_bodies(), ids=lambda each: each.name)
def test_bodies_agree_with_numpy(spec: OpSpec, target: str) -> None:
    dtypes = [dtype for each, dtype in _cases() if each is spec]
    assert dtypes
    for dtype in dtypes:
        program, arrays = _program(spec, dtype), _operands(spec, dtype)
        kernel = programmed(program, LANES)
        if _left_to_numpy(spec, dtype):
            with pytest.raises(CodegenError, match=LEFT_TO_NUMPY[spec.name]):
                kernel.build(TARGETS[target])
            continue
        got = compute(kernel, arrays, target)
        _check(spec, got, arrays)
        # An odd start moves elements between vectors and the scalar rest.
        np.testing.assert_array_equal(got, compute(kernel, arrays, target, chunk=LANES + 3))


@pytest.mark.parametrize("spec", _with_bodies(), ids=lambda each: each.name)
def test_bodies_need_no_library_on_neon(spec: OpSpec) -> None:
    target = TARGETS["neon"]
    emitter = Emitter(triple=target.triple, cpu=target.cpu, features=target.features)
    for each, dtype in _cases():
        if each is spec and not _left_to_numpy(spec, dtype):
            text = programmed(_program(spec, dtype), LANES).build(target).text()
            emitter.emit(text.replace("@KERNEL", "@kernel"))


@pytest.mark.parametrize("target", NATIVE)
@pytest.mark.parametrize("source", DTYPES)
def test_casts_are_those_of_numpy(source: str, target: str) -> None:
    values = _values(np.dtype(source), 200)
    if source.startswith("float"):
        beyond = [3e9, -3e9, 2.0**31, -(2.0**31), 2.0**63, 1.5e19, 3e4, 300.0, -1.0, 255.9]
        values = np.concatenate([values, np.array(beyond, source)])
    for wanted in DTYPES:
        step = Step("cast", (0,), source, wanted)
        program = Program((source,), (step,), (1,))
        got = compute(programmed(program, LANES), [values], target)
        with np.errstate(all="ignore"):
            # NumPy's own conversion to uint32 is not the same in all places of an array.
            whole = source.startswith("float") and wanted == "uint32"
            want = values.astype("int64").astype(wanted) if whole else values.astype(wanted)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 0.5, -1])
def test_powers_of_known_exponents(dtype: str, exponent: float) -> None:
    whole = dtype.startswith("int")
    if whole and (exponent != int(exponent)):
        return
    steps = (constant_step(exponent, dtype), Step("pow", (0, 1), dtype, dtype))
    program = Program((dtype,), steps, (2,))
    values = _values(np.dtype(dtype), 200)
    if whole and exponent < 0:
        with pytest.raises(CodegenError, match="negative one is an error"):
            programmed(program).build(TARGETS["avx2"])
        return
    for target in NATIVE:
        got = compute(programmed(program, LANES), [values], target)
        with np.errstate(all="ignore"):
            if whole:
                np.testing.assert_array_equal(got, values ** np.dtype(dtype).type(exponent))
            else:
                want = np.power(values, np.dtype(dtype).type(exponent))
                np.testing.assert_allclose(got, want, rtol=4 * float(np.finfo(dtype).eps))


def test_integers_have_no_transcendental_functions() -> None:
    def build(name: str) -> Callable[[], Module]:
        step = Step(name, (0,), "int32", "int32")
        return lambda: programmed(Program(("int32",), (step,), (1,))).build(TARGETS["avx2"])

    for name in ("exp", "sin", "sqrt", "erf"):
        with pytest.raises(CodegenError, match=r"floats|float32 and float64"):
            build(name)()
