"""`Module`: parameters, children, training mode, and a forward function."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from mnn.errors import ShapeError
from mnn.expr.var import Var

__all__ = ["EmptyModule", "Module", "dummy"]


class Module:
    """Base class of networks.

    Subclasses call `super().__init__()` first, assign children (Modules) and parameters (Vars) to
    attributes, and define `forward`. Calling a module calls `forward`.
    """

    _children: dict[str, Module]
    _own: dict[str, Var]
    _name: str

    def __init__(self) -> None:
        object.__setattr__(self, "_children", {})
        object.__setattr__(self, "_own", {})
        object.__setattr__(self, "_training", True)
        object.__setattr__(self, "_name", "")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_children" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: {name} is assigned before super().__init__() was called. "
                "Call it first in __init__."
            )
        self._children.pop(name, None)
        self._own.pop(name, None)
        if isinstance(value, Module):
            self._children[name] = value
            if not value._name:
                value.set_name(name)
        elif isinstance(value, Var):
            self._own[name] = value
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        self._children.pop(name, None)
        self._own.pop(name, None)
        object.__delattr__(self, name)

    # --- running ---------------------------------------------------------------------------------

    def forward(self, x: Any) -> Any:
        """Return the network's result for x; subclasses define it.

        Raises:
            NotImplementedError: the subclass does not.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.forward is not defined. Define forward(self, x)."
        )

    def __call__(self, *inputs: Any) -> Any:
        """Return `forward(*inputs)`."""
        return self.forward(*inputs)

    def onForward(self, inputs: Sequence[Any]) -> list[Var]:  # noqa: N802 - reference name
        """Return the results for a list of inputs as a list."""
        result = self.forward(*inputs)
        return list(result) if isinstance(result, (list, tuple)) else [result]

    # --- training mode ---------------------------------------------------------------------------

    def train(self, flag: bool = True) -> None:
        """Set training mode here and in all children; it changes dropout and batch norm."""
        for module in self.modules():
            object.__setattr__(module, "_training", bool(flag))

    @property
    def is_training(self) -> bool:
        """True in training mode, the default."""
        return bool(self.__dict__["_training"])

    # --- parameters ------------------------------------------------------------------------------

    def modules(self) -> Iterator[Module]:
        """Yield this module and everything below it, parents first."""
        yield self
        for child in self._children.values():
            yield from child.modules()

    def _own_parameters(self) -> list[Var]:
        return list(self._own.values())

    @property
    def parameters(self) -> list[Var]:
        """Parameters: own ones first, then those of children, the last registered child first."""
        found = self._own_parameters()
        for child in reversed(list(self._children.values())):
            found.extend(child.parameters)
        return found

    def load_parameters(self, parameters: Sequence[Var]) -> bool:
        """Copy values into the parameters, in the order of `parameters`.

        Returns:
            True.

        Raises:
            ShapeError: another number of Vars, or another shape; nothing is changed then.
        """
        own = self.parameters
        values = [each if isinstance(each, Var) else Var(each) for each in parameters]
        if len(values) != len(own):
            raise ShapeError(
                f"load_parameters: found {len(values)} values for {len(own)} parameters. "
                "Save and load the same architecture."
            )
        for position, (mine, theirs) in enumerate(zip(own, values, strict=True)):
            if mine.shape != theirs.shape:
                raise ShapeError(
                    f"load_parameters: value {position} has shape {theirs.shape}, expected "
                    f"{mine.shape} ({mine.name or 'unnamed'})."
                )
        arrays = [each._array().copy() for each in values]
        for mine, array in zip(own, arrays, strict=True):
            mine.write(array)
        return True

    def _register_submodules(self, modules: Sequence[Module]) -> None:
        """Register children that are not attributes."""
        for module in modules:
            self._children[f"_{len(self._children)}"] = module

    def _add_parameter(self, parameter: Var) -> int:
        """Register a parameter that is no attribute and return its position."""
        self._own[f"_{len(self._own)}"] = parameter
        return len(self._own) - 1

    # --- names and copies ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name: the attribute it was first assigned to, unless set otherwise."""
        return str(self.__dict__["_name"])

    def set_name(self, name: str) -> None:
        """Set the name."""
        object.__setattr__(self, "_name", str(name))

    def clear_cache(self) -> None:
        """Drop cached tensors; modules made of layers keep none."""

    def get_info(self) -> dict[str, Any]:
        """Return inputs, outputs and version of a module loaded from a file.

        Raises:
            TypeError: the module was not loaded from a file.
        """
        raise TypeError(
            f"{type(self).__name__}.get_info: only modules loaded from a file have it. "
            "Use load_module_from_file."
        )

    def clone(self) -> Module:
        """Return a copy with parameters of its own."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        for name in ("_children", "_own"):
            object.__setattr__(twin, name, {})
        for name, value in self.__dict__.items():
            if name in ("_children", "_own"):
                continue
            object.__setattr__(twin, name, copy.deepcopy(value, memo))
        for name, child in self._children.items():
            twin._children[name] = copy.deepcopy(child, memo)
        for name, parameter in self._own.items():
            held = twin.__dict__.get(name)
            twin._own[name] = held if held is not None else copy.deepcopy(parameter, memo)
        return twin

    def __repr__(self) -> str:
        children = ", ".join(f"{name}={child!r}" for name, child in self._children.items())
        return f"{type(self).__name__}({children})"


class EmptyModule(Module):
    """A module that does nothing; its forward returns None."""

    def forward(self, x: Any = None) -> None:
        """Return None."""
        return


dummy = EmptyModule()
"""A shared empty module."""
