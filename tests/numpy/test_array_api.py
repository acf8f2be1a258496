"""The Python array API standard, revision 2025.12: names, signatures, and what it says of results.

`tests/data/array_api_2025_12.json` lists the functions of the standard with their parameters.
Results are compared with those of NumPy, whose main namespace follows the standard, called the
standard's way. Deviations are in docs/array_api.md.
"""

from __future__ import annotations

import ast
import inspect
import json
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn.errors import ShapeError
from tests.numpy.agreement import agree
from tests.numpy.differential import (
    FLOATS,
    REAL,
    arrays,
    matches,
    numbers,
    quiet,
    read,
    same,
    tried,
)

STANDARD = json.loads((Path(__file__).parents[1] / "data" / "array_api_2025_12.json").read_text())
SPACES = {"main": mnp, "linalg": mnp.linalg, "fft": mnp.fft}
FUNCTIONS = [
    (space, name, signature)
    for space in SPACES
    for name, signature in STANDARD[space].items()
    if signature
]
IDS = [f"{space}.{name}" for space, name, _ in FUNCTIONS]

# --- names and signatures ------------------------------------------------------------------------


def test_names() -> None:
    for space, module in SPACES.items():
        missing = [name for name in STANDARD[space] if not hasattr(module, name)]
        assert missing == [], space


def test_members_of_arrays() -> None:
    assert [name for name in STANDARD["array"] if not hasattr(mnp.ndarray, name)] == []


def _standard(signature: str) -> ast.arguments:
    (function,) = ast.parse(f"def f{signature}: ...").body
    assert isinstance(function, ast.FunctionDef)
    return function.args


@pytest.mark.parametrize(("space", "name", "signature"), FUNCTIONS, ids=IDS)
def test_signature(space: str, name: str, signature: str) -> None:
    """Positional parameters in their places, the others by their names and with their defaults."""
    ours = list(inspect.signature(getattr(SPACES[space], name)).parameters.values())
    wanted = _standard(signature)
    positional = [
        each for each in ours if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    rest = any(each.kind is each.VAR_POSITIONAL for each in ours)
    places = [*wanted.posonlyargs, *wanted.args]
    assert rest or len(positional) >= len(places)
    by_name = {each.name: each for each in ours if each.kind is not each.POSITIONAL_ONLY}
    assert [each.arg for each in wanted.args if each.arg not in by_name] == []
    for each, default in zip(wanted.kwonlyargs, wanted.kw_defaults, strict=True):
        assert each.arg in by_name
        if default is not None:
            found = by_name[each.arg].default
            value = ast.literal_eval(default)
            unset = found is None or type(found).__name__ == "_NoValueType"
            assert found == value or (unset and value in (False, None, 0, -1, True, "backward"))
    required = [each for each in positional[len(places) :] if each.default is each.empty]
    assert required == []


# --- the namespace -------------------------------------------------------------------------------


def test_namespace_of_an_array() -> None:
    x = mnp.zeros(3)
    for version in (None, "2021.12", "2022.12", "2023.12", "2024.12", "2025.12"):
        assert x.__array_namespace__(api_version=version) is mnp
    with pytest.raises(ValueError, match="version"):
        x.__array_namespace__(api_version="1999.12")
    assert mnp.__array_api_version__ == "2025.12"


def test_info() -> None:
    info = mnp.__array_namespace_info__()
    assert info.default_device() == "cpu"
    assert info.devices() == ["cpu"]
    assert info.capabilities() == {
        "boolean indexing": True,
        "data-dependent shapes": True,
        "max dimensions": 64,
    }
    defaults = info.default_dtypes()
    assert defaults == info.default_dtypes(device="cpu")
    assert defaults["real floating"] == mnp.asarray(1.0).dtype
    assert defaults["complex floating"] == mnp.asarray(1j).dtype
    assert defaults["integral"] == mnp.asarray(1).dtype
    assert defaults["indexing"] == mnp.argmax(mnp.zeros(3)).dtype
    numpys = np.__array_namespace_info__()
    kinds = ("bool", "signed integer", "unsigned integer", "integral", "numeric", None)
    for kind in (*kinds, "real floating", "complex floating", ("bool", "real floating"), ()):
        assert info.dtypes(kind=kind) == numpys.dtypes(kind=kind)
    with pytest.raises(ValueError, match="kind"):
        info.dtypes(kind="text")
    with pytest.raises(ValueError, match="device"):
        info.dtypes(device="gpu")


def test_constants() -> None:
    assert (mnp.pi, mnp.e, mnp.inf) == (np.pi, np.e, np.inf)
    assert mnp.isnan(mnp.asarray(mnp.nan))
    assert mnp.newaxis is None


# --- creation ------------------------------------------------------------------------------------

CREATION: dict[str, Any] = {
    "arange": lambda xp, **more: xp.arange(2, 9, 3, **more),
    "asarray": lambda xp, **more: xp.asarray([[1, 2], [3, 4]], **more),
    "empty": lambda xp, **more: xp.empty((2, 3), **more) * 0,
    "empty_like": lambda xp, **more: xp.empty_like(xp.asarray([1, 2]), **more) * 0,
    "eye": lambda xp, **more: xp.eye(3, 4, k=-1, **more),
    "full": lambda xp, **more: xp.full((2,), 7, **more),
    "full_like": lambda xp, **more: xp.full_like(xp.asarray([1.5, 2]), 3, **more),
    "linspace": lambda xp, **more: xp.linspace(0, 4, num=5, endpoint=False, **more),
    "ones": lambda xp, **more: xp.ones((2, 1), **more),
    "ones_like": lambda xp, **more: xp.ones_like(xp.asarray([True]), **more),
    "zeros": lambda xp, **more: xp.zeros(3, **more),
    "zeros_like": lambda xp, **more: xp.zeros_like(xp.asarray([[2j]]), **more),
}


@pytest.mark.parametrize("name", CREATION)
def test_creation(name: str) -> None:
    make = CREATION[name]
    agree(make(np), make(mnp))
    agree(make(np, device="cpu"), make(mnp, device="cpu"))
    for dtype in ("float64", "int16", "complex64"):
        if dtype == "complex64" and name in ("linspace", "arange"):
            continue
        want = make(np, dtype=np.dtype(dtype))
        agree(want, make(mnp, dtype=getattr(mnp, dtype)), defaults=False)
    with pytest.raises(ValueError, match="device"):
        make(mnp, device="gpu")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frequencies(dtype: str) -> None:
    for name in ("fftfreq", "rfftfreq"):
        ours, numpys = getattr(mnp.fft, name), getattr(np.fft, name)
        found = ours(9, d=0.5, dtype=getattr(mnp, dtype), device="cpu")
        agree(numpys(9, d=0.5).astype(dtype), found, defaults=False)
    assert mnp.fft.fftfreq(4).dtype == mnp.float32


def test_copies_on_request() -> None:
    x = mnp.asarray([1.0, 2.0])
    for make in (mnp.asarray, mnp.from_dlpack):
        assert mnp.shares_memory(make(x, copy=False), x)
        assert mnp.shares_memory(make(x), x)
        assert not mnp.shares_memory(make(x, copy=True), x)
    with pytest.raises(ValueError, match="copy"):
        mnp.asarray(x, dtype=mnp.float64, copy=False)
    assert not mnp.shares_memory(mnp.astype(x, mnp.float32), x)
    assert mnp.shares_memory(mnp.astype(x, mnp.float32, copy=False), x)
    assert mnp.astype(x, mnp.float64, device="cpu").dtype == mnp.float64
    assert mnp.shares_memory(mnp.reshape(x, (2, 1), copy=False), x)
    assert not mnp.shares_memory(mnp.reshape(x, (2, 1), copy=True), x)
    with pytest.raises(ValueError, match="device"):
        mnp.from_dlpack(x, device="gpu")


# --- element types -------------------------------------------------------------------------------

TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
INEXACT = ("float32", "float64", "complex64", "complex128")


@pytest.mark.parametrize("one", [*TYPES, *INEXACT])
def test_types_promote(one: str) -> None:
    a = getattr(mnp, one)
    assert mnp.asarray([1], dtype=a).dtype == a
    for other in (*TYPES, *INEXACT):
        b = getattr(mnp, other)
        assert mnp.result_type(a, b) == np.result_type(np.dtype(one), np.dtype(other))
        assert mnp.can_cast(a, b) == np.can_cast(one, other)
        x, y = mnp.asarray([1], dtype=a), mnp.asarray([1], dtype=b)
        assert mnp.result_type(x, y) == mnp.result_type(a, b)
        if not (one == other == "bool"):
            assert (x + y).dtype == mnp.result_type(a, b)
    for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating"):
        for each in (kind, (kind, "complex floating"), (a, kind)):
            assert mnp.isdtype(mnp.dtype(a), each) == np.isdtype(np.dtype(one), each)


@pytest.mark.parametrize("name", [*TYPES[1:], *INEXACT])
def test_python_numbers_are_weak(name: str) -> None:
    x = mnp.asarray([2, 3], dtype=getattr(mnp, name))
    for symbol in (operator.add, operator.sub, operator.mul):
        assert symbol(x, 1).dtype == symbol(1, x).dtype == x.dtype
        if name in INEXACT:
            assert symbol(x, 1.5).dtype == symbol(1.5, x).dtype == x.dtype
    if name.startswith("float"):
        assert (x + 1j).dtype == {"float32": "complex64", "float64": "complex128"}[name]
    if name in TYPES:
        assert (x & 1).dtype == (x << 1).dtype == (x // 2).dtype == (x % 2).dtype == x.dtype


def test_limits() -> None:
    for name in ("float32", "float64", "complex64"):
        found, wanted = mnp.finfo(getattr(mnp, name)), np.finfo(name)
        for each in ("bits", "eps", "max", "min", "smallest_normal", "dtype"):
            assert getattr(found, each) == getattr(wanted, each)
    assert mnp.iinfo(mnp.int16).max == 2**15 - 1
    assert mnp.iinfo(mnp.asarray([1], dtype=mnp.uint8)).bits == 8
    assert mnp.finfo(mnp.asarray([1.0])).bits == 32


# --- functions -----------------------------------------------------------------------------------

ONE = [
    *("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "bitwise_invert", "ceil", "conj"),
    *("cos", "cosh", "exp", "expm1", "floor", "imag", "isfinite", "isinf", "isnan", "log", "log10"),
    *("log1p", "log2", "logical_not", "negative", "positive", "real", "reciprocal", "round"),
    *("sign", "signbit", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc"),
]
TWO = [
    *("add", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "copysign", "divide", "equal"),
    *("floor_divide", "greater", "greater_equal", "hypot", "less", "less_equal", "logaddexp"),
    *("logical_and", "logical_or", "logical_xor", "maximum", "minimum", "multiply", "nextafter"),
    *("not_equal", "remainder", "subtract"),
]
_INEXACT = ("f4", "f8", "c8", "c16")
_REALS = ("i1", "i4", "i8", "u1", "u4", "f4", "f8")
_FEW = ("?", *_REALS, "c8", "c16")
_FLOATING_ONLY = {
    *("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "exp", "expm1", "log"),
    *("log10", "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh"),
    *("atan2", "copysign", "hypot", "logaddexp", "nextafter", "reciprocal"),
}


@pytest.mark.parametrize("name", ONE)
@tried
@given(data=st.data())
def test_elementwise(name: str, data: st.DataObject) -> None:
    kinds = _INEXACT if name in _FLOATING_ONLY else _FEW
    x = data.draw(arrays(kinds, ranks=(0, 2), sizes=(0, 3)))
    matches(getattr(mnp, name), getattr(np, name), x, recorded=False)


@pytest.mark.parametrize("name", TWO)
@tried
@given(data=st.data())
def test_elementwise_pairs(name: str, data: st.DataObject) -> None:
    kinds = ("f4", "f8") if name in _FLOATING_ONLY else _REALS
    x = data.draw(arrays(kinds, ranks=(0, 2), sizes=(1, 3)))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    dtype = data.draw(st.sampled_from(kinds))
    y = numbers(random, x.shape[data.draw(st.integers(0, x.ndim)) :], dtype)
    matches(getattr(mnp, name), getattr(np, name), x, y, recorded=False)


@pytest.mark.parametrize("name", ["bitwise_left_shift", "bitwise_right_shift", "pow"])
def test_shifts_and_powers(name: str) -> None:
    for dtype in ("i4", "u1", "i8"):
        x, y = np.array([1, 5, 9], dtype), np.array([0, 2, 3], dtype)
        matches(getattr(mnp, name), getattr(np, name), x, y, defaults=False)


REDUCTIONS = ["all", "any", "max", "min", "mean", "prod", "std", "sum", "var", "count_nonzero"]


@pytest.mark.parametrize("name", REDUCTIONS)
@tried
@given(data=st.data())
def test_reductions(name: str, data: st.DataObject) -> None:
    x = data.draw(arrays(_REALS, ranks=(1, 3), sizes=(1, 4)))
    axes = [None, *range(-x.ndim, x.ndim), tuple(range(x.ndim))]
    options = {"axis": data.draw(st.sampled_from(axes)), "keepdims": data.draw(st.booleans())}
    if name in ("std", "var"):
        options["correction"] = data.draw(st.sampled_from([0, 1, 0.5]))
    matches(getattr(mnp, name), getattr(np, name), x, recorded=False, **options)


X = np.array([[3.0, 1.0, 2.0], [1.0, 6.0, 1.0]], np.float32)
I = np.array([2, 0, 1, 2, 0], np.int32)  # noqa: E741
S = np.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]], np.float32)
V = np.array([1.0, 2.0, 3.0], np.float32)

CALLS: dict[str, Any] = {
    "broadcast_arrays": lambda xp, x, i: xp.broadcast_arrays(x, x[0]),
    "broadcast_shapes": lambda xp, x, i: xp.asarray(xp.broadcast_shapes((2, 1), (3,))),
    "broadcast_to": lambda xp, x, i: xp.broadcast_to(x, (4, 2, 3)),
    "clip": lambda xp, x, i: xp.clip(x, min=1.5, max=2.5),
    "clip positional": lambda xp, x, i: xp.clip(x, None, 2.5),
    "concat": lambda xp, x, i: xp.concat([x, x], axis=1),
    "concat flat": lambda xp, x, i: xp.concat((x, x), axis=None),
    "expand_dims": lambda xp, x, i: xp.expand_dims(x, axis=-1),
    "expand_dims tuple": lambda xp, x, i: xp.expand_dims(x, axis=(0, 2)),
    "flip": lambda xp, x, i: xp.flip(x, axis=(0, 1)),
    "moveaxis": lambda xp, x, i: xp.moveaxis(x, 0, 1),
    "permute_dims": lambda xp, x, i: xp.permute_dims(x, (1, 0)),
    "permute_dims axes": lambda xp, x, i: xp.permute_dims(x, axes=(1, 0)),
    "repeat": lambda xp, x, i: xp.repeat(x, 2, axis=1),
    "repeat array": lambda xp, x, i: xp.repeat(x, i[:2], axis=0),
    "reshape": lambda xp, x, i: xp.reshape(x, shape=(3, -1)),
    "roll": lambda xp, x, i: xp.roll(x, shift=(1, 2), axis=(0, 1)),
    "squeeze": lambda xp, x, i: xp.squeeze(x[:1], axis=0),
    "stack": lambda xp, x, i: xp.stack([x, x], axis=-1),
    "tile": lambda xp, x, i: xp.tile(x, (2, 1)),
    "unstack": lambda xp, x, i: xp.unstack(x, axis=1),
    "tril": lambda xp, x, i: xp.tril(x, k=1),
    "triu": lambda xp, x, i: xp.triu(x, k=-1),
    "meshgrid": lambda xp, x, i: xp.meshgrid(i, x[0], indexing="ij"),
    "argmax": lambda xp, x, i: xp.argmax(x, axis=1, keepdims=True),
    "argmin": lambda xp, x, i: xp.argmin(x),
    "nonzero": lambda xp, x, i: xp.nonzero(x > 1),
    "where": lambda xp, x, i: xp.where(x > 1, x, -x),
    "where scalar": lambda xp, x, i: xp.where(x > 1, x, 0.0),
    "searchsorted": lambda xp, x, i: xp.searchsorted(xp.sort(i), i, side="right"),
    "searchsorted sorter": lambda xp, x, i: xp.searchsorted(i, i, sorter=xp.argsort(i)),
    "searchsorted scalar": lambda xp, x, i: xp.searchsorted(xp.sort(i), 1),
    "isin": lambda xp, x, i: xp.isin(i, xp.asarray([1, 2]), invert=True),
    "unique_all": lambda xp, x, i: (
        xp.unique_all(i).values,
        xp.unique_all(i).indices,
        xp.unique_all(i).inverse_indices,
        xp.unique_all(i).counts,
    ),
    "unique_counts": lambda xp, x, i: tuple(xp.unique_counts(i)),
    "unique_inverse": lambda xp, x, i: xp.unique_inverse(x).inverse_indices,
    "unique_values": lambda xp, x, i: xp.sort(xp.unique_values(x)),
    "argsort": lambda xp, x, i: xp.argsort(x, axis=0, stable=True),
    "sort": lambda xp, x, i: xp.sort(x, axis=-1, stable=False),
    "cumulative_sum": lambda xp, x, i: xp.cumulative_sum(x, axis=1, include_initial=True),
    "cumulative_prod": lambda xp, x, i: xp.cumulative_prod(i, dtype=xp.float64),
    "diff": lambda xp, x, i: xp.diff(x, n=1, axis=1, prepend=x[:, :1]),
    "take": lambda xp, x, i: xp.take(x, i, axis=1),
    "take_along_axis": lambda xp, x, i: xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1),
    "matmul": lambda xp, x, i: xp.matmul(x, x.T),
    "matrix_transpose": lambda xp, x, i: xp.matrix_transpose(x),
    "tensordot": lambda xp, x, i: xp.tensordot(x, x, axes=((0,), (0,))),
    "vecdot": lambda xp, x, i: xp.vecdot(x, x, axis=0),
    "count_nonzero": lambda xp, x, i: xp.count_nonzero(i, axis=0, keepdims=True),
}


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str) -> None:
    call = CALLS[name]
    matches(lambda x, i: call(mnp, x, i), lambda x, i: call(np, x, i), X, I)


@pytest.mark.parametrize("name", ["sort", "argsort"])
def test_descending(name: str) -> None:
    for stable in (True, False):
        found = getattr(mnp, name)(mnp.asarray(I), axis=-1, descending=True, stable=stable)
        order = np.argsort(-I, kind="stable")
        agree(order if name == "argsort" else I[order], found)
    found = mnp.argsort(mnp.asarray(X), axis=0, descending=True)
    agree(np.argsort(-X, axis=0, kind="stable"), found)


LINALG: dict[str, Any] = {
    "cholesky": lambda xp, s, v: xp.linalg.cholesky(s, upper=True),
    "cross": lambda xp, s, v: xp.linalg.cross(s, v, axis=-1),
    "det": lambda xp, s, v: xp.linalg.det(s),
    "diagonal": lambda xp, s, v: xp.linalg.diagonal(s, offset=1),
    "eig": lambda xp, s, v: abs(xp.linalg.eig(s)[0]).sum(),
    "eigh": lambda xp, s, v: xp.linalg.eigh(s).eigenvalues,
    "eigvals": lambda xp, s, v: abs(xp.linalg.eigvals(s)).max(),
    "eigvalsh": lambda xp, s, v: xp.linalg.eigvalsh(s),
    "inv": lambda xp, s, v: xp.linalg.inv(s),
    "matmul": lambda xp, s, v: xp.linalg.matmul(s, v),
    "matrix_norm": lambda xp, s, v: xp.linalg.matrix_norm(s, keepdims=True, ord="nuc"),
    "matrix_power": lambda xp, s, v: xp.linalg.matrix_power(s, -2),
    "matrix_rank": lambda xp, s, v: xp.linalg.matrix_rank(s, rtol=0.1),
    "matrix_transpose": lambda xp, s, v: xp.linalg.matrix_transpose(s),
    "outer": lambda xp, s, v: xp.linalg.outer(v, v),
    "pinv": lambda xp, s, v: xp.linalg.pinv(s[:2], rtol=1e-3),
    "qr": lambda xp, s, v: abs(xp.linalg.qr(s, mode="complete").R),
    "slogdet": lambda xp, s, v: tuple(xp.linalg.slogdet(s)),
    "solve": lambda xp, s, v: xp.linalg.solve(s, v),
    "solve matrix": lambda xp, s, v: xp.linalg.solve(s, s),
    "svd": lambda xp, s, v: xp.linalg.svd(s, full_matrices=False).S,
    "svdvals": lambda xp, s, v: xp.linalg.svdvals(s),
    "tensordot": lambda xp, s, v: xp.linalg.tensordot(s, v, axes=1),
    "trace": lambda xp, s, v: xp.linalg.trace(s, offset=1, dtype=xp.float64),
    "vecdot": lambda xp, s, v: xp.linalg.vecdot(s, v, axis=-1),
    "vector_norm": lambda xp, s, v: xp.linalg.vector_norm(s, axis=(0, 1), keepdims=True, ord=3),
}


@pytest.mark.parametrize("name", LINALG)
def test_linalg(name: str) -> None:
    call = LINALG[name]
    want = quiet(call, np, S, V)
    have = quiet(lambda: read(call(mnp, mnp.asarray(S), mnp.asarray(V))))
    if isinstance(want, Exception):
        same(want, have)
    else:
        for one, two in zip(
            *(each if isinstance(each, tuple) else (each,) for each in (want, have)), strict=True
        ):
            np.testing.assert_allclose(np.asarray(two), np.asarray(one), rtol=2e-5, atol=2e-5)
            assert np.asarray(two).dtype == np.asarray(one).dtype or np.asarray(one).dtype == "i8"


FFT = [name for name in STANDARD["fft"] if "freq" not in name and "shift" not in name]


@pytest.mark.parametrize("name", FFT)
def test_transforms(name: str) -> None:
    several = name.endswith("n")
    x = X if name in ("rfft", "rfftn", "ihfft") else (X + 1j * X[::-1]).astype(np.complex64)
    options: dict[str, Any] = {"s": (2, 4), "axes": (0, 1)} if several else {"n": 5, "axis": 1}
    for norm in ("backward", "ortho", "forward"):
        want = getattr(np.fft, name)(x, norm=norm, **options)
        found = np.asarray(getattr(mnp.fft, name)(mnp.asarray(x), norm=norm, **options))
        assert found.dtype == want.dtype
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)


def test_shifted_transforms() -> None:
    for name in ("fftshift", "ifftshift"):
        agree(
            getattr(np.fft, name)(X, axes=(1,)), getattr(mnp.fft, name)(mnp.asarray(X), axes=(1,))
        )


# --- arrays --------------------------------------------------------------------------------------

BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor")
IN_PLACE = ("iadd", "isub", "imul", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "ilshift")


@pytest.mark.parametrize("name", BINARY)
@tried
@given(data=st.data())
def test_operators(name: str, data: st.DataObject) -> None:
    kinds = ("i2", "i4", "u1") if name.endswith("_") or name == "xor" else ("i2", "i4", "f4", "f8")
    x = data.draw(arrays(kinds, ranks=(0, 2), sizes=(0, 3), special=0))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    y = np.abs(numbers(random, x.shape, data.draw(st.sampled_from(kinds))))
    symbol = getattr(operator, name)
    matches(symbol, symbol, x, y, recorded=False)
    if x.dtype.kind == "f" or name not in ("truediv", "pow"):
        matches(lambda a: symbol(a, 2), lambda a: symbol(a, 2), x, recorded=False)


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operators(name: str) -> None:
    symbol = getattr(operator, name)
    for dtype in ("i4", "u1", "i8"):
        x, y = np.array([[7, 5], [3, 9]], dtype), np.array([1, 2], dtype)
        ours = mnp.asarray(x.copy())
        kept = ours
        ours = symbol(ours, mnp.asarray(y))
        assert ours is kept
        agree(symbol(x.copy(), y), ours, defaults=False)


def test_scalars() -> None:
    assert bool(mnp.asarray(True)) is True
    assert int(mnp.asarray(3)) == 3
    assert float(mnp.asarray(2.5)) == 2.5
    assert complex(mnp.asarray(2.5)) == 2.5
    assert complex(mnp.asarray(1j)) == 1j
    assert operator.index(mnp.asarray(4)) == 4
    assert float(mnp.asarray(True)) == 1.0
    for refused in (
        lambda: operator.index(mnp.asarray(1.0)),
        lambda: float(mnp.asarray(1j)),
        lambda: int(mnp.asarray(1j)),
        lambda: float(mnp.zeros(2)),
    ):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(OverflowError):
        int(mnp.asarray(np.inf))
    with pytest.raises(ValueError, match="NaN"):
        int(mnp.asarray(np.nan))


INDICES: list[Any] = [
    0,
    -1,
    (1, 2),
    slice(None),
    slice(None, None, -1),
    slice(1, 99),
    (slice(1), slice(-2, None)),
    ...,
    (..., 0),
    (0, ...),
    None,
    (None, slice(None), None, 1),
    (slice(None), 1, None),
    np.array([1, 0, 1]),
    (np.array([0, 1]), np.array([2, 0])),
    (np.array([[0], [1]]), 1),
    (0, np.array([0, 2])),
    np.array([[True, False, True], [False, True, False]]),
    2,
    (0, 0, 0),
]


@pytest.mark.parametrize("place", range(len(INDICES)))
def test_indices(place: int) -> None:
    index = INDICES[place]

    def ours(x: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        return x[tuple(mnp.asarray(e) if isinstance(e, np.ndarray) else e for e in parts)]

    matches(ours, lambda x: x[index], X, defaults=False)


def test_axes_out_of_range() -> None:
    x = mnp.asarray(X)
    for call in (
        lambda: mnp.expand_dims(x, axis=4),
        lambda: mnp.sum(x, axis=2),
        lambda: mnp.flip(x, axis=-3),
        lambda: mnp.stack([x], axis=4),
        lambda: mnp.unstack(x, axis=2),
        lambda: mnp.argmax(x, axis=2),
    ):
        for kind in (IndexError, ValueError):
            with pytest.raises(kind):
                call()


def test_python_numbers_among_themselves() -> None:
    assert mnp.add(1, 2.5).dtype == mnp.result_type(1, 2.5) == mnp.float32
    assert mnp.where(mnp.asarray([True]), 1, 2.5).dtype == mnp.float32
    assert mnp.maximum(1, 2).dtype == mnp.int32
    assert mnp.multiply(1.5, 1j).dtype == mnp.complex64


def test_arrays_exchange_memory() -> None:
    x = mnp.asarray([1.0, 2.0])
    assert x.__dlpack_device__() == (1, 0)
    y = mnp.from_dlpack(x)
    y[0] = 5
    assert x[0] == 5
    assert x.device == "cpu"
    assert x.to_device(x.device) is x
    assert (x.ndim, x.shape, x.size, x.dtype) == (1, (2,), 2, mnp.float32)
    agree(X.T, mnp.asarray(X).mT)
    with pytest.raises(ShapeError):
        _ = mnp.zeros(3).mT


@tried
@given(x=arrays(REAL, ranks=(1, 2), sizes=(1, 4)), y=arrays(FLOATS, ranks=(0, 1), sizes=(1, 1)))
def test_type_of_results(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    """Comparisons give bool, and arithmetic the type that the operands promote to."""
    a, b = mnp.asarray(x), mnp.asarray(y)
    assert (a < b).dtype == mnp.bool
    assert (a * b).dtype == mnp.result_type(a, b) == np.result_type(x.dtype, y.dtype)
