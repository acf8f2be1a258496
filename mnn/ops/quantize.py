"""Quantisation: to int8 and back, and convolution of codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.codec import Codec
from mnn.ops.operands import array_of, as_var
from mnn.ops.reference import quantize as maths
from mnn.ops.samples import integers, normal, positive
from mnn.ops.spec import REAL, BadCall, OpSpec, Sample

__all__ = [
    "dequant",
    "dynamic_quantize",
    "fake_quantize",
    "float_to_int8",
    "int8_to_float",
    "quant",
]

Array = np.ndarray[Any, Any]
_INT8: np.dtype[Any] = np.dtype(np.int8)
_FLOAT: np.dtype[Any] = np.dtype(np.float32)


def _needs_float(name: str, x: TensorType) -> None:
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: found {x.dtype}, expected a floating-point type.")


def _infer_quantise(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    _needs_float("float_to_int8", types[0])
    return types[0].with_dtype(_INT8)


_RANGE: Mapping[str, Any] = {"minimum": -127, "maximum": 127, "layout": "NCHW"}

float_to_int8: OpSpec = OpSpec(
    "float_to_int8",
    ("x", "inverse_step", "zero"),
    _infer_quantise,
    maths.float_to_int8,
    "quantize",
    attributes=_RANGE,
    grad=lambda call: [None, None, None],
    codec=Codec("FloatToInt8", handled=True),
    onnx="QuantizeLinear",
    kinds={"inverse_step": REAL, "zero": REAL},
    samples=(
        Sample((normal(1, 3, 2, 2) * 9, positive(3), np.zeros(1, np.float32)), gradient=False),
        Sample((normal(4) * 300, positive(1), np.array([3.0], np.float32)), gradient=False),
        Sample((normal(0, 3), positive(3), np.zeros(1, np.float32)), gradient=False),
    ),
    bad=(BadCall("integers", (integers(3), positive(1), normal(1)), DTypeError),),
    doc="int8 codes clip(round(x * inverse_step + zero), minimum, maximum)",
)

int8_to_float: OpSpec = OpSpec(
    "int8_to_float",
    ("codes", "step", "zero"),
    lambda types, attributes: types[0].with_dtype(_FLOAT),
    maths.int8_to_float,
    "quantize",
    attributes={"layout": "NCHW"},
    grad=lambda call: [None, None, None],
    codec=Codec("Int8ToFloat", handled=True),
    onnx="DequantizeLinear",
    kinds={"step": REAL, "zero": REAL},
    samples=(
        Sample(
            (integers(1, 3, 2, dtype=np.int8), positive(3), np.zeros(1, np.float32)), gradient=False
        ),
        Sample(
            (integers(4, dtype=np.int8), positive(1), np.array([3.0], np.float32)), gradient=False
        ),
        Sample(
            (integers(0, 3, dtype=np.int8), positive(3), np.zeros(1, np.float32)), gradient=False
        ),
    ),
    doc="(codes - zero) * step as float32",
)

dynamic_quantize: OpSpec = OpSpec(
    "dynamic_quantize",
    ("x",),
    lambda types, attributes: [
        types[0].with_dtype(_INT8),
        TensorType((1,), _FLOAT),
        TensorType((1,), _FLOAT),
    ],
    maths.dynamic_quantize,
    "quantize",
    codec=Codec("DynamicQuant"),
    onnx="DynamicQuantizeLinear",
    samples=(
        Sample((normal(3, 4),), gradient=False),
        Sample((np.full(3, 2.5, np.float32),), gradient=False),
        Sample((normal(0),), gradient=False),
    ),
    doc="int8 codes that spread the range of x over all 256 codes, their step and zero",
)

fake_quantize_grad: OpSpec = OpSpec(
    "fake_quantize_grad",
    ("g", "x", "step", "zero"),
    lambda types, attributes: types[0].with_shape(types[1].shape),
    maths.fake_quantize_grad,
    "quantize",
    attributes=_RANGE,
    kinds={"step": REAL, "zero": REAL},
    samples=(
        Sample((normal(4), normal(4) * 200, positive(1), np.zeros(1, np.float32)), gradient=False),
        Sample((normal(1, 3, 2), normal(1, 3, 2), positive(3), np.zeros(1, "f4")), gradient=False),
        Sample((normal(0), normal(0), positive(1), np.zeros(1, "f4")), gradient=False),
    ),
    doc="gradient of fake_quantize: passed where the code was not clipped",
)

fake_quantize: OpSpec = OpSpec(
    "fake_quantize",
    ("x", "step", "zero"),
    lambda types, attributes: types[0].with_shape(types[0].shape),
    maths.fake_quantize,
    "quantize",
    attributes=_RANGE,
    grad=lambda call: [
        fake_quantize_grad(
            call.grad, call.input(0), call.input(1), call.input(2), **call.attributes
        ),
        None,
        None,
    ],
    kinds={"step": REAL, "zero": REAL},
    samples=(
        Sample((normal(4) * 9, positive(1), np.zeros(1, np.float32)), gradient=False),
        Sample((normal(1, 3, 2), positive(3), np.zeros(1, np.float32)), gradient=False),
        Sample((normal(0), positive(1), np.zeros(1, np.float32)), gradient=False),
    ),
    doc="x rounded to what its int8 code can express",
)


def quant(x: Any, scale: Any, min: int = -128, max: int = 127, zero: int = 0) -> Var:
    """Return int8 codes of x: `clip(round(x * scale + zero), min, max)`.

    Args:
        x: float array with channels on axis 1 (the last for NHWC).
        scale: reciprocal step: one number, or one per channel.
        min, max: bounds of the codes.
        zero: code of 0.
    """
    operand = as_var(x, "quant")
    factors = np.asarray(array_of(scale, "quant"), np.float32).reshape(-1)
    result: Var = float_to_int8(
        operand,
        Var(factors),
        Var(np.array([zero], np.float32)),
        minimum=int(min),
        maximum=int(max),
        layout=operand.data_format.layout,
    )
    return result


def dequant(x: Any, scale: Any, zero: int = 0) -> Var:
    """Return `(x - zero) * scale` as float32; `scale` is one number, or one per channel."""
    operand = as_var(x, "dequant")
    factors = np.asarray(array_of(scale, "dequant"), np.float32).reshape(-1)
    result: Var = int8_to_float(
        operand,
        Var(factors),
        Var(np.array([zero], np.float32)),
        layout=operand.data_format.layout,
    )
    return result
