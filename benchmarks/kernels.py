"""What the scripts that time single kernels share: arguments, compile times, the report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness import markdown, write_json

from mnn.codegen.emission import Emitter
from mnn.codegen.kernel import Call
from mnn.codegen.target import TARGETS, Target, host_target

__all__ = ["add_kernel_arguments", "chosen_target", "compile_milliseconds", "report"]


def add_kernel_arguments(parser: argparse.ArgumentParser, *, rounds: int) -> None:
    """Declare the target, the number of rounds and the file for figures."""
    parser.add_argument("--target", choices=sorted(TARGETS))
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file too")


def chosen_target(options: argparse.Namespace) -> Target:
    """Return the target that was asked for, else that of this machine."""
    return TARGETS[options.target] if options.target else host_target()


def compile_milliseconds(calls: Sequence[Call], target: Target) -> float:
    """Return how long compiling takes without any cache."""
    emitter = Emitter(cpu=target.cpu, features=target.features)
    start = time.perf_counter()
    for kernel in dict.fromkeys(each.kernel for each in calls):
        emitter.emit(kernel.build(target).text())
    return (time.perf_counter() - start) * 1e3


def report(
    options: argparse.Namespace,
    target: Target,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    cases: Mapping[str, Any],
    **more: Any,
) -> None:
    """Print the table, and write the figures where that was asked for."""
    print(markdown(heads, rows))
    write_json(options.json, {"target": target.name, **more, "cases": cases})
