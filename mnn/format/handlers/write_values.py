"""Writers of reductions, comparisons, sorting, random numbers and control flow."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.format.encode import NodeCall, data_type, encoder

_TRANSPOSES = ("transposeA", "transposeB")

_REDUCTIONS = {
    "reduce_sum": "SUM",
    "reduce_mean": "MEAN",
    "reduce_max": "MAXIMUM",
    "reduce_min": "MINIMUM",
    "reduce_prod": "PROD",
    "reduce_any": "ANY",
    "reduce_all": "ALL",
}


@encoder(*_REDUCTIONS)
def _reduction(call: NodeCall) -> None:
    attributes = call.attributes
    main: dict[str, Any] = {
        "operation": _REDUCTIONS[call.node.kind],
        "keepDims": attributes["keepdims"],
    }
    if attributes["axes"] is not None:
        main["dim"] = list(attributes["axes"])
    if call.node.kind in ("reduce_any", "reduce_all"):
        call.emit("Reduction", "ReductionParam", main, inputs=_flags(call)[:1])
        return
    source, target = call.input_type(0).dtype, call.node.types[0].dtype
    if source.kind in "biu" and target.kind == "f":
        # The mean of integers is a float here, and an integer in files.
        real = call.encoder.temporary("Cast")
        cast = {"srcT": data_type(source), "dstT": "DT_FLOAT"}
        call.encoder.emit("Cast", call.inputs[:1], [real], "CastParam", cast)
        call.emit("Reduction", "ReductionParam", main, inputs=[real])
        return
    call.emit("Reduction", "ReductionParam", main)


@encoder("argmax", "argmin")
def _position(call: NodeCall) -> None:
    name = "ArgMax" if call.node.kind == "argmax" else "ArgMin"
    main = {"axis": call.attributes["axis"]}
    if not call.attributes["keepdims"]:
        call.emit(name, "ArgMax", main)
        return
    found = call.encoder.temporary(name)
    call.encoder.emit(name, call.inputs, [found], "ArgMax", main)
    axes = {"squeezeDims": [call.attributes["axis"]]}
    call.emit("Unsqueeze", "SqueezeParam", axes, inputs=[found])


@encoder("cumsum")
def _cumsum(call: NodeCall) -> None:
    axis = call.encoder.constant(np.array(call.attributes["axis"], np.int32))
    main = {name: call.attributes[name] for name in ("exclusive", "reverse")}
    call.emit("CumSum", "CumSum", main, inputs=[call.inputs[0], axis])


@encoder("mod", "truncated_remainder")
def _remainder(call: NodeCall) -> None:
    floats = call.node.types[0].dtype.kind == "f"
    if call.node.kind == "truncated_remainder" and not floats:
        _truncated_integers(call)
        return
    # The format's MOD is Python's remainder for integers and C's for floats.
    member = "FLOORMOD" if floats and call.node.kind == "mod" else "MOD"
    call.emit("BinaryOp", "BinaryOp", {"opType": member})


def _truncated_integers(call: NodeCall) -> None:
    """Write x - trunc(x / y) * y: the format's integer division truncates."""
    quotient, whole = (call.encoder.temporary("BinaryOp") for _ in range(2))
    emit, (x, y) = call.encoder.emit, call.inputs
    emit("BinaryOp", [x, y], [quotient], "BinaryOp", {"opType": "REALDIV"})
    emit("BinaryOp", [quotient, y], [whole], "BinaryOp", {"opType": "MUL"})
    call.emit("BinaryOp", "BinaryOp", {"opType": "SUB"}, inputs=[x, whole])


@encoder("divide")
def _divide(call: NodeCall) -> None:
    call.emit("BinaryOp", "BinaryOp", {"opType": "REALDIV"})


@encoder("less", "less_equal")
def _less(call: NodeCall) -> None:
    # Readers exist that compare negative numbers wrongly when asked for "less".
    member = "GREATER" if call.node.kind == "less" else "GREATER_EQUAL"
    call.emit("BinaryOp", "BinaryOp", {"opType": member}, inputs=call.inputs[::-1])


@encoder("floor", "ceil", "round")
def _whole(call: NodeCall) -> None:
    if call.input_type(0).dtype.kind in "biu":
        call.emit("Identity")
        return
    call.emit("UnaryOp", "UnaryOp", {"opType": call.node.kind.upper()})


@encoder("mul_silu")
def _mul_silu(call: NodeCall) -> None:
    if len({call.input_type(place).shape for place in (0, 1)}) == 1:
        call.emit("BinaryOp", "BinaryOp", {"opType": "MUL_SILU"})
        return
    # Readers exist that multiply wrongly here when they have to broadcast.
    product, gate = call.encoder.temporary("BinaryOp"), call.encoder.temporary("UnaryOp")
    call.encoder.emit("BinaryOp", call.inputs, [product], "BinaryOp", {"opType": "MUL"})
    call.encoder.emit("UnaryOp", call.inputs[1:], [gate], "UnaryOp", {"opType": "SIGMOID"})
    call.emit("BinaryOp", "BinaryOp", {"opType": "MUL"}, inputs=[product, gate])


@encoder("matmul")
def _matmul(call: NodeCall) -> None:
    if [call.input_type(place).rank for place in (0, 1)] == [1, 1]:
        products = call.encoder.temporary("BinaryOp")
        main = {"opType": "MUL"}
        call.encoder.emit("BinaryOp", call.inputs, [products], "BinaryOp", main)
        total = {"operation": "SUM", "dim": [0], "keepDims": False}
        call.emit("Reduction", "ReductionParam", total, inputs=[products])
        return
    main = {name: call.attributes[f"transpose_{name[-1].lower()}"] for name in _TRANSPOSES}
    call.emit("MatMul", "MatMul", main)


def _flags(call: NodeCall) -> list[int]:
    """Return the operands as 0/1 integers."""
    found = []
    for place, index in enumerate(call.inputs):
        zero = call.encoder.constant(np.zeros((), call.input_type(place).dtype))
        flag = call.encoder.temporary("BinaryOp")
        main = {"opType": "NOTEQUAL"}
        call.encoder.emit("BinaryOp", [index, zero], [flag], "BinaryOp", main)
        found.append(flag)
    return found


@encoder("logical_and")
def _logical_and(call: NodeCall) -> None:
    call.emit("BinaryOp", "BinaryOp", {"opType": "MUL"}, inputs=_flags(call))


@encoder("logical_or", "logical_xor")
def _logical_or(call: NodeCall) -> None:
    member = "LOGICALOR" if call.node.kind == "logical_or" else "LOGICALXOR"
    call.emit("BinaryOp", "BinaryOp", {"opType": member}, inputs=_flags(call))


@encoder("logical_not")
def _logical_not(call: NodeCall) -> None:
    zero = call.encoder.constant(np.zeros((), call.input_type(0).dtype))
    call.emit("BinaryOp", "BinaryOp", {"opType": "EQUAL"}, inputs=[call.inputs[0], zero])


@encoder("log_softmax")
def _log_softmax(call: NodeCall) -> None:
    # log(softmax(x)) would underflow: x - max - log(sum(exp(x - max))).
    emit, temporary = call.encoder.emit, call.encoder.temporary
    top, shifted, powers, total, logarithm = (temporary("LogSoftmax") for _ in range(5))
    main = {"dim": [call.attributes["axis"]], "keepDims": True}
    emit("Reduction", call.inputs, [top], "ReductionParam", {**main, "operation": "MAXIMUM"})
    emit("BinaryOp", [call.inputs[0], top], [shifted], "BinaryOp", {"opType": "SUB"})
    emit("UnaryOp", [shifted], [powers], "UnaryOp", {"opType": "EXP"})
    emit("Reduction", [powers], [total], "ReductionParam", {**main, "operation": "SUM"})
    emit("UnaryOp", [total], [logarithm], "UnaryOp", {"opType": "LOG"})
    call.emit("BinaryOp", "BinaryOp", {"opType": "SUB"}, inputs=[shifted, logarithm])


@encoder("softsign")
def _softsign(call: NodeCall) -> None:
    magnitude = call.encoder.temporary("UnaryOp")
    call.encoder.emit("UnaryOp", call.inputs, [magnitude], "UnaryOp", {"opType": "ABS"})
    one = call.encoder.constant(np.ones((), np.float32))
    below = call.encoder.temporary("BinaryOp")
    call.encoder.emit("BinaryOp", [magnitude, one], [below], "BinaryOp", {"opType": "ADD"})
    call.emit("BinaryOp", "BinaryOp", {"opType": "REALDIV"}, inputs=[call.inputs[0], below])


@encoder("mish")
def _mish(call: NodeCall) -> None:
    emit, temporary = call.encoder.emit, call.encoder.temporary
    lowest = call.encoder.constant(np.full((), -1000, np.float32))
    finite, part, slope = (temporary(name) for name in ("BinaryOp", "UnaryOp", "UnaryOp"))
    emit("BinaryOp", [call.inputs[0], lowest], [finite], "BinaryOp", {"opType": "MAXIMUM"})
    emit("UnaryOp", [finite], [part], "UnaryOp", {"opType": "BNLL"})
    emit("UnaryOp", [part], [slope], "UnaryOp", {"opType": "TANH"})
    call.emit("BinaryOp", "BinaryOp", {"opType": "MUL"}, inputs=[finite, slope])


@encoder("ones_like")
def _ones_like(call: NodeCall) -> None:
    zeros = call.encoder.temporary("ZerosLike")
    call.encoder.emit("ZerosLike", call.inputs, [zeros])
    one = call.encoder.constant(np.ones((), call.input_type(0).dtype))
    call.emit("BinaryOp", "BinaryOp", {"opType": "ADD"}, inputs=[zeros, one])


@encoder("positive")
def _positive(call: NodeCall) -> None:
    call.emit("Identity")


@encoder("topk")
def _topk(call: NodeCall) -> None:
    axis = call.encoder.constant(np.array(call.attributes["axis"], np.int32))
    main = {"largest": call.attributes["largest"], "sorted": True}
    call.emit("TopKV2", "TopKV2", main, inputs=[*call.inputs, axis])


@encoder("sort", "argsort")
def _sort(call: NodeCall) -> None:
    kind = call.input_type(0)
    axis = call.attributes["axis"]
    size = None if kind.shape is None else kind.shape[axis]
    if not isinstance(size, int):
        raise UnsupportedError("save: sorting an axis of unknown size cannot be written.")
    count = call.encoder.constant(np.array(size, np.int32))
    place = call.encoder.constant(np.array(axis, np.int32))
    spare = call.encoder.temporary("TopKV2")
    outputs = [spare, call.outputs[0]] if call.node.kind == "argsort" else [call.outputs[0], spare]
    main = {"largest": call.attributes["descending"], "sorted": True}
    call.emit("TopKV2", "TopKV2", main, inputs=[call.inputs[0], count, place], outputs=outputs)


@encoder("where")
def _where(call: NodeCall) -> None:
    inputs = call.inputs
    if not call.attributes["positive"]:
        # The format counts elements above 0: count those that differ from it.
        inputs = _flags(call)
    call.emit("Where", "Extra", {}, inputs=inputs)


@encoder("random_uniform", "random_normal")
def _random(call: NodeCall) -> None:
    attributes = call.attributes
    seed = list(attributes["seed"])
    if len(call.node.inputs) > 1 and call.node.inputs[1] is not None:
        # The file holds two numbers: what was drawn last becomes one of them.
        draw = call.constant_input(1)
        seed += [0] if draw is None else [int(each) for each in draw.reshape(-1)]
    seed = [*seed, 0, 0][:2]
    name = "RandomUniform" if call.node.kind == "random_uniform" else "RandomNormal"
    low, high = ("low", "high") if name == "RandomUniform" else ("mean", "scale")
    main = {
        "seed": seed[0] % 2**31,
        "seed2": seed[1] % 2**31,
        "type": data_type(attributes["dtype"]),
        "low": attributes[low],
        "high": attributes[high],
    }
    call.emit(name, "RandomUniform", main, inputs=call.inputs[:1])


@encoder("unique")
def _unique(call: NodeCall) -> None:
    call.emit("Unique")


@encoder("histogram")
def _histogram(call: NodeCall) -> None:
    attributes = call.attributes
    low, high = attributes["low"], attributes["high"]
    if low != int(low) or high != int(high):
        raise UnsupportedError(
            f"save: a histogram over [{low}, {high}] cannot be written: files hold integer bounds. "
            "Scale the values."
        )
    main = {
        "axis": -1,
        "outMaxVal": attributes["bins"],
        "topK": int(high),
        "softmaxThreshold": int(low),
    }
    call.emit("Histogram", "ArgMax", main)
