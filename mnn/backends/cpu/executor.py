"""The machine code that runs a plan: it fills in addresses, then runs every step in order.

One foreign call runs a whole list of steps without holding Python's lock. All that the code needs
lies in blocks of fields (`mnn.backends.cpu.fields`).
"""

from __future__ import annotations

from mnn.backends.cpu.fields import (
    LOOP,
    MOVE,
    PATCH,
    ROW,
    RUN,
    RUN_COMMAND,
    WORD,
    WORK,
    WORK_COMMAND,
)
from mnn.backends.cpu.teamwork import Teamwork, is_null
from mnn.codegen.builder import I64, PTR, Function, Index, Module, Value
from mnn.codegen.kernel import Kernel
from mnn.codegen.target import Target
from mnn.records import dataclass

__all__ = ["Executor"]


@dataclass(frozen=True)
class Executor(Kernel):
    """`void KERNEL(ptr block)`, where the first field of the block is a command.

    RUN_COMMAND runs the rows of a RUN block. WORK_COMMAND makes the calling thread, which has a
    WORK block, one of a team until it shall sleep or stop. WAKE_COMMAND wakes the team of a WORK
    block.
    """

    def build(self, target: Target) -> Module:
        """Return the code."""
        module = Module(target)
        team = Teamwork(module)
        rows = module.function("rows", [("run", PTR), ("first", PTR), ("count", I64)])
        loop = module.function("loop", [("run", PTR), ("loop", PTR)])
        run = module.function("run", [("run", PTR)])
        _build_rows(rows, loop, team.fork)
        _build_loop(loop, rows)
        _build_run(run, rows)
        entry = module.function(Module.ENTRY, [("block", PTR)], linkage="", attributes="")
        (block,) = entry.arguments
        command = RUN.load(entry, block, "command")
        with entry.branch(entry.compare("eq", command, RUN_COMMAND)) as otherwise:
            entry.call(run, [block])
            otherwise()
            with entry.branch(entry.compare("eq", command, WORK_COMMAND)) as otherwise_wake:
                entry.call(team.work, [block])
                otherwise_wake()
                entry.call(team.wake, [WORK.load(entry, block, "team")])
        return module


def _build_run(f: Function, rows: Function) -> None:
    (run,) = f.arguments
    displacement = RUN.load(f, run, "displacement")
    patches = RUN.load(f, run, "patches")
    with f.loop(0, RUN.load(f, run, "patch_count")) as turn:
        patch = PATCH.each(f, patches, turn.index)
        holder = f.load(PTR, PATCH.load(f, patch, "base"), align=WORD)
        data = f.load(PTR, f.offset(holder, displacement), align=WORD)
        moved = f.offset(data, PATCH.load(f, patch, "offset"))
        f.store(moved, PATCH.load(f, patch, "place"), align=WORD)
    f.call(rows, [run, RUN.load(f, run, "rows"), RUN.load(f, run, "row_count")])


def _build_rows(f: Function, loop: Function, fork: Function) -> None:
    run, first, count = f.arguments
    scratch = RUN.load(f, run, "scratch")
    team = RUN.load(f, run, "team")
    alone = is_null(f, team)
    zero = f.constant(0)
    with f.loop(0, count) as turn:
        row = ROW.each(f, first, turn.index)
        function = ROW.load(f, row, "function")
        arguments = ROW.load(f, row, "arguments")
        with f.branch(is_null(f, function)) as otherwise:
            f.call(loop, [run, arguments])
            otherwise()
            with f.branch(alone) as otherwise_fork:
                items = ROW.load(f, row, "items")
                f.call_address(function, [arguments, zero, items, scratch])
                otherwise_fork()
                f.call(fork, [team, row, scratch, RUN.load(f, run, "scratch_step")])


def _build_loop(f: Function, rows: Function) -> None:
    run, loop = f.arguments
    inner = LOOP.load(f, loop, "rows")
    inner_count = LOOP.load(f, loop, "row_count")
    turns = LOOP.load(f, loop, "turns")
    with f.loop(0, turns):
        f.call(rows, [run, inner, inner_count])
        _move(f, loop, 1)
    # The next run starts from the same words.
    _move(f, loop, f.sub(0, turns))


def _move(f: Function, loop: Value, times: Index) -> None:
    moves = LOOP.load(f, loop, "moves")
    with f.loop(0, LOOP.load(f, loop, "move_count")) as turn:
        move = MOVE.each(f, moves, turn.index)
        place = MOVE.load(f, move, "place")
        distance = f.mul(MOVE.load(f, move, "step"), times)
        moved = f.value(f.add(f.load(I64, place, align=WORD), distance))
        f.store(moved, place, align=WORD)
