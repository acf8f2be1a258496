"""Times what happens before the second run: import, load, first run; and the memory it takes.

`python benchmarks/startup.py FOLDER [NETWORK ...]`: FOLDER as `make_models.py` wrote it. Every
figure is the median over fresh processes in turn. Candidate "mnn:empty" starts without any compiled
kernels on disk, "mnn" finds those of an earlier process. Memory is what a process grows by after
importing NumPy only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import Worker, add_arguments, chosen_cores, markdown, write_json

OURS, EMPTY, BASE = "mnn", "mnn:empty", "onnxruntime"
CANDIDATES = (OURS, EMPTY, BASE, "openvino", "wheel", "torch")
PHASES = (
    "import",
    "load",
    "first run",
    "load + first run",
    "memory after load",
    "memory after run",
)
MEGA = 1 << 20


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", help="default: all")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), metavar="NAME")
    add_arguments(parser)
    parser.set_defaults(rounds=5)
    options = parser.parse_args()
    names = options.networks or list(json.loads((options.folder / "networks.json").read_text()))
    found = {}
    with tempfile.TemporaryDirectory() as cache:
        for name in names:
            found[name] = measure_network(options.folder / name, cache, options)
            print(f"{name} measured", file=sys.stderr, flush=True)
    print(f"{options.threads} thread(s), milliseconds and MiB (median of {options.rounds})\n")
    print(table(found, options.candidates))
    write_json(options.json, {"threads": options.threads, "startup": found})
    return 0


def measure_network(
    stem: Path, cache: str, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return the medians of all phases by candidate."""
    if OURS in options.candidates:
        start(stem, OURS, cache, options)
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in options.candidates}
    for _ in range(options.rounds):
        for name, figures in seen.items():
            figures.append(start(stem, name, cache, options))
    return {
        name: {phase: statistics.median(each[phase] for each in figures) for phase in PHASES}
        for name, figures in seen.items()
    }


def start(stem: Path, name: str, cache: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one fresh process: milliseconds and MiB."""
    runtime = name.partition(":")[0]
    python = sys.executable if runtime == OURS else options.python
    arguments: dict[str, Any] = {"runtime": runtime, "stem": str(stem)}
    with contextlib.ExitStack() as stack:
        if name == EMPTY:
            cache = stack.enter_context(tempfile.TemporaryDirectory())
        cores = chosen_cores(options.threads)
        environment = {"MNN_CACHE_DIR": cache}
        worker = stack.enter_context(Worker(name, python, options.threads, cores, environment))
        ask = worker.ask
        empty = ask("memory")
        imported = ask(
            "open", name="import", module="peers", function="prepare", arguments=arguments
        )
        arguments["threads"] = options.threads
        loaded = ask("open", name="net", module="peers", function="load", arguments=arguments)
        after_load = ask("memory")
        first = ask("time", name="net", iterations=1, warm_seconds=0.0)[0]
        after_run = ask("memory")
    return {
        "import": 1e3 * imported,
        "load": 1e3 * loaded,
        "first run": 1e3 * first,
        "load + first run": 1e3 * (loaded + first),
        "memory after load": (after_load - empty) / MEGA,
        "memory after run": (after_run - empty) / MEGA,
    }


def table(found: dict[str, dict[str, dict[str, float]]], candidates: Sequence[str]) -> str:
    """Return one row for each network and candidate; ratios to onnxruntime above 1 are better."""
    heads = ["network, candidate", *PHASES, f"{BASE} / it: time", "memory"]
    rows = []
    for network, results in found.items():
        for name in candidates:
            figures, base = results[name], results.get(BASE)
            row = [f"{network}, {name}", *(f"{figures[phase]:.1f}" for phase in PHASES)]
            row += [
                "-" if base is None else f"{base[phase] / figures[phase]:.2f}"
                for phase in ("load + first run", "memory after run")
            ]
            rows.append(row)
    return markdown(heads, rows)


if __name__ == "__main__":
    sys.exit(main())
