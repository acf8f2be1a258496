"""Raster: boxes of arrays copied into one, the file format's lowest-level movement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import IndexRangeError, ShapeError
from mnn.expr.symbols import shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.axes import integers_of
from mnn.ops.codec import Codec
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like
from mnn.ops.operands import as_var
from mnn.ops.reference import raster as maths
from mnn.ops.samples import normal
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = ["raster"]

Array = np.ndarray[Any, Any]


def _infer_raster(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    regions, shape = attributes["regions"], attributes["shape"]
    if not types:
        raise ShapeError("raster: found no sources, expected at least one.")
    if len(types) > 1 and len(types) != len(regions):
        raise ShapeError(
            f"raster: {len(regions)} regions for {len(types)} sources, expected one each."
        )
    for number, region in enumerate(regions):
        source = types[number if len(types) > 1 else 0]
        sizes = region[8:11]
        if min(sizes) < 0:
            raise IndexRangeError(f"raster: region {number} has a negative size {list(sizes)}.")
        if source.is_static:
            count = math.prod(shape_numbers(source.shape or ()))
            maths.check_region("source", region[0], region[1:4], sizes, count)
        maths.check_region("target", region[4], region[5:8], sizes, math.prod(shape))
    first = types[0]
    return TensorType(shape, first.dtype, attributes["format"] or first.format)


def _grad_raster(call: GradCall) -> list[Var | None]:
    operands = [each for each in call.inputs if each is not None]
    found = _raster_gradient(call.grad, *operands, regions=call.attributes["regions"])
    parts = found if isinstance(found, tuple) else (found,)
    return [
        (part if part.dtype == each.dtype else cast(part, each.dtype))
        if each.dtype.kind in "fc"
        else None
        for part, each in zip(parts, operands, strict=True)
    ]


def _grad_raster_gradient(call: GradCall) -> list[Var | None]:
    parts = [
        zeros_like(output) if grad is None else grad
        for grad, output in zip(call.grads, call.outputs, strict=True)
    ]
    shape = call.input(0).shape
    again: Var = _raster(*parts, regions=call.attributes["regions"], shape=tuple(shape))
    return [again, *([None] * (len(call.inputs) - 1))]


# Three elements in a row; every element three times; two arrays, the second over half the first.
_LINE = (0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 3)
_REPEATED = (0, 0, 0, 1, 0, 0, 2, 1, 1, 3, 2)
_OVERLAPPING = ((0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 4), (1, 0, 0, 1, 2, 0, 0, 1, 1, 1, 2))

_raster_gradient: OpSpec = OpSpec(
    "raster_gradient",
    ("g", "sources*"),
    lambda types, attributes: [types[0].with_shape(each.shape) for each in types[1:]],
    maths.raster_gradient,
    "movement",
    attributes={"regions": REQUIRED},
    grad=_grad_raster_gradient,
    samples=(
        Sample((normal(6), normal(2)), {"regions": (_REPEATED,)}),
        Sample((normal(4), normal(4), normal(4)), {"regions": _OVERLAPPING}),
        Sample((normal(0), normal(0)), {"regions": ()}, gradient=False),
    ),
    doc="adjoint of raster: gradients summed onto the elements they were copied from",
)

_raster: OpSpec = OpSpec(
    "raster",
    ("values*",),
    _infer_raster,
    lambda *arrays, regions, shape, format: maths.raster(*arrays, regions=regions, shape=shape),
    "movement",
    attributes={"regions": REQUIRED, "shape": REQUIRED, "format": None},
    grad=_grad_raster,
    codec=Codec("Raster", handled=True),
    samples=(
        Sample(
            (normal(2, 3),),
            {"regions": ((0, 3, 1, 1, 0, 1, 2, 1, 2, 3, 1),), "shape": (3, 2)},
        ),
        Sample(
            (normal(2), normal(2)),
            {
                "regions": ((0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 2), (0, 0, 0, 1, 2, 0, 0, 1, 1, 1, 2)),
                "shape": (5,),
            },
        ),
        Sample((normal(2),), {"regions": (_REPEATED,), "shape": (6,)}),
        Sample((normal(4), normal(4)), {"regions": _OVERLAPPING, "shape": (4,)}),
        Sample((normal(0),), {"regions": (), "shape": (0,)}, gradient=False),
    ),
    bad=(
        BadCall(
            "leaves the source", (normal(1),), IndexRangeError, {"regions": (_LINE,), "shape": (3,)}
        ),
        BadCall(
            "leaves the result", (normal(3),), IndexRangeError, {"regions": (_LINE,), "shape": (2,)}
        ),
        BadCall(
            "regions and sources",
            (normal(3), normal(3)),
            ShapeError,
            {"regions": (_LINE,), "shape": (3,)},
        ),
    ),
    sets_format=True,
    doc="zeros with boxes of other arrays copied in",
)


def raster(vars: Sequence[Any], region: Sequence[int], shape: Sequence[int]) -> Var:
    """Return zeros of `shape` with boxes of `vars` copied in.

    Args:
        vars: sources: one for all regions, or one per region.
        region: 11 ints per region: source offset and 3 strides, target offset and 3 strides,
            3 sizes, all in elements.
        shape: of the result.

    Raises:
        ShapeError: not 11 ints per region.    IndexRangeError: a region leaves an array.
    """
    numbers = integers_of("raster", list(region), "region")
    if len(numbers) % 11:
        raise ShapeError(f"raster: found {len(numbers)} region ints, expected 11 per region.")
    operands = [as_var(each, "raster") for each in vars]
    sizes = integers_of("raster", list(shape), "shape")
    result: Var = _raster(
        *operands,
        regions=tuple(numbers[each : each + 11] for each in range(0, len(numbers), 11)),
        shape=sizes,
    )
    return result
