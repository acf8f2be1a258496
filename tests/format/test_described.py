"""Operators described as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mnn import expr as F  # noqa: N812
from mnn.config import config
from mnn.errors import DTypeError, FormatError, MnnError, UnsupportedError
from mnn.expr.grad import gradients

SQUARE = {"type": "UnaryOp", "main_type": "UnaryOp", "main": {"opType": "SQUARE"}}


@pytest.mark.parametrize("lazy", [False, True])
def test_weights_in_the_description(lazy: bool) -> None:
    common = {"kernelX": 1, "kernelY": 1, "outputCount": 2, "inputCount": 1}
    main = {"common": common, "weight": [2.0, -1.0], "bias": [0.5, 0.0]}
    text = json.dumps({"type": "Convolution", "main_type": "Convolution2D", "main": main})
    image = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    with config.using(lazy=lazy):
        (found,) = F.jsonop([image], text, 1)
        np.testing.assert_allclose(found.read()[0], np.stack([image[0, 0] * 2 + 0.5, -image[0, 0]]))


def test_several_results_and_enumerations_by_number() -> None:
    values, order = F.jsonop([[3.0, 1.0, 2.0], 2], json.dumps({"type": "TopKV2"}), 2)
    assert (values.read().tolist(), order.read().tolist()) == ([3.0, 2.0], [0, 2])
    text = json.dumps({"type": "BinaryOp", "main_type": "BinaryOp", "main": {"opType": 0}})
    assert F.jsonop([[1.0], [2.0]], text)[0].read().tolist() == [3.0]


def test_has_a_gradient() -> None:
    x = F.const([3.0, -2.0], [2])
    x.fix_as_trainable()
    (y,) = F.jsonop([x], json.dumps(SQUARE))
    (found,) = gradients([y], [F.const([1.0, 1.0], [2])], [x])
    assert found is not None
    assert found.read().tolist() == [6.0, -4.0]


WRONG: list[tuple[Any, type[MnnError], str]] = [
    ("", FormatError, "no JSON"),
    ("[" * 100_000, FormatError, "no JSON"),
    ([], FormatError, "expected an object"),
    ({}, FormatError, "expected an object"),
    ({"type": "Nothing"}, FormatError, "unknown member"),
    ({"type": 1e300}, FormatError, "wrong kind"),
    ({**SQUARE, "unknown": 1}, FormatError, "no fields"),
    ({**SQUARE, "name": 5}, FormatError, "wrong kind"),
    ({**SQUARE, "main": 5}, FormatError, "wrong kind"),
    ({**SQUARE, "main": {"opType": []}}, FormatError, "expected one number"),
    ({**SQUARE, "main": {"opType": [1, 2]}}, FormatError, "expected one number"),
    ({**SQUARE, "main_type": "Axis", "main": {"axis": 1}}, FormatError, "Axis table"),
    ({**SQUARE, "main_type": ["a"]}, FormatError, "wrong kind"),
    ({"type": "Input"}, FormatError, "damaged"),
    ({"type": "MoE"}, UnsupportedError, "not supported"),
]


@pytest.mark.parametrize(("description", "error", "message"), WRONG)
def test_wrong_descriptions(description: Any, error: type[MnnError], message: str) -> None:
    text = description if isinstance(description, str) else json.dumps(description)
    with pytest.raises(error, match=message):
        F.jsonop([[1.0, 2.0]], text, 1)


@pytest.mark.parametrize("count", [0, -1, 2, 10**9])
def test_wrong_numbers_of_results(count: int) -> None:
    with pytest.raises(FormatError, match="results are asked for"):
        F.jsonop([[1.0]], json.dumps(SQUARE), count)


def test_wrong_arguments() -> None:
    with pytest.raises(DTypeError, match="expected a list"):
        F.jsonop(F.scalar(1.0), json.dumps(SQUARE), 1)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="expected text"):
        F.jsonop([[1.0]], SQUARE, 1)  # type: ignore[arg-type]
