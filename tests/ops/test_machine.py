"""Python's operators in machine code do what the Python functions do."""

from __future__ import annotations

import copy
import gc
import inspect
import operator
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import mnn.numpy as mnp
from mnn.config import Config, config
from mnn.errors import IndexRangeError, ShapeError
from mnn.expr.modes import recording
from mnn.expr.var import Var
from mnn.ops import machine
from mnn.ops.python_operators import METHODS

pytest.importorskip("llvmlite")

DTYPES = ("?", "b", "B", "h", "i", "l", "Q", "e", "f", "d", "F", "D")
OPERATORS = [each for each in METHODS if each.kind == "binary"]


@pytest.fixture(autouse=True, scope="module")
def installed() -> Iterator[None]:
    if not machine._is_known_interpreter():
        pytest.skip("machine code is made for CPython with a global lock, on Linux")
    before = {each.name: getattr(Var, each.name) for each in METHODS if each.replace is None}
    assert machine.install(METHODS, compiling=True)
    yield
    for name, method in before.items():
        setattr(Var, name, method)
    for each in METHODS:
        if each.replace is not None:
            each.replace(each.general)


def arrays(code: str) -> list[np.ndarray[Any, Any]]:
    generator = np.random.default_rng(3)
    shapes: list[tuple[int, ...]] = [(), (3,), (2, 3), (1, 3), (0,), (2, 0), (1024,), (1025,)]
    values = [generator.integers(0, 5, shape).astype(code) for shape in shapes]
    if code in "efd":
        values.append(np.array([np.nan, np.inf, -0.0], code))
    return values


def outcome(function: Any, *operands: Any) -> Any:
    with np.errstate(all="ignore"):
        try:
            return function(*operands)
        except Exception as error:  # noqa: BLE001 - compared with the other way's
            return type(error), str(error)


def same(one: Any, two: Any) -> None:
    if not isinstance(two, Var):
        assert one is two or one == two
        return
    assert type(one) is Var
    assert one.dtype == two.dtype
    assert one.shape == two.shape
    assert one.data_format == two.data_format
    assert one.name == ""
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", OPERATORS, ids=lambda each: each.name)
@pytest.mark.parametrize("code", DTYPES)
def test_operators(method: machine.Method, code: str) -> None:
    compiled = getattr(Var, method.name)
    for left in arrays(code):
        for right in [*arrays(code), *arrays("i")[:3], 2, 2.5, True, 1j, None, "text", [1, 2, 3]]:
            operand = mnp.array(right) if isinstance(right, np.ndarray) else right
            x = mnp.array(left)
            same(outcome(compiled, x, operand), outcome(method.general, x, operand))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("code", DTYPES)
def test_reflected_and_unary_operators(code: str) -> None:
    for method in METHODS:
        if method.replace is not None:
            continue
        compiled = getattr(Var, method.name)
        for array in arrays(code):
            x = mnp.array(array)
            if method.kind == "reflected":
                for number in (2, 2.5, True, 1j, "text", 1 << 70):
                    same(outcome(compiled, x, number), outcome(method.general, x, number))
            elif method.kind == "unary":
                same(outcome(compiled, x), outcome(method.general, x))


FUNCTIONS = [each for each in METHODS if each.replace is not None]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", FUNCTIONS, ids=lambda each: each.name)
def test_functions(method: machine.Method) -> None:
    compiled = getattr(mnp, method.name)
    assert type(compiled).__name__ == "ufunc"
    for code in ("?", "i", "f", "d"):
        for left in arrays(code):
            x = mnp.array(left)
            if method.kind == "one":
                same(outcome(compiled, x), outcome(method.general, x))
                continue
            for right in [*arrays(code), arrays("i")[1], 2, 2.5]:
                y = mnp.array(right) if isinstance(right, np.ndarray) else right
                same(outcome(compiled, x, y), outcome(method.general, x, y))


def test_functions_are_called_in_every_way() -> None:
    x = mnp.array([1.0, 2.0])
    out = mnp.zeros(2)
    assert mnp.exp(x, out) is out
    assert mnp.add(x, x, out=out, where=mnp.array([True, False])) is out
    assert out.read().tolist() == pytest.approx([2.0, np.exp(2.0)])
    assert mnp.add(x, x, dtype=mnp.float64).dtype == np.float64
    assert mnp.add.reduce(x).read() == 3
    assert mnp.exp.nin == 1
    assert mnp.exp.__name__ == "exp"
    assert list(inspect.signature(mnp.exp).parameters)[:2] == ["x", "out"]
    assert pickle.loads(pickle.dumps(mnp.exp)) is mnp.exp
    assert copy.deepcopy(mnp.exp) is mnp.exp
    assert repr(mnp.exp) == "<ufunc 'exp'>"
    for operands in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError, match="exp"):
            mnp.exp(*operands)
    with pytest.raises(TypeError, match="unexpected"):
        mnp.exp(x, casing="safe")


@pytest.mark.parametrize("code", ["f", "i", "D"])
def test_items(code: str) -> None:
    for array in arrays(code):
        x = mnp.array(array)
        for index in (
            0,
            -1,
            2,
            7,
            slice(1, 2),
            slice(None, None, -1),
            slice(0, 1, 0),
            None,
            ...,
            "a",
        ):
            compiled, general = (
                outcome(operator.getitem, x, index),
                outcome(METHODS[0].general, x, index),
            )
            same(compiled, general)
    x = mnp.arange(6)
    x[1:3][0] = 9
    assert x.read().tolist() == [0, 9, 2, 3, 4, 5]


def test_errors_explain() -> None:
    with pytest.raises(ShapeError, match="broadcast"):
        mnp.ones(2) + mnp.ones(3)
    with pytest.raises(IndexRangeError, match="out of bounds"):
        mnp.ones(2)[5]
    with pytest.raises(AttributeError):
        object.__new__(Var) + 1


def test_recorded_values_and_modes_take_the_general_way() -> None:
    x, y = mnp.ones(3), mnp.ones(3)
    with config.using(lazy=True):
        assert (x + y)._ref is not None
    assert (mnp.ones(3) + mnp.ones(3))._ref is None
    with recording():
        assert (mnp.ones(3) + mnp.ones(3))._ref is not None
    assert (mnp.ones(3) + mnp.ones(3))._ref is None
    x.fix_as_trainable()
    assert (x + 1)._ref is not None


def test_other_settings_objects_change_no_mode() -> None:
    with config.using(lazy=True):
        Config().lazy = False
        assert (mnp.ones(3) + mnp.ones(3))._ref is not None


def test_nothing_leaks() -> None:
    x, y = mnp.ones(10), mnp.ones(10)
    bad = mnp.ones(3)

    def work() -> None:
        for _ in range(2000):
            x + y, x + 2.0, 2.0 - x, -x, x[1:3], x[2], x == y
            outcome(operator.add, x, bad)
            outcome(operator.getitem, x, 99)

    watched = (None, Var, np.ndarray, mnp.float32, x._format, np.add, slice, "")
    work()
    gc.collect()
    objects, counts = len(gc.get_objects()), [sys.getrefcount(each) for each in watched]
    work()
    gc.collect()
    assert len(gc.get_objects()) - objects < 50
    for before, each in zip(counts, watched, strict=True):
        assert sys.getrefcount(each) - before < 50
    references = sys.getrefcount(x._value)
    assert references == 2


def test_threads() -> None:
    failures = []

    def work() -> None:
        x = mnp.arange(10)
        for number in range(3000):
            found = (x + number)[1:3] * 2
            if found.read().tolist() != [2 * (1 + number), 2 * (2 + number)]:
                failures.append(number)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []


def test_signatures_are_told() -> None:
    assert list(inspect.signature(Var.__add__).parameters) == ["self", "other"]
    assert list(inspect.signature(Var.__neg__).parameters) == ["self"]


_FIRST_USE = """
import mnn, mnn.numpy as np
from mnn.expr.var import Var
x = np.ones(3)
x + x
{work}
print(type(Var.__add__).__name__, (x + x).read().tolist())
"""


def _printed(work: str, folder: Any) -> list[str]:
    environment = {**os.environ, "MNN_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", _FIRST_USE.format(work=work)]
    return subprocess.check_output(command, text=True, env=environment).split(maxsplit=1)


def test_code_is_made_once_and_found_later(tmp_path: Any) -> None:
    assert _printed("", tmp_path)[0] == "function"
    made = "from mnn.ops import machine\nfor _ in range(machine._MANY_CALLS): x + x"
    for work in (made, ""):
        kind, values = _printed(work, tmp_path)
        assert kind == "method_descriptor"
        assert values.strip() == "[2.0, 2.0, 2.0]"
