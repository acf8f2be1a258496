"""Results of single-shot detectors: decoded and suppressed without a step of NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.cpu.plan import HostCall
from mnn.expr.var import Var
from mnn.ops.detection import detection_post_process
from tests.compile.recording import by_reference, segment

Array = np.ndarray[Any, Any]


def _detector(count: int, classes: int, seed: int) -> list[Array]:
    """Return codes, predictions with ties, and anchors; anchors come in groups that overlap."""
    rng = np.random.default_rng(seed)
    codes = rng.standard_normal((1, count, 4)).astype(np.float32)
    predictions = np.round(rng.random((1, count, classes)) ** 4, 2).astype(np.float32)
    anchors = np.repeat(rng.random((-(-count // 5), 4)), 5, axis=0)[:count]
    return [codes, predictions, (anchors * (1, 1, 0.3, 0.3) + 0.05).astype(np.float32)]


@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("background", [0, 1])
@pytest.mark.parametrize(
    ("count", "classes", "limit", "most", "per_class"),
    [(200, 7, 20, 1, 10), (90, 3, 200, 5, 400), (6, 1, 4, 1, 2), (500, 12, 50, 2, 100)],
)
def test_detections(
    regular: bool,
    background: int,
    count: int,
    classes: int,
    limit: int,
    most: int,
    per_class: int,
) -> None:
    arrays = _detector(count, classes + background, count)

    def function(codes: Var, predictions: Var, anchors: Var) -> list[Var]:
        return detection_post_process(
            codes,
            predictions,
            anchors,
            classes,
            limit,
            most,
            per_class,
            0.3,
            0.45,
            regular,
            [10.0, 10.0, 5.0, 5.0],
        )

    made = segment(function, arrays)
    plan = made.compiled(arrays, low=False)[0].plan
    assert not any(isinstance(step, HostCall) for step in plan.steps)
    for threads in (1, 2):
        found = made.run(arrays, threads=threads, low=False)
        boxes, *others = zip(found, by_reference(function, arrays), strict=True)
        np.testing.assert_allclose(*boxes, rtol=1e-6, atol=1e-6)
        for got, want in others:
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
        assert others[2][0][0] > 0, "something is found"
