"""Products of arrays give NumPy's results, eager and recorded."""

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
from mnn.expr.grad import gradients
from mnn.expr.var import Var
from tests.numpy.agreement import agree
from tests.numpy.differential import arrays, numbers, tried
from tests.numpy.families import alike, few

Expression = Callable[..., Any]

OF_TWO: dict[str, list[Expression]] = {
    "matmul": [
        lambda np, a, b: np.matmul(a, b),
        lambda np, a, b: np.matmul(a, b, dtype="c16"),
        lambda np, a, b: np.matmul(a, b, axes=[(-1, -2), (-2, -1), (-1, -2)]),
        lambda np, a, b: np.matmul(a, b, axis=0),
    ],
    "vecdot": [
        lambda np, a, b: np.vecdot(a, b),
        lambda np, a, b: np.vecdot(a, b, axis=0),
        lambda np, a, b: np.vecdot(a, b, axis=-1, keepdims=True),
        lambda np, a, b: np.vecdot(a, b, axes=[-1, 0, ()]),
        lambda np, a, b: np.vecdot(a, b, casting="no", dtype="f4"),
        lambda np, a, b: np.linalg.vecdot(a, b, axis=-1),
    ],
    "matvec": [
        lambda np, a, b: np.matvec(a, b),
        lambda np, a, b: np.matvec(a, b, axes=[(0, 1), 0, -1]),
        lambda np, a, b: np.vecmat(a, b),
        lambda np, a, b: np.vecmat(a, b, axes=[0, (0, 1), 0]),
    ],
    "dot": [
        lambda np, a, b: np.dot(a, b),
        lambda np, a, b: np.vdot(a, b),
        lambda np, a, b: np.inner(a, b),
        lambda np, a, b: np.outer(a, b),
        lambda np, a, b: np.kron(a, b),
    ],
    "tensordot": [
        lambda np, a, b: np.tensordot(a, b, 1),
        lambda np, a, b: np.tensordot(a, b, 0),
        lambda np, a, b: np.tensordot(a, b, ([0], [-1])),
        lambda np, a, b: np.tensordot(a, b, (0, 0)),
    ],
}
_SIZES = st.sampled_from(
    [(), (2,), (3,), (2, 3), (3, 2), (2, 2, 3), (3, 3), (0, 3), (2, 0), (1, 3)]
)


def _numbers(draw: Any, shape: tuple[int, ...]) -> Any:
    dtype = draw(st.sampled_from(["?", "i1", "i4", "u2", "f2", "f4", "f8", "c8", "c16"]))
    random = np.random.default_rng(draw(st.integers(0, 999)))
    if draw(st.booleans()):
        return numbers(random, shape[::-1], dtype).T
    return numbers(random, shape, dtype)


@pytest.mark.parametrize("name", OF_TWO)
@tried
@given(st.data())
def test_products_of_two(name: str, data: Any) -> None:
    one, two = (_numbers(data.draw, data.draw(_SIZES)) for _ in range(2))
    for expression in OF_TWO[name]:
        alike(expression, one, two)


@pytest.mark.parametrize("name", [each for each in OF_TWO if each not in ("kron", "tensordot")])
def test_large_products(name: str) -> None:
    random = np.random.default_rng(3)
    one, two = random.integers(-3, 4, (2, 50, 50)).astype(np.float32)
    for expression in OF_TWO[name]:
        if name != "dot" or "kron" not in expression.__code__.co_names:
            alike(expression, one, two.T)
    alike(lambda np, a, b: np.einsum("ij,kj->ik", a, b), one, two)
    alike(lambda np, a, b: np.einsum("ij,ij->i", a, b), one, two)
    alike(lambda np, a, b: np.kron(a, b), one, two[:2, :3])
    alike(lambda np, a, b: np.tensordot(a, b, ([1, 0], [0, 1])), one, two)


@few
@given(arrays(ranks=(1, 3), sizes=(1, 3), special=0))
def test_products_with_itself(array: Any) -> None:
    for expression in (
        lambda np, a: np.matmul(a, np.swapaxes(a, -1, -2)),
        lambda np, a: np.trace(a, 1),
        lambda np, a: np.linalg.trace(a, offset=-1),
        lambda np, a: np.linalg.diagonal(a, offset=1),
        lambda np, a: np.linalg.matrix_transpose(a),
        lambda np, a: np.linalg.outer(a, a),
    ):
        alike(expression, array)


@pytest.mark.parametrize(
    "shapes", [((2, 3), (2, 3)), ((3,), (4, 3)), ((3, 2), (3, 2)), ((2,), (2, 2)), ((2,), (3,))]
)
@few
@given(st.data())
def test_cross(shapes: Any, data: Any) -> None:
    one, two = (_numbers(data.draw, shape) for shape in shapes)
    if one.dtype == two.dtype == bool:
        return
    alike(lambda np, a, b: np.linalg.cross(a, b), one, two)
    if 2 in (one.shape[-1], two.shape[-1]):
        # NumPy advises against these, and its warning is the only difference.
        found = mnp.cross(one, two)
        three = [
            np.concatenate([x, np.zeros((*x.shape[:-1], 1), x.dtype)], -1)
            if x.shape[-1] == 2
            else x
            for x in (one, two)
        ]
        want = np.cross(*three) if {*one.shape[-1:], *two.shape[-1:]} <= {2, 3} else None
        if want is not None and one.shape[-1] == two.shape[-1] == 2:
            want = want[..., 2]
        if want is not None:
            agree(want, found)
        return
    alike(lambda np, a, b: np.cross(a, b), one, two)
    alike(lambda np, a, b: np.cross(a.T, b, axisa=0, axisc=0), one, two)
    alike(lambda np, a, b: np.cross(a.T, b.T, axis=0), one, two)


def test_cross_of_other_lengths() -> None:
    with pytest.raises(ShapeError, match="2 or 3"):
        mnp.cross(np.ones(4), np.ones(3))
    alike(lambda np: np.linalg.cross(np.ones(2), np.ones(2)))


FORMULAS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ij,kj->ki", [(2, 3), (4, 3)]),
    ("bij,bjk->bik", [(2, 2, 3), (2, 3, 4)]),
    ("bij,jk->ikb", [(2, 2, 3), (3, 4)]),
    ("i,i", [(3,), (3,)]),
    ("i,j->ij", [(3,), (2,)]),
    ("i,j->ji", [(3,), (2,)]),
    ("ij,ij->ij", [(2, 3), (2, 3)]),
    ("ij,j->ij", [(2, 3), (3,)]),
    ("ij,i->j", [(2, 3), (2,)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("ii->i", [(3, 3)]),
    ("ii", [(3, 3)]),
    ("iij->ij", [(3, 3, 2)]),
    ("iji->j", [(3, 2, 3)]),
    ("iii", [(2, 2, 2)]),
    ("ii,ij->j", [(3, 3), (3, 2)]),
    ("ij,jj->i", [(2, 3), (3, 3)]),
    ("...ij,...jk->...ik", [(2, 1, 2, 3), (4, 3, 2)]),
    ("...i,...i", [(2, 3), (3,)]),
    ("...ij->...ji", [(2, 3, 4)]),
    ("i...->...", [(2, 3)]),
    ("...,...", [(), (3,)]),
    (",->", [(), ()]),
    (",ij", [(), (2, 3)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]),
    ("ij,jk,kl", [(2, 3), (3, 4), (4, 2)]),
    ("i,ij,j", [(2,), (2, 3), (3,)]),
    ("ab,bc,cd,de->ae", [(2, 3), (3, 2), (2, 4), (4, 2)]),
    ("ij,ij,ij->j", [(2, 3), (2, 3), (2, 3)]),
    ("i,j,k->kji", [(2,), (3,), (4,)]),
    ("ij,jk->ik", [(2, 1), (3, 4)]),
    ("ij,ij->j", [(1, 3), (2, 3)]),
    ("ij,jk->ik", [(2, 0), (0, 4)]),
    ("ij,jk->k", [(0, 3), (3, 2)]),
    (" i j , j k -> i k ", [(2, 3), (3, 4)]),
    ("ba,ca->", [(2, 3), (4, 3)]),
    ("Ab,bA->A", [(2, 3), (3, 2)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
]
WRONG = [
    ("ij,jk->ik", [(2, 3), (4, 2)]),
    ("ij->ik", [(2, 3)]),
    ("ij->ii", [(2, 3)]),
    ("i", [(2, 3)]),
    ("ijk", [(2, 3)]),
    ("ij,jk", [(2, 3)]),
    ("i1", [(2, 3)]),
    ("ii", [(2, 3)]),
    ("...ij->ij", [(2, 2, 3)]),
    ("i....", [(2, 3)]),
    ("ij->i->j", [(2, 3)]),
    ("", []),
]


@pytest.mark.parametrize(("formula", "shapes"), FORMULAS + WRONG)
def test_einsum(formula: str, shapes: Any) -> None:
    random = np.random.default_rng(0)
    for dtype in ("f4", "f8", "i4", "i1", "c8", "?", "f2"):
        operands = [numbers(random, shape, dtype) for shape in shapes]
        alike(lambda np, *each: np.einsum(formula, *each), *operands)
    if (formula, shapes) in WRONG:
        return
    for optimize in (True, "greedy", "optimal"):
        alike(lambda np, *each, o=optimize: np.einsum(formula, *each, optimize=o), *operands)


def test_einsum_arguments() -> None:
    one, two = np.arange(6.0).reshape(2, 3), np.arange(12).reshape(3, 4)
    alike(lambda np, a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]), one, two)
    alike(lambda np, a, b: np.einsum(a, [0, 1], b, [1, 2]), one, two)
    alike(lambda np, a: np.einsum(a, [Ellipsis, 1], [Ellipsis]), one)
    alike(lambda np, a, b: np.einsum("ij,jk", a, b, dtype="f4", casting="same_kind"), one, two)
    alike(lambda np, a, b: np.einsum("ij,jk", a, b, dtype="f4"), one, two)
    alike(lambda np, a, b: np.einsum("ij,jk", a, b, order="X"), one, two)
    alike(lambda np, a: np.einsum(a, [0, 60]), one)
    alike(lambda np, a: np.einsum(a, [0, "b"]), one)
    alike(lambda np: np.einsum())
    out = mnp.zeros((2, 4), "f8")
    assert mnp.einsum("ij,jk", one, two, out=out) is out
    agree(one @ two, out)
    with pytest.raises(TypeError):
        mnp.einsum("ij,jk", one, two, out=mnp.zeros((2, 4), "i4"))
    path, text = mnp.einsum_path("ij,jk,kl", one, two, np.ones((4, 5)), optimize="optimal")
    assert path == np.einsum_path("ij,jk,kl", one, two, np.ones((4, 5)), optimize="optimal")[0]
    assert "Optimized FLOP count" in text
    agree(
        np.einsum("ij,jk,kl", one, two, np.ones((4, 5))),
        mnp.einsum("ij,jk,kl", one, two, np.ones((4, 5)), optimize=path),
    )
    lists = mnp.einsum_path(Var(one), [0, 1], Var(two), [1, 2], [0, 2])
    assert lists[0] == ["einsum_path", (0, 1)]


def test_einsum_gives_views() -> None:
    array = mnp.zeros((3, 3))
    mnp.einsum("ii->i", array)[...] = 1
    agree(np.eye(3, dtype=np.float32), array)


def test_einsum_of_unknown_sizes() -> None:
    expr.lazy_eval(True)
    left = expr.placeholder([-1, 3])
    weight = expr.const(np.arange(12).tolist(), [3, 4], dtype=expr.float)
    found = mnp.einsum("ij,jk->ki", left, weight)
    for rows in (2, 5):
        data = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
        left.resize([rows, 3])
        left.write(data)
        np.testing.assert_allclose(found, (data @ np.arange(12).reshape(3, 4)).T, rtol=1e-5)


def test_results_in_out() -> None:
    one, two = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for name, operands in (
        ("matmul", (one, two)),
        ("dot", (one, two)),
        ("outer", (one, two)),
        ("vecdot", (one, one)),
        ("matvec", (one, two[:, 0])),
        ("vecmat", (one[0], two)),
    ):
        want = getattr(np, name)(*operands)
        out = mnp.zeros(want.shape, "f8")
        assert getattr(mnp, name)(*operands, out=out) is out
        agree(want, out)
    with pytest.raises(DTypeError):
        mnp.matmul(one, two, out=mnp.zeros((2, 4), "i4"))
    with pytest.raises(DTypeError):
        mnp.vecdot(one, one, axis=0, axes=[0, 0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: mnp.einsum("ij,jk->ik", x, y),
        lambda x, y: mnp.einsum("ii,jk->ki", x, y),
        lambda x, y: mnp.kron(x, y),
        lambda x, y: mnp.cross(x, y),
        lambda x, y: mnp.diagonal(x, 1) * y[0, 1],
        lambda x, y: mnp.vecdot(x, y, axis=0),
        lambda x, y: mnp.linalg.multi_dot([x, y, x]),
        lambda x, y: mnp.linalg.norm(x, axis=0) + mnp.linalg.norm(y, 1, axis=0),
        lambda x, y: mnp.linalg.matrix_power(x, 3) @ y,
        lambda x, y: mnp.insert(x, [0, 2], y[0, 0], axis=1),
        lambda x, y: mnp.delete(x, 1, axis=0) + mnp.roll(y, 1)[:2],
        lambda x, y: mnp.block([[x, y], [y, x]]),
        lambda x, y: mnp.pad(x, 1, "linear_ramp"),
        lambda x, y: mnp.pad(y, 2, "reflect", reflect_type="odd"),
    ],
)
def test_gradients(function: Callable[..., Any]) -> None:
    random = np.random.default_rng(5)
    arrays_ = [random.standard_normal((3, 3)) for _ in range(2)]
    expr.lazy_eval(True)
    operands = [expr.const(each.ravel().tolist(), [3, 3], dtype=expr.double) for each in arrays_]
    total = mnp.sum(function(*operands) ** 2)
    found = [np.array(each) for each in gradients([total], [mnp.ones((), "f8")], operands)]
    expr.lazy_eval(False)
    step = 1e-6
    for which, gradient in enumerate(found):
        if gradient.dtype == object:
            continue  # no way leads to that operand
        for place in ((0, 0), (1, 2), (2, 1)):
            totals = []
            for sign in (1, -1):
                moved = [each.copy() for each in arrays_]
                moved[which][place] += sign * step
                totals.append(float(mnp.sum(function(*map(Var, moved)) ** 2)))
            slope = (totals[0] - totals[1]) / (2 * step)
            np.testing.assert_allclose(gradient[place], slope, rtol=1e-4, atol=1e-4)
