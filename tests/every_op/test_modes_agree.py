"""Eager and recorded calls accept the same inputs, refuse the same, and declare what they give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mnn.config import config
from mnn.errors import MnnError
from mnn.expr.var import Var
from mnn.ops.spec import OpSpec, all_specs

DTYPES = ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "u8", "?", "c8")

# Loops are Python loops in eager mode, where a value may change its type from turn to turn.
LOOPS = {"loop", "while_loop"}
# Called by gradient rules alone, with operands that fit by construction.
ADJOINTS = {"split_like"}


def _tested() -> list[OpSpec]:
    return [
        spec
        for spec in all_specs()
        if spec.pure and spec.name not in LOOPS | ADJOINTS and not spec.name.endswith("_grad")
    ]


def _reshaped(array: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    yield array[None]
    yield np.zeros((), array.dtype)
    if array.ndim:
        yield array[:0]
        if array.size:
            yield array[0]
            yield np.concatenate([array, array[:1]], 0)
            yield np.concatenate([array, array[..., :1]], -1)


def _changed(inputs: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the inputs with one array of another type or shape."""
    for place, array in enumerate(inputs):
        if isinstance(array, np.ndarray):
            others = [array.astype(each) for each in DTYPES if array.dtype != np.dtype(each)]
            for other in (*others, *_reshaped(array)):
                yield (*inputs[:place], other, *inputs[place + 1 :])


def _outcome(spec: OpSpec, inputs: tuple[Any, ...], attributes: Any, *, lazy: bool) -> Any:
    """Return the result arrays, or None when the call was refused with one of our errors."""
    copies = [Var(each.copy()) if isinstance(each, np.ndarray) else each for each in inputs]
    with config.using(lazy=lazy, backend="reference"):
        try:
            found = spec(*copies, **attributes)
            results = found if isinstance(found, tuple) else (found,)
            declared = [(each.dtype, tuple(each.shape)) for each in results]
            arrays = [each.read() for each in results]
        except MnnError:
            return None
    for (dtype, shape), array in zip(declared, arrays, strict=True):
        assert dtype == array.dtype
        assert len(shape) == array.ndim
        assert all(size in (-1, length) for size, length in zip(shape, array.shape, strict=True))
    return arrays


@pytest.mark.parametrize("spec", _tested(), ids=lambda spec: spec.name)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_other_types_and_shapes(spec: OpSpec) -> None:
    for sample in spec.samples:
        for inputs in _changed(sample.inputs):
            eager = _outcome(spec, inputs, sample.attributes, lazy=False)
            lazy = _outcome(spec, inputs, sample.attributes, lazy=True)
            described = [getattr(each, "dtype", each) for each in inputs]
            assert (eager is None) == (lazy is None), (described, sample.attributes)
            for one, two in zip(eager or (), lazy or (), strict=True):
                np.testing.assert_array_equal(one, two)
