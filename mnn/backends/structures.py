"""Structures: graphs that differ in nothing but the values of their leaves share plans.

A loop that records the same computation again and again, as training does, makes new leaves each
time. Their values are arguments of one plan, but for

* small integers that decide sizes (shapes, axes): which ones do is learned when a plan cannot be
  made without them;
* lasting constants (see `mnn.expr.node.Cell`): the weights of a module that the graph calls. A plan
  has them built in, packed once. It goes when one of them does, or when there is too much of them.
  After a write they are arguments like all others.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnn.backends.segments import Segment
from mnn.compile.pipeline import Signature
from mnn.expr.node import CONST, INPUT, Cell, Node, Ref

__all__ = ["CONSTANT_LIMIT_BYTES", "Recorded", "Structure", "Structures"]

Array = np.ndarray[Any, Any]
Known = Mapping[Node, Sequence[Array]]
Binding = tuple[tuple[int, int], ...]
"""Lasting constants that are built in: their identities and versions, in order."""

CONSTANT_LIMIT_BYTES = 1 << 30
"""Most memory of built-in constants; the plan made last may have more."""

_STRUCTURE_LIMIT = 256
_SEGMENT_LIMIT = 16
_UNBOUND: Binding = ()


@dataclass(eq=False)
class Recorded:
    """A graph to be computed.

    Attributes:
        nodes: in execution order, without leaves.
        outputs: what is wanted.
        key: what graphs of the same structure share.
        given: the nodes whose results are known, in the order in which nodes use them.
        lasting: which of them are lasting constants, as numbers.
    """

    nodes: Sequence[Node]
    outputs: Sequence[Ref]
    key: Hashable = field(init=False)
    given: list[Node] = field(init=False)
    lasting: list[int] = field(init=False)

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
        self.lasting = [
            number
            for number, node in enumerate(given)
            if node.cell is not None and node.cell.lasting
        ]


def _leaf_key(node: Node) -> Hashable:
    types = tuple((each.dtype, each.format) for each in node.types)
    return types, decides_sizes(node)


def decides_sizes(node: Node) -> bool:
    """True for small integer constants, which shape rules may look at."""
    return node.kind == CONST and node.types[0].value is not None


@dataclass(eq=False)
class _Held:
    """A segment of a structure.

    Attributes:
        segment: computes the graph.    numbers: of the given nodes that are its arguments.
        guards: have it dropped when a constant that is built in dies.
    """

    segment: Segment
    numbers: list[int]
    guards: list[weakref.ref[Node]]


class Structure:
    """What is known of one structure.

    Attributes:
        uses: how often it was asked for.
        waited: seconds spent on NumPy so far, about, where compiling can wait.
        noted_bytes: memory of built-in constants when somebody looked last.
    """

    def __init__(self) -> None:
        self.uses = 0
        self.waited = 0.0
        self.noted_bytes = 0
        self._fixed: frozenset[int] = frozenset()
        self._segments: OrderedDict[Hashable, _Held] = OrderedDict()
        self._bindings: OrderedDict[Binding, list[weakref.ref[Node]]] = OrderedDict()
        self._lock = threading.RLock()

    def segment(self, graph: Recorded, known: Known, *, low: bool) -> tuple[Segment, list[Array]]:
        """Return the segment for a graph of this structure, and its arguments.

        Args:
            known: values of `graph.given`.    low: see `Segment.compiled`.
        """
        binding = self._binding(graph)
        while True:
            fixed = self._fixed
            held = self._of(graph, fixed, binding)
            segment, numbers = held.segment, held.numbers
            arrays = [array for number in numbers for array in known[graph.given[number]]]
            stopped = segment.compiled(arrays, low=low)[0].stopped
            if stopped is None:
                return segment, arrays
            wanted = _deciders(segment, stopped, numbers) - fixed
            if not wanted:
                return segment, arrays
            self._fixed = fixed | wanted

    def ready(
        self, graph: Recorded, known: Known, *, low: bool
    ) -> tuple[Callable[[Sequence[Array], int], list[Array]], list[Node]] | None:
        """Return the plan for a graph of this structure, and the nodes whose arrays it takes.

        None when there is none yet, or it is not the whole: values decide about sizes, or some
        steps may refuse values.
        """
        if self._fixed:
            return None
        held = self._segments.get((self._fixed, (), _UNBOUND))
        if held is None:
            return None
        given = [graph.given[number] for number in held.numbers]
        signature = tuple([(each.shape, each.dtype) for node in given for each in known[node]])
        found = held.segment.plans.get((signature, low))
        if found is None or found[1] is not None or found[0].plan.may_refuse:
            return None
        return found[0].plan.run, given

    def of_types(
        self, graph: Recorded, signatures: Sequence[Signature]
    ) -> tuple[Segment, Signature]:
        """Return the segment for types instead of values, with all deciding constants fixed."""
        fixed = frozenset(number for number, node in enumerate(graph.given) if decides_sizes(node))
        held = self._of(graph, fixed, self._binding(graph))
        return held.segment, tuple(each for number in held.numbers for each in signatures[number])

    @property
    def constant_bytes(self) -> int:
        """Memory of built-in constants."""
        return sum(each.segment.constant_bytes for _, each in self._bound())

    def release(self, excess: int, kept: Segment | None) -> int:
        """Forget segments with constants until `excess` bytes are free; return what is left of it.

        Args:
            kept: is not forgotten.
        """
        with self._lock:
            for key, each in self._bound():
                if excess > 0 and each.segment is not kept:
                    excess -= each.segment.constant_bytes
                    self._segments.pop(key, None)
        return excess

    def _bound(self) -> list[tuple[Hashable, _Held]]:
        """Return the segments with built-in constants, the one used last at the end."""
        while True:
            try:
                return [(key, each) for key, each in self._segments.items() if each.guards]
            except RuntimeError:
                # Python collected garbage meanwhile, and a segment was dropped: look again.
                continue

    def _binding(self, graph: Recorded) -> Binding:
        """Return which constants are to be built in.

        The first ones of a structure are, at once. Others have to come a second time: a loop may
        make another module in each turn, and its turns shall share one plan.
        """
        if not graph.lasting:
            return _UNBOUND
        nodes = [graph.given[number] for number in graph.lasting]
        binding = tuple([(id(node), node.cell.version) for node in nodes if node.cell is not None])
        with self._lock:
            seen = self._bindings.get(binding)
            if seen is not None and None not in [each() for each in seen]:
                self._bindings.move_to_end(binding)
                return binding
            first = not self._bindings
            self._bindings[binding] = [weakref.ref(node) for node in nodes]
            if len(self._bindings) > _SEGMENT_LIMIT:
                self._bindings.popitem(last=False)
        return binding if first else _UNBOUND

    def _of(self, graph: Recorded, fixed: frozenset[int], binding: Binding) -> _Held:
        """Return the segment with the values of some given nodes built in."""
        bound = graph.lasting if binding else []
        fixed = fixed.difference(bound)
        values = [graph.given[number].types[0].value for number in sorted(fixed)]
        shapes = tuple((each.shape, each.tobytes()) for each in values if each is not None)
        key = (fixed, shapes, binding)
        with self._lock:
            found = self._segments.get(key)
            if found is None:
                built_in = fixed.union(bound)
                numbers = [each for each in range(len(graph.given)) if each not in built_in]
                drop = _dropper(weakref.ref(self), key)
                guards = [weakref.ref(graph.given[number], drop) for number in bound]
                segment = _detached(graph, fixed, bound, numbers)
                found = self._segments[key] = _Held(segment, numbers, guards)
                if len(self._segments) > _SEGMENT_LIMIT:
                    self._segments.popitem(last=False)
            else:
                self._segments.move_to_end(key)
        return found

    def drop(self, key: Hashable) -> None:
        """Forget a segment, if it is there."""
        self._segments.pop(key, None)


def _dropper(
    structure: weakref.ref[Structure], key: Hashable
) -> Callable[[weakref.ref[Node]], None]:
    """Return what drops a segment; it may be called whenever Python collects garbage."""

    def drop(_: weakref.ref[Node]) -> None:
        found = structure()
        if found is not None:
            found.drop(key)

    return drop


class Structures:
    """The structures met last, by key."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, Structure] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, graph: Recorded) -> Structure | None:
        """Return the structure of a graph, if it was met."""
        return self._held.get(graph.key)

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

    @property
    def constant_bytes(self) -> int:
        """Memory of built-in constants of all structures."""
        return sum(each.constant_bytes for each in list(self._held.values()))

    def bound(self, structure: Structure, segment: Segment) -> None:
        """Note the use of a segment with constants; others have to go when they become too many."""
        size = structure.constant_bytes
        if size > structure.noted_bytes:
            excess = self.constant_bytes - CONSTANT_LIMIT_BYTES
            for each in list(self._held.values()):
                if excess <= 0:
                    break
                excess = each.release(excess, segment)
            if excess > 0:
                segment.release(segment.constant_bytes - excess)
            size = structure.constant_bytes
        structure.noted_bytes = size


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


def _detached(
    graph: Recorded, fixed: Iterable[int], bound: Iterable[int], numbers: Sequence[int]
) -> Segment:
    """Return a segment over copies of the nodes, so that no caller's arrays stay alive.

    Args:
        fixed, bound: given nodes that are constants: what decides sizes, and lasting ones.
        numbers: those that are arguments.
    """
    copies: dict[Node, Node] = {}
    constants: dict[Node, Array] = {}
    for number in fixed:
        node = graph.given[number]
        value = node.types[0].value
        assert value is not None
        copies[node] = twin = Node(CONST, None, (), {}, node.types, Cell(None))
        constants[twin] = value
    for number in bound:
        node = graph.given[number]
        assert node.cell is not None
        copies[node] = twin = Node(CONST, None, (), {}, node.types, Cell(None))
        constants[twin] = node.cell.value("")
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
