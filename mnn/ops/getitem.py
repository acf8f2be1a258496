"""Indexing with NumPy's full meaning, and its adjoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.config import config
from mnn.errors import IndexRangeError, ShapeError
from mnn.expr.memory import share
from mnn.expr.modes import recorders, should_record
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.attach import attach_method
from mnn.ops.convert import cast
from mnn.ops.elementwise import known_value
from mnn.ops.index_parts import (
    Part,
    freeze,
    index_items,
    index_operand,
    indexed_shape,
    is_variable,
    plain_index,
    range_error,
    thaw,
)
from mnn.ops.joining import stack
from mnn.ops.samples import integers, normal
from mnn.ops.slicing import LIMIT, slice_steps
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = ["getitem", "getitem_parts", "put_like"]

Array = np.ndarray[Any, Any]

_PLAIN = frozenset((int, slice, type(None), type(Ellipsis)))


# --- reading -------------------------------------------------------------------------------------


def _getitem_reference(x: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    try:
        result: Array = np.asarray(x[thaw(parts, arrays)])
    except IndexError as error:
        raise range_error(error, x.shape) from error
    return result


def _infer_getitem(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is None:
        return x.with_shape(None)
    shape = indexed_shape(x.shape, attributes["parts"], types[1:])
    return known_value(_getitem_reference, types, attributes, x.with_shape(shape))


def _grad_getitem(call: GradCall) -> list[Var | None]:
    x = call.input(0)
    arrays = [each for each in call.inputs[1:] if each is not None]
    gradient: Var = _put_like(call.grad, x, *arrays, parts=call.attributes["parts"])
    return [gradient, *([None] * len(arrays))]


_ROW: tuple[Part, ...] = (("int", 1),)
_MIXED: tuple[Part, ...] = (("slice", None, None, 2), ("new",), ("dots",), ("int", -1))
_FANCY: tuple[Part, ...] = (("array", 0), ("slice", 0, 2, None), ("array", 1))
_ARRAY: tuple[Part, ...] = (("array", 0),)

getitem_parts = OpSpec(
    "getitem",
    ("x", "arrays*"),
    _infer_getitem,
    _getitem_reference,
    "index",
    attributes={"parts": REQUIRED},
    grad=_grad_getitem,
    samples=(
        Sample((normal(3, 2),), {"parts": _ROW}),
        Sample((normal(3, 2, 2),), {"parts": _MIXED}),
        Sample(
            (normal(3, 2, 3), np.array([0, 2, 2], np.int32), np.array([[1], [0]], np.int32)),
            {"parts": _FANCY},
        ),
        Sample((normal(3), np.array([True, False, True])), {"parts": _ARRAY}),
        Sample((integers(0, 2),), {"parts": (("slice", None, None, None),)}, gradient=False),
    ),
    bad=(
        BadCall("out of range", (normal(3),), IndexRangeError, {"parts": (("int", 3),)}),
        BadCall("too many", (normal(3),), IndexRangeError, {"parts": (("int", 0), ("int", 0))}),
        BadCall(
            "mask size",
            (normal(3), np.array([True, False])),
            IndexRangeError,
            {"parts": _ARRAY},
        ),
        BadCall("zero step", (normal(3),), ShapeError, {"parts": (("slice", None, None, 0),)}),
    ),
    doc="elements of x chosen by integers, slices, masks and index arrays",
)


def getitem(x: Var, index: Any) -> Var:
    """Return `x[index]` with NumPy's meaning; slices of a computed array share its memory.

    Args:
        x: array.
        index: ints, slices, `...`, None, and arrays, lists or Vars of ints or bools, alone or in a
            tuple. While recording, slice bounds may be Vars that depend on inputs.

    Raises:
        IndexRangeError: an index is out of range or of a wrong type.
        DTypeError: a slice bound is no int.    ShapeError: a slice step is 0.
    """
    value = x._value
    if (
        value is not None
        and (
            type(index) in _PLAIN or (type(index) is tuple and _PLAIN.issuperset(map(type, index)))
        )
        and not config.lazy
        and not recorders.count
        and value.size < config.pending_elements
        and x._ref is None
    ):
        try:
            part = value[index]
        except (IndexError, TypeError, ValueError):
            pass  # the type rule knows better why
        else:
            return Var(part if type(part) is np.ndarray else np.asarray(part), x._format)
    value = None  # what waits must be the only one that knows the array
    if should_record():
        x, index = _cut_at_variable_bounds(x, index)
    elif x._value is not None and x._ref is None:
        found = _at_once(x, index)
        if found is not None:
            return found
    parts, operands = freeze(index)
    result: Var = getitem_parts(x, *operands, parts=parts)
    return result


def _at_once(x: Var, index: Any) -> Var | None:
    """Return the result by NumPy alone, or None when it refuses: the type rule knows better why."""
    try:
        found = x._array()[plain_index(index)]
    except (IndexError, TypeError, ValueError):
        return None
    if type(found) is not np.ndarray:
        found = np.asarray(found)
    result = Var(found, x._format)
    if found.base is not None and found.base.size >= config.pending_elements:
        share(x, result)
    return result


# --- slices whose bounds are computed by the graph ------------------------------------------------


def _cut_at_variable_bounds(x: Var, index: Any) -> tuple[Var, Any]:
    """Return x sliced at the bounds that inputs decide, and the index that is left to apply."""
    items = list(index_items(index))
    if not any(_has_variable_bound(item) for item in items):
        return x, index
    axis, places = 0, []
    for place, item in enumerate(items):
        if item is Ellipsis:
            axis = -sum(_dimensions(each) for each in items[place + 1 :])
            continue
        if _has_variable_bound(item):
            places.append((place, axis))
        axis += _dimensions(item)
    slices = [items[place] for place, _ in places]
    steps = [1 if each.step is None else int(each.step) for each in slices]
    starts = [
        _bound_operand(each.start, 0 if step > 0 else LIMIT)
        for each, step in zip(slices, steps, strict=True)
    ]
    stops = [
        _bound_operand(each.stop, LIMIT if step > 0 else -LIMIT)
        for each, step in zip(slices, steps, strict=True)
    ]
    axes = np.array([axis for _, axis in places], np.int32)
    cut: Var = slice_steps(x, stack(starts), stack(stops), axes, np.array(steps, np.int32))
    for place, _ in places:
        items[place] = slice(None)
    return cut, tuple(items)


def _has_variable_bound(item: Any) -> bool:
    return isinstance(item, slice) and (is_variable(item.start) or is_variable(item.stop))


def _dimensions(item: Any) -> int:
    """Return how many dimensions one item of an index uses up."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, (slice, int, np.integer)) and not isinstance(item, bool):
        return 1
    operand = index_operand(item)
    return operand.ndim if operand.dtype.kind == "b" else 1


def _bound_operand(bound: Any, default: int) -> Var:
    if not is_variable(bound):
        number = default if bound is None else int(bound)
        return Var(np.array(min(max(number, -LIMIT), LIMIT), np.int32))
    if bound.dtype.kind not in "iu" or bound.ndim:
        raise IndexRangeError(
            f"index: a slice bound is {bound._type.describe()}, expected one integer."
        )
    return cast(bound, np.int32)


# --- the adjoint: putting into zeros -------------------------------------------------------------


def _put_reference(g: Array, like: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    result: Array = np.zeros(like.shape, g.dtype)
    index = thaw(parts, arrays)
    if any(each.dtype.kind != "b" for each in arrays):
        np.add.at(result, index, g)  # indices may repeat
    else:
        result[index] = g
    return result


_put_like = OpSpec(
    "put_like",
    ("g", "like", "arrays*"),
    lambda types, attributes: types[0].with_shape(types[1].shape).with_format(types[1].format),
    _put_reference,
    "index",
    attributes={"parts": REQUIRED},
    grad=lambda call: [
        getitem_parts(
            call.grad,
            *[each for each in call.inputs[2:] if each is not None],
            parts=call.attributes["parts"],
        ),
        *([None] * (len(call.inputs) - 1)),
    ],
    samples=(
        Sample((normal(2), normal(3, 2)), {"parts": _ROW}),
        Sample((normal(3), normal(4), np.array([0, 2, 2], np.int32)), {"parts": _ARRAY}),
        Sample((normal(2), normal(3), np.array([True, False, True])), {"parts": _ARRAY}),
        Sample((normal(0), normal(0)), {"parts": (("slice", None, None, None),)}, gradient=False),
    ),
    doc="zeros like `like` with g added at an index: the adjoint of indexing",
)


def put_like(g: Var, like: Var, index: tuple[Any, ...]) -> Var:
    """Return zeros like `like` with `g` added at `index`; repeated places add up."""
    parts, operands = freeze(index)
    result: Var = _put_like(g, like, *operands, parts=parts)
    return result


attach_method("__getitem__", getitem)
