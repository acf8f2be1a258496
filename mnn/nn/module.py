"""`Module`: parameters, children, training mode, and a forward function."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mnn.errors import DTypeError, GraphError, ShapeError
from mnn.expr.var import Var
from mnn.expr.write import matching_array
from mnn.nn.updates import Update, settle
from mnn.ops.operands import array_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EmptyModule", "Module", "distinct", "dummy"]


class Module:
    """Base class of networks.

    Subclasses assign children (Modules) and parameters (Vars) to attributes in `__init__` and
    define `forward`. Calling a module calls `forward`.
    """

    _children: dict[str, Module]
    _own: dict[str, Var]
    _name: str
    _training: bool
    # Attributes that belong to the graphs of this very object.
    _transient: tuple[str, ...] = ()

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Return a module that is ready for attributes, also when `super().__init__` is omitted."""
        module = object.__new__(cls)
        module.__dict__.update(_children={}, _own={}, _training=True, _name="")
        return module

    def __init__(self) -> None:
        """Make an empty module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module) and any(each is self for each in value.modules()):
            raise GraphError(
                f"{type(self).__name__}.{name}: the module would contain itself. Expected a module "
                "that does not hold this one. Keep a back reference in a list or a weakref."
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
        """Return the results for a list of inputs as a list.

        Raises:
            DTypeError: the inputs are not in a list or tuple.
        """
        if not isinstance(inputs, (list, tuple)):
            raise DTypeError(
                f"onForward: found {type(inputs).__name__}, expected a list of inputs. "
                "Use forward for a single one."
            )
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
        """Yield this module and everything below it once, parents first."""
        seen: set[int] = set()
        stack: list[Module] = [self]
        while stack:
            module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield module
                stack.extend(reversed(list(module._children.values())))

    def _waiting(self) -> list[Update]:
        """Return updates that are due even if no training step follows."""
        return []

    def _updates(self) -> list[Update]:
        """Return what a training step on the latest forward pass has to change besides weights."""
        return []

    def _settle(self) -> None:
        """Apply due updates here and below, computed together."""
        settle(update for module in self.modules() for update in module._waiting())

    def _collect(self) -> list[Var]:
        """Return the stored values as they are, unfinished updates not applied."""
        found: list[Var] = []
        seen: set[int] = set()
        stack: list[Module] = [self]
        while stack:
            module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                found.extend(module._own.values())
                stack.extend(module._children.values())
        return distinct(found)

    @property
    def parameters(self) -> list[Var]:
        """Parameters: own ones first, then those of children, the last registered child first.

        A parameter that several layers share is listed once.
        """
        self._settle()
        return self._collect()

    def load_parameters(self, parameters: Sequence[Any]) -> bool:
        """Copy values into the parameters, in the order of `parameters`.

        Args:
            parameters: Vars or arrays, such as `expr.load_as_list` gives.

        Returns:
            True.

        Raises:
            ShapeError: another number of values, or another shape; nothing is changed then.
            DTypeError: no list, or numbers that do not fit; nothing is changed then.
        """
        if not isinstance(parameters, (list, tuple)):
            raise DTypeError(
                f"load_parameters: found {type(parameters).__name__}, expected a list of Vars. "
                "Use expr.load_as_list, or list(values.values()) of a dict."
            )
        own = self.parameters
        arrays = [array_of(each, "load_parameters") for each in parameters]
        if len(arrays) != len(own):
            raise ShapeError(
                f"load_parameters: found {len(arrays)} values for {len(own)} parameters. "
                "Save and load the same architecture."
            )
        for position, (mine, array) in enumerate(zip(own, arrays, strict=True)):
            if mine.shape != array.shape:
                raise ShapeError(
                    f"load_parameters: value {position} has shape {list(array.shape)}, expected "
                    f"{mine.shape} ({mine.name or 'unnamed'}). Save and load the same architecture."
                )
        fitted = [
            matching_array(array, array.shape, mine.dtype)
            for mine, array in zip(own, arrays, strict=True)
        ]
        for mine, array in zip(own, fitted, strict=True):
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

    def _renew(self) -> None:
        """Make what copies do not share and files do not hold; called by copies."""

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        hidden = set(self._transient)
        return {name: value for name, value in self.__dict__.items() if name not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._renew()

    def __deepcopy__(self, memo: dict[int, Any]) -> Module:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        twin._renew()
        return twin

    def __repr__(self) -> str:
        children = ", ".join(f"{name}={child!r}" for name, child in self._children.items())
        return f"{type(self).__name__}({children})"


def distinct(parameters: Sequence[Var]) -> list[Var]:
    """Return the parameters in order, each stored value once."""
    seen: dict[int, Var] = {}
    for each in parameters:
        cell = each._ref.node.cell if each._ref is not None else None
        seen.setdefault(id(each) if cell is None else id(cell), each)
    return list(seen.values())


class EmptyModule(Module):
    """A module that does nothing; its forward returns None."""

    def forward(self, x: Any = None) -> None:
        """Return None."""
        return


dummy = EmptyModule()
"""A shared empty module."""
