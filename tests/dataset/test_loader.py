"""DataLoader: every sample once per pass, orders that can be repeated, clear errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnn import data
from mnn.errors import EvaluationError, ShapeError


class Squares(data.Dataset):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[list[Any], list[Any]]:
        return [np.full((2, 3), index, np.float32)], [np.int32(index * index)]


@given(
    count=st.integers(0, 40),
    batch=st.integers(1, 12),
    shuffle=st.booleans(),
    workers=st.integers(0, 2),
)
def test_every_sample_once(count: int, batch: int, shuffle: bool, workers: int) -> None:
    loader = data.DataLoader(Squares(count), batch, shuffle, workers)
    assert loader.size == count
    assert loader.iter_number == len(loader) == -(-count // batch)
    for _ in range(2):
        seen: list[int] = []
        sizes = []
        for inputs, targets in loader:
            found = inputs[0].read()
            assert found.dtype == np.float32
            assert (found == found[:, :1, :1]).all()
            assert (targets[0].read().ravel() == found[:, 0, 0] ** 2).all()
            seen += found[:, 0, 0].astype(int).tolist()
            sizes.append(len(found))
        assert sorted(seen) == list(range(count))
        assert all(size == batch for size in sizes[:-1])
        assert shuffle or seen == list(range(count))


def test_a_seed_repeats_the_order_and_passes_differ() -> None:
    def order(loader: data.DataLoader) -> list[int]:
        return [int(value) for _, targets in loader for value in targets[0].read().ravel()]

    one, two = (data.DataLoader(Squares(50), 7, seed=3, num_workers=w) for w in (0, 2))
    first = order(one)
    assert first == order(two)
    assert first != order(one)


def test_next_until_the_pass_is_over() -> None:
    loader = data.DataLoader(Squares(3), 2, shuffle=False)
    loader.next()
    loader.next()
    with pytest.raises(StopIteration, match="reset"):
        loader.next()
    loader.reset()
    assert loader.next()[1][0].read().ravel().tolist() == [0, 1]


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="expected a Dataset"):
        data.DataLoader(3, 1)  # type: ignore[arg-type]
    for batch, workers in ((0, 0), (1, -1)):
        with pytest.raises(ShapeError, match="expected at least"):
            data.DataLoader(Squares(3), batch, num_workers=workers)


def test_errors_of_the_dataset_name_the_sample() -> None:
    class Broken(Squares):
        def __getitem__(self, index: int) -> Any:
            if index == 2:
                raise OSError("unreadable")
            return super().__getitem__(index)

    with pytest.raises(EvaluationError, match=r"OSError for sample 2: unreadable"):
        list(data.DataLoader(Broken(4), 2, shuffle=False))


def test_samples_must_agree() -> None:
    class Ragged(Squares):
        def __getitem__(self, index: int) -> Any:
            return [np.zeros(index + 1)], []

    class Bare(Squares):
        def __getitem__(self, index: int) -> Any:
            return 3

    with pytest.raises(ShapeError, match="Resize or pad"):
        data.DataLoader(Ragged(3), 3).next()
    with pytest.raises(ShapeError, match="expected"):
        data.DataLoader(Bare(3), 3).next()


def test_a_dataset_must_define_its_methods() -> None:
    with pytest.raises(NotImplementedError, match="__len__"):
        len(data.Dataset())
    with pytest.raises(NotImplementedError, match="__getitem__"):
        data.Dataset()[0]
