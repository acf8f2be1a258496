"""Update rules: SGD with momentum, and ADAM. The formulas are the reference package's, exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mnn.expr.var import Var
from mnn.nn.module import Module
from mnn.nn.updates import stored
from mnn.ops.unary import expm1, sqrt, square
from mnn.optim.optimizer import Optimizer, as_dtype, trained_module
from mnn.optim.settings import Regularization_Method, Setting

__all__ = ["ADAM", "SGD"]


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
        """Make an optimizer of the parameters of `module`.

        Args:
            module: what to train.
            learning_rate, weight_decay: numbers of at least 0.    momentum: a number in [0, 1].
            regularization_method: what weight decay adds: L1, L2 or L1L2.

        Raises:
            DTypeError: no Module, or no number.    SettingError: a number out of range.
        """
        super().__init__(
            trained_module(module), learning_rate, momentum, weight_decay, regularization_method
        )

    def _slot_names(self) -> tuple[str, ...]:
        return ("velocity",)

    def _rule(
        self,
        weight: Var,
        gradient: Var,
        rate: Var,
        slots: dict[str, Var],
        shared: dict[str, Var],
    ) -> tuple[Var, dict[str, Var]]:
        velocity = slots["velocity"] * self.momentum + gradient * rate
        return weight - velocity, {"velocity": velocity}


class ADAM(Optimizer):
    """Kingma and Ba (2014), with the bias corrections applied to the learning rate.

    m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    w = w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).
    """

    momentum = Setting("Weight of the past in the first moment (b1).", limit=1)

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
        """Make an optimizer of the parameters of `module`.

        Args:
            module: what to train.
            learning_rate, weight_decay, eps: numbers of at least 0.
            momentum, momentum2: numbers in [0, 1).
            regularization_method: what weight decay adds: L1, L2 or L1L2.

        Raises:
            DTypeError: no Module, or no number.    SettingError: a number out of range.
        """
        super().__init__(
            trained_module(module),
            learning_rate,
            momentum,
            weight_decay,
            regularization_method,
            momentum2,
            eps,
        )
        self._shared["steps"] = stored(np.zeros((), np.float32))

    def _slot_names(self) -> tuple[str, ...]:
        return ("first", "second")

    def _count(self) -> dict[str, Var]:
        return {"steps": self._shared["steps"] + 1.0}

    def _rule(
        self,
        weight: Var,
        gradient: Var,
        rate: Var,
        slots: dict[str, Var],
        shared: dict[str, Var],
    ) -> tuple[Var, dict[str, Var]]:
        b1, b2 = self.momentum, self.momentum2
        steps = as_dtype(shared["steps"], weight.dtype)
        first = slots["first"] * b1 + gradient * (1 - b1)
        second = slots["second"] * b2 + square(gradient) * (1 - b2)
        rate = rate * (sqrt(_remaining(b2, steps)) / _remaining(b1, steps))
        return weight - first * rate / (sqrt(second) + self.eps), {
            "first": first,
            "second": second,
        }


def _remaining(decay: float, steps: Var) -> Var:
    """Return 1 - decay^steps without cancellation in single precision."""
    result: Var = -expm1(steps * (math.log(decay) if decay else -math.inf))
    return result
