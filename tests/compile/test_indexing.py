"""Indices of compiled graphs: no NumPy steps, and the reference's errors for bad ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.cpu.plan import HostCall
from mnn.errors import IndexRangeError
from mnn.expr.var import Var
from mnn.ops.assignment import assign_index
from mnn.ops.getitem import getitem, put_like
from mnn.ops.index import gather, gather_elements, gather_nd
from mnn.ops.reversal import reverse_sequence
from mnn.ops.scatter import scatter_elements, scatter_nd
from tests.compile.recording import by_reference, segment

Array = np.ndarray[Any, Any]


def computed(function: Callable[..., Var], *arrays: Array) -> Array:
    """Return what a plan without NumPy steps computes; it must be what NumPy says."""
    made = segment(function, list(arrays))
    plan = made.compiled(list(arrays), low=False)[0].plan
    steps = [step.label for step in plan.steps if isinstance(step, HostCall)]
    assert not steps, steps
    found = {}
    for threads in (1, 2):
        (found[threads],) = made.run(list(arrays), threads=threads, low=False)
    np.testing.assert_array_equal(found[1], found[2])
    (want,) = by_reference(function, arrays)
    assert found[1].dtype == want.dtype
    np.testing.assert_array_equal(found[1], want)
    return found[1]


_RNG = np.random.default_rng(0)
X = _RNG.standard_normal((40, 30, 5), np.float32)
PICKS = np.array([[0, -1, 39], [-40, 7, 7]])
FLAGS = _RNG.integers(0, 2, 40).astype(bool)


@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "int8"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather(kind: str, axis: int) -> None:
    picks = _RNG.integers(0, X.shape[axis], (2, 3)).astype(kind)
    computed(lambda x, i: gather(x, i, axis), X, picks)
    computed(lambda x, i: gather(x, i, axis) * 2 + 1, X, picks[0])


def test_gather_of_known_places_at_equal_distances_is_a_slice() -> None:
    for known in ([3], [1, 4, 7], [9, 5, 1], [-3, -2, -1], [2, 2, 2], [39, 0, 7]):
        indices = np.array(known, np.int32)
        computed(lambda x, indices=indices: gather(x, indices, 0) + 1, X)


def test_other_gathers() -> None:
    elements = _RNG.integers(-30, 30, (40, 7, 5))
    computed(lambda x, i: gather_elements(x, i, axis=1), X, elements)
    places = np.stack([_RNG.integers(-40, 40, (4, 6)), _RNG.integers(-30, 30, (4, 6))], -1)
    computed(lambda x, i: gather_nd(x, i), X, places.astype(np.int32))
    computed(lambda x, i: gather_nd(x, i, 1), X, np.repeat(elements[:, :, :1] % 5, 2, -1))
    lengths = _RNG.integers(0, 31, 40)
    computed(lambda x, n: reverse_sequence(x, n, 0, 1), X, lengths)


@pytest.mark.parametrize(
    "index",
    [
        lambda i, j: i,
        lambda i, j: (i, j),
        lambda i, j: (i, slice(None), 2),
        lambda i, j: (slice(3, 30, 4), j % 7),
        lambda i, j: (slice(None, None, -1), j, None),
        lambda i, j: (None, i, slice(2, 9), j % 5),
        lambda i, j: (..., j % 5),
        lambda i, j: (i, ..., j % 5),
        lambda i, j: (FLAGS, slice(1, 4)),
        lambda i, j: (FLAGS, 3, j[0, 0] % 5),
    ],
)
def test_index_arrays(index: Callable[..., Any]) -> None:
    i, j = PICKS, np.array([[2], [-3]], np.int32)
    computed(lambda x, i, j: getitem(x, index(i, j)) * 2, X, i, j)
    shape = X[index(i, j)].shape
    values = _RNG.standard_normal(shape, np.float32)
    computed(lambda g, x, i, j: put_like(g, x, _tuple(index(i, j))), values, X, i, j)


def _tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def test_assignment() -> None:
    value = _RNG.standard_normal((3, 5), np.float32)
    repeated = np.array([4, 1, 4], np.int32)
    parts = (("slice", 2, None, 3), ("array", 0))
    computed(lambda x, v, i: assign_index(x, v, i, parts=parts), X, value, repeated)
    basic = (("slice", None, None, -2), ("int", -1))
    computed(lambda x, v: assign_index(x, v, parts=basic), X, value[0])
    computed(lambda x, v: assign_index(x, v, parts=basic), X, np.array([[[7.9]]]))
    whole = np.arange(1200).reshape(40, 30)
    computed(lambda x, v: assign_index(x, v, parts=basic), whole, np.array(-7.9))


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatters(reduction: str) -> None:
    places = np.array([[3], [-1], [3], [0]], np.int32)
    updates = _RNG.standard_normal((4, 30, 5), np.float32)
    shape = np.array(X.shape, np.int32)
    computed(lambda i, u: scatter_nd(i, u, shape, None, reduction), places, updates)
    computed(lambda i, u, x: scatter_nd(i, u, shape, x, reduction), places, updates, X)
    elements = _RNG.integers(-30, 30, (40, 50, 3))
    more = _RNG.standard_normal(elements.shape, np.float32)
    computed(
        lambda x, i, u: scatter_elements(x, i, u, axis=1, reduction=reduction), X, elements, more
    )


@pytest.mark.parametrize("bad", [40, -41, 2**40, -(2**63)])
def test_bad_indices_raise_what_numpy_raises(bad: int) -> None:
    places = np.array([1, bad, 2])
    cases: list[Callable[..., Var]] = [
        lambda x, i: gather(x, i, 0) + 1,
        lambda x, i: gather_nd(x, i[:, None]),
        lambda x, i: getitem(x, i) * 2,
        lambda x, i: scatter_nd(i[:, None], x[:3], np.array(X.shape), None, "add"),
    ]
    for function in cases:
        made = segment(function, [X, places])
        for _ in range(2):
            with pytest.raises(IndexRangeError, match=str(bad)):
                made.run([X, places], threads=1, low=False)
            good = np.array([1, 39, -40])
            (found,) = made.run([X, good], threads=1, low=False)
            (want,) = by_reference(function, [X, good])
            np.testing.assert_array_equal(found, want)


def test_bad_lengths_raise_what_numpy_raises() -> None:
    for bad in (31, -1):
        lengths = np.full(40, 3)
        lengths[7] = bad
        made = segment(lambda x, n: reverse_sequence(x, n, 0, 1), [X, lengths])
        with pytest.raises(IndexRangeError, match="lengths"):
            made.run([X, lengths], threads=1, low=False)
