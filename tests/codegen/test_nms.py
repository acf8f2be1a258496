"""Non-maximum suppression against a plain walk over boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mnn.codegen.kernel import INPUT, Buffer, Tensor, contiguous
from mnn.codegen.target import TARGETS
from mnn.codegen.templates import nms
from mnn.errors import CodegenError
from mnn.ops.reference import detection
from tests.codegen.imaging import emit_all
from tests.codegen.programs import output
from tests.codegen.running import filled, run

Array = np.ndarray[Any, Any]
X86 = ("avx512", "avx2", "sse2")


def scene(count: int, seed: int, dtype: str = "float32") -> tuple[Array, Array]:
    """Return boxes, some the same, some without area or not finite, and scores with ties."""
    rng = np.random.default_rng(seed)
    centres, sizes = rng.random((count, 2)) * 300, rng.random((count, 2)) * 80 + 5
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    boxes[::5] = np.round(boxes[::5] / 20) * 20
    scores = rng.random(count)
    scores[::7] = scores[:1]
    if count > 20:
        boxes[3], boxes[4, 2], boxes[5] = np.nan, np.inf, (3, 3, 3, 9)
        boxes[6] = boxes[0][[2, 3, 0, 1]]
        boxes[9] = (-np.inf, -np.inf, np.inf, np.inf)
        scores[8], scores[10], scores[11], scores[12] = np.nan, np.inf, 0.0, -0.0
    return boxes.astype(dtype), scores.astype(dtype)


def overlap(one: Array, two: Array) -> float:
    """Return the intersection over the union of two boxes; 0 without area."""
    one, two = (np.r_[np.minimum(b[:2], b[2:]), np.maximum(b[:2], b[2:])] for b in (one, two))
    sides = np.maximum(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, two)]
    shared = sides[0] * sides[1]
    union = areas[1] + areas[0] - shared
    valid = areas[0] > 0 and areas[1] > 0 and union > 0
    return float(shared / union) if valid else 0.0


def walked(boxes: Array, scores: Array, limit: int, iou: float, least: float) -> list[int]:
    """Return what suppression means, one box after the other."""
    boxes = boxes.astype(np.float64)
    good = [i for i in range(len(scores)) if scores[i] > scores.dtype.type(least)]
    kept: list[int] = []
    with np.errstate(all="ignore"):
        for box in sorted(good, key=lambda i: -float(scores[i])):
            if len(kept) == limit:
                break
            if all(overlap(boxes[other], boxes[box]) <= iou for other in kept):
                kept.append(box)
    return kept


@pytest.mark.parametrize("count", [0, 1, 7, 150, 300])
@pytest.mark.parametrize("iou", [0.0, 0.3, 1.0])
def test_the_reference_is_that_walk(count: int, iou: float) -> None:
    boxes, scores = scene(count, count)
    for limit, least in ((0, 0.0), (5, 0.2), (10**6, -np.inf)):
        with np.errstate(all="ignore"):
            found = detection.nms(
                boxes, scores, limit=limit, iou_threshold=iou, score_threshold=least
            )
        assert found.tolist() == walked(boxes, scores, limit, iou, least)


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 7, 150, 400])
@pytest.mark.parametrize("iou", [0.0, 0.1, 0.5, 1.0])
def test_kernel(target: str, dtype: str, count: int, iou: float) -> None:
    scenes = [[scene(count, 10 * b + c, dtype) for c in range(3)] for b in range(2)]
    boxes = np.stack([each[0][0] for each in scenes])
    scores = np.stack([np.stack([made[1] for made in each]) for each in scenes])
    for limit, least in ((3, 0.3), (count, -np.inf)):
        given = [filled(boxes), filled(scores, order=(0, 2, 1))]
        kept, counts = output((2, 3, limit), "int32"), output((2, 3), "int32")
        calls = nms.lower(
            *given, kept, counts, TARGETS[target], iou_threshold=iou, score_threshold=least
        )
        pairs = list(zip(given, (boxes, scores), strict=True))
        found, found_counts = run(calls, pairs, [kept, counts], target=TARGETS[target], chunk=1)
        for batch in range(2):
            for label in range(3):
                with np.errstate(all="ignore"):
                    want = detection.nms(
                        boxes[batch],
                        scores[batch, label],
                        limit=limit,
                        iou_threshold=iou,
                        score_threshold=least,
                    )
                got = found[batch, label, : found_counts[batch, label]]
                np.testing.assert_array_equal(got, want)


def test_what_it_does_not_take() -> None:
    def tensor(*shape: int, dtype: str = "float32") -> Tensor:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return contiguous(Buffer(size, INPUT), shape, np.dtype(dtype))

    boxes, scores = tensor(1, 5, 4), tensor(1, 2, 5)
    kept, counts = tensor(1, 2, 3, dtype="int32"), tensor(1, 2, dtype="int32")
    options = {"iou_threshold": 0.5, "score_threshold": 0.0}
    with pytest.raises(CodegenError, match="do not fit"):
        nms.lower(boxes, tensor(1, 2, 6), kept, counts, TARGETS["avx2"], **options)
    whole = tensor(1, 5, 4, dtype="int32")
    with pytest.raises(CodegenError, match="expected floats"):
        nms.lower(whole, scores, kept, counts, TARGETS["avx2"], **options)
    options["iou_threshold"] = -1.0
    with pytest.raises(CodegenError, match="number >= 0"):
        nms.lower(boxes, scores, kept, counts, TARGETS["avx2"], **options)


def test_emits_for_neon() -> None:
    boxes, scores = output((1, 50, 4), "float32"), output((1, 2, 50), "float64")
    kept, counts = output((1, 2, 9), "int32"), output((1, 2), "int32")
    calls = nms.lower(
        boxes, scores, kept, counts, TARGETS["neon"], iou_threshold=0.5, score_threshold=0.1
    )
    assert emit_all(calls, "neon") > 0
