"""Gather, scatter, sort and search."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.errors import FormatError
from mnn.expr.var import Var
from mnn.format.decode import OpCall, decoder
from mnn.format.schema import schema
from mnn.ops import index, scatter, search, sorting
from mnn.ops.axes import integers_of


@decoder("Gather", "GatherV2")
def _gather(call: OpCall) -> Var:
    axis = 0
    given = call.optional(2)
    if given is not None:
        axis = integers_of(call.name, given, "axis")[0]
    elif call.op.main_type == "Axis":
        axis = int(call.main.axis)
    return index.gather(call.input(0), call.input(1), axis)


@decoder("GatherElements")
def _gather_elements(call: OpCall) -> Var:
    given = call.optional(2)
    axis = 0 if given is None else integers_of(call.name, given, "axis")[0]
    result: Var = index.gather_elements(call.input(0), call.input(1), axis=axis)
    return result


def _reduction(call: OpCall) -> str:
    if call.op.main_type != "BinaryOp":
        return "none"
    member = schema().enums["BinaryOpOperation"].by_value.get(call.main.opType, "")
    # Files of the converter store -1 for "no reduction".
    names = {"ADD": "add", "MUL": "mul", "MAXIMUM": "max", "MINIMUM": "min", "": "none"}
    if member not in names:
        raise FormatError(f"{call.name}: scatter cannot combine with {member}.")
    return names[member]


@decoder("ScatterNd")
def _scatter_nd(call: OpCall) -> Var:
    return scatter.scatter_nd(
        call.input(0), call.input(1), call.input(2), call.optional(3), _reduction(call)
    )


@decoder("ScatterElements")
def _scatter_elements(call: OpCall) -> Var:
    given = call.optional(3)
    axis = 0 if given is None else integers_of(call.name, given, "axis")[0]
    result: Var = scatter.scatter_elements(
        call.input(0), call.input(1), call.input(2), axis=axis, reduction=_reduction(call)
    )
    return result


@decoder("TopKV2")
def _topk(call: OpCall) -> Sequence[Var]:
    given = call.optional(2)
    axis = -1 if given is None else integers_of(call.name, given, "axis")[0]
    largest = True if call.main is None else bool(call.main.largest)
    values, places = sorting.topk(call.input(0), call.input(1), axis=axis, largest=largest)
    return [values, places]


@decoder("Where")
def _where(call: OpCall) -> Var:
    result: Var = search._where(call.input(0), positive=True)
    return result


@decoder("Unique")
def _unique(call: OpCall) -> Sequence[Var]:
    values, first, inverse, counts = search.unique(call.input(0))
    if call.output_count <= 2:
        return [values, inverse]
    return [values, first, inverse, counts]


@decoder("OneHot")
def _one_hot(call: OpCall) -> Var:
    from mnn.ops.shape import one_hot

    axis = -1 if call.main is None else int(call.main.axis)
    return one_hot(call.input(0), call.input(1), call.input(2), call.input(3), axis)
