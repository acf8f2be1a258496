"""Changing recorded graphs: every edit rebuilds the nodes above it and moves the live Vars over.

Nodes never change. `redirect` finds the Vars whose graphs contain the old node, rebuilds those
graphs with the new one (which repeats all shape checks) and only then updates the Vars, so a
rejected edit leaves everything as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.errors import GraphError, ShapeError
from mnn.expr.graph import rebuild
from mnn.expr.node import CONST, Cell, Node, Ref, leaf, make_node
from mnn.expr.symbols import Dim, fresh, is_known
from mnn.expr.types import TensorType

if TYPE_CHECKING:
    from mnn.expr.var import Var

__all__ = ["redirect", "resize", "retype", "set_inputs"]


def redirect(var: Var, new: Ref) -> None:
    """Make `new` stand for `var` in every live graph, `var` itself included."""
    from mnn.expr.var import live_vars, register

    old = var._ref
    if old is None:
        var._ref = new
        register(var)
        return
    if old == new:
        return
    replacement = [
        new if index == old.port else Ref(old.node, index) for index in range(len(old.node.types))
    ]
    # The part of the graph below `new` may contain `old` (an operation slipped in above it): its
    # own nodes must stay as they are, so they are listed as their own replacements.
    replacements = {node: _results(node) for node in _below(new)}
    replacements[old.node] = replacement
    users = [each for each in live_vars() if each._ref is not None]
    updated = rebuild([each._ref for each in users if each._ref is not None], replacements)
    for each, ref in zip(users, updated, strict=True):
        if each._ref is not ref:
            each._ref = ref
            if not ref.node.trainable:
                each._value = None
            each._format = ref.type.format


def _results(node: Node) -> list[Ref]:
    return [Ref(node, index) for index in range(len(node.types))]


def _below(root: Ref) -> list[Node]:
    from mnn.expr.node import walk

    return list(walk([root]))


def set_inputs(var: Var, inputs: Sequence[Var]) -> None:
    """Apply the operation of `var` to other operands; see `Var.set_inputs`."""
    from mnn.expr.var import capture

    ref = var._ref
    if ref is None or ref.node.operation is None:
        raise GraphError(
            f"set_inputs: this Var is a {var.op_type}, which has no operands. Expected the result "
            "of a recorded operation. Record it after expr.lazy_eval(True)."
        )
    slots = [index for index, each in enumerate(ref.node.inputs) if each is not None]
    if len(inputs) != len(slots):
        raise GraphError(
            f"set_inputs: {var.op_type} takes {len(slots)} operands, found {len(inputs)}."
        )
    operands: list[Ref | None] = list(ref.node.inputs)
    for slot, operand in zip(slots, inputs, strict=True):
        operands[slot] = capture(operand)
    node = make_node(ref.node.operation, operands, ref.node.attributes)
    redirect(var, Ref(node, ref.port))


def retype(var: Var, type: TensorType) -> None:
    """Give a leaf another type over the same cell, in every graph that uses it."""
    ref = var._ref
    if ref is None or ref.node.cell is None:
        return
    node = leaf(ref.node.kind, type, ref.node.cell)
    node.names.update(ref.node.names)
    redirect(var, Ref(node, 0))


def resize(var: Var, shape: Sequence[int]) -> None:
    """Change the shape of a leaf or eager Var; see `Var.resize`."""
    sizes: tuple[Dim, ...] = tuple(fresh("input") if size == -1 else int(size) for size in shape)
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ShapeError(f"resize: found {list(shape)}, expected sizes >= 0 (or -1: any).")
    if var._ref is None:
        if not is_known(*sizes):
            raise ShapeError("resize: a computed Var needs a full shape, without -1.")
        numbers = tuple(int(size) for size in shape)
        array = np.zeros(math.prod(numbers), var.dtype)
        flat = var._array().ravel()
        kept = min(flat.size, array.size)
        array[:kept] = flat[:kept]
        var._value = array.reshape(numbers)
        return
    cell = var._cell("resize")
    kind = var._ref.node.kind
    old = cell.array
    type = var._ref.type.with_shape(sizes)
    new = _resized(old, sizes, keep=kind == CONST)
    fresh_cell = Cell(new)
    fresh_cell.exposed = cell.exposed
    node = leaf(kind, type, fresh_cell)
    node.names.update(var._ref.node.names)
    redirect(var, Ref(node, 0))
    fresh_cell.touch()


def _resized(
    old: np.ndarray[Any, Any] | None, sizes: tuple[Dim, ...], *, keep: bool
) -> np.ndarray[Any, Any] | None:
    if old is None or not is_known(*sizes):
        return None
    numbers = tuple(size for size in sizes if isinstance(size, int))
    if old.size == math.prod(numbers):
        return old.reshape(numbers)
    if not keep:
        return None
    array = np.zeros(math.prod(numbers), old.dtype)
    kept = min(old.size, array.size)
    array[:kept] = old.ravel()[:kept]
    return array.reshape(numbers)
