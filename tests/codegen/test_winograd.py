"""Convolutions of 3x3 by Winograd's filtering."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnn.codegen.kernel import CONSTANT, Call
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import conv, winograd
from mnn.codegen.templates.convolution import Convolution
from mnn.codegen.templates.winograd_matrices import SIZES, transformed_weight
from tests.codegen.convolving import check, labels
from tests.codegen.imaging import RUNNABLE, channels_last, emit_all, result
from tests.codegen.running import filled

ONE = ((1, 1), (1, 1))


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tiles of this size are used wherever they can be."""
    chosen: int = request.param

    def always(problem: Convolution) -> int:
        return chosen

    monkeypatch.setattr(winograd, "best_size", always)
    return chosen


@pytest.mark.parametrize("target", RUNNABLE)
@pytest.mark.parametrize(
    ("shape", "outputs", "pads"),
    [
        ((1, 64, 14, 14), 64, ONE),
        ((2, 40, 13, 11), 72, ONE),
        ((1, 17, 7, 9), 33, ((0, 0), (2, 1))),
        ((1, 16, 3, 3), 16, ((0, 0), (0, 0))),
        ((1, 33, 56, 40), 48, ONE),
        ((3, 16, 30), 16, ((1, 1),)),
        ((2, 20, 3, 9, 8), 16, ((0, 0), (1, 1), (1, 1))),
    ],
)
def test_sizes_and_borders(
    target: str, size: int, shape: tuple[int, ...], outputs: int, pads: Any
) -> None:
    kernel = (3, 3) if len(shape) == 4 else (3,) if len(shape) == 3 else (1, 3, 3)
    for chunk, residual in ((0, False), (1, True)):
        calls = check(shape, kernel, outputs, target, pads=pads, chunk=chunk, residual=residual)
        assert len(shape) == 3 or f"winograd {size}" in labels(calls)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_shapes(data: st.DataObject) -> None:
    draw = data.draw
    pads = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2)]
    shape = (
        draw(st.integers(0, 3)),
        draw(st.integers(16, 50)),
        draw(st.integers(3, 20)),
        draw(st.integers(3, 20)),
    )
    calls = check(
        shape,
        (3, 3),
        draw(st.integers(16, 70)),
        draw(st.sampled_from(RUNNABLE)),
        pads=pads,
        bias=draw(st.booleans()),
        residual=draw(st.booleans()),
        chunk=draw(st.sampled_from([0, 1])),
    )
    assert not shape[0] or calls


@pytest.mark.parametrize("size", SIZES)
def test_weights_are_those_of_the_definition(size: int) -> None:
    """One tile, computed with the matrices alone, is the correlation."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((70, 5, 3, 3)).astype(np.float32)
    made = transformed_weight(weight, size)
    assert made.shape == ((size + 2) ** 2, 5, 70)
    # The corner position takes the corner tap alone, times the square of its factor.
    factor = {2: 1.0, 4: 0.25}[size] ** 2
    np.testing.assert_allclose(made[0], weight[:, :, 0, 0].T * factor, rtol=1e-6)
    np.testing.assert_allclose(made[-1], weight[:, :, 2, 2].T, rtol=1e-6)


def lowered(size: int, channels: int, target: str = "avx512") -> list[Call]:
    x = channels_last(np.zeros((1, channels, size, size), np.float32))
    weight = filled(np.zeros((channels, channels, 3, 3), np.float32), CONSTANT)
    return conv.lower(
        x,
        weight,
        result((1, channels, size, size)),
        TARGETS[target],
        bias=None,
        stride=(1, 1),
        dilation=(1, 1),
        pads=ONE,
        groups=1,
    )


def test_the_choice_weighs_arithmetic_against_weights() -> None:
    assert "winograd 4" in labels(lowered(56, 64))
    assert "winograd 4" in labels(lowered(28, 128))
    assert "winograd 2" in labels(lowered(14, 256))
    assert "winograd" not in labels(lowered(1, 512))


def test_emits_for_neon() -> None:
    assert emit_all(lowered(56, 64, "neon"), "neon") > 0
