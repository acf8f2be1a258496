"""Optimizers: the documented update rules, settings, and every way to hold them wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn, optim
from mnn.errors import DTypeError, GradientError, MnnError, SettingError, ShapeError

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


class Weight(nn.Module):
    """One parameter; the loss is its product with the gradient we want."""

    def __init__(self, *values: float, dtype: Any = F.float) -> None:
        super().__init__()
        self.w = F.const(list(values), [len(values)], F.NCHW, dtype)
        self.w.fix_as_trainable()

    def forward(self, gradient: Any) -> Any:
        return F.reduce_sum(self.w * np.asarray(gradient, self.w.dtype))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.linear(3, 5)
        self.second = nn.linear(5, 2)

    def forward(self, x: Any) -> Any:
        return self.second(F.tanh(self.first(x)))


# --- update rules --------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("settings", "steps", "wanted"),
    [
        ((0.1, 0.0), 1, [0.9, 1.9]),
        ((0.1, 0.0, 0.5, optim.L2), 1, [0.85, 1.8]),
        ((0.1, 0.0, 0.5, optim.L1), 1, [0.85, 1.85]),
        ((0.1, 0.0, 0.5, optim.L1L2), 1, [0.8, 1.75]),
        ((0.1, 0.9), 3, [0.439, 1.439]),
        ((0.0, 0.9, 0.5), 3, [1.0, 2.0]),
    ],
)
def test_sgd(settings: Any, steps: int, wanted: Any, lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Weight(1, 2)
    trainer = optim.SGD(net, *settings)
    for _ in range(steps):
        assert trainer.step(net([1, 1])) is True
    np.testing.assert_allclose(net.w.read(), wanted, rtol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_adam(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Weight(1, 2)
    assert optim.ADAM(net, 0.1, 0.9, 0.999, 0.0, 1.0).step(net([1, 5]))
    np.testing.assert_allclose(net.w.read(), [0.9969347, 1.9863473], rtol=1e-6)


def adam_in_numpy(w: Any, g: Any, steps: int, b1: float, b2: float, decay: float) -> Any:
    first, second = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, steps + 1):
        by = g + decay * w
        first, second = b1 * first + (1 - b1) * by, b2 * second + (1 - b2) * by * by
        w = w - 0.1 * np.sqrt(1 - b2**t) / (1 - b1**t) * first / (np.sqrt(second) + 1e-8)
    return w


@pytest.mark.parametrize(("b1", "b2", "decay"), [(0.9, 0.999, 0.0), (0.0, 0.0, 0.1), (0.5, 0.9, 1)])
def test_adam_in_double_precision(b1: float, b2: float, decay: float) -> None:
    net = Weight(1, -2, 3, dtype=F.double)
    trainer = optim.ADAM(net, 0.1, b1, b2, decay)
    for _ in range(20):
        trainer.step(net([1, 5, -2]))
    wanted = adam_in_numpy(np.array([1.0, -2, 3]), np.array([1.0, 5, -2]), 20, b1, b2, decay)
    np.testing.assert_allclose(net.w.read(), wanted, rtol=1e-12)


def test_single_and_double_precision_in_one_module() -> None:
    net = nn.Module()
    net.one, net.two = Weight(1, 2), Weight(1, 2, dtype=F.double)
    trainer = optim.ADAM(net, 0.1)
    for _ in range(3):
        assert trainer.step(net.one([1, 5]) + net.two([1, 5]))
    assert (net.one.w.dtype, net.two.w.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(net.one.w.read(), net.two.w.read(), rtol=1e-6)


# --- settings ------------------------------------------------------------------------------------


def test_settings_can_be_read_and_changed() -> None:
    net = Weight(1, 2)
    trainer = optim.SGD(net)
    assert (trainer.learning_rate, trainer.momentum, trainer.weight_decay) == (0.001, 0.9, 0.0)
    assert trainer.regularization_method is optim.L2
    adam = optim.ADAM(net)
    assert (adam.momentum, adam.momentum2, adam.eps) == (0.9, 0.999, 1e-8)
    trainer.momentum = 0
    for rate in (1, np.float64(0.5), F.const([0.25], [1]), np.array(0.25)):
        trainer.learning_rate = rate
        trainer.step(net([1, 1]))
    np.testing.assert_allclose(net.w.read(), [-1, 0])
    trainer.weight_decay, trainer.regularization_method = 1.0, 0
    trainer.step(net([0, 0]))
    np.testing.assert_allclose(net.w.read(), [-0.75, 0])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("learning_rate", float("nan"), SettingError),
        ("learning_rate", float("inf"), SettingError),
        ("learning_rate", -0.1, SettingError),
        ("learning_rate", "fast", DTypeError),
        ("learning_rate", None, DTypeError),
        ("learning_rate", [0.1, 0.2], DTypeError),
        ("momentum", 1.0, SettingError),
        ("momentum2", 1.5, SettingError),
        ("weight_decay", -1, SettingError),
        ("eps", -1, SettingError),
        ("regularization_method", 7, SettingError),
        ("regularization_method", "L2", SettingError),
    ],
)
def test_bad_settings(name: str, value: Any, error: type[MnnError]) -> None:
    net = Weight(1)
    trainer = optim.ADAM(net)
    with pytest.raises(error, match=f"optimizer: {name} is .*expected"):
        setattr(trainer, name, value)
    with pytest.raises(error, match=f"optimizer: {name} is .*expected"):
        optim.ADAM(net, **{name: value})


@pytest.mark.parametrize("make", [optim.SGD, optim.ADAM])
@pytest.mark.parametrize("module", [None, 3, [1, 2], X])
def test_an_optimizer_needs_a_module(make: Any, module: Any) -> None:
    with pytest.raises(DTypeError, match="expected the Module to train"):
        make(module)


# --- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_each_element_of_a_loss_counts(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Weight(1, 2)
    assert optim.SGD(net, 0.1, 0.0).step(net.w * 3.0)
    np.testing.assert_allclose(net.w.read(), [0.7, 1.7], rtol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_one_loss_can_be_stepped_twice(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Weight(1, 2)
    trainer = optim.SGD(net, 0.1, 0.0)
    loss = F.reduce_sum(F.square(net.w))
    assert trainer.step(loss)
    np.testing.assert_allclose(net.w.read(), [0.8, 1.6], rtol=1e-6)
    assert trainer.step(loss)
    np.testing.assert_allclose(net.w.read(), [0.64, 1.28], rtol=1e-6)
    if lazy:
        np.testing.assert_allclose(loss.read(), 0.64**2 + 1.28**2, rtol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_nothing_is_trained_in_evaluation_mode(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Weight(1, 2)
    trainer = optim.ADAM(net, 0.1)
    net.train(False)
    assert trainer.step(net([1, 5])) is False
    np.testing.assert_array_equal(net.w.read(), [1, 2])
    net.train(True)
    assert trainer.step(net([1, 5])) is True
    np.testing.assert_allclose(net.w.read(), [0.9, 1.9], rtol=1e-5)


@pytest.mark.parametrize("lazy", [False, True])
def test_losses_that_lead_nowhere(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net, other = Weight(1, 2), Weight(3)
    trainer = optim.SGD(net, 0.1)
    lost = [
        (F.const([1.0], [1]), "does not depend on any parameter"),
        (other([1]), "does not depend on any parameter"),
        (F.const(net([1, 1]).read(), []), "without converting it to NumPy"),
        (F.cast(net([1, 1]), F.int), r"the loss \(int32\) does not depend"),
    ]
    for loss, message in lost:
        with pytest.raises(GradientError, match=message):
            trainer.step(loss)
    for loss in (None, 3.0, X, [net([1, 1])]):
        with pytest.raises(DTypeError, match="expected the loss as a Var"):
            trainer.step(loss)  # type: ignore[arg-type]
    np.testing.assert_array_equal(net.w.read(), [1, 2])


def test_a_module_without_parameters() -> None:
    with pytest.raises(GradientError, match="dropout has no parameters to train"):
        optim.SGD(nn.dropout(0.5)).step(F.const([1.0], [1]))


@pytest.mark.parametrize("lazy", [False, True])
def test_an_operator_without_gradient_is_named(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Weight(1, 2, 3, 4)
    u, _, _ = F.svd(F.reshape(net.w, [2, 2]))
    with pytest.raises(GradientError, match=r"svd has no gradient rule.*fix_as_const"):
        optim.SGD(net).step(F.reduce_sum(u))
    np.testing.assert_array_equal(net.w.read(), [1, 2, 3, 4])


@pytest.mark.parametrize("lazy", [False, True])
def test_a_loss_that_cannot_be_computed_changes_nothing(lazy: bool) -> None:
    F.lazy_eval(True)
    net = Weight(1, 2)
    place = F.placeholder([2], F.NCHW)
    trainer = optim.ADAM(net, 0.1)
    with pytest.raises(MnnError, match="no value yet"):
        trainer.step(F.reduce_sum(net.w * place))
    F.lazy_eval(lazy)
    assert trainer.step(net([1, 5]))
    np.testing.assert_allclose(net.w.read(), [0.9, 1.9], rtol=1e-5)


# --- shared parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("make", [optim.SGD, optim.ADAM])
def test_shared_parameters_are_updated_once(make: Any, lazy: bool) -> None:
    F.lazy_eval(lazy)
    alone, shared = Weight(1, 2), nn.Module()
    shared.a, shared.b = Weight(1, 2), Weight(7, 7)
    shared.b.w = shared.a.w
    shared.c = shared.a
    one, two = make(alone, 0.1), make(shared, 0.1)
    for _ in range(3):
        one.step(alone([2, 6]))
        two.step(shared.a([1, 1]) + shared.b([1, 5]))
    np.testing.assert_allclose(shared.b.w.read(), alone.w.read(), rtol=1e-6)


def test_what_is_remembered_follows_the_parameters() -> None:
    net = Net()
    trainer = optim.ADAM(net, 0.1)
    for width in (5, 6, 7):
        net.first, net.second = nn.linear(3, width), nn.linear(width, 2)
        assert trainer.step(F.reduce_sum(net(X)))
    assert len(trainer._slots) == len(net.parameters)


# --- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_grad(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net, other = Weight(1, 2), Weight(3)
    y = net.w * np.array([2, 3], np.float32)
    for trainer in (optim.Grad(), optim.SGD(net)):
        params, grads = trainer.grad([y], [F.const([1.0, 1.0], [2])], [other.w, net.w])
        assert params[0] is net.w
        assert len(params) == len(grads) == 1
        np.testing.assert_array_equal(grads[0].read(), [2, 3])
    assert optim.Grad().grad([], [], []) == ([], [])


def test_bad_gradients() -> None:
    net = Weight(1, 2)
    y, one = net.w * 2.0, F.const([1.0, 1.0], [2])
    for arguments in ((None, [one], [net.w]), ([y], [1.0], [net.w]), ([y], [one], None)):
        with pytest.raises(DTypeError, match="expected a list of Vars"):
            optim.Grad().grad(*arguments)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="seed has shape"):
        optim.Grad().grad([y], [F.const([1.0], [1])], [net.w])
    with pytest.raises(ValueError, match="expected equal numbers"):
        optim.Grad().grad([y, y], [one], [net.w])
    for trainer in (optim.Grad(), optim.Optimizer()):
        with pytest.raises(GradientError, match="has no module to train"):
            trainer.step(y)
    with pytest.raises(MnnError, match="only computes gradients"):
        optim.Optimizer(net).step(y)


# --- training graphs -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [optim.SGD, optim.ADAM])
def test_a_saved_training_step_trains_like_the_optimizer(make: Any, tmp_path: Path) -> None:
    F.lazy_eval(True)
    net = Net()
    twin = net.clone()
    trainer = make(net, 0.05, 0.8, weight_decay=0.1)
    x, t, rate = (F.placeholder(list(shape), F.NCHW) for shape in ((4, 3), (4, 2), ()))
    x.name, t.name, rate.name = "x", "t", "rate"
    loss = nn.loss.mse(net(x), t)
    loss.name = "loss"
    params, grads = trainer.grad([loss], [F.const(1.0, [])], net.parameters)
    stored, following = trainer.get_update_graph(params, grads, [rate])
    path = tmp_path / "train.mnn"
    assert trainer.save_graph(path, [loss], stored, following)

    names = [each.name for each in stored]
    assert len(set(names)) == len(names) > len(params)
    module = nn.load_module_from_file(
        path, ["x", "t", "rate", *names], ["loss", *(each.name for each in following)]
    )
    F.lazy_eval(False)
    other = make(twin, 0.05, 0.8, weight_decay=0.1)
    values = [each.read().copy() for each in stored]
    target = np.ones((4, 2), np.float32)
    for _ in range(10):
        loss_found, *news = module.onForward([X, target, np.float32(0.05), *values])
        loss_wanted = nn.loss.mse(twin(X), F.const(target, [4, 2]))
        np.testing.assert_allclose(loss_found.read(), loss_wanted.read(), rtol=1e-5)
        other.step(loss_wanted)
        values = [each.read() for each in news]
    found = dict(zip(names, values, strict=True))
    for mine, theirs in zip(net.parameters, twin.parameters, strict=True):
        np.testing.assert_allclose(found[mine.name], theirs.read(), rtol=1e-4, atol=1e-6)


def test_bad_training_graphs(tmp_path: Path) -> None:
    F.lazy_eval(True)
    net = Weight(1, 2)
    trainer = optim.SGD(net)
    loss = net([1, 1])
    params, grads = trainer.grad([loss], [F.const(1.0, [])], net.parameters)
    rate = F.const(0.1, [])
    with pytest.raises(ValueError, match="expected equal numbers"):
        trainer.get_update_graph(params, [], [rate])
    with pytest.raises(ShapeError, match="3 learning rates for 1 parameters"):
        trainer.get_update_graph(params, grads, [rate] * 3)
    with pytest.raises(ShapeError, match="learning rate has several elements"):
        trainer.get_update_graph(params, grads, [F.const([0.1, 0.1], [2])])
    with pytest.raises(DTypeError, match="expected a list of Vars"):
        trainer.get_update_graph(params, grads, 0.1)  # type: ignore[arg-type]
    with pytest.raises(GradientError, match="computed, not stored"):
        trainer.get_update_graph([loss], grads, [rate])
    stored, following = trainer.get_update_graph(params, grads, [rate])
    for arguments in (([loss], stored, []), ([loss], [], [])):
        with pytest.raises(MnnError, match=r"save_graph: found"):
            trainer.save_graph(tmp_path / "x.mnn", *arguments)
    assert not list(tmp_path.iterdir())
    assert trainer.save_graph(tmp_path / "x.mnn", [loss], stored, following)
