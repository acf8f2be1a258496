"""Editing recorded graphs: replace, copy_from, set_inputs, resize, fix_as_*."""

from __future__ import annotations

import pytest

from mnn import expr
from mnn.compile.verify import verify
from mnn.errors import GraphError, ShapeError
from mnn.expr.var import Var


@pytest.fixture(autouse=True)
def _lazy() -> None:
    expr.lazy_eval(True)


def _values(var: Var) -> list[float]:
    assert var._ref is None or verify([var._ref])
    values: list[float] = var.read().tolist()
    return values


def test_replace_redirects_existing_users() -> None:
    a, b = expr.const([1.0, 2.0], [2]), expr.const([10.0, 20.0], [2])
    middle = a + 1.0
    y = middle * 2.0
    assert _values(y) == [4.0, 6.0]
    middle.replace(b)
    assert _values(y) == [20.0, 40.0]
    assert _values(middle) == [10.0, 20.0]


def test_replace_can_slip_an_operation_in() -> None:
    a = expr.const([1.0, 2.0], [2])
    middle = a + 1.0
    y = middle * 2.0
    middle.replace(middle + 100.0)
    assert _values(y) == [204.0, 206.0]


def test_replace_that_does_not_fit_changes_nothing() -> None:
    a = expr.const([1.0, 2.0], [2])
    y = a * expr.const([3.0, 4.0], [2])
    with pytest.raises(ShapeError):
        a.replace(expr.const([1.0, 2.0, 3.0], [3]))
    assert _values(y) == [3.0, 8.0]
    assert _values(a) == [1.0, 2.0]


def test_set_inputs_applies_the_operation_to_others() -> None:
    a, b = expr.const([1.0], [1]), expr.const([5.0], [1])
    y = a - b
    z = y * 2.0
    y.set_inputs([b, a])
    assert _values(z) == [8.0]
    with pytest.raises(GraphError, match="takes 2"):
        y.set_inputs([a])


def test_copy_from_copies_into_a_leaf_and_rewires_a_node() -> None:
    a, b = expr.const([1.0, 2.0], [2]), expr.const([3.0, 4.0], [2])
    y = a + 0.5
    a.copy_from(b)
    assert _values(y) == [3.5, 4.5]
    b.write([0, 0])
    assert _values(y) == [3.5, 4.5]
    y.copy_from(b)
    b.write([7, 7])
    assert _values(y) == [7.0, 7.0]


def test_resize_of_an_input_moves_the_shapes_behind_it() -> None:
    p = expr.placeholder([1, 3])
    y = p * 2.0
    assert y.shape == [1, 3]
    p.resize([2, 3])
    assert y.shape == [2, 3]
    p.write([[1, 2, 3], [4, 5, 6]])
    assert _values(y) == [[2.0, 4.0, 6.0], [8.0, 10.0, 12.0]]


def test_unknown_sizes_show_as_minus_one_until_written() -> None:
    p = expr.placeholder([-1, 3])
    y = p + 1.0
    assert y.shape == [-1, 3]
    p.write([[1, 2, 3], [4, 5, 6]])
    assert y.shape == [2, 3]
    p.resize([1, 3])
    p.write([[1, 1, 1]])
    assert _values(y) == [[2.0, 2.0, 2.0]]


def test_rejected_resize_changes_nothing() -> None:
    p = expr.placeholder([3])
    y = p + expr.const([1.0, 2.0, 3.0], [3])
    with pytest.raises(ShapeError):
        p.resize([4])
    p.write([0, 0, 0])
    assert _values(y) == [1.0, 2.0, 3.0]


def test_fix_as_const_freezes_and_fix_as_placeholder_opens() -> None:
    p = expr.placeholder([2])
    middle = p + 1.0
    y = middle * 2.0
    p.write([1, 2])
    middle.fix_as_const()
    p.write([100, 100])
    assert _values(y) == [4.0, 6.0]
    middle.fix_as_placeholder()
    assert middle.op_type == "Input"
    middle.write([5, 6])
    assert _values(y) == [10.0, 12.0]


def test_written_shape_constants_are_looked_at_again() -> None:
    shape = expr.const([2, 3], [2], expr.NCHW, expr.int)
    a = shape * 2
    assert a.read().tolist() == [4, 6]
    shape.write([5, 5])
    assert a.read().tolist() == [10, 10]
    assert a._ref is not None
    assert verify([a._ref])


def test_computed_vars_cannot_be_written() -> None:
    y = expr.const([1.0], [1]) + 1.0
    with pytest.raises(GraphError, match="computed, not stored"):
        y.write([3.0])


def test_names_are_kept_apart_on_equal_nodes() -> None:
    a = expr.const([1.0], [1])
    first, second = a + 1.0, a + 1.0
    first.name = "first"
    second.name = "second"
    assert (first.name, second.name) == ("first", "second")
