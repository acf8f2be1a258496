"""Verification of graphs: run between stages in tests, to find a broken rewrite where it is."""

from __future__ import annotations

from collections.abc import Sequence

from mnn.errors import GraphError
from mnn.expr.node import Node, Ref, walk
from mnn.expr.symbols import Symbol
from mnn.expr.types import TensorType

__all__ = ["verify"]


def verify(outputs: Sequence[Ref]) -> int:
    """Check the graph under `outputs` and return its number of nodes.

    Raises:
        GraphError: a node refers to a result that does not exist, its recorded types contradict its
            operator's type rule, its attributes cannot be interned, or a leaf holds an array of
            another type than it declares.
    """
    count = 0
    for node in walk(outputs):
        count += 1
        if node.is_leaf:
            _verify_leaf(node)
        else:
            _verify_operation(node)
    return count


def _verify_leaf(node: Node) -> None:
    if node.inputs or len(node.types) != 1:
        raise GraphError(f"verify: leaf {node!r} has operands or several results")
    array = None if node.cell is None else node.cell.array
    declared = node.types[0]
    if array is None:
        return
    if array.dtype != declared.dtype or not _compatible(declared, array.shape):
        raise GraphError(
            f"verify: leaf {node!r} holds {array.dtype} {array.shape}, declared "
            f"{declared.describe()}"
        )


def _verify_operation(node: Node) -> None:
    if node.operation is None:
        raise GraphError(f"verify: {node!r} is neither a leaf nor an operation")
    for ref in node.inputs:
        if ref is not None and not 0 <= ref.port < len(ref.node.types):
            raise GraphError(f"verify: {node!r} uses result {ref.port} of {ref.node!r}")
    try:
        hash(tuple(node.attributes.items()))
    except TypeError as error:
        raise GraphError(f"verify: attributes of {node!r} cannot be interned: {error}") from error
    types = [None if ref is None else ref.type for ref in node.inputs]
    inferred = node.operation.infer_types(types, node.attributes)
    if len(inferred) != len(node.types) or not all(
        _same(new, old) for new, old in zip(inferred, node.types, strict=True)
    ):
        raise GraphError(
            f"verify: {node!r} is recorded with other types than its rule gives: "
            f"{[each.describe() for each in inferred]}"
        )


def _same(new: TensorType, old: TensorType) -> bool:
    if new.dtype != old.dtype or new.format != old.format:
        return False
    if new.shape is None or old.shape is None:
        return new.shape is None and old.shape is None
    # Rules invent fresh symbols for sizes they cannot express, so symbols match each other.
    return len(new.shape) == len(old.shape) and all(
        isinstance(one, Symbol) or isinstance(two, Symbol) or one == two
        for one, two in zip(new.shape, old.shape, strict=True)
    )


def _compatible(declared: TensorType, found: tuple[int, ...]) -> bool:
    return declared.shape is None or (
        len(declared.shape) == len(found)
        and all(
            isinstance(size, Symbol) or size == got
            for size, got in zip(declared.shape, found, strict=True)
        )
    )
