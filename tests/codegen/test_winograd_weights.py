"""Transformed weights: those of a kernel are those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from mnn.codegen.emission import emit
from mnn.codegen.kernel import CONSTANT
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import winograd_weights
from mnn.codegen.templates.packing import Panels
from mnn.codegen.templates.winograd_matrices import SIZES, transformed_weight
from mnn.codegen.templates.winograd_weights import WinogradWeightsKernel
from tests.codegen.imaging import RUNNABLE
from tests.codegen.running import filled


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("outputs", "inputs", "vectors", "order"),
    [
        (64, 32, 2, None),
        (16, 1, 1, None),
        (40, 5, 2, None),
        (70, 17, 3, None),
        (33, 64, 4, None),
        (3, 5, 2, None),
        (40, 6, 2, (0, 2, 1, 3, 4, 5)),
        (40, 6, 2, (0, 3, 4, 5, 2, 1)),
    ],
)
def test_a_kernel_transforms_as_numpy(target, size, outputs, inputs, vectors, order):
    rng = np.random.default_rng(0)
    value = rng.standard_normal((1, outputs, inputs, 1, 3, 3)).astype(np.float32)
    weight = filled(value, CONSTANT, order)
    panels = Panels((size + 2) ** 2 * inputs, outputs, vectors, TARGETS[target].lanes)
    made = winograd_weights.lower(weight, panels, size, TARGETS[target])
    plain = transformed_weight(value.reshape(outputs, inputs, 3, 3), size)
    expected = np.empty(panels.bytes // 4, np.float32)
    panels.fill(expected, plain.reshape(-1, outputs))
    found = made.array.reshape(-1).view(np.float32)
    # Sums in another order: float64 may round to the neighbouring float32.
    np.testing.assert_allclose(found, expected, rtol=1.3e-7, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_has_code(target):
    for size in SIZES:
        text = WinogradWeightsKernel(size, 2, 1, target.lanes).build(target).text()
        code = emit(text, triple=target.triple, cpu=target.cpu, features=target.features)
        assert code
