"""Functions of arrays as compiled graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mnn
import mnn.numpy as mnp
from mnn.errors import GraphError


def softmax(x: Any, axis: int = -1) -> Any:
    e = mnp.exp(x - mnp.max(x, axis=axis, keepdims=True))
    return e / mnp.sum(e, axis=axis, keepdims=True)


def test_it_computes_what_the_function_does() -> None:
    compiled = mnp.compile(softmax)
    for shape in ((3, 5), (2, 3, 4), (1,), (0, 4)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(np.asarray(compiled(x)), np.asarray(softmax(mnp.array(x))), 1e-6)
        np.testing.assert_allclose(np.asarray(compiled(mnp.array(x))), np.asarray(compiled(x)))


def test_the_function_runs_once_for_each_kind_of_arguments() -> None:
    calls = []

    @mnp.compile
    def double(x: Any, times: float = 2.0) -> Any:
        calls.append(x.shape)
        return x * times

    for _ in range(3):
        double(mnp.ones((2, 2)))
        double(mnp.ones(3), times=3.0)
    assert calls == [(2, 2), (3,)]
    assert float(double(mnp.ones(1), 4.0)) == 4.0
    assert double.__name__ == "double"


def test_results_keep_their_structure() -> None:
    @mnp.compile
    def many(pair: Any, *, scale: Any) -> Any:
        return {"sum": pair[0] + pair[1], "rest": [pair[0] * scale, None, "text"]}

    found = many((mnp.ones(2), mnp.zeros(2)), scale=mnp.array(3.0))
    assert found["sum"].read().tolist() == [1, 1]
    assert found["rest"][0].read().tolist() == [3, 3]
    assert found["rest"][1:] == [None, "text"]


def test_a_result_may_be_an_argument_or_a_constant() -> None:
    held = mnp.array([1.0, 2.0])
    same = mnp.compile(lambda x: (x, held))
    x = mnp.array([5.0])
    one, two = same(x)
    one[0] = 7
    assert x.read().tolist() == [5]
    assert two.read().tolist() == [1, 2]


def test_values_of_elements_are_refused() -> None:
    @mnp.compile
    def choose(x: Any) -> Any:
        return x if float(x[0]) > 0 else -x

    with pytest.raises(GraphError, match="where"):
        choose(mnp.ones(2))


def test_arguments_are_refused_that_cannot_be_told_apart() -> None:
    with pytest.raises(TypeError, match="compile"):
        mnp.compile(3)
    with pytest.raises(TypeError, match="set"):
        mnp.compile(lambda x, y: x)(mnp.ones(2), {1})


def test_it_is_explained() -> None:
    pytest.importorskip("llvmlite")
    compiled = mnp.compile(softmax)
    x = mnp.ones((8, 64))
    assert len(mnn.explain(compiled, x).units) == 1


def test_a_pending_result_is_explained() -> None:
    pytest.importorskip("llvmlite")
    x = mnp.ones((512, 512))
    y = softmax(x)
    assert len(mnn.explain(y).units) == 1
    assert float(y.sum()) == pytest.approx(512)
