"""Accumulators of reductions: how partial results start, grow, join and end.

A state is a list of values of some lanes; every lane accumulates elements of its own, and lanes
are folded at the end. Sums of floats grow plainly for a few steps and are then settled into a
compensated sum, so their error does not grow with the number of elements.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import I64, Function, Index, Value, lanes_of
from mnn.codegen.program import Program
from mnn.codegen.templates.access import lane_numbers
from mnn.errors import CodegenError

__all__ = ["PLAIN_STEPS", "Reduction", "neutral"]

PLAIN_STEPS = 32
"""Additions to one lane before it is settled."""

State = list[Value]
DType = np.dtype[Any]


def neutral(name: str, dtype: DType) -> float | bool:
    """Return the result of no elements, as an element of `dtype` that changes nothing."""
    if name in ("sum", "any"):
        return 0
    if name in ("prod", "all"):
        return 1
    low = name in ("max", "argmax")
    if dtype.kind == "b":
        return not low
    if dtype.kind == "f":
        return -np.inf if low else np.inf
    limits = np.iinfo(dtype)
    return int(limits.min if low else limits.max)


class Reduction:
    """One reduction of a program.

    An arg-reduction may have a second argument, the position that each element stands for; of
    equal extremes the smallest position wins.

    Args:
        value: its number.
        position: dtype of positions (of arg-reductions).
    """

    def __init__(self, function: Function, program: Program, value: int, position: str) -> None:
        step = program.steps[value - len(program.inputs)]
        self.function = function
        self.name = step.reduction
        self.argument = step.arguments[0]
        self.source = np.dtype(program.dtype(self.argument))
        self.result = np.dtype(step.result)
        compute = np.dtype(step.compute)
        if self.name in ("sum", "prod"):
            compute = self.result
        elif self.name in ("any", "all"):
            compute = np.dtype(np.bool_)
        elif self.is_arg and compute.kind == "b":
            compute = np.dtype(np.uint8)
        self.middle = np.dtype(step.compute)
        self.compute = compute
        self.position = np.dtype(position)
        self.indices = step.arguments[1] if len(step.arguments) > 1 else None
        if self.indices is not None:
            self.position = np.dtype(program.dtype(self.indices))
        if self.compute.kind not in "biuf":
            raise CodegenError(f"reduce.{self.name}: kernels do not compute in {compute}.")

    @property
    def is_arg(self) -> bool:
        """True when the result is a position."""
        return self.name.startswith("arg")

    @property
    def settles(self) -> bool:
        """True when local states are of another sort than lasting ones."""
        return self.name == "sum" and self.compute.kind == "f"

    def body(self, lanes: int) -> Body:
        """Return the arithmetic of the accumulator."""
        return Body(self.function, lanes, self.compute)

    def start(self, lanes: int) -> State:
        """Return the local state of no elements."""
        k = self.body(lanes)
        state = [k.const(neutral(self.name, self.compute))]
        if self.is_arg:
            places = Body(self.function, lanes, self.position)
            last = 0 if self.indices is None else int(np.iinfo(self.position).max)
            state.append(places.const(last))
        return state

    def start_lasting(self, lanes: int) -> State:
        """Return the lasting state of no elements."""
        return self.start(lanes) * 2 if self.settles else self.start(lanes)

    def element(self, lanes: int, value: Value, mask: Value | None) -> Value:
        """Return an argument as it is accumulated; lanes without the mask change nothing."""
        k = self.body(lanes)
        middle = k.convert(value, self.source, self.middle)
        found = k.convert(middle, self.middle, self.compute)
        if mask is not None:
            found = k.pick(mask, found, k.const(neutral(self.name, self.compute)))
        return found

    def positions(self, place: Index, later: int, lanes: int) -> Value:
        """Return the positions place + later, place + later + 1, ..."""
        f, k = self.function, Body(self.function, lanes, self.position)
        first = f.value(place)
        if k.element != I64:
            first = f.make(f"trunc i64 {first.text} to {k.element}", k.element)
        numbers = k.add(f.splat(first, lanes), lane_numbers(lanes, k.element))
        return k.add(numbers, k.const(later)) if later else numbers

    def take(self, state: State, value: Value, position: Value | None) -> State:
        """Return the local state after one more element per lane."""
        if not self.is_arg:
            return [self._joined(value, state[0])]
        assert position is not None
        if self.indices is not None:
            return self.join([state, [value, position]])
        return self._better(state, [value, position])

    def join(self, states: Sequence[State]) -> State:
        """Return the local state of all elements of several, whatever their order."""
        values = [each[0] for each in states]
        best = self._tree(values)
        if not self.is_arg:
            return [best]
        return [best, self._first([each[1] for each in states], values, best)]

    def _tree(self, values: Sequence[Value]) -> Value:
        """Return joined values, neighbours first."""
        found = list(values)
        while len(found) > 1:
            pairs = [self._joined(a, b) for a, b in zip(found[::2], found[1::2], strict=False)]
            found = pairs + ([found[-1]] if len(found) % 2 else [])
        return found[0]

    def _first(self, places: Sequence[Value], values: Sequence[Value], best: Value) -> Value:
        """Return the smallest of the places whose value is the best one."""
        f, lanes = self.function, lanes_of(best.type)
        k, position = self.body(lanes), Body(self.function, lanes, self.position)
        last = position.const(int(np.iinfo(self.position).max))
        found: Value | None = None
        for place, value in zip(places, values, strict=True):
            same = k.compare("eq", value, best)
            if self.compute.kind == "f":
                neither = f.both(k.compare("ne", value, value), k.compare("ne", best, best))
                same = k.logical("logical_or", same, neither)
            mine = f.select(same, place, last)
            found = mine if found is None else position.minimum(found, mine)
        assert found is not None
        return found

    def _joined(self, left: Value, right: Value) -> Value:
        k = self.body(lanes_of(left.type))
        operation = {
            "sum": k.add,
            "prod": k.mul,
            "max": k.maximum,
            "argmax": k.maximum,
            "min": k.minimum,
            "argmin": k.minimum,
            "any": k.maximum,
            "all": k.minimum,
        }[self.name]
        return operation(left, right)

    def _better(self, best: State, later: State) -> State:
        """Return the state of the extreme; NaN is more extreme than numbers, the first one wins."""
        f, lanes = self.function, lanes_of(best[0].type)
        k = self.body(lanes)
        (value, place), (new, new_place) = best, later
        better = k.compare("gt" if self.name == "argmax" else "lt", new, value)
        made = k.pick(better, new, value)
        if self.compute.kind == "f":
            # Whatever a NaN looks like, it becomes one and the same. So bits tell whether the
            # extreme is another one, and the next turn need not wait for a comparison.
            made = k.pick(k.compare("ne", new, new), k.const(np.nan), made)
            whole = Body(f, lanes, np.dtype(f"i{self.compute.itemsize}"))
            better = whole.compare("ne", k.integers(made), k.integers(value))
        return [made, f.select(better, new_place, place)]

    def settle(self, lasting: State, local: State) -> State:
        """Return the lasting state with a local one added (Knuth's exact difference)."""
        if not self.settles:
            return self.join([lasting, local])
        total, rest = lasting
        k, b = self.body(lanes_of(total.type)), local[0]
        made = k.add(total, b)
        part = k.sub(made, total)
        lost = k.add(k.sub(total, k.sub(made, part)), k.sub(b, part))
        return [made, k.add(rest, lost)]

    def fold(self, state: State) -> State:
        """Return a local or lasting state as a local one of one lane."""
        f = self.function
        value = self._local(state)[0]
        lanes = lanes_of(value.type)
        best = self._folded(value, self._joined)
        if not self.is_arg:
            return [best]
        place = self._first(state[1:], [value], f.splat(best, lanes))
        position = Body(f, 1, self.position)
        return [best, self._folded(place, position.minimum)]

    def _folded(self, value: Value, join: Callable[[Value, Value], Value]) -> Value:
        """Return all lanes joined, halves first."""
        f, lanes = self.function, lanes_of(value.type)
        while lanes > 1:
            lanes //= 2
            if lanes == 1:
                return join(f.extract(value, 0), f.extract(value, 1))
            low = f.shuffle(value, None, list(range(lanes)))
            value = join(low, f.shuffle(value, None, list(range(lanes, 2 * lanes))))
        return value

    def _local(self, state: State) -> State:
        """Return a state without what was lost by rounding, after adding it."""
        if len(state) == 1 or not self.settles:
            return state
        total, rest = state
        k = self.body(lanes_of(total.type))
        # The rest is NaN when the total is infinite.
        return [k.pick(k.compare("eq", rest, rest), k.add(total, rest), total)]

    def end(self, state: State) -> Value:
        """Return the result of a local or lasting state."""
        k = self.body(lanes_of(state[0].type))
        if self.is_arg:
            return k.convert(state[1], self.position, self.result)
        return k.convert(self._local(state)[0], self.compute, self.result)

    def extreme(self, state: State) -> Value:
        """Return the value at the position that an arg-reduction found."""
        return state[0]
