"""Times kernels of the loop templates on one thread, next to NumPy and to a plain copy.

`python benchmarks/kernels_loops.py [CASE ...] [--target avx2]`. Memory is warm and reused; NumPy's
expressions allocate their results, as expressions do. Times are medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import fnmatch
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from harness import medians
from kernels import add_kernel_arguments, chosen_target, report

import mnn  # noqa: F401  (operators register their bodies)
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Call, Pointer, Tensor, contiguous
from mnn.codegen.linking import library
from mnn.codegen.program import CAST, Program, Step, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates import loops

Array = np.ndarray[Any, Any]
_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
F32, U8, I32, I64 = "float32", "uint8", "int32", "int64"


def step(name: str, *arguments: int, dtype: str = F32, result: str = "") -> Step:
    """Return a step computed in `dtype`."""
    return Step(name, arguments, dtype, result or dtype)


# --- cases ---------------------------------------------------------------------------------------


@dataclass
class Case:
    """One measured kernel.

    Attributes:
        inputs: arrays.
        output: shape and dtype of the result.
        lower: takes the tensors of the inputs and the output, and the target.
        numpy: the same with NumPy.
        traffic: bytes that have to be moved; 0: all inputs and the output once.
    """

    name: str
    inputs: Sequence[Array]
    output: tuple[tuple[int, ...], str]
    lower: Callable[[list[Tensor], Tensor, Target], list[Call]]
    numpy: Callable[..., Array]
    traffic: int = 0


def program_case(
    name: str,
    program: Program,
    inputs: Sequence[Array],
    numpy: Callable[..., Array],
    *,
    reduced: int = 0,
    shape: tuple[int, ...] | None = None,
) -> Case:
    """Return the case of a program; inputs broadcast to the first one's shape."""
    full = inputs[0].shape
    kept = full[: len(full) - reduced]
    result = program.dtype(program.outputs[0])

    def lower(tensors: list[Tensor], output: Tensor, target: Target) -> list[Call]:
        views = [each.broadcast(full) for each in tensors]
        return loops.lower(program, views, [output], target, reduced=reduced)

    return Case(name, inputs, (kept if shape is None else shape, result), lower, numpy)


def normal(*shape: int) -> Array:
    """Return float32 random numbers."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def unary(name: str) -> Program:
    """Return the program of one function."""
    return Program((F32,), (step(name, 0),), (1,))


def elementwise_cases() -> list[Case]:
    """Return functions and chains at three sizes."""
    copy = Program((F32,), (), (0,))
    add = Program((F32, F32), (step("add", 0, 1),), (2,))
    chain = Program(
        (F32, F32),
        (
            constant_step(0.5, F32),
            step("subtract", 0, 2),
            step("multiply", 3, 1),
            constant_step(1.0, F32),
            step("add", 4, 5),
            step("abs", 6),
            step("sqrt", 7),
        ),
        (8,),
    )
    meanings: dict[str, Callable[..., Array]] = {
        "exp": np.exp,
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.7978846 * (x + 0.044715 * x * x * x))),
    }
    cases = []
    for label, size in (("4096", 4096), ("1M", 1 << 20), ("16M", 1 << 24)):
        x, y = normal(size), normal(size) + 1
        cases.append(program_case(f"copy {label}", copy, [x], np.copy))
        cases.append(program_case(f"add {label}", add, [x, y], np.add))
        for name, meaning in meanings.items():
            body = {"gelu": "gelu"}.get(name, name)
            cases.append(program_case(f"{name} {label}", unary(body), [x], meaning))
        cases.append(
            program_case(
                f"chain5 {label}", chain, [x, y], lambda x, y: np.sqrt(np.abs((x - 0.5) * y + 1))
            )
        )
    return cases


def reduction(name: str, dtype: str = F32, result: str = F32) -> Program:
    """Return the program of one reduction."""
    return Program((dtype,), (step(f"reduce.{name}", 0, dtype=dtype, result=result),), (1,))


def mean(length: int) -> Program:
    """Return the program of a mean."""
    return Program(
        (F32,),
        (step("reduce.sum", 0), constant_step(1 / length, F32), step("multiply", 1, 2)),
        (3,),
    )


SOFTMAX = Program(
    (F32,),
    (
        step("reduce.max", 0),
        step("subtract", 0, 1),
        step("exp", 2),
        step("reduce.sum", 3),
        step("divide", 3, 4),
    ),
    (5,),
)


def layer_norm(length: int) -> Program:
    """Return layer norm from primitives; scale and shift are inputs 1 and 2."""
    return Program(
        (F32, F32, F32),
        (
            step("reduce.sum", 0),
            constant_step(1 / length, F32),
            step("multiply", 3, 4),
            step("subtract", 0, 5),
            step("multiply", 6, 6),
            step("reduce.sum", 7),
            step("multiply", 8, 4),
            constant_step(1e-5, F32),
            step("add", 9, 10),
            step("sqrt", 11),
            step("divide", 6, 12),
            step("multiply", 13, 1),
            step("add", 14, 2),
        ),
        (15,),
    )


def numpy_softmax(x: Array, axis: int = -1) -> Array:
    """Return the softmax as NumPy code does it."""
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def numpy_layer_norm(x: Array, scale: Array, shift: Array) -> Array:
    """Return layer norm as NumPy code does it."""
    centred = x - x.mean(-1, keepdims=True)
    variance = np.mean(centred * centred, -1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * scale + shift


def row_cases() -> list[Case]:
    """Return reductions and whole-row chains."""
    flat, square = normal(1 << 20), normal(1000, 1000)
    cases = [
        program_case("sum 1M", reduction("sum"), [flat], np.sum, reduced=1),
        program_case("mean 1M", mean(flat.size), [flat], np.mean, reduced=1),
        program_case("max 1M", reduction("max"), [flat], np.max, reduced=1),
        program_case("argmax 1M", reduction("argmax", F32, I64), [flat], np.argmax, reduced=1),
        program_case("sum 16M", reduction("sum"), [normal(1 << 24)], np.sum, reduced=1),
        program_case(
            "sum rows 1000x1000", reduction("sum"), [square], lambda x: x.sum(1), reduced=1
        ),
        program_case(
            "argmax rows 1000x1000",
            reduction("argmax", F32, I64),
            [square],
            lambda x: x.argmax(1),
            reduced=1,
        ),
    ]
    for rows, length in ((1000, 1000), (4096, 128), (10000, 10), (100000, 3), (8, 65536)):
        x = normal(rows, length)
        scale, shift = normal(length), normal(length)
        name = f"{rows}x{length}"
        cases.append(program_case(f"softmax {name}", SOFTMAX, [x], numpy_softmax, reduced=1))
        cases.append(
            program_case(
                f"layernorm {name}",
                layer_norm(length),
                [x, scale, shift],
                numpy_layer_norm,
                reduced=1,
            )
        )
        cases[-1].output = ((rows, length), F32)
        cases[-2].output = ((rows, length), F32)
    return cases


def outer_case(name: str, program: Program, x: Array, numpy: Callable[..., Array]) -> Case:
    """Return a case that reduces axis 0."""
    row = all(program.steps[n - len(program.inputs)].reduction for n in program.outputs)

    def lower(tensors: list[Tensor], output: Tensor, target: Target) -> list[Call]:
        views = [each.permuted((*range(1, x.ndim), 0)) for each in tensors]
        if not row:
            output = output.permuted((*range(1, x.ndim), 0))
        return loops.lower(program, views, [output], target, reduced=1)

    return Case(name, [x], (x.shape[1:] if row else x.shape, F32), lower, numpy)


def column_cases() -> list[Case]:
    """Return reductions over the first axis."""
    total = reduction("sum")
    square = normal(1000, 1000)
    return [
        outer_case("sum axis0 1000x1000", total, square, lambda x: x.sum(0)),
        outer_case(
            "softmax axis0 256x4096", SOFTMAX, normal(256, 4096), lambda x: numpy_softmax(x, 0)
        ),
        outer_case("sum axis0 49x1280", total, normal(49, 1280), lambda x: x.sum(0)),
        outer_case("sum axis0 1Mx3", total, normal(1 << 20, 3), lambda x: x.sum(0)),
        outer_case("sum axis0 100000x16", total, normal(100000, 16), lambda x: x.sum(0)),
        outer_case("softmax axis0 1000x1000", SOFTMAX, square, lambda x: numpy_softmax(x, 0)),
        outer_case(
            "softmax axis0 21x65536", SOFTMAX, normal(21, 65536), lambda x: numpy_softmax(x, 0)
        ),
    ]


def movement_case(
    name: str, x: Array, axes: Sequence[int], program: Program | None = None, *rest: Array
) -> Case:
    """Return a transposition, with an optional program whose further inputs broadcast."""
    shape = tuple(x.shape[each] for each in axes)
    used = program or Program((x.dtype.name,), (), (0,))

    def lower(tensors: list[Tensor], output: Tensor, target: Target) -> list[Call]:
        views = [tensors[0].permuted(axes), *(each.broadcast(shape) for each in tensors[1:])]
        return loops.lower(used, views, [output], target)

    def numpy(x: Array, *rest: Array) -> Array:
        moved = x.transpose(axes)
        if program is None:
            return np.ascontiguousarray(moved)
        return np.ascontiguousarray((moved.astype(np.float32) - rest[0]) * rest[1])

    return Case(name, [x, *rest], (shape, used.dtype(used.outputs[0])), lower, numpy)


def normalise() -> Program:
    """Return (float32(x) - mean) * scale."""
    steps = (Step(CAST, (0,), U8, F32), step("subtract", 3, 1), step("multiply", 4, 2))
    return Program((U8, F32, F32), steps, (5,))


def movement_cases() -> list[Case]:
    """Return copies in another order."""
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    big = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3)).astype(np.uint8)
    average, scale = normal(3, 1, 1), normal(3, 1, 1)
    flat = (average.reshape(3), scale.reshape(3))
    return [
        movement_case("transpose 1000x1000", normal(1000, 1000), (1, 0)),
        movement_case("transpose u8 1000x1000", big[:1000, :1000, 0].copy(), (1, 0)),
        movement_case("transpose 128x4x64", normal(128, 4, 64), (1, 0, 2)),
        movement_case("transpose 4x128x64", normal(4, 128, 64), (0, 2, 1)),
        movement_case("NCHW->NHWC 64x56x56", normal(1, 64, 56, 56), (0, 2, 3, 1)),
        movement_case("NHWC->NCHW 56x56x64", normal(1, 56, 56, 64), (0, 3, 1, 2)),
        movement_case("NCHW->NHWC 3x224x224", normal(1, 3, 224, 224), (0, 2, 3, 1)),
        movement_case("NHWC->NCHW 224x224x3", normal(1, 224, 224, 3), (0, 3, 1, 2)),
        movement_case("HWC->CHW norm 224x224x3", image, (2, 0, 1), normalise(), average, scale),
        movement_case("HWC->CHW norm 1080p", big, (2, 0, 1), normalise(), average, scale),
        movement_case("HWC norm 224x224x3", image, (0, 1, 2), normalise(), *flat),
    ]


def scan_cases() -> list[Case]:
    """Return running sums."""

    def lower(axis: int) -> Callable[[list[Tensor], Tensor, Target], list[Call]]:
        return lambda tensors, output, target: loops.lower_scan(
            "sum", tensors[0], output, target, axis=axis, exclusive=False, reverse=False
        )

    flat, square = normal(1 << 20), normal(1000, 1000)
    return [
        Case("cumsum 1M", [flat], (flat.shape, F32), lower(0), np.cumsum),
        Case(
            "cumsum axis1 1000x1000",
            [square],
            (square.shape, F32),
            lower(1),
            lambda x: np.cumsum(x, 1),
        ),
        Case(
            "cumsum axis0 1000x1000",
            [square],
            (square.shape, F32),
            lower(0),
            lambda x: np.cumsum(x, 0),
        ),
    ]


def gather_cases() -> list[Case]:
    """Return embedding lookups and picking of single elements."""
    table = normal(30000, 256)
    indices = np.random.default_rng(0).integers(0, 30000, 4096)
    flat, many = normal(1 << 16), np.random.default_rng(0).integers(0, 1 << 16, 1 << 18)

    def lower(tensors: list[Tensor], output: Tensor, target: Target) -> list[Call]:
        return loops.lower_gather(tensors[0], tensors[1], output, target, axis=0)

    return [
        Case(
            "embedding 4096x256",
            [table, indices],
            ((4096, 256), F32),
            lower,
            lambda t, i: t[i],
            4096 * 256 * 8,
        ),
        Case(
            "take 256k of 64k",
            [flat, many],
            (many.shape, F32),
            lower,
            lambda t, i: t[i],
            many.size * 16,
        ),
    ]


# --- running -------------------------------------------------------------------------------------


@dataclass
class Machine:
    """Runs the calls of a case on memory of its own."""

    target: Target
    kept: list[Any] = field(default_factory=list)

    def prepare(self, case: Case) -> tuple[Callable[[], None], Array, float]:
        """Return a function that runs the case, its result's array, and milliseconds to compile."""
        addresses: dict[int, int] = {}
        tensors = []
        for array in case.inputs:
            buffer = Buffer(array.nbytes, INPUT)
            tensors.append(contiguous(buffer, array.shape, array.dtype))
            self._hold(addresses, buffer)[...] = array.reshape(-1).view(np.uint8)
        shape, dtype = case.output
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        output = contiguous(Buffer(size, OUTPUT), shape, np.dtype(dtype))
        held = self._hold(addresses, output.buffer)
        calls = case.lower(tensors, output, self.target)
        start = time.perf_counter()
        texts = [each.kernel.build(self.target).text() for each in calls]
        functions = library().compile_all(texts, self.target)
        spent = (time.perf_counter() - start) * 1e3
        plan = []
        for function, call in zip(functions, calls, strict=True):
            for slot in call.slots:
                if isinstance(slot, Pointer) and id(slot.buffer) not in addresses:
                    self._hold(addresses, slot.buffer)
            block = ctypes.create_string_buffer(self._pack(call, addresses))
            scratch = np.zeros(call.scratch + 64, np.uint8)
            aligned = -(-scratch.ctypes.data // 64) * 64
            self.kept += [block, scratch, call]
            plan.append((_ENTRY(function), ctypes.addressof(block), call.items, aligned))

        def run() -> None:
            for function, block, items, scratch in plan:
                function(block, 0, items, scratch)

        return run, held.view(dtype).reshape(shape), spent

    def _hold(self, addresses: dict[int, int], buffer: Buffer) -> Array:
        room = np.empty(buffer.size + 4096, np.uint8)
        start = -room.ctypes.data % 4096
        if buffer.kind == "constant":
            content = buffer.array.reshape(-1).view(np.uint8)
            room[start : start + content.size] = content
        self.kept += [room, buffer]
        addresses[id(buffer)] = room.ctypes.data + start
        return room[start : start + buffer.size]

    @staticmethod
    def _pack(call: Call, addresses: dict[int, int]) -> bytes:
        packed = b""
        for slot in call.slots:
            if isinstance(slot, Pointer):
                packed += struct.pack("<q", addresses[id(slot.buffer)] + slot.offset)
            elif isinstance(slot, float):
                packed += struct.pack("<fi", slot, 0)
            else:
                packed += struct.pack("<q", slot)
        return packed


def copier(traffic: int) -> Callable[[], None]:
    """Return a plain copy that moves that many bytes, read and written."""
    source, copied = np.ones(traffic // 2, np.uint8), np.zeros(traffic // 2, np.uint8)
    return lambda: np.copyto(copied, source)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="patterns such as 'softmax*'")
    add_kernel_arguments(parser, rounds=7)
    options = parser.parse_args()
    target = chosen_target(options)
    groups = [elementwise_cases, row_cases, column_cases, movement_cases, scan_cases, gather_cases]
    rows: list[list[str]] = []
    found = {}
    for case in [case for group in groups for case in group()]:
        if options.cases and not any(fnmatch.fnmatch(case.name, each) for each in options.cases):
            continue
        memory = Machine(target)
        run, result, spent = memory.prepare(case)
        run()
        expected = np.asarray(case.numpy(*case.inputs))
        scale = max(float(np.abs(expected).max()), 1e-30)
        error = float(np.abs(result.astype(np.float64) - expected).max()) / scale
        traffic = case.traffic or sum(each.nbytes for each in case.inputs) + result.nbytes
        ours, numpy, copy = medians(
            [run, lambda case=case: case.numpy(*case.inputs), copier(traffic)],
            options.rounds,
        )
        found[case.name] = {"seconds": ours, "numpy": numpy, "copy": copy, "error": error}
        rows.append(
            [
                case.name,
                f"{ours * 1e6:.2f}",
                f"{numpy * 1e6:.2f}",
                f"{numpy / ours:.2f}",
                f"{traffic / ours / 1e9:.1f}",
                f"{copy / ours:.2f}",
                f"{error:.0e}",
                f"{spent:.0f}",
            ]
        )
    head = ["case", "us", "NumPy us", "ratio", "GB/s", "to copy", "difference", "compile ms"]
    report(options, target, head, rows, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
