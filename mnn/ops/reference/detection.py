"""Non-maximum suppression and the decoding of detection boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import ShapeError

__all__ = ["detection_post_process", "nms", "nms_classes"]

Array = np.ndarray[Any, Any]

_BLOCK = 128
"""Candidates that are compared at once with the boxes kept before them, and with each other."""


def _corners(boxes: Array) -> Array:
    """Return boxes as (low1, low2, high1, high2) whatever corners they name."""
    low = np.minimum(boxes[:, :2], boxes[:, 2:])
    high = np.maximum(boxes[:, :2], boxes[:, 2:])
    return np.concatenate([low, high], axis=1)


def _overlaps(boxes: Array, others: Array) -> Array:
    """Return (m, n) intersections over unions of boxes; 0 for boxes without area."""
    left, right = boxes.T[:, :, None], others.T[:, None, :]
    low = np.maximum(left[:2], right[:2])
    sides = np.maximum(np.minimum(left[2:], right[2:]) - low, 0)
    shared = sides[0] * sides[1]
    area = (left[2] - left[0]) * (left[3] - left[1])
    areas = (right[2] - right[0]) * (right[3] - right[1])
    union = area + areas - shared
    valid = (areas > 0) & (area > 0) & (union > 0)
    result: Array = np.where(valid, shared / np.where(valid, union, 1), 0)
    return result


def nms(
    boxes: Array, scores: Array, *, limit: int, iou_threshold: float, score_threshold: float
) -> Array:
    """Return the kept boxes' indices, best first.

    Args:
        boxes: (n, 4), two opposite corners each.
        scores: (n,).
        limit: most boxes to keep.
        iou_threshold: a box is dropped if it overlaps a kept one by more than this.
        score_threshold: a score must exceed this.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ShapeError(
            f"nms: boxes of shape {boxes.shape} and scores of shape {scores.shape}, expected "
            "(n, 4) and (n,)."
        )
    corners = _corners(boxes.astype(np.float64))
    good = np.flatnonzero(scores > score_threshold)
    order = good[np.argsort(-scores[good].astype(np.float64), kind="stable")]
    kept: list[int] = []
    for start in range(0, len(order) if limit > 0 else 0, _BLOCK):
        block = order[start : start + _BLOCK]
        before = _overlaps(corners[kept], corners[block])
        block = block[(before <= iou_threshold).all(axis=0)]
        apart = _overlaps(corners[block], corners[block]) <= iou_threshold
        alive = np.ones(len(block), bool)
        for place, box in enumerate(block.tolist()):
            if alive[place]:
                kept.append(box)
                alive &= apart[place]
                if len(kept) == limit:
                    return np.array(kept, np.int32)
    return np.array(kept, np.int32)


def nms_classes(
    boxes: Array, scores: Array, *, limit: int, iou_threshold: float, score_threshold: float
) -> Array:
    """Return (batch, class, box) rows of the kept boxes.

    Args:
        boxes: (B, n, 4).    scores: (B, C, n).
        limit: most boxes per batch and class.
    """
    if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[:2] != (scores.shape[0], scores.shape[2]):
        raise ShapeError(
            f"nms: boxes {boxes.shape} and scores {scores.shape}, expected (B, n, 4) and (B, C, n)."
        )
    rows = []
    for batch in range(scores.shape[0]):
        for label in range(scores.shape[1]):
            kept = nms(
                boxes[batch],
                scores[batch, label],
                limit=limit,
                iou_threshold=iou_threshold,
                score_threshold=score_threshold,
            )
            rows += [(batch, label, int(each)) for each in kept]
    return np.array(rows, np.int32).reshape(-1, 3)


def _decoded(codes: Array, anchors: Array, scales: tuple[float, ...]) -> Array:
    """Return boxes (y1, x1, y2, x2) of centre-size codes (Liu et al., "SSD", 2016)."""
    y_scale, x_scale, h_scale, w_scale = scales
    y = codes[:, 0] / y_scale * anchors[:, 2] + anchors[:, 0]
    x = codes[:, 1] / x_scale * anchors[:, 3] + anchors[:, 1]
    height = np.exp(codes[:, 2] / h_scale) * anchors[:, 2] / 2
    width = np.exp(codes[:, 3] / w_scale) * anchors[:, 3] / 2
    return np.stack([y - height, x - width, y + height, x + width], axis=1)


def detection_post_process(
    codes: Array,
    predictions: Array,
    anchors: Array,
    *,
    num_classes: int,
    max_detections: int,
    max_classes_per_detection: int,
    detections_per_class: int,
    score_threshold: float,
    iou_threshold: float,
    regular: bool,
    scales: tuple[float, ...],
) -> tuple[Array, Array, Array, Array]:
    """Return (boxes, classes, scores, count) of a single-shot detector; unused rows are 0.

    Args:
        codes: (1, n, 4) encoded boxes.    predictions: (1, n, classes [+ 1 background]).
        anchors: (n, 4) centre and size.
        num_classes: without background, which comes first when it is there.
        max_detections: rows of the result.
        max_classes_per_detection: best classes that may use one box (fast form).
        detections_per_class: most boxes per class (regular form).
        regular: suppress per class instead of over the best score of each box.
        scales: divisors of the codes.
    """
    boxes = _decoded(codes[0].astype(np.float64), anchors.astype(np.float64), scales)
    background = predictions.shape[2] - num_classes
    if background < 0:
        raise ShapeError(
            f"detection_post_process: {predictions.shape[2]} scores for {num_classes} classes."
        )
    scores = predictions[0, :, background:].astype(np.float64)
    if regular:
        found = _regular(
            boxes, scores, detections_per_class, max_detections, iou_threshold, score_threshold
        )
    else:
        found = _fast(
            boxes, scores, max_classes_per_detection, max_detections, iou_threshold, score_threshold
        )
    rows = max_detections * (1 if regular else max_classes_per_detection)
    out_boxes, out_classes = np.zeros((1, rows, 4), np.float32), np.zeros((1, rows), np.float32)
    out_scores = np.zeros((1, rows), np.float32)
    for row, (box, label) in enumerate(found[:rows]):
        out_boxes[0, row] = boxes[box]
        out_classes[0, row] = label
        out_scores[0, row] = scores[box, label]
    return out_boxes, out_classes, out_scores, np.array([min(len(found), rows)], np.float32)


def _fast(
    boxes: Array, scores: Array, classes: int, limit: int, iou: float, threshold: float
) -> list[tuple[int, int]]:
    best = scores.max(axis=1) if scores.size else np.zeros(len(boxes))
    kept = nms(boxes, best, limit=limit, iou_threshold=iou, score_threshold=threshold)
    found = []
    for box in kept:
        order = np.argsort(-scores[box], kind="stable")[:classes]
        found += [(int(box), int(label)) for label in order]
    return found


def _regular(
    boxes: Array, scores: Array, per_class: int, limit: int, iou: float, threshold: float
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for label in range(scores.shape[1]):
        kept = nms(
            boxes, scores[:, label], limit=per_class, iou_threshold=iou, score_threshold=threshold
        )
        found += [(int(box), label) for box in kept]
        found.sort(key=lambda each: -scores[each[0], each[1]])
        found = found[:limit]
    return found
