"""Kernels that apply something to each element, a vector at a time and one by one at the end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnn.codegen.body import Body, element_type
from mnn.codegen.builder import Function, Index, Module, Value, vector
from mnn.codegen.kernel import OUTPUT, Call, Kernel, Tensor
from mnn.codegen.program import Program
from mnn.codegen.target import TARGETS, Target
from tests.codegen.running import filled, run

Array = np.ndarray[Any, Any]

NATIVE = ("avx512", "avx2", "sse2")
"""Targets whose code runs here."""


@dataclass(frozen=True)
class Elements(Kernel):
    """A loop over elements of 1-D arrays.

    Attributes:
        inputs, result: NumPy names of dtypes.
        lanes: elements of a vector; 0: as many as the target's vectors hold.
    """

    inputs: tuple[str, ...]
    result: str
    lanes: int

    @abstractmethod
    def emit(self, f: Function, lanes: int, values: Sequence[Value]) -> Value:
        """Return the result for the elements of the inputs."""

    def build(self, target: Target) -> Module:
        """Return the code; the argument block holds the inputs, then the output."""
        module = Module(target)
        f = module.entry()
        names = [f"x{number}" for number in range(len(self.inputs))]
        block = f.block(" ".join(f"*{each}" for each in [*names, "result"]))
        widest = max(np.dtype(each).itemsize for each in (*self.inputs, self.result))
        many = self.lanes or max(target.vector_bytes // widest, 1)
        lo, hi = f.arguments[1], f.arguments[2]
        whole = f.add(lo, f.floor_to(f.sub(hi, lo), many))
        for start, end, lanes in ((lo, whole, many), (whole, hi, 1)):
            with f.loop(start, end, lanes) as loop:
                values = [
                    _load(f, getattr(block, name), loop.index, dtype, lanes)
                    for name, dtype in zip(names, self.inputs, strict=True)
                ]
                made = self.emit(f, lanes, values)
                _store(f, made, block.result, loop.index, self.result, lanes)
        return module


def _load(f: Function, base: Value, index: Index, dtype: str, lanes: int) -> Value:
    size = np.dtype(dtype).itemsize
    kind = "i8" if dtype == "bool" else element_type(np.dtype(dtype))
    found = f.load(vector(lanes, kind), f.offset(base, f.mul(index, size)), align=1)
    if dtype != "bool":
        return found
    wanted = vector(lanes, "i1")
    return f.make(f"trunc {found.type} {found.text} to {wanted}", wanted)


def _store(f: Function, value: Value, base: Value, index: Index, dtype: str, lanes: int) -> None:
    if dtype == "bool":
        kind = vector(lanes, "i8")
        value = f.make(f"zext {value.type} {value.text} to {kind}", kind)
    f.store(value, f.offset(base, f.mul(index, np.dtype(dtype).itemsize)), align=1)


@dataclass(frozen=True)
class Programmed(Elements):
    """A program of one output."""

    program: Program

    def emit(self, f: Function, lanes: int, values: Sequence[Value]) -> Value:
        """Return the output of the program."""
        (made,) = self.program.emit(f, lanes, values)
        return made


@dataclass(frozen=True)
class Method(Elements):
    """A method of the body.

    Attributes:
        name: of the method.
        dtype: of the body.
        words: first arguments of the method.
    """

    name: str
    dtype: str
    words: tuple[str, ...] = ()

    def emit(self, f: Function, lanes: int, values: Sequence[Value]) -> Value:
        """Return what the method returns."""
        made: Value = getattr(Body(f, lanes, np.dtype(self.dtype)), self.name)(*self.words, *values)
        return made


def programmed(program: Program, lanes: int = 0) -> Programmed:
    """Return the kernel of a program."""
    return Programmed(program.inputs, program.dtype(program.outputs[0]), lanes, program)


def compute(kernel: Elements, arrays: Sequence[Array], target: str, chunk: int = 0) -> Array:
    """Return the results for arrays of equal size.

    Args:
        chunk: elements the kernel is given at once; 0 for all.
    """
    tensors: list[Tensor] = [filled(each) for each in arrays]
    result = filled(np.zeros(len(arrays[0]), kernel.result), OUTPUT)
    slots = tuple(each.pointer for each in [*tensors, result])
    call = Call(kernel, slots, len(arrays[0]))
    pairs = list(zip(tensors, arrays, strict=True))
    (got,) = run([call], pairs, [result], target=TARGETS[target], chunk=chunk)
    return got
