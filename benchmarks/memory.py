"""Measures the memory that chains of array operations take beyond their operands and results.

`python benchmarks/memory.py [CASE ...]` (Linux). Each candidate runs a case of `ops.py` in its own
process, several times; then the kernel's high-water mark is reset, and the case runs once more. The
C library is told to give freed arrays back at once, or nothing would be seen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import ops
from harness import markdown, write_json

CANDIDATES = (ops.BASE, ops.EAGER)
CHAINS = [name for name, case in ops.CASES.items() if case.chain]
WARM_RUNS = 40
MEBIBYTE = 1 << 20
RETURNING = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}


def peak_bytes(candidate: str, case: str, elements: int) -> int:
    """Return how far memory rose during one run, in this process."""
    step = ops.step(candidate, case, elements, threads=1)
    for _ in range(WARM_RUNS):
        step()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    kept = step()
    peak = _status("VmHWM")
    del kept
    return max(0, peak - before)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"{name} is not in /proc/self/status")


def main() -> int:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: {', '.join(CHAINS)}")
    parser.add_argument("--elements", type=int, default=4_000_000)
    parser.add_argument("--candidate", help=argparse.SUPPRESS)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    cases = options.cases or CHAINS
    unknown = sorted(set(cases) - set(ops.CASES))
    if unknown:
        parser.error(f"unknown cases {unknown}")
    if options.candidate:
        print(peak_bytes(options.candidate, cases[0], options.elements))
        return 0
    environment = {**os.environ, **RETURNING}
    found: dict[str, dict[str, int]] = {}
    for case in cases:
        found[case] = {}
        for candidate in CANDIDATES:
            command = [sys.executable, __file__, case, "--candidate", candidate]
            command += ["--elements", str(options.elements)]
            found[case][candidate] = int(
                subprocess.check_output(command, text=True, env=environment)
            )
    print(f"\n{options.elements} elements, MiB beyond the operands at the peak of one run\n")
    rows = [
        [case, *(f"{each / MEBIBYTE:.1f}" for each in peaks.values())]
        for case, peaks in found.items()
    ]
    print(markdown(["chain", *CANDIDATES], rows))
    write_json(options.json, {"elements": options.elements, "bytes": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
