"""`nn.Module`: registration, order of parameters, training mode, copies, and clear errors."""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn, optim
from mnn.errors import DTypeError, GraphError, ShapeError

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.linear(3, 5)
        self.second = nn.linear(5, 2)
        self.offset = F.const([0.5], [1])

    def forward(self, x: Any) -> Any:
        return self.second(F.relu(self.first(x))) + self.offset


def names(module: nn.Module) -> list[Any]:
    return [each.shape for each in module.parameters]


# --- what is registered --------------------------------------------------------------------------


def test_own_parameters_come_first_then_the_children_in_reverse() -> None:
    net = Net()
    assert names(net) == [[1], [1, 2], [2, 5], [1, 5], [5, 3]]
    assert net.parameters[0] is net.offset
    assert net.first.name == "first"
    assert repr(net) == "Net(first=linear(), second=linear())"


def test_assigning_again_replaces_and_deleting_removes() -> None:
    net = Net()
    net.second = nn.linear(5, 7)
    assert names(net) == [[1], [1, 7], [7, 5], [1, 5], [5, 3]]
    del net.offset
    net.first = None
    assert names(net) == [[1, 7], [7, 5]]
    net.second.bias = 3
    assert names(net) == [[7, 5]]


def test_children_without_attributes() -> None:
    net = nn.Module()
    net._register_submodules([nn.linear(1, 2), nn.linear(2, 3)])
    assert net._add_parameter(F.const([1.0], [1])) == 0
    assert names(net) == [[1], [1, 3], [3, 2], [1, 2], [2, 1]]


def test_super_init_may_be_forgotten_or_come_late() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.linear(2, 2)
            super().__init__()

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    class Never(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.linear(2, 2)

    for kind in (Late, Never):
        net = kind()
        assert len(net.parameters) == 2
        net.train(False)
        assert not net.layer.is_training
    assert Late()(X[:, :2]).shape == (4, 2)


def test_shared_layers_and_parameters_are_listed_once() -> None:
    net = Net()
    net.second = nn.linear(3, 5)
    net.second.weight = net.first.weight
    net.again = net.first
    assert names(net) == [[1], [1, 5], [5, 3], [1, 5]]
    twin = net.clone()
    assert names(twin) == names(net)
    assert twin.again is twin.first
    assert twin.first.weight is twin.second.weight is not net.first.weight


def test_a_module_cannot_contain_itself() -> None:
    net = Net()
    with pytest.raises(GraphError, match=r"Net.me: the module would contain itself"):
        net.me = net
    with pytest.raises(GraphError, match="would contain itself"):
        net.first.parent = net
    assert len(net.parameters) == 5


def test_deeply_shared_layers_take_no_exponential_time() -> None:
    net: nn.Module = nn.linear(1, 1)
    for _ in range(60):
        outer = nn.Module()
        outer.left = outer.right = net
        net = outer
    assert len(net.parameters) == 2
    assert len(net.clone().parameters) == 2
    net.train(False)


# --- calling -------------------------------------------------------------------------------------


def test_calling_is_forward() -> None:
    net = Net()
    np.testing.assert_array_equal(net(X).read(), net.forward(X).read())
    (listed,) = net.onForward([X])
    np.testing.assert_array_equal(listed.read(), net(X).read())


def test_forward_must_be_defined() -> None:
    class Nothing(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing.forward is not defined. Define"):
        Nothing()(X)
    assert nn.dummy.forward() is None
    assert nn.EmptyModule()(X) is None


@pytest.mark.parametrize("lazy", [False, True])
def test_wrong_calls_raise(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Net()
    for arguments in ((), (X, X)):
        with pytest.raises(TypeError, match="forward"):
            net(*arguments)
    for value in (None, "text", {}, object()):
        with pytest.raises(DTypeError, match="expected a Var, array, number"):
            net(value)
    with pytest.raises(ShapeError, match="2 columns meet 3 rows"):
        net(X[:, :2])
    with pytest.raises(DTypeError, match="onForward: found Var, expected a list of inputs"):
        net.onForward(F.const(X, [4, 3]))  # type: ignore[arg-type]


def test_only_loaded_modules_have_info() -> None:
    with pytest.raises(TypeError, match="Use load_module_from_file"):
        Net().get_info()


@pytest.mark.parametrize("lazy", [False, True])
def test_results_outlive_their_network(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Net()
    expected = net(X).read()
    result = net(X)
    del net
    gc.collect()
    np.testing.assert_array_equal(result.read(), expected)


# --- copies --------------------------------------------------------------------------------------


def pickled(module: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(module))


LAYERS = [
    (lambda: nn.linear(3, 2), X),
    (lambda: nn.conv(2, 4, 3), np.ones((1, 2, 4, 4), np.float32)),
    (lambda: nn.batch_norm(3, 2), X),
    (lambda: nn.dropout(0.5), X),
]


@pytest.mark.parametrize("copied", [nn.Module.clone, copy.deepcopy, pickled])
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("make", "x"), LAYERS)
def test_layers_can_be_copied(make: Any, x: Any, lazy: bool, copied: Any) -> None:
    F.lazy_eval(lazy)
    layer = make()
    if layer.parameters:
        layer(x)
    twin = copied(layer)
    assert type(twin) is type(layer)
    layer.train(False)
    twin.train(False)
    before = layer(x).read()
    np.testing.assert_array_equal(twin(x).read(), before)
    for each in twin.parameters:
        each.write(each.read() * 0 + 3)
    np.testing.assert_array_equal(layer(x).read(), before)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_clone_trains_alone(lazy: bool) -> None:
    F.lazy_eval(lazy)
    net = Net()
    twin = net.clone()
    before = [each.read().copy() for each in net.parameters]
    for _ in range(3):
        optim.SGD(twin, 0.1).step(F.reduce_sum(twin(X)))
    for mine, kept in zip(net.parameters, before, strict=True):
        np.testing.assert_array_equal(mine.read(), kept)
    assert (net.second.bias.read() != twin.second.bias.read()).all()


# --- saved parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_parameters_are_saved_and_loaded(lazy: bool, tmp_path: Path) -> None:
    F.lazy_eval(lazy)
    net, other = Net(), Net()
    F.save(net.parameters, str(tmp_path / "snapshot.mnn"))
    assert other.load_parameters(F.load_as_list(str(tmp_path / "snapshot.mnn")))
    np.testing.assert_array_equal(other(X).read(), net(X).read())
    assert other.load_parameters([each.read().astype(np.float64) for each in net.parameters])
    np.testing.assert_array_equal(other(X).read(), net(X).read())


def test_parameters_that_do_not_fit_change_nothing() -> None:
    net = Net()
    values = [each.read().copy() for each in net.parameters]
    bad = [
        ([], ShapeError, "found 0 values for 5 parameters"),
        (values[::-1], ShapeError, "value 0 has shape"),
        ([*values[:-1], values[-1].astype(complex)], DTypeError, "found complex64|complex128"),
        (None, DTypeError, "expected a list of Vars"),
        ("abcde", DTypeError, "expected a list of Vars"),
        ([None] * 5, DTypeError, "found NoneType"),
        ([7 * each for each in values[:-1]] + [1], ShapeError, "value 4 has shape"),
    ]
    for given, error, message in bad:
        with pytest.raises(error, match=message):
            net.load_parameters(given)
        for parameter, value in zip(net.parameters, values, strict=True):
            np.testing.assert_array_equal(parameter.read(), value)
