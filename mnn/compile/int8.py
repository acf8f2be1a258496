"""Values that are known to be int8 codes, and what is computed on the codes themselves.

A quantised network rounds values to what int8 codes can express. Such a value is imported as codes
and the steps that make real numbers of them, `(codes - zero) * step`; the flow remembers the codes.
Convolutions then take these, elementwise work begins or ends with the few steps around them, and
fusion stores the codes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.codegen.target import Target
from mnn.codegen.templates.int8_conv import suits
from mnn.codegen.templates.int8_steps import CODES
from mnn.codegen.templates.int8_tile import fits
from mnn.compile.flow import VIEWS, Flow, Value
from mnn.records import dataclass

__all__ = [
    "Codes",
    "Scheme",
    "codes_of",
    "convolution",
    "dequantised",
    "is_finite",
    "quantised",
    "weight_codes",
]

Array = np.ndarray[Any, Any]
_FLOAT = np.dtype(np.float32)
_INT8 = np.dtype(np.int8)
_WHOLE = 1e-4
"""How far from an integer a weight divided by its step may be: some rounding errors of float32."""


@dataclass(frozen=True)
class Scheme:
    """What codes mean: (code - zero) * step.

    Attributes:
        step: a float32 number, positive and finite, whose reciprocal is finite too.
        zero: a code.
        minimum, maximum: bounds of the codes.
    """

    step: float
    zero: int
    minimum: int = -128
    maximum: int = 127

    @classmethod
    def of(
        cls, step: Array | None, zero: Array | None, minimum: int = -128, maximum: int = 127
    ) -> Scheme | None:
        """Return the scheme of known parameters, None where codes are not plain int8."""
        origin = np.zeros(1) if zero is None else zero
        if step is None or step.size != 1 or origin.size != 1:
            return None
        width, place = float(np.float32(step.reshape(-1)[0])), float(origin.reshape(-1)[0])
        with np.errstate(over="ignore", divide="ignore"):
            inverse = np.float32(1) / np.float32(width) if width > 0 else np.float32(np.inf)
        if not (0 < width < math.inf and 0 < inverse < math.inf and place.is_integer()):
            return None
        if not (-128 <= minimum <= maximum <= 127 and -128 <= place <= 127):
            return None
        return cls(width, int(place), minimum, maximum)


@dataclass(frozen=True)
class Codes:
    """The codes of a value."""

    value: Value
    scheme: Scheme


def quantised(flow: Flow, x: Value, scheme: Scheme) -> Value:
    """Return the int8 codes of a float32 value."""
    if x.kind == "concat":
        parts = [quantised(flow, each, scheme) for each in x.inputs]
        return flow.concat(parts, x.attributes["axis"])
    known = codes_of(flow, x)
    if known is not None and _covers(scheme, known.scheme):
        return known.value
    inverse = np.float32(1) / np.float32(scheme.step)
    scaled = flow.map("multiply", [x, flow.number(float(inverse), _FLOAT)])
    return rounded(flow, scaled, float(scheme.zero), scheme.minimum, scheme.maximum)


def _covers(scheme: Scheme, known: Scheme) -> bool:
    """True when codes of `known` are the codes of the same numbers in `scheme`."""
    same = scheme.step == known.step and scheme.zero == known.zero
    return same and scheme.minimum <= known.minimum and known.maximum <= scheme.maximum


def rounded(flow: Flow, scaled: Value, zero: float, minimum: int, maximum: int) -> Value:
    """Return clip(round(scaled + zero), minimum, maximum) as int8."""
    if zero:
        scaled = flow.map("add", [scaled, flow.number(zero, _FLOAT)])
    bounds = {"minimum": minimum, "maximum": maximum}
    return flow.map(CODES, [scaled], compute=_FLOAT, result=_INT8, parameters=bounds)


def dequantised(flow: Flow, codes: Value, scheme: Scheme) -> Value:
    """Return the float32 numbers that codes stand for; the flow remembers what they come from."""
    real = flow.map("cast", [codes], compute=_INT8, result=_FLOAT)
    if scheme.zero:
        real = flow.map("subtract", [real, flow.number(scheme.zero, _FLOAT)])
    real = flow.map("multiply", [real, flow.number(scheme.step, _FLOAT)])
    flow.codes.setdefault(real, Codes(codes, scheme))
    return real


def codes_of(flow: Flow, x: Value) -> Codes | None:
    """Return the codes of a value or of what it is a view of, seen the same way."""
    found: Codes | None = flow.codes.get(x)
    if found is not None or x.kind not in VIEWS:
        return found
    found = codes_of(flow, x.inputs[0])
    if found is None:
        return None
    if x.kind == "permute":
        moved = flow.permute(found.value, x.attributes["axes"])
    elif x.kind == "reshape":
        moved = flow.reshape(found.value, x.shape)
    elif x.kind == "slice":
        moved = flow.slice(found.value, x.attributes["starts"], x.attributes["steps"], x.shape)
    else:
        moved = flow.broadcast(found.value, x.shape)
    return Codes(moved, found.scheme)


_SAFE = frozenset({"add", "subtract", "multiply", "relu", "relu6", "maximum", "minimum", "cast"})


def is_finite(flow: Flow, x: Value, depth: int = 12) -> bool:
    """True when a value has no NaN, because it is made of codes in few simple steps.

    Rounding such a value keeps everything; where NaN may come, NaN has to stay.
    """
    if x in flow.codes or x.kind == "conv_int8":
        return True
    if x.array is not None:
        return x.size <= 1 << 16 and bool(np.isfinite(x.array).all())
    if depth == 0:
        return False
    safe = x.kind in VIEWS or x.kind in ("concat", "pool")
    safe = safe or (x.kind == "map" and x.attributes["step"] in _SAFE)
    safe = safe or (x.kind == "reduce" and x.attributes["name"] in ("sum", "max"))
    if x.kind == "map" and x.attributes["step"] == "divide":
        divisor = x.inputs[1].array
        safe = divisor is not None and bool(divisor.all())
    return safe and all(is_finite(flow, each, depth - 1) for each in x.inputs)


def weight_codes(weight: Array) -> tuple[Array, Array] | None:
    """Return int8 codes and float64 steps, one per output channel, of float32 weights.

    None when they are not of that kind: a channel whose weights are not integers in -128..127 times
    one number, but for the rounding of that product.
    """
    rows = weight.reshape(weight.shape[0], -1).astype(np.float64)
    largest = np.abs(rows).max(axis=1, initial=0)
    if not np.isfinite(largest).all():
        return None
    codes = np.zeros(rows.shape, np.int8)
    steps = np.ones(len(rows))
    left = np.flatnonzero(largest)
    for count in (127, 128, *range(126, 0, -1)):
        if not left.size:
            break
        width = largest[left, None] / count
        scaled = rows[left] / width
        whole = np.rint(scaled)
        good = (np.abs(scaled - whole) <= _WHOLE).all(axis=1) & (whole <= 127).all(axis=1)
        chosen = left[good]
        codes[chosen], steps[chosen] = whole[good], width[good, 0]
        left = left[~good]
        if count == 126 and left.size and not _plausible(rows[left[0]]):
            return None
    return None if left.size else (codes.reshape(weight.shape), steps)


def _plausible(row: Array) -> bool:
    """True when a row has as few distinct numbers as codes allow."""
    return np.unique(row).size <= 256


def convolution(
    flow: Flow,
    target: Target,
    x: Codes,
    weight: Value,
    bias: Sequence[Value],
    shape: Sequence[int],
    window: Mapping[str, Any],
) -> Value | None:
    """Return a convolution of codes, None when its weights are none or kernels do not take it.

    Args:
        x: channels first.
        weight: float32, (outputs, inputs of a group, kernel...).
        bias: float32, one per output channel, or nothing.
        shape: of the result.    window: attributes of a `conv`.
    """
    known = weight.array is not None and all(each.array is not None for each in bias)
    if not known or weight.array is None or not 3 <= len(weight.shape) <= 5:
        return None
    groups = window["groups"]
    outputs, inputs, taps = weight.shape[0], weight.shape[1], math.prod(weight.shape[2:])
    if not suits(target, groups, outputs // groups, inputs) or not fits(inputs * taps):
        return None
    found = weight_codes(weight.array)
    if found is None:
        return None
    codes, steps = found
    offset = np.zeros(outputs)
    if bias and bias[0].array is not None:
        offset = bias[0].array.astype(np.float64)
    if not np.isfinite(offset).all():
        return None
    operands = [
        x.value,
        flow.constant(codes),
        flow.constant(steps * x.scheme.step),
        flow.constant(offset),
    ]
    attributes = {**window, "zero": x.scheme.zero}
    return flow.make("conv_int8", operands, shape, _FLOAT, attributes)
