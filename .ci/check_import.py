"""Check the installed package's import: silent, light and quick. Run it outside the checkout."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numba", "llvmlite", "PIL")
LIMIT_SECONDS = 0.060
# The quickest of many: other work on the machine only ever adds time.
TRIES = 15
TIMED_IMPORT = """
import numpy, time
start = time.perf_counter()
import mnn
print(time.perf_counter() - start)
"""
LIST_MODULES = f"""
import mnn, sys
print([name for name in {HEAVY} if name in sys.modules])
"""


def output_of(code: str) -> str:
    """Return what a fresh interpreter prints, errors included."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def faults() -> list[str]:
    """Return what is wrong with the import, one sentence each."""
    found = []
    if printed := output_of("import mnn"):
        found.append(f"import mnn prints {printed!r}")
    if (loaded := output_of(LIST_MODULES).strip()) != "[]":
        found.append(f"import mnn loads {loaded}")
    seconds = min(float(output_of(TIMED_IMPORT)) for _ in range(TRIES))
    if seconds > LIMIT_SECONDS:
        found.append(f"import mnn takes {seconds:.3f} s after numpy, more than {LIMIT_SECONDS}")
    return found


if __name__ == "__main__" and (problems := faults()):
    sys.exit("\n".join(problems))
