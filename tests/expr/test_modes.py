"""Eager and lazy modes: what a reader sees when inputs change."""

from __future__ import annotations

import numpy as np
import pytest

from mnn import expr
from mnn.config import config
from mnn.errors import EvaluationError, GraphError


def test_default_is_eager() -> None:
    y = expr.const([1.0, 2.0], [2]) + 1.0
    assert y.op_type == "Const"
    assert y.inputs == []


@pytest.mark.parametrize(("mode", "second"), [(0, 4.0), (1, 4.0), (2, 2.0), (3, 2.0)])
def test_lazy_modes_after_a_write(mode: int, second: float) -> None:
    expr.lazy_eval(True)
    expr.set_lazy_mode(mode)
    p = expr.placeholder([3])
    y = p * 2.0
    p.write([1, 1, 1])
    assert y.read().tolist() == [2.0] * 3
    p.write([2, 2, 2])
    assert y.read().tolist() == [second] * 3


def test_eager_results_keep_their_value() -> None:
    p = expr.const([1, 1, 1], [3])
    y = p * 2.0
    p.write([2, 2, 2])
    assert y.read().tolist() == [2.0] * 3


def test_eager_results_on_trainable_values_keep_their_value_and_their_graph() -> None:
    w = expr.const([1.0, 2.0], [2])
    w.fix_as_trainable()
    y = w * 2.0
    w.write([5, 5])
    assert y.read().tolist() == [2.0, 4.0]
    assert y.op_type == "MUL"


def test_reading_an_unwritten_input_raises() -> None:
    expr.lazy_eval(True)
    y = expr.placeholder([3]) + 1.0
    with pytest.raises(EvaluationError, match="no value yet"):
        y.read()


def test_repr_never_computes_and_str_does() -> None:
    expr.lazy_eval(True)
    p = expr.placeholder([2])
    y = p + 1.0
    assert "not computed" in repr(y)
    p.write([1, 2])
    assert "not computed" in repr(y)
    assert str(y) == "[2. 3.]"


def test_cached_results_are_recomputed_only_after_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    compute = type(expr.add).compute

    def counted(self: object, *arguments: object) -> object:
        calls.append(self)
        return compute(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(expr.add), "compute", counted)
    config.backend = "reference"  # plans of other tests' graphs would not call it
    expr.lazy_eval(True)
    p = expr.placeholder([2])
    y = (p + 1.0) * 2.0
    p.write([1, 2])
    y.read()
    y.read()
    assert len(calls) == 2
    p.write([3, 4])
    assert y.read().tolist() == [8.0, 10.0]
    assert len(calls) == 4


def test_writing_through_a_read_view_is_seen() -> None:
    expr.lazy_eval(True)
    p = expr.const([1.0, 2.0], [2])
    y = p + 1.0
    y.read()
    view = p.read()
    y.read()
    view[0] = 9
    assert y.read().tolist() == [10.0, 3.0]


def test_a_result_of_a_graph_can_be_modified_by_its_reader() -> None:
    expr.lazy_eval(True)
    y = expr.const([1.0, 2.0], [2]) + 1.0
    y.read()[0] = 99
    assert y.read().tolist() == [2.0, 3.0]


def test_graphs_do_not_see_foreign_memory_change() -> None:
    expr.lazy_eval(True)
    array = np.ones(3, np.float32)
    y = expr.add(array, 1.0)
    array[:] = 7
    assert y.read().tolist() == [2.0] * 3


def test_deep_graphs_need_no_recursion() -> None:
    expr.lazy_eval(True)
    p = expr.placeholder([1])
    y = p
    for _ in range(5000):
        y = y + 1.0
    p.write([0])
    assert y.read().tolist() == [5000.0]


def test_a_var_outlives_its_graph() -> None:
    expr.lazy_eval(True)
    p = expr.placeholder([2])
    y = p + 1.0
    p.write([1, 2])
    array = y.read()
    del p, y
    assert array.tolist() == [2.0, 3.0]


def test_set_inputs_on_an_eager_var_raises() -> None:
    y = expr.const([1.0], [1]) + 1.0
    with pytest.raises(GraphError, match="no operands"):
        y.set_inputs([expr.const([1.0], [1])])


@pytest.mark.parametrize(("given", "kept"), [(0, 1), (3, 3), (99, 8)])
def test_thread_number_is_clamped(given: int, kept: int) -> None:
    expr.set_thread_number(given)
    assert config.threads == kept


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="set_lazy_mode"):
        expr.set_lazy_mode(7)
    with pytest.raises(TypeError):
        expr.set_thread_number(1.5)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="unknown settings"):
        config.using(colour=1).__enter__()
