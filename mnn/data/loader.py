"""`Dataset`: samples by index. `DataLoader`: batches of them, shuffled if wanted."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mnn.errors import DTypeError, EvaluationError, SettingError, ShapeError
from mnn.expr.enums import data_format
from mnn.expr.var import Var
from mnn.ops.operands import array_of

__all__ = ["DataLoader", "Dataset"]

Array = np.ndarray[Any, Any]
Item = tuple[Array, data_format]
Batch = tuple[list[Var], list[Var]]


class Dataset:
    """Samples by index; subclasses define `__getitem__` and `__len__`."""

    def __getitem__(self, index: int) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return sample `index`: a list of inputs and a list of targets (Vars, arrays, numbers)."""
        raise NotImplementedError(f"{type(self).__name__}.__getitem__ is not defined.")

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError(f"{type(self).__name__}.__len__ is not defined.")


class DataLoader:
    """Batches of a dataset.

    A pass ends after `iter_number` batches; `reset()` begins the next one, in a new order when
    shuffling. Iterating over a loader does both.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        shuffle: bool = True,
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        """Make a loader.

        Args:
            dataset: anything with `__getitem__` and `__len__`.
            batch_size: samples per batch, at least 1; the last batch may be smaller.
            shuffle: random order, a new one after each reset.
            num_workers: threads that read samples; the order does not depend on it.
            seed: makes the orders reproducible.

        Raises:
            SettingError: batch_size or num_workers out of range.
            DTypeError: they are no whole numbers, or dataset has no length or no items.
        """
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise DTypeError(
                f"DataLoader: found {type(dataset).__name__}, expected a Dataset with __getitem__ "
                "and __len__."
            )
        self.dataset = dataset
        self.batch_size = _whole("batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.num_workers = _whole("num_workers", num_workers, 0)
        self._random = np.random.default_rng(seed)
        self._order: Array = np.zeros(0, np.int64)
        self._place = 0
        self.reset()

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.dataset)

    @property
    def iter_number(self) -> int:
        """Number of batches of one pass."""
        return math.ceil(self.size / self.batch_size)

    def __len__(self) -> int:
        """Return the number of batches of one pass."""
        return self.iter_number

    def reset(self) -> None:
        """Begin a new pass."""
        count = self.size
        self._order = self._random.permutation(count) if self.shuffle else np.arange(count)
        self._place = 0

    def next(self) -> Batch:
        """Return the next batch: a list of stacked inputs and a list of stacked targets.

        Raises:
            StopIteration: the pass is over; call `reset()`.
            EvaluationError: the dataset raised for a sample; the batch is skipped.
            ShapeError: samples of the batch differ in number of values or in shape.
        """
        if self._place >= len(self._order):
            raise StopIteration("the pass over the data is over. Call reset() for another one.")
        chosen = self._order[self._place : self._place + self.batch_size]
        self._place += len(chosen)
        samples = self._read([int(each) for each in chosen])
        inputs, targets = zip(*samples, strict=True)
        return _stacked("inputs", inputs), _stacked("targets", targets)

    def _read(self, indices: list[int]) -> list[tuple[list[Item], list[Item]]]:
        if self.num_workers == 0:
            return [self._sample(index) for index in indices]
        with ThreadPoolExecutor(self.num_workers) as pool:
            return list(pool.map(self._sample, indices))

    def _sample(self, index: int) -> tuple[list[Item], list[Item]]:
        try:
            sample = self.dataset[index]
        except Exception as error:
            raise EvaluationError(
                f"DataLoader: the dataset raised {type(error).__name__} for sample {index}: {error}"
            ) from error
        if not isinstance(sample, (tuple, list)) or len(sample) != 2:
            raise ShapeError(
                f"DataLoader: sample {index} is {type(sample).__name__}, expected "
                "(list of inputs, list of targets)."
            )
        return _items(sample[0]), _items(sample[1])

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of a new pass."""
        self.reset()
        while self._place < len(self._order):
            yield self.next()


def _whole(what: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DTypeError(
            f"DataLoader: {what} is {value!r}, expected an int of at least {least}."
        ) from error
    if number < least:
        raise SettingError(f"DataLoader: {what} is {number}, expected at least {least}.")
    return number


def _items(part: Any) -> list[Item]:
    """Return the arrays of a sample with their dimension formats."""
    values = part if isinstance(part, (list, tuple)) else [part]
    return [
        (
            array_of(each, "DataLoader"),
            each.data_format if isinstance(each, Var) else data_format.NCHW,
        )
        for each in values
    ]


def _stacked(what: str, samples: Sequence[list[Item]]) -> list[Var]:
    counts = {len(each) for each in samples}
    if len(counts) != 1:
        raise ShapeError(f"DataLoader: samples have {sorted(counts)} {what}, expected as many.")
    stacked = []
    for column in zip(*samples, strict=True):
        shapes = {array.shape for array, _ in column}
        formats = {format for _, format in column}
        if len(shapes) != 1 or len(formats) != 1:
            raise ShapeError(
                f"DataLoader: {what} of one batch have shapes {sorted(shapes)} in "
                f"{sorted(each.name for each in formats)}, expected one shape and format. "
                "Resize, pad or convert the samples."
            )
        stacked.append(Var(np.stack([array for array, _ in column]), formats.pop()))
    return stacked
