"""Times whole networks in this package and in other runtimes.

`python benchmarks/models.py FOLDER [NETWORK ...] --threads 1`: FOLDER as `make_models.py` wrote it.
A candidate is a runtime, or RUNTIME:low for computing in bfloat16 where the runtime can. Ratios
say how many times as long as this package another one takes: above 1, this package is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import json
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

OURS, WHEEL = "mnn", "wheel"
CANDIDATES = (OURS, "onnxruntime", "openvino", WHEEL, "torch", "mnn:low", "openvino:low")
STRONGEST = ("onnxruntime", "openvino")
"""The best of these is what this package is compared with."""
PUBLIC = 7
"""The first networks of the catalogue are the usual public ones."""


def main() -> int:
    """Measure, print tables and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), metavar="NAME")
    parser.add_argument(
        "--statistic",
        choices=["median", "fastest"],
        default="median",
        help="fastest: the shortest single run, for machines that are busy with other work",
    )
    add_arguments(parser)
    options = parser.parse_args()
    catalogue = json.loads((options.folder / "networks.json").read_text())
    names = options.networks or list(catalogue)
    unknown = sorted(set(names) - set(catalogue))
    if unknown:
        parser.error(f"no networks {unknown} in {options.folder}")
    found = {}
    for name in names:
        found[name] = measure_network(options.folder / name, options)
        print(f"{name}: {summary(found[name])}", file=sys.stderr, flush=True)
    groups = [
        [name for name in list(catalogue)[:PUBLIC] if name in found],
        [name for name in list(catalogue)[PUBLIC:] if name in found],
    ]
    print(f"{options.threads} thread(s), float32, milliseconds ({options.statistic})\n")
    print(table(found, groups, options.candidates))
    low = low_table(found, groups)
    if low:
        print(f"\n{options.threads} thread(s), precision low, milliseconds ({options.statistic})\n")
        print(low)
    write_json(
        options.json,
        {"threads": options.threads, "statistic": options.statistic, "networks": found},
    )
    return 0


def measure_network(stem: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return milliseconds, ratios and errors of every candidate that runs the network."""
    truth = samples(str(stem), "output")["y"]
    errors: dict[str, Any] = {}
    failures: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        workers = []
        for name in options.candidates:
            runtime, _, precision = name.partition(":")
            arguments = {
                "runtime": runtime,
                "stem": str(stem),
                "threads": options.threads,
                "precision": precision or "normal",
            }
            python = sys.executable if runtime == OURS else options.python
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
    fastest = {each.name: 1e3 * times.fastest[each.name] for each in workers}
    medians = {each.name: 1e3 * times.median(each.name) for each in workers}

    def ratio(name: str, base: str) -> float:
        if options.statistic == "fastest":
            return fastest[name] / fastest[base]
        return times.ratio(name, base)

    return {
        "milliseconds": fastest if options.statistic == "fastest" else medians,
        "median": medians,
        "fastest": fastest,
        "ratios": {
            base: {each.name: ratio(each.name, base) for each in workers}
            for base in (OURS, "mnn:low")
            if base in times.rounds
        },
        "errors": errors,
        "failures": failures,
    }


def summary(result: dict[str, Any]) -> str:
    """Return the times in one line."""
    parts = [f"{name} {time:.2f}" for name, time in result["milliseconds"].items()]
    return ", ".join(parts + [f"{name} failed ({why})" for name, why in result["failures"].items()])


def best_ratio(result: dict[str, Any]) -> float | None:
    """Return how many times as long as this package the strongest other runtime takes."""
    ratios = result["ratios"].get(OURS, {})
    known = [ratios[name] for name in STRONGEST if name in ratios]
    return min(known) if known else None


def table(
    found: dict[str, dict[str, Any]], groups: Sequence[Sequence[str]], candidates: Sequence[str]
) -> str:
    """Return times of the float32 candidates, ratios and their geometric means."""
    shown = [name for name in candidates if ":" not in name]
    heads = ["network", *shown, "best other / mnn", "wheel / mnn", "error mnn", "error onnxruntime"]
    rows = []
    for group in groups:
        best, old = [], []
        for name in group:
            result = found[name]
            ratio, against = best_ratio(result), result["ratios"].get(OURS, {}).get(WHEEL)
            best += [] if ratio is None else [ratio]
            old += [] if against is None else [against]
            rows.append(
                [
                    name,
                    *(_number(result["milliseconds"].get(each)) for each in shown),
                    _number(ratio),
                    _number(against),
                    *(_error(result["errors"].get(each)) for each in (OURS, "onnxruntime")),
                ]
            )
        if len(group) > 1:
            means = [f"**{geometric_mean(each):.2f}**" if each else "-" for each in (best, old)]
            rows.append(["*geometric mean*", *[""] * len(shown), *means, "", ""])
    return markdown(heads, rows)


def low_table(found: dict[str, dict[str, Any]], groups: Sequence[Sequence[str]]) -> str:
    """Return times with precision low, "" where nobody ran so."""
    pair = ("mnn:low", "openvino:low")
    rows = []
    for group in groups:
        ratios = []
        for name in group:
            result = found[name]
            if not any(each in result["milliseconds"] for each in pair):
                continue
            ratio = result["ratios"].get(pair[0], {}).get(pair[1])
            ratios += [] if ratio is None else [ratio]
            times = [_number(result["milliseconds"].get(each)) for each in pair]
            errors = [_error(result["errors"].get(each)) for each in pair]
            rows.append([name, *times, _number(ratio), *errors])
        if len(ratios) > 1:
            mean = f"**{geometric_mean(ratios):.2f}**"
            rows.append(["*geometric mean*", "", "", mean, "", ""])
    heads = ["network", *pair, "openvino:low / mnn:low", *(f"error {each}" for each in pair)]
    return markdown(heads, rows) if rows else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


if __name__ == "__main__":
    sys.exit(main())
