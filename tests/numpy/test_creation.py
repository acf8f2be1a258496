"""Making arrays gives NumPy's results: values, types, shapes and memory orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from mnn.errors import DTypeError, ShapeError
from mnn.expr.var import Var
from tests.numpy.differential import EVERY, arrays, numbers, tried
from tests.numpy.families import alike, few

Expression = Callable[..., Any]

OF_ARRAYS: dict[str, list[Expression]] = {
    "array": [
        lambda np, a: np.array(a),
        lambda np, a: np.array(a, "f8", ndmin=4),
        lambda np, a: np.array(a, order="F"),
        lambda np, a: np.array([a, a]),
        lambda np, a: np.array(a, copy=None, order="C"),
    ],
    "asarray": [
        lambda np, a: np.asarray(a),
        lambda np, a: np.asarray(a, "c16", order="F", device="cpu", copy=True),
        lambda np, a: np.asarray(a, like=a),
        lambda np, a: np.asarray(a, device="gpu"),
    ],
    "asanyarray": [lambda np, a: np.asanyarray(a, order="C", copy=None, device="cpu")],
    "ascontiguousarray": [lambda np, a: np.ascontiguousarray(a, "c16")],
    "asfortranarray": [lambda np, a: np.asfortranarray(a)],
    "asarray_chkfinite": [lambda np, a: np.asarray_chkfinite(a, order="F")],
    "astype": [lambda np, a: np.astype(a, "f4", copy=False, device="cpu")],
    "copy": [lambda np, a: np.copy(a, "F"), lambda np, a: np.copy(a, order="A", subok=True)],
    "zeros_like": [
        lambda np, a: np.zeros_like(a),
        lambda np, a: np.zeros_like(a, "i4", "F", True, (2, 3)),
        lambda np, a: np.ones_like(a, order="C", device="cpu"),
        lambda np, a: np.zeros_like(a, shape=(-1,)),
        lambda np, a: np.shape(np.empty_like(a, "f4", shape=3)),
    ],
    "full_like": [
        lambda np, a: np.full_like(a, 1),
        lambda np, a: np.full_like(a, 1.5, "f4", order="F", device="cpu"),
        lambda np, a: np.full_like(a, 2, shape=(2, 2)),
    ],
    "require": [
        lambda np, a: np.require(a, "c16", ["F"]),
        lambda np, a: np.require(a, None, "CAOWE"),
        lambda np, a: np.require(a, requirements=["C", "F"]),
    ],
    "resize": [
        lambda np, a: np.resize(a, (3, 4)),
        lambda np, a: np.resize(a, 0),
        lambda np, a: np.resize(a, (2, -1)),
        lambda np, a: np.resize(a, 7),
    ],
    "tri": [
        lambda np, a: np.tril(a, 1),
        lambda np, a: np.triu(a, -1),
        lambda np, a: np.triu(a),
    ],
    "diag": [
        lambda np, a: np.diag(a),
        lambda np, a: np.diag(a, -1),
        lambda np, a: np.diag(a, 2),
        lambda np, a: np.diagflat(a),
        lambda np, a: np.diagflat(a, -2),
    ],
    "diagonal": [
        lambda np, a: np.diagonal(a),
        lambda np, a: np.diagonal(a, 1, -1, 0),
        lambda np, a: np.diagonal(a, -2, 0, -1),
        lambda np, a: np.diagonal(a, 9),
        lambda np, a: np.diagonal(a, 0, 1, 1),
        lambda np, a: np.diagonal(a, 0, 0, 3),
    ],
    "meshgrid": [
        lambda np, a: np.meshgrid(a, a, indexing="ij"),
        lambda np, a: np.meshgrid(a, [1, 2], copy=False, sparse=True),
    ],
}


@pytest.mark.parametrize("name", OF_ARRAYS)
@few
@given(arrays())
def test_from_arrays(name: str, array: Any) -> None:
    for expression in OF_ARRAYS[name]:
        alike(expression, array)


@pytest.mark.parametrize("name", OF_ARRAYS)
@pytest.mark.parametrize("dtype", ["f4", "i8"])
def test_from_large_arrays(name: str, dtype: str) -> None:
    array = numbers(np.random.default_rng(3), (62, 37), dtype)[::2].T
    for expression in OF_ARRAYS[name]:
        alike(expression, array)


WITHOUT_ARRAYS: dict[str, Expression] = {
    "zeros": lambda np: np.zeros((2, 3), "i2", "F", device="cpu"),
    "ones": lambda np: np.ones(3, device="cpu", like=None),
    "empty": lambda np: np.shape(np.empty((0, 3), order="C", device=None)),
    "full": lambda np: np.full((2, 3), [1, 2, 3], order="F", device="cpu"),
    "eye": lambda np: np.eye(3, 4, -1, order="F", device="cpu"),
    "eye of nothing": lambda np: np.eye(0),
    "identity": lambda np: np.identity(3, "f8"),
    "tri": lambda np: np.tri(3, 4, -1, like=None),
    "arange": lambda np: np.arange(1, 7, 2, device="cpu"),
    "arange typed": lambda np: np.arange(3, dtype="f8", like=None),
    "linspace": lambda np: np.linspace(0, [1, 2], 5, axis=1, device="cpu"),
    "linspace step": lambda np: np.linspace(0, 1, num=3, endpoint=False, retstep=True),
    "linspace downwards": lambda np: np.linspace(5, -5, 4, dtype=np.int32),
    "linspace of device": lambda np: np.linspace(0, 1, device="gpu"),
    "logspace": lambda np: np.logspace(0, 2, 3, base=2.0, endpoint=False),
    "logspace of bases": lambda np: np.logspace(0, 2, 3, base=np.array([2.0, 10.0]), axis=-1),
    "geomspace": lambda np: np.geomspace([1, 2], 256, num=3, axis=1),
    "geomspace through 0": lambda np: np.geomspace(0, 2, 3),
    "fromfunction": lambda np: np.fromfunction(lambda i, j, k: i * 2 + j + k, (2, 3), k=1),
    "fromfunction typed": lambda np: np.fromfunction(lambda i: i, (3,), dtype="i8", like=None),
    "fromfunction of a number": lambda np: np.fromfunction(lambda i: 2.5, (3,)),
    "indices": lambda np: np.indices((2, 3), "f4"),
    "fromiter": lambda np: np.fromiter((each * each for each in range(5)), "f4", 3),
    "fromiter too few": lambda np: np.fromiter(range(2), "i4", 3),
    "fromiter of text": lambda np: np.fromiter("ab", "f4"),
    "fromstring": lambda np: np.fromstring("1 2.5  3", sep=" "),
    "fromstring typed": lambda np: np.fromstring("1,2,3", "i4", 2, sep=","),
    "fromstring of bytes": lambda np: np.fromstring("abcd", "u1"),
    "frombuffer": lambda np: np.frombuffer(b"12345678", "i2", 2, 2, like=None),
    "frombuffer of odd length": lambda np: np.frombuffer(b"123", "i2"),
    "tril_indices": lambda np: np.tril_indices(3, -1, 4),
    "triu_indices": lambda np: np.triu_indices(n=4, k=1),
    "tril_indices_from": lambda np: np.tril_indices_from(np.ones((3, 4)), k=1),
    "triu_indices_from": lambda np: np.triu_indices_from(np.ones((3, 4))),
    "triu_indices_from a vector": lambda np: np.triu_indices_from(np.ones(3)),
    "diag_indices": lambda np: np.diag_indices(3, 3),
    "diag_indices_from": lambda np: np.diag_indices_from(np.ones((2, 2))),
    "diag_indices_from unequal": lambda np: np.diag_indices_from(np.ones((2, 3))),
    "mask_indices": lambda np: np.mask_indices(3, np.triu, 1),
    "mask_indices tril": lambda np: np.mask_indices(3, np.tril),
    "mgrid": lambda np: np.mgrid[0:3, 1:5:2],
    "mgrid of one": lambda np: np.mgrid[-1:1:5j],
    "mgrid of floats": lambda np: np.mgrid[0:1:0.25, 0:3],
    "ogrid": lambda np: np.ogrid[0:3, 0:2:4j],
    "r_": lambda np: np.r_[1:4, 0, 4],
    "r_ of floats": lambda np: np.r_[0:1:5j, [2.0, 3.0]],
    "r_ rows": lambda np: np.r_["r", [1, 2, 3]],
    "r_ columns": lambda np: np.r_["c", [1, 2, 3]],
    "r_ matrices": lambda np: np.r_["0,2", [1, 2, 3], [4, 5, 6]],
    "r_ placed": lambda np: np.r_["0,2,0", [1, 2, 3], [4, 5, 6]],
    "r_ along 1": lambda np: np.r_["1,3,0", [1, 2], [3, 4]],
    "r_ of nothing": lambda np: np.r_[()],
    "r_ of late text": lambda np: np.r_[[1], "r"],
    "c_": lambda np: np.c_[[1, 2, 3], [4, 5, 6]],
    "c_ of matrices": lambda np: np.c_[np.ones((2, 1)), [[1, 2], [3, 4]]],
    "asscalar": lambda np: np.array([[5]]).item(),
}


@pytest.mark.parametrize("name", WITHOUT_ARRAYS)
def test_without_arrays(name: str) -> None:
    alike(WITHOUT_ARRAYS[name])


def test_indexing_objects() -> None:
    assert mnp.s_[1:, None] == np.s_[1:, None]
    assert mnp.index_exp[2] == np.index_exp[2]
    alike(lambda np, a: np.r_[a, a, 5], np.ones(2, np.float32))
    alike(lambda np, a: np.c_[a, a], np.arange(4.0).reshape(2, 2))


@tried
@given(arrays(), st.sampled_from("CFAK"), st.sampled_from(EVERY))
def test_memory_orders(array: Any, order: str, dtype: str) -> None:
    for function in ("array", "asarray", "copy", "zeros_like", "ones_like", "full_like"):
        ours: Any = getattr(mnp, function)
        numpys: Any = getattr(np, function)
        arguments = (3,) if function == "full_like" else ()
        found = ours(Var(array), *arguments, order=order)._array()
        want = numpys(array, *arguments, order=order)
        assert found.flags.f_contiguous == want.flags.f_contiguous
        assert found.flags.c_contiguous == want.flags.c_contiguous
    found = mnp.zeros((2, 3), dtype, order if order in "CF" else "C")
    assert mnp.isfortran(found) == (order == "F")
    fortran = mnp.asfortranarray(array)
    assert fortran._array().flags.f_contiguous
    assert mnp.ascontiguousarray(fortran)._array().flags.c_contiguous


def test_copies() -> None:
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert mnp.shares_memory(mnp.asarray(data), data)
    assert mnp.shares_memory(mnp.array(data, copy=None), data)
    assert mnp.shares_memory(mnp.array(data, copy=False), data)
    assert not mnp.shares_memory(mnp.array(data), data)
    assert not mnp.shares_memory(mnp.asarray(data, copy=True), data)
    var = Var(data)
    assert mnp.shares_memory(mnp.asarray(var), data)
    assert not mnp.shares_memory(mnp.array(var), data)
    assert mnp.shares_memory(mnp.astype(var, "f4", copy=False), data)
    assert not mnp.shares_memory(mnp.astype(var, "f4"), data)
    for refused in (
        lambda: mnp.array([1, 2], copy=False),
        lambda: mnp.array(data, "f8", copy=False),
        lambda: mnp.array(var, "f8", copy=False),
        lambda: mnp.array(data, copy=False, order="F"),
        lambda: mnp.array([[1], [2]], ndmax=1),
        lambda: mnp.zeros(2, device="gpu"),
        lambda: mnp.zeros(2, order="X"),
    ):
        with pytest.raises(ShapeError):
            refused()
    for wrong in (lambda: mnp.zeros(2, like=5), lambda: mnp.astype([1], "f4")):
        with pytest.raises(DTypeError):
            wrong()


def test_names_of_the_reference() -> None:
    assert mnp.asfarray([1, 2]).dtype == np.float32
    assert mnp.asfarray([1, 2], "f8").dtype == np.float64
    assert mnp.asfarray([1, 2], "i4").dtype == np.float32
    assert mnp.asscalar([[7]]) == 7
    filled = mnp.zeros((2, 2))
    mnp.fill(filled, 3)
    np.testing.assert_array_equal(filled, 3)
    np.testing.assert_array_equal(mnp.round_([1.26], 1), np.float32([1.3]))
    with pytest.raises(ValueError, match="one element"):
        mnp.asscalar([1, 2])
    for function in (mnp.asmatrix, mnp.mat, mnp.matrix):
        np.testing.assert_array_equal(function("1 2; 3 4"), [[1, 2], [3, 4]])
        np.testing.assert_array_equal(function([1, 2]), [[1, 2]])
        np.testing.assert_array_equal(function(5), [[5]])
        with pytest.raises(ValueError, match="dimensions"):
            function(np.ones((1, 1, 1)))
        with pytest.raises(ValueError, match="no matrix"):
            function("a b")
    ones = np.ones((2, 2))
    want = np.block([[ones, ones * 2]])
    np.testing.assert_array_equal(mnp.bmat([[ones, ones * 2]]), want)
    np.testing.assert_array_equal(mnp.bmat("A, B", {"A": ones, "B": ones * 2}), want)
    with pytest.raises(TypeError, match="ldict"):
        mnp.bmat("A, B")


@pytest.mark.parametrize("lazy", [False, True])
def test_copyto(lazy: bool) -> None:
    expr.lazy_eval(lazy)
    cases: list[tuple[Any, ...]] = [
        (np.zeros((2, 3), "f4"), np.arange(3)),
        (np.zeros((2, 3), "f4"), 2.5),
        (np.zeros((2, 3), "i4"), 2.5),
        (np.zeros((2, 3), "i4"), 2.5, "unsafe"),
        (np.zeros(2, "u1"), 300),
        (np.zeros(2, "f4"), np.ones((1, 2)), "same_kind", np.array([True, False])),
        (np.zeros((2, 2), "f4"), 1, "same_kind", np.array([[True], [False]])),
        (np.zeros(2, "f4"), np.ones(2), "safe"),
        (np.zeros(2, "f4"), np.ones(3)),
        (np.zeros(2, "f4"), 1, "same_kind", np.array([1, 0])),
    ]
    for dst, *rest in cases:
        target = mnp.array(dst)
        try:
            np.copyto(dst, *rest)
        except (TypeError, ValueError, OverflowError) as error:
            kinds = (OverflowError, TypeError, ValueError)
            with pytest.raises(next(each for each in kinds if isinstance(error, each))):
                mnp.copyto(target, *rest)
        else:
            mnp.copyto(target, *rest)
        np.testing.assert_array_equal(target, dst)
    array = np.zeros(3)
    mnp.copyto(array, mnp.ones(3))
    np.testing.assert_array_equal(array, 1)
    with pytest.raises(TypeError):
        mnp.copyto([1], 2)
