"""Nodes: the immutable, interned graph under every Var.

A node is an operator applied to inputs, with frozen attributes and the types of its results. Leaves
(inputs, constants, trainable values) hold a `Cell`, the only mutable thing in a graph: its array
may be overwritten, which raises a global epoch so that cached results can tell whether they still
hold.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from mnn.errors import EvaluationError
from mnn.expr.types import TensorType

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CONST",
    "INPUT",
    "TRAINABLE",
    "Cell",
    "Node",
    "Ref",
    "epoch",
    "interned_count",
    "leaf",
    "make_node",
    "result_types",
    "stamped_types",
    "walk",
]

Array = np.ndarray[Any, Any]

CONST, INPUT, TRAINABLE = "Const", "Input", "Trainable"

_epochs = itertools.count(1)
_epoch = 0


def epoch() -> int:
    """Return the number of the last write to any leaf."""
    return _epoch


class Operation(Protocol):
    """What the graph needs to know of an operator; `mnn.ops.spec.OpSpec` is the implementation."""

    @property
    def name(self) -> str:
        """Unique name."""

    @property
    def grad(self) -> Callable[[Any], Sequence[Any]] | None:
        """The gradient rule, from a `GradCall` to the gradient of each operand, or None."""

    def infer_types(
        self, types: Sequence[TensorType | None], attributes: Mapping[str, Any]
    ) -> tuple[TensorType, ...]:
        """Return the result types, or raise ShapeError/DTypeError."""

    def compute(
        self, arrays: Sequence[Array | None], attributes: Mapping[str, Any]
    ) -> tuple[Array, ...]:
        """Return the results, computed with NumPy."""


class Cell:
    """The storage of a leaf.

    Attributes:
        array: the value; None for an input that was never written.
        version: epoch of the last write.
        exposed: True once a writable view was handed out, after which writes go unseen and nothing
            that depends on this cell is cached.
        lasting: True for a constant of a graph that is recorded again and again: plans may keep
            what they make of it. False once it was written after that, None if it never was one.
    """

    __slots__ = ("array", "exposed", "lasting", "version")

    def __init__(self, array: Array | None) -> None:
        self.array = array
        self.version = _epoch
        self.exposed = False
        self.lasting: bool | None = None

    def write(self, array: Array) -> None:
        """Replace the value and start a new epoch."""
        self.array = array
        self.touch()

    def touch(self) -> None:
        """Start a new epoch after the array was changed in place."""
        global _epoch
        _epoch = next(_epochs)
        self.version = _epoch
        if self.lasting:
            self.lasting = False

    def value(self, name: str) -> Array:
        """Return the array; an unwritten input raises EvaluationError."""
        if self.array is None:
            raise EvaluationError(
                f"read: the input {name or '(unnamed)'} has no value yet. Expected write() before "
                "the first read. Call write(data) on the placeholder."
            )
        return self.array


class Ref(NamedTuple):
    """One result of a node."""

    node: Node
    port: int

    @property
    def type(self) -> TensorType:
        """Type of this result."""
        return self.node.types[self.port]


class Node:
    """An operator application or a leaf; unchanging, but for names and a cache of its results."""

    __slots__ = (
        "__weakref__",
        "attributes",
        "cache",
        "cell",
        "inputs",
        "kind",
        "names",
        "operation",
        "stamp",
        "trainable",
        "types",
    )

    def __init__(
        self,
        kind: str,
        operation: Operation | None,
        inputs: tuple[Ref | None, ...],
        attributes: Mapping[str, Any],
        types: tuple[TensorType, ...],
        cell: Cell | None = None,
    ) -> None:
        self.kind = kind
        self.operation = operation
        self.inputs = inputs
        self.attributes = attributes
        self.types = types
        self.cell = cell
        self.names: dict[int, str] = {}
        self.stamp = 0  # see `stamped_types`
        self.cache: tuple[int, tuple[Array, ...]] | None = None
        trainable = kind == TRAINABLE
        for ref in inputs:
            if ref is not None and ref.node.trainable:
                trainable = True
        self.trainable: bool = trainable

    @property
    def is_leaf(self) -> bool:
        """True for inputs, constants and trainable values."""
        return self.cell is not None

    def __repr__(self) -> str:
        types = ", ".join(each.describe() for each in self.types)
        return f"<{self.kind} {types}>"


# Equal applications, found again while somebody holds them; entries of dead nodes wait for a sweep.
_interned: dict[tuple[Any, ...], weakref.ref[Node]] = {}
_sweep_size = 64
_lock = threading.Lock()

# Result types by operator, operand types and attributes, where all sizes are numbers; and a number
# that tells such applications from all others.
_inferred: dict[tuple[Any, ...], tuple[tuple[TensorType, ...], int]] = {}
_stamps = itertools.count(1)
_INFERRED_LIMIT = 512


def interned_count() -> int:
    """Return how many nodes are alive that equal applications would share."""
    return sum(1 for each in list(_interned.values()) if each() is not None)


def _sweep() -> None:
    """Drop the entries of dead nodes; the lock is held."""
    global _sweep_size
    for key, held in list(_interned.items()):
        if held() is None:
            _interned.pop(key, None)
    _sweep_size = max(64, 2 * len(_interned))


def result_types(
    operation: Operation, inputs: tuple[Ref | None, ...], attributes: Mapping[str, Any]
) -> tuple[TensorType, ...]:
    """Return the result types of an application, remembered for operands of equal types."""
    return stamped_types(operation, inputs, attributes)[0]


def stamped_types(
    operation: Operation, inputs: tuple[Ref | None, ...], attributes: Mapping[str, Any]
) -> tuple[tuple[TensorType, ...], int]:
    """Return the result types of an application, and its stamp.

    Applications of the same stamp are of one operator, with equal attributes and operand types. A
    stamp of 0 says nothing.
    """
    types = [None if ref is None else ref.node.types[ref.port] for ref in inputs]
    if getattr(operation, "family", "") == "control":
        return operation.infer_types(types, attributes), 0  # keep the attributes' graphs not alive
    parts: list[Any] = [id(operation)]
    for each in types:
        if each is None:
            parts.append(None)
        elif each.value is not None or not each.is_static:
            # Shape rules may look at values, and invent symbols for unknown sizes.
            return operation.infer_types(types, attributes), 0
        else:
            parts.append((each.shape, each.dtype, each.format))
    key = (*parts, *attributes.items())
    found = _inferred.get(key)
    if found is None:
        made = operation.infer_types(types, attributes)
        if not all(each.is_static and each.value is None for each in made):
            return made, 0
        if len(_inferred) >= _INFERRED_LIMIT:
            _inferred.clear()
        found = _inferred[key] = made, next(_stamps)
    return found


def make_node(
    operation: Operation,
    inputs: Iterable[Ref | None],
    attributes: Mapping[str, Any],
    *,
    unique: bool = False,
) -> Node:
    """Return the node of `operation` on `inputs`; equal applications are one node.

    Args:
        operation: the operator.
        inputs: results of other nodes; None for an omitted optional input.
        attributes: hashable values by name.
        unique: never share the node (random operators, named nodes of a file).

    Raises:
        ShapeError, DTypeError: from the operator's type rule.
    """
    inputs = tuple(inputs)
    key = None
    if not unique:
        key = (
            id(operation),
            tuple(None if ref is None else (id(ref.node), ref.port) for ref in inputs),
            tuple(attributes.items()),
        )
        held = _interned.get(key)
        found = None if held is None else held()
        if found is not None:
            return found
    types, stamp = stamped_types(operation, inputs, attributes)
    node = Node(operation.name, operation, inputs, attributes, types)
    node.stamp = stamp
    if key is None:
        return node
    # While the node is alive so are its inputs: their ids in the key stay valid.
    new = weakref.ref(node)
    while True:
        held = _interned.setdefault(key, new)
        if held is new:
            break
        found = held()
        if found is not None:
            return found
        with _lock:  # a dead node's entry
            if _interned.get(key) is held:
                del _interned[key]
    if len(_interned) > _sweep_size:
        with _lock:
            _sweep()
    return node


def leaf(kind: str, type: TensorType, cell: Cell) -> Node:
    """Return a new leaf of kind CONST, INPUT or TRAINABLE."""
    return Node(kind, None, (), {}, (type,), cell)


def walk(roots: Iterable[Ref]) -> Iterator[Node]:
    """Yield every node under `roots` once, inputs before users, without recursion."""
    done: set[int] = set()
    for root in roots:
        if id(root.node) in done:
            continue
        stack: list[tuple[Node, int]] = [(root.node, 0)]
        on_stack = {id(root.node)}
        while stack:
            node, position = stack.pop()
            while position < len(node.inputs):
                ref = node.inputs[position]
                position += 1
                if ref is not None and id(ref.node) not in done and id(ref.node) not in on_stack:
                    stack.append((node, position))
                    on_stack.add(id(ref.node))
                    node, position = ref.node, 0
            done.add(id(node))
            on_stack.discard(id(node))
            yield node
