"""NumPy's own functions given Vars: they are ours, and results stay in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn.config import config
from tests.numpy.agreement import agree

A = np.array([[0.5, 1.5, -2.0], [3.0, 0.25, 4.0]], np.float32)
B = np.array([[2.0, 1.0, 3.0], [0.5, 1.0, 2.0]], np.float32)
I = np.array([3, 1, 2, 2], np.int32)  # noqa: E741
SQUARE = np.array([[4.0, 1.0], [1.0, 3.0]], np.float32)

# Calls of NumPy's functions with a Var among the arguments: `x` is a Var or an array.
CALLS: dict[str, tuple[np.ndarray[Any, Any], Any]] = {
    "exp": (A, lambda x: np.exp(x)),
    "add": (A, lambda x: np.add(x, B)),
    "add reflected": (A, lambda x: np.add(B, x)),
    "operator": (A, lambda x: B + x),
    "operator in lists": (A, lambda x: np.float32(2) * x),
    "where": (A, lambda x: np.add(x, B, where=A > 0, out=np.zeros_like(A))),
    "dtype": (A, lambda x: np.multiply(x, B, dtype=np.float64)),
    "reduce": (A, lambda x: np.add.reduce(x, axis=1, keepdims=True)),
    "reduce maximum": (A, lambda x: np.maximum.reduce(x)),
    "reduce subtract": (A, lambda x: np.subtract.reduce(x, axis=1)),
    "accumulate": (A, lambda x: np.multiply.accumulate(x, axis=1)),
    "outer": (A, lambda x: np.multiply.outer(x, B)),
    "outer reflected": (A, lambda x: np.add.outer(B, x)),
    "reduceat": (I, lambda x: np.add.reduceat(x, [0, 2])),
    "divmod": (A, lambda x: np.divmod(x, B)),
    "modf": (A, lambda x: np.modf(x)),
    "matmul": (A, lambda x: np.matmul(x, B.T)),
    "vecdot": (A, lambda x: np.vecdot(x, B)),
    "concatenate": (A, lambda x: np.concatenate([x, B], axis=1)),
    "stack": (A, lambda x: np.stack([B, x])),
    "where function": (A, lambda x: np.where(x > 0, x, B)),
    "sum": (A, lambda x: np.sum(x, axis=0)),
    "mean": (A, lambda x: np.mean(x, 1, keepdims=True)),
    "reshape": (A, lambda x: np.reshape(x, (3, 2))),
    "tensordot": (A, lambda x: np.tensordot(x, B.T, axes=1)),
    "einsum": (A, lambda x: np.einsum("ij,ij->i", x, B)),
    "sort": (A, lambda x: np.sort(x, axis=None)),
    "unique": (I, lambda x: np.unique(x)),
    "bincount": (I, lambda x: np.bincount(x)),
    "percentile": (A, lambda x: np.percentile(x, 40)),
    "clip": (A, lambda x: np.clip(x, 0, 1)),
    "pad": (A, lambda x: np.pad(x, 1)),
    "zeros_like": (A, lambda x: np.zeros_like(x)),
    "full": (A, lambda x: np.full((2,), 3, np.int32, like=x)),
    "isclose": (A, lambda x: np.isclose(x, A)),
    "norm": (A, lambda x: np.linalg.norm(x, axis=1)),
    "solve": (SQUARE, lambda x: np.linalg.solve(x, np.array([1, 2], np.float32))),
    "inv": (SQUARE, lambda x: np.linalg.inv(x)),
    "det": (SQUARE, lambda x: np.linalg.det(x)),
    "eigh": (SQUARE, lambda x: np.linalg.eigh(x).eigenvalues),
    "fft": (A, lambda x: np.fft.fft(x)),
    "rfft": (A, lambda x: np.fft.rfft(x, axis=0)),
    "interp": (A, lambda x: np.interp(x, [0, 1, 2], np.array([0, 3, 4], np.float32))),
    "histogram": (A, lambda x: np.histogram(x, bins=3)[0]),
    "kron": (SQUARE, lambda x: np.kron(x, SQUARE)),
}


@pytest.mark.parametrize("name", CALLS)
def test_call(name: str) -> None:
    operand, call = CALLS[name]
    wanted = call(operand)
    for lazy in (False, True):
        with config.using(lazy=lazy):
            found = call(mnp.array(operand))
            agree(wanted, found)
            kinds = found if isinstance(found, tuple) else (found,)
            expected = np.ndarray if name == "where" else mnp.ndarray
            assert all(isinstance(each, expected) for each in kinds)


def test_results_stay_in_the_graph() -> None:
    with config.using(lazy=True):
        x = mnp.array(A)
        for found in (np.exp(x), np.concatenate([x, B]), np.add(B, x), np.add.reduce(x)):
            assert found.op_type not in ("Const", "Input")


def test_out_may_be_an_array_of_either_kind() -> None:
    for target in (np.zeros_like(A), mnp.zeros_like(A)):
        assert np.add(mnp.array(A), B, out=target) is target
        agree(A + B, target)
        assert np.add(A, B, out=mnp.array(A)) is not None
        assert np.sum(mnp.array(A), axis=0, out=target[0]) is not None
        agree((A.sum(0)), target[0])
    parts = (np.zeros_like(A), np.zeros_like(A))
    assert np.modf(mnp.array(A), out=parts)[0] is parts[0]
    agree(np.modf(A), parts)
    locked = np.zeros_like(A)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        np.add(mnp.array(A), B, out=locked)
    with pytest.raises(TypeError):
        np.add(mnp.array(A), B, out=np.zeros(A.shape, np.int32))
    with pytest.raises(TypeError):
        np.add(mnp.array(A), B, out=np.zeros(A.shape, object))


def test_places_are_changed() -> None:
    x, wanted = mnp.array(I), I.copy()
    np.add.at(x, [0, 0], 2)
    np.add.at(wanted, [0, 0], 2)
    agree(wanted, x)
    numbers = I.copy()
    np.add.at(numbers, mnp.array([0, 0]), mnp.array([1, 1]))
    np.copyto(numbers, mnp.array(wanted), where=I > 1)
    np.put(numbers, mnp.array([1]), mnp.array([7]))
    agree(np.array([7, 7, 2, 2]), numbers)
    np.copyto(x, numbers)
    agree(numbers, x)


def test_comparisons_of_tests() -> None:
    x = mnp.array(A)
    np.testing.assert_allclose(x, A)
    np.testing.assert_allclose(A, x)
    np.testing.assert_array_equal(x, A)
    np.testing.assert_equal(x, A)
    np.testing.assert_array_almost_equal(x, A)
    np.testing.assert_array_less(x, A + 1)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(x, B)


def test_functions_of_other_packages() -> None:
    twice = np.frompyfunc(lambda each: each * 2, 1, 1)
    with pytest.raises(TypeError):
        twice(mnp.array(A)) + "text"


class Other:
    """An array of another library, which decides itself."""

    def __array_function__(self, *rest: Any) -> str:
        return "other"

    def __array_ufunc__(self, *rest: Any, **options: Any) -> str:
        return "other"


def test_other_arrays_decide() -> None:
    assert np.concatenate([mnp.array(A), Other()]) == "other"
    assert np.add(mnp.array(A), Other()) == "other"


def test_absent_names() -> None:
    found = np.trapezoid(mnp.array(A))
    agree(np.trapezoid(A), found)
    assert isinstance(found, mnp.ndarray)
