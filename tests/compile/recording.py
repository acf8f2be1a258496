"""Functions of arrays, recorded and compiled, for tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mnn.backends.segments import Segment
from mnn.config import config
from mnn.expr.node import INPUT, Cell, Ref, leaf, walk
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of

Array = np.ndarray[Any, Any]
Recorded = Callable[..., "Var | Sequence[Var]"]


def results(found: Var | Sequence[Var]) -> list[Var]:
    """Return the results of a function as a list."""
    return [found] if isinstance(found, Var) else list(found)


def segment(function: Recorded, arrays: Sequence[Array]) -> Segment:
    """Return a recorded function of arrays that are not known beforehand."""
    leaves = [leaf(INPUT, TensorType(each.shape, each.dtype), Cell(None)) for each in arrays]
    with config.using(lazy=True):
        found = function(*(var_of(Ref(node, 0)) for node in leaves))
        refs = [capture(each) for each in results(found)]
    nodes = list(walk(refs))
    constants = {
        node: node.cell.array
        for node in nodes
        if node.cell is not None and node.cell.array is not None
    }
    inner = [node for node in nodes if not node.is_leaf]
    return Segment(inner, refs, [Ref(node, 0) for node in leaves], constants)


def labels(made: Segment, arrays: Sequence[Array]) -> list[str]:
    """Return what the steps of a segment's plan say they are."""
    return [step.label for step in made.compiled(list(arrays), low=False)[0].plan.steps]


def by_reference(function: Recorded, arrays: Sequence[Array]) -> list[Array]:
    """Return what the operators' references compute."""
    with config.using(backend="reference"):
        return [each.read() for each in results(function(*(Var(each.copy()) for each in arrays)))]
