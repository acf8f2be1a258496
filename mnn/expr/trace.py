"""From a Python function on Vars to a Graph, and from a Graph to the types of its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mnn.expr.graph import Graph
from mnn.expr.modes import recording
from mnn.expr.node import INPUT, Cell, Node, Ref, leaf
from mnn.expr.symbols import Dim, fresh
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of

__all__ = ["graph_types", "input_leaf", "merge_types", "trace"]


def input_leaf(type: TensorType, name: str = "") -> Node:
    """Return an input leaf of `type` without a value."""
    node = leaf(INPUT, TensorType(type.shape, type.dtype, type.format), Cell(None))
    if name:
        node.names[0] = name
    return node


def trace(function: Callable[..., Sequence[Var]], types: Sequence[TensorType]) -> Graph:
    """Return the graph that `function` builds from inputs of `types`.

    Args:
        function: takes one Var per type, returns a sequence of Vars; runs once, recording.
        types: types of the inputs.
    """
    leaves = [input_leaf(each) for each in types]
    with recording():
        results = function(*(var_of(Ref(each, 0)) for each in leaves))
        return Graph(leaves, [capture(each) for each in results])


def graph_types(graph: Graph, types: Sequence[TensorType]) -> list[TensorType]:
    """Return the types of a graph's outputs for inputs of `types`; raises as its operators do."""
    leaves = [input_leaf(each) for each in types]
    return [ref.type for ref in graph.bind([Ref(each, 0) for each in leaves])]


def merge_types(first: TensorType, second: TensorType) -> TensorType:
    """Return the type that covers both: sizes that differ become unknown, ranks that differ too."""
    if first.shape is None or second.shape is None or len(first.shape) != len(second.shape):
        return TensorType(None, first.dtype, first.format)
    shape: list[Dim] = [
        one if one == two else fresh("merged")
        for one, two in zip(first.shape, second.shape, strict=True)
    ]
    return TensorType(tuple(shape), first.dtype, first.format)
