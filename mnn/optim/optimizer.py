"""Update rules (the reference package's, exactly) and the step that applies them."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.errors import GradientError, ShapeError, UnsupportedError
from mnn.expr.evaluate import evaluate
from mnn.expr.grad import gradients
from mnn.expr.node import Cell
from mnn.expr.var import Var, capture
from mnn.nn.module import Module
from mnn.ops.create import ones_like

__all__ = ["ADAM", "SGD", "Grad", "Optimizer", "Regularization_Method"]

Array = np.ndarray[Any, Any]


class Regularization_Method(enum.IntEnum):  # noqa: N801
    """What weight decay adds to a gradient: wd * sign(w), wd * w, or both."""

    L1 = 0
    L2 = 1
    L1L2 = 2


class Grad:
    """Gradients of recorded Vars."""

    def grad(
        self, outputs: Sequence[Var], seeds: Sequence[Var], parameters: Sequence[Var]
    ) -> tuple[list[Var], list[Var]]:
        """Return the parameters that the outputs depend on, and their gradients.

        Args:
            outputs: results to differentiate.    seeds: gradients of the outputs.
            parameters: candidates.

        Raises:
            GradientError: an operator on the way has no gradient.
        """
        found = gradients(list(outputs), list(seeds), list(parameters))
        kept = [
            (parameter, gradient)
            for parameter, gradient in zip(parameters, found, strict=True)
            if gradient is not None
        ]
        return [each for each, _ in kept], [each for _, each in kept]


class Optimizer:
    """Base of the optimizers.

    Attributes:
        learning_rate, momentum, weight_decay: settings; may be changed at any time.
        momentum2, eps: further settings of ADAM; SGD does not use them.
        regularization_method: what weight decay adds.
    """

    def __init__(
        self,
        module: Module,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        method: Any,
        momentum2: float = 0.999,
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(module, Module):
            raise TypeError(
                f"optimizer: found {type(module).__name__}, expected the Module to train."
            )
        self.module = module
        self.learning_rate = float(learning_rate)
        self.momentum = float(momentum)
        self.momentum2 = float(momentum2)
        self.weight_decay = float(weight_decay)
        self.eps = float(eps)
        self.regularization_method = Regularization_Method(method)
        self._state: dict[int, dict[str, Array]] = {}
        self._cells: dict[int, Cell] = {}

    def step(self, loss: Var) -> bool:
        """Train: compute gradients of `loss` and update the parameters.

        Gradients, and the running statistics of normalisation layers, are computed in one
        evaluation; parameters are written after all of it succeeded.

        Args:
            loss: what to minimise; each element of a non-scalar counts.

        Returns:
            True, or False when the module is not in training mode (nothing changes then).

        Raises:
            GradientError: no parameter influences the loss, or an operator has no gradient.
        """
        if not self.module.is_training:
            return False
        trained, pending = self._split_parameters()
        found = gradients([loss], [ones_like(loss)], trained) if loss._ref is not None else []
        pairs = [
            (parameter, gradient)
            for parameter, gradient in zip(trained, found, strict=False)
            if gradient is not None
        ]
        if not pairs:
            raise GradientError(
                "step: the loss does not depend on any parameter of the module. Compute it from "
                "module.forward(...), with the module this optimizer was made for."
            )
        refs = [capture(gradient) for _, gradient in pairs] + [capture(each) for each in pending]
        values = evaluate(refs, keep=False)
        updated = [
            self._updated(parameter, value.astype(parameter.dtype, copy=False))
            for (parameter, _), value in zip(pairs, values, strict=False)
        ]
        for (parameter, _), value in zip(pairs, updated, strict=True):
            parameter.write(value)
        for statistic, value in zip(pending, values[len(pairs) :], strict=True):
            statistic._value = None
            statistic.replace(Var(np.array(value)))
        return True

    def _split_parameters(self) -> tuple[list[Var], list[Var]]:
        """Return the trainable parameters, and the statistics that are expressions of a batch."""
        trained: list[Var] = []
        pending: list[Var] = []
        for each in self.module.parameters:
            node = None if each._ref is None else each._ref.node
            if node is not None and node.is_leaf and node.trainable:
                trained.append(each)
            elif node is not None and not node.is_leaf:
                pending.append(each)
        return trained, pending

    def _regularized(self, weight: Array, gradient: Array) -> Array:
        decay = weight.dtype.type(self.weight_decay)
        if not decay:
            return gradient
        if self.regularization_method in (Regularization_Method.L1, Regularization_Method.L1L2):
            gradient = gradient + decay * np.sign(weight)
        if self.regularization_method in (Regularization_Method.L2, Regularization_Method.L1L2):
            gradient = gradient + decay * weight
        return gradient

    def _memory(self, parameter: Var, weight: Array, *names: str) -> dict[str, Array]:
        ref = capture(parameter)
        # The cell outlives rewiring of the Var, so it names the parameter.
        cell = ref.node.cell
        if cell is None:
            raise GradientError("step: a parameter is computed, not stored. Fix it first.")
        self._cells[id(cell)] = cell  # keeps the id from being used again
        state = self._state.setdefault(id(cell), {})
        for name in names:
            held = state.get(name)
            if held is None or held.shape != weight.shape or held.dtype != weight.dtype:
                state[name] = np.zeros_like(weight)
        return state

    def _updated(self, parameter: Var, gradient: Array) -> Array:
        raise NotImplementedError

    def grad(self, loss: Var, parameters: Sequence[Var]) -> list[Var | None]:
        """Return the recorded gradients of `loss` with respect to `parameters`."""
        return gradients([loss], [ones_like(loss)], list(parameters))

    def get_update_graph(self, parameters: Any, grads: Any, learning_rate: Any) -> Any:
        """Raise UnsupportedError: training graphs cannot be exported yet."""
        raise UnsupportedError("get_update_graph: exporting training graphs is not available yet.")

    def save_graph(self, file: str, *arguments: Any) -> Any:
        """Raise UnsupportedError: training graphs cannot be exported yet."""
        raise UnsupportedError("save_graph: exporting training graphs is not available yet.")


class SGD(Optimizer):
    """v = momentum * v + learning_rate * (g + decay); w = w - v."""

    def __init__(
        self,
        module: Module,
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        regularization_method: Any = Regularization_Method.L2,
    ) -> None:
        """Make an optimizer of the parameters of `module`."""
        super().__init__(module, learning_rate, momentum, weight_decay, regularization_method)

    def _updated(self, parameter: Var, gradient: Array) -> Array:
        weight = parameter._array()
        state = self._memory(parameter, weight, "velocity")
        real = weight.dtype.type
        step = real(self.learning_rate) * self._regularized(weight, gradient)
        velocity = real(self.momentum) * state["velocity"] + step
        state["velocity"] = velocity
        result: Array = weight - velocity
        return result


class ADAM(Optimizer):
    """Kingma and Ba (2014), with the bias corrections applied to the learning rate.

    m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    w = w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
    """

    def __init__(
        self,
        module: Module,
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        momentum2: float = 0.999,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
        regularization_method: Any = Regularization_Method.L2,
    ) -> None:
        """Make an optimizer of the parameters of `module`."""
        super().__init__(
            module, learning_rate, momentum, weight_decay, regularization_method, momentum2, eps
        )
        self._steps = 0

    def step(self, loss: Var) -> bool:
        """Train; see `Optimizer.step`."""
        self._steps += 1
        try:
            trained = super().step(loss)
        except BaseException:
            self._steps -= 1
            raise
        if not trained:
            self._steps -= 1
        return trained

    def _updated(self, parameter: Var, gradient: Array) -> Array:
        weight = parameter._array()
        if gradient.shape != weight.shape:
            raise ShapeError(f"step: gradient {gradient.shape} for a weight {weight.shape}.")
        state = self._memory(parameter, weight, "first", "second")
        real = weight.dtype.type
        gradient = self._regularized(weight, gradient)
        b1, b2 = self.momentum, self.momentum2
        first = real(b1) * state["first"] + real(1 - b1) * gradient
        second = real(b2) * state["second"] + real(1 - b2) * gradient * gradient
        state["first"], state["second"] = first, second
        correction = np.sqrt(1 - b2**self._steps) / (1 - b1**self._steps)
        rate = real(self.learning_rate * correction)
        result: Array = weight - rate * first / (np.sqrt(second) + real(self.eps))
        return result
