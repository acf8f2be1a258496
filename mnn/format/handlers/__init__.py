"""Readers and writers of operators that are more than a rename. Importing registers them."""

from __future__ import annotations

from mnn.format.handlers import (
    control,
    elementwise,
    image,
    indexing,
    layout,
    normalization,
    quantized,
    recurrent,
    reductions,
    structure,
    window,
    write_control,
    write_formulas,
    write_image,
    write_movement,
    write_quantized,
    write_recurrent,
    write_values,
    write_window,
)
