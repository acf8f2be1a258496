"""Constants of loaded modules are built into the plans of graphs that call them, until written."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

import mnn.expr as F  # noqa: N812
from mnn import nn
from mnn import numpy as namespace
from mnn.backends import segments, structures
from mnn.backends.compiled import CompiledBackend
from mnn.compile.pipeline import compile_nodes
from mnn.config import config
from mnn.expr import evaluate
from mnn.expr.graph import Graph
from mnn.expr.node import Ref
from mnn.expr.var import Var, capture

ROWS, SIZE = 3, 160
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompiledBackend]:
    """A backend of this test's own, in lazy mode."""
    made = CompiledBackend()
    monkeypatch.setitem(evaluate._executors, config.backend, made)
    with config.using(lazy=True):
        yield made


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """For each plan made: how many arguments it has, and how many constants."""
    seen: list[tuple[int, int]] = []
    inner = compile_nodes

    def spy(
        nodes: Any,
        outputs: Any,
        arguments: Any,
        signature: Any,
        constants: Any,
        *rest: Any,
        **more: Any,
    ) -> Any:
        seen.append((len(arguments), len(constants)))
        return inner(nodes, outputs, arguments, signature, constants, *rest, **more)

    monkeypatch.setattr(segments, "compile_nodes", spy)
    return seen


def weight(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)


def module_of(weights: Var) -> nn.LoadedModule:
    x = F.placeholder([ROWS, SIZE], F.NCHW)
    return nn.load_module([x], [namespace.matmul(x, weights)], False)


def picture(seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((ROWS, SIZE)).astype(np.float32)


def called(module: nn.LoadedModule, data: Array) -> Array:
    """Return twice the module's result for an array, recorded with what is around it."""
    result: Array = (module(namespace.array(data) + 1.0) * 2.0).read()
    return result


def expected(data: Array, weights: Array) -> Array:
    return (data.astype(np.float64) + 1) @ weights.astype(np.float64) * 2


def agree(found: Array, truth: Array) -> None:
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


def test_weights_are_no_arguments(compiled: list[tuple[int, int]]) -> None:
    module = module_of(F.const(weight(), [SIZE, SIZE]))
    for seed in range(4):
        agree(called(module, picture(seed)), expected(picture(seed), weight()))
    # What stays an argument is the caller's: the picture and two numbers.
    assert compiled == [(3, 1)]


def test_writing_makes_an_argument(compiled: list[tuple[int, int]]) -> None:
    held = F.const(weight(), [SIZE, SIZE])
    module = module_of(held)
    agree(called(module, picture(0)), expected(picture(0), weight()))
    for seed in range(1, 6):
        held.write(weight(seed))
        agree(called(module, picture(seed)), expected(picture(seed), weight(seed)))
    assert compiled == [(3, 1), (4, 0)]


def test_reading_makes_an_argument() -> None:
    """The array that read() returns may be written unseen."""
    held = F.const(weight(), [SIZE, SIZE])
    module = module_of(held)
    called(module, picture(0))
    array = held.read()
    for seed in range(1, 4):
        array[...] = weight(seed)
        agree(called(module, picture(seed)), expected(picture(seed), weight(seed)))


def test_what_was_written_before_the_first_call() -> None:
    held = F.const(weight(), [SIZE, SIZE])
    held.write(weight(1))
    module = module_of(held)
    held.write(weight(2))
    agree(called(module, picture(0)), expected(picture(0), weight(2)))
    held.write(weight(3))
    agree(called(module, picture(0)), expected(picture(0), weight(3)))


def test_replaced_inside_of_a_recorded_call() -> None:
    module = module_of(F.const(weight(), [SIZE, SIZE]))
    agree(called(module, picture(0)), expected(picture(0), weight()))
    x = namespace.array(picture(0)) + 1.0
    recorded = module(x)
    inner = next(each for each in recorded.inputs if each.shape == [SIZE, SIZE])
    inner.replace(F.const(weight(5), [SIZE, SIZE]))
    agree((recorded * 2.0).read(), expected(picture(0), weight(5)))
    agree(called(module, picture(0)), expected(picture(0), weight()))


def test_modules_of_one_structure(compiled: list[tuple[int, int]]) -> None:
    modules = [module_of(F.const(weight(seed), [SIZE, SIZE])) for seed in range(3)]
    for turn in range(3):
        for seed, module in enumerate(modules):
            agree(called(module, picture(turn)), expected(picture(turn), weight(seed)))
    # The second and third one had to come back first: see the next test.
    assert compiled == [(3, 1), (4, 0), (3, 1), (3, 1)]


def test_a_module_for_each_turn_of_a_loop(compiled: list[tuple[int, int]]) -> None:
    for seed in range(5):
        module = module_of(F.const(weight(seed), [SIZE, SIZE]))
        agree(called(module, picture(seed)), expected(picture(seed), weight(seed)))
    assert compiled == [(3, 1), (4, 0)]


def test_a_module_that_is_gone_leaves_nothing(backend: CompiledBackend) -> None:
    array = weight()
    module = module_of(F.const(array, [SIZE, SIZE]))
    node = next(each for each in module._graph.leaves() if each.kind == "Const")
    assert node.cell is not None
    assert node.cell.array is not None
    alive = weakref.ref(node.cell.array)
    called(module, picture(0))
    assert backend.constant_bytes >= array.nbytes
    del module, node, array
    gc.collect()
    assert alive() is None
    assert backend.constant_bytes == 0
    # The structure itself is still known, and serves the next module.
    module = module_of(F.const(weight(1), [SIZE, SIZE]))
    agree(called(module, picture(0)), expected(picture(0), weight(1)))


def test_memory_is_bounded(backend: CompiledBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 5 * weight().nbytes
    monkeypatch.setattr(structures, "CONSTANT_LIMIT_BYTES", limit)
    held = []
    for rows in range(1, 5):
        for seed in range(4):
            module = module_of(F.const(weight(seed), [SIZE, SIZE]))
            held.append(module)
            data = np.ones((rows, SIZE), np.float32)
            agree(called(module, data), expected(data, weight(seed)))
            assert 0 < backend.constant_bytes <= limit
    (x, module) = (picture(3), held[0])
    agree(called(module, x), expected(x, weight(0)))


def test_one_plan_may_be_larger_than_the_limit(
    backend: CompiledBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structures, "CONSTANT_LIMIT_BYTES", 10)
    module = module_of(F.const(weight(), [SIZE, SIZE]))
    for rows in (3, 4, 3, 3):
        data = np.ones((rows, SIZE), np.float32)
        agree(called(module, data), expected(data, weight()))
        assert 0 < backend.constant_bytes < 2 * weight().nbytes


def test_callers_constants_stay_arguments(compiled: list[tuple[int, int]]) -> None:
    """What a caller records may be new data each time, or large, or only used once."""
    module = module_of(F.const(weight(), [SIZE, SIZE]))
    mine = F.const(weight(9), [SIZE, SIZE])
    for seed in range(3):
        x = namespace.array(picture(seed)) + 1.0
        result = (namespace.matmul(x, mine) + module(x)).read()
        agree(result, expected(picture(seed), weight(9) + weight()) / 2)
    assert compiled == [(3, 1)]


def test_training_steps_share_a_plan(compiled: list[tuple[int, int]]) -> None:
    x = F.placeholder([ROWS, SIZE], F.NCHW)
    hidden = namespace.matmul(x, F.const(weight(), [SIZE, SIZE]))
    module = nn.load_module([x], [hidden], True)
    optimizer = __import__("mnn").optim.SGD(module, 1e-3)
    losses = []
    for _ in range(6):
        loss = namespace.mean(namespace.square(module(namespace.array(picture(0)))))
        optimizer.step(loss)
        losses.append(float(loss.read()))
    assert losses == sorted(losses, reverse=True)
    assert len(compiled) <= 4


# --- recording a call -----------------------------------------------------------------------------


def test_recorded_calls_are_like_bound_graphs() -> None:
    x, y = F.placeholder([-1, SIZE], F.NCHW), F.placeholder([1], F.NCHW)
    hidden = namespace.matmul(x, F.const(weight(), [SIZE, SIZE]))
    hidden.name = "hidden"
    fixed = F.const(weight(1), [SIZE, SIZE]) + 1.0
    outputs = [namespace.reshape(hidden, (-1,)) * y, fixed * 2.0, x]
    graph: Graph = nn.load_module([x, y], outputs, False)._graph
    for rows in (2, 5, 2):
        given = [namespace.array(np.ones((rows, SIZE), np.float32)), namespace.array([2.0])]
        refs = [capture(each) for each in given]
        made, bound = graph.record(refs), graph.bind(refs, unique=True)
        assert _described(made) == _described(bound)
        assert made[0].node is not graph.record(refs)[0].node
        assert made[1].node is bound[1].node
        assert made[2] == refs[0]


def _described(refs: list[Ref]) -> list[Any]:
    from mnn.expr.node import walk

    numbers: dict[Any, int] = {}
    described: list[Any] = []
    for node in walk(refs):
        numbers[node] = len(numbers)
        described.append(
            (
                node.kind,
                [None if ref is None else (numbers[ref.node], ref.port) for ref in node.inputs],
                [(each.shape, each.dtype, each.format) for each in node.types],
                dict(node.attributes),
                dict(node.names),
                node.trainable,
            )
        )
    return [*described, [(numbers[ref.node], ref.port) for ref in refs]]
