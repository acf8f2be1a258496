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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.config import config
from mnn.expr.enums import data_format
from mnn.expr.memory import borrowed, has_views, is_unchanging
from mnn.expr.node import CONST, INPUT, Cell, Node, Operation, Ref, stamped_types
from mnn.expr.settling import settle
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.expr.waiting import Pending, lock, make_waiting, wait, waiting

__all__ = ["adopt", "defer", "defer_pair", "pending_count", "settle"]

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

_NCHW = data_format.NCHW
_NOTHING: Any = object()
_NO_ATTRIBUTES: Mapping[str, Any] = {}
_FLOATS = frozenset((np.dtype(np.float32), np.dtype(np.float64)))
# Leaves of the numbers met last, by number and dtype: most programs use few.
_numbers: dict[tuple[Any, ...], Node] = {}
_NUMBERS_LIMIT = 256


def pending_count() -> int:
    """Return how many Vars wait for their arrays."""
    return len(waiting)


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
    first = operands[0]
    if operation.name == "cast" and first is not None and attributes["dtype"] == first.dtype:
        most = 1  # no conversion: the array itself
    elif operation.name == "pow" and any(
        each is not None and each.dtype.kind in "iu" for each in operands
    ):
        return None  # negative exponents are refused, by the call
    is_view = most > 0
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
            held: Pending = each._pending
            total += held.bytes
            count += held.count
            node = held
        elif each._value.size < config.pending_elements:
            node = _copied_leaf(each._value, sizes=is_view)
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
    types, stamp = stamped_types(operation, inputs, attributes)
    if len(types) != 1 or not types[0].is_static or not _kernel_dtype(types[0].dtype):
        return None
    if 0 in types[0].sizes:
        return None
    var = make_waiting(operation, inputs, attributes, types, stamp, total, count)
    if is_view and first is not None:
        made: Pending = var._pending
        base: Pending = first._pending.base or first._pending
        made.base = base
        base.views.append(made.holder)
    if at_once or total > config.pending_bytes or count > _OPERATIONS_LIMIT:
        settle(var)
    return var


def defer_pair(operation: Operation, left: Any, right: Any = _NOTHING) -> Var | None:
    """Return a pending result of the most frequent calls, a little quicker than `defer`.

    They are elementwise operators without attributes on large arrays of one float type, and
    numbers. None: go the general way.
    """
    dtype = None
    refs = []
    total, count, at_once, large = 0, 1, False, False
    for each in (left,) if right is _NOTHING else (left, right):
        if type(each) is not Var:
            continue
        if each._ref is not None or each._format is not _NCHW:
            return None
        value = each._value
        if value is None:
            kind = each._pending.types[0].dtype
            large = True
        else:
            kind = value.dtype
            large = large or value.size >= config.pending_elements
            value = None  # `borrowed` counts references
        if dtype is None:
            if kind not in _FLOATS:
                return None
            dtype = kind
        elif kind is not dtype:
            return None
    if not large or not config.pending_bytes:
        return None
    for each in (left,) if right is _NOTHING else (left, right):
        node: Node | None
        if type(each) is not Var:
            if type(each) is not float and type(each) is not int:
                return None
            node = _number_leaf(each, dtype)
        elif each._value is None:
            held: Pending = each._pending
            total += held.bytes
            count += held.count
            node = held
        elif each._value.size < config.pending_elements:
            node = _copied_leaf(each._value, sizes=False)
        else:
            total += each._value.nbytes
            node = borrowed(each)
            if node is None:
                node = _leaf(each._value)
                at_once = True
        refs.append(Ref(node, 0))
    inputs = tuple(refs)
    types, stamp = stamped_types(operation, inputs, _NO_ATTRIBUTES)
    if 0 in types[0].shape:  # type: ignore[operator]
        return None
    var = make_waiting(operation, inputs, _NO_ATTRIBUTES, types, stamp, total, count)
    if at_once or total > config.pending_bytes or count > _OPERATIONS_LIMIT:
        settle(var)
    return var


def adopt(var: Var, result: Var) -> bool:
    """Have `var` wait for what `result` waits for, instead of writing the array of `var`.

    False when somebody else could see that array, or will be able to.
    """
    with lock:
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
        pending.holder = wait(var)
        return True


def _kernel_dtype(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.char != "e"


def _copied_leaf(array: Array, *, sizes: bool) -> Node:
    """Return a leaf for a small array; `sizes`: the shape of the result depends on its values."""
    array = array if is_unchanging(array) else array.copy()
    if sizes:
        return Node(CONST, None, (), {}, (TensorType.of(array),), Cell(array))
    return _leaf(array)


def _leaf(array: Array) -> Node:
    return Node(INPUT, None, (), {}, (TensorType(array.shape, array.dtype),), Cell(array))


def _number_leaf(number: float, dtype: Any) -> Node:
    """Return a leaf for a Python number, of the type of the arrays that it meets."""
    key = (number, type(number), dtype)
    found = _numbers.get(key)
    if found is None:
        array = np.asarray(number, dtype)
        found = _leaf(array)
        if number != 0:  # 0.0 and -0.0 are equal, and differ
            if len(_numbers) >= _NUMBERS_LIMIT:
                _numbers.clear()
            _numbers[key] = found
    return found
