"""A structured builder of LLVM text: functions, loops, branches, memory and integer arithmetic.

Values carry their type. Python integers stand for constants everywhere and fold, so a template that
is given numbers instead of values becomes a kernel specialised to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import NamedTuple, TypeAlias

from mnn.codegen.target import Target
from mnn.records import dataclass, field

__all__ = [
    "F32",
    "F64",
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "PTR",
    "Function",
    "Index",
    "Loop",
    "Module",
    "Value",
    "element",
    "lanes_of",
    "vector",
]

F32, F64, I1, I8, I16, I32, I64, PTR = (
    "float",
    "double",
    "i1",
    "i8",
    "i16",
    "i32",
    "i64",
    "ptr",
)


class Value(NamedTuple):
    """A constant or the result of an instruction."""

    text: str
    type: str


Index: TypeAlias = int | Value
"""A 64-bit integer: a number known while generating, or a value of the kernel."""


def vector(lanes: int, kind: str) -> str:
    """Return the type of `lanes` elements; one lane is the element itself."""
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def lanes_of(kind: str) -> int:
    """Return the number of lanes of a type."""
    return int(kind[1:].split(" ", 1)[0]) if kind.startswith("<") else 1


def element(kind: str) -> str:
    """Return the element type of a vector type, or the type itself."""
    return kind[:-1].rsplit(" ", 1)[1] if kind.startswith("<") else kind


@dataclass
class Loop:
    """A loop being built: set `next` to the carried values of the following turn.

    Attributes:
        index: the counter.
        carried: values of this turn.
        next: values for the next turn, one per carried value.
        results: after the loop, the values it ended with.
    """

    index: Value
    carried: list[Value]
    next: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)


class Module:
    """Functions and declarations of one kernel; its entry is called `@KERNEL` in the text."""

    ENTRY = "KERNEL"

    def __init__(self, target: Target) -> None:
        self.target = target
        self._declarations: set[str] = set()
        self._tables: dict[str, str] = {}
        self._functions: dict[str, Function] = {}

    def entry(self) -> Function:
        """Return the function `void KERNEL(ptr args, i64 lo, i64 hi, ptr scratch)`."""
        arguments = [("args", PTR), ("lo", I64), ("hi", I64), ("scratch", PTR)]
        return self.function(self.ENTRY, arguments, linkage="", attributes="")

    def function(
        self,
        name: str,
        arguments: Sequence[tuple[str, str]],
        *,
        linkage: str = "internal",
        attributes: str = "noinline",
    ) -> Function:
        """Return a new function to be filled; `arguments` are (name, type)."""
        made = Function(self, name, arguments, linkage, attributes)
        self._functions[name] = made
        return made

    def has(self, name: str) -> bool:
        """True when a function of that name was made."""
        return name in self._functions

    def find(self, name: str) -> Function | None:
        """Return the function of that name, None when there is none yet."""
        return self._functions.get(name)

    def declare(self, declaration: str) -> None:
        """Add an external declaration: an LLVM intrinsic."""
        self._declarations.add(declaration)

    def table(self, name: str, kind: str, literals: Sequence[str]) -> Value:
        """Return the address of constants that code reads, aligned to 64 bytes; one per name."""
        listed = ", ".join(f"{kind} {each}" for each in literals)
        size = f"[{len(literals)} x {kind}]"
        text = f"@{name} = private unnamed_addr constant {size} [{listed}], align 64"
        if self._tables.setdefault(name, text) != text:
            raise AssertionError(f"table {name} has two contents")
        return Value(f"@{name}", PTR)

    def text(self) -> str:
        """Return the whole module."""
        parts = [f"declare {each}" for each in sorted(self._declarations)]
        parts += self._tables.values()
        parts += [each.text() for each in self._functions.values()]
        return "\n".join(parts) + "\n" + self.target.attribute_group()


class Function:
    """One function being built."""

    def __init__(
        self,
        module: Module,
        name: str,
        arguments: Sequence[tuple[str, str]],
        linkage: str,
        attributes: str,
    ) -> None:
        self.module = module
        self.target = module.target
        self.name = name
        self._count = 0
        self._lines: list[str] = []
        self._kept: dict[str, str] = {}
        self._block = "entry"
        self.arguments = [Value(f"%{each}", kind) for each, kind in arguments]
        listed = ", ".join(f"{kind} %{each}" for each, kind in arguments)
        self._head = f"define {linkage} void @{name}({listed}) #0 {attributes}".rstrip() + " {"

    def text(self) -> str:
        """Return the function as LLVM text."""
        kept = self._kept.values()
        return "\n".join([self._head, "entry:", *kept, *self._lines, "  ret void", "}", ""])

    # --- instructions ----------------------------------------------------------------------------

    def _fresh(self, prefix: str = "t") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def emit(self, text: str) -> None:
        """Append an instruction without a result."""
        self._lines.append("  " + text)

    def make(self, text: str, kind: str) -> Value:
        """Append an instruction and return its result."""
        name = "%" + self._fresh()
        self.emit(f"{name} = {text}")
        return Value(name, kind)

    def _label(self, name: str) -> None:
        self._lines.append(name + ":")
        self._block = name

    def constant(self, number: int, kind: str = I64) -> Value:
        """Return an integer constant, the same in all lanes of a vector type."""
        if lanes_of(kind) > 1:
            return Value(f"splat ({element(kind)} {number})", kind)
        return Value(str(number), kind)

    def value(self, index: Index) -> Value:
        """Return an index as a value."""
        return self.constant(index) if isinstance(index, int) else index

    def undefined(self, kind: str) -> Value:
        """Return a value of which every element is still to be set."""
        return Value("poison", kind)

    # --- 64-bit integers -------------------------------------------------------------------------

    def _integer(self, operation: str, left: Index, right: Index) -> Value:
        a, b = self.value(left), self.value(right)
        return self.make(f"{operation} i64 {a.text}, {b.text}", I64)

    def add(self, left: Index, right: Index) -> Index:
        """Return left + right."""
        if isinstance(left, int) and isinstance(right, int):
            return left + right
        if right == 0:
            return left
        return right if left == 0 else self._integer("add", left, right)

    def sub(self, left: Index, right: Index) -> Index:
        """Return left - right."""
        if isinstance(left, int) and isinstance(right, int):
            return left - right
        return left if right == 0 else self._integer("sub", left, right)

    def mul(self, left: Index, right: Index) -> Index:
        """Return left * right."""
        if isinstance(left, int) and isinstance(right, int):
            return left * right
        if left == 0 or right == 0:
            return 0
        if right == 1:
            return left
        return right if left == 1 else self._integer("mul", left, right)

    def div(self, left: Index, right: Index) -> Index:
        """Return left // right for numbers >= 0."""
        if isinstance(left, int) and isinstance(right, int):
            return left // right
        return left if right == 1 else self._integer("udiv", left, right)

    def rem(self, left: Index, right: Index) -> Index:
        """Return left % right for numbers >= 0."""
        if isinstance(left, int) and isinstance(right, int):
            return left % right
        return 0 if right == 1 else self._integer("urem", left, right)

    def floor_to(self, value: Index, step: int) -> Index:
        """Return the largest multiple of `step` that is <= value, for value >= 0."""
        return self.mul(self.div(value, step), step)

    def min(self, left: Index, right: Index) -> Index:
        """Return the smaller one."""
        if isinstance(left, int) and isinstance(right, int):
            return min(left, right)
        return self.select(self.compare("slt", left, right), self.value(left), self.value(right))

    def max(self, left: Index, right: Index) -> Index:
        """Return the larger one."""
        if isinstance(left, int) and isinstance(right, int):
            return max(left, right)
        return self.select(self.compare("sgt", left, right), self.value(left), self.value(right))

    def compare(self, condition: str, left: Index, right: Index) -> Value:
        """Return an i1: `condition` is LLVM's (eq, ne, slt, sle, sgt, sge, ult, ...)."""
        a, b = self.value(left), self.value(right)
        return self.make(f"icmp {condition} {a.type} {a.text}, {b.text}", I1)

    def both(self, left: Value, right: Value) -> Value:
        """Return the conjunction of two conditions or masks."""
        return self.make(f"and {left.type} {left.text}, {right.text}", left.type)

    def select(self, condition: Value, left: Value, right: Value) -> Value:
        """Return left where the condition holds, else right."""
        return self.make(
            f"select {condition.type} {condition.text}, {left.type} {left.text}, "
            f"{right.type} {right.text}",
            left.type,
        )

    # --- memory ----------------------------------------------------------------------------------

    def block(self, fields: str) -> SimpleNamespace:
        """Load the argument block: names separated by spaces, `*name` is a pointer.

        `#name` is a float32 in the low half of its slot. Slots have 8 bytes each.
        """
        base = self.arguments[0]
        found = SimpleNamespace()
        kinds = {"*": PTR, "#": F32}
        for number, name in enumerate(fields.split()):
            kind = kinds.get(name[0], I64)
            value = self.load(kind, self.offset(base, 8 * number), align=8)
            setattr(found, name.lstrip("*#"), value)
        return found

    def offset(self, pointer: Value, distance: Index) -> Value:
        """Return the pointer `distance` bytes further."""
        if distance == 0:
            return pointer
        return self.make(
            f"getelementptr i8, ptr {pointer.text}, i64 {self.value(distance).text}", PTR
        )

    def load(self, kind: str, pointer: Value, align: int = 4) -> Value:
        """Return what lies at the pointer."""
        return self.make(f"load {kind}, ptr {pointer.text}, align {align}", kind)

    def store(self, value: Value, pointer: Value, align: int = 4) -> None:
        """Write a value."""
        self.emit(f"store {value.type} {value.text}, ptr {pointer.text}, align {align}")

    def allocate(self, size: int, align: int = 64) -> Value:
        """Return stack memory of `size` bytes; call it at the top of a function, not in loops."""
        return self.make(f"alloca [{size} x i8], align {align}", PTR)

    def keep(self, name: str, size: int, align: int = 64) -> Value:
        """Return stack memory of `size` bytes, the same for the same name, from anywhere."""
        text = f"  %{name} = alloca [{size} x i8], align {align}"
        if self._kept.setdefault(name, text) != text:
            raise AssertionError(f"stack memory {name} has two sizes")
        return Value(f"%{name}", PTR)

    def first_lanes(self, count: Index, lanes: int, start: int = 0) -> Value:
        """Return the mask of the lanes whose number + start is less than count."""
        numbers = ", ".join(f"i64 {start + lane}" for lane in range(lanes))
        every = self.splat(self.value(count), lanes)
        return self.make(f"icmp slt <{lanes} x i64> <{numbers}>, {every.text}", vector(lanes, I1))

    def load_masked(self, kind: str, pointer: Value, mask: Value, align: int = 4) -> Value:
        """Return the lanes under the mask, 0 elsewhere; nothing else is touched."""
        self._require("masks", "a masked load")
        name = f"llvm.masked.load.{_suffix(kind)}.p0"
        self.module.declare(f"{kind} @{name}(ptr, i32, {mask.type}, {kind})")
        return self.make(
            f"call {kind} @{name}(ptr {pointer.text}, i32 {align}, {mask.type} {mask.text}, "
            f"{kind} zeroinitializer)",
            kind,
        )

    def store_masked(self, value: Value, pointer: Value, mask: Value, align: int = 4) -> None:
        """Write the lanes under the mask."""
        self._require("masks", "a masked store")
        name = f"llvm.masked.store.{_suffix(value.type)}.p0"
        self.module.declare(f"void @{name}({value.type}, ptr, i32, {mask.type})")
        self.emit(
            f"call void @{name}({value.type} {value.text}, ptr {pointer.text}, i32 {align}, "
            f"{mask.type} {mask.text})"
        )

    def prefetch(self, pointer: Value, locality: int = 3) -> None:
        """Ask for the cache line at the pointer."""
        self.module.declare("void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.emit(f"call void @llvm.prefetch.p0(ptr {pointer.text}, i32 0, i32 {locality}, i32 1)")

    def _require(self, property_name: str, what: str) -> None:
        if not getattr(self.target, property_name):
            raise AssertionError(f"{what} on target {self.target.name}, which has none")

    # --- lanes -----------------------------------------------------------------------------------

    def splat(self, value: Value, lanes: int) -> Value:
        """Return a vector with `value` in every lane."""
        if lanes == 1:
            return value
        kind = vector(lanes, value.type)
        first = self.make(f"insertelement {kind} poison, {value.type} {value.text}, i64 0", kind)
        return self.make(
            f"shufflevector {kind} {first.text}, {kind} poison, <{lanes} x i32> zeroinitializer",
            kind,
        )

    def shuffle(self, left: Value, right: Value | None, places: Sequence[int]) -> Value:
        """Return the lanes `places` of left followed by right; -1 means any."""
        kind = vector(len(places), element(left.type))
        listed = ", ".join("i32 poison" if place < 0 else f"i32 {place}" for place in places)
        other = "poison" if right is None else right.text
        return self.make(
            f"shufflevector {left.type} {left.text}, {left.type} {other}, "
            f"<{len(places)} x i32> <{listed}>",
            kind,
        )

    def narrowed(self, left: Value, right: Value) -> Value:
        """Return signed integers of both as integers of half the size, within 16-byte parts.

        Numbers beyond the smaller type become its nearest one. Each 16 bytes of the result have
        what the same 16 bytes of left hold, then those of right.
        """
        self._require("packs", "narrowing of two vectors")
        lanes, base = lanes_of(left.type), element(left.type)
        words = {I32: ("packssdw", I16), I16: ("packsswb", I8)}
        name, small = words[base]
        bits = lanes * int(base[1:])
        family = {128: f"sse2.{name}.128", 256: f"avx2.{name}", 512: f"avx512.{name}.512"}[bits]
        return self.intrinsic(f"llvm.x86.{family}", vector(2 * lanes, small), [left, right])

    def extract(self, value: Value, lane: Index) -> Value:
        """Return one lane."""
        if lanes_of(value.type) == 1:
            return value
        number = self.value(lane)
        return self.make(
            f"extractelement {value.type} {value.text}, i64 {number.text}", element(value.type)
        )

    def insert(self, value: Value, item: Value, lane: int) -> Value:
        """Return the vector with one lane replaced."""
        return self.make(
            f"insertelement {value.type} {value.text}, {item.type} {item.text}, i64 {lane}",
            value.type,
        )

    # --- control ---------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self, lo: Index, hi: Index, step: Index = 1, carried: Sequence[Value] = ()
    ) -> Iterator[Loop]:
        """Build `for index in range(lo, hi, step)`, possibly without any turn."""
        head, body, done = self._fresh("head"), self._fresh("body"), self._fresh("done")
        before, start, end = self._block, self.value(lo), self.value(hi)
        loop = Loop(
            Value("%" + self._fresh("i"), I64),
            [Value("%" + self._fresh("c"), each.type) for each in carried],
        )
        following = "%" + self._fresh("n")
        phis = list(loop.carried)
        self.emit(f"br label %{head}")
        self._label(head)
        place = len(self._lines)
        turn = self.make(f"icmp slt i64 {loop.index.text}, {end.text}", I1)
        self.emit(f"br i1 {turn.text}, label %{body}, label %{done}")
        self._label(body)
        yield loop
        if len(loop.next) != len(carried):
            raise AssertionError(f"a loop carries {len(carried)} values, got {len(loop.next)}")
        self.emit(f"{following} = add i64 {loop.index.text}, {self.value(step).text}")
        self.emit(f"br label %{head}")
        last = self._block
        lines = [f"  {loop.index.text} = phi i64 [{start.text}, %{before}], [{following}, %{last}]"]
        lines += [
            f"  {phi.text} = phi {phi.type} [{first.text}, %{before}], [{later.text}, %{last}]"
            for phi, first, later in zip(phis, carried, loop.next, strict=True)
        ]
        self._lines[place:place] = lines
        self._label(done)
        loop.results = phis

    @contextmanager
    def repeat(self) -> Iterator[Callable[[Value], None]]:
        """Build an endless loop; call what is yielded with a condition to leave it there."""
        body, done = self._fresh("again"), self._fresh("done")
        self.emit(f"br label %{body}")
        self._label(body)

        def leave(condition: Value) -> None:
            stay = self._fresh("stay")
            self.emit(f"br i1 {condition.text}, label %{done}, label %{stay}")
            self._label(stay)

        yield leave
        self.emit(f"br label %{body}")
        self._label(done)

    @contextmanager
    def turns(
        self, lo: Index, hi: Index, step: Index = 1, carried: Sequence[Value] = ()
    ) -> Iterator[Loop]:
        """Build `loop` for at least one turn: lo < hi is known.

        With many carried values this is the form that needs no moves between registers.
        """
        body, done = self._fresh("body"), self._fresh("done")
        before, start, end = self._block, self.value(lo), self.value(hi)
        loop = Loop(
            Value("%" + self._fresh("i"), I64),
            [Value("%" + self._fresh("c"), each.type) for each in carried],
        )
        following = "%" + self._fresh("n")
        self.emit(f"br label %{body}")
        self._label(body)
        place = len(self._lines)
        yield loop
        if len(loop.next) != len(carried):
            raise AssertionError(f"a loop carries {len(carried)} values, got {len(loop.next)}")
        self.emit(f"{following} = add i64 {loop.index.text}, {self.value(step).text}")
        more = self.make(f"icmp slt i64 {following}, {end.text}", I1)
        self.emit(f"br i1 {more.text}, label %{body}, label %{done}")
        last = self._block
        lines = [f"  {loop.index.text} = phi i64 [{start.text}, %{before}], [{following}, %{last}]"]
        lines += [
            f"  {phi.text} = phi {phi.type} [{first.text}, %{before}], [{later.text}, %{last}]"
            for phi, first, later in zip(loop.carried, carried, loop.next, strict=True)
        ]
        self._lines[place:place] = lines
        self._label(done)
        loop.results = list(loop.next)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Build a branch taken where the condition holds."""
        then, after = self._fresh("then"), self._fresh("after")
        self.emit(f"br i1 {condition.text}, label %{then}, label %{after}")
        self._label(then)
        yield
        self.emit(f"br label %{after}")
        self._label(after)

    @contextmanager
    def branch(self, condition: Value) -> Iterator[Callable[[], None]]:
        """Build two branches; call what is yielded between them.

        `with f.branch(c) as otherwise: ...; otherwise(); ...`
        """
        then, other, after = self._fresh("then"), self._fresh("else"), self._fresh("after")
        self.emit(f"br i1 {condition.text}, label %{then}, label %{other}")
        self._label(then)

        def otherwise() -> None:
            self.emit(f"br label %{after}")
            self._label(other)

        yield otherwise
        self.emit(f"br label %{after}")
        self._label(after)

    def call(self, callee: Function, arguments: Sequence[Index]) -> None:
        """Call another function of the module."""
        values = [self.value(each) for each in arguments]
        for given, wanted in zip(values, callee.arguments, strict=True):
            if given.type != wanted.type:
                raise AssertionError(f"{callee.name}: {given} given for {wanted}")
        listed = ", ".join(f"{each.type} {each.text}" for each in values)
        self.emit(f"call void @{callee.name}({listed})")

    def call_address(
        self, address: Value, arguments: Sequence[Value], kind: str = "void"
    ) -> Value | None:
        """Call the function at an address and return its result, None for `void`."""
        listed = ", ".join(f"{each.type} {each.text}" for each in arguments)
        if kind == "void":
            self.emit(f"call void {address.text}({listed})")
            return None
        return self.make(f"call {kind} {address.text}({listed})", kind)

    def intrinsic(self, name: str, kind: str, arguments: Sequence[Value]) -> Value:
        """Call an LLVM intrinsic that the caller knows the target can select."""
        types = ", ".join(each.type for each in arguments)
        self.module.declare(f"{kind} @{name}({types})")
        listed = ", ".join(f"{each.type} {each.text}" for each in arguments)
        return self.make(f"call {kind} @{name}({listed})", kind)


def _suffix(kind: str) -> str:
    names = {F32: "f32", F64: "f64", PTR: "p0"}
    base = names.get(element(kind), element(kind))
    return base if lanes_of(kind) == 1 else f"v{lanes_of(kind)}{base}"
