"""Parts of arrays in other places: NumPy's results, eager and recorded."""

from __future__ import annotations

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
from tests.numpy.differential import EVERY, arrays, numbers, tried
from tests.numpy.families import alike, few

Expression = Callable[..., Any]

OF_ARRAYS: dict[str, list[Expression]] = {
    "reshape": [
        lambda np, a: np.reshape(a, -1),
        lambda np, a: np.reshape(a, (1, -1), order="F"),
        lambda np, a: np.reshape(a, (-1,), "A"),
        lambda np, a: np.reshape(a, (-1, 1), copy=True),
        lambda np, a: np.reshape(a, np.shape(a), copy=False),
        lambda np, a: np.reshape(a, (7, 7)),
    ],
    "ravel": [
        lambda np, a: np.ravel(a),
        lambda np, a: np.ravel(a, order="F"),
        lambda np, a: np.ravel(a, "A"),
        lambda np, a: np.ravel(a, "X"),
    ],
    "size": [
        lambda np, a: np.size(a),
        lambda np, a: np.size(a, 0),
        lambda np, a: np.size(a, -2),
        lambda np, a: np.ndim(a),
        lambda np, a: np.shape(a),
    ],
    "axes": [
        lambda np, a: np.moveaxis(a, 0, -1),
        lambda np, a: np.rollaxis(a, -1),
        lambda np, a: np.rollaxis(a, 0, 3),
        lambda np, a: np.rollaxis(a, 1, -1),
        lambda np, a: np.rollaxis(a, 0, -2),
        lambda np, a: np.rollaxis(a, 0, 9),
        lambda np, a: np.swapaxes(a, 0, -1),
        lambda np, a: np.permute_dims(a),
        lambda np, a: np.matrix_transpose(a),
        lambda np, a: np.expand_dims(a, (0, -1)),
        lambda np, a: np.squeeze(a, -1),
    ],
    "roll": [
        lambda np, a: np.roll(a, 1),
        lambda np, a: np.roll(a, (1, -2), (0, -1)),
        lambda np, a: np.roll(a, 3, axis=-1),
        lambda np, a: np.roll(a, [1, 1], 0),
    ],
    "flip": [
        lambda np, a: np.flip(a),
        lambda np, a: np.flip(a, -1),
        lambda np, a: np.flipud(a),
        lambda np, a: np.fliplr(a),
        lambda np, a: np.rot90(a, 3),
        lambda np, a: np.rot90(a, k=2, axes=(-1, 0)),
    ],
    "unstack": [
        lambda np, a: np.unstack(a),
        lambda np, a: np.unstack(a, axis=-1),
        lambda np, a: np.unstack(a, axis=2),
    ],
    "broadcasting": [
        lambda np, a: np.broadcast_to(a, (2, *np.shape(a)), subok=True),
        lambda np, a: np.broadcast_to(a, (5,)),
        lambda np, a: np.broadcast_arrays(a, np.ones((1, 1, 1, 1)), subok=False),
    ],
    "joining": [
        lambda np, a: np.concat([a, a], axis=-1),
        lambda np, a: np.concatenate([a, a], axis=None, dtype="c16"),
        lambda np, a: np.concatenate((a, a), 0, dtype="f4", casting="unsafe"),
        lambda np, a: np.concatenate((a, a), dtype="?", casting="safe"),
        lambda np, a: np.stack([a, a], axis=-1),
        lambda np, a: np.vstack([a, a]),
        lambda np, a: np.hstack([a, a], dtype="c16", casting="same_kind"),
        lambda np, a: np.dstack([a, a]),
        lambda np, a: np.column_stack([a, a]),
        lambda np, a: np.append(a, a),
        lambda np, a: np.append(a, a, axis=0),
        lambda np, a: np.tile(a, (2, 1)),
    ],
    "block": [
        lambda np, a: np.block(a),
        lambda np, a: np.block([a, a]),
        lambda np, a: np.block([[a, a], [a, a]]),
        lambda np, a: np.block([[[a]], [[a]]]),
        lambda np, a: np.block([[a], a]),
        lambda np, a: np.block([]),
        lambda np, a: np.block([[a, np.ones((2, 2))]]),
        lambda np, a: np.block((a, a)),
    ],
    "insert": [
        lambda np, a: np.insert(a, 0, 5),
        lambda np, a: np.insert(a, 1, 1, axis=0),
        lambda np, a: np.insert(a, [0, -1], 1, axis=-1),
        lambda np, a: np.insert(a, [1, 0, 0], [1, 2, 3]),
        lambda np, a: np.insert(a, 0, a, axis=0),
        lambda np, a: np.insert(a, [0], a, axis=0),
        lambda np, a: np.insert(a, slice(0, 2), 1, axis=0),
        lambda np, a: np.insert(a, np.array([True, False]), 1, axis=0),
        lambda np, a: np.insert(a, [], [], axis=0),
        lambda np, a: np.insert(a, 9, 1, axis=0),
        lambda np, a: np.insert(a, [9, 0], 1, axis=0),
        lambda np, a: np.insert(a, 0, 1, axis=3),
        lambda np, a: np.insert(a, 0.5, 1),
    ],
    "delete": [
        lambda np, a: np.delete(a, 0),
        lambda np, a: np.delete(a, -1, axis=0),
        lambda np, a: np.delete(a, [0, -1], axis=-1),
        lambda np, a: np.delete(a, slice(None, None, -2), axis=0),
        lambda np, a: np.delete(a, [True, False], axis=0),
        lambda np, a: np.delete(a, [], axis=0),
        lambda np, a: np.delete(a, 9, axis=0),
        lambda np, a: np.delete(a, 0, axis=3),
    ],
    "indices": [
        lambda np, a: np.ix_([0, 1], [True, False, True]),
        lambda np, a: np.ix_(a, a),
        lambda np, a: np.packbits(a),
        lambda np, a: np.packbits(a, axis=-1, bitorder="little"),
        lambda np, a: np.unpackbits(a),
        lambda np, a: np.unpackbits(a, axis=0, count=-1, bitorder="little"),
        lambda np, a: np.unravel_index(a, (4, 4), order="F"),
        lambda np, a: np.ravel_multi_index((a, a), (4, 4), mode="clip"),
        lambda np, a: np.ravel_multi_index((a, a), (13, 13), order="F"),
        lambda np, a: np.ravel_multi_index((a, a), (2, 2), mode=("wrap", "raise")),
    ],
    "along": [
        lambda np, a: np.take_along_axis(a, np.argsort(a, axis=-1), axis=-1),
        lambda np, a: np.apply_over_axes(np.sum, a, [0, -1]),
        lambda np, a: np.apply_over_axes(np.sum, a, 1),
        lambda np, a: np.apply_along_axis(lambda v: v[::-1], 0, a),
        lambda np, a: np.apply_along_axis(lambda v, k: np.sum(v) * k, -1, a, k=2),
        lambda np, a: np.apply_along_axis(lambda v: np.stack([v, v]), 1, a),
    ],
}


@pytest.mark.parametrize("name", OF_ARRAYS)
@few
@given(arrays())
def test_from_arrays(name: str, array: Any) -> None:
    for expression in OF_ARRAYS[name]:
        alike(expression, array)


@pytest.mark.parametrize("name", [each for each in OF_ARRAYS if each != "indices"])
@pytest.mark.parametrize("dtype", ["f4", "i8"])
def test_from_large_arrays(name: str, dtype: str) -> None:
    array = numbers(np.random.default_rng(3), (62, 37), dtype)[::2]
    for expression in OF_ARRAYS[name]:
        alike(expression, array)


@few
@given(arrays(("u1",)))
def test_bits(array: Any) -> None:
    for expression in OF_ARRAYS["indices"]:
        alike(expression, array)


def test_shapes() -> None:
    alike(lambda np: np.broadcast_shapes((1, 3), (2, 1), 3))
    alike(lambda np: np.broadcast_shapes())
    alike(lambda np: np.broadcast_shapes((2,), (3,)))
    alike(lambda np: np.unpackbits(np.array([[2], [7]], "u1"), axis=1, count=3))
    alike(lambda np: np.unpackbits(np.array([[2], [7]], "u1"), count=20))
    alike(lambda np: np.unravel_index(99, (2, 2)))
    alike(lambda np: np.unravel_index([1, 3], shape=(2, 2)))
    matrix = np.arange(4).reshape(2, 2)
    np.testing.assert_array_equal(mnp.repmat(matrix, 2, 3), np.tile(matrix, (2, 3)))
    np.testing.assert_array_equal(mnp.repmat([1, 2], 2, 1), [[1, 2], [1, 2]])
    np.testing.assert_array_equal(mnp.row_stack([[1, 2], [3, 4]]), [[1, 2], [3, 4]])


def _changed(function: Callable[..., Any], array: Any, *arguments: Any) -> Any:
    """Return an array after a function wrote to it, or the kind of error that the function gave."""
    try:
        function(array, *arguments)
        return np.array(array)
    except (TypeError, ValueError, IndexError) as error:
        kinds = (IndexError, TypeError, ValueError)
        return next(each for each in kinds if isinstance(error, each))


@pytest.mark.parametrize("lazy", [False, True])
@tried
@given(st.data())
def test_writing_in_place(lazy: bool, data: Any) -> None:
    array = data.draw(arrays(ranks=(1, 3)))
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    size = max(array.shape[axis], 1)
    places = random.integers(-size, size, array.shape)
    if data.draw(st.booleans()):
        places = np.sort(places, axis=axis)[(slice(None),) * (axis % array.ndim) + (slice(0, 1),)]
    values = numbers(random, places.shape, array.dtype.str[1:] if array.dtype != bool else "?")
    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("put_along_axis", (places, 1, axis)),
        ("put_along_axis", (places, values, axis)),
        ("put_along_axis", (places.ravel() % 2, 1, None)),
        ("put_along_axis", (places * 0.5, 1, axis)),
        ("fill_diagonal", (1,)),
        ("fill_diagonal", (np.array([1, 0, 1]), True)),
        ("copyto", (1,)),
    ]
    for name, arguments in cases:
        with np.errstate(all="ignore"):
            want = _changed(getattr(np, name), array.copy(), *arguments)
            with mnp_mode(lazy):
                given_ = Var(array.copy())
                have = _changed(getattr(mnp, name), given_, *arguments)
        if isinstance(want, type) or isinstance(have, type):
            assert want is have, (name, want, have)
        else:
            np.testing.assert_array_equal(have, want)


def mnp_mode(lazy: bool) -> Any:
    return config.using(lazy=lazy, backend="reference")


def test_tall_diagonals() -> None:
    for wrap in (False, True):
        want, have = np.zeros((7, 2)), mnp.zeros((7, 2))
        np.fill_diagonal(want, [1, 2, 3], wrap)
        mnp.fill_diagonal(have, [1, 2, 3], wrap)
        np.testing.assert_array_equal(have, want)
    for wrong in (np.zeros((2, 2)), [1]):
        with pytest.raises(TypeError):
            mnp.fill_diagonal(wrong, 1)
        with pytest.raises(TypeError):
            mnp.put_along_axis(wrong, [0], 1)
    with pytest.raises(ValueError, match="equal length"):
        mnp.fill_diagonal(mnp.zeros((2, 2, 3)), 1)


@pytest.mark.parametrize("dtype", EVERY)
def test_recorded_insertions_learn(dtype: str) -> None:
    expr.lazy_eval(True)
    array = np.arange(6).reshape(2, 3).astype(dtype)
    place = expr.placeholder([2, 3], dtype=np.dtype(dtype)) if dtype != "?" else Var(array)
    found = mnp.insert(place, [0, 2], 1, axis=1)
    taken = mnp.delete(place, 1, axis=1)
    if dtype != "?":
        place.write(array)
    np.testing.assert_array_equal(found, np.insert(array, [0, 2], 1, axis=1))
    np.testing.assert_array_equal(taken, np.delete(array, 1, axis=1))


PADS: list[dict[str, Any]] = [
    {"mode": "constant"},
    {"mode": "constant", "constant_values": 3},
    {"mode": "constant", "constant_values": (1, 2)},
    {"mode": "edge"},
    {"mode": "wrap"},
    {"mode": "reflect"},
    {"mode": "symmetric"},
    {"mode": "reflect", "reflect_type": "odd"},
    {"mode": "symmetric", "reflect_type": "odd"},
    {"mode": "maximum"},
    {"mode": "minimum", "stat_length": 2},
    {"mode": "mean"},
    {"mode": "mean", "stat_length": (1, 3)},
    {"mode": "median", "stat_length": 3},
    {"mode": "mean", "stat_length": -1},
    {"mode": "linear_ramp"},
    {"mode": "linear_ramp", "end_values": (4, -4)},
    {"mode": "edge", "constant_values": 1},
    {"mode": "nonsense"},
]
WIDTHS: list[Any] = [1, (1, 2), ((2, 1),), 0, (0, 5), {0: 2}, {-1: (1, 0)}]


@pytest.mark.parametrize("number", range(len(PADS)))
@few
@given(arrays(ranks=(1, 2), sizes=(1, 4), special=0))
def test_pad(number: int, array: Any) -> None:
    # NumPy subtracts no bools, and its medians of them are none.
    if array.dtype == bool and PADS[number]["mode"] not in ("constant", "edge", "wrap"):
        return
    exact = array.dtype.kind in "biu" or array.dtype.itemsize > 2
    if not exact and PADS[number]["mode"] in ("mean", "median", "linear_ramp"):
        return
    for width in WIDTHS:
        alike(lambda np, a, w=width: np.pad(a, w, **PADS[number]), array)


def test_pad_by_a_function() -> None:
    def mark(line: Any, widths: Any, axis: int, options: Any) -> None:
        line[: widths[0]] = options.get("before", 7)
        line[len(line) - widths[1] :] = axis

    array = np.arange(4.0).reshape(2, 2)
    alike(lambda np, a: np.pad(a, 1, mark, before=5), array)
    alike(lambda np, a: np.pad(a, ((1, 2), (0, 1)), mark), array, recorded=False)


VIEWS: list[Callable[[Any], Any]] = [
    mnp.flip,
    mnp.rot90,
    mnp.fliplr,
    lambda y: mnp.moveaxis(y, 0, 1),
    lambda y: mnp.split(y, 2)[1],
    lambda y: mnp.einsum("ij->ji", y),
    mnp.atleast_3d,
    mnp.ravel,
    lambda y: mnp.unstack(y)[0],
]
WRITES: list[Callable[[Any], Any]] = [
    lambda y: mnp.fill_diagonal(y, 5),
    lambda y: mnp.put_along_axis(y, np.zeros((len(y), 1), int), 5, 1),
    lambda y: mnp.copyto(y, 5),
    lambda y: mnp.fill(y, 5),
    lambda y: mnp.random.default_rng(0).shuffle(y),
    lambda y: mnp.random.default_rng(0).random(out=y, dtype=np.float32),
    *(lambda y, view=view: view(y).__setitem__(Ellipsis, 5) for view in VIEWS),
]


@pytest.mark.parametrize("number", range(len(WRITES)))
def test_pending_results_keep_what_they_read(number: int) -> None:
    data = np.random.default_rng(0).standard_normal((300, 250)).astype(np.float32)
    array = mnp.array(data)
    before, turned = mnp.exp(mnp.tanh(array)), mnp.flip(array)
    WRITES[number](array)
    np.testing.assert_allclose(before, np.exp(np.tanh(data)), rtol=1e-5)
    assert (np.asarray(array) != data).any()
    np.testing.assert_array_equal(turned, np.asarray(array)[::-1, ::-1])
