"""Indices as plain data: what users write, frozen into hashable parts, and the shapes they give.

A part is `("int", i)`, `("slice", start, stop, step)`, `("new",)`, `("dots",)`, or `("array", k)`
for the k-th index operand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, IndexRangeError, ShapeError, UnsupportedError
from mnn.expr.modes import should_record
from mnn.expr.symbols import Dim, Symbol, fresh, is_known, shape_numbers
from mnn.expr.types import TensorType
from mnn.expr.var import Var
from mnn.ops.elementwise import broadcast_shapes
from mnn.ops.operands import as_var

__all__ = [
    "Part",
    "freeze",
    "index_items",
    "index_operand",
    "indexed_shape",
    "is_variable",
    "plain_index",
    "range_error",
    "thaw",
]

Array = np.ndarray[Any, Any]
Part = tuple[Any, ...]


# --- from what users write to parts --------------------------------------------------------------


def index_items(index: Any) -> tuple[Any, ...]:
    """Return the items of an index: a tuple's own, or the one item there is."""
    return index if isinstance(index, tuple) else (index,)


def freeze(index: Any) -> tuple[tuple[Part, ...], list[Var]]:
    """Return the parts of an index and its array operands.

    Raises:
        IndexRangeError: an item is no index.    DTypeError: a slice bound is no int.
        UnsupportedError: a slice bound depends on the inputs of a graph.
    """
    parts: list[Part] = []
    operands: list[Var] = []
    for item in index_items(index):
        if item is None:
            parts.append(("new",))
        elif item is Ellipsis:
            parts.append(("dots",))
        elif isinstance(item, slice):
            parts.append(("slice", *(_bound(each) for each in (item.start, item.stop, item.step))))
        elif _is_int(item):
            parts.append(("int", int(item)))
        else:
            parts.append(("array", len(operands)))
            operands.append(index_operand(item))
    if sum(1 for part in parts if part == ("dots",)) > 1:
        raise IndexRangeError("index: found two '...', expected at most one.")
    return tuple(parts), operands


def _is_int(item: Any) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, (bool, np.bool_))


def is_variable(value: Any) -> bool:
    """Return True for a Var whose number is not fixed while the graph is recorded."""
    return (
        isinstance(value, Var)
        and value._ref is not None
        and value._type.value is None
        and should_record()
    )


def _bound(value: Any) -> int | None:
    if value is None:
        return None
    if is_variable(value):
        raise UnsupportedError(
            "index: a slice bound is computed by the graph from inputs. Expected a number known "
            "while the graph is built. Use an array of indices instead."
        )
    try:
        return int(value.__index__())
    except (AttributeError, TypeError) as error:
        raise DTypeError(
            f"index: a slice bound is {value!r}, expected an int or nothing."
        ) from error


def index_operand(item: Any) -> Var:
    """Return an index array as a Var.

    Raises:
        IndexRangeError: not an array of ints or bools.
    """
    if isinstance(item, (str, bytes, float, complex, dict, set)):
        raise IndexRangeError(
            f"index: found {item!r}, expected ints, slices, '...', None, or arrays of ints "
            "or bools."
        )
    if isinstance(item, (list, tuple)) and len(item) == 0:
        return Var(np.zeros(0, np.int64))
    try:
        operand = as_var(item, "index")
    except DTypeError as error:
        raise IndexRangeError(
            f"index: found {item!r}, expected ints, slices, '...', None, or arrays of ints or "
            "bools. Put slices and '...' into a tuple, not a list."
        ) from error
    if operand.dtype.kind not in "iub":
        raise IndexRangeError(
            f"index: found an array of {operand.dtype}, expected ints or bools. "
            "Convert it with astype."
        )
    return operand


def thaw(parts: tuple[Part, ...], arrays: Sequence[Array]) -> tuple[Any, ...]:
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


def plain_index(index: Any) -> Any:
    """Return an index with arrays in place of Vars and lists, for NumPy itself."""
    if isinstance(index, tuple):
        return tuple([plain_index(each) for each in index])
    if type(index) is Var:
        return index._array()
    if type(index) is list and not all(type(each) is int for each in index):
        return index_operand(index)._array()
    return index


def range_error(error: Exception, shape: tuple[int, ...]) -> IndexRangeError:
    """Return our error for NumPy's."""
    return IndexRangeError(
        f"index: {error} (array of shape {shape}). Check the index and the axis."
    )


# --- shapes --------------------------------------------------------------------------------------


def indexed_shape(
    shape: tuple[Dim, ...], parts: tuple[Part, ...], kinds: Sequence[TensorType]
) -> tuple[Dim, ...] | None:
    """Return the shape of an indexed array, None when the rank of an index is unknown.

    Args:
        shape: of the array.
        parts: the index.
        kinds: types of its array operands.

    Raises:
        IndexRangeError: an index that the known sizes exclude.
        ShapeError: a slice step of 0.
    """
    used = _consumed(parts, kinds)
    if used is None or any(kind.shape is None for kind in kinds):
        return None
    if used > len(shape):
        raise IndexRangeError(
            f"index: {used} indices for an array of shape {shape_numbers(shape)}. "
            f"Expected at most {len(shape)}."
        )
    basic: list[Dim] = []
    fancy: list[tuple[Dim, ...]] = []
    places: list[int] = []  # lengths of `basic` where a fancy index stands
    runs, previous_fancy, axis = 0, False, 0
    has_array = any(part[0] == "array" for part in parts)
    for part in _without_dots(parts, len(shape) - used):
        # Beside arrays, integers take part in the fancy indexing, as in NumPy.
        is_fancy = part[0] == "array" or (part[0] == "int" and has_array)
        if is_fancy:
            runs += not previous_fancy
            places.append(len(basic))
            axis += _fancy_part(part, kinds, shape, axis, fancy)
        elif part[0] == "new":
            basic.append(1)
        elif part[0] == "int":
            _check_int(part[1], shape[axis], axis)
            axis += 1
        elif part[0] == "slice":
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


def _without_dots(parts: tuple[Part, ...], missing: int) -> list[Part]:
    """Return parts with '...' (or the end) replaced by full slices."""
    fill: list[Part] = [("slice", None, None, None)] * missing
    if ("dots",) not in parts:
        return [*parts, *fill]
    place = parts.index(("dots",))
    # The '...' itself stays: between index arrays it separates them even when it stands for none.
    return [*parts[:place], ("dots",), *fill, *parts[place + 1 :]]


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
        # NumPy takes an empty mask for any size.
        if is_known(size, shape[axis + offset]) and size not in (0, shape[axis + offset]):
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
        raise ShapeError("index: a slice step is 0, expected another number.")
    if isinstance(size, Symbol):
        forward = part.start in (None, 0) and part.step in (None, 1)
        backward = part.start is None and part.step == -1
        return size if (forward or backward) and part.stop is None else fresh("sliced")
    return len(range(*part.indices(size)))
