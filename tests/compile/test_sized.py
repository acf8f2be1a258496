"""Operators whose result sizes depend on values: found by kernels, with the reference's results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.sized import sized_results
from mnn.errors import ShapeError
from mnn.expr.var import Var
from mnn.ops.detection import nms, nms_classes
from mnn.ops.index import gather
from mnn.ops.reference import detection
from tests.codegen.test_nms import scene
from tests.compile.recording import by_reference, segment

BOXES, SCORES = scene(300, 1)


@pytest.mark.parametrize("limit", [0, 4, 300, 2**31 - 1])
def test_suppression(limit: int) -> None:
    def best(boxes: Var, scores: Var) -> Var:
        chosen = nms(boxes + 1, scores * 2, limit, 0.4, 0.1)
        return gather(boxes, chosen, 0)

    for _ in range(2):
        made = segment(best, [BOXES, SCORES])
        for threads in (1, 2):
            (found,) = made.run([BOXES, SCORES], threads=threads, low=False)
            with np.errstate(all="ignore"):
                (want,) = by_reference(best, [BOXES, SCORES])
            np.testing.assert_array_equal(found, want)


def test_suppression_by_class() -> None:
    boxes = np.stack([scene(90, seed)[0] for seed in (1, 2)])
    scores = np.stack([[scene(90, seed)[1] for seed in (3, 4, 5)], [SCORES[:90]] * 3])
    options: dict[str, Any] = {"limit": 20, "iou_threshold": 0.3, "score_threshold": 0.2}

    def every(boxes: Var, scores: Var) -> Var:
        found: Var = nms_classes(boxes, scores, **options)
        return found

    (found,) = segment(every, [boxes, scores]).run([boxes, scores], threads=2, low=False)
    with np.errstate(all="ignore"):
        want = detection.nms_classes(boxes, scores, **options)
    assert found.dtype == want.dtype
    np.testing.assert_array_equal(found, want)


def test_what_only_the_reference_takes() -> None:
    options: dict[str, Any] = {"limit": 3, "iou_threshold": 0.5, "score_threshold": 0.0}
    good = sized_results("nms", [BOXES, SCORES], options, 1)
    assert good is not None
    assert sized_results("unique", [BOXES], {}, 1) is None
    assert sized_results("nms", [np.zeros((300, 4), int), SCORES], options, 1) is None
    assert sized_results("nms", [BOXES, SCORES], {**options, "iou_threshold": -0.1}, 1) is None
    assert sized_results("nms", [BOXES[:0], SCORES[:0]], options, 1) is None
    assert sized_results("nms", [BOXES, SCORES[:9]], options, 1) is None
    made = segment(lambda boxes, scores: nms(boxes, scores, 3), [BOXES, SCORES[:9]])
    with pytest.raises(ShapeError):
        made.run([BOXES, SCORES[:9]], threads=1, low=False)
