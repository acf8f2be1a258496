"""Structures: graphs that differ in nothing but the values of their leaves share plans.

A loop that records the same computation again and again, as training does, makes new leaves each
time. Their values are arguments of one plan, but for small integers that decide sizes (shapes,
axes): which ones do is learned when a plan cannot be made without them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnn.backends.segments import Segment
from mnn.compile.pipeline import Signature
from mnn.expr.node import CONST, INPUT, Cell, Node, Ref

__all__ = ["Recorded", "Structure", "Structures"]

Array = np.ndarray[Any, Any]
Known = Mapping[Node, Sequence[Array]]

_STRUCTURE_LIMIT = 256
_SEGMENT_LIMIT = 16


@dataclass(eq=False)
class Recorded:
    """A graph to be computed.

    Attributes:
        nodes: in execution order, without leaves.
        outputs: what is wanted.
        key: what graphs of the same structure share.
        given: the nodes whose results are known, in the order in which nodes use them.
    """

    nodes: Sequence[Node]
    outputs: Sequence[Ref]
    key: Hashable = field(init=False)
    given: list[Node] = field(init=False)

    def __post_init__(self) -> None:
        numbers: dict[Node, int] = {}
        parts: list[Hashable] = []
        self.given = given = []
        for node in self.nodes:
            inputs: list[tuple[int, int] | None] = []
            for ref in node.inputs:
                if ref is None:
                    inputs.append(None)
                    continue
                source = ref.node
                number = numbers.get(source)
                if number is None:
                    number = numbers[source] = len(numbers)
                    given.append(source)
                    parts.append(_leaf_key(source))
                inputs.append((number, ref.port))
            numbers[node] = len(numbers)
            parts.append((id(node.operation), *inputs, *node.attributes.items()))
        for ref in self.outputs:
            source = ref.node
            if source not in numbers:
                numbers[source] = len(numbers)
                given.append(source)
                parts.append(_leaf_key(source))
            parts.append((numbers[source], ref.port))
        self.key = tuple(parts)


def _leaf_key(node: Node) -> Hashable:
    types = tuple((each.dtype, each.format) for each in node.types)
    return types, decides_sizes(node)


def decides_sizes(node: Node) -> bool:
    """True for small integer constants, which shape rules may look at."""
    return node.kind == CONST and node.types[0].value is not None


class Structure:
    """What is known of one structure.

    Attributes:
        uses: how often it was asked for.
        waited: seconds spent on NumPy so far, about, where compiling can wait.
    """

    def __init__(self) -> None:
        self.uses = 0
        self.waited = 0.0
        self._fixed: frozenset[int] = frozenset()
        self._segments: OrderedDict[Hashable, Segment] = OrderedDict()
        self._lock = threading.Lock()

    def segment(self, graph: Recorded, known: Known, *, low: bool) -> tuple[Segment, list[Array]]:
        """Return the segment for a graph of this structure, and its arguments.

        Args:
            known: values of `graph.given`.    low: see `Segment.compiled`.
        """
        while True:
            fixed = self._fixed
            segment, numbers = self._of(graph, fixed)
            arrays = [array for number in numbers for array in known[graph.given[number]]]
            stopped = segment.compiled(arrays, low=low)[0].stopped
            if stopped is None:
                return segment, arrays
            wanted = _deciders(segment, stopped, numbers) - fixed
            if not wanted:
                return segment, arrays
            self._fixed = fixed | wanted

    def of_types(
        self, graph: Recorded, signatures: Sequence[Signature]
    ) -> tuple[Segment, Signature]:
        """Return the segment for types instead of values, with all deciding constants fixed."""
        fixed = frozenset(number for number, node in enumerate(graph.given) if decides_sizes(node))
        segment, numbers = self._of(graph, fixed)
        return segment, tuple(each for number in numbers for each in signatures[number])

    def _of(self, graph: Recorded, fixed: frozenset[int]) -> tuple[Segment, list[int]]:
        """Return the segment with the values of some given nodes built in, and the others."""
        values = [graph.given[number].types[0].value for number in sorted(fixed)]
        key = (fixed, tuple((each.shape, each.tobytes()) for each in values if each is not None))
        numbers = [number for number in range(len(graph.given)) if number not in fixed]
        with self._lock:
            found = self._segments.get(key)
            if found is None:
                found = self._segments[key] = _detached(graph, fixed, numbers)
                if len(self._segments) > _SEGMENT_LIMIT:
                    self._segments.popitem(last=False)
            else:
                self._segments.move_to_end(key)
        return found, numbers


class Structures:
    """The structures met last, by key."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Structure] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, graph: Recorded) -> Structure:
        """Return the structure of a graph, and count the use."""
        with self._lock:
            found = self._held.get(graph.key)
            if found is None:
                found = self._held[graph.key] = Structure()
                if len(self._held) > _STRUCTURE_LIMIT:
                    self._held.popitem(last=False)
            else:
                self._held.move_to_end(graph.key)
            found.uses += 1
            return found


def _deciders(segment: Segment, stopped: Node, numbers: Sequence[int]) -> frozenset[int]:
    """Return the given nodes (by number) that the sizes of a node's results depend on."""
    places: dict[Node, int] = {}
    for argument in segment.arguments:
        places.setdefault(argument.node, len(places))
    found: set[int] = set()
    waiting, seen = [stopped], {stopped}
    while waiting:
        for ref in waiting.pop().inputs:
            if ref is None or ref.node in seen or ref.type.dtype.kind not in "iub":
                continue
            seen.add(ref.node)
            if ref.node in places:
                if ref.node.kind == CONST:
                    found.add(numbers[places[ref.node]])
            else:
                waiting.append(ref.node)
    return frozenset(found)


def _detached(graph: Recorded, fixed: Iterable[int], numbers: Sequence[int]) -> Segment:
    """Return a segment over copies of the nodes, so that no caller's arrays stay alive."""
    copies: dict[Node, Node] = {}
    constants: dict[Node, Array] = {}
    for number in fixed:
        node = graph.given[number]
        value = node.types[0].value
        assert value is not None
        copies[node] = twin = Node(CONST, None, (), {}, node.types, Cell(None))
        constants[twin] = value
    arguments: list[Ref] = []
    for number in numbers:
        node = graph.given[number]
        # Recorded values stay in the types: they tell what else was derived from them.
        kind = CONST if decides_sizes(node) else INPUT
        copies[node] = twin = Node(kind, None, (), {}, node.types, Cell(None))
        arguments += [Ref(twin, port) for port in range(len(node.types))]
    for node in graph.nodes:
        inputs = tuple(
            None if ref is None else Ref(copies[ref.node], ref.port) for ref in node.inputs
        )
        copies[node] = Node(node.kind, node.operation, inputs, node.attributes, node.types)
    return Segment(
        [copies[node] for node in graph.nodes],
        [Ref(copies[ref.node], ref.port) for ref in graph.outputs],
        arguments,
        constants,
    )
