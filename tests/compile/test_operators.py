"""Every sample of every operator: what a plan computes equals the NumPy reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.cpu import plan
from mnn.backends.segments import Segment
from mnn.codegen.room import round_up
from mnn.codegen.target import host_target
from mnn.compile.memory import Lifetime
from mnn.config import config
from mnn.expr.node import INPUT, Cell, Node, Ref, leaf, walk
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of
from mnn.ops.spec import OpSpec, Sample, all_specs

Array = np.ndarray[Any, Any]

# Relative to the largest element of the result: sums are ordered differently.
_TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12, "complex64": 1e-5}
_CONSTANT_SIZE = 16


def _samples() -> Iterator[Any]:
    for spec in all_specs():
        for number, sample in enumerate(spec.samples):
            if spec.pure:
                yield pytest.param(spec, sample, id=f"{spec.name}-{number}")


def _recorded(spec: OpSpec, sample: Sample) -> tuple[list[Ref], list[Node], list[Array]]:
    """Return the results of a recorded call, its inputs and their values."""
    leaves: list[Node] = []
    arrays: list[Array] = []
    given: list[Any] = []
    for each in sample.inputs:
        small_integers = isinstance(each, np.ndarray) and (
            each.dtype.kind in "iub" and each.size <= _CONSTANT_SIZE
        )
        if not isinstance(each, np.ndarray) or small_integers:
            given.append(each)
            continue
        node = leaf(INPUT, TensorType(each.shape, each.dtype), Cell(None))
        leaves.append(node)
        arrays.append(each.copy())
        given.append(var_of(Ref(node, 0)))
    with config.using(lazy=True):
        result = spec(*given, **sample.attributes)
        found = list(result) if isinstance(result, tuple) else [result]
        return [capture(each) for each in found], leaves, arrays


def compare(got: Array, want: Array) -> None:
    """Assert equality within the tolerance of the dtype, and equal special values."""
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    finite = np.abs(want[np.isfinite(want)]) if want.dtype.kind in "fc" else np.zeros(0)
    scale = float(finite.max()) if finite.size else 1.0
    tolerance = _TOLERANCE.get(want.dtype.name, 0.0)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(scale, 1e-30))


@pytest.mark.parametrize(("spec", "sample"), list(_samples()))
def test_plan_equals_reference(spec: OpSpec, sample: Sample) -> None:
    given = [Var(each.copy()) if isinstance(each, np.ndarray) else each for each in sample.inputs]
    with np.errstate(all="ignore"):
        eager = spec(*given, **sample.attributes)
    wanted = list(eager) if isinstance(eager, tuple) else [eager]
    refs, leaves, arrays = _recorded(spec, sample)
    nodes = [node for node in walk(refs) if not node.is_leaf]
    constants = {
        node: node.cell.array
        for node in walk(refs)
        if node.cell is not None and node.cell.array is not None
    }
    segment = Segment(nodes, refs, [Ref(node, 0) for node in leaves], constants)
    for threads in (1, 2):
        results = segment.run(arrays, threads=threads, low=False)
        for got, want in zip(results, wanted, strict=True):
            compare(got, want.read())
    _compare_without_sharing(segment, arrays)


def _compare_without_sharing(segment: Segment, arrays: Sequence[Array]) -> None:
    """Assert that no step reads what happens to be where a temporary begins to live.

    With temporaries that share no memory, unwritten ones hold NaN: see `config.verify`.
    """
    assert config.verify
    made, _ = segment.compiled(arrays, low=False)
    shared = made.plan.run(arrays, 1)
    lowered = made.lowered
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "place", _apart)
        apart = plan.Plan(
            lowered.steps, lowered.inputs, lowered.outputs, host_target(), lowered.status
        )
    for one, two in zip(shared, apart.run(arrays, 1), strict=True):
        np.testing.assert_array_equal(one, two)


def _apart(lives: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Return places of temporaries, each with memory of its own."""
    ends = list(itertools.accumulate((round_up(each.size) for each in lives), initial=0))
    return ends[:-1], ends[-1]
