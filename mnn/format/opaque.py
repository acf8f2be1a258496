"""Operators of a file that nobody here knows: kept with their names, refused when computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mnn.errors import UnsupportedError
from mnn.expr.node import Ref, make_node
from mnn.expr.types import TensorType
from mnn.expr.var import Var, capture, var_of

if TYPE_CHECKING:
    from mnn.format.decode import OpCall

__all__ = ["Opaque", "opaque"]

Array = np.ndarray[Any, Any]


class Opaque:
    """An operation with a name and results, but no meaning."""

    grad = None

    def __init__(self, name: str, label: str, results: int) -> None:
        self.name = name
        self.label = label
        self.results = results

    @property
    def op_type(self) -> str:
        """Operator type in the file."""
        return self.name

    def infer_types(
        self, types: Sequence[TensorType | None], attributes: Mapping[str, Any]
    ) -> tuple[TensorType, ...]:
        """Return float32 results of unknown shape."""
        return tuple(TensorType(None, np.dtype(np.float32)) for _ in range(self.results))

    def compute(
        self, arrays: Sequence[Array | None], attributes: Mapping[str, Any]
    ) -> tuple[Array, ...]:
        """Raise UnsupportedError."""
        raise UnsupportedError(
            f"{self.label}: operator {self.name} is not supported. See docs/operators.md for what "
            "is; ask for outputs that do not need it."
        )


def opaque(call: OpCall) -> list[Var]:
    """Return results that stand for an unknown operator."""
    count = max(call.output_count, 1)
    inputs: list[Ref | None] = [None if each is None else capture(each) for each in call.inputs]
    node = make_node(Opaque(call.type, call.name, count), inputs, {}, unique=True)
    return [var_of(Ref(node, port)) for port in range(count)]
