"""Operators whose result sizes depend on values, where a kernel finds the values.

A plan ends before such an operator. The kernel's results have room for as many values as there can
be; what is returned are those that were found.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mnn.backends.cpu.plan import Plan
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Tensor, contiguous
from mnn.codegen.target import host_target
from mnn.errors import CodegenError

__all__ = ["sized_results"]

Array = np.ndarray[Any, Any]
_INT = np.dtype(np.int32)
_FLOATS = (np.float32, np.float64)


def sized_results(
    name: str, operands: Sequence[Array | None], attributes: Mapping[str, Any], threads: int
) -> list[Array] | None:
    """Return an operator's results, None when no kernel takes it: its reference then does.

    Args:
        name: of the operator.    operands: its arrays.    attributes: of its node.
    """
    function = _FUNCTIONS.get(name)
    arrays = [each for each in operands if each is not None]
    if function is None or len(arrays) != len(operands):
        return None
    try:
        return function(arrays, attributes, threads)
    except CodegenError:
        return None


def _nms(
    arrays: Sequence[Array], attributes: Mapping[str, Any], threads: int
) -> list[Array] | None:
    boxes, scores = arrays
    if boxes.ndim != 2 or scores.ndim != 1:
        return None
    found = _kept(boxes[None], scores[None, None], attributes, threads)
    if found is None:
        return None
    kept, counts = found
    return [kept[0, 0, : counts[0, 0]].copy()]


def _nms_classes(
    arrays: Sequence[Array], attributes: Mapping[str, Any], threads: int
) -> list[Array] | None:
    boxes, scores = arrays
    if boxes.ndim != 3 or scores.ndim != 3:
        return None
    found = _kept(boxes, scores, attributes, threads)
    if found is None:
        return None
    kept, counts = found
    used = np.arange(kept.shape[2]) < counts[:, :, None]
    batch, label, _ = np.nonzero(used)
    return [np.stack([batch, label, kept[used]], axis=1).astype(np.int32)]


def _kept(
    boxes: Array, scores: Array, attributes: Mapping[str, Any], threads: int
) -> tuple[Array, Array] | None:
    """Return the positions of kept boxes for each class, and how many there are."""
    limit = min(int(attributes["limit"]), scores.shape[2])
    fits = boxes.shape == (scores.shape[0], scores.shape[2], 4)
    if not fits or limit < 1 or not scores.size:
        return None
    if boxes.dtype not in _FLOATS or scores.dtype not in _FLOATS:
        return None
    plan = _plan(
        boxes.shape,
        scores.shape,
        boxes.dtype,
        scores.dtype,
        limit,
        float(attributes["iou_threshold"]),
        float(attributes["score_threshold"]),
    )
    kept, counts = plan.run([boxes, scores], threads)
    return kept, counts


@functools.lru_cache(maxsize=64)
def _plan(
    boxes: tuple[int, ...],
    scores: tuple[int, ...],
    box_dtype: np.dtype[Any],
    score_dtype: np.dtype[Any],
    limit: int,
    iou_threshold: float,
    score_threshold: float,
) -> Plan:
    from mnn.codegen.templates import nms

    def tensor(shape: tuple[int, ...], dtype: np.dtype[Any], kind: str) -> Tensor:
        size = int(np.prod(shape)) * dtype.itemsize
        return contiguous(Buffer(size, kind), shape, dtype)

    rows, marks = tensor(boxes, box_dtype, INPUT), tensor(scores, score_dtype, INPUT)
    kept = tensor((*scores[:2], limit), _INT, OUTPUT)
    counts = tensor(scores[:2], _INT, OUTPUT)
    target = host_target()
    calls = nms.lower(
        rows,
        marks,
        kept,
        counts,
        target,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
    )
    return Plan(calls, [rows, marks], [kept, counts], target)


_FUNCTIONS: dict[str, Callable[[Sequence[Array], Mapping[str, Any], int], list[Array] | None]] = {
    "nms": _nms,
    "nms_classes": _nms_classes,
}
