"""Indexing and assignment with NumPy's full meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.modes import should_record
from mnn.expr.symbols import Dim, Symbol, fresh, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture
from mnn.ops.attach import attach_method
from mnn.ops.elementwise import broadcast_shapes, known_value
from mnn.ops.operands import array_of, as_var
from mnn.ops.samples import integers, normal
from mnn.ops.spec import REQUIRED, BadCall, GradCall, OpSpec, Sample

__all__ = ["getitem", "put_like", "setitem"]

Array = np.ndarray[Any, Any]

# An index is frozen into hashable parts: ("int", i), ("slice", a, b, c), ("new",), ("dots",),
# or ("array", k) for the k-th index operand.
Part = tuple[Any, ...]


# --- from what users write to frozen parts -------------------------------------------------------


def _freeze(index: Any) -> tuple[tuple[Part, ...], list[Var]]:
    """Return the parts of an index and its array operands."""
    items = index if isinstance(index, tuple) else (index,)
    parts: list[Part] = []
    operands: list[Var] = []
    for item in items:
        if item is None:
            parts.append(("new",))
        elif item is Ellipsis:
            parts.append(("dots",))
        elif isinstance(item, slice):
            parts.append(("slice", *(_bound(each) for each in (item.start, item.stop, item.step))))
        elif isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_)):
            parts.append(("int", int(item)))
        else:
            parts.append(("array", len(operands)))
            operands.append(_index_operand(item))
    if sum(1 for part in parts if part == ("dots",)) > 1:
        raise IndexRangeError("index: found two '...', expected at most one.")
    return tuple(parts), operands


def _bound(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return int(value.__index__())
    except (AttributeError, TypeError) as error:
        raise DTypeError(
            f"index: a slice bound is {value!r}, expected an int or nothing."
        ) from error


def _index_operand(item: Any) -> Var:
    if isinstance(item, (str, bytes, float, complex, dict, set)):
        raise IndexRangeError(
            f"index: found {item!r}, expected ints, slices, '...', None, or arrays of ints "
            "or bools."
        )
    if isinstance(item, (list, tuple)) and len(item) == 0:
        return Var(np.zeros(0, np.int64))
    operand = as_var(item, "index")
    if operand.dtype.kind not in "iub":
        raise IndexRangeError(
            f"index: found an array of {operand.dtype}, expected ints or bools. "
            "Convert it with astype."
        )
    return operand


def _thaw(parts: tuple[Part, ...], arrays: Sequence[Array]) -> tuple[Any, ...]:
    """Return NumPy's form of an index."""
    index: list[Any] = []
    for part in parts:
        kind = part[0]
        if kind == "int":
            index.append(part[1])
        elif kind == "slice":
            index.append(slice(*part[1:]))
        elif kind == "new":
            index.append(None)
        elif kind == "dots":
            index.append(Ellipsis)
        else:
            index.append(arrays[part[1]])
    return tuple(index)


def _range_error(error: Exception, shape: tuple[int, ...]) -> IndexRangeError:
    return IndexRangeError(
        f"index: {error} (array of shape {shape}). Check the index and the axis."
    )


# --- reading -------------------------------------------------------------------------------------


def _getitem_reference(x: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    try:
        result: Array = np.asarray(x[_thaw(parts, arrays)])
    except IndexError as error:
        raise _range_error(error, x.shape) from error
    return result


def _consumed(parts: tuple[Part, ...], kinds: Sequence[TensorType]) -> int | None:
    """Return how many dimensions an index uses up, None when a mask's rank is unknown."""
    count = 0
    for part in parts:
        if part[0] in ("int", "slice"):
            count += 1
        elif part[0] == "array":
            kind = kinds[part[1]]
            if kind.dtype.kind == "b":
                if kind.rank is None:
                    return None
                count += kind.rank
            else:
                count += 1
    return count


def _indexed_shape(
    shape: tuple[Dim, ...], parts: tuple[Part, ...], kinds: Sequence[TensorType]
) -> tuple[Dim, ...] | None:
    used = _consumed(parts, kinds)
    if used is None or any(kind.shape is None for kind in kinds):
        return None
    if used > len(shape):
        raise IndexRangeError(
            f"index: {used} indices for an array of shape {shape_numbers(shape)}. "
            f"Expected at most {len(shape)}."
        )
    spread = _without_dots(parts, len(shape) - used)
    basic: list[Dim] = []
    fancy: list[tuple[Dim, ...]] = []
    places: list[int] = []  # where in `basic` the first fancy index stands, and how they are spread
    runs = 0
    previous_fancy = False
    axis = 0
    has_array = any(part[0] == "array" for part in spread)
    for part in spread:
        # Beside arrays, integers take part in the fancy indexing, as in NumPy.
        is_fancy = part[0] == "array" or (part[0] == "int" and has_array)
        if is_fancy:
            runs += not previous_fancy
            places.append(len(basic))
            width = _fancy_part(part, kinds, shape, axis, fancy)
            axis += width
        elif part[0] == "new":
            basic.append(1)
        elif part[0] == "int":
            _check_int(part[1], shape[axis], axis)
            axis += 1
        else:
            basic.append(_slice_length(shape[axis], slice(*part[1:])))
            axis += 1
        previous_fancy = is_fancy
    if not has_array:
        return tuple(basic)
    try:
        joined = broadcast_shapes("index", fancy) or ()
    except ShapeError as error:
        raise IndexRangeError(f"index: index arrays do not broadcast: {error}") from error
    position = places[0] if runs == 1 else 0
    return (*basic[:position], *joined, *basic[position:])


def _without_dots(parts: tuple[Part, ...], missing: int) -> list[Part]:
    """Return parts with '...' (or the end) replaced by full slices."""
    fill: list[Part] = [("slice", None, None, None)] * missing
    if ("dots",) not in parts:
        return [*parts, *fill]
    place = parts.index(("dots",))
    return [*parts[:place], *fill, *parts[place + 1 :]]


def _fancy_part(
    part: Part,
    kinds: Sequence[TensorType],
    shape: tuple[Dim, ...],
    axis: int,
    fancy: list[tuple[Dim, ...]],
) -> int:
    """Add the shape of one fancy index to `fancy` and return how many dimensions it uses."""
    if part[0] == "int":
        _check_int(part[1], shape[axis], axis)
        return 1
    kind = kinds[part[1]]
    sizes = kind.shape or ()
    if kind.dtype.kind != "b":
        fancy.append(sizes)
        return 1
    for offset, size in enumerate(sizes):
        if is_known(size, shape[axis + offset]) and size != shape[axis + offset]:
            raise IndexRangeError(
                f"index: a mask of shape {shape_numbers(sizes)} meets dimensions "
                f"{shape_numbers(shape[axis : axis + len(sizes)])}. Expected equal sizes."
            )
    count: Dim = fresh("masked") if kind.value is None else int(np.count_nonzero(kind.value))
    fancy.append((count,))
    return len(sizes)


def _check_int(index: int, size: Dim, axis: int) -> None:
    if isinstance(size, int) and not -size <= index < size:
        raise IndexRangeError(
            f"index: {index} is out of range for axis {axis} of size {size}. "
            f"Expected a number in [{-size}, {size})."
        )


def _slice_length(size: Dim, part: slice) -> Dim:
    if part.step == 0:
        raise IndexRangeError("index: a slice step is 0, expected another number.")
    if isinstance(size, Symbol):
        return (
            size
            if part.start in (None, 0) and part.stop is None and part.step in (None, 1)
            else (fresh("sliced"))
        )
    return len(range(*part.indices(size)))


def _infer_getitem(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x = types[0]
    if x.shape is None:
        return x.with_shape(None)
    shape = _indexed_shape(x.shape, attributes["parts"], types[1:])
    return known_value(_getitem_reference, types, attributes, x.with_shape(shape))


def _grad_getitem(call: GradCall) -> list[Var | None]:
    x = call.input(0)
    arrays = [each for each in call.inputs[1:] if each is not None]
    gradient: Var = _put_like(call.grad, x, *arrays, parts=call.attributes["parts"])
    return [gradient, *([None] * len(arrays))]


_ROW: tuple[Part, ...] = (("int", 1),)
_MIXED: tuple[Part, ...] = (("slice", None, None, 2), ("new",), ("dots",), ("int", -1))
_FANCY: tuple[Part, ...] = (("array", 0), ("slice", 0, 2, None), ("array", 1))

_getitem = OpSpec(
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
        Sample((normal(3), np.array([True, False, True])), {"parts": (("array", 0),)}),
        Sample((integers(0, 2),), {"parts": (("slice", None, None, None),)}, gradient=False),
    ),
    bad=(
        BadCall("out of range", (normal(3),), IndexRangeError, {"parts": (("int", 3),)}),
        BadCall("too many", (normal(3),), IndexRangeError, {"parts": (("int", 0), ("int", 0))}),
        BadCall(
            "mask size",
            (normal(3), np.array([True, False])),
            IndexRangeError,
            {"parts": (("array", 0),)},
        ),
    ),
    doc="elements of x chosen by integers, slices, masks and index arrays",
)


def getitem(x: Var, index: Any) -> Var:
    """Return `x[index]` with NumPy's meaning.

    Raises:
        IndexRangeError: an index is out of range or of a wrong type.
    """
    parts, operands = _freeze(index)
    result: Var = _getitem(x, *operands, parts=parts)
    return result


# --- the adjoint: putting into zeros -------------------------------------------------------------


def _put_reference(g: Array, like: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    result: Array = np.zeros(like.shape, g.dtype)
    np.add.at(result, _thaw(parts, arrays), g)
    return result


_put_like = OpSpec(
    "put_like",
    ("g", "like", "arrays*"),
    lambda types, attributes: types[0].with_shape(types[1].shape).with_format(types[1].format),
    _put_reference,
    "index",
    attributes={"parts": REQUIRED},
    grad=lambda call: [
        _getitem(
            call.grad,
            *[each for each in call.inputs[2:] if each is not None],
            parts=call.attributes["parts"],
        ),
        *([None] * (len(call.inputs) - 1)),
    ],
    samples=(
        Sample((normal(2), normal(3, 2)), {"parts": _ROW}),
        Sample((normal(3), normal(4), np.array([0, 2, 2], np.int32)), {"parts": (("array", 0),)}),
        Sample((normal(0), normal(0)), {"parts": (("slice", None, None, None),)}, gradient=False),
    ),
    doc="zeros like `like` with g added at an index: the adjoint of indexing",
)


def put_like(g: Var, like: Var, index: tuple[Any, ...]) -> Var:
    """Return zeros like `like` with `g` added at `index`; repeated places add up."""
    parts, operands = _freeze(index)
    result: Var = _put_like(g, like, *operands, parts=parts)
    return result


# --- assignment ----------------------------------------------------------------------------------


def _assign_reference(x: Array, value: Array, *arrays: Array, parts: tuple[Part, ...]) -> Array:
    result: Array = x.copy()
    _assign(result, _thaw(parts, arrays), value)
    return result


def _assign(target: Array, index: tuple[Any, ...], value: Array) -> None:
    try:
        with np.errstate(invalid="ignore"):
            target[index] = value
    except IndexError as error:
        raise _range_error(error, target.shape) from error
    except ValueError as error:
        raise ShapeError(
            f"assignment: a value of shape {value.shape} does not fit the chosen elements of "
            f"shape {target[index].shape}. Expected that shape, or one that broadcasts to it."
        ) from error


def _infer_assign(types: Sequence[TensorType], attributes: Mapping[str, Any]) -> TensorType:
    x, value = types[0], types[1]
    if x.shape is None:
        return x.with_shape(None)
    chosen = _indexed_shape(x.shape, attributes["parts"], types[2:])
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
    from mnn.ops.create import zeros_like
    from mnn.ops.elementwise import fit_gradient

    value = call.input(1)
    arrays = [each for each in call.inputs[2:] if each is not None]
    parts = call.attributes["parts"]
    rest: Var = _assign_index(call.grad, zeros_like(value), *arrays, parts=parts)
    taken: Var = _getitem(call.grad, *arrays, parts=parts)
    return [rest, fit_gradient(taken, value), *([None] * len(arrays))]


_assign_index = OpSpec(
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
        Sample((normal(4), normal(2), np.array([0, 2], np.int32)), {"parts": (("array", 0),)}),
        Sample((normal(3), normal(2), np.array([True, False, True])), {"parts": (("array", 0),)}),
        Sample((integers(4), normal()), {"parts": (("slice", 1, None, None),)}, gradient=False),
        Sample((normal(0), normal()), {"parts": (("dots",),)}, gradient=False),
    ),
    bad=(
        BadCall("out of range", (normal(3), normal()), IndexRangeError, {"parts": (("int", 3),)}),
        BadCall("value shape", (normal(3, 2), normal(3)), ShapeError, {"parts": _ROW}),
    ),
    doc="x with the elements at an index replaced by a value",
)


def setitem(x: Var, index: Any, value: Any) -> None:
    """Carry out `x[index] = value`.

    An eager Var is written in place, and its views see it. A leaf of a graph is written, and what
    depends on it is computed anew. A recorded Var becomes the result of the assignment; whatever
    was recorded from it before keeps the old value.

    Raises:
        IndexRangeError: bad index.    ShapeError: the value does not broadcast to the elements.
    """
    parts, operands = _freeze(index)
    ref = x._ref
    if ref is not None and (ref.node.cell is None or should_record()):
        assigned: Var = _assign_index(x, as_var(value, "assignment"), *operands, parts=parts)
        x._ref, x._value = capture(assigned), assigned._value
        return
    array = array_of(value, "assignment")
    arrays = [each._array() for each in operands]
    target = x._writable()
    _assign(target, _thaw(parts, arrays), array)
    if ref is not None and ref.node.cell is not None:
        ref.node.cell.touch()


def _delitem(x: Var, index: Any) -> None:
    raise DTypeError(
        f"del: elements of a Var cannot be deleted (shape {x.shape}, index {index!r}). "
        "Use mnn.numpy.delete, which returns a new array."
    )


attach_method("__getitem__", getitem)
attach_method("__setitem__", setitem)
attach_method("__delitem__", _delitem)
