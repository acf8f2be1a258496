"""Write tests/public_api.json: every public name with its kind and signature.

    python -m scripts.public_api          # write the file
    python -m scripts.public_api --check  # print what differs; exit status 1 if anything does

`tests/test_public_api.py` fails when names or signatures change without the file, so that a change
of the interface is always seen in review.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).resolve().parent.parent / "tests" / "public_api.json"

MODULES = (
    "mnn",
    "mnn.config",
    "mnn.cv",
    "mnn.data",
    "mnn.errors",
    "mnn.expr",
    "mnn.nn",
    "mnn.nn.compress",
    "mnn.nn.loss",
    "mnn.numpy",
    "mnn.numpy.fft",
    "mnn.numpy.linalg",
    "mnn.numpy.random",
    "mnn.numpy.testing",
    "mnn.optim",
)

Entries = Mapping[str, Mapping[str, list[str]]]

# Members that say nothing about an interface, or that only some versions of Python add.
_PLAIN = {"__init__", "__new__", "__getstate__", "__setstate__", "__replace__", "__annotate_func__"}

# Parameters whose default depends on the machine.
_OF_THE_MACHINE = {("Config", "threads")}

# Where classes with several names are listed with their members.
_HOME = {"Var": "mnn.expr"}


def public_names(module: types.ModuleType) -> list[str]:
    """Return the public names of a module: `__all__`, else what it holds besides modules."""
    declared = getattr(module, "__all__", None)
    if declared is not None:
        return sorted(declared)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and name not in ("annotations", "TYPE_CHECKING")
    )


def value_text(value: Any) -> str:
    """Return a value as text that is the same in every process and Python version."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, np.dtype):
        return str(value.name)
    if isinstance(value, (bool, int, float, str, bytes, type(None))):
        return repr(value)
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(value_text, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, type):
        return value.__name__
    return "<default>"


def is_numpys(function: Any) -> bool:
    """Return True for NumPy's own functions, also behind ours: versions of NumPy differ."""
    inner = inspect.unwrap(function)
    owner = getattr(inner, "__objclass__", inner)
    return str(getattr(owner, "__module__", None)).startswith("numpy")


def signature_text(function: Any) -> str:
    """Return parameters with their defaults, without annotations; "" when there is none."""
    if is_numpys(function):
        return "(as in NumPy)"
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ""
    parts: list[str] = []
    starred = False
    for each in parameters:
        text = each.name
        if each.kind is each.VAR_POSITIONAL:
            text, starred = f"*{text}", True
        elif each.kind is each.VAR_KEYWORD:
            text = f"**{text}"
        elif each.kind is each.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        if each.default is not each.empty:
            of_machine = (getattr(function, "__name__", ""), each.name) in _OF_THE_MACHINE
            text += f"={'<machine>' if of_machine else value_text(each.default)}"
        parts.append(text)
    return f"({', '.join(parts)})"


def entries_of(module: str, name: str, value: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield the entries of a public name: itself, and the members of a class of ours."""
    if isinstance(value, types.ModuleType):
        yield name, ["module", ""]
    elif isinstance(value, type):
        home = _HOME.get(value.__name__, module)
        if home == module:
            yield from class_entries(name, value)
        else:
            yield name, ["class", f"{home}.{value.__name__}"]
    elif callable(value):
        yield name, ["function", signature_text(value)]
    else:
        yield name, ["constant", value_text(value)]


def class_entries(name: str, cls: type) -> Iterator[tuple[str, list[str]]]:
    """Yield the entries of a class and of the public members that it defines itself."""
    if issubclass(cls, enum.Enum):
        yield name, ["enum", " ".join(f"{each.name}={each.value}" for each in cls)]
        return
    if issubclass(cls, Exception):
        yield name, ["error", " ".join(each.__name__ for each in cls.__bases__)]
        return
    if not cls.__module__.startswith("mnn"):
        yield name, ["type", f"{cls.__module__}.{cls.__name__}"]
        return
    yield name, ["class", signature_text(cls)]
    for member in sorted(vars(cls)):
        dunder = member.startswith("__")
        if member in _PLAIN or (member.startswith("_") and not dunder):
            continue
        found = inspect.getattr_static(cls, member)
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
        if callable(found):
            yield f"{name}.{member}", ["method", signature_text(found)]
        elif not dunder:
            yield f"{name}.{member}", ["attribute", ""]


def current() -> dict[str, dict[str, list[str]]]:
    """Return the entries of every public name, by module."""
    found: dict[str, dict[str, list[str]]] = {}
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        found[module_name] = {
            key: entry
            for name in public_names(module)
            for key, entry in entries_of(module_name, name, getattr(module, name))
        }
    return found


def recorded() -> dict[str, dict[str, list[str]]]:
    """Return the entries of the file."""
    found: dict[str, dict[str, list[str]]] = json.loads(TARGET.read_text(encoding="utf-8"))
    return found


def differences(before: Entries, after: Entries) -> list[str]:
    """Return what changed, one line each."""
    lines = []
    for module in sorted({*before, *after}):
        old, new = before.get(module, {}), after.get(module, {})
        for name in sorted({*old, *new}):
            if name not in new:
                lines.append(f"{module}.{name} is gone")
            elif name not in old:
                lines.append(f"{module}.{name} is new: {' '.join(new[name])}")
            elif old[name] != new[name]:
                lines.append(f"{module}.{name} was {' '.join(old[name])}")
                lines.append(f"{' ' * len(module + name)}  is  {' '.join(new[name])}")
    return lines


def text_of(entries: Entries) -> str:
    """Return the file: one line per name, so that changes are easy to read."""
    blocks = []
    for module, names in entries.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in names.items()]
        blocks.append(f" {json.dumps(module)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main() -> int:
    """Write or check the file."""
    found = current()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text_of(found), encoding="utf-8")
        return 0
    lines = differences(recorded(), found)
    print("\n".join(lines) or "nothing changed")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
