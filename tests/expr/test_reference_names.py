"""Every promised name of `mnn.expr` is there, takes the promised arguments, and works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnn import expr as F  # noqa: N812
from mnn.config import config
from tests.expr.reference_cases import CASES, X
from tests.promises import compatible, promised

PROMISED = promised("mnn.expr")
FUNCTIONS = {name: entry for name, entry in PROMISED.items() if entry.kind == "function"}

# Functions that have tests of their own below, because they do more than compute.
SPECIAL = {
    "gc",
    "get_inputs_and_outputs",
    "lazy_eval",
    "load_as_dict",
    "load_as_list",
    "placeholder",
    "randomuniform",
    "save",
    "set_global_executor_config",
    "set_lazy_mode",
    "set_thread_number",
    "svd",
}


def test_every_function_is_called_here() -> None:
    assert set(CASES) | SPECIAL == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name: str) -> None:
    assert compatible(getattr(F, name), FUNCTIONS[name].signature, vars(F)) == []


@pytest.mark.parametrize("name", [name for name, e in PROMISED.items() if e.kind == "constant"])
def test_constant(name: str) -> None:
    assert getattr(F, name).value == PROMISED[name].value


@pytest.mark.parametrize("name", [n for n, e in PROMISED.items() if e.kind == "class" and e.value])
def test_enumeration(name: str) -> None:
    members = getattr(F, name)
    numbers = {each: getattr(members, each).value for each in PROMISED[name].value}
    assert numbers == PROMISED[name].value
    assert all(members(number).value == number for number in numbers.values())


def _var(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return F.const(value, list(value.shape), F.NCHW, value.dtype)
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [_var(each) for each in value]
    return value


def _compare(found: Any, wanted: Any) -> None:
    if isinstance(found, (list, tuple)):
        assert len(found) == len(wanted)
        for one, two in zip(found, wanted, strict=True):
            _compare(one, two)
        return
    array = F.convert(found, F.NCHW).read() if found.data_format is F.NC4HW4 else found.read()
    wanted = np.asarray(wanted)
    assert array.shape == wanted.shape
    assert (array.dtype.kind == "f") == (wanted.dtype.kind == "f") or array.dtype == np.int8
    np.testing.assert_allclose(array, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
@pytest.mark.parametrize(
    ("name", "number"), [(name, each) for name in CASES for each in range(len(CASES[name]))]
)
def test_result(name: str, number: int, lazy: bool) -> None:
    arguments, wanted = CASES[name][number]
    with config.using(lazy=lazy):
        _compare(getattr(F, name)(*map(_var, arguments)), wanted)


def test_svd() -> None:
    w, u, vt = (each.read() for each in F.svd(X))
    np.testing.assert_allclose(w, np.linalg.svd(X)[1], rtol=1e-5)
    np.testing.assert_allclose(u * w @ vt, X, rtol=1e-5, atol=1e-6)


def test_randomuniform() -> None:
    numbers = F.randomuniform([500], F.float, -1.0, 3.0, 4, 5).read()
    assert numbers.shape == (500,)
    assert numbers.dtype == np.float32
    assert -1 <= numbers.min() < -0.8 < 2.8 < numbers.max() < 3
    np.testing.assert_array_equal(numbers, F.randomuniform([500], F.float, -1.0, 3.0, 4, 5).read())


def test_placeholder_lazy_eval_and_lazy_modes() -> None:
    F.lazy_eval(True)
    for mode, second in ((0, 4.0), (1, 4.0), (2, 2.0), (3, 2.0)):
        F.set_lazy_mode(mode)
        source = F.placeholder([3], F.NCHW, F.float)
        source.write([1, 1, 1])
        result = source * 2.0
        np.testing.assert_array_equal(result.read(), [2, 2, 2])
        source.write([2, 2, 2])
        np.testing.assert_array_equal(result.read(), [second] * 3)
    F.lazy_eval(False)
    source = F.placeholder([3])
    source.write([1, 1, 1])
    result = source * 2.0
    source.write([2, 2, 2])
    np.testing.assert_array_equal(result.read(), [2, 2, 2])


def test_placeholder_defaults() -> None:
    source = F.placeholder()
    assert source.shape == []
    assert source.dtype == F.float
    assert source.data_format == F.NCHW
    source.write([2.5])
    assert float(source) == 2.5


def test_executor_settings() -> None:
    F.set_thread_number(99)
    assert config.threads == 8
    F.set_global_executor_config(int(F.CPU), int(F.Low), 2)
    assert (config.threads, config.precision) == (2, "low")
    F.gc(0)
    F.gc(1)


def test_save_load_and_split(tmp_path: Path) -> None:
    F.lazy_eval(True)
    source = F.placeholder([2, 3])
    source.name = "source"
    result = F.exp(source)
    result.name = "result"
    F.save([result], str(tmp_path / "graph.mnn"))
    loaded = F.load_as_dict(str(tmp_path / "graph.mnn"))
    assert [each.name for each in F.load_as_list(str(tmp_path / "graph.mnn"))] == list(loaded)
    inputs, outputs = F.get_inputs_and_outputs(loaded)
    assert (list(inputs), list(outputs)) == (["source"], ["result"])
    inputs["source"].write(X)
    np.testing.assert_allclose(outputs["result"].read(), np.exp(X), rtol=1e-6)
