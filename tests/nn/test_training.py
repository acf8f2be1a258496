"""Training follows PyTorch's recorded runs: losses, weights and gradients of 50 steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn, optim
from mnn.errors import GradientError

RECORDED = Path(__file__).parent.parent / "data" / "training"
# Chosen with the recordings: their README says what rounding alone does.
BOUND = {"float32": 1e-4, "float64": 1e-9}


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.conv(1, 4, [5, 5])
        self.conv2 = nn.conv(4, 8, [5, 5])
        self.linear1 = nn.linear(128, 32)
        self.linear2 = nn.linear(32, 10)

    def forward(self, x: Any) -> Any:
        x = F.max_pool(F.relu(self.conv1(x)), [2, 2], [2, 2])
        x = F.max_pool(F.relu(self.conv2(x)), [2, 2], [2, 2])
        x = F.reshape(F.convert(x, F.NCHW), [0, -1])
        return F.softmax(self.linear2(F.relu(self.linear1(x))), 1)


class BatchNormCnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        same = {"padding": [1, 1], "bias": False, "padding_mode": F.CAFFE}
        self.conv1 = nn.conv(3, 6, [3, 3], **same)
        self.norm1 = nn.batch_norm(6, 4, 0.9, 1e-5)
        self.conv2 = nn.conv(6, 8, [3, 3], stride=[2, 2], **same)
        self.norm2 = nn.batch_norm(8, 4, 0.9, 1e-5)
        self.linear = nn.linear(8, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.norm1(self.conv1(x)))
        x = F.relu(self.norm2(self.conv2(x)))
        return F.softmax(self.linear(F.reduce_mean(x, [2, 3])), 1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"lenet": LeNet, "batch_norm_cnn": BatchNormCnn}


def apart(found: Any, expected: Any) -> float:
    """Return the largest difference relative to the largest magnitude expected."""
    expected = np.asarray(expected).ravel()
    return float(np.abs(np.asarray(found).ravel() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_steps(name: str, optimizer: str, precision: str) -> None:
    recorded = np.load(RECORDED / f"{name}.npz")
    settings = json.loads((RECORDED / f"{name}.json").read_text())

    def var(array: Any) -> Any:
        array = np.ascontiguousarray(array).astype(precision)
        kind = F.double if precision == "float64" else F.float
        return F.const(array, list(array.shape), F.NCHW, kind)

    F.lazy_eval(True)
    net = NETWORKS[name]()
    order = settings["parameter_order"]
    for title, parameter in zip(order, net.parameters, strict=True):
        value = var(recorded[f"initial.{title}"].reshape(parameter.shape))
        if "running" not in title:
            value.fix_as_trainable()
        parameter.replace(value)

    values = settings["optimizers"][optimizer]
    rate, momentum, decay = (values[key] for key in ("learning_rate", "momentum", "weight_decay"))
    if optimizer == "sgd":
        trainer: optim.Optimizer = optim.SGD(net, rate, momentum, decay)
    else:
        trainer = optim.ADAM(net, rate, momentum, values["momentum2"], decay, values["eps"])
    net.train(True)
    losses = []
    for step in range(settings["steps"]):
        inputs, targets = (var(recorded[key][step % 5]) for key in ("inputs", "targets"))
        loss = nn.loss.cross_entropy(net.forward(inputs), targets)
        losses.append(float(loss.read()))
        assert trainer.step(loss)

    bound, prefix = BOUND[precision], f"{optimizer}.{precision}"
    assert apart(losses, recorded[f"{prefix}.loss"]) < bound
    for title, parameter in zip(order, net.parameters, strict=True):
        assert parameter.dtype == precision
        assert apart(parameter.read(), recorded[f"{prefix}.final.{title}"]) < bound, title
    net.train(False)
    probability = net.forward(var(recorded["inputs"][0]))
    assert apart(probability.read(), recorded[f"{prefix}.probability"]) < bound


def test_a_loss_from_elsewhere_is_refused() -> None:
    net = nn.linear(2, 3)
    with pytest.raises(GradientError, match="does not depend on any parameter"):
        optim.SGD(net, 0.1).step(F.const([1.0], [1], F.NCHW))


def test_an_optimizer_needs_a_module() -> None:
    with pytest.raises(TypeError, match="expected the Module to train"):
        optim.SGD([1, 2], 0.1)  # type: ignore[arg-type]
