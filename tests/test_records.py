"""Data classes of `mnn.records` behave as those of the standard library."""

from __future__ import annotations

import abc
import copy
import dataclasses
import inspect
import pickle
from typing import Any, ClassVar

import pytest

from mnn import records


def make(dataclass: Any) -> dict[str, Any]:
    """Return the same classes, made with a decorator."""

    class Base(abc.ABC):
        @abc.abstractmethod
        def size(self) -> int:
            """A method that a subclass must have."""

    @dataclass(frozen=True)
    class Frozen(Base):
        first: int
        second: str = "two"
        third: tuple[int, ...] = records.field(default=(1, 2))

        def size(self) -> int:
            return self.first

    @dataclass(frozen=True)
    class Derived(Frozen):
        fourth: float = 4.0
        second: str = "other"

    @dataclass
    class Open:
        kind: ClassVar[str] = "no field"
        name: str
        items: list[int] = records.field(default_factory=list)
        _hidden: int = 0

        def __post_init__(self) -> None:
            self.name = self.name.strip()

    @dataclass(frozen=True, eq=False)
    class Identical:
        value: int

    @dataclass(frozen=True)
    class Own:
        value: int

        def __repr__(self) -> str:
            return "own"

        def __hash__(self) -> int:
            return 7

    @dataclass(frozen=True)
    class Empty:
        pass

    kinds = (Frozen, Derived, Open, Identical, Own, Empty)
    for each in kinds:
        each.__qualname__ = each.__name__
    return {each.__name__: each for each in kinds}


OURS, THEIRS = make(records.dataclass), make(dataclasses.dataclass)

CALLS = [
    ("Frozen", (1,), {}),
    ("Frozen", (1, "a", (3,)), {}),
    ("Frozen", (), {"third": (), "first": 0}),
    ("Derived", (1,), {"fourth": 0.5}),
    ("Derived", (1, "a", (3,), 2.0), {}),
    ("Open", (" spaced ",), {}),
    ("Open", ("x", [3]), {"_hidden": 4}),
    ("Identical", (3,), {}),
    ("Own", (3,), {}),
    ("Empty", (), {}),
]


@pytest.mark.parametrize(("name", "positional", "named"), CALLS)
def test_instances_look_alike(name, positional, named):
    ours, theirs = (each[name](*positional, **named) for each in (OURS, THEIRS))
    assert repr(ours) == repr(theirs)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert [each.name for each in dataclasses.fields(ours)] == [
        each.name for each in dataclasses.fields(theirs)
    ]
    assert type(ours).__match_args__ == type(theirs).__match_args__
    assert dataclasses.replace(ours).__dict__ == ours.__dict__


@pytest.mark.parametrize("name", list(OURS))
def test_signatures_are_the_same(name):
    ours, theirs = (inspect.signature(each[name]).parameters.values() for each in (OURS, THEIRS))
    assert [(each.name, each.kind) for each in ours] == [(each.name, each.kind) for each in theirs]
    assert [str(each.default) for each in ours] == [str(each.default) for each in theirs]
    with pytest.raises(AttributeError):
        _ = OURS["Empty"]().__signature__


@pytest.mark.parametrize(("name", "positional", "named"), CALLS)
def test_equality_and_hash(name, positional, named):
    for made in (OURS, THEIRS):
        kind = made[name]
        one, two = kind(*positional, **named), kind(*positional, **named)
        assert (one == two) == (name != "Identical")
        assert one == one
        assert one != 5
        if kind.__hash__ is not None:
            assert (hash(one) == hash(two)) == (name != "Identical")
        assert copy.deepcopy(one).__dict__ == one.__dict__
    assert (OURS[name].__hash__ is None) == (THEIRS[name].__hash__ is None)


@pytest.mark.parametrize(
    ("name", "positional", "named"),
    [
        ("Frozen", (), {}),
        ("Frozen", (1, 2, 3, 4), {}),
        ("Frozen", (1,), {"fifth": 5}),
        ("Frozen", (1,), {"first": 1}),
        ("Frozen", (1, "a", ()), {"first": 1}),
        ("Frozen", (), {"second": "a"}),
        ("Empty", (1,), {}),
        ("Open", (), {"items": []}),
    ],
)
def test_wrong_arguments(name, positional, named):
    for made in (OURS, THEIRS):
        with pytest.raises(TypeError, match=r"field|argument"):
            made[name](*positional, **named)


def test_frozen_instances_cannot_change():
    for made in (OURS, THEIRS):
        instance = made["Frozen"](1)
        with pytest.raises(dataclasses.FrozenInstanceError):
            instance.first = 2
        with pytest.raises(dataclasses.FrozenInstanceError):
            del instance.first
        made["Open"]("x").name = "y"


def test_classes_differ_and_subclasses_are_not_equal():
    assert OURS["Frozen"](1, "other") != OURS["Derived"](1, "other")


def test_lists_of_instances_are_their_own():
    one, two = OURS["Open"]("a"), OURS["Open"]("b")
    one.items.append(1)
    assert two.items == []
    with pytest.raises(ValueError, match="default_factory"):

        @records.dataclass
        class Wrong:
            items: list[int] = []  # noqa: RUF012


def test_replace():
    frozen = OURS["Frozen"](1)
    changed = records.replace(frozen, second="new")
    assert (changed.first, changed.second) == (1, "new")
    assert frozen.second == "two"
    assert records.replace(OURS["Open"]("x"), name=" y ").name == "y"
    with pytest.raises(TypeError, match="fifth"):
        records.replace(frozen, fifth=5)


def test_abstract_classes_stay_abstract():
    @records.dataclass(frozen=True)
    class Unfinished(OURS["Frozen"].__mro__[1]):
        value: int

    with pytest.raises(TypeError, match="abstract"):
        Unfinished(1)


@records.dataclass(frozen=True)
class Picklable:
    """A class that pickle can find."""

    value: int


def test_pickling():
    assert pickle.loads(pickle.dumps(Picklable(3))) == Picklable(3)
