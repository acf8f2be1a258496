"""Kernels and their calls: what templates make, the compiler strings together, and devices run.

A template module has a function `lower(...)` that takes tensors and returns calls. A call names a
kernel (a frozen description that can build its code) and what goes into its argument block.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mnn.records import dataclass, field, replace

if TYPE_CHECKING:
    # Stored plans run without any of what generates code.
    from mnn.codegen.builder import Module
    from mnn.codegen.program import Program
    from mnn.codegen.target import Target

__all__ = [
    "CONSTANT",
    "INPUT",
    "OUTPUT",
    "TEMPORARY",
    "Buffer",
    "Call",
    "Epilogue",
    "Kernel",
    "Pointer",
    "Slot",
    "Tensor",
    "contiguous",
]

Array = np.ndarray[Any, Any]

INPUT, OUTPUT, CONSTANT, TEMPORARY = "input", "output", "constant", "temporary"


class Buffer:
    """A piece of memory that a plan works on; compared by identity.

    Inputs and outputs are foreign memory, aligned to their elements only, and nothing beyond their
    last byte may be touched. Constants and temporaries begin at multiples of 64 bytes; touching
    beyond their end is forbidden too. Temporaries hold garbage at first and share memory
    when their uses (the calls from the first that names them to the last) do not overlap.

    Args:
        size: bytes.
        kind: INPUT, OUTPUT, CONSTANT or TEMPORARY.
        make: for a constant, returns its content; called once, on first use.
        name: for profiles.

    Attributes:
        calls: instead of `make`, what computes the content of a constant; see `compute_by`.
        target: what the calls are for.
    """

    __slots__ = ("_array", "_make", "calls", "kind", "name", "size", "target")

    def __init__(
        self,
        size: int,
        kind: str = TEMPORARY,
        *,
        make: Callable[[], Array] | None = None,
        name: str = "",
    ) -> None:
        self.size = size
        self.kind = kind
        self.name = name
        self.calls: tuple[Call, ...] = ()
        self.target: Target | None = None
        self._make = make
        self._array: Array | None = None

    @classmethod
    def constant(cls, array: Array, name: str = "") -> Buffer:
        """Return a constant that holds an array; its content must not change any more."""
        return cls(array.nbytes, CONSTANT, make=lambda: np.ascontiguousarray(array), name=name)

    @property
    def array(self) -> Array:
        """Content of a constant."""
        if self._array is None:
            if self.calls:
                from mnn.codegen.prepare import prepare

                prepare([self])
            elif self._make is not None:
                self._array, self._make = np.ascontiguousarray(self._make()), None
        if self._array is None:
            raise AssertionError(f"{self.kind} {self.name!r} has no content")
        return self._array

    def compute_by(self, calls: Sequence[Call], target: Target) -> None:
        """Let calls compute the content of a constant, once, when it is first used.

        They may name other constants, and temporaries of their own.
        """
        self.calls, self.target = tuple(calls), target

    def hold(self, content: Array) -> None:
        """Make `content` that of a constant, in place of what would compute it."""
        self._array, self._make, self.calls = content, None, ()

    def place(self, memory: Array) -> None:
        """Move a constant's content into `memory` (uint8), and forget where it was before."""
        content = self.array
        moved = memory[: content.nbytes].view(content.dtype).reshape(content.shape)
        moved[...] = content
        self._array = moved

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} {self.size} bytes>"


@dataclass(frozen=True)
class Tensor:
    """Elements in a buffer.

    Attributes:
        shape: sizes.
        strides: distance of neighbours along each axis, in elements; 0 broadcasts.
        offset: place of the first element, in elements.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def pointer(self) -> Pointer:
        """Address of the first element."""
        return Pointer(self.buffer, self.offset * self.dtype.itemsize)

    @property
    def is_constant(self) -> bool:
        """True when the content is known before running."""
        return self.buffer.kind == CONSTANT

    def array(self) -> Array:
        """Return a constant's elements as a NumPy view."""
        content = self.buffer.array.reshape(-1).view(self.dtype)
        strides = tuple(each * self.dtype.itemsize for each in self.strides)
        return np.lib.stride_tricks.as_strided(
            content[self.offset :], self.shape, strides, writeable=False
        )

    def permuted(self, axes: Sequence[int]) -> Tensor:
        """Return the transposed view."""
        return replace(
            self,
            shape=tuple(self.shape[each] for each in axes),
            strides=tuple(self.strides[each] for each in axes),
        )

    def broadcast(self, shape: Sequence[int]) -> Tensor:
        """Return the view of a broadcast shape."""
        lacking = len(shape) - len(self.shape)
        own = (1,) * lacking + self.shape
        steps = (0,) * lacking + self.strides
        strides = tuple(
            0 if have == 1 and want != 1 else step
            for have, want, step in zip(own, shape, steps, strict=True)
        )
        return replace(self, shape=tuple(shape), strides=strides)


def contiguous(
    buffer: Buffer, shape: Sequence[int], dtype: np.dtype[Any], order: Sequence[int] | None = None
) -> Tensor:
    """Return a tensor that fills a buffer; `order` lists the axes from outermost to innermost."""
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(range(len(shape)) if order is None else order):
        strides[axis] = step
        step *= shape[axis]
    return Tensor(buffer, tuple(shape), tuple(strides), dtype)


@dataclass(frozen=True)
class Pointer:
    """An address in a buffer.

    Attributes:
        offset: bytes from the start of the buffer.
    """

    buffer: Buffer
    offset: int = 0


Slot: TypeAlias = "int | float | Pointer"
"""One 8-byte slot of an argument block; a float is a float32 in the low half."""


class Kernel(ABC):
    """A description of generated code; subclasses are frozen dataclasses of plain data.

    Equal descriptions make equal code, and `repr` tells different ones apart: it is part of the
    key under which object code is stored.
    """

    @abstractmethod
    def build(self, target: Target) -> Module:
        """Return the code; its entry is `Module.entry()`."""


@dataclass(frozen=True)
class Call:
    """One step of a plan: a kernel run over `items` pieces of work, in chunks, in any order.

    Attributes:
        kernel: what runs: `fn(args, lo, hi, scratch)` for parts lo..hi of 0..items.
        slots: the argument block.
        items: pieces of independent work, at least 1.
        grain: fewest items worth handing to another thread.
        scratch: bytes of private memory that each running chunk needs, aligned to 64.
        work: multiply-adds, for profiles.    traffic: bytes read and written, for profiles.
        label: for profiles.
    """

    kernel: Kernel
    slots: tuple[Slot, ...]
    items: int
    grain: int = 1
    scratch: int = 0
    work: int = 0
    traffic: int = 0
    label: str = ""


@dataclass(frozen=True)
class Epilogue:
    """What happens to the results of a matrix kernel before they are stored.

    Attributes:
        program: input 0 is the result (float32), inputs 1... are the operands; one output.
        operands: tensors broadcast to the shape of the result (stride 0 where they do not vary).
    """

    program: Program
    operands: tuple[Tensor, ...] = field(default=())
