"""Reductions, positions of extremes, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.errors import FormatError
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder, element_type
from mnn.format.schema import schema
from mnn.ops import reduce, scan
from mnn.ops.axes import integers_of
from mnn.ops.convert import cast
from mnn.ops.linalg import cosine_similarity
from mnn.ops.random import normal_numbers, uniform_numbers
from mnn.ops.search import histogram
from mnn.ops.unary import abs as absolute
from mnn.ops.unary import square

_INT: np.dtype[Any] = np.dtype(np.int32)

_REDUCTIONS: dict[str, Any] = {
    "SUM": reduce.reduce_sum,
    "ASUM": lambda x, axes, keep: reduce.reduce_sum(absolute(x), axes, keep),
    "SUMSQ": lambda x, axes, keep: reduce.reduce_sum(square(x), axes, keep),
    "MEAN": reduce.reduce_mean,
    "MAXIMUM": reduce.reduce_max,
    "MINIMUM": reduce.reduce_min,
    "PROD": reduce.reduce_prod,
    "ANY": lambda x, axes, keep: cast(reduce.reduce_any(x, axes, keep), _INT),
    "ALL": lambda x, axes, keep: cast(reduce.reduce_all(x, axes, keep), _INT),
}


@decoder("Reduction")
def _reduction(call: OpCall) -> Var:
    main = call.parameters()
    member = schema().enums["ReductionType"].by_value.get(main.operation, "")
    function = _REDUCTIONS.get(member)
    if function is None:
        raise FormatError(f"{call.name}: unknown reduction {main.operation}.")
    axes: Any = None if main.dim is None or not main.dim.size else tuple(main.dim.tolist())
    given = call.optional(1)
    if axes is None and given is not None:
        axes = integers_of("reduction", given)
    result: Var = function(call.input(0), axes, bool(main.keepDims))
    x = call.input(0)
    if member == "MEAN" and x.dtype.kind in "iu":
        return cast(result, x.dtype)
    return result


@decoder("ArgMax")
def _argmax(call: OpCall) -> Var:
    return scan.argmax(call.input(0), int(call.parameters().axis))


@decoder("ArgMin")
def _argmin(call: OpCall) -> Var:
    return scan.argmin(call.input(0), int(call.parameters().axis))


@decoder("CumSum")
def _cumsum(call: OpCall) -> Var:
    main = call.parameters()
    axis = integers_of("cumsum", call.input(1), "axis")[0]
    return scan.cumsum(call.input(0), axis, bool(main.exclusive), bool(main.reverse))


@decoder("CosineSimilarity")
def _cosine(call: OpCall) -> Var:
    axis = integers_of("cosine_similarity", call.input(2), "axis")[0]
    result: Var = cosine_similarity(call.input(0), call.input(1), axis=axis)
    return result


@decoder("Histogram")
def _histogram(call: OpCall) -> Var:
    main = call.parameters()
    return histogram(call.input(0), main.outMaxVal, main.softmaxThreshold, main.topK)


@decoder("RandomUniform", "RandomNormal")
def _random(call: OpCall) -> Var:
    main = call.parameters()
    settings = {"seed": (abs(int(main.seed)), abs(int(main.seed2)))}
    dtype = element_type(int(main.type))
    low, high = float(main.low), float(main.high)
    if call.type == "RandomUniform":
        uniform: Var = uniform_numbers(call.input(0), low=low, high=high, dtype=dtype, **settings)
        return uniform
    normal: Var = normal_numbers(call.input(0), mean=low, scale=high, dtype=dtype, **settings)
    return normal
