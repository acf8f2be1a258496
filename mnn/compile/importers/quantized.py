"""Quantisation: codes and real numbers, and values rounded to what codes can express."""

from __future__ import annotations

import numpy as np

from mnn.compile import int8
from mnn.compile.flow import Flow, Value
from mnn.compile.importers.elementwise import channel_vector
from mnn.compile.importing import Application, imports

__all__: list[str] = []

_BOOL = np.dtype(np.bool_)
_FLOAT = np.dtype(np.float32)


def _away(flow: Flow, x: Value) -> Value:
    """Return x rounded to the nearest integer, halves away from zero; see `round_half_away`."""
    whole = flow.map("trunc", [x])
    rest = flow.map("abs", [flow.map("subtract", [x, whole])])
    half = flow.number(0.5, x.dtype)
    further = flow.map("greater_equal", [rest, half], compute=x.dtype, result=_BOOL)
    away = flow.map(
        "select", [further, flow.map("sign", [x]), flow.number(0, x.dtype)], compute=x.dtype
    )
    return flow.map("add", [whole, away])


def _spread(flow: Flow, value: Value | None, x: Value, layout: str) -> Value:
    """Return a known parameter, one number or one per channel, shaped to broadcast against x."""
    if value is None or value.array is None:
        return flow.number(0, _FLOAT)
    numbers = value.array.astype(_FLOAT).reshape(-1)
    if numbers.size == 1:
        return flow.constant(numbers.reshape(()))
    return channel_vector(flow, flow.constant(numbers), len(x.shape), layout)


def _known(node: Application) -> bool:
    """True when all parameters are constants, and fit the operand."""
    parameters = [each for each in node.operands[1:] if each is not None]
    single = all(each.size == 1 for each in parameters)
    ranked = single or len(node.operand(0).shape) >= 2
    return ranked and all(each.array is not None for each in parameters)


@imports("fake_quantize")
def _fake_quantize(flow: Flow, node: Application) -> Value | None:
    x, step, zero = node.operand(0), node.operand(1), node.optional(2)
    if x.dtype != np.float32 or len(x.shape) < 2 or x.size == 0 or not _known(node):
        return None
    minimum, maximum = node.attributes["minimum"], node.attributes["maximum"]
    scheme = int8.Scheme.of(
        step.array, None if zero is None else zero.array, int(minimum), int(maximum)
    )
    codes = None if scheme is None else int8.quantised(flow, x, scheme)
    if codes is not None and scheme is not None and int8.is_finite(flow, x):
        return int8.dequantised(flow, codes, scheme)
    width, origin = (_spread(flow, each, x, node.attributes["layout"]) for each in (step, zero))
    numbers = _away(flow, flow.map("add", [flow.map("divide", [x, width]), origin]))
    low, high = flow.number(minimum, x.dtype), flow.number(maximum, x.dtype)
    numbers = flow.map("minimum", [flow.map("maximum", [numbers, low]), high])
    found = flow.map("multiply", [flow.map("subtract", [numbers, origin]), width])
    if codes is not None and scheme is not None:
        flow.codes.setdefault(found, int8.Codes(codes, scheme))
    return found


@imports("float_to_int8")
def _float_to_int8(flow: Flow, node: Application) -> Value | None:
    x, inverse, zero = node.operand(0), node.operand(1), node.optional(2)
    minimum, maximum = int(node.attributes["minimum"]), int(node.attributes["maximum"])
    if x.dtype != np.float32 or x.size == 0 or not _known(node):
        return None
    if not -128 <= minimum <= maximum <= 127:
        return None
    factor, origin = (_spread(flow, each, x, node.attributes["layout"]) for each in (inverse, zero))
    scaled = flow.map("multiply", [x, factor])
    return int8.rounded(flow, flow.map("add", [scaled, origin]), 0.0, minimum, maximum)


@imports("int8_to_float")
def _int8_to_float(flow: Flow, node: Application) -> Value | None:
    codes, step, zero = node.operand(0), node.operand(1), node.optional(2)
    if codes.dtype != np.int8 or codes.size == 0 or not _known(node):
        return None
    scheme = int8.Scheme.of(step.array, None if zero is None else zero.array)
    if scheme is not None:
        return int8.dequantised(flow, codes, scheme)
    width, origin = (_spread(flow, each, codes, node.attributes["layout"]) for each in (step, zero))
    real = flow.map("cast", [codes], compute=codes.dtype, result=_FLOAT)
    return flow.map("multiply", [flow.map("subtract", [real, origin]), width])
