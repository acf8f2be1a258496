"""Results of temporaries are handed out, all others are copied, and nobody sees a difference."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import mnn
import mnn.expr as F  # noqa: N812
from mnn.config import config
from mnn.expr import ownership, var
from mnn.expr.ownership import Counts

READERS = {
    "asarray": np.asarray,
    "array": np.array,
    "read": lambda made: made.read(),
    "dunder": lambda made: made.__array__(),
}


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def _recorded(request) -> Iterator[None]:
    with config.using(lazy=True, backend=request.param):
        yield


@pytest.fixture
def evaluations(monkeypatch) -> list[int]:
    """How often something was evaluated for a caller who keeps it, and for all others."""
    seen = [0, 0]
    owned, kept = ownership.evaluate, var.evaluate

    def count(number, function):
        def counted(outputs, **options):
            seen[number] += 1
            return function(outputs, **options)

        return counted

    monkeypatch.setattr(ownership, "evaluate", count(0, owned))
    monkeypatch.setattr(var, "evaluate", count(1, kept))
    return seen


def leaf(size: int = 5) -> mnn.Var:
    return F.const(np.arange(size, dtype=np.float32), [size])


def sum_of(x: mnn.Var) -> mnn.Var:
    return x + 1.0


def test_temporaries_are_told_apart_here():
    assert all(ownership.counts()), "this interpreter always copies"


@pytest.mark.parametrize("name", ["asarray", "read"])
def test_a_temporary_is_not_copied(name, evaluations):
    x = leaf()
    if name == "asarray":
        found = np.asarray(sum_of(x))
    else:
        found = sum_of(x).read()
    assert evaluations == [1, 0]
    np.testing.assert_array_equal(found, np.arange(5) + 1)
    assert found.flags.writeable
    found[...] = 9
    np.testing.assert_array_equal(x.read(), np.arange(5))
    np.testing.assert_array_equal(sum_of(x).read(), np.arange(5) + 1)


@pytest.mark.parametrize("name", READERS)
def test_what_has_a_name_is_computed_once_and_copied(name, evaluations):
    made = sum_of(leaf())
    first, second = READERS[name](made), READERS[name](made)
    # Who calls the protocol's method directly holds one reference less than NumPy does, and is
    # taken for a temporary: computed twice, and just as right.
    assert evaluations[0] == (2 if name == "dunder" else 0)
    first[...] = 9
    np.testing.assert_array_equal(second, np.arange(5) + 1)
    np.testing.assert_array_equal(made.read(), np.arange(5) + 1)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda x: F.reshape(x, [5, 1]),
        lambda x: F.transpose(F.reshape(x, [5, 1]), [1, 0]),
        lambda x: x[1:4],
        lambda x: F.cast(F.cast(x, F.double), F.float),
        lambda x: F.expand_dims(x, 0),
        lambda x: x * 1.0,
        lambda x: F.maximum(x, x),
    ],
)
def test_memory_of_leaves_is_never_handed_out(name, make):
    x = leaf()
    found = READERS[name](make(x))
    before = found.copy()
    found[...] = 9
    np.testing.assert_array_equal(x.read(), np.arange(5))
    np.testing.assert_array_equal(make(x).read(), before)


@pytest.mark.parametrize("name", READERS)
def test_results_that_others_refer_to_stay(name):
    shared = sum_of(leaf())
    later = shared * 2.0
    READERS[name](shared)[...] = 9
    np.testing.assert_array_equal(later.read(), (np.arange(5) + 1) * 2)
    # An equal application is the same node, which the first Var still refers to.
    x = leaf()
    one = sum_of(x)
    READERS[name](sum_of(x))[...] = 9
    np.testing.assert_array_equal(one.read(), np.arange(5) + 1)


@pytest.mark.parametrize("name", READERS)
def test_several_results_of_one_operation(name):
    parts = F.split(leaf(6), [3, 3], 0)
    READERS[name](parts[0])[...] = 9
    np.testing.assert_array_equal(parts[0].read(), [0, 1, 2])
    np.testing.assert_array_equal(parts[1].read(), [3, 4, 5])


def test_kept_values_are_kept(evaluations):
    with config.using(lazy_mode=2):
        np.asarray(sum_of(leaf()))
    weight = leaf()
    weight.fix_as_trainable()
    np.asarray(sum_of(weight))
    assert evaluations[0] == 0


def test_options_of_numpy():
    x = leaf()
    assert np.asarray(sum_of(x), dtype=np.float64).dtype == np.float64
    assert np.array(sum_of(x), copy=True).flags.owndata
    assert np.asarray(sum_of(x), copy=False).shape == (5,)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(sum_of(x), dtype=np.float64, copy=False)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "wrong", [Counts(0, 0, 0, 0, 0), Counts(5, 3, 3, 2, 2), Counts(4, 2, 3, 2, 0)]
)
def test_interpreters_that_count_otherwise(name, wrong, monkeypatch):
    """Taking named Vars for temporaries costs time only; arrays that are shared are copied."""
    for module in (ownership, var):
        monkeypatch.setattr(module, "counts", lambda: wrong)
    made = sum_of(leaf())
    for _ in range(2):
        found = READERS[name](made)
        np.testing.assert_array_equal(found, np.arange(5) + 1)
        found[...] = 9
    x = leaf()
    READERS[name](F.reshape(x, [5, 1]))[...] = 9
    np.testing.assert_array_equal(x.read(), np.arange(5))


def test_an_array_that_somebody_holds_is_copied(monkeypatch):
    held = []
    original = ownership.evaluate

    def evaluate(outputs, **options):
        found = original(outputs, **options)
        held.append(found[0])
        return found

    monkeypatch.setattr(ownership, "evaluate", evaluate)
    found = np.asarray(sum_of(leaf()))
    assert len(held) == 1
    assert not np.shares_memory(found, held[0])
