"""Writers of the operators that move elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.expr.enums import data_format
from mnn.format.encode import FORMAT_NAMES, NodeCall, data_type, encoder

Array = np.ndarray[Any, Any]


@encoder("convert")
def _convert(call: NodeCall) -> None:
    attributes = call.attributes
    main = {
        "source": FORMAT_NAMES[attributes["source"]],
        "dest": FORMAT_NAMES[attributes["target"]],
    }
    call.emit("ConvertTensor", "TensorConvertInfo", main)


@encoder("relabel")
def _relabel(call: NodeCall) -> None:
    source = call.input_type(0)
    if call.node.types[0].format != source.format and (source.rank or 0) > 2:
        raise UnsupportedError(
            "save: a relabelled data format cannot be written. Use convert() instead of "
            "set_order()."
        )
    call.emit("Identity")


@encoder("cast")
def _cast(call: NodeCall) -> None:
    source, target = call.input_type(0).dtype, call.attributes["dtype"]
    if target == np.bool_:
        zero = call.encoder.constant(np.zeros((), source))
        call.emit("BinaryOp", "BinaryOp", {"opType": "NOTEQUAL"}, inputs=[call.inputs[0], zero])
        return
    main = {"srcT": data_type(source), "dstT": data_type(target)}
    call.emit("Cast", "CastParam", main)


@encoder("reshape")
def _reshape(call: NodeCall) -> None:
    known = call.constant_input(1)
    if known is None:
        call.emit("Reshape", "Reshape", {"dimType": "NCHW"})
        return
    if not call.attributes["copy_zero"] and 0 in known:
        # A shape tagged NHWC means its zeros literally.
        sizes = call.encoder.constant(known.astype(np.int32), format=data_format.NHWC)
        call.emit("Reshape", "Reshape", {"dimType": "NCHW"}, inputs=[call.inputs[0], sizes])
        return
    main = {"dims": [int(size) for size in known.reshape(-1)], "dimType": "NCHW"}
    call.emit("Reshape", "Reshape", main, inputs=call.inputs[:1])


@encoder("reshape_like")
def _reshape_like(call: NodeCall) -> None:
    shape = _shape_of(call, 1)
    call.emit("Reshape", "Reshape", {"dimType": "NCHW"}, inputs=[call.inputs[0], shape])


def _shape_of(call: NodeCall, operand: int) -> int:
    """Write the shape of an operand, with its zeros meant literally where that is possible."""
    packed = call.input_type(operand).format is data_format.NC4HW4
    shape = call.encoder.temporary("Shape")
    format = data_format.NCHW if packed else data_format.NHWC
    call.encoder.emit("Shape", [call.inputs[operand]], [shape], format=format)
    return shape


@encoder("flatten")
def _flatten(call: NodeCall) -> None:
    axis, end = call.attributes["axis"], call.attributes["end_axis"]
    rank = call.input_type(0).rank or 0
    if end is None:
        call.emit("Flatten", "Flatten", {"axis": axis, "endAxis": 0})
        return
    # Files cannot join up to a last axis 0; a reshape that copies sizes before it can.
    if rank and (end % rank == rank - 1) and axis >= 0:
        call.emit("Reshape", "Reshape", {"dims": [0] * axis + [-1], "dimType": "NCHW"})
        return
    raise UnsupportedError("save: flatten of inner dimensions cannot be written. Use reshape.")


@encoder("transpose")
def _transpose(call: NodeCall) -> None:
    axes = call.attributes["axes"]
    rank = call.input_type(0).rank
    if axes is None:
        if rank is None:
            raise UnsupportedError("save: a transpose of unknown rank cannot be written.")
        axes = range(rank - 1, -1, -1)
    call.emit("Permute", "Permute", {"dims": [int(axis) % len(axes) for axis in axes]})


@encoder("squeeze")
def _squeeze(call: NodeCall) -> None:
    axes = call.attributes["axes"]
    call.emit("Squeeze", "SqueezeParam", {"squeezeDims": list(axes or ())})


@encoder("broadcast_to", "broadcast_like")
def _broadcast(call: NodeCall) -> None:
    # An exact shape needs no mark: broadcasting to it gives the same result.
    inputs = list(call.inputs)
    if call.node.kind == "broadcast_like":
        shape = call.encoder.temporary("Shape")
        call.encoder.emit("Shape", call.inputs[1:2], [shape], format=data_format.NCHW)
        inputs[1] = shape
    call.emit("BroadcastTo", inputs=inputs)


@encoder("split")
def _split(call: NodeCall) -> None:
    sizes, parts = call.attributes["sizes"], call.attributes["parts"]
    main: dict[str, Any] = {"axis": call.attributes["axis"], "sourceType": "TENSORFLOW"}
    if sizes is None or len(set(sizes)) == 1:
        main["slicePoints"] = [parts if sizes is None else len(sizes)]
    else:
        main["slicePoints"] = list(sizes)
    call.emit("Slice", "Slice", main)


@encoder("slice_steps")
def _slice_steps(call: NodeCall) -> None:
    call.emit("StridedSlice", "StridedSliceParam", {"fromType": 1})


@encoder("reverse")
def _reverse(call: NodeCall) -> None:
    # One axis at a time, as every reader understands it.
    rank = call.input_type(0).rank
    *earlier, last = [axis % rank if rank else axis for axis in call.attributes["axes"]]
    source = call.inputs[0]
    for axis in earlier:
        target = call.encoder.temporary("Reverse")
        call.encoder.emit("Reverse", [source, call.encoder.integers([axis])], [target])
        source = target
    call.emit("Reverse", inputs=[source, call.encoder.integers([last])])


@encoder("getitem")
def _getitem(call: NodeCall) -> None:
    parts = call.attributes["parts"]
    arrays = [part for part in parts if part[0] == "array"]
    if arrays:
        _gathered(call, parts)
        return
    rank = call.input_type(0).rank or 0
    used = sum(1 for part in parts if part[0] in ("int", "slice"))
    begin, end, stride = [], [], []
    masks = {"beginMask": 0, "endMask": 0, "shrinkAxisMask": 0}
    expanded: list[Any] = []
    for part in parts:
        if part[0] == "dots":
            expanded += [("slice", None, None, None)] * (rank - used)
        else:
            expanded.append(part)
    # New axes are inserted afterwards: readers exist that then mistake the axis of other parts.
    kept = [part for part in expanded if part[0] != "int"]
    added = [place for place, part in enumerate(kept) if part[0] == "new"]
    for place, part in enumerate(part for part in expanded if part[0] != "new"):
        low, high, step = 0, 1, 1
        if part[0] == "int":
            low, high = part[1], part[1] + 1
            masks["shrinkAxisMask"] |= 1 << place
        else:
            step = 1 if part[3] is None else part[3]
            low, high = part[1] or 0, part[2] or 0
            if part[1] is None:
                masks["beginMask"] |= 1 << place
            if part[2] is None:
                masks["endMask"] |= 1 << place
        begin.append(low)
        end.append(high)
        stride.append(step)
    operands = [call.encoder.integers(each) for each in (begin, end, stride)]
    target = call.encoder.temporary("StridedSlice") if added else call.outputs[0]
    call.emit(
        "StridedSlice",
        "StridedSliceParam",
        {"fromType": 0, **masks},
        inputs=[call.inputs[0], *operands],
        outputs=[target],
    )
    if added:
        call.emit("Unsqueeze", "SqueezeParam", {"squeezeDims": added}, inputs=[target])


def _gathered(call: NodeCall, parts: tuple[Any, ...]) -> None:
    full = ("slice", None, None, None)
    places = [place for place, part in enumerate(parts) if part[0] == "array"]
    rest = [part for part in parts if part[0] != "array"]
    kind = call.input_type(1).dtype.kind
    if len(places) != 1 or kind == "b" or any(part not in (full, ("dots",)) for part in rest):
        raise UnsupportedError(
            "save: indexing with masks or several index arrays cannot be written. "
            "Use gather, gather_nd or select."
        )
    axis = call.encoder.constant(np.array(places[0], np.int32))
    call.emit("GatherV2", inputs=[call.inputs[0], _counted_from_zero(call, 1, places[0]), axis])


def _counted_from_zero(call: NodeCall, operand: int, axis: int) -> int:
    """Return an operand of indices; constants that count from the end are rewritten.

    Files define no negative indices. Those that a graph computes are written as they are.
    """
    indices, shape = call.constant_input(operand), call.input_type(0).shape
    size = None if shape is None else shape[axis]
    if indices is None or not isinstance(size, int) or not (indices < 0).any():
        return call.inputs[operand]
    return call.encoder.constant(np.where(indices < 0, indices + size, indices).astype(np.int32))


@encoder("gather", "gather_elements")
def _gather(call: NodeCall) -> None:
    axis = call.attributes["axis"]
    op_type = "GatherV2" if call.node.kind == "gather" else "GatherElements"
    indices = _counted_from_zero(call, 1, axis)
    place = call.encoder.constant(np.array(axis, np.int32))
    call.emit(op_type, inputs=[call.inputs[0], indices, place])


_COMBINE = {"add": "ADD", "mul": "MUL", "max": "MAXIMUM", "min": "MINIMUM"}


@encoder("scatter_nd")
def _scatter_nd(call: NodeCall) -> None:
    reduction = call.attributes["reduction"]
    if reduction == "none":
        call.emit("ScatterNd")
    else:
        call.emit("ScatterNd", "BinaryOp", {"opType": _COMBINE[reduction]})


@encoder("scatter_elements")
def _scatter_elements(call: NodeCall) -> None:
    reduction = call.attributes["reduction"]
    axis = call.encoder.constant(np.array(call.attributes["axis"], np.int32))
    number: Any = -1 if reduction == "none" else _COMBINE[reduction]
    indices = _counted_from_zero(call, 1, call.attributes["axis"])
    inputs = [call.inputs[0], indices, *call.inputs[2:], axis]
    call.emit("ScatterElements", "BinaryOp", {"opType": number}, inputs=inputs)


@encoder("shape")
def _shape(call: NodeCall) -> None:
    attributes = call.attributes
    start, end = attributes["start"], attributes["end"]
    if attributes["as_channel_last"] and call.input_type(0).format is not data_format.NC4HW4:
        raise UnsupportedError("save: a channel-last shape of an NCHW array cannot be written.")
    # NC4HW4 results report N, H, W, C in files unless the operator says NCHW.
    format = data_format.NHWC if attributes["as_channel_last"] else data_format.NCHW
    if start is None and end is None:
        call.emit("Shape", format=format)
        return
    main = {
        "hasStart": start is not None,
        "start": start or 0,
        "hasEnd": end is not None,
        "end": end or 0,
    }
    call.emit("Shape", "ShapeParam", main, format=format)


@encoder("raster")
def _raster(call: NodeCall) -> None:
    attributes = call.attributes
    numbers = [number for region in attributes["regions"] for number in region]
    main = {
        "attr": [
            {"key": "shape", "list": {"i": list(attributes["shape"])}},
            {"key": "region", "list": {"i": numbers}},
        ]
    }
    call.emit("Raster", "Extra", main)


@encoder("depth_to_space", "space_to_depth")
def _blocks(call: NodeCall) -> None:
    name = "DepthToSpace" if call.node.kind == "depth_to_space" else "SpaceToDepth"
    main = {"blockSize": call.attributes["block"], "mode": call.attributes["mode"]}
    call.emit(name, "DepthSpaceParam", main)


@encoder("sum_like")
def _sum_like(call: NodeCall) -> None:
    kind, like = call.input_type(0), call.input_type(1)
    if kind.shape is None or like.shape is None:
        raise UnsupportedError("save: a sum to an unknown shape cannot be written.")
    extra = len(kind.shape) - len(like.shape)
    axes = [
        *range(extra),
        *(place + extra for place, size in enumerate(like.shape) if size == 1),
    ]
    summed = call.encoder.temporary("Reduction")
    main = {"operation": "SUM", "dim": axes, "keepDims": True}
    call.encoder.emit("Reduction", call.inputs[:1], [summed], "ReductionParam", main)
    shape = _shape_of(call, 1)
    call.emit("Reshape", "Reshape", {"dimType": "NCHW"}, inputs=[summed, shape])
