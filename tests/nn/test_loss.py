"""Losses and their gradients equal PyTorch's recorded ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn
from mnn.errors import ShapeError
from mnn.expr.grad import gradients

RECORDED = Path(__file__).parent.parent / "data" / "training"
CASES: dict[str, str] = json.loads((RECORDED / "losses.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient(case: str) -> None:
    recorded = np.load(RECORDED / "losses.npz")
    F.lazy_eval(True)
    predicts, targets = (
        F.const(values, list(values.shape), F.NCHW, F.double)
        for values in (recorded[f"{case}.predicts"], recorded[f"{case}.targets"])
    )
    predicts.fix_as_trainable()
    loss = getattr(nn.loss, CASES[case])(predicts, targets)
    np.testing.assert_allclose(loss.read(), recorded[f"{case}.value"], rtol=1e-12)
    one = F.const([1.0], [], F.NCHW, F.double)
    (gradient,) = gradients([loss], [one], [predicts])
    assert gradient is not None
    np.testing.assert_allclose(gradient.read(), recorded[f"{case}.gradient"], rtol=1e-11)


@pytest.mark.parametrize("name", nn.loss.__all__)
def test_shapes_must_agree(name: str) -> None:
    with pytest.raises(ShapeError, match="expected equal shapes"):
        getattr(nn.loss, name)(np.ones((2, 3), np.float32), np.ones((2,), np.float32))
