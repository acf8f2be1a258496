"""Times attention, gathers, scatters, sorting and suppression, next to the other way of each.

`python benchmarks/kernels_select.py [PATTERN ...] [--target avx2] [--threads 2] [--json FILE]`. The
other way of attention are its parts, as kernels of their own: two products and a softmax; that of
the rest is NumPy. Times are medians of interleaved rounds and include the call of a plan, a
microsecond or two. `bytes` is the memory between inputs and outputs.
"""

from __future__ import annotations

import argparse
import fnmatch
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import medians
from kernels import add_kernel_arguments, chosen_target, report

import mnn  # noqa: F401  (operators register their bodies)
from mnn.backends.cpu.plan import Plan
from mnn.codegen.kernel import INPUT, OUTPUT, Buffer, Call, Epilogue, Tensor, contiguous
from mnn.codegen.program import Program, Step, constant_step
from mnn.codegen.target import Target
from mnn.codegen.templates import attention, gather, gemm, loops, nms, scatter, sort
from mnn.ops.reference import detection

Array = np.ndarray[Any, Any]
Run = Callable[[], Any]
SINGLE = "float32"
RNG = np.random.default_rng(0)


@dataclass
class Case:
    """What is measured.

    Attributes:
        ours, other: what is timed.
        bytes: of temporaries, ours and the other's if that is a plan.
    """

    name: str
    ours: Run
    other: Run
    bytes: str


@dataclass
class Setting:
    """Where plans run."""

    target: Target
    threads: int

    def plan(
        self, calls: Sequence[Call], given: Sequence[Tensor], made: Sequence[Tensor]
    ) -> tuple[Plan, Callable[[Sequence[Array]], Any]]:
        """Return a plan, and a function of arrays that runs it."""
        found = Plan(calls, given, made, self.target)
        return found, lambda arrays: found.run(arrays, self.threads)


def tensor(shape: Sequence[int], dtype: str, kind: str = INPUT) -> Tensor:
    """Return a tensor in a buffer of its own."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return contiguous(Buffer(max(size, 1), kind), shape, np.dtype(dtype))


def step(name: str, *arguments: int, result: str = SINGLE) -> Step:
    """Return a step computed in float32."""
    return Step(name, arguments, SINGLE, result)


# --- attention -----------------------------------------------------------------------------------


def scaled(factor: float) -> Program:
    """Return scores times a factor."""
    return Program((SINGLE,), (constant_step(factor, SINGLE), step("multiply", 0, 1)), (2,))


def softmax(factor: float) -> Program:
    """Return the softmax of rows times a factor, as graphs say it."""
    steps = (
        constant_step(factor, SINGLE),
        step("multiply", 0, 1),
        step("reduce.max", 2),
        step("isfinite", 3, result="bool"),
        constant_step(0.0, SINGLE),
        step("select", 4, 3, 5),
        step("subtract", 2, 6),
        step("exp", 7),
        step("reduce.sum", 8),
        step("divide", 8, 9),
    )
    return Program((SINGLE,), steps, (10,))


def attention_case(setting: Setting, heads: int, rows: int, keys: int, size: int) -> Case:
    """Return attention of heads that lie side by side."""
    q, k, v = (tensor((length, heads, size), SINGLE) for length in (rows, keys, keys))
    out = tensor((rows, heads, size), SINGLE, OUTPUT)
    rows_of, keys_of, values = q.permuted((1, 0, 2)), k.permuted((1, 2, 0)), v.permuted((1, 0, 2))
    goal, target = out.permuted((1, 0, 2)), setting.target
    factor = 1 / math.sqrt(size)
    epilogue = Epilogue(scaled(factor))
    whole = attention.lower(rows_of, keys_of, values, goal, target, scores=epilogue)
    scores, weights = (tensor((heads, rows, keys), SINGLE, "temporary") for _ in range(2))
    mixed = tensor((heads, rows, size), SINGLE, "temporary")
    parts = [
        *gemm.lower(rows_of, keys_of, scores, target),
        *loops.lower(softmax(factor), [scores], [weights], target, reduced=1),
        *gemm.lower(weights, values, mixed, target),
        *loops.lower(Program((SINGLE,), (), (0,)), [mixed], [goal], target),
    ]
    arrays = [RNG.standard_normal(each.shape, np.float32) for each in (q, k, v)]
    one, run_one = setting.plan(whole, [q, k, v], [out])
    two, run_two = setting.plan(parts, [q, k, v], [out])
    np.testing.assert_allclose(run_one(arrays)[0], run_two(arrays)[0], atol=1e-5)
    return Case(
        f"attention {heads}x{rows}x{keys}x{size}",
        lambda: run_one(arrays),
        lambda: run_two(arrays),
        f"{one.peak_bytes} / {two.peak_bytes}",
    )


# --- against NumPy -------------------------------------------------------------------------------


def numpy_case(
    name: str,
    setting: Setting,
    given: Sequence[Array],
    made: Sequence[tuple[tuple[int, ...], str]],
    lower: Callable[..., list[Call]],
    other: Callable[..., Any],
) -> Case:
    """Return the case of a template; `lower` takes tensors of `given` and of `made`."""
    inputs = [tensor(each.shape, each.dtype.name) for each in given]
    outputs = [tensor(shape, dtype, OUTPUT) for shape, dtype in made]
    plan, run = setting.plan(lower(*inputs, *outputs), inputs, outputs)
    return Case(name, lambda: run(given), lambda: other(*given), str(plan.peak_bytes))


def gather_cases(setting: Setting) -> list[Case]:
    """Return lookups of rows and of elements, and sums at places."""
    target = setting.target
    table = RNG.standard_normal((30000, 256), np.float32)
    places = RNG.integers(0, 30000, 4096).astype(np.int32)
    flat = RNG.standard_normal(1 << 16, np.float32)
    many = RNG.integers(0, 1 << 16, 1 << 18)
    rows = RNG.standard_normal((4096, 256), np.float32)

    def pick(x: Tensor, i: Tensor, out: Tensor) -> list[Call]:
        return gather.lower_gather(x, i, out, target, axis=0)

    def put(y: Tensor, i: Tensor, out: Tensor) -> list[Call]:
        zero = Program((), (constant_step(0.0, SINGLE),), (0,))
        spread = Tensor(i.buffer, y.shape, (1, 0), i.dtype)
        calls = loops.lower(zero, [], [out], target)
        return calls + scatter.lower(out, y, [spread], target, axes=(-1, 1), combination="add")

    def summed(y: Array, i: Array) -> Array:
        made = np.zeros(table.shape, np.float32)
        np.add.at(made, i, y)
        return made

    return [
        numpy_case(
            "gather 4096 rows of 256",
            setting,
            [table, places],
            [((4096, 256), SINGLE)],
            pick,
            lambda x, i: x[i],
        ),
        numpy_case(
            "gather 256k elements",
            setting,
            [flat, many],
            [(many.shape, SINGLE)],
            pick,
            lambda x, i: x[i],
        ),
        numpy_case(
            "scatter add 4096 rows of 256",
            setting,
            [rows, places],
            [(table.shape, SINGLE)],
            put,
            summed,
        ),
    ]


def sort_cases(setting: Setting) -> list[Case]:
    """Return the largest few of rows, and whole rows sorted stably."""

    def case(rows: int, length: int, count: int) -> Case:
        def lower(x: Tensor, values: Tensor, places: Tensor) -> list[Call]:
            return sort.lower(x, values, places, setting.target, count=count, descending=True)

        def numpy(x: Array) -> Any:
            order = np.argsort(-x, axis=1, kind="stable")[:, :count]
            return np.take_along_axis(x, order, 1), order.astype(np.int32)

        shape = (rows, count)
        return numpy_case(
            f"{'sort' if count == length else f'top {count} of'} {rows}x{length}",
            setting,
            [RNG.standard_normal((rows, length), np.float32)],
            [(shape, SINGLE), (shape, "int32")],
            lower,
            numpy,
        )

    sizes = [(1, 1000, 5), (128, 1000, 5), (1, 8400, 100), (80, 8400, 100), (1, 1 << 20, 100)]
    sizes += [(64, 64, 64), (64, 1000, 1000), (1, 8400, 8400), (1, 1 << 20, 1 << 20)]
    return [case(*each) for each in sizes]


def nms_cases(setting: Setting) -> list[Case]:
    """Return suppression of random boxes."""

    def case(count: int, limit: int) -> Case:
        centres, sizes = RNG.random((count, 2)) * 640, RNG.random((count, 2)) * 80 + 5
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1).astype(np.float32)
        scores = RNG.random(count).astype(np.float32)

        def lower(boxes: Tensor, scores: Tensor, kept: Tensor, counts: Tensor) -> list[Call]:
            return nms.lower(
                boxes,
                scores,
                kept,
                counts,
                setting.target,
                iou_threshold=0.5,
                score_threshold=0.0,
            )

        def numpy(boxes: Array, scores: Array) -> Array:
            return detection.nms(
                boxes[0], scores[0, 0], limit=limit, iou_threshold=0.5, score_threshold=0.0
            )

        return numpy_case(
            f"nms {count} boxes, {limit} kept at most",
            setting,
            [boxes[None], scores[None, None]],
            [((1, 1, limit), "int32"), ((1, 1), "int32")],
            lower,
            numpy,
        )

    return [case(1000, 100), case(1000, 1000), case(8400, 300), case(8400, 8400)]


ATTENTION = (
    *((4, 64, 64, 64), (4, 128, 128, 64), (3, 197, 197, 64), (4, 128, 128, 48), (64, 49, 49, 32)),
    *((8, 512, 512, 64), (8, 1024, 1024, 64), (4, 2048, 2048, 64), (2, 4096, 4096, 64)),
)


def builders(setting: Setting) -> list[Callable[[], list[Case]]]:
    """Return what makes the cases."""

    def one(sizes: tuple[int, int, int, int]) -> Callable[[], list[Case]]:
        return lambda: [attention_case(setting, *sizes)]

    makers: list[Callable[[], list[Case]]] = [one(each) for each in ATTENTION]
    rest = (gather_cases, sort_cases, nms_cases)
    return [*makers, *((lambda each=each: each(setting)) for each in rest)]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=["*"], help="such as 'top*'")
    parser.add_argument("--threads", type=int, default=1)
    add_kernel_arguments(parser, rounds=15)
    options = parser.parse_args()
    target = chosen_target(options)
    setting = Setting(target, options.threads)
    rows: list[list[str]] = []
    found: dict[str, Any] = {}
    for build in builders(setting):
        for case in build():
            if not any(fnmatch.fnmatch(case.name, each) for each in options.patterns):
                continue
            ours, other = medians([case.ours, case.other], options.rounds)
            found[case.name] = {"seconds": ours, "other": other, "bytes": case.bytes}
            figures = [f"{ours * 1e6:.1f}", f"{other * 1e6:.1f}", f"{other / ours:.2f}"]
            rows.append([case.name, *figures, case.bytes])
    head = ["case", "us", "other us", "other / ours", "bytes"]
    report(options, target, head, rows, found, threads=options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
