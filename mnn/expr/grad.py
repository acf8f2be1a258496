"""Reverse-mode gradients as graph rewrites: the backward pass is more nodes of the same graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mnn.errors import GradientError, ShapeError
from mnn.expr.modes import recording
from mnn.expr.node import Node, Ref, walk
from mnn.expr.var import Var, capture, var_of
from mnn.records import dataclass

__all__ = ["GradCall", "gradients"]


@dataclass(frozen=True)
class GradCall:
    """What a gradient rule gets: the recorded call and the gradients of its results, all as Vars.

    Attributes:
        inputs: operands, None for an omitted optional one.
        outputs: results.
        grads: gradient of each result, None where the loss does not depend on it.
        attributes: attributes of the call.
    """

    inputs: tuple[Var | None, ...]
    outputs: tuple[Var, ...]
    grads: tuple[Var | None, ...]
    attributes: Mapping[str, Any]

    @property
    def grad(self) -> Var:
        """Gradient of the only result."""
        found = self.grads[0]
        if found is None:
            raise GradientError("the first result has no gradient; use `grads` of a GradCall")
        return found

    def input(self, index: int) -> Var:
        """Return operand `index`, which must be present."""
        found = self.inputs[index]
        if found is None:
            raise GradientError(f"operand {index} was omitted")
        return found


def gradients(
    outputs: Sequence[Var], seeds: Sequence[Var], targets: Sequence[Var]
) -> list[Var | None]:
    """Return the gradient of `sum(outputs * seeds)` with respect to each target.

    Args:
        outputs: results to differentiate; need not be scalars.
        seeds: gradients of the outputs, same shapes (ones for a plain derivative).
        targets: Vars in the graph of the outputs, usually trainable leaves.

    Returns:
        One recorded Var per target, of the target's shape and dtype; None where no gradient path
        leads to it.

    Raises:
        GradientError: an operator on the path has no gradient rule.
        ShapeError: a seed has another shape than its output.
    """
    roots = [capture(each) for each in outputs]
    goals = [capture(each) for each in targets]
    order = list(walk(roots))
    active = _depending_on({goal.node for goal in goals}, order)
    grads: dict[Ref, Var] = {}
    with recording():
        for index, root in enumerate(roots):
            _accumulate(grads, root, _checked_seed(outputs[index], seeds[index]))
        for node in reversed(order):
            if node in active and node.operation is not None:
                _backward(node, active, grads)
    return [grads.get(goal) for goal in goals]


def _checked_seed(output: Var, seed: Var) -> Var:
    if seed.shape != output.shape:
        raise ShapeError(f"gradients: seed has shape {seed.shape}, expected {output.shape}.")
    return seed


def _depending_on(goals: set[Node], order: Sequence[Node]) -> set[Node]:
    active = set(goals)
    for node in order:
        if any(ref is not None and ref.node in active for ref in node.inputs):
            active.add(node)
    return active


def _accumulate(grads: dict[Ref, Var], ref: Ref, gradient: Var) -> None:
    held = grads.get(ref)
    grads[ref] = gradient if held is None else held + gradient


def _backward(node: Node, active: set[Node], grads: dict[Ref, Var]) -> None:
    results = tuple(grads.get(Ref(node, index)) for index in range(len(node.types)))
    if all(each is None for each in results):
        return
    operation = node.operation
    if operation is None or operation.grad is None:
        raise GradientError(
            f"gradients: {node.kind} has no gradient rule, and a parameter depends on the loss "
            "through it. Compute it outside the loss, or detach its operand with fix_as_const()."
        )
    call = GradCall(
        tuple(None if ref is None else var_of(ref) for ref in node.inputs),
        tuple(var_of(Ref(node, index)) for index in range(len(node.types))),
        results,
        node.attributes,
    )
    for ref, gradient in zip(node.inputs, operation.grad(call), strict=True):
        if ref is not None and gradient is not None and ref.node in active:
            _accumulate(grads, ref, gradient)
