"""Quantisation said with elementwise steps."""

from __future__ import annotations

import numpy as np

from mnn.compile.flow import Flow, Value
from mnn.compile.importers.elementwise import channel_vector
from mnn.compile.importing import Application, imports

__all__: list[str] = []

_BOOL = np.dtype(np.bool_)


def _rounded(flow: Flow, x: Value) -> Value:
    """Return x rounded to the nearest integer, halves away from zero; see `round_half_away`."""
    whole = flow.map("trunc", [x])
    rest = flow.map("abs", [flow.map("subtract", [x, whole])])
    half = flow.number(0.5, x.dtype)
    further = flow.map("greater_equal", [rest, half], compute=x.dtype, result=_BOOL)
    away = flow.map(
        "select", [further, flow.map("sign", [x]), flow.number(0, x.dtype)], compute=x.dtype
    )
    return flow.map("add", [whole, away])


@imports("fake_quantize")
def _fake_quantize(flow: Flow, node: Application) -> Value | None:
    x, step, zero = node.operand(0), node.operand(1), node.optional(2)
    if x.dtype != np.float32 or len(x.shape) < 2 or x.size == 0:
        return None
    if any(each is not None and each.array is None for each in (step, zero)):
        return None
    layout, rank = node.attributes["layout"], len(x.shape)

    def spread(value: Value | None) -> Value:
        if value is None or value.array is None:
            return flow.number(0, x.dtype)
        numbers = flow.constant(value.array.astype(x.dtype).reshape(-1))
        return channel_vector(flow, numbers, rank, layout)

    width, origin = spread(step), spread(zero)
    codes = _rounded(flow, flow.map("add", [flow.map("divide", [x, width]), origin]))
    low = flow.number(node.attributes["minimum"], x.dtype)
    high = flow.number(node.attributes["maximum"], x.dtype)
    codes = flow.map("minimum", [flow.map("maximum", [codes, low]), high])
    return flow.map("multiply", [flow.map("subtract", [codes, origin]), width])
