"""Which steps kernels can compute: tried once each, by building them into an empty function."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from mnn.codegen.bodies import has_body
from mnn.codegen.body import Body
from mnn.codegen.builder import Module, Value
from mnn.codegen.program import CAST, Program, Step
from mnn.codegen.target import Target
from mnn.errors import CodegenError

__all__ = ["computes", "kernel_dtype"]

DType = np.dtype[Any]


def kernel_dtype(dtype: DType) -> bool:
    """True when kernels compute in a dtype."""
    return dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize in (4, 8))


def computes(
    target: Target,
    name: str,
    operands: Sequence[DType],
    compute: DType,
    result: DType,
    parameters: tuple[tuple[str, Any], ...] = (),
) -> bool:
    """True when kernels of a target can compute a step on operands of these dtypes."""
    if not all(kernel_dtype(each) for each in (*operands, compute, result)):
        return False
    if name == CAST:
        return True
    if not has_body(name):
        return False
    names = tuple(each.name for each in operands)
    return _builds(target, name, names, compute.name, result.name, parameters)


@functools.lru_cache(maxsize=4096)
def _builds(
    target: Target,
    name: str,
    operands: tuple[str, ...],
    compute: str,
    result: str,
    parameters: tuple[tuple[str, Any], ...],
) -> bool:
    step = Step(name, tuple(range(len(operands))), compute, result, parameters)
    program = Program(operands, (step,), (len(operands),))
    function = Module(target).entry()
    values = [
        Value("poison", Body(function, target.lanes, np.dtype(each)).type) for each in operands
    ]
    try:
        program.emit(function, target.lanes, values)
    except CodegenError:
        return False
    return True
