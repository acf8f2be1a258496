"""Arrays without dimensions behave as NumPy's scalars do under in-place operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp

MAKERS: tuple[Callable[[Any], Any], ...] = (
    lambda x: x.sum(),
    lambda x: (x * 2).max(),
    lambda x: x[1],
    lambda x: x.argmax(),
)


@pytest.mark.parametrize("size", [5, 100_000])
@pytest.mark.parametrize("make", MAKERS)
def test_other_names_of_a_number_keep_it(size: int, make: Callable[[Any], Any]) -> None:
    x = mnp.arange(size, dtype=mnp.float32)
    number = make(x)
    before = float(number)
    other = number
    other += before
    assert float(number) == before
    assert float(other) == 2 * before


def test_a_number_takes_the_type_and_shape_of_the_result() -> None:
    place = mnp.array([1, 3, 2]).argmax()
    place /= 2
    assert float(place) == 0.5
    total = mnp.arange(3.0)[1]
    total += mnp.ones(3)
    assert total.tolist() == [2, 2, 2]


def test_memory_of_an_array_is_written() -> None:
    x = mnp.zeros(3)
    first = x[0, ...]
    first += 1
    foreign = np.array(3.0)
    shared = mnp.asarray(foreign)
    shared += 1
    assert x.tolist() == [1, 0, 0]
    assert foreign == 4
