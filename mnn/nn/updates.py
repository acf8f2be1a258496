"""Values that a training step changes besides the parameters: statistics and random draws."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mnn.errors import EvaluationError
from mnn.expr.evaluate import evaluate
from mnn.expr.node import CONST, Cell, Node, Ref, leaf
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.records import dataclass

__all__ = ["Update", "settle", "stored"]

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Update:
    """A stored value and the recorded one that replaces it.

    Attributes:
        target: stored value.
        next: what it becomes.
        source: node by which a loss shows that it was computed by the same forward pass.
        applied: True once `target` was written for this forward pass.
    """

    target: Var
    next: Var
    source: Node
    applied: bool = False

    def apply(self, value: Array) -> None:
        """Store the value that `next` was computed to."""
        self.target.write(value)
        self.applied = True


def stored(array: Array) -> Var:
    """Return a constant that is written from time to time, so no shape rule may look at it."""
    return var_of(Ref(leaf(CONST, TensorType(array.shape, array.dtype), Cell(array)), 0))


def settle(updates: Iterable[Update]) -> None:
    """Compute and apply the updates that no training step applied.

    Updates that depend on an input nobody wrote stay as they are: nothing was observed yet.
    """
    waiting = [each for each in updates if not each.applied]
    if not waiting:
        return
    try:
        values = evaluate([capture(each.next) for each in waiting], keep=False)
    except EvaluationError:
        return
    for update, value in zip(waiting, values, strict=True):
        update.apply(value)
