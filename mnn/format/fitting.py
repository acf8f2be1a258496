"""Element types of operands in files.

Operators of files take operands of one type and compute in it: 32-bit floats or integers. Graphs
promote as NumPy does. Writing puts the casts in between that make the one into the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.expr.node import Node
from mnn.ops.elementwise import Elementwise
from mnn.ops.spec import OpSpec

if TYPE_CHECKING:
    from mnn.format.encode import Encoder

__all__ = ["fit_operands", "narrowed_result"]

_MOVED = {"concat": 0, "stack": 0, "select": 1, "scatter_nd": 1, "matmul": 0}
"""Operators that are not elementwise, but join values of one type, by their first such operand."""

_WIDE = {"cumsum", "cumprod", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod"}
"""Operators that are not elementwise, but compute."""

_OWN_RULES = {"logical_and", "logical_or", "logical_xor", "logical_not"}

_SMALL = {"DT_UINT8", "DT_INT8"}


def _work_type(node: Node, first: int) -> np.dtype[Any]:
    """Return the type in which a file must compute a node."""
    dtypes = [ref.type.dtype for ref in node.inputs[first:] if ref is not None]
    if node.kind == "scatter_nd":
        dtypes = [dtypes[0], *dtypes[2:]]
    common = np.result_type(*dtypes)
    if common.kind in "biu" and node.types[0].dtype.kind == "f":
        return np.dtype(np.float32)
    small = common.itemsize < 4 and common.kind in "iu"
    return np.dtype(np.int32) if small and node.kind not in _MOVED else common


def fit_operands(encoder: Encoder, node: Node, inputs: Sequence[int]) -> list[int]:
    """Return the tensors of a node's operands, cast where their stored types differ."""
    from mnn.format.encode import data_type

    first = _MOVED.get(node.kind, 0 if _computes(node) else -1)
    if first < 0 or not isinstance(node.operation, OpSpec):
        return list(inputs)
    target = data_type(_work_type(node, first))
    fitted = list(inputs)
    for place in range(first, len(inputs)):
        ref = node.inputs[place]
        if ref is None or (node.kind == "scatter_nd" and place == 2):
            continue
        source = data_type(ref.type.dtype)
        if source != target:
            index = encoder.temporary("Cast")
            main = {"srcT": source, "dstT": target}
            encoder.emit("Cast", [inputs[place]], [index], "CastParam", main)
            fitted[place] = index
    return fitted


def narrowed_result(node: Node) -> bool:
    """Return whether a node computes in 32 bits what it returns as a smaller integer."""
    from mnn.format.encode import data_type

    return _computes(node) and node.kind != "cast" and data_type(node.types[0].dtype) in _SMALL


def _computes(node: Node) -> bool:
    if node.kind in _OWN_RULES:
        return False
    return isinstance(node.operation, Elementwise) or node.kind in _WIDE
