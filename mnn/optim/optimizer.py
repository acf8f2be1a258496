"""The training step: gradients, update rules and running statistics in one evaluation."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import DTypeError, GradientError, SettingError, UnsupportedError
from mnn.expr.dtypes import kind_of
from mnn.expr.evaluate import evaluate, run_graph
from mnn.expr.grad import gradients
from mnn.expr.graph import Graph
from mnn.expr.modes import recording
from mnn.expr.node import Cell, Node, Ref, walk
from mnn.expr.trace import input_leaf
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.nn.module import Module
from mnn.nn.updates import Update, stored
from mnn.ops.arithmetic import add, multiply
from mnn.ops.convert import cast
from mnn.ops.create import ones_like
from mnn.ops.unary import sign
from mnn.optim.settings import Regularization_Method, Setting
from mnn.records import dataclass

__all__ = ["Grad", "Optimizer"]

Array = np.ndarray[Any, Any]


@dataclass
class _Slots:
    """What an optimizer remembers of one parameter; the cell outlives rewiring of its Var."""

    cell: Cell
    values: dict[str, Var]


@dataclass
class _Plan:
    """An update graph from gradients and the learning rate to the next values of `targets`."""

    key: tuple[Any, ...]
    graph: Graph
    targets: list[Var]


class Optimizer:
    """Base of the optimizers."""

    learning_rate = Setting("Size of a step; 0 changes nothing.")
    momentum = Setting("Weight of the past in the direction of a step.", limit=1, included=True)
    momentum2 = Setting("Weight of the past in ADAM's second moment.", limit=1)
    weight_decay = Setting("Strength of the regularisation.")
    eps = Setting("Added to ADAM's denominator.")

    def __init__(
        self,
        module: Module | None = None,
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        regularization_method: Any = Regularization_Method.L2,
        momentum2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        self.module = module if module is None else trained_module(module)
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.momentum2 = momentum2
        self.weight_decay = weight_decay
        self.eps = eps
        self.regularization_method = regularization_method
        self._plan: _Plan | None = None
        self._slots: dict[int, _Slots] = {}
        self._shared: dict[str, Var] = {}
        self._trained_graphs: weakref.WeakKeyDictionary[Node, list[Update]] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def regularization_method(self) -> Regularization_Method:
        """What weight decay adds; a member or number of `Regularization_Method`."""
        return self._method

    @regularization_method.setter
    def regularization_method(self, method: Any) -> None:
        try:
            self._method = Regularization_Method(method)
        except ValueError as error:
            raise SettingError(
                f"optimizer: regularization_method is {method!r}, expected one of "
                f"{[each.name for each in Regularization_Method]}."
            ) from error

    # --- one step --------------------------------------------------------------------------------

    def step(self, loss: Var) -> bool:
        """Train: compute gradients of `loss` and update the parameters.

        Gradients and the running statistics of normalisation layers are computed in one
        evaluation, new weights by a graph that stays the same from step to step; everything is
        written after both succeeded.

        Args:
            loss: what to minimise; each element of a non-scalar counts.

        Returns:
            True, or False when the module is not in training mode (nothing changes then).

        Raises:
            GradientError: no parameter influences the loss, or an operator has no gradient.
            DTypeError: the loss is no Var.
        """
        if not isinstance(loss, Var):
            raise DTypeError(
                f"step: found {type(loss).__name__}, expected the loss as a Var. Compute it from "
                "module.forward(...) with mnn.nn.loss or mnn.expr."
            )
        module = self._module()
        if not module.is_training:
            return False
        parameters, grads = self._differentiated(module, loss)
        due = self._due(module, loss)
        refs = [capture(each) for each in (*grads, *(update.next for update in due))]
        values = evaluate(refs, keep=False)
        plan = self._planned(parameters, grads)
        rate = np.asarray(self.learning_rate, np.float64)
        written = run_graph(plan.graph, [*values[: len(grads)], rate])
        for target, value in zip(plan.targets, written, strict=True):
            _store(target, value)
        for update, value in zip(due, values[len(grads) :], strict=True):
            update.apply(value)
        return True

    def _module(self) -> Module:
        if self.module is None:
            raise GradientError(
                f"step: this {type(self).__name__} has no module to train. Make one with "
                "optim.SGD(module, ...) or optim.ADAM(module, ...)."
            )
        return self.module

    def _differentiated(self, module: Module, loss: Var) -> tuple[list[Var], list[Var]]:
        """Return the parameters that the loss depends on, and their gradients."""
        trained = [each for each in module._collect() if _is_trained(each)]
        if not trained:
            raise GradientError(
                f"step: {type(module).__name__} has no parameters to train. Assign layers or "
                "Vars made trainable with fix_as_trainable() to its attributes."
            )
        self._forget_others(trained)
        found: list[Var | None] = []
        if loss._ref is not None and kind_of(loss.dtype) == "f":
            found = gradients([loss], [ones_like(loss)], trained)
        pairs = [(one, by) for one, by in zip(trained, found, strict=False) if by is not None]
        if not pairs:
            raise GradientError(
                f"step: the loss ({loss.dtype.name}) does not depend on any parameter of the "
                "module. Compute it from module.forward(...), with the module this optimizer was "
                "made for, without converting it to NumPy or to integers on the way."
            )
        return [one for one, _ in pairs], [by for _, by in pairs]

    def _due(self, module: Module, loss: Var) -> list[Update]:
        """Return the updates of statistics that belong to the loss, newest first by target."""
        node = capture(loss).node
        inside = set(walk([capture(loss)]))
        found = {
            id(update.target): update
            for each in module.modules()
            for update in each._updates()
            if not update.applied and update.source in inside
        }
        # A graph that is trained again, with other data in its placeholders, repeats its updates.
        for update in self._trained_graphs.get(node, ()):
            found.setdefault(id(update.target), update)
        due = list(found.values())
        self._trained_graphs[node] = due
        return due

    # --- update rules ----------------------------------------------------------------------------

    def _planned(self, parameters: Sequence[Var], grads: Sequence[Var]) -> _Plan:
        """Return the graph of the update, made once for the same parameters and settings."""
        key = (
            *(
                (id(capture(each).node.cell), by.dtype)
                for each, by in zip(parameters, grads, strict=True)
            ),
            self.momentum,
            self.momentum2,
            self.weight_decay,
            self.eps,
            self.regularization_method,
        )
        if self._plan is None or self._plan.key != key:
            leaves = [
                input_leaf(TensorType(tuple(each.shape), by.dtype))
                for each, by in zip(parameters, grads, strict=True)
            ]
            rate = input_leaf(TensorType((), np.dtype(np.float64)))
            incoming = [var_of(Ref(each, 0)) for each in leaves]
            targets, following = self._next_values(parameters, incoming, [var_of(Ref(rate, 0))])
            graph = Graph([*leaves, rate], [capture(each) for each in following])
            self._plan = _Plan(key, graph, targets)
        return self._plan

    def _next_values(
        self, parameters: Sequence[Var], grads: Sequence[Var], rates: Sequence[Var]
    ) -> tuple[list[Var], list[Var]]:
        """Return the stored values (parameters and what is remembered) and what they become."""
        targets: list[Var] = []
        following: list[Var] = []
        with recording():
            shared = self._count()
            for position, (parameter, grad) in enumerate(zip(parameters, grads, strict=True)):
                rate = as_dtype(rates[position % len(rates)], parameter.dtype)
                gradient = self._regularized(parameter, as_dtype(grad, parameter.dtype))
                slots = self._slots_of(parameter)
                weight, kept = self._rule(parameter, gradient, rate, slots, shared)
                targets += [parameter, *(slots[name] for name in kept)]
                following += [weight, *kept.values()]
            targets += [self._shared[name] for name in shared]
            following += list(shared.values())
        return targets, following

    def _rule(
        self,
        weight: Var,
        gradient: Var,
        rate: Var,
        slots: dict[str, Var],
        shared: dict[str, Var],
    ) -> tuple[Var, dict[str, Var]]:
        """Return the next weight and the next value of each slot."""
        raise UnsupportedError(
            f"{type(self).__name__} only computes gradients. Train with optim.SGD or optim.ADAM."
        )

    def _count(self) -> dict[str, Var]:
        """Return the next values of what all parameters share."""
        return {}

    def _slot_names(self) -> tuple[str, ...]:
        """Return the names of what is remembered of each parameter."""
        return ()

    def _regularized(self, weight: Var, gradient: Var) -> Var:
        decay, method = self.weight_decay, self.regularization_method
        if not decay:
            return gradient
        if method is not Regularization_Method.L2:
            gradient = add(gradient, multiply(sign(weight), decay))
        if method is not Regularization_Method.L1:
            gradient = add(gradient, multiply(weight, decay))
        return gradient

    def _slots_of(self, parameter: Var) -> dict[str, Var]:
        cell = capture(parameter).node.cell
        if cell is None:
            raise GradientError(
                f"step: a parameter is the result of {parameter.op_type}, which is computed, not "
                "stored. Expected a trainable Var. Call fix_as_trainable() on it."
            )
        held = self._slots.get(id(cell))
        shape, dtype = parameter.shape, parameter.dtype
        if held is None or any(
            each.shape != shape or each.dtype != dtype for each in held.values.values()
        ):
            values = {name: stored(np.zeros(shape, dtype)) for name in self._slot_names()}
            held = self._slots[id(cell)] = _Slots(cell, values)
        return held.values

    def _forget_others(self, trained: Sequence[Var]) -> None:
        """Drop what is remembered of parameters that the module does not have any more."""
        cells = {id(capture(each).node.cell) for each in trained}
        for key in set(self._slots) - cells:
            del self._slots[key]

    # --- gradients and exported graphs -----------------------------------------------------------

    def grad(
        self, outputs: Sequence[Var], output_diffs: Sequence[Var], parameters: Sequence[Var]
    ) -> tuple[list[Var], list[Var]]:
        """Return the parameters that the outputs depend on, and their recorded gradients.

        Args:
            outputs: results to differentiate.    output_diffs: gradients of the outputs.
            parameters: candidates.

        Raises:
            GradientError: an operator on the way has no gradient.
            ShapeError: a gradient of an output has another shape.
            DTypeError: something else than lists of Vars.
        """
        outputs, output_diffs = vars_of("grad", outputs), vars_of("grad", output_diffs)
        candidates = vars_of("grad", parameters)
        same_count("grad", outputs=outputs, output_diffs=output_diffs)
        found = gradients(outputs, output_diffs, candidates)
        pairs = [(one, by) for one, by in zip(candidates, found, strict=True) if by is not None]
        return [one for one, _ in pairs], [by for _, by in pairs]

    def get_update_graph(
        self, params: Sequence[Var], grads: Sequence[Var], learning_rates: Sequence[Var]
    ) -> tuple[list[Var], list[Var]]:
        """Return the values that a step changes, and the recorded Vars they become.

        Args:
            params, grads: as `grad` returns them.
            learning_rates: one Var for all parameters, or one for each.

        Returns:
            Stored Vars (parameters first come with what the optimizer remembers of them), and
            their next values; `save_graph` takes both.

        Raises:
            DTypeError: something else than lists of Vars.    ShapeError: counts differ.

        Example:
            >>> from mnn import expr, nn, optim
            >>> expr.lazy_eval(True)
            >>> net = nn.linear(2, 1)
            >>> opt = optim.SGD(net, 0.1)
            >>> loss = nn.loss.mse(net(expr.const([1.0, 2.0], [1, 2])), expr.const([0.0], [1, 1]))
            >>> params, grads = opt.grad([loss], [expr.const(1.0, [])], net.parameters)
            >>> stored, following = opt.get_update_graph(params, grads, [expr.const(0.1, [])])
            >>> len(stored)
            4
            >>> expr.lazy_eval(False)
        """
        from mnn.optim.export import update_graph

        return update_graph(self, params, grads, learning_rates)

    def save_graph(
        self,
        file: str | os.PathLike[str],
        outputs: Sequence[Var],
        params: Sequence[Var],
        updates: Sequence[Var],
    ) -> bool:
        """Write one training step as a `.mnn` file; see `mnn.optim.export.save_training_graph`."""
        from mnn.optim.export import save_training_graph

        return save_training_graph(file, outputs, params, updates)


class Grad(Optimizer):
    """An optimizer without a module: it computes gradients and trains nothing."""


def trained_module(module: Any) -> Module:
    """Return the module, or raise DTypeError when it is none."""
    if not isinstance(module, Module):
        raise DTypeError(f"optimizer: found {type(module).__name__}, expected the Module to train.")
    return module


def vars_of(what: str, values: Any) -> list[Var]:
    """Return a list of Vars, or raise DTypeError."""
    if isinstance(values, Var):
        return [values]
    if not isinstance(values, (list, tuple)) or not all(isinstance(each, Var) for each in values):
        raise DTypeError(f"{what}: found {type(values).__name__}, expected a list of Vars.")
    return list(values)


def same_count(what: str, **lists: Sequence[Any]) -> None:
    """Raise SettingError unless all lists are equally long."""
    counts = {name: len(each) for name, each in lists.items()}
    if len(set(counts.values())) > 1:
        raise SettingError(f"{what}: found {counts}, expected equal numbers of each.")


def _store(target: Var, value: Array) -> None:
    """Overwrite a stored value with one of its own shape and dtype, without another copy."""
    cell = capture(target).node.cell
    if cell is None or cell.array is None or not cell.array.flags.writeable:
        target.write(value)
        return
    np.copyto(cell.array, value)
    cell.touch()


def _is_trained(parameter: Var) -> bool:
    node = parameter._ref.node if parameter._ref is not None else None
    return node is not None and node.is_leaf and node.trainable


def as_dtype(value: Var, dtype: np.dtype[Any]) -> Var:
    """Return the Var cast to `dtype` where that is needed."""
    return value if value.dtype == dtype else cast(value, dtype)
