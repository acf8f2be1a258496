"""Verification of flows and units: what the first stages of the compiler made is consistent.

Run between stages in tests, and wherever `mnn.config.verify` is set: a broken rewrite is found
where it is, not where its results are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mnn.compile.flow import LOOPS, VIEWS, Flow, Value
from mnn.compile.fusion import Unit
from mnn.errors import VerificationError

__all__ = ["stored_base", "verify_flow", "verify_units"]


def verify_flow(flow: Flow) -> int:
    """Check the values of a flow and return how many there are.

    Raises:
        VerificationError: a value is used before it is defined or is of no flow, or its shape and
            dtype do not follow from its operands.
    """
    for number, value in enumerate(flow.values):
        if value.number != number:
            raise VerificationError(f"verify: {value!r} stands at place {number} of its flow")
        for each in value.inputs:
            if each.number >= number or flow.values[each.number] is not each:
                raise VerificationError(f"verify: {value!r} uses {each!r}, which is not before it")
        problem = _problem(value)
        if problem:
            operands = "; ".join(map(repr, value.inputs))
            raise VerificationError(f"verify: {value!r}: {problem}. Operands: {operands}")
    for index, value in enumerate(flow.inputs):
        if value.kind != "input" or value.attributes["index"] != index:
            raise VerificationError(f"verify: argument {index} is {value!r}")
    for value in flow.outputs:
        if not value.number < len(flow.values) or flow.values[value.number] is not value:
            raise VerificationError(f"verify: the output {value!r} is none of the flow's values")
    return len(flow.values)


def _problem(value: Value) -> str:
    """Return what is wrong with a value, "" when nothing is."""
    rule = _RULES.get(value.kind)
    try:
        return "" if rule is None else rule(value)
    except (ValueError, IndexError, KeyError) as error:
        return f"its shapes do not fit: {error}"


# --- kinds ---------------------------------------------------------------------------------------


def _constant(value: Value) -> str:
    array = value.array
    if array is None:
        return "it has no content"
    if array.shape != value.shape or array.dtype != value.dtype:
        return f"its content is {array.dtype} {array.shape}"
    return ""


def _map(value: Value) -> str:
    if any(len(each.shape) != len(value.shape) for each in value.inputs):
        return "operands have other ranks"
    if np.broadcast_shapes(value.shape, *(each.shape for each in value.inputs)) != value.shape:
        return "operands do not broadcast to its shape"
    return ""


def _reduce(value: Value) -> str:
    (x,), axes = value.inputs, value.attributes["axes"]
    if not all(0 <= axis < len(x.shape) for axis in axes) or list(axes) != sorted(set(axes)):
        return "no such axes"
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
    return "" if value.shape == kept else f"expected shape {kept}"


def _permute(value: Value) -> str:
    (x,), axes = value.inputs, value.attributes["axes"]
    if sorted(axes) != list(range(len(x.shape))):
        return "the axes are no order"
    moved = tuple(x.shape[axis] for axis in axes)
    return _same(value, x) if value.shape == moved else f"expected shape {moved}"


def _reshape(value: Value) -> str:
    (x,) = value.inputs
    return _same(value, x) if x.size == value.size else "another number of elements"


def _slice(value: Value) -> str:
    (x,) = value.inputs
    rows = zip(
        value.attributes["starts"], value.attributes["steps"], value.shape, x.shape, strict=True
    )
    for start, step, size, length in rows:
        last = start + step * (size - 1)
        if size and not (0 <= start < length and 0 <= last < length):
            return "it reaches beyond its operand"
    return _same(value, x)


def _broadcast(value: Value) -> str:
    (x,) = value.inputs
    pairs = list(zip(x.shape, value.shape, strict=False))
    if len(x.shape) != len(value.shape) or any(one not in (1, size) for one, size in pairs):
        return "the operand does not broadcast to its shape"
    return _same(value, x)


def _concat(value: Value) -> str:
    axis = value.attributes["axis"]
    shape = list(value.inputs[0].shape)
    shape[axis] = sum(each.shape[axis] for each in value.inputs)
    for each in value.inputs:
        others = [size for place, size in enumerate(each.shape) if place != axis]
        if others != [size for place, size in enumerate(shape) if place != axis]:
            return "operands differ in other axes than the joined one"
        if _same(value, each):
            return _same(value, each)
    return "" if tuple(shape) == value.shape else f"expected shape {tuple(shape)}"


def _pad(value: Value) -> str:
    (x,) = value.inputs
    rows = zip(value.attributes["before"], x.shape, value.shape, strict=True)
    if any(before < 0 or before + size > whole for before, size, whole in rows):
        return "the operand does not fit in"
    return _same(value, x)


def _matmul(value: Value) -> str:
    a, b = value.inputs[:2]
    if a.shape[-1] != b.shape[-2]:
        return "rows and columns have other lengths"
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*batch, a.shape[-2], b.shape[-1])
    return "" if value.shape == shape else f"expected shape {shape}"


def _conv(value: Value) -> str:
    x, weight = value.inputs[:2]
    groups = value.attributes.get("groups", 1)
    if len(weight.shape) != len(x.shape) or len(value.shape) != len(x.shape):
        return "operands have other ranks"
    if x.shape[0] != value.shape[0]:
        return "another number of pictures"
    if value.kind in ("conv", "conv_int8"):
        fits = weight.shape[1] * groups == x.shape[1] and weight.shape[0] == value.shape[1]
    else:
        fits = weight.shape[0] == x.shape[1] and weight.shape[1] * groups == value.shape[1]
    return "" if fits else "channels do not fit the weight"


def _pool(value: Value) -> str:
    (x,) = value.inputs
    return "" if x.shape[:2] == value.shape[:2] else "another number of pictures or channels"


def _resize(value: Value) -> str:
    (x,), axes = value.inputs, value.attributes["axes"]
    if len(x.shape) != len(value.shape):
        return "the operand has another rank"
    same = all(
        one == two or axis in axes
        for axis, (one, two) in enumerate(zip(x.shape, value.shape, strict=True))
    )
    return "" if same else "sizes of other axes differ"


def _attention(value: Value) -> str:
    q, k, v = value.inputs[:3]
    if q.shape[-1] != k.shape[-2] or k.shape[-1] != v.shape[-2]:
        return "queries, keys and values do not fit"
    last = (q.shape[-2], v.shape[-1])
    return "" if value.shape[-2:] == last else f"expected a shape that ends with {last}"


def _first(value: Value) -> str:
    return _same(value, value.inputs[0])


def _part(value: Value) -> str:
    (whole,), port = value.inputs, value.attributes["port"]
    types = whole.attributes.get("types", ())
    if not 0 <= port < len(types):
        return f"there is no result {port}"
    shape, dtype = types[port]
    if tuple(shape) != value.shape or dtype != value.dtype:
        return f"result {port} is {dtype} {tuple(shape)}"
    return ""


def _same(value: Value, x: Value) -> str:
    return "" if value.dtype == x.dtype else "its dtype is not that of its operand"


_RULES: dict[str, Callable[[Value], str]] = {
    "constant": _constant,
    "map": _map,
    "reduce": _reduce,
    "permute": _permute,
    "reshape": _reshape,
    "slice": _slice,
    "broadcast": _broadcast,
    "concat": _concat,
    "pad": _pad,
    "matmul": _matmul,
    "conv": _conv,
    "conv_int8": _conv,
    "conv_transpose": _conv,
    "pool": _pool,
    "resize": _resize,
    "attention": _attention,
    "gather": _first,
    "scatter": _first,
    "part": _part,
}


# --- units ---------------------------------------------------------------------------------------


def verify_units(flow: Flow, units: Sequence[Unit]) -> None:
    """Check that units compute what a flow's outputs need, each value before it is read.

    Raises:
        VerificationError: a value is stored by two units, or read before any has stored it, or a
            unit has members that do not suit its index space.
    """
    stored: set[Value] = set()
    for unit in units:
        if unit.root in stored:
            raise VerificationError(f"verify: two units store {unit.root!r}")
        for value in unit.sources():
            base = _made_by(stored_base(value))
            if base.kind not in ("input", "constant") and base not in stored:
                raise VerificationError(
                    f"verify: the unit of {unit.root!r} reads {base!r}, which is not stored then"
                )
        problem = _unit_problem(unit)
        if problem:
            raise VerificationError(f"verify: the unit of {unit.root!r} {problem}")
        stored.add(unit.root)
    for value in flow.outputs:
        base = _made_by(stored_base(value))
        if base.kind not in ("input", "constant") and base not in stored:
            raise VerificationError(f"verify: no unit stores the output {value!r}")


def stored_base(value: Value) -> Value:
    """Return the value whose memory a value is read from."""
    while value.kind in VIEWS:
        value = value.inputs[0]
    return value


def _made_by(value: Value) -> Value:
    return value.inputs[0] if value.kind == "part" else value


def _unit_problem(unit: Unit) -> str:
    if unit.root not in unit.members:
        return "lacks its root"
    if not unit.is_loop:
        return "" if len(unit.members) == 1 else f"has {len(unit.members)} members"
    for member in unit.members:
        if member.kind not in LOOPS | VIEWS:
            return f"has {member!r} as a member"
        if member.kind == "reduce":
            if member.attributes["axes"] != unit.axes or member.inputs[0].shape != unit.shape:
                return f"reduces other axes than {member!r}"
        elif unit.axes and member.shape not in (unit.shape, unit.row_shape):
            return f"over {unit.shape} computes {member!r}"
        elif not unit.axes and member.size < math.prod(unit.shape) and member.kind == "map":
            return f"over {unit.shape} computes {member!r} repeatedly"
    return ""
