"""The process in which one candidate runs; started and commanded by `harness.Worker`.

Requests and answers are JSON, one a line. A request opens a *step* (a function without arguments
that does the work once and returns its outputs), times it, or asks for results or memory. What the
libraries print goes to standard error.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Step = Callable[[], Any]

WARM_SECONDS = 0.03
"""How long a step runs before it is timed: others had the caches in the meantime."""


class Steps:
    """What the requests do."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def open(self, name: str, module: str, function: str, arguments: dict[str, Any]) -> Any:
        """Make a step; answers the seconds it took."""
        begin = time.perf_counter()
        self.steps[name] = getattr(importlib.import_module(module), function)(**arguments)
        return time.perf_counter() - begin

    def close(self, name: str) -> Any:
        """Forget a step."""
        del self.steps[name]
        gc.collect()

    def time(self, name: str, iterations: int, warm_seconds: float = WARM_SECONDS) -> Any:
        """Answer the seconds of each of the iterations, after running unmeasured for a while."""
        step, clock = self.steps[name], time.perf_counter
        end = clock() + warm_seconds
        while clock() < end:
            step()
        seconds = []
        gc.disable()
        for _ in range(iterations):
            begin = clock()
            step()
            seconds.append(clock() - begin)
        gc.enable()
        return seconds

    def result(self, name: str, path: str) -> Any:
        """Write the outputs of a step, in order, into an npz file."""
        np.savez(path, *[np.asarray(each) for each in self.steps[name]()])

    def memory(self) -> Any:
        """Answer resident bytes."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cores(self, numbers: list[int]) -> Any:
        """Run on these processors only, from now on."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, numbers)


def main() -> None:
    """Answer requests until the input ends."""
    # Native libraries print to file descriptor 1: answers go through a copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    steps = Steps()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": getattr(steps, request.pop("do"))(**request)}
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is reported
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
