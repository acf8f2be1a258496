"""The handwritten digits that scikit-learn bundles, split into a training and a test part."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

SPLIT_SEED = 20
TEST_SHARE = 0.2
INK_LEVELS = 16


class Pictures(NamedTuple):
    """Digits of one part.

    Attributes:
        images: `(count, 1, 8, 8)` float32 in 0..1, ink is bright.
        labels: `(count,)` int64 in 0..9.
        numbers: `(count,)` position of each picture in the whole collection.
    """

    images: np.ndarray
    labels: np.ndarray
    numbers: np.ndarray


def load_split() -> tuple[Pictures, Pictures]:
    """Return (training, test) parts, 80 % and 20 %, always split in the same way."""
    digits = load_digits()
    images = (digits.images / INK_LEVELS).astype(np.float32)[:, np.newaxis]
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    first_test = len(order) - round(TEST_SHARE * len(order))
    parts = order[:first_test], order[first_test:]
    training, test = (Pictures(images[part], digits.target[part], part) for part in parts)
    return training, test
