"""Names and signatures that mnn promises, from `tests/data/promised_names.json`."""

from __future__ import annotations

import ast
import enum
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "data" / "promised_names.json"


@dataclass(frozen=True)
class Promise:
    """A promised name.

    Attributes:
        kind: function, class, constant, method, property or operator.
        signature: parameters as text, "" when nothing is promised.
        value: number of a constant, or numbers by member of an enumeration; else None.
    """

    kind: str
    signature: str
    value: Any = None


def promised(module: str) -> dict[str, Promise]:
    """Return the promised names of a module."""
    entries = json.loads(FILE.read_text(encoding="utf-8"))[module]
    return {name: Promise(*entry) for name, entry in entries.items()}


def compatible(function: Any, signature: str, names: Mapping[str, Any], skip: int = 0) -> list[str]:
    """Return how a function refuses calls that the signature allows; empty: it takes them all.

    Args:
        function: what is called.
        signature: the promised parameters, such as `(x, axis=0)`.
        names: values of names used as defaults.
        skip: leading parameters of the function that are not promised (`self`).
    """
    promise = ast.parse(f"def promise{signature}: ...").body[0]
    assert isinstance(promise, ast.FunctionDef)
    arguments = promise.args
    found = list(inspect.signature(function).parameters.values())[skip:]
    if arguments.vararg is not None:
        return [] if any(each.kind is each.VAR_POSITIONAL for each in found) else ["not variadic"]
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    wanted = [(each.arg, default) for each, default in zip(arguments.args, defaults, strict=True)]
    wanted += [
        (each.arg, default)
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    problems = []
    for place, (name, default) in enumerate(wanted):
        if place >= len(found) or found[place].name != name:
            problems.append(f"parameter {place} is not {name}")
        elif default is not None and not _same(found[place].default, default, names):
            problems.append(f"{name} has the default {found[place].default!r}")
    for extra in found[len(wanted) :]:
        optional = (extra.VAR_POSITIONAL, extra.VAR_KEYWORD)
        if extra.default is extra.empty and extra.kind not in optional:
            problems.append(f"{extra.name} is required")
    return problems


def _same(found: Any, wanted: ast.expr, names: Mapping[str, Any]) -> bool:
    value = names[wanted.id] if isinstance(wanted, ast.Name) else ast.literal_eval(wanted)
    if isinstance(value, (list, tuple)):
        return isinstance(found, (list, tuple)) and list(found) == list(value)
    if isinstance(found, enum.Enum):
        return bool(found.value == getattr(value, "value", value))
    return type(found) is type(value) and bool(found == value)
