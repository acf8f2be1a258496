"""Convolutions of neighbouring channels become one grouped convolution, and nothing else does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

import mnn
import mnn.expr as F  # noqa: N812
from mnn.config import config

Array = np.ndarray[Any, Any]


def _groups(x: Any, count: int, order: list[int], kernel: int = 3) -> Any:
    """Return a split, a convolution with ReLU for each part in `order`, and a concat."""
    rng = np.random.default_rng(3)
    parts = F.split(x, count, 1)
    width = x.shape[1] // count
    results = []
    for number in order:
        weight = rng.standard_normal((2, width, kernel, kernel)).astype(np.float32)
        bias = rng.standard_normal(2).astype(np.float32)
        made = F.conv2d(
            parts[number],
            F.const(weight, list(weight.shape)),
            F.const(bias, [2]),
            padding=(kernel // 2, kernel // 2),
            padding_mode=F.CAFFE,
        )
        results.append(F.relu(made))
    return F.concat(results, 1)


def _labels(graph: Any) -> str:
    return str(mnn.explain(graph))


@pytest.mark.parametrize(("order", "joined"), [([0, 1, 2, 3], True), ([1, 0, 2, 3], False)])
def test_parts_in_order_are_joined(order: list[int], joined: bool) -> None:
    data = np.random.default_rng(1).standard_normal((2, 12, 9, 7)).astype(np.float32)
    with config.using(lazy=True):
        x = F.placeholder([2, 12, 9, 7], F.NCHW)
        module = mnn.nn.load_module([x], [_groups(x, 4, order)], False)
    with config.using(backend="reference"):
        wanted = module(data).read()
    np.testing.assert_allclose(module(data).read(), wanted, rtol=1e-5, atol=1e-5)
    kernels = [line for line in _labels(module).splitlines() if "conv" in line]
    assert (len(kernels) == 1) == joined


def test_parts_of_two_sources_stay_apart() -> None:
    data = np.random.default_rng(1).standard_normal((1, 4, 5, 5)).astype(np.float32)
    with config.using(lazy=True):
        x = F.placeholder([1, 4, 5, 5], F.NCHW)
        y = x * 2.0
        one, two = _groups(x, 2, [0]), _groups(y, 2, [1])
        module = mnn.nn.load_module([x], [F.concat([one, two], 1)], False)
    with config.using(backend="reference"):
        wanted = module(data).read()
    np.testing.assert_allclose(module(data).read(), wanted, rtol=1e-5, atol=1e-5)
