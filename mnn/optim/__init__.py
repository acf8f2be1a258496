"""Optimizers: SGD with momentum, and ADAM."""

from __future__ import annotations

from mnn.optim.optimizer import Grad, Optimizer
from mnn.optim.rules import ADAM, SGD
from mnn.optim.settings import Regularization_Method

L1, L2, L1L2 = (
    Regularization_Method.L1,
    Regularization_Method.L2,
    Regularization_Method.L1L2,
)

__all__ = ["ADAM", "L1", "L1L2", "L2", "SGD", "Grad", "Optimizer", "Regularization_Method"]
