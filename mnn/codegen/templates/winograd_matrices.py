"""Winograd's minimal filtering: matrices, and code that applies them to vectors.

F(m, 3) makes m neighbouring outputs of a filter of 3 taps with m + 2 products:
y = A^T [(G g) * (B^T d)]. Matrices from A. Lavin and S. Gray, "Fast algorithms for convolutional
neural networks", 2016: interpolation at 0, 1, -1 for m = 2, and at 2, -2 too for m = 4. Larger
tiles lose too many digits of float32 (1e-5 of the largest output for m = 6) and are no faster.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Value

__all__ = ["SIZES", "input_rows", "output_rows", "transformed_weight", "weight_rows"]

Array = np.ndarray[Any, Any]

SIZES = (2, 4)
"""Outputs in a row of a tile."""

_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0)
_INPUT = {
    2: [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]],
    4: [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
}
_WEIGHT: dict[int, list[list[float]]] = {
    2: [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
    4: [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
}


@functools.cache
def _output_matrix(size: int) -> Array:
    """Return A^T: powers of the points, and the point at infinity."""
    rows = [[point**power for point in _POINTS[: size + 1]] for power in range(size)]
    matrix = np.array(rows, np.float64)
    last = np.zeros((size, 1))
    last[-1] = 1
    return np.hstack([matrix, last])


def transformed_weight(weight: Array, size: int) -> Array:
    """Return G g G^T of (outputs, inputs, 3, 3) as float32 (positions, inputs, outputs)."""
    matrix = np.array(_WEIGHT[size], np.float64)
    both = np.kron(matrix, matrix)
    outputs, inputs = weight.shape[:2]
    made = np.empty((both.shape[0], inputs, outputs), np.float32)
    # Piece by piece: products in float64 need much memory.
    for start in range(0, outputs, 64):
        part = weight[start : start + 64].astype(np.float64)
        product = both @ part.reshape(-1, 9).T
        found = product.reshape(-1, part.shape[0], inputs)
        made[:, :, start : start + 64] = found.transpose(0, 2, 1)
    return made


def input_rows(k: Body, size: int, values: Sequence[Value]) -> list[Value]:
    """Return B^T times the vectors of a row or column of an input tile."""
    matrix = _INPUT[size]
    found = [_sum(k, matrix[0], values)]
    # Rows come in pairs, which differ in the signs of the terms with odd numbers.
    for pair in range(1, size + 1, 2):
        row = matrix[pair]
        even = _sum(k, [each if place % 2 == 0 else 0 for place, each in enumerate(row)], values)
        odd = _sum(k, [each if place % 2 else 0 for place, each in enumerate(row)], values)
        found += [k.add(even, odd), k.sub(even, odd)]
    found.append(_sum(k, matrix[-1], values))
    return found


def weight_rows(k: Body, size: int, values: Sequence[Value]) -> list[Value]:
    """Return G times the vectors of a row or column of the weights."""
    return [_sum(k, row, values) for row in _WEIGHT[size]]


def output_rows(k: Body, size: int, values: Sequence[Value]) -> list[Value]:
    """Return A^T times the vectors of a row or column of a tile of products."""
    matrix = _output_matrix(size)
    sums, differences = [values[0]], [values[0]]
    for pair in range(1, size + 1, 2):
        sums.append(k.add(values[pair], values[pair + 1]))
        differences.append(k.sub(values[pair], values[pair + 1]))
    found = []
    for power in range(size):
        row = [matrix[power, 0], *matrix[power, 1 : size + 1 : 2], matrix[power, -1]]
        terms = differences if power % 2 else sums
        found.append(_sum(k, row, [*terms, values[-1]]))
    return found


def _sum(k: Body, factors: Sequence[float], values: Sequence[Value]) -> Value:
    """Return the sum of values times constants, with as few instructions as possible."""
    terms = [
        (float(factor), value) for factor, value in zip(factors, values, strict=True) if factor
    ]
    terms.sort(key=lambda each: each[0] != 1)
    factor, total = terms[0]
    if factor != 1:
        total = k.mul(k.const(factor), total)
    for factor, value in terms[1:]:
        if factor == 1:
            total = k.add(total, value)
        elif factor == -1:
            total = k.sub(total, value)
        else:
            total = k.fma(k.const(factor), value, total)
    return total
