"""What a graph becomes: its kernels, their memory traffic, and why they are not fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mnn.codegen.kernel import Call
from mnn.compile.pipeline import Compiled
from mnn.records import dataclass

if TYPE_CHECKING:
    pass

__all__ = ["Explanation", "Kernels", "explained"]


@dataclass(frozen=True)
class Kernels:
    """One unit of a plan.

    Attributes:
        label: what it computes.
        steps: number of kernels (0: nothing had to be done).
        work: multiply-adds.    traffic: bytes read and written.
        reasons: why neighbours were not fused into it.
    """

    label: str
    steps: int
    work: int
    traffic: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What `mnn.explain` returns; its text is a table.

    Attributes:
        units: in order.
        peak_bytes: memory of everything between inputs and outputs.
        constant_bytes: prepared weights.
        stopped: the operator whose result size depends on values, "" when there is none: it and
            what follows is planned when those values are known.
    """

    units: tuple[Kernels, ...]
    peak_bytes: int
    constant_bytes: int
    stopped: str = ""

    def __str__(self) -> str:
        lines = [f"{'kernels':>7} {'MMAC':>9} {'MB':>9}  what"]
        for unit in self.units:
            lines.append(
                f"{unit.steps:7d} {unit.work / 1e6:9.3f} {unit.traffic / 1e6:9.3f}  {unit.label}"
            )
            lines += [f"{'':27}  - {reason}" for reason in unit.reasons]
        lines.append(
            f"{sum(unit.steps for unit in self.units)} kernels, {self.peak_bytes} bytes between "
            f"inputs and outputs, {self.constant_bytes} bytes of prepared weights"
        )
        if self.stopped:
            lines.append(
                f"the rest waits for the result of {self.stopped}, whose size is not known"
            )
        return "\n".join(lines)

    __repr__ = __str__


def explained(compiled: Compiled) -> Explanation:
    """Return the explanation of a plan."""
    steps = compiled.lowered.steps
    units: list[Kernels] = []
    place = 0
    for unit, count in compiled.lowered.units:
        made = steps[place : place + count]
        place += count
        units.append(_kernels(made, tuple(unit.reasons), str(unit.root.kind)))
    if place < len(steps):
        units.append(_kernels(steps[place:], (), "copy"))
    return Explanation(
        tuple(units),
        compiled.plan.peak_bytes,
        compiled.plan.constant_bytes,
        "" if compiled.stopped is None else compiled.stopped.kind,
    )


def _kernels(steps: Sequence[Any], reasons: tuple[str, ...], kind: str) -> Kernels:
    calls = [each for each in steps if isinstance(each, Call)]
    labels = list(dict.fromkeys(each.label for each in steps if each.label))
    return Kernels(
        "; ".join(labels) or kind,
        len(steps),
        sum(each.work for each in calls),
        sum(each.traffic for each in calls),
        reasons,
    )
