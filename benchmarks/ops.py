"""Times array operations and chains of them against NumPy.

`python benchmarks/ops.py [CASE ...]`. Each case is one function over `numpy` or `mnn.numpy`.
Candidate "mnn" records the operations (`expr.lazy_eval(True)`) and evaluates the whole when the
result is read: building the graph is part of the time. "mnn:eager" is ordinary code, whose large
results are computed when they are read. "mnn:compiled" is `mnn.numpy.compile` of the function.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import (
    STEADY_MEMORY,
    Worker,
    WorkerError,
    add_arguments,
    chosen_cores,
    geometric_mean,
    markdown,
    measure,
    relative_error,
    write_json,
)

LAZY, EAGER, COMPILED, BASE = "mnn", "mnn:eager", "mnn:compiled", "numpy"
CANDIDATES = (BASE, LAZY, EAGER, COMPILED)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """One function of arrays.

    Attributes:
        compute: takes the namespace (`numpy` or `mnn.numpy`) and the operands.
        shapes: of the operands, float32; "n" is the number of elements, "r" its square root, other
            sizes are fixed.
        chain: True when several operations are meant to become one loop.
    """

    compute: Callable[..., Any]
    shapes: tuple[tuple[str | int, ...], ...]
    chain: bool = False

    def operands(self, elements: int) -> list[Array]:
        """Return random operands, the same every time."""
        sizes: dict[str | int, str | int] = {"n": elements, "r": max(1, round(elements**0.5))}
        generator = np.random.default_rng(5)
        return [
            generator.random([int(sizes.get(each, each)) for each in shape], np.float32) + 0.1
            for shape in self.shapes
        ]


def _chain(np: Any, x: Any, y: Any) -> Any:
    return np.sqrt(np.abs((x - 0.5) * y + 1))


def _gelu(np: Any, x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def _softmax(np: Any, x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def _layer_norm(np: Any, x: Any, w: Any, b: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5) * w + b


def _distances(np: Any, x: Any, y: Any) -> Any:
    return np.sqrt(np.sum((x - y) * (x - y), axis=-1))


def _squared_error(np: Any, x: Any, y: Any) -> Any:
    return ((x - y) ** 2).mean(axis=-1)


def _distance_matrix(np: Any, x: Any, y: Any) -> Any:
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(axis=-1)


def _take(np: Any, x: Any) -> Any:
    return np.take(x, _places(np, x.shape[0]))


@functools.cache
def _places(np: Any, count: int) -> Any:
    return np.array(_generator().integers(0, count, count))


def _generator() -> np.random.Generator:
    return np.random.default_rng(3)


def _matmul(np: Any, x: Any, y: Any) -> Any:
    return np.matmul(x, y)


CASES: dict[str, Case] = {
    "elementwise chain": Case(_chain, (("n",), ("n",)), chain=True),
    "gelu chain": Case(_gelu, (("n",),), chain=True),
    "softmax": Case(_softmax, (("r", "r"),), chain=True),
    "layer norm": Case(_layer_norm, (("r", "r"), ("r",), ("r",)), chain=True),
    "distances": Case(_distances, (("r", "r"), ("r",)), chain=True),
    "squared error of rows": Case(_squared_error, (("r", "r"), ("r", "r")), chain=True),
    "distance matrix": Case(_distance_matrix, ((1000, 64), (1000, 64)), chain=True),
    "add": Case(lambda np, x, y: x + y, (("n",), ("n",))),
    "multiply by number": Case(lambda np, x: x * 3, (("n",),)),
    "exp": Case(lambda np, x: np.exp(x), (("n",),)),
    "tanh": Case(lambda np, x: np.tanh(x), (("n",),)),
    "where": Case(lambda np, x, y: np.where(x > 0.6, x, y), (("n",), ("n",))),
    "sum": Case(lambda np, x: np.sum(x), (("n",),)),
    "sum of rows": Case(lambda np, x: np.sum(x, axis=1), (("r", "r"),)),
    "sum of columns": Case(lambda np, x: np.sum(x, axis=0), (("r", "r"),)),
    "max": Case(lambda np, x: np.max(x), (("n",),)),
    "mean": Case(lambda np, x: np.mean(x), (("n",),)),
    "variance of rows": Case(lambda np, x: np.var(x, axis=1), (("r", "r"),)),
    "argmax of rows": Case(lambda np, x: np.argmax(x, axis=1), (("r", "r"),)),
    "argmax": Case(lambda np, x: np.argmax(x), (("n",),)),
    "cumsum": Case(lambda np, x: np.cumsum(x, axis=0), (("n",),)),
    "sort": Case(lambda np, x: np.sort(x, axis=-1), (("n",),)),
    "argsort": Case(lambda np, x: np.argsort(x, axis=-1), (("n",),)),
    "unique": Case(lambda np, x: np.unique(x), (("n",),)),
    "nonzero": Case(lambda np, x: np.nonzero(x > 0.6)[0], (("n",),)),
    "take": Case(_take, (("n",),)),
    "transpose": Case(lambda np, x: np.ascontiguousarray(np.transpose(x)), (("r", "r"),)),
    "slice": Case(lambda np, x: x[1::2] * 1, (("n",),)),
    "concatenate": Case(lambda np, x, y: np.concatenate((x, y)), (("n",), ("n",))),
    "matmul 64": Case(_matmul, ((64, 64), (64, 64))),
    "matmul 128": Case(_matmul, ((128, 128), (128, 128))),
    "matmul 256": Case(_matmul, ((256, 256), (256, 256))),
    "matmul 512": Case(_matmul, ((512, 512), (512, 512))),
    "matmul 1024": Case(_matmul, ((1024, 1024), (1024, 1024))),
    "matrix vector": Case(_matmul, ((1024, 1024), (1024,))),
    "batched matmul": Case(_matmul, ((16, 128, 64), (16, 64, 128))),
}


def step(candidate: str, case: str, elements: int, threads: int) -> Callable[[], list[Any]]:
    """Return the step of one candidate for `worker.py`."""
    operands = CASES[case].operands(elements)
    compute = CASES[case].compute
    if candidate == BASE:
        return lambda: [compute(np, *operands)]
    import mnn
    import mnn.numpy as namespace

    mnn.config.threads = threads
    mnn.expr.lazy_eval(candidate == LAZY)
    held = [namespace.array(each) for each in operands]
    if candidate == COMPILED:
        compiled = namespace.compile(functools.partial(compute, namespace))
        return lambda: [np.asarray(compiled(*held))]
    return lambda: [np.asarray(compute(namespace, *held))]


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: {', '.join(CASES)}")
    parser.add_argument("--elements", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), metavar="NAME")
    add_arguments(parser)
    options = parser.parse_args()
    names = options.cases or list(CASES)
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        parser.error(f"unknown cases {unknown}")
    figures = {}
    with contextlib.ExitStack() as stack:
        cores = chosen_cores(options.threads)
        workers = [
            stack.enter_context(Worker(name, sys.executable, options.threads, cores, STEADY_MEMORY))
            for name in options.candidates
        ]
        for elements in options.elements:
            found = {name: measure_case(name, elements, workers, options) for name in names}
            figures[elements] = found
            print(f"\n{elements} elements, {options.threads} thread(s), microseconds (median)\n")
            print(table(found, options.candidates))
    write_json(options.json, {"threads": options.threads, "elements": figures})
    return 0


def measure_case(
    case: str, elements: int, workers: Sequence[Worker], options: argparse.Namespace
) -> dict[str, Any]:
    """Return microseconds, ratios to NumPy and errors of every candidate that runs the case."""
    truth, errors, able = None, {}, []
    for worker in workers:
        arguments = {
            "candidate": worker.name,
            "case": case,
            "elements": elements,
            "threads": options.threads,
        }
        try:
            worker.ask("open", name="case", module="ops", function="step", arguments=arguments)
            result = worker.results("case")[0]
        except WorkerError as error:
            print(f"{case}: {error}", file=sys.stderr)
            continue
        truth = result if truth is None else truth
        errors[worker.name] = relative_error(result, truth)
        able.append(worker)
    times = measure(able, "case", options.rounds, options.seconds)
    print(f"{case} measured", file=sys.stderr, flush=True)
    return {
        "microseconds": {each.name: 1e6 * times.median(each.name) for each in able},
        "ratios": {
            each.name: times.ratio(BASE, each.name) for each in able if BASE in times.rounds
        },
        "errors": errors,
    }


def table(found: dict[str, dict[str, Any]], candidates: Sequence[str]) -> str:
    """Return times, how many times as fast as NumPy each candidate is, and differences."""
    others = [each for each in candidates if each != BASE]
    heads = ["operation", *candidates, *(f"{BASE} / {each}" for each in others), "difference"]
    rows = []
    for name, result in found.items():
        times, ratios = result["microseconds"], result["ratios"]
        row = [f"**{name}**" if CASES[name].chain else name]
        row += [f"{times[each]:.1f}" if each in times else "-" for each in candidates]
        row += [f"{ratios[each]:.2f}" if each in ratios else "-" for each in others]
        rows.append([*row, f"{max(result['errors'].values(), default=float('nan')):.0e}"])
    if len(rows) > 1:
        means = [
            geometric_mean(
                result["ratios"][each] for result in found.values() if each in result["ratios"]
            )
            for each in others
        ]
        blank = [""] * len(candidates)
        rows.append(["*geometric mean*", *blank, *(f"**{each:.2f}**" for each in means), ""])
    return markdown(heads, rows)


if __name__ == "__main__":
    sys.exit(main())
