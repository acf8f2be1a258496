"""Writers of branches and loops: their bodies become subgraphs."""

from __future__ import annotations

from typing import Any

from mnn.expr.graph import Graph
from mnn.expr.node import Node, walk
from mnn.format.encode import NodeCall, encoder


def _used(graph: Graph) -> list[Node]:
    """Return the inputs that the outputs depend on, in order."""
    needed = {node for node in walk(graph.outputs) if node.is_leaf}
    return [node for node in graph.inputs if node in needed]


def _arguments(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@encoder("if_else")
def _if(call: NodeCall) -> None:
    names = _arguments("argument", len(call.inputs) - 1)
    written = []
    passed: list[set[str]] = [set() for _ in names]
    for side in ("then", "else"):
        graph: Graph = call.attributes[f"{side}_branch"]
        used = _used(graph)
        places = [graph.inputs.index(node) for node in used]
        for place in places:
            passed[place].add(names[place])
        body = Graph(used, graph.outputs)
        written.append(call.encoder.body(body, f"If_{side}", [names[each] for each in places]))
    (then_name, then_outputs), (else_name, else_outputs) = written
    main = {
        "then_graph": then_name,
        "else_graph": else_name,
        "aliases_inputs": [{}, *({"data": sorted(each)} for each in passed)],
        "aliases_outputs": [
            {"data": list(pair)} for pair in zip(then_outputs, else_outputs, strict=True)
        ],
    }
    call.emit("If", "IfParam", main)


@encoder("loop")
def _loop(call: NodeCall) -> None:
    body: Graph = call.attributes["body"]
    names = ["turn", "go", *_arguments("state", len(body.inputs) - 2)]
    name, _ = call.encoder.body(body, "Loop_body", names)
    call.emit("While", "WhileParam", {"body_graph": name})


@encoder("while_loop")
def _while(call: NodeCall) -> None:
    condition: Graph = call.attributes["condition"]
    body: Graph = call.attributes["body"]
    names = _arguments("state", len(body.inputs))
    used = _used(condition)
    places = [condition.inputs.index(node) for node in used]
    test, _ = call.encoder.body(
        Graph(used, condition.outputs[:1]), "While_condition", [names[each] for each in places]
    )
    step, results = call.encoder.body(body, "While_body", names)
    main: dict[str, Any] = {
        "cond_graph": test,
        "body_graph": step,
        "aliases_inputs": [{"data": [name]} for name in names],
        "aliases_updates": [{"data": [a, b]} for a, b in zip(results, names, strict=True)],
        "aliases_outputs": results,
    }
    call.emit("While", "WhileParam", main)
