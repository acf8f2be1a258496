"""Operators: one declaration each, by family. Importing this package declares them all."""

from __future__ import annotations

# One module per line, sorted.
from mnn.ops import (
    activation,
    arithmetic,
    broadcast,
    comparison,
    control,
    convert,
    convolution,
    create,
    getitem,
    image,
    index,
    joining,
    linalg,
    matmul,
    movement,
    normalization,
    picture,
    pooling,
    python_operators,
    quantize,
    rearrange,
    recurrent,
    reduce,
    scan,
    shape,
    slicing,
    sorting,
    trigonometry,
    unary,
)
