"""How `mnn bench` shows the steps of a model: a table by kernel, and a file for trace viewers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnn.cli.output import table

if TYPE_CHECKING:
    from mnn.backends.cpu.peak import Peak
    from mnn.backends.profile import StepTime

__all__ = ["described", "step_table", "write_trace"]


@dataclass(frozen=True)
class Rates:
    """How fast a step is; a rate is None where the step does not tell its work.

    Attributes:
        gflops: 10^9 float32 operations a second; a multiply-add counts as two.
        gigabytes: 10^9 bytes a second, read and written.
        share: of this machine's peak, in arithmetic or in memory, whichever is nearer; above 1
            for fast algorithms, whose work is given as that of the plain ones, and for data in
            caches.
    """

    gflops: float | None
    gigabytes: float | None
    share: float | None


def rates(step: StepTime, peak: Peak | None) -> Rates:
    """Return the rates of one step, and its share of the peak if that is known."""
    if not step.seconds:
        return Rates(None, None, None)
    work = step.work / step.seconds if step.work else None
    traffic = step.traffic / step.seconds if step.traffic else None
    shares = []
    if peak is not None:
        shares = [
            rate / best
            for rate, best in ((work, peak.multiply_adds), (traffic, peak.bytes))
            if rate is not None
        ]
    return Rates(
        None if work is None else 2e-9 * work,
        None if traffic is None else 1e-9 * traffic,
        max(shares) if shares else None,
    )


def described(step: StepTime, peak: Peak | None) -> dict[str, Any]:
    """Return a step as JSON."""
    found = rates(step, peak)
    return {
        "label": step.label,
        "kind": step.kind,
        "seconds": step.seconds,
        "work": step.work,
        "traffic": step.traffic,
        "gflops": found.gflops,
        "gigabytes_per_second": found.gigabytes,
        "share_of_peak": found.share,
    }


def step_table(steps: Sequence[StepTime], peak: Peak | None) -> str:
    """Return one line for each label, the longest time first; equal labels are added up."""
    from mnn.backends.profile import StepTime

    groups: dict[str, list[StepTime]] = {}
    for step in steps:
        groups.setdefault(step.label, []).append(step)
    sums = [
        StepTime(
            label,
            members[0].kind,
            sum(each.seconds for each in members),
            sum(each.work for each in members),
            sum(each.traffic for each in members),
        )
        for label, members in groups.items()
    ]
    total = sum(each.seconds for each in sums) or 1.0
    rows = [["us", "%", "calls", "GFLOP/s", "GB/s", "of peak", "kernel"]]
    for each in sorted(sums, key=lambda one: -one.seconds):
        found = rates(each, peak)
        rows.append(
            [
                f"{1e6 * each.seconds:.1f}",
                f"{100 * each.seconds / total:.1f}",
                str(len(groups[each.label])),
                _number(found.gflops),
                _number(found.gigabytes),
                "-" if found.share is None else f"{100 * found.share:.0f}%",
                each.label if each.kind == "kernel" else f"{each.label} ({each.kind})",
            ]
        )
    return table(rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def write_trace(path: str, steps: Sequence[StepTime], peak: Peak | None, name: str) -> None:
    """Write the steps as a trace that Chrome's `about:tracing` and Perfetto open.

    Each step gets its median time, one behind the other.
    """
    events: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 1, "args": {"name": name}}
    ]
    begin = 0.0
    for step in steps:
        details = described(step, peak)
        events.append(
            {
                "name": step.label or step.kind,
                "cat": step.kind,
                "ph": "X",
                "pid": 1,
                "tid": 1,
                "ts": begin,
                "dur": 1e6 * step.seconds,
                "args": {key: details[key] for key in details if key not in ("label", "kind")},
            }
        )
        begin += 1e6 * step.seconds
    content = {"traceEvents": events, "displayTimeUnit": "ms"}
    Path(path).write_text(json.dumps(content), encoding="utf-8")
