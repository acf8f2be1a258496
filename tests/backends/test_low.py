"""Precision low on machines that multiply float16: whole networks, their plans, and the choice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

import mnn.expr as F  # noqa: N812
from mnn import nn
from mnn.backends import planned, segments, store
from mnn.backends.compiled import Prepared
from mnn.backends.store import PlanStore
from mnn.codegen import host
from mnn.codegen import target as targets
from mnn.codegen.cache import ObjectCache
from mnn.codegen.host import Host
from mnn.codegen.mapping import can_map_code
from mnn.codegen.target import TARGETS, Target, host_target
from mnn.codegen.templates.tile import FLOAT32, HALVES
from mnn.config import config
from mnn.expr.evaluate import run_graph
from mnn.nn import remembered
from mnn.records import replace
from tests.codegen.accuracy import TYPICAL, emulated_halves, typical_error
from tests.codegen.running import runs_here

FOLDER = Path(__file__).parent.parent / "data" / "models"
NETWORKS = ["cnn_bn", "resnet_tiny", "mobilenetv2_tiny", "transformer_block"]
ROUNDINGS = 3
"""By so much errors may grow in a network of a few layers."""


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """This machine with products of float16, by way of float32."""
    if not runs_here(TARGETS["avx2"]):
        pytest.skip("descriptions of x86 are for x86")
    made = replace(emulated_halves("avx2"), name="halves")
    monkeypatch.setitem(TARGETS, "halves", made)
    monkeypatch.setenv("MNN_TARGET", "halves")
    host_target.cache_clear()
    yield made
    host_target.cache_clear()


def load(name: str, precision: str) -> nn.LoadedModule:
    """Return a module whose constants are its own."""
    return nn.load_module_from_file(FOLDER / f"{name}.mnn", [], [], precision_mode=precision)


def data(name: str) -> np.ndarray:
    """Return an input."""
    return np.load(FOLDER / f"{name}.npz")["c0.in.x"]


def products(module: nn.LoadedModule) -> set[str]:
    """Return what the matrix kernels of a module's plans multiply."""
    found = set()
    for made, _ in module._graph.plan("compiled", Prepared).segment.plans.values():
        for step in made.plan.steps:
            kernel = getattr(step, "kernel", None)
            product = getattr(getattr(kernel, "tile", kernel), "product", None)
            found.add(product)
    return found - {None}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(halves: Target, name: str) -> None:
    x, exact = data(name), load(name, "normal")
    wanted = exact(x).read()
    low = load(name, "low")
    got = low(x).read()
    assert HALVES in products(low)
    assert HALVES not in products(exact)
    assert 0 < typical_error(got, wanted) < ROUNDINGS * TYPICAL[HALVES]


@pytest.mark.parametrize("size", [1e-30, 1e25])
def test_networks_of_numbers_that_float16_does_not_have(halves: Target, size: float) -> None:
    rng = np.random.default_rng(0)

    def convolved(x: Any, outputs: int) -> Any:
        shape = (outputs, x.shape[1], 3, 3)
        weight = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(9 * x.shape[1]))
        nothing = F.const(np.zeros(outputs, np.float32), [outputs])
        return F.conv2d(x, F.const(weight, list(shape)), nothing, padding=(1, 1))

    with config.using(lazy=True):
        x = F.placeholder([1, 8, 16, 16], F.NCHW)
        module = nn.load_module([x], [convolved(F.relu(convolved(x, 40)), 33)], False)
    given = rng.standard_normal((1, 8, 16, 16), np.float32) * np.float32(size)
    wanted, got = (
        run_graph(module._graph, [given], precision=precision)[0].astype(np.float64) / size
        for precision in ("normal", "low")
    )
    assert 0 < typical_error(got, wanted) < ROUNDINGS * TYPICAL[HALVES]


@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_only(halves: Target, name: str) -> None:
    x, low = data(name), load(name, "low_bf16")
    np.testing.assert_array_equal(low(x).read(), load(name, "normal")(x).read())
    assert products(low) <= {FLOAT32}


@pytest.mark.skipif(not can_map_code(), reason="code cannot be mapped here")
def test_plans_with_weights_of_float16_are_stored(
    halves: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store, "take_snapshot", lambda: (("a.py", 1, 1, 1, 1),))
    monkeypatch.setattr(store, "generator_digest", lambda cache, snapshot: b"known")
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", -1e9)
    made = PlanStore(ObjectCache(tmp_path / "cache"))
    for module in (planned, segments, remembered):
        monkeypatch.setattr(module, "plan_store", lambda: made)
    x = data("resnet_tiny")
    with config.using(backend="cpu"):
        first = load("resnet_tiny", "low")(x).read()
        again = load("resnet_tiny", "low")
        np.testing.assert_array_equal(again(x).read(), first)
        assert not again._graph.is_made


# --- what a machine has --------------------------------------------------------------------------


def detected(monkeypatch: pytest.MonkeyPatch, cpu: str, features: str, triple: str) -> Target:
    """Return the description of a machine of which LLVM says this."""
    monkeypatch.setattr(host, "host", lambda: Host(cpu, features, triple, triple))
    return targets._detected()


def test_x86_with_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    triple = "x86_64-unknown-linux-gnu"
    plain = "+avx2,+fma,+f16c"
    wide = f"{plain},+avx512f,+avx512bw,+avx512dq,+avx512vl"
    for features, expected in [
        (plain, False),
        (f"{plain},+avx512fp16", False),
        (f"{wide},-avx512fp16", False),
        (f"{wide},+avx512fp16", True),
    ]:
        found = detected(monkeypatch, "generic", features, triple)
        assert found.float16_products == found.float16_arithmetic == expected
        assert not found.bfloat16


def test_aarch64_with_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    triple = "aarch64-unknown-linux-gnu"
    for features, expected in [("+neon,+lse", False), ("+neon,+fullfp16", True)]:
        found = detected(monkeypatch, "generic", features, triple)
        assert found.float16_products == found.float16_arithmetic == expected


def test_what_linux_says_of_aarch64() -> None:
    processor = "CPU part\t: 0xd0c\nFeatures\t: fp asimd asimdhp cpuid asimdrdm\n"
    assert host._arm_features("neoverse-n1", processor) == ["+fullfp16"]
    assert host._arm_features("cortex-a72", "Features\t: fp asimd crc32\n") == []
    assert "+fullfp16" in host._arm_features("apple-m1", "")
