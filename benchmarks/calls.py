"""Times single calls on arrays of ten elements: what a call costs, not what it computes.

`python benchmarks/calls.py [CALL ...]`, candidates NumPy, this package in eager mode and the
reference package. The MNN wheel is found by the interpreter that `--python` names; where it cannot
do a call, the table has a dash. A step is many calls in a loop; the empty loop is subtracted.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import (
    Worker,
    WorkerError,
    add_arguments,
    chosen_cores,
    geometric_mean,
    markdown,
    measure,
    write_json,
)

OURS, WHEEL, BASE = "mnn", "wheel", "numpy"
REPEATS = 2000

Call = Callable[[Any, dict[str, Any]], Callable[[], Any]]

CALLS: dict[str, Call] = {
    "add": lambda np, v: lambda x=v["x"], y=v["y"]: x + y,
    "exp": lambda np, v: lambda exp=np.exp, x=v["x"]: exp(x),
    "sum": lambda np, v: lambda sum=np.sum, x=v["x"]: sum(x),
    "argmax": lambda np, v: lambda argmax=np.argmax, x=v["x"]: argmax(x),
    "slice": lambda np, v: lambda x=v["x"]: x[2:5],
    "reshape": lambda np, v: lambda reshape=np.reshape, x=v["x"]: reshape(x, (2, 5)),
    "concatenate": lambda np, v: lambda join=np.concatenate, x=v["x"], y=v["y"]: join((x, y)),
    "where": lambda np, v: lambda where=np.where, m=v["m"], x=v["x"], y=v["y"]: where(m, x, y),
}


def step(candidate: str, call: str) -> Callable[[], list[Any]]:
    """Return the step of one candidate for `worker.py`."""
    x = np.linspace(0.1, 1, 10, dtype=np.float32)
    values = {"x": x, "y": x[::-1].copy(), "m": x > 0.5}
    namespace: Any = np
    if candidate == OURS:
        import mnn.numpy as namespace

        values = {name: namespace.array(each) for name, each in values.items()}
    elif candidate == WHEEL:
        import MNN.numpy as namespace

        masks = {"m": values["m"].astype(np.int32)}
        values = {
            name: namespace.array(each.tolist()) for name, each in {**values, **masks}.items()
        }
    function = CALLS[call](namespace, values)
    function()

    def run() -> list[Any]:
        for _ in range(REPEATS):
            function()
        return [np.zeros(1)]

    return run


def _empty() -> None:
    return None


def loop_seconds() -> float:
    """Return the seconds that the loop around the calls takes by itself."""
    found = []
    for _ in range(50):
        begin = time.perf_counter()
        for _ in range(REPEATS):
            _empty()
        found.append(time.perf_counter() - begin)
    return float(np.median(found))


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calls", nargs="*", metavar="CALL", help=f"default: {', '.join(CALLS)}")
    add_arguments(parser)
    options = parser.parse_args()
    unknown = sorted(set(options.calls) - set(CALLS))
    if unknown:
        parser.error(f"unknown calls {unknown}")
    found: dict[str, dict[str, float]] = {}
    pythons = {BASE: sys.executable, OURS: sys.executable, WHEEL: options.python}
    with contextlib.ExitStack() as stack:
        cores = chosen_cores(1)
        workers = [
            stack.enter_context(Worker(name, python, 1, cores)) for name, python in pythons.items()
        ]
        for call in options.calls or CALLS:
            able = []
            for worker in workers:
                arguments = {"candidate": worker.name, "call": call}
                try:
                    worker.ask(
                        "open", name="call", module="calls", function="step", arguments=arguments
                    )
                except WorkerError as error:
                    print(f"{call}: {error}", file=sys.stderr)
                    continue
                able.append(worker)
            times = measure(able, "call", options.rounds, options.seconds)
            empty = loop_seconds()
            found[call] = {
                each.name: 1e9 * (times.median(each.name) - empty) / REPEATS for each in able
            }
    print("\n10 elements, nanoseconds per call (median)\n")
    print(table(found))
    write_json(options.json, {"nanoseconds": found})
    return 0


def table(found: dict[str, dict[str, float]]) -> str:
    """Return times, how much longer than NumPy's calls ours take, and than ours the wheel's."""
    heads = ["call", BASE, OURS, WHEEL, f"{OURS} / {BASE}", f"{WHEEL} / {OURS}"]
    rows = []
    costs, gains = [], []
    for call, times in found.items():
        cost = times[OURS] / times[BASE]
        costs.append(cost)
        row = [call, f"{times[BASE]:.0f}", f"{times[OURS]:.0f}"]
        if WHEEL in times:
            gains.append(times[WHEEL] / times[OURS])
            row += [f"{times[WHEEL]:.0f}", f"{cost:.2f}", f"{gains[-1]:.2f}"]
        else:
            row += ["-", f"{cost:.2f}", "-"]
        rows.append(row)
    mean = f"**{geometric_mean(gains):.2f}**" if gains else "-"
    rows.append(["*geometric mean*", "", "", "", f"**{geometric_mean(costs):.2f}**", mean])
    return markdown(heads, rows)


if __name__ == "__main__":
    sys.exit(main())
