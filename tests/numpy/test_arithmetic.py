"""Python's operators on every pair of element types give NumPy's results."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn.errors import MnnError, NumberRangeError
from mnn.expr.var import Var
from tests.numpy.agreement import agree, outcome, same_as_numpy, wrapped

VALUES = [[1, 2, 3], [4, 0, 6]]
ARRAYS = {
    name: np.array(VALUES).astype(name)
    for name in ("f4", "f8", "f2", "i1", "i4", "i8", "u1", "u2", "u8", "?", "c8", "c16")
}
ARRAYS["f4"][1] *= -0.5
ARRAYS["i4"][1] *= -1
NUMBERS = (2, -3, 0, 2.5, -0.5, True, False, 300, 2**40, np.float32(2.5), np.int64(3), float("nan"))
BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]
UNARY = ("neg", "pos", "invert", "abs")
INPLACE = [
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "ifloordiv",
    "imod",
    "ipow",
    "iand",
    "ior",
    "ixor",
    "ilshift",
    "irshift",
]


@pytest.mark.parametrize("name", [*BINARY, "divmod"])
def test_pairs_of_types(name: str) -> None:
    function = divmod if name == "divmod" else getattr(operator, name)
    for one in ARRAYS.values():
        for two in ARRAYS.values():
            same_as_numpy(function, function, one, two)
            agree_or_refuse(function, one, two)


def agree_or_refuse(function: Any, one: Any, two: Any) -> None:
    """Check an ndarray on either side of a Var."""
    want = outcome(function, one, two)
    for have in (outcome(function, one, wrapped(two)), outcome(function, wrapped(one), two)):
        assert isinstance(have, Exception) == isinstance(want, Exception)
        if not isinstance(want, Exception):
            agree(want, have)


@pytest.mark.parametrize("name", BINARY)
def test_python_numbers_are_weak(name: str) -> None:
    function = getattr(operator, name)
    for array in ARRAYS.values():
        for number in NUMBERS:
            if name == "pow" and array.dtype == np.bool_:
                continue  # NumPy squares bools as int8 and raises them to other powers as int64
            for pair in ((array, number), (number, array)):
                want, have = outcome(function, *pair), outcome(function, *map(wrapped, pair))
                assert isinstance(want, Exception) == isinstance(have, Exception), pair
                if not isinstance(want, Exception) and not overflows(want, have):
                    agree(want, have)


def overflows(want: Any, have: Any) -> bool:
    """Return whether a result fits NumPy's float64 but not the default float32."""
    limit = np.finfo(np.float32).max
    return want.dtype.kind in "fc" and want.dtype != have.dtype and bool((abs(want) > limit).any())


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name: str) -> None:
    for array in ARRAYS.values():
        same_as_numpy(getattr(operator, name), getattr(operator, name), array)


@pytest.mark.parametrize("name", INPLACE)
def test_in_place(name: str) -> None:
    function = getattr(operator, name)
    for one in ARRAYS.values():
        for two in (*ARRAYS.values(), *NUMBERS):
            if name == "ipow" and one.dtype == np.bool_:
                continue
            target = Var(one.copy())
            want, have = outcome(function, one.copy(), two), outcome(function, target, wrapped(two))
            assert isinstance(want, Exception) == isinstance(have, Exception), (one.dtype, two)
            if not isinstance(want, Exception):
                assert have is target
                agree(want, have)


def test_numbers_outside_the_type_of_an_array() -> None:
    picture = mnp.array([[10, 200]], dtype=np.uint8)
    for function in (lambda: picture + 300, lambda: -1 * picture):
        with pytest.raises(NumberRangeError, match="0 to 255"):
            function()
    with pytest.raises(NumberRangeError, match="0 to 255"):
        picture[0, 0] = 300
    agree(np.array([[1 / 30, 2 / 3]], np.float32), picture / 300)
    agree(np.array([[-0.1, -0.005]], np.float32), -1 / picture)
    agree(np.hypot(np.array([[10.0, 200]]), -7), mnp.hypot(picture, -7))
    assert issubclass(NumberRangeError, (TypeError, OverflowError))
    assert issubclass(NumberRangeError, MnnError)


def test_bools_count_as_int8_where_numpy_has_no_operation_of_bools() -> None:
    yes = mnp.array([True])
    assert (yes << yes).dtype == np.int8
    assert int((yes << yes)[0]) == 2
    assert int((yes + 2**40)[0]) == 2**40 + 1
