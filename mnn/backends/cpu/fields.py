"""Blocks of 8-byte fields that Python fills and machine code reads, by the names of the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Whoever only fills in fields needs nothing of what generates code.
    from mnn.codegen.builder import Function, Index, Value

__all__ = [
    "LANE",
    "LANES",
    "LOOP",
    "MOVE",
    "PATCH",
    "ROW",
    "RUN",
    "RUN_COMMAND",
    "TEAM",
    "WAKE_COMMAND",
    "WORD",
    "WORK",
    "WORK_COMMAND",
    "Fields",
]

RUN_COMMAND, WORK_COMMAND, WAKE_COMMAND = range(3)
"""What the executor does with a block, by the block's first field."""

WORD = 8
"""Bytes of a field."""


class Fields:
    """Names of the fields of a block, in order; `*name` is a pointer.

    Args:
        text: the names.
        stride: distance of two blocks in bytes; 0 means without gaps.
    """

    def __init__(self, text: str, stride: int = 0) -> None:
        self._kinds = {
            each.lstrip("*"): "ptr" if each.startswith("*") else "i64" for each in text.split()
        }
        self._places = {name: place for place, name in enumerate(self._kinds)}
        self.size = len(self._places)
        self.stride = stride or WORD * self.size

    def __getitem__(self, name: str) -> int:
        """Return the place of a field, in words from the start of the block."""
        return self._places[name]

    def at(self, f: Function, base: Value, name: str) -> Value:
        """Build the address of one field of the block at `base`."""
        return f.offset(base, WORD * self._places[name])

    def load(self, f: Function, base: Value, name: str) -> Value:
        """Build the load of one field of the block at `base`."""
        return f.load(self._kinds[name], self.at(f, base, name), align=WORD)

    def store(self, f: Function, value: Index, base: Value, name: str) -> None:
        """Build the store of one field of the block at `base`."""
        f.store(f.value(value), self.at(f, base, name), align=WORD)

    def each(self, f: Function, first: Value, index: Index) -> Value:
        """Build the address of a block, given that of the first and a number."""
        return f.offset(first, f.mul(index, self.stride))


RUN = Fields(
    "command displacement *patches patch_count *rows row_count *scratch scratch_step *team"
)
"""What one foreign call runs: `command` is 0, `displacement` that of `data_displacement`.

Without a team, everything runs in the calling thread.
"""

PATCH = Fields("*place *base offset")
"""Writes the data address of the array object that `base` holds, plus offset, to `place`."""

ROW = Fields("*function *arguments items grain")
"""One step. Without a function, `arguments` is a LOOP."""

LOOP = Fields("*rows row_count turns *moves move_count")
"""Rows that run `turns` times. After each turn every MOVE adds `step` to the word at `place`."""

MOVE = Fields("*place step")

WORK = Fields("command *team number seen asleep")
"""A thread of a team: `command` is 1; `seen` is the ticket of the job it knew last."""

TEAM = Fields(
    "threads chunks *system_call futex patience caller_patience *give_way *processor "
    "done waiting _1 _2 _3 _4 _5 _6 epoch sleepers stop waker futile _7 _8 _9"
)
"""What the threads of a team share; each row of eight fields is a cache line.

threads: how many, the caller included.      chunks: parts that a job is cut into, at most.
system_call: of Linux, else null.            futex: its number.
patience: turns that a thread without work waits before it sleeps.
caller_patience: the same for the caller, who waits for others to finish.
give_way: a function of the system that lets other threads run, where there is no futex.
done: parts of the job that are finished.    waiting: the caller sleeps until they are.
processor: a function of the system that returns the number of the processor it runs on, or null.
epoch: changes when sleepers are woken.      sleepers: how many threads sleep, or are about to.
stop: the threads shall end.
waker: the processor on which the caller ran when it woke others.
futile: so many more jobs are not worth waking others, who would run on the caller's processor.
"""

LANES = -(-TEAM.stride // 128) * 128
"""Distance of the first LANE from the TEAM, in bytes."""

LANE = Fields("word *function *arguments items size *scratch", stride=128)
"""The parts of a job that one thread starts with, and what it needs to know about the job.

word: ticket of the job << 32 | first part that nobody took << 16 | first part of the next thread.
size: items of a part.
"""
