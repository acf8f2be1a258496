"""`mnn.explain`: which kernels a graph becomes, without running it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mnn.backends.compiled import Prepared, segment_of
from mnn.compile.explain import Explanation, explained
from mnn.compile.pipeline import Signature
from mnn.errors import GraphError, ShapeError
from mnn.expr.graph import Graph
from mnn.expr.node import Node, Ref, walk
from mnn.expr.types import TensorType
from mnn.expr.var import Var

__all__ = ["explain"]


def explain(target: Any, *inputs: Any) -> Explanation:
    """Return which kernels compute a value or a model, their memory, and why fusion stopped.

    Args:
        target: a recorded Var, one whose value is pending, a module loaded from a file, or a
            function from `mnn.numpy.compile`.
        inputs: for a module, arrays (or Vars) of the shapes it shall be explained for; by default
            the shapes it declares. For a function, its arguments.

    Returns:
        An `Explanation`: print it, or read its `units`.

    Raises:
        GraphError: the Var is computed already, or the target holds no graph.
        ShapeError: a size is not known; give inputs.

    Example:
        >>> from mnn import expr
        >>> with mnn.config.using(lazy=True):
        ...     y = expr.exp(expr.const([1.0, 2.0], [2])) * 2
        >>> len(mnn.explain(y).units)
        1
    """
    if isinstance(target, Var):
        return _of_var(target)
    graph_of = getattr(target, "graph", None)
    if callable(graph_of):
        graph, inputs = graph_of(*inputs), ()
    else:
        graph = getattr(target, "_graph", None)
    if not isinstance(graph, Graph):
        raise GraphError(
            f"explain: found {type(target).__name__}, expected a Var that is not computed yet, a "
            "module from nn.load_module_from_file, or a function from mnn.numpy.compile."
        )
    prepared: Prepared = graph.plan("compiled", Prepared)
    given: Signature = tuple(_argument(node, inputs, n) for n, node in enumerate(graph.inputs))
    held = tuple((each.shape, each.dtype) for each in prepared.leaf_arrays())
    compiled, _ = prepared.segment.compiled_for((*given, *held), low=False)
    return explained(compiled)


def _of_var(var: Var) -> Explanation:
    ref = var._ref
    if ref is None and var._value is None:
        ref = Ref(var._pending, 0)
    if ref is None or ref.node.is_leaf:
        raise GraphError(
            "explain: this Var holds its value already, so nothing is left to compute. Record the "
            "computation first, inside `with mnn.config.using(lazy=True):`."
        )
    leaves = [node for node in walk([ref]) if node.is_leaf]
    segment, signature = segment_of(ref, {node: (_declared(node),) for node in leaves})
    compiled, _ = segment.compiled_for(signature, low=False)
    return explained(compiled)


def _declared(node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    cell = node.cell
    if cell is not None and cell.array is not None:
        return cell.array.shape, cell.array.dtype
    return _static(node.types[0], node)


def _argument(
    node: Node, inputs: tuple[Any, ...], number: int
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if number < len(inputs):
        return tuple(np.shape(inputs[number])), node.types[0].dtype
    return _static(node.types[0], node)


def _static(type: TensorType, node: Node) -> tuple[tuple[int, ...], np.dtype[Any]]:
    if not type.is_static:
        raise ShapeError(
            f"explain: input {node.names.get(0, '')!r} is {type.describe()}: a size is not known. "
            "Write the input first, or pass arrays of the shapes in question."
        )
    return type.sizes, type.dtype
