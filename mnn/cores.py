"""How many processor cores this process may use."""

from __future__ import annotations

import os

__all__ = ["available_cores"]

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_SHARED_CORES = "/sys/devices/system/cpu/smt/active"
_QUOTA_FILES = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")


def available_cores() -> int:
    """Return the number of physical cores that this process may run on, at least 1.

    Counts the cores of the process's affinity mask, each once however many hardware threads it
    has, and no more than a container's quota of processor time allows. Where the system does not
    tell, the number of logical processors is returned.
    """
    if hasattr(os, "sched_getaffinity"):
        count = _physical(sorted(os.sched_getaffinity(0)))
    else:
        count = os.cpu_count() or 1
    quota = _quota()
    return max(1, count if quota is None else min(count, quota))


def _physical(processors: list[int]) -> int:
    """Return how many cores carry the given logical processors."""
    if len(processors) < 2 or _read(_SHARED_CORES) == "0":
        return len(processors)
    groups = {_read(_TOPOLOGY.format(each)) or str(each) for each in processors}
    return len(groups)


def _quota() -> int | None:
    """Return the cores' worth of time that a Linux control group grants, rounded up, or None."""
    fields = _read(_QUOTA_FILES[0]).split()
    if len(fields) != 2:
        period = _read(_QUOTA_FILES[1].replace("quota", "period"))
        fields = [_read(_QUOTA_FILES[1]), period]
    try:
        granted, period_length = int(fields[0]), int(fields[1])
    except ValueError:
        return None
    return -(-granted // period_length) if granted > 0 and period_length > 0 else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""
