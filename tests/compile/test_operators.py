"""Every sample of every operator: what a plan computes equals the NumPy reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite", reason="plans are machine code")

from mnn.backends.segments import Segment
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
