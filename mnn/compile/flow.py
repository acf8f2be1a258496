"""The compiler's form of a graph: few kinds of values, all sizes known, movement kept apart.

A `Flow` is made once for concrete input shapes. Its values are immutable and interned; the
constructors simplify as they build, so that shape arithmetic, double transposes and reshapes of
reshapes never reach the later stages.

| kind | attributes | meaning |
|---|---|---|
| input | index | argument of the plan |
| constant | | array known before running |
| map | step, compute, parameters | one operator body on each element; operands broadcast |
| reduce | name, axes | reduction over axes, which stay with size 1 |
| permute | axes | dimensions in another order |
| reshape | | the elements in order, in another shape |
| slice | starts, steps | every step-th element from a start on; steps may be negative |
| broadcast | | axes of size 1 repeated |
| concat | axis | operands one behind the other |
| pad | before, value | value around the operand |
| matmul, conv, conv_transpose, pool, ... | their own | anchors: a kernel template each |
| conv_int8 | zero, those of conv | an anchor: exact sums of codes times scales plus bias |
| resize | axes, rule | an anchor: two axes by tables; see `mnn.compile.resizing` |
| grid_sample, roi_align, crop_and_resize | their own | images read at computed places |
| grey | weights | (H, W, 3) to (H, W), in OpenCV's arithmetic |
| gather | axes, checked | elements of the first operand at indices; see templates/gather.py |
| scatter | axes, combination, checked | the first operand with the second put at indices |
| attention | program, batch, causal, zero | softmax(program(q k)) v; see templates/attention.py |
| sort | count, descending | first elements of rows in order and positions, as `part` values |
| nms | thresholds | positions of kept boxes and their counts, as `part` values |
| host | operation, ... | a NumPy reference; `part` values are its results |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.expr.types import VALUE_LIMIT, TensorType

if TYPE_CHECKING:
    from mnn.compile.int8 import Codes

__all__ = ["LOOPS", "VIEWS", "Flow", "Value", "same_up_to_ones"]

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]

VIEWS = frozenset({"permute", "reshape", "slice", "broadcast"})
LOOPS = frozenset({"map", "reduce"})


class Value:
    """One value of a flow.

    Attributes:
        kind: see the table above.
        inputs: operands.    attributes: by name, hashable.
        shape: sizes.    dtype: element type.
        array: content of a constant.
        number: place in the flow; operands have smaller ones.
    """

    __slots__ = ("_type", "array", "attributes", "dtype", "inputs", "kind", "number", "shape")

    def __init__(
        self,
        number: int,
        kind: str,
        inputs: tuple[Value, ...],
        attributes: Mapping[str, Any],
        shape: tuple[int, ...],
        dtype: DType,
        array: Array | None = None,
    ) -> None:
        self.number = number
        self.kind = kind
        self.inputs = inputs
        self.attributes = attributes
        self.shape = shape
        self.dtype = dtype
        self.array = array
        self._type: TensorType | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.dtype.itemsize

    @property
    def type(self) -> TensorType:
        """Shape and dtype as type rules of operators want them, with small integer constants."""
        if self._type is None:
            known = None
            if self.array is not None and self.dtype.kind in "iub" and self.size <= VALUE_LIMIT:
                known = self.array
            self._type = TensorType(self.shape, self.dtype, value=known)
        return self._type

    def __repr__(self) -> str:
        operands = ", ".join(f"%{each.number}" for each in self.inputs)
        listed = ", ".join(f"{name}={value}" for name, value in self.attributes.items())
        return f"%{self.number} = {self.kind}({operands}) {listed} : {self.dtype}{list(self.shape)}"


class Flow:
    """Builds values; see the module's description."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self._known: dict[Hashable, Value] = {}
        self._arrays: dict[int, Value] = {}
        # Values that were made of int8 codes; see `mnn.compile.int8`.
        self.codes: dict[Value, Codes] = {}

    def make(
        self,
        kind: str,
        inputs: Sequence[Value],
        shape: Sequence[int],
        dtype: DType,
        attributes: Mapping[str, Any] | None = None,
        *,
        unique: bool = False,
    ) -> Value:
        """Return the value of a kind; equal ones are one, unless `unique`."""
        attributes = attributes or {}
        key = (
            kind,
            tuple(each.number for each in inputs),
            tuple(attributes.items()),
            tuple(shape),
            dtype,
        )
        if not unique and key in self._known:
            return self._known[key]
        made = Value(len(self.values), kind, tuple(inputs), attributes, tuple(shape), dtype)
        self.values.append(made)
        if not unique:
            self._known[key] = made
        return made

    def become(
        self, value: Value, kind: str, inputs: Sequence[Value], attributes: Mapping[str, Any]
    ) -> None:
        """Turn a value into one of another kind that is computed from others made before it.

        For rewriting a finished flow: shape and dtype stay, and so do all users.
        """
        assert all(each.number < value.number for each in inputs), (value, inputs)
        value.kind, value.inputs, value.attributes = kind, tuple(inputs), attributes

    # --- leaves ----------------------------------------------------------------------------------

    def input(self, shape: Sequence[int], dtype: DType) -> Value:
        """Return the next argument of the plan."""
        made = self.make("input", (), shape, dtype, {"index": len(self.inputs)})
        self.inputs.append(made)
        return made

    def constant(self, array: Array) -> Value:
        """Return a constant; the array must not change any more."""
        held = self._arrays.get(id(array))
        if held is not None:
            return held
        if array.size <= VALUE_LIMIT:
            key = ("constant", array.dtype, array.shape, array.tobytes())
            if key in self._known:
                return self._known[key]
        made = Value(len(self.values), "constant", (), {}, array.shape, array.dtype, array)
        self.values.append(made)
        self._arrays[id(array)] = made
        if array.size <= VALUE_LIMIT:
            self._known[key] = made
        return made

    def number(self, value: float | bool, dtype: DType) -> Value:
        """Return a 0-d constant."""
        return self.constant(np.array(value, dtype))

    # --- movement --------------------------------------------------------------------------------

    def permute(self, x: Value, axes: Iterable[int]) -> Value:
        """Return x with its dimensions in the order `axes`."""
        axes = tuple(axes)
        if axes == tuple(range(len(axes))):
            return x
        if x.kind == "constant" and x.array is not None and x.size <= VALUE_LIMIT:
            return self.constant(np.asarray(x.array.transpose(axes), order="C"))
        if x.kind == "permute":
            inner = x.attributes["axes"]
            return self.permute(x.inputs[0], (inner[axis] for axis in axes))
        shape = tuple(x.shape[axis] for axis in axes)
        moved = [axis for axis in axes if x.shape[axis] != 1]
        if moved == sorted(moved):
            return self.reshape(x, shape)
        return self.make("permute", (x,), shape, x.dtype, {"axes": axes})

    def reshape(self, x: Value, shape: Iterable[int]) -> Value:
        """Return the elements of x, in order, in another shape."""
        shape = tuple(shape)
        while x.kind == "reshape":
            x = x.inputs[0]
        if x.shape == shape:
            return x
        if x.kind == "constant" and x.array is not None:
            return self.constant(x.array.reshape(shape))
        return self.make("reshape", (x,), shape, x.dtype)

    def slice(
        self, x: Value, starts: Sequence[int], steps: Sequence[int], shape: Sequence[int]
    ) -> Value:
        """Return `shape` elements from `starts` on, `steps` apart."""
        starts, steps, shape = tuple(starts), tuple(steps), tuple(shape)
        if shape == x.shape and all(
            step == 1 or size <= 1 for step, size in zip(steps, shape, strict=True)
        ):
            return x
        if x.kind == "slice":
            inner = x.attributes
            starts = tuple(
                low + first * step
                for low, first, step in zip(inner["starts"], starts, inner["steps"], strict=True)
            )
            steps = tuple(one * two for one, two in zip(inner["steps"], steps, strict=True))
            return self.slice(x.inputs[0], starts, steps, shape)
        if x.array is not None:
            parts = tuple(
                slice(low, low + step * size if low + step * size >= 0 else None, step)
                for low, step, size in zip(starts, steps, shape, strict=True)
            )
            return self.constant(np.asarray(x.array[parts], order="C"))
        return self.make("slice", (x,), shape, x.dtype, {"starts": starts, "steps": steps})

    def broadcast(self, x: Value, shape: Iterable[int]) -> Value:
        """Return x repeated along axes of size 1, and along new leading axes, to a shape."""
        shape = tuple(shape)
        lifted = self.reshape(x, (1,) * (len(shape) - len(x.shape)) + x.shape)
        if lifted.shape == shape:
            return lifted
        if lifted.kind == "broadcast":
            lifted = lifted.inputs[0]
        return self.make("broadcast", (lifted,), shape, x.dtype)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Return values of one dtype joined along an axis."""
        used = [each for each in values if each.shape[axis]] or list(values[:1])
        if len(used) == 1:
            return used[0]
        shape = list(used[0].shape)
        shape[axis] = sum(each.shape[axis] for each in used)
        return self.make("concat", used, shape, used[0].dtype, {"axis": axis})

    # --- loops -----------------------------------------------------------------------------------

    def map(
        self,
        step: str,
        operands: Sequence[Value],
        *,
        compute: DType | None = None,
        result: DType | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Value:
        """Return an operator's body applied to each element of broadcast operands.

        Args:
            step: name of an operator with a body, or "cast".
            compute: dtype of the computation; None: that of the first operand.
            result: dtype of the result; None: `compute`.
        """
        compute = operands[0].dtype if compute is None else compute
        result = compute if result is None else result
        if step == "cast" and operands[0].dtype == result:
            return operands[0]
        shape = np.broadcast_shapes(*(each.shape for each in operands))
        lifted = [
            self.reshape(each, (1,) * (len(shape) - len(each.shape)) + each.shape)
            for each in map(_repeated, operands)
        ]
        attributes = {
            "step": step,
            "compute": compute,
            "parameters": tuple((parameters or {}).items()),
        }
        return self.make("map", lifted, shape, result, attributes)

    def reduce(
        self, name: str, x: Value, axes: Iterable[int], result: DType | None = None
    ) -> Value:
        """Return a reduction over axes, which stay with size 1."""
        chosen = tuple(sorted(axes))
        if all(x.shape[axis] == 1 for axis in chosen) and not name.startswith("arg"):
            return self.map("cast", [x], result=result or x.dtype)
        shape = tuple(1 if axis in chosen else size for axis, size in enumerate(x.shape))
        attributes = {"name": name, "axes": chosen}
        return self.make("reduce", (x,), shape, result or x.dtype, attributes)

    # --- results computed by NumPy ---------------------------------------------------------------

    def host(
        self,
        function: Callable[[Sequence[Array]], Sequence[Array]],
        operands: Sequence[Value],
        types: Sequence[tuple[tuple[int, ...], DType]],
        label: str,
    ) -> list[Value]:
        """Return the results of a NumPy function of the operands' arrays."""
        attributes = {"function": function, "types": tuple(types), "label": label}
        made = self.make("host", operands, (), np.dtype(np.bool_), attributes, unique=True)
        return [
            self.make("part", (made,), shape, dtype, {"port": port})
            for port, (shape, dtype) in enumerate(types)
        ]


def _repeated(value: Value) -> Value:
    """Return what a broadcast repeats: operands of loops broadcast by themselves."""
    return value.inputs[0] if value.kind == "broadcast" else value


def same_up_to_ones(one: Sequence[int], two: Sequence[int]) -> bool:
    """True when two shapes differ in axes of size 1 only."""
    return [size for size in one if size != 1] == [size for size in two if size != 1]
