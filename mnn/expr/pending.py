"""Pending results: in eager mode, work on large arrays waits until somebody looks.

A large result that nobody has read is a node, like a recorded one, but privately so: its Var
behaves as if it held its array. When the value is needed, everything that led to it is computed
together, in kernels that do the work of many operators in one pass over memory. Nobody can tell,
except by the clock:

* arrays are read later than in the call that was given them only where nobody can change them
  unseen (see `mnn.expr.memory`); otherwise the result is computed before the call returns;
* results that Vars still refer to are stored along the way, so that nothing is computed twice;
* a slice or another view of a pending result shares its memory once there is memory: when more
  than one Var could see the same elements, the array that they share is made, and they are views
  of it;
* `config.pending_bytes` and a number of operations bound what may wait.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.config import config
from mnn.expr.enums import data_format
from mnn.expr.evaluate import executor
from mnn.expr.memory import borrowed, has_views, is_unchanging, on_write, remember
from mnn.expr.node import CONST, Cell, Node, Operation, Ref, result_types
from mnn.expr.types import TensorType
from mnn.expr.var import Var

__all__ = ["adopt", "defer", "pending_count", "settle", "settle_all"]

Array = np.ndarray[Any, Any]

_OPERATIONS_LIMIT = 64

# A view of a pending result is one more pending result; of an array, it is the array's memory.
# With the operands that it may have: others than the first are sizes.
_VIEWS = {
    "getitem": 1,
    "reshape": 2,
    "flatten": 1,
    "unsqueeze": 1,
    "squeeze": 1,
    "transpose": 1,
    "reverse": 1,
    "broadcast_to": 2,
    "slice_steps": 5,
}


class Pending(Node):
    """A node whose Var was promised its array.

    Attributes:
        bytes: of all arrays that take part.    count: of operations.
        holder: the Var.
        base: for a view of a pending result, the node whose memory it will share.
        views: the Vars of pending views of this node.
    """

    __slots__ = ("base", "bytes", "count", "holder", "views")

    holder: weakref.ref[Var]
    base: Pending | None
    views: list[weakref.ref[Var]]
    bytes: int
    count: int

    @property
    def var(self) -> Var | None:
        """The Var, if somebody still has it and it waits for this node."""
        found = self.holder()
        return found if found is not None and found._pending is self else None

    def live_views(self) -> list[Var]:
        """Return the Vars of pending views."""
        found = [held() for held in self.views]
        return [each for each in found if each is not None and each._pending is not None]


# All pending results that Vars hold, by the id of the Var.
_waiting: dict[int, weakref.ref[Var]] = {}
_lock = threading.RLock()


def pending_count() -> int:
    """Return how many Vars wait for their arrays."""
    return len(_waiting)


# --- making --------------------------------------------------------------------------------------


def defer(
    operation: Operation, operands: Sequence[Var | None], attributes: Mapping[str, Any]
) -> Var | None:
    """Return a pending result, or None when it has to be computed at once.

    Args:
        operation: an operator that kernels can compute.
        operands: none of them recorded or of another format than NCHW.
        attributes: of the call, complete.

    Raises:
        ShapeError, DTypeError: from the operator's type rule.
    """
    most = _VIEWS.get(operation.name, 0)
    is_view = most > 0
    first = operands[0]
    if is_view and (first is None or first._value is not None or len(operands) > most):
        return None
    refs: list[Ref | None] = []
    total, count, at_once = 0, 1, False
    for each in operands:
        if each is None:
            refs.append(None)
            continue
        node: Node | None
        if each._value is None:
            waiting: Pending = each._pending
            total += waiting.bytes
            count += waiting.count
            node = waiting
        elif each._value.size < config.pending_elements:
            node = _copied_leaf(each._value)
        else:
            total += each._value.nbytes
            node = borrowed(each)
            if node is None:
                node = _leaf(each._value)
                at_once = True
        if not _kernel_dtype(node.types[0].dtype):
            return None
        refs.append(Ref(node, 0))
    inputs = tuple(refs)
    types = result_types(operation, inputs, attributes)
    if len(types) != 1 or not types[0].is_static or not _kernel_dtype(types[0].dtype):
        return None
    own = math.prod(types[0].sizes) * types[0].dtype.itemsize
    if not own:
        return None
    pending = Pending(operation.name, operation, inputs, attributes, types)
    pending.bytes, pending.count = total + own, count
    pending.views = []
    pending.base = None
    var: Var = object.__new__(Var)
    var._value = var._ref = None
    var._pending = pending
    var._format = data_format.NCHW
    var._name = ""
    pending.holder = _wait(var)
    if is_view and first is not None:
        assert first._pending is not None
        base = first._pending.base or first._pending
        pending.base = base
        base.views.append(pending.holder)
    if at_once or pending.bytes > config.pending_bytes or count > _OPERATIONS_LIMIT:
        settle(var)
    return var


def _kernel_dtype(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.char != "e"


def _copied_leaf(array: Array) -> Node:
    array = array if is_unchanging(array) else array.copy()
    return Node(CONST, None, (), {}, (TensorType.of(array),), Cell(array))


def _leaf(array: Array) -> Node:
    return Node(CONST, None, (), {}, (TensorType(array.shape, array.dtype),), Cell(array))


def _wait(var: Var) -> weakref.ref[Var]:
    key = id(var)

    def forget(dead: weakref.ref[Var]) -> None:
        if _waiting.get(key) is dead:
            del _waiting[key]

    held = _waiting[key] = weakref.ref(var, forget)
    return held


def adopt(var: Var, result: Var) -> bool:
    """Have `var` wait for what `result` waits for, instead of writing the array of `var`.

    False when somebody else could see that array, or will be able to.
    """
    with _lock:
        pending = result._pending
        if pending is None or pending.base is not None or pending.live_views():
            return False
        if var._value is not None:
            if has_views(var) or borrowed(var) is None:
                return False
        elif var._pending.base is not None or var._pending.live_views():
            return False
        var._value = None
        var._pending = pending
        pending.holder = _wait(var)
        return True


# --- computing -----------------------------------------------------------------------------------


def settle(var: Var) -> Array:
    """Return the array of a pending Var, which it holds from now on."""
    with _lock:
        pending = var._pending
        if pending is not None:
            _compute(pending)
        assert var._value is not None
        return var._value


def settle_all() -> None:
    """Compute everything that waits."""
    with _lock:
        for held in list(_waiting.values()):
            var = held()
            if var is not None and var._value is None:
                settle(var)


def _compute(root: Pending) -> None:
    order = _unfinished(root)
    wanted = _stored(order, root)
    outputs = [Ref(node, 0) for node in wanted]
    known: dict[Node, Sequence[Array]] = {}
    for node in order:
        for ref in node.inputs:
            if ref is not None and ref.node.cell is not None:
                array = ref.node.cell.array
                assert array is not None
                known[ref.node] = (array,)
    values = executor().run(order, outputs, known, patient=True)
    taken = [array for arrays in known.values() for array in arrays]
    for node, value in zip(wanted, values, strict=True):
        own = _own(value, taken)
        taken.append(own)
        _finish(node, own)


def _own(value: Array, taken: Sequence[Array]) -> Array:
    """Return a result as an array whose memory no other array has: NumPy may return operands."""
    if not value.flags.writeable or any(np.may_share_memory(value, each) for each in taken):
        return np.array(value)
    return value


def _unfinished(root: Pending) -> list[Pending]:
    """Return the nodes to compute for one of them, in order."""
    order: list[Pending] = []
    done: set[Node] = set()
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            assert isinstance(node, Pending)
            order.append(node)
        elif node not in done and node.cell is None:
            done.add(node)
            stack.append((node, True))
            stack.extend([(ref.node, False) for ref in reversed(node.inputs) if ref is not None])
    return order


def _stored(order: Sequence[Pending], root: Pending) -> list[Pending]:
    """Return the nodes whose arrays are kept: what Vars can see, but for views of others."""
    wanted: dict[Pending, None] = {}
    for node in order:
        if node is not root and node.var is None:
            continue
        base = node.base
        if base is not None and (base.var is not None or len(base.live_views()) > 1):
            wanted[base] = None
        else:
            wanted[node] = None
    return list(wanted)


def _finish(node: Pending, value: Array) -> None:
    """Give a value to the Var of a node, and views of it to those that wait for one."""
    waiting = node.live_views()
    derived = [(var, _derived(var._pending, node, value)) for var in waiting]
    var = node.var
    _become_leaf(node, value)
    if var is not None:
        _hold(var, value)
        remember(node, value)
    for each, view in derived:
        pending = each._pending
        assert pending is not None
        _become_leaf(pending, view)
        _hold(each, view)
        remember(pending, view)


def _derived(view: Pending | None, base: Pending, value: Array) -> Array:
    """Return a view of a base's value, by the operations that lead from one to the other."""
    steps: list[Node] = []
    node: Any = view
    while node is not base:
        steps.append(node)
        node = node.inputs[0].node
    for each in reversed(steps):
        assert each.operation is not None
        rest = [None if ref is None else ref.node.cell.array for ref in each.inputs[1:]]  # type: ignore[union-attr]
        value = each.operation.compute([value, *rest], each.attributes)[0]
    return np.asarray(value)


def _become_leaf(node: Pending, value: Array) -> None:
    node.cell = Cell(value)
    node.inputs = ()
    node.operation = None
    node.kind = CONST
    node.views = []
    node.base = None


def _hold(var: Var, value: Array) -> None:
    var._value = value
    var._pending = None
    _waiting.pop(id(var), None)


def _settle_readers(leaves: list[Node]) -> None:
    """Compute what reads some leaves."""
    with _lock:
        changing = set(leaves)
        for held in list(_waiting.values()):
            var = held()
            pending = None if var is None else var._pending
            if var is not None and pending is not None and _reads(pending, changing):
                settle(var)


def _reads(root: Pending, leaves: set[Node]) -> bool:
    return any(
        ref is not None and ref.node in leaves for node in _unfinished(root) for ref in node.inputs
    )


on_write(_settle_readers)
