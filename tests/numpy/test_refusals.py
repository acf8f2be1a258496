"""What NumPy refuses, or takes, where that is easily missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp

REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "NaN in integers": (lambda m: m.arange(3).__setitem__(0, float("nan")), ValueError),
    "infinity in integers": (lambda m: m.arange(3).__setitem__(0, float("inf")), OverflowError),
    "casting": (lambda m: m.sqrt(m.ones(3), dtype=m.float32, casting="some"), ValueError),
    "step 0": (lambda m: m.arange(0, 1, 0), ZeroDivisionError),
    "half a number": (lambda m: m.linspace(0, 1, 2.5), TypeError),
    "places between": (
        lambda m: m.take_along_axis(m.ones((2, 3)), m.zeros((2, 1)), axis=1),
        IndexError,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_have_the_type_of_numpys(name: str) -> None:
    call, error = REFUSED[name]
    with pytest.raises(error):
        call(np)
    with pytest.raises(error):
        call(mnp)


def test_bincount_takes_lists() -> None:
    assert mnp.bincount([]).tolist() == []
    assert mnp.bincount([], minlength=2).tolist() == [0, 0]
    assert mnp.bincount([1, 1, 3]).tolist() == [0, 2, 0, 1]


def test_lists_keep_their_digits_where_results_are_written() -> None:
    x = mnp.array([0.1, 0.2], dtype=mnp.float64)
    mnp.add(x, [0.7, 0.1], out=x)
    np.testing.assert_allclose(np.asarray(x), [0.8, 0.3], rtol=1e-15)


def test_complex_numbers_have_a_larger_and_a_smaller_one() -> None:
    x, y = np.array([1 + 2j, 3, 2j], np.complex64), np.array([1 + 1j, 4, np.nan], np.complex64)
    for name in ("maximum", "minimum"):
        found = getattr(mnp, name)(mnp.asarray(x), mnp.asarray(y))
        np.testing.assert_array_equal(np.asarray(found), getattr(np, name)(x, y))


@pytest.mark.parametrize("size", [6, 60_000, 600_000])
def test_a_shape_is_assigned(size: int) -> None:
    x = mnp.arange(size, dtype=mnp.float32)
    view = x[1:]
    waits = x + 1
    x.shape = (2, -1)
    x += 1
    assert tuple(x.shape) == (2, size // 2)
    assert float(view[0]) == 2
    assert float(waits[1]) == 2
    assert float(x[1, 0]) == size // 2 + 1
    waits.shape = (size, 1)
    assert tuple((waits * 2).shape) == (size, 1)
    for shape, array in ((5, x), (-1, x.T)):
        with pytest.raises(ValueError, match="reshape"):
            array.shape = shape


def test_ranges_of_integers_have_whole_steps() -> None:
    for numbers in ((0, 5, 0.5), (-3, 3, 0.5), (0.5, 4, 1.5), (3.7,)):
        found = mnp.arange(*numbers, dtype=mnp.int32)
        np.testing.assert_array_equal(np.asarray(found), np.arange(*numbers, dtype=np.int32))
