"""Says how far each runtime's results are from float64.

`python benchmarks/check_models.py FOLDER [NETWORK ...]`: FOLDER as `make_models.py` wrote it. Exits
with 1 when a network does not load in this package, or its error exceeds the limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from harness import Worker, WorkerError, add_arguments, markdown, relative_error, write_json

RUNTIMES = ("mnn", "onnxruntime", "openvino", "wheel")
LIMIT = {"normal": 1e-4, "low": 5e-2}
"""Largest difference allowed, divided by the largest true magnitude, by precision."""


def main() -> int:
    """Print the table of errors; 0 when this package's are small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES))
    parser.add_argument("--precision", choices=["normal", "low"], default="normal")
    add_arguments(parser)
    options = parser.parse_args()
    catalogue = json.loads((options.folder / "networks.json").read_text())
    names = options.networks or list(catalogue)
    errors = {name: errors_of(options.folder / name, options.runtimes, options) for name in names}
    print(markdown(["network", *options.runtimes], [_row(name, errors[name]) for name in names]))
    write_json(options.json, {"errors": errors})
    limit = LIMIT[options.precision]
    bad = [name for name in names if not _is_exact(errors[name].get("mnn", 0.0), limit)]
    if bad:
        print(f"wrong: {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


def errors_of(
    stem: Path, runtimes: list[str], options: argparse.Namespace
) -> dict[str, float | str]:
    """Return the relative error of each runtime, or why there is none."""
    with np.load(f"{stem}.npz") as arrays:
        truth = arrays["output_y"]
    errors: dict[str, float | str] = {}
    for runtime in runtimes:
        python = sys.executable if runtime == "mnn" else options.python
        arguments = {
            "runtime": runtime,
            "stem": str(stem),
            "threads": options.threads,
            "precision": options.precision,
        }
        with Worker(runtime, python, options.threads) as worker:
            try:
                worker.ask("open", name="n", module="peers", function="load", arguments=arguments)
                errors[runtime] = relative_error(worker.results("n")[0], truth)
            except WorkerError as error:
                errors[runtime] = str(error)
                print(f"{stem.name}: {error}", file=sys.stderr)
    return errors


def _is_exact(error: float | str, limit: float) -> bool:
    return isinstance(error, float) and error <= limit


def _row(name: str, errors: dict[str, float | str]) -> list[str]:
    return [
        name,
        *(f"{each:.1e}" if isinstance(each, float) else "failed" for each in errors.values()),
    ]


if __name__ == "__main__":
    sys.exit(main())
