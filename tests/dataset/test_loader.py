"""DataLoader: every sample once per pass, orders that can be repeated, clear errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mnn.expr as F  # noqa: N812
from mnn import data
from mnn.errors import DTypeError, EvaluationError, SettingError, ShapeError


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
        with pytest.raises(SettingError, match="expected at least"):
            data.DataLoader(Squares(3), batch, num_workers=workers)
    for batch in (1.5, "2", None):
        with pytest.raises(DTypeError, match=r"batch_size .*expected an int"):
            data.DataLoader(Squares(3), batch)  # type: ignore[arg-type]


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

    with pytest.raises(ShapeError, match="Resize, pad"):
        data.DataLoader(Ragged(3), 3).next()
    with pytest.raises(ShapeError, match="expected"):
        data.DataLoader(Bare(3), 3).next()


def test_batches_keep_the_format_of_the_samples() -> None:
    class Pictures(Squares):
        def __getitem__(self, index: int) -> Any:
            return [F.const([float(index)] * 12, [2, 2, 3], F.NHWC)], [index]

    inputs, targets = data.DataLoader(Pictures(3), 3, shuffle=False).next()
    assert inputs[0].shape == (3, 2, 2, 3)
    assert inputs[0].data_format == F.NHWC
    assert targets[0].data_format == F.NCHW
    assert F.convert(inputs[0], F.NCHW).shape == (3, 3, 2, 2)

    class Mixed(Pictures):
        def __getitem__(self, index: int) -> Any:
            layout = F.NHWC if index else F.NCHW
            return [F.const([0.0] * 12, [2, 2, 3], layout)], [index]

    with pytest.raises(ShapeError, match=r"'NCHW', 'NHWC'"):
        data.DataLoader(Mixed(2), 2).next()


def test_a_failed_batch_does_not_end_the_pass() -> None:
    class Once(Squares):
        failed = False

        def __getitem__(self, index: int) -> Any:
            if index == 1 and not self.failed:
                self.failed = True
                raise StopIteration
            return super().__getitem__(index)

    for workers in (0, 2):
        loader = data.DataLoader(Once(4), 2, shuffle=False, num_workers=workers)
        with pytest.raises(EvaluationError, match="StopIteration for sample 1"):
            loader.next()
        assert loader.next()[0][0].read()[:, 0, 0].tolist() == [2, 3]
        assert [len(targets[0].read()) for _, targets in loader] == [2, 2]


def test_an_empty_dataset_has_no_batches() -> None:
    loader = data.DataLoader(Squares(0), 2)
    assert (loader.size, loader.iter_number, list(loader)) == (0, 0, [])
    with pytest.raises(StopIteration, match="reset"):
        loader.next()


def test_a_dataset_must_define_its_methods() -> None:
    with pytest.raises(NotImplementedError, match="__len__"):
        len(data.Dataset())
    with pytest.raises(NotImplementedError, match="__getitem__"):
        data.Dataset()[0]
