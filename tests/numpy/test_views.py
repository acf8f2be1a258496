"""Views share memory as in NumPy: what is written to one, the others see."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import mnn.numpy as mnp
from mnn.config import config

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
VIEWS: dict[str, Callable[[Any], Any]] = {
    "slice": lambda a: a[1:],
    "steps": lambda a: a[:, ::-2],
    "row": lambda a: a[1],
    "ellipsis": lambda a: a[..., 2],
    "newaxis": lambda a: a[:, None],
    "reshape": lambda a: a.reshape(6, -1),
    "reshape -1": lambda a: a.reshape(-1),
    "ravel": lambda a: a.ravel(),
    "transpose": lambda a: a.transpose(2, 0, 1),
    "T": lambda a: a.T,
    "mT": lambda a: a.mT,
    "swapaxes": lambda a: a.swapaxes(0, 2),
    "squeeze": lambda a: a[:1].squeeze(),
    "view": lambda a: a.view(),
    "real": lambda a: a.real,
    "flat slice of ravel": lambda a: a.ravel()[5:9],
    "view of view": lambda a: a[1:].T[1:],
}
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "reshape": lambda np, a: np.reshape(a, (4, -1)),
    "ravel": lambda np, a: np.ravel(a),
    "transpose": lambda np, a: np.transpose(a),
    "permute_dims": lambda np, a: np.permute_dims(a, (1, 0, 2)),
    "swapaxes": lambda np, a: np.swapaxes(a, 0, 1),
    "moveaxis": lambda np, a: np.moveaxis(a, 0, -1),
    "matrix_transpose": lambda np, a: np.matrix_transpose(a),
    "expand_dims": lambda np, a: np.expand_dims(a, 1),
    "squeeze": lambda np, a: np.squeeze(a[:1]),
    "flip": lambda np, a: np.flip(a, 1),
    "rot90": lambda np, a: np.rot90(a[0]),
    "split": lambda np, a: np.split(a, 3, axis=1)[1],
    "array_split": lambda np, a: np.array_split(a, 2, axis=2)[0],
    "unstack": lambda np, a: np.unstack(a)[1],
    "atleast_3d": lambda np, a: np.atleast_3d(a[0]),
    "asarray": lambda np, a: np.asarray(a),
    "real": lambda np, a: np.real(a),
}


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", [*VIEWS, *(f"function {each}" for each in FUNCTIONS)])
def test_view_shares_memory(name: str, size: str) -> None:
    make = VIEWS.get(name)
    whole = np.tile(X, (1, 1, 1 if size == "small" else 3000))
    ours, numpys = mnp.array(whole), whole.copy()
    if make is not None:
        view, wanted = make(ours), make(numpys)
    else:
        call = FUNCTIONS[name.removeprefix("function ")]
        view, wanted = call(mnp, ours), call(np, numpys)
    assert view.shape == wanted.shape
    view[...] = view * 2 + 1
    wanted[...] = wanted * 2 + 1
    np.testing.assert_array_equal(np.asarray(ours), numpys)
    ours[0, 0, 0] = numpys[0, 0, 0] = -5
    np.testing.assert_array_equal(np.asarray(view), wanted)
    assert mnp.shares_memory(view, ours)


@pytest.mark.parametrize("name", ["fancy", "mask", "flatten", "copy", "astype", "of columns"])
def test_copy_does_not(name: str) -> None:
    make: dict[str, Callable[[Any], Any]] = {
        "fancy": lambda a: a[[0, 1]],
        "mask": lambda a: a[a > 3],
        "flatten": lambda a: a.flatten(),
        "copy": lambda a: a.copy(),
        "astype": lambda a: a.astype(np.float32),
        "of columns": lambda a: a.T.reshape(-1),
    }
    ours, numpys = mnp.array(X), X.copy()
    make[name](ours)[...] = 3
    make[name](numpys)[...] = 3
    np.testing.assert_array_equal(np.asarray(ours), numpys)


def test_complex_parts() -> None:
    ours, numpys = mnp.array(X + 1j), X + np.complex64(1j)
    ours.imag[0] = numpys.imag[0] = 5
    ours[1].real[...] = numpys[1].real[...] = 2
    np.testing.assert_array_equal(np.asarray(ours), numpys)


def test_diagonal_is_read_only() -> None:
    ours = mnp.array(X[0])
    diagonal = ours.diagonal()
    with pytest.raises(ValueError, match="read-only"):
        diagonal[0] = 1
    ours[0, 0] = 8
    assert diagonal[0] == 8


def test_recorded_graphs_keep_what_they_read() -> None:
    """The one rule that differs: what was recorded from an array keeps its elements."""
    with config.using(lazy=True):
        x = mnp.array(X)
        view = x[1]
        x[1, 0, 0] = -1
        view[0, 1] = -2
        np.testing.assert_array_equal(np.asarray(view[0]), [12, -2, 14, 15])
        np.testing.assert_array_equal(np.asarray(x[1, 0]), [-1, 13, 14, 15])


SHAPES = {1: (2000,), 2: (40, 50), 3: (20, 10, 10)}


class Interleaving(RuleBasedStateMachine):
    """Views, views of views, writes, arithmetic and reads in any order, beside NumPy's."""

    def __init__(self) -> None:
        super().__init__()
        self.ours: list[Any] = []
        self.numpys: list[Any] = []
        self.settings = ExitStack()

    @initialize(large=st.booleans(), rank=st.integers(1, 3))
    def begin(self, large: bool, rank: int) -> None:
        if large:  # results wait until they are read
            self.settings.enter_context(config.using(pending_elements=500))
        shape = SHAPES[rank] if large else (4, 3, 2)[:rank]
        values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) % 97
        self._add(mnp.array(values), values.copy())

    def _add(self, ours: Any, numpys: Any) -> None:
        self.ours.append(ours)
        self.numpys.append(numpys)
        if len(self.ours) > 6:
            del self.ours[0], self.numpys[0]

    def _both(self, place: int, change: Callable[[Any], Any]) -> None:
        place %= len(self.ours)
        self._add(change(self.ours[place]), change(self.numpys[place]))

    @rule(place=st.integers(0, 9), start=st.integers(-2, 2), step=st.sampled_from([1, 2, -1]))
    def slice(self, place: int, start: int, step: int) -> None:
        self._both(place, lambda a: a[start::step] if a.ndim else a[...])

    @rule(place=st.integers(0, 9), how=st.sampled_from(["T", "ravel", "new", "row", "reshape"]))
    def other_view(self, place: int, how: str) -> None:
        def change(a: Any) -> Any:
            if how == "T":
                return a.T
            if how == "ravel":
                return a.ravel()
            if how == "new":
                return a[None] if a.ndim < 4 else a[0]
            if how == "row":
                return a[-1] if a.ndim > 1 and a.shape[0] else a[...]
            return a.reshape(-1, 2) if a.size % 2 == 0 and a.size else a[...]

        self._both(place, change)

    @rule(place=st.integers(0, 9), value=st.integers(-9, 9))
    def write(self, place: int, value: int) -> None:
        place %= len(self.ours)
        for a in (self.ours[place], self.numpys[place]):
            a[...] = value if not a.size or not a.ndim else a[::-1] * 0.5 + value

    @rule(place=st.integers(0, 9), value=st.integers(1, 3))
    def in_place(self, place: int, value: int) -> None:
        place %= len(self.ours)
        self.ours[place] += value
        self.numpys[place] += value
        self.ours[place] *= 0.5
        self.numpys[place] *= 0.5

    @rule(one=st.integers(0, 9))
    def arithmetic(self, one: int) -> None:
        self._both(one, lambda a: (a - 1) * 2 + a)

    @rule(place=st.integers(0, 9))
    def element(self, place: int) -> None:
        place %= len(self.ours)
        if self.numpys[place].size and self.numpys[place].ndim:
            self.ours[place].flat[0] = self.numpys[place].flat[0] = 11

    @rule(place=st.integers(0, 9))
    def forget(self, place: int) -> None:
        if len(self.ours) > 1:
            del self.ours[place % len(self.ours)], self.numpys[place % len(self.numpys)]

    @rule(place=st.integers(0, 9))
    def look(self, place: int) -> None:
        place %= len(self.ours)
        np.testing.assert_array_equal(np.asarray(self.ours[place]), self.numpys[place])

    @invariant()
    def shapes_are_equal(self) -> None:
        assert [each.shape for each in self.ours] == [each.shape for each in self.numpys]

    def teardown(self) -> None:
        self.settings.close()
        for ours, numpys in zip(self.ours, self.numpys, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), numpys)


Interleaving.TestCase.settings = settings(
    max_examples=60, stateful_step_count=20, deadline=None, derandomize=True
)
TestInterleaving = Interleaving.TestCase
