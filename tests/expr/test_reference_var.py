"""Every promised property, method and operator of `Var` is there and works."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mnn import expr as F  # noqa: N812
from mnn.errors import DTypeError
from tests.promises import compatible, promised

PROMISED = {
    name.removeprefix("Var."): entry
    for name, entry in promised("mnn.expr").items()
    if name.startswith("Var.")
}
METHODS = [name for name, entry in PROMISED.items() if entry.kind == "method"]
# Methods of the reference package that run on devices it does not have either.
DEVICES = {"set_device_ptr", "copy_to_device_ptr"}

X = np.array([[3.0, -1.5, 0.5], [0.25, 2.5, -4.0]], np.float32)
WHOLE = np.array([[7, -5, 4], [0, 9, -8]], np.int32)


def var(array: Any) -> Any:
    """Return a constant with an array's shape and dtype."""
    return F.const(array, list(array.shape), F.NCHW, array.dtype)


# Name: (operand, call on a Var, the same in NumPy).
RESULTS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "all": (WHOLE, lambda v: v.all(1), lambda a: a.all(1)),
    "any": (WHOLE, lambda v: v.any(0), lambda a: a.any(0)),
    "argmax": (X, lambda v: v.argmax(1), lambda a: a.argmax(1)),
    "argmin": (X, lambda v: v.argmin(), lambda a: a.argmin()),
    "argsort": (X, lambda v: v.argsort(), lambda a: a.argsort()),
    "astype": (X, lambda v: v.astype(F.int), lambda a: a.astype(np.int32)),
    "clip": (X, lambda v: v.clip(-1, 2), lambda a: a.clip(-1, 2)),
    "copy": (X, lambda v: v.copy(), np.copy),
    "dot": (X, lambda v: v.dot(v.transpose()), lambda a: a.dot(a.T)),
    "flatten": (X, lambda v: v.flatten(), np.ravel),
    "item": (X, lambda v: v.item(4), lambda a: a.item(4)),
    "max": (X, lambda v: v.max(0), lambda a: a.max(0)),
    "mean": (X, lambda v: v.mean(1), lambda a: a.mean(1)),
    "min": (X, lambda v: v.min(), lambda a: a.min()),
    "nonzero": (WHOLE, lambda v: v.nonzero()[1], lambda a: a.nonzero()[1]),
    "prod": (X, lambda v: v.prod(1), lambda a: a.prod(1)),
    "ptp": (X, lambda v: v.ptp(0), lambda a: np.ptp(a, 0)),
    "ravel": (X, lambda v: v.ravel(), np.ravel),
    "read": (X, lambda v: v.read(), np.copy),
    "repeat": (X, lambda v: v.repeat(2, 1), lambda a: a.repeat(2, 1)),
    "reshape": (X, lambda v: v.reshape(3, -1), lambda a: a.reshape(3, -1)),
    "round": (X, lambda v: v.round(), np.round),
    "searchsorted": (np.sort(X[0]), lambda v: v.searchsorted(0.5), lambda a: a.searchsorted(0.5)),
    "sort": (X, lambda v: v.sort(0), lambda a: np.sort(a, 0)),
    "squeeze": (X[None], lambda v: v.squeeze(), np.squeeze),
    "std": (X, lambda v: v.std(1), lambda a: a.std(1)),
    "sum": (X, lambda v: v.sum(1), lambda a: a.sum(1)),
    "swapaxes": (X, lambda v: v.swapaxes(0, 1), lambda a: a.swapaxes(0, 1)),
    "transpose": (X, lambda v: v.transpose([1, 0]), np.transpose),
    "var": (X, lambda v: v.var(), np.var),
    "__add__": (X, lambda v: v + 1, lambda a: a + 1),
    "__sub__": (X, lambda v: 1 - v, lambda a: 1 - a),
    "__mul__": (X, lambda v: v * v, lambda a: a * a),
    "__truediv__": (WHOLE, lambda v: v / 2, lambda a: a / 2),
    "__floordiv__": (WHOLE, lambda v: v // 2, lambda a: a // 2),
    "__mod__": (WHOLE, lambda v: v % 3, lambda a: a % 3),
    "__pow__": (X, lambda v: v**2, lambda a: a**2),
    "__matmul__": (X, lambda v: v @ v.T, lambda a: a @ a.T),
    "__neg__": (X, operator.neg, np.negative),
    "__pos__": (X, operator.pos, np.positive),
    "__abs__": (X, abs, np.abs),
    "__invert__": (WHOLE, operator.invert, np.invert),
    "__and__": (WHOLE, lambda v: v & 5, lambda a: a & 5),
    "__or__": (WHOLE, lambda v: v | 5, lambda a: a | 5),
    "__xor__": (WHOLE, lambda v: v ^ 5, lambda a: a ^ 5),
    "__lshift__": (WHOLE, lambda v: v << 2, lambda a: a << 2),
    "__rshift__": (WHOLE, lambda v: v >> 2, lambda a: a >> 2),
    "__eq__": (X, lambda v: v == 0.5, lambda a: a == 0.5),
    "__ne__": (X, lambda v: v != 0.5, lambda a: a != 0.5),
    "__lt__": (X, lambda v: v < 0.5, lambda a: a < 0.5),
    "__le__": (X, lambda v: v <= 0.5, lambda a: a <= 0.5),
    "__gt__": (X, lambda v: v > 0.5, lambda a: a > 0.5),
    "__ge__": (X, lambda v: v >= 0.5, lambda a: a >= 0.5),
    "__getitem__": (X, lambda v: v[:, ::-2], lambda a: a[:, ::-2]),
    "__iter__": (X, lambda v: list(v)[1], lambda a: a[1]),
    "__len__": (X, len, len),
    "__bool__": (X[:1, :1], bool, bool),
    "__float__": (X[0, :1].reshape(()), float, float),
    "__int__": (WHOLE[0, 0], int, int),
    "__index__": (WHOLE[0, 0], operator.index, operator.index),
    "__repr__": (X, repr, repr),
    "__str__": (X, str, str),
}
# Properties, and what changes a Var: tested below by name.
OTHERS = {
    *(name for name, entry in PROMISED.items() if entry.kind == "property"),
    *("fix_as_placeholder", "fix_as_const", "fix_as_trainable", "close", "sync"),
    *("copy_from", "set_order", "set_inputs", "replace", "reorder", "resize", "write"),
    *("read_as_tuple", "fill", "argpartition", "__setitem__", "__hash__"),
}


def test_every_member_is_used_here() -> None:
    assert set(RESULTS) | OTHERS | DEVICES == set(PROMISED)


@pytest.mark.parametrize("name", METHODS)
def test_signature(name: str) -> None:
    method = getattr(F.Var, name)
    assert compatible(method, PROMISED[name].signature, vars(F), skip=1) == []


@pytest.mark.parametrize("name", RESULTS)
def test_result(name: str) -> None:
    operand, ours, numpys = RESULTS[name]
    found, wanted = ours(var(operand)), numpys(operand)
    if isinstance(wanted, (int, float, bool, str)):
        assert type(found) is type(wanted)
        assert found == wanted
        return
    array = np.asarray(found)
    assert array.shape == wanted.shape
    assert (array.dtype.kind == "f") == (wanted.dtype.kind == "f")
    np.testing.assert_allclose(array, wanted, rtol=1e-6)


def test_properties() -> None:
    x = var(X)
    assert (x.shape, x.dtype, x.data_format) == ([2, 3], F.float, F.NCHW)
    assert (x.size, x.ndim, x.valid, x.op_type, x.inputs) == (6, 2, True, "Const", [])
    x.name = "source"
    assert x.name == "source"
    numbers = ctypes.cast(x.ptr, ctypes.POINTER(ctypes.c_float * 6)).contents
    assert list(numbers) == X.ravel().tolist()
    F.lazy_eval(True)
    total = x + 1.0
    assert total.op_type == "ADD"
    np.testing.assert_array_equal(total.inputs[0].read(), X)


def test_kinds() -> None:
    F.lazy_eval(True)
    x = var(X)
    y = x * 2.0
    x.fix_as_placeholder()
    assert x.op_type == "Input"
    x.write(X + 1)
    np.testing.assert_array_equal(y.read(), (X + 1) * 2)
    x.fix_as_trainable()
    assert x.op_type == "Trainable"
    x.fix_as_const()
    assert x.op_type == "Const"
    y.sync()
    y.close()
    assert (y.op_type, y.inputs) == ("Const", [])
    np.testing.assert_array_equal(y.read(), (X + 1) * 2)


def test_rewiring() -> None:
    F.lazy_eval(True)
    x, other = var(X), var(X * 10)
    y = F.exp(x)
    z = y + 1.0
    y.replace(F.abs(x))
    np.testing.assert_array_equal(z.read(), np.abs(X) + 1)
    z.set_inputs([other, var(X)])
    np.testing.assert_allclose(z.read(), X * 10 + X)
    y.copy_from(other)
    np.testing.assert_array_equal(y.read(), X * 10)


def test_data_and_formats() -> None:
    x = var(X)
    x.write((X * 2).tolist())
    assert x.read_as_tuple() == tuple((X * 2).ravel().tolist())
    x.fill(3)
    x[0, 1:] = 5
    np.testing.assert_array_equal(x.read(), [[3, 5, 5], [3, 3, 3]])
    order = var(X[0]).argpartition(1).read()
    assert X[0][order[0]] <= X[0][order[1]] <= X[0][order[2]]
    image = var(np.zeros((1, 2, 3, 4), np.float32))
    image.set_order(F.NHWC)
    assert (image.data_format, image.shape) == (F.NHWC, [1, 2, 3, 4])
    image.reorder(F.NCHW)
    assert image.data_format == F.NCHW
    source = F.placeholder([1, 3])
    source.resize([2, 3])
    source.write(X)
    np.testing.assert_array_equal(source.read(), X)


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_there_is_no_device(name: str) -> None:
    with pytest.raises(DTypeError, match="no device"):
        getattr(var(X), name)(0, 0)


def test_is_not_hashable() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(var(X))
