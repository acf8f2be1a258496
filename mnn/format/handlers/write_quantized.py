"""Writers of the quantisation operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.expr.enums import data_format
from mnn.format.encode import NodeCall, encoder, format_name
from mnn.format.handlers.write_window import _flat, _required

Array = np.ndarray[Any, Any]


def _zero(call: NodeCall, steps: Array) -> Mapping[str, Any]:
    """Return the fields that hold the code of 0, of which files have one."""
    zeros = _flat(_required(call, 2))
    zero = float(zeros[0]) if zeros.size else 0.0
    if (zeros != zero).any():
        raise UnsupportedError(
            f"save: {call.node.kind} with a zero per channel cannot be written. Use one for all."
        )
    if zero.is_integer() and -128 <= zero <= 127:
        return {"zeroPoint": int(zero)}
    return {"floatzeros": np.full(steps.size, zero, np.float32)}


def _bounds(call: NodeCall) -> Mapping[str, Any]:
    minimum, maximum = call.attributes["minimum"], call.attributes["maximum"]
    if minimum < -128 or maximum > 127:
        raise UnsupportedError(
            f"save: codes from {minimum} to {maximum} cannot be written. Use -128 to 127."
        )
    return {"clampMin": minimum, "clampMax": maximum}


@encoder("float_to_int8")
def _float_to_int8(call: NodeCall) -> None:
    factors = _flat(_required(call, 1))
    main = {**_bounds(call), **_zero(call, factors), "tensorScale": factors}
    call.emit_packed("FloatToInt8", "QuantizedFloatParam", main, call.inputs[:1])


@encoder("int8_to_float")
def _int8_to_float(call: NodeCall) -> None:
    steps = _flat(_required(call, 1))
    main = {**_zero(call, steps), "tensorScale": steps}
    call.emit_packed("Int8ToFloat", "QuantizedFloatParam", main, call.inputs[:1])


@encoder("fake_quantize")
def _fake_quantize(call: NodeCall) -> None:
    steps = _flat(_required(call, 1))
    if not (steps > 0).all():
        raise UnsupportedError("save: fake_quantize with a step of 0 cannot be written.")
    zero = _zero(call, steps)
    first = {**_bounds(call), **zero, "tensorScale": 1 / steps}
    second = {**zero, "tensorScale": steps}
    format = call.input_type(0).format
    packed = format is data_format.NC4HW4
    emit, temporary = call.encoder.emit, call.encoder.temporary
    source, result = call.inputs[:1], call.outputs[:1]
    if not packed:
        plain, source = source, [temporary("ConvertTensor")]
        main = {"source": format_name(format), "dest": "NC4HW4"}
        emit("ConvertTensor", plain, source, "TensorConvertInfo", main)
        result = [temporary("Int8ToFloat")]
    codes = [temporary("FloatToInt8")]
    emit("FloatToInt8", source, codes, "QuantizedFloatParam", first)
    emit("Int8ToFloat", codes, result, "QuantizedFloatParam", second)
    if not packed:
        main = {"source": "NC4HW4", "dest": format_name(format)}
        emit("ConvertTensor", result, call.outputs, "TensorConvertInfo", main)
