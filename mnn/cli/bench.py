"""`mnn bench`: how long a model takes to load and to run, and what in it takes the time."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.cli.output import OK, CommandError, table

if TYPE_CHECKING:
    from mnn.backends.cpu.peak import Peak
    from mnn.backends.profile import Profile
    from mnn.nn.loaded import LoadedModule

__all__ = ["add_arguments", "run"]

Array = np.ndarray[Any, Any]

COMPILING_BACKEND = "cpu"
_WARM_RUNS = 2
_MEGA = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `mnn bench`."""
    parser.add_argument("model", help="a .mnn file")
    parser.add_argument("--threads", type=_count, default=1, metavar="N", help="default: 1")
    parser.add_argument("--precision", choices=["normal", "high", "low"], default="normal")
    parser.add_argument(
        "--backend", choices=[COMPILING_BACKEND, "reference"], help="default: the configured one"
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="[NAME=]AxBxC",
        help="sizes of an input (default: those the model declares)",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="how long to run (default: 2)"
    )
    parser.add_argument("--profile", action="store_true", help="show every kernel")
    parser.add_argument("--trace", metavar="FILE", help="write the kernels for trace viewers")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run(options: argparse.Namespace) -> int:
    """Run `mnn bench`."""
    import mnn

    chosen = {
        "backend": options.backend or mnn.config.backend,
        "threads": options.threads,
        "precision": options.precision,
    }
    with mnn.config.using(**chosen):
        figures, profile, peak = measure(options)
    if options.trace is not None:
        from mnn.cli.steps import write_trace

        assert profile is not None
        write_trace(options.trace, profile.steps, peak, Path(options.model).name)
    if options.json:
        print(json.dumps(figures, indent=2))
        return OK
    print(table(_lines(figures)))
    if profile is not None:
        from mnn.cli.steps import step_table

        print(f"\n{step_table(profile.steps, peak)}")
    return OK


def measure(
    options: argparse.Namespace,
) -> tuple[dict[str, Any], Profile | None, Peak | None]:
    """Return the figures, and with --profile or --trace the steps and this machine's peak."""
    import mnn
    from mnn.nn import create_runtime_manager, load_module_from_file

    compiling = mnn.config.backend == COMPILING_BACKEND
    detailed = bool(options.profile or options.trace)
    if detailed and not compiling:
        raise CommandError(
            f"backend {mnn.config.backend!r} has no kernels: --profile and --trace need "
            f"{COMPILING_BACKEND!r}"
        )
    start = time.perf_counter()
    settings = {"numThread": options.threads, "precision": options.precision}
    runtime = create_runtime_manager((settings,))
    module = load_module_from_file(options.model, [], [], runtime_manager=runtime)
    load = time.perf_counter() - start
    inputs = _inputs(module, options.shape)
    figures = {
        "model": str(options.model),
        "bytes": os.path.getsize(options.model),
        "inputs": {name: list(each.shape) for name, each in inputs.items()},
        "backend": mnn.config.backend,
        "target": _target_name() if compiling else "",
        "threads": options.threads,
        "precision": options.precision,
        "load_seconds": load,
        **_runs(module, inputs, options.seconds),
        "memory": _memory(),
    }
    if not detailed:
        return figures, None, None
    profile = _profile(module, inputs, options)
    return figures, profile, _add_profile(figures, profile, options.threads)


def _inputs(module: LoadedModule, shapes: list[str]) -> dict[str, Array]:
    """Return random inputs of the declared or given sizes.

    Raises:
        CommandError: a size is unknown, or --shape names no input.
    """
    information = module.get_info()
    names = information["inputNames"]
    given: dict[str, tuple[int, ...]] = {}
    for text in shapes:
        name, _, sizes = text.rpartition("=")
        name = name or (names[0] if len(names) == 1 else "")
        if name not in names:
            raise CommandError(f"--shape {text!r}: the inputs are {', '.join(names)}")
        try:
            given[name] = tuple(int(each) for each in sizes.lower().split("x"))
        except ValueError as error:
            raise CommandError(f"--shape {text!r}: expected sizes such as 1x3x224x224") from error
    generator = np.random.default_rng(0)
    found = {}
    for name, declared in zip(names, information["inputs"], strict=True):
        shape = given.get(name, tuple(declared.shape or ()))
        if any(size < 0 for size in shape) or (declared.shape is None and name not in given):
            raise CommandError(
                f"input {name!r} takes any size: give one, such as --shape {name}=1x3x224x224"
            )
        # Whole numbers may be indices, of which 0 and 1 nearly always exist.
        whole = declared.dtype.kind != "f"
        values = generator.integers(0, 2, shape) if whole else generator.standard_normal(shape)
        found[name] = values.astype(declared.dtype)
    return found


def _runs(module: LoadedModule, inputs: dict[str, Array], seconds: float) -> dict[str, Any]:
    """Return the time of the first run, and of those that follow for so many seconds."""
    values = list(inputs.values())

    def once() -> float:
        start = time.perf_counter()
        for each in module.onForward(values):
            each.read()
        return time.perf_counter() - start

    first = once()
    for _ in range(_WARM_RUNS):
        once()
    end = time.perf_counter() + seconds
    times = [once()]
    while time.perf_counter() < end:
        times.append(once())
    return {
        "first_run_seconds": first,
        "run_seconds": {
            "median": statistics.median(times),
            "fastest": min(times),
            "slowest": max(times),
            "runs": len(times),
        },
    }


def _target_name() -> str:
    from mnn.codegen.target import host_target

    return host_target().name


def _profile(
    module: LoadedModule, inputs: dict[str, Array], options: argparse.Namespace
) -> Profile:
    from mnn.backends.profile import profile_graph

    return profile_graph(
        module._graph,
        list(inputs.values()),
        threads=options.threads,
        precision=options.precision,
    )


def _add_profile(figures: dict[str, Any], profile: Profile, threads: int) -> Peak:
    """Measure this machine's peak; add it and the steps to the figures."""
    from mnn.backends.cpu.peak import measure_peak
    from mnn.cli.steps import described
    from mnn.codegen.target import host_target

    peak = measure_peak(host_target(), threads)
    work = sum(each.work for each in profile.steps)
    figures["work"] = work
    figures["gflops"] = 2e-9 * work / figures["run_seconds"]["median"]
    figures["memory"]["arena_bytes"] = profile.arena_bytes
    figures["memory"]["constant_bytes"] = profile.constant_bytes
    figures["peak"] = {
        "gflops": 2e-9 * peak.multiply_adds,
        "gigabytes_per_second": 1e-9 * peak.bytes,
    }
    figures["steps"] = [described(each, peak) for each in profile.steps]
    return peak


def _memory() -> dict[str, int]:
    """Return the present and the largest resident bytes of this process, where Linux tells."""
    names = {"VmRSS": "resident_bytes", "VmHWM": "peak_bytes"}
    status = Path("/proc/self/status")
    found = {}
    if status.exists():
        for line in status.read_text().splitlines():
            key, _, value = line.partition(":")
            if key in names:
                found[names[key]] = int(value.split()[0]) * 1024
    return found


def _lines(figures: dict[str, Any]) -> list[list[str]]:
    """Return what is shown as (name, value) pairs."""
    runs, memory = figures["run_seconds"], figures["memory"]
    inputs = ", ".join(
        f"{name} {'x'.join(map(str, shape))}" for name, shape in figures["inputs"].items()
    )
    on = " ".join(each for each in (figures["backend"], figures["target"]) if each)
    lines = [
        ["model", f"{figures['model']} ({figures['bytes'] / _MEGA:.1f} MiB), {inputs}"],
        ["on", f"{on}, {figures['threads']} thread(s), precision {figures['precision']}"],
        ["load", _milliseconds(figures["load_seconds"])],
        ["first run", f"{_milliseconds(figures['first_run_seconds'])}, with what it compiles"],
        [
            "run",
            f"{_milliseconds(runs['median'])} (median of {runs['runs']}; fastest "
            f"{_milliseconds(runs['fastest'])}, slowest {_milliseconds(runs['slowest'])})",
        ],
    ]
    if memory:
        lines.append(
            [
                "memory",
                f"{memory['resident_bytes'] / _MEGA:.1f} MiB resident, at most "
                f"{memory['peak_bytes'] / _MEGA:.1f} MiB",
            ]
        )
    if "peak" in figures:
        best = figures["peak"]
        lines += [
            [
                "plan",
                f"{memory['constant_bytes'] / _MEGA:.1f} MiB weights, "
                f"{memory['arena_bytes'] / _MEGA:.1f} MiB between inputs and outputs",
            ],
            [
                "work",
                f"{figures['work'] / 1e6:.1f} million multiply-adds, {figures['gflops']:.1f} "
                f"GFLOP/s ({100 * figures['gflops'] / best['gflops']:.0f}% of peak)",
            ],
            [
                "peak",
                f"{best['gflops']:.1f} GFLOP/s, {best['gigabytes_per_second']:.1f} GB/s "
                "(measured here, now)",
            ],
        ]
    return lines


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"
