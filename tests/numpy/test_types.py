"""Questions about types and memory, printing, and the testing functions answer as NumPy's do."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from mnn.errors import DTypeError
from mnn.expr.var import Var
from tests.numpy.differential import EVERY, arrays, tried

DTYPES = [np.dtype(each) for each in EVERY]
SCALARS = """
    bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64
    complex128 byte ubyte short ushort intc uintc int_ uint intp uintp long ulong longlong ulonglong
    half single double longdouble csingle cdouble clongdouble number inexact floating
    complexfloating integer signedinteger unsignedinteger generic dtype pi e inf nan euler_gamma
    newaxis True_ False_ ScalarType typecodes little_endian
""".split()  # noqa: SIM905 - reads better


@pytest.mark.parametrize("name", SCALARS)
def test_names(name: str) -> None:
    want, have = getattr(np, name), getattr(mnp, name)
    assert have is want or have == want or (name == "nan" and have != have)


def test_bfloat16_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is said, with what to install; `test_bfloat16.py` has the type itself."""
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    monkeypatch.delitem(vars(mnp), "bfloat16", raising=False)
    with pytest.raises(AttributeError, match=r"mnn-jit\[bfloat16\]"):
        _ = mnp.bfloat16
    for call in (lambda: mnp.array([1.0]).astype("bfloat16"), lambda: mnp.zeros(3, "bfloat16")):
        with pytest.raises(DTypeError, match=r"mnn-jit\[bfloat16\]"):
            call()


def test_widest_floats() -> None:
    for name in ("float96", "float128", "complex192", "complex256"):
        assert getattr(mnp, name, None) is getattr(np, name, None)
    wide = mnp.array(np.ones(3, np.longdouble))
    np.testing.assert_array_equal(wide + wide, np.full(3, 2, np.longdouble))


@tried
@given(st.sampled_from(DTYPES), st.sampled_from(DTYPES))
def test_pairs_of_types(one: Any, two: Any) -> None:
    assert mnp.promote_types(one, two) == np.promote_types(one, two)
    assert mnp.result_type(one, two) == np.result_type(one, two)
    assert mnp.result_type(Var(np.zeros(2, one)), two) == np.result_type(one, two)
    assert mnp.issubdtype(one, two) == np.issubdtype(one, two)
    for casting in ("no", "equiv", "safe", "same_kind", "unsafe"):
        want = np.can_cast(one, two, casting)  # type: ignore[arg-type]
        assert mnp.can_cast(one, two, casting) == want
        assert mnp.can_cast(Var(np.zeros(2, one)), two.name, casting) == want
    if one.kind != "b" and two.kind != "b":
        found = mnp.common_type(np.zeros(1, one), Var(np.zeros(1, two)))
        want = np.common_type(np.zeros(1, one), np.zeros(1, two))
        narrow = {np.float64: np.float32, np.complex128: np.complex64}
        assert found is want or ({one.kind, two.kind} & set("iu") and found is narrow[want])


def test_python_numbers_are_weak() -> None:
    assert mnp.result_type(np.int8, 3) == np.int8
    assert mnp.result_type(Var(np.zeros(1, np.float16)), 3.0) == np.float16
    assert mnp.result_type(np.int64, 3.0) == np.float32
    assert mnp.result_type(3.0) == np.float32
    assert mnp.result_type(3, 2.5) == np.float32
    assert mnp.result_type(True, 2) == np.int32
    assert mnp.result_type(expr.float, expr.int) == np.float64
    assert mnp.result_type([1, 2], np.int8) == np.int32
    with pytest.raises(ValueError, match="arguments"):
        mnp.result_type()
    for wrong in (
        lambda: mnp.can_cast(3, np.int8),
        lambda: mnp.promote_types("i4", "nonsense"),
        lambda: mnp.promote_types("i4", "M8[s]"),
        lambda: mnp.common_type(np.array([True])),
    ):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("dtype", DTYPES)
def test_kinds_of_types(dtype: Any) -> None:
    kinds = ["bool", "signed integer", "unsigned integer", "integral", "real floating"]
    for kind in (*kinds, "complex floating", "numeric", np.float32, ("bool", "integral")):
        assert mnp.isdtype(dtype, kind) == np.isdtype(dtype, kind)  # type: ignore[arg-type]
    assert mnp.isdtype(expr.float, expr.float)
    assert mnp.issubdtype(expr.int, np.integer)
    for wrong in ("nonsense", 3):
        with pytest.raises((ValueError, TypeError)):
            mnp.isdtype(dtype, wrong)
    if dtype.kind in "fc":
        assert mnp.finfo(dtype) == np.finfo(dtype)
        assert mnp.finfo(Var(np.zeros(1, dtype))) == np.finfo(dtype)
    if dtype.kind in "iu":
        assert mnp.iinfo(dtype).max == np.iinfo(dtype).max
        assert mnp.iinfo(int_type=Var(np.zeros(1, dtype))).min == np.iinfo(dtype).min
    if dtype != np.float16:  # NumPy has forgotten it
        assert mnp.typename(dtype.char) == np.typename(dtype.char)
    assert mnp.mintypecode([dtype.char]) == np.mintypecode([dtype.char])


def test_limits_of_the_default_types() -> None:
    assert mnp.finfo(float).bits == 32
    assert mnp.iinfo(int).bits == 32
    assert mnp.finfo(expr.double).bits == 64
    with pytest.raises(ValueError, match="int"):
        mnp.iinfo(np.float32)
    for number in (1, -1, 300, 2**40, 1.5, 1e300, 1j, True):
        assert mnp.min_scalar_type(number) == np.min_scalar_type(number)
    assert mnp.min_scalar_type(Var(np.zeros(2, np.int8))) == np.int8


@tried
@given(arrays())
def test_questions_about_arrays(array: Any) -> None:
    var = Var(array)
    for name in ("iscomplexobj", "isrealobj", "isfortran", "isscalar", "iterable"):
        assert getattr(mnp, name)(var) == getattr(np, name)(array), name
    assert mnp.isscalar(3.5)
    assert mnp.iterable([1])
    assert not mnp.iterable(3)
    assert mnp.shares_memory(var, array) == np.shares_memory(array, array)
    assert mnp.may_share_memory(var, var[...]) == np.may_share_memory(array, array)
    assert not mnp.shares_memory(var, array.copy())


def test_recorded_results_have_no_memory_order() -> None:
    expr.lazy_eval(True)
    assert not mnp.isfortran(mnp.transpose(expr.const([1.0, 2, 3, 4], [2, 2])))


# --- printing ------------------------------------------------------------------------------------


@tried
@given(arrays())
def test_text(array: Any) -> None:
    var = Var(array)
    assert mnp.array2string(var) == np.array2string(array)
    assert mnp.array_repr(var) == np.array_repr(array)
    assert mnp.array_str(var, precision=2) == np.array_str(array, precision=2)
    options: dict[str, Any] = {
        "max_line_width": 20, "precision": 1, "suppress_small": True, "separator": ", ",
        "threshold": 3, "edgeitems": 1, "sign": "+", "floatmode": "fixed", "suffix": ")",
    }  # fmt: skip
    assert mnp.array2string(var, **options) == np.array2string(array, **options)
    with mnp.printoptions(precision=1, threshold=2):
        assert mnp.get_printoptions()["precision"] == 1
        with np.printoptions(precision=1, threshold=2):
            assert repr(var) == repr(array)
            assert mnp.array_repr(var) == np.array_repr(array)


def test_numbers_as_text() -> None:
    assert mnp.base_repr(-255, base=16, padding=2) == np.base_repr(-255, base=16, padding=2)
    assert mnp.binary_repr(-3, width=5) == np.binary_repr(-3, width=5)
    for name in ("format_float_positional", "format_float_scientific"):
        want = getattr(np, name)(np.float32(np.pi), precision=3)
        assert getattr(mnp, name)(np.float32(mnp.pi), precision=3) == want
    stream = io.StringIO()
    mnp.info(mnp.zeros((2, 3)), output=stream)
    assert "shape:  (2, 3)" in stream.getvalue()
    assert "Build Dependencies" in mnp.show_config("dicts")


def test_floating_point_errors() -> None:
    with mnp.errstate(divide="raise"):
        assert mnp.geterr()["divide"] == "raise"
    old = mnp.seterr(over="ignore")
    assert mnp.seterr(**old)["over"] == "ignore"
    assert mnp.geterrcall() is None
    assert mnp.seterrcall(None) is None


# --- assertions ----------------------------------------------------------------------------------


def test_assertions_on_vars() -> None:
    one, two = mnp.array([1.0, 2.0]), mnp.array([1.0, 2.5])
    testing = mnp.testing
    testing.assert_allclose(one, [1, 2])
    testing.assert_allclose(actual=one, desired=one + 1e-9)
    testing.assert_array_equal(one, one)
    testing.assert_equal([one, {"a": two}], [one, {"a": two}])
    testing.assert_almost_equal(one, one)
    testing.assert_array_almost_equal(one, two, decimal=0)
    testing.assert_array_less(one, two + 1)
    testing.assert_array_max_ulp(one, one)
    testing.assert_array_almost_equal_nulp(one, one)
    testing.assert_approx_equal(mnp.array(1.0), 1.0)
    testing.assert_(one.shape == [2])  # noqa: PT009
    for assertion in (
        lambda: testing.assert_allclose(one, two),
        lambda: testing.assert_array_equal(one, two),
        lambda: testing.assert_equal(one, two),
        lambda: testing.assert_array_less(two, one),
        lambda: testing.assert_array_max_ulp(one, two),
    ):
        with pytest.raises(AssertionError):
            assertion()
    with testing.assert_raises(DTypeError):
        mnp.array("text")
    for name in testing.__all__:
        assert hasattr(testing, name)
    np.testing.assert_allclose(one, [1, 2])
