"""Decoding and suppression of a single-shot detector's boxes, as in its reference, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importers.indexing import Places
from mnn.compile.importers.sorting import first_of_rows
from mnn.compile.importing import Application, imports

__all__: list[str] = []

_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_INT, _BOOL = np.dtype(np.int32), np.dtype(np.bool_)


@imports("detection_post_process")
def _detection(flow: Flow, node: Application) -> Sequence[Value] | None:
    codes, predictions, anchors = (node.operand(position) for position in range(3))
    attributes = node.attributes
    count, classes = codes.shape[1], attributes["num_classes"]
    background = predictions.shape[2] - classes
    per_class, limit = attributes["detections_per_class"], attributes["max_detections"]
    most, iou = attributes["max_classes_per_detection"], attributes["iou_threshold"]
    fits = (
        codes.shape == (1, count, 4)
        and anchors.shape == (count, 4)
        and predictions.shape[:2] == (1, count)
        and background >= 0
    )
    floats = all(each.dtype in (_SINGLE, _DOUBLE) for each in (codes, predictions, anchors))
    if not fits or not floats or not node.computes("exp", _DOUBLE):
        return None
    if min(count, classes, limit, per_class, most) < 1 or not iou >= 0:
        return None
    boxes = _decoded(flow, _double(flow, codes), _double(flow, anchors), attributes["scales"])
    scores = flow.slice(predictions, (0, 0, background), (1, 1, 1), (1, count, classes))
    scores = _double(flow, flow.reshape(scores, (count, classes)))
    rows = limit * (1 if attributes["regular"] else most)
    thresholds = {"iou_threshold": float(iou), "score_threshold": attributes["score_threshold"]}
    if attributes["regular"]:
        found = _by_class(flow, boxes, scores, min(per_class, count), limit, thresholds)
    else:
        found = _by_best(flow, boxes, scores, min(most, classes), limit, thresholds)
    return _results(flow, found, rows)


def _double(flow: Flow, x: Value) -> Value:
    return flow.map("cast", [x], result=_DOUBLE)


def _decoded(flow: Flow, codes: Value, anchors: Value, scales: Sequence[float]) -> Value:
    """Return (count, 4) boxes y1, x1, y2, x2 of centre-size codes."""
    count = anchors.shape[0]

    def column(x: Value, number: int) -> Value:
        rows = flow.reshape(x, (count, 4))
        return flow.slice(rows, (0, number), (1, 1), (count, 1))

    def step(name: str, left: Value, right: Value | float) -> Value:
        other = right if isinstance(right, Value) else flow.number(right, _DOUBLE)
        return flow.map(name, [left, other])

    low, high = [], []
    for axis in (0, 1):
        size = column(anchors, axis + 2)
        middle = step("multiply", step("divide", column(codes, axis), scales[axis]), size)
        middle = step("add", middle, column(anchors, axis))
        power = flow.map("exp", [step("divide", column(codes, axis + 2), scales[axis + 2])])
        half = step("divide", step("multiply", power, size), 2.0)
        low.append(step("subtract", middle, half))
        high.append(step("add", middle, half))
    return flow.concat([*low, *high], 1)


def _suppressed(
    flow: Flow, boxes: Value, scores: Value, limit: int, thresholds: dict[str, float]
) -> tuple[Value, Value]:
    """Return (classes, limit) positions of kept boxes, 0 where there are fewer, and their counts.

    Args:
        scores: (classes, count).
    """
    lifted = [flow.reshape(each, (1, *each.shape)) for each in (boxes, scores)]
    shape = (1, scores.shape[0], limit)
    types = ((shape, _INT), (shape[:2], _INT))
    made = flow.make("nms", lifted, (), _BOOL, {**thresholds, "types": types})
    kept, counts = (
        flow.make("part", (made,), shape, dtype, {"port": port})
        for port, (shape, dtype) in enumerate(types)
    )
    return flow.reshape(kept, shape[1:]), flow.reshape(counts, (scores.shape[0],))


def _taken(flow: Flow, x: Value, index: Value, axis: int = 0) -> Value:
    """Return the elements of x, (rows, columns), at a vector of rows or, for axis 1, a matrix."""
    if axis == 0:
        shape: tuple[int, ...] = (index.size, x.shape[1])
        axes, lifted = (-1, 1), flow.reshape(index, (index.size, 1))
    else:
        shape, axes, lifted = index.shape, (0, -1), index
    places = Places((lifted,), axes, (0, 0), (1, 1), x.shape)
    found = places.gather(flow, x, shape)
    assert found is not None, "indices are integers, and there are elements"
    return found


_Found = tuple[Value, Value, Value, Value]
"""Boxes (rows, 4), labels (rows,), scores (rows,), and how many rows are used."""


def _by_best(
    flow: Flow, boxes: Value, scores: Value, most: int, limit: int, thresholds: dict[str, float]
) -> _Found:
    """Return the boxes kept by their best scores, each with its `most` best labels."""
    best = flow.reshape(flow.reduce("max", scores, (1,)), (1, scores.shape[0]))
    kept, counts = _suppressed(flow, boxes, best, limit, thresholds)
    own = _taken(flow, scores, flow.reshape(kept, (limit,)))
    # NaN comes last, so the order is that of negative scores.
    values, labels = first_of_rows(flow, flow.map("negative", [own]), most, descending=False)
    rows = limit * most
    picked = _taken(flow, boxes, flow.reshape(kept, (limit,)))
    spread = flow.broadcast(flow.reshape(picked, (limit, 1, 4)), (limit, most, 4))
    used = flow.map("multiply", [counts, flow.number(most, _INT)])
    return (
        flow.reshape(spread, (rows, 4)),
        flow.reshape(labels, (rows,)),
        flow.reshape(flow.map("negative", [values]), (rows,)),
        used,
    )


def _by_class(
    flow: Flow,
    boxes: Value,
    scores: Value,
    per_class: int,
    limit: int,
    thresholds: dict[str, float],
) -> _Found:
    """Return the best of the boxes that are kept in each class."""
    classes = scores.shape[1]
    turned = flow.permute(scores, (1, 0))
    kept, counts = _suppressed(flow, boxes, turned, per_class, thresholds)
    own = _taken(flow, turned, kept, axis=1)
    numbers = flow.constant(np.arange(per_class, dtype=np.int32)[None])
    used = flow.map("less", [numbers, flow.reshape(counts, (classes, 1))], result=_BOOL)
    last = flow.number(np.inf, _DOUBLE)
    keys = flow.map("select", [used, flow.map("negative", [own]), last], compute=_DOUBLE)
    every = classes * per_class
    rows = min(limit, every)
    flat = flow.reshape(keys, (1, every))
    values, places = first_of_rows(flow, flat, rows, descending=False)
    places = flow.reshape(places, (rows,))
    labels = flow.map("floordiv", [places, flow.number(per_class, _INT)])
    chosen = _taken(flow, flow.reshape(kept, (every, 1)), places)
    total = flow.reshape(flow.reduce("sum", counts, (0,)), (1,))
    return (
        _taken(flow, boxes, flow.reshape(chosen, (rows,))),
        labels,
        flow.reshape(flow.map("negative", [values]), (rows,)),
        total,
    )


def _results(flow: Flow, found: _Found, rows: int) -> list[Value]:
    """Return the operator's results, whose unused rows are 0."""
    boxes, labels, scores, total = found
    made = boxes.shape[0]
    count = flow.map("minimum", [total, flow.number(made, _INT)])
    used = flow.map("less", [flow.constant(np.arange(made, dtype=np.int32)), count], result=_BOOL)
    nothing = flow.number(0, _SINGLE)
    results = []
    for value in (boxes, labels, scores):
        single = flow.map("cast", [value], compute=value.dtype, result=_SINGLE)
        wide = flow.reshape(used, (made, *(1,) * (len(value.shape) - 1)))
        chosen = flow.map("select", [wide, single, nothing], compute=_SINGLE)
        shape = (rows, *value.shape[1:])
        if made < rows:
            before = (0,) * len(shape)
            chosen = flow.make("pad", (chosen,), shape, _SINGLE, {"before": before, "value": 0.0})
        results.append(flow.reshape(chosen, (1, *shape)))
    return [*results, flow.map("cast", [count], compute=_INT, result=_SINGLE)]
