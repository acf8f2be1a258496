"""Calls of a graph, recorded again and again: its nodes as a list of what to make."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from mnn.expr.node import CONST, Node, Operation, Ref, result_types, walk
from mnn.expr.types import TensorType

__all__ = ["Replay"]

Types = tuple[TensorType, ...]
Step = tuple[
    Operation, tuple[Ref | tuple[int, int] | None, ...], Mapping[str, Hashable], dict[int, str]
]
"""An operator, its operands (results that stay, or a place and a port), attributes and names."""

_TYPES_LIMIT = 16


class Replay:
    """What depends on a graph's inputs, ready to be recorded over other values.

    The graph's constants become lasting ones (see `Cell`), but for those that changed already.

    Args:
        inputs: leaves in the order of values.    outputs: what a call returns.
    """

    def __init__(self, inputs: Sequence[Node], outputs: Sequence[Ref]) -> None:
        places = {node: number for number, node in enumerate(inputs)}
        self._steps: list[Step] = []
        self._types: dict[Hashable, list[Types]] = {}
        for node in walk(outputs):
            if node in places:
                continue
            cell = node.cell
            if cell is not None:
                if node.kind == CONST and cell.lasting is None and not cell.exposed:
                    cell.lasting = True
            elif any(ref is not None and ref.node in places for ref in node.inputs):
                assert node.operation is not None
                operands = tuple([_placed(ref, places) for ref in node.inputs])
                places[node] = len(places)
                self._steps.append((node.operation, operands, node.attributes, node.names))
        self._outputs = [_placed(ref, places) for ref in outputs]

    def record(self, values: Sequence[Ref]) -> list[Ref]:
        """Return the outputs as new nodes over values.

        Raises:
            ShapeError, DTypeError: from the operators' type rules.
        """
        given = [ref.type for ref in values]
        key: Hashable = None
        if all(each.is_static and each.value is None for each in given):
            key = tuple([(each.shape, each.dtype, each.format) for each in given])
        known = self._types.get(key)
        made: list[Node] = [ref.node for ref in values]
        ports = [ref.port for ref in values]
        count = len(ports)

        def found(operand: Ref | tuple[int, int] | None) -> Ref | None:
            if operand is None or isinstance(operand, Ref):
                return operand
            place, port = operand
            return Ref(made[place], ports[place] if place < count else port)

        for number, (operation, operands, attributes, names) in enumerate(self._steps):
            inputs = tuple([found(each) for each in operands])
            types = known[number] if known else result_types(operation, inputs, attributes)
            node = Node(operation.name, operation, inputs, attributes, types)
            if names:
                node.names.update(names)
            made.append(node)
        if known is None and key is not None:
            self._remember(key, [node.types for node in made[count:]])
        return [ref for ref in map(found, self._outputs) if ref is not None]

    def _remember(self, key: Hashable, types: list[Types]) -> None:
        """Keep the types of all results, but for sizes that are another unknown in each call."""
        if all(each.is_static for results in types for each in results):
            if len(self._types) >= _TYPES_LIMIT:
                self._types.clear()
            self._types[key] = types


def _placed(ref: Ref | None, places: Mapping[Node, int]) -> Ref | tuple[int, int] | None:
    if ref is None or ref.node not in places:
        return ref
    return places[ref.node], ref.port
