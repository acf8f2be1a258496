"""Elements by condition, by number, and by case; and the places where others are put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as _np

from mnn.errors import DTypeError, IndexRangeError, ShapeError
from mnn.expr.dtypes import common_dtype
from mnn.expr.var import Var
from mnn.numpy.hosting import at_once, computed
from mnn.numpy.reductions import stored
from mnn.numpy.sizes import product, sizes_of, steps
from mnn.ops import scan as _scan
from mnn.ops import search as _search
from mnn.ops.arithmetic import maximum as _maximum
from mnn.ops.arithmetic import minimum as _minimum
from mnn.ops.axes import normalize_axis
from mnn.ops.broadcast import broadcast_like as _broadcast_like
from mnn.ops.broadcast import reshape_like as _reshape_like
from mnn.ops.comparison import select as _select
from mnn.ops.convert import cast
from mnn.ops.create import zeros_like as _zeros_like
from mnn.ops.elementwise import unify_operands
from mnn.ops.index import gather as _gather
from mnn.ops.index import gather_elements as _gather_elements
from mnn.ops.joining import concat as _concat
from mnn.ops.joining import stack as _stack
from mnn.ops.movement import expand_dims as _expand_dims
from mnn.ops.movement import ravel, reshape
from mnn.ops.operands import as_var, literal

__all__ = [
    "choose",
    "compress",
    "extract",
    "piecewise",
    "place",
    "put",
    "putmask",
    "select",
]

_MODES = ("raise", "wrap", "clip")


def _true_places(condition: Var) -> Var:
    """Return the int32 positions of true elements of a vector."""
    return _search.where(condition)[:, 0]


def extract(condition: Any, arr: Any) -> Var:
    """Return the elements of the flat array where the flat condition is true."""
    places = _true_places(ravel(as_var(condition, "extract")))
    return _gather(ravel(as_var(arr, "extract")), places)


def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Var:
    """Return the slices along `axis` (None: elements of the flat array) at true conditions.

    Args:
        condition: vector, no longer than the axis unless what is more is false.
        a: array.
        axis: which axis.
        out: Var to write the result to.

    Raises:
        ShapeError: the condition is no vector.    IndexRangeError: it is true beyond the end.
    """
    chosen, x = as_var(condition, "compress"), as_var(a, "compress")
    if chosen.ndim != 1:
        raise ShapeError(f"compress: the condition has shape {chosen.shape}, expected a vector.")
    if axis is None or not x.ndim:
        x, axis = ravel(x), 0
    number = normalize_axis("compress", axis, x.ndim)
    return stored(_gather(x, _true_places(chosen), number), out)


# --- writing -------------------------------------------------------------------------------------


def _target(name: str, a: Any) -> Var:
    if not isinstance(a, Var):
        raise DTypeError(f"{name}: found {type(a).__name__}, expected a Var to write to.")
    return a


def _values_for(name: str, x: Var, values: Any, *, safe: bool) -> Var:
    """Return values, flat, in the type of x."""
    if not isinstance(values, (Var, _np.ndarray, _np.generic)):
        if isinstance(values, (int, float, complex)):
            return reshape(literal(values, x.dtype), (1,))
        values = _np.asarray([] if isinstance(values, (list, tuple)) and not values else values)
        return Var(values.astype(x.dtype).reshape(-1))
    found = as_var(values, name)
    if safe and not _np.can_cast(found.dtype, x.dtype, "safe"):
        raise DTypeError(
            f"{name}: found values of {found.dtype} for an array of {x.dtype}, which cannot hold "
            "all of them. Convert them with astype."
        )
    return ravel(cast(found, x.dtype))


def _same_size(name: str, x: Var, mask: Any) -> Var:
    chosen = as_var(mask, name)
    if -1 not in (*x.shape, *chosen.shape) and x.size != chosen.size:
        raise ShapeError(f"{name}: mask {chosen.shape} and array {x.shape} differ in size.")
    return ravel(chosen) != 0


def place(arr: Any, mask: Any, vals: Any) -> None:
    """Write the first of `vals` to the first true place of a Var, the next to the next.

    Args:
        arr: Var that is changed.
        mask: bools, as many as arr has elements.
        vals: numbers; they start anew where there are too few.

    Raises:
        ShapeError: the sizes differ, or there are no values for true places.
    """
    x = _target("place", arr)
    chosen = _same_size("place", x, mask)
    values = _values_for("place", x, vals, safe=True)
    (count,) = sizes_of(values)
    if isinstance(count, int) and count == 0:
        if at_once(chosen) and not bool(chosen._array().any()):
            return
        raise ShapeError("place: found no values, expected at least one.")
    number = _scan.cumsum(cast(chosen, _np.int32), 0) - 1
    found = _gather(values, _maximum(number, 0) % count)
    x[...] = _reshape_like(_select(chosen, found, ravel(x)), x)


def putmask(a: Any, mask: Any, values: Any) -> None:
    """Write to the true places of a Var the values that are there.

    Args:
        a: Var that is changed.
        mask: bools, as many as a has elements.
        values: numbers; repeated if they are fewer than a's elements.

    Raises:
        ShapeError: the sizes differ.
    """
    x = _target("putmask", a)
    chosen = _same_size("putmask", x, mask)
    given = _values_for("putmask", x, values, safe=True)
    (count,) = sizes_of(given)
    if isinstance(count, int) and count == 0:
        return
    flat = ravel(x)
    found = _gather(given, steps(product(sizes_of(flat))) % count)
    x[...] = _reshape_like(_select(chosen, found, flat), x)


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Write values to places of the flat array of a Var.

    Args:
        a: Var that is changed.
        ind: integers; those below 0 count from the end.
        v: numbers, repeated if they are fewer than the places.
        mode: what happens to places out of range: "raise", "wrap" around or "clip" to the ends.

    Raises:
        IndexRangeError: a place is out of range.    ShapeError: an unknown mode.
    """
    x = _target("put", a)
    if mode not in _MODES:
        raise ShapeError(f"put: mode is {mode!r}, expected one of {_MODES}.")
    values = _values_for("put", x, v, safe=False)
    (count,) = sizes_of(values)
    if isinstance(count, int) and count == 0:
        return
    # NumPy takes any numbers for places, without their fractions.
    places = ravel(cast(as_var(ind, "put"), _np.int64))
    (size,) = sizes_of(ravel(x))
    if mode == "wrap":
        places = places % size
    elif mode == "clip":
        places = _minimum(_maximum(places, 0), size - 1)
    flat = ravel(x) + 0 if x.dtype.kind != "b" else ravel(x) | False
    flat[places] = _gather(values, steps(sizes_of(places)[0]) % count)
    x[...] = _reshape_like(flat, x)


# --- cases ---------------------------------------------------------------------------------------


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Var:
    """Return at each place the element of the choice whose number is there.

    Args:
        a: integers.
        choices: arrays that broadcast with a, or an array whose first axis counts them.
        out: Var to write the result to.
        mode: what happens to numbers of no choice: "raise", "wrap" around or "clip".

    Raises:
        ShapeError: a number of no choice, no choices, or an unknown mode.
    """
    numbers = as_var(a, "choose")
    if numbers.dtype.kind not in "biu":
        raise DTypeError(f"choose: found numbers of {numbers.dtype}, expected integers.")
    if mode not in _MODES:
        raise ShapeError(f"choose: mode is {mode!r}, expected one of {_MODES}.")
    if not isinstance(choices, (list, tuple)):
        several = as_var(choices, "choose")
        choices = [several[each] for each in range(several.shape[0])]
    if not choices:
        raise ShapeError("choose: found no choices, expected at least one.")
    made = [as_var(each, "choose") for each in choices]
    numbers = cast(numbers, _np.int64)
    if at_once(numbers, *made):
        return stored(computed(_np.choose, numbers, made, mode=mode), out)
    dtype = common_dtype(*(each.dtype for each in made))
    like = _zeros_like(numbers)
    for each in made:
        like = like + cast(_zeros_like(each), _np.int64)
    if mode == "wrap":
        numbers = numbers % len(made)
    elif mode == "clip":
        numbers = _minimum(_maximum(numbers, 0), len(made) - 1)
    stacked = _stack([_broadcast_like(cast(each, dtype), like) for each in made])
    found: Var = _gather_elements(stacked, _expand_dims(_broadcast_like(numbers, like), 0), axis=0)
    return stored(found[0], out)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Var:
    """Return at each place the element of the first choice whose condition is true there.

    Args:
        condlist: arrays of bools.
        choicelist: as many arrays; all broadcast together.
        default: where no condition is true.

    Raises:
        ShapeError: no conditions, or not as many choices.    DTypeError: conditions are no bools.
    """
    if len(condlist) != len(choicelist):
        raise ShapeError(
            f"select: found {len(condlist)} conditions and {len(choicelist)} choices, expected as "
            "many."
        )
    if not condlist:
        raise ShapeError("select: found no conditions, expected at least one.")
    conditions = [as_var(each, "select") for each in condlist]
    for each in conditions:
        if each.dtype.kind != "b":
            raise DTypeError(f"select: found a condition of {each.dtype}, expected bools.")
    *choices, result = unify_operands("select", [*choicelist, default])
    dtype = common_dtype(*(each.dtype for each in (*choices, result)))
    result = cast(result, dtype)
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        result = _select(condition, cast(choice, dtype), result)
    return result


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Var:
    """Return functions of those elements of x where conditions are true; the last one decides.

    Args:
        x: array; the result has its type.
        condlist: bools in the shape of x, one array or several.
        funclist: functions of vectors, or numbers, for each condition; one more is for the rest.
        args, kw: further arguments of the functions.

    Raises:
        ShapeError: the functions are not as many as the conditions, or one more.
        IndexRangeError: a condition of another shape.
    """
    var = as_var(x, "piecewise")
    conditions = _conditions(var, condlist)
    count, wanted = len(conditions), len(funclist)
    if count == wanted - 1:
        either: Any = conditions[0]
        for each in conditions[1:]:
            either = either | each
        conditions.append(~either)
    elif count != wanted:
        raise ShapeError(
            f"piecewise: found {wanted} functions for {count} conditions, expected {count} or "
            f"{count + 1}."
        )
    flat, result = ravel(var), ravel(_zeros_like(var))
    for condition, function in zip(conditions, funclist, strict=True):
        result = _with_piece(flat, result, ravel(condition), function, args, kw)
    found: Var = _reshape_like(result, var)
    return found


def _conditions(x: Var, condlist: Any) -> list[Var]:
    one = isinstance(condlist, (bool, int, float, _np.generic)) or (
        x.ndim != 0 and not isinstance(condlist[0], (list, _np.ndarray, Var, tuple))
    )
    made = [as_var(each, "piecewise") for each in ([condlist] if one else condlist)]
    for each in made:
        if tuple(each.shape) != tuple(x.shape) and -1 not in (*each.shape, *x.shape):
            raise IndexRangeError(
                f"piecewise: found a condition of shape {each.shape}, expected {x.shape}."
            )
    return [each if each.dtype.kind == "b" else each != 0 for each in made]


def _with_piece(
    x: Var, result: Var, condition: Var, function: Callable[..., Any] | Any, args: Any, kw: Any
) -> Var:
    if not callable(function):
        value = as_var(function, "piecewise")
        return _select(condition, cast(value, x.dtype), result)
    places = _true_places(condition)
    if places._ref is None and not places.size:
        return result
    values = cast(as_var(function(_gather(x, places), *args, **kw), "piecewise"), x.dtype)
    order = _maximum(_scan.cumsum(cast(condition, _np.int32), 0) - 1, 0)
    if values.ndim:
        # One more, so that there is something to read where no condition is true.
        more = cast(_zeros_like(order[:1]), x.dtype) if -1 in x.shape or x.size else values
        values = _gather(_concat([values, more], 0), order)
    return _select(condition, values, result)
