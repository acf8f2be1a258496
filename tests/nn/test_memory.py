"""Long loops and threads: results stay right, and nothing is left behind."""

from __future__ import annotations

import gc
import resource
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnn.expr as F  # noqa: N812
from mnn import nn, optim
from mnn.expr import node as graph
from mnn.expr.var import live_vars

MIB = 1 << 20
CNN = Path(__file__).parent.parent / "data" / "models" / "cnn_bn.mnn"


def resident() -> int:
    """Return the bytes of this process that are in memory now, or its peak where unknown."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def flat(turn: Callable[[int], None], turns: int, *, warm_up: int = 200) -> None:
    """Run `turn` so many times and require that memory, Vars and nodes do not grow."""
    for number in range(warm_up):
        turn(number)
    gc.collect()
    held = resident(), len(live_vars()), graph.interned_count()
    tracemalloc.start()
    try:
        turn(0)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        traced = turns // 10
        for number in range(traced):
            turn(number)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # A leak of one small object per turn is more than this bound in a tenth of the turns.
    assert grown < MIB // 10
    for number in range(turns - traced):
        turn(number)
    gc.collect()
    assert len(live_vars()) <= held[1] + 5
    assert graph.interned_count() <= held[2] + 20
    # Allocators keep some of what was freed; what a loop keeps would be many times this.
    assert resident() - held[0] < MIB


def tiny() -> nn.LoadedModule:
    """Return a module with a recorded graph of a few operations."""
    F.lazy_eval(True)
    x = F.placeholder([1, 4], F.NCHW)
    weight = F.const(np.arange(16, dtype=np.float32).reshape(4, 4), [4, 4])
    y = F.relu(F.matmul(x, weight) - 10.0)
    F.lazy_eval(False)
    return nn.load_module([x], [y], False)


def tiny_result(x: Any) -> Any:
    weight = np.arange(16, dtype=np.float32).reshape(4, 4)
    return np.maximum(x @ weight - 10, 0)


@pytest.mark.parametrize("lazy", [False, True])
def test_ten_thousand_evaluations_of_a_module(lazy: bool) -> None:
    module = tiny()
    F.lazy_eval(lazy)

    def turn(number: int) -> None:
        x = np.full((1, 4), number % 7, np.float32)
        assert (np.asarray(module(x)) == tiny_result(x)).all()

    flat(turn, 10_000)


@pytest.mark.parametrize("lazy", [False, True])
def test_ten_thousand_small_expressions(lazy: bool) -> None:
    F.lazy_eval(lazy)
    a = F.const([1.0, 2.0, 3.0], [3])

    def turn(number: int) -> None:
        b = a * float(number % 5) + 1.0
        assert F.reduce_sum(b[1:] - b[:2]).read() == 2 * (number % 5)

    flat(turn, 10_000)


@pytest.mark.parametrize("mode", [0, 1])
def test_ten_thousand_writes_and_reads_of_a_placeholder(mode: int) -> None:
    F.lazy_eval(True)
    F.set_lazy_mode(mode)
    x = F.placeholder([3], F.NCHW)
    y = F.reduce_sum(F.square(x) + 1.0)

    def turn(number: int) -> None:
        x.write([number % 9] * 3)
        assert y.read() == 3 * ((number % 9) ** 2 + 1)

    flat(turn, 10_000)


def test_a_placeholder_that_changes_its_size() -> None:
    F.lazy_eval(True)
    x = F.placeholder([-1, 2], F.NCHW)
    y = F.reduce_sum(x * 2.0)

    def turn(number: int) -> None:
        x.resize([number % 4 + 1, 2])
        x.write(np.ones((number % 4 + 1, 2), np.float32))
        assert y.read() == 4 * (number % 4 + 1)

    flat(turn, 1_000)


def small_network() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.batch_norm(4, 2)
            self.drop = nn.dropout(0.1)
            self.full = nn.linear(4, 2, bias=False)

        def forward(self, x: Any) -> Any:
            return self.full(self.drop(self.norm(x)))

    return Net()


@pytest.mark.parametrize(("lazy", "make"), [(False, optim.ADAM), (True, optim.SGD)])
def test_two_thousand_training_steps(make: Any, lazy: bool) -> None:
    F.lazy_eval(lazy)
    nn.set_seed(1)
    net = small_network()
    trainer = make(net, 0.01)
    data = np.random.default_rng(2).standard_normal((8, 4)).astype(np.float32)
    target = data[:, :2] * 0.5
    losses = []

    def turn(number: int) -> None:
        loss = nn.loss.mse(net(F.const(data, [8, 4])), F.const(target, [8, 2]))
        assert trainer.step(loss)
        if number % 100 == 0:
            losses[10:] = [float(loss)]

    flat(turn, 2_000)
    assert losses[-1] < 0.5 * losses[0]


def test_a_thousand_steps_on_one_recorded_graph() -> None:
    F.lazy_eval(True)
    nn.set_seed(1)
    net = small_network()
    trainer = optim.ADAM(net, 0.01)
    x, t = F.placeholder([8, 4], F.NCHW), F.placeholder([8, 2], F.NCHW)
    loss = nn.loss.mse(net(x), t)
    data = np.random.default_rng(2).standard_normal((8, 4)).astype(np.float32)
    x.write(data)
    t.write(data[:, :2] * 0.5)
    first = float(loss)

    def turn(number: int) -> None:
        x.write(data)
        assert trainer.step(loss)

    flat(turn, 1_000)
    assert float(loss) < 0.5 * first


def test_lazy_forward_passes_without_steps() -> None:
    """Statistics that follow each batch must not chain the batches together."""
    F.lazy_eval(True)
    net = small_network()
    data = np.ones((8, 4), np.float32)
    flat(lambda number: np.asarray(net(data)).sum(), 1_000)


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cloned", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_eight_threads(cloned: bool, lazy: bool) -> None:
    module = tiny()
    F.lazy_eval(lazy)
    together = threading.Barrier(8)

    def work(seed: int) -> int:
        mine = module.clone() if cloned else module
        random = np.random.default_rng(seed)
        together.wait()
        for _ in range(100):
            x = random.standard_normal((1, 4)).astype(np.float32) * 10
            assert np.abs(np.asarray(mine(x)) - tiny_result(x)).max() < 1e-3
        return seed

    with ThreadPoolExecutor(8) as pool:

        def turn(number: int) -> None:
            assert sorted(pool.map(work, range(8))) == list(range(8))

        flat(turn, 4, warm_up=2)


def test_eight_threads_on_a_network_from_a_file() -> None:
    module = nn.load_module_from_file(CNN, [], [])
    random = np.random.default_rng(3)
    pictures = random.standard_normal((8, 1, 3, 16, 16)).astype(np.float32)
    wanted = [module(each).read() for each in pictures]
    clones = [module.clone() for _ in pictures]
    together = threading.Barrier(8)

    def work(index: int) -> None:
        together.wait()
        for turn in range(20):
            net = clones[index] if turn % 2 else module
            np.testing.assert_array_equal(net(pictures[index]).read(), wanted[index])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_eight_threads_build_graphs_of_their_own() -> None:
    F.lazy_eval(True)
    shared = F.const([1.0, 2.0], [2])
    together = threading.Barrier(8)

    def work(index: int) -> None:
        together.wait()
        place = F.placeholder([2], F.NCHW)
        total = F.reduce_sum(place * shared)
        for number in range(200):
            place.write([index, number])
            assert total.read() == index + 2 * number
            assert F.reduce_sum(shared * float(number)).read() == 3 * number

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_eight_threads_train_networks_of_their_own() -> None:
    target = np.ones((4, 2), np.float32)

    def work(index: int) -> list[float]:
        generator = np.random.default_rng(index)
        net = nn.linear(3, 2)
        net.weight.write(generator.standard_normal((2, 3)).astype(np.float32))
        trainer = optim.SGD(net, 0.05)
        x = generator.standard_normal((4, 3)).astype(np.float32)
        losses = []
        for _ in range(30):
            loss = nn.loss.mse(net(x), target)
            losses.append(float(loss))
            trainer.step(loss)
        return losses

    for lazy in (False, True):
        F.lazy_eval(lazy)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(work, range(8)))
        np.testing.assert_allclose(found, [work(index) for index in range(8)], rtol=1e-6)
        assert all(each[-1] < each[0] for each in found)
