"""Every promised name of `mnn.nn`, `mnn.optim` and `mnn.data` is there and takes its arguments.

What the functions compute is tested beside their modules.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from mnn import data, nn, optim
from mnn import expr as F  # noqa: N812
from mnn.errors import UnsupportedError
from tests.promises import Promise, compatible, promised

MODULES = ("mnn.nn", "mnn.nn.loss", "mnn.nn.compress", "mnn.optim", "mnn.data")
NAMES = [
    pytest.param(module, name, promise, id=f"{module}.{name}")
    for module in MODULES
    for name, promise in promised(module).items()
]


@pytest.mark.parametrize(("module", "name", "promise"), NAMES)
def test_name(module: str, name: str, promise: Promise) -> None:
    found: Any = importlib.import_module(module)
    names = {**vars(F), **vars(found)}
    for part in name.split("."):
        found = getattr(found, part)
    if promise.signature:
        skip = 1 if promise.kind == "method" else 0
        assert compatible(found, promise.signature, names, skip) == []
    if promise.kind == "constant" and promise.value is not None:
        assert found.value == promise.value


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("mse", 0.02), ("mae", 0.2), ("cross_entropy", 0.105361), ("hinge", 1.1)],
)
def test_losses_of_the_reference_package(name: str, wanted: float) -> None:
    predicts, targets = F.const([0.1, 0.9], [1, 2]), F.const([0.0, 1.0], [1, 2])
    assert float(getattr(nn.loss, name)(predicts, targets)) == pytest.approx(wanted, abs=1e-6)


def test_divergence_of_the_reference_package() -> None:
    predicts, targets = F.const([0.1, 0.9], [1, 2]), F.const([0.2, 0.8], [1, 2])
    assert float(nn.loss.kl(predicts, targets)) == pytest.approx(0.036690, abs=1e-6)


def test_placeholder_modules() -> None:
    assert isinstance(nn.dummy, nn.EmptyModule)
    assert nn.dummy.forward() is None
    assert nn.EmptyModule().parameters == []


def test_training_with_quantisation_says_that_it_is_missing() -> None:
    with pytest.raises(UnsupportedError, match="not available yet"):
        nn.compress.train_quant(nn.linear(2, 2))
    assert list(map(int, nn.compress.Feature_Scale_Method)) == [0, 1]
    assert list(map(int, nn.compress.Scale_Update_Method)) == [0, 1]


@pytest.mark.parametrize("make", [optim.SGD, optim.ADAM])
def test_the_shape_of_the_reference_package_s_loop(make: Any) -> None:
    class Pairs(data.Dataset):
        def __getitem__(self, index: int) -> Any:
            x = np.array([index % 2, index // 2], np.float32)
            return [F.const(x, [2])], [F.const([float(x[0])], [1])]

        def __len__(self) -> int:
            return 4

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.linear(2, 1)

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    F.lazy_eval(True)
    nn.set_seed(0)
    net, loader = Line(), data.DataLoader(Pairs(), 2, True)
    optimizer = make(net, 0.05)
    assert (loader.iter_number, loader.size) == (2, 4)
    losses = []
    net.train(True)
    for _ in range(150):
        loader.reset()
        for _ in range(loader.iter_number):
            (x,), (y,) = loader.next()
            loss = nn.loss.mse(net.forward(x), y)
            assert optimizer.step(loss)
            losses.append(float(loss))
    assert losses[-1] < 0.02 < losses[0]
