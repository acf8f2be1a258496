"""Quantisation operators, and the rounding of int8 models.

An int8 model keeps its float graph and lists, for tensors that were quantised, the step and zero of
their codes. A quantised operator rounds its result to those codes: computing in float on rounded
operands and rounding the result is the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder
from mnn.format.handlers.structure import constant
from mnn.format.schema import schema
from mnn.ops import quantize as ops

__all__ = ["ROUNDED", "rounded"]

ROUNDED = frozenset(
    {
        "BinaryOp",
        "ConvInt8",
        "Convolution",
        "ConvolutionDepthwise",
        "DepthwiseConvInt8",
        "Interp",
        "LayerNorm",
        "PReLU",
        "Pooling",
        "ReLU",
        "Scale",
        "Softmax",
    }
)
"""Operators that run on codes when their operands and results have them."""


def rounded(x: Var, info: Any) -> Var:
    """Return x rounded to the codes of a `TensorQuantInfo`; other types are left alone."""
    kind = schema().enums["DataType"].by_value.get(info.type, "")
    if kind != "DT_INT8" or not info.scale > 0 or x.dtype.kind != "f":
        return x
    result: Var = ops.fake_quantize(
        x,
        constant(np.array([info.scale], np.float32)),
        constant(np.array([info.zero], np.float32)),
        minimum=int(info.min),
        maximum=int(info.max),
        layout=x.data_format.layout,
    )
    return result


def _zero(main: Any) -> Var:
    zeros = main.floatzeros
    if zeros is not None and zeros.size:
        return constant(zeros[:1])
    return constant(np.array([main.zeroPoint], np.float32))


@decoder("FloatToInt8")
def _float_to_int8(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    result: Var = ops.float_to_int8(
        x,
        constant(main.tensorScale),
        _zero(main),
        minimum=int(main.clampMin),
        maximum=int(main.clampMax),
        layout=x.data_format.layout,
    )
    return result


@decoder("Int8ToFloat")
def _int8_to_float(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    result: Var = ops.int8_to_float(
        x, constant(main.tensorScale), _zero(main), layout=x.data_format.layout
    )
    return result


def rounded_all(values: Sequence[Var], infos: Sequence[Any]) -> list[Var]:
    """Return values rounded where their info is known."""
    return [
        value if info is None else rounded(value, info)
        for value, info in zip(values, infos, strict=True)
    ]
