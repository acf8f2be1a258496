"""Detection: suppression of overlapping boxes, and decoding of detectors' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.expr.symbols import fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.codec import Codec
from mnn.ops.operands import as_var
from mnn.ops.reference import detection
from mnn.ops.samples import normal, positive
from mnn.ops.spec import REAL, REQUIRED, OpSpec, Sample

__all__ = ["detection_post_process", "nms", "nms_classes"]

_INT: np.dtype[Any] = np.dtype(np.int32)
_FLOAT: np.dtype[Any] = np.dtype(np.float32)

_BOXES = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]], np.float32)
_SCORES = np.array([0.9, 0.8, 0.7], np.float32)
_SUPPRESS: Mapping[str, Any] = {"limit": REQUIRED, "iou_threshold": 0.0, "score_threshold": 0.0}

_nms: OpSpec = OpSpec(
    "nms",
    ("boxes", "scores"),
    lambda types, attributes: TensorType((fresh("kept"),), _INT),
    detection.nms,
    "image",
    attributes=_SUPPRESS,
    grad=lambda call: [None, None],
    codec=Codec("NonMaxSuppressionV2", handled=True),
    onnx="NonMaxSuppression",
    kinds={"boxes": REAL, "scores": REAL},
    samples=(
        Sample((_BOXES, _SCORES), {"limit": 3, "iou_threshold": 0.5}, gradient=False),
        Sample((_BOXES, _SCORES), {"limit": 1, "score_threshold": 0.75}, gradient=False),
        Sample(
            (np.zeros((0, 4), np.float32), np.zeros(0, np.float32)), {"limit": 3}, gradient=False
        ),
    ),
    doc="indices of boxes kept by greedy non-maximum suppression, best first",
)

nms_classes: OpSpec = OpSpec(
    "nms_classes",
    ("boxes", "scores"),
    lambda types, attributes: TensorType((fresh("kept"), 3), _INT),
    detection.nms_classes,
    "image",
    attributes=_SUPPRESS,
    grad=lambda call: [None, None],
    codec=Codec("NonMaxSuppressionV2", handled=True),
    onnx="NonMaxSuppression",
    kinds={"boxes": REAL, "scores": REAL},
    samples=(
        Sample(
            (_BOXES[None], np.stack([_SCORES, _SCORES[::-1]])[None]),
            {"limit": 3, "iou_threshold": 0.5},
            gradient=False,
        ),
        Sample((_BOXES[None], _SCORES[None, None]), {"limit": 0}, gradient=False),
        Sample(
            (np.zeros((1, 0, 4), np.float32), np.zeros((1, 2, 0), np.float32)),
            {"limit": 3},
            gradient=False,
        ),
    ),
    doc="(batch, class, box) rows kept by non-maximum suppression per class",
)


def nms(
    boxes: Any,
    scores: Any,
    max_detections: int,
    iou_threshold: float = -1.0,
    score_threshold: float = -1.0,
) -> Var:
    """Return the indices of the kept boxes, best score first.

    Args:
        boxes: `(n, 4)`, two opposite corners each.
        scores: `(n,)`.
        max_detections: most boxes to keep.
        iou_threshold: boxes that overlap a kept one by more are dropped; negative: 0.5.
        score_threshold: scores must exceed it; negative: no limit.

    Raises:
        ShapeError: counts of boxes and scores differ.
    """
    result: Var = _nms(
        as_var(boxes, "nms"),
        as_var(scores, "nms"),
        limit=int(max_detections),
        iou_threshold=0.5 if iou_threshold < 0 else float(iou_threshold),
        score_threshold=float("-inf") if score_threshold < 0 else float(score_threshold),
    )
    return result


def _infer_detections(
    types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> list[TensorType]:
    rows = attributes["max_detections"]
    if not attributes["regular"]:
        rows *= attributes["max_classes_per_detection"]
    return [
        TensorType((1, rows, 4), _FLOAT),
        TensorType((1, rows), _FLOAT),
        TensorType((1, rows), _FLOAT),
        TensorType((1,), _FLOAT),
    ]


_detection: OpSpec = OpSpec(
    "detection_post_process",
    ("codes", "predictions", "anchors"),
    _infer_detections,
    detection.detection_post_process,
    "image",
    attributes={
        "num_classes": REQUIRED,
        "max_detections": REQUIRED,
        "max_classes_per_detection": 1,
        "detections_per_class": 100,
        "score_threshold": 0.0,
        "iou_threshold": 0.5,
        "regular": False,
        "scales": (10.0, 10.0, 5.0, 5.0),
    },
    grad=lambda call: [None, None, None],
    codec=Codec("DetectionPostProcess", handled=True),
    kinds={"codes": REAL, "predictions": REAL, "anchors": REAL},
    samples=tuple(
        Sample(
            (normal(1, count, 4), positive(1, count, 3), positive(count, 4)),
            {"num_classes": 2, "max_detections": 3, "regular": regular},
            gradient=False,
        )
        for count, regular in ((6, False), (6, True), (0, False))
    ),
    doc="boxes, classes, scores and count decoded from a single-shot detector",
)


def detection_post_process(
    encode_boxes: Any,
    class_predictions: Any,
    anchors: Any,
    num_classes: int,
    max_detections: int,
    max_class_per_detection: int,
    detections_per_class: int,
    nms_threshold: float,
    iou_threshold: float,
    use_regular_nms: bool,
    centersize_encoding: Sequence[float],
) -> list[Var]:
    """Return `[boxes, classes, scores, count]` decoded from a single-shot detector.

    Args:
        encode_boxes: `(1, n, 4)`.    class_predictions: `(1, n, classes)`, background first if any.
        anchors: `(n, 4)` centres and sizes.
        num_classes: without background.
        max_detections: rows of the result; unused ones are 0.
        max_class_per_detection: classes that may use one box.
        detections_per_class: most boxes per class with regular suppression.
        nms_threshold: scores must exceed it.
        iou_threshold: overlap above which boxes are dropped.
        use_regular_nms: suppress per class.
        centersize_encoding: the four divisors of the codes.
    """
    found = _detection(
        as_var(encode_boxes, "detection_post_process"),
        as_var(class_predictions, "detection_post_process"),
        as_var(anchors, "detection_post_process"),
        num_classes=int(num_classes),
        max_detections=int(max_detections),
        max_classes_per_detection=int(max_class_per_detection),
        detections_per_class=int(detections_per_class),
        score_threshold=float(nms_threshold),
        iou_threshold=float(iou_threshold),
        regular=bool(use_regular_nms),
        scales=tuple(float(each) for each in centersize_encoding),
    )
    return list(found)
