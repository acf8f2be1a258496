"""If and While: bodies become graphs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, FormatError
from mnn.expr.graph import Graph
from mnn.expr.node import Ref
from mnn.expr.symbols import fresh
from mnn.expr.trace import input_leaf, merge_types
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture
from mnn.format.decode import Decoder, OpCall, decode_body, decoder
from mnn.format.limits import LIMITS
from mnn.ops.control import if_else, loop, while_loop

_INT: np.dtype[Any] = np.dtype(np.int32)


def _body(pass_: Decoder, name: str, types: dict[str, TensorType]) -> Graph:
    if pass_.nesting >= LIMITS.nested_bodies:
        raise FormatError(f"bodies are nested deeper than {LIMITS.nested_bodies}.")
    pass_.nesting += 1
    try:
        return decode_body(pass_, name, types)
    finally:
        pass_.nesting -= 1


def _input_names(pass_: Decoder, name: str) -> list[str]:
    table = pass_.subgraph(name)
    names = table.tensors or []
    found = []
    for index in [] if table.inputs is None else table.inputs.tolist():
        if not 0 <= index < len(names):
            raise FormatError(f"subgraph {name!r}: input tensor {index} has no name.")
        found.append(names[index])
    return found


def _types(operands: Sequence[Var]) -> list[TensorType]:
    return [TensorType(each._type.shape, each._type.dtype, each._type.format) for each in operands]


# --- If ------------------------------------------------------------------------------------------


@decoder("If")
def _if(call: OpCall) -> Sequence[Var]:
    main, pass_ = call.parameters(), call.decoder
    operands = [call.input(index) for index in range(len(call.inputs))]
    types = _types(operands)
    aliases = [list(each.data or []) for each in main.aliases_inputs or []]
    by_name: dict[str, int] = {}
    for position, names in enumerate(aliases[: len(operands)]):
        for name in names:
            by_name[name] = position
    branches = [
        _branch(pass_, name or "", operands, types, by_name)
        for name in (main.then_graph, main.else_graph)
    ]
    chosen = [
        _chosen(pass_, main, side, graph_name or "", branch, call.output_count)
        for side, (graph_name, branch) in enumerate(
            zip((main.then_graph, main.else_graph), branches, strict=True)
        )
    ]
    found = if_else(operands[0], *operands[1:], then_branch=chosen[0], else_branch=chosen[1])
    return list(found) if isinstance(found, tuple) else [found]


def _branch(
    pass_: Decoder,
    name: str,
    operands: Sequence[Var],
    types: Sequence[TensorType],
    by_name: dict[str, int],
) -> tuple[Graph, dict[str, Ref]]:
    """Return a branch as a graph over all operands but the condition, and its tensors by name."""
    wanted = _input_names(pass_, name)
    missing = [each for each in wanted if each not in by_name]
    if missing:
        raise FormatError(f"subgraph {name!r}: nothing is passed to its inputs {missing}.")
    given = {each: types[by_name[each]] for each in wanted}
    body = _body(pass_, name, given)
    leaves = [input_leaf(each) for each in types[1:]]
    condition = capture(operands[0])
    values = [
        condition if by_name[each] == 0 else Ref(leaves[by_name[each] - 1], 0) for each in wanted
    ]
    return Graph(leaves, body.bind(values)), {}


def _chosen(
    pass_: Decoder,
    main: Any,
    side: int,
    name: str,
    branch: tuple[Graph, dict[str, Ref]],
    count: int,
) -> Graph:
    """Return the branch with its outputs in the operator's order."""
    graph, _ = branch
    pairs = [list(each.data or []) for each in main.aliases_outputs or []]
    if not pairs:
        return Graph(graph.inputs, graph.outputs[:count])
    table = pass_.subgraph(name)
    names = table.tensors or []
    order = [names[index] for index in table.outputs.tolist()] if table.outputs is not None else []
    outputs = []
    for pair in pairs:
        wanted = pair[side] if len(pair) > side else None
        if wanted not in order:
            raise FormatError(f"subgraph {name!r}: it has no output {wanted!r}.")
        outputs.append(graph.outputs[order.index(wanted)])
    return Graph(graph.inputs, outputs)


# --- While ---------------------------------------------------------------------------------------


@decoder("While")
def _while(call: OpCall) -> Sequence[Var]:
    if call.op.main_type == "LoopParam":
        raise FormatError(f"{call.name}: affine loops are not supported.")
    main = call.parameters()
    if main.cond_graph:
        return _conditional(call)
    return _counted(call)


def _counted(call: OpCall) -> Sequence[Var]:
    main, pass_ = call.parameters(), call.decoder
    name = main.body_graph or ""
    operands = [call.input(index) for index in range(len(call.inputs))]
    if len(operands) < 2:
        raise FormatError(f"{call.name}: a loop without limit and condition; damaged file.")
    states = _types(operands[2:])
    names = _input_names(pass_, name)
    if len(names) != len(states) + 2:
        raise FormatError(
            f"subgraph {name!r}: it takes {len(names)} inputs, the loop passes {len(states) + 2}."
        )
    condition = TensorType(operands[1]._type.shape, operands[1].dtype)
    for attempt in range(4):
        types = [TensorType((), _INT), condition, *states]
        body = _body(pass_, name, dict(zip(names, types, strict=True)))
        results = [ref.type for ref in body.outputs]
        if len(results) < 1 + len(states):
            raise FormatError(f"subgraph {name!r}: it returns too few states.")
        merged = [
            _merged(call, one, two)
            for one, two in zip(states, results[1 : 1 + len(states)], strict=True)
        ]
        if all(one.shape == two.shape for one, two in zip(states, merged, strict=True)):
            break
        # Sizes change from turn to turn: read the body again with those sizes unknown.
        states = merged if attempt < 2 else [each.with_shape(None) for each in merged]
    found = loop(*operands, body=body)
    return list(found) if isinstance(found, tuple) else [found]


def _merged(call: OpCall, one: TensorType, two: TensorType) -> TensorType:
    if one.dtype != two.dtype:
        raise DTypeError(
            f"{call.name}: a loop state starts as {one.dtype} and becomes {two.dtype}."
        )
    merged = merge_types(one, two)
    if merged.shape is None or one.shape is None:
        return merged
    return merged.with_shape(
        old if old == new else fresh("state")
        for old, new in zip(one.shape, merged.shape, strict=True)
    )


def _conditional(call: OpCall) -> Sequence[Var]:
    """Read TensorFlow's loop: operands feed named inputs, updates name what flows back."""
    main, pass_ = call.parameters(), call.decoder
    operands = [call.input(index) for index in range(len(call.inputs))]
    types = _types(operands)
    feeds: dict[str, int] = {}
    for position, each in enumerate((main.aliases_inputs or [])[: len(operands)]):
        for name in each.data or []:
            feeds[name] = position
    condition, _ = _branch_over(pass_, main.cond_graph or "", types, feeds)
    body, outputs = _branch_over(pass_, main.body_graph or "", types, feeds)
    refs: list[Ref] = [Ref(node, 0) for node in body.inputs]
    for each in main.aliases_updates or []:
        pair = list(each.data or [])
        if len(pair) < 2 or pair[0] not in outputs:
            raise FormatError(f"{call.name}: an update names unknown tensors {pair}.")
        for target in pair[1:]:
            if target in feeds:
                refs[feeds[target]] = outputs[pair[0]]
    step = Graph(body.inputs, refs)
    found = while_loop(*operands, condition=condition, body=step)
    states = list(found) if isinstance(found, tuple) else [found]
    return _conditional_results(call, states, feeds, outputs, refs)


def _conditional_results(
    call: OpCall,
    states: list[Var],
    feeds: dict[str, int],
    outputs: dict[str, Ref],
    refs: list[Ref],
) -> list[Var]:
    results = []
    for name in call.parameters().aliases_outputs or []:
        if name in feeds:
            results.append(states[feeds[name]])
        elif name in outputs and outputs[name] in refs:
            results.append(states[refs.index(outputs[name])])
        else:
            raise FormatError(f"{call.name}: the loop has no result {name!r}.")
    return results


def _branch_over(
    pass_: Decoder, name: str, types: Sequence[TensorType], feeds: dict[str, int]
) -> tuple[Graph, dict[str, Ref]]:
    wanted = _input_names(pass_, name)
    missing = [each for each in wanted if each not in feeds]
    if missing:
        raise FormatError(f"subgraph {name!r}: nothing is passed to its inputs {missing}.")
    body = _body(pass_, name, {each: types[feeds[each]] for each in wanted})
    leaves = [input_leaf(each) for each in types]
    outputs = body.bind([Ref(leaves[feeds[each]], 0) for each in wanted])
    table = pass_.subgraph(name)
    names = table.tensors or []
    labels = [] if table.outputs is None else [names[each] for each in table.outputs.tolist()]
    return Graph(leaves, outputs), dict(zip(labels, outputs, strict=False))
