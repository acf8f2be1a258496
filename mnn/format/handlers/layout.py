"""Formats, shapes, slices: the operators that move elements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import FormatError, ShapeError
from mnn.expr.enums import data_format
from mnn.expr.var import Var
from mnn.format.decode import _FORMATS, OpCall, decoder
from mnn.format.handlers.structure import integers
from mnn.format.schema import schema
from mnn.ops import movement, rearrange, slicing
from mnn.ops.axes import integers_of, normalize_axis
from mnn.ops.comparison import select
from mnn.ops.convert import convert, relabel
from mnn.ops.diagonal import eye_like
from mnn.ops.joining import concat
from mnn.ops.matmul import matmul
from mnn.ops.movement import _reshape
from mnn.ops.raster import raster
from mnn.ops.repeat import _broadcast_to
from mnn.ops.reversal import reverse, reverse_sequence
from mnn.ops.shape import _shape, linspace
from mnn.ops.shape import fill as fill_with
from mnn.ops.strided_slice import strided_slice
from mnn.ops.transpose import transpose

_MAX = 2**31 - 1
_MAX_PARTS = 1 << 16


@decoder("ConvertTensor")
def _convert(call: OpCall) -> Var:
    x = call.input(0)
    target = _FORMATS.get(int(call.parameters().dest))
    if target is None:
        raise FormatError(f"{call.name}: unknown format {call.parameters().dest}.")
    if target is x.data_format:
        return relabel(x, target)
    return convert(x, target)


@decoder("Reshape")
def _reshape_op(call: OpCall) -> Var:
    main, x = call.main, call.input(0)
    sizes = call.optional(1)
    copy_zero = True
    if sizes is not None:
        copy_zero = sizes.data_format is not data_format.NHWC
    elif main is not None and main.dims is not None:
        sizes = integers(*main.dims.tolist())
    else:
        sizes = integers()
    as_nhwc = (
        main is not None
        and _FORMATS.get(int(main.dimType)) is data_format.NHWC
        and x.data_format is data_format.NC4HW4
    )
    if not as_nhwc:
        result: Var = _reshape(x, sizes, copy_zero=copy_zero)
        return result
    shaped: Var = _reshape(convert(x, data_format.NHWC), sizes, copy_zero=copy_zero)
    return convert(shaped, data_format.NC4HW4)


@decoder("Flatten")
def _flatten(call: OpCall) -> Var:
    main = call.parameters()
    end = int(main.endAxis)
    return movement.flatten(call.input(0), int(main.axis), end if end else None)


@decoder("Squeeze")
def _squeeze(call: OpCall) -> Var:
    return movement.squeeze(call.input(0), _axes(call, "squeezeDims"))


@decoder("Unsqueeze")
def _unsqueeze(call: OpCall) -> Var:
    return movement.unsqueeze(call.input(0), _axes(call, "squeezeDims"))


def _axes(call: OpCall, field: str) -> tuple[int, ...]:
    vector = None if call.main is None else getattr(call.main, field)
    if vector is not None and vector.size:
        return tuple(vector.tolist())
    given = call.optional(1)
    return () if given is None else integers_of(call.name, given)


@decoder("ExpandDims")
def _expand_dims(call: OpCall) -> Var:
    given = call.optional(1)
    axis = int(call.parameters().axis) if given is None else integers_of(call.name, given)[0]
    return movement.expand_dims(call.input(0), axis)


@decoder("Permute")
def _permute(call: OpCall) -> Var:
    dims = None if call.main is None else call.main.dims
    return transpose(call.input(0), None if dims is None else dims.tolist())


@decoder("Transpose")
def _transpose(call: OpCall) -> Var:
    return transpose(call.input(0), integers_of(call.name, call.input(1), "perm"))


@decoder("Concat")
def _concat(call: OpCall) -> Var:
    operands = [each for each in call.inputs if each is not None]
    if not operands:
        raise FormatError(f"{call.name}: nothing to join; the file is damaged.")
    first = operands[0]
    fitted = [
        convert(each, first.data_format)
        if each.data_format.channel_last != first.data_format.channel_last
        and (each._type.rank or 0) > 2
        else each
        for each in operands
    ]
    return concat(fitted, int(call.parameters().axis))


@decoder("Unpack")
def _unpack(call: OpCall) -> Sequence[Var]:
    axis, count = int(call.parameters().axis), max(1, call.output_count)
    found = slicing.split_spec(call.input(0), axis=axis, sizes=None, parts=count)
    parts = list(found) if isinstance(found, tuple) else [found]
    return [movement.squeeze(part, [axis]) for part in parts]


@decoder("BroadcastTo")
def _broadcast(call: OpCall) -> Var:
    exact = call.main is not None and call.main.axis == 1
    result: Var = _broadcast_to(call.input(0), call.input(1), exact=exact)
    return result


@decoder("Reverse")
def _reverse(call: OpCall) -> Var:
    return reverse(call.input(0), integers_of(call.name, call.input(1)))


@decoder("DepthToSpace")
def _depth_to_space(call: OpCall) -> Var:
    return _blocks(call, rearrange.depth_to_space_blocks)


@decoder("SpaceToDepth")
def _space_to_depth(call: OpCall) -> Var:
    return _blocks(call, rearrange.space_to_depth_blocks)


def _blocks(call: OpCall, function: Any) -> Var:
    main, x = call.parameters(), call.input(0)
    mode = schema().enums["DepthToSpaceMode"].by_value.get(main.mode, "DCR")
    result: Var = function(x, block=int(main.blockSize), mode=mode, layout=x.data_format.layout)
    return result


@decoder("SpaceToBatchND", "BatchToSpaceND")
def _space_batch(call: OpCall) -> Var:
    from mnn.format.weights import decode_blob

    blocks: Any = call.optional(1)
    edges: Any = call.optional(2)
    if blocks is None or edges is None:
        main = call.parameters()
        if main.blockShape is None or main.padding is None:
            raise FormatError(f"{call.name}: block shape or padding is missing.")
        blocks = decode_blob(main.blockShape, call.decoder.external, call.name)
        edges = decode_blob(main.padding, call.decoder.external, call.name)
    sizes = integers_of(call.name, blocks, "block shape")
    pairs = np.array(integers_of(call.name, edges, "padding")).reshape(-1, 2)
    function = (
        rearrange.space_to_batch_nd
        if call.type == "SpaceToBatchND"
        else rearrange.batch_to_space_nd
    )
    return function(call.input(0), sizes, pairs.tolist())


@decoder("Crop")
def _crop(call: OpCall) -> Var:
    main = call.parameters()
    offset = [0] if main.offset is None else main.offset.tolist()
    return rearrange.crop(call.input(0), call.input(1), int(main.axis), offset)


@decoder("Shape")
def _shape_op(call: OpCall) -> Var:
    x = call.input(0)
    declared = _FORMATS.get(int(call.op.defaultDimentionFormat), data_format.NHWC)
    packed = x.data_format is data_format.NC4HW4 and declared is data_format.NHWC
    main = call.main
    start = int(main.start) if main is not None and main.hasStart else None
    end = int(main.end) if main is not None and main.hasEnd else None
    sizes: Var = _shape(x, as_channel_last=packed, start=start, end=end)
    return relabel(sizes, declared)


@decoder("LinSpace")
def _linspace(call: OpCall) -> Var:
    count = integers_of(call.name, call.input(2), "num")[0]
    return linspace(call.input(0), call.input(1), count)


@decoder("BatchMatMul")
def _batch_matmul(call: OpCall) -> Var:
    main = call.main
    swap_x, swap_y = (False, False) if main is None else (bool(main.adjX), bool(main.adjY))
    return matmul(call.input(0), call.input(1), swap_x, swap_y)


@decoder("MatMul")
def _matmul(call: OpCall) -> Var:
    main = call.main
    swap_a, swap_b = (
        (False, False) if main is None else (bool(main.transposeA), bool(main.transposeB))
    )
    product = matmul(call.input(0), call.input(1), swap_a, swap_b)
    bias = call.optional(2)
    return product if bias is None else product + bias


@decoder("EyeLike")
def _eye_like(call: OpCall) -> Var:
    given = call.optional(1)
    offset = 0 if given is None else integers_of(call.name, given, "k")[0]
    return eye_like(call.input(0), offset)


# --- parts ---------------------------------------------------------------------------------------


@decoder("Slice")
def _slice(call: OpCall) -> Sequence[Var]:
    main, x = call.parameters(), call.input(0)
    axis, count = int(main.axis), max(1, call.output_count)
    points = [] if main.slicePoints is None else main.slicePoints.tolist()
    given = call.optional(1)
    source = schema().enums["NetSource"].by_value.get(main.sourceType, "")
    length = None
    if x._type.shape is not None:
        size = x._type.shape[normalize_axis(call.name, axis, len(x._type.shape))]
        length = size if isinstance(size, int) else None
    if length is None:
        if points or given is not None:
            sizes = list(integers_of(call.name, given, "sizes")) if given is not None else points
            if source != "CAFFE" and len(sizes) == count:
                found = slicing.split_spec(x, axis=axis, sizes=tuple(sizes))
                return list(found) if isinstance(found, tuple) else [found]
        found = slicing.split_spec(x, axis=axis, sizes=None, parts=count)
        return list(found) if isinstance(found, tuple) else [found]
    sizes = _part_sizes(call.name, points, given, source, length, count)
    return slicing.split(x, sizes, axis)[:count]


def _part_sizes(
    name: str, points: list[int], given: Var | None, source: str, length: int, count: int
) -> list[int]:
    """Return the sizes of the parts, by the rules of the source framework."""
    if source == "CAFFE" and points:
        return [high - low for low, high in itertools.pairwise([0, *points, length])]
    if given is not None:
        points = list(integers_of(name, given, "sizes"))
    if len(points) >= 2 or (given is not None and points):
        return points
    if len(points) == 1 and source == "TORCH":
        size = points[0]
        if size < 1:
            raise ShapeError(f"{name}: a part size of {size}, expected at least 1.")
        _check_parts(name, length // size, 0)
        sizes = [size] * (length // size)
        return sizes if sum(sizes) == length else [*sizes, length - sum(sizes)]
    parts = points[0] if len(points) == 1 and source == "TENSORFLOW" else count
    _check_parts(name, parts, 1)
    each = length // parts
    # ONNX lets the last part be smaller when the length does not divide.
    sizes = [each] * parts
    if each * parts != length:
        each = -(-length // parts)
        sizes = [each] * (parts - 1)
        sizes.append(length - sum(sizes))
    return sizes


def _check_parts(name: str, parts: int, least: int) -> None:
    """Refuse absurd counts before lists of that length are made."""
    if not least <= parts <= _MAX_PARTS:
        raise ShapeError(f"{name}: {parts} parts, expected {least} to {_MAX_PARTS}.")


@decoder("SliceTf")
def _slice_tf(call: OpCall) -> Var:
    x, begin, size = call.input(0), call.input(1), call.input(2)
    known_begin, known_size = begin._type.value, size._type.value
    if known_begin is not None and known_size is not None and x._type.shape is not None:
        return slicing.slice(x, known_begin, known_size)
    ends = select(size < 0, integers(_MAX), begin + size)
    result: Var = slicing.slice_steps(x, begin, ends)
    return result


@decoder("StridedSlice")
def _strided_slice(call: OpCall) -> Var:
    main, x = call.parameters(), call.input(0)
    operands = list(call.inputs[1:])
    if main.fromType == 1:
        found: Var = slicing.slice_steps(x, *operands[:4])
        return found
    if call.optional(4) is not None:
        return _assigned(call)
    begin, end, stride = (_known(each) for each in (operands + [None] * 3)[:3])
    masks = [
        int(getattr(main, name))
        for name in ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")
    ]
    if begin is not None and end is not None:
        steps = [1] * len(begin) if stride is None else stride
        return strided_slice(x, begin, end, steps, *masks)
    return _dynamic_slice(call, masks)


def _known(operand: Var | None) -> list[int] | None:
    if operand is None or operand._type.value is None:
        return None
    return [int(each) for each in operand._type.value.reshape(-1)]


def _dynamic_slice(call: OpCall, masks: list[int]) -> Var:
    """Slice with bounds that the graph computes: plain ranges, and single elements."""
    ellipsis_mask, new_axis_mask, shrink_mask = masks[2:]
    if ellipsis_mask or new_axis_mask:
        raise ShapeError(
            f"{call.name}: computed bounds with new or omitted dimensions are not supported."
        )
    x, begin, end = call.input(0), call.input(1), call.input(2)
    count = begin.shape[0]
    bits = [np.array([mask >> place & 1 for place in range(count)], np.int32) for mask in masks]
    starts = select(integers(*bits[0].tolist()), integers(*[0] * count), begin)
    ends = select(integers(*bits[1].tolist()), integers(*[_MAX] * count), end)
    after = select(equal_minus_one(starts), integers(*[_MAX] * count), starts + 1)
    ends = select(integers(*bits[4].tolist()), after, ends)
    found: Var = slicing.slice_steps(x, starts, ends)
    dropped = [place for place in range(count) if shrink_mask >> place & 1]
    return movement.squeeze(found, dropped) if dropped else found


def equal_minus_one(values: Var) -> Var:
    """Return where values are -1, the last element, whose end is not one further."""
    return values == -1


def _assigned(call: OpCall) -> Var:
    main = call.parameters()
    bounds = [_known(each) for each in call.inputs[1:4]]
    if any(each is None for each in bounds) or main.ellipsisMask or main.newAxisMask:
        raise ShapeError(f"{call.name}: this form of slice assignment is not supported.")
    begin, end, stride = (each or [] for each in bounds)
    index: list[Any] = []
    for place in range(len(begin)):
        if main.shrinkAxisMask >> place & 1:
            index.append(begin[place])
        else:
            low = None if main.beginMask >> place & 1 else begin[place]
            high = None if main.endMask >> place & 1 else end[place]
            index.append(slice(low, high, stride[place]))
    result = relabel(call.input(0), call.input(0).data_format)
    result[tuple(index)] = call.input(4)
    return result


@decoder("ReverseSequence")
def _reverse_sequence(call: OpCall) -> Var:
    main = call.parameters()
    return reverse_sequence(call.input(0), call.input(1), main.batchDim, main.seqDim)


@decoder("Fill")
def _fill(call: OpCall) -> Var:
    return fill_with(call.input(0), call.input(1))


@decoder("Raster")
def _raster(call: OpCall) -> Var:
    operands = [each for each in call.inputs if each is not None]
    main = call.main
    if main is not None and main.attr is not None:
        lists = {each.key: each.list for each in main.attr if each.list is not None}
        if "shape" not in lists or "region" not in lists:
            raise FormatError(f"{call.name}: a Raster without shape or region; damaged file.")
        shape = [] if lists["shape"].i is None else lists["shape"].i.tolist()
        region = [] if lists["region"].i is None else lists["region"].i.tolist()
        return raster(operands, region, shape)
    return _static_raster(call)


def _static_raster(call: OpCall) -> Var:
    """Read the regions of a static model, which stand beside the result tensor."""
    outputs = call.op.outputIndexes
    index = int(outputs[0]) if outputs is not None and outputs.size else -1
    describe = call.decoder.described.get(index)
    if describe is None or describe.blob is None:
        raise FormatError(f"{call.name}: a Raster without regions; the file is damaged.")
    shape = [] if describe.blob.dims is None else describe.blob.dims.tolist()
    numbers: list[int] = []
    sources: list[Var] = []
    for region in describe.regions or []:
        if region.src is None or region.dst is None or region.size is None:
            raise FormatError(f"{call.name}: an incomplete region; the file is damaged.")
        ref = call.decoder.tensors.get(int(region.origin))
        if ref is None:
            raise FormatError(f"{call.name}: a region reads tensor {region.origin}, not made yet.")
        from mnn.expr.var import var_of

        sources.append(var_of(ref))
        numbers += _eleven(region)
    if not sources:
        sources = [call.input(0)]
    return raster(sources, numbers, shape)


def _eleven(region: Any) -> list[int]:
    def three(vector: Any, fill: int) -> list[int]:
        values = [] if vector is None else vector.tolist()[:3]
        return [fill] * (3 - len(values)) + values

    return [
        int(region.src.offset),
        *three(region.src.stride, 0),
        int(region.dst.offset),
        *three(region.dst.stride, 0),
        *three(region.size, 1),
    ]
