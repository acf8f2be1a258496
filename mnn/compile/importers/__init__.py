"""Importers by topic: how each operator is said in a flow. Importing this package registers all."""

from __future__ import annotations

from mnn.compile.importers import (
    attention,
    control,
    detection,
    elementwise,
    fancy,
    image,
    indexing,
    linear,
    movement,
    normalization,
    quantized,
    recurrent,
    reductions,
    sorting,
)

__all__ = [
    "attention",
    "control",
    "detection",
    "elementwise",
    "fancy",
    "image",
    "indexing",
    "linear",
    "movement",
    "normalization",
    "quantized",
    "recurrent",
    "reductions",
    "sorting",
]
