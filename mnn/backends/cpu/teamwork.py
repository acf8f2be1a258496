"""Machine code by which the threads of a team share the items of a step.

A step is cut into parts. Each thread has a lane: a run of neighbouring parts that it takes from
the front, so that it works on memory it worked on before; whoever has nothing left takes parts
from the back of the lanes of others. The word of a lane changes only as a whole, and holds the
ticket of the job: a thread that is late finds another ticket, or nothing left, and takes nothing.

Threads without work first wait in a loop, then sleep: on Linux by a futex, elsewhere in Python.
"""

from __future__ import annotations

from mnn.backends.cpu.fields import LANE, LANES, ROW, TEAM, WORD, WORK
from mnn.codegen.atomics import (
    ACQUIRE,
    ORDERED,
    RELAXED,
    RELEASE,
    add_atomic,
    exchange_if,
    fence,
    load_atomic,
    pause,
    store_atomic,
)
from mnn.codegen.builder import I32, I64, PTR, Function, Index, Module, Value

__all__ = ["Teamwork", "is_null"]

_TICKET = 1 << 32
_FIRST = 1 << 16
_MASK = _FIRST - 1
_FUTEX_WAIT, _FUTEX_WAKE = 128, 129  # both private to the process
_EVERYBODY = (1 << 31) - 1
_FUTILE_JOBS = 8


class Teamwork:
    """Functions of a module.

    Attributes:
        fork: `fork(team, row, scratch, scratch step)` runs one ROW with the whole team.
        work: `work(WORK)` is what the other threads of the team do.
        wake: `wake(team)` wakes those that sleep.
    """

    def __init__(self, module: Module) -> None:
        pointers = [("team", PTR), ("place", PTR)]
        self._sleep = module.function("sleep", [*pointers, ("value", I64)])
        self._rouse = module.function("rouse", [*pointers, ("count", I64)])
        self._where = module.function("where", pointers)
        self.wake = module.function("wake", [("team", PTR)])
        arguments = [("team", PTR), ("number", I64), ("ticket", I64)]
        self._help = module.function("help", arguments)
        self._wait = module.function("wait", [("team", PTR), ("parts", I64)])
        self._publish = module.function(
            "publish", [*pointers, ("size", I64), ("parts", I64), ("scratch", PTR), ("step", I64)]
        )
        self.fork = module.function(
            "fork", [("team", PTR), ("row", PTR), ("scratch", PTR), ("step", I64)]
        )
        self.work = module.function("work", [("work", PTR)])
        _build_where(self._where)
        _build_system_call(self._sleep, _FUTEX_WAIT)
        _build_system_call(self._rouse, _FUTEX_WAKE)
        self._build_wake()
        self._build_help()
        self._build_wait()
        self._build_publish()
        self._build_fork()
        self._build_work()

    def _build_wake(self) -> None:
        f = self.wake
        (team,) = f.arguments
        epoch = TEAM.at(f, team, "epoch")
        add_atomic(f, epoch, 1)
        f.call(self._rouse, [team, epoch, _EVERYBODY])

    def _build_fork(self) -> None:
        """Cut a row into parts, and run it here when there is only one."""
        f = self.fork
        team, row, scratch, step = f.arguments
        items, grain = ROW.load(f, row, "items"), ROW.load(f, row, "grain")
        size = f.max(_divide_up(f, items, TEAM.load(f, team, "chunks")), grain)
        parts = _divide_up(f, items, size)
        with f.branch(f.compare("sle", parts, 1)) as otherwise:
            function, arguments = ROW.load(f, row, "function"), ROW.load(f, row, "arguments")
            f.call_address(function, [arguments, f.constant(0), items, scratch])
            otherwise()
            f.call(self._publish, [team, row, size, parts, scratch, step])
            f.call(self._help, [team, 0, _ticket(f, load_atomic(f, _lane(f, team, 0)))])
            f.call(self._wait, [team, parts])

    def _build_publish(self) -> None:
        f = self._publish
        team, row, size, parts, scratch, step = f.arguments
        ticket = f.value(f.add(_ticket(f, load_atomic(f, _lane(f, team, 0), RELAXED)), 1))
        here = f.allocate(WORD, align=WORD)
        job = f.make(f"shl i64 {ticket.text}, 32", I64)
        threads = TEAM.load(f, team, "threads")
        # Nobody runs parts of the last job any more, so nobody else writes this now.
        store_atomic(f, 0, TEAM.at(f, team, "done"), RELAXED)
        with f.loop(0, threads) as turn:
            lane = _lane(f, team, turn.index)
            for name in ("function", "arguments", "items"):
                _write(f, lane, name, ROW.load(f, row, name))
            _write(f, lane, "size", size)
            _write(f, lane, "scratch", f.offset(scratch, f.mul(step, turn.index)))
            first = f.div(f.mul(parts, turn.index), threads)
            end = f.div(f.mul(parts, f.add(turn.index, 1)), threads)
            store_atomic(f, f.add(job, f.add(f.mul(first, _FIRST), end)), lane, RELEASE)
        # Either a thread that is about to sleep sees its lane, or this sees the sleeper.
        fence(f)
        sleepers = load_atomic(f, TEAM.at(f, team, "sleepers"), ORDERED)
        futile = load_atomic(f, TEAM.at(f, team, "futile"), RELAXED)
        with (
            f.when(f.compare("ne", sleepers, 0)),
            f.branch(f.compare("eq", futile, 0)) as otherwise,
        ):
            f.call(self._where, [team, here])
            store_atomic(f, f.load(I64, here, WORD), TEAM.at(f, team, "waker"), RELAXED)
            f.call(self.wake, [team])
            otherwise()
            store_atomic(f, f.sub(futile, 1), TEAM.at(f, team, "futile"), RELAXED)

    def _build_help(self) -> None:
        """Run parts of the job until none is left to be taken."""
        f = self._help
        team, number, ticket = f.arguments
        ran = f.allocate(WORD, align=WORD)
        mine = _lane(f, team, number)
        function, arguments = _read(f, mine, "function", PTR), _read(f, mine, "arguments", PTR)
        items, size = _read(f, mine, "items"), _read(f, mine, "size")
        scratch = _read(f, mine, "scratch", PTR)
        threads = TEAM.load(f, team, "threads")
        with f.loop(0, threads) as turn:
            lane = _lane(f, team, f.rem(f.add(number, turn.index), threads))
            own = f.compare("eq", turn.index, 0)
            f.store(f.constant(0), ran, align=WORD)
            with f.repeat() as leave:
                word = load_atomic(f, lane, ACQUIRE)
                leave(f.compare("ne", _ticket(f, word), ticket))
                first = f.rem(f.div(word, _FIRST), _FIRST)
                end = f.rem(word, _FIRST)
                leave(f.compare("sge", first, end))
                part = f.select(own, f.value(first), f.value(f.sub(end, 1)))
                left = f.select(own, f.value(f.add(word, _FIRST)), f.value(f.sub(word, 1)))
                with f.when(exchange_if(f, lane, word, left)):
                    lo = f.value(f.mul(part, size))
                    hi = f.value(f.min(f.add(lo, size), items))
                    f.call_address(function, [arguments, lo, hi, scratch])
                    f.store(f.value(f.add(f.load(I64, ran, WORD), 1)), ran, align=WORD)
            count = f.load(I64, ran, align=WORD)
            with f.when(f.compare("ne", count, 0)):
                done = TEAM.at(f, team, "done")
                add_atomic(f, done, count)
                waiting = load_atomic(f, TEAM.at(f, team, "waiting"), ORDERED)
                with f.when(f.compare("ne", waiting, 0)):
                    f.call(self._rouse, [team, done, 1])

    def _build_wait(self) -> None:
        """Return when all parts of the job are finished."""
        f = self._wait
        team, parts = f.arguments
        turns = f.allocate(WORD, align=WORD)
        done, waiting = TEAM.at(f, team, "done"), TEAM.at(f, team, "waiting")
        patience = TEAM.load(f, team, "caller_patience")
        f.store(f.constant(0), turns, align=WORD)
        with f.repeat() as leave:
            leave(f.compare("eq", load_atomic(f, done, ACQUIRE), parts))
            pause(f)
            with (
                f.when(_counts_beyond(f, turns, patience)),
                f.branch(is_null(f, TEAM.load(f, team, "system_call"))) as otherwise,
            ):
                give_way = TEAM.load(f, team, "give_way")
                with f.when(f.compare("ne", give_way, Value("null", PTR))):
                    f.call_address(give_way, [])
                otherwise()
                store_atomic(f, 1, waiting, ORDERED)
                now = load_atomic(f, done, ORDERED)
                with f.when(f.compare("ne", now, parts)):
                    f.call(self._sleep, [team, done, now])
                store_atomic(f, 0, waiting, ORDERED)

    def _build_work(self) -> None:
        f = self.work
        (work,) = f.arguments
        turns, place = f.allocate(WORD, align=WORD), f.allocate(WORD, align=WORD)
        team, number = WORK.load(f, work, "team"), WORK.load(f, work, "number")
        lane = _lane(f, team, number)
        sleepers, epoch = TEAM.at(f, team, "sleepers"), TEAM.at(f, team, "epoch")
        stop = TEAM.at(f, team, "stop")
        system_call = TEAM.load(f, team, "system_call")
        add_atomic(f, sleepers, f.sub(0, WORK.load(f, work, "asleep")))
        WORK.store(f, 0, work, "asleep")
        f.store(f.constant(0), turns, align=WORD)
        with f.repeat() as leave:
            ticket = _ticket(f, load_atomic(f, lane, ACQUIRE))
            with f.branch(f.compare("ne", ticket, WORK.load(f, work, "seen"))) as otherwise:
                WORK.store(f, ticket, work, "seen")
                f.call(self._help, [team, number, ticket])
                f.store(f.constant(0), turns, align=WORD)
                otherwise()
                leave(f.compare("ne", load_atomic(f, stop, ORDERED), 0))
                pause(f)
                with f.when(_counts_beyond(f, turns, TEAM.load(f, team, "patience"))):
                    add_atomic(f, sleepers, 1)
                    now = load_atomic(f, epoch, ORDERED)
                    again = _ticket(f, load_atomic(f, lane, ORDERED))
                    stopped = load_atomic(f, stop, ORDERED)
                    idle = f.both(f.compare("eq", again, ticket), f.compare("eq", stopped, 0))
                    outside = is_null(f, system_call)
                    with f.when(f.both(idle, outside)):
                        WORK.store(f, 1, work, "asleep")
                    leave(f.both(idle, outside))
                    with f.when(idle):
                        f.call(self._sleep, [team, epoch, now])
                        self._build_give_back(work, turns, place)
                    add_atomic(f, sleepers, -1)

    def _build_give_back(self, work: Value, turns: Value, place: Value) -> None:
        """Sleep again when this thread was woken on the very processor that the caller needs.

        It has pushed the caller aside there, because all other processors are busy. Its waiting
        for work would only keep the caller from making progress.
        """
        f = self.work
        team = WORK.load(f, work, "team")
        f.call(self._where, [team, place])
        here = f.load(I64, place, align=WORD)
        known = f.compare("sge", here, 0)
        waker = load_atomic(f, TEAM.at(f, team, "waker"), RELAXED)
        with f.when(f.both(known, f.compare("eq", here, waker))):
            lane = _lane(f, team, WORK.load(f, work, "number"))
            WORK.store(f, _ticket(f, load_atomic(f, lane, ACQUIRE)), work, "seen")
            store_atomic(f, _FUTILE_JOBS, TEAM.at(f, team, "futile"), RELAXED)
            f.store(TEAM.load(f, team, "patience"), turns, align=WORD)


def is_null(f: Function, pointer: Value) -> Value:
    """Return whether a pointer is null."""
    return f.compare("eq", pointer, Value("null", PTR))


def _lane(f: Function, team: Value, number: Index) -> Value:
    return LANE.each(f, f.offset(team, LANES), number)


def _read(f: Function, lane: Value, name: str, kind: str = I64) -> Value:
    return load_atomic(f, LANE.at(f, lane, name), RELAXED, kind)


def _write(f: Function, lane: Value, name: str, value: Index) -> None:
    store_atomic(f, value, LANE.at(f, lane, name), RELAXED)


def _ticket(f: Function, word: Value) -> Value:
    return f.make(f"lshr i64 {word.text}, 32", I64)


def _divide_up(f: Function, value: Index, step: Index) -> Index:
    return f.div(f.add(value, f.sub(step, 1)), step)


def _counts_beyond(f: Function, counter: Value, limit: Value) -> Value:
    """Count one more turn; return whether that is beyond the limit, and then start anew."""
    turns = f.value(f.add(f.load(I64, counter, align=WORD), 1))
    beyond = f.compare("sgt", turns, limit)
    f.store(f.select(beyond, f.constant(0), turns), counter, align=WORD)
    return beyond


def _build_where(f: Function) -> None:
    """Write the number of the processor that this thread runs on, -1 where nobody knows."""
    team, place = f.arguments
    function = TEAM.load(f, team, "processor")
    f.store(f.constant(-1), place, align=WORD)
    with f.when(f.compare("ne", function, Value("null", PTR))):
        number = f.call_address(function, [], I32)
        assert number is not None
        f.store(f.make(f"sext i32 {number.text} to i64", I64), place, align=WORD)


def _build_system_call(f: Function, operation: int) -> None:
    """Call `syscall(futex, place, operation, value, 0, 0, 0)`, where the system has it."""
    team, place, value = f.arguments
    call = TEAM.load(f, team, "system_call")
    with f.when(f.compare("ne", call, Value("null", PTR))):
        zero = f.constant(0)
        number = TEAM.load(f, team, "futex")
        f.call_address(call, [number, place, f.constant(operation), value, zero, zero, zero], I64)
