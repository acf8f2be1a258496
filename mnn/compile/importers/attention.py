"""Attention with heads: views of queries, keys and values, and one kernel for many queries."""

from __future__ import annotations

import math

import numpy as np

from mnn.codegen.program import Program, Step, constant_step
from mnn.compile.flow import Flow, Value
from mnn.compile.importing import Application, imports
from mnn.compile.patterns import LEAST_ROWS

__all__: list[str] = []

_SINGLE = np.dtype(np.float32)
_BOOL = np.dtype(np.bool_)


@imports("attention")
def _attention(flow: Flow, node: Application) -> Value | None:
    q, k, v = (node.operand(position) for position in range(3))
    mask = node.optional(3)
    floats = [q, k, v, *([mask] if mask is not None and mask.dtype.kind == "f" else [])]
    if any(each.dtype != _SINGLE or each.size == 0 for each in floats):
        return None
    batch, length, heads, size = q.shape
    keys, groups = k.shape[1:3]
    shared = heads // groups
    # Query heads that share a key head have an axis of their own.
    rows = flow.permute(flow.reshape(q, (batch, length, groups, shared, size)), (0, 2, 3, 1, 4))
    columns = _with_axis(flow, flow.permute(k, (0, 2, 3, 1)))
    values = _with_axis(flow, flow.permute(v, (0, 2, 1, 3)))
    grid = (batch, groups, shared, length, keys)
    if mask is not None:
        mask = _mask(flow, mask, heads, grid)
    scale, causal = node.attributes["scale"], node.attributes["causal"]
    factor = 1 / math.sqrt(max(1, size)) if scale is None else float(scale)
    causal = mask is None if causal is None else bool(causal)
    shape = (*grid[:4], v.shape[3])
    if length >= LEAST_ROWS:
        made = flow.make(
            "attention",
            (rows, columns, values, *([] if mask is None else [mask])),
            shape,
            _SINGLE,
            {
                "program": _program(factor, mask),
                "batch": grid[:3],
                "causal": causal,
                "zero": True,
            },
        )
    else:
        scores = flow.make("matmul", (rows, columns), grid, _SINGLE)
        weights = _weights(flow, _scores(flow, scores, factor, mask, causal=causal))
        made = flow.make("matmul", (weights, values), shape, _SINGLE)
    return flow.reshape(flow.permute(made, (0, 3, 1, 2, 4)), node.shape)


def _with_axis(flow: Flow, x: Value) -> Value:
    """Return (batch, groups, ...) with an axis for the heads that share it."""
    return flow.reshape(x, (*x.shape[:2], 1, *x.shape[2:]))


def _mask(flow: Flow, mask: Value, heads: int, grid: tuple[int, ...]) -> Value:
    """Return a mask that broadcasts to the grid: float32 to add, or bool: True is visible."""
    lifted = flow.reshape(mask, (1,) * (4 - len(mask.shape)) + mask.shape)
    split = grid[1:3] if lifted.shape[1] == heads and heads > 1 else (1, 1)
    lifted = flow.reshape(lifted, (lifted.shape[0], *split, *lifted.shape[2:]))
    if mask.dtype.kind in "iu":
        return flow.map("not_equal", [lifted, flow.number(0, mask.dtype)], result=_BOOL)
    return lifted


def _program(factor: float, mask: Value | None) -> Program:
    """Return what becomes of a product of query and key."""
    single = _SINGLE.name
    if mask is None:
        steps = [constant_step(factor, single), Step("multiply", (0, 1), single, single)]
        return Program((single,), tuple(steps), (2,))
    steps = [constant_step(factor, single), Step("multiply", (0, 2), single, single)]
    if mask.dtype.kind == "f":
        steps.append(Step("add", (3, 1), single, single))
        return Program((single, single), tuple(steps), (4,))
    steps.append(constant_step(-math.inf, single))
    steps.append(Step("select", (1, 3, 4), single, single))
    return Program((single, "bool"), tuple(steps), (5,))


def _scores(
    flow: Flow, product: Value, factor: float, mask: Value | None, *, causal: bool
) -> Value:
    """Return the same step by step, with what a causal query does not see hidden."""
    scores = flow.map("multiply", [product, flow.number(factor, _SINGLE)])
    hidden = flow.number(-math.inf, _SINGLE)
    if mask is not None and mask.dtype.kind == "f":
        scores = flow.map("add", [scores, mask])
    elif mask is not None:
        scores = flow.map("select", [mask, scores, hidden], compute=_SINGLE)
    if causal:
        length, keys = product.shape[-2:]
        seen = flow.constant(np.tri(length, keys, keys - length, dtype=bool))
        scores = flow.map("select", [seen, scores, hidden], compute=_SINGLE)
    return scores


def _weights(flow: Flow, scores: Value) -> Value:
    """Return the softmax of rows; those that see nothing become zeros."""
    axes = (len(scores.shape) - 1,)
    top = flow.reduce("max", scores, axes)
    lowest = flow.map("equal", [top, flow.number(-math.inf, _SINGLE)], result=_BOOL)
    shift = flow.map("select", [lowest, flow.number(0, _SINGLE), top], compute=_SINGLE)
    powers = flow.map("exp", [flow.map("subtract", [scores, shift])])
    total = flow.reduce("sum", powers, axes)
    empty = flow.map("equal", [total, flow.number(0, _SINGLE)], result=_BOOL)
    divisor = flow.map("select", [empty, flow.number(1, _SINGLE), total], compute=_SINGLE)
    return flow.map("divide", [powers, divisor])
