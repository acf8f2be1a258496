"""Iterators give NumPy's elements in NumPy's order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import mnn.numpy as mnp
from mnn import expr
from mnn.expr.var import Var
from tests.numpy.agreement import agree
from tests.numpy.differential import arrays
from tests.numpy.families import alike, few


@few
@given(arrays())
def test_walks(array: Any) -> None:
    for expression in (
        lambda np, a: list(np.nditer(a, flags=["zerosize_ok"], order="C")),
        lambda np, a: list(np.nditer(a, ["zerosize_ok", "external_loop"], order="F")),
        lambda np, a: [value for _, value in np.ndenumerate(a)],
        lambda np, a: [place for place, _ in np.ndenumerate(a)],
        lambda np, a: list(np.ndindex(*np.shape(a))),
        lambda np, a: list(np.broadcast(a, 2)),
        lambda np, a: (np.broadcast(a, [[1], [2]]).shape, np.broadcast(a, a).size),
        lambda np, a: np.broadcast(a, np.ones((9, 9))).shape,
    ):
        alike(expression, array)


def test_broadcast_objects() -> None:
    found, want = (each.broadcast([1, 2, 3], [[4], [5]]) for each in (mnp, np))
    for name in ("shape", "size", "ndim", "nd", "numiter", "index"):
        assert getattr(found, name) == getattr(want, name)
    next(found), next(want)
    assert found.index == want.index == 1
    found.reset()
    assert [int(one + two) for one, two in found] == [5, 6, 7, 6, 7, 8]
    assert [list(map(int, each)) for each in found.iters] == [
        [1, 2, 3, 1, 2, 3],
        [4, 4, 4, 5, 5, 5],
    ]


def test_flat_elements() -> None:
    array = np.arange(6.0).reshape(2, 3)
    var = mnp.array(array)
    flat = mnp.flatiter(var)
    assert len(flat) == 6
    assert [float(each) for each in flat] == array.ravel().tolist()
    flat = mnp.flatiter(var)
    next(flat)
    assert (flat.index, flat.coords) == (1, (0, 1))
    for index in (2, -1, slice(1, 4), [0, 5], np.array([True] + [False] * 5), Ellipsis):
        agree(array.flat[index], flat[index])
    for index, value in ((3, 9), (slice(0, 2), [7, 8]), ([4, 5], 1)):
        flat[index] = value
        array.flat[index] = value
        agree(array, var)
    agree(array.flatten(), np.asarray(flat))
    agree(array.flatten(), flat.copy())
    assert bool(mnp.all(flat == array.flatten()))
    with pytest.raises(IndexError):
        flat[9]


@pytest.mark.parametrize("lazy", [False, True])
def test_writing_while_walking(lazy: bool) -> None:
    expr.lazy_eval(lazy)
    var = mnp.array(np.arange(6.0).reshape(2, 3)) + 1
    with mnp.nditer(var, op_flags=["readwrite"]) as walk:
        for each in walk:
            each[...] = each * 2
    agree((np.arange(6.0).reshape(2, 3) + 1) * 2, var, defaults=False)
    for each in mnp.nditer(var, op_flags=[["writeonly"]]):
        each[...] = 5
    agree(np.full((2, 3), 5.0), var, defaults=False)


def _doubled(np: Any, a: Any) -> Any:
    with np.nditer([a, None], flags=["buffered"], op_dtypes=[None, "f8"], casting="unsafe") as walk:
        for x, y in walk:
            y[...] = x * 2
        return walk.operands[1]


def _places(np: Any, a: Any) -> Any:
    walk = np.nditer(a, flags=["multi_index", "c_index"])
    found = []
    while not walk.finished:
        found.append((*walk.multi_index, walk.index, float(walk[0]), walk.iterindex))
        walk.iternext()
    walk.reset()
    walk.multi_index = (1, 0)
    return [*found, float(walk.value), walk.itersize, walk.ndim, walk.nop, walk.has_index]


def _rows(np: Any, a: Any) -> Any:
    found = []
    outer, inner = np.nested_iters(a, [[0], [1]], flags=["multi_index"])
    for _ in outer:
        found.extend((outer.multi_index, inner.multi_index, float(x)) for x in inner)
    return found


def _axes(np: Any, a: Any) -> Any:
    walk = np.nditer(
        [a, a[0], None],
        [],
        [["readonly"], ["readonly"], ["writeonly", "allocate"]],
        op_axes=[[0, 1], [-1, 0], None],
    )
    for x, y, z in walk:
        z[...] = x + y
    return walk.operands[2]


@pytest.mark.parametrize("expression", [_doubled, _places, _rows, _axes])
def test_walks_with_options(expression: Callable[..., Any]) -> None:
    alike(expression, np.arange(6.0).reshape(2, 3))
    alike(expression, np.arange(6, dtype=np.float32).reshape(3, 2).T)


def test_what_cannot_be_walked() -> None:
    for expression in (
        lambda np: np.nditer(np.ones(3), flags=["nonsense"]),
        lambda np: np.nditer([np.ones(2), np.ones(3)]),
        lambda np: np.nditer(np.zeros(0)),
        lambda np: np.broadcast([1, 2], [1, 2, 3]),
    ):
        alike(expression)
    with pytest.raises(TypeError):
        mnp.nditer([1, 2], op_flags=["readwrite"])


VECTORIZED: list[Callable[..., Any]] = [
    lambda np, a: np.vectorize(lambda x: x * 2)(a),
    lambda np, a: np.vectorize(lambda x, y: x + y)(a, 2),
    lambda np, a: np.vectorize(lambda x: (x, x > 1))(a),
    lambda np, a: np.vectorize(lambda x: 1.5)(a),
    lambda np, a: np.vectorize(lambda x: 3)(a),
    lambda np, a: np.vectorize(lambda x: x > 1, otypes=[bool])(a),
    lambda np, a: np.vectorize(lambda x: x, otypes="f", cache=True)(a),
    lambda np, a: np.vectorize(lambda x, n: x * n, excluded=["n"])(a, n=3),
    lambda np, a: np.vectorize(lambda x, n: x * n, excluded=[1])(a, 3),
    lambda np, a: np.vectorize(np.sum, signature="(n)->()")(a),
    lambda np, a: np.vectorize(lambda v, w: v + w, signature="(n),(n)->(n)")(a, a),
    lambda np, a: np.vectorize(otypes=["f8"])(lambda x: x + 1)(a),
]


@pytest.mark.parametrize("number", range(len(VECTORIZED)))
def test_vectorize(number: int) -> None:
    for array in (np.arange(4.0), np.arange(6).reshape(2, 3), np.float32(2), np.zeros((0, 2))):
        alike(VECTORIZED[number], np.asarray(array))


def test_vectorize_as_decorator() -> None:
    @mnp.vectorize
    def plus_one(x: float) -> float:
        """Add one."""
        return x + 1

    agree(np.arange(3) + 1, plus_one(np.arange(3)))
    assert plus_one.__doc__ == "Add one."
    assert plus_one.__name__ == "plus_one"
    assert mnp.vectorize(max, doc="Larger.").__doc__ == "Larger."


def test_frompyfunc() -> None:
    add = mnp.frompyfunc(lambda x, y: x + y, 2, 1)
    found = add(mnp.arange(3), [[1.0], [2.0]])
    assert isinstance(found, Var)
    agree(np.arange(3) + np.array([[1.0], [2.0]], np.float32), found)
    one, two = mnp.frompyfunc(lambda x: (x, x > 0), 1, 2)(np.arange(2))
    agree(np.arange(2), one)
    agree(np.array([False, True]), two)
    with pytest.raises(TypeError):
        add(1)
