"""What a Var is to Python and NumPy."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from mnn import expr
from mnn.errors import DTypeError, ShapeError


def test_shape_equals_lists_and_tuples() -> None:
    x = expr.const(0.0, [2, 2])
    assert [2, 2] == x.shape == (2, 2)
    assert x.shape != [2, 3]
    assert repr(x.shape) == "[2, 2]"
    assert x.shape + [1] == [2, 2, 1]  # noqa: RUF005 - the operator is what is tested
    assert [1] + x.shape == [1, 2, 2]  # noqa: RUF005
    assert np.zeros(x.shape).shape == (2, 2)


def test_dtype_equals_the_enumeration_and_numpy() -> None:
    x = expr.const([1, 2], [2], expr.NCHW, expr.int)
    assert x.dtype == expr.int
    assert expr.int == x.dtype
    assert x.dtype == np.int32
    assert x.dtype != expr.float
    assert np.zeros(2, expr.uint8).dtype == np.uint8
    assert {expr.float: 1}[np.dtype(np.float32)] == 1


def test_const_follows_the_reference_examples() -> None:
    assert expr.const([1, 2, 3, 4], [2, 2]).read().tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert expr.const(np.ones((2, 2)), [4]).dtype == np.float32
    assert expr.const(b"\x01\x02", [2], expr.NHWC, expr.uint8).read().tolist() == [1, 2]
    with pytest.raises(ShapeError, match="found 3 elements, expected 4"):
        expr.const([1, 2, 3], [2, 2])
    with pytest.raises(DTypeError):
        expr.const(["a"], [1])


def test_python_numbers() -> None:
    assert expr.scalar(1).dtype == np.int32
    assert expr.scalar(2**40).dtype == np.int64
    assert expr.scalar(1.0).dtype == np.float32
    assert expr.scalar(True).dtype == np.bool_
    x = expr.const([1, 2], [2], expr.NCHW, expr.int)
    assert (x + 1).dtype == np.int32
    assert (x * 0.5).dtype == np.float32
    large = expr.const([2**24 + 1], [1], expr.NCHW, expr.int)
    assert (large > 2.0**24).read().tolist() == [True]
    assert (expr.const([1], [1], expr.NCHW, expr.uint8) < 300).read().tolist() == [True]
    assert (x / 2).dtype == np.float32
    assert (x + np.ones(2)).dtype == np.float64
    assert (expr.const([1.0], [1]) * 2.5).dtype == np.float32


def test_scalars_convert_and_arrays_do_not() -> None:
    one, many = expr.const([3.5], [1]), expr.const([1.0, 2.0], [2])
    assert float(one) == 3.5
    assert int(one) == 3
    assert bool(one)
    assert f"{one:.2f}" == "3.50"
    assert [10, 20, 30][expr.scalar(1)] == 20
    with pytest.raises(ValueError, match="ambiguous"):
        bool(many)
    with pytest.raises(TypeError):
        float(many)
    with pytest.raises(TypeError):
        hash(many)
    with pytest.raises(TypeError):
        len(expr.scalar(1))


def test_unknown_operands_leave_it_to_python() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        expr.scalar(1) + "a"

    class Right:
        def __radd__(self, other: object) -> str:
            return "theirs"

    assert expr.scalar(1) + Right() == "theirs"


@pytest.mark.parametrize("lazy", [False, True])
def test_copy_and_pickle_keep_value_format_kind_and_name(lazy: bool) -> None:
    expr.lazy_eval(lazy)
    x = expr.const([1.0, 2.0], [2], expr.NHWC)
    x.fix_as_trainable()
    x.name = "weight"
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.read().tolist() == [1.0, 2.0]
        assert twin.data_format == expr.NHWC
        assert (twin.op_type, twin.name) == ("Trainable", "weight")
        twin.write([9, 9])
        assert x.read().tolist() == [1.0, 2.0]


def test_write_checks_count_and_type() -> None:
    x = expr.const([1, 2, 3, 4], [2, 2], expr.NCHW, expr.int)
    x.write([[5, 6], [7, 8]])
    x.write((1, 2, 3, 4))
    assert x.read().tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ShapeError, match="found 3 elements"):
        x.write([1, 2, 3])
    with pytest.raises(DTypeError, match="float"):
        x.write([1.5, 2, 3, 4])
    y = expr.const([0.0], [1])
    y.write([3])
    y.write(np.array([2.5]))
    assert y.read_as_tuple() == (2.5,)


def test_read_stays_valid_after_the_var_is_gone() -> None:
    x = expr.const([1.0, 2.0], [2])
    array = x.read()
    array[0] = 5
    assert x.read().tolist() == [5.0, 2.0]
    del x
    assert array.tolist() == [5.0, 2.0]


def test_numpy_arrays_and_dlpack() -> None:
    x = expr.const([1.0, 2.0], [2])
    assert np.asarray(x).tolist() == [1.0, 2.0]
    assert np.asarray(x, np.int64).dtype == np.int64
    assert np.from_dlpack(x).tolist() == [1.0, 2.0]
    assert (np.ones(2, np.float32) + x).read().tolist() == [2.0, 3.0]
    assert sum(float(each) for each in x) == 3.0
