"""Integers in whose order elements are sorted, and rows of elements to be sorted.

The integer of an element is larger when the element comes later; elements that count as equal have
the same one: both zeros, and all NaN, which come after everything else (first when descending).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from mnn.codegen.body import Body
from mnn.codegen.builder import Function, Value, lanes_of, vector
from mnn.codegen.kernel import Buffer, Call, Kernel, Slot, Tensor, contiguous
from mnn.codegen.program import Program
from mnn.codegen.target import Target
from mnn.codegen.templates import loops
from mnn.codegen.templates.access import memory_type
from mnn.errors import CodegenError
from mnn.records import dataclass, replace

__all__ = [
    "OrderingKernel",
    "key_bits",
    "load_keys",
    "merged_rows",
    "ordered_key",
    "prepared",
]


def key_bits(dtype: str) -> int:
    """Return the bits of the integers for a dtype: 32 or 64."""
    return 64 if np.dtype(dtype).itemsize == 8 else 32


def ordered_key(f: Function, dtype: str, loaded: Value, *, descending: bool) -> Value:
    """Return signed integers of `key_bits` for elements as they are in memory."""
    kind, bits, lanes = np.dtype(dtype), key_bits(dtype), lanes_of(loaded.type)
    k = Body(f, lanes, np.dtype(f"i{bits // 8}"))
    if kind.kind == "f":
        real = Body(f, lanes, kind)
        # Adding 0 makes both zeros one.
        same = real.integers(real.add(loaded, real.const(0.0)))
        flipped = k.integer_op("lshr", k.integer_op("ashr", same, bits - 1), 1)
        number = k.integer_op("xor", same, flipped)
        last = k.const(2 ** (bits - 1) - 1)
        key = k.pick(real.unordered(loaded, loaded), last, number)
    else:
        key = loaded
        if kind.itemsize * 8 < bits:
            word = "sext" if kind.kind == "i" else "zext"
            key = f.make(f"{word} {loaded.type} {loaded.text} to {k.type}", k.type)
        elif kind.kind == "u":
            key = k.integer_op("xor", loaded, -(2 ** (bits - 1)))
    return k.integer_op("xor", key, -1) if descending else key


def load_keys(f: Function, dtype: str, place: Value, lanes: int, *, descending: bool) -> Value:
    """Return the integers of `lanes` neighbouring elements."""
    kind = vector(lanes, memory_type(dtype))
    loaded = f.load(kind, place, np.dtype(dtype).itemsize)
    return ordered_key(f, dtype, loaded, descending=descending)


def _check(name: str, x: Tensor, values: Tensor | None, indices: Tensor | None, count: int) -> None:
    """Raise CodegenError unless rows of x can be ordered into these results."""
    if x.dtype.kind not in "biuf" or x.dtype.itemsize not in (1, 2, 4, 8) or x.dtype == np.float16:
        raise CodegenError(f"{name}: kernels do not sort {x.dtype}.")
    if not x.shape or not 0 <= count <= x.shape[-1]:
        raise CodegenError(f"{name}: found {count} of {x.shape}, expected at most the last size.")
    shape = (*x.shape[:-1], count)
    wanted: tuple[tuple[Tensor | None, Any], ...] = ((values, x.dtype), (indices, np.int32))
    for tensor, dtype in wanted:
        if tensor is not None and (tensor.shape != shape or tensor.dtype != dtype):
            raise CodegenError(
                f"{name}: a result is {tensor.dtype} {tensor.shape}, expected "
                f"{np.dtype(dtype)} {shape}."
            )
    if x.shape[-1] >= 2**31:
        raise CodegenError(f"{name}: rows of {x.shape[-1]} elements are too long for int32.")


def merged_rows(tensor: Tensor) -> Tensor | None:
    """Return (rows, length) of the same elements, None when rows do not lie at equal distances."""
    outer = [
        (size, step)
        for size, step in zip(tensor.shape[:-1], tensor.strides[:-1], strict=True)
        if size != 1
    ]
    if any(far != size * near for (_, far), (size, near) in itertools.pairwise(outer)):
        return None
    shape = (math.prod(tensor.shape[:-1]), tensor.shape[-1])
    strides = (outer[-1][1] if outer else 0, tensor.strides[-1])
    return replace(tensor, shape=shape, strides=strides)


def _neighbouring_rows(x: Tensor, target: Target) -> tuple[Tensor, list[Call]]:
    """Return (rows, length) of the elements, neighbours in memory, and the calls that copy them."""
    rows = merged_rows(x)
    if rows is not None and (x.shape[-1] == 1 or x.strides[-1] == 1):
        return rows, []
    room = contiguous(Buffer(x.size * x.dtype.itemsize, name="rows"), x.shape, x.dtype)
    copy = Program((x.dtype.name,), (), (0,))
    calls = loops.lower(copy, [x], [room], target, label="rows to sort")
    made = merged_rows(room)
    assert made is not None
    return made, calls


def _results(
    name: str, x: Tensor, values: Tensor | None, indices: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return both results as rows; x stands for one that is not wanted.

    Raises:
        CodegenError: rows of a result do not lie at equal distances.
    """
    found = []
    for tensor in (values, indices):
        rows = merged_rows(x if tensor is None else tensor)
        if rows is None and tensor is not None:
            raise CodegenError(f"{name}: rows of a result lie at several distances. Copy it after.")
        found.append(replace(x, shape=(1, 1), strides=(0, 0)) if rows is None else rows)
    return found[0], found[1]


@dataclass(frozen=True)
class OrderingKernel(Kernel):
    """A kernel for the first `count` elements of sorted rows; equal ones keep their order.

    Attributes:
        dtype: of elements.
        descending: large ones come first.
        values, indices: which results are stored.
    """

    dtype: str
    descending: bool
    values: bool
    indices: bool

    def fields(self) -> str:
        """Return the names of the argument block: strides are in bytes, lengths in elements."""
        return "*x *y *i x_row y_row i_row y_step i_step length count"


def prepared(
    name: str,
    x: Tensor,
    values: Tensor | None,
    indices: Tensor | None,
    target: Target,
    count: int,
) -> tuple[tuple[Slot, ...], list[Call]] | None:
    """Return the argument block of an `OrderingKernel`, and calls that come before it.

    None when there is nothing to do.

    Raises:
        CodegenError: dtypes or shapes do not fit.
    """
    _check(name, x, values, indices, count)
    if not count or not x.size or (values is None and indices is None):
        return None
    rows, calls = _neighbouring_rows(x, target)
    y, i = _results(name, rows, values, indices)
    slots: tuple[Slot, ...] = (
        rows.pointer,
        y.pointer,
        i.pointer,
        rows.strides[0] * x.dtype.itemsize,
        y.strides[0] * y.dtype.itemsize,
        i.strides[0] * i.dtype.itemsize,
        y.strides[-1] * y.dtype.itemsize,
        i.strides[-1] * i.dtype.itemsize,
        x.shape[-1],
        count,
    )
    return slots, calls
