"""Linear algebra gives NumPy's results, types and errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.numpy as mnp
from mnn import expr
from mnn.config import config
from mnn.expr.var import Var
from tests.numpy.agreement import wrapped
from tests.numpy.differential import quiet, tried

Expression = Callable[..., Any]
KINDS = ("f4", "f8", "c8", "c16", "i4", "i8", "u1", "?", "f2")
SHAPES = [(3, 3), (2, 2), (1, 1), (0, 0), (2, 3, 3), (0, 2, 2), (2, 0, 0)]
OTHERS = [(3, 2), (2, 3), (2, 2, 4), (3,), (), (0, 3), (3, 0)]
NARROW = {"float64": "float32", "complex128": "complex64"}


def matrices(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    values = random.standard_normal(shape)
    if dtype.startswith("c"):
        values = values + 1j * random.standard_normal(shape)
    if np.dtype(dtype).kind in "iub":
        values = np.abs(values * 3) if dtype != "?" else values > 0
    return np.asarray(values).astype(dtype)


def close(want: Any, have: Any, given: Any) -> None:
    """Assert that results are equal to the precision of the type that they are computed in."""
    if isinstance(want, tuple):
        assert isinstance(have, tuple)
        assert type(have).__name__ == type(want).__name__
        for one, two in zip(want, have, strict=True):
            close(one, two, given)
        return
    want, have = np.asarray(want), np.asarray(have)
    assert want.shape == have.shape
    if want.dtype != have.dtype:
        assert given.dtype.kind in "biu"
        assert NARROW[want.dtype.name] == have.dtype.name
    tolerance = 1e-9 if given.dtype in (np.float64, np.complex128) else 2e-3
    np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


def agrees(expression: Expression, *operands: Any, lazy: bool = False) -> None:
    """Assert that an expression gives NumPy's result, or refuses as NumPy does."""
    want = quiet(lambda: expression(np, *operands))
    with config.using(lazy=lazy, backend="reference"):
        have = quiet(lambda: expression(mnp, *(wrapped(each) for each in operands)))
    if isinstance(want, Exception) or isinstance(have, Exception):
        assert isinstance(want, Exception), (want, have)
        assert isinstance(have, Exception), (want, have)
        kind = np.linalg.LinAlgError if isinstance(want, np.linalg.LinAlgError) else None
        kinds = [kind] if kind else [ValueError, TypeError, IndexError]
        assert any(isinstance(want, each) and isinstance(have, each) for each in kinds), (
            want,
            have,
        )
        return
    with np.errstate(all="ignore"):
        close(want, have, operands[0])


def positive(np: Any, a: Any) -> Any:
    return np.matmul(a, np.conj(np.swapaxes(a, -1, -2))) + 3 * np.eye(a.shape[-1], dtype="f4")


OF_MATRICES: dict[str, list[Expression]] = {
    "cholesky": [
        lambda np, a: np.linalg.cholesky(positive(np, a)),
        lambda np, a: np.linalg.cholesky(positive(np, a), upper=True),
        lambda np, a: np.linalg.cholesky(-np.matmul(a, a)),
    ],
    "qr": [
        lambda np, a: abs(np.linalg.qr(a).R),
        lambda np, a: np.linalg.qr(a, "r"),
        lambda np, a: np.matmul(*np.linalg.qr(a, mode="complete")),
        lambda np, a: np.linalg.qr(a, "raw"),
        lambda np, a: np.linalg.qr(a, "nonsense"),
    ],
    "svd": [
        lambda np, a: np.linalg.svd(a).S,
        lambda np, a: np.linalg.svd(a, compute_uv=False),
        lambda np, a: np.linalg.svdvals(a),
        lambda np, a: tuple(np.linalg.svd(a, False).U.shape),
        lambda np, a: np.linalg.svd(positive(np, a), hermitian=True).S,
    ],
    "eig": [
        lambda np, a: abs(np.linalg.eig(a).eigenvalues),
        lambda np, a: abs(np.linalg.eigvals(a)),
        lambda np, a: np.linalg.eigvalsh(a),
        lambda np, a: np.linalg.eigvalsh(a, UPLO="U"),
        lambda np, a: np.linalg.eigh(positive(np, a)).eigenvalues,
        lambda np, a: np.linalg.eigh(a, "X"),
    ],
    "det": [
        lambda np, a: np.linalg.det(a),
        lambda np, a: np.linalg.slogdet(a),
        lambda np, a: np.linalg.matrix_rank(a),
        lambda np, a: np.linalg.matrix_rank(a, tol=0.5),
        lambda np, a: np.linalg.matrix_rank(positive(np, a), hermitian=True, rtol=1e-3),
    ],
    "inv": [
        lambda np, a: np.linalg.inv(positive(np, a)),
        lambda np, a: np.linalg.pinv(a),
        lambda np, a: np.linalg.pinv(a, rcond=1e-2),
        lambda np, a: np.linalg.pinv(positive(np, a), hermitian=True, rtol=1e-4),
        lambda np, a: np.linalg.inv(a * 0),
    ],
    "matrix_power": [
        lambda np, a: np.linalg.matrix_power(a, 3),
        lambda np, a: np.linalg.matrix_power(a, 0),
        lambda np, a: np.linalg.matrix_power(a, 1),
        lambda np, a: np.linalg.matrix_power(a, 0.5),
    ],
    "solve": [
        lambda np, a: np.linalg.solve(positive(np, a), a),
        lambda np, a: np.linalg.solve(positive(np, a), np.ones(a.shape[-1], "f4")),
        lambda np, a: np.linalg.solve(a * 0, a),
        lambda np, a: np.linalg.lstsq(positive(np, a), a)[0],
        lambda np, a: np.linalg.lstsq(a, a, rcond=0.1)[3],
        lambda np, a: np.linalg.tensorinv(a, 1),
        lambda np, a: np.linalg.tensorinv(a, 0),
        lambda np, a: np.linalg.tensorsolve(positive(np, a), a[0]),
    ],
    "norm": [
        lambda np, a: np.linalg.norm(a),
        *(
            (lambda np, a, o=order: np.linalg.norm(a, o))
            for order in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf, 0, 3, "x")
        ),
        *(
            (lambda np, a, o=order: np.linalg.norm(a, o, axis=-1))
            for order in (None, "fro", 0, 1, -1, 2, -2, 0.5, np.inf, -np.inf)
        ),
        *(
            (lambda np, a, o=order: np.linalg.norm(a, o, axis=(0, -1), keepdims=True))
            for order in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf, 3)
        ),
        lambda np, a: np.linalg.norm(a, axis=(0, 0)),
        lambda np, a: np.linalg.norm(a, axis=5),
        lambda np, a: np.linalg.norm(a, axis="x"),
        lambda np, a: np.linalg.matrix_norm(a),
        lambda np, a: np.linalg.matrix_norm(a, ord="nuc", keepdims=True),
        lambda np, a: np.linalg.vector_norm(a),
        lambda np, a: np.linalg.vector_norm(a, axis=0, ord=1),
        lambda np, a: np.linalg.vector_norm(a, axis=(0, -1), keepdims=True, ord=np.inf),
        lambda np, a: np.linalg.vector_norm(a, keepdims=True, ord=3),
    ],
    "cond": [
        *(
            (lambda np, a, p=p: np.linalg.cond(positive(np, a), p))
            for p in (None, 2, -2, 1, np.inf)
        ),
        lambda np, a: np.linalg.cond(positive(np, a), "fro"),
    ],
}


@pytest.mark.parametrize("name", OF_MATRICES)
@pytest.mark.parametrize("dtype", KINDS)
def test_of_matrices(name: str, dtype: str) -> None:
    random = np.random.default_rng(1)
    for shape in (*SHAPES, *OTHERS):
        array = matrices(random, shape, dtype)
        for expression in OF_MATRICES[name]:
            agrees(expression, array)


@pytest.mark.parametrize("name", ["svd", "det", "norm", "matrix_power"])
def test_recorded(name: str) -> None:
    random = np.random.default_rng(2)
    for shape in ((3, 3), (2, 3, 3), (3, 2), (3,)):
        array = matrices(random, shape, "f4")
        for expression in OF_MATRICES[name]:
            agrees(expression, array, lazy=True)


@tried
@given(
    st.integers(0, 4), st.integers(1, 4), st.integers(0, 3), st.sampled_from(["f4", "f8", "c16"])
)
def test_factors_multiply_to_the_matrix(rows: int, columns: int, batch: int, dtype: str) -> None:
    array = matrices(np.random.default_rng(rows), (batch, rows, columns), dtype)
    var = Var(array)
    close(array, np.matmul(*(np.asarray(each) for each in mnp.linalg.qr(var))), array)
    u, s, vh = mnp.linalg.svd(var, full_matrices=False)
    close(array, (np.asarray(u) * np.asarray(s)[..., None, :]) @ np.asarray(vh), array)
    gram = array.conj().swapaxes(-1, -2) @ array
    values, vectors = mnp.linalg.eigh(Var(gram))
    close(gram @ np.asarray(vectors), np.asarray(vectors) * np.asarray(values)[..., None, :], array)
    values, vectors = mnp.linalg.eig(Var(gram))
    close(
        (gram @ np.asarray(vectors)).astype(complex),
        (np.asarray(vectors) * np.asarray(values)[..., None, :]).astype(complex),
        array,
    )


def test_inverse_powers() -> None:
    array = np.array([[2, 1], [1, 1]], np.float32)
    agrees(lambda np, a: np.linalg.matrix_power(a, -3), array)
    agrees(lambda np, a: np.linalg.matrix_power(a * 0, -1), array)


def test_lists_have_the_default_type() -> None:
    assert mnp.linalg.inv([[2, 1], [1, 1]]).dtype == np.float32
    assert mnp.linalg.inv(np.eye(2)).dtype == np.float64
    result = mnp.linalg.eigh([[2.0, 1.0], [1.0, 2.0]])
    assert isinstance(result.eigenvectors, Var)
    np.testing.assert_allclose(result.eigenvalues, [1, 3], rtol=1e-6)
    with pytest.raises(mnp.linalg.LinAlgError):
        mnp.linalg.inv([[1, 1], [1, 1]])
    assert mnp.linalg.LinAlgError is np.linalg.LinAlgError


def test_multi_dot() -> None:
    random = np.random.default_rng(3)
    for sizes in ((2, 3, 4), (5, 2, 7, 3), (3, 9, 1, 8, 2), (4, 4)):
        chain = [matrices(random, pair, "f8") for pair in itertools.pairwise(sizes)]
        for operands in (chain, [chain[0][0], *chain[1:]], [*chain[:-1], chain[-1][:, 0]]):
            agrees(lambda np, *each: np.linalg.multi_dot(each), *operands)
        if len(chain) > 2:
            agrees(
                lambda np, *each: np.linalg.multi_dot(list(each)),
                chain[0][0],
                *chain[1:-1],
                chain[-1][:, 0],
            )
    agrees(lambda np, *each: np.linalg.multi_dot(each), np.ones((2, 3)), np.ones((2, 3)))
    agrees(
        lambda np, *each: np.linalg.multi_dot(each),
        np.ones((2, 3)),
        np.ones((3, 3, 3)),
        np.ones((3, 2)),
    )
    out = mnp.zeros((2, 2), "f8")
    assert mnp.linalg.multi_dot([np.ones((2, 3)), np.ones((3, 2))], out=out) is out
    np.testing.assert_array_equal(out, 3)


def test_norms_of_unknown_sizes() -> None:
    expr.lazy_eval(True)
    place = expr.placeholder([-1, 2])
    found = mnp.linalg.norm(place, axis=1)
    place.resize([3, 2])
    place.write(np.array([[3, 4], [0, 0], [6, 8]], np.float32))
    np.testing.assert_allclose(found, [5, 0, 10])
