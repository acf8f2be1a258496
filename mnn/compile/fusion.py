"""Fusion: which values are computed together, by one kernel, without storing what lies between.

A `Unit` is one future kernel (or template, or NumPy step): a root value that is stored, the loop
values that are computed on the way, and perhaps an anchor (matrix product, convolution, pooling)
whose results pass through them before they are stored.

Values are visited from the results to the arguments. A loop value joins the unit of its users when
they all belong to one unit, and when that unit's index space suits it:

* without reductions, all members have as many elements as the root; permutes, slices and
  broadcasts between members become strides of loads;
* with reductions, all reduce the same axes of one shape; members are elements of that shape or
  *rows*, one for each index of the axes that are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mnn.compile.flow import LOOPS, VIEWS, Flow, Value, same_up_to_ones

__all__ = ["ANCHORS", "Unit", "fuse", "stored_in_place", "views_of_anchor"]

ANCHORS = frozenset({"matmul", "conv", "conv_int8", "conv_transpose", "pool", "resize"})
"""Kinds whose kernels can finish their results with elementwise work.

Those of `resize` can also move them and give them another dtype, which `conv_int8` can, too.
"""
_CONVERTING = frozenset({"resize", "conv_int8"})

_LEAVES = frozenset({"input", "constant"})
_MEMBER_LIMIT = 48
_LOAD_LIMIT = 12


class Unit:
    """What one kernel computes.

    Attributes:
        root: the value that is stored.
        members: fused loop values and views between them, root included.
        axes: reduced axes of the index space, () without reductions.
        shape: the index space.
        anchor: the matrix kernel that begins it, or None.
        reasons: why something was not fused, for `mnn.explain`.
    """

    def __init__(self, root: Value) -> None:
        self.root = root
        self.members: set[Value] = {root}
        self.axes: tuple[int, ...] = ()
        self.shape = root.shape
        self.anchor: Value | None = None
        self.reasons: list[str] = []
        if root.kind == "reduce":
            self.axes = root.attributes["axes"]
            self.shape = root.inputs[0].shape

    @property
    def is_loop(self) -> bool:
        """True when members are fused loop values."""
        return self.root.kind in LOOPS

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of row values: the index space with reduced axes of size 1."""
        return tuple(1 if axis in self.axes else size for axis, size in enumerate(self.shape))

    def sources(self) -> list[Value]:
        """Return the values that must be stored before this unit runs, without the anchor."""
        if not self.is_loop:
            return list(self.root.inputs)
        found = {
            each: None
            for member in sorted(self.members, key=lambda value: value.number)
            for each in member.inputs
            if each not in self.members and each is not self.anchor
        }
        if self.anchor is not None:
            found.update(dict.fromkeys(self.anchor.inputs))
        return list(found)


def fuse(flow: Flow) -> list[Unit]:
    """Return the units of a flow in an order in which they can run; unused values have none."""
    users = _users(flow)
    kept = set(flow.outputs)
    unit_of: dict[Value, Unit] = {}
    for value in reversed(flow.values):
        if (
            value.kind in _LEAVES
            or value.kind == "part"
            or (value not in users and value not in kept)
        ):
            continue
        unit = None if value in kept else _joined(value, users[value], unit_of)
        if unit is not None:
            unit.members.add(value)
            unit_of[value] = unit
        elif value.kind not in VIEWS:
            unit_of[value] = Unit(value)
    units = sorted(set(unit_of.values()), key=lambda unit: unit.root.number)
    for unit in units:
        if unit.axes and not any(member.kind == "reduce" for member in unit.members):
            # The reduction that was expected is stored for others, too.
            unit.axes = ()
    absorbed: set[Value] = set()
    # The last of several anchors takes the unit: the others must be stored before it runs.
    for unit in reversed(units):
        anchor = unit.root
        if anchor.kind in ANCHORS and anchor not in kept:
            host = _host(anchor, users[anchor], unit_of)
            if host is not None:
                host.anchor = anchor
                absorbed.add(anchor)
    return [unit for unit in units if unit.root not in absorbed]


def _users(flow: Flow) -> dict[Value, list[Value]]:
    """Return the users of every value that the outputs need."""
    users: dict[Value, list[Value]] = {}
    needed = set(flow.outputs)
    for value in reversed(flow.values):
        if value not in needed:
            continue
        for each in value.inputs:
            needed.add(each)
            users.setdefault(each, []).append(value)
    return users


def _joined(value: Value, users: Sequence[Value], unit_of: dict[Value, Unit]) -> Unit | None:
    """Return the unit that a value can be a member of, None when it is stored or only a view."""
    if value.kind not in LOOPS and value.kind not in VIEWS:
        return None
    unit = unit_of.get(users[0])
    if unit is None or not unit.is_loop or any(unit_of.get(each) is not unit for each in users):
        return None
    if len(unit.members) >= _MEMBER_LIMIT:
        unit.reasons.append(f"{value.kind} %{value.number}: the kernel is large enough")
        return None
    if value.kind in VIEWS:
        return unit if _view_fits(value, unit) else None
    if value.kind == "map":
        return unit if _map_fits(value, unit) else None
    return unit if _reduction_fits(value, unit) else None


def _view_fits(value: Value, unit: Unit) -> bool:
    source = value.inputs[0]
    if unit.axes:
        return False
    resized = _base(source).kind == "resize"
    if value.kind == "reshape":
        known = source.kind in LOOPS | ANCHORS or resized
        return known and same_up_to_ones(value.shape, source.shape)
    return (source.kind in LOOPS or resized) and source.size >= value.size


def _map_fits(value: Value, unit: Unit) -> bool:
    if _loads(unit) + len(value.inputs) > _LOAD_LIMIT:
        unit.reasons.append(f"map %{value.number}: the kernel reads enough arrays")
        return False
    if not unit.axes and value.size < math.prod(unit.shape):
        axes = _axes_of_rows(value, unit.shape)
        if axes:
            _reduce_over(unit, axes, unit.shape)
    if unit.axes:
        fits = value.shape in (unit.shape, unit.row_shape)
    else:
        fits = value.size >= math.prod(unit.shape)
    if not fits:
        unit.reasons.append(
            f"map %{value.number} {value.attributes['step']}: {list(value.shape)} would be "
            f"computed repeatedly for {list(unit.shape)}"
        )
    return fits


def _reduction_fits(value: Value, unit: Unit) -> bool:
    axes, shape = value.attributes["axes"], value.inputs[0].shape
    if unit.axes:
        fits = axes == unit.axes and shape == unit.shape
        if not fits:
            unit.reasons.append(f"reduce %{value.number}: other axes than the kernel's")
        return fits
    if not _reduce_over(unit, axes, shape):
        unit.reasons.append(f"reduce %{value.number}: its users move its elements")
        return False
    return True


def _reduce_over(unit: Unit, axes: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Give a unit without reductions an index space with reduced axes, if its members suit it."""
    rows = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    if any(member.kind in VIEWS or member.shape not in (shape, rows) for member in unit.members):
        return False
    unit.axes, unit.shape = axes, shape
    return True


def _axes_of_rows(value: Value, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a reduction from `shape` that a value is computed from, () without one."""
    waiting = [value]
    for _ in range(_MEMBER_LIMIT):
        if not waiting:
            break
        found = waiting.pop()
        if found.shape != value.shape or found.kind not in LOOPS:
            continue
        if found.kind == "reduce" and found.inputs[0].shape == shape:
            axes: tuple[int, ...] = found.attributes["axes"]
            return axes
        if found.kind == "map":
            waiting += found.inputs
    return ()


def _loads(unit: Unit) -> int:
    return len(
        {each for member in unit.members for each in member.inputs if each not in unit.members}
    )


def _host(anchor: Value, users: Sequence[Value], unit_of: dict[Value, Unit]) -> Unit | None:
    """Return the loop unit that an anchor's results can pass through before they are stored."""
    unit = unit_of.get(users[0])
    if unit is None or not unit.is_loop or unit.axes:
        return None
    if any(unit_of.get(each) is not unit for each in users):
        return None
    if unit.anchor is not None:
        unit.reasons.append(f"{anchor.kind} %{anchor.number}: another matrix kernel ends here")
        return None
    views = views_of_anchor(anchor, unit)
    seen = views[-1] if views and anchor.kind == "resize" else anchor
    if not same_up_to_ones(seen.shape, unit.shape) or not _plain_path(seen, unit):
        unit.reasons.append(f"{anchor.kind} %{anchor.number}: its results are moved first")
        return None
    if anchor.kind == "pool" and anchor.dtype != np.float32:
        unit.reasons.append(f"{anchor.kind} %{anchor.number}: its results are no float32")
        return None
    if unit.root.dtype != anchor.dtype and anchor.kind not in _CONVERTING:
        unit.reasons.append(f"{anchor.kind} %{anchor.number}: the result has another dtype")
        return None
    return unit


def views_of_anchor(anchor: Value, unit: Unit) -> list[Value]:
    """Return the views through which all members of a unit see its anchor, the first one first."""
    views: list[Value] = []
    seen = anchor
    while True:
        users = [member for member in unit.members if seen in member.inputs]
        if len(users) != 1 or users[0].kind not in VIEWS or users[0].kind == "broadcast":
            return views
        seen = users[0]
        views.append(seen)


def _plain_path(anchor: Value, unit: Unit) -> bool:
    """True when no member moves the anchor's elements on their way to the root."""
    touched = {anchor}
    for member in sorted(unit.members, key=lambda value: value.number):
        if not any(each in touched for each in member.inputs):
            continue
        if not same_up_to_ones(member.shape, unit.shape):
            return False
        if member.kind in VIEWS and member.kind != "reshape":
            return False
        touched.add(member)
    return True


def stored_in_place(
    units: Sequence[Unit], old: Value, new: Value, outputs: Sequence[Value]
) -> Value | None:
    """Return the root that computes `new` when it may overwrite `old`, None when it may not.

    It may when whatever reads `old` runs before it, or reads, as it does itself, each element just
    before that element is stored.
    """
    while new.kind == "reshape" and same_up_to_ones(new.shape, new.inputs[0].shape):
        new = new.inputs[0]
    places = {unit.root: place for place, unit in enumerate(units)}
    if new not in places or (new.shape != old.shape and not same_up_to_ones(new.shape, old.shape)):
        return None
    readers = {old}
    for unit in units:
        for value in unit.sources():
            if _base(value) in readers and places[unit.root] > places[new]:
                return None
    if any(_base(each) is old for each in outputs):
        return None
    own = units[places[new]]
    if any(_base(value) is old for value in own.sources()) and not _reads_each_once(own, old):
        return None
    return new


def _base(value: Value) -> Value:
    """Return the stored value that views are of."""
    while value.kind in VIEWS:
        value = value.inputs[0]
    return value


def _reads_each_once(unit: Unit, old: Value) -> bool:
    """True when a loop unit reads `old` only at the element it stores."""
    if not unit.is_loop or unit.axes or unit.anchor is not None:
        return False
    for member in unit.members:
        if member.kind in VIEWS and member.kind != "reshape":
            return False
        for each in member.inputs:
            if _base(each) is old:
                plain = each
                while plain.kind == "reshape":
                    plain = plain.inputs[0]
                if plain is not old or not same_up_to_ones(each.shape, unit.shape):
                    return False
    return True
