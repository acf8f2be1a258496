"""Quantisation-aware training: the names exist, the training does not yet."""

from __future__ import annotations

import enum

from mnn.errors import UnsupportedError
from mnn.nn.module import Module

__all__ = [
    "MAXIMUM",
    "MOVING_AVERAGE",
    "PER_CHANNEL",
    "PER_TENSOR",
    "Feature_Scale_Method",
    "Scale_Update_Method",
    "train_quant",
]


class Feature_Scale_Method(enum.IntEnum):  # noqa: N801
    """One scale for a tensor, or one per channel."""

    PER_TENSOR = 0
    PER_CHANNEL = 1


class Scale_Update_Method(enum.IntEnum):  # noqa: N801
    """How scales follow the data."""

    MAXIMUM = 0
    MOVING_AVERAGE = 1


PER_TENSOR, PER_CHANNEL = Feature_Scale_Method.PER_TENSOR, Feature_Scale_Method.PER_CHANNEL
MAXIMUM, MOVING_AVERAGE = Scale_Update_Method.MAXIMUM, Scale_Update_Method.MOVING_AVERAGE


def train_quant(
    module: Module,
    quant_bits: int = 8,
    feature_scale_method: Feature_Scale_Method = PER_TENSOR,
    scale_update_method: Scale_Update_Method = MOVING_AVERAGE,
) -> bool:
    """Raise UnsupportedError: quantisation-aware training is not available yet."""
    raise UnsupportedError(
        "nn.compress.train_quant: quantisation-aware training is not available yet. "
        "Train in float and quantise the saved model."
    )
