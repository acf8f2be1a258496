"""Finite differences, shared by the gradient tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, Any]


@pytest.fixture
def assert_gradient() -> Callable[[Callable[..., Array], list[Array], list[Array], Array], None]:
    """Return a check of gradients: (function, inputs, gradients found, seed at the result)."""

    def check(
        function: Callable[..., Array], inputs: list[Array], found: list[Array], seed: Array
    ) -> None:
        step = 1e-6
        for number, (x, grad) in enumerate(zip(inputs, found, strict=True)):
            assert x.dtype == np.float64
            assert grad.shape == x.shape
            expected = np.zeros_like(x)
            for place in np.ndindex(x.shape):
                values = []
                for sign in (1, -1):
                    moved = [each.copy() for each in inputs]
                    moved[number][place] += sign * step
                    values.append((function(*moved) * seed).sum())
                expected[place] = (values[0] - values[1]) / (2 * step)
            # The truncation error of central differences is about step^2, rounding 1e-16 / step.
            np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-7)

    return check
