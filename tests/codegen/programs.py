"""Random programs, tensors of random strides, and what programs mean in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

import mnn  # noqa: F401  (operators register their bodies)
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Tensor, contiguous
from mnn.codegen.program import CAST, CONSTANT, Program, Step

Array = np.ndarray[Any, Any]

_MEANING: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "abs": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "square": np.square,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "less": np.less,
    "equal": np.equal,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_not": np.logical_not,
    "bitwise_xor": np.bitwise_xor,
    "select": np.where,
}


def step(name: str, *arguments: int, dtype: str = "float32", result: str = "") -> Step:
    """Return a step computed in `dtype`."""
    return Step(name, arguments, dtype, result or dtype)


def evaluate(
    program: Program, inputs: Sequence[Array], reduced: int, *, exact: bool = False
) -> list[Array]:
    """Return what a program means; row values come without the reduced axes.

    Args:
        exact: float32 is computed in float64, as the truth to compare with.
    """

    def dtype(name: str) -> Any:
        return np.dtype("float64" if exact and name == "float32" else name)

    shape = inputs[0].shape
    axes = tuple(range(len(shape) - reduced, len(shape)))
    held = [np.asarray(each, dtype(each.dtype.name)) for each in inputs]
    rows = [False] * len(held)
    for each in program.steps:
        compute = dtype(each.compute)
        values = [held[n] for n in each.arguments]
        rows.append(False)
        if each.name == CONSTANT:
            made: Any = np.asarray(dict(each.attributes)["value"]).astype(dtype(each.result))
            rows[-1] = True
        elif each.reduction:
            full = np.broadcast_to(values[0], shape).astype(compute)
            made = _reduced(each.reduction, full, axes, dtype(each.result))
            rows[-1] = True
        else:
            rows[-1] = all(rows[n] for n in each.arguments)
            wanted = [compute] * len(values)
            if each.name == "select":
                wanted[0] = np.dtype(bool)
            values = [v.astype(w) for v, w in zip(values, wanted, strict=True)]
            made = values[0] if each.name == CAST else _MEANING[each.name](*values)
        held.append(np.asarray(made).astype(dtype(each.result)))
    results = []
    for number in program.outputs:
        value = held[number]
        if rows[number]:
            short = (*shape[: len(shape) - reduced], *[1] * reduced)
            value = np.broadcast_to(value, short).reshape(shape[: len(shape) - reduced])
        else:
            value = np.broadcast_to(value, shape)
        results.append(value)
    return results


def is_row(program: Program, value: int) -> bool:
    """True when a value is one for all positions along the reduced axes, whatever the inputs."""
    if value < len(program.inputs):
        return False
    found = program.steps[value - len(program.inputs)]
    return bool(found.reduction) or all(is_row(program, each) for each in found.arguments)


def _reduced(name: str, x: Array, axes: tuple[int, ...], result: Any) -> Array:
    if name.startswith("arg"):
        kept = x.shape[: x.ndim - len(axes)]
        flat = x.reshape(*kept, math.prod(x.shape[x.ndim - len(axes) :]))
        found = getattr(np, name)(flat, axis=-1)
        return found.reshape(*kept, *[1] * len(axes))
    if name in ("sum", "prod"):
        x = x.astype(result)
        return getattr(np, name)(x, axis=axes, keepdims=True, dtype=result)
    return getattr(np, name)(x, axis=axes, keepdims=True)


# --- random tensors ------------------------------------------------------------------------------


@st.composite
def shapes(draw: Any, *, limit: int = 5, sizes: Sequence[int] = (0, 1, 2, 3, 5, 17, 40)) -> Any:
    """Return shapes of up to `limit` axes and a few thousand elements."""
    rank = draw(st.integers(0, limit))
    found = [draw(st.sampled_from(sizes)) for _ in range(rank)]
    while math.prod(found) > 4000:
        found[found.index(max(found))] //= 2
    if rank and draw(st.booleans()):
        axis = draw(st.integers(0, rank - 1))
        rest = math.prod(found) // max(found[axis], 1)
        if found[axis] and rest * 300 < 6000:
            found[axis] = draw(st.integers(30, 300))
    return tuple(found)


@st.composite
def views(draw: Any, shape: tuple[int, ...], dtype: str, kind: str = INPUT) -> Any:
    """Return a tensor of a shape: permuted, with gaps, backwards; inputs are also broadcast."""
    rank = len(shape)
    order = draw(st.permutations(range(rank))) if draw(st.booleans()) else list(range(rank))
    strides = [0] * rank
    step = 1
    offset = 0
    for axis in reversed(order):
        if kind != OUTPUT and draw(st.integers(0, 5)) == 0:
            continue
        gap = draw(st.sampled_from([1, 1, 1, 1, 2, 3]))
        strides[axis] = step * gap
        step *= gap * max(shape[axis], 1)
        if shape[axis] > 1 and draw(st.integers(0, 6)) == 0:
            strides[axis] = -strides[axis]
            offset -= strides[axis] * (shape[axis] - 1)
    extent = offset + sum(
        max(stride, 0) * (size - 1) for stride, size in zip(strides, shape, strict=True) if size > 1
    )
    size = (extent + 1) * np.dtype(dtype).itemsize if math.prod(shape) else 0
    return Tensor(Buffer(size, kind), shape, tuple(strides), np.dtype(dtype), offset)


def output(shape: Sequence[int], dtype: str) -> Tensor:
    """Return a contiguous output."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return contiguous(Buffer(size, OUTPUT), shape, np.dtype(dtype))


def small_numbers(seed: int, tensor: Tensor) -> Array:
    """Return numbers whose sums and products of a few are exact: multiples of 1/4 up to 4."""
    rng = np.random.default_rng(seed)
    shape = tuple(
        1 if stride == 0 else size
        for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if tensor.dtype.kind == "b":
        made = rng.integers(0, 2, shape)
    elif tensor.dtype.kind == "f":
        made = rng.integers(-16, 17, shape) / 4
    else:
        made = rng.integers(0 if tensor.dtype.kind == "u" else -9, 10, shape)
    return np.broadcast_to(made.astype(tensor.dtype), tensor.shape)


# --- random programs -----------------------------------------------------------------------------

FLOATS = ("float32", "float64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_BITS = 22
"""Bits that a float32 holds exactly, with some to spare."""


class _Growing:
    """A program under construction, with the bits that each value needs."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.dtypes = list(inputs)
        self.inputs = tuple(inputs)
        self.bits = [7] * len(inputs)
        self.steps: list[Step] = []

    def append(self, found: Step, bits: int) -> None:
        self.steps.append(found)
        self.dtypes.append(found.result)
        self.bits.append(bits)


_TWO = ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal", "greater_equal")
_COMPARE = ("less", "equal", "greater_equal")


@st.composite
def programs(draw: Any, *, reduces: bool, length: int, narrow: bool = False) -> Any:
    """Return programs of up to eight steps whose results are exact whatever the order.

    Args:
        reduces: with reductions.
        length: elements of a row.
        narrow: only float32 and bool.
    """
    every = ("float32", "bool") if narrow else (*FLOATS, *INTEGERS, "bool")
    grown = _Growing([draw(st.sampled_from(every)) for _ in range(draw(st.integers(1, 3)))])
    for _ in range(draw(st.integers(1, 8))):
        _grow(draw, grown, every, reduces, length)
    count = len(grown.dtypes)
    outputs = [count - 1]
    outputs += draw(st.lists(st.integers(0, count - 1), max_size=2))
    return Program(grown.inputs, tuple(grown.steps), tuple(outputs))


def _grow(draw: Any, grown: _Growing, every: Sequence[str], reduces: bool, length: int) -> None:
    count = len(grown.dtypes)
    a = draw(st.integers(0, count - 1))
    kind = draw(st.sampled_from(["two", "two", "one", "select", "cast", "number", "reduce"]))
    if kind == "reduce" and reduces and length:
        _grow_reduction(draw, grown, a, length)
    elif kind == "number":
        dtype = draw(st.sampled_from(every))
        number = draw(st.booleans() if dtype == "bool" else st.integers(0, 3))
        grown.append(Step(CONSTANT, (), dtype, dtype, (("value", number),)), 2)
    elif kind == "cast":
        dtype = draw(st.sampled_from(every))
        source = np.dtype(grown.dtypes[a])
        if source.kind == "f" and np.dtype(dtype).kind != "f" and dtype != "bool":
            # Out of range is undefined; so is the sign for unsigned ones.
            positive = step("abs", a, dtype=source.name)
            if grown.bits[a] > 6:
                return
            grown.append(positive, grown.bits[a])
            a = len(grown.dtypes) - 1
        grown.append(Step(CAST, (a,), grown.dtypes[a], dtype), min(grown.bits[a], 64))
    elif kind == "one":
        _grow_one(draw, grown, a)
    else:
        b = draw(st.integers(0, count - 1))
        _grow_two(draw, grown, kind, a, b)


def _grow_one(draw: Any, grown: _Growing, a: int) -> None:
    dtype = grown.dtypes[a]
    if dtype == "bool":
        grown.append(step("logical_not", a, dtype="bool"), 1)
    else:
        grown.append(
            step(draw(st.sampled_from(["abs", "negative"])), a, dtype=dtype), grown.bits[a]
        )


def _grow_two(draw: Any, grown: _Growing, kind: str, a: int, b: int) -> None:
    common = np.result_type(grown.dtypes[a], grown.dtypes[b])
    if kind == "select":
        c = draw(st.integers(0, len(grown.dtypes) - 1))
        bits = max(grown.bits[a], grown.bits[b])
        found = Step("select", (c, a, b), common.name, common.name)
        if bits <= _BITS or common.kind != "f":
            grown.append(found, bits)
        return
    name = draw(st.sampled_from(_TWO))
    if common.kind == "b" and name == "subtract":
        return
    bits = {"multiply": grown.bits[a] + grown.bits[b]}.get(
        name, max(grown.bits[a], grown.bits[b]) + 1
    )
    if common.kind == "f" and bits > _BITS:
        return
    result = "bool" if name in _COMPARE else common.name
    grown.append(step(name, a, b, dtype=common.name, result=result), bits)


def _grow_reduction(draw: Any, grown: _Growing, a: int, length: int) -> None:
    name = draw(st.sampled_from(["sum", "max", "min", "any", "all", "argmax", "argmin", "prod"]))
    dtype = np.dtype(grown.dtypes[a])
    bits, result = grown.bits[a], dtype.name
    if name in ("any", "all"):
        bits, result = 1, "bool"
    elif name.startswith("arg"):
        bits, result = math.ceil(math.log2(length + 1)), draw(st.sampled_from(["int32", "int64"]))
    elif name == "sum":
        bits += math.ceil(math.log2(length + 1))
        if dtype.kind != "f":
            result = draw(st.sampled_from(["int32", "int64", dtype.name if bits < 60 else "int64"]))
    elif name == "prod" and dtype.kind == "f":
        name = "max"
    if dtype.kind == "f" and bits > _BITS:
        return
    if dtype.kind == "b" and name in ("sum", "prod"):
        result = "int64"
    grown.append(Step(f"reduce.{name}", (a,), dtype.name, result), bits)


@st.composite
def chains(draw: Any) -> Any:
    """Return programs of several passes, like softmax: reduce, combine with the row, reduce again.

    Integers wrap, so results are exact in any order.
    """
    dtype = draw(st.sampled_from(["int32", "int32", "int64", "int16"]))
    inputs = (dtype,) * draw(st.integers(1, 2))
    steps: list[Step] = []
    current = 0
    count = len(inputs)
    elements = list(range(count))
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(0, 3))):
            name = draw(st.sampled_from(["add", "subtract", "multiply", "maximum", "square"]))
            other = () if name == "square" else (draw(st.sampled_from([*elements, *rows])),)
            steps.append(step(name, current, *other, dtype=dtype))
            current = count + len(steps) - 1
            elements.append(current)
        steps.append(step(f"reduce.{draw(st.sampled_from(['sum', 'max']))}", current, dtype=dtype))
        rows.append(count + len(steps) - 1)
        steps.append(step("subtract", current, rows[-1], dtype=dtype))
        current = count + len(steps) - 1
        elements.append(current)
    outputs = [current, *draw(st.lists(st.sampled_from([*elements, *rows]), max_size=2))]
    return Program(inputs, tuple(steps), tuple(outputs))
