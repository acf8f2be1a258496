"""Runtime managers accept every documented key, mode and hint, and refuse the rest."""

from __future__ import annotations

from typing import Any

import pytest

from mnn.errors import MnnError
from mnn.expr.enums import Backend, MemoryMode, PrecisionMode
from mnn.nn.runtime import Hint, SessionMode, create_runtime_manager


@pytest.mark.parametrize("value", ["low", "Low", "LOW", 2, PrecisionMode.Low])
def test_names_and_numbers_mean_the_same(value: Any) -> None:
    manager = create_runtime_manager(({"precision": value, "backend": "CPU"},))
    assert manager.configs[0].precision is PrecisionMode.Low
    assert manager.configs[0].backend is Backend.CPU


def test_every_key() -> None:
    manager = create_runtime_manager(
        [
            {
                "backend": 3,
                "precision": "Low_BF16",
                "memory": 2,
                "power": "high",
                "numThread": 4,
                "saveTensors": ("a",),
                "inputPaths": ("b",),
                "outputPaths": ["c", "d"],
            }
        ]
    )
    config = manager.configs[0]
    assert config.backend is Backend.OPENCL
    assert config.memory is MemoryMode.Low
    assert config.threads == 4
    assert config.output_paths == ("c", "d")


@pytest.mark.parametrize("backend", [member.name for member in Backend])
def test_every_backend_name(backend: str) -> None:
    assert create_runtime_manager(({"backend": backend},)).configs[0].backend.name == backend


def test_every_mode_and_hint() -> None:
    manager = create_runtime_manager(({},))
    for mode in range(18):
        manager.set_mode(mode)
    for hint in range(19):
        manager.set_hint(hint, [0, 1] if hint == Hint.CPU_CORE_IDS else 1)
    assert manager.modes == set(SessionMode)
    assert manager.hints[Hint.CPU_CORE_IDS] == (0, 1)


@pytest.mark.parametrize(
    "configs",
    [
        (),
        ({},) * 6,
        {"backend": "CPU"},
        "CPU",
        (1,),
        ({"backend": "XPU"},),
        ({"precision": 9},),
        ({"threads": 2},),
        ({"numThread": 0},),
        ({"numThread": "two"},),
        ({"saveTensors": "x"},),
    ],
)
def test_bad_configs_are_refused(configs: Any) -> None:
    with pytest.raises(ValueError, match="runtime") as caught:
        create_runtime_manager(configs)
    assert isinstance(caught.value, MnnError)


def test_bad_modes_and_hints_are_refused() -> None:
    manager = create_runtime_manager(({},))
    for call in (
        lambda: manager.set_mode(18),
        lambda: manager.set_hint(19, 1),
        lambda: manager.set_hint(0, "fast"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=r"[Ee]xpected"):
            call()
