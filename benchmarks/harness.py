"""What the measuring scripts share: candidates in processes of their own, rounds, tables.

Every candidate lives in its own process, because thread pools of several runtimes in one process
slow each other down beyond recognition. In a *round* every candidate runs alone for a while, the
others blocked on their pipes; the order changes from round to round. Ratios are medians over the
rounds, so that slow drifts of the machine cancel.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "STEADY_MEMORY",
    "Measurement",
    "Worker",
    "WorkerError",
    "add_arguments",
    "chosen_cores",
    "geometric_mean",
    "machine",
    "markdown",
    "measure",
    "medians",
    "relative_error",
    "write_json",
]

FOLDER = Path(__file__).resolve().parent
PYTHON_VARIABLE = "MNN_PEER_PYTHON"
# Settings of NumPy's matrix library that would change what it can do, and what keeps Python from
# storing the byte code that every installed package has.
_DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
STEADY_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}
"""Environment in which freed memory is kept, for measuring array operations.

Otherwise the C library gives megabytes back to the system after some calls and not after others,
and page faults make the same NumPy expression ten times slower in one process than in the next.
"""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerError(Exception):
    """A candidate could not do what was asked."""


class Worker:
    """A process that runs one candidate.

    Args:
        name: of the candidate, for messages.
        python: interpreter.
        threads: how many threads it is meant to use.
        cores: processors that it may use, None for all.
        environment: more environment variables.
    """

    def __init__(
        self,
        name: str,
        python: str,
        threads: int = 1,
        cores: Sequence[int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        variables = {key: value for key, value in os.environ.items() if key not in _DROPPED}
        variables.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        variables.update(environment or {})
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [python, str(FOLDER / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=variables,
            text=True,
        )
        if cores is not None:
            self.ask("cores", numbers=list(cores))

    def ask(self, request: str, **arguments: Any) -> Any:
        """Return the answer to one request.

        Raises:
            WorkerError: the request failed, or the process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": request, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{self.name}: process ended while asked to {request}. {self.log()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer["value"]

    def results(self, step: str) -> list[np.ndarray[Any, Any]]:
        """Return the outputs of a step."""
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/results.npz"
            self.ask("result", name=step, path=path)
            with np.load(path) as arrays:
                return [arrays[f"arr_{number}"] for number in range(len(arrays.files))]

    def log(self) -> str:
        """Return the end of what the process printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class Measurement:
    """Seconds of one step, by candidate and round.

    Attributes:
        rounds: for each candidate the median of each round.
        fastest: for each candidate the shortest single run.
    """

    rounds: dict[str, list[float]] = field(default_factory=dict)
    fastest: dict[str, float] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.rounds[name])

    def ratio(self, name: str, base: str) -> float:
        """Return how many times as long as `base` a candidate takes; above 1, base is faster."""
        pairs = zip(self.rounds[name], self.rounds[base], strict=True)
        return statistics.median(one / other for one, other in pairs)


def measure(
    workers: Sequence[Worker], step: str, rounds: int = 9, seconds: float = 0.1
) -> Measurement:
    """Time an opened step in all workers, interleaved.

    Args:
        seconds: how long a candidate is timed in each round.
    """
    counts = {}
    for worker in workers:
        once = worker.ask("time", name=step, iterations=1, warm_seconds=0.0)[0]
        if once < seconds:
            once = statistics.median(worker.ask("time", name=step, iterations=3))
        counts[worker.name] = max(1, min(20000, round(seconds / once)))
    found = Measurement({each.name: [] for each in workers}, {})
    for number in range(rounds):
        turn = number % len(workers)
        for worker in [*workers[turn:], *workers[:turn]]:
            count = counts[worker.name]
            # What takes longer than the whole time of a round does not notice cold caches.
            warm = {"warm_seconds": 0.0} if count == 1 else {}
            times = worker.ask("time", name=step, iterations=count, **warm)
            found.rounds[worker.name].append(statistics.median(times))
            shortest = min(times)
            found.fastest[worker.name] = min(shortest, found.fastest.get(worker.name, shortest))
    return found


def medians(functions: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of a call of each function, measured in turns.

    What is short is called several times in a row.
    """
    counts = []
    for each in functions:
        each()
        start = time.perf_counter()
        each()
        counts.append(max(1, int(2e-3 / max(time.perf_counter() - start, 1e-7))))
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for number, each in enumerate(functions):
            start = time.perf_counter()
            for _ in range(counts[number]):
                each()
            times[number].append((time.perf_counter() - start) / counts[number])
    return [statistics.median(each) for each in times]


def relative_error(found: np.ndarray[Any, Any], truth: np.ndarray[Any, Any]) -> float:
    """Return the largest difference divided by the largest true magnitude; NaN for other shapes."""
    if found.shape != truth.shape:
        return float("nan")
    exact = truth.astype(np.float64)
    scale = float(np.abs(exact).max(initial=0.0)) or 1.0
    return float(np.abs(found.astype(np.float64) - exact).max(initial=0.0)) / scale


def geometric_mean(values: Iterable[float]) -> float:
    """Return the geometric mean, NaN of nothing."""
    logs = [float(np.log(each)) for each in values]
    return float(np.exp(np.mean(logs))) if logs else float("nan")


def chosen_cores(threads: int) -> list[int] | None:
    """Return the last processors that this process may use, as many as there are threads."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    available = sorted(os.sched_getaffinity(0))
    return available[-threads:] if threads < len(available) else available


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, system, Python, NumPy."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|---" + "|---:" * (len(heads) - 1) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def write_json(path: str | None, content: Mapping[str, Any]) -> None:
    """Write figures with the description of the machine; None writes nothing."""
    if path is not None:
        Path(path).write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what all scripts take."""
    parser.add_argument(
        "--python",
        default=os.environ.get(PYTHON_VARIABLE, sys.executable),
        help=f"interpreter that has the peers (default: ${PYTHON_VARIABLE}, else this one)",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of every candidate")
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=0.1, help="per candidate and round (default %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file too")
