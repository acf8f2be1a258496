"""Times int8 networks in this package, beside float32 and beside other runtimes.

`python benchmarks/quantised.py FOLDER [NETWORK ...] --threads 1`: FOLDER as `make_models.py` and
then `make_quantised.py` wrote it. Ratios say how many times as long another candidate takes as this
package with int8: above 1, this package with int8 is faster. Errors are relative to float64 results
of the network before quantisation.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import (
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
from peers import samples

NETWORKS = ("mobilenet_v1", "mobilenet_v2", "squeezenet11", "resnet18", "resnet50")
BASE = "mnn int8"
CANDIDATES = {
    BASE: ("mnn", "_int8"),
    "mnn float32": ("mnn", ""),
    "onnxruntime int8": ("onnxruntime", "_int8"),
    "openvino int8": ("openvino", "_int8_qdq"),
    "wheel int8": ("wheel", "_int8"),
}
"""Runtime, and what the name of its file ends with."""


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), metavar="NAME")
    add_arguments(parser)
    options = parser.parse_args()
    found = {}
    for name in options.networks:
        found[name] = measure_network(options.folder / name, options)
        shown = found[name]["milliseconds"]
        line = ", ".join(f"{each} {time:.2f}" for each, time in shown.items())
        print(f"{name}: {line} {found[name]['failures'] or ''}", file=sys.stderr, flush=True)
    print(f"{options.threads} thread(s), milliseconds (median)\n")
    print(table(found, options.candidates))
    write_json(options.json, {"threads": options.threads, "networks": found})
    return 0


def measure_network(stem: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds, ratios and errors of every candidate that runs the network."""
    truth = samples(str(stem), "output")["y"]
    errors: dict[str, float] = {}
    failures: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        workers = []
        for name in options.candidates:
            runtime, suffix = CANDIDATES[name]
            arguments = {
                "runtime": runtime,
                "stem": f"{stem}{suffix}",
                "threads": options.threads,
                "precision": "normal",
            }
            python = sys.executable if runtime == "mnn" else options.python
            cores = chosen_cores(options.threads)
            worker = stack.enter_context(Worker(name, python, options.threads, cores))
            try:
                worker.ask("open", name="net", module="peers", function="load", arguments=arguments)
                errors[name] = relative_error(worker.results("net")[0], truth)
            except WorkerError as error:
                failures[name] = str(error)
            else:
                workers.append(worker)
        times = measure(workers, "net", options.rounds, options.seconds)
    names = [each.name for each in workers]
    return {
        "milliseconds": {name: 1e3 * times.median(name) for name in names},
        "ratios": {name: times.ratio(name, BASE) for name in names} if BASE in names else {},
        "errors": errors,
        "failures": failures,
    }


def table(found: dict[str, dict[str, Any]], candidates: Sequence[str]) -> str:
    """Return times, ratios to this package with int8, and geometric means."""
    others = [name for name in candidates if name != BASE]
    heads = ["network", *candidates, *(f"{name} / {BASE}" for name in others)]
    rows = []
    for name, result in found.items():
        times = [_number(result["milliseconds"].get(each)) for each in candidates]
        rows.append([name, *times, *(_number(result["ratios"].get(each)) for each in others)])
    means = []
    for each in others:
        known = [result["ratios"][each] for result in found.values() if each in result["ratios"]]
        means.append(f"**{geometric_mean(known):.2f}**" if known else "-")
    rows.append(["*geometric mean*", *[""] * len(candidates), *means])
    return markdown(heads, rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
