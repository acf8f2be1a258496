"""Assignment to elements: `x[index] = value`, in place or as an operation of the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from mnn.errors import DTypeError, IndexRangeError, NumberRangeError, ShapeError
from mnn.expr.modes import recording, should_record
from mnn.expr.node import TRAINABLE, Ref
from mnn.expr.rewire import retype
from mnn.expr.symbols import is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, leaf_type
from mnn.ops.attach import attach_method
from mnn.ops.comparison import select
from mnn.ops.create import zeros_like
from mnn.ops.elementwise import broadcast_shapes, fit_gradient
from mnn.ops.getitem import getitem_parts
from mnn.ops.index_parts import Part, freeze, indexed_shape, plain_index, range_error, thaw
from mnn.ops.movement import expand_dims
from mnn.ops.operands import array_of, as_var
from mnn.ops.samples import integers, normal
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = ["assign_index", "setitem"]

Array = np.ndarray[Any, Any]

_ROW: tuple[Part, ...] = (("int", 1),)
_ARRAY: tuple[Part, ...] = (("array", 0),)

# Types that hold more digits than those that Python's numbers become by default.
_WIDE = frozenset((np.dtype(np.float64), np.dtype(np.complex128)))


# --- the operator --------------------------------------------------------------------------------


def _store(target: Array, index: tuple[Any, ...], value: Array) -> None:
    """Write `target[index] = value`, or raise our error."""
    try:
        with np.errstate(invalid="ignore"):
            try:
                target[index] = value
            except (TypeError, ValueError):
                if any(each is Ellipsis for each in index):
                    raise
                # With '...' NumPy drops leading dimensions of size 1 from values, as broadcasting
                # does everywhere else; without, it depends on the kind of index.
                whole = (*index, Ellipsis)
                target[whole] = value
    except IndexError as error:
        raise range_error(error, target.shape) from error
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"assignment: a value of shape {value.shape} does not fit the chosen elements of "
            f"an array of shape {target.shape} ({error}). Expected their shape, or one that "
            "broadcasts to it."
        ) from error


def _check_kind(target: np.dtype[Any], value: np.dtype[Any]) -> None:
    if value.kind == "c" and target.kind != "c":
        raise DTypeError(
            f"assignment: a value of {value} does not fit an array of {target}. Assign its real "
            "part, or convert the array with astype."
        )


def _assign_reference(x: Array, value: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    _check_kind(x.dtype, value.dtype)
    result: Array = x.copy()
    _store(result, thaw(parts, arrays), value)
    return result


def _infer_assign(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, value = types[0], types[1]
    _check_kind(x.dtype, value.dtype)
    if x.shape is None:
        return x.with_shape(None)
    chosen = indexed_shape(x.shape, attributes["parts"], types[2:])
    if chosen is not None and value.shape is not None:
        sizes = list(value.shape)
        while len(sizes) > len(chosen) and sizes[0] == 1:
            sizes.pop(0)
        joined = broadcast_shapes("assignment", [tuple(sizes), chosen])
        if is_known(*chosen, *sizes) and joined != chosen:
            raise ShapeError(
                f"assignment: a value of shape {shape_numbers(value.shape)} does not fit the "
                f"chosen elements of shape {shape_numbers(chosen)}. Expected one that "
                "broadcasts to it."
            )
    return x.with_shape(x.shape)


def _grad_assign(call: GradCall) -> list[Var | None]:
    x, value = call.input(0), call.input(1)
    arrays = [each for each in call.inputs[2:] if each is not None]
    parts = call.attributes["parts"]
    rest: Var = assign_index(call.grad, zeros_like(value), *arrays, parts=parts)
    taken: Var = getitem_parts(call.grad, *arrays, parts=parts)
    if any(each.dtype.kind != "b" for each in arrays):
        kept: Var = _last_assigned(x, *arrays, parts=parts)
        taken = select(kept, taken, zeros_like(taken))
    if value.ndim > taken.ndim:
        taken = expand_dims(taken, tuple(range(value.ndim - taken.ndim)))
    return [rest, fit_gradient(taken, value), *([None] * len(arrays))]


assign_index = OpSpec(
    "assign_index",
    ("x", "value", "arrays*"),
    _infer_assign,
    _assign_reference,
    "index",
    attributes={"parts": REQUIRED},
    grad=_grad_assign,
    samples=(
        Sample((normal(3, 2), normal(2)), {"parts": _ROW}),
        Sample((normal(3, 2), normal()), {"parts": _ROW}),
        Sample((normal(3, 2), normal(1, 1, 2)), {"parts": _ROW}),
        Sample((normal(4), normal(2), np.array([0, 2], np.int32)), {"parts": _ARRAY}),
        Sample((normal(4), normal(3), np.array([2, 0, 2], np.int32)), {"parts": _ARRAY}),
        Sample((normal(3), normal(2), np.array([True, False, True])), {"parts": _ARRAY}),
        Sample((integers(4), normal()), {"parts": (("slice", 1, None, None),)}, gradient=False),
        Sample((normal(0), normal()), {"parts": (("dots",),)}, gradient=False),
    ),
    bad=(
        BadCall("out of range", (normal(3), normal()), IndexRangeError, {"parts": (("int", 3),)}),
        BadCall("value shape", (normal(3, 2), normal(3)), ShapeError, {"parts": _ROW}),
        BadCall("complex value", (normal(3), np.complex64(1j)), DTypeError, {"parts": _ROW}),
    ),
    doc="x with the elements at an index replaced by a value",
)


def _last_reference(x: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    index = thaw(parts, arrays)
    board = np.zeros(x.shape, np.int64)
    order = np.arange(board[index].size).reshape(board[index].shape)
    board[index] = order
    return np.asarray(board[index] == order)


def _infer_last(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    shape = None if x.shape is None else indexed_shape(x.shape, attributes["parts"], types[1:])
    return TensorType(shape, np.dtype(np.bool_), x.format)


_last_assigned = OpSpec(
    "last_assigned",
    ("x", "arrays*"),
    _infer_last,
    _last_reference,
    "index",
    attributes={"parts": REQUIRED},
    grad=lambda call: [None] * len(call.inputs),
    samples=(
        Sample((normal(4), np.array([2, 0, 2], np.int32)), {"parts": _ARRAY}, gradient=False),
        Sample((normal(3, 2),), {"parts": _ROW}, gradient=False),
        Sample((normal(3), np.zeros(0, np.int32)), {"parts": _ARRAY}, gradient=False),
    ),
    doc="True for each element of an assigned value that no later one overwrites",
)


# --- Python's assignment -------------------------------------------------------------------------


def setitem(x: Var, index: Any, value: Any) -> None:
    """Carry out `x[index] = value`; the value is cast to the dtype of x as NumPy does.

    A computed Var is written in place, and its views see it. A leaf of a graph is written, and what
    depends on it is computed anew. While recording, and for the result of a recorded operation, the
    assignment is one more operation and x becomes its result: whatever was recorded from x before
    keeps the old value. Only trainable Vars are written even then, since they are storage.

    Raises:
        IndexRangeError: bad index.    ShapeError: the value does not broadcast to the elements.
        DTypeError: complex numbers for a real array, or a Python int beyond an integer dtype.
        ValueError, OverflowError: NaN, or infinity, for an array of integers.
    """
    if x._ref is None and _wrote_number(x, index, value):
        return
    operand = _value_operand(x, value)
    ref = x._ref
    learns = operand._ref is not None and operand._ref.node.trainable
    is_leaf = ref is not None and ref.node.is_leaf
    if is_leaf and ref is not None and ref.node.kind == TRAINABLE:
        _write_leaf(x, ref, index, operand)
    elif should_record() or learns or (ref is not None and not is_leaf):
        _assign_in_graph(x, index, operand, learns=learns)
    elif ref is not None:
        _write_leaf(x, ref, index, operand)
    else:
        _check_kind(x.dtype, operand.dtype)
        _write_array(x, index, operand._array())


def _wrote_number(x: Var, index: Any, value: Any) -> bool:
    """Write a Python number that any array of reals can hold; False: the general way must do it."""
    kind = x.dtype.kind
    fits = type(value) in (int, bool) or (type(value) is float and kind == "f")
    if not fits or kind == "c" or should_record():
        return False
    try:
        x._writable()[plain_index(index)] = value
    except (IndexError, OverflowError, TypeError, ValueError):
        return False
    return True


def _value_operand(x: Var, value: Any) -> Var:
    if type(value) is int and x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        if not limits.min <= value <= limits.max:
            raise NumberRangeError(
                f"assignment: {value} does not fit {x.dtype}, which holds {limits.min} to "
                f"{limits.max}. Convert the array with astype."
            )
    if type(value) is float and x.dtype.kind in "iu":
        int(value)  # raises for NaN and infinity, as NumPy does
    if isinstance(value, (list, tuple, float, complex)) and x.dtype in _WIDE:
        return Var(array_of(value, "assignment", exact=True))
    return as_var(value, "assignment")


def _write_array(x: Var, index: Any, value: Array) -> None:
    array = x._writable()
    try:
        plain = plain_index(index)
        with np.errstate(invalid="ignore"):
            array[plain] = value
    except (IndexError, TypeError, ValueError):
        parts, operands = freeze(index)
        _store(array, thaw(parts, [each._array() for each in operands]), value)


def _write_leaf(x: Var, ref: Ref, index: Any, value: Var) -> None:
    cell = ref.node.cell
    assert cell is not None
    _check_kind(x.dtype, value.dtype)
    parts, operands = freeze(index)
    plain = thaw(parts, [each._array() for each in operands])
    array = value._array()
    if ref.type.value is None:
        cell.value(x.name)
        _store(x._writable(), plain, array)
    else:
        # Shape rules may have looked at the old numbers: they look again before anything changes.
        new = cell.value(x.name).copy()
        _store(new, plain, array)
        retype(x, leaf_type(new, x._format, ref.node.kind))
        x._writable()[...] = new
    cell.touch()


def _assign_in_graph(x: Var, index: Any, value: Var, *, learns: bool) -> None:
    parts, operands = freeze(index)
    computes = learns or (x._ref is not None and x._ref.node.trainable)
    with nullcontext() if computes or should_record() else recording():
        assigned: Var = assign_index(x, value, *operands, parts=parts)
    x._ref, x._value = capture(assigned), assigned._value


def _delitem(x: Var, index: Any) -> None:
    raise DTypeError(
        f"del: cannot delete array elements (Var of shape {x.shape}, index {index!r}). "
        "Concatenate the parts to keep instead."
    )


attach_method("__setitem__", setitem)
attach_method("__delitem__", _delitem)
