"""From graph nodes to a flow: shapes become numbers, operators become few kinds of values.

An importer is a function `(flow, node, operands) -> value or values`, registered by operator name
with `@imports`. It may return None when it does not take these types or attributes: then the
operator's NumPy reference becomes a step of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from mnn.codegen.target import Target
from mnn.compile.flow import Flow, Value
from mnn.compile.support import computes
from mnn.errors import MnnError
from mnn.expr.dtypes import is_bfloat16
from mnn.expr.node import Node, Operation, Ref
from mnn.expr.types import TensorType
from mnn.records import dataclass

__all__ = ["Application", "DynamicShapeError", "Importer", "imports"]

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]

_FOLD_BYTES = 1 << 16


class DynamicShapeError(MnnError):
    """A size depends on values: the rest of the graph needs them first.

    Attributes:
        node: the first node whose result has an unknown size.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(f"the shape of {node!r} depends on values")
        self.node = node


@dataclass(frozen=True)
class Application:
    """One operator application with concrete types.

    Attributes:
        name: of the operator.
        operands: values; None for omitted ones.
        attributes: of the node.
        types: of the results; all sizes are numbers.
        operation: the operator.
        importer: for operators that hold graphs.
    """

    name: str
    operands: tuple[Value | None, ...]
    attributes: Any
    types: tuple[TensorType, ...]
    operation: Operation
    importer: Importer

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first result."""
        return self.types[0].sizes

    @property
    def dtype(self) -> DType:
        """Element type of the first result."""
        return self.types[0].dtype

    def operand(self, position: int) -> Value:
        """Return an operand that is never omitted."""
        found = self.operands[position]
        assert found is not None
        return found

    def computes(self, step: str, dtype: DType) -> bool:
        """True when kernels compute a one-operand step in a dtype."""
        return computes(self.importer.target, step, [dtype], dtype, dtype)

    def optional(self, position: int) -> Value | None:
        """Return an operand that may be omitted."""
        return self.operands[position] if position < len(self.operands) else None


Import: TypeAlias = Callable[[Flow, Application], "Value | Sequence[Value] | None"]

_importers: dict[str, Import] = {}


def imports(*names: str) -> Callable[[Import], Import]:
    """Register an importer for operators."""

    def register(function: Import) -> Import:
        for name in names:
            _importers[name] = function
        return function

    return register


def _same_value(one: TensorType, two: TensorType) -> bool:
    """True when two types tell shape rules the same."""
    if one.value is None or two.value is None:
        return one.value is two.value
    return np.array_equal(one.value, two.value)


class Importer:
    """Adds nodes to a flow.

    Attributes:
        flow: what is built.
        target: the machine that will compute it.
        results: values of the nodes seen so far.
    """

    def __init__(self, flow: Flow, target: Target) -> None:
        self.flow = flow
        self.target = target
        self.results: dict[Node, Sequence[Value]] = {}

    def value(self, ref: Ref) -> Value:
        """Return the value of a result that was added before."""
        return self.results[ref.node][ref.port]

    def add(self, nodes: Sequence[Node]) -> None:
        """Add nodes in order; leaves among them must have values already.

        Raises:
            DynamicShapeError: a size depends on values.
        """
        for node in nodes:
            if node not in self.results:
                self.results[node] = self._import(node)

    def _import(self, node: Node) -> Sequence[Value]:
        operation = node.operation
        assert operation is not None, f"leaf {node!r} has no value"
        operands = tuple(None if ref is None else self.value(ref) for ref in node.inputs)
        types = self._types(node, operation, operands)
        known = self._known(types)
        if known is not None:
            return known
        if any(not each.is_static for each in types):
            # A loop's results have known sizes when its turns can be followed.
            found = None
            if operation.name == "loop":
                found = self._special(node, operation, operands, types)
            if found is None:
                raise DynamicShapeError(node)
            return found
        folded = self._folded(operation, operands, node, types)
        if folded is not None:
            return folded
        if any(is_bfloat16(each.dtype) for each in (*operands, *types) if each is not None):
            return self._host(node, operation, operands, types)
        found = self._special(node, operation, operands, types)
        if found is None:
            found = self._generic(node, operation, operands, types)
        return found

    def _types(
        self, node: Node, operation: Operation, operands: Sequence[Value | None]
    ) -> tuple[TensorType, ...]:
        given: list[TensorType | None] = []
        exact = True
        for ref, value in zip(node.inputs, operands, strict=True):
            if ref is None or value is None:
                given.append(None)
                continue
            recorded, type = ref.type, value.type
            exact = (
                exact
                and recorded.shape == type.shape
                and recorded.dtype == type.dtype
                and _same_value(recorded, type)
            )
            given.append(
                TensorType(type.shape, type.dtype, recorded.format, type.value)
                if recorded.format != type.format
                else type
            )
        if exact and all(each.is_static for each in node.types):
            return node.types
        return operation.infer_types(given, node.attributes)

    def _known(self, types: Sequence[TensorType]) -> list[Value] | None:
        if any(each.value is None for each in types):
            return None
        return [self.flow.constant(each.value) for each in types if each.value is not None]

    def _folded(
        self,
        operation: Operation,
        operands: Sequence[Value | None],
        node: Node,
        types: Sequence[TensorType],
    ) -> list[Value] | None:
        """Return results computed now, when all operands are known and the results are small."""
        arrays = [None if each is None else each.array for each in operands]
        if not getattr(operation, "pure", True) or any(
            each is not None and array is None for each, array in zip(operands, arrays, strict=True)
        ):
            return None
        have = sum(each.nbytes for each in arrays if each is not None)
        want = sum(math.prod(each.sizes) * each.dtype.itemsize for each in types)
        if want > max(have, _FOLD_BYTES):
            return None
        with np.errstate(all="ignore"):
            results = operation.compute(arrays, node.attributes)
        return [self.flow.constant(np.asarray(each, order="C")) for each in results]

    def _special(
        self,
        node: Node,
        operation: Operation,
        operands: tuple[Value | None, ...],
        types: tuple[TensorType, ...],
    ) -> Sequence[Value] | None:
        importer = _importers.get(operation.name)
        if importer is None:
            return None
        application = Application(operation.name, operands, node.attributes, types, operation, self)
        found = importer(self.flow, application)
        return [found] if isinstance(found, Value) else found

    def _generic(
        self,
        node: Node,
        operation: Operation,
        operands: Sequence[Value | None],
        types: Sequence[TensorType],
    ) -> Sequence[Value]:
        mapped = self._mapped(node, operation, operands, types)
        if mapped is not None:
            return [mapped]
        return self._host(node, operation, operands, types)

    def _mapped(
        self,
        node: Node,
        operation: Operation,
        operands: Sequence[Value | None],
        types: Sequence[TensorType],
    ) -> Value | None:
        """Return an elementwise operator as a map, None when kernels cannot compute it."""
        rule = getattr(operation, "rule", None)
        present = [each for each in operands if each is not None]
        if rule is None or len(present) != len(operands):
            return None
        dtypes = [each.dtype for each in present]
        compute, result = rule.compute_dtype(operation.name, dtypes), types[0].dtype
        parameters = tuple(node.attributes.items())
        if not computes(self.target, operation.name, dtypes, compute, result, parameters):
            return None
        return self.flow.map(
            operation.name,
            present,
            compute=compute,
            result=types[0].dtype,
            parameters=node.attributes,
        )

    def _host(
        self,
        node: Node,
        operation: Operation,
        operands: Sequence[Value | None],
        types: Sequence[TensorType],
    ) -> Sequence[Value]:
        attributes = node.attributes
        present = [each is not None for each in operands]

        def compute(arrays: Sequence[Array]) -> Sequence[Array]:
            given = iter(arrays)
            with np.errstate(all="ignore"):
                return operation.compute(
                    [next(given) if there else None for there in present], attributes
                )

        sizes = [(each.sizes, each.dtype) for each in types]
        return self.flow.host(
            compute, [each for each in operands if each is not None], sizes, operation.name
        )
