"""From recorded nodes to a plan, for concrete input types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import mnn.compile.importers  # noqa: F401 - registers the importers
from mnn.backends.cpu.plan import Plan
from mnn.codegen.target import Target
from mnn.compile.flow import Flow
from mnn.compile.importing import DynamicShapeError, Importer
from mnn.compile.lowering import Lowered, lower
from mnn.compile.patterns import find_patterns
from mnn.compile.verify_flow import verify_flow
from mnn.config import config
from mnn.expr.node import Node, Ref
from mnn.records import dataclass

__all__ = ["Compiled", "Signature", "compile_nodes"]

Array = np.ndarray[Any, Any]
Signature = tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]
"""Shape and dtype of each argument."""


@dataclass(frozen=True)
class Compiled:
    """A plan, and how far it goes.

    Attributes:
        plan: computes `results`.
        lowered: what the plan was made of, for `mnn.explain`.
        results: what the plan returns: the outputs, or what the rest of the graph needs.
        stopped: the first node whose result sizes depend on values, None when there is none.
    """

    plan: Plan
    lowered: Lowered
    results: tuple[Ref, ...]
    stopped: Node | None


def compile_nodes(
    nodes: Sequence[Node],
    outputs: Sequence[Ref],
    arguments: Sequence[Ref],
    signature: Signature,
    constants: Mapping[Node, Array],
    target: Target,
    *,
    low: bool = False,
    files: Sequence[memoryview] | None = None,
) -> Compiled:
    """Return a plan for the nodes, or for as many of them as have known sizes.

    Args:
        nodes: in execution order, without leaves.
        outputs: what to compute.
        arguments: results that will be given as arrays.
        signature: their shapes and dtypes.
        constants: leaves with values that do not change.
        target: the machine.    low: matrix kernels may use bfloat16.
        files: mapped files that hold constants, when the plan shall be stored.
    """
    flow = Flow()
    importer = Importer(flow, target)
    given: dict[Node, dict[int, Any]] = {}
    for ref, (shape, dtype) in zip(arguments, signature, strict=True):
        given.setdefault(ref.node, {})[ref.port] = flow.input(shape, dtype)
    for node, values in given.items():
        importer.results[node] = [values.get(port) for port in range(len(node.types))]  # type: ignore[misc]
    for node, array in constants.items():
        importer.results[node] = [flow.constant(array)]
    stopped: Node | None = None
    results = tuple(outputs)
    try:
        importer.add(nodes)
    except DynamicShapeError as problem:
        stopped = problem.node
        results = _crossing(nodes, outputs, importer, given)
    flow.outputs = [importer.value(ref) for ref in results]
    if config.verify:
        verify_flow(flow)
    find_patterns(flow)
    lowered = lower(flow, target, low=low)
    if stopped is not None:
        files = None
    plan = Plan(lowered.steps, lowered.inputs, lowered.outputs, target, lowered.status, files=files)
    return Compiled(plan, lowered, results, stopped)


def _crossing(
    nodes: Sequence[Node],
    outputs: Sequence[Ref],
    importer: Importer,
    given: Mapping[Node, Any],
) -> tuple[Ref, ...]:
    """Return the computed results that nodes not yet imported, or the outputs, need."""
    wanted: dict[Ref, None] = {}
    later = [node for node in nodes if node not in importer.results]
    refs = [ref for node in later for ref in node.inputs if ref is not None]
    for ref in [*refs, *outputs]:
        computed = ref.node in importer.results and not ref.node.is_leaf
        if computed and ref.node not in given:
            wanted[ref] = None
    return tuple(wanted)
