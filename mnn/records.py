"""Data classes that are quick to define: `dataclass` and its helpers, without generated source.

The standard decorator writes the text of six methods for each class and compiles it, which takes
half a millisecond; a hundred classes would be half of the time of a warm start. Here the methods
are shared functions that know the names of the fields. What they do is the same, for the options
that this package uses; `dataclasses.fields`, `asdict` and `replace` work on the classes too.
"""

from __future__ import annotations

import dataclasses
import inspect
import operator
from collections.abc import Callable
from dataclasses import asdict, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["asdict", "dataclass", "field", "fields", "replace"]

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, eq: bool = True) -> Any:
        """Return the class with `__init__`, `__repr__` and, if wanted, `__eq__` and `__hash__`.

        As `dataclasses.dataclass`: fields are the annotated names of the class and of its bases.

        Args:
            cls: the class, when used without arguments.
            frozen: attributes cannot be set, and instances can be hashed.
            eq: instances are equal when all fields are.
        """
        if cls is None:
            return lambda given: _complete(given, frozen, eq)
        return _complete(cls, frozen, eq)


def replace(instance: T, /, **changes: Any) -> T:
    """Return a copy of a data class instance with some fields changed.

    Raises:
        TypeError: there is no such field.
    """
    kind = type(instance)
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    for name in changes:
        if name not in known:
            raise TypeError(f"{kind.__qualname__} has no field {name!r}; it has {list(known)}")
    made = object.__new__(kind)
    made.__dict__.update(instance.__dict__)
    made.__dict__.update(changes)
    if hasattr(kind, "__post_init__"):
        made.__post_init__()  # type: ignore[attr-defined]
    return made


def _complete(cls: type, frozen: bool, eq: bool) -> type:
    known = _fields(cls)
    cls.__dataclass_fields__ = known  # type: ignore[attr-defined]
    cls.__dataclass_params__ = _Parameters(frozen, eq)  # type: ignore[attr-defined]
    names = tuple(known)
    methods: dict[str, Any] = {
        "__init__": _make_init(cls, known),
        "__repr__": _make_repr(names),
        "__match_args__": names,
    }
    if not any("__signature__" in each.__dict__ for each in cls.__mro__):
        methods["__signature__"] = _ConstructorSignature()
    if eq:
        values = _values_of(names)
        methods["__eq__"] = _make_eq(values)
        # A class that defines __eq__ itself has a __hash__ of None by then.
        if "__hash__" not in cls.__dict__ or cls.__dict__["__hash__"] is None:
            cls.__hash__ = _make_hash(values) if frozen else None  # type: ignore[assignment]
    if frozen:
        methods["__setattr__"] = _refuse_to_set
        methods["__delattr__"] = _refuse_to_delete
    for name, method in methods.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)
    if getattr(cls, "__abstractmethods__", None):
        # Some of them may have been defined just now.
        import abc

        abc.update_abstractmethods(cls)
    return cls


class _Parameters:
    """What `dataclasses` wants to know about a class."""

    def __init__(self, frozen: bool, eq: bool) -> None:
        self.init = self.repr = True
        self.frozen, self.eq = frozen, eq
        self.order = self.unsafe_hash = False


class _ConstructorSignature:
    """What `inspect.signature` and `help` find on a class; made on demand."""

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        parameters = []
        for each in fields(owner):
            default = each.default
            if each.default_factory is not dataclasses.MISSING:
                default = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]
            kept = inspect.Parameter.empty if default is dataclasses.MISSING else default
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters.append(inspect.Parameter(each.name, kind, default=kept))
        return inspect.Signature(parameters)


def _fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields of a class, those of its bases first."""
    known: dict[str, dataclasses.Field[Any]] = {}
    for base in cls.__mro__[-1:0:-1]:
        known.update(getattr(base, "__dataclass_fields__", {}))
    for name, kind in inspect.get_annotations(cls).items():
        if str(kind).startswith(("ClassVar", "typing.ClassVar")):
            continue
        given = cls.__dict__.get(name, dataclasses.MISSING)
        made: Any = given if isinstance(given, dataclasses.Field) else field(default=given)
        if isinstance(made.default, list | dict | set):
            raise ValueError(f"{cls.__qualname__}.{name}: use default_factory for its default")
        made.name, made.type, made._field_type = name, kind, dataclasses._FIELD  # type: ignore[attr-defined]
        known[name] = made
        if made.default is not dataclasses.MISSING:
            setattr(cls, name, made.default)
        elif given is made:
            delattr(cls, name)
    return known


def _make_init(cls: type, known: dict[str, dataclasses.Field[Any]]) -> Callable[..., None]:
    names = tuple(known)
    count = len(names)
    missing = dataclasses.MISSING
    defaults = {name: each.default for name, each in known.items() if each.default is not missing}
    factories = {
        name: each.default_factory
        for name, each in known.items()
        if each.default_factory is not missing
    }
    finish = getattr(cls, "__post_init__", None)
    # What is missing when so many arguments were given, where that is known.
    rests = {
        given: {name: defaults[name] for name in names[given:]}
        for given in range(count)
        if all(name in defaults for name in names[given:])
    }
    rests[count] = {}

    def initialize(self: Any, *positional: Any, **named: Any) -> None:
        state = self.__dict__
        if not named and (rest := rests.get(len(positional))) is not None:
            state.update(zip(names, positional, strict=False))
            state.update(rest)
        else:
            state.update(defaults)
            state.update(zip(names, positional, strict=False))
            state.update(named)
            if len(state) < count:
                for name, factory in factories.items():
                    if name not in state:
                        state[name] = factory()
            if (
                len(state) != count
                or len(positional) + len(named) > count
                or (named and not named.keys().isdisjoint(names[: len(positional)]))
            ):
                raise TypeError(_complaint(cls, names, state, positional, named))
        if finish is not None:
            finish(self)

    return initialize


def _complaint(cls: type, names: tuple[str, ...], state: Any, positional: Any, named: Any) -> str:
    """Return what is wrong with the arguments of a constructor."""
    lacking = [each for each in names if each not in state]
    unknown = [each for each in named if each not in names]
    twice = [each for each in names[: len(positional)] if each in named]
    return (
        f"{cls.__qualname__}: {len(positional)} positional arguments and {sorted(named)} given for "
        f"the fields {list(names)}: missing {lacking}, unknown {unknown}, given twice {twice}"
    )


def _make_repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    def represent(self: Any) -> str:
        listed = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{type(self).__qualname__}({listed})"

    return represent


def _values_of(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return a function that returns the values of the fields."""
    if len(names) > 1:
        return operator.attrgetter(*names)
    return lambda instance: tuple([getattr(instance, name) for name in names])


def _make_eq(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        if other.__class__ is self.__class__:
            return values(self) == values(other)
        return NotImplemented

    return compare


def _make_hash(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    def compute_hash(self: Any) -> int:
        return hash(values(self))

    return compute_hash


def _refuse_to_set(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
